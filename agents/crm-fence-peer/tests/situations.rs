//! The handlers in the situations that a cluster of two or three nodes gets into when a peer is lost, seen from the node that
//! is called. Invariant: every answer is checked together with what the rule allows afterwards.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]

mod stage;

use std::sync::Arc;

use duet_drbd::{Disk, Role};
use duet_fake_tools::Daemons;
use stage::{Stage, V9, cib, fence, only, told, while_it_waits};

const TWO: &[&str] = &["node1", "node2"];
const THREE: &[&str] = &["node1", "node2", "node3"];

#[test]
fn situation_1_a_link_that_is_cut_under_a_primary_bans_the_peer() {
    let Some(stage) = Stage::new(V9, TWO) else { return };
    stage.cut();
    let ran = stage.nodes[0].fence(1, 0x1);
    assert_eq!(told(&stage, &ran), (4, only(&["node1"])), "{ran:?}");
    assert_eq!(stage.cluster.state().pacemaker.applied.len(), 1);
    // The other side sees itself banned by it, whatever its own kernel says.
    stage.nodes[1].lose(&[0]);
    let ran = stage.nodes[1].fence(0, 0x2);
    assert_eq!(told(&stage, &ran), (1, only(&["node1"])), "{ran:?}");
}

#[test]
fn situation_2_a_rule_that_is_there_is_not_written_again() {
    let Some(stage) = Stage::new(V9, TWO) else { return };
    stage.cut();
    assert_eq!(stage.nodes[0].fence(1, 0x1).code, 4);
    let epoch = stage.epoch();
    for _ in 0..3 {
        let ran = stage.nodes[0].fence(1, 0x1);
        assert_eq!(told(&stage, &ran), (4, only(&["node1"])), "{ran:?}");
    }
    assert_eq!((stage.epoch(), stage.cluster.state().pacemaker.patches), (epoch, 1));
}

#[test]
fn situations_3_and_4_the_peer_is_freed_when_it_is_good_again_and_nothing_is_done_twice() {
    let Some(stage) = Stage::new(V9, TWO) else { return };
    stage.rule(&["node1"]);
    let ran = stage.nodes[0].unfence(1, 0x3);
    assert_eq!(told(&stage, &ran), (0, None), "{ran:?}");
    let ran = stage.nodes[0].unfence(1, 0x3);
    assert_eq!(told(&stage, &ran), (0, None), "{ran:?}");
    assert_eq!(stage.nodes[0].called(), ["cibadmin"]);
    assert_eq!(stage.cluster.state().pacemaker.patches, 1);
}

