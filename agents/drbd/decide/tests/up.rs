//! Start.

use super::*;
use crate::record::Link;
use std::path::PathBuf;

fn start(seen: &Observation, progress: &Progress<Step>) -> Next<Step> {
    decide(Action::Start, seen, progress)
}

fn created() -> Progress<Step> {
    let progress = after(at(2, 200), Step::CheckResize(r0()), 1, Some("no metadata"));
    after(progress, Step::Create(r0()), 1, None)
}

#[test]
fn from_nothing_to_secondary_in_order() {
    let checked = after(at(1, 200), Step::CheckResize(r0()), 1, None);
    let unknown = seen(Kernel::Unknown(V9));
    assert_eq!(start(&seen(Kernel::NoModule), &at(0, 200)), Next::Do(Step::LoadModule));
    assert_eq!(start(&unknown, &at(0, 200)), Next::Do(Step::CheckResize(r0())));
    assert_eq!(start(&unknown, &checked), Next::Do(Step::Create(r0())));
    for version in [V8, V9] {
        assert_eq!(start(&known(bare(version)), &created()), Next::Do(Step::Attach(r0())));
    }
    let attached = after(created(), Step::Attach(r0()), 2, None);
    let up = Facts { peers: Vec::new(), ..well(Role::Secondary) };
    assert_eq!(start(&known(up.clone()), &attached), Next::Do(connect_all()));
    let connected = after(attached, connect_all(), 2, None);
    assert_eq!(start(&known(up.clone()), &connected), Next::Do(score()));
    let scored = after(connected, score(), 2, Some("crm_attribute did not end"));
    assert_eq!(start(&known(up), &scored), Next::success());
}

#[test]
fn a_second_start_finds_everything_done() {
    let progress = after(at(1, 200), connect_all(), 1, None);
    let progress = after(progress, score(), 1, None);
    assert_eq!(start(&known(well(Role::Secondary)), &progress), Next::success());
}

#[test]
fn a_module_that_cannot_be_loaded_is_5() {
    let progress = after(at(1, 200), Step::LoadModule, 1, Some("modprobe exited with 1"));
    let next = start(&seen(Kernel::NoModule), &progress);
    assert_eq!(code(&next), Some(ExitCode::Installed));
    assert!(reason(&next).contains("modprobe"));
}

#[test]
fn a_module_out_of_bounds_is_5_before_anything_is_made() {
    let version = |major, minor, patch| Version { major, minor, patch };
    let config =
        Config { from_version: version(9, 1, 0), before_version: version(9, 2, 16), ..config() };
    for (module, expected) in [
        (version(9, 0, 9), Some(ExitCode::Installed)),
        (version(9, 1, 0), None),
        (version(9, 2, 15), None),
        (version(9, 2, 16), Some(ExitCode::Installed)),
    ] {
        let seen = seen(Kernel::Unknown(module));
        let next = decide_by(&config, Action::Start, &seen, &at(0, 200));
        assert_eq!(code(&next), expected, "{module}");
        let validated = Observation { module: Some(module), ..seen };
        let next = decide_by(&config, Action::ValidateAll, &validated, &at(0, 200));
        assert_eq!(code(&next), expected.or(Some(ExitCode::Ok)), "{module}");
    }
}

#[test]
fn three_instances_are_too_many_for_8_4_alone() {
    let config = Config { clone_max: Some(3), ..config() };
    let next = decide_by(&config, Action::Start, &seen(Kernel::Unknown(V8)), &at(0, 200));
    assert_eq!(code(&next), Some(ExitCode::Configured));
    let next = decide_by(&config, Action::Start, &seen(Kernel::Unknown(V9)), &at(0, 200));
    assert_eq!(code(&next), None);
}

#[test]
fn an_attach_that_fails_twice_fails_the_start() {
    let once = after(created(), Step::Attach(r0()), 2, Some("drbdadm exited with 1"));
    let seen = known(bare(V9));
    assert!(is_wait(&start(&seen, &once)));
    let later = Progress { elapsed: Duration::from_secs(4), ..once };
    assert_eq!(start(&seen, &later), Next::Do(Step::Attach(r0())));
    let twice = after(later, Step::Attach(r0()), 4, Some("(119) No valid meta-data"));
    let twice = Progress { elapsed: Duration::from_secs(6), ..twice };
    let next = start(&seen, &twice);
    assert_eq!(code(&next), Some(ExitCode::Generic));
    assert!(reason(&next).contains("No valid meta-data"));
}

