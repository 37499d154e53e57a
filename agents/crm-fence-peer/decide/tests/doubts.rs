//! Where an answer, a change or a death would have been one too many, or one too few.

use super::*;

#[test]
fn of_two_primaries_in_a_split_brain_only_the_banned_one_ends_itself() {
    let refused = Case { refused: true, with: With::Suicide, fate: Fate::Answers, ..LOST };
    assert!(!done(Case { ban: Ban::Me, ..refused }.fence()).suicide);
    assert!(done(Case { ban: Ban::PeerOnly, ..refused }.fence()).suicide);
}

#[test]
fn a_frozen_primary_with_maybe_the_last_copy_does_not_end_itself_for_want_of_a_confirmation() {
    let case = Case { fate: Fate::Will, at: 90, with: With::Suicide, ..LOST };
    let answer = done(case.fence());
    assert!(matches!(answer.reason, Reason::StillUnconfirmed { .. }));
    assert!(!answer.suicide);
}

#[test]
fn nobody_dies_for_a_rule_that_stays_behind_when_the_peer_is_back() {
    let mut progress = Case { did: Did::Placed(Code::PeerBanned), ..LOST }.progress();
    progress.failures = vec!["no".into(); FAILURES];
    let case = Case { link: Link::Good, ban: Ban::Me, with: With::Suicide, ..LOST };
    let answer = done(fence(&case.asked(Mode::Fence), &case.seen(), &progress));
    assert!(matches!(answer.reason, Reason::NotWritten(_)));
    assert!(!answer.suicide);
}

/// 7 was decided with UpToDate data. Whoever is only Consistent when the rule is seen may have the older.
#[test]
fn a_promise_made_with_good_data_is_not_kept_with_worse() {
    let seven = Case { did: Did::Placed(Code::PeerDown), ban: Ban::Me, fate: Fate::Down, ..LOST };
    assert_eq!(done(seven.fence()).code, Code::PeerDown);
    for own in [Own::C, Own::UandC] {
        let answer = done(Case { own, ..seven }.fence());
        assert!(!matches!(answer.code, Code::PeerDown | Code::PeerBanned), "{own:?}");
    }
    let five = Case { did: Did::Placed(Code::PeerUnreachable), fate: Fate::Mute, ..seven };
    let five = Case { stonith: false, at: 90, ..five };
    assert_eq!(done(five.fence()).code, Code::PeerUnreachable);
    assert_eq!(done(Case { own: Own::UandC, ..five }.fence()).code, Code::NotFenced);
}

/// A rule that this call wrote does not prove that anybody was banned before.
#[test]
fn a_rule_of_this_call_is_no_rule_of_before() {
    let case = Case { did: Did::Placed(Code::NotFenced), ban: Ban::Me, ..LOST };
    let case = Case { own: Own::C, stonith: false, at: 90, ..case };
    for fate in [Fate::Down, Fate::Will, Fate::Offline] {
        assert_eq!(done(Case { fate, ..case }.fence()).code, Code::PeerUnreachable, "{fate:?}");
    }
}

/// DRBD calls once. A DC that is away for a moment while a peer is being shot must not leave I/O frozen for good.
#[test]
fn a_dc_that_is_lost_while_a_peer_is_waited_for_is_waited_for_as_well() {
    let case = Case { fate: Fate::Will, at: 40, ..LOST };
    let seen = Seen { cluster: Cluster::WithoutDc("Election".into()), ..case.seen() };
    let look = |did| fence(&case.asked(Mode::Fence), &seen, &Case { did, ..case }.progress());
    for did in [Did::Waited, Did::Placed(Code::PeerBanned), Did::Conflicts] {
        assert!(matches!(look(did), Next::Wait { until: Until::Dc, .. }), "{did:?}");
    }
    assert_eq!(done(look(Did::Nothing)).code, Code::NotFenced);
}

/// A partition without quorum compares with a version that nobody else knows, and its CIB can win in the end.
#[test]
fn a_partition_without_quorum_frees_nobody() {
    let case = Case { quorum: false, link: Link::Good, ban: Ban::Me, ..LOST };
    assert!(matches!(case.unfence(), Next::Wait { until: Until::Quorum, .. }));
    let answer = done(Case { at: 20, ..case }.unfence());
    assert_eq!((answer.code, answer.reason), (Code::NotFenced, Reason::NoQuorum));
    let nothing = Case { ban: Ban::No, ..case };
    assert_eq!(done(nothing.unfence()).reason, Reason::NoRule);
}

#[test]
fn two_drbd_nodes_of_one_name_are_neither_fenced_nor_freed_apart() {
    let case = Case { third: Some((Link::Gone, Fate::Answers)), link: Link::Good, ..LOST };
    let case = Case { ban: Ban::Me, call: Call::NineAll, ..case };
    let mut seen = case.seen();
    if let Cluster::Known(members) = &mut seen.cluster {
        members.peers.get_mut(&2).unwrap().name = Some("NODE2".into());
    }
    let kept = unfence(&case.asked(Mode::Unfence), &seen, &Progress::default());
    assert_eq!(done(kept).reason, Reason::Kept(Kept::Nobody));
    let lost3 = Asked { peer: Some(2), ..case.asked(Mode::Fence) };
    let answer = done(fence(&lost3, &seen, &Progress::default()));
    assert!(matches!(answer.reason, Reason::CallUnusable(_)));
}

