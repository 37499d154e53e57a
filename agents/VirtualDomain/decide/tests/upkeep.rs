//! What is beside the guest takes part in an answer only where it may, once, and never in a probe.

use super::*;
use crate::{
    upkeep::{Options, Save, Upkeep},
    utilization::Update,
};

fn caring() -> Config {
    Config {
        upkeep: Options {
            scripts: vec!["/bin/one".into()],
            utilization: None,
            save: Save::Everywhere,
        },
        ..config(false, OnPausedByError::Fail)
    }
}

fn full(mut seen: Observation) -> Observation {
    let update = Update { changes: Vec::new(), is_instance: false, mark: "m".into() };
    seen.upkeep =
        Upkeep { utilization: Some(update), lacks_csync2: false, has_no_shutdown_order: true };
    seen
}

fn running() -> Observation {
    full(ours(domain(OURS, 1, 1)))
}

fn task(next: &Next<Step>) -> Option<&'static str> {
    match next {
        Next::Do(Step::Upkeep(task)) => Some(match task {
            Task::RunScripts { .. } => "scripts",
            Task::UpdateUtilization { .. } => "utilization",
            Task::SaveDefinition { .. } => "save",
            Task::OrderShutdown { .. } => "order",
        }),
        Next::Do(_) => Some("other"),
        Next::Wait { .. } | Next::Done(_) => None,
    }
}

/// Carries out everything that is decided, until there is an outcome; each takes a second.
fn play(
    config: &Config,
    action: Action,
    interval: &str,
    seen: &Observation,
    fails: &str,
) -> (Vec<&'static str>, Next<Step>) {
    let mut progress = at(0, 60);
    let mut done = Vec::new();
    for second in 1.. {
        let next = next(config, &request(action, interval), seen, &progress);
        let elapsed = Duration::from_secs(second);
        match next {
            Next::Do(step) => {
                let name = task(&Next::Do(step.clone())).unwrap();
                done.push(name);
                let failure =
                    (name == fails).then(|| Outcome::fail(ExitCode::Generic, "it failed"));
                progress.applied.push(Applied { step, at: elapsed, failure });
            }
            Next::Wait { .. } if !progress.remaining.is_zero() => {}
            other => return (done, other),
        }
        progress.elapsed = elapsed;
        progress.remaining = Duration::from_secs(60).saturating_sub(elapsed);
    }
    unreachable!()
}

#[test]
fn a_recurring_monitor_looks_after_everything_once_and_in_order() {
    let (done, end) = play(&caring(), Action::Monitor, "10000", &running(), "");
    assert_eq!(done, ["scripts", "utilization", "save"]);
    assert_eq!(end, Next::success());
}

#[test]
fn a_probe_and_a_status_look_after_nothing() {
    let silent = full(silent(Silence::Nobody, 9, Processes::Found(PROCESS)));
    for seen in [running(), silent] {
        for action in [Action::Monitor, Action::Status] {
            let (done, end) = play(&caring(), action, "0", &seen, "");
            assert_eq!((done.len(), end), (0, Next::success()));
        }
    }
}

#[test]
fn of_all_that_fails_only_a_script_fails_a_monitor() {
    for (fails, code_expected) in [("scripts", 1), ("utilization", 0), ("save", 0)] {
        let (_, end) = play(&caring(), Action::Monitor, "10000", &running(), fails);
        assert_eq!(code(&end).unwrap().number(), code_expected, "{fails}");
        assert_eq!(reason(&end).contains("it failed"), fails == "scripts");
    }
}

#[test]
fn a_guest_that_vanished_under_a_script_is_not_running() {
    let ran = Step::Upkeep(Task::RunScripts { limit: Duration::from_secs(1) });
    let progress = having(at(2, 20), ran, 1, Some("no answer"));
    let gone = full(seen(Answer::Known { ours: None, namesake: None }));
    let end = next(&caring(), &request(Action::Monitor, "10000"), &gone, &progress);
    assert_eq!(code(&end), Some(ExitCode::NotRunning));
}

