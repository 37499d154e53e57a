//! The state of the modelled world: nodes, their DRBD, their view of each other, the cluster and the handlers that run.
//! Invariant: plain, small and without history, except what an invariant has to remember; what is over is reset, so that
//! equal situations are equal states.

/// So many nodes at most.
pub const MAX: usize = 3;

/// A set of nodes, or of writes, one bit each.
pub type Set = u8;

/// Whether `set` has `item`.
#[must_use]
pub fn has(set: Set, item: usize) -> bool {
    set >> item & 1 == 1
}

/// The set of one.
#[must_use]
pub fn one(item: usize) -> Set {
    1 << item
}

/// What is in the set, from small to great.
pub fn each(set: Set) -> impl Iterator<Item = usize> {
    (0..8).filter(move |item| has(set, *item))
}

/// Everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct State {
    /// The nodes; beyond the world's number they stay as made.
    pub nodes: [Node; MAX],
    /// Replication links that carry nothing, by [`pair`].
    pub cut: Set,
    /// Cluster communication: 0 all together, else this node (from 1) is alone.
    pub split: u8,
    /// Writes that an application was told are done.
    pub acked: Set,
    /// Writes that began a data generation: made while a peer was missing.
    pub alone: Set,
    /// How many writes there were.
    pub writes: u8,
    /// A change of the CIB by a handler that is gone, on its way.
    pub late: Late,
    /// Disturbances that may still come.
    pub left: Left,
    /// Invariants that a step broke, by [`crate::invariant::Name`].
    pub broken: u8,
}

/// One node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Node {
    /// The machine runs, and Pacemaker on it.
    pub is_on: bool,
    /// DRBD has the resource.
    pub is_up: bool,
    /// Another volume of the resource is still being attached (Negotiating).
    pub is_attaching: bool,
    /// Primary.
    pub is_primary: bool,
    /// A promotion is under way.
    pub is_promoting: bool,
    /// Its disk.
    pub disk: Disk,
    /// The writes on its disk.
    pub history: Set,
    /// Its view of its peers.
    pub peers: [Link; MAX],
    /// Who is in its membership, itself included; as of the latest time corosync formed one.
    pub members: Set,
    /// It has seen every node since it booted (`wait_for_all`).
    pub has_seen_all: bool,
    /// Its copy of the CIB.
    pub cib: Cib,
    /// Beside the lock it is noted that somebody may be freed by a change to the version that this node's CIB has now.
    pub is_noted: bool,
    /// Handlers: fence-peer by peer, unfence-peer in its own place.
    pub handlers: [Handler; MAX],
}

/// A disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Disk {
    /// In a resync.
    Inconsistent,
    /// Known to be old.
    Outdated,
    /// Perhaps old.
    Consistent,
    /// Good.
    UpToDate,
}

/// What a node knows of a peer's disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Known {
    /// Outdated or worse: nothing to fear from it.
    Bad,
    /// It may be anything.
    Unknown,
    /// UpToDate, while connected.
    Good,
}

/// One node's view of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Link {
    /// Connected.
    pub is_up: bool,
    /// It is Primary.
    pub is_primary: bool,
    /// Its disk.
    pub disk: Known,
    /// I/O is frozen until this peer is fenced.
    pub is_frozen: bool,
    /// It was refused (split brain): no attempt to connect is made any more.
    pub is_refused: bool,
    /// Connected again since the handler was called: its code will be ignored.
    pub has_moved: bool,
    /// Lost again while the handler of the loss before still runs.
    pub again: bool,
    /// It lost power since the connection was lost. A fact, for the invariants.
    pub has_died: bool,
    /// The handler ended without a decision for a reason that no handler can help. For the invariants.
    pub is_excused: bool,
}

/// A copy of the CIB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cib {
    /// Who may be promoted.
    pub rule: Option<Set>,
    /// How often the configuration was changed, less what all copies have in common.
    pub epoch: u8,
    /// Those that are no members and confirmed to be down.
    pub down: Set,
}

/// A run of one of the two handlers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Handler {
    /// Where it is.
    pub phase: Phase,
    /// `UP_TO_DATE_NODES`; `None` where a monitor calls.
    pub mask: Option<Set>,
    /// The peer was refused.
    pub is_refused: bool,
    /// How much time has passed, by [`CLOCK`].
    pub clock: u8,
    /// What it remembers of itself.
    pub memory: Memory,
    /// The CIB as it saw it.
    pub cib: CibLook,
    /// The kernel as it saw it.
    pub kernel: KernelLook,
    /// It has the lock.
    pub has_lock: bool,
    /// A change to the version that the CIB has now was noted when it began.
    pub is_noted: bool,
    /// Peers whose controllers are being asked.
    pub asked: Set,
    /// The CIB has changed since it looked.
    pub is_stale: bool,
    /// Called again meanwhile.
    pub again: bool,
}

/// Where a handler is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// It does not run.
    Idle,
    /// Called; it may have to wait for the lock.
    Called,
    /// It will look at the CIB.
    Look,
    /// It has, and will look at the kernel and decide.
    SeenCib,
    /// It waits for answers of controllers, and will decide again.
    Asks,
    /// It will change the CIB.
    Commits(Change),
    /// It will end.
    Ends {
        /// With this code.
        code: u8,
        /// Whether it is nobody's fault that the code decides nothing.
        is_excused: bool,
    },
}

