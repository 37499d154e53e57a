//! Promote.

use super::*;

const NO_DATA: &str = "drbdadm exited with 17: Need access to UpToDate data";
const TWO: &str = "drbdadm exited with 11: (-1) Multiple primaries not allowed by config";

fn denied() -> Observation {
    let volumes = vec![volume(Disk::Consistent)];
    let facts = Facts { volumes, ..alone(Role::Secondary) };
    Observation { access: Access::Denied, ..known(facts) }
}

fn peer_primary() -> Facts {
    let peers = vec![peer(Connection::Connected, Role::Primary, Disk::UpToDate)];
    Facts { peers, ..well(Role::Secondary) }
}

#[test]
fn a_secondary_is_promoted_and_success_is_what_is_seen() {
    let seen = known(well(Role::Secondary));
    assert_eq!(decide(Action::Promote, &seen, &at(0, 80)), Next::Do(primary()));
    // The command's own success is not it.
    let carried_out = after(at(1, 79), primary(), 1, None);
    assert!(is_wait(&decide(Action::Promote, &seen, &carried_out)));
    let promoted = known(well(Role::Primary));
    assert_eq!(decide(Action::Promote, &promoted, &carried_out), Next::Do(score()));
    let scored = after(carried_out, score(), 1, None);
    assert_eq!(decide(Action::Promote, &promoted, &scored), Next::success());
    assert_eq!(decide(Action::Promote, &promoted, &at(90, 0)), Next::success());
}

#[test]
fn situation_19_no_access_to_data_is_one_try_and_a_pause_of_15_s() {
    let tried = after(at(2, 78), primary(), 2, Some(NO_DATA));
    let scored = after(tried, score(), 2, None);
    let next = decide(Action::Promote, &denied(), &scored);
    assert_eq!(
        next,
        Next::wait(Duration::from_secs(13), "the next promotion not to follow too soon")
    );
    let later = Progress { elapsed: Duration::from_secs(15), ..scored };
    let next = decide(Action::Promote, &denied(), &later);
    assert_eq!(code(&next), Some(ExitCode::Generic));
    assert!(reason(&next).contains(NO_DATA), "{}", reason(&next));
}

#[test]
fn the_pause_never_takes_longer_than_there_is_time() {
    let tried = after(at(2, 0), primary(), 2, Some(NO_DATA));
    assert_eq!(code(&decide(Action::Promote, &denied(), &tried)), Some(ExitCode::Generic));
}

#[test]
fn situation_18_a_fencing_that_worked_is_a_promotion() {
    // The handler has answered 4, so DRBD has made the node UpToDate and Primary and its peer Outdated.
    let peers = vec![peer(Connection::Connecting, Role::Unknown, Disk::Outdated)];
    let seen = known(Facts { peers, ..well(Role::Primary) });
    let tried = after(at(8, 72), primary(), 8, None);
    let scored = after(tried, score(), 8, None);
    assert_eq!(decide(Action::Promote, &seen, &scored), Next::success());
}

#[test]
fn situation_31_a_connected_primary_is_never_overridden() {
    let seen = known(peer_primary());
    // The one attempt that makes DRBD ask its peer, and then again and again.
    assert_eq!(decide(Action::Promote, &seen, &at(0, 80)), Next::Do(primary()));
    let refused = after(at(1, 79), primary(), 1, Some(TWO));
    assert!(is_wait(&decide(Action::Promote, &seen, &refused)));
    let later = Progress { elapsed: Duration::from_secs(3), ..refused };
    assert_eq!(decide(Action::Promote, &seen, &later), Next::Do(primary()));
    let end = Progress { remaining: Duration::ZERO, ..later };
    let next = decide(Action::Promote, &seen, &end);
    assert_eq!(code(&next), Some(ExitCode::Generic));
    assert!(reason(&next).contains("Multiple primaries"), "{}", reason(&next));
}

