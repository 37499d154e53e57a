//! Stop and demote.

use super::*;

fn withdraw() -> Step {
    Step::Withdraw(r0())
}

#[test]
fn a_stop_takes_down_and_then_tidies_up() {
    let secondary = known(well(Role::Secondary));
    assert_eq!(decide(Action::Stop, &secondary, &at(0, 90)), Next::Do(down_by(By::Drbdadm)));
    let downed = after(at(1, 89), down_by(By::Drbdadm), 1, None);
    let gone = seen(Kernel::Unknown(V9));
    assert_eq!(decide(Action::Stop, &gone, &downed), Next::Do(withdraw()));
    let forgotten = after(downed, withdraw(), 1, None);
    assert_eq!(decide(Action::Stop, &gone, &forgotten), Next::success());
}

#[test]
fn a_score_that_cannot_be_removed_is_tried_again_and_fences_nobody() {
    let gone = seen(Kernel::Unknown(V9));
    let mut progress = at(1, 89);
    for second in 2..7 {
        assert_eq!(decide(Action::Stop, &gone, &progress), Next::Do(withdraw()));
        progress = after(progress, withdraw(), second, Some("crm_attribute did not end"));
        progress.elapsed = Duration::from_secs(second);
        let next = decide(Action::Stop, &gone, &progress);
        assert!(is_wait(&next) || second == 6, "{next:?}");
        progress.elapsed += Duration::from_secs(1);
    }
    assert_eq!(decide(Action::Stop, &gone, &progress), Next::success(), "at last");
    let failed = after(at(90, 0), withdraw(), 89, Some("crm_attribute did not end"));
    assert_eq!(decide(Action::Stop, &gone, &failed), Next::success(), "in time");
}

#[test]
fn a_primary_is_demoted_first() {
    let primary = known(well(Role::Primary));
    assert_eq!(decide(Action::Stop, &primary, &at(0, 90)), Next::Do(secondary_by(By::Drbdadm)));
    assert_eq!(decide(Action::Demote, &primary, &at(0, 90)), Next::Do(secondary_by(By::Drbdadm)));
}

#[test]
fn situation_29_a_broken_configuration_is_gone_around() {
    for (seen, first, second) in [
        (known(well(Role::Secondary)), down_by(By::Drbdadm), down_by(By::Drbdsetup)),
        (known(well(Role::Primary)), secondary_by(By::Drbdadm), secondary_by(By::Drbdsetup)),
    ] {
        let failed = after(at(1, 89), first.clone(), 1, Some("drbdadm exited with 10"));
        assert_eq!(decide(Action::Stop, &seen, &failed), Next::Do(second.clone()));
        // Then both again, after a pause.
        let both = after(failed, second, 1, Some("drbdsetup exited with 11"));
        assert!(is_wait(&decide(Action::Stop, &seen, &both)));
        let later = Progress { elapsed: Duration::from_secs(3), ..both };
        assert_eq!(decide(Action::Stop, &seen, &later), Next::Do(first));
    }
}

#[test]
fn what_was_carried_out_and_did_nothing_yet_is_waited_for() {
    let carried_out = after(at(1, 89), down_by(By::Drbdadm), 1, None);
    let seen = known(well(Role::Secondary));
    assert!(is_wait(&decide(Action::Stop, &seen, &carried_out)));
}

#[test]
fn situation_28_a_device_held_open_is_tried_until_the_end_and_named() {
    let volumes = vec![Volume { open: Some(true), ..volume(Disk::UpToDate) }];
    let facts = Facts { volumes, ..well(Role::Primary) };
    let refused = "drbdadm exited with 11: Device is held open by someone";
    for action in [Action::Stop, Action::Demote] {
        let progress = after(at(50, 40), secondary_by(By::Drbdadm), 40, None);
        let progress = after(progress, secondary_by(By::Drbdsetup), 49, Some(refused));
        let next = decide(action, &known(facts.clone()), &progress);
        assert_eq!(next, Next::Do(secondary_by(By::Drbdadm)), "{action}");
        let end = Progress { remaining: Duration::ZERO, ..progress };
        let next = decide(action, &known(facts.clone()), &end);
        assert_eq!(code(&next), Some(ExitCode::Generic));
        assert!(reason(&next).contains("still Primary") && reason(&next).contains(refused));
        assert!(reason(&next).contains("volume 0 is open"), "{}", reason(&next));
        let named = Observation { openers: vec!["qemu[77]".into()], ..known(facts.clone()) };
        assert!(reason(&decide(action, &named, &end)).contains("held open by qemu[77]"));
    }
}

