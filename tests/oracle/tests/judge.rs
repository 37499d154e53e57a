//! Does the judge find what must be found, and nothing else? Every row is a recording written by
//! hand; the negative controls are the rows that end in a violation.

#![allow(clippy::unwrap_used, reason = "tests; the lint knows only functions marked as such")]

use std::time::Duration;

use duet_oracle::judge::{Outcome, Start, judge};
use duet_oracle::stream::parse;
use duet_oracle::summary::Way;
use duet_oracle::{Doubt, Stamped, Verdict, Violation};

/// `MILLISECONDS NODE LINE`, one each.
fn recording(text: &str) -> Vec<Stamped> {
    let line = |row: &str| {
        let mut words = row.trim().splitn(3, ' ');
        let at = Duration::from_millis(words.next().unwrap().parse().unwrap());
        let source = words.next().unwrap().to_owned();
        Stamped { at, source, line: parse(words.next().unwrap()) }
    };
    text.lines().filter(|row| !row.trim().is_empty()).map(line).collect()
}

fn verdict(text: &str) -> Verdict {
    judge(&recording(text), Start::Fresh)
}

fn violations(text: &str) -> Vec<Violation> {
    verdict(text).violations.into_iter().map(|found| found.what).collect()
}

fn doubts(text: &str) -> Vec<Doubt> {
    verdict(text).doubts.into_iter().map(|found| found.what).collect()
}

const TAKEOVER: &str = "
    0 n1 B 00000000 00000000
    60 n1 A 00000001
    115 n1 A 00000002
    9000 n2 B 00000002 00000002
    9060 n2 A 00000003";

#[test]
fn a_takeover_with_everything_there_is_intact() {
    let verdict = verdict(TAKEOVER);
    assert_eq!(verdict.outcome(), Outcome::Intact, "{verdict}");
    assert_eq!((verdict.acknowledged, verdict.boots.len()), (3, 2));
    let outage = verdict.last_outage().unwrap();
    assert_eq!((outage.from.as_str(), outage.to.as_str(), outage.way), ("n1", "n2", Way::Boot));
    assert_eq!(outage.downtime(), Duration::from_millis(9060 - 115));
}

#[test]
fn one_write_more_than_acknowledged_is_legal() {
    let text = TAKEOVER
        .replace("B 00000002 00000002", "B 00000003 00000003")
        .replace("n2 A 00000003", "n2 A 00000004");
    let verdict = verdict(&text);
    assert_eq!(verdict.outcome(), Outcome::Intact, "{verdict}");
    assert!(verdict.boots[1].has_unanswered_write());
}

#[test]
fn a_disk_rolled_back_by_one_acknowledged_write_is_reported() {
    let text = TAKEOVER.replace("B 00000002 00000002", "B 00000001 00000001");
    let seen = violations(&text.replace("n2 A 00000003", "n2 A 00000002"));
    assert_eq!(seen, [Violation::LostWrite { acked: 2, found: 1 }]);
}

#[test]
fn a_ring_one_entry_short_is_reported() {
    let text = TAKEOVER.replace("B 00000002 00000002", "B 00000002 00000001");
    let torn = Violation::TornRing { highest: 2, expected: 2, valid: 1 };
    assert_eq!(violations(&text), [torn]);
    let wrapped = judge(&recording("0 n1 B 00000100 0000007e"), Start::Acknowledged(0x100));
    assert_eq!(
        wrapped.violations[0].what,
        Violation::TornRing { highest: 0x100, expected: 127, valid: 126 }
    );
}

#[test]
fn a_stale_disk_is_reported_at_the_first_boot() {
    let seen = violations("0 n1 B 00000005 00000005");
    assert_eq!(seen, [Violation::NotFresh { found: 5, valid: 5 }]);
    let seen = violations("0 n1 B 00000000 00000003");
    assert!(seen.contains(&Violation::NotFresh { found: 0, valid: 3 }), "{seen:?}");
}

#[test]
fn an_entry_that_was_read_once_may_not_vanish() {
    let seen = violations(
        "0 n1 B 00000000 00000000
        60 n1 A 00000001
        5000 n1 B 00000002 00000002
        9000 n2 B 00000001 00000001",
    );
    assert_eq!(seen, [Violation::ReadEntryGone { read: 2, found: 1 }]);
}

#[test]
fn the_old_writer_that_goes_on_after_a_takeover_is_reported() {
    for old in ["A 00000003", "A 00000004", "A 00000005"] {
        let seen = violations(&format!(
            "{TAKEOVER}
            9070 n1 {old}"
        ));
        assert!(matches!(seen[..], [Violation::TwoWriters { .. }]), "{old}: {seen:?}");
    }
}

#[test]
fn the_old_writer_that_wakes_before_the_new_one_confirmed_is_reported() {
    let seen = violations(
        "0 n1 B 00000000 00000000
        60 n1 A 00000001
        9000 n2 B 00000001 00000001
        12000 n1 A 00000002",
    );
    assert!(matches!(seen[..], [Violation::TwoWriters { number: 2, .. }]), "{seen:?}");
}

