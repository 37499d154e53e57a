//! The driving loop under a clock that only sleeping moves: every operation ends, with a defined code
//! and a reason, and says nothing where there is nothing to say.

mod demo;

use demo::{World, run, run_on};
use duet_ocf::{ExitCode, Level, SHORTEST_WAIT, VirtualHost};
use std::time::Duration;

const CONFIG: (&str, &str) = ("OCF_RESKEY_config", "/etc/demo1");

#[test]
fn success_is_seen_and_silent() {
    let (code, agent, host) = run(World::Obeys { looks: 3 }, "start", &[CONFIG]);
    assert_eq!(code, ExitCode::Ok);
    assert_eq!((agent.steps, agent.looks), (1, 4));
    assert_eq!(host.err, [""; 0]);
    assert_eq!(host.log, [(Level::Info, "Started demo1".to_owned())]);
}

#[test]
fn expiry_names_what_was_waited_for_and_keeps_the_reserve() {
    let timeout = ("OCF_RESKEY_CRM_meta_timeout", "20000");
    let (code, _, host) = run(World::Stuck, "start", &[CONFIG, timeout]);
    assert_eq!(code, ExitCode::Generic);
    assert_eq!(host.err, ["ocf-exit-reason:Timed out after 19.0 s waiting for demo1 to run"]);
    assert_eq!(host.clock(), Duration::from_secs(19));
    // Two whole pauses and what the deadline left of the third.
    assert_eq!(host.naps, [7, 7, 5].map(Duration::from_secs));
}

#[test]
fn the_table_gives_the_timeout_that_the_caller_did_not() {
    for missing in [&[CONFIG][..], &[CONFIG, ("OCF_RESKEY_CRM_meta_timeout", "0")]] {
        let (_, _, host) = run(World::Stuck, "start", missing);
        assert_eq!(host.clock(), Duration::from_secs(88));
    }
}

#[test]
fn a_pause_of_nothing_is_not_a_busy_loop() {
    let timeout = ("OCF_RESKEY_CRM_meta_timeout", "1000");
    let (code, agent, host) = run(World::Impatient, "start", &[CONFIG, timeout]);
    assert_eq!(code, ExitCode::Generic);
    assert_eq!(host.naps[0], SHORTEST_WAIT);
    assert!(agent.looks < 100, "{} looks", agent.looks);
}

#[test]
fn deciding_in_circles_ends() {
    let (code, agent, host) = run(World::Circles, "start", &[CONFIG]);
    assert_eq!(code, ExitCode::Generic);
    assert_eq!(agent.steps, duet_ocf::DO_WITHOUT_WAIT_LIMIT);
    assert_eq!(host.err, ["ocf-exit-reason:Gave up: start demo1 is decided over and over"]);
}

#[test]
fn a_failed_step_can_be_tried_again() {
    let (code, agent, host) = run(World::RefusesOnce, "start", &[CONFIG]);
    assert_eq!((code, agent.steps), (ExitCode::Ok, 2));
    assert_eq!(host.err, [""; 0]);
}

#[test]
fn a_world_that_cannot_be_seen_is_an_error_never_not_running() {
    for action in ["start", "stop", "monitor", "notify", "validate-all", "reload-agent"] {
        let (code, _, host) = run(World::Unreachable, action, &[CONFIG]);
        assert_eq!(code, ExitCode::Generic, "{action}");
        assert_eq!(host.err, ["ocf-exit-reason:Could not look at demo1"], "{action}");
        assert_eq!(host.log, [(Level::Error, "Could not look at demo1".to_owned())], "{action}");
    }
}

#[test]
fn unknown_actions_are_unimplemented_and_print_nothing() {
    for action in ["reload", "promote", "migrate_to", "status", "START", "--help", "methods"] {
        let (code, agent, host) = run(World::Stuck, action, &[]);
        assert_eq!(code, ExitCode::Unimplemented, "{action}");
        assert_eq!(host.out, "", "{action}");
        assert_eq!(host.err, [format!("ocf-exit-reason:{action}: action not supported")]);
        assert_eq!(agent.looks, 0);
    }
}

#[test]
fn no_action_gives_the_usage_on_stderr() {
    let (code, _, host) = run(World::Stuck, "", &[]);
    assert_eq!(code, ExitCode::Unimplemented);
    assert_eq!(host.out, "");
    assert!(host.err[0].starts_with("usage: Demo {start|stop|monitor|"), "{:?}", host.err);
}

#[test]
fn meta_data_and_usage_need_no_parameters_and_never_look() {
    for (action, begin) in [("meta-data", "<?xml"), ("usage", "usage: Demo")] {
        let (code, agent, host) = run(World::Unreachable, action, &[]);
        assert_eq!((code, agent.looks), (ExitCode::Ok, 0));
        assert!(host.out.starts_with(begin));
        assert_eq!((host.err.len(), host.log.len()), (0, 0));
    }
}

#[test]
fn further_arguments_are_ignored() {
    let (code, ..) = run(World::Obeys { looks: 0 }, "start now please", &[CONFIG]);
    assert_eq!(code, ExitCode::Ok);
}

#[test]
fn not_running_has_a_reason_only_where_it_is_news() {
    let (code, _, probe) = run(World::Stuck, "monitor", &[CONFIG]);
    assert_eq!((code, probe.err.len()), (ExitCode::NotRunning, 0));
    let interval = ("OCF_RESKEY_CRM_meta_interval", "10000");
    let (code, _, recurring) = run(World::Stuck, "monitor", &[CONFIG, interval]);
    assert_eq!(code, ExitCode::NotRunning);
    assert_eq!(recurring.err, ["ocf-exit-reason:demo1 was not there"]);
}

#[test]
fn the_last_look_counts() {
    let timeout = ("OCF_RESKEY_CRM_meta_timeout", "20000");
    let (code, agent, host) = run(World::Obeys { looks: 4 }, "start", &[CONFIG, timeout]);
    assert_eq!((code, agent.looks, host.clock()), (ExitCode::Ok, 5, Duration::from_secs(19)));
    let (code, ..) = run(World::Obeys { looks: 5 }, "start", &[CONFIG, timeout]);
    assert_eq!(code, ExitCode::Generic);
}

#[test]
fn no_step_begins_after_the_deadline() {
    let timeout = ("OCF_RESKEY_CRM_meta_timeout", "20000");
    let slow = VirtualHost::ticking(Duration::from_secs(1));
    let (code, agent, host) = run_on(slow, World::Circles, "start", &[CONFIG, timeout]);
    assert_eq!(code, ExitCode::Generic);
    assert!(agent.steps < 20, "{} steps", agent.steps);
    let [reason] = &host.err[..] else { panic!("{:?}", host.err) };
    assert!(reason.ends_with(" s waiting for the chance to start demo1"), "{reason}");
}

#[test]
fn those_who_only_ask_change_nothing_whatever_is_decided() {
    let interval = ("OCF_RESKEY_CRM_meta_interval", "10000");
    for action in ["monitor", "validate-all"] {
        let (code, agent, host) = run(World::Meddles, action, &[CONFIG]);
        assert_eq!((code, agent.steps), (ExitCode::Generic, 0), "{action}");
        assert!(host.err[0].contains("must not start demo1"), "{:?}", host.err);
    }
    let (_, agent, _) = run(World::Meddles, "monitor", &[CONFIG, interval]);
    assert_eq!(agent.steps, 1, "a recurring monitor may keep an attribute up to date");
}
