//! Monitor, notify, reload and validation.

use super::*;
use crate::record::Link;
use duet_ocf::{Members, Notify, When};

fn monitor(seen: &Observation, progress: &Progress<Step>) -> Next<Step> {
    decide(Action::Monitor, seen, progress)
}

/// Everything as an earlier invocation left it, with this score.
fn settled(facts: Facts, score: Score) -> Observation {
    let remembered = Remembered {
        score: Some(score),
        has_options: true,
        kept: Kept {
            stand_alone: facts.stand_alone().map(ToString::to_string).collect(),
            ..Kept::default()
        },
    };
    Observation { remembered, ..known(facts) }
}

#[test]
fn a_quiet_monitor_does_nothing() {
    let secondary = settled(well(Role::Secondary), Score::Set(10_000));
    assert_eq!(code(&monitor(&secondary, &at(0, 19))), Some(ExitCode::Ok));
    let primary = settled(well(Role::Primary), Score::Set(10_000));
    assert_eq!(code(&monitor(&primary, &at(0, 19))), Some(ExitCode::RunningPromoted));
}

#[test]
fn situation_30_a_question_that_fails_once_is_asked_again_and_changes_nothing() {
    assert!(is_wait(&monitor(&silent(), &at(0, 19))));
    assert!(is_wait(&monitor(&silent(), &at(14, 5))), "for most of its time");
    let next = monitor(&silent(), &at(15, 4));
    assert_eq!(code(&next), Some(ExitCode::Generic));
    assert!(reason(&next).contains("cannot be told"));
    assert_eq!(code(&monitor(&silent(), &at(1, 0))), Some(ExitCode::Generic));
    // The next look knows better.
    let primary = settled(well(Role::Primary), Score::Set(10_000));
    assert_eq!(code(&monitor(&primary, &at(1, 18))), Some(ExitCode::RunningPromoted));
}

#[test]
fn situation_37_a_monitor_without_the_module_removes_the_score() {
    for kernel in [Kernel::NoModule, Kernel::Unknown(V9), Kernel::Known(bare(V8))] {
        assert_eq!(monitor(&seen(kernel.clone()), &at(0, 19)), Next::Do(score()));
        let done = after(at(0, 19), score(), 0, None);
        assert_eq!(code(&monitor(&seen(kernel), &done)), Some(ExitCode::NotRunning));
    }
}

#[test]
fn situation_26_a_primary_without_quorum_is_promoted_and_loses_its_score() {
    let volumes = vec![Volume { has_quorum: false, ..volume(Disk::UpToDate) }];
    let facts = Facts { volumes, ..alone(Role::Primary) };
    let seen = settled(facts.clone(), Score::Set(10_000));
    assert_eq!(monitor(&seen, &at(0, 9)), Next::Do(score()));
    let seen = settled(facts, Score::Remove);
    assert_eq!(code(&monitor(&seen, &at(0, 9))), Some(ExitCode::RunningPromoted));
}

#[test]
fn situation_27_a_client_without_quorum_runs_and_has_no_score() {
    let volumes = vec![Volume { has_quorum: false, is_client: true, ..volume(Disk::Diskless) }];
    let facts = Facts { volumes, ..well(Role::Secondary) };
    assert_eq!(monitor(&settled(facts.clone(), Score::Set(9_999)), &at(0, 19)), Next::Do(score()));
    let next = monitor(&settled(facts, Score::Remove), &at(0, 19));
    assert_eq!(code(&next), Some(ExitCode::Ok));
}

#[test]
fn situation_33_an_attribute_daemon_that_hangs_changes_no_monitor() {
    for (role, expected) in
        [(Role::Secondary, ExitCode::Ok), (Role::Primary, ExitCode::RunningPromoted)]
    {
        let seen = known(well(role));
        let hung = after(at(10, 9), score(), 10, Some("crm_attribute did not end within 10 s"));
        assert_eq!(code(&monitor(&seen, &hung)), Some(expected));
        assert_eq!(code(&monitor(&seen, &at(19, 0))), Some(expected));
    }
}

