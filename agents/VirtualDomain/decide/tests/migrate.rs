//! Migration over the product of what can be here, there, and become of the job. What must hold is stated about
//! every combination; single situations by name below.

use super::*;
use crate::migrate::{self, Job, Plan, Settings, Sight, Target, options::Options};

const NO: &str = "it says no";

fn jobs() -> Vec<Job> {
    vec![
        Job::None,
        Job::Running { first_pass_done: false },
        Job::Running { first_pass_done: true },
        Job::Succeeded,
        Job::Failed(NO.into()),
        Job::Lost(NO.into()),
    ]
}

/// Each state with the reasons that mean something here, and one that means nothing.
fn every_state() -> Vec<Option<Domain>> {
    let mut domains = vec![None];
    let reasons = |state| match state {
        1 => vec![1, 10, 11, 99],
        3 => vec![0, 1, 2, 5, 11, 12, 13, 99],
        5 => vec![0, 1, 2, 3, 4, 6, 99],
        _ => vec![0],
    };
    for state in 0..9 {
        domains.extend(reasons(state).into_iter().map(|reason| Some(domain(OURS, state, reason))));
    }
    domains
}

fn settings(options: &str) -> Config {
    let mut config = config(false, OnPausedByError::Fail);
    config.start_resources = true;
    config.migration = Settings {
        options: Options::parse(options).unwrap(),
        speed: Some(10),
        downtime: Some(Duration::from_millis(300)),
        plan: Some(Plan {
            node: "node2".into(),
            remote: "qemu+ssh://node2/system".into(),
            data: None,
            remark: None,
        }),
        ..Settings::default()
    };
    config
}

fn step(step: fn(DomainRef) -> migrate::Step) -> Step {
    Step::Migration(step(domain(OURS, 1, 1).reference))
}

fn look(
    here: Option<Domain>,
    there: Option<Option<Domain>>,
    job: Job,
    ended_for: u64,
) -> Observation {
    let mut seen = seen(Answer::Known { ours: here, namesake: None });
    seen.migration = Some(Sight {
        target: match there {
            Some(domain) => Target::Known { domain, refusal: None },
            None => Target::Silent("nobody listens".into()),
        },
        job,
        ended_for: Duration::from_secs(ended_for),
    });
    seen
}

fn to(config: &Config, seen: &Observation, progress: &Progress<Step>) -> Next<Step> {
    next(config, &request(Action::MigrateTo, "0"), seen, progress)
}

/// Everything done so far that a migration could have behind it.
fn histories() -> Vec<Progress<Step>> {
    let mut histories = Vec::new();
    for (elapsed, remaining) in [(0, 118), (60, 58), (110, 8), (118, 0)] {
        let fresh = at(elapsed, remaining);
        let prepared = [migrate::Step::Mark, migrate::Step::Prepare, migrate::Step::LimitSpeed]
            .iter()
            .fold(fresh.clone(), |progress, make| having(progress, step(*make), 0, None));
        let begun = having(prepared.clone(), step(migrate::Step::Begin), 0, None);
        histories.extend([fresh, prepared, begun.clone()]);
        for more in [
            migrate::Step::Suspend,
            migrate::Step::SwitchToPostCopy,
            migrate::Step::Abort,
            migrate::Step::LimitDowntime,
            migrate::Step::Resume,
        ] {
            for failure in [None, Some("refused")] {
                histories.push(having(begun.clone(), step(more), 0, failure));
            }
        }
    }
    histories
}

fn product(check: impl Fn(&Observation, &Progress<Step>, &Next<Step>)) {
    let configs = [
        settings(""),
        settings("--postcopy --timeout 30 --timeout-postcopy"),
        settings("--timeout 30"),
    ];
    let (states, histories) = (every_state(), histories());
    for job in jobs() {
        for here in &states {
            let others = states.iter().cloned().map(Some).chain([None]);
            for there in others {
                let ends: &[u64] =
                    if matches!(job, Job::None | Job::Running { .. }) { &[0] } else { &[0, 9] };
                for ended_for in ends.iter().copied() {
                    let seen = look(here.clone(), there.clone(), job.clone(), ended_for);
                    for progress in &histories {
                        for config in &configs {
                            check(&seen, progress, &to(config, &seen, progress));
                        }
                    }
                }
            }
        }
    }
}

