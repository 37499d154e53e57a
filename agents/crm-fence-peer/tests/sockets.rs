//! Pacemaker asked over its daemons' sockets: what that costs, and what is done where they do not behave. Invariant: a change is
//! sent once for each look, in one way; and whatever is wrong with the sockets, the tools lead to the same answer.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]

mod stage;

use std::time::Duration;

use duet_fake_tools::{Conduct, Daemons, FakeDaemons};
use stage::{Node, Ran, Stage, V9, only, told};

const TWO: &[&str] = &["node1", "node2"];

/// The stage, with daemons that listen on the first node.
fn stage() -> Option<(Stage, FakeDaemons)> {
    let stage = Stage::new(V9, TWO)?;
    let node = &stage.nodes[0];
    let daemons = FakeDaemons::start(&node.kernel.root(), &node.name, &stage.cluster);
    Some((stage, daemons))
}

/// The last record's word on how Pacemaker was asked.
fn ways(node: &Node) -> Vec<String> {
    let newest = node.records().pop().unwrap();
    let record = crm_fence_peer::record::Record::read(&newest).unwrap();
    record.ways
}

fn has_tools(ways: &[String]) -> bool {
    ways.iter().any(|way| way.contains("with tools"))
}

#[track_caller]
fn placed(stage: &Stage, ran: &Ran) {
    assert_eq!(told(stage, ran), (4, only(&["node1"])), "{ran:?}");
    assert_eq!(stage.cluster.state().pacemaker.applied.len(), 1, "{ran:?}");
}

#[test]
fn a_peer_that_is_reachable_costs_no_tool() {
    let Some((stage, daemons)) = stage() else { return };
    stage.cut();
    let node = &stage.nodes[0];
    let ran = node.fence(1, 0x1);
    placed(&stage, &ran);
    assert_eq!(node.called(), Vec::<String>::new());
    let mut asked = daemons.asked();
    // The first two are asked at the same time.
    asked[..2].sort();
    assert_eq!(asked, ["cib_query", "node-info", "ping", "cib_apply_diff", "cib_query"]);
    assert_eq!(ways(node), ["CIB: over its socket", "controller: over its socket"]);
}

#[test]
fn unfence_with_nothing_to_do_costs_one_question() {
    let Some((stage, daemons)) = stage() else { return };
    let node = &stage.nodes[0];
    assert_eq!(node.unfence(1, 0x3).code, 0);
    assert_eq!(node.called(), Vec::<String>::new());
    assert_eq!(daemons.asked(), ["cib_query"]);
}

#[test]
fn unfence_removes_the_rule_over_the_socket() {
    let Some((stage, daemons)) = stage() else { return };
    stage.rule(&["node1"]);
    let node = &stage.nodes[0];
    let ran = node.unfence(1, 0x3);
    assert_eq!(told(&stage, &ran), (0, None), "{ran:?}");
    assert_eq!(node.called(), Vec::<String>::new());
    assert!(daemons.asked().contains(&"cib_apply_diff".to_owned()));
}

#[test]
fn a_record_of_a_call_over_the_sockets_is_decided_in_the_same_way_again() {
    let Some((stage, _daemons)) = stage() else { return };
    stage.cut();
    let node = &stage.nodes[0];
    placed(&stage, &node.fence(1, 0x1));
    let record = node.records().pop().unwrap();
    let ran = node.run("crm-fence-peer", &["--replay", record.to_str().unwrap()], &[]);
    assert_eq!(ran.code, 0, "{ran:?}");
}

#[test]
fn daemons_that_are_not_understood_are_asked_with_tools() {
    for conduct in [
        Conduct::Refusing,
        Conduct::StrangeHandshake,
        Conduct::StrangeHeader,
        Conduct::StrangeText,
        Conduct::CutOff,
        Conduct::BrokenRing,
        Conduct::Closing,
    ] {
        let Some((stage, daemons)) = stage() else { return };
        daemons.conduct(conduct);
        stage.cut();
        let node = &stage.nodes[0];
        let ran = node.fence(1, 0x1);
        placed(&stage, &ran);
        assert_eq!(node.called().len(), 5, "{conduct:?}: {:?}", node.called());
        assert!(has_tools(&ways(node)), "{conduct:?}: {:?}", ways(node));
        assert!(!daemons.asked().contains(&"cib_apply_diff".to_owned()), "{conduct:?}");
    }
}

