//! Each culprit, from the events that give it away.

use super::*;
use crate::options::{Program, argv, order};
use duet_xvm::{HostList, Key};
use std::net::SocketAddr;

fn order(program: Program, line: &str) -> Order {
    let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    match order::decide(program, argv::read(program, &words)) {
        order::Command::Ask(order) => order,
        other => panic!("{other:?}"),
    }
}

fn xvm() -> Order {
    order(Program::Xvm, "-o monitor")
}

fn tcp() -> Order {
    order(Program::Virt, "-o monitor -T 10.0.0.1")
}

/// The culprits, likeliest first.
fn culprits(order: &Order, failure: Failure, events: &[Event], probes: &[Probe]) -> Vec<Culprit> {
    hints(order, &Err(failure), events, probes).into_iter().map(|(culprit, _)| culprit).collect()
}

fn sent(error: Option<&str>) -> Event {
    Event::Sent {
        attempt: 1,
        from: [10, 0, 0, 2].into(),
        interface: "eth0".to_owned(),
        to: SocketAddr::from(([225, 0, 0, 12], 1229)),
        error: error.map(str::to_owned),
    }
}

fn left(stage: Stage, said: usize) -> Event {
    Event::Left { peer: "h".to_owned(), stage, said }
}

fn mismatch(theirs: Option<Algorithm>) -> Event {
    Event::Mismatch { peer: "h".to_owned(), theirs }
}

#[test]
fn where_nothing_left_it_is_the_network() {
    for events in [vec![], vec![sent(Some("Network is unreachable"))]] {
        let found = culprits(&xvm(), Failure::NoCallBack, &events, &[]);
        assert_eq!(found, [Culprit::Network]);
    }
}

#[test]
fn silence_can_be_many_things_and_all_are_named() {
    let found = culprits(&xvm(), Failure::NoCallBack, &[sent(None)], &[]);
    assert_eq!(found, [Culprit::Firewall, Culprit::Key, Culprit::Daemon, Culprit::Multicast]);
    let unsigned = order(Program::Xvm, "-o monitor -c none");
    let found = culprits(&unsigned, Failure::NoCallBack, &[sent(None)], &[]);
    assert_eq!(found[1], Culprit::Hash);
}

#[test]
fn a_probe_that_is_heard_tells_which() {
    let router = [10, 0, 0, 1].into();
    for (what, heard, wanted) in [
        (Difference::Alone(router), Heard::CallBack, Culprit::Multicast),
        (Difference::Alone(router), Heard::NobodyThere, Culprit::Daemon),
        (Difference::Alone(router), Heard::Nothing, Culprit::Firewall),
        (Difference::Strongest, Heard::CallBack, Culprit::Hash),
        (Difference::Strongest, Heard::Nothing, Culprit::Firewall),
    ] {
        let probe = Probe { what, heard };
        let found = culprits(&xvm(), Failure::NoCallBack, &[sent(None)], &[probe]);
        assert_eq!(found[0], wanted, "{what:?} {heard:?}");
    }
}

#[test]
fn a_host_that_refuses_has_no_daemon() {
    let there = Event::NobodyThere(SocketAddr::from(([10, 0, 0, 1], 1229)));
    let found = culprits(&xvm(), Failure::NoCallBack, &[sent(None), there], &[]);
    assert_eq!(found, [Culprit::Daemon]);
}

#[test]
fn what_the_other_side_proves_tells_key_from_auth() {
    for (events, wanted) in [
        (vec![mismatch(Some(Algorithm::Sha1))], Culprit::Auth),
        (vec![mismatch(None)], Culprit::Key),
        (vec![left(Stage::AwaitingProof, 1)], Culprit::Auth),
        (vec![left(Stage::AwaitingProof, 0)], Culprit::Daemon),
        (vec![left(Stage::AwaitingChallenge, 0)], Culprit::Auth),
        (vec![left(Stage::AwaitingProof, 0), mismatch(Some(Algorithm::Sha1))], Culprit::Auth),
        (
            vec![Event::Silent { peer: "h".into(), stage: Stage::AwaitingProof, said: 0 }],
            Culprit::Daemon,
        ),
    ] {
        let found = culprits(&xvm(), Failure::Proof, &events, &[]);
        assert_eq!(found, [wanted], "{events:?}");
    }
}

#[test]
fn over_tcp_a_daemon_that_leaves_does_not_believe_the_signature() {
    let found = culprits(&tcp(), Failure::Proof, &[left(Stage::AwaitingProof, 0)], &[]);
    assert_eq!(found, [Culprit::Key, Culprit::Hash]);
}

#[test]
fn no_connection_is_daemon_firewall_or_network() {
    for (why, wanted) in [
        ("Connection refused", Culprit::Daemon),
        ("Connection timed out", Culprit::Firewall),
        ("No route to host", Culprit::Network),
        ("failed to lookup address information", Culprit::Network),
    ] {
        let failure = Failure::Connect { to: "h".into(), why: why.into() };
        assert_eq!(culprits(&tcp(), failure, &[], &[]), [wanted], "{why}");
    }
}

#[test]
fn silence_after_the_proof_is_the_daemons_and_without_one_auth() {
    assert_eq!(culprits(&xvm(), Failure::NoAnswer(5), &[], &[]), [Culprit::Daemon]);
    let none = order(Program::Xvm, "-o monitor -C none");
    assert_eq!(culprits(&none, Failure::NoAnswer(5), &[], &[]), [Culprit::Auth]);
}

#[test]
fn what_works_and_should_not_stay_so_is_said() {
    let key = Key::new(b"short").unwrap();
    let fingerprint = key.fingerprint();
    let events = [
        Event::Key { fingerprint, is_short: true, is_open: true },
        Event::Listening { port: 40_000, instead_of: Some(1229) },
    ];
    let works = Ok(Answer::Reply(Reply::Success));
    let found: Vec<Culprit> =
        hints(&xvm(), &works, &events, &[]).into_iter().map(|(culprit, _)| culprit).collect();
    assert_eq!(found, [Culprit::Nobody, Culprit::Key, Culprit::Key, Culprit::Firewall]);
}

#[test]
fn refusals_and_empty_lists_are_not_fine() {
    for (answer, wanted) in [
        (Answer::Reply(Reply::Permission), Culprit::Permission),
        (Answer::Reply(Reply::Fail), Culprit::Daemon),
        (Answer::Hosts(HostList::default()), Culprit::Permission),
    ] {
        assert_eq!(hints(&xvm(), &Ok(answer), &[], &[])[0].0, wanted);
    }
}

#[test]
fn a_report_has_the_way_the_events_and_the_culprit() {
    let text = report(&xvm(), "multicast g", &Err(Failure::NoCallBack), &[sent(None)], &[]);
    for wanted in [
        "monitor by multicast g\n",
        "  request 1 to 225.0.0.12:1229 from 10.0.0.2 by eth0\n",
        "firewall: the host has to let in udp 1229 and IGMP, and this machine tcp 1229",
    ] {
        assert!(text.contains(wanted), "{wanted:?} in {text}");
    }
}
