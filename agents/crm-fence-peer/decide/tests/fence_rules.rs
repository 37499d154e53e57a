//! The rules of fence-peer, stated a second time, in the words of the cases: what is due, and by which rule.

use super::*;

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    Wait(Until),
    AskControllers,
    AskPolicy,
    /// The rule, and then this code.
    Place(Code),
    /// The rule goes.
    Remove,
    Exit(u8),
}

/// Every rule, in the order in which they hold.
pub(super) const RULES: [&str; 29] = [
    "the call contradicts itself",
    "the peer is back, a rule of this call's own goes",
    "the peer is back, the rule cannot be removed",
    "the peer is back",
    "the rule bans me",
    "no quorum",
    "split brain: who is no writer places nothing",
    "split brain: the rule is there",
    "split brain: the writer bans the other",
    "own data is bad, and nothing makes 5 dangerous",
    "own data is bad in one volume and UpToDate in another",
    "placed by this call, and seen",
    "a controller is to be asked",
    "reachable and banned",
    "reachable: a short interruption may end by itself",
    "reachable, to be banned",
    "down and banned since before",
    "down and banned",
    "down, to be banned",
    "down, and own data may be older",
    "not confirmed, no stonith, banned since before",
    "not confirmed, and the operator takes the blame",
    "not confirmed, own data may be older, still time",
    "not confirmed, own data may be older",
    "not confirmed, still time",
    "not confirmed, and declared outdated by choice",
    "not confirmed, and the policy decides",
    "not confirmed, frozen, still time",
    "not confirmed, and stays frozen",
];

/// Where the change that is due cannot be made any more.
const NO_CHANGE: Due = Due::Exit(1);

fn is_good(link: Link) -> bool {
    matches!(link, Link::Good | Link::GoodPrimary)
}

/// Whether it can be told which node of the cluster it is.
pub(super) fn is_known(fate: Fate) -> bool {
    !matches!(fate, Fate::Nameless | Fate::Missing)
}

impl Case {
    /// A diskless node has what it can read.
    fn reads(&self) -> bool {
        is_good(self.link) || self.third.is_some_and(|(link, _)| is_good(link))
    }

    pub(super) fn is_up_to_date(&self) -> bool {
        match self.own {
            Own::U | Own::ClientAndU => true,
            Own::Client => self.reads(),
            Own::C
            | Own::Bad
            | Own::UandC
            | Own::UandBad
            | Own::CandBad
            | Own::ClientAndBad
            | Own::None => false,
        }
    }

    fn is_consistent(&self) -> bool {
        self.is_up_to_date() || matches!(self.own, Own::C | Own::UandC)
    }

    pub(super) fn some_up_to_date(&self) -> bool {
        self.is_up_to_date() || matches!(self.own, Own::UandC | Own::UandBad)
    }

    pub(super) fn is_writer(&self) -> bool {
        self.is != Is::Secondary
    }

    fn asks_for_node2(&self) -> bool {
        !matches!(self.call, Call::Eight | Call::NineWhoever)
    }

    /// node3 is seen good now, the kernel said so, and the cluster knows who it is.
    fn allows_node3(&self) -> bool {
        let in_mask = matches!(self.call, Call::Nine | Call::NineAll | Call::NineWhoever);
        self.third.is_some_and(|(link, _)| in_mask && is_good(link))
    }

    /// Only by hand: node2 is not lost, somebody else is.
    fn allows_node2(&self) -> bool {
        self.call == Call::NineWhoever && is_good(self.link)
    }

