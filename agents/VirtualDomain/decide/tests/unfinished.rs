//! Domains that were created and not let run: the rules over the product of states, and the situations one by one.

use super::*;
use crate::snapshot::{Image, Images, Snapshot};

const BOTH: [Unfinished; 2] = [Unfinished::Begun, Unfinished::GivenUp];

fn create() -> Step {
    Step::Create { name: "web".into(), leaves_memory_image: false }
}

fn restore() -> Step {
    Step::Restore { name: "web".into(), leaves_memory_image: false }
}

fn resume() -> Step {
    Step::Resume(domain(OURS, 3, 1).reference)
}

fn destroy() -> Step {
    Step::Destroy(domain(OURS, 3, 1).reference)
}

/// `paused`, with this reason, after a start that was not seen to succeed.
fn left(unfinished: Unfinished, reason: i32) -> Observation {
    let unclear = (unfinished == Unfinished::Begun).then(|| crate::memory::BEGUN.into());
    let unfinished = Some(unfinished);
    Observation { remembered: None, unclear, unfinished, ..ours(domain(OURS, 3, reason)) }
}

fn gone(unfinished: Unfinished) -> Observation {
    Observation { libvirt: Answer::Known { ours: None, namesake: None }, ..left(unfinished, 1) }
}

fn with_snapshot() -> Config {
    let snapshot = Snapshot { directory: "/srv/images".into(), is_shared: false };
    Config { snapshot: Some(snapshot), ..config(false, OnPausedByError::Fail) }
}

/// The latest order that makes or ends a domain was a creation, and libvirt said yes.
fn created_here(progress: &Progress<Step>) -> bool {
    let latest = progress.applied.iter().rev().find(|applied| {
        matches!(applied.step, Step::Create { .. } | Step::Restore { .. } | Step::Destroy(_))
    });
    latest
        .is_some_and(|latest| latest.failure.is_none() && !matches!(latest.step, Step::Destroy(_)))
}

#[test]
fn a_domain_runs_only_by_the_start_that_created_it_and_in_time() {
    let resumes = std::cell::Cell::new(0);
    for action in [Action::Start, Action::Stop, Action::Monitor, Action::Status] {
        let request = request(action, "0");
        product(|config, seen, progress| {
            let Next::Do(Step::Resume(who)) = next(config, &request, seen, progress) else {
                return;
            };
            let there = active(seen).expect("it was seen");
            assert_eq!((action, &who), (Action::Start, &there.reference));
            assert_eq!(there.state, State::from_numbers(3, 1), "seen standing still");
            assert!(!progress.remaining.is_zero() && created_here(progress), "{progress:?}");
            resumes.set(resumes.get() + 1);
        });
    }
    assert!(resumes.get() > 0);
}

#[test]
fn what_a_start_has_left_behind_is_neither_well_nor_gone_and_only_ever_ended() {
    for (action, interval) in [
        (Action::Start, "0"),
        (Action::Stop, "0"),
        (Action::Monitor, "0"),
        (Action::Monitor, "10000"),
        (Action::Status, "0"),
    ] {
        let request = request(action, interval);
        product(|config, seen, progress| {
            let Some(there) = active(seen).filter(|_| seen.unfinished.is_some()) else { return };
            let fresh = [State::from_numbers(3, 1), State::from_numbers(3, 11)];
            if !fresh.contains(&there.state) {
                return;
            }
            let next = next(config, &request, seen, progress);
            let own = action == Action::Start && created_here(progress);
            match &next {
                // Without a definition, a start ends before it matters who is there.
                Next::Done(outcome) if action == Action::Start => {
                    assert!([ExitCode::Generic, ExitCode::Installed].contains(&outcome.code));
                }
                Next::Done(outcome) => assert_eq!(outcome.code, ExitCode::Generic, "{outcome:?}"),
                Next::Do(Step::Destroy(who)) => assert_eq!(who, &there.reference),
                Next::Do(Step::Resume(_)) => assert!(own, "{progress:?}"),
                Next::Wait { .. } => assert!(matches!(action, Action::Start | Action::Stop)),
                Next::Do(other) => panic!("{action}: {other}"),
            }
        });
    }
}

#[test]
fn a_start_lets_run_what_it_created_once_that_is_seen_standing_still() {
    for (made, reason, config) in [
        (create(), 1, config(false, OnPausedByError::Fail)),
        (restore(), 2, with_snapshot()),
        (restore(), 1, with_snapshot()),
    ] {
        let (seen, request) = (left(Unfinished::Begun, reason), request(Action::Start, "0"));
        let made = having(at(1, 87), made, 1, None);
        assert_eq!(next(&config, &request, &seen, &made), Next::Do(resume()));
        let resumed = having(made.clone(), resume(), 1, None);
        let waits = next(&config, &request, &seen, &resumed);
        assert!(matches!(waits, Next::Wait { .. }), "success is seen: {waits:?}");
        let late = Progress { remaining: Duration::ZERO, ..made };
        let failed = next(&config, &request, &seen, &late);
        assert_eq!(code(&failed), Some(ExitCode::Generic));
        assert!(super::reason(&failed).contains("paused"), "{failed:?}");
    }
}

