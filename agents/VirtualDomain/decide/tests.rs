//! The rules over the full product of what can be seen, and the situations that upstream got wrong, one by one.
//! Nothing here asks a libvirt: the world is data.

mod arrival;
mod migrate;
mod monitor;
mod snapshot;
mod start;
mod stop;
mod unfinished;
mod upkeep;
mod without;

use super::*;
use crate::{memory::Unfinished, observe::Answer, snapshot::Seen};
use duet_domain::{Health, OnPausedByError, State, health};
use duet_libvirt_rpc::Driver;
use duet_ocf::{Applied, Environment, Outcome};

const OURS: [u8; 16] = [1; 16];
const OTHER: [u8; 16] = [2; 16];
const WHY: &str = "Could not reach libvirt";
const SILENCES: [Silence; 5] =
    [Silence::Nobody, Silence::NotNow, Silence::WentAway, Silence::Frozen, Silence::Refuses];
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
        driver: Some(Driver::Qemu),
        force_stop,
        paused_by_error,
        shutdown_mode: ShutdownFlags::ANY,
        snapshot: None,
        set_aside: Vec::new(),
        backing: None,
        memory: "/run/resource-agents/VirtualDomain-web.identity".into(),
        upkeep: crate::upkeep::Options::default(),
        start_resources: false,
        instance: "web".into(),
        migration: Default::default(),
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
        unfinished: None,
        libvirt,
        processes: Processes::NotLooked,
        upkeep: crate::upkeep::Upkeep::default(),
        snapshot: Seen::NotAsked,
        strangers: Strangers::NotLooked,
        overlay: Overlay::NotWanted,
        migration: None,
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
        Document::Missing("gone".into()),
        Document::NotNeeded,
    ];
    let memories = [
        (None, None),
        (Some(identity_of("web", Some(OURS))), None),
        (None, Some(Unfinished::Begun)),
        (None, Some(Unfinished::GivenUp)),
    ];
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
            for (remembered, unfinished) in &memories {
                // It takes a memory not to need the definition.
                if *document == Document::NotNeeded && remembered.is_none() {
                    continue;
                }
                let mut seen = Observation {
                    document: document.clone(),
                    remembered: remembered.clone(),
                    unclear: (*unfinished == Some(Unfinished::Begun))
                        .then(|| crate::memory::BEGUN.into()),
                    unfinished: *unfinished,
                    snapshot: Seen::NotAsked,
                    libvirt: libvirt.clone(),
                    processes: Processes::NotLooked,
                    upkeep: crate::upkeep::Upkeep::default(),
                    strangers: Strangers::NotLooked,
                    overlay: Overlay::NotWanted,
                    migration: None,
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
                assert!(
                    !matches!(
                        next,
                        Next::Do(Step::Remember(_) | Step::Forget(_) | Step::GiveUp(_))
                    ),
                    "{next:?}"
                );
            }
        });
    }
    let gone = seen(Answer::Known { ours: None, namesake: None });
    assert_eq!(code(&decide(Action::Stop, "0", &gone, &at(88, 0))), Some(ExitCode::Ok));
    let mut there = ours(domain(OURS, 1, 1));
    there.remembered = None;
    assert_eq!(code(&decide(Action::Start, "0", &there, &at(88, 0))), Some(ExitCode::Ok));
}

/// Only where nobody runs does it not matter who is meant.
#[test]
fn who_is_meant_matters_as_soon_as_somebody_runs() {
    let missing = Document::Missing("Could not read /srv/web.xml: No such file".into());
    let unusable = Document::Unusable("Could not read /srv/web.xml: Input/output error".into());
    let damaged = Some("it is damaged".to_owned());
    let nobody = Strangers::Nobody;
    for (document, unclear, strangers, is_known) in [
        (&missing, &None, Strangers::NotLooked, true),
        (&missing, &damaged, nobody.clone(), true),
        (&missing, &damaged, Strangers::Some("vm7".into()), false),
        (&missing, &damaged, Strangers::CouldNotLook("vm7".into()), false),
        (&unusable, &None, nobody.clone(), true),
        (&unusable, &damaged, nobody, true),
        (&unusable, &None, Strangers::NotLooked, false),
        (&unusable, &None, Strangers::Some("vm7".into()), false),
        (&unusable, &damaged, Strangers::CouldNotLook("vm7".into()), false),
    ] {
        let mut seen = seen(Answer::NotAsked);
        (seen.remembered, seen.document) = (None, document.clone());
        (seen.unclear, seen.strangers) = (unclear.clone(), strangers);
        for (action, known) in
            [(Action::Stop, ExitCode::Ok), (Action::Monitor, ExitCode::NotRunning)]
        {
            let mut next = decide(action, "0", &seen, &at(0, 88));
            if let Next::Do(step @ Step::Forget(_)) = next {
                assert!(is_known && unclear.is_some() && action == Action::Stop, "{seen:?}");
                next = decide(action, "0", &seen, &having(at(0, 88), step, 0, None));
            }
            let expected = if is_known { known } else { ExitCode::Generic };
            assert_eq!(code(&next), Some(expected), "{action}: {seen:?}");
            let says = [Some("/srv/web.xml"), unclear.as_deref()];
            for word in says.into_iter().flatten().filter(|_| !is_known) {
                assert!(reason(&next).contains(word), "{next:?}");
            }
        }
        let recurring = code(&decide(Action::Monitor, "10000", &seen, &at(0, 88)));
        let expected = match &seen.strangers {
            Strangers::Nobody => ExitCode::NotRunning,
            _ => ExitCode::Generic,
        };
        assert_eq!(recurring, Some(expected), "{seen:?}");
    }
}
