//! What holds of every decision, whatever the rules say.

use super::*;

/// Of one decision of fence-peer.
pub(super) fn fence_holds(case: &Case, next: &Next) {
    match next {
        Next::Done(answer) => answer_holds(case, answer),
        Next::Do(Step::Write { allowed, placed, version }) => {
            let rule = case.ban.rule();
            let widens = rule.is_some_and(|rule| allowed.iter().any(|node| rule.bans(node)));
            assert!(!widens, "fence-peer frees somebody: {case:#?}\n{next:#?}");
            let bans_peer = !allowed.contains("node2") || !may_have_lost_node2(case);
            assert!(bans_peer, "the lost peer is allowed: {case:#?}\n{next:#?}");
            let keeps_me = allowed.iter().any(|node| node.eq_ignore_ascii_case("node1"));
            assert!(keeps_me, "this node bans itself: {case:#?}\n{next:#?}");
            assert!(case.quorum, "a rule without quorum: {case:#?}\n{next:#?}");
            assert!(placed.is_some() && *version == VERSION, "{case:#?}\n{next:#?}");
        }
        Next::Do(Step::Remove { .. }) => {
            let is_ours = matches!(case.did, Did::Placed(_) | Did::PlacedForOperator);
            let good = matches!(case.link, Link::Good | Link::GoodPrimary);
            assert!(is_ours && good && !case.bans_me(), "{case:#?}");
        }
        Next::Wait { pause, .. } => {
            assert!(!pause.is_zero() && case.at < 90, "waits for nothing: {case:#?}\n{next:#?}");
        }
        Next::Ask(Question::Policy) => assert!(case.policy.is_none(), "{case:#?}"),
        Next::Do(Step::Bump { .. }) => panic!("nothing is late: {case:#?}"),
        Next::Ask(Question::Controllers(ids)) => assert!(!ids.is_empty(), "{case:#?}"),
    }
}

/// Not so only where all that is asked is who is lost, and node2 is not.
fn may_have_lost_node2(case: &Case) -> bool {
    case.call != Call::NineWhoever || !matches!(case.link, Link::Good | Link::GoodPrimary)
}

fn answer_holds(case: &Case, answer: &Answer) {
    let code = answer.code.number();
    assert!(matches!(code, 1 | 4 | 5 | 7), "fence-peer exits {code}: {case:#?}");
    if code == 4 || code == 7 {
        assert!(case.quorum, "{code} without quorum: {case:#?}");
        assert!(!case.bans_me(), "{code} of a node that is banned: {case:#?}");
        let rule = case.ban.rule();
        let is_banned = rule.is_some_and(|rule| rule.bans("node2"));
        assert!(is_banned || !may_have_lost_node2(case), "{code}, the peer not banned: {case:#?}");
        assert!(!case.refused, "{code} for a peer that refused: {case:#?}");
    }
    if code == 7 {
        assert!(case.is_up_to_date(), "7 with data that may be old: {case:#?}");
        let confirmed = !case.fates().iter().any(|fate| is_alive_for_all_we_know(*fate));
        let seen_before = case.did == Did::Placed(Code::PeerDown);
        assert!(confirmed || seen_before, "7 for nobody's death: {case:#?}");
    }
    if code == 5 && case.some_up_to_date() {
        // The kernel takes this for "the peer is outdated".
        let chosen = case.with == With::Thaw || case.with == With::Operator;
        let policy = case.policy == Some(Policy::ResourceOnly) && case.is != Is::Frozen;
        let before = matches!(case.did, Did::Placed(_) | Did::PlacedForOperator);
        let sanctioned = !case.stonith || chosen || policy || before;
        assert!(sanctioned, "5 with UpToDate data, and nobody wants that: {case:#?}");
        let is_banned = case.ban.rule().is_some_and(|rule| rule.bans("node2"));
        assert!(is_banned || !may_have_lost_node2(case), "5 without the rule: {case:#?}");
    }
    if code == 4 && !case.is_up_to_date() {
        // Data that may be old: every peer answers in this partition, or has been banned since before.
        let placed = matches!(case.did, Did::Placed(_) | Did::Tightened);
        let alone = case.fates().contains(&Fate::Mute) && case.stonith;
        assert!(!alone || placed || case.with == With::Cts, "{case:#?}");
    }
    if answer.suicide {
        let asked = case.with == With::Suicide && case.is_writer();
        assert!(asked && code == 1 && !case.is_back(), "a needless death: {case:#?}");
    }
}

fn is_alive_for_all_we_know(fate: Fate) -> bool {
    match fate {
        Fate::Answers | Fate::Down => false,
        Fate::Unasked
        | Fate::Mute
        | Fate::Will
        | Fate::Offline
        | Fate::NotSeen
        | Fate::Nameless
        | Fate::Missing => true,
    }
}
