//! Start, promote, demote, stop and notify where something is in the way, by the executable. Invariant tested: what DRBD
//! refuses stays refused, and who is in the way is named.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]
#![allow(dead_code, reason = "each test file uses its part of the stage")]

mod stage;

use std::time::Duration;

use duet_drbd::{Disk, Resource, Role};
use duet_fake_tools::Answer;
use stage::{Ran, Stage, V8, V9, resource, well};

const SHORT: (&str, &str) = ("CRM_meta_timeout", "4000");
const OPEN: &str = "r0: State change failed: (-12) Device is held open by someone\n";
const NO_DATA: &str = "r0: State change failed: (-2) Need access to UpToDate data\n";

fn failed(ran: &Ran, code: i32, says: &str) {
    assert_eq!(ran.code, code, "{ran:?}");
    assert!(ran.reason().contains(says), "{says}: {ran:?}");
}

/// Consistent, as a node that comes up alone is.
fn rebooted() -> Resource {
    resource(Role::Secondary, Disk::Consistent, None)
}

#[test]
fn situation_28_a_device_that_is_open_is_waited_for_and_its_opener_named() {
    let Some(stage) = Stage::running(V9, well(Role::Primary)) else { return };
    let refused = Answer::fails(11, OPEN);
    stage.tools.answer("drbdadm", "secondary", refused.clone());
    stage.tools.answer("drbdsetup", "secondary", refused);
    let volume = stage.kernel.root().join("sys/kernel/debug/drbd/resources/r0/volumes/0");
    std::fs::create_dir_all(&volume).unwrap();
    std::fs::write(volume.join("openers"), "qemu-system-x86\t4711\t2026-11-20\n").unwrap();
    for action in ["stop", "demote"] {
        let ran = stage.run_with(action, &[SHORT]);
        failed(&ran, 1, "held open by qemu-system-x86 4711");
        failed(&ran, 1, "Device is held open by someone");
        assert!(ran.took < Duration::from_secs(4), "{ran:?}");
    }
    assert!(stage.tools.calls_of("drbdadm").len() > 3, "it is tried again and again");
    // Without debugfs there is the kernel's own word.
    std::fs::remove_dir_all(stage.kernel.root().join("sys/kernel/debug")).unwrap();
    stage.kernel.change(|view| {
        let r0 = view.resources.get_mut("r0").unwrap();
        r0.volumes.get_mut(&0).unwrap().open = Some(true);
    });
    failed(&stage.run_with("stop", &[SHORT]), 1, "volume 0 is open");
    // And when it is closed at last, the stop succeeds.
    let twice = [Answer::fails(11, OPEN), Answer::success()];
    stage.tools.answers("drbdadm", "secondary", twice);
    assert_eq!(stage.run("stop").code, 0);
}

#[test]
fn a_promotion_without_data_is_tried_once_and_paced() {
    let Some(stage) = Stage::running(V9, rebooted()) else { return };
    stage.tools.answer("drbdadm", "primary", Answer::fails(17, NO_DATA));
    // The time that there is bounds the 15 s.
    let ran = stage.run_with("promote", &[("CRM_meta_timeout", "5000")]);
    failed(&ran, 1, "Need access to UpToDate data");
    assert!(ran.took > Duration::from_secs(4) && ran.took < Duration::from_secs(5), "{ran:?}");
    assert_eq!(stage.tools.calls_of("drbdadm").len(), 1);
}

#[test]
fn a_promotion_that_says_yes_and_is_none_fails() {
    let Some(stage) = Stage::running(V9, well(Role::Secondary)) else { return };
    stage.tools.on("drbdadm", "primary", ":");
    failed(&stage.run_with("promote", &[SHORT]), 1, "still Secondary");
}

#[test]
fn a_promotion_that_was_killed_and_happened_all_the_same_is_one() {
    let Some(stage) = Stage::running(V9, well(Role::Secondary)) else { return };
    stage.tools.answer("drbdadm", "primary", Answer::fails(20, "timeout\n"));
    let script = std::fs::read_to_string(stage.at("tools/on-drbdadm-primary")).unwrap();
    stage.tools.on("drbdadm", "primary", &script.replace("$CODE = 0", "$CODE = 20"));
    assert_eq!(stage.run("promote").code, 0);
}

