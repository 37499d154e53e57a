//! What is known of every resource of this node, built from [`Change`]s: a whole dump, or a snapshot and what
//! followed it. Invariant: a state that nobody has said is `Unknown`, `DUnknown` or `None`.

use crate::{Change, Connection, Disk, Object, Replication, Role, Verb};
use std::collections::BTreeMap;

/// All resources, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    /// By name.
    pub resources: BTreeMap<String, Resource>,
}

/// One resource as this node sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// This node's id, where it was said (9).
    pub node_id: Option<u32>,
    /// This node's role; on 8.4 Primary if any volume is.
    pub role: Role,
    /// Whether and why its I/O is frozen.
    pub suspended: Suspended,
    /// Whether every write fails at once.
    pub force_io_failures: Option<bool>,
    /// DRBD's own opinion, where drbdsetup was asked.
    pub may_promote: Option<bool>,
    /// DRBD's own score, where drbdsetup was asked.
    pub promotion_score: Option<i64>,
    /// This node's volumes by number.
    pub volumes: BTreeMap<u32, Volume>,
    /// The peers by node id.
    pub peers: BTreeMap<u32, Peer>,
}

/// Why I/O is frozen. All false: it is not, or nobody said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Suspended {
    /// By `drbdadm suspend-io`.
    pub user: bool,
    /// No UpToDate data can be reached.
    pub no_data: bool,
    /// A fence-peer handler runs, or has failed.
    pub fencing: bool,
    /// Quorum is lost (9).
    pub quorum: bool,
    /// For a reason that was not known when this was written.
    pub unrecognized: bool,
}

/// One volume of this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// `/dev/drbdN`.
    pub minor: Option<u32>,
    /// Its disk.
    pub disk: Disk,
    /// Whether it has no disk on purpose; `None` where the driver does not say (8.4).
    pub client: Option<bool>,
    /// Whether it has quorum; `None` where the driver does not say (8.4).
    pub quorum: Option<bool>,
    /// Whether somebody has it open.
    pub open: Option<bool>,
    /// The device below it.
    pub backing: Option<String>,
}

/// One peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its name in the configuration; `peer` on 8.4.
    pub name: Option<String>,
    /// The connection to it.
    pub connection: Connection,
    /// Its role.
    pub role: Role,
    /// Its volumes by number.
    pub volumes: BTreeMap<u32, PeerVolume>,
}

/// One volume of a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerVolume {
    /// What goes over the connection.
    pub replication: Replication,
    /// The peer's disk.
    pub disk: Disk,
    /// Whether the peer has none on purpose.
    pub client: Option<bool>,
    /// KiB that differ, where it was said.
    pub out_of_sync: Option<u64>,
}

impl Suspended {
    /// Whether I/O is frozen, for whatever reason.
    #[must_use]
    pub fn any(self) -> bool {
        self.user || self.no_data || self.fencing || self.quorum || self.unrecognized
    }
}

impl Default for Resource {
    fn default() -> Resource {
        Resource {
            node_id: None,
            role: Role::Unknown,
            suspended: Suspended::default(),
            force_io_failures: None,
            may_promote: None,
            promotion_score: None,
            volumes: BTreeMap::new(),
            peers: BTreeMap::new(),
        }
    }
}

impl Default for Volume {
    fn default() -> Volume {
        Volume {
            minor: None,
            disk: Disk::DUnknown,
            client: None,
            quorum: None,
            open: None,
            backing: None,
        }
    }
}

impl Default for Peer {
    fn default() -> Peer {
        Peer {
            name: None,
            connection: Connection::Unrecognized("unsaid".to_owned()),
            role: Role::Unknown,
            volumes: BTreeMap::new(),
        }
    }
}

impl Default for PeerVolume {
    fn default() -> PeerVolume {
        PeerVolume {
            replication: Replication::Unrecognized("unsaid".to_owned()),
            disk: Disk::DUnknown,
            client: None,
            out_of_sync: None,
        }
    }
}

/// Takes what was said, keeps what was not.
fn set<T>(place: &mut T, said: Option<&T>)
where
    T: Clone,
{
    if let Some(value) = said {
        place.clone_from(value);
    }
}

/// The same for what may stay unsaid.
fn set_option<T: Clone>(place: &mut Option<T>, said: Option<&T>) {
    if said.is_some() {
        *place = said.cloned();
    }
}

impl View {
    /// Takes one change in.
    pub fn apply(&mut self, change: &Change) {
        let is_gone = change.verb == Verb::Destroy;
        match &change.object {
            Object::Resource { resource, .. } if is_gone => {
                self.resources.remove(resource);
            }
            Object::Resource { resource, new_name: Some(new), .. }
                if change.verb == Verb::Rename =>
            {
                if let Some(known) = self.resources.remove(resource) {
                    self.resources.insert(new.clone(), known);
                }
            }
            Object::Resource {
                resource,
                new_name: _,
                node_id,
                role,
                suspended,
                force_io_failures,
                may_promote,
                promotion_score,
            } => {
                let known = self.of(resource);
                set_option(&mut known.node_id, node_id.as_ref());
                set(&mut known.role, role.as_ref());
                set(&mut known.suspended, suspended.as_ref());
                set_option(&mut known.force_io_failures, force_io_failures.as_ref());
                set_option(&mut known.may_promote, may_promote.as_ref());
                set_option(&mut known.promotion_score, promotion_score.as_ref());
            }
            Object::Device { resource, volume, .. } if is_gone => {
                if let Some(known) = self.resources.get_mut(resource) {
                    known.volumes.remove(volume);
                }
            }
            Object::Device { resource, volume, minor, disk, client, quorum, open, backing } => {
                let known = self.of(resource).volumes.entry(*volume).or_default();
                set_option(&mut known.minor, minor.as_ref());
                set(&mut known.disk, disk.as_ref());
                set_option(&mut known.client, client.as_ref());
                set_option(&mut known.quorum, quorum.as_ref());
                set_option(&mut known.open, open.as_ref());
                set_option(&mut known.backing, backing.as_ref());
                known.backing.take_if(|path| path.is_empty());
            }
            Object::Connection { resource, peer, .. } if is_gone => {
                if let Some(known) = self.resources.get_mut(resource) {
                    known.peers.remove(peer);
                }
            }
            Object::Connection { resource, peer, name, connection, role } => {
                let known = self.of(resource).peers.entry(*peer).or_default();
                set_option(&mut known.name, name.as_ref());
                set(&mut known.connection, connection.as_ref());
                set(&mut known.role, role.as_ref());
            }
            Object::PeerDevice { resource, peer, volume, .. } if is_gone => {
                let known = self.resources.get_mut(resource);
                if let Some(known) = known.and_then(|known| known.peers.get_mut(peer)) {
                    known.volumes.remove(volume);
                }
            }
            Object::PeerDevice {
                resource,
                peer,
                volume,
                replication,
                disk,
                client,
                out_of_sync,
            } => {
                let peer = self.of(resource).peers.entry(*peer).or_default();
                let known = peer.volumes.entry(*volume).or_default();
                set(&mut known.replication, replication.as_ref());
                set(&mut known.disk, disk.as_ref());
                set_option(&mut known.client, client.as_ref());
                set_option(&mut known.out_of_sync, out_of_sync.as_ref());
            }
            Object::Path { .. } | Object::Helper { .. } | Object::End | Object::Unrecognized(_) => {
            }
        }
    }

    fn of(&mut self, resource: &str) -> &mut Resource {
        self.resources.entry(resource.to_owned()).or_default()
    }
}
