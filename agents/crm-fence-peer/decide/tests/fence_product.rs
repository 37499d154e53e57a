//! fence-peer over the product of facts, compared with the rules; each rule is reached.

use super::{
    fence_rules::{Due, RULES, due},
    properties::fence_holds,
    *,
};

/// How often each rule decided.
#[derive(Default)]
struct Tally(BTreeMap<&'static str, u32>);

impl Tally {
    fn compare(&mut self, case: &Case) {
        let next = case.fence();
        let (rule, due) = due(case);
        *self.0.entry(rule).or_default() += 1;
        let agrees = match (&next, due) {
            (Next::Wait { until, .. }, Due::Wait(wanted)) => *until == wanted,
            (Next::Ask(Question::Policy), Due::AskPolicy) => true,
            (Next::Ask(Question::Controllers(ids)), Due::AskControllers) => {
                let unasked = case.fates().iter().filter(|fate| **fate == Fate::Unasked).count();
                ids.len() == unasked && !ids.contains(&0)
            }
            (
                Next::Do(Step::Write { version, allowed, placed: Some(placed) }),
                Due::Place(code),
            ) => *version == VERSION && *allowed == case.rightful() && placed.then == code,
            (Next::Do(Step::Remove { version }), Due::Remove) => *version == VERSION,
            (Next::Done(answer), Due::Exit(code)) => answer.code.number() == code,
            _ => false,
        };
        assert!(agrees, "{case:#?}\n{rule}: {due:?} is due, and not\n{next:#?}");
        fence_holds(case, &next);
    }

    fn reached(&self) -> Vec<&'static str> {
        self.0.keys().copied().collect()
    }
}

/// What one peer's loss looks like, at three moments, fresh and after a wait.
fn loss(tally: &mut Tally) {
    let mut case = LOST;
    product!(case:
        own in EVERY_OWN,
        is in EVERY_IS,
        link in EVERY_LINK,
        fate in EVERY_FATE,
        ban in [Ban::No, Ban::Loud, Ban::MeAndPeer, Ban::PeerOnly],
        stonith in BOTH,
        policy in EVERY_POLICY,
        at in [0, 91],
        did in [Did::Nothing, Did::Waited];
        { tally.compare(&case); }
    );
}

/// What was chosen, done before, and is late.
fn course(tally: &mut Tally) {
    let mut case = LOST;
    product!(case:
        own in [Own::U, Own::C, Own::UandC],
        link in [Link::Gone, Link::Good],
        fate in EVERY_FATE,
        is in [Is::Secondary, Is::Frozen],
        ban in [Ban::No, Ban::Me, Ban::MeAndPeer],
        stonith in BOTH,
        at in [0, 25, 91, 101],
        with in EVERY_WITH,
        did in EVERY_DID;
        { tally.compare(&case); }
    );
}

/// Calls as they come, and the barriers before everything else.
fn calls(tally: &mut Tally) {
    let mut case = LOST;
    product!(case:
        call in EVERY_CALL,
        own in EVERY_OWN,
        link in EVERY_LINK,
        is in [Is::Secondary, Is::Primary],
        fate in [Fate::Answers, Fate::Down],
        ban in EVERY_BAN,
        quorum in BOTH,
        refused in BOTH,
        did in [Did::Nothing, Did::Placed(Code::PeerBanned), Did::Failed(2)];
        { tally.compare(&case); }
    );
}

/// A third node, in every state.
fn three(tally: &mut Tally) {
    let fates = [Fate::Unasked, Fate::Answers, Fate::Mute, Fate::Down, Fate::Nameless];
    let thirds: Vec<Option<(Link, Fate)>> =
        EVERY_LINK.iter().flat_map(|link| fates.map(|fate| Some((*link, fate)))).collect();
    let mut case = LOST;
    product!(case:
        third in thirds.clone(),
        own in [Own::U, Own::C, Own::UandC, Own::Client],
        link in [Link::Gone, Link::Good, Link::GoodPrimary],
        fate in fates,
        ban in [Ban::No, Ban::Me, Ban::MeAndThird, Ban::MeAndPeer, Ban::Everybody, Ban::PeerOnly],
        call in [Call::Nine, Call::NineAlone, Call::Eight, Call::NineWhoever],
        is in [Is::Secondary, Is::Frozen],
        at in [0, 91],
        did in [Did::Nothing, Did::Placed(Code::PeerDown)];
        { tally.compare(&case); }
    );
}

/// One test for all, because a rule counts as reached wherever it was.
#[test]
fn fence_peer_follows_the_rules_and_each_rule_is_reached() {
    let parts: [fn(&mut Tally); 4] = [loss, course, calls, three];
    let reached: BTreeSet<&str> = std::thread::scope(|scope| {
        let run = |part: fn(&mut Tally)| {
            move || {
                let mut tally = Tally::default();
                part(&mut tally);
                tally.reached()
            }
        };
        let threads = parts.map(|part| scope.spawn(run(part)));
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let unreached: Vec<&&str> = RULES.iter().filter(|rule| !reached.contains(*rule)).collect();
    assert!(unreached.is_empty(), "nothing leads to {unreached:#?}");
}
