//! The real drbdadm, where drbd-utils is installed, on a configuration of two nodes. Invariant tested: what it prints is what the agent
//! reads; it needs no module for that, and no resource is touched.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use duet_drbd::{Configuration, Fencing, tools};

/// Where it is; a test without it says so.
fn drbdadm() -> Option<PathBuf> {
    let places = ["/usr/sbin/drbdadm", "/sbin/drbdadm"].map(PathBuf::from);
    let found = places.into_iter().find(|path| path.exists());
    if found.is_none() {
        eprintln!("skipped: drbd-utils is not installed on this machine");
    }
    found
}

/// A resource that this machine has one half of. drbdadm refuses an address that the machine does not have.
fn configuration(directory: &Path) -> PathBuf {
    let here = nix::unistd::gethostname().unwrap();
    let text = format!(
        "common {{ handlers {{ fence-peer \"/usr/lib/drbd/crm-fence-peer.9.sh --timeout 30\"; }} }}\n\
         resource r0 {{\n  net {{ fencing resource-and-stonith; allow-two-primaries; }}\n\
           on {} {{ node-id 0; device /dev/drbd77; disk /dev/vdb; meta-disk internal; address 127.0.0.1:7789; }}\n\
           on elsewhere {{ node-id 1; device /dev/drbd77; disk /dev/vdb; meta-disk internal; address 127.0.0.2:7789; }}\n\
         }}\n",
        here.to_str().unwrap()
    );
    let path = directory.join("drbd.conf");
    std::fs::write(&path, text).unwrap();
    path
}

fn say(drbdadm: &Path, file: &Path, words: &[&str]) -> (bool, String, String) {
    let mut command = Command::new("timeout");
    command.arg("20").arg(drbdadm).arg("-c").arg(file).args(words).env("LC_ALL", "C");
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn what_the_real_drbdadm_says_of_a_configuration_is_understood() {
    let Some(drbdadm) = drbdadm() else { return };
    let directory = tempfile::tempdir().unwrap();
    let file = configuration(directory.path());
    let (is_success, devices, stderr) = say(&drbdadm, &file, &["sh-dev", "r0"]);
    assert!(is_success, "{stderr}");
    assert_eq!(tools::devices(&devices), ["/dev/drbd77"], "{stderr}");
    let (is_success, _, stderr) = say(&drbdadm, &file, &["sh-dev", "r1"]);
    assert!(!is_success && stderr.contains("r1"), "{stderr}");
    let (is_success, dump, stderr) = say(&drbdadm, &file, &["dump-xml"]);
    assert!(is_success, "{stderr}");
    let read = Configuration::parse(&dump).unwrap();
    let r0 = &read.resources["r0"];
    assert_eq!(r0.allows_two_primaries(), Some(true), "{dump}");
    let policies: Vec<_> = match r0.connections.as_slice() {
        [] => r0.fencing(None).into_iter().collect(),
        links => links.iter().filter_map(|link| r0.fencing(Some(link))).collect(),
    };
    assert_eq!(policies, [Fencing::ResourceAndStonith], "{dump}");
    let handler = r0.handlers.get("fence-peer");
    assert_eq!(handler, Some("/usr/lib/drbd/crm-fence-peer.9.sh --timeout 30"), "{dump}");
}
