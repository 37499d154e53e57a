//! The OCF contract: committed metadata and man page are what the table renders to, the executable prints the
//! metadata, and it passes the checks of every agent. Invariant: `UPDATE=1` alone rewrites a committed file.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]
#![allow(dead_code, reason = "each test file uses its part of the stage")]

mod stage;

use std::{
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::Path,
};

use drbd_agent::spec::SPEC;
use duet_conformance::{Subject, Verdict, assert_committed, check_all};
use stage::{Stage, V9};

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

#[test]
fn metadata_is_what_is_committed_and_printed() {
    let executable = Path::new(env!("CARGO_BIN_EXE_drbd"));
    assert_committed(&SPEC, &root().join("ocf-metadata/drbd.xml"), Some(executable));
}

/// What `make install` installs, without running anything.
#[test]
fn man_page_is_what_is_committed() {
    let committed = root().join("docs/man/ocf_rust_drbd.7");
    let rendered = duet_ocf::man_page(&SPEC);
    if std::env::var_os("UPDATE").is_some_and(|value| value == "1") {
        std::fs::write(&committed, &rendered).unwrap();
    }
    let before = std::fs::read_to_string(&committed).unwrap_or_default();
    assert!(before == rendered, "{} is not the table's: UPDATE=1", committed.display());
}

#[test]
fn the_contract_is_kept() {
    let Some(stage) = Stage::new(V9) else { return };
    let directory = tempfile::tempdir().unwrap();
    // Where nobody may look, too: meta-data has to work for everybody.
    let open = directory.path().join("resource.d");
    std::fs::DirBuilder::new().mode(0o755).create(&open).unwrap();
    std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let agent = open.join("drbd");
    // By a process of its own: no child of another test can then hold it open for writing.
    let copied = std::process::Command::new("cp")
        .arg(env!("CARGO_BIN_EXE_drbd"))
        .arg(open.join("executable"))
        .status();
    assert!(copied.unwrap().success());
    let [(kernel, socket), (files, directory_of_files)] = stage.kernel.environment();
    let script = format!(
        "#!/bin/sh\ncase \"$1\" in meta-data) exec {exe} \"$@\";; esac\n\
         export {kernel}={} {files}={}\n\
         exec unshare --mount --propagation private sh -ec 'mount --bind {tools} /usr/local/sbin; \
         mount -t tmpfs none /etc; echo > /etc/drbd.conf; exec \"$@\"' sh {exe} \"$@\"\n",
        socket.display(),
        directory_of_files.display(),
        exe = open.join("executable").display(),
        tools = stage.tools.programs().display(),
    );
    std::fs::write(&agent, script).unwrap();
    std::fs::set_permissions(&agent, PermissionsExt::from_mode(0o755)).unwrap();
    let parameters = [
        ("drbd_resource", "r0".to_owned()),
        ("CRM_meta_clone_max", "2".to_owned()),
        ("CRM_meta_notify", "true".to_owned()),
    ];
    let parameters = parameters.map(|(name, value)| (format!("OCF_RESKEY_{name}"), value));
    let subject = Subject::new(&agent, parameters.into()).unwrap();
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
