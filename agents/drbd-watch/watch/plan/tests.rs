//! The plan over every course of a few events: what was told is looked at, what failed is tried again, and nothing goes in circles.

use super::*;
use drbd_agent::{
    config::Options,
    score::{PeerPrimary, Score, Scores},
};
use duet_drbd::{Disk, Resource, Role, Volume};

const V9: Version = Version { major: 9, minor: 2, patch: 16 };
const PATH: &str = "/run/a/drbd-p.record";

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn path() -> &'static Path {
    Path::new(PATH)
}

fn mark(daemon: u64) -> Mark {
    Mark { boot: "a-boot".to_owned(), daemon, controller: 9, at: at(1) }
}

fn record(resource: &str, written: Option<Mark>) -> Record {
    let options =
        Options { scores: Scores::DEFAULT, peer_primary: PeerPrimary::Ignore, promoted_max: 1 };
    Record {
        instance: "p".to_owned(),
        resource: resource.to_owned(),
        file: "/etc/drbd.conf".into(),
        options,
        kept: drbd_agent::record::Kept::default(),
        written: written.map(|mark| Written { score: Score::Set(1000), mark }),
    }
}

fn records() -> Vec<(PathBuf, Record)> {
    vec![(PATH.into(), record("r0", Some(mark(7))))]
}

fn world(disk: Disk, out_of_sync: bool) -> World {
    let volume = Volume { disk, quorum: Some(true), open: Some(out_of_sync), ..Volume::default() };
    let r0 =
        Resource { role: Role::Secondary, volumes: [(0, volume)].into(), ..Resource::default() };
    World::Seen { version: V9, view: View { resources: [("r0".to_owned(), r0)].into() } }
}

/// A plan in which r0 was looked at, and is as it should be.
fn settled() -> Plan {
    let mut plan = Plan::default();
    plan.told(&records(), &world(Disk::UpToDate, false), at(1));
    assert_eq!(plan.start(&world(Disk::UpToDate, false), at(1)), [path()]);
    plan.came(path(), &Came::To(Done::InPlace(Score::Set(1000))), at(1));
    plan
}

fn is_due(plan: &mut Plan, world: &World, now: Duration) -> bool {
    let due = plan.next_due(world).is_some_and(|due| due <= now);
    let started = plan.start(world, now);
    assert_eq!(due, !started.is_empty(), "what is due is started, and nothing else");
    due
}

#[test]
fn a_change_is_looked_at_and_the_same_again_is_not() {
    let (good, bad) = (world(Disk::UpToDate, false), world(Disk::Outdated, false));
    let mut plan = settled();
    for _ in 0..3 {
        plan.told(&records(), &good, at(2));
        assert!(!is_due(&mut plan, &good, at(2)), "nothing has changed");
    }
    plan.told(&records(), &bad, at(3));
    assert!(is_due(&mut plan, &bad, at(3)));
    assert!(!is_due(&mut plan, &bad, at(3)), "somebody is at it");
}

#[test]
fn what_changes_while_somebody_is_at_it_is_looked_at_afterwards() {
    let (good, bad) = (world(Disk::UpToDate, false), world(Disk::Outdated, false));
    let all = [
        Came::To(Done::Wrote(Score::Set(10))),
        Came::To(Done::Restored(Score::Set(10))),
        Came::To(Done::InPlace(Score::Remove)),
        Came::To(Done::Left(None)),
        Came::To(Done::Left(Some("why".to_owned()))),
        Came::To(Done::LeftToHolder),
        Came::Failed("why".to_owned()),
        Came::Refused,
    ];
    for came in all {
        let mut plan = settled();
        plan.told(&records(), &bad, at(3));
        assert!(is_due(&mut plan, &bad, at(3)));
        plan.told(&records(), &good, at(4));
        assert!(!is_due(&mut plan, &good, at(4)), "one at a time");
        plan.came(path(), &came, at(5));
        // A better score waits for the moment that the one before it stands.
        if matches!(came, Came::To(Done::Wrote(_))) {
            assert!(!is_due(&mut plan, &good, at(5) + STANDS / 2), "{came:?}");
            assert!(is_due(&mut plan, &good, at(5) + STANDS), "{came:?}");
        } else {
            assert!(is_due(&mut plan, &good, at(5)), "{came:?}");
        }
    }
}

#[test]
fn what_came_to_nothing_is_tried_again_at_a_sign_of_life_and_not_before() {
    let good = world(Disk::UpToDate, false);
    for came in [
        Came::Failed(String::new()),
        Came::Refused,
        Came::To(Done::Left(None)),
        Came::To(Done::Left(Some(String::new()))),
    ] {
        let mut plan = Plan::default();
        plan.told(&records(), &good, at(1));
        assert!(is_due(&mut plan, &good, at(1)));
        plan.came(path(), &came, at(2));
        plan.told(&records(), &good, at(3));
        assert!(!is_due(&mut plan, &good, at(3)), "{came:?}");
        // Whether the cluster is to be seen or not.
        plan.beat(&records(), &good, None, at(10));
        assert!(is_due(&mut plan, &good, at(10)), "{came:?}");
        plan.came(path(), &Came::To(Done::InPlace(Score::Remove)), at(11));
        plan.beat(&records(), &good, Some(&mark(7)), at(20));
        assert!(!is_due(&mut plan, &good, at(20)), "{came:?}");
    }
}

