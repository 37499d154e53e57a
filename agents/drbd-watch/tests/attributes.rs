//! The attributes of auto-promote: what attrd_updater is told when resources come, change and go, and when there are leftovers.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]
#![allow(dead_code, reason = "each test file uses its part of the stage")]

mod stage;

use std::time::Duration;

use duet_drbd::{Disk, Role};
use duet_fake_tools::{Answer, FakeDaemons};
use stage::{Stage, alone, resource, well};

const AUTO: (&str, &str) = ("auto_promote", "true");

/// A node with r0 up, r1 configured and not up, and an attribute of a resource that is not there any more.
fn node() -> Option<Stage> {
    let stage = Stage::new()?;
    stage.kernel.change(|view| {
        view.resources.insert("r0".to_owned(), well());
    });
    stage.tools.answer("drbdadm", "sh-resources", Answer::prints("r0 r1\n"));
    let answer = "<xpath-query>\n  \
        <nvpair id=\"status-1-a\" name=\"drbd-promotion-score-r0\" value=\"10102\"/>\n  \
        <nvpair id=\"status-1-b\" name=\"drbd-promotion-score-old\" value=\"10102\"/>\n</xpath-query>\n";
    stage.tools.answer("cibadmin", "query", Answer::prints(answer));
    Some(stage)
}

fn begin(stage: &Stage, parameters: &[(&str, &str)]) {
    let ran = stage.run_with("start", &[&[AUTO], parameters].concat());
    assert_eq!(ran.code, 0, "{} {}", ran.stderr, stage.log());
}

/// The calls so far, in the order of their names, since two may run at the same time.
fn updates(stage: &Stage) -> Vec<String> {
    let mut calls = stage.tools.calls_of("attrd_updater");
    calls.sort();
    calls
}

#[test]
fn scores_are_dampened_and_never_and_none_are_not() {
    let Some(stage) = node() else { return };
    begin(&stage, &[]);
    let first = [
        "--name drbd-promotion-score-old --delete",
        "--name drbd-promotion-score-old --update-delay --delay 0",
        "--name drbd-promotion-score-r0 --update-both 10102 --delay 5",
        "--name drbd-promotion-score-r1 --update-both -1000000 --delay 0",
        "--name drbd-promotion-score:event-details-old --delete",
    ];
    stage.until("the first attributes", |stage| updates(stage) == first);
    stage.tools.forget();
    stage.kernel.change(|view| {
        view.resources.insert("r0".to_owned(), alone());
    });
    let second = ["--name drbd-promotion-score-r0 --update-both 10101 --delay 5"];
    stage.until("a lower score", |stage| updates(stage) == second);
    stage.tools.forget();
    stage.kernel.change(|view| {
        view.resources.insert("r0".to_owned(), resource(Role::Secondary, Disk::Outdated, None));
    });
    let third = ["--name drbd-promotion-score-r0 --update-both -1000000 --delay 0"];
    stage.until("never", |stage| updates(stage) == third);
    stage.tools.forget();
    stage.kernel.change(|view| view.resources.clear());
    let fourth = [
        "--name drbd-promotion-score-r0 --delete",
        "--name drbd-promotion-score-r0 --update-delay --delay 0",
        "--name drbd-promotion-score:event-details-r0 --delete",
    ];
    stage.until("none", |stage| updates(stage) == fourth);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(updates(&stage), fourth);
}

#[test]
fn names_and_delays_are_as_configured_and_details_are_told() {
    let Some(stage) = node() else { return };
    stage.tools.answer("cibadmin", "query", Answer::fails(105, "No such device or address\n"));
    stage.tools.answer("drbdadm", "sh-resources", Answer::prints("r0\n"));
    let own =
        [("attr_name_prefix", "s"), ("dampening_delay", "7"), ("record_event_details", "yes")];
    begin(&stage, &own);
    let all = [
        "--name s-r0 --update-both 10102 --delay 7",
        "--name s:event-details-r0 --update-both name:r0 role:Secondary disk/0:UpToDate node2:Secondary \
         score:10102 --delay 7",
    ];
    stage.until("the attributes", |stage| updates(stage) == all);
    stage.until("the question", |stage| !stage.tools.calls_of("cibadmin").is_empty());
    let asked = stage.tools.calls_of("cibadmin");
    assert!(asked[0].contains("@uname='node1'") && asked[0].contains("'s-'"), "{asked:?}");
}

#[test]
fn details_of_before_they_were_switched_off_are_removed_and_no_others() {
    for (parameter, removes) in [("false", true), ("true", false)] {
        let Some(stage) = node() else { return };
        let answer = "<nvpair id=\"status-1-d\" name=\"drbd-promotion-score:event-details-r0\" value=\"x\"/>";
        stage.tools.answer("cibadmin", "query", Answer::prints(answer));
        begin(&stage, &[("record_event_details", parameter)]);
        let removal = "--name drbd-promotion-score:event-details-r0 --delete".to_owned();
        if removes {
            stage.until("the removal", |stage| updates(stage).contains(&removal));
        }
        stage.until("the other attributes", |stage| {
            updates(stage).contains(
                &"--name drbd-promotion-score-r1 --update-both -1000000 --delay 0".to_owned(),
            )
        });
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(updates(&stage).contains(&removal), removes, "{:?}", updates(&stage));
    }
}

