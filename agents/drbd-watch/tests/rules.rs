//! The daemon on its stage, beyond the driver and the rule that most have: 8.4, which tells of fewer things and of some otherwise, and
//! the option that asks Pacemaker who is promoted.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]
#![allow(dead_code, reason = "each test file uses its part of the stage")]

mod stage;

use std::time::Duration;

use drbd_agent::{record::Record, score::PeerPrimary};
use duet_drbd::{Connection, Disk, Resource, Role, Version};
use duet_fake_tools::Answer;
use stage::{Stage, alone, resource, well};

const V8: Version = Version { major: 8, minor: 4, patch: 11 };

fn set(stage: &Stage, resource: Resource) {
    stage.kernel.change(|view| {
        view.resources.insert("r0".to_owned(), resource);
    });
}

/// A node with 8.4, a daemon, and resource r0 with its score.
fn with_8() -> Option<Stage> {
    let stage = Stage::managed()?;
    stage.kernel.load(V8);
    set(&stage, well());
    stage.start();
    stage.until("the first score", |stage| stage.scores() == ["10000"]);
    assert!(stage.log().contains("the kernel's messages (DRBD 8.4.11"), "{}", stage.log());
    Some(stage)
}

#[test]
fn a_change_of_8_4_reaches_the_score() {
    let Some(stage) = with_8() else { return };
    set(&stage, alone());
    stage.until("the score", |stage| stage.scores() == ["10000", "1000"]);
    set(&stage, resource(Role::Secondary, Disk::Outdated, None));
    stage.until("no score", |stage| stage.scores().last().is_some_and(|last| last == "-D"));
    set(&stage, well());
    stage
        .until("the best again", |stage| stage.scores().last().is_some_and(|last| last == "10000"));
    assert_eq!(stage.run("monitor").code, 0);
}

/// What is StandAlone is told as a connection that is destroyed, and is there when somebody looks afresh.
#[test]
fn a_connection_of_8_4_that_is_told_as_destroyed_takes_the_best_score() {
    let Some(stage) = with_8() else { return };
    stage.kernel.change(|view| view.resources.get_mut("r0").unwrap().peers.clear());
    let mut stand_alone = alone();
    stand_alone.peers.get_mut(&1).unwrap().connection = Connection::StandAlone;
    stage.kernel.module().view.resources.insert("r0".to_owned(), stand_alone);
    stage.until("the score", |stage| stage.scores() == ["10000", "1000"]);
    set(&stage, well());
    stage.until("the best", |stage| stage.scores() == ["10000", "1000", "10000"]);
}

#[test]
fn a_resource_of_8_4_that_is_taken_down_has_no_score() {
    let Some(stage) = with_8() else { return };
    stage.kernel.change(|view| view.resources.clear());
    stage.until("no score", |stage| stage.scores() == ["10000", "-D"]);
}

#[test]
fn an_unexpected_primary_takes_the_score_and_an_expected_one_does_not() {
    for (said, scores) in [
        ("resource p_drbd is NOT running\n", &["10000", "-D"][..]),
        ("resource p_drbd is running on: node2 Promoted\n", &["10000"]),
    ] {
        let Some(stage) = Stage::managed() else { return };
        let path = stage.memory().join("drbd-p_drbd.record");
        let mut record = Record::read(&path).unwrap();
        record.options.peer_primary = PeerPrimary::RemoveUnexpected;
        record.write(&path).unwrap();
        stage.tools.answer("crm_resource", "", Answer::prints(said));
        stage.start();
        stage.until("the first score", |stage| stage.scores() == ["10000"]);
        let peer_primary = Some((Role::Primary, Disk::UpToDate));
        set(&stage, resource(Role::Secondary, Disk::UpToDate, peer_primary));
        stage.until("the question", |stage| !stage.tools.calls_of("crm_resource").is_empty());
        stage.until("the score", |stage| stage.scores().len() >= scores.len());
        std::thread::sleep(Duration::from_millis(400));
        assert_eq!(stage.scores(), scores, "{said}");
    }
}
