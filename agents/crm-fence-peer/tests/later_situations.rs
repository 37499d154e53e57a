//! The handlers in the situations that follow the loss of a peer: its return, other peers, other calls and rules of before,
//! and a handler that is killed. Invariant: as in situations.rs.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]

mod stage;

use std::sync::{
    Arc,
    atomic::{AtomicI32, Ordering},
};

use duet_drbd::Disk;
use duet_fake_tools::{Controller, Daemons};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use stage::{Stage, V9, cib, fence, only, told, while_it_waits};

const TWO: &[&str] = &["node1", "node2"];
const THREE: &[&str] = &["node1", "node2", "node3"];

#[test]
fn situation_22_the_mask_of_a_moment_ago_frees_nobody() {
    let Some(stage) = Stage::new(V9, TWO) else { return };
    stage.rule(&["node1"]);
    let node = &stage.nodes[0];
    node.drbd(|resource| {
        let peer = resource.peers.get_mut(&1).unwrap();
        peer.volumes.get_mut(&0).unwrap().disk = Disk::Inconsistent;
    });
    let ran = node.unfence(1, 0x3);
    assert_eq!(told(&stage, &ran), (0, only(&["node1"])), "{ran:?}");
    assert_eq!(stage.cluster.state().pacemaker.patches, 0);
}

#[test]
fn situation_23_an_unfence_never_removes_a_rule_that_it_did_not_look_at() {
    let Some(stage) = Stage::new(V9, TWO) else { return };
    stage.rule(&["node1"]);
    let node = Arc::clone(&stage.nodes[0]);
    stage.cluster.before_patch(move |pacemaker, number| {
        if number == 0 {
            // The link is lost again, and a new fence-peer call has confirmed the rule.
            node.lose(&[1]);
            pacemaker.touch();
        }
    });
    let ran = stage.nodes[0].unfence(1, 0x3);
    assert_eq!(told(&stage, &ran), (0, only(&["node1"])), "{ran:?}");
    assert!(stage.cluster.state().pacemaker.applied.is_empty());
}

#[test]
fn without_quorum_nobody_is_freed() {
    for by_membership in [true, false] {
        let Some(stage) = Stage::new(V9, TWO) else { return };
        stage.rule(&["node1"]);
        stage.cluster.change(|pacemaker| match by_membership {
            true => pacemaker.side("node1").has_quorum = false,
            false => pacemaker.cib.set("have-quorum", "0"),
        });
        let node = &stage.nodes[0];
        let environment = node.environment(1, 0x3, "Connected");
        let ran = node.run("crm-unfence-peer", &["--dc-timeout=1"], &environment);
        assert_eq!(told(&stage, &ran), (1, only(&["node1"])), "{ran:?}");
    }
}

#[test]
fn situation_23_drbd_is_asked_after_the_cib_was_read() {
    // The link is lost and the peer banned, between the call and the answer with the CIB: whoever had asked DRBD before would
    // remove that rule, in the very version in which it was written.
    let Some(stage) = Stage::new(V9, TWO) else { return };
    let node = Arc::clone(&stage.nodes[0]);
    stage.cluster.before_query(move |pacemaker, number| {
        if number == 0 {
            node.lose(&[1]);
            cib::place(&mut pacemaker.cib, &["node1"], "Master");
            pacemaker.touch();
        }
    });
    let ran = stage.nodes[0].unfence(1, 0x3);
    assert_eq!(told(&stage, &ran), (0, only(&["node1"])), "{ran:?}");
}

#[test]
fn situation_24_of_three_nodes_only_the_one_that_is_good_again_is_freed() {
    let Some(stage) = Stage::new(V9, THREE) else { return };
    stage.rule(&["node1"]);
    stage.nodes[0].lose(&[2]);
    let ran = stage.nodes[0].unfence(1, 0x3);
    assert_eq!(told(&stage, &ran), (0, only(&["node1", "node2"])), "{ran:?}");
    // One expression was added, with DRBD's node id in its name.
    let cib = stage.cluster.cib().to_string();
    assert!(cib.contains("id=\"drbd-fence-by-handler-r0-expr-1-ms_r0\""), "{cib}");
}

#[test]
fn situation_25_a_third_node_that_is_unclean_is_waited_for_though_it_is_banned() {
    let Some(stage) = Stage::new(V9, THREE) else { return };
    stage.rule(&["node1", "node3"]);
    let node = &stage.nodes[0];
    node.lose(&[1, 2]);
    stage.cluster.change(|pacemaker| cib::unclean(&mut pacemaker.cib, 3));
    let ran = fence(node, 2, 0x1, &["--timeout=2"]);
    assert_eq!((ran.code, stage.cluster.state().pacemaker.patches), (1, 0), "{ran:?}");
    let child = node.start("crm-fence-peer", &[], &node.environment(2, 0x1, "NetworkFailure"));
    while_it_waits(&stage, node, |cib| cib::down(cib, 3));
    let ran = node.end(child);
    assert_eq!(told(&stage, &ran), (7, only(&["node1"])), "{ran:?}");
}

#[test]
fn situation_32_with_pacemaker_stopped_nothing_is_said_and_the_answer_is_in_time() {
    let Some(stage) = Stage::new(V9, TWO) else { return };
    stage.cut();
    stage.cluster.change(|pacemaker| pacemaker.side("node1").daemons = Daemons::Stopped);
    let ran = fence(&stage.nodes[0], 1, 0x1, &["--dc-timeout=2"]);
    assert_eq!(told(&stage, &ran), (1, None), "{ran:?}");
    assert!(ran.ending().contains("Not connected"), "{ran:?}");
    // The local copy is not asked for where nobody listens.
    let calls = stage.nodes[0].tools.calls_of("cibadmin");
    assert!(calls.iter().all(|call| !call.contains("-l")), "{calls:?}");
}

