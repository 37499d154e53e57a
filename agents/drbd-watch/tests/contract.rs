//! The OCF contract: committed metadata and man page are what the table renders to, the executable prints the
//! metadata, and it passes the checks of every agent. Invariant: `UPDATE=1` alone rewrites a committed file.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]

use std::{os::unix::fs::PermissionsExt, path::Path};

use drbd_watch::spec::SPEC;
use duet_conformance::{Subject, Verdict, assert_committed, check_all};
use duet_fake_tools::{Answer, FakeTools};

#[test]
fn metadata_is_what_is_committed_and_printed() {
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ocf-metadata/drbd-watch.xml");
    let executable = Path::new(env!("CARGO_BIN_EXE_drbd-watch"));
    assert_committed(&SPEC, &committed, Some(executable));
}

/// What `make install` installs, without running anything.
#[test]
fn man_page_is_what_is_committed() {
    let committed =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/man/ocf_rust_drbd-watch.7");
    let rendered = duet_ocf::man_page(&SPEC);
    if std::env::var_os("UPDATE").is_some_and(|value| value == "1") {
        std::fs::write(&committed, &rendered).unwrap();
    }
    let before = std::fs::read_to_string(&committed).unwrap_or_default();
    assert!(before == rendered, "{} is not the table's: UPDATE=1", committed.display());
}

#[test]
fn the_contract_is_kept() {
    let probe = std::process::Command::new("unshare").args(["--mount", "true"]).output();
    if !probe.is_ok_and(|output| output.status.success()) {
        println!("skipped: no private mount namespace on this machine");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    // Where nobody may look, too: meta-data has to work for everybody.
    std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let tools = FakeTools::at(&directory.path().join("tools"));
    tools.answer("crm_attribute", "", Answer::success());
    let programs = directory.path().join("programs");
    std::fs::create_dir(&programs).unwrap();
    // By a process of its own: no child of another test can then hold it open for writing.
    let copied = std::process::Command::new("cp")
        .arg(env!("CARGO_BIN_EXE_drbd-watch"))
        .arg(env!("CARGO_BIN_EXE_drbd-watchd"))
        .arg(&programs)
        .status();
    assert!(copied.unwrap().success());
    let open = directory.path().join("resource.d");
    std::fs::create_dir(&open).unwrap();
    let agent = open.join("drbd-watch");
    let script = format!(
        "#!/bin/sh\ncase \"$1\" in meta-data) exec {exe} \"$@\";; esac\n\
         DUET_LIBEXECDIR={programs} exec unshare --mount --propagation private sh -ec \
         'mount --bind {tools} /usr/local/sbin; exec \"$@\"' sh {exe} \"$@\"\n",
        exe = programs.join("drbd-watch").display(),
        programs = programs.display(),
        tools = tools.programs().display(),
    );
    std::fs::write(&agent, script).unwrap();
    std::fs::set_permissions(&agent, PermissionsExt::from_mode(0o755)).unwrap();
    let subject = Subject::new(&agent, Vec::new()).unwrap();
    let mut failed = Vec::new();
    for finding in check_all(&subject) {
        match finding.verdict {
            Verdict::Pass => {}
            Verdict::Skipped(why) => println!("skipped: {}: {why}", finding.check),
            Verdict::Fail(how) => failed.push(format!("{}: {how}", finding.check)),
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