#[test]
fn a_score_is_written_where_it_differs_or_is_not_known() {
    for remembered in [None, Some(Score::Set(1000)), Some(Score::Remove)] {
        let mut seen = settled(well(Role::Secondary), Score::Set(10_000));
        seen.remembered.score = remembered;
        assert_eq!(monitor(&seen, &at(0, 19)), Next::Do(score()), "{remembered:?}");
    }
    let mut seen = settled(well(Role::Secondary), Score::Set(10_000));
    seen.remembered.has_options = false;
    assert_eq!(monitor(&seen, &at(0, 19)), Next::Do(score()));
}

#[test]
fn situation_20_a_disk_that_is_being_attached_writes_nothing() {
    let volumes = vec![volume(Disk::Negotiating)];
    let facts = Facts { volumes, ..alone(Role::Secondary) };
    let mut seen = known(facts);
    seen.remembered.has_options = true;
    assert_eq!(code(&monitor(&seen, &at(0, 19))), Some(ExitCode::Ok));
    // Without a record there is one to be left, which writes no score either.
    seen.remembered.has_options = false;
    assert_eq!(monitor(&seen, &at(0, 19)), Next::Do(score()));
}

#[test]
fn a_split_brain_is_reported_once_and_touched_never() {
    let mut seen = settled(split(Role::Primary), Score::Set(10_000));
    assert_eq!(code(&monitor(&seen, &at(0, 9))), Some(ExitCode::RunningPromoted));
    seen.remembered.kept.stand_alone = Vec::new();
    let report =
        Step::ReportStandAlone { resource: r0(), peers: vec!["node2".into()], link: Link::Made };
    assert_eq!(monitor(&seen, &at(0, 9)), Next::Do(report));
    // And that it is over.
    let mut seen = settled(well(Role::Primary), Score::Set(10_000));
    seen.remembered.kept.stand_alone = vec!["node2".into()];
    let report = Step::ReportStandAlone { resource: r0(), peers: Vec::new(), link: Link::Made };
    assert_eq!(monitor(&seen, &at(0, 9)), Next::Do(report));
}

#[test]
fn without_connections_on_purpose_there_is_nothing_to_report() {
    let config = Config { connect_only_after_promote: true, ..config() };
    let mut seen = settled(split(Role::Secondary), Score::Set(1000));
    seen.remembered.kept.stand_alone = Vec::new();
    let next = decide_by(&config, Action::Monitor, &seen, &at(0, 19));
    assert_eq!(code(&next), Some(ExitCode::Ok));
}

#[test]
fn the_unfence_handler_is_called_where_all_is_well_and_that_was_asked_for() {
    let config = Config { unfence: Some("--quiet".into()), ..config() };
    let unfence = Next::Do(Step::Unfence(r0()));
    let by = |facts: Facts| {
        let score = crate::score::promotion_score(
            &Kernel::Known(facts.clone()),
            &config.options,
            Elsewhere::NotKnown,
        );
        decide_by(&config, Action::Monitor, &settled(facts, score), &at(0, 9))
    };
    assert_eq!(by(well(Role::Primary)), unfence);
    assert_ne!(by(well(Role::Secondary)), unfence);
    assert_ne!(by(alone(Role::Primary)), unfence);
    let volumes = vec![volume(Disk::Inconsistent)];
    assert_ne!(by(Facts { volumes, ..well(Role::Primary) }), unfence);
}

fn told(when: When, operation: Action) -> Notify {
    let none = Members::default;
    Notify {
        when,
        operation,
        start: none(),
        stop: none(),
        promote: none(),
        demote: none(),
        active: none(),
        promoted: none(),
        unpromoted: none(),
        inactive: Vec::new(),
        all_nodes: Vec::new(),
        available_nodes: Vec::new(),
    }
}

fn hear(config: &Config, when: When, operation: Action, seen: &Observation) -> Next<Step> {
    notify::notify(config, Some(&told(when, operation)), seen, &at(0, 80))
}