#[test]
fn situations_34_and_39_a_rule_is_known_by_its_meaning_and_can_be_removed() {
    for role in ["Master", "Promoted"] {
        let Some(stage) = Stage::new(V9, TWO) else { return };
        stage.cluster.change(|pacemaker| {
            cib::place(&mut pacemaker.cib, &["NODE1"], role);
            let rule = &mut cib::constraints(&mut pacemaker.cib)[0];
            rule.attributes.reverse();
            rule.children[0].attributes.reverse();
            rule.children[0].children[0].attributes.reverse();
        });
        stage.cut();
        let ran = stage.nodes[0].fence(1, 0x1);
        assert_eq!(told(&stage, &ran), (4, only(&["NODE1"])), "{ran:?}");
        assert_eq!(stage.cluster.state().pacemaker.patches, 0);
        stage.nodes[0].regain(1);
        let ran = stage.nodes[0].unfence(1, 0x3);
        assert_eq!(told(&stage, &ran), (0, None), "{ran:?}");
    }
}

#[test]
fn situation_35_a_handler_that_is_killed_leaves_all_or_nothing_and_can_be_run_again() {
    // While it asks.
    let Some(stage) = Stage::new(V9, TWO) else { return };
    stage.cut();
    stage.cluster.change(|pacemaker| pacemaker.side("node2").controller = Controller::Hung);
    let node = &stage.nodes[0];
    let environment = node.environment(1, 0x1, "NetworkFailure");
    let child = node.start("crm-fence-peer", &[], &environment);
    while !node.called().contains(&"crmadmin".to_owned()) {
        std::thread::yield_now();
    }
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGKILL).unwrap();
    assert_eq!((node.end(child).code, stage.allowed()), (-1, None));
    stage.cluster.change(|pacemaker| pacemaker.side("node2").controller = Controller::Well);
    let ran = node.fence(1, 0x1);
    assert_eq!(told(&stage, &ran), (4, only(&["node1"])), "{ran:?}");

    // While it writes.
    let Some(stage) = Stage::new(V9, TWO) else { return };
    stage.cut();
    let node = &stage.nodes[0];
    let process = Arc::new(AtomicI32::new(0));
    let victim = Arc::clone(&process);
    stage.cluster.before_patch(move |_, number| {
        while number == 0 && victim.load(Ordering::SeqCst) == 0 {
            std::thread::yield_now();
        }
        if number == 0 {
            kill(Pid::from_raw(victim.load(Ordering::SeqCst)), Signal::SIGKILL).unwrap();
        }
    });
    let child = node.start("crm-fence-peer", &[], &environment);
    process.store(i32::try_from(child.id()).unwrap(), Ordering::SeqCst);
    assert_eq!(node.end(child).code, -1);
    let ran = node.fence(1, 0x1);
    assert_eq!(told(&stage, &ran), (4, only(&["node1"])), "{ran:?}");
    assert_eq!(stage.cluster.state().pacemaker.applied.len(), 1);
}

#[test]
fn situation_36_a_promotion_that_was_under_way_ends_at_the_rule_of_the_other() {
    let Some(stage) = Stage::new(V9, TWO) else { return };
    stage.rule(&["node1"]);
    let node = &stage.nodes[1];
    node.lose(&[0]);
    // What 9 says of a Secondary that was cut off.
    node.disk(Disk::UpToDate);
    let ran = node.fence(0, 0x2);
    assert_eq!(told(&stage, &ran), (1, only(&["node1"])), "{ran:?}");
}

#[test]
fn situation_38_a_rule_that_is_tighter_than_wanted_is_good_enough() {
    let Some(stage) = Stage::new(V9, THREE) else { return };
    stage.rule(&["node1"]);
    stage.nodes[0].lose(&[2]);
    let ran = stage.nodes[0].fence(2, 0x3);
    assert_eq!(told(&stage, &ran), (4, only(&["node1"])), "{ran:?}");
    assert_eq!(stage.cluster.state().pacemaker.patches, 0);
}

#[test]
fn situation_40_a_rule_from_before_is_no_proof_that_the_peer_is_dead_now() {
    let Some(stage) = Stage::new(V9, TWO) else { return };
    stage.rule(&["node1"]);
    stage.cut();
    stage.cluster.change(|pacemaker| cib::unclean(&mut pacemaker.cib, 2));
    let node = &stage.nodes[0];
    let child = node.start("crm-fence-peer", &[], &node.environment(1, 0x1, "NetworkFailure"));
    while_it_waits(&stage, node, |cib| cib::down(cib, 2));
    let ran = node.end(child);
    assert_eq!(told(&stage, &ran), (7, only(&["node1"])), "{ran:?}");
    assert!(ran.log.iter().any(|line| line.contains("waiting for the peer")), "{ran:?}");
}

#[test]
fn a_split_brain_declares_nobody_outdated() {
    let Some(stage) = Stage::new(V9, TWO) else { return };
    stage.cut();
    let node = &stage.nodes[0];
    let environment = node.environment(1, 0x1, "Disconnecting");
    let ran = node.run("crm-fence-peer.9.sh", &[], &environment);
    assert_eq!(told(&stage, &ran), (1, only(&["node1"])), "{ran:?}");
    assert!(ran.ending().contains("split brain"), "{ran:?}");
}
