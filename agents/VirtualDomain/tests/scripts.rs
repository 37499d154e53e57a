//! Monitor scripts and reload-agent, by the executable. Invariant tested: a script that fails or hangs is a failed monitor in
//! bounded time, and no script runs in a probe.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]
#![allow(dead_code, reason = "each test file uses its part of the stage")]

mod stage;

use std::time::Duration;

use duet_fake_tools::{FakeDomain, World};
use stage::{Ran, Stage, UUID};

fn stage() -> Option<Stage> {
    let stage = Stage::with(FakeDomain::running("web", UUID))?;
    stage.tool("good", "echo good >>$STAGE/calls; exit 0");
    stage.tool("bad", "echo bad >>$STAGE/calls; echo one; echo two; echo three >&2; exit 4");
    stage.tool(
        "hangs",
        "trap 'echo term >>$STAGE/calls' TERM; sleep 60 & wait; sleep 61 & echo $! >$STAGE/pid; wait",
    );
    Some(stage)
}

fn monitor(stage: &Stage, scripts: &str) -> Ran {
    let parameters = [("CRM_meta_interval", "10000"), ("monitor_scripts", scripts)];
    stage.run_with("monitor", &parameters)
}

#[test]
fn scripts_run_in_order_until_one_fails() {
    let Some(stage) = stage() else { return };
    let ran = monitor(&stage, " good\t good ");
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    assert_eq!(stage.lines("calls"), ["good", "good"]);
    let ran = monitor(&stage, "good bad good");
    assert_eq!(ran.code, 1, "{ran:?}");
    assert_eq!(ran.reason(), "Monitor script bad exited with 4: two; three");
    assert_eq!(stage.lines("calls"), ["good", "good", "good", "bad"]);
}

#[test]
fn a_script_is_a_path_a_pattern_or_a_name() {
    let Some(stage) = stage() else { return };
    let path = |name: &str| stage.at("tools").join(name).display().to_string();
    assert_eq!(monitor(&stage, &path("good")).code, 0);
    assert_eq!(monitor(&stage, &path("goo?")).code, 0);
    assert_eq!(monitor(&stage, &path("[bg]*d")).code, 1, "bad, then good");
    assert_eq!(stage.lines("calls"), ["good", "good", "bad"]);
    for missing in [path("no-such"), path("no-such-*"), "no-such".into(), "/".into()] {
        let ran = monitor(&stage, &missing);
        assert_eq!(ran.code, 1, "{ran:?}");
        let expected = format!("Monitor script {missing}: Could not find the program {missing}");
        assert_eq!(ran.reason(), expected);
    }
}

