//! Every decision over the full product of what can be seen, what was tried and how much time is left; and the courses that a stop and
//! a start take.

use super::*;
use crate::observe::Told;
use duet_ocf::{Applied, Environment, Outcome};

const PROCESS: Process = Process { pid: 77, started: 4711 };

fn request(action: Action) -> Request {
    let recurring = [("OCF_RESKEY_CRM_meta_interval", "20000")];
    Request::new(action, recurring.into_iter().collect::<Environment>())
}

fn late(lasts: Duration) -> Late {
    Late { instance: "p_drbd".to_owned(), lasts, why: "No answer".to_owned() }
}

fn all_says() -> Vec<Says> {
    let followings = [
        Following::Netlink,
        Following::Events2,
        Following::NoModule,
        Following::Nothing("it hangs".to_owned()),
    ];
    let ages = [None, Some(Duration::ZERO), Some(STALE), Some(STALE + Duration::from_millis(1))];
    let mut all = vec![Says::Nothing];
    for following in followings {
        for late in [None, Some(late(BLIND)), Some(late(BLIND + Duration::from_millis(1)))] {
            let this = |age| Says::This { following: following.clone(), age, late: late.clone() };
            all.extend(ages.map(this));
        }
    }
    all
}

fn all_seen() -> Vec<Observation> {
    let mut daemons = vec![Daemon::Absent, Daemon::Unclear("no table".to_owned())];
    for duty in [Told::Same, Told::Otherwise] {
        let present = |says| Daemon::Present { process: PROCESS, duty, says };
        daemons.extend(all_says().into_iter().map(present));
    }
    let mut all = Vec::new();
    for daemon in daemons {
        for has_state in [false, true] {
            for missing in [vec![], vec!["crm_attribute".to_owned()]] {
                all.push(Observation { daemon: daemon.clone(), has_state, missing });
            }
        }
    }
    all
}

fn all_progress() -> Vec<Progress<Step>> {
    let steps = [Step::Spawn, Step::Terminate(PROCESS), Step::Kill(PROCESS), Step::Forget];
    let mut all = Vec::new();
    for remaining in [Duration::ZERO, Duration::from_secs(5)] {
        for tried in 0..16_u32 {
            for ago in [Duration::from_millis(30), Duration::from_secs(3)] {
                for failure in [None, Some(Outcome::fail(ExitCode::Generic, "it failed"))] {
                    let elapsed = Duration::from_secs(10);
                    let applied = (0..).zip(&steps).filter(|(bit, _)| tried & 1 << bit != 0);
                    let applied = applied.map(|(_, step)| Applied {
                        step: step.clone(),
                        at: elapsed - ago,
                        failure: failure.clone(),
                    });
                    all.push(Progress { elapsed, remaining, applied: applied.collect() });
                }
            }
        }
    }
    all
}

/// Whether it lives, follows, and can look.
fn is_well(daemon: &Daemon) -> bool {
    let Daemon::Present { says: Says::This { following, age, late }, .. } = daemon else {
        return false;
    };
    let can_look = late.as_ref().is_none_or(|late| late.lasts <= STALE);
    !matches!(following, Following::Nothing(_)) && age.is_some_and(|age| age <= STALE) && can_look
}

