//! What must hold in every state, for every action, at every moment.

use super::*;

const ACTIONS: [Action; 8] = [
    Action::Start,
    Action::Stop,
    Action::Promote,
    Action::Demote,
    Action::Monitor,
    Action::Status,
    Action::ReloadAgent,
    Action::ValidateAll,
];

/// Every kernel: none, not knowing it, silent, and knowing it in each role with each disk and each state of a peer,
/// with and without quorum, open and frozen.
fn kernels() -> Vec<Kernel> {
    let mut kernels = vec![
        Kernel::NoModule,
        Kernel::Unknown(V8),
        Kernel::Unknown(V9),
        Kernel::Silent("Could not ask the kernel".into()),
        Kernel::Known(Facts { volumes: Vec::new(), ..well(Role::Secondary) }),
    ];
    let disks = [
        Disk::UpToDate,
        Disk::Consistent,
        Disk::Outdated,
        Disk::Inconsistent,
        Disk::Diskless,
        Disk::Negotiating,
        Disk::Failed,
        Disk::Unrecognized("Splendid".into()),
    ];
    let peers = [
        peer(Connection::Connected, Role::Secondary, Disk::UpToDate),
        peer(Connection::Connected, Role::Primary, Disk::UpToDate),
        peer(Connection::Connecting, Role::Unknown, Disk::DUnknown),
        peer(Connection::StandAlone, Role::Unknown, Disk::DUnknown),
        peer(Connection::Unrecognized("99".into()), Role::Unrecognized("9".into()), Disk::Outdated),
    ];
    for version in [V8, V9] {
        for role in [Role::Primary, Role::Secondary] {
            for disk in &disks {
                for peer in &peers {
                    // What decides the score and the wording only, in turn.
                    let (has_quorum, open, fencing) = [
                        (true, None, false),
                        (false, Some(true), false),
                        (true, Some(false), true),
                    ][kernels.len() % 3];
                    let volume = Volume { has_quorum, open, ..volume(disk.clone()) };
                    kernels.push(Kernel::Known(Facts {
                        version,
                        role: role.clone(),
                        suspended: Suspended { fencing, ..Suspended::default() },
                        volumes: vec![volume],
                        peers: vec![peer.clone()],
                    }));
                }
            }
        }
    }
    kernels
}

fn configs() -> Vec<Config> {
    let bold = Config {
        stop_outdates_secondary: true,
        fail_promote_early: true,
        unfence: Some(String::new()),
        connect_only_after_promote: true,
        promoted: vec!["node2".into()],
        relatives: vec!["node1".into(), "node2".into()],
        ..config()
    };
    let two = Config { options: Options { promoted_max: 2, ..config().options }, ..config() };
    vec![config(), bold, two]
}

/// What the configuration says, and whether DRBD has said that there is no data.
fn sayings() -> [(Configuration, Access); 5] {
    let read = |allows_two_primaries| {
        Configuration::Read(Configured { allows_two_primaries, ..Configured::default() })
    };
    let unusable = Configuration::Unusable { code: ExitCode::Installed, why: "no".into() };
    [
        (Configuration::NotAsked, Access::NotDenied),
        (unusable, Access::NotDenied),
        (read(false), Access::NotDenied),
        (read(true), Access::NotDenied),
        (Configuration::NotAsked, Access::Denied),
    ]
}

