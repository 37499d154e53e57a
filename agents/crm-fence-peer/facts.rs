//! What one look saw, of DRBD's kernel module and of the cluster: all that a fencing decision is made from. Invariant:
//! plain data of one moment, which can be written down and decided on again; what was not said is never good.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde::{Deserialize, Serialize};

/// One look.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Seen {
    /// DRBD.
    pub kernel: Kernel,
    /// Pacemaker.
    pub cluster: Cluster,
    /// The fencing policy of the connection, which is only asked for when the answer depends on it.
    pub policy: Option<Policy>,
    /// Since the process began, waiting for the lock included.
    pub elapsed: Duration,
}

/// What the kernel has of the resource.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Kernel {
    /// It could not be asked, or did not say all. Nothing follows from that.
    Silent(String),
    /// There is no module, or it does not have the resource.
    Unconfigured,
    /// It has it.
    Known(Local),
}

/// The resource on this node.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Local {
    /// Whether this node is Primary.
    pub is_primary: bool,
    /// Whether I/O is frozen until a peer is fenced: only under resource-and-stonith.
    pub is_frozen: bool,
    /// What this node's volumes are worth, by number.
    pub volumes: BTreeMap<u32, Volume>,
    /// The peers, by node id; on 8.4 the only one is 0.
    pub peers: BTreeMap<u32, Peer>,
}

/// A volume of this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Volume {
    /// What its disk is worth.
    pub data: Data,
    /// Whether it has no disk on purpose.
    pub is_client: bool,
}

/// What a disk is worth to a promotion, from bad to good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Data {
    /// Nothing now: no disk, one that is being attached, data that is old or no moment ever had, or a state that was not
    /// understood.
    Bad,
    /// Consistent: whether it is old is not known.
    Consistent,
    /// UpToDate.
    UpToDate,
}

/// A peer as the kernel sees it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Peer {
    /// Whether it is connected.
    pub is_connected: bool,
    /// Whether it is Primary, as far as this node knows.
    pub is_primary: bool,
    /// Whether every one of its disks is said to be UpToDate.
    pub is_up_to_date: bool,
    /// Whether it has no disk at all, on purpose.
    pub is_client: bool,
}

/// What the cluster says.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Cluster {
    /// The CIB could not be read: Pacemaker is not running here, or hangs.
    Unread(String),
    /// The CIB was read here, and no DC answered.
    WithoutDc(String),
    /// The CIB was read from the DC, and something that everything rests on cannot be told from it, or by this node.
    Unusable(String),
    /// All of it.
    Known(Members),
}

/// The cluster as the DC sees it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Members {
    /// Of the CIB. A change is made to this version or not at all.
    pub version: Version,
    /// Whether this node's partition has quorum, by the CIB and by the membership that this node sees.
    pub has_quorum: bool,
    /// Whether Pacemaker may fence nodes.
    pub has_stonith: bool,
    /// This node, as rules write it.
    pub me: String,
    /// The rule that bans nodes from being promoted, if there is one.
    pub rule: Option<Rule>,
    /// The resource's peers, by DRBD node id.
    pub peers: BTreeMap<u32, Member>,
}

/// A version of the CIB.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Version {
    /// Changed by administrators only.
    pub admin_epoch: u64,
    /// Changed with the configuration.
    pub epoch: u64,
    /// Changed with the status.
    pub num_updates: u64,
}

/// Promotion is forbidden on every node but these.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rule {
    /// As the rule writes them, compared without regard to case.
    pub allowed: BTreeSet<String>,
}

/// A peer as the cluster sees it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Member {
    /// As rules write it; `None` where it cannot be told which node of the cluster it is.
    pub name: Option<String>,
    /// What the CIB says of it.
    pub standing: Standing,
    /// Whether its controller answered in this look; `None`: not asked.
    pub answers: Option<bool>,
}

