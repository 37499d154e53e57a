//! Monitor, probe and status of the executable against a libvirtd without guests. Invariant tested: 7 is libvirt's own
//! word, everything that could not be found out is 1 with a reason.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]
#![allow(dead_code, reason = "each test file uses its part of the stage")]

mod stage;

use std::time::Duration;

use duet_fake_tools::{FakeDomain, World};
use stage::{OTHER, Stage, UUID};

#[test]
fn a_probe_before_the_first_start_says_not_running_and_changes_nothing() {
    let Some(stage) = Stage::empty() else { return };
    let ran = stage.run("monitor");
    assert_eq!(ran.code, 7, "{ran:?}");
    assert!(!ran.stderr.contains("ocf-exit-reason"), "a probe needs no excuse: {ran:?}");
    assert!(!stage.memory().exists(), "a probe writes nothing");
    for call in &stage.libvirt().world().calls {
        let harmless = ["auth-list", "open", "lookup-by-uuid", "lookup-by-name", "close"];
        assert!(harmless.contains(&call.split(' ').next().unwrap()), "{call}");
    }
}

#[test]
fn a_probe_without_definition_and_without_memory_says_not_running() {
    let Some(stage) = Stage::empty() else { return };
    stage.lose_definition();
    assert_eq!(stage.run("monitor").code, 7);
}

#[test]
fn a_lost_definition_does_not_hide_a_running_guest() {
    let Some(stage) = Stage::empty() else { return };
    assert_eq!(stage.run("start").code, 0);
    stage.lose_definition();
    assert_eq!(stage.run("monitor").code, 0, "probe");
    let recurring = stage.recurring();
    assert_eq!(recurring.code, 0, "{recurring:?}");
    assert!(recurring.stderr.contains("WARNING") && recurring.stderr.contains("web.xml"));
}

#[test]
fn an_edited_definition_does_not_hide_a_running_guest() {
    let Some(stage) = Stage::empty() else { return };
    assert_eq!(stage.run("start").code, 0);
    stage.define("new-name", Some(OTHER));
    assert_eq!(stage.run("monitor").code, 0);
    assert_eq!(stage.run("stop").code, 0);
    assert!(stage.libvirt().world().domains.is_empty());
}

#[test]
fn a_guest_that_was_started_otherwise_is_remembered_too() {
    let Some(stage) = Stage::with(FakeDomain::running("web", UUID)) else { return };
    assert_eq!(stage.recurring().code, 0);
    stage.lose_definition();
    assert_eq!(stage.run("monitor").code, 0);
}

#[test]
fn states_become_codes_and_reasons() {
    for (state, reason, code, says) in [
        (1, 1, 0, ""),
        (2, 0, 0, ""),
        (3, 1, 0, ""),
        (3, 2, 0, ""),
        (3, 5, 1, "Domain web is paused (I/O error)"),
        (3, 6, 1, "Domain web is paused (watchdog)"),
        (3, 10, 1, "Domain web is paused (guest crashed)"),
        (3, 13, 1, "Domain web is paused (failed post-copy migration)"),
        (4, 1, 0, ""),
        (5, 3, 7, "Domain web is shut off (crashed)"),
        (6, 1, 1, "Domain web is crashed (guest panicked)"),
        (7, 0, 0, ""),
    ] {
        let domain = FakeDomain::defined("web", UUID).in_state(state, reason);
        let Some(stage) = Stage::with(domain) else { return };
        let ran = stage.recurring();
        assert_eq!((ran.code, ran.reason()), (code, says), "{state}/{reason}: {ran:?}");
    }
}

#[test]
fn paused_by_error_can_be_ignored() {
    let Some(stage) = Stage::with(FakeDomain::running("web", UUID).in_state(3, 5)) else { return };
    assert_eq!(stage.run_with("monitor", &[("paused_by_error", "ignore")]).code, 0);
}

#[test]
fn a_state_that_stays_unclear_is_no_success() {
    let Some(stage) = Stage::with(FakeDomain::running("web", UUID).in_state(0, 0)) else { return };
    let ran = stage.run_with("monitor", &[("CRM_meta_timeout", "2000")]);
    assert_eq!((ran.code, ran.reason()), (1, "Domain web is no state"), "{ran:?}");
}

#[test]
fn a_monitor_of_a_running_guest_is_five_round_trips() {
    let Some(stage) = Stage::empty() else { return };
    assert_eq!(stage.run("start").code, 0);
    let (lookup, state) = (format!("lookup-by-uuid {UUID}"), format!("state {UUID}"));
    let info = format!("info {UUID}");
    let mut expected = vec!["auth-list", "open qemu:///system", &lookup, &state, "close"];
    let no_utilization = [
        ("CRM_meta_interval", "10000"),
        ("autoset_utilization_cpu", "false"),
        ("autoset_utilization_host_memory", "false"),
    ];
    stage.libvirt().world().calls.clear();
    assert_eq!(stage.run_with("monitor", &no_utilization).code, 0);
    assert_eq!(stage.libvirt().world().calls, expected);
    expected.insert(4, &info);
    stage.libvirt().world().calls.clear();
    assert_eq!(stage.recurring().code, 0);
    assert_eq!(stage.libvirt().world().calls, expected, "with its size");
}

#[test]
fn a_guest_whose_process_died_is_not_running() {
    let Some(stage) = Stage::empty() else { return };
    assert_eq!(stage.run("start").code, 0);
    stage.libvirt().world().domains.clear();
    let ran = stage.recurring();
    assert_eq!(ran.code, 7, "{ran:?}");
    assert!(ran.reason().contains("libvirt does not know it"), "{ran:?}");
}