#[test]
fn a_notification_always_succeeds() {
    let kernels = [
        Kernel::NoModule,
        Kernel::Unknown(V9),
        Kernel::Silent("no".into()),
        Kernel::Known(well(Role::Primary)),
        Kernel::Known(split(Role::Secondary)),
    ];
    for kernel in kernels {
        for when in [When::Pre, When::Post] {
            for operation in Action::ALL {
                let told = told(when, operation);
                let last =
                    notify::notify(&config(), Some(&told), &seen(kernel.clone()), &at(80, 0));
                assert_eq!(last, Next::success(), "{kernel:?} {operation}");
            }
        }
        assert_eq!(notify::notify(&config(), None, &seen(kernel), &at(0, 80)), Next::success());
    }
}

#[test]
fn a_peer_that_starts_is_connected_unless_it_was_refused() {
    for when in [When::Pre, When::Post] {
        let next = hear(&config(), when, Action::Start, &known(alone(Role::Primary)));
        assert_eq!(next, Next::Do(connect_all()));
        let next = hear(&config(), when, Action::Start, &known(split(Role::Primary)));
        assert_ne!(next, Next::Do(connect_all()), "a split brain is not reconnected");
        let apart = Config { connect_only_after_promote: true, ..config() };
        let next = hear(&apart, when, Action::Start, &known(alone(Role::Primary)));
        assert_ne!(next, Next::Do(connect_all()));
        // What is not up is not brought up by it.
        let next = hear(&config(), when, Action::Start, &seen(Kernel::Unknown(V9)));
        assert_ne!(next, Next::Do(connect_all()));
    }
}

#[test]
fn the_score_is_written_after_what_happened_to_a_peer() {
    for operation in [Action::Promote, Action::Demote, Action::Stop] {
        let seen = settled(alone(Role::Secondary), Score::Set(1000));
        assert_eq!(hear(&config(), When::Post, operation, &seen), Next::Do(score()));
        assert_eq!(hear(&config(), When::Pre, operation, &seen), Next::success());
    }
}

#[test]
fn own_data_is_outdated_for_a_node_that_is_promoted_and_stays_so_and_for_nothing_else() {
    let asked =
        Config { stop_outdates_secondary: true, promoted: vec!["node2".into()], ..config() };
    let outdate = Next::Do(Step::Outdate { resource: r0(), promoted: "node2".into() });
    let lone = known(alone(Role::Secondary));
    for operation in [Action::Promote, Action::Demote, Action::Stop] {
        assert_eq!(hear(&asked, When::Post, operation, &lone), outdate, "{operation}");
    }
    for config in [
        Config { stop_outdates_secondary: false, ..asked.clone() },
        Config { promoted: vec!["node1".into()], ..asked.clone() },
        Config { promoted: Vec::new(), ..asked.clone() },
        Config { stopping: vec!["NODE2".into()], ..asked.clone() },
        Config { demoting: vec!["NODE2".into()], ..asked.clone() },
        Config { node: None, ..asked.clone() },
    ] {
        assert_ne!(hear(&config, When::Post, Action::Stop, &lone), outdate, "{config:?}");
    }
    // Its disk is known, or own data is no good anyway.
    let linked = known(well(Role::Secondary));
    assert_ne!(hear(&asked, When::Post, Action::Stop, &linked), outdate);
    let volumes = vec![volume(Disk::Outdated)];
    let old = known(Facts { volumes, ..alone(Role::Secondary) });
    assert_ne!(hear(&asked, When::Post, Action::Stop, &old), outdate);
    let both = hear(&asked, When::Post, Action::Stop, &known(alone(Role::Primary)));
    let report = Step::ReportTwoPrimaries { resource: r0(), other: "node2".into() };
    assert_eq!(both, Next::Do(report));
}

#[test]
fn a_reload_adjusts_what_is_up_and_starts_nothing() {
    let next = decide(Action::ReloadAgent, &known(well(Role::Primary)), &at(0, 28));
    assert_eq!(next, Next::Do(connect_all()));
    let adjusted = after(at(0, 28), connect_all(), 0, None);
    let next = decide(Action::ReloadAgent, &known(well(Role::Primary)), &adjusted);
    assert_eq!(next, Next::Do(score()));
    let next = decide(Action::ReloadAgent, &known(split(Role::Primary)), &at(0, 28));
    assert_eq!(next, Next::Do(Step::AdjustDisks(r0())));
    for kernel in [Kernel::NoModule, Kernel::Unknown(V9)] {
        let next = decide(Action::ReloadAgent, &seen(kernel), &at(0, 28));
        assert_eq!(code(&next), Some(ExitCode::Generic));
    }
}