fn is_running(domain: &Domain) -> bool {
    matches!(domain.state, State::Running(_) | State::Blocked)
}

fn here(seen: &Observation) -> Option<&Domain> {
    active(seen)
}

/// What the target says it has; `None`: it says nothing.
fn there(seen: &Observation) -> Option<Option<&Domain>> {
    match &seen.migration.as_ref().unwrap().target {
        Target::Known { domain, .. } => Some(domain.as_ref().filter(|domain| domain.is_active())),
        Target::NotAsked | Target::Silent(_) => None,
    }
}

/// Whether the target has a definition that has been in use since it came there.
fn has_a_past(seen: &Observation) -> bool {
    let Target::Known { domain: Some(there), .. } = &seen.migration.as_ref().unwrap().target else {
        return false;
    };
    ![0, 6].into_iter().any(|unused| there.state == State::from_numbers(5, unused))
}

#[test]
fn nothing_that_could_make_two_writers_is_ever_decided() {
    product(|seen, progress, next| {
        let job = &seen.migration.as_ref().unwrap().job;
        let tried = |fits: fn(&migrate::Step) -> bool| {
            progress.tried(|step| matches!(step, Step::Migration(step) if fits(step)))
        };
        let what = (seen, progress, next);
        match next {
            Next::Done(outcome) if outcome.code == ExitCode::Ok => {
                assert!(there(seen).flatten().is_some(), "success unseen: {what:?}");
                assert!(!here(seen).is_some_and(is_running), "success with two: {what:?}");
                assert!(!matches!(job, Job::None | Job::Running { .. }), "{what:?}");
            }
            Next::Done(outcome) => {
                assert_eq!(outcome.code, ExitCode::Generic, "{what:?}");
                assert!(outcome.reason.is_some(), "{what:?}");
            }
            Next::Do(Step::Migration(step)) => match step {
                migrate::Step::Mark(_)
                | migrate::Step::Prepare(_)
                | migrate::Step::LimitSpeed(_)
                | migrate::Step::Begin(_) => {
                    assert_eq!(*job, Job::None, "{what:?}");
                    assert_eq!(there(seen), Some(None), "begun in spite of the target: {what:?}");
                    assert!(here(seen).is_some(), "{what:?}");
                }
                migrate::Step::Resume(_) => {
                    assert_eq!(there(seen), Some(None), "resumed blindly: {what:?}");
                    assert!(matches!(job, Job::Failed(_)), "may have run there: {what:?}");
                    assert!(!has_a_past(seen), "ran there: {what:?}");
                    assert!(
                        !tried(|step| matches!(step, migrate::Step::SwitchToPostCopy(_))),
                        "{what:?}"
                    );
                    assert!(matches!(here(seen).unwrap().state, State::Paused(_)), "{what:?}");
                }
                migrate::Step::Abort(_)
                | migrate::Step::Suspend(_)
                | migrate::Step::SwitchToPostCopy(_)
                | migrate::Step::LimitDowntime(_) => {
                    assert!(matches!(job, Job::Running { .. }), "{what:?}");
                    let switched = progress.applied.iter().any(|applied| {
                        applied.failure.is_none()
                            && applied.step == self::step(migrate::Step::SwitchToPostCopy)
                    });
                    assert!(!switched, "the guest is there already: {what:?}");
                }
            },
            Next::Do(_) => panic!("not a step of a migration: {what:?}"),
            Next::Wait { .. } => {}
        }
    });
}

