//! Memory images: what a start may do with them, and what a stop may leave. The product is over every state of the three
//! files, of the directory, of the guest and of what was done before.

use super::*;
use crate::snapshot::{Image, Images, Snapshot};
use duet_domain::PausedReason;

const LIMIT: Duration = Duration::from_secs(40);

fn with_snapshot() -> Config {
    let snapshot = Snapshot { directory: "/srv/images".into(), is_shared: false };
    Config { snapshot: Some(snapshot), ..config(false, OnPausedByError::Fail) }
}

fn save(domain: &Domain) -> Step {
    Step::Save { domain: domain.reference.clone(), limit: LIMIT }
}

fn abort(domain: &Domain) -> Step {
    Step::AbortSave(domain.reference.clone())
}

fn restore() -> Step {
    Step::Restore { name: "web".into(), leaves_memory_image: false }
}

fn create() -> Step {
    Step::Create { name: "web".into(), leaves_memory_image: false }
}

fn images(ready: Image, saving: Image, restoring: Image) -> Seen {
    Seen::Images(Images { ready, saving, restoring })
}

fn every_image() -> [Image; 3] {
    [Image::Absent, Image::Complete, Image::Unusable("cut off".into())]
}

fn every_seen() -> Vec<Seen> {
    let mut all = vec![Seen::NotAsked, Seen::Fit, Seen::Unfit("not mounted".into())];
    for ready in every_image() {
        for saving in every_image() {
            for restoring in every_image() {
                all.push(images(ready.clone(), saving.clone(), restoring.clone()));
            }
        }
    }
    all
}

/// Every order of up to two steps, failed or not, with the time that is left.
fn histories(steps: &[Step]) -> Vec<Progress<Step>> {
    let mut all = vec![Vec::new()];
    let mut from = 0;
    for _ in 0..2 {
        let to = all.len();
        for at in from..to {
            for step in steps {
                for failure in [None, Some("refused")] {
                    let mut longer = all[at].clone();
                    longer.push((step.clone(), failure));
                    all.push(longer);
                }
            }
        }
        from = to;
    }
    let mut histories = Vec::new();
    for steps in all {
        for time in [at(10, 78), at(70, 18), at(80, 8), at(88, 0)] {
            let steps = steps.iter().cloned();
            histories
                .push(steps.fold(time, |time, (step, failure)| having(time, step, 9, failure)));
        }
    }
    histories
}

fn states() -> Vec<Option<Domain>> {
    let mut states = vec![None];
    for (state, reason) in [
        (0, 0),
        (1, 1),
        (1, 3),
        (1, 7),
        (2, 0),
        (3, 1),
        (3, 3),
        (3, 5),
        (4, 1),
        (5, 5),
        (6, 1),
        (7, 0),
    ] {
        states.push(Some(domain(OURS, state, reason)));
    }
    states
}

/// Calls `check` with each combination for an action that has these steps.
fn product(
    action: Action,
    steps: &[Step],
    check: impl Fn(&Observation, &Progress<Step>, Next<Step>),
) {
    let (config, request) = (with_snapshot(), request(action, "0"));
    let histories = histories(steps);
    for snapshot in every_seen() {
        for domain in states() {
            let answer = Answer::Known { ours: domain, namesake: None };
            let seen = Observation { snapshot: snapshot.clone(), ..seen(answer) };
            for progress in &histories {
                check(&seen, progress, next(&config, &request, &seen, progress));
            }
        }
    }
}

fn start_product(check: impl Fn(&Observation, &Progress<Step>, Next<Step>)) {
    let aside =
        Step::SetImageAside { name: "web".into(), role: Role::Restoring, why: String::new() };
    let steps = [create(), restore(), aside, Step::RemoveImage("web".into())];
    product(Action::Start, &steps, check);
}

fn stop_product(check: impl Fn(&Observation, &Progress<Step>, Next<Step>)) {
    let guest = domain(OURS, 1, 1);
    let destroy = Step::Destroy(guest.reference.clone());
    let steps = [save(&guest), abort(&guest), ask(&guest), destroy, Step::Seal("web".into())];
    product(Action::Stop, &steps, check);
}

fn ready(seen: &Observation) -> Option<&Image> {
    match &seen.snapshot {
        Seen::Images(images) => Some(&images.ready),
        Seen::NotAsked | Seen::Unfit(_) | Seen::Fit => None,
    }
}