#[test]
fn a_script_that_hangs_is_ended_with_what_it_started() {
    let Some(stage) = stage() else { return };
    let parameters = [
        ("CRM_meta_interval", "10000"),
        ("monitor_scripts", "hangs good"),
        ("CRM_meta_timeout", "4000"),
    ];
    let ran = stage.run_with("monitor", &parameters);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.reason().starts_with("Monitor script hangs: hangs did not end within"), "{ran:?}");
    assert!(ran.took < Duration::from_millis(3900), "{ran:?}");
    assert_eq!(stage.lines("calls"), ["term"], "asked first, and nothing after it");
    // One that has ended has no arguments, whether it has been reaped or not.
    let arguments = format!("/proc/{}/cmdline", stage.lines("pid")[0]);
    let is_there = || std::fs::read(&arguments).is_ok_and(|text| !text.is_empty());
    for _ in 0..50 {
        if is_there() {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    assert!(!is_there(), "what it started is gone, too");
}

#[test]
fn a_probe_a_status_and_a_guest_that_is_gone_run_no_script() {
    let Some(stage) = stage() else { return };
    for action in ["monitor", "status"] {
        assert_eq!(stage.run_with(action, &[("monitor_scripts", "bad")]).code, 0);
    }
    stage.libvirt().world().domains.clear();
    assert_eq!(monitor(&stage, "bad").code, 7);
    assert_eq!(stage.lines("calls"), [""; 0]);
}

#[test]
fn scripts_know_about_the_operation_and_are_waited_for_though_the_caller_ignores_children() {
    let Some(mut stage) = stage() else { return };
    stage.before = "set -- env --ignore-signal=CHLD \"$@\"".to_owned();
    stage.tool("knows", r#"echo "$OCF_RESOURCE_INSTANCE $OCF_RESKEY_config"; exit 3"#);
    let ran = monitor(&stage, "good knows");
    let config = stage.definition().display().to_string();
    let expected = format!("Monitor script knows exited with 3: p_web {config}");
    assert_eq!((ran.code, ran.reason()), (1, expected.as_str()), "{ran:?}");
}

#[test]
fn a_start_waits_for_scripts_and_names_the_one_that_never_succeeds() {
    let Some(stage) = Stage::empty() else { return };
    stage.tool("third", "echo x >>$STAGE/calls; [ $(wc -l <$STAGE/calls) -ge 3 ]");
    stage.tool("never", "echo no service; exit 1");
    let started = stage.run_with("start", &[("monitor_scripts", "third")]);
    assert_eq!(started.code, 0, "{started:?}");
    assert_eq!(stage.lines("calls").len(), 3);
    assert_eq!(stage.run("stop").code, 0);
    let parameters = [("monitor_scripts", "never"), ("CRM_meta_timeout", "3000")];
    let failed = stage.run_with("start", &parameters);
    assert_eq!(failed.code, 1, "{failed:?}");
    assert!(
        failed.reason().contains("Monitor script never exited with 1: no service"),
        "{failed:?}"
    );
    assert!(failed.took > Duration::from_secs(2) && failed.took < Duration::from_secs(3));
    assert_eq!(stage.libvirt().world().domains.len(), 1, "the cluster decides what becomes of it");
}

#[test]
fn reload_agent_takes_what_is_right_and_refuses_what_is_not() {
    let world = World { frozen: true, ..World::default() };
    let Some(stage) = Stage::new(world) else { return };
    stage.lose_definition();
    let right = [("monitor_scripts", "good"), ("force_stop", "yes")];
    let ran = stage.run_with("reload-agent", &right);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    for wrong in [
        ("force_stop", "perhaps"),
        ("autoset_utilization_cpu", "2"),
        ("autoset_utilization_hv_memory", "x"),
        ("paused_by_error", "maybe"),
        ("save_config_on_stop", "never"),
        ("hypervisor", "nonsense"),
        ("config", ""),
        ("config", "web.xml"),
    ] {
        let ran = stage.run_with("reload-agent", &[wrong]);
        assert_eq!(ran.code, 6, "{wrong:?}: {ran:?}");
        assert!(ran.reason().contains(wrong.0), "{ran:?}");
    }
    assert!(stage.libvirt().world().calls.is_empty(), "nobody needs to be asked");
}

/// As in input.rs, under a script.
#[test]
fn a_script_on_storage_that_has_died_fails_the_monitor_in_time() {
    let Some(mut stage) = Stage::with(FakeDomain::running("web", UUID)) else { return };
    std::fs::create_dir(stage.at("dead")).unwrap();
    stage.before = "{ exec 9<>/dev/fuse && mount -i -t fuse -o \
        fd=9,rootmode=40000,user_id=0,group_id=0 dead $STAGE/dead; } 2>&1 || { echo no-fuse; exit 0; }"
        .to_owned();
    for script in ["dead/check", "dead/*"] {
        let script = stage.at(script);
        let parameters = [
            ("monitor_scripts", script.to_str().unwrap()),
            ("CRM_meta_interval", "10000"),
            ("CRM_meta_timeout", "4000"),
        ];
        let ran = stage.run_with("monitor", &parameters);
        if ran.stdout.contains("no-fuse") || ran.stderr.contains("/dev/fuse") {
            eprintln!("skipped: no FUSE on this machine: {ran:?}");
            return;
        }
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(ran.reason().contains("storage did not answer"), "{ran:?}");
        assert!(ran.took < std::time::Duration::from_secs(4), "{ran:?}");
    }
}
