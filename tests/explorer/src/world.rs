//! What is explored: how many nodes, how they are configured, what may befall them, and which rules of the stock
//! handlers are in force in place of ours. Invariant: the same world has the same states, in the same order.

use crate::{
    invariant::Name,
    state::{Left, Set},
};

/// A world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct World {
    /// Two or three.
    pub nodes: usize,
    /// Whether Pacemaker may fence.
    pub has_stonith: bool,
    /// `fencing resource-and-stonith`, not `resource-only`.
    pub freezes: bool,
    /// corosync's `wait_for_all`, which `two_node` implies.
    pub waits_for_all: bool,
    /// What handlers of one node do about each other.
    pub lock: Lock,
    /// DRBD 8.4: no node ids and no mask, no call for a peer that was refused, and unfence-peer only after a resync.
    pub is_eight: bool,
    /// A second volume, which is attached later than the first.
    pub has_second_volume: bool,
    /// How it begins.
    pub start: Start,
    /// What may come.
    pub left: Left,
    /// The invariants that are judged, by [`Name::bit`].
    pub judged: u8,
    /// The rules that are not ours.
    pub stock: Stock,
}

/// The lock that handlers of a node take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lock {
    /// They wait for it.
    Waits,
    /// fence-peer goes on without it where another one has it (`--flock-timeout 0`).
    Hurries,
    /// It cannot be made: fence-peer goes on without it, unfence-peer does nothing.
    Missing,
}

/// How it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Start {
    /// All connected and UpToDate, the first node Primary.
    Running,
    /// The same, but the last node was lost and banned, wrote nothing, and is connected again: unfence-peer is called everywhere.
    Returned,
    /// The same, with all but the first banned.
    AllReturned,
    /// All were switched off at once; they run again, unconnected, nobody is Primary.
    Crashed,
}

/// Rules of the stock programs, and rules that ours were chosen over. All false: ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Stock {
    /// A node without DRBD has the promotion score 9999.
    pub scores_nothing: bool,
    /// A rule that is tighter than wanted cannot be "written", and that is a failure.
    pub fails_on_tighter: bool,
    /// A volume that is Negotiating counts as UpToDate.
    pub trusts_negotiating: bool,
    /// unfence-peer allows whoever was in the mask when it was called.
    pub trusts_mask: bool,
    /// A peer that is banned already counts as reachable.
    pub trusts_ban: bool,
    /// The rule is removed by its id, whatever it has become, and by banned nodes too.
    pub removes_by_id: bool,
    /// 5, hence "outdated", when nobody has confirmed the peer's death in time.
    pub thaws_at_timeout: bool,
    /// A banned node removes a rule where it sees everybody UpToDate.
    pub lets_banned_lift: bool,
    /// Any allowed node speaks for a peer, whoever is Primary.
    pub lets_all_vouch: bool,
    /// Data that is only Consistent is compared with that of the called peer alone.
    pub asks_called_peer_only: bool,
    /// What another call may still change is not thought of.
    pub forgets_others: bool,
    /// What the call itself may still change is not thought of.
    pub forgets_itself: bool,
}

impl World {
    /// Two nodes under resource-and-stonith with stonith, as it should be configured.
    #[must_use]
    pub fn two(left: Left) -> World {
        World {
            nodes: 2,
            has_stonith: true,
            freezes: true,
            waits_for_all: true,
            lock: Lock::Waits,
            is_eight: false,
            has_second_volume: false,
            start: Start::Running,
            left,
            judged: u8::MAX,
            stock: Stock::default(),
        }
    }

    /// Three nodes, likewise.
    #[must_use]
    pub fn three(left: Left) -> World {
        World { nodes: 3, ..World::two(left) }
    }

    /// The same under DRBD 8.4, which knows one peer.
    #[must_use]
    pub fn eight(self) -> World {
        World { is_eight: true, ..self }
    }

    /// The same where these are not judged.
    #[must_use]
    pub fn but(self, names: &[Name]) -> World {
        let judged = names.iter().fold(self.judged, |judged, name| judged & !name.bit());
        World { judged, ..self }
    }

    /// The same with other rules.
    #[must_use]
    pub fn with(self, stock: Stock) -> World {
        World { stock, ..self }
    }

    /// All of its nodes.
    #[must_use]
    pub fn all(&self) -> Set {
        (1 << self.nodes) - 1
    }
}