#[test]
fn situation_5_a_peer_that_crashed_is_waited_for_until_it_is_confirmed_down() {
    let Some(stage) = Stage::new(V9, TWO) else { return };
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
fn situation_6_a_peer_that_nobody_confirms_down_leaves_io_frozen_unless_told_otherwise() {
    let Some(stage) = Stage::new(V9, TWO) else { return };
    stage.cut();
    stage.cluster.change(|pacemaker| cib::unclean(&mut pacemaker.cib, 2));
    let node = &stage.nodes[0];
    let ran = fence(node, 1, 0x1, &["--timeout=2"]);
    assert_eq!(told(&stage, &ran), (1, None), "{ran:?}");
    assert!(ran.ending().contains("stonith_admin --confirm"), "{ran:?}");
    let ran = fence(node, 1, 0x1, &["--timeout=2", "--on-timeout=thaw"]);
    assert_eq!(told(&stage, &ran), (5, only(&["node1"])), "{ran:?}");
}

#[test]
fn situation_6_under_resource_only_nothing_is_frozen_and_the_answer_is_loud() {
    let Some(stage) = Stage::new(V9, TWO) else { return };
    stage.cut();
    stage.cluster.change(|pacemaker| cib::unclean(&mut pacemaker.cib, 2));
    let node = &stage.nodes[0];
    node.drbd(|resource| resource.suspended = duet_drbd::Suspended::default());
    node.policy("resource-only");
    let ran = fence(node, 1, 0x1, &["--timeout=2"]);
    assert_eq!(told(&stage, &ran), (5, only(&["node1"])), "{ran:?}");
    assert!(ran.ending().starts_with("WARNING: "), "{ran:?}");
    // One whose policy cannot be read stays as it is.
    stage.cluster.change(|pacemaker| cib::constraints(&mut pacemaker.cib).clear());
    node.tools.answer("drbdadm", "dump-xml", duet_fake_tools::Answer::fails(10, "no"));
    let ran = fence(node, 1, 0x1, &["--timeout=2"]);
    assert_eq!(told(&stage, &ran), (1, None), "{ran:?}");
}

#[test]
fn situation_7_the_survivor_of_a_crash_fences_before_it_is_promoted() {
    let Some(stage) = Stage::new(V9, TWO) else { return };
    stage.nodes[1].lose(&[0]);
    stage.cluster.change(|pacemaker| cib::down(&mut pacemaker.cib, 1));
    let ran = stage.nodes[1].fence(0, 0x2);
    assert_eq!(told(&stage, &ran), (7, only(&["node2"])), "{ran:?}");
}

#[test]
fn situation_8_the_crashed_node_comes_back_alone_and_is_not_promoted() {
    let Some(stage) = Stage::new(V9, TWO) else { return };
    stage.rule(&["node2"]);
    let node = &stage.nodes[0];
    node.lose(&[1]);
    node.drbd(|resource| resource.role = Role::Secondary);
    node.disk(Disk::Consistent);
    let ran = node.fence(1, 0x1);
    assert_eq!(told(&stage, &ran), (1, only(&["node2"])), "{ran:?}");
}

#[test]
fn situation_9_alone_with_data_that_may_be_old_nothing_good_is_said() {
    let Some(stage) = Stage::new(V9, TWO) else { return };
    let node = &stage.nodes[0];
    node.lose(&[1]);
    node.drbd(|resource| resource.role = Role::Secondary);
    node.disk(Disk::Consistent);
    // Never seen since this cluster began.
    stage.cluster.change(|pacemaker| {
        pacemaker.cib.find("/cib/status").unwrap().children.truncate(1);
    });
    let ran = fence(node, 1, 0x1, &["--timeout=2"]);
    assert_eq!(told(&stage, &ran), (5, None), "{ran:?}");
    // Shooting the peer does not make the data better.
    stage.cluster.change(|pacemaker| {
        pacemaker.cib = duet_fake_tools::Xml::parse(&cib::of(TWO));
        cib::down(&mut pacemaker.cib, 2);
    });
    let ran = fence(node, 1, 0x1, &["--timeout=2"]);
    assert_eq!(told(&stage, &ran), (5, None), "{ran:?}");
}

#[test]
fn situation_10_after_the_loss_of_everything_only_the_one_whose_peer_is_confirmed_dead_goes_on() {
    // Two halves, each with a CIB of its own.
    let (Some(winner), Some(loser)) = (Stage::new(V9, TWO), Stage::new(V9, TWO)) else { return };
    winner.cut();
    winner.cluster.change(|pacemaker| cib::unclean(&mut pacemaker.cib, 2));
    let node = &winner.nodes[0];
    let environment = node.environment(1, 0x1, "NetworkFailure");
    let child = node.start("crm-fence-peer", &[], &environment);
    let other = &loser.nodes[1];
    other.lose(&[0]);
    loser.cluster.change(|pacemaker| cib::unclean(&mut pacemaker.cib, 1));
    let ran = fence(other, 0, 0x2, &["--timeout=2"]);
    assert_eq!(told(&loser, &ran), (1, None), "{ran:?}");
    while_it_waits(&winner, node, |cib| cib::down(cib, 2));
    let ran = node.end(child);
    assert_eq!(told(&winner, &ran), (7, only(&["node1"])), "{ran:?}");
}

#[test]
fn situation_11_without_stonith_both_halves_go_on_and_both_say_so_loudly() {
    for (me, number) in [(0_usize, 2), (1, 1)] {
        let Some(stage) = Stage::new(V9, TWO) else { return };
        let (node, peer) = (&stage.nodes[me], 1 - u32::try_from(me).unwrap());
        node.lose(&[peer]);
        node.policy("resource-only");
        stage.cluster.change(|pacemaker| {
            cib::property(&mut pacemaker.cib, "stonith-enabled", "false");
            cib::unclean(&mut pacemaker.cib, number);
        });
        let ran = fence(node, peer, 1 << me, &["--timeout=1"]);
        assert_eq!(told(&stage, &ran), (5, only(&[TWO[me]])), "{ran:?}");
        assert!(ran.ending().starts_with("WARNING: "), "{ran:?}");
        assert!(ran.ending().contains("stonith is disabled"), "{ran:?}");
    }
}

#[test]
fn situation_12_cut_off_from_the_dc_nothing_is_said() {
    let Some(stage) = Stage::new(V9, TWO) else { return };
    stage.cut();
    stage.cluster.change(|pacemaker| pacemaker.side("node1").daemons = Daemons::NoDc);
    let ran = fence(&stage.nodes[0], 1, 0x1, &["--dc-timeout=2"]);
    assert_eq!(told(&stage, &ran), (1, None), "{ran:?}");
    assert!(ran.ending().contains("no DC answered"), "{ran:?}");
}

#[test]
fn situation_13_without_quorum_nothing_is_said_and_nothing_written() {
    for by_membership in [true, false] {
        let Some(stage) = Stage::new(V9, THREE) else { return };
        stage.cut();
        stage.cluster.change(|pacemaker| match by_membership {
            true => pacemaker.side("node1").has_quorum = false,
            false => pacemaker.cib.set("have-quorum", "0"),
        });
        let ran = stage.nodes[0].fence(1, 0x5);
        assert_eq!(told(&stage, &ran), (1, None), "{ran:?}");
        assert!(ran.ending().contains("no quorum"), "{ran:?}");
        assert_eq!(stage.cluster.state().pacemaker.patches, 0);
    }
}

/// Both nodes are Primary and lose each other.
fn dual(stage: &Stage) {
    stage.nodes[1].drbd(|resource| resource.role = Role::Primary);
    stage.nodes[0].lose(&[1]);
    stage.nodes[1].lose(&[0]);
}

#[test]
fn situation_14_of_two_primaries_that_lose_each_other_one_goes_on() {
    let Some(stage) = Stage::new(V9, TWO) else { return };
    dual(&stage);
    let [one, two] = &stage.nodes[..] else { panic!("two nodes") };
    let first = one.start("crm-fence-peer", &[], &one.environment(1, 0x1, "NetworkFailure"));
    let second = two.start("crm-fence-peer", &[], &two.environment(0, 0x2, "NetworkFailure"));
    let (first, second) = (one.end(first), two.end(second));
    let mut codes = [first.code, second.code];
    codes.sort_unstable();
    assert_eq!(codes, [1, 4], "{first:?} {second:?}");
    let winner = if first.code == 4 { "node1" } else { "node2" };
    assert_eq!(stage.allowed(), only(&[winner]));
    assert_eq!(stage.cluster.state().pacemaker.applied.len(), 1);
}

#[test]
fn situation_15_whose_change_comes_second_looks_again_and_finds_itself_banned() {
    let Some(stage) = Stage::new(V9, TWO) else { return };
    dual(&stage);
    stage.cluster.before_patch(|pacemaker, number| {
        if number == 0 {
            cib::place(&mut pacemaker.cib, &["node2"], "Master");
            pacemaker.touch();
        }
    });
    let ran = stage.nodes[0].fence(1, 0x1);
    assert_eq!(told(&stage, &ran), (1, only(&["node2"])), "{ran:?}");
    assert!(ran.ending().contains("bans this node itself"), "{ran:?}");
}

#[test]
fn situation_16_a_link_that_recovers_meanwhile_leaves_no_rule() {
    let Some(stage) = Stage::new(V9, TWO) else { return };
    stage.cut();
    let node = Arc::clone(&stage.nodes[0]);
    stage.cluster.before_patch(move |_, number| {
        if number == 0 {
            node.regain(1);
        }
    });
    let ran = stage.nodes[0].fence(1, 0x1);
    assert_eq!(told(&stage, &ran), (1, None), "{ran:?}");
    let applied = stage.cluster.state().pacemaker.applied.len();
    assert_eq!(applied, 2, "written, and removed again");
}

#[test]
fn situation_17_a_link_that_comes_and_goes_meanwhile_leaves_a_rule_that_the_second_call_finds() {
    let Some(stage) = Stage::new(V9, TWO) else { return };
    stage.cut();
    let node = Arc::clone(&stage.nodes[0]);
    stage.cluster.before_patch(move |_, number| {
        if number == 0 {
            node.regain(1);
            node.lose(&[1]);
        }
    });
    let ran = stage.nodes[0].fence(1, 0x1);
    assert_eq!(told(&stage, &ran), (4, only(&["node1"])), "{ran:?}");
    let ran = stage.nodes[0].fence(1, 0x1);
    assert_eq!(told(&stage, &ran), (4, only(&["node1"])), "{ran:?}");
    assert_eq!(stage.cluster.state().pacemaker.patches, 1);
}

#[test]
fn situations_18_to_21_by_the_worth_of_own_data() {
    for (disk, is_down, expected) in [
        (Disk::Consistent, false, (4, only(&["node1"]))),
        (Disk::Consistent, true, (5, None)),
        (Disk::Attaching, false, (5, None)),
        (Disk::Negotiating, false, (5, None)),
        (Disk::Inconsistent, false, (5, None)),
    ] {
        let Some(stage) = Stage::new(V9, TWO) else { return };
        let node = &stage.nodes[0];
        node.lose(&[1]);
        node.drbd(|resource| resource.role = Role::Secondary);
        node.disk(disk.clone());
        if is_down {
            stage.cluster.change(|pacemaker| cib::down(&mut pacemaker.cib, 2));
        }
        let ran = node.fence(1, 0x1);
        assert_eq!(told(&stage, &ran), expected, "{disk} {ran:?}");
    }
    // One volume good and one not: 5 would say that the good one makes the peer outdated.
    let Some(stage) = Stage::new(V9, TWO) else { return };
    stage.cut();
    stage.nodes[0].drbd(|resource| {
        let mut bad = resource.volumes[&0].clone();
        (bad.disk, bad.minor) = (Disk::Inconsistent, Some(1));
        resource.volumes.insert(1, bad);
    });
    let ran = stage.nodes[0].fence(1, 0x1);
    assert_eq!(told(&stage, &ran), (1, None), "{ran:?}");
}