#[test]
fn frozen_io_is_named_in_a_stop_that_fails() {
    let suspended = Suspended { fencing: true, ..Suspended::default() };
    let next = decide(Action::Stop, &known(Facts { suspended, ..well(Role::Primary) }), &at(90, 0));
    assert!(reason(&next).contains("frozen"), "{}", reason(&next));
}

#[test]
fn a_leftover_on_8_4_is_taken_down_too() {
    let leftover = known(bare(V8));
    assert_eq!(decide(Action::Stop, &leftover, &at(0, 90)), Next::Do(down_by(By::Drbdadm)));
    let half_made = known(Facts { volumes: Vec::new(), ..well(Role::Secondary) });
    assert_eq!(decide(Action::Stop, &half_made, &at(0, 90)), Next::Do(down_by(By::Drbdadm)));
}

#[test]
fn a_kernel_that_does_not_answer_is_asked_until_the_end_of_a_stop() {
    assert!(is_wait(&decide(Action::Stop, &silent(), &at(20, 70))));
    let done = after(at(80, 10), down_unseen(By::Drbdadm), 30, None);
    assert!(is_wait(&decide(Action::Stop, &silent(), &done)));
    let next = decide(Action::Stop, &silent(), &at(90, 0));
    assert_eq!(code(&next), Some(ExitCode::Generic));
    assert!(reason(&next).contains("cannot be told"));
}

fn down_unseen(by: By) -> Step {
    Step::Down { resource: r0(), by, was: Was::Unseen }
}

#[test]
fn what_cannot_be_seen_is_taken_down_all_the_same_and_succeeds_only_when_seen() {
    let first = decide(Action::Stop, &silent(), &at(23, 67));
    assert_eq!(first, Next::Do(down_unseen(By::Drbdadm)));
    let failed = after(at(24, 66), down_unseen(By::Drbdadm), 24, Some("drbdadm exited with 10"));
    let second = decide(Action::Stop, &silent(), &failed);
    assert_eq!(second, Next::Do(down_unseen(By::Drbdsetup)));
    let done = after(failed, down_unseen(By::Drbdsetup), 24, None);
    assert!(is_wait(&decide(Action::Stop, &silent(), &done)));
    let end = Progress { remaining: Duration::ZERO, ..done.clone() };
    assert_eq!(code(&decide(Action::Stop, &silent(), &end)), Some(ExitCode::Generic));
    // It may have been Primary, so its data is not outdated for anybody.
    let config =
        Config { stop_outdates_secondary: true, promoted: vec!["node2".into()], ..config() };
    let next = decide_by(&config, Action::Stop, &seen(Kernel::Unknown(V9)), &done);
    assert_eq!(next, Next::Do(withdraw()));
}

#[test]
fn bookkeeping_that_time_does_not_allow_any_more_fences_nobody() {
    assert_eq!(decide(Action::Stop, &seen(Kernel::Unknown(V9)), &at(90, 0)), Next::success());
    let next = decide(Action::Demote, &known(well(Role::Secondary)), &at(90, 0));
    assert_eq!(next, Next::success());
}

#[test]
fn a_stop_outdates_only_what_it_took_down_itself_as_secondary() {
    let config =
        Config { stop_outdates_secondary: true, promoted: vec!["node2".into()], ..config() };
    let gone = seen(Kernel::Unknown(V9));
    let outdate = Step::Outdate { resource: r0(), promoted: "node2".into() };
    let downed = after(at(1, 89), down_by(By::Drbdadm), 1, None);
    assert_eq!(decide_by(&config, Action::Stop, &gone, &downed), Next::Do(outdate));
    // It was Primary: its data is the newest there is.
    let demoted = after(at(1, 89), secondary_by(By::Drbdadm), 1, None);
    let demoted = after(demoted, down_by(By::Drbdadm), 1, None);
    assert_eq!(decide_by(&config, Action::Stop, &gone, &demoted), Next::Do(withdraw()));
    assert_eq!(decide_by(&config, Action::Stop, &gone, &at(1, 89)), Next::Do(withdraw()));
    // The other node is being stopped as well.
    let demoted = Config { demoting: vec!["node2".into()], ..config.clone() };
    assert_eq!(decide_by(&demoted, Action::Stop, &gone, &downed), Next::Do(withdraw()));
    let both = Config { stopping: vec!["node2".into()], ..config };
    assert_eq!(decide_by(&both, Action::Stop, &gone, &downed), Next::Do(withdraw()));
}

#[test]
fn demoting_what_is_not_up_says_so() {
    for kernel in [Kernel::NoModule, Kernel::Unknown(V9), Kernel::Known(bare(V8))] {
        let next = decide(Action::Demote, &seen(kernel), &at(0, 90));
        assert_eq!(code(&next), Some(ExitCode::NotRunning));
    }
}