#[test]
fn a_guest_is_created_only_where_no_image_could_be_restored_later() {
    start_product(|seen, _, next| {
        if matches!(next, Next::Do(Step::Create { .. })) {
            let nothing = images(Image::Absent, Image::Absent, Image::Absent);
            assert!(seen.snapshot == nothing || seen.snapshot == Seen::NotAsked, "{seen:?}");
        }
    });
}

#[test]
fn only_a_complete_image_is_restored_and_only_once() {
    start_product(|seen, progress, next| {
        if let Next::Do(Step::Restore { .. }) = next {
            assert_eq!(ready(seen), Some(&Image::Complete));
            assert_eq!(active(seen), None);
            let images = match &seen.snapshot {
                Seen::Images(images) => images,
                other => panic!("{other:?}"),
            };
            assert_eq!((&images.saving, &images.restoring), (&Image::Absent, &Image::Absent));
            assert!(progress.last(|step| *step == restore()).is_none_or(|it| it.failure.is_some()));
        }
    });
}

#[test]
fn a_start_that_succeeds_leaves_no_image_to_start_from() {
    start_product(|seen, _, next| {
        if code(&next) == Some(ExitCode::Ok) {
            assert!(active(seen).is_some());
            assert!(!matches!(ready(seen), Some(Image::Complete | Image::Unusable(_))), "{seen:?}");
        }
    });
}

#[test]
fn an_image_is_removed_only_when_the_guest_that_was_restored_from_it_is_seen_well() {
    start_product(|seen, progress, next| {
        if let Next::Do(Step::RemoveImage(_)) = next {
            let state = active(seen).expect("it was seen").state;
            assert_eq!(health(state, OnPausedByError::Fail), Health::Healthy);
            assert!(progress.tried(|step| *step == restore()));
        }
    });
}

#[test]
fn a_directory_that_cannot_serve_starts_nobody() {
    start_product(|seen, _, next| {
        if matches!(seen.snapshot, Seen::Unfit(_)) && active(seen).is_none() {
            assert!(
                matches!(code(&next), Some(ExitCode::Installed | ExitCode::Generic)),
                "{next:?}"
            );
        }
    });
}

#[test]
fn a_guest_is_saved_once_and_only_in_health() {
    stop_product(|seen, progress, next| {
        if let Next::Do(Step::Save { limit, .. }) = next {
            let state = active(seen).expect("it was seen").state;
            assert!(matches!(
                state,
                State::Running(_) | State::Blocked | State::Paused(PausedReason::User)
            ));
            assert!(!progress.tried(|step| matches!(
                step,
                Step::Save { .. } | Step::RequestShutdown { .. } | Step::Destroy(_)
            )));
            assert!(!matches!(seen.snapshot, Seen::Unfit(_)));
            // A third is left for asking the guest, and what ending it may take.
            assert!(
                limit * 3 / 2 + Duration::from_secs(8)
                    <= progress.remaining + Duration::from_secs(1)
            );
        }
    });
}

#[test]
fn an_image_is_kept_only_of_a_guest_that_is_gone_because_it_was_saved() {
    stop_product(|seen, progress, next| {
        let sealed = matches!(next, Next::Do(Step::Seal(_)));
        if sealed {
            assert!(active(seen).is_none());
            assert!(progress.applied.iter().all(|it| matches!(it.step, Step::Save { .. })));
            assert!(progress.applied.last().is_some_and(|it| it.failure.is_none()));
        }
        let only_saved = progress.applied.len() == 1
            && progress.applied[0].failure.is_none()
            && matches!(progress.applied[0].step, Step::Save { .. });
        let is_complete =
            matches!(&seen.snapshot, Seen::Images(images) if images.saving == Image::Complete);
        if only_saved && is_complete && active(seen).is_none() && !progress.remaining.is_zero() {
            assert!(sealed, "{next:?}");
        }
    });
}

#[test]
fn a_save_never_keeps_a_stop_from_ending_the_guest() {
    stop_product(|seen, progress, next| {
        if active(seen).is_none() {
            return;
        }
        assert_ne!(code(&next), Some(ExitCode::Ok));
        let late = progress.remaining <= Duration::from_secs(15) && !progress.remaining.is_zero();
        if late && !progress.tried(|step| matches!(step, Step::Destroy(_))) {
            assert!(matches!(next, Next::Do(Step::Destroy(_))), "{next:?}");
        }
    });
}

