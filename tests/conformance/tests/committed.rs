//! The rule for committed metadata, on a table of its own: every way of breaking it is seen, and only an
//! update writes.
#![allow(clippy::disallowed_methods, reason = "tests write files")]

use duet_conformance::check_committed;
use duet_ocf::{Action, ActionSpec, Kind, Parameter, Spec};
use std::os::unix::fs::PermissionsExt;

static SPEC: Spec = Spec {
    name: "Dummy",
    version: "1.0",
    shortdesc: "For tests",
    longdesc: "For tests.",
    parameters: &[
        Parameter::new("state", Kind::String, "State", "State.").required().unique("state"),
        Parameter::new("mode", Kind::Select(&["a", "b"]), "Mode", "Mode.")
            .with_default("a")
            .reloadable(),
        Parameter::new("old", Kind::Boolean, "Old", "Old.").deprecated(&["mode"], "Renamed."),
    ],
    actions: &[
        ActionSpec::new(Action::Start, 20),
        ActionSpec::new(Action::Stop, 20),
        ActionSpec::new(Action::Monitor, 20).every(10).promoted(),
        ActionSpec::new(Action::ReloadAgent, 20),
        ActionSpec::new(Action::MetaData, 5),
        ActionSpec::new(Action::ValidateAll, 5),
    ],
};

#[test]
fn only_an_update_writes() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("Dummy.xml");
    assert!(check_committed(&SPEC, &file, None, false).is_err());
    assert!(!file.exists(), "a missing file was created by a plain run");
    check_committed(&SPEC, &file, None, true).unwrap();
    check_committed(&SPEC, &file, None, false).unwrap();
    std::fs::write(&file, "<?xml version=\"1.0\"?>\nold").unwrap();
    let wrong = check_committed(&SPEC, &file, None, false).unwrap_err();
    assert!(wrong.contains("from line 2 on"), "{wrong}");
    assert!(std::fs::read_to_string(&file).unwrap().ends_with("old"));
}

#[test]
fn the_executable_must_print_it() {
    let dir = tempfile::tempdir().unwrap();
    let (file, agent) = (dir.path().join("Dummy.xml"), dir.path().join("Dummy"));
    check_committed(&SPEC, &file, None, true).unwrap();
    let script = |body: &str| {
        // Written beside and renamed, so that no writer of it is left when it is run.
        let fresh = dir.path().join("fresh");
        std::fs::write(&fresh, format!("#!/bin/sh\n{body}\n")).unwrap();
        std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::rename(&fresh, &agent).unwrap();
    };
    script(&format!("[ $1 = meta-data ] && cat {}", file.display()));
    check_committed(&SPEC, &file, Some(&agent), false).unwrap();
    for body in ["cat /dev/null", &format!("cat {}; exit 1", file.display()), "echo; exit 0"] {
        script(body);
        assert!(check_committed(&SPEC, &file, Some(&agent), false).is_err(), "{body}");
    }
}

#[test]
fn a_table_with_complaints_is_refused_even_in_an_update() {
    static WRONG: Spec = Spec {
        parameters: &[
            Parameter::new("n", Kind::Integer { min: 0, max: 1 }, "N", "N.").with_default("2")
        ],
        ..SPEC
    };
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("Dummy.xml");
    let wrong = check_committed(&WRONG, &file, None, true).unwrap_err();
    assert!(wrong.contains("default of n=\"2\""), "{wrong}");
    assert!(!file.exists());
}