/// What the CIB says of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Standing {
    /// A member, its controller online.
    Online,
    /// Not a member, and expected to be none: shut down cleanly, or fenced and confirmed.
    Down,
    /// It will be fenced, or is being fenced, unless it comes back.
    WillBeFenced,
    /// Not a member, and nobody will fence it.
    Offline,
    /// The CIB has nothing about it.
    NotSeen,
}

/// DRBD's fencing policy of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Policy {
    /// `resource-only`: I/O goes on while the peer is dealt with.
    ResourceOnly,
    /// `resource-and-stonith`: I/O is frozen until it has been.
    ResourceAndStonith,
    /// It could not be told.
    NotKnown,
}

impl Local {
    /// What this node's data is worth: the worst and the best of its volumes. Without a disk on purpose, it is worth what
    /// a connected peer has.
    #[must_use]
    pub fn data(&self) -> Worth {
        let mut grades: Vec<Data> = Vec::new();
        for volume in self.volumes.values().filter(|volume| !volume.is_client) {
            grades.push(volume.data);
        }
        if grades.is_empty() && !self.volumes.is_empty() {
            let reaches = self.peers.values().any(Peer::is_good);
            grades.push(if reaches { Data::UpToDate } else { Data::Bad });
        }
        let worst = grades.iter().copied().min().unwrap_or(Data::Bad);
        let best = grades.iter().copied().max().unwrap_or(Data::Bad);
        Worth { worst, best }
    }

    /// Whether this node knows that the peer, which is connected and UpToDate, misses no write: it makes the writes itself,
    /// or it is the only other node that can be made to. That no other one is Primary is not enough: one that is
    /// allowed may be about to be, with the peer that it has lost left out.
    #[must_use]
    pub fn vouches_for(&self, peer: u32, members: &Members) -> bool {
        let is_out =
            |(id, other): (&u32, &Peer)| *id == peer || (!other.is_primary && members.bans(*id));
        self.is_primary || self.peers.iter().all(is_out)
    }

    /// Whether this node vouches for all peers.
    #[must_use]
    pub fn vouches_for_all(&self, members: &Members) -> bool {
        self.peers.keys().all(|id| self.vouches_for(*id, members))
    }

    /// Whether every peer that has data has it UpToDate, and is connected; and there is one.
    #[must_use]
    pub fn all_peers_good(&self) -> bool {
        let mut with_data = self.peers.values().filter(|peer| !peer.is_client).peekable();
        with_data.peek().is_some()
            && with_data.all(Peer::is_good)
            && self.peers.values().all(|peer| peer.is_connected)
    }
}

/// What the data of all volumes together is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Worth {
    /// Of the worst volume.
    pub worst: Data,
    /// Of the best volume.
    pub best: Data,
}

impl Worth {
    /// Whether every volume is UpToDate.
    #[must_use]
    pub fn is_up_to_date(self) -> bool {
        self.worst == Data::UpToDate
    }

    /// Whether every volume is Consistent or better.
    #[must_use]
    pub fn is_consistent(self) -> bool {
        self.worst >= Data::Consistent
    }

    /// Whether some volume is UpToDate: then the kernel takes code 5 for "the peer is outdated".
    #[must_use]
    pub fn has_some_up_to_date(self) -> bool {
        self.best == Data::UpToDate
    }
}

impl Peer {
    /// Whether it is connected and has every volume UpToDate.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.is_connected && self.is_up_to_date && !self.is_client
    }
}

impl Members {
    /// Whether the rule is known to forbid the promotion of this peer.
    #[must_use]
    pub fn bans(&self, peer: u32) -> bool {
        let name = self.peers.get(&peer).and_then(|member| member.name.as_deref());
        match (&self.rule, name) {
            (Some(rule), Some(name)) => rule.bans(name),
            (None, _) | (_, None) => false,
        }
    }
}

impl Rule {
    /// Whether it forbids the promotion of this node.
    #[must_use]
    pub fn bans(&self, node: &str) -> bool {
        !self.allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(node))
    }
}