#[test]
fn daemons_that_never_answer_are_asked_with_tools_from_the_second_look_on() {
    for conduct in [Conduct::Silent, Conduct::Mute] {
        let Some((stage, daemons)) = stage() else { return };
        daemons.conduct(conduct);
        stage.cut();
        let node = &stage.nodes[0];
        let ran = node.fence(1, 0x1);
        placed(&stage, &ran);
        assert!(has_tools(&ways(node)), "{conduct:?}: {:?}", ways(node));
    }
}

#[test]
fn who_asks_for_tools_gets_tools() {
    let Some((stage, daemons)) = stage() else { return };
    stage.cut();
    let node = &stage.nodes[0];
    let ran = stage::fence(node, 1, 0x1, &["--pacemaker-tools"]);
    placed(&stage, &ran);
    assert_eq!((node.called().len(), daemons.asked().len()), (5, 0));
    assert!(has_tools(&ways(node)), "{:?}", ways(node));
}

#[test]
fn a_change_that_the_daemon_never_answers_for_is_looked_at_and_not_sent_again() {
    let Some((stage, daemons)) = stage() else { return };
    daemons.conduct(Conduct::KeepingChanges);
    stage.cut();
    let node = &stage.nodes[0];
    let ran = node.fence(1, 0x1);
    placed(&stage, &ran);
    assert_eq!(node.called(), Vec::<String>::new());
    let sent = daemons.asked().iter().filter(|it| *it == "cib_apply_diff").count();
    assert_eq!(sent, 1);
}

#[test]
fn a_daemon_that_goes_away_with_a_change_is_found_again_and_asked_what_is() {
    let Some((stage, daemons)) = stage() else { return };
    daemons.conduct(Conduct::ClosingOnChanges);
    stage.cut();
    let node = &stage.nodes[0];
    let environment = node.environment(1, 0x1, "NetworkFailure");
    let child = node.start("crm-fence-peer", &[], &environment);
    let mut asked = Vec::new();
    while !asked.contains(&"cib_apply_diff".to_owned()) {
        asked.extend(daemons.asked());
        std::thread::sleep(Duration::from_millis(1));
    }
    daemons.conduct(Conduct::Well);
    let ran = node.end(child);
    placed(&stage, &ran);
    assert_eq!(node.called(), Vec::<String>::new());
    asked.extend(daemons.asked());
    let of_cib: Vec<&String> = asked.iter().filter(|it| it.starts_with("cib_")).collect();
    let is_blind = of_cib.windows(2).any(|pair| pair == ["cib_apply_diff", "cib_apply_diff"]);
    assert!(!is_blind, "a change without a look before it: {of_cib:?}");
}

#[test]
fn without_a_dc_the_local_copy_says_that_pacemaker_is_there() {
    let Some((stage, daemons)) = stage() else { return };
    stage.cluster.change(|it| it.side("node1").daemons = Daemons::NoDc);
    stage.cut();
    let node = &stage.nodes[0];
    let environment = node.environment(1, 0x1, "NetworkFailure");
    let child = node.start("crm-fence-peer", &[], &environment);
    let mut asked = Vec::new();
    while asked.iter().filter(|it| *it == "cib_query").count() < 3 {
        asked.extend(daemons.asked());
        std::thread::sleep(Duration::from_millis(1));
    }
    stage.cluster.change(|it| it.side("node1").daemons = Daemons::Well);
    let ran = node.end(child);
    placed(&stage, &ran);
    assert_eq!(node.called(), Vec::<String>::new());
}
