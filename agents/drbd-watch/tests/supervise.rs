//! The agent on its stage: what it answers follows from the daemon that it sees, and nothing else.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]
#![allow(dead_code, reason = "each test file uses its part of the stage")]

mod stage;

use std::{path::Path, process::Command, time::Duration};

use nix::sys::signal::Signal;
use stage::Stage;

#[test]
fn a_life_from_start_to_stop() {
    let Some(stage) = Stage::managed() else { return };
    assert_eq!(stage.run("monitor").code, 7);
    assert_eq!(stage.run("stop").code, 0);
    assert_eq!(stage.daemon(), None, "a probe and a stop start nobody");
    stage.start();
    let daemon = stage.daemon();
    assert!(daemon.is_some());
    assert_eq!(stage.run("monitor").code, 0);
    stage.start();
    assert_eq!(stage.daemon(), daemon, "there is one already");
    let ran = stage.run("stop");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.took < Duration::from_secs(2), "{:?}", ran.took);
    assert_eq!(stage.daemon(), None);
    assert_eq!(stage.run("monitor").code, 7);
    let left: Vec<_> = std::fs::read_dir(stage.memory()).unwrap().flatten().collect();
    assert!(!left.iter().any(|file| file.path().extension().is_some_and(|it| it == "state")));
}

#[test]
fn it_starts_and_runs_without_the_module() {
    let Some(stage) = Stage::new() else { return };
    stage.kernel.unload();
    stage.start();
    assert_eq!(stage.run("monitor").code, 0);
}

#[test]
fn a_daemon_that_was_killed_is_not_running_and_starts_again() {
    let Some(stage) = Stage::managed() else { return };
    stage.start();
    stage.signal(Signal::SIGKILL);
    stage.until("its end", |stage| stage.daemon().is_none());
    assert_eq!(stage.run("monitor").code, 7);
    stage.start();
    assert_eq!(stage.run("monitor").code, 0);
}

