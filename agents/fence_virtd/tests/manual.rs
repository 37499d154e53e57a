//! The manual pages and the unit: all that can be said is in them.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test that reads files")]

use std::{path::Path, process::Command};

fn file(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    std::fs::read_to_string(root.join(name)).unwrap()
}

#[test]
fn every_option_is_in_the_manual() {
    let output = Command::new(env!("CARGO_BIN_EXE_fence_virtd")).arg("-h").output().unwrap();
    assert!(output.status.success());
    let usage = String::from_utf8(output.stdout).unwrap();
    let manual = file("docs/man/fence_virtd.8").replace("\\-", "-");
    let options: Vec<&str> = usage
        .lines()
        .filter_map(|line| line.trim().split(' ').next().filter(|word| word.starts_with('-')))
        .collect();
    assert!(options.len() > 9);
    for option in options {
        let is_there = manual.lines().any(|line| line.starts_with(".B") && line.contains(option));
        assert!(is_there, "{option}");
    }
}

#[test]
fn every_name_of_the_configuration_is_in_the_manual() {
    let manual = file("docs/man/fence_virt.conf.5");
    for source in ["settings.rs", "settings/listener.rs"] {
        let text = file(&format!("agents/fence_virtd/{source}"));
        // The lists of names that are known, each on lines of its own or in a call.
        let names = text.split("about(&[").skip(1).map(|rest| rest.split(']').next().unwrap());
        let main = text
            .split("const MAIN: &[&str] = &[")
            .skip(1)
            .map(|rest| rest.split(']').next().unwrap());
        for name in names.chain(main).flat_map(|list| list.split('"').skip(1).step_by(2)) {
            assert!(manual.contains(name), "{name}");
        }
    }
}

#[test]
fn an_unknown_option_is_an_error_and_what_is_asked_for_is_not() {
    let run =
        |word: &str| Command::new(env!("CARGO_BIN_EXE_fence_virtd")).arg(word).output().unwrap();
    assert_eq!(run("-x").status.code(), Some(1));
    assert!(run("-x").stdout.is_empty());
    for word in ["-h", "-V", "-l"] {
        assert!(run(word).status.success() && !run(word).stdout.is_empty());
    }
}
