//! The order of a host's shutdown, by the executable, with a systemctl that notes what it is asked. Invariant tested: systemd
//! is told once, before the guest is started, and whatever comes of it, the guest is started.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]
#![allow(dead_code, reason = "each test file uses its part of the stage")]

mod stage;

use std::time::Duration;

use stage::{Ran, Stage};

const BEFORE: &str =
    "mkdir -p /run/systemd/system; mount --bind \"$TOOLS/../units\" /run/systemd/system";
const DROP_IN: &str = "units/resource-agents-deps.target.d/99-duet-VirtualDomain.conf";
const ASKED: [&str; 2] = ["daemon-reload", "start virt-guest-shutdown.target"];

fn stage() -> Option<Stage> {
    let mut stage = Stage::empty()?;
    stage.tool("systemctl", "echo \"$*\" >>$STAGE/calls; [ -e $STAGE/$1 ] || exit 0; . $STAGE/$1");
    stage.before = BEFORE.to_owned();
    std::fs::create_dir(stage.at("units")).unwrap();
    Some(stage)
}

fn start(stage: &Stage) -> Ran {
    let ran = stage.run("start");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(stage.libvirt().world().domains.len(), 1);
    stage.libvirt().world().domains.clear();
    ran
}

#[test]
fn systemd_is_told_once() {
    let Some(stage) = stage() else { return };
    let ran = start(&stage);
    assert!(ran.stderr.contains("INFO: Told systemd to stop Pacemaker before libvirt"), "{ran:?}");
    assert_eq!(stage.lines("calls"), ASKED);
    let drop_in = stage.lines(DROP_IN).join("\n");
    for unit in ["libvirtd.service", "virtqemud.socket", "virtlxcd.service", "virtxend.service"] {
        let is_ordered = |line: &&str| line.starts_with("After=") && line.contains(unit);
        assert!(drop_in.lines().any(|line| is_ordered(&line)), "{unit} in {drop_in}");
    }
    assert!(drop_in.contains("\nWants=virt-guest-shutdown.target"), "{drop_in}");
    let mode = std::fs::metadata(stage.at(DROP_IN)).unwrap().permissions();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o644);
    start(&stage);
    assert_eq!(stage.lines("calls"), ASKED, "once");
    std::fs::write(stage.at(DROP_IN), "[Unit]\n").unwrap();
    start(&stage);
    assert_eq!(stage.lines("calls").len(), 4, "again, since it was another");
}

#[test]
fn without_systemd_nothing_is_written() {
    let Some(mut stage) = stage() else { return };
    stage.before.clear();
    stage.after = "find /run/systemd 2>/dev/null".to_owned();
    let ran = start(&stage);
    assert_eq!((ran.stdout.as_str(), stage.lines("calls").len()), ("", 0), "{ran:?}");
}

#[test]
fn only_a_start_tells_systemd() {
    let Some(stage) = stage() else { return };
    for (action, code) in [("monitor", 7), ("status", 7), ("validate-all", 0), ("stop", 0)] {
        assert_eq!(stage.run(action).code, code, "{action}");
    }
    assert!(!stage.at(DROP_IN).exists() && stage.lines("calls").is_empty());
}

#[test]
fn a_systemd_that_refuses_or_hangs_is_a_warning_and_told_again() {
    for (call, script, says) in [
        ("daemon-reload", "echo 'Failed to reload daemon' >&2; exit 1", "Failed to reload daemon"),
        ("start", "echo 'Job failed' >&2; exit 1", "Job failed"),
        ("daemon-reload", "sleep 60", "did not end within"),
    ] {
        let Some(stage) = stage() else { return };
        std::fs::write(stage.at(call), script).unwrap();
        let ran = start(&stage);
        assert!(ran.stderr.contains("WARNING: Could not have systemd stop"), "{ran:?}");
        assert!(ran.stderr.contains(says), "{ran:?}");
        assert!(ran.took < Duration::from_secs(5), "{ran:?}");
        assert!(!stage.at(DROP_IN).exists(), "else the next start would take it for known");
        std::fs::remove_file(stage.at(call)).unwrap();
        assert!(!start(&stage).stderr.contains("WARNING"));
    }
}

#[test]
fn a_libvirt_without_that_target_is_ordered_all_the_same() {
    let Some(stage) = stage() else { return };
    let text =
        "Failed to start virt-guest-shutdown.target: Unit virt-guest-shutdown.target not found.";
    std::fs::write(stage.at("start"), format!("echo '{text}' >&2; exit 5")).unwrap();
    assert!(!start(&stage).stderr.contains("WARNING"));
    assert!(stage.at(DROP_IN).exists());
}