/// Nobody frees a client that was banned: DRBD calls nobody when one without data connects.
#[test]
fn a_diskless_client_that_is_connected_again_is_not_banned() {
    let case = Case { link: Link::ClientHere, fate: Fate::Answers, ..LOST };
    assert_eq!(done(case.fence()).reason, Reason::PeerIsBack);
}

#[test]
fn a_rule_of_this_call_stays_its_own_when_it_is_tightened() {
    let third = Some((Link::Gone, Fate::Answers));
    let case = Case { third, ban: Ban::MeAndThird, fate: Fate::Answers, ..LOST };
    let case = Case { did: Did::Placed(Code::PeerBanned), ..case };
    let Next::Do(Step::Write { allowed, placed, .. }) = case.fence() else { panic!() };
    assert_eq!(allowed, names(&["node1"]));
    assert!(placed.unwrap().is_new);
}

#[test]
fn what_the_cluster_says_of_some_node_is_not_said_of_an_unknown_peer() {
    let case = Case { fate: Fate::Nameless, ..LOST };
    assert!(matches!(case.fence(), Next::Wait { until: Until::Peer, .. }));
}

#[test]
fn who_waits_in_vain_is_told_to_ban_the_peer_before_io_is_resumed() {
    let answer = done(Case { fate: Fate::Will, at: 90, ..LOST }.fence());
    let strict = Strict::ResourceAndStonith;
    assert_eq!(answer.reason, Reason::StillUnconfirmed { strict });
    let text = answer.reason.to_string();
    let words = ["stonith_admin --confirm", "by running this handler by hand", "resume-io"];
    let places = words.map(|word| text.find(word).unwrap());
    assert!(places.is_sorted(), "{text}");
}

/// By hand, for whoever is lost: nobody is.
#[test]
fn a_call_for_nobody_in_particular_ends_when_nobody_is_lost() {
    for call in [Call::Eight, Call::NineWhoever] {
        let case = Case { call, link: Link::Good, fate: Fate::Answers, ..LOST };
        assert_eq!(done(case.fence()).reason, Reason::PeerIsBack);
        let third = Some((Link::Gone, Fate::Answers));
        assert!(!written(Case { third, ..case }.fence()).contains("node3"));
    }
}

#[test]
fn a_peer_that_the_rule_allows_in_another_spelling_is_not_freed_twice() {
    let third = Some((Link::Gone, Fate::Down));
    let case = Case { third, link: Link::Good, fate: Fate::Answers, call: Call::NineAll, ..LOST };
    let mut seen = case.seen();
    if let Cluster::Known(members) = &mut seen.cluster {
        members.rule = Some(Rule { allowed: names(&["node1", "NODE2"]) });
    }
    let kept = unfence(&case.asked(Mode::Unfence), &seen, &Progress::default());
    assert_eq!(done(kept).reason, Reason::Kept(Kept::Nobody));
}

/// node3 may be about to be Primary without node2, having found the rule that bans it, which is no change of the CIB.
#[test]
fn a_secondary_frees_nobody_while_another_one_is_allowed() {
    let third = Some((Link::Good, Fate::Answers));
    let case = Case { third, link: Link::Good, is: Is::Secondary, ban: Ban::MeAndThird, ..LOST };
    let case = Case { fate: Fate::Answers, call: Call::NineAll, ..case };
    assert_eq!(done(case.unfence()).reason, Reason::Kept(Kept::AnotherMayWrite));
    let out_of_reach = Case { third: Some((Link::Gone, Fate::Answers)), ..case };
    assert_eq!(done(out_of_reach.unfence()).reason, Reason::Kept(Kept::Nobody));
    let alone = Case { ban: Ban::Me, ..case }.unfence();
    assert!(matches!(alone, Next::Do(Step::Remove { .. })), "{alone:?}");
    let writer = Case { is: Is::Primary, ..case }.unfence();
    assert!(matches!(writer, Next::Do(Step::Remove { .. })), "{writer:?}");
}

/// The peer was back, the call had its rule removed and got no answer, and the peer is lost again.
#[test]
fn a_rule_that_this_call_may_still_remove_is_not_answered_for() {
    for (fate, code) in [(Fate::Answers, Code::PeerBanned), (Fate::Down, Code::PeerDown)] {
        let case = Case { did: Did::Placed(code), ban: Ban::Me, fate, ..LOST };
        let look = |removing: Version, bumped: Option<Version>| {
            let removing = Some(removing);
            let progress = Progress { has_removed: true, removing, bumped, ..case.progress() };
            fence(&case.asked(Mode::Fence), &case.seen(), &progress)
        };
        let older = Version { epoch: VERSION.epoch - 1, ..VERSION };
        // A newer version was given to the CIB before, which says nothing of this one.
        for bumped in [None, Some(older)] {
            assert_eq!(
                look(VERSION, bumped),
                Next::Do(Step::Bump { version: VERSION }),
                "{fate:?}"
            );
        }
        assert_eq!(done(look(older, Some(older))).code, code, "{fate:?}");
    }
}
