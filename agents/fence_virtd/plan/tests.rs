//! The full product of what is asked, what libvirt says and what was done; and the courses that matter, step by step.

use duet_domain::RunningReason;

use super::*;

const OPERATIONS: [Operation; 4] =
    [Operation::Off, Operation::On, Operation::Reboot, Operation::Status];
const WANTED: [Wanted; 3] = [Wanted::Yes, Wanted::Gone, Wanted::Late];

fn given() -> [Permission; 4] {
    [
        Permission::Everybody,
        Permission::Group("g".into()),
        Permission::NoSuchSource,
        Permission::NotThisTarget,
    ]
}

fn there(state: i32, run: i32) -> Seen {
    Seen::There { state: State::from_numbers(state, 1), run }
}

fn migrated() -> State {
    State::ShutOff(ShutOffReason::Migrated)
}

/// Whether it is off, and nowhere else either as far as libvirt knows.
fn is_off_here(state: State) -> bool {
    matches!(state, State::ShutOff(_)) && state != migrated()
}

fn sights() -> Vec<Seen> {
    let mut all = vec![Seen::Nobody];
    all.extend([true, false].map(|may_pass| Seen::Unclear { why: "why".into(), may_pass }));
    all.extend([1, 2].map(|run| Seen::There { state: migrated(), run }));
    for state in -1..9 {
        all.extend([1, 2].map(|run| there(state, run)));
    }
    all
}

fn courses() -> Vec<Progress> {
    let mut all = Vec::new();
    for elapsed in [0, 11, 16].map(Duration::from_secs) {
        for orders in [0, 1, ATTEMPTS] {
            for ended in [None, Some((1, Duration::ZERO)), Some((1, ENDING))] {
                for started in [None, Some(Ok(())), Some(Err("no".to_owned()))] {
                    if ended.is_some() && orders == 0 {
                        continue;
                    }
                    let refusal = (orders > 0 && ended.is_none()).then(|| "busy".to_owned());
                    all.push(Progress { elapsed, orders, ended, refusal, started });
                }
            }
        }
    }
    all
}