#[test]
fn one_that_somebody_else_is_at_is_tried_again_soon() {
    let good = world(Disk::UpToDate, false);
    let mut plan = Plan::default();
    plan.told(&records(), &good, at(1));
    assert!(is_due(&mut plan, &good, at(1)));
    plan.came(path(), &Came::To(Done::LeftToHolder), at(3));
    assert_eq!(plan.next_due(&good), Some(at(3) + HOLDER_PAUSE));
    assert!(!is_due(&mut plan, &good, at(3)));
    assert!(is_due(&mut plan, &good, at(3) + HOLDER_PAUSE));
}

#[test]
fn a_score_that_the_cluster_has_lost_is_written_again() {
    let good = world(Disk::UpToDate, false);
    for (written, now, due) in [
        (Some(mark(7)), Some(mark(7)), false),
        (Some(mark(7)), Some(mark(8)), true),
        (Some(mark(7)), Some(Mark { boot: "another".to_owned(), ..mark(7) }), true),
        (Some(mark(7)), Some(Mark { controller: 10, ..mark(7) }), true),
        // However old: the agent's monitor sees to that.
        (Some(mark(7)), Some(Mark { at: at(100_000), ..mark(7) }), false),
        (None, Some(mark(7)), true),
        (Some(mark(7)), None, false),
        (None, None, false),
    ] {
        let mut plan = settled();
        let records = vec![(PathBuf::from(PATH), record("r0", written.clone()))];
        plan.beat(&records, &good, now.as_ref(), at(10));
        assert_eq!(is_due(&mut plan, &good, at(10)), due, "{written:?} {now:?}");
    }
}

#[test]
fn a_module_that_is_gone_concerns_everybody_and_one_that_cannot_be_heard_nobody() {
    let mut plan = settled();
    plan.told(&records(), &World::NoModule, at(2));
    assert!(is_due(&mut plan, &World::NoModule, at(2)));
    let mut plan = settled();
    plan.told(&records(), &World::Unknown, at(2));
    plan.beat(&records(), &World::Unknown, Some(&mark(8)), at(3));
    assert!(!is_due(&mut plan, &World::Unknown, at(3)), "nothing is concluded from not knowing");
    let good = world(Disk::UpToDate, false);
    assert!(is_due(&mut plan, &good, at(4)), "but nothing is forgotten either");
}

#[test]
fn when_listening_begins_anew_everybody_is_looked_at() {
    let good = world(Disk::UpToDate, false);
    let mut plan = settled();
    plan.lost();
    assert!(!is_due(&mut plan, &good, at(2)));
    plan.told(&records(), &good, at(3));
    assert!(is_due(&mut plan, &good, at(3)));
}

#[test]
fn a_state_that_flaps_writes_twice_a_second_and_each_worse_score_at_once() {
    let (good, bad) = (world(Disk::UpToDate, false), world(Disk::Outdated, false));
    let (best, worst) = (Score::Set(1000), Score::Remove);
    let mut plan = settled();
    plan.came(path(), &Came::To(Done::Wrote(best)), at(9));
    let (mut placed, mut writes) = (best, 0);
    for tick in 0..50_u32 {
        let now = at(10) + Duration::from_millis(100) * tick;
        let (world, score) = if tick % 2 == 0 { (&bad, worst) } else { (&good, best) };
        let mark = Mark { at: now, ..mark(7) };
        let record =
            Record { written: Some(Written { score: placed, mark }), ..record("r0", None) };
        plan.told(&[(PathBuf::from(PATH), record)], world, now);
        if is_due(&mut plan, world, now) {
            let done = if score == placed { Done::InPlace(score) } else { Done::Wrote(score) };
            writes += u32::from(score != placed);
            placed = score;
            plan.came(path(), &Came::To(done), now);
        }
        assert!(world == &good || placed == worst, "{tick}");
    }
    assert!((5..=11).contains(&writes), "{writes}");
    assert!(is_due(&mut plan, &good, at(16)) || placed == best, "the better one is not forgotten");
}

