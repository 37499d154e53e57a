//! The handlers in the situations that a cluster of two or three nodes can get into, seen from one node. Invariant: every
//! answer is checked together with what the rule allows afterwards.
#![allow(clippy::unwrap_used, reason = "tests")]

mod stage;

use stage::{Stage, V9, cib};

/// Situation 1.
#[test]
fn a_link_that_is_cut_under_a_primary_bans_the_peer_that_the_cluster_can_reach() {
    let Some(stage) = Stage::new(V9, &["node1", "node2"]) else { return };
    stage.cut();
    let ran = stage.nodes[0].fence(1, 0x1);
    assert_eq!((ran.code, stage.allowed()), (4, Some(vec!["node1".to_owned()])), "{ran:?}");
}

/// Situation 3.
#[test]
fn a_link_that_is_back_frees_the_peer() {
    let Some(stage) = Stage::new(V9, &["node1", "node2"]) else { return };
    stage.rule(&["node1"]);
    let ran = stage.nodes[0].unfence(1, 0x3);
    assert_eq!((ran.code, stage.allowed()), (0, None), "{ran:?}");
    let _ = cib::RULE;
}
