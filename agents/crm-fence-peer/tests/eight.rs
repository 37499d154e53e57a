//! The same handlers under DRBD 8.4, whose environment names the peer and no node ids. Invariant: no part of the answer is
//! different except where the kernel's information is.
#![allow(clippy::unwrap_used, reason = "tests")]

mod stage;

use duet_drbd::{Disk, Role};
use stage::{Stage, V8, but, cib};

const TWO: &[&str] = &["node1", "node2"];

fn only(name: &str) -> Option<Vec<String>> {
    Some(vec![name.to_owned()])
}

#[test]
fn a_cut_and_its_end_are_answered_as_under_9_whatever_the_script_is_called() {
    for suffix in ["", ".sh", ".9.sh"] {
        let Some(stage) = Stage::new(V8, TWO) else { return };
        stage.cut();
        let node = &stage.nodes[0];
        let environment = node.environment(1, 0, "");
        let ran = node.run(&format!("crm-fence-peer{suffix}"), &[], &environment);
        assert_eq!((ran.code, stage.allowed()), (4, only("node1")), "{ran:?}");
        // As the stock handler of 8.4 names it in the same place.
        let cib = stage.cluster.cib().to_string();
        assert!(cib.contains("id=\"drbd-fence-by-handler-r0-expr-0-ms_r0\""), "{cib}");
        let ran = node.run(&format!("crm-fence-peer{suffix}"), &[], &environment);
        assert_eq!((ran.code, stage.cluster.state().pacemaker.patches), (4, 1), "{ran:?}");
        // While the peer is only connected, and not good yet, it stays banned.
        node.regain(1);
        node.drbd(|resource| {
            let peer = resource.peers.get_mut(&0).unwrap();
            peer.volumes.get_mut(&0).unwrap().disk = Disk::Inconsistent;
        });
        let ran = node.run(&format!("crm-unfence-peer{suffix}"), &[], &environment);
        assert_eq!((ran.code, stage.allowed()), (0, only("node1")), "{ran:?}");
        node.regain(1);
        let ran = node.run(&format!("crm-unfence-peer{suffix}"), &[], &environment);
        assert_eq!((ran.code, stage.allowed()), (0, None), "{ran:?}");
    }
}

#[test]
fn the_handler_after_a_resync_which_is_called_on_the_target_may_unfence_as_well() {
    let Some(stage) = Stage::new(V8, TWO) else { return };
    stage.rule(&["node1"]);
    // The target is banned: it is not for it to say that it is good.
    let target = &stage.nodes[1];
    let mut environment = target.environment(0, 0, "");
    environment.push(("DRBD_VOLUME".into(), "0".into()));
    environment.push(("DRBD_LL_DISK".into(), "/dev/vdb".into()));
    let ran = target.run("crm-unfence-peer.sh", &[], &environment);
    assert_eq!((ran.code, stage.allowed()), (0, only("node1")), "{ran:?}");
    let ran = stage.nodes[0].unfence(1, 0);
    assert_eq!((ran.code, stage.allowed()), (0, None), "{ran:?}");
}

#[test]
fn a_crashed_peer_is_waited_for_and_a_lone_old_node_is_not_promoted() {
    let Some(stage) = Stage::new(V8, TWO) else { return };
    stage.cut();
    stage.cluster.change(|pacemaker| cib::unclean(&mut pacemaker.cib, 2));
    let node = &stage.nodes[0];
    let child = node.start("crm-fence-peer.sh", &[], &node.environment(1, 0, ""));
    node.looked(2);
    stage.cluster.change(|pacemaker| {
        cib::down(&mut pacemaker.cib, 2);
        pacemaker.touch();
    });
    let ran = node.end(child);
    assert_eq!((ran.code, stage.allowed()), (7, only("node1")), "{ran:?}");

    let Some(stage) = Stage::new(V8, TWO) else { return };
    stage.cut();
    let node = &stage.nodes[0];
    node.drbd(|resource| resource.role = Role::Secondary);
    node.disk(Disk::Consistent);
    stage.cluster.change(|pacemaker| cib::down(&mut pacemaker.cib, 2));
    let ran = node.fence(1, 0);
    assert_eq!((ran.code, stage.allowed()), (5, None), "{ran:?}");
}

#[test]
fn a_floating_peer_is_the_only_other_node_or_nobody() {
    let floating = |node: &stage::Node| {
        let environment = but(node.environment(1, 0, ""), "DRBD_PEERS", None);
        but(environment, "DRBD_PEER", None)
    };
    let Some(stage) = Stage::new(V8, TWO) else { return };
    stage.cut();
    let node = &stage.nodes[0];
    let ran = node.run("crm-fence-peer.sh", &[], &floating(node));
    assert_eq!((ran.code, stage.allowed()), (4, only("node1")), "{ran:?}");

    // Of two others, who knows.
    let Some(stage) = Stage::with(V8, TWO, &cib::of(&["node1", "node2", "node3"])) else { return };
    stage.cut();
    let node = &stage.nodes[0];
    let ran = node.run("crm-fence-peer.sh", &["--timeout=1"], &floating(node));
    assert_eq!((ran.code, stage.allowed()), (1, None), "{ran:?}");
}