    /// Who is good: me, and whoever is known to be.
    fn good(&self) -> Vec<&'static str> {
        let named = |fate| !matches!(fate, Fate::Nameless | Fate::Missing);
        let mut good = vec!["node1"];
        good.extend((self.allows_node2() && named(self.fate)).then_some("node2"));
        let third = self.third.is_some_and(|(_, fate)| named(fate));
        good.extend((self.allows_node3() && third).then_some("node3"));
        good
    }

    /// Whom the rule may allow: never more than it does.
    pub(super) fn rightful(&self) -> BTreeSet<String> {
        let Some(rule) = self.ban.rule() else { return names(&self.good()) };
        let good = |node: &String| self.good().contains(&node.to_lowercase().as_str());
        rule.allowed.into_iter().filter(good).collect()
    }

    /// The rule allows nobody that is not good.
    pub(super) fn serves(&self) -> bool {
        self.ban.rule().is_some_and(|rule| rule.allowed == self.rightful())
    }

    /// Whose fate decides: with the best data the lost peer's, else that of all who are not good.
    pub(super) fn fates(&self) -> Vec<Fate> {
        if self.asks_for_node2() && self.is_up_to_date() {
            return vec![self.fate];
        }
        let node2 = (!self.allows_node2()).then_some(self.fate);
        let node3 = self.third.filter(|_| !self.allows_node3()).map(|(_, fate)| fate);
        node2.into_iter().chain(node3).collect()
    }

    fn all_good(&self) -> bool {
        let mut links = vec![self.link];
        links.extend(self.third.map(|(link, _)| link));
        links.retain(|link| *link != Link::ClientHere);
        !links.is_empty() && links.iter().all(|link| is_good(*link))
    }

    pub(super) fn is_back(&self) -> bool {
        match self.asks_for_node2() {
            true => is_good(self.link) || self.link == Link::ClientHere,
            false => self.all_good(),
        }
    }

    /// Whether node1 may speak for a peer beside which there is this other one: it writes itself, or the other one neither
    /// does nor may be made to.
    pub(super) fn speaks_beside(&self, other: Option<(Link, Fate)>, name: &str) -> bool {
        let is_banned = self.ban.rule().is_some_and(|rule| rule.bans(name));
        let is_out = |(link, fate)| link != Link::GoodPrimary && is_known(fate) && is_banned;
        self.is_writer() || other.is_none_or(is_out)
    }

    pub(super) fn speaks_for_all(&self) -> bool {
        let beside_node3 = self.third.map(|_| (self.link, self.fate));
        self.speaks_beside(self.third, "node3") && self.speaks_beside(beside_node3, "node2")
    }

    pub(super) fn bans_me(&self) -> bool {
        matches!(self.ban, Ban::PeerOnly | Ban::Nobody)
    }

    fn has_tried(&self) -> bool {
        !matches!(self.did, Did::Nothing | Did::Waited)
    }

    pub(super) fn can_change(&self, until: u64) -> bool {
        self.did != Did::Failed(2) && (self.at < until || !self.has_tried())
    }

    /// What a rule that this call wrote is worth now.
    fn promised(&self) -> Option<Code> {
        match self.did {
            Did::Placed(Code::PeerDown) if self.is_up_to_date() => Some(Code::PeerDown),
            Did::Placed(Code::PeerUnreachable) if self.is_up_to_date() => {
                Some(Code::PeerUnreachable)
            }
            Did::PlacedForOperator => Some(Code::PeerUnreachable),
            Did::Placed(Code::PeerBanned) | Did::Tightened => Some(Code::PeerBanned),
            _ => None,
        }
    }

    fn is_contradictory(&self) -> bool {
        matches!(
            self.call,
            Call::NineWithoutMe
                | Call::NineWithoutMask
                | Call::MaskOnly
                | Call::Stranger
                | Call::Myself
        )
    }
}

