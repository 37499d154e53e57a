//! Situations that clusters get into, as far as a decision is part of them.

use super::*;

const SECONDARY: Case = Case { is: Is::Secondary, ..LOST };

/// The code that a rule which is to be written promises, and whom it allows.
fn placed(next: Next) -> (Code, BTreeSet<String>) {
    match next {
        Next::Do(Step::Write { allowed, placed: Some(placed), .. }) => (placed.then, allowed),
        next => panic!("no rule is written: {next:#?}"),
    }
}

#[test]
fn link_down_and_the_cluster_up() {
    let asks = LOST.fence();
    assert_eq!(asks, Next::Ask(Question::Controllers(BTreeSet::from([1]))));
    let case = Case { fate: Fate::Answers, ..LOST };
    assert_eq!(placed(case.fence()), (Code::PeerBanned, names(&["node1"])));
    let seen = Case { ban: Ban::Me, did: Did::Placed(Code::PeerBanned), ..case };
    assert_eq!(done(seen.fence()).code, Code::PeerBanned);
}

#[test]
fn a_flapping_link_finds_the_rule_and_writes_nothing() {
    for ban in [Ban::Me, Ban::Loud] {
        let case = Case { fate: Fate::Answers, ban, ..LOST };
        assert_eq!(done(case.fence()).code, Code::PeerBanned, "{ban:?}");
    }
}

#[test]
fn all_good_again_and_the_rule_goes() {
    let case = Case { link: Link::Good, ban: Ban::Me, call: Call::NineAll, ..LOST };
    assert!(matches!(case.unfence(), Next::Do(Step::Remove { .. })));
    assert_eq!(done(Case { ban: Ban::No, ..case }.unfence()).code, Code::Done);
}

#[test]
fn the_secondary_crashes_and_is_fenced() {
    let case = Case { fate: Fate::Will, ..LOST };
    assert!(matches!(case.fence(), Next::Wait { until: Until::Peer, .. }));
    let confirmed = Case { fate: Fate::Down, did: Did::Waited, at: 14, ..LOST };
    assert_eq!(placed(confirmed.fence()), (Code::PeerDown, names(&["node1"])));
}

#[test]
fn the_secondary_crashes_and_fencing_fails_for_ever() {
    let late = Case { fate: Fate::Will, did: Did::Waited, at: 90, ..LOST };
    assert_eq!(done(late.fence()).code, Code::NotFenced);
    let policy = Some(Policy::ResourceOnly);
    let thawed = Case { is: Is::Primary, policy, ..late };
    assert_eq!(placed(thawed.fence()).0, Code::PeerUnreachable);
}

#[test]
fn the_primary_crashes_is_fenced_and_the_survivor_is_promoted() {
    let case = Case { fate: Fate::Down, ..SECONDARY };
    assert_eq!(placed(case.fence()), (Code::PeerDown, names(&["node1"])));
}

/// node2 took over and wrote; node1 boots, and cannot reach it by DRBD.
#[test]
fn the_old_primary_boots_and_its_link_is_down() {
    let case = Case { own: Own::C, ban: Ban::PeerOnly, fate: Fate::Answers, ..SECONDARY };
    assert_eq!(done(case.fence()).reason, Reason::Banned);
}

#[test]
fn the_old_primary_boots_and_is_all_alone() {
    let case = Case { own: Own::C, fate: Fate::NotSeen, ..SECONDARY };
    assert!(matches!(case.fence(), Next::Wait { .. }));
    for fate in [Fate::NotSeen, Fate::Will, Fate::Down] {
        let answer = done(Case { fate, at: 90, ..case }.fence());
        assert_eq!(answer.code, Code::PeerUnreachable, "{fate:?}");
    }
}

/// Each half waits; the one that lives to see the other confirmed down goes on.
#[test]
fn the_nodes_lose_each_other_altogether() {
    for is in [Is::Frozen, Is::Secondary] {
        let case = Case { fate: Fate::Will, is, ..LOST };
        assert!(matches!(case.fence(), Next::Wait { until: Until::Peer, .. }));
        let winner = Case { fate: Fate::Down, did: Did::Waited, ..case };
        assert_eq!(placed(winner.fence()).0, Code::PeerDown);
    }
}

#[test]
fn the_nodes_lose_each_other_altogether_without_stonith() {
    let case = Case { fate: Fate::Offline, stonith: false, is: Is::Primary, ..LOST };
    let Next::Do(Step::Write { placed: Some(placed), .. }) = case.fence() else { panic!() };
    assert_eq!(placed.then, Code::PeerUnreachable);
    assert!(placed.because.to_string().contains("stonith is disabled"));
}

