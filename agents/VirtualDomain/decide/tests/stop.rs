//! Stop where libvirt answers: the rules over the product of states, and the situations one by one.

use super::*;

#[test]
fn stop_success_implies_gone() {
    let request = request(Action::Stop, "0");
    product(|config, seen, progress| {
        let next = next(config, &request, seen, progress);
        if code(&next) == Some(ExitCode::Ok) {
            assert!(active(seen).is_none(), "{seen:?}");
            let no_process = seen.processes == Processes::NoneSeen;
            assert!(answered(seen) || seen.libvirt == Answer::NotAsked || no_process, "{seen:?}");
        }
    });
}

#[test]
fn stop_never_touches_anything_but_the_domain_that_is_meant() {
    let request = request(Action::Stop, "0");
    product(|config, seen, progress| match next(config, &request, seen, progress) {
        Next::Do(Step::Destroy(domain) | Step::RequestShutdown { domain, .. }) => {
            assert_eq!(Some(&domain), active(seen).map(|domain| &domain.reference));
        }
        Next::Do(Step::EndProcess { process, .. }) => {
            assert!(silent_one(seen), "{seen:?}");
            assert_eq!(seen.processes, Processes::Found(process));
        }
        Next::Do(Step::Forget(_) | Step::GiveUp(_)) => {
            assert!(active(seen).is_none());
            assert!(!silent_one(seen) || seen.processes == Processes::NoneSeen, "{seen:?}");
        }
        Next::Do(other) => panic!("{other} in stop"),
        Next::Wait { .. } | Next::Done(_) => {}
    });
}

#[test]
fn stop_destroys_while_there_is_time_for_it() {
    let request = request(Action::Stop, "0");
    product(|config, seen, progress| {
        let Some(domain) = active(seen) else { return };
        let late = progress.remaining <= Duration::from_secs(15) && !progress.remaining.is_zero();
        if late && !progress.tried(|step| matches!(step, Step::Destroy(_))) {
            let next = next(config, &request, seen, progress);
            assert_eq!(next, Next::Do(Step::Destroy(domain.reference.clone())));
        }
    });
}

#[test]
fn a_paused_guest_that_refuses_to_shut_down_is_destroyed_at_once() {
    let paused = domain(OURS, 3, 1);
    let refused = having(at(0, 88), ask(&paused), 0, Some("domain is not running"));
    let next = decide(Action::Stop, "0", &ours(paused.clone()), &refused);
    assert_eq!(next, Next::Do(Step::Destroy(paused.reference)));
}

#[test]
fn a_running_guest_whose_request_was_lost_is_asked_again_before_it_is_ended() {
    let running = domain(OURS, 1, 1);
    let lost = Some("libvirt closed the connection");
    let once = having(at(1, 87), ask(&running), 0, lost);
    let next = decide(Action::Stop, "0", &ours(running.clone()), &once);
    assert!(matches!(next, Next::Wait { .. }), "{next:?}");
    let once = having(at(3, 85), ask(&running), 0, lost);
    let next = decide(Action::Stop, "0", &ours(running.clone()), &once);
    assert!(matches!(next, Next::Do(Step::RequestShutdown { .. })), "{next:?}");
    let thrice = having(having(once, ask(&running), 1, lost), ask(&running), 2, lost);
    let next = decide(Action::Stop, "0", &ours(running.clone()), &thrice);
    assert_eq!(next, Next::Do(Step::Destroy(running.reference)));
}

/// The remembered one and the one of an edited definition can both run.
#[test]
fn what_was_done_to_one_guest_is_not_held_against_another() {
    let (first, second) = (domain(OTHER, 1, 1), domain(OURS, 1, 1));
    for before in [ask(&first), Step::Destroy(first.reference.clone())] {
        let progress = having(at(10, 78), before, 1, None);
        let next = decide(Action::Stop, "0", &ours(second.clone()), &progress);
        assert!(matches!(next, Next::Do(Step::RequestShutdown { .. })), "{next:?}");
    }
}

