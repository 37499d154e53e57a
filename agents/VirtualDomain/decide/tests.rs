//! The rules over the full product of what can be seen, and the situations that upstream got wrong, one by one.
//! Nothing here asks a libvirt: the world is data.

mod snapshot;
mod upkeep;
mod without;

use super::*;
use crate::{observe::Answer, snapshot::Seen};
use duet_domain::{Health, OnPausedByError, State, health};
use duet_libvirt_rpc::Driver;
use duet_ocf::{Applied, Environment, Outcome};

const OURS: [u8; 16] = [1; 16];
const OTHER: [u8; 16] = [2; 16];
const WHY: &str = "Could not reach libvirt";
const SILENCES: [Silence; 4] =
    [Silence::Nobody, Silence::WentAway, Silence::Frozen, Silence::Refuses];
const PROCESS: Process = Process { pid: 77, started: 5 };

fn identity_of(name: &str, uuid: Option<[u8; 16]>) -> Identity {
    Identity { name: name.into(), uuid: uuid.map(duet_domain::Uuid::from_bytes) }
}

fn domain(uuid: [u8; 16], state: i32, reason: i32) -> Domain {
    let uuid = duet_domain::Uuid::from_bytes(uuid);
    Domain {
        reference: DomainRef { name: "web".into(), uuid, id: 1 },
        state: State::from_numbers(state, reason),
        has_memory_image: false,
    }
}

fn config(force_stop: bool, paused_by_error: OnPausedByError) -> Config {
    Config {
        definition: "/srv/web.xml".into(),
        uri: "qemu:///system".into(),
        driver: Driver::Qemu,
        force_stop,
        paused_by_error,
        shutdown_mode: ShutdownFlags::ANY,
        snapshot: None,
        set_aside: Vec::new(),
        memory: "/run/resource-agents/VirtualDomain-web.identity".into(),
        upkeep: crate::upkeep::Options::default(),
    }
}

fn request(action: Action, interval: &str) -> Request {
    Request::new(action, Environment::default().with("OCF_RESKEY_CRM_meta_interval", interval))
}

fn at(elapsed: u64, remaining: u64) -> Progress<Step> {
    Progress {
        elapsed: Duration::from_secs(elapsed),
        remaining: Duration::from_secs(remaining),
        applied: Vec::new(),
    }
}

fn having(
    mut progress: Progress<Step>,
    step: Step,
    at: u64,
    failure: Option<&str>,
) -> Progress<Step> {
    let failure = failure.map(|why| Outcome::fail(ExitCode::Generic, why));
    progress.applied.push(Applied { step, at: Duration::from_secs(at), failure });
    progress
}

fn seen(libvirt: Answer) -> Observation {
    let identity = identity_of("web", Some(OURS));
    Observation {
        document: Document::Read(identity.clone()),
        remembered: Some(identity),
        unclear: None,
        libvirt,
        processes: Processes::NotLooked,
        upkeep: crate::upkeep::Upkeep::default(),
        snapshot: Seen::NotAsked,
    }
}

fn none(silence: Silence, silent: u64) -> Answer {
    Answer::None { why: WHY.into(), silence, silent: Duration::from_secs(silent) }
}

fn silent(silence: Silence, silent: u64, processes: Processes) -> Observation {
    Observation { processes, ..seen(none(silence, silent)) }
}

fn end(kill: bool) -> Step {
    Step::EndProcess { process: PROCESS, name: "web".into(), kill }
}

fn ours(domain: Domain) -> Observation {
    seen(Answer::Known { ours: Some(domain), namesake: None })
}

fn decide(
    action: Action,
    interval: &str,
    seen: &Observation,
    progress: &Progress<Step>,
) -> Next<Step> {
    next(&config(false, OnPausedByError::Fail), &request(action, interval), seen, progress)
}

fn code(next: &Next<Step>) -> Option<ExitCode> {
    match next {
        Next::Done(outcome) => Some(outcome.code),
        Next::Do(_) | Next::Wait { .. } => None,
    }
}

fn reason(next: &Next<Step>) -> String {
    match next {
        Next::Done(outcome) => outcome.reason.clone().unwrap_or_default(),
        other => panic!("not done: {other:?}"),
    }
}

fn ask(domain: &Domain) -> Step {
    Step::RequestShutdown {
        domain: domain.reference.clone(),
        how: ShutdownFlags::ANY,
        limit: Duration::from_secs(1),
    }
}

