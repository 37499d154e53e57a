//! The cases that the resource-agents project has for this agent (tools/ocft/drbd.linbit), each with the exit codes that are
//! expected there. Invariant tested: whoever goes by those codes can go by ours, but where the stock agent itself does not.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]
#![allow(dead_code, reason = "each test file uses its part of the stage")]

mod stage;

use std::time::Duration;

use duet_drbd::{Disk, Role};
use duet_fake_tools::Answer;
use stage::{Stage, V8, V9, resource};

/// A run there may take this long before it counts as hanging.
const HANG: Duration = Duration::from_secs(20);

/// A case: its name, and one run after the other with its code.
type Case = (&'static str, &'static [(&'static str, i32)]);

const CASES: [Case; 9] = [
    ("validation", &[("validate-all", 0)]),
    ("normal start", &[("start", 0)]),
    ("normal stop", &[("start", 0), ("stop", 0)]),
    ("start twice", &[("start", 0), ("start", 0)]),
    ("stop when stopped", &[("stop", 0)]),
    ("monitor when running", &[("start", 0), ("monitor", 0)]),
    ("monitor when promoted", &[("start", 0), ("promote", 0), ("monitor", 8)]),
    ("monitor when stopped", &[("monitor", 7)]),
    ("an action that is none", &[("no_cmd", 3)]),
];

#[test]
fn the_stock_agents_own_cases_end_in_the_codes_it_expects() {
    for version in [V8, V9] {
        let Some(stage) = Stage::new(version) else { return };
        for (case, runs) in CASES {
            assert_eq!(stage.run("stop").code, 0, "{case}: at the beginning");
            for (action, code) in runs {
                let ran = stage.run(action);
                assert_eq!(ran.code, *code, "{case}: {action}: {ran:?}");
                assert!(ran.took < HANG, "{case}: {ran:?}");
            }
        }
    }
}

#[test]
fn a_wrong_path_of_the_configuration_is_5() {
    let Some(stage) = Stage::new(V9) else { return };
    let ran = stage.run_with("start", &[("drbdconf", "/nonexistent/drbd.conf")]);
    assert_eq!(ran.code, 5, "{ran:?}");
}

/// 6 there; the stock agent says 5, as its file may be broken here and whole elsewhere.
#[test]
fn a_wrong_name_of_the_resource_is_5() {
    let Some(stage) = Stage::new(V9) else { return };
    let unknown = Answer::fails(1, "'r9' not defined in your config (for this host).\n");
    stage.tools.answer("drbdadm", "sh-dev", unknown);
    let ran = stage.run_with("start", &[("drbd_resource", "r9")]);
    assert_eq!(ran.code, 5, "{ran:?}");
}

#[test]
fn promoting_while_the_peer_is_primary_is_1() {
    let theirs = Some((Role::Primary, Disk::UpToDate));
    let r0 = resource(Role::Secondary, Disk::UpToDate, theirs);
    let Some(stage) = Stage::running(V9, r0) else { return };
    let refused = "r0: State change failed: (-1) Multiple primaries not allowed by config\n";
    stage.tools.answer("drbdadm", "primary", Answer::fails(11, refused));
    let ran = stage.run_with("promote", &[("CRM_meta_timeout", "5000")]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.reason().contains("Multiple primaries"), "{ran:?}");
    assert!(stage.tools.calls_of("drbdadm").len() > 1, "it is tried again");
}