#[test]
fn every_migration_comes_to_an_end() {
    product(|seen, progress, next| {
        let ended = !matches!(seen.migration.as_ref().unwrap().job, Job::Running { .. });
        if progress.remaining.is_zero() && ended {
            assert!(matches!(next, Next::Done(_)), "{seen:?}\n{progress:?}\n{next:?}");
        }
    });
}

fn running() -> Option<Domain> {
    Some(domain(OURS, 1, 1))
}

#[test]
fn the_steps_come_in_order_and_each_once() {
    let config = settings("");
    let mut progress = at(0, 118);
    for expected in [
        migrate::Step::Mark,
        migrate::Step::Prepare,
        migrate::Step::LimitSpeed,
        migrate::Step::Begin,
    ] {
        let expected = step(expected);
        let seen = look(running(), Some(None), Job::None, 0);
        assert_eq!(to(&config, &seen, &progress), Next::Do(expected.clone()));
        progress = having(progress, expected, 0, None);
    }
    let seen = look(running(), None, Job::Running { first_pass_done: false }, 0);
    assert_eq!(to(&config, &seen, &progress), Next::Do(step(migrate::Step::LimitDowntime)));
    progress = having(progress, step(migrate::Step::LimitDowntime), 1, None);
    assert!(matches!(to(&config, &seen, &progress), Next::Wait { .. }));
}

#[test]
fn what_does_not_run_here_is_not_migrated() {
    for here in [None, Some(domain(OURS, 5, 1))] {
        let seen = look(here, Some(None), Job::None, 0);
        let next = to(&settings(""), &seen, &at(0, 118));
        assert_eq!(code(&next), Some(ExitCode::Generic));
        assert!(reason(&next).contains("not active here"));
    }
}

#[test]
fn a_target_that_cannot_be_asked_or_has_it_or_refuses_is_not_tried() {
    let config = settings("");
    let unreachable = look(running(), None, Job::None, 0);
    assert!(reason(&to(&config, &unreachable, &at(0, 118))).contains("nobody listens"));
    let twice = look(running(), Some(running()), Job::None, 0);
    assert!(reason(&to(&config, &twice, &at(0, 118))).contains("already"));
    let mut refused = look(running(), Some(None), Job::None, 0);
    refused.migration.as_mut().unwrap().target =
        Target::Known { domain: None, refusal: Some("no such machine".into()) };
    assert!(reason(&to(&config, &refused, &at(0, 118))).contains("no such machine"));
}

#[test]
fn one_that_does_not_converge_is_aborted_in_time_and_seen_running_here() {
    let config = settings("");
    let begun =
        |elapsed, remaining| having(at(elapsed, remaining), step(migrate::Step::Begin), 0, None);
    let busy = look(running(), None, Job::Running { first_pass_done: true }, 0);
    let progress = having(begun(60, 58), step(migrate::Step::LimitDowntime), 1, None);
    assert!(matches!(to(&config, &busy, &progress), Next::Wait { .. }));
    let abort = Next::Do(step(migrate::Step::Abort));
    assert_eq!(to(&config, &busy, &begun(104, 14)), abort);
    let aborted = having(begun(105, 13), step(migrate::Step::Abort), 104, None);
    assert!(matches!(to(&config, &busy, &aborted), Next::Wait { .. }));
    // The source is its guest again.
    let over = look(running(), Some(None), Job::Failed(NO.into()), 0);
    let why = reason(&to(&config, &over, &aborted));
    assert!(why.contains(NO) && why.contains("running"), "{why}");
    // Paused for the migration: resumed, once the target says that it has none.
    let paused = Some(domain(OURS, 3, 2));
    let over = look(paused.clone(), Some(None), Job::Failed(NO.into()), 6);
    assert_eq!(to(&config, &over, &aborted), Next::Do(step(migrate::Step::Resume)));
    let dark = look(paused, None, Job::Failed(NO.into()), 6);
    assert!(matches!(to(&config, &dark, &aborted), Next::Wait { .. }));
    let last = having(begun(118, 0), step(migrate::Step::Abort), 104, None);
    assert!(reason(&to(&config, &dark, &last)).contains("nothing was resumed"));
}