/// Histories: nothing done, each thing done with and without success, and the end of the time.
fn histories() -> Vec<Progress<Step>> {
    let steps = [
        Step::LoadModule,
        Step::Create(r0()),
        Step::Attach(r0()),
        connect_all(),
        primary(),
        secondary_by(By::Drbdadm),
        secondary_by(By::Drbdsetup),
        down_by(By::Drbdadm),
        down_by(By::Drbdsetup),
        score(),
    ];
    let mut histories = vec![at(0, 90), at(20, 70), at(50, 40), at(90, 0)];
    // A start that has made the resource and connected it, to its promoted peer or to all.
    for peer in [None, Some("node2".to_owned())] {
        let attached = after(at(3, 87), Step::Attach(r0()), 1, None);
        let connect = Step::Connect { resource: r0(), peer };
        histories.push(after(attached, connect, 2, None));
    }
    for step in steps {
        for failure in [None, Some("it said no")] {
            for progress in [at(2, 88), at(90, 0)] {
                histories.push(after(progress, step.clone(), 1, failure));
            }
        }
    }
    histories
}

fn every(mut check: impl FnMut(&Config, Action, &Observation, &Progress<Step>, &Next<Step>)) {
    let (kernels, histories) = (kernels(), histories());
    let requests = ACTIONS.map(|action| request(action, "10000"));
    for config in &configs() {
        for (configuration, access) in sayings() {
            for kernel in &kernels {
                let seen = Observation {
                    configuration: configuration.clone(),
                    access,
                    elsewhere: Elsewhere::Nobody,
                    ..seen(kernel.clone())
                };
                for progress in &histories {
                    for request in &requests {
                        let next = next(config, request, &seen, progress);
                        check(config, request.action, &seen, progress, &next);
                    }
                }
            }
        }
    }
}

#[test]
fn stop_success_implies_nothing_is_seen() {
    every(|_, action, seen, _, next| {
        if action == Action::Stop && code(next) == Some(ExitCode::Ok) {
            assert!(matches!(seen.kernel, Kernel::NoModule | Kernel::Unknown(_)), "{seen:?}");
        }
    });
}

#[test]
fn promote_success_implies_primary_is_seen() {
    every(|_, action, seen, _, next| {
        if action == Action::Promote && code(next) == Some(ExitCode::Ok) {
            assert!(matches!(&seen.kernel, Kernel::Known(facts) if facts.is_primary()), "{seen:?}");
        }
    });
}

#[test]
fn demote_and_start_success_imply_secondary_is_seen() {
    every(|_, action, seen, _, next| {
        let is_such = matches!(action, Action::Demote | Action::Start);
        if is_such && code(next) == Some(ExitCode::Ok) {
            let is_secondary = matches!(&seen.kernel, Kernel::Known(facts) if !facts.is_primary());
            assert!(is_secondary, "{action}: {seen:?}");
        }
    });
}

#[test]
fn running_and_promoted_are_said_of_what_is_seen_so() {
    every(|_, action, seen, _, next| {
        if !matches!(action, Action::Monitor | Action::Status) {
            return;
        }
        let is_primary = seen.kernel.running().map(Facts::is_primary);
        match code(next) {
            Some(ExitCode::Ok) => assert_eq!(is_primary, Some(false)),
            Some(ExitCode::RunningPromoted) => assert_eq!(is_primary, Some(true)),
            Some(ExitCode::NotRunning) => assert_eq!(is_primary, None),
            Some(ExitCode::Generic) => assert!(matches!(seen.kernel, Kernel::Silent(_))),
            Some(other) => panic!("{other}: {seen:?}"),
            None => {}
        }
    });
}

#[test]
fn a_question_that_failed_is_never_7() {
    every(|_, action, seen, _, next| {
        if let (Kernel::Silent(_), Some(code)) = (&seen.kernel, code(next)) {
            assert_ne!(code, ExitCode::NotRunning, "{action}");
            // What the configuration alone decides may be decided without the kernel.
            if action != Action::ValidateAll {
                assert_ne!(code, ExitCode::Ok, "{action}");
            }
        }
    });
}

#[test]
fn a_probe_changes_nothing() {
    for kernel in kernels() {
        for progress in histories() {
            let seen = seen(kernel.clone());
            for action in [Action::Monitor, Action::Status, Action::ValidateAll] {
                let next = next(&config(), &request(action, "0"), &seen, &progress);
                assert!(!matches!(next, Next::Do(_)), "{action} {next:?}: {seen:?}");
            }
        }
    }
}