#[test]
fn a_question_that_is_not_answered_removes_nothing() {
    let Some(stage) = node() else { return };
    stage.tools.answers(
        "drbdadm",
        "sh-resources",
        [Answer::fails(10, "r1.res:3: Parse error\n"), Answer::prints("r0\n")],
    );
    begin(&stage, &[]);
    let first = ["--name drbd-promotion-score-r0 --update-both 10102 --delay 5"];
    stage.until("the score", |stage| updates(stage) == first);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(updates(&stage), first);
    // At the next sign of life it is.
    stage.until("the leftover to go", |stage| updates(stage).len() == 4);
    assert_eq!(updates(&stage)[0], "--name drbd-promotion-score-old --delete");
}

#[test]
fn a_module_that_is_unloaded_leaves_never_for_what_is_configured() {
    let Some(stage) = node() else { return };
    begin(&stage, &[]);
    stage.until("the first attributes", |stage| updates(stage).len() == 5);
    stage.tools.forget();
    stage.kernel.unload();
    let never = ["--name drbd-promotion-score-r0 --update-both -1000000 --delay 0"];
    stage.until("never", |stage| updates(stage).first().is_some_and(|first| first == never[0]));
    stage.tools.forget();
    // Whether drbdadm answers or not.
    stage.tools.answer("drbdadm", "sh-resources", Answer::fails(10, ""));
    stage.kernel.load(stage::V9);
    stage.kernel.change(|view| {
        view.resources.insert("r0".to_owned(), well());
    });
    let score = "--name drbd-promotion-score-r0 --update-both 10102 --delay 5".to_owned();
    stage.until("the score", |stage| updates(stage).contains(&score));
    stage.tools.forget();
    stage.kernel.unload();
    stage.until("never again", |stage| updates(stage).iter().any(|update| update == never[0]));
}

#[test]
fn attributes_that_the_cluster_has_lost_are_written_again() {
    let Some(stage) = node() else { return };
    begin(&stage, &[]);
    stage.until("the first attributes", |stage| updates(stage).len() == 5);
    stage.tools.forget();
    stage.attribute_daemon(14004);
    let again = "--name drbd-promotion-score-r0 --update-both 10102 --delay 5".to_owned();
    stage.until("them again", |stage| updates(stage).contains(&again));
}

#[test]
fn attributes_that_the_attribute_daemon_says_it_has_are_not_written_again() {
    let Some(stage) = node() else { return };
    let daemon = FakeDaemons::attributes(&stage.kernel.root(), "node1");
    begin(&stage, &[]);
    stage.until("the first attributes", |stage| updates(stage).len() == 5);
    // It has one of both still; what should not be there is removed in any case.
    daemon.set("drbd-promotion-score-r1", Some("-1000000"));
    stage.tools.forget();
    stage.attribute_daemon(14004);
    let again = [
        "--name drbd-promotion-score-old --delete",
        "--name drbd-promotion-score-old --update-delay --delay 0",
        "--name drbd-promotion-score-r0 --update-both 10102 --delay 5",
        "--name drbd-promotion-score:event-details-old --delete",
    ];
    stage.until("those that are lost", |stage| updates(stage) == again);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(updates(&stage), again);
}

#[test]
fn attributes_that_the_cib_has_lost_are_written_anew_by_the_attribute_daemon() {
    let Some(stage) = node() else { return };
    let daemon = FakeDaemons::attributes(&stage.kernel.root(), "node1");
    daemon.with_cib(&stage.kernel.root(), "node1");
    begin(&stage, &[("dampening_delay", "0")]);
    stage.until("the first attributes", |stage| updates(stage).len() == 5);
    for (name, value) in
        [("drbd-promotion-score-r0", "10102"), ("drbd-promotion-score-r1", "-1000000")]
    {
        daemon.set(name, Some(value));
        daemon.write(name, Some(value));
    }
    daemon.write("drbd-promotion-score-r0", None);
    stage.tools.forget();
    stage.daemons(13003, 15001);
    let again = [
        "--name drbd-promotion-score-old --delete",
        "--name drbd-promotion-score-old --update-delay --delay 0",
        "--name drbd-promotion-score:event-details-old --delete",
        "--refresh",
    ];
    stage.until("the one that is lost", |stage| updates(stage) == again);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(updates(&stage), again);
}

/// With the default delay: what the attribute daemon has and the CIB has not may be waiting there, until it is over.
#[test]
fn an_attribute_that_may_be_waiting_in_the_attribute_daemon_is_not_lost_until_its_delay_is_over() {
    let Some(stage) = node() else { return };
    let daemon = FakeDaemons::attributes(&stage.kernel.root(), "node1");
    daemon.with_cib(&stage.kernel.root(), "node1");
    begin(&stage, &[]);
    stage.until("the first attributes", |stage| updates(stage).len() == 5);
    daemon.set("drbd-promotion-score-r0", Some("10102"));
    daemon.set("drbd-promotion-score-r1", Some("-1000000"));
    daemon.write("drbd-promotion-score-r1", Some("-1000000"));
    stage.tools.forget();
    stage.daemons(13003, 15001);
    // What is removed in any case shows that all were looked at.
    stage.until("a look", |stage| updates(stage).len() == 3);
    std::thread::sleep(Duration::from_millis(300));
    let is_refresh = |update: &String| update == "--refresh";
    assert!(!updates(&stage).iter().any(is_refresh), "{:?}", updates(&stage));
    stage.until("the one that is lost", |stage| updates(stage).iter().any(is_refresh));
}
