//! What is written is read back, and nothing else is believed.
#![allow(clippy::disallowed_methods, reason = "tests put files in the way")]

use super::*;
use proptest::prelude::*;

fn mark(daemon: u64, seconds: u64) -> Mark {
    Mark { boot: "b1".into(), daemon, controller: 9, at: Duration::from_secs(seconds) }
}

fn record() -> Record {
    Record {
        instance: "p_drbd".into(),
        resource: "r0".into(),
        file: "/etc/drbd.conf".into(),
        options: Options {
            scores: Scores::DEFAULT,
            peer_primary: PeerPrimary::RemoveUnexpected,
            promoted_max: 1,
        },
        kept: Kept {
            stand_alone: vec!["node2".into(), "peer 0".into()],
            is_stacked: true,
            link: Link::Unmade,
        },
        written: Some(Written { score: Score::Set(1000), mark: mark(7, 100) }),
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        value in 0u32..=1_000_000,
        daemon: u64,
        controller: u64,
        at in 0u64..1_000_000_000,
        promoted_max in 1u32..3,
        rule in 0usize..3,
        is_written: bool,
    ) {
        let score = if value == 0 { Score::Remove } else { Score::Set(value) };
        let at = Duration::from_millis(at);
        let mark = Mark { boot: "b1".into(), daemon, controller, at };
        let options = Options { promoted_max, peer_primary: RULES[rule], ..record().options };
        let written = is_written.then_some(Written { score, mark });
        let record = Record { options, written, ..record() };
        prop_assert_eq!(Record::parse(&record.render()), Some(record));
    }

    #[test]
    fn any_other_text_is_nothing(text in ".{0,80}") {
        prop_assert_eq!(Record::parse(&text), None);
    }
}

#[test]
fn half_a_record_is_nothing() {
    let whole = record().render();
    for length in 0..whole.len() {
        assert_eq!(Record::parse(&whole[..length]), None, "{length}");
    }
    assert!(Record::parse(&whole).is_some());
    assert_eq!(Record::parse(&whole.replace("record 3", "record 2")), None);
    assert_eq!(Record::parse(&whole.replace("score=1000", "score=many")), None);
    assert_eq!(Record::parse(&whole.replace("unexpected", "perhaps")), None);
    assert_eq!(Record::parse(&whole.replace("link=unmade", "link=perhaps")), None);
    assert_eq!(Record::parse(&whole.replace("stacked=yes", "stacked=perhaps")), None);
}

#[test]
fn a_score_is_believed_on_this_boot_under_these_daemons_and_for_a_minute() {
    let record = record();
    let believed = |now: &Mark| record.score(Some(now));
    assert_eq!(believed(&mark(7, 100)), Some(Score::Set(1000)));
    assert_eq!(believed(&mark(7, 159)), Some(Score::Set(1000)));
    assert_eq!(believed(&mark(7, 160)), None, "too old");
    assert_eq!(believed(&mark(7, 99)), None, "from the future");
    assert_eq!(believed(&mark(8, 110)), None, "another daemon");
    for controller in [0, 10] {
        let other = Mark { controller, ..mark(7, 110) };
        assert_eq!(believed(&other), None, "another controller, or none");
    }
    assert_eq!(believed(&Mark { boot: "b2".into(), ..mark(7, 110) }), None, "another boot");
    assert_eq!(record.score(None), None, "nobody knows");
    assert_eq!(Record { written: None, ..record }.score(Some(&mark(7, 100))), None);
}

#[test]
fn other_options_are_another_score() {
    let other = |change: fn(&mut Record)| {
        let mut other = record();
        change(&mut other);
        record().is_of(&other)
    };
    assert!(other(|record| record.written = None));
    assert!(other(|record| record.kept.stand_alone.clear()));
    assert!(!other(|record| record.instance.push('2')));
    assert!(!other(|record| record.resource.push('2')));
    assert!(!other(|record| record.file.push("2")));
    assert!(!other(|record| record.options.promoted_max = 2));
    assert!(!other(|record| record.options.scores.best = 2));
    assert!(!other(|record| record.options.peer_primary = PeerPrimary::Ignore));
}

#[test]
fn the_daemon_is_the_socket_that_listens() {
    let head = "Num       RefCount Protocol Flags    Type St Inode Path\n";
    let listening = "0000000000000000: 00000002 00000000 00010000 0001 01 13003 @attrd";
    let connected = "0000000000000000: 00000003 00000000 00000000 0001 03 13999 @attrd";
    let daemon = |text: &str| super::listening(text, "attrd");
    assert_eq!(daemon(&format!("{head}{connected}\n{listening}@@@@@\n")), Some(13003));
    assert_eq!(super::listening(&format!("{head}{listening}@@@@@\n"), "crmd"), None);
    assert_eq!(
        daemon(&format!("{head}{}\n", listening.replace("@attrd", "/run/attrd"))),
        Some(13003)
    );
    assert_eq!(daemon(&format!("{head}{connected}\n")), None);
    for other in ["@attrd2", "@xattrd", "@stonith-ng", ""] {
        assert_eq!(
            daemon(&format!("{head}{}\n", listening.replace("@attrd", other))),
            None,
            "{other}"
        );
    }
    assert_eq!(daemon("garbage"), None);
}

#[test]
fn records_of_a_directory_are_found_and_nothing_else_is() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    record().write(&at("drbd-p_drbd.record")).unwrap();
    std::fs::write(at("drbd-p_other.record"), "garbage").unwrap();
    record().write(&at("VirtualDomain-p.record")).unwrap();
    std::fs::write(at("drbd-p_drbd.lock"), "").unwrap();
    assert_eq!(all(directory.path()), [(at("drbd-p_drbd.record"), record())]);
    assert_eq!(all(&at("nowhere")), []);
}

#[test]
fn what_somebody_else_could_have_written_is_replaced_and_not_believed() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("drbd-p_drbd.record");
    record().write(&path).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
    assert_eq!(Record::read(&path), None);
    record().write(&path).unwrap();
    assert_eq!(Record::read(&path), Some(record()));
}

#[test]
fn what_is_seen_under_another_controller_is_soon_looked_at_again() {
    let before = mark(1, 100);
    let same = mark(1, 200);
    assert_eq!(same.clone().after(Some(&before)), same);
    for before in [None, Some(&mark(2, 100))] {
        let after = same.clone().after(before);
        assert!(after.is_of(&same));
        assert!(after.holds(&mark(1, 214)));
        assert!(!after.holds(&mark(1, 215)));
    }
    assert!(mark(1, 3).after(None).holds(&mark(1, 59)));
}
