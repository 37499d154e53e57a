//! unfence-peer over the product of facts, compared with its rules, stated a second time; each rule is reached.

use super::{fence_rules::is_known, *};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    Wait(Until),
    Remove,
    Widen,
    Exit(u8),
}

/// Every rule, in the order in which they hold.
const RULES: [&str; 9] = [
    "no rule",
    "no quorum, still time",
    "no quorum",
    "the rule bans me",
    "own data may be old",
    "all are good",
    "all are good, and the rule cannot be removed",
    "somebody else is good",
    "nobody else is good",
];

fn is_good(link: Link) -> bool {
    matches!(link, Link::Good | Link::GoodPrimary)
}

/// Whom this node may free: good now, good when the kernel made the mask, known to the cluster; and no other node
/// writes, or could, that could have lost them.
fn freed(case: &Case) -> BTreeSet<String> {
    let third = case.third.unwrap_or((Link::Gone, Fate::Missing));
    let node2_in_mask = matches!(
        case.call,
        Call::NineAll | Call::NineWithoutMe | Call::NineWithoutMask | Call::Eight
    ) || case.call == Call::NineWhoever;
    let node3_in_mask = !matches!(case.call, Call::NineAlone | Call::NineWithoutMe);
    let node2 = is_good(case.link)
        && is_known(case.fate)
        && node2_in_mask
        && case.speaks_beside(case.third, "node3");
    let node3 = is_good(third.0)
        && is_known(third.1)
        && node3_in_mask
        && case.speaks_beside(Some((case.link, case.fate)), "node2");
    let banned = case.ban.rule();
    let freed = [node2.then_some("node2"), node3.then_some("node3")];
    let freed = freed.into_iter().flatten();
    freed
        .filter(|node| banned.as_ref().is_some_and(|rule| rule.bans(node)))
        .map(str::to_owned)
        .collect()
}

fn due(case: &Case) -> (&'static str, Due) {
    let mut links = vec![case.link];
    links.extend(case.third.map(|(link, _)| link));
    let with_data: Vec<Link> =
        links.iter().copied().filter(|link| *link != Link::ClientHere).collect();
    let all_good = !with_data.is_empty() && with_data.iter().all(|link| is_good(*link));
    let mine_to_say = case.speaks_for_all();
    let can_change = case.can_change(90);
    let widens = !freed(case).is_empty();
    if case.ban == Ban::No {
        (RULES[0], Due::Exit(0))
    } else if !case.quorum {
        match case.at < 20 {
            true => (RULES[1], Due::Wait(Until::Quorum)),
            false => (RULES[2], Due::Exit(1)),
        }
    } else if case.bans_me() {
        (RULES[3], Due::Exit(0))
    } else if !case.is_up_to_date() {
        (RULES[4], Due::Exit(0))
    } else if all_good && mine_to_say {
        if can_change { (RULES[5], Due::Remove) } else { (RULES[6], Due::Exit(1)) }
    } else if widens {
        (RULES[7], if can_change { Due::Widen } else { Due::Exit(1) })
    } else {
        (RULES[8], Due::Exit(0))
    }
}

fn compare(case: &Case) -> &'static str {
    let next = case.unfence();
    let (rule, due) = due(case);
    let agrees = match (&next, due) {
        (Next::Wait { until, .. }, Due::Wait(wanted)) => *until == wanted,
        (Next::Do(Step::Remove { version }), Due::Remove) => *version == VERSION,
        (Next::Do(Step::Write { version, allowed, placed }), Due::Widen) => {
            let before = case.ban.rule().expect("there is one").allowed;
            let gained: BTreeSet<String> = allowed.difference(&before).cloned().collect();
            let code = placed.as_ref().map(|placed| placed.then);
            *version == VERSION
                && allowed.is_superset(&before)
                && gained == freed(case)
                && code == Some(Code::Done)
        }
        (Next::Done(answer), Due::Exit(code)) => answer.code.number() == code,
        _ => false,
    };
    assert!(agrees, "{case:#?}\n{rule}: {due:?} is due, and not\n{next:#?}");
    holds(case, &next);
    rule
}

/// What holds of every decision of unfence-peer, whatever the rules say.
fn holds(case: &Case, next: &Next) {
    let frees = match next {
        Next::Do(Step::Remove { .. }) => names(&["node2", "node3"]),
        Next::Do(Step::Write { allowed, .. }) => allowed.clone(),
        Next::Done(answer) => {
            assert!(!answer.suicide, "{case:#?}");
            return;
        }
        Next::Wait { .. } => return,
        Next::Do(Step::Bump { .. }) => panic!("unfence-peer relies on nothing: {case:#?}"),
        Next::Ask(_) => panic!("unfence-peer asks: {case:#?}"),
    };
    assert!(case.quorum && !case.bans_me() && case.is_up_to_date(), "{case:#?}");
    let banned_before = |node: &str| case.ban.rule().is_some_and(|rule| rule.bans(node));
    let links = [("node2", Some(case.link)), ("node3", case.third.map(|(link, _)| link))];
    for (node, link) in links {
        let is_freed = frees.contains(node) && banned_before(node);
        let is_client = link == Some(Link::ClientHere);
        let is_good = link.is_none_or(is_good) || is_client;
        assert!(!is_freed || is_good, "{node} is freed and not good: {case:#?}\n{next:#?}");
    }
}

#[test]
fn unfence_peer_follows_the_rules_and_each_rule_is_reached() {
    let fates = [Fate::Answers, Fate::Down, Fate::Nameless];
    let mut thirds: Vec<Option<(Link, Fate)>> =
        EVERY_LINK.iter().flat_map(|link| fates.map(|fate| Some((*link, fate)))).collect();
    thirds.push(None);
    let calls = [Call::Nine, Call::NineAll, Call::NineAlone, Call::NineWithoutMask, Call::Eight];
    let dids =
        [Did::Nothing, Did::Placed(Code::Done), Did::Conflicts, Did::Failed(1), Did::Failed(2)];
    let mut reached = BTreeSet::new();
    let mut case = LOST;
    product!(case:
        third in thirds.clone(),
        link in EVERY_LINK,
        fate in fates,
        own in [Own::U, Own::C, Own::UandBad, Own::Client],
        is in [Is::Secondary, Is::Primary],
        call in calls,
        ban in EVERY_BAN,
        at in [0, 91],
        did in [Did::Nothing];
        { reached.insert(compare(&case)); }
    );
    case = Case { third: Some((Link::Good, Fate::Answers)), ..LOST };
    product!(case:
        link in EVERY_LINK,
        ban in EVERY_BAN,
        own in [Own::U, Own::C],
        quorum in BOTH,
        at in [0, 19, 20, 89, 90, 200],
        with in EVERY_WITH,
        refused in BOTH,
        did in dids;
        { reached.insert(compare(&case)); }
    );
    let unreached: Vec<&&str> = RULES.iter().filter(|rule| !reached.contains(*rule)).collect();
    assert!(unreached.is_empty(), "nothing leads to {unreached:#?}");
}