#[test]
fn a_resource_that_cannot_be_made_fails_the_start() {
    let twice = after(created(), Step::Create(r0()), 3, Some("drbdadm exited with 10"));
    let twice = Progress { elapsed: Duration::from_secs(6), ..twice };
    let next = start(&seen(Kernel::Unknown(V9)), &twice);
    assert_eq!(code(&next), Some(ExitCode::Generic));
    assert!(reason(&next).contains("exited with 10"));
}

#[test]
fn a_client_has_no_disk_to_attach() {
    let volumes = vec![Volume { is_client: true, ..volume(Disk::Diskless) }];
    let seen = known(Facts { volumes, ..bare(V9) });
    assert_eq!(start(&seen, &created()), Next::Do(connect_all()));
}

#[test]
fn a_disk_lost_while_it_was_up_does_not_fail_the_start() {
    let volumes = vec![volume(Disk::Diskless)];
    let seen = known(Facts { volumes, ..well(Role::Secondary) });
    let progress = after(at(1, 200), connect_all(), 1, Some("(104) Can not open backing device"));
    assert_eq!(start(&seen, &after(progress, score(), 1, None)), Next::success());
}

#[test]
fn every_volume_counts() {
    let volumes = vec![volume(Disk::UpToDate), Volume { number: 1, ..volume(Disk::Diskless) }];
    let seen = known(Facts { volumes, ..bare(V9) });
    assert_eq!(start(&seen, &created()), Next::Do(Step::Attach(r0())));
}

#[test]
fn device_nodes_are_waited_for_and_named() {
    let missing_nodes = vec![PathBuf::from("/dev/drbd7")];
    let seen = Observation { missing_nodes, ..known(bare(V9)) };
    assert!(is_wait(&start(&seen, &created())));
    let next = start(&seen, &at(230, 0));
    assert_eq!(code(&next), Some(ExitCode::Generic));
    assert!(reason(&next).contains("/dev/drbd7"));
}

#[test]
fn a_primary_is_demoted_by_a_start() {
    let seen = known(well(Role::Primary));
    assert_eq!(start(&seen, &at(0, 200)), Next::Do(secondary_by(By::Drbdadm)));
    assert_eq!(code(&start(&seen, &at(200, 0))), Some(ExitCode::Generic));
}

#[test]
fn the_promoted_peer_is_connected_first_on_9() {
    let config = Config { promoted: vec!["NODE2".into()], ..config() };
    let first = Step::Connect { resource: r0(), peer: Some("NODE2".into()) };
    let attached = after(created(), Step::Attach(r0()), 2, None);
    let seen = known(alone(Role::Secondary));
    let by = |progress: &Progress<Step>| decide_by(&config, Action::Start, &seen, progress);
    assert_eq!(by(&attached), Next::Do(first.clone()));
    let connecting = after(attached, first, 2, None);
    assert!(is_wait(&by(&connecting)), "for the promoted peer");
    let waited = Progress { elapsed: Duration::from_secs(7), ..connecting };
    assert_eq!(by(&waited), Next::Do(connect_all()));
}

#[test]
fn a_promoted_peer_that_refuses_is_not_connected_again_with_the_others() {
    let config = Config {
        promoted: vec!["node2".into()],
        relatives: vec!["node1".into(), "node2".into(), "NODE3".into()],
        ..config()
    };
    let named = |name: &str| Step::Connect { resource: r0(), peer: Some(name.into()) };
    let attached = after(created(), Step::Attach(r0()), 2, None);
    let progress = after(attached, named("node2"), 2, None);
    let seen = known(split(Role::Secondary));
    let next = decide_by(&config, Action::Start, &seen, &progress);
    assert_eq!(next, Next::Do(named("NODE3")));
    let progress = after(progress, named("NODE3"), 2, Some("not defined"));
    assert_eq!(decide_by(&config, Action::Start, &seen, &progress), Next::Do(score()));
}

#[test]
fn a_floating_peer_is_named_on_8_4_and_never_on_9() {
    let config = Config { relatives: vec!["node1".into(), "node2".into()], ..config() };
    for (version, peer) in [(V8, Some("node2".to_owned())), (V9, None)] {
        let seen = known(Facts { version, peers: Vec::new(), ..well(Role::Secondary) });
        let next = decide_by(&config, Action::Start, &seen, &created());
        assert_eq!(next, Next::Do(Step::Connect { resource: r0(), peer }));
    }
}