#[test]
fn cut_off_from_the_dc() {
    let dc = Cluster::WithoutDc("No answer in 18 s".into());
    let look = |seconds| {
        let elapsed = Duration::from_secs(seconds);
        let seen = Seen { cluster: dc.clone(), elapsed, ..LOST.seen() };
        fence(&LOST.asked(Mode::Fence), &seen, &Progress::default())
    };
    assert!(matches!(look(3), Next::Wait { until: Until::Dc, .. }));
    assert_eq!(done(look(20)).code, Code::NotFenced);
}

#[test]
fn in_the_minority() {
    let third = Some((Link::Gone, Fate::Will));
    let case = Case { third, quorum: false, fate: Fate::Will, ..LOST };
    assert_eq!(done(case.fence()).reason, Reason::NoQuorum);
}

#[test]
fn two_primaries_and_the_link_goes_down() {
    let winner = Case { fate: Fate::Answers, ban: Ban::Me, ..LOST };
    let loser = Case { ban: Ban::PeerOnly, ..winner };
    assert_eq!(done(winner.fence()).code, Code::PeerBanned);
    assert_eq!(done(loser.fence()).code, Code::NotFenced);
}

/// Whose change finds another version looks again, and sees the rule of the other.
#[test]
fn both_place_at_the_same_instant() {
    let case = Case { fate: Fate::Answers, did: Did::Conflicts, ..LOST };
    assert_eq!(written(case.fence()), names(&["node1"]));
    assert_eq!(done(Case { ban: Ban::PeerOnly, ..case }.fence()).reason, Reason::Banned);
}

#[test]
fn the_link_recovers_while_the_handler_runs() {
    let case = Case { link: Link::Good, fate: Fate::Answers, ..LOST };
    let own = Case { ban: Ban::Me, did: Did::Placed(Code::PeerBanned), ..case };
    assert!(matches!(own.fence(), Next::Do(Step::Remove { .. })));
    for ban in [Ban::No, Ban::Me, Ban::PeerOnly] {
        assert_eq!(done(Case { ban, ..case }.fence()).reason, Reason::PeerIsBack, "{ban:?}");
    }
}

#[test]
fn the_link_recovers_and_the_peer_has_to_resync_so_it_stays_banned() {
    let case = Case { link: Link::Behind, fate: Fate::Answers, ..LOST };
    assert_eq!(placed(case.fence()).0, Code::PeerBanned);
    assert_eq!(done(Case { ban: Ban::Me, ..case }.unfence()).reason, Reason::Kept(Kept::Nobody));
}

#[test]
fn both_are_consistent_after_a_crash_of_all_and_one_is_promoted() {
    let case = Case { own: Own::C, fate: Fate::Answers, ..SECONDARY };
    assert_eq!(placed(case.fence()), (Code::PeerBanned, names(&["node1"])));
}

#[test]
fn one_is_consistent_after_a_crash_of_all_and_the_other_is_down() {
    let case = Case { own: Own::C, fate: Fate::Down, ..SECONDARY };
    let answer = done(case.fence());
    assert_eq!((answer.code, answer.reason), (Code::PeerUnreachable, Reason::OnlyConsistent));
    // Had it been the last to write, the other would have been banned since.
    let last = Case { ban: Ban::Me, ..case };
    assert_eq!(done(last.fence()).reason, Reason::BannedBeforeAndDown);
}

#[test]
fn two_volumes_and_one_is_inconsistent() {
    let case = Case { own: Own::UandBad, fate: Fate::Answers, ..LOST };
    assert_eq!(done(case.fence()).reason, Reason::OwnDataMixed);
}

#[test]
fn the_mask_says_good_and_the_peer_is_inconsistent_again() {
    let case = Case { link: Link::Behind, ban: Ban::Me, call: Call::NineAll, ..LOST };
    assert_eq!(done(case.unfence()).code, Code::Done);
}

/// The newer fence wins: the version it left is not the one that unfence-peer looked at, and in the new one the
/// connection is gone, or this node is banned.
#[test]
fn unfence_races_a_new_fence() {
    let case = Case { did: Did::Conflicts, ban: Ban::Me, ..LOST };
    assert_eq!(done(Case { link: Link::Gone, ..case }.unfence()).code, Code::Done);
    let banned = Case { link: Link::Good, ban: Ban::PeerOnly, ..case };
    assert_eq!(done(banned.unfence()).reason, Reason::Kept(Kept::BansMe));
}