#[test]
fn nothing_is_concluded_that_was_not_seen() {
    let actions =
        [Action::Start, Action::Stop, Action::Monitor, Action::Status, Action::ValidateAll];
    for action in actions {
        for seen in all_seen() {
            for progress in all_progress() {
                let next = next(&request(action), &seen, &progress);
                let what = format!("{action} {seen:?} {progress:?}: {next:?}");
                match &next {
                    Next::Done(outcome) if outcome.code == ExitCode::Ok => match action {
                        Action::Stop => assert_eq!(seen.daemon, Daemon::Absent, "{what}"),
                        Action::ValidateAll => assert!(seen.missing.is_empty(), "{what}"),
                        _ => assert!(is_well(&seen.daemon), "{what}"),
                    },
                    Next::Done(outcome) if outcome.code == ExitCode::NotRunning => {
                        assert_eq!(seen.daemon, Daemon::Absent, "{what}");
                    }
                    Next::Done(outcome) => assert!(outcome.reason.is_some(), "{what}"),
                    Next::Wait { pause, .. } => assert!(*pause >= PAUSE, "{what}"),
                    Next::Do(step) => {
                        assert!(matches!(action, Action::Start | Action::Stop), "{what}");
                        match step {
                            Step::Spawn => {
                                assert_eq!(
                                    (action, &seen.daemon),
                                    (Action::Start, &Daemon::Absent),
                                    "{what}"
                                );
                                assert!(seen.missing.is_empty(), "{what}");
                            }
                            Step::Terminate(process) | Step::Kill(process) => {
                                assert_eq!(*process, PROCESS, "{what}");
                                assert!(matches!(seen.daemon, Daemon::Present { .. }), "{what}");
                            }
                            Step::Forget => assert_eq!(seen.daemon, Daemon::Absent, "{what}"),
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn a_start_ends_none_that_is_well_and_was_told_the_same() {
    for seen in all_seen() {
        let Daemon::Present { duty: Told::Same, .. } = seen.daemon else { continue };
        for progress in all_progress() {
            let next = next(&request(Action::Start), &seen, &progress);
            let ends = matches!(next, Next::Do(Step::Terminate(_) | Step::Kill(_)));
            assert!(!(ends && is_well(&seen.daemon)), "{seen:?} {next:?}");
        }
    }
}

/// What an operation does, step by step, to a daemon that `lives_on` through TERM.
fn course(action: Action, mut daemon: Daemon, lives_on: bool) -> (Vec<Step>, Outcome) {
    let mut progress = Progress::new(Duration::from_secs(20));
    let mut has_state = true;
    loop {
        let seen = Observation { daemon: daemon.clone(), has_state, missing: Vec::new() };
        match next(&request(action), &seen, &progress) {
            Next::Done(outcome) => {
                return (progress.applied.into_iter().map(|tried| tried.step).collect(), outcome);
            }
            Next::Wait { pause, .. } => {
                progress.elapsed += pause;
                progress.remaining = progress.remaining.saturating_sub(pause);
            }
            Next::Do(step) => {
                match &step {
                    Step::Spawn => {
                        daemon = present(Told::Same, Duration::ZERO);
                    }
                    Step::Terminate(_) if lives_on => {}
                    Step::Terminate(_) | Step::Kill(_) => daemon = Daemon::Absent,
                    Step::Forget => has_state = false,
                }
                progress.applied.push(Applied { step, at: progress.elapsed, failure: None });
            }
        }
    }
}

fn present(duty: Told, age: Duration) -> Daemon {
    let says = Says::This { following: Following::Netlink, age: Some(age), late: None };
    Daemon::Present { process: PROCESS, duty, says }
}

#[test]
fn a_stop_tells_it_then_kills_it_then_forgets_it() {
    let fresh = present(Told::Same, Duration::ZERO);
    let (term, kill) = (Step::Terminate(PROCESS), Step::Kill(PROCESS));
    let done = (vec![term.clone(), Step::Forget], Outcome::success());
    assert_eq!(course(Action::Stop, fresh.clone(), false), done);
    let done = (vec![term, kill, Step::Forget], Outcome::success());
    assert_eq!(course(Action::Stop, fresh, true), done);
}

#[test]
fn a_start_replaces_one_that_is_frozen_or_blind_or_was_told_otherwise() {
    let (term, kill) = (Step::Terminate(PROCESS), Step::Kill(PROCESS));
    let frozen = present(Told::Same, STALE * 2);
    let done = (vec![term.clone(), kill, Step::Spawn], Outcome::success());
    assert_eq!(course(Action::Start, frozen, true), done);
    let says = Says::This {
        following: Following::Netlink,
        age: Some(Duration::ZERO),
        late: Some(late(BLIND * 2)),
    };
    let blind = Daemon::Present { process: PROCESS, duty: Told::Same, says };
    let done = (vec![term.clone(), Step::Spawn], Outcome::success());
    assert_eq!(course(Action::Start, blind, false), done);
    let other = present(Told::Otherwise, Duration::ZERO);
    assert_eq!(course(Action::Start, other, false), (vec![term, Step::Spawn], Outcome::success()));
}

#[test]
fn a_start_beside_one_that_is_well_does_nothing() {
    let well = present(Told::Same, STALE);
    assert_eq!(course(Action::Start, well, false), (vec![], Outcome::success()));
}

#[test]
fn a_monitor_bears_with_silence_for_a_while_and_with_nothing_else() {
    let lost =
        Says::This { following: Following::Nothing(String::new()), age: Some(BEAT), late: None };
    for says in all_says() {
        let daemon = Daemon::Present { process: PROCESS, duty: Told::Same, says: says.clone() };
        let early = monitor(&daemon, &Progress::new(BEAT * 2));
        assert_eq!(matches!(early, Next::Wait { .. }), is_silent(&says), "{says:?}");
        let short = Progress { elapsed: BEAT / 2, ..Progress::new(BEAT / 4) };
        assert!(matches!(monitor(&daemon, &short), Next::Done(_)), "half of the time: {says:?}");
        let late = Progress { elapsed: BEAT * 2, ..Progress::new(BEAT * 9) };
        assert!(matches!(monitor(&daemon, &late), Next::Done(_)), "{says:?}");
    }
    assert!(!is_silent(&lost));
}

#[test]
fn the_reason_says_what_is_wrong() {
    let reason = |says: Says| {
        let daemon = Daemon::Present { process: PROCESS, duty: Told::Same, says };
        let late = Progress { elapsed: BEAT * 2, ..Progress::new(BEAT) };
        match monitor(&daemon, &late) {
            Next::Done(outcome) => outcome.reason.unwrap_or_default(),
            other => panic!("{other:?}"),
        }
    };
    let this = |following, seconds| Says::This {
        following,
        age: Some(Duration::from_secs(seconds)),
        late: None,
    };
    assert_eq!(
        reason(this(Following::Netlink, 47)),
        "drbd-watchd (process 77) has not given a sign of life for 47 s"
    );
    assert_eq!(
        reason(this(Following::Nothing("No answer".to_owned()), 1)),
        "drbd-watchd (process 77) follows nothing: No answer"
    );
    let blind = Says::This {
        following: Following::Netlink,
        age: Some(BEAT),
        late: Some(late(Duration::from_secs(47))),
    };
    assert_eq!(
        reason(blind),
        "drbd-watchd (process 77) could not bring the score of p_drbd up to date for 47 s: No answer"
    );
}