#[test]
fn a_namesake_is_not_our_guest() {
    let Some(stage) = Stage::with(FakeDomain::running("web", OTHER)) else { return };
    assert_eq!(stage.run("monitor").code, 7);
    // Without a UUID in the definition, the name is all there is to go by.
    stage.define("web", None);
    assert_eq!(stage.run("monitor").code, 0);
}

#[test]
fn names_that_look_alike_do_not_match_each_other() {
    let names = [
        ("vm", "vm"),
        ("vm1", "vm1"),
        ("vm-1", "vm-1"),
        ("v.1", "v.1"),
        ("vm+", "vm+"),
        ("a&amp;b", "a&b"),
        ("two words", "two words"),
    ];
    for (running_at, _) in names.iter().enumerate() {
        let Some(stage) = Stage::with(FakeDomain::running(names[running_at].1, OTHER)) else {
            return;
        };
        for (at, (written, _)) in names.iter().enumerate() {
            stage.define(written, None);
            let expected = if at == running_at { 0 } else { 7 };
            assert_eq!(stage.run("monitor").code, expected, "{} as {written}", names[running_at].1);
        }
    }
}

/// With a guest's process: process.rs.
#[test]
fn without_libvirt_and_without_a_process_nothing_runs_and_nothing_starts() {
    let Some(stage) = Stage::without_libvirt() else { return };
    for (action, code) in [("monitor", 7), ("status", 7), ("start", 1), ("stop", 0)] {
        let ran = stage.run_with(action, &[("CRM_meta_timeout", "1500")]);
        assert_eq!(ran.code, code, "{action}: {ran:?}");
        let why = "nobody listens on /run/libvirt/virtqemud-sock";
        assert!(code != 1 || ran.reason().contains(why), "{ran:?}");
        assert!(ran.took < Duration::from_millis(1500), "{action} took {:?}", ran.took);
    }
}

#[test]
fn a_frozen_libvirt_ends_every_action_in_time_with_a_reason() {
    let Some(stage) = Stage::new(World { frozen: true, ..World::default() }) else { return };
    // There is no process, and no start was begun here.
    for (action, code) in [("monitor", 7), ("status", 7), ("start", 1), ("stop", 0)] {
        let ran = stage.run_with(action, &[("CRM_meta_timeout", "1500")]);
        assert_eq!(ran.code, code, "{action}: {ran:?}");
        assert!(code != 1 || ran.reason().contains("did not answer"), "{ran:?}");
        assert!(ran.took < Duration::from_millis(1500), "{action} took {:?}", ran.took);
    }
}

#[test]
fn a_libvirt_that_wants_a_login_is_named() {
    let world = World { authentication: vec![2], ..World::default() };
    let Some(stage) = Stage::new(world) else { return };
    let ran = stage.run("start");
    assert_eq!(ran.code, 1);
    assert!(ran.reason().contains("polkit"), "{ran:?}");
}

#[test]
fn a_question_that_was_refused_or_cut_off_is_not_an_answer() {
    let denied = (88, "access denied: 'QEMU' denied access");
    for call in ["open", "lookup-by-uuid", "lookup-by-name", "state"] {
        let domains = vec![FakeDomain::defined("web", if call == "state" { UUID } else { OTHER })];
        for refuse in [None, Some((call, denied.0, denied.1))] {
            let hang_up_on = refuse.is_none().then_some((call, u32::MAX));
            let is_refused = refuse.is_some();
            let world = World { domains: domains.clone(), refuse, hang_up_on, ..World::default() };
            let Some(stage) = Stage::new(world) else { return };
            // There is no process: with a libvirt that goes away, that is the answer; one that is there has its own.
            for (action, code) in [("monitor", 7), ("status", 7), ("stop", 0)] {
                let ran = stage.run_with(action, &[("CRM_meta_timeout", "1500")]);
                assert_eq!(
                    ran.code,
                    if is_refused { 1 } else { code },
                    "{action}, {call}: {ran:?}"
                );
                assert!(ran.took < Duration::from_millis(1500), "{ran:?}");
            }
        }
    }
}

#[test]
fn a_libvirt_that_is_restarted_during_a_monitor_is_asked_again() {
    let domains = vec![FakeDomain::running("web", UUID)];
    let hang_up_on = Some(("state", 1));
    let Some(stage) = Stage::new(World { domains, hang_up_on, ..World::default() }) else { return };
    assert_eq!(stage.run("monitor").code, 0);
}

/// The number of the latest process in a pid namespace of the agent's own says how many it started.
#[test]
fn a_monitor_of_a_running_guest_starts_no_child_and_reads_no_definition() {
    let Some(mut stage) = Stage::empty() else { return };
    assert_eq!(stage.run("start").code, 0);
    stage.before = "exec unshare --pid --fork --mount-proc sh -c \
        '\"$@\"; code=$?; read last </proc/sys/kernel/ns_last_pid; echo last=$last; exit $code' sh \"$@\""
        .to_owned();
    let last = |action| {
        let ran = stage.run_with(action, &[("CRM_meta_interval", "10000")]);
        assert_eq!(ran.code, 0, "{ran:?}");
        let (_, number) = ran.stdout.rsplit_once("last=").unwrap();
        number.trim().parse::<u32>().unwrap()
    };
    let alone = last("meta-data");
    assert_eq!(last("monitor"), alone);
    // Negative control: validation reads the definition, which a child does.
    assert_eq!(last("validate-all"), alone + 1);
}