/// The memory may have gone, with the directory that it is in.
#[test]
fn a_start_lets_run_what_it_created_also_where_nothing_is_remembered() {
    let seen = Observation { remembered: None, ..ours(domain(OURS, 3, 1)) };
    let made = having(at(1, 87), create(), 1, None);
    assert_eq!(decide(Action::Start, "0", &seen, &made), Next::Do(resume()));
}

#[test]
fn a_request_to_run_that_was_lost_is_made_again() {
    let seen = left(Unfinished::Begun, 1);
    let made = having(at(1, 87), create(), 1, None);
    let lost = having(made, resume(), 1, Some("libvirt closed the connection"));
    let soon = decide(Action::Start, "0", &seen, &lost);
    assert!(matches!(soon, Next::Wait { .. }), "{soon:?}");
    let later = Progress { elapsed: Duration::from_secs(3), ..lost };
    assert_eq!(decide(Action::Start, "0", &seen, &later), Next::Do(resume()));
}

/// Its disks were opened when it was created, and another node may have written to them since.
#[test]
fn what_an_earlier_start_has_left_behind_gives_way_to_a_new_one() {
    for unfinished in BOTH {
        let seen = left(unfinished, 1);
        assert_eq!(decide(Action::Start, "0", &seen, &at(0, 88)), Next::Do(destroy()));
        // An order that got no answer may be another one's domain.
        let unanswered = having(at(1, 87), create(), 1, Some("libvirt closed the connection"));
        assert_eq!(decide(Action::Start, "0", &seen, &unanswered), Next::Do(destroy()));
        let ended = having(at(1, 87), destroy(), 1, None);
        assert_eq!(decide(Action::Start, "0", &gone(unfinished), &ended), Next::Do(create()));
        let made = having(ended, create(), 1, None);
        assert_eq!(decide(Action::Start, "0", &seen, &made), Next::Do(resume()));
    }
}

/// Its memory may be older than the disks, and its definition older than the file.
#[test]
fn a_stop_ends_it_at_once_and_keeps_nothing_of_it() {
    let absent = || Image::Absent;
    for unfinished in BOTH {
        for (reason, mut config) in [
            (1, config(false, OnPausedByError::Fail)),
            (1, with_snapshot()),
            (2, with_snapshot()),
            (11, with_snapshot()),
        ] {
            config.upkeep.save = crate::upkeep::Save::Here;
            let mut seen = left(unfinished, reason);
            seen.snapshot =
                Seen::Images(Images { ready: absent(), saving: absent(), restoring: absent() });
            let next = next(&config, &request(Action::Stop, "0"), &seen, &at(0, 88));
            assert_eq!(next, Next::Do(destroy()), "{reason}");
        }
    }
}

#[test]
fn a_migration_does_not_take_it_along() {
    let config = config(false, OnPausedByError::Fail);
    let request = request(Action::MigrateTo, "0");
    for unfinished in BOTH {
        let mut seen = left(unfinished, 1);
        seen.migration = Some(crate::migrate::Sight {
            target: crate::migrate::Target::Known { domain: None, refusal: None },
            job: crate::migrate::Job::None,
            ended_for: Duration::ZERO,
        });
        let plan = crate::migrate::Plan {
            node: "node2".into(),
            remote: "qemu+ssh://node2/system".into(),
            data: None,
            remark: None,
        };
        let migration = crate::migrate::Settings { plan: Some(plan), ..config.migration.clone() };
        let config = Config { migration, ..config.clone() };
        let next = next(&config, &request, &seen, &at(0, 88));
        assert!(reason(&next).contains("begun and not finished"), "{next:?}");
    }
}

#[test]
fn a_guest_that_a_person_has_paused_stays_one() {
    let seen = ours(domain(OURS, 3, 1));
    for (action, interval) in
        [(Action::Start, "0"), (Action::Monitor, "0"), (Action::Monitor, "10000")]
    {
        assert_eq!(code(&decide(action, interval, &seen, &at(0, 88))), Some(ExitCode::Ok));
    }
    // Also in the middle of a start, while its scripts are tried.
    let made = having(having(at(3, 85), create(), 1, None), resume(), 2, None);
    assert_eq!(code(&decide(Action::Start, "0", &seen, &made)), Some(ExitCode::Ok));
}

/// Its questions are answered ahead of the order that waits.
#[test]
fn a_stop_that_sees_no_domain_remembers_that_a_start_may_still_come() {
    let mut seen = gone(Unfinished::Begun);
    let give_up = Step::GiveUp("web".into());
    assert_eq!(decide(Action::Stop, "0", &seen, &at(0, 88)), Next::Do(give_up.clone()));
    let given_up = having(at(0, 88), give_up, 0, None);
    assert_eq!(code(&decide(Action::Stop, "0", &seen, &given_up)), Some(ExitCode::Ok));
    let since = gone(Unfinished::GivenUp);
    assert_eq!(code(&decide(Action::Stop, "0", &since, &at(0, 88))), Some(ExitCode::Ok));
    // An order dies with the daemon that had it.
    seen.libvirt = none(Silence::Nobody, 11);
    seen.processes = Processes::NoneSeen;
    let forget = Next::Do(Step::Forget("web".into()));
    assert_eq!(decide(Action::Stop, "0", &seen, &at(11, 77)), forget);
}
