//! Start: the rules over the product of states, and the situations one by one.

use super::*;

#[test]
fn start_success_implies_seen_healthy() {
    let request = request(Action::Start, "0");
    product(|config, seen, progress| {
        if code(&next(config, &request, seen, progress)) == Some(ExitCode::Ok) {
            let state = active(seen).expect("success is about a domain that was seen").state;
            assert_eq!(health(state, config.paused_by_error), Health::Healthy);
        }
    });
}

#[test]
fn start_touches_nothing_beside_a_running_domain_of_its_name() {
    let request = request(Action::Start, "0");
    product(|config, seen, progress| {
        let Answer::Known { ours, namesake: Some(other) } = &seen.libvirt else { return };
        if other.is_active() && !ours.as_ref().is_some_and(Domain::is_active) {
            let next = next(config, &request, seen, progress);
            assert!(!matches!(next, Next::Do(_)), "{next:?}");
            assert_ne!(code(&next), Some(ExitCode::Ok));
        }
    });
}

#[test]
fn start_undefines_only_what_does_not_run() {
    let request = request(Action::Start, "0");
    product(|config, seen, progress| {
        if let Next::Do(Step::Undefine(domain)) = next(config, &request, seen, progress) {
            let Answer::Known { ours, namesake } = &seen.libvirt else { panic!("not asked") };
            let victim = [ours, namesake].into_iter().flatten().find(|d| d.reference == domain);
            assert!(!victim.expect("it was seen").is_active());
        }
    });
}

#[test]
fn start_without_a_usable_definition_is_not_installed() {
    let mut seen = seen(Answer::NotAsked);
    seen.document = Document::Unusable("Could not read /srv/web.xml: No such file".into());
    let next = decide(Action::Start, "0", &seen, &at(0, 88));
    assert_eq!(code(&next), Some(ExitCode::Installed));
    assert!(reason(&next).contains("/srv/web.xml"));
}

#[test]
fn start_waits_for_the_end_of_a_previous_run() {
    let next = decide(Action::Start, "0", &ours(domain(OURS, 4, 1)), &at(0, 88));
    assert!(matches!(next, Next::Wait { .. }), "{next:?}");
}

#[test]
fn start_tries_once_and_says_why_it_did_not_last() {
    let create = Step::Create { name: "web".into(), leaves_memory_image: false };
    let progress = having(at(2, 80), create, 1, None);
    let next = decide(Action::Start, "0", &ours(domain(OURS, 5, 6)), &progress);
    assert_eq!(code(&next), Some(ExitCode::Generic));
    assert!(reason(&next).contains("shut off (failed to start)"), "{}", reason(&next));
}

#[test]
fn start_clears_away_a_definition_with_another_uuid_but_not_with_ours() {
    let create = Step::Create { name: "web".into(), leaves_memory_image: false };
    let same = ours(domain(OURS, 5, 1));
    assert_eq!(decide(Action::Start, "0", &same, &at(0, 88)), Next::Do(create));
    let other = domain(OTHER, 5, 1);
    let reference = other.reference.clone();
    let seen = seen(Answer::Known { ours: None, namesake: Some(other) });
    let next = decide(Action::Start, "0", &seen, &at(0, 88));
    assert_eq!(next, Next::Do(Step::Undefine(reference)));
}

/// Its QEMU is there, and can still fail before the guest runs.
#[test]
fn a_domain_that_is_starting_up_has_not_started() {
    for policy in [OnPausedByError::Fail, OnPausedByError::Ignore] {
        let seen = ours(domain(OURS, 3, 11));
        let config = config(false, policy);
        let wait = next(&config, &request(Action::Start, "0"), &seen, &at(1, 87));
        assert!(matches!(wait, Next::Wait { .. }), "{wait:?}");
        let paused = ours(domain(OURS, 3, 1));
        let done = next(&config, &request(Action::Start, "0"), &paused, &at(1, 87));
        assert_eq!(code(&done), Some(ExitCode::Ok));
    }
    let monitor = decide(Action::Monitor, "10000", &ours(domain(OURS, 3, 11)), &at(1, 27));
    assert_eq!(code(&monitor), Some(ExitCode::Ok), "a monitor does not fail over it");
}

fn overlays() -> [Overlay; 4] {
    let path = || "/srv/web.qcow2".into();
    [
        Overlay::NotWanted,
        Overlay::Seen { path: path(), is_due: false },
        Overlay::Seen { path: path(), is_due: true },
        Overlay::Unusable("it is not named".into()),
    ]
}

#[test]
fn the_overlay_of_a_running_guest_is_never_touched() {
    let request = request(Action::Start, "0");
    let [_, _, due, unusable] = overlays();
    product(|config, seen, progress| {
        // All others end before any image matters.
        if !matches!((&seen.document, &seen.libvirt), (Document::Read(_), Answer::Known { .. })) {
            return;
        }
        for overlay in [due.clone(), unusable.clone()] {
            let seen = Observation { overlay, ..seen.clone() };
            let next = next(config, &request, &seen, progress);
            if let Next::Do(Step::MakeOverlay(path)) = &next {
                assert_eq!(Some(path.as_path()), seen.overlay.to_make());
                let Answer::Known { ours, namesake } = &seen.libvirt else { panic!("not asked") };
                let runs = [ours, namesake].into_iter().flatten().any(Domain::is_active);
                assert!(!runs, "{seen:?}");
                assert!(!progress.tried(|step| matches!(step, Step::Create { .. })), "once");
            }
            if matches!(next, Next::Do(Step::Create { .. } | Step::Undefine(_))) {
                assert!(!matches!(seen.overlay, Overlay::Unusable(_)), "{next:?}");
            }
        }
    });
}

#[test]
fn an_overlay_that_is_due_is_made_before_the_start() {
    for overlay in overlays() {
        let answer = Answer::Known { ours: None, namesake: None };
        let seen = Observation { overlay: overlay.clone(), ..seen(answer) };
        let first = decide(Action::Start, "0", &seen, &at(0, 88));
        let create = Next::Do(Step::Create { name: "web".into(), leaves_memory_image: false });
        match overlay {
            Overlay::Seen { path, is_due: true } => {
                let make = Step::MakeOverlay(path);
                assert_eq!(first, Next::Do(make.clone()));
                // Also where each start is to have a fresh one: once for this start.
                let then = decide(Action::Start, "0", &seen, &having(at(1, 87), make, 1, None));
                assert_eq!(then, create);
            }
            Overlay::Unusable(why) => {
                assert_eq!(code(&first), Some(ExitCode::Installed));
                assert_eq!(reason(&first), why);
                let validated = decide(Action::ValidateAll, "0", &seen, &at(0, 5));
                assert_eq!(code(&validated), Some(ExitCode::Installed));
            }
            Overlay::NotWanted | Overlay::Seen { .. } => assert_eq!(first, create),
        }
    }
}
