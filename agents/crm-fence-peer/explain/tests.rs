//! Explanations, and what they are derived from. Invariant: each test names what it claims.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::*;
use crate::{
    decide::{Late, Mask, Mode, OnTimeout, Options, decide},
    facts::{Data, Local, Member, Members, Peer, Policy, Rule, Standing, Version, Volume},
};

/// node1 (0) is UpToDate and Primary and frozen, has lost node2 (1), which the cluster reaches; there is no rule.
pub(crate) fn lost() -> (Asked, Seen) {
    let asked = Asked {
        mode: Mode::Fence,
        resource: "r0".into(),
        me: Some(0),
        peer: Some(1),
        is_refused: false,
        mask: Some(Mask(BTreeSet::from([0]))),
        late: Late::Nothing,
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

pub(crate) fn members(seen: &mut Seen) -> &mut Members {
    match &mut seen.cluster {
        Cluster::Known(members) => members,
        _ => unreachable!(),
    }
}

fn local(seen: &mut Seen) -> &mut Local {
    match &mut seen.kernel {
        Kernel::Known(local) => local,
        _ => unreachable!(),
    }
}

fn explained(asked: &Asked, seen: &Seen) -> Explanation {
    let progress = Progress::default();
    explain(asked, seen, &progress, &decide(asked, seen, &progress))
}

/// Looks of all kinds, for both handlers.
fn looks() -> Vec<(Asked, Seen)> {
    let mut looks = Vec::new();
    for mode in [Mode::Fence, Mode::Unfence] {
        for data in [Data::UpToDate, Data::Consistent, Data::Bad] {
            for (standing, answers) in [
                (Standing::Online, None),
                (Standing::Online, Some(false)),
                (Standing::Online, Some(true)),
                (Standing::Down, None),
                (Standing::WillBeFenced, None),
                (Standing::Offline, None),
                (Standing::NotSeen, None),
            ] {
                for rule in [None, Some("node1"), Some("node2")] {
                    for bits in 0_u32..64 {
                        let (mut asked, mut seen) = lost();
                        asked.mode = mode;
                        asked.is_refused = bits & 32 != 0;
                        let kernel = local(&mut seen);
                        kernel.is_primary = bits & 1 != 0;
                        kernel.is_frozen = bits & 2 != 0;
                        for peer in kernel.peers.values_mut() {
                            (peer.is_connected, peer.is_up_to_date) =
                                (bits & 4 != 0, bits & 4 != 0);
                        }
                        for volume in kernel.volumes.values_mut() {
                            volume.data = data;
                        }
                        let cluster = members(&mut seen);
                        cluster.has_quorum = bits & 8 != 0;
                        cluster.has_stonith = bits & 16 != 0;
                        let allowed = |node: &str| BTreeSet::from([node.to_owned()]);
                        cluster.rule = rule.map(|node| Rule { allowed: allowed(node) });
                        for member in cluster.peers.values_mut() {
                            (member.standing, member.answers) = (standing, answers);
                        }
                        looks.push((asked, seen));
                    }
                }
            }
        }
    }
    looks
}

/// The facts that would lead to this code, or to none.
fn facts(explanation: &Explanation, code: u8) -> Vec<&str> {
    let hinges = explanation.hinges.iter().filter(|hinge| hinge.code == code);
    hinges.map(|hinge| hinge.fact.as_str()).collect()
}

#[test]
fn what_would_be_done_is_told_in_order_with_the_row_that_ends_it() {
    let (asked, seen) = lost();
    let explanation = explained(&asked, &seen);
    assert_eq!(
        explanation.steps,
        [
            "write a rule that forbids promotion everywhere but on node1, if the CIB still has version 0.7.3"
        ]
    );
    let row = explanation.row.unwrap();
    assert_eq!((row.code, row.name.as_str(), row.after_ms), (4, "BannedAndReachable", 5));
}

#[test]
fn single_facts_that_change_the_code_are_found() {
    let (asked, seen) = lost();
    let explanation = explained(&asked, &seen);
    let not_fenced = facts(&explanation, 1);
    for fact in [
        "this node's partition had no quorum",
        "a rule banned this node",
        "node2 were connected and UpToDate",
        "node2 were online and its controller did not answer",
        "the peer had been reached and refused",
        "this node were not in UP_TO_DATE_NODES",
    ] {
        assert!(not_fenced.contains(&fact), "{fact}: {not_fenced:?}");
    }
    assert_eq!(facts(&explanation, 5), ["volume 0 were neither UpToDate nor Consistent here"]);
    assert_eq!(facts(&explanation, 7), ["node2 were down, confirmed"]);
    assert_eq!(facts(&explanation, 4), Vec::<&str>::new());
}

#[test]
fn what_does_not_change_the_code_is_not_told() {
    let (asked, seen) = lost();
    let explanation = explained(&asked, &seen);
    assert!(!explanation.hinges.iter().any(|hinge| {
        ["Secondary", "stonith", "thaw", "node1 alone"].iter().any(|word| hinge.fact.contains(word))
    }));
}

#[test]
fn a_wait_that_would_be_in_vain_is_told_with_what_would_end_it() {
    let (asked, mut seen) = lost();
    for member in members(&mut seen).peers.values_mut() {
        (member.standing, member.answers) = (Standing::WillBeFenced, None);
    }
    let explanation = explained(&asked, &seen);
    let wait = "wait until a peer can be reached or is confirmed down, for 20 s at most";
    assert_eq!(explanation.steps[0], wait);
    let row = explanation.row.as_ref().unwrap();
    assert_eq!((row.code, row.name.as_str(), row.after_ms), (1, "StillUnconfirmed", 90_000));
    assert_eq!(facts(&explanation, 7), ["node2 were down, confirmed"]);
    let thawed = facts(&explanation, 5);
    assert!(thawed.contains(&"--on-timeout were thaw"), "{thawed:?}");
    assert!(thawed.contains(&"stonith were disabled in this cluster"), "{thawed:?}");
}

#[test]
fn each_of_several_volumes_is_a_fact_and_so_are_all_of_them() {
    let (asked, mut seen) = lost();
    let bad = Volume { data: Data::Bad, is_client: false };
    local(&mut seen).volumes = BTreeMap::from([(0, bad), (1, bad)]);
    let explanation = explained(&asked, &seen);
    assert_eq!(explanation.row.as_ref().unwrap().code, 5);
    let fenced = facts(&explanation, 4);
    assert_eq!(fenced, ["every volume were UpToDate here", "every volume were Consistent here"]);
    // One alone makes them differ, which no code says.
    assert!(facts(&explanation, 1).contains(&"volume 1 were UpToDate here"));
}

#[test]
fn every_look_comes_to_an_answer_and_every_hinge_is_true() {
    for (asked, seen) in looks() {
        let explanation = explained(&asked, &seen);
        let row = explanation.row.as_ref().unwrap_or_else(|| panic!("no answer: {seen:?}"));
        for other in others(&asked, &seen) {
            let progress = Progress::default();
            let then = course(&other.asked, &other.seen, &progress).answer;
            let then = then.unwrap_or_else(|| panic!("no answer: {other:?}"));
            let told = explanation.hinges.iter().any(|hinge| hinge.fact == other.what);
            let is_another = match asked.mode {
                Mode::Fence => then.code.number() != row.code,
                Mode::Unfence => then.reason != row.reason,
            };
            assert_eq!(told, is_another, "{other:?}");
            assert_ne!((&other.asked, &other.seen), (&asked, &seen));
        }
    }
}

#[test]
fn the_answer_that_was_decided_is_the_one_that_is_explained() {
    let progress = Progress::default();
    for (asked, seen) in looks() {
        if let Next::Done(answer) = decide(&asked, &seen, &progress) {
            let course = course(&asked, &seen, &progress);
            assert_eq!((course.answer, course.steps), (Some(answer), Vec::new()), "{seen:?}");
        }
    }
}

#[test]
fn the_text_names_what_was_seen_and_what_would_change_the_answer() {
    let (asked, mut seen) = lost();
    members(&mut seen).rule = Some(Rule { allowed: BTreeSet::from(["node2".into()]) });
    let text = explained(&asked, &seen).text();
    for part in [
        "Asked: fence-peer for r0, about the peer with node id 1\n",
        "  DRBD: Primary here, I/O frozen until a peer is fenced\n",
        "  DRBD: volume 0 is UpToDate here\n",
        "  DRBD: the peer with node id 1 is not connected, not UpToDate, as far as is known\n",
        "  Cluster: quorum, stonith enabled, CIB version 0.7.3, this node is node1\n",
        "  Cluster: a rule forbids promotion everywhere but on node2, so also here\n",
        "  Cluster: the node of node id 1 is node2: online, its controller answers\n",
        "  1. answer 1 (not fenced, DRBD changes nothing): a rule in the CIB bans this node",
        "Row of the table: Banned\n",
        "  4, if there were no rule (BannedAndReachable: ",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
}

#[test]
fn what_could_not_be_asked_is_said_and_not_guessed() {
    let (asked, mut seen) = lost();
    seen.kernel = Kernel::Silent("it hangs".into());
    seen.cluster = Cluster::Unread("Pacemaker is not running".into());
    let explanation = explained(&asked, &seen);
    assert_eq!(explanation.row.as_ref().unwrap().code, 1);
    let text = explanation.text();
    for part in [
        "DRBD: could not be asked: it hangs",
        "Cluster: the CIB could not be read: Pacemaker is not running",
        "What DRBD could say, had it said something, was not tried",
        "What the cluster could say, had it said something, was not tried",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
}

#[test]
fn a_dry_run_says_what_it_would_do_and_that_it_did_not() {
    let (asked, seen) = lost();
    let plan = explained(&asked, &seen).plan();
    assert!(plan.starts_with("Nothing was changed. "), "{plan}");
    assert!(plan.contains("  1. write a rule "), "{plan}");
    assert!(plan.contains("  2. answer 4 ("), "{plan}");
}

#[test]
fn json_has_the_facts_the_row_and_what_it_hangs_on() {
    let (mut asked, seen) = lost();
    asked.options.on_timeout = OnTimeout::Thaw;
    let explanation = explained(&asked, &seen);
    let json: serde_json::Value = serde_json::from_str(&explanation.json()).unwrap();
    assert_eq!(json["seen"]["cluster"]["Known"]["me"], "node1");
    assert_eq!(json["row"]["name"], "BannedAndReachable");
    assert_eq!(json["row"]["code"], 4);
    assert_eq!(json["hinges"].as_array().unwrap().len(), explanation.hinges.len());
    let plan: serde_json::Value = serde_json::from_str(&explanation.plan_json()).unwrap();
    assert_eq!((&plan["row"], &plan["steps"]), (&json["row"], &json["steps"]));
    assert_eq!(plan["asked"]["options"]["on_timeout"], "Thaw");
}

#[test]
fn what_was_not_asked_is_taken_from_its_bad_side() {
    let (asked, mut seen) = lost();
    for member in members(&mut seen).peers.values_mut() {
        member.answers = None;
    }
    let explanation = explained(&asked, &seen);
    assert!(explanation.steps[0].ends_with("(taken here: they do not answer)"));
    assert_eq!(explanation.row.as_ref().unwrap().code, 1);
    assert_eq!(
        facts(&explanation, 4),
        ["node2 were online and its controller answered", "--CTS-mode were given"]
    );
    local(&mut seen).is_frozen = false;
    seen.policy = Some(Policy::ResourceOnly);
    assert_eq!(explained(&asked, &seen).row.unwrap().code, 5);
}

#[test]
fn what_unfence_hangs_on_is_whether_the_rule_goes() {
    let (mut asked, mut seen) = lost();
    (asked.mode, asked.mask) = (Mode::Unfence, Some(Mask(BTreeSet::from([0, 1]))));
    members(&mut seen).rule = Some(Rule { allowed: BTreeSet::from(["node1".into()]) });
    let explanation = explained(&asked, &seen);
    let row = explanation.row.as_ref().unwrap();
    assert_eq!((row.code, row.name.as_str()), (0, "Kept"));
    let removing = explanation.hinges.iter().filter(|hinge| hinge.row == "Removed");
    let removing: Vec<&str> = removing.map(|hinge| hinge.fact.as_str()).collect();
    assert_eq!(removing, ["node2 were connected and UpToDate"]);
}

#[test]
fn two_nodes_that_do_not_wait_for_each_other_are_warned_of() {
    let with = |lines: &str| format!("totem {{\n  version: 2\n}}\nquorum {{\n{lines}}}\n");
    for lines in ["two_node: 1\n  wait_for_all: 0\n", "wait_for_all:0\n\ttwo_node :1\n"] {
        assert!(warning(&with(lines)).is_some(), "{lines}");
    }
    for lines in
        ["", "two_node: 1\n", "two_node: 1\nwait_for_all: 1\n", "two_node: 0\nwait_for_all: 0\n"]
    {
        assert!(warning(&with(lines)).is_none(), "{lines}");
    }
}