#[test]
fn two_interleaved_writers_are_one_finding_with_its_turns() {
    let seen = violations(&format!(
        "{TAKEOVER}
        9065 n1 A 00000003
        9120 n1 A 00000004
        9125 n2 A 00000004
        9180 n1 A 00000005"
    ));
    let [Violation::TwoWriters { holder, other, turns, until, .. }] = &seen[..] else {
        panic!("{seen:?}")
    };
    assert_eq!((holder.as_str(), other.as_str(), *turns), ("n2", "n1", 3));
    assert_eq!(*until, Duration::from_millis(9180));
}

const MIGRATION: &str = "
    0 n1 B 00000000 00000000
    60 n1 A 00000001
    115 n1 A 00000002
    900 n2 A 00000003
    2100 n2 A 00000004";

#[test]
fn a_live_migration_goes_on_counting() {
    let verdict = verdict(MIGRATION);
    assert_eq!(verdict.outcome(), Outcome::Intact, "{verdict}");
    let outage = verdict.last_outage().unwrap();
    assert_eq!((outage.way, outage.boot), (Way::LiveMigration, None));
    assert_eq!(outage.downtime(), Duration::from_millis(785));
}

#[test]
fn a_migration_back_is_legal_once_the_guest_has_been_away() {
    let text = format!(
        "{MIGRATION}
        3000 n1 A 00000005"
    );
    assert_eq!(verdict(&text).outcome(), Outcome::Intact);
}

#[test]
fn both_ends_of_a_migration_writing_are_two_writers() {
    let text = format!(
        "{MIGRATION}
        2200 n1 A 00000003"
    );
    assert!(matches!(violations(&text)[..], [Violation::TwoWriters { number: 3, .. }]));
}

#[test]
fn no_guest_migrates_there_and_back_in_a_moment() {
    let text = MIGRATION.replace("2100 n2", "955 n1");
    assert!(matches!(violations(&text)[..], [Violation::TwoWriters { number: 4, .. }]));
}

#[test]
fn a_lost_confirmation_is_a_gap_and_hides_no_lost_write() {
    let text = TAKEOVER.replace("60 n1 A 00000001\n", "");
    assert_eq!(doubts(&text), [Doubt::StreamGap { first: 1, last: 1 }]);
    assert_eq!(verdict(&text).outcome(), Outcome::Incomplete);
    let lost = text.replace("B 00000002 00000002", "B 00000001 00000001");
    assert!(violations(&lost).contains(&Violation::LostWrite { acked: 2, found: 1 }));
}

#[test]
fn more_on_the_disk_than_was_heard_is_a_doubt() {
    let text = TAKEOVER
        .replace("B 00000002 00000002", "B 00000004 00000004")
        .replace("n2 A 00000003", "n2 A 00000005");
    assert_eq!(doubts(&text), [Doubt::UnseenWrites { known: 2, found: 4 }]);
}

#[test]
fn a_number_confirmed_again_without_a_boot_is_reported_once() {
    let seen = violations(
        "0 n1 B 00000000 00000000
        60 n1 A 00000001
        115 n1 A 00000002
        170 n1 A 00000002
        225 n1 A 00000003",
    );
    assert_eq!(seen, [Violation::NumberJumped { expected: 3, got: 2 }]);
}

#[test]
fn an_unreadable_boot_line_does_not_hide_a_lost_write() {
    let torn = TAKEOVER.replace("B 00000002 00000002", "B 0000000 00000002");
    assert_eq!(doubts(&torn), [Doubt::BootUnreadable { found: 2 }]);
    let lost = torn.replace("n2 A 00000003", "n2 A 00000002");
    assert_eq!(violations(&lost), [Violation::LostWrite { acked: 2, found: 1 }]);
}

#[test]
fn write_errors_are_counted_until_the_write_succeeds() {
    let verdict = verdict(
        "0 n1 B 00000000 00000000
        60 n1 E 00000001
        115 n1 E 00000001
        170 n1 A 00000001
        225 n1 E 00000002",
    );
    assert_eq!(verdict.outcome(), Outcome::Intact);
    let [first, second] = &verdict.write_errors[..] else { panic!("{verdict:?}") };
    assert_eq!((first.number, first.count), (1, 2));
    assert_eq!(first.ended, Some(Duration::from_millis(170)));
    assert_eq!((second.number, second.count, second.ended), (2, 1, None));
}

#[test]
fn errors_of_a_node_that_lost_the_guest_are_no_second_writer() {
    let text = format!(
        "{TAKEOVER}
        9070 n1 E 00000003"
    );
    assert_eq!(verdict(&text).outcome(), Outcome::Intact);
}

#[test]
fn a_freeze_is_measured() {
    let verdict = verdict(
        "0 n1 B 00000000 00000000
        60 n1 A 00000001
        6460 n1 A 00000002
        6515 n1 A 00000003
        7000 n1 A 00000004",
    );
    let lengths: Vec<_> =
        verdict.longest_freezes(9).iter().map(|freeze| freeze.length().as_millis()).collect();
    assert_eq!(lengths, [6400, 485]);
}

#[test]
fn silence_proves_nothing() {
    assert_eq!(verdict("").outcome(), Outcome::Incomplete);
    assert_eq!(doubts(""), [Doubt::NothingSeen]);
}

#[test]
fn findings_are_readable() {
    let text = TAKEOVER.replace("B 00000002 00000002", "B 00000001 00000001");
    let shown = verdict(&text).to_string();
    assert!(
        shown.contains(
            "9.000 s, n2: LOST WRITE: write 2 was acknowledged, but the disk ends at 1 (1 lost)"
        ),
        "{shown}"
    );
}
