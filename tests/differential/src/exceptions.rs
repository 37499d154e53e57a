//! Where ours is meant to differ from the stock handlers, each with its reason and how many inputs of the table show it.
//! Invariant: an exception says what it is about in the input, and what both did; none is a licence to differ.

use crate::input::{Driver, Fate, Input, Link, Mode};
use crate::run::Outcome;
use duet_drbd::Disk;
use std::collections::BTreeSet;

/// A difference that is meant.
#[derive(Debug)]
pub(crate) struct Exception {
    pub(crate) name: &'static str,
    pub(crate) why: &'static str,
    /// So many inputs; another number is an error.
    pub(crate) count: u32,
    applies: fn(&Input, &Outcome, &Outcome) -> bool,
}

/// The first that explains a difference.
pub(crate) fn named(input: &Input, stock: &Outcome, ours: &Outcome) -> Option<&'static Exception> {
    EXCEPTIONS.iter().find(|exception| (exception.applies)(input, stock, ours))
}

impl Input {
    fn fences(&self) -> bool {
        self.mode == Mode::Fence
    }

    fn has_quorum(&self) -> bool {
        self.cib_has_quorum && self.node_sees_quorum
    }

    fn is_up_to_date(&self) -> bool {
        self.own.iter().all(|disk| *disk == Disk::UpToDate)
    }

    /// Some volume is UpToDate, and some is neither that nor Consistent.
    fn is_mixed(&self) -> bool {
        self.own.contains(&Disk::UpToDate) && !self.is_up_to_date()
    }

    fn is_bad(&self) -> bool {
        let is_good = |disk: &Disk| matches!(disk, Disk::UpToDate | Disk::Consistent);
        !self.own.iter().all(is_good)
    }

    /// A peer that is lost, and of which nobody can say whether it still writes.
    fn has_unconfirmed(&self) -> bool {
        let is_open = |fate| matches!(fate, Fate::Mute | Fate::Unclean | Fate::Absent);
        self.peers.iter().any(|(link, fate)| *link != Link::Good && is_open(*fate))
    }

    fn rule_allows(&self, number: usize) -> bool {
        self.ban.as_ref().is_none_or(|ban| ban.allowed.contains(&number))
    }

    fn before(&self) -> Option<BTreeSet<String>> {
        let ban = self.ban.as_ref()?;
        Some(ban.allowed.iter().map(|number| crate::input::node(*number)).collect())
    }

    /// Whether the peer of the call is banned already, by a rule that allows this node.
    fn has_banned_peer(&self) -> bool {
        self.ban.is_some() && self.rule_allows(1) && !self.rule_allows(2)
    }

    /// Whether all that are lost are banned already.
    fn is_served(&self) -> bool {
        let lost = (2..).zip(&self.peers).filter(|(_, (link, _))| *link != Link::Good);
        let mut lost = lost.map(|(number, _)| number);
        self.ban.is_some() && self.rule_allows(1) && lost.all(|number| !self.rule_allows(number))
    }

    /// Whether it is a peer that is not good now.
    fn is_lost(&self, name: &str) -> bool {
        let mut peers = (2..).zip(&self.peers);
        peers.any(|(number, (link, _))| *link != Link::Good && crate::input::node(number) == name)
    }

    fn kept(&self, outcome: &Outcome) -> bool {
        outcome.allowed == self.before()
    }
}