#[test]
fn situation_31_an_unexpected_primary_ends_it_early_where_that_was_asked_for() {
    let config = Config { fail_promote_early: true, ..config() };
    let seen = |elsewhere| Observation { elsewhere, ..known(peer_primary()) };
    let nobody = seen(Elsewhere::Nobody);
    assert_eq!(decide_by(&config, Action::Promote, &nobody, &at(0, 80)), Next::Do(primary()));
    let refused = after(at(16, 64), primary(), 16, Some(TWO));
    let next = decide_by(&config, Action::Promote, &nobody, &refused);
    assert_eq!(next, Next::Do(Step::DropScore(r0())));
    let dropped = after(refused.clone(), Step::DropScore(r0()), 16, None);
    let next = decide_by(&config, Action::Promote, &nobody, &dropped);
    assert_eq!(code(&next), Some(ExitCode::Generic));
    assert!(reason(&next).contains("Primary on node2"), "{}", reason(&next));
    // Pacemaker knows it, or could not be asked: it is tried on.
    for elsewhere in [Elsewhere::Promoted, Elsewhere::NotKnown] {
        let next = decide_by(&config, Action::Promote, &seen(elsewhere), &refused);
        assert!(is_wait(&next), "{elsewhere:?}: {next:?}");
    }
}

#[test]
fn situation_21_a_node_with_a_bad_volume_is_refused_by_drbd_and_not_tried_again() {
    let volumes = vec![volume(Disk::UpToDate), Volume { number: 1, ..volume(Disk::Inconsistent) }];
    let facts = Facts { volumes, ..alone(Role::Secondary) };
    let seen = Observation { access: Access::Denied, ..known(facts) };
    let tried = after(at(20, 60), primary(), 20, Some(NO_DATA));
    let tried = after(tried, score(), 20, None);
    assert_eq!(code(&decide(Action::Promote, &seen, &tried)), Some(ExitCode::Generic));
}

#[test]
fn what_is_not_up_is_not_promoted() {
    for kernel in [Kernel::NoModule, Kernel::Unknown(V9), Kernel::Known(bare(V8))] {
        let next = decide(Action::Promote, &seen(kernel), &at(0, 80));
        assert_eq!(code(&next), Some(ExitCode::Generic));
    }
}

#[test]
fn two_promoted_instances_need_drbds_consent() {
    let config = Config { options: Options { promoted_max: 2, ..config().options }, ..config() };
    for action in [Action::Promote, Action::Start, Action::ValidateAll] {
        let mut seen = known(well(Role::Secondary));
        let next = decide_by(&config, action, &seen, &at(0, 80));
        assert_eq!(code(&next), Some(ExitCode::Configured), "{action}");
        let allowed = Configured { allows_two_primaries: true, ..Configured::default() };
        seen.configuration = Configuration::Read(allowed);
        let next = decide_by(&config, action, &seen, &at(0, 80));
        assert_ne!(code(&next), Some(ExitCode::Configured), "{action}");
    }
}

#[test]
fn a_connection_put_off_is_made_after_the_promotion_but_a_refused_one_is_not() {
    let config = Config { connect_only_after_promote: true, ..config() };
    let apart = known(split(Role::Primary));
    let made = after(at(1, 79), primary(), 1, None);
    let next = decide_by(&config, Action::Promote, &apart, &made);
    assert_eq!(next, Next::Do(connect_all()));
    // It was Primary before: this is a split brain.
    let next = decide_by(&config, Action::Promote, &apart, &at(0, 80));
    assert_eq!(next, Next::Do(score()));
}

#[test]
fn a_resource_of_which_one_volume_stays_secondary_is_not_promoted_on_8_4() {
    let volumes = vec![volume(Disk::UpToDate), Volume { number: 1, ..volume(Disk::Outdated) }];
    let facts = Facts { version: V8, volumes, ..well(Role::Primary) };
    let refused = after(at(16, 74), primary(), 16, Some(NO_DATA));
    let refused = after(refused, score(), 16, None);
    for roles in [Roles::Mixed(vec![1]), Roles::NotKnown] {
        let seen = |access| Observation { roles: roles.clone(), access, ..known(facts.clone()) };
        let next = decide(Action::Promote, &seen(Access::Denied), &refused);
        assert_eq!(code(&next), Some(ExitCode::Generic), "{roles:?}");
        let later = Progress { elapsed: Duration::from_secs(18), ..refused.clone() };
        let next = decide(Action::Promote, &seen(Access::NotDenied), &later);
        assert_eq!(next, Next::Do(primary()), "{roles:?}");
        let end = Progress { remaining: Duration::ZERO, ..later };
        let next = decide(Action::Promote, &seen(Access::NotDenied), &end);
        assert!(reason(&next).contains("not Primary in"), "{}", reason(&next));
    }
    // drbdadm said yes, and nobody says otherwise.
    let done = after(at(1, 89), primary(), 1, None);
    let seen = Observation { roles: Roles::NotKnown, ..known(facts) };
    assert_eq!(decide(Action::Promote, &seen, &done), Next::Do(score()));
}