/// Calls `check` with every combination of what can be seen, configured and done before.
fn product(check: impl Fn(&Config, &Observation, &Progress<Step>)) {
    let mut domains = vec![None];
    for state in -1..10 {
        for reason in -1..16 {
            domains.push(Some(domain(OURS, state, reason)));
        }
    }
    let namesakes = [None, Some(domain(OTHER, 1, 1)), Some(domain(OTHER, 5, 1))];
    let mut answers = vec![Answer::NotAsked];
    for silence in SILENCES {
        for silent in [0, 60] {
            answers.push(none(silence, silent));
        }
    }
    for ours in &domains {
        for namesake in &namesakes {
            answers.push(Answer::Known { ours: ours.clone(), namesake: namesake.clone() });
        }
    }
    let documents = [
        Document::Read(identity_of("web", Some(OURS))),
        Document::Read(identity_of("web", None)),
        Document::Unusable("gone".into()),
    ];
    let memories = [None, Some(identity_of("web", Some(OURS)))];
    let sample = domain(OURS, 1, 1);
    let create = Step::Create { name: "web".into(), leaves_memory_image: false };
    let mut times = Vec::new();
    for time in [at(0, 88), at(60, 28), at(80, 8), at(88, 0)] {
        for failure in [None, Some("refused")] {
            times.push(having(time.clone(), ask(&sample), 0, failure));
            times.push(having(time.clone(), Step::Destroy(sample.reference.clone()), 0, failure));
            times.push(having(time.clone(), create.clone(), 0, failure));
        }
        times.push(having(time.clone(), end(false), 1, None));
        times.push(having(having(time.clone(), end(false), 1, None), end(true), 5, None));
        times.push(time);
    }
    let processes = [
        Processes::NotLooked,
        Processes::Found(PROCESS),
        Processes::NoneSeen,
        Processes::CouldNotLook("it is dark".into()),
    ];
    for libvirt in &answers {
        for document in &documents {
            for remembered in &memories {
                let mut seen = Observation {
                    document: document.clone(),
                    remembered: remembered.clone(),
                    unclear: None,
                    snapshot: Seen::NotAsked,
                    libvirt: libvirt.clone(),
                    processes: Processes::NotLooked,
                    upkeep: crate::upkeep::Upkeep::default(),
                };
                let tables: &[Processes] = match libvirt {
                    Answer::None { .. } => &processes,
                    _ => &processes[..1],
                };
                for processes in tables {
                    seen.processes = processes.clone();
                    for progress in &times {
                        for force_stop in [false, true] {
                            for policy in [OnPausedByError::Fail, OnPausedByError::Ignore] {
                                check(&config(force_stop, policy), &seen, progress);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The domain that is meant, where libvirt was asked and it is there.
fn active(seen: &Observation) -> Option<&Domain> {
    match &seen.libvirt {
        Answer::Known { ours, .. } => ours.as_ref().filter(|domain| domain.is_active()),
        Answer::NotAsked | Answer::None { .. } => None,
    }
}

fn silent_one(seen: &Observation) -> bool {
    matches!(seen.libvirt, Answer::None { .. })
}

fn answered(seen: &Observation) -> bool {
    matches!(seen.libvirt, Answer::Known { .. })
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
                    assert!(waits || code(&next) == Some(ExitCode::NotRunning), "{next:?}");
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
        Next::Do(Step::Forget(_)) => {
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
fn start_success_implies_seen_healthy() {
    let request = request(Action::Start, "0");
    product(|config, seen, progress| {
        if code(&next(config, &request, seen, progress)) == Some(ExitCode::Ok) {
            let state = active(seen).expect("success is about a domain that was seen").state;
            assert_eq!(health(state, config.paused_by_error), Health::Healthy);
        }
    });
}

/// The loop makes a failure of a step that is decided when time is up.
#[test]
fn what_the_last_look_saw_is_not_spoilt_by_book_keeping() {
    for (action, interval) in
        [(Action::Start, "0"), (Action::Stop, "0"), (Action::Monitor, "10000")]
    {
        let request = request(action, interval);
        product(|config, seen, progress| {
            if progress.remaining.is_zero() {
                let next = next(config, &request, seen, progress);
                assert!(!matches!(next, Next::Do(Step::Remember(_) | Step::Forget(_))), "{next:?}");
            }
        });
    }
    let gone = seen(Answer::Known { ours: None, namesake: None });
    assert_eq!(code(&decide(Action::Stop, "0", &gone, &at(88, 0))), Some(ExitCode::Ok));
    let mut there = ours(domain(OURS, 1, 1));
    there.remembered = None;
    assert_eq!(code(&decide(Action::Start, "0", &there, &at(88, 0))), Some(ExitCode::Ok));
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
fn a_damaged_memory_is_not_the_same_as_none() {
    let mut seen = seen(Answer::NotAsked);
    seen.remembered = None;
    seen.document = Document::Unusable("Could not read /srv/web.xml".into());
    for (action, interval, without) in
        [(Action::Stop, "0", ExitCode::Ok), (Action::Monitor, "0", ExitCode::NotRunning)]
    {
        assert_eq!(code(&decide(action, interval, &seen, &at(0, 88))), Some(without));
        let damaged = Observation { unclear: Some("it is damaged".into()), ..seen.clone() };
        let next = decide(action, interval, &damaged, &at(0, 88));
        assert_eq!(code(&next), Some(ExitCode::Generic));
        assert!(reason(&next).contains("it is damaged"), "{}", reason(&next));
    }
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
fn a_guest_that_came_otherwise_is_remembered_by_the_recurring_monitor_only() {
    let mut seen = ours(domain(OURS, 1, 1));
    seen.remembered = None;
    let next = decide(Action::Monitor, "10000", &seen, &at(0, 28));
    assert_eq!(next, Next::Do(Step::Remember(identity_of("web", Some(OURS)))));
    assert_eq!(code(&decide(Action::Monitor, "0", &seen, &at(0, 28))), Some(ExitCode::Ok));
}
