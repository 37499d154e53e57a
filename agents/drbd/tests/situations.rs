//! The table of situations against the sources. Invariant tested: each situation is there once, and every test that it
//! names exists.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]

use std::{
    fs,
    path::{Path, PathBuf},
};

const SITUATIONS: usize = 32;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn sources(below: &Path, into: &mut String) {
    for entry in fs::read_dir(below).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

fn all_sources() -> String {
    let mut text = String::new();
    for folder in ["agents/drbd", "src/drbd", "src/host"] {
        sources(&root().join(folder), &mut text);
    }
    text
}

fn exists(name: &str, sources: &str) -> bool {
    sources.contains(&format!("#[test]\nfn {name}(")) || {
        // In a module of its own.
        sources.contains(&format!("#[test]\n    fn {name}("))
    }
}

/// Number and last column of every row.
fn rows(table: &str) -> Vec<(usize, String)> {
    let rows = table.lines().filter_map(|line| {
        let cells: Vec<_> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        Some((cells.first()?.parse().ok()?, (*cells.last()?).to_owned()))
    });
    rows.collect()
}

#[test]
fn every_situation_is_listed_and_every_test_it_names_exists() {
    let table = fs::read_to_string(root().join("docs/drbd-situations.md")).unwrap();
    let (sources, rows) = (all_sources(), rows(&table));
    let numbers: Vec<_> = rows.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, (1..=SITUATIONS).collect::<Vec<_>>());
    for (number, proofs) in rows {
        for proof in proofs.split(", ") {
            let name = proof.strip_prefix('`').and_then(|name| name.strip_suffix('`'));
            let name = name.unwrap_or_else(|| panic!("{number}: {proof}"));
            assert!(exists(name, &sources), "{number}: there is no test {name}");
        }
    }
}

/// Negative control.
#[test]
fn a_name_that_no_test_has_is_noticed() {
    let never = ["a", "test", "that_is_not_there"].join("_");
    assert!(!exists(&never, &all_sources()));
    assert!(!exists("running", &all_sources()), "a function that is no test");
}
