//! Monitor, probe and status: the rules over the product of states, and the situations one by one.

use super::*;

/// By a libvirt that is there and was not seen to have carried out the latest start.
fn may_yet_be_started(seen: &Observation) -> bool {
    let Answer::None { silence, .. } = seen.libvirt else { return false };
    let was_asked = seen.unclear.is_some() || silence == Silence::Refuses;
    !matches!(silence, Silence::Nobody | Silence::NotNow) && seen.remembered.is_none() && was_asked
}

#[test]
fn not_running_is_said_only_when_libvirt_or_the_process_table_said_it() {
    for (action, interval) in
        [(Action::Monitor, "10000"), (Action::Monitor, "0"), (Action::Status, "0")]
    {
        let request = request(action, interval);
        product(|config, seen, progress| {
            let next = next(config, &request, seen, progress);
            if code(&next) == Some(ExitCode::NotRunning) {
                let only_asked = interval == "0" && seen.libvirt == Answer::NotAsked;
                let no_process = silent_one(seen) && seen.processes == Processes::NoneSeen;
                assert!(!no_process || !may_yet_be_started(seen), "{seen:?}");
                let unknown = answered(seen) && active(seen).is_none();
                assert!(unknown || only_asked || no_process, "{seen:?}");
            }
            if code(&next) == Some(ExitCode::Ok) && !silent_one(seen) {
                let state = active(seen).expect("success is about a domain that was seen").state;
                let health = health(state, config.paused_by_error);
                assert!(matches!(health, Health::Healthy | Health::Leaving), "{state}");
            }
        });
    }
}

#[test]
fn a_monitor_that_asked_in_vain_goes_by_the_process_and_fails_without_knowing_of_one() {
    for interval in ["0", "10000"] {
        let request = request(Action::Monitor, interval);
        product(|config, seen, progress| {
            if !silent_one(seen) {
                return;
            }
            let next = next(config, &request, seen, progress);
            let waits = matches!(next, Next::Wait { .. });
            match &seen.processes {
                Processes::Found(_) => assert_eq!(code(&next), Some(ExitCode::Ok)),
                Processes::NoneSeen => {
                    let expected = match may_yet_be_started(seen) {
                        true => ExitCode::Generic,
                        false => ExitCode::NotRunning,
                    };
                    assert!(waits || code(&next) == Some(expected), "{next:?}");
                }
                Processes::NotLooked | Processes::CouldNotLook(_) => {
                    assert!(waits || code(&next) == Some(ExitCode::Generic), "{next:?}");
                }
            }
        });
    }
}

#[test]
fn probe_and_status_change_nothing() {
    for action in [Action::Monitor, Action::Status, Action::ValidateAll] {
        let request = request(action, "0");
        product(|config, seen, progress| {
            let next = next(config, &request, seen, progress);
            assert!(!matches!(next, Next::Do(_)), "{next:?}");
        });
    }
}

#[test]
fn a_guest_that_came_otherwise_is_remembered_by_the_recurring_monitor_only() {
    let mut seen = ours(domain(OURS, 1, 1));
    seen.remembered = None;
    let next = decide(Action::Monitor, "10000", &seen, &at(0, 28));
    assert_eq!(next, Next::Do(Step::Remember(identity_of("web", Some(OURS)))));
    assert_eq!(code(&decide(Action::Monitor, "0", &seen, &at(0, 28))), Some(ExitCode::Ok));
}