#[test]
fn a_validation_needs_a_module_to_be_had() {
    let good = seen(Kernel::NoModule);
    assert_eq!(decide(Action::ValidateAll, &good, &at(0, 19)), Next::success());
    let none = Observation { module: None, ..good };
    let next = decide(Action::ValidateAll, &none, &at(0, 19));
    assert_eq!(code(&next), Some(ExitCode::Installed));
}

/// A configuration about which there is nothing to say.
fn sound() -> Configured {
    Configured {
        fencing: vec![duet_drbd::Fencing::ResourceAndStonith],
        fence_peer: Some("/usr/lib/drbd/crm-fence-peer.9.sh".into()),
        has_unfence: true,
        ..Configured::default()
    }
}

#[test]
fn each_weakness_has_its_warning_and_soundness_none() {
    use crate::surroundings::Surroundings;
    use duet_drbd::Fencing::{DontCare, ResourceOnly};
    let fenced = || Surroundings {
        fences: Some(true),
        promote_timeout: Some(Duration::from_secs(120)),
        two_node: true,
    };
    let rows = [
        (sound(), fenced(), V9, ""),
        (Configured { fence_peer: None, ..sound() }, fenced(), V9, "no handler fence-peer"),
        (Configured { fencing: vec![DontCare], ..sound() }, fenced(), V9, "never called"),
        (Configured { has_unfence: false, ..sound() }, fenced(), V9, "stays so"),
        (sound(), Surroundings { fences: Some(false), two_node: false, ..fenced() }, V9, "freezes"),
        (
            Configured { fencing: vec![ResourceOnly], ..sound() },
            Surroundings { fences: Some(false), ..fenced() },
            V9,
            "two_node",
        ),
        (
            sound(),
            Surroundings { promote_timeout: Some(Duration::from_secs(90)), ..fenced() },
            V9,
            "90 s and its handler fence-peer 90 s",
        ),
        (Configured { allows_two_primaries: true, ..sound() }, fenced(), V9, "allow-two-primaries"),
        (sound(), fenced(), V8, "9's handler"),
        (
            Configured {
                fence_peer: Some("/usr/lib/drbd/crm-fence-peer.sh -t 30".into()),
                ..sound()
            },
            Surroundings { promote_timeout: Some(Duration::from_secs(31)), ..fenced() },
            V9,
            "8.4's handler",
        ),
        (Configured::default(), Surroundings::default(), V9, ""),
    ];
    for (read, around, module, says) in rows {
        let warnings = validate::warnings(&config(), Some(module), &read, &around);
        if says.is_empty() {
            assert_eq!(warnings, [""; 0], "{read:?}");
        } else {
            assert!(warnings.iter().any(|warning| warning.contains(says)), "{says}: {warnings:?}");
            let is_two = matches!(read.fencing.as_slice(), [DontCare]);
            assert_eq!(warnings.len(), if is_two { 2 } else { 1 }, "{warnings:?}");
        }
    }
}

#[test]
fn a_connection_that_somebody_made_after_all_is_one_that_can_be_refused() {
    let unmade = |facts: Facts| {
        let mut seen = settled(facts, Score::Set(1000));
        seen.remembered.kept.link = Link::Unmade;
        seen
    };
    let report = Step::ReportStandAlone { resource: r0(), peers: Vec::new(), link: Link::Made };
    assert_eq!(monitor(&unmade(alone(Role::Secondary)), &at(0, 19)), Next::Do(report));
    let next = monitor(&unmade(split(Role::Secondary)), &at(0, 19));
    assert_eq!(code(&next), Some(ExitCode::Ok), "nobody has");
    // 8.4 without a peer to speak of.
    let next = monitor(&unmade(Facts { peers: Vec::new(), ..alone(Role::Secondary) }), &at(0, 19));
    assert!(!matches!(next, Next::Do(Step::ReportStandAlone { .. })), "{next:?}");
}
