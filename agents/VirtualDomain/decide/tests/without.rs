//! The rules for a libvirt that cannot be asked: the situations one by one, and a stop played to its end.
//! As in tests.rs, the world is data.

use super::*;

#[test]
fn a_restarting_libvirt_is_borne_with_for_a_while() {
    for action in [Action::Start, Action::Stop, Action::Monitor] {
        let early = decide(action, "10000", &seen(none(Silence::Nobody, 1)), &at(1, 28));
        assert!(matches!(early, Next::Wait { .. }), "{early:?}");
        let late = decide(action, "10000", &seen(none(Silence::Nobody, 11)), &at(11, 18));
        assert_eq!(code(&late), Some(ExitCode::Generic));
        assert!(reason(&late).starts_with(WHY) && reason(&late).contains("web"));
    }
}

#[test]
fn a_guest_that_is_seen_runs_whatever_libvirt_does() {
    for silence in SILENCES {
        let seen = silent(silence, 0, Processes::Found(PROCESS));
        for interval in ["0", "10000"] {
            let next = decide(Action::Monitor, interval, &seen, &at(0, 28));
            assert_eq!(code(&next), Some(ExitCode::Ok));
        }
    }
}

#[test]
fn a_dead_guest_is_not_running_once_libvirt_had_its_chance() {
    for interval in ["0", "10000"] {
        for (silence, after) in [(Silence::Nobody, 11), (Silence::Frozen, 2)] {
            let seen = silent(silence, after, Processes::NoneSeen);
            let next = decide(Action::Monitor, interval, &seen, &at(after, 10));
            assert_eq!(code(&next), Some(ExitCode::NotRunning), "{next:?}");
            assert!(reason(&next).contains(WHY), "{next:?}");
        }
    }
}

#[test]
fn a_stop_ends_the_process_once_libvirt_had_its_chance() {
    let early = silent(Silence::Nobody, 1, Processes::Found(PROCESS));
    let waits = decide(Action::Stop, "0", &early, &at(1, 87));
    assert!(matches!(waits, Next::Wait { .. }), "{waits:?}");
    for (silence, after) in [
        (Silence::Nobody, 3),
        (Silence::NotNow, 11),
        (Silence::WentAway, 11),
        (Silence::Frozen, 9),
        (Silence::Refuses, 0),
    ] {
        let late = silent(silence, after, Processes::Found(PROCESS));
        let next = decide(Action::Stop, "0", &late, &at(after, 88 - after));
        assert_eq!(next, Next::Do(end(false)), "{silence:?}");
    }
    // Where the guest would not be asked anyway, there is nothing to wait for.
    let config = config(true, OnPausedByError::Fail);
    let forced = next(&config, &request(Action::Stop, "0"), &early, &at(0, 88));
    assert_eq!(forced, Next::Do(end(false)));
}

/// Standing still costs the guest's users time; one that is only being restarted has a process, or is back by then.
#[test]
fn a_libvirt_that_is_not_there_at_all_is_not_waited_for_on_the_way_out() {
    for (silence, patience) in
        [(Silence::Nobody, 3), (Silence::NotNow, 10), (Silence::WentAway, 10)]
    {
        for after in 0..=11 {
            let found = silent(silence, after, Processes::Found(PROCESS));
            let stop = decide(Action::Stop, "0", &found, &at(after, 88 - after));
            assert_eq!(stop == Next::Do(end(false)), after >= patience, "{silence:?}: {stop:?}");
            // A guest that is on its way in loses nothing by waiting.
            let start = decide(Action::Start, "0", &found, &at(after, 88 - after));
            assert_eq!(matches!(start, Next::Wait { .. }), after < 10, "{silence:?}: {start:?}");
            let dead = silent(silence, after, Processes::NoneSeen);
            let monitor = decide(Action::Monitor, "0", &dead, &at(after, 88 - after));
            assert_eq!(code(&monitor) == Some(ExitCode::NotRunning), after >= 10, "{monitor:?}");
        }
    }
}

/// A process in uninterruptible sleep outlives a KILL; its disk writes may still be on their way.
#[test]
fn a_process_that_survives_is_never_a_success() {
    for remaining in (0..=88).rev() {
        for silence in SILENCES {
            let there = silent(silence, 60, Processes::Found(PROCESS));
            let elapsed = 88 - remaining;
            for progress in [
                at(elapsed, remaining),
                having(at(elapsed, remaining), end(false), 0, None),
                having(having(at(elapsed, remaining), end(false), 0, None), end(true), 0, None),
            ] {
                let next = decide(Action::Stop, "0", &there, &progress);
                assert_ne!(code(&next), Some(ExitCode::Ok), "{progress:?}");
                if remaining == 0 {
                    assert_eq!(code(&next), Some(ExitCode::Generic));
                    assert!(reason(&next).contains("77") && reason(&next).contains("web"));
                }
            }
        }
    }
}