#[test]
fn an_unexpected_primary_fails_the_promotion_early_and_takes_the_score() {
    let theirs = Some((Role::Primary, Disk::UpToDate));
    let r0 = resource(Role::Secondary, Disk::UpToDate, theirs);
    let Some(stage) = Stage::running(V9, r0) else { return };
    let refused = Answer::fails(11, "(-1) Multiple primaries not allowed by config\n");
    stage.tools.answer("drbdadm", "primary", refused);
    let early = ("fail_promote_early_if_peer_primary", "true");
    let ran = stage.run_with("promote", &[early, SHORT]);
    failed(&ran, 1, "Primary on node2");
    assert_eq!(stage.scores(), ["-D"]);
}

#[test]
fn a_stop_that_is_refused_by_a_peer_goes_on_trying() {
    let Some(stage) = Stage::running(V9, well(Role::Secondary)) else { return };
    let refused =
        Answer::fails(11, "r0: State change failed: (-10) State change was refused by peer node\n");
    stage.tools.answer("drbdadm", "down", refused.clone());
    stage.tools.answer("drbdsetup", "down", refused);
    failed(&stage.run_with("stop", &[SHORT]), 1, "refused by peer node");
    stage.tools.answer("drbdadm", "down", Answer::success());
    assert_eq!(stage.run("stop").code, 0);
}

#[test]
fn a_start_loads_the_module_with_its_parameters() {
    for version in [V8, V9] {
        let Some(stage) = Stage::new(version) else { return };
        stage.unload();
        let ran = stage.run("start");
        // The machine of the test has no device node any more; what matters is the order.
        assert!(stage.tools.calls_of("modprobe") == ["-s drbd minor_count=32"], "{ran:?}");
    }
}

#[test]
fn a_start_waits_for_device_nodes_and_names_them() {
    let Some(stage) = Stage::new(V9) else { return };
    std::fs::remove_file(stage.kernel.root().join("dev/drbd0")).unwrap();
    failed(&stage.run_with("start", &[SHORT]), 1, "drbd0");
}

#[test]
fn an_attach_that_fails_is_tried_twice() {
    for (version, word) in [(V8, "attach"), (V9, "adjust")] {
        let Some(stage) = Stage::new(version) else { return };
        let failing = Answer::fails(1, "open(/dev/vdb) failed: No such file or directory\n");
        stage.tools.answer("drbdadm", word, failing);
        failed(&stage.run("start"), 1, "open(/dev/vdb) failed");
        let calls = stage.tools.calls_of("drbdadm");
        assert_eq!(calls.iter().filter(|call| call.contains(word)).count(), 2, "{calls:?}");
        stage.tools.answers("drbdadm", word, [Answer::fails(1, ""), Answer::success()]);
        stage.kernel.change(|view| view.resources.clear());
        assert_eq!(stage.run("start").code, 0);
    }
}

#[test]
fn the_promoted_peer_is_connected_first_and_a_floating_one_is_named() {
    let promoted = ("CRM_meta_notify_promoted_uname", "node2");
    for (version, expected) in [
        (V9, &["adjust --skip-net r0", "adjust r0:node2", "adjust r0"][..]),
        (V8, &["--peer node2 adjust r0"]),
    ] {
        let Some(stage) = Stage::new(version) else { return };
        assert_eq!(stage.run_with("start", &[promoted]).code, 0);
        let calls = stage.drbdadm();
        let adjusts: Vec<_> = calls.iter().filter(|call| call.contains("adjust")).collect();
        assert_eq!(adjusts, expected);
    }
}

#[test]
fn a_promoted_peer_that_refuses_is_told_and_not_connected_again() {
    let Some(stage) = Stage::new(V9) else { return };
    stage.adjusting("refuse");
    let promoted = ("CRM_meta_notify_promoted_uname", "node2");
    let both = ("CRM_meta_notify_unpromoted_uname", "node1 node3");
    assert_eq!(stage.run_with("start", &[promoted, both]).code, 0);
    let calls = stage.drbdadm();
    let adjusts: Vec<_> = calls.iter().filter(|call| call.contains("adjust")).collect();
    assert_eq!(adjusts, ["adjust --skip-net r0", "adjust r0:node2", "adjust r0:node3"]);
    assert!(stage.recurring().stderr.contains("StandAlone towards node2"));
}

#[test]
fn a_start_does_not_wait_for_a_peer_longer_than_it_was_told() {
    let Some(stage) = Stage::new(V9) else { return };
    stage.adjusting("call");
    for (patience, least, most) in [("2", 2, 4), ("0", 0, 2)] {
        let ran = stage.run_with("start", &[("wfc_timeout", patience)]);
        assert_eq!(ran.code, 0, "{ran:?}");
        let took = ran.took;
        assert!(took >= Duration::from_secs(least), "{took:?}");
        assert!(took < Duration::from_secs(most), "{took:?}");
        stage.kernel.change(|view| view.resources.clear());
    }
}