fn every(mut claim: impl FnMut(Operation, &Permission, Wanted, Unknown, &Seen, &Progress, Next)) {
    for operation in OPERATIONS {
        for permission in &given() {
            for wanted in WANTED {
                for unknown in [Unknown::Fails, Unknown::IsOff] {
                    for seen in &sights() {
                        for progress in &courses() {
                            let next = next(operation, permission, wanted, unknown, seen, progress);
                            claim(operation, permission, wanted, unknown, seen, progress, next);
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn nothing_is_done_for_who_may_not_and_they_are_told_so() {
    every(|_, permission, _, _, _, _, next| {
        let is_denial = next == Next::Answer(Reply::Permission, Reason::NotPermitted);
        assert_eq!(is_denial, !permission.is_given());
    });
}

#[test]
fn nothing_begins_for_who_has_gone_or_after_their_time() {
    every(|operation, _, wanted, _, seen, progress, next| {
        let has_begun = progress.orders > 0 || progress.started.is_some();
        if wanted != Wanted::Yes && !has_begun {
            assert!(
                !matches!(next, Next::Do(_) | Next::Wait(_)),
                "{operation:?} {wanted:?} {seen:?} {next:?}"
            );
        }
    });
}

#[test]
fn off_succeeds_only_when_it_is_seen_off_or_gone_after_it_was_ended() {
    every(|operation, _, _, _, seen, progress, next| {
        if operation == Operation::Off && matches!(next, Next::Answer(Reply::Success, _)) {
            let is_seen = match seen {
                Seen::There { state, .. } => is_off_here(*state),
                Seen::Nobody => progress.ended.is_some(),
                Seen::Unclear { .. } => false,
            };
            assert!(is_seen, "{seen:?} {progress:?}");
        }
    });
}

#[test]
fn reboot_succeeds_only_when_the_run_that_was_asked_about_has_ended() {
    every(|operation, _, _, _, seen, progress, next| {
        if operation == Operation::Reboot && matches!(next, Next::Answer(Reply::Success, _)) {
            let is_seen = match seen {
                Seen::There { state, .. } if is_off_here(*state) => true,
                Seen::There { state, .. } => progress.ended.is_some() && *state != migrated(),
                Seen::Nobody => progress.ended.is_some(),
                Seen::Unclear { .. } => false,
            };
            assert!(is_seen, "{seen:?} {progress:?}");
        }
    });
}

#[test]
fn a_status_changes_nothing_and_off_is_said_only_of_what_is_off() {
    every(|operation, permission, _, unknown, seen, _, next| {
        if operation != Operation::Status {
            return;
        }
        assert!(!matches!(next, Next::Do(_)));
        if matches!(next, Next::Answer(Reply::Off, _)) {
            let (is_off, is_elsewhere) = match seen {
                Seen::There { state, .. } => (is_off_here(*state), *state == migrated()),
                Seen::Nobody => (false, true),
                Seen::Unclear { .. } => (false, false),
            };
            assert!(is_off || (is_elsewhere && unknown == Unknown::IsOff));
            assert!(permission.is_given());
        }
    });
}

#[test]
fn what_may_run_on_another_host_is_not_started_here() {
    every(|_, _, _, _, seen, progress, next| {
        let may_run = match seen {
            Seen::There { state, .. } => *state == migrated(),
            Seen::Nobody => progress.ended.is_none(),
            Seen::Unclear { .. } => true,
        };
        assert!(!may_run || next != Next::Do(Step::Start), "{seen:?} {progress:?}");
    });
}

#[test]
fn off_never_starts_and_on_never_ends() {
    every(|operation, _, _, _, _, _, next| match operation {
        Operation::Off => assert_ne!(next, Next::Do(Step::Start)),
        Operation::On => assert_ne!(next, Next::Do(Step::End)),
        Operation::Reboot | Operation::Status => {}
    });
}

#[test]
fn nothing_is_ordered_without_end() {
    every(|_, _, _, _, _, progress, next| {
        if progress.orders >= ATTEMPTS {
            assert_ne!(next, Next::Do(Step::End));
        }
        if progress.started.is_some() {
            assert_ne!(next, Next::Do(Step::Start));
        }
        if progress.elapsed >= ENDING && progress.ended.is_none_or(|(_, since)| since >= ENDING) {
            assert!(!matches!(next, Next::Wait(_)), "{progress:?}");
        }
    });
}

fn row(operation: Operation, seen: &Seen, progress: &Progress) -> Next {
    next(operation, &Permission::Everybody, Wanted::Yes, Unknown::Fails, seen, progress)
}

fn running() -> Seen {
    Seen::There { state: State::Running(RunningReason::Booted), run: 7 }
}

fn off() -> Seen {
    Seen::There { state: State::ShutOff(ShutOffReason::Destroyed), run: -1 }
}

#[test]
fn the_first_look_decides_as_the_table_says() {
    let answer = |reply, reason| Next::Answer(reply, reason);
    let rows = [
        (Operation::Off, running(), Next::Do(Step::End)),
        (Operation::Off, off(), answer(Reply::Success, Reason::Already)),
        (Operation::Off, there(3, 7), Next::Do(Step::End)),
        (Operation::Off, Seen::Nobody, answer(Reply::Fail, Reason::UnknownDomain)),
        (Operation::On, running(), answer(Reply::Success, Reason::Already)),
        (Operation::On, there(3, 7), answer(Reply::Success, Reason::Already)),
        (Operation::On, off(), Next::Do(Step::Start)),
        (Operation::On, Seen::Nobody, answer(Reply::Fail, Reason::UnknownDomain)),
        (Operation::Reboot, running(), Next::Do(Step::End)),
        (Operation::Reboot, off(), answer(Reply::Success, Reason::StaysOff)),
        (Operation::Status, running(), answer(Reply::Success, Reason::Observed)),
        (Operation::Status, there(3, 7), answer(Reply::Success, Reason::Observed)),
        (Operation::Status, off(), answer(Reply::Off, Reason::Observed)),
        (Operation::Status, Seen::Nobody, answer(Reply::Fail, Reason::UnknownDomain)),
    ];
    for (operation, seen, expected) in rows {
        assert_eq!(row(operation, &seen, &Progress::default()), expected, "{operation:?} {seen:?}");
    }
}

#[test]
fn a_reboot_that_cannot_start_again_has_still_ended_the_guest() {
    let ended = Progress { orders: 1, ended: Some((7, Duration::ZERO)), ..Progress::default() };
    assert_eq!(row(Operation::Reboot, &off(), &ended), Next::Do(Step::Start));
    assert_eq!(row(Operation::Reboot, &Seen::Nobody, &ended), Next::Do(Step::Start));
    let refused = Progress { started: Some(Err("no memory".into())), ..ended.clone() };
    let dead = Reason::DeadButNotStarted("no memory".into());
    assert!(dead.is_trouble());
    assert_eq!(row(Operation::Reboot, &off(), &refused), Next::Answer(Reply::Success, dead));
    let started = Progress { started: Some(Ok(())), ..ended };
    assert_eq!(
        row(Operation::Reboot, &there(1, 8), &started),
        Next::Answer(Reply::Success, Reason::Done)
    );
}

#[test]
fn a_guest_that_somebody_starts_again_is_ended_again() {
    let ended = Progress { orders: 1, ended: Some((7, Duration::ZERO)), ..Progress::default() };
    assert_eq!(row(Operation::Off, &there(1, 8), &ended), Next::Do(Step::End));
    assert!(matches!(row(Operation::Off, &running(), &ended), Next::Wait(_)));
}

#[test]
fn what_libvirt_refuses_is_ordered_again_and_then_given_up() {
    let refused = |orders| Progress { orders, refusal: Some("busy".into()), ..Progress::default() };
    assert_eq!(row(Operation::Off, &running(), &refused(2)), Next::Do(Step::End));
    let gave_up = Next::Answer(Reply::Fail, Reason::StillThere(Some("busy".into())));
    assert_eq!(row(Operation::Off, &running(), &refused(3)), gave_up);
}

#[test]
fn a_libvirt_that_is_away_is_waited_for_and_then_told_of() {
    let seen = Seen::Unclear { why: "nobody listens".into(), may_pass: true };
    for operation in OPERATIONS {
        assert!(matches!(row(operation, &seen, &Progress::default()), Next::Wait(_)));
        let late = Progress { elapsed: AWAY, ..Progress::default() };
        let told = Next::Answer(Reply::Fail, Reason::CouldNotAsk("nobody listens".into()));
        assert_eq!(row(operation, &seen, &late), told);
    }
}