#[test]
fn a_stop_has_killed_before_its_time_is_over() {
    let there = silent(Silence::Frozen, 10, Processes::Found(PROCESS));
    for budget in [1_u64, 2, 5, 18, 88] {
        let budget = Duration::from_secs(budget);
        let mut progress = Progress::new(budget);
        let (mut signals, mut now) = (Vec::new(), budget / 2);
        while now < budget {
            progress.elapsed = now;
            progress.remaining = budget - now;
            match decide(Action::Stop, "0", &there, &progress) {
                Next::Do(step) => {
                    signals.push((now, step == end(true)));
                    progress.applied.push(Applied { step, at: now, failure: None });
                }
                Next::Wait { pause, .. } => now += pause,
                Next::Done(outcome) => panic!("{outcome:?}"),
            }
        }
        assert!(!signals[0].1, "{signals:?}");
        let killed = signals.iter().find(|(_, kill)| *kill).expect("it is killed").0;
        assert!(budget - killed >= budget / 12, "{signals:?}");
    }
}

#[test]
fn a_stop_that_sees_no_process_forgets_and_succeeds() {
    for (silence, after) in [(Silence::Nobody, 11), (Silence::Frozen, 10), (Silence::Refuses, 0)] {
        let mut dead = silent(silence, after, Processes::NoneSeen);
        let forget = Next::Do(Step::Forget("web".into()));
        assert_eq!(decide(Action::Stop, "0", &dead, &at(after, 70)), forget);
        let ended = having(at(after, 70), end(false), 1, None);
        assert_eq!(decide(Action::Stop, "0", &dead, &ended), forget);
        dead.remembered = None;
        assert_eq!(code(&decide(Action::Stop, "0", &dead, &ended)), Some(ExitCode::Ok));
    }
}

/// The start gave up waiting; the libvirt that was asked to start has not given up, and the guest would run twice.
#[test]
fn a_start_that_a_frozen_libvirt_may_still_carry_out_is_not_stopped() {
    for silence in SILENCES {
        let mut dead = silent(silence, 11, Processes::NoneSeen);
        (dead.remembered, dead.unclear) = (None, Some(crate::memory::BEGUN.into()));
        let next = decide(Action::Stop, "0", &dead, &at(81, 0));
        // Where no daemon listens any more, nobody remembers the order.
        let nobody = matches!(silence, Silence::Nobody | Silence::NotNow);
        let expected = if nobody { ExitCode::Ok } else { ExitCode::Generic };
        assert_eq!(code(&next), Some(expected), "{silence:?}");
        // Until then, it may come back and say.
        let next = decide(Action::Stop, "0", &dead, &at(11, 70));
        let forgets = Next::Do(Step::Forget("web".into()));
        assert!(
            if nobody { next == forgets } else { matches!(next, Next::Wait { .. }) },
            "{next:?}"
        );
        for interval in ["0", "10000"] {
            let next = decide(Action::Monitor, interval, &dead, &at(11, 10));
            let expected = if nobody { ExitCode::NotRunning } else { ExitCode::Generic };
            assert_eq!(code(&next), Some(expected), "{silence:?}");
            assert!(nobody || reason(&next).contains("about to start"), "{next:?}");
        }
    }
}

/// A node whose libvirt hangs has other guests, too: it is not fenced for one that nobody asked it to start.
#[test]
fn where_no_start_was_begun_none_is_to_come() {
    for silence in [Silence::Nobody, Silence::Frozen, Silence::WentAway] {
        let mut dead = silent(silence, 11, Processes::NoneSeen);
        dead.remembered = None;
        assert_eq!(code(&decide(Action::Stop, "0", &dead, &at(11, 70))), Some(ExitCode::Ok));
        for interval in ["0", "10000"] {
            let next = decide(Action::Monitor, interval, &dead, &at(11, 10));
            assert_eq!(code(&next), Some(ExitCode::NotRunning), "{silence:?}");
        }
    }
}

/// The definition lies on storage that died, the memory was removed since the guest was seen gone.
#[test]
fn who_was_seen_gone_is_gone() {
    let mut seen = seen(Answer::NotAsked);
    (seen.remembered, seen.document) = (None, Document::Unusable("it hangs".into()));
    seen.strangers = Strangers::Some("vm7".into());
    assert_eq!(code(&decide(Action::Stop, "0", &seen, &at(5, 80))), Some(ExitCode::Generic));
    let forgot = having(at(5, 80), Step::Forget("web".into()), 1, None);
    assert_eq!(code(&decide(Action::Stop, "0", &seen, &forgot)), Some(ExitCode::Ok));
}

#[test]
fn what_could_not_be_looked_at_is_not_absent() {
    for processes in [Processes::CouldNotLook("it is dark".into()), Processes::NotLooked] {
        for (action, interval) in
            [(Action::Stop, "0"), (Action::Monitor, "0"), (Action::Monitor, "10000")]
        {
            let seen = silent(Silence::Frozen, 10, processes.clone());
            let next = decide(action, interval, &seen, &at(10, 70));
            assert_eq!(code(&next), Some(ExitCode::Generic));
            let says_why = reason(&next).contains("it is dark");
            assert_eq!(says_why, processes != Processes::NotLooked, "{next:?}");
        }
    }
}
