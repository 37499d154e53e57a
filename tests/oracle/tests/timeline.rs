//! The story told from recordings of real clusters and of a real guest.

#![allow(clippy::unwrap_used, reason = "tests; the lint knows only functions marked as such")]

use std::time::Duration;

use duet_oracle::event::from_json_lines;
use duet_oracle::timeline::Detail;
use duet_oracle::{Event, Timeline};

const TAKEOVER: &str = include_str!("../../recorded/oracle/pacemaker-2.1.5-takeover.jsonl");
const TAKEOVER_3: &str = include_str!("../../recorded/oracle/pacemaker-3.0.0-takeover.jsonl");
const CUTS: &str = include_str!("../../recorded/oracle/drbd-9.3.3-cuts.jsonl");
const GUEST: &str = include_str!("../../recorded/oracle/two-nodes.jsonl");

fn events(text: &str) -> Vec<Event> {
    from_json_lines(text).unwrap()
}

/// Without the indentation that only the eye needs.
fn told(story: &Timeline) -> Vec<String> {
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    story.render(Detail::Steps).lines().map(words).collect()
}

#[test]
fn a_takeover_reads_as_a_story() {
    let story = Timeline::since_mark(&events(TAKEOVER), "power cut").unwrap();
    assert_eq!(
        told(&story),
        [
            "+0.000 lab == power cut node1",
            "+10.653 node2 node node1 is now lost",
            "+12.705 node2 fencing of node1 requested",
            "+13.213 node2 node1 has been fenced",
            "+31.697 node2 promote of d0 on node2: ok",
            "+35.729 node2 start of svc on node2: ok",
        ]
    );
    assert_eq!(
        story.failover().to_string(),
        "cut -> detected 10.7 s -> fenced 13.2 s -> promoted 31.7 s"
    );
}

/// Pacemaker 3.0 says some of it in other words.
#[test]
fn a_takeover_with_pacemaker_3_reads_as_the_same_story() {
    let story = Timeline::since_mark(&events(TAKEOVER_3), "power cut").unwrap();
    let told = told(&story);
    for step in [
        "+10.687 node1 node node2 is now lost",
        "+15.223 node1 fencing of node2 requested",
        "+17.219 node1 node2 has been fenced",
        "+26.979 node1 r0: fence-peer called",
        "+38.956 node1 r0: fence-peer answered 7",
        "+40.433 node1 promote of p_drbd on node1: OK",
        "+64.114 node1 start of vm1 on node1: OK",
    ] {
        assert!(told.contains(&step.to_owned()), "{step} is not among {told:#?}");
    }
    assert_eq!(
        story.failover().to_string(),
        "cut -> detected 4.5 s -> fenced 17.2 s -> promoted 39.0 s -> guest writing 72.4 s"
    );
}

#[test]
fn everything_shows_the_other_lines_and_stars_the_steps() {
    let story = Timeline::since_mark(&events(TAKEOVER), "power cut").unwrap();
    let text = story.render(Detail::Everything);
    assert!(text.contains("*  +13.213  node2  node1 has been fenced\n"), "{text}");
    let line = "   +13.193  node2  pacemaker-fenced: notice: Operation 'reboot' [812] targeting";
    assert!(text.contains(line), "{text}");
    assert_eq!(text.lines().count(), story.entries.len());
}

#[test]
fn a_cut_link_reads_as_a_story() {
    let story = Timeline::new(&events(CUTS), Duration::from_secs(570)).between(0.0, 45.0);
    assert_eq!(
        told(&story),
        [
            "+0.212 node1 r0 node2: peer lost (no answer to ping)",
            "+0.212 node1 r0: writes frozen",
            "+0.212 node1 r0 node2: peer lost (NetworkFailure)",
            "+0.237 node1 r0 node2: disconnected called",
            "+0.240 node1 r0 node2: fence-peer called",
            "+2.027 node1 r0 node2: disconnected answered 0",
            "+10.334 node1 r0 node2: fence-peer answered 7",
            "+10.341 node1 r0: writes go on",
            "+39.517 node1 r0 node2: connected",
            "+39.557 node1 r0/0 drbd0 node2: before-resync-source called",
            "+40.584 node1 r0/0 drbd0 node2: before-resync-source answered 0",
            "+40.586 node1 r0/0 drbd0 node2: resync began",
            "+41.595 node1 r0/0 drbd0 node2: resync done",
            "+41.602 node1 r0 node2: unfence-peer called",
            "+42.358 node1 r0 node2: unfence-peer answered 0",
        ]
    );
}

#[test]
fn the_guests_story_has_its_boots_and_its_migration() {
    let story = Timeline::since_mark(&events(GUEST), "kill -9 on node1").unwrap();
    assert_eq!(
        told(&story.between(0.0, 31.0)),
        [
            "+0.000 lab == kill -9 on node1",
            "+0.005 lab == start on node1",
            "+0.247 node1 guest booted, its disk ends at 194",
            "+0.247 node1 guest writes: 195 confirmed",
            "+6.008 lab == kill -9 on node1",
            "+6.017 lab == start on node2",
            "+6.137 node2 guest booted, its disk ends at 300",
            "+6.138 node2 guest writes: 301 confirmed",
            "+12.018 lab == live migration node2 to node1",
            "+12.019 lab == start on node1",
            "+14.519 node1 guest writes here, carried over alive: 451 confirmed",
            "+26.397 lab == power button on node1",
            "+30.528 lab == start on node2",
            "+30.722 node2 guest booted, its disk ends at 675",
            "+30.724 node2 guest writes: 676 confirmed",
        ]
    );
}

/// The whole chain in one recording: the cluster's log and a guest that wakes up on the other node.
#[test]
fn the_failover_line_ends_with_the_guests_first_write() {
    let guest = "{\"at\":10.0,\"source\":\"node1\",\"serial\":{\"ack\":7}}\n";
    let late = "{\"at\":12.6,\"source\":\"node1\",\"serial\":{\"ack\":8}}\n";
    let woken =
        "{\"at\":50.0,\"source\":\"node2\",\"serial\":{\"boot\":{\"highest\":8,\"valid\":8}}}
        {\"at\":50.1,\"source\":\"node2\",\"serial\":{\"ack\":9}}";
    let (mark, rest) = TAKEOVER.split_once('\n').unwrap();
    let events = events(&format!("{guest}{mark}\n{late}{rest}{woken}"));
    let failover = Timeline::since_mark(&events, "power cut").unwrap().failover();
    assert_eq!(
        failover.to_string(),
        "cut -> detected 10.7 s -> fenced 13.2 s -> promoted 31.7 s -> guest writing 37.5 s"
    );
    assert_eq!(failover.booted, Some(Duration::from_millis(37_410)));
}

#[test]
fn the_story_can_be_exported() {
    let json = Timeline::since_mark(&events(TAKEOVER), "power cut").unwrap().to_json();
    assert!(json.contains("\"fencing-ended\": {"), "{json}");
    assert!(json.contains("\"seconds\": 13.213"), "{json}");
}