#[test]
fn a_save_that_does_not_end_is_given_up_and_then_the_guest_is_ended() {
    let (config, request) = (with_snapshot(), request(Action::Stop, "0"));
    let saving = domain(OURS, 3, 3);
    let fit = Observation { snapshot: Seen::Fit, ..ours(saving.clone()) };
    let timed_out = having(at(50, 38), save(&saving), 50, Some("did not answer within 50 s"));
    assert_eq!(next(&config, &request, &fit, &timed_out), Next::Do(abort(&saving)));
    let asked = having(timed_out, abort(&saving), 50, None);
    let wait = next(&config, &request, &fit, &asked);
    assert!(matches!(wait, Next::Wait { .. }), "{wait:?}");
    let stuck = Progress { elapsed: Duration::from_secs(61), ..asked.clone() };
    let end = next(&config, &request, &fit, &stuck);
    assert_eq!(end, Next::Do(Step::Destroy(saving.reference.clone())));
    // It did give up: the guest runs again and can be asked.
    let back = Observation { snapshot: Seen::Fit, ..ours(domain(OURS, 1, 7)) };
    let ask = next(&config, &request, &back, &asked);
    assert!(matches!(ask, Next::Do(Step::RequestShutdown { .. })), "{ask:?}");
}

#[test]
fn force_stop_and_a_bad_state_are_not_saved() {
    let request = request(Action::Stop, "0");
    for (state, reason) in [(3, 5), (3, 10), (6, 1), (7, 0), (0, 0)] {
        let fit = Observation { snapshot: Seen::Fit, ..ours(domain(OURS, state, reason)) };
        let next = next(&with_snapshot(), &request, &fit, &at(0, 88));
        assert!(!matches!(next, Next::Do(Step::Save { .. })), "{next:?}");
    }
    let forced = Config { force_stop: true, ..with_snapshot() };
    let fit = Observation { snapshot: Seen::Fit, ..ours(domain(OURS, 1, 1)) };
    let next = next(&forced, &request, &fit, &at(0, 88));
    assert!(matches!(next, Next::Do(Step::Destroy(_))), "{next:?}");
}

#[test]
fn what_cannot_be_restored_is_set_aside_and_the_guest_boots() {
    let (config, request) = (with_snapshot(), request(Action::Start, "0"));
    let gone =
        |snapshot| Observation { snapshot, ..seen(Answer::Known { ours: None, namesake: None }) };
    let lies = gone(images(Image::Complete, Image::Absent, Image::Absent));
    assert_eq!(next(&config, &request, &lies, &at(0, 88)), Next::Do(restore()));
    let refused = having(at(1, 87), restore(), 1, Some("save image is incomplete"));
    let taken = gone(images(Image::Absent, Image::Absent, Image::Complete));
    match next(&config, &request, &taken, &refused) {
        Next::Do(Step::SetImageAside { role: Role::Restoring, why, .. }) => {
            assert!(why.contains("save image is incomplete"), "{why}");
        }
        other => panic!("{other:?}"),
    }
    let clear = gone(images(Image::Absent, Image::Absent, Image::Absent));
    assert_eq!(next(&config, &request, &clear, &refused), Next::Do(create()));
}

#[test]
fn the_way_of_asking_is_the_parameters_and_after_a_refusal_libvirts() {
    let request = request(Action::Stop, "0");
    let agent =
        Config { shutdown_mode: ShutdownFlags::AGENT, ..config(false, OnPausedByError::Fail) };
    let running = ours(domain(OURS, 1, 1));
    let how = |next: Next<Step>| match next {
        Next::Do(Step::RequestShutdown { how, .. }) => how,
        other => panic!("{other:?}"),
    };
    assert_eq!(how(next(&agent, &request, &running, &at(0, 88))), ShutdownFlags::AGENT);
    let refused = having(at(3, 85), ask(&domain(OURS, 1, 1)), 0, Some("no guest agent"));
    assert_eq!(how(next(&agent, &request, &running, &refused)), ShutdownFlags::ANY);
}