#[test]
fn a_daemon_whose_state_is_lost_is_found_all_the_same() {
    let Some(stage) = Stage::managed() else { return };
    stage.start();
    let daemon = stage.daemon();
    std::fs::remove_file(stage.memory().join("drbd-watch-p_watch.state")).unwrap();
    // Half of a short time is not enough for the next sign of life, which writes it anew.
    let ran = stage.run_with("monitor", &[("CRM_meta_timeout", "1000")]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(ran.reason().contains("has not said yet"), "{}", ran.reason());
    assert_eq!(stage.run_with("monitor", &[("CRM_meta_timeout", "30000")]).code, 0);
    assert_eq!(stage.daemon(), daemon);
    std::fs::remove_file(stage.memory().join("drbd-watch-p_watch.state")).unwrap();
    assert_eq!(stage.run("stop").code, 0);
    assert_eq!(stage.daemon(), None);
}

#[test]
fn a_frozen_daemon_fails_the_monitor_and_is_killed_by_stop() {
    let Some(stage) = Stage::managed() else { return };
    stage.start();
    stage.signal(Signal::SIGSTOP);
    std::thread::sleep(Duration::from_secs(32));
    let ran = stage.run("monitor");
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(ran.reason().contains("has not given a sign of life"), "{}", ran.reason());
    let ran = stage.run("stop");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(stage.daemon(), None);
    assert!(stage.log().contains("Killed drbd-watchd"), "{}", stage.log());
}

/// The messages come, and whoever looks afresh hears nothing.
#[test]
fn a_daemon_whose_looks_come_to_nothing_fails_the_monitor_and_not_for_a_while() {
    let Some(stage) = Stage::managed() else { return };
    stage.start();
    stage.until("the first score", |stage| stage.scores() == ["10000"]);
    stage.kernel.module().faults.hang_on = Some(38);
    stage.kernel.change(|view| {
        view.resources.insert("r0".to_owned(), stage::alone());
    });
    stage.until("a look that hangs", |stage| stage.log().contains("Left the promotion score"));
    assert_eq!(stage.run("monitor").code, 0, "it may be over in a moment");
    std::thread::sleep(Duration::from_secs(28));
    stage.until("the monitor to fail", |stage| stage.run("monitor").code == 1);
    let ran = stage.run("monitor");
    assert!(ran.reason().contains("bring the score of p_drbd up to date"), "{}", ran.reason());
    stage.kernel.module().faults.hang_on = None;
    stage.until("the score", |stage| stage.scores() == ["10000", "1000"]);
    stage.until("the monitor to succeed", |stage| stage.run("monitor").code == 0);
}

#[test]
fn a_daemon_in_a_container_is_not_this_nodes() {
    let Some(stage) = Stage::managed() else { return };
    stage.start();
    let daemon = stage.daemon();
    let agent = env!("CARGO_BIN_EXE_drbd-watch");
    for (action, code) in [("monitor", 7), ("stop", 0), ("monitor", 7)] {
        // The same command line and the same file, seen from outside of the namespace.
        let mut outside = Command::new(agent);
        outside.arg(action).env_clear();
        outside.env("OCF_RESOURCE_INSTANCE", "p_watch").env("HA_RSCTMP", stage.memory());
        let output = outside.output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{action}: {output:?}");
        assert_eq!(stage.daemon(), daemon, "{action}");
    }
    // The stop outside took the state for a leftover; the next sign of life writes it anew.
    assert_eq!(stage.run_with("monitor", &[("CRM_meta_timeout", "30000")]).code, 0);
}

/// All processes are to be seen, and the directory of that name is another one.
#[test]
fn a_daemon_with_another_directory_is_not_this_nodes_and_with_the_same_it_is() {
    let Some(stage) = Stage::managed() else { return };
    stage.start();
    let daemon = stage.daemon();
    let script = |prepare: &str, action: &str| {
        let mut inside = stage.command(Path::new("unshare"));
        inside.args(["--mount", "--propagation", "private", "sh", "-ec"]);
        inside.arg(format!("{prepare}; exec \"$0\" {action}"));
        inside.arg(env!("CARGO_BIN_EXE_drbd-watch"));
        inside.output().unwrap().status.code()
    };
    let other = format!("mount -t tmpfs tmpfs {}", stage.memory().display());
    for (prepare, action, code) in
        [(other.as_str(), "monitor", 7), (&other, "stop", 0), (":", "monitor", 0)]
    {
        assert_eq!(script(prepare, action), Some(code), "{prepare} {action}");
        assert_eq!(stage.daemon(), daemon, "{prepare} {action}");
    }
    assert_eq!(script(":", "stop"), Some(0));
    assert_eq!(stage.daemon(), None);
}

#[test]
fn a_start_with_other_parameters_replaces_it() {
    let Some(stage) = Stage::managed() else { return };
    stage.start();
    let before = stage.daemon();
    stage.tools.answer("drbdadm", "sh-resources", duet_fake_tools::Answer::prints("r0\n"));
    stage.tools.answer("cibadmin", "", duet_fake_tools::Answer::fails(105, ""));
    let ran = stage.run_with("start", &[("auto_promote", "true")]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_ne!(stage.daemon(), before);
    assert_eq!(stage.run("monitor").code, 0);
}

#[test]
fn a_program_that_is_missing_is_named() {
    let Some(stage) = Stage::managed() else { return };
    stage.tools.remove("attrd_updater");
    assert_eq!(stage.run("validate-all").code, 0);
    for action in ["validate-all", "start"] {
        let ran = stage.run_with(action, &[("auto_promote", "true")]);
        assert_eq!(ran.code, 5, "{}", ran.stderr);
        assert!(ran.reason().contains("attrd_updater"), "{}", ran.reason());
    }
    assert_eq!(stage.daemon(), None);
    let ran = stage.run_with("validate-all", &[("attr_name_prefix", "a b")]);
    assert_eq!(ran.code, 6, "{}", ran.stderr);
}

#[test]
fn no_second_one_runs_beside_the_first() {
    let Some(stage) = Stage::managed() else { return };
    stage.start();
    let state = stage.memory().join("drbd-watch-p_watch.state");
    let mut second = stage.command(std::path::Path::new(env!("CARGO_BIN_EXE_drbd-watchd")));
    second.arg("--state").arg(&state).arg("--records").arg(stage.memory());
    let output = second.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("runs already"), "{output:?}");
    assert_eq!(stage.run("monitor").code, 0);
}