#[test]
fn connections_are_waited_for_no_longer_than_asked_and_decide_nothing() {
    let connecting = after(at(2, 200), connect_all(), 2, None);
    let seen = known(alone(Role::Secondary));
    assert!(is_wait(&start(&seen, &connecting)));
    let waited = Progress { elapsed: Duration::from_secs(7), ..connecting.clone() };
    assert_eq!(start(&seen, &waited), Next::Do(score()));
    let impatient = Config { connect_patience: Duration::ZERO, ..config() };
    let next = decide_by(&impatient, Action::Start, &seen, &connecting);
    assert_eq!(next, Next::Do(score()));
    // Who is refused does not come.
    let seen = known(split(Role::Secondary));
    let fresh = after(created(), connect_all(), 2, None);
    assert_eq!(start(&seen, &fresh), Next::Do(score()));
}

#[test]
fn a_start_that_finds_a_split_brain_leaves_it() {
    let next = start(&known(split(Role::Secondary)), &at(0, 200));
    assert_eq!(next, Next::Do(score()));
}

#[test]
fn a_connection_is_put_off_until_the_promotion_where_that_was_asked_for() {
    let config = Config { connect_only_after_promote: true, ..config() };
    let attached = after(created(), Step::Attach(r0()), 2, None);
    for version in [V8, V9] {
        let seen = known(Facts { version, peers: Vec::new(), ..well(Role::Secondary) });
        let next = decide_by(&config, Action::Start, &seen, &attached);
        assert_eq!(next, Next::Do(score()));
    }
}

#[test]
fn what_is_not_in_the_configuration_is_not_started() {
    let configuration = Configuration::Unusable { code: ExitCode::Installed, why: "no r0".into() };
    let seen = Observation { configuration, ..seen(Kernel::Unknown(V9)) };
    for action in [Action::Start, Action::ValidateAll] {
        let next = decide(action, &seen, &at(0, 200));
        assert_eq!((code(&next), reason(&next)), (Some(ExitCode::Installed), "no r0".into()));
    }
}

#[test]
fn a_leftover_of_8_4_is_attached_and_connected() {
    assert_eq!(start(&known(bare(V8)), &at(0, 200)), Next::Do(Step::Attach(r0())));
    let attached = after(at(1, 200), Step::Attach(r0()), 1, None);
    let peers = vec![peer(Connection::StandAlone, Role::Unknown, Disk::DUnknown)];
    let seen = known(Facts { version: V8, peers, ..well(Role::Secondary) });
    assert_eq!(start(&seen, &attached), Next::Do(connect_all()));
}

#[test]
fn a_connection_that_could_not_be_made_is_tried_again_and_one_that_was_refused_is_not() {
    let failed = after(created(), connect_all(), 2, Some("drbdadm exited with 10"));
    let unmade = Observation { link: Some(Link::Unmade), ..known(split(Role::Secondary)) };
    assert!(is_wait(&start(&unmade, &failed)));
    let later = Progress { elapsed: Duration::from_secs(4), ..failed };
    assert_eq!(start(&unmade, &later), Next::Do(connect_all()));
    let refused = Observation { link: Some(Link::Made), ..unmade.clone() };
    assert_eq!(start(&refused, &later), Next::Do(score()));
    // Of two it cannot be told which was refused.
    let mut facts = split(Role::Secondary);
    facts.peers.push(Peer { id: 2, ..facts.peers[0].clone() });
    let two = Observation { link: Some(Link::Unmade), ..known(facts) };
    assert_eq!(start(&two, &later), Next::Do(score()));
    // No longer than connections are waited for, and a later start goes on where this one ended.
    let over = Progress { elapsed: Duration::from_secs(8), ..later };
    assert_eq!(start(&unmade, &over), Next::Do(score()));
    let kept = Kept { link: Link::Unmade, ..Kept::default() };
    let remembered = Remembered { kept, ..Remembered::default() };
    let next = Observation { remembered, ..known(split(Role::Secondary)) };
    assert_eq!(start(&next, &at(0, 200)), Next::Do(connect_all()));
    assert_eq!(decide(Action::ReloadAgent, &next, &at(0, 28)), Next::Do(connect_all()));
}
