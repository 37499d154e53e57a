//! What the handlers of drbd-utils were seen to answer wrongly, and what is answered instead. Each test is named by its
//! claim about ours.

use super::*;

/// Stock takes a volume that is being attached for UpToDate: with the peer reachable it wrote the rule and said 4.
#[test]
fn a_disk_that_is_being_attached_is_not_up_to_date() {
    let case = Case { own: Own::Bad, fate: Fate::Answers, ..LOST };
    assert_eq!(done(case.fence()).code, Code::PeerUnreachable);
}

/// Stock takes an empty answer of the kernel for a diskless client that may go on.
#[test]
fn a_resource_without_volumes_is_no_client() {
    let third = Some((Link::Good, Fate::Answers));
    let case = Case { own: Own::None, third, fate: Fate::Down, ..LOST };
    assert_eq!(done(case.fence()).reason, Reason::OwnDataBad);
    assert_eq!(done(Case { ban: Ban::Me, ..case }.unfence()).reason, Reason::Kept(Kept::OwnData));
}

/// Stock says 5 there, which the kernel takes for "the peer is outdated" because of the other volume, and bans nobody.
#[test]
fn five_is_not_said_with_one_volume_up_to_date_and_one_not() {
    for own in [Own::UandBad, Own::UandC] {
        for fate in [Fate::Down, Fate::Offline] {
            let answer = done(Case { own, fate, ..LOST }.fence());
            assert_eq!(answer.reason, Reason::OwnDataMixed, "{own:?} {fate:?}");
        }
    }
}

/// Stock frees whom the mask names, which may be minutes old.
#[test]
fn a_mask_frees_nobody_who_is_behind_by_now() {
    for link in [Link::Behind, Link::Gone] {
        let case = Case { link, call: Call::NineAll, ban: Ban::Me, ..LOST };
        assert_eq!(done(case.unfence()).reason, Reason::Kept(Kept::Nobody), "{link:?}");
    }
}

/// Two peers lost at one pull make two calls, and the mask of the first still has the other peer.
#[test]
fn a_mask_allows_nobody_who_is_lost_by_now() {
    let third = Some((Link::Gone, Fate::Answers));
    let case = Case { third, fate: Fate::Answers, ..LOST };
    assert_eq!(written(case.fence()), names(&["node1"]));
}

/// Stock looks again after 3, 4 and 7, and not after 5.
#[test]
fn after_five_as_well_a_peer_that_came_back_is_not_declared_outdated() {
    let case = Case { did: Did::Placed(Code::PeerUnreachable), ban: Ban::Me, ..LOST };
    let case = Case { link: Link::Good, stonith: false, at: 91, ..case };
    assert!(matches!(case.fence(), Next::Do(Step::Remove { .. })));
    assert_eq!(done(Case { ban: Ban::No, ..case }.fence()).reason, Reason::PeerIsBack);
}

/// Stock says 4 to a rule that is there, without a look at the peer: it may be the rule of an earlier loss, and the
/// peer be writing since.
#[test]
fn a_rule_of_before_proves_nothing_of_a_peer_that_stonith_is_still_to_shoot() {
    for fate in [Fate::Will, Fate::Mute, Fate::NotSeen] {
        let case = Case { fate, ban: Ban::Me, ..LOST };
        assert!(matches!(case.fence(), Next::Wait { until: Until::Peer, .. }), "{fate:?}");
        let strict = Strict::ResourceAndStonith;
        assert_eq!(
            done(Case { at: 90, ..case }.fence()).reason,
            Reason::StillUnconfirmed { strict },
            "{fate:?}"
        );
    }
}

/// Stock says 4 to it without quorum too.
#[test]
fn a_rule_of_before_is_not_enough_without_quorum() {
    let case = Case { fate: Fate::Answers, ban: Ban::Me, quorum: false, ..LOST };
    assert_eq!(done(case.fence()).reason, Reason::NoQuorum);
}

/// Stock deletes by id, whatever has become of the rule since it was looked at.
#[test]
fn a_rule_is_changed_in_the_version_that_was_looked_at() {
    let case = Case { link: Link::Good, ban: Ban::Me, ..LOST };
    let next = case.unfence();
    assert!(matches!(next, Next::Do(Step::Remove { version: VERSION })), "{next:?}");
}

/// Stock fails there after some seconds with 1, and the Primary stays frozen although the peer is banned.
#[test]
fn a_rule_that_is_tighter_than_wanted_is_good_enough() {
    let third = Some((Link::Good, Fate::Answers));
    let case = Case { third, fate: Fate::Answers, ban: Ban::Me, ..LOST };
    assert_eq!(done(case.fence()).reason, Reason::BannedAndReachable);
}

/// Stock says 4 or 7 there, and declares a living Primary outdated.
#[test]
fn a_peer_that_refused_is_banned_by_the_writer_and_never_declared_outdated() {
    for fate in [Fate::Answers, Fate::Down] {
        let case = Case { refused: true, fate, ..LOST };
        assert_eq!(written(case.fence()), names(&["node1"]));
        let answer = done(Case { ban: Ban::Me, ..case }.fence());
        assert_eq!((answer.code, answer.reason), (Code::NotFenced, Reason::SplitBrain));
    }
}

/// Stock deletes the rule of another node as soon as all look good from here.
#[test]
fn who_is_banned_frees_nobody() {
    let case = Case { link: Link::Good, ban: Ban::PeerOnly, is: Is::Secondary, ..LOST };
    assert_eq!(done(case.unfence()).reason, Reason::Kept(Kept::BansMe));
    let owner = Case { with: With::Owner, ..case };
    assert_eq!(done(owner.unfence()).reason, Reason::NotOwner);
}

/// Stock says 5 after its timeout, and I/O goes on while the peer may be writing.
#[test]
fn frozen_io_stays_frozen_where_a_timeout_is_all_there_is() {
    for fate in [Fate::Will, Fate::Mute, Fate::NotSeen, Fate::Offline, Fate::Nameless] {
        let late = Case { fate, at: 90, ..LOST };
        assert_eq!(done(late.fence()).code, Code::NotFenced, "{fate:?}");
        let next = Case { with: With::Thaw, ..late }.fence();
        let Next::Do(Step::Write { placed: Some(placed), .. }) = next else { panic!("{next:?}") };
        assert_eq!(placed.then, Code::PeerUnreachable, "{fate:?}");
        let accepted = Accepted::OnTimeoutThaw;
        assert_eq!(placed.because, Reason::Unconfirmed { accepted });
    }
}