/// The rules in order; the first that applies decides.
#[allow(clippy::too_many_lines, reason = "a table")]
pub(super) fn due(case: &Case) -> (&'static str, Due) {
    let mut rules = RULES.iter();
    let mut rule = |applies: bool| {
        let name = rules.next().expect("as many rules as are asked for");
        applies.then_some(*name)
    };
    macro_rules! rule {
        ($applies:expr => $due:expr) => {
            if let Some(name) = rule($applies) {
                return (name, $due);
            }
        };
    }
    let late = case.at >= 90;
    let changes = case.can_change(100);
    let place = |code| if changes { Due::Place(code) } else { NO_CHANGE };
    let fates = case.fates();
    let fresh = matches!(case.did, Did::Nothing | Did::Waited | Did::Conflicts | Did::Failed(_));
    let (serves, before) = (case.serves(), case.serves() && fresh);
    let good_data = case.is_up_to_date();
    let no_good = if case.some_up_to_date() { 1 } else { 5 };

    rule!(case.is_contradictory() => Due::Exit(1));

    let own_rule = matches!(case.did, Did::Placed(_) | Did::PlacedForOperator);
    let removes = own_rule
        && case.ban != Ban::No
        && !case.bans_me()
        && good_data
        && case.all_good()
        && case.speaks_for_all();
    rule!(case.is_back() && removes && changes => Due::Remove);
    rule!(case.is_back() && removes => NO_CHANGE);
    rule!(case.is_back() => Due::Exit(1));
    rule!(case.bans_me() => Due::Exit(1));
    rule!(!case.quorum => Due::Exit(1));
    rule!(case.refused && !(case.is_writer() && good_data) => Due::Exit(1));
    rule!(case.refused && serves => Due::Exit(1));
    rule!(case.refused => place(Code::NotFenced));
    rule!(!case.is_consistent() && !case.some_up_to_date() => Due::Exit(5));
    rule!(!case.is_consistent() => Due::Exit(1));
    let promised = case.promised().filter(|_| serves);
    rule!(promised.is_some() => Due::Exit(promised.map_or(1, Code::number)));
    rule!(fates.contains(&Fate::Unasked) => Due::AskControllers);

    let unseen = |fate| matches!(fate, Fate::NotSeen | Fate::Missing | Fate::Nameless);
    let pretends = |fate| case.with == With::Cts && late && (unseen(fate) || fate == Fate::Mute);
    let reachable = |fate: &Fate| *fate == Fate::Answers || pretends(*fate);
    let harmless = |fate: &Fate| reachable(fate) || *fate == Fate::Down;
    let all_reachable = fates.iter().all(reachable);
    rule!(all_reachable && serves => Due::Exit(4));
    let hickup = case.with == With::Hickup && case.at < 30;
    rule!(all_reachable && hickup => Due::Wait(Until::Link));
    rule!(all_reachable => place(Code::PeerBanned));

    let all_harmless = fates.iter().all(harmless);
    let waited = case.did == Did::Waited;
    rule!(all_harmless && before && !(good_data && waited) => Due::Exit(4));
    rule!(all_harmless && good_data && serves => Due::Exit(7));
    rule!(all_harmless && good_data => place(Code::PeerDown));
    rule!(all_harmless => Due::Exit(no_good));

    // From here on somebody may be alive, and writing.
    rule!(before && !case.stonith => Due::Exit(4));
    let five = if serves { Due::Exit(5) } else { place(Code::PeerUnreachable) };
    rule!(!good_data && case.with == With::Operator => five);
    let hopeless = late || fates.iter().all(|fate| harmless(fate) || *fate == Fate::Offline);
    rule!(!good_data && !hopeless => Due::Wait(Until::Peer));
    rule!(!good_data => Due::Exit(no_good));
    rule!(!hopeless => Due::Wait(Until::Peer));
    let freezes = case.is == Is::Frozen || case.policy == Some(Policy::ResourceAndStonith);
    let lenient = !freezes && case.policy == Some(Policy::ResourceOnly);
    rule!(!case.stonith || case.with == With::Thaw || lenient => five);
    rule!(!freezes && case.policy.is_none() => Due::AskPolicy);
    rule!(!late => Due::Wait(Until::Peer));
    (RULES[28], Due::Exit(1))
}