#[test]
fn a_timeout_turns_into_what_was_asked_for() {
    let begun = having(at(31, 87), step(migrate::Step::Begin), 0, None);
    let busy = look(running(), None, Job::Running { first_pass_done: false }, 0);
    let suspended = to(&settings("--timeout 30"), &busy, &begun);
    assert_eq!(suspended, Next::Do(step(migrate::Step::Suspend)));
    let switched = to(&settings("--timeout 30 --postcopy --timeout-postcopy"), &busy, &begun);
    assert_eq!(switched, Next::Do(step(migrate::Step::SwitchToPostCopy)));
    let first_pass = look(running(), None, Job::Running { first_pass_done: true }, 0);
    let early = having(at(3, 115), step(migrate::Step::Begin), 0, None);
    let switched = to(&settings("--postcopy --postcopy-after-precopy"), &first_pass, &early);
    assert_eq!(switched, Next::Do(step(migrate::Step::SwitchToPostCopy)));
}

#[test]
fn what_libvirt_calls_failed_is_a_success_where_the_guest_is_seen_there_alone() {
    let begun = having(at(20, 98), step(migrate::Step::Begin), 0, None);
    let seen = look(None, Some(running()), Job::Failed(NO.into()), 0);
    // Who ran here stays remembered for the stop that follows: libvirt may not answer any more then.
    assert_eq!(to(&settings(""), &seen, &begun), Next::success());
}

#[test]
fn what_may_have_run_there_is_not_resumed_here() {
    let begun = having(at(20, 98), step(migrate::Step::Begin), 0, None);
    let paused = Some(domain(OURS, 3, 2));
    let next = |there, job| to(&settings(""), &look(paused.clone(), Some(there), job, 6), &begun);
    let failed = || Job::Failed(NO.into());
    let resume = Next::Do(step(migrate::Step::Resume));
    assert_eq!(next(None, failed()), resume);
    // It arrived and has ended there since, or nobody knows whether it arrived.
    for job in [Job::Succeeded, Job::Lost(NO.into())] {
        let why = reason(&next(None, job));
        assert!(why.contains("paused") && why.contains("not there"), "{why}");
    }
    // Defined there by --persistent: only one that could not be started has written nothing.
    for (cause, resumed) in [(0, true), (1, false), (2, false), (3, false), (6, true)] {
        let off = next(Some(domain(OURS, 5, cause)), failed());
        assert_eq!(off == resume, resumed, "{cause}: {off:?}");
    }
}

#[test]
fn only_who_was_sent_is_resumed() {
    let other = Some(domain(OTHER, 3, 2));
    let seen = look(other, Some(None), Job::Failed(NO.into()), 6);
    let begun = having(at(20, 98), step(migrate::Step::Begin), 0, None);
    assert_eq!(code(&to(&settings(""), &seen, &begun)), Some(ExitCode::Generic));
}

/// Neither copy is the right one to suspend: the source's data may be newer, or the target's. Pacemaker takes a migration
/// that failed for a guest that may be on either node, and stops it on both.
#[test]
fn a_guest_that_runs_on_both_nodes_is_told_so_plainly_and_left_to_pacemaker() {
    let config = settings("");
    let running = || domain(OURS, 1, 1);
    let begun = having(at(60, 58), step(migrate::Step::Begin), 0, None);
    for job in [Job::Succeeded, Job::Failed(NO.into()), Job::Lost(NO.into())] {
        for ended_for in [0, 9] {
            let seen = look(Some(running()), Some(Some(running())), job.clone(), ended_for);
            let next = to(&config, &seen, &begun);
            assert_eq!(code(&next), Some(ExitCode::Generic), "{job:?}");
            assert!(reason(&next).contains("runs on both nodes"), "{next:?}");
        }
    }
}