#[test]
fn a_stacked_resource_is_found_and_named_as_such() {
    let Some(stage) = Stage::new(V8) else { return };
    let not_here = Answer::fails(1, "'r0' not defined in your config (for this host).\n");
    stage.tools.answer("drbdadm", "sh-dev", not_here);
    stage.tools.answer("drbdadm", "stacked", Answer::prints("/dev/drbd0\n"));
    let ran = stage.run_with("validate-all", &[]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let calls = stage.tools.calls_of("drbdadm");
    assert!(calls[0].ends_with("sh-dev r0") && !calls[0].contains("--stacked"), "{calls:?}");
    assert!(calls[1].ends_with("--stacked sh-dev r0"), "{calls:?}");
    // And it is told so from then on.
    stage.tools.forget();
    let ran = stage.run_with("start", &[("CRM_meta_timeout", "3000")]);
    let calls = stage.tools.calls_of("drbdadm");
    let create = calls.iter().find(|call| call.contains("new-resource"));
    assert!(create.is_some_and(|call| call.contains("--stacked new-resource r0")), "{ran:?}");
}

#[test]
fn a_notification_adjusts_scores_and_outdates_as_it_was_told() {
    let alone = || resource(Role::Secondary, Disk::UpToDate, None);
    let told = |when, operation| {
        [("CRM_meta_notify_type", when), ("CRM_meta_notify_operation", operation)]
    };
    let Some(stage) = Stage::running(V9, alone()) else { return };
    stage.does("drbdadm", "adjust", "attach");
    for (when, operation, adjusts, scores) in [
        ("pre", "start", 1, 0),
        ("post", "start", 1, 1),
        ("pre", "promote", 0, 0),
        ("post", "promote", 0, 1),
        ("post", "demote", 0, 1),
        ("pre", "stop", 0, 0),
        ("post", "stop", 0, 1),
        ("post", "sing", 0, 0),
    ] {
        stage.tools.forget();
        // A score that is known to be in place is not written again.
        let _ = std::fs::remove_file(stage.record());
        assert_eq!(stage.run_with("notify", &told(when, operation)).code, 0);
        let (adm, crm) = (stage.tools.calls_of("drbdadm"), stage.scores());
        assert_eq!((adm.len(), crm.len()), (adjusts, scores), "{when} {operation}: {adm:?}");
    }
    assert_eq!(stage.run_with("notify", &told("post", "stop")).code, 0);
    stage.tools.forget();
    assert_eq!(stage.run_with("notify", &told("post", "stop")).code, 0);
    assert_eq!(stage.scores(), [""; 0], "it is in place");
    let outdate = [
        told("post", "stop").as_slice(),
        &[("stop_outdates_secondary", "true"), ("CRM_meta_notify_promoted_uname", "node2")],
    ]
    .concat();
    stage.tools.forget();
    assert_eq!(stage.run_with("notify", &outdate).code, 0);
    assert!(stage.tools.calls_of("drbdadm")[0].ends_with("outdate r0"));
    // Primary here as well: nothing is done but said.
    stage.kernel.change(|view| view.resources.get_mut("r0").unwrap().role = Role::Primary);
    stage.tools.forget();
    let ran = stage.run_with("notify", &outdate);
    assert_eq!(ran.code, 0);
    assert!(ran.stderr.contains("ERROR") && ran.stderr.contains("diverges"), "{ran:?}");
    assert_eq!(stage.tools.calls_of("drbdadm"), [""; 0]);
}

#[test]
fn half_a_promotion_on_8_4_is_none() {
    const PROC: &str = "version: 8.4.11 (api:1/proto:86-101)\n\
         \x20 0: cs:Connected ro:Primary/Secondary ds:UpToDate/UpToDate C r-----\n\
         \x20 1: cs:Connected ro:ROLE/Secondary ds:UpToDate/UpToDate C r-----\n";
    for (role, code) in [("Secondary", 1), ("Primary", 0)] {
        let Some(stage) = Stage::running(V8, well(Role::Secondary)) else { return };
        stage.kernel.change(|view| {
            let r0 = view.resources.get_mut("r0").unwrap();
            let second = duet_drbd::Volume { minor: Some(1), ..r0.volumes[&0].clone() };
            r0.volumes.insert(1, second);
        });
        std::fs::write(stage.kernel.root().join("proc/drbd"), PROC.replace("ROLE", role)).unwrap();
        stage.tools.answer("drbdadm", "primary", Answer::fails(17, NO_DATA));
        let script = stage.ordering("CODE=0", "primary");
        stage.tools.on("drbdadm", "primary", &format!("{script}\nCODE=17\n"));
        let ran = stage.run_with("promote", &[("CRM_meta_timeout", "4000")]);
        assert_eq!(ran.code, code, "{ran:?}");
        if code == 1 {
            assert!(ran.reason().contains("UpToDate data"), "{ran:?}");
        }
    }
}

#[test]
fn a_promotion_does_not_wait_for_pacemaker_before_it_is_tried_nor_long_after() {
    let theirs = Some((Role::Primary, Disk::UpToDate));
    let r0 = || resource(Role::Secondary, Disk::UpToDate, theirs.clone());
    let early = ("fail_promote_early_if_peer_primary", "true");
    let Some(stage) = Stage::running(V9, r0()) else { return };
    stage.tools.answer("crm_resource", "", Answer::hangs());
    let ran = stage.run_with("promote", &[early]);
    assert!(ran.code == 0 && ran.took < Duration::from_secs(3), "{ran:?}");
    assert_eq!(stage.tools.calls_of("crm_resource"), [""; 0]);
    let Some(stage) = Stage::running(V9, r0()) else { return };
    stage.tools.answer("crm_resource", "", Answer::hangs());
    let refused = Answer::fails(11, "(-1) Multiple primaries not allowed by config\n");
    stage.tools.answers("drbdadm", "primary", [refused, Answer::success()]);
    let ran = stage.run_with("promote", &[early]);
    assert!(ran.code == 0 && ran.took < Duration::from_secs(9), "{ran:?}");
}

#[test]
fn a_connection_that_could_not_be_made_at_first_is_made_when_a_peer_starts() {
    let notify = [
        ("CRM_meta_notify_type", "post"),
        ("CRM_meta_notify_operation", "start"),
        ("CRM_meta_notify_start_uname", "node2"),
    ];
    for version in [V8, V9] {
        let Some(stage) = Stage::new(version) else { return };
        // The address of the replication network is not there yet: the peer is made, and connecting fails.
        let before = "case \" $* \" in *--skip-net*) o=attach;; *) o=refuse; CODE=0;; esac";
        stage.tools.on("drbdadm", "adjust", &stage.ordering(before, "$o"));
        let fails = Answer::fails(10, "Can not assign requested address\n");
        match version {
            V8 => stage.tools.answer("drbdadm", "adjust", fails),
            _ => stage.tools.answers("drbdadm", "adjust", [Answer::success(), fails]),
        }
        assert_eq!(stage.run("start").code, 0);
        let adjusts = |stage: &Stage| {
            let calls = stage.drbdadm();
            calls.iter().filter(|call| call.ends_with("adjust r0")).count()
        };
        let first = adjusts(&stage);
        assert!(first >= 1, "{first}");
        assert!(stage.recurring().stderr.contains("StandAlone towards"));
        stage.tools.forget();
        stage.tools.answer("drbdadm", "adjust", Answer::success());
        assert_eq!(stage.run_with("notify", &notify).code, 0);
        let expected = if version == V8 { "--peer node2 adjust r0" } else { "adjust r0" };
        assert_eq!(stage.drbdadm(), [expected]);
        // Now it was reached, and has refused: that is left alone.
        stage.tools.forget();
        assert_eq!(stage.run_with("notify", &notify).code, 0);
        assert_eq!(stage.drbdadm(), [""; 0]);
    }
}

#[test]
fn what_was_started_stacked_is_called_so_ever_after() {
    let Some(stage) = Stage::new(V8) else { return };
    let not_here = Answer::fails(1, "'r0' not defined in your config (for this host).\n");
    stage.tools.answer("drbdadm", "sh-dev", not_here);
    stage.tools.answer("drbdadm", "stacked", Answer::prints("/dev/drbd0\n"));
    for (word, order) in [("new-resource", "new-resource"), ("attach", "attach")] {
        stage.does("drbdadm", word, order);
    }
    let script = "case \" $* \" in *new-resource*) o=new-resource;; *new-minor*) o=new-minor;; \
         *attach*) o=attach;; *adjust*) o=connect;; *primary*) o=primary;; *) exit 0;; esac";
    stage.tools.on("drbdadm", "stacked", &stage.ordering(script, "$o"));
    let ran = stage.run("start");
    assert_eq!(ran.code, 0, "{ran:?}");
    for action in ["promote", "reload-agent", "demote"] {
        stage.tools.forget();
        let ran = stage.run(action);
        let calls = stage.drbdadm();
        assert!(!calls.is_empty(), "{ran:?}");
        assert!(calls.iter().all(|call| call.starts_with("--stacked ")), "{action}: {calls:?}");
    }
}