/// A change of the CIB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Change {
    /// These may be promoted, and nobody else.
    Write {
        /// Who.
        allowed: Set,
        /// What will be answered, and whether there was no rule.
        placed: Option<(u8, bool)>,
    },
    /// Everybody may.
    Remove,
    /// The CIB gets a newer version.
    Bump,
}

/// What a run remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Memory {
    /// Written: what to answer, and whether there was no rule.
    pub placed: Option<(u8, bool)>,
    /// Removed a rule.
    pub has_removed: bool,
    /// It has sent a removal for the version that the CIB has now.
    pub is_removing: bool,
    /// It has given the CIB a newer version.
    pub has_bumped: bool,
    /// Waited for the peer.
    pub has_waited: bool,
    /// Changes that failed.
    pub failures: u8,
}

/// A look at the CIB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct CibLook {
    /// A DC answered.
    pub has_dc: bool,
    /// Quorum.
    pub has_quorum: bool,
    /// The rule.
    pub rule: Option<Set>,
    /// A change to this version was noted when it began.
    pub is_noted: bool,
    /// It has sent a removal for this version.
    pub is_removing: bool,
    /// Members.
    pub online: Set,
    /// Confirmed down.
    pub down: Set,
    /// Peers whose controllers were asked.
    pub asked: Set,
    /// Peers whose controllers answered.
    pub answered: Set,
}

/// A look at the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KernelLook {
    /// It has the resource.
    pub is_up: bool,
    /// Primary.
    pub is_primary: bool,
    /// Frozen.
    pub is_frozen: bool,
    /// A volume is being attached.
    pub is_attaching: bool,
    /// Own disk.
    pub disk: Disk,
    /// Connected peers.
    pub connected: Set,
    /// Primary peers.
    pub primary: Set,
    /// UpToDate peers.
    pub good: Set,
}

/// A change on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Late {
    /// By whom, and what.
    pub change: Option<(u8, Change)>,
    /// The CIB has changed since it was decided.
    pub is_stale: bool,
}

/// How often each disturbance may still come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Left {
    /// A replication link is cut, or a node's cable pulled.
    pub cuts: u8,
    /// Cluster communication is split.
    pub splits: u8,
    /// A node loses power by itself.
    pub crashes: u8,
    /// A node is switched on again.
    pub boots: u8,
    /// A node is demoted, or shut down in order.
    pub orders: u8,
    /// A promotion is tried.
    pub promotions: u8,
    /// A handler is killed, or its change arrives without its knowing.
    pub kills: u8,
    /// A monitor calls unfence-peer.
    pub monitors: u8,
    /// A handler's clock jumps, or it waits so long.
    pub jumps: u8,
    /// DRBD's module is unloaded.
    pub unloads: u8,
    /// The application writes.
    pub writes: u8,
}

/// The clock of a handler: what `elapsed` is at each of its stages, in seconds. Beyond the patience with a DC, beyond
/// the timeout, beyond everything.
pub const CLOCK: [u64; 4] = [0, 30, 95, 130];

impl Handler {
    /// It does not run.
    pub const IDLE: Handler = Handler {
        phase: Phase::Idle,
        mask: None,
        is_refused: false,
        clock: 0,
        memory: Memory {
            placed: None,
            has_removed: false,
            is_removing: false,
            has_bumped: false,
            has_waited: false,
            failures: 0,
        },
        has_lock: false,
        is_noted: false,
        cib: CibLook {
            has_dc: false,
            has_quorum: false,
            rule: None,
            is_noted: false,
            is_removing: false,
            online: 0,
            down: 0,
            asked: 0,
            answered: 0,
        },
        kernel: KernelLook::NONE,
        asked: 0,
        is_stale: false,
        again: false,
    };

    /// Whether it runs.
    #[must_use]
    pub fn runs(&self) -> bool {
        self.phase != Phase::Idle
    }

    /// What was looked at is old.
    pub fn forget(&mut self) {
        self.cib = Handler::IDLE.cib;
        self.kernel = KernelLook::NONE;
        self.asked = 0;
        self.is_stale = false;
    }
}

impl KernelLook {
    /// Not looked.
    pub const NONE: KernelLook = KernelLook {
        is_up: false,
        is_primary: false,
        is_frozen: false,
        is_attaching: false,
        disk: Disk::Inconsistent,
        connected: 0,
        primary: 0,
        good: 0,
    };
}

impl Link {
    /// Not connected, nothing known.
    pub const DOWN: Link = Link {
        is_up: false,
        is_primary: false,
        disk: Known::Unknown,
        is_frozen: false,
        is_refused: false,
        has_moved: false,
        again: false,
        has_died: false,
        is_excused: false,
    };
}

impl Node {
    /// Whether I/O is frozen.
    #[must_use]
    pub fn is_frozen(&self) -> bool {
        self.peers.iter().any(|link| link.is_frozen)
    }
}

/// The number of the link between two nodes.
#[must_use]
pub fn pair(one: usize, other: usize) -> usize {
    one + other - 1
}