#[test]
fn only_promote_makes_primary_and_never_against_a_refusal() {
    every(|_, action, seen, _, next| {
        if let Next::Do(Step::Primary(_)) = next {
            assert_eq!(action, Action::Promote);
            assert_eq!(seen.access, Access::NotDenied);
        }
    });
}

#[test]
fn a_refused_peer_is_reconnected_by_nobody() {
    every(|config, action, seen, progress, next| {
        let Kernel::Known(facts) = &seen.kernel else { return };
        if let Next::Do(Step::Connect { .. }) = next {
            // Where nothing was connected yet, nobody has been refused: a resource that this start has made, or whose connection
            // was put off until the promotion; and in each, nothing was tried to be connected until now.
            let is_new = action == Action::Start
                && (facts.is_unconfigured()
                    || progress.tried(|step| matches!(step, Step::Create(_) | Step::Attach(_))));
            let is_put_off = action == Action::Promote && config.connect_only_after_promote;
            let is_first = !progress.tried(|step| matches!(step, Step::Connect { .. }));
            let is_split = facts.stand_alone().next().is_some();
            assert!(!is_split || (is_first && (is_new || is_put_off)), "{action}: {seen:?}");
        }
    });
}

#[test]
fn own_data_is_outdated_only_by_a_stop_that_is_over_and_only_if_that_was_asked_for() {
    every(|config, action, seen, progress, next| {
        if let Next::Do(Step::Outdate { promoted, .. }) = next {
            assert!(config.stop_outdates_secondary);
            assert_eq!(action, Action::Stop);
            assert_eq!(config.promoted_elsewhere(), Some(promoted.as_str()));
            assert!(matches!(seen.kernel, Kernel::NoModule | Kernel::Unknown(_)));
            assert!(!progress.tried(|step| matches!(step, Step::Secondary { .. })));
        }
    });
}

#[test]
fn a_monitor_takes_nothing_up_or_down() {
    every(|_, action, _, _, next| {
        if let (Action::Monitor | Action::Status, Next::Do(step)) = (action, next) {
            let is_beside = matches!(
                step,
                Step::UpdateScore(_) | Step::ReportStandAlone { .. } | Step::Unfence(_)
            );
            assert!(is_beside, "{step:?}");
        }
    });
}

#[test]
fn a_primary_is_taken_down_by_nobody_before_it_is_secondary() {
    every(|_, action, seen, progress, next| {
        if let Next::Do(Step::Down { was, .. }) = next {
            assert_eq!(action, Action::Stop);
            match was {
                Was::Secondary => {
                    assert!(matches!(&seen.kernel, Kernel::Known(facts) if !facts.is_primary()));
                }
                // Not at once: a kernel that is slow is no reason.
                Was::Unseen => {
                    assert!(matches!(seen.kernel, Kernel::Silent(_)));
                    assert!(progress.elapsed >= Duration::from_secs(20));
                }
            }
        }
    });
}

#[test]
fn every_failure_names_the_resource_or_what_is_wrong() {
    every(|_, action, _, _, next| {
        if let Next::Done(Outcome { code, reason }) = next {
            let is_plain = matches!(code, ExitCode::Ok | ExitCode::RunningPromoted);
            assert!(is_plain || reason.as_ref().is_some_and(|why| !why.is_empty()), "{action}");
        }
    });
}

#[test]
fn configured_wrongly_is_said_only_of_what_no_node_can_satisfy() {
    every(|config, action, seen, _, next| {
        if code(next) == Some(ExitCode::Configured) {
            let is_bold = config.options.promoted_max > 1;
            assert!(is_bold && !matches!(action, Action::Stop | Action::Demote | Action::Monitor));
            assert!(matches!(seen.configuration, Configuration::Read(_)));
        }
    });
}
