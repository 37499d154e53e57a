//! The tables, row by row and over the product of facts. Invariant: each test names what it claims.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::*;
use crate::facts::{
    Cluster, Data, Kernel, Local, Member, Members, Peer, Rule, Seen, Standing, Volume,
};

/// node1 (0) is UpToDate and Primary, has lost node2 (1), which the cluster reaches; there is no rule.
fn lost() -> (Asked, Seen) {
    let asked = Asked {
        mode: Mode::Fence,
        resource: "r0".into(),
        me: Some(0),
        peer: Some(1),
        is_refused: false,
        mask: Some(Mask(BTreeSet::from([0]))),
        options: Options::default(),
    };
    let gone =
        Peer { is_connected: false, is_primary: false, is_up_to_date: false, is_client: false };
    let local = Local {
        is_primary: true,
        is_frozen: true,
        volumes: BTreeMap::from([(0, Volume { data: Data::UpToDate, is_client: false })]),
        peers: BTreeMap::from([(1, gone)]),
    };
    let node2 =
        Member { name: Some("node2".into()), standing: Standing::Online, answers: Some(true) };
    let members = Members {
        version: Version { admin_epoch: 0, epoch: 7, num_updates: 3 },
        has_quorum: true,
        has_stonith: true,
        me: "node1".into(),
        rule: None,
        peers: BTreeMap::from([(1, node2)]),
    };
    let seen = Seen {
        kernel: Kernel::Known(local),
        cluster: Cluster::Known(members),
        policy: None,
        elapsed: Duration::from_millis(5),
    };
    (asked, seen)
}

fn members(seen: &mut Seen) -> &mut Members {
    match &mut seen.cluster {
        Cluster::Known(members) => members,
        _ => unreachable!(),
    }
}

#[test]
fn a_reachable_peer_is_banned_and_then_declared_outdated() {
    let (asked, mut seen) = lost();
    let Next::Do(Step::Write { allowed, placed, .. }) = fence(&asked, &seen, &Progress::default())
    else {
        panic!("no rule is written");
    };
    assert_eq!(allowed, BTreeSet::from(["node1".to_owned()]));
    members(&mut seen).rule = Some(Rule { allowed });
    let progress = Progress { placed, ..Progress::default() };
    let Next::Done(answer) = fence(&asked, &seen, &progress) else { panic!("no answer") };
    assert_eq!(answer.code, Code::PeerBanned);
}