#[test]
fn a_guest_that_was_asked_has_until_the_reserve() {
    let running = domain(OURS, 1, 1);
    let asked = having(at(60, 28), ask(&running), 0, None);
    let next = decide(Action::Stop, "0", &ours(running.clone()), &asked);
    assert!(matches!(next, Next::Wait { .. }), "{next:?}");
    let asked = having(at(73, 15), ask(&running), 0, None);
    let next = decide(Action::Stop, "0", &ours(running.clone()), &asked);
    assert_eq!(next, Next::Do(Step::Destroy(running.reference.clone())));
    // Of a short timeout, a third.
    let asked = having(at(5, 4), ask(&running), 0, None);
    assert!(matches!(decide(Action::Stop, "0", &ours(running.clone()), &asked), Next::Wait { .. }));
    let asked = having(at(6, 3), ask(&running), 0, None);
    let next = decide(Action::Stop, "0", &ours(running.clone()), &asked);
    assert_eq!(next, Next::Do(Step::Destroy(running.reference)));
}

/// With a whole pause before the end, a stop of one second ended without having tried it.
#[test]
fn no_wait_for_the_guest_lasts_into_the_time_for_ending_it() {
    let request = request(Action::Stop, "0");
    let config = config(false, OnPausedByError::Fail);
    for state in [1, 4] {
        let guest = domain(OURS, state, 1);
        for budget in [300, 900, 4750, 18_000, 88_000_u64] {
            let reserve = (budget / 3).min(15_000);
            for left in (1..budget - reserve).step_by(97) {
                for failure in [None, Some("libvirt closed the connection")] {
                    let mut progress = at(0, 0);
                    progress.remaining = Duration::from_millis(reserve + left);
                    progress.elapsed = Duration::from_millis(budget - reserve - left);
                    let now = progress.elapsed.as_secs();
                    let progress = having(progress, ask(&guest), now, failure);
                    match next(&config, &request, &ours(guest.clone()), &progress) {
                        Next::Wait { pause, .. } => {
                            assert!(pause <= Duration::from_millis(left), "{budget}, {left}");
                        }
                        Next::Do(_) | Next::Done(_) => {}
                    }
                }
            }
        }
    }
}

#[test]
fn a_domain_that_cannot_be_ended_fails_with_libvirts_words() {
    let running = domain(OURS, 1, 1);
    let destroy = Step::Destroy(running.reference.clone());
    let progress = having(at(88, 0), destroy, 80, Some("Failed to terminate process 77"));
    let next = decide(Action::Stop, "0", &ours(running), &progress);
    assert_eq!(code(&next), Some(ExitCode::Generic));
    assert!(reason(&next).contains("Failed to terminate process 77"), "{}", reason(&next));
}

#[test]
fn force_stop_does_not_ask() {
    let running = domain(OURS, 1, 1);
    let config = config(true, OnPausedByError::Fail);
    let next = next(&config, &request(Action::Stop, "0"), &ours(running.clone()), &at(0, 88));
    assert_eq!(next, Next::Do(Step::Destroy(running.reference)));
}

#[test]
fn an_end_that_was_refused_is_ordered_again_sooner_where_time_is_short() {
    let running = domain(OURS, 1, 1);
    let destroy = Step::Destroy(running.reference.clone());
    for (left, again_after) in [(80, 5), (20, 5), (4, 2), (2, 1)] {
        for ago in 0..=6 {
            let progress = having(at(ago, left), destroy.clone(), 0, Some("busy"));
            let next = decide(Action::Stop, "0", &ours(running.clone()), &progress);
            assert_eq!(next == Next::Do(destroy.clone()), ago >= again_after, "{left}: {next:?}");
        }
    }
}

#[test]
fn a_guest_that_was_asked_and_is_in_no_clear_state_is_given_its_time() {
    let unclear = domain(OURS, 0, 0);
    let next = decide(Action::Stop, "0", &ours(unclear.clone()), &at(0, 88));
    assert_eq!(next, Next::Do(Step::Destroy(unclear.reference.clone())));
    let asked = having(at(5, 83), ask(&unclear), 0, None);
    let next = decide(Action::Stop, "0", &ours(unclear.clone()), &asked);
    assert!(matches!(next, Next::Wait { .. }), "{next:?}");
    let late = having(at(80, 8), ask(&unclear), 0, None);
    let next = decide(Action::Stop, "0", &ours(unclear.clone()), &late);
    assert_eq!(next, Next::Do(Step::Destroy(unclear.reference)));
}

#[test]
fn a_stop_ends_what_a_migration_left_without_asking_it() {
    for reason in [2, 11, 12, 13] {
        let left = domain(OURS, 3, reason);
        let next = decide(Action::Stop, "0", &ours(left.clone()), &at(0, 88));
        assert_eq!(next, Next::Do(Step::Destroy(left.reference)), "{reason}");
    }
}
