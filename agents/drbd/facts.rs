//! What the kernel says about one resource, whole: the facts that every decision and every score is made from.
//! Invariant: there are either all facts of one moment or none; what was not said, or not understood, is never good.

use std::fmt;

use duet_drbd::{Connection, Disk, Generation, Role, Suspended, Version, View};

/// From this version on every device says whether it has quorum.
const SAYS_QUORUM: Version = Version { major: 9, minor: 1, patch: 0 };

/// What the kernel has of the resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kernel {
    /// There is no DRBD module, hence no resource.
    NoModule,
    /// The module does not know the resource.
    Unknown(Version),
    /// It knows it.
    Known(Facts),
    /// It could not be asked, or its answer was not whole. Nothing follows from that.
    Silent(String),
}

/// One resource on this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The module's version.
    pub version: Version,
    /// This node's role. Never `Unknown`.
    pub role: Role,
    /// Why its I/O is frozen, if it is.
    pub suspended: Suspended,
    /// This node's volumes, by number; none while it is only being made.
    pub volumes: Vec<Volume>,
    /// The peers it is set up to talk to.
    pub peers: Vec<Peer>,
}

/// A volume of this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Its number.
    pub number: u32,
    /// `/dev/drbdN`.
    pub minor: Option<u32>,
    /// Its disk. Never `DUnknown`.
    pub disk: Disk,
    /// Whether it has no disk on purpose.
    pub is_client: bool,
    /// Whether it has quorum; 8.4 knows none, and all of its volumes have it.
    pub has_quorum: bool,
    /// Whether somebody has it open, where the module says that.
    pub open: Option<bool>,
}

/// A peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its node id.
    pub id: u32,
    /// Its name in the configuration, where the module says that (9).
    pub name: Option<String>,
    /// The connection to it.
    pub connection: Connection,
    /// Its role.
    pub role: Role,
    /// Its disks, one for each volume of this node, in that order. `DUnknown` for what was not said.
    pub disks: Vec<PeerDisk>,
}

/// A disk of a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerDisk {
    /// Its state.
    pub disk: Disk,
    /// Whether it has none on purpose.
    pub is_client: bool,
}

/// Why an answer is not whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Incomplete {
    /// The resource's own role.
    #[error("The kernel did not say the role of resource {resource}")]
    Role {
        /// Which resource.
        resource: String,
    },
    /// The disk of a volume.
    #[error("The kernel did not say the disk state of volume {volume} of resource {resource}")]
    Disk {
        /// Which resource.
        resource: String,
        /// Which volume.
        volume: u32,
    },
    /// The quorum of a volume, from a module that says it.
    #[error("The kernel did not say whether volume {volume} of resource {resource} has quorum")]
    Quorum {
        /// Which resource.
        resource: String,
        /// Which volume.
        volume: u32,
    },
}

impl Kernel {
    /// What this view has of the resource.
    #[must_use]
    pub fn of(resource: &str, view: &View, version: Version) -> Kernel {
        match Facts::of(resource, view, version) {
            Ok(Some(facts)) => Kernel::Known(facts),
            Ok(None) => Kernel::Unknown(version),
            Err(why) => Kernel::Silent(why.to_string()),
        }
    }

    /// The facts, if the kernel has the resource and it is set up.
    #[must_use]
    pub fn running(&self) -> Option<&Facts> {
        match self {
            Kernel::Known(facts) if !facts.is_unconfigured() => Some(facts),
            Kernel::Known(_) | Kernel::NoModule | Kernel::Unknown(_) | Kernel::Silent(_) => None,
        }
    }
}

impl Facts {
    /// The facts of `resource` in this view; `None` where the kernel does not have it.
    ///
    /// # Errors
    /// [`Incomplete`], when a state is missing without which nothing can be concluded.
    pub fn of(resource: &str, view: &View, version: Version) -> Result<Option<Facts>, Incomplete> {
        let Some(seen) = view.resources.get(resource) else { return Ok(None) };
        let name = || resource.to_owned();
        // 8.4 says roles by volume, so a resource without one has said nothing and can be nobody's Primary.
        let is_bare = version.generation() == Generation::V8 && seen.volumes.is_empty();
        let role = match &seen.role {
            Role::Unknown if is_bare => Role::Secondary,
            Role::Unknown | Role::Unrecognized(_) => {
                return Err(Incomplete::Role { resource: name() });
            }
            Role::Primary | Role::Secondary => seen.role.clone(),
        };
        let mut volumes = Vec::with_capacity(seen.volumes.len());
        for (&number, volume) in &seen.volumes {
            if volume.disk == Disk::DUnknown {
                return Err(Incomplete::Disk { resource: name(), volume: number });
            }
            if volume.quorum.is_none() && version >= SAYS_QUORUM {
                return Err(Incomplete::Quorum { resource: name(), volume: number });
            }
            volumes.push(Volume {
                number,
                minor: volume.minor,
                disk: volume.disk.clone(),
                is_client: volume.client == Some(true),
                has_quorum: volume.quorum != Some(false),
                open: volume.open,
            });
        }
        let peers = seen.peers.iter().map(|(&id, peer)| {
            let disk = |number: &u32| {
                let volume = peer.volumes.get(number);
                PeerDisk {
                    disk: volume.map_or(Disk::DUnknown, |volume| volume.disk.clone()),
                    is_client: volume.is_some_and(|volume| volume.client == Some(true)),
                }
            };
            Peer {
                id,
                name: peer.name.clone(),
                connection: peer.connection.clone(),
                role: peer.role.clone(),
                disks: seen.volumes.keys().map(disk).collect(),
            }
        });
        let peers = peers.collect();
        Ok(Some(Facts { version, role, suspended: seen.suspended, volumes, peers }))
    }