#[test]
fn it_is_known_since_when_nothing_was_seen_of_one() {
    let good = world(Disk::UpToDate, false);
    let began = || {
        let mut plan = Plan::default();
        plan.told(&records(), &good, at(1));
        assert_eq!(plan.blindest(), None, "nobody has looked");
        assert!(is_due(&mut plan, &good, at(2)));
        plan
    };
    let blind = |why: Option<&str>| {
        Some(Blind { instance: "p".to_owned(), since: at(2), why: why.map(str::to_owned) })
    };
    for (came, expected) in [
        (Came::Failed("it hangs".to_owned()), blind(Some("it hangs"))),
        (Came::To(Done::Left(Some("it hangs".to_owned()))), blind(Some("it hangs"))),
        // That the cluster is ill is no failure of looking.
        (Came::Refused, None),
        (Came::To(Done::Left(None)), None),
        (Came::To(Done::LeftToHolder), None),
        (Came::To(Done::InPlace(Score::Remove)), None),
        (Came::To(Done::Wrote(Score::Remove)), None),
        (Came::NotManaged, None),
    ] {
        let mut plan = began();
        assert_eq!(plan.blindest(), blind(None), "it has not come back");
        // Forgotten by the agent meanwhile, or not: whoever does not come back does not.
        plan.told(&[], &good, at(3));
        assert_eq!(plan.blindest(), blind(None));
        plan.told(&records(), &good, at(4));
        plan.came(path(), &came, at(5));
        assert_eq!(plan.blindest(), expected, "{came:?}");
        // Trying again is no success.
        plan.beat(&records(), &good, Some(&mark(7)), at(10));
        let again = is_due(&mut plan, &good, at(10));
        assert!(again || expected.is_none(), "{came:?}");
        assert!(expected.is_none() || plan.blindest() == expected, "{came:?}");
        plan.came(path(), &Came::To(Done::InPlace(Score::Remove)), at(11));
        assert_eq!(plan.blindest(), None, "{came:?}");
    }
}

#[test]
fn one_that_nobody_manages_any_more_is_left_alone() {
    let good = world(Disk::UpToDate, false);
    let bad = world(Disk::Outdated, false);
    let mut plan = settled();
    plan.told(&[], &bad, at(2));
    assert!(!is_due(&mut plan, &bad, at(2)));
    let mut plan = settled();
    plan.told(&records(), &bad, at(2));
    assert!(is_due(&mut plan, &bad, at(2)));
    plan.told(&[], &good, at(3));
    plan.came(path(), &Came::NotManaged, at(4));
    plan.beat(&[], &good, Some(&mark(8)), at(10));
    assert!(!is_due(&mut plan, &good, at(10)));
    plan.told(&records(), &good, at(11));
    assert!(is_due(&mut plan, &good, at(11)), "and is one again when somebody does");
}

#[test]
fn no_more_than_a_few_are_at_it_and_all_get_their_turn() {
    let count = 3 * AT_ONCE + 1;
    let records: Vec<(PathBuf, Record)> = (0..count)
        .map(|number| (PathBuf::from(format!("/run/a/drbd-{number}.record")), record("r0", None)))
        .collect();
    let good = world(Disk::UpToDate, false);
    let mut plan = Plan::default();
    plan.told(&records, &good, at(1));
    let mut turns = 0;
    let mut busy = Vec::new();
    loop {
        let started = plan.start(&good, at(1));
        turns += started.len();
        busy.extend(started);
        assert!(busy.len() <= AT_ONCE);
        if busy.len() == AT_ONCE {
            assert_eq!(plan.next_due(&good), None, "waiting must not spin");
        }
        let Some(path) = busy.pop() else { break };
        plan.came(&path, &Came::To(Done::Wrote(Score::Set(1))), at(1));
    }
    assert_eq!(turns, count);
}

/// Each event of a short alphabet, in every order.
#[test]
fn whatever_happens_the_latest_facts_are_looked_at_in_the_end() {
    let worlds = [world(Disk::UpToDate, false), world(Disk::Outdated, false), World::NoModule];
    let came = [Came::To(Done::Wrote(Score::Set(1))), Came::To(Done::LeftToHolder), Came::Refused];
    let letters = worlds.len() + came.len() + 2;
    for word in 0..letters.pow(5) {
        let mut plan = settled();
        let (mut rest, mut now, mut latest) = (word, at(10), 0);
        // Which world the last look that came to something has seen, at least.
        let mut looking: Option<usize> = None;
        let mut looked = 0;
        for _ in 0..5 {
            let letter = rest % letters;
            rest /= letters;
            now += at(1);
            if letter < worlds.len() {
                latest = letter;
                plan.told(&records(), &worlds[latest], now);
            } else if letter < worlds.len() + came.len() {
                if let Some(world) = looking.take() {
                    let came = &came[letter - worlds.len()];
                    plan.came(path(), came, now);
                    if matches!(came, Came::To(Done::Wrote(_))) {
                        looked = world;
                    }
                }
            } else if letter == letters - 1 {
                plan.lost();
                plan.told(&records(), &worlds[latest], now);
            } else {
                plan.beat(&records(), &worlds[latest], Some(&mark(7)), now);
            }
            if plan.start(&worlds[latest], now) == [path()] {
                assert_eq!(looking.replace(latest), None, "two at once");
            }
        }
        // Somebody who is at it succeeds; a sign of life later everything is done.
        for _ in 0..3 {
            now += at(10);
            if let Some(world) = looking.take() {
                plan.came(path(), &Came::To(Done::Wrote(Score::Set(1))), now);
                looked = world;
            }
            plan.beat(&records(), &worlds[latest], Some(&mark(7)), now);
            if plan.start(&worlds[latest], now) == [path()] {
                looking = Some(latest);
            }
        }
        assert_eq!((looking, looked), (None, latest), "word {word}");
    }
}