#[test]
fn of_two_lost_peers_the_one_that_is_good_again_is_freed() {
    let third = Some((Link::Gone, Fate::Down));
    let case = Case { third, link: Link::Good, call: Call::NineAll, ban: Ban::Me, ..LOST };
    let case = Case { fate: Fate::Answers, ..case };
    assert_eq!(written(case.unfence()), names(&["node1", "node2"]));
}

#[test]
fn a_second_peer_is_lost_and_the_first_is_banned_already() {
    let third = Some((Link::Gone, Fate::Down));
    let case = Case { third, ban: Ban::MeAndPeer, fate: Fate::Will, ..LOST };
    assert!(matches!(case.fence(), Next::Wait { until: Until::Peer, .. }));
    let confirmed = Case { fate: Fate::Down, did: Did::Waited, ..case };
    assert_eq!(placed(confirmed.fence()), (Code::PeerDown, names(&["node1"])));
}

#[test]
fn pacemaker_is_stopped_on_the_primary_and_the_link_drops() {
    let cluster = Cluster::Unread("Connection refused".into());
    let elapsed = Duration::from_secs(21);
    let seen = Seen { cluster, elapsed, ..LOST.seen() };
    let next = fence(&LOST.asked(Mode::Fence), &seen, &Progress::default());
    assert_eq!(done(next).code, Code::NotFenced);
}

#[test]
fn a_promotion_was_queued_when_the_other_rule_landed() {
    let case = Case { ban: Ban::PeerOnly, fate: Fate::Answers, ..SECONDARY };
    assert_eq!(done(case.fence()).reason, Reason::Banned);
}

#[test]
fn a_rule_that_is_tighter_than_the_mask_is_kept() {
    let third = Some((Link::Good, Fate::Answers));
    let case = Case { third, fate: Fate::Down, ban: Ban::Me, ..LOST };
    assert_eq!(done(case.fence()).code, Code::PeerBanned);
}

#[test]
fn a_rule_of_before_and_a_peer_that_is_being_shot() {
    let case = Case { ban: Ban::Me, fate: Fate::Will, ..LOST };
    assert!(matches!(case.fence(), Next::Wait { until: Until::Peer, .. }));
    let confirmed = Case { fate: Fate::Down, did: Did::Waited, ..case };
    assert_eq!(done(confirmed.fence()).code, Code::PeerDown);
    // Down before this call asked for the first time.
    let at_once = Case { did: Did::Nothing, ..confirmed };
    assert_eq!(done(at_once.fence()).code, Code::PeerBanned);
}

/// Three nodes: node1 is a Secondary that the rule allows beside node3, and sees node2 connected and good. Whether node3 is
/// being promoted without node2, it cannot see.
#[test]
fn a_secondary_frees_nobody_while_another_may_be_promoted() {
    let case = Case {
        is: Is::Secondary,
        link: Link::Good,
        third: Some((Link::Gone, Fate::Answers)),
        ban: Ban::MeAndThird,
        call: Call::NineAll,
        ..LOST
    };
    let Next::Done(answer) = case.unfence() else { panic!("it changes the rule") };
    assert!(matches!(answer.reason, Reason::Kept(_)), "{answer:?}");
    let primary = Case { is: Is::Primary, ..case };
    assert!(matches!(primary.unfence(), Next::Do(Step::Write { .. })), "a Primary can say it");
}

/// A removal that another call sent, and nobody answered, does not change the CIB's version when it is only waited for.
#[test]
fn a_rule_that_was_only_found_is_not_relied_on_while_a_change_of_it_is_on_its_way() {
    let case = Case { fate: Fate::Answers, ban: Ban::Me, ..LOST };
    let (mut asked, mut seen, mut progress) =
        (case.asked(Mode::Fence), case.seen(), Progress::default());
    for late in [Late::Anything, Late::ChangeOf(VERSION)] {
        asked.late = late;
        let next = fence(&asked, &seen, &progress);
        assert_eq!(next, Next::Do(Step::Bump { version: VERSION }), "{late:?}");
    }
    asked.late = Late::ChangeOf(Version { epoch: VERSION.epoch + 1, ..VERSION });
    assert!(matches!(fence(&asked, &seen, &progress), Next::Done(_)), "it can take place no more");
    asked.late = Late::Anything;
    progress.bumped = Some(VERSION);
    assert!(matches!(fence(&asked, &seen, &progress), Next::Do(_)), "the version is the same yet");
    let Cluster::Known(members) = &mut seen.cluster else { panic!() };
    members.version.epoch += 1;
    let Next::Done(answer) = fence(&asked, &seen, &progress) else { panic!("no answer") };
    assert_eq!(answer.code, Code::PeerBanned);
}
