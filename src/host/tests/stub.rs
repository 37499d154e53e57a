//! A socket in place of the kernel is for tests alone. Invariant: no manifest lets a program that is installed have it.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test that reads manifests")]

use std::path::{Path, PathBuf};

fn manifests(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !path.is_symlink() && name != "target" && !name.starts_with('.') {
            manifests(&path, found);
        } else if name == "Cargo.toml" {
            found.push(path);
        }
    }
}

/// The sections in which lines of a manifest name the feature.
fn sections(manifest: &str) -> Vec<&str> {
    let (mut section, mut found) = ("", Vec::new());
    for line in manifest.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        if line.starts_with('[') {
            section = line;
        }
        if line.contains("stub-kernel") {
            found.push(section);
        }
    }
    found
}

#[test]
fn only_tests_switch_the_stub_on() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
    let mut found = Vec::new();
    manifests(&root, &mut found);
    assert!(found.len() > 10, "{found:?}");
    let mut users = 0;
    for path in found {
        for section in sections(&std::fs::read_to_string(&path).unwrap()) {
            let is_own = path == root.join("src/host/Cargo.toml") && section == "[features]";
            let is_tests = section == "[dev-dependencies]";
            assert!(is_own || is_tests, "{} in {}", section, path.display());
            users += u32::from(is_tests);
        }
    }
    assert!(users > 0, "a feature that nobody uses");
}

#[test]
fn a_manifest_that_switches_it_on_is_found() {
    let text = "[dependencies]\nduet-host = { workspace = true, features = [\"stub-kernel\"] }\n";
    assert_eq!(sections(text), ["[dependencies]"]);
}
