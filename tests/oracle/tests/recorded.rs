//! The judge over a recording of real machines, and over every copy of it with one line altered:
//! what is real must pass, what is altered must be found out.

#![allow(clippy::unwrap_used, reason = "tests; the lint knows only functions marked as such")]

use duet_oracle::event::{from_json_lines, serial_lines};
use duet_oracle::judge::{Outcome, Start, judge};
use duet_oracle::summary::Way;
use duet_oracle::{Line, Stamped, Verdict, Violation};

const RECORDING: &str = include_str!("../../recorded/oracle/two-nodes.jsonl");
const STALE: &str = include_str!("../../recorded/oracle/stale-disk.jsonl");
const TWO_WRITERS: &str = include_str!("../../recorded/oracle/two-writers.jsonl");

fn lines() -> Vec<Stamped> {
    serial_lines(&from_json_lines(RECORDING).unwrap())
}

fn fresh(lines: &[Stamped]) -> Verdict {
    judge(lines, Start::Fresh)
}

fn is_ack(line: &Stamped) -> bool {
    matches!(line.line, Line::Ack(_))
}

/// Confirmations with confirmations of the same node on both sides.
fn inner_acks(lines: &[Stamped]) -> Vec<usize> {
    let steady =
        |three: &[Stamped]| three.iter().all(|line| is_ack(line) && line.source == three[0].source);
    (1..lines.len() - 1).filter(|&index| steady(&lines[index - 1..=index + 1])).collect()
}

fn boots(lines: &[Stamped]) -> Vec<usize> {
    (0..lines.len()).filter(|&index| matches!(lines[index].line, Line::Boot { .. })).collect()
}

#[test]
fn the_real_recording_is_intact() {
    let verdict = fresh(&lines());
    assert_eq!(verdict.outcome(), Outcome::Intact, "{verdict}");
    assert_eq!((verdict.boots.len(), verdict.garbled), (4, 0));
    assert!(verdict.acknowledged > 700);
    let ways: Vec<Way> = verdict.outages.iter().map(|outage| outage.way).collect();
    assert_eq!(ways, [Way::Boot, Way::Boot, Way::LiveMigration, Way::Boot]);
}

/// Negative control with real machines: the second node boots from a copy that is a second old.
#[test]
fn a_real_stale_disk_is_reported() {
    let lines = serial_lines(&from_json_lines(STALE).unwrap());
    let error = fresh(&lines).require_intact().unwrap_err();
    let [only] = &error.0.violations[..] else { panic!("{error}") };
    assert_eq!(only.what, Violation::LostWrite { acked: 88, found: 70 });
    assert!(error.to_string().contains("write 88 was acknowledged"), "{error}");
}

/// Negative control with real machines: both nodes run the guest, each on its own disk.
#[test]
fn two_real_writers_are_reported() {
    let lines = serial_lines(&from_json_lines(TWO_WRITERS).unwrap());
    let verdict = fresh(&lines);
    let two = |v: &Violation| matches!(v, Violation::TwoWriters { turns: 100.., .. });
    assert!(verdict.violations.iter().any(|found| two(&found.what)), "{verdict}");
}

#[test]
fn the_ring_has_gone_round() {
    let verdict = fresh(&lines());
    let last = verdict.boots.last().unwrap();
    assert!(last.found > 127);
    assert_eq!(last.valid, Some(127));
}

#[test]
fn every_boot_that_finds_one_write_less_is_reported() {
    let real = lines();
    for index in boots(&real).into_iter().skip(1) {
        let mut copy = real.clone();
        let Line::Boot { highest, .. } = &mut copy[index].line else { panic!() };
        *highest -= 1;
        let found = *highest;
        let seen = fresh(&copy);
        let lost = Violation::LostWrite { acked: found + 1, found };
        assert!(seen.violations.iter().any(|v| v.what == lost), "line {index}: {seen}");
    }
}

#[test]
fn every_boot_that_finds_one_entry_less_is_reported() {
    let real = lines();
    for index in boots(&real).into_iter().skip(1) {
        let mut copy = real.clone();
        let Line::Boot { valid, .. } = &mut copy[index].line else { panic!() };
        *valid -= 1;
        let seen = fresh(&copy);
        let torn = |v: &Violation| matches!(v, Violation::TornRing { .. });
        assert!(seen.violations.iter().any(|v| torn(&v.what)), "line {index}: {seen}");
    }
}

#[test]
fn every_confirmation_from_the_wrong_node_is_reported() {
    let real = lines();
    for index in inner_acks(&real) {
        let mut copy = real.clone();
        let other = if copy[index].source == "node1" { "node2" } else { "node1" };
        copy[index].source = other.to_owned();
        let seen = fresh(&copy);
        let two = |v: &Violation| matches!(v, Violation::TwoWriters { .. });
        assert!(seen.violations.iter().any(|v| two(&v.what)), "line {index}: {seen}");
    }
}

#[test]
fn every_missing_confirmation_is_a_gap_and_no_loss() {
    let real = lines();
    for index in inner_acks(&real) {
        let mut copy = real.clone();
        copy.remove(index);
        let seen = fresh(&copy);
        assert_eq!(seen.outcome(), Outcome::Incomplete, "line {index}: {seen}");
    }
}

#[test]
fn every_confirmation_said_twice_is_reported() {
    let real = lines();
    for index in inner_acks(&real) {
        let mut copy = real.clone();
        copy.insert(index, real[index].clone());
        let seen = fresh(&copy);
        let jumped = |v: &Violation| matches!(v, Violation::NumberJumped { .. });
        assert!(seen.violations.iter().any(|v| jumped(&v.what)), "line {index}: {seen}");
    }
}

#[test]
fn a_recording_of_a_used_disk_is_not_one_of_a_fresh_disk() {
    let real = lines();
    let second = boots(&real)[1];
    let later = &real[second..];
    assert_eq!(fresh(later).outcome(), Outcome::Violated);
    assert_eq!(judge(later, Start::Unknown).outcome(), Outcome::Intact);
    let acked = real[..second].iter().filter(|line| is_ack(line)).count();
    let acked = u32::try_from(acked).unwrap();
    assert_eq!(judge(later, Start::Acknowledged(acked)).outcome(), Outcome::Intact);
    assert_eq!(judge(later, Start::Acknowledged(acked + 1)).outcome(), Outcome::Violated);
}