    /// Whether this node is Primary.
    #[must_use]
    pub fn is_primary(&self) -> bool {
        self.role == Role::Primary
    }

    /// Whether the kernel has no more of it than a name: no volume; or, on 8.4, neither a disk nor a connection.
    #[must_use]
    pub fn is_unconfigured(&self) -> bool {
        let is_idle = |peer: &Peer| peer.connection == Connection::StandAlone;
        let is_detached = |volume: &Volume| volume.disk == Disk::Diskless;
        let is_left = self.version.generation() == Generation::V8
            && self.volumes.iter().all(is_detached)
            && self.peers.iter().all(is_idle);
        !self.is_primary() && (self.volumes.is_empty() || is_left)
    }

    /// Whether every volume has quorum; also one without a disk needs it.
    #[must_use]
    pub fn has_quorum(&self) -> bool {
        self.volumes.iter().all(|volume| volume.has_quorum)
    }

    /// Whether this node has no disk at all, on purpose. Without a volume it is nobody's client.
    #[must_use]
    pub fn is_client(&self) -> bool {
        let is_client = |volume: &Volume| volume.is_client && volume.disk == Disk::Diskless;
        !self.volumes.is_empty() && self.volumes.iter().all(is_client)
    }

    /// Whether every volume's own disk is UpToDate.
    #[must_use]
    pub fn is_up_to_date(&self) -> bool {
        !self.volumes.is_empty() && self.volumes.iter().all(|volume| volume.disk == Disk::UpToDate)
    }

    /// Whether every volume's own disk is Consistent or better.
    #[must_use]
    pub fn is_consistent(&self) -> bool {
        !self.volumes.is_empty() && self.volumes.iter().all(|volume| volume.disk.is_consistent())
    }

    /// Whether some volume's own disk will be something else in a moment.
    #[must_use]
    pub fn is_transitional(&self) -> bool {
        self.volumes.iter().any(|volume| volume.disk.is_transitional())
    }

    /// The peers that have data: all but those without a disk on purpose.
    pub fn data_peers(&self) -> impl Iterator<Item = &Peer> {
        self.peers.iter().filter(|peer| !peer.is_client())
    }

    /// Whether some peer has all data UpToDate and can be reached.
    #[must_use]
    pub fn some_peer_up_to_date(&self) -> bool {
        self.data_peers().any(Peer::is_up_to_date)
    }

    /// Whether there are peers with data, and all of them have it UpToDate.
    #[must_use]
    pub fn all_peers_up_to_date(&self) -> bool {
        self.some_peer_up_to_date() && self.data_peers().all(Peer::is_up_to_date)
    }

    /// Whether some peer may have any data at all, as far as this node knows.
    #[must_use]
    pub fn some_peer_unknown(&self) -> bool {
        self.data_peers().any(Peer::is_unknown)
    }

    /// The connected peer that is Primary, if there is one.
    #[must_use]
    pub fn primary_peer(&self) -> Option<&Peer> {
        self.peers.iter().find(|peer| peer.is_connected() && peer.role == Role::Primary)
    }

    /// Whether a connected peer is Primary and all of its own disks are UpToDate.
    #[must_use]
    pub fn healthy_primary_peer(&self) -> bool {
        self.peers.iter().any(|peer| peer.role == Role::Primary && peer.is_up_to_date())
    }

    /// The peers that the kernel will not talk to until somebody tells it to: after a split brain, or because a
    /// person disconnected them.
    pub fn stand_alone(&self) -> impl Iterator<Item = &Peer> {
        self.peers.iter().filter(|peer| peer.connection == Connection::StandAlone)
    }
}

impl Peer {
    /// Whether the connection to it is up.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.connection == Connection::Connected
    }

    /// Whether it has no disk at all, on purpose.
    #[must_use]
    pub fn is_client(&self) -> bool {
        !self.disks.is_empty() && self.disks.iter().all(|disk| disk.is_client)
    }

    /// Whether it can be reached and each of its disks is UpToDate.
    #[must_use]
    pub fn is_up_to_date(&self) -> bool {
        let is_good = |disk: &PeerDisk| disk.disk == Disk::UpToDate;
        self.is_connected() && !self.disks.is_empty() && self.disks.iter().all(is_good)
    }

    /// Whether one of its disks is in a state that nobody knows, or that was not known when this was written.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        let is_unknown =
            |disk: &PeerDisk| matches!(disk.disk, Disk::DUnknown | Disk::Unrecognized(_));
        self.disks.iter().any(is_unknown)
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            // 8.4 has one peer, and no name for it.
            Some(name) if name != "peer" => out.write_str(name),
            Some(_) | None => write!(out, "peer {}", self.id),
        }
    }
}

#[cfg(test)]
mod tests;