#[test]
fn a_guest_known_by_its_process_is_asked_by_scripts_and_nothing_is_saved_of_it() {
    let mut seen = full(silent(Silence::Nobody, 9, Processes::Found(PROCESS)));
    seen.upkeep.utilization = None;
    let (done, end) = play(&caring(), Action::Monitor, "10000", &seen, "");
    assert_eq!((done, end), (vec!["scripts"], Next::success()));
    let (_, end) = play(&caring(), Action::Monitor, "10000", &seen, "scripts");
    assert_eq!(code(&end), Some(ExitCode::Generic));
}

#[test]
fn a_guest_that_is_not_well_or_is_leaving_is_not_looked_after() {
    for (state, reason) in [(3, 5), (4, 1), (5, 0), (6, 1)] {
        let seen = full(ours(domain(OURS, state, reason)));
        let (done, _) = play(&caring(), Action::Monitor, "10000", &seen, "");
        assert_eq!(done, [""; 0], "{state}/{reason}");
    }
}

#[test]
fn a_start_waits_for_its_scripts_until_its_time_is_over() {
    let (done, end) = play(&caring(), Action::Start, "0", &running(), "scripts");
    assert!(done.len() > 5 && done.iter().all(|name| *name == "scripts"), "{done:?}");
    assert_eq!(code(&end), Some(ExitCode::Generic));
    assert!(reason(&end).starts_with("it failed; it was tried"), "{}", reason(&end));
    let (done, end) = play(&caring(), Action::Start, "0", &running(), "");
    assert_eq!((done, end), (vec!["scripts"], Next::success()));
}

#[test]
fn the_shutdown_is_ordered_once_before_the_domain_is_created() {
    let mut seen = full(seen(Answer::Known { ours: None, namesake: None }));
    for fails in ["", "order"] {
        let (done, _) = play(&caring(), Action::Start, "0", &seen, fails);
        assert_eq!(done, ["order", "other"], "whether that fails or not");
    }
    seen.upkeep.has_no_shutdown_order = false;
    let (done, _) = play(&caring(), Action::Start, "0", &seen, "");
    assert_eq!(done, ["other"]);
}

#[test]
fn csync2_that_is_missing_keeps_a_guest_from_starting_and_from_nothing_else() {
    let mut running = running();
    running.upkeep.lacks_csync2 = true;
    let decided = |action| next(&caring(), &request(action, "0"), &running, &at(0, 60));
    for action in [Action::Start, Action::ValidateAll] {
        assert_eq!(code(&decided(action)), Some(ExitCode::Installed), "{action}");
    }
    assert_eq!(decided(Action::Monitor), Next::success());
    assert_eq!(decided(Action::ReloadAgent), Next::success());
    assert_eq!(task(&decided(Action::Stop)), Some("save"));
}

#[test]
fn a_stop_saves_first_and_stops_whatever_comes_of_it() {
    for state in [(1, 1), (3, 5), (6, 1), (0, 0)] {
        let seen = full(ours(domain(OURS, state.0, state.1)));
        for fails in ["", "save"] {
            let (done, _) = play(&caring(), Action::Stop, "0", &seen, fails);
            assert_eq!(done[..2], ["save", "other"], "{state:?}");
            assert_eq!(done.iter().filter(|name| **name == "save").count(), 1);
        }
    }
    // With no time to spare, the guest's end comes first.
    let hurry = next(&caring(), &request(Action::Stop, "0"), &running(), &at(80, 5));
    assert_eq!(task(&hurry), Some("other"));
    let plain = config(false, OnPausedByError::Fail);
    assert_eq!(
        task(&next(&plain, &request(Action::Stop, "0"), &running(), &at(0, 60))),
        Some("other")
    );
}

#[test]
fn a_reload_is_done_whatever_there_is() {
    for seen in [
        running(),
        seen(Answer::NotAsked),
        Observation { document: Document::Unusable("no".into()), ..seen(Answer::NotAsked) },
    ] {
        let decided = next(&caring(), &request(Action::ReloadAgent, "0"), &seen, &at(0, 10));
        assert_eq!(decided, Next::success());
    }
}