pub(crate) const EXCEPTIONS: &[Exception] = &[
    Exception {
        name: "attached, or not yet",
        why: "a disk that is being attached or negotiated is not UpToDate yet; stock takes it for that and bans the peer",
        count: 15,
        applies: |input, stock, ours| {
            input.fences()
                && input.own.contains(&Disk::Negotiating)
                && matches!(stock.code, 4 | 5 | 7)
                && ours.code == 5
                && input.kept(ours)
        },
    },
    Exception {
        name: "split brain",
        why: "a peer that was reached and refused may be Primary with data of its own: it is banned and not declared outdated",
        count: 10,
        applies: |input, stock, ours| {
            input.fences()
                && input.is_refused
                && input.rule_allows(1)
                && matches!(stock.code, 4 | 5 | 7)
                && ours.code == 1
                && ours.allowed == stock.allowed
        },
    },
    Exception {
        name: "one volume is good and another is not",
        why: "the kernel takes 4 and 5 for \"the peer is outdated\" in all volumes, also where only the peer has good data",
        count: 20,
        applies: |input, stock, ours| {
            input.fences()
                && input.is_mixed()
                && matches!(stock.code, 4 | 5)
                && ours.code == 1
                && input.kept(ours)
        },
    },
    Exception {
        name: "bad data under a rule of one's own",
        why: "stock says 4 to its rule without a look at the data; ours says 5, which changes nothing there",
        count: 10,
        applies: |input, stock, ours| {
            input.fences()
                && input.is_bad()
                && !input.is_mixed()
                && input.is_served()
                && (stock.code, ours.code) == (4, 5)
                && input.kept(ours)
        },
    },
    Exception {
        name: "a rule of before, without quorum",
        why: "stock says 4 to its rule in a partition without quorum; whoever has the quorum need not know that rule",
        count: 16,
        applies: |input, stock, ours| {
            input.fences()
                && !input.has_quorum()
                && input.is_served()
                && (stock.code, ours.code) == (4, 1)
                && input.kept(ours)
        },
    },
    Exception {
        name: "8.4 without quorum",
        why: "the stock handler for 8.4 does not ask for quorum: the other half may promote what it takes for outdated",
        count: 8,
        applies: |input, stock, ours| {
            input.fences()
                && input.driver == Driver::V8
                && !input.has_quorum()
                && input.ban.is_none()
                && matches!(stock.code, 4 | 5 | 7)
                && ours.code == 1
                && input.kept(ours)
        },
    },
    Exception {
        name: "a rule of before, and nobody has confirmed the peer's death",
        why: "stock takes a peer that is banned already for reachable; it may have come back since, and be writing: ours waits for stonith",
        count: 26,
        applies: |input, stock, ours| {
            input.fences()
                && input.has_stonith
                && input.has_unconfirmed()
                && input.has_banned_peer()
                && matches!(stock.code, 4 | 7)
                && matches!(
                    (input.is_up_to_date(), input.freezes, ours.code),
                    (true, true, 1) | (true, false, 5) | (false, _, 5)
                )
                && input.kept(ours)
        },
    },
    Exception {
        name: "a timeout is no confirmation",
        why: "stock says 5 after its timeout, and I/O goes on while the peer may be writing; ours leaves it frozen (--on-timeout thaw)",
        count: 25,
        applies: |input, stock, ours| {
            input.fences()
                && input.has_stonith
                && input.freezes
                && input.has_unconfirmed()
                && input.is_up_to_date()
                && (stock.code, ours.code) == (5, 1)
                && input.kept(ours)
        },
    },
    Exception {
        name: "a rule that needs no change",
        why: "tighter than wanted, or in other words: stock takes an empty change for a failed one and says 1, though the peer is banned",
        count: 8,
        applies: |input, stock, ours| {
            input.fences()
                && input.is_served()
                && stock.code == 1
                && matches!(ours.code, 4 | 5 | 7)
                && input.kept(ours)
        },
    },
    Exception {
        name: "the peer is back, and the rule is not of this call",
        why: "stock removes it, whoever made it; ours leaves that to unfence-peer, which DRBD calls at the reconnect",
        count: 2,
        applies: |input, stock, ours| {
            input.fences()
                && input.peers[0].0 == Link::Good
                && (stock.code, ours.code) == (1, 1)
                && stock.allowed.is_none()
                && input.kept(ours)
        },
    },
    Exception {
        name: "allowed by the mask alone",
        why: "two peers lost at one pull are two calls, and the mask of the first still has the other: ours allows who is good now",
        count: 9,
        applies: |input, stock, ours| {
            let Some(now) = &ours.allowed else { return false };
            let mut more =
                stock.allowed.iter().flatten().filter(|name| !now.contains(*name)).peekable();
            input.fences()
                && matches!(ours.code, 4 | 7)
                && more.peek().is_some()
                && more.all(|name| input.is_lost(name))
        },
    },
    Exception {
        name: "each call for its peer",
        why: "with UpToDate data each lost peer has a call of its own; stock judges all at once, and calls a mixture of dead and reachable unclean",
        count: 9,
        applies: |input, stock, ours| {
            let own = match input.peers[0].1 {
                Fate::Answers => 4,
                Fate::Down => 7,
                Fate::Mute | Fate::Unclean | Fate::Absent => return false,
            };
            input.fences()
                && input.peers.len() == 2
                && input.is_up_to_date()
                && matches!(stock.code, 4 | 5 | 7)
                && ours.code == own
                && ours.allowed == stock.allowed
        },
    },
    Exception {
        name: "8.4, nothing to free",
        why: "a rule that stays because somebody is not good yet is no failure; stock for 9 says 0 as well",
        count: 13,
        applies: |input, stock, ours| {
            input.mode == Mode::Unfence
                && input.driver == Driver::V8
                && (stock.code, ours.code) == (1, 0)
                && input.kept(stock)
                && input.kept(ours)
        },
    },
    Exception {
        name: "freed by one that is banned itself",
        why: "a node that is banned may believe in a connection that the others have lost; stock lets it remove their rule",
        count: 3,
        applies: |input, _, ours| {
            input.mode == Mode::Unfence
                && !input.rule_allows(1)
                && ours.code == 0
                && input.kept(ours)
        },
    },
    Exception {
        name: "freed without quorum",
        why: "a partition without quorum compares with a CIB that the others have not, and which can replace theirs later",
        count: 2,
        applies: |input, stock, ours| {
            input.mode == Mode::Unfence
                && !input.has_quorum()
                && (stock.code, ours.code) == (0, 1)
                && input.kept(ours)
        },
    },
    Exception {
        name: "freed by data that may be old",
        why: "who is only Consistent does not know whether the peer misses something, whatever the mask says",
        count: 3,
        applies: |input, stock, ours| {
            input.mode == Mode::Unfence
                && !input.is_up_to_date()
                && (stock.code, ours.code) == (0, 0)
                && input.kept(ours)
        },
    },
    Exception {
        name: "freed by the mask alone",
        why: "the mask is of the moment at which the handler was started; ours frees who is UpToDate now",
        count: 23,
        applies: |input, stock, ours| {
            let frees_lost = |outcome: &Outcome| {
                let before = input.before().unwrap_or_default();
                let mut freed = outcome.allowed.iter().flatten();
                freed.any(|name| !before.contains(name) && input.is_lost(name))
            };
            input.mode == Mode::Unfence
                && input.driver == Driver::V9
                && ours.code == 0
                && frees_lost(stock)
                && !frees_lost(ours)
        },
    },
];
