//! DRBD's state, from the kernel. Invariant: what it does not say is a silence, and not a state.

use std::{collections::BTreeMap, time::Duration};

use drbd_agent::facts::{Facts, Kernel as Asked};
use duet_drbd::{Connection, Disk, Generation, Role, View};
use duet_host::{
    clock,
    drbd::{self, Sight},
};
use duet_ocf::{Deadline, chain};

use crate::facts::{Data, Kernel, Local, Peer, Volume};

/// How long the kernel may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// What was seen of the resource, and what only names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sighted {
    /// For decisions.
    pub(crate) kernel: Kernel,
    /// Which driver it is, where one is loaded.
    pub(crate) generation: Option<Generation>,
    /// This node's id, where the kernel said it (9).
    pub(crate) node_id: Option<u32>,
    /// The resource as it was told, for the record.
    pub(crate) text: Option<String>,
    /// What the kernel calls the peers, by id (9).
    pub(crate) names: BTreeMap<u32, String>,
}

/// Asks it.
pub(crate) fn look(resource: &str, end: Deadline) -> Sighted {
    match drbd::look(end.within(clock::now(), PATIENCE)) {
        Ok(Sight::NoModule) => Sighted::bare(Kernel::Unconfigured),
        Ok(Sight::Seen { version, view, .. }) => {
            let kernel = match Asked::of(resource, &view, version) {
                Asked::Known(facts) if !facts.is_unconfigured() => Kernel::Known(local(&facts)),
                Asked::Known(_) | Asked::Unknown(_) | Asked::NoModule => Kernel::Unconfigured,
                Asked::Silent(why) => Kernel::Silent(why),
            };
            let generation = Some(version.generation());
            Sighted { kernel, generation, ..names(resource, &view) }
        }
        Err(why) => Sighted::bare(Kernel::Silent(chain(&why))),
    }
}

impl Sighted {
    /// Without names.
    pub(crate) fn bare(kernel: Kernel) -> Sighted {
        Sighted { kernel, generation: None, text: None, node_id: None, names: BTreeMap::new() }
    }
}

fn names(resource: &str, view: &View) -> Sighted {
    let mut sighted = Sighted::bare(Kernel::Unconfigured);
    if let Some(resource) = view.resources.get(resource) {
        sighted.text = Some(format!("{resource:?}"));
        sighted.node_id = resource.node_id;
        let named = resource.peers.iter().filter_map(|(id, peer)| Some((*id, peer.name.clone()?)));
        sighted.names = named.collect();
    }
    sighted
}

fn local(facts: &Facts) -> Local {
    let volumes = facts.volumes.iter().map(|volume| {
        let data = match volume.disk {
            Disk::UpToDate => Data::UpToDate,
            Disk::Consistent => Data::Consistent,
            Disk::Diskless
            | Disk::Attaching
            | Disk::Detaching
            | Disk::Failed
            | Disk::Negotiating
            | Disk::Inconsistent
            | Disk::Outdated
            | Disk::DUnknown
            | Disk::Unrecognized(_) => Data::Bad,
        };
        (volume.number, Volume { data, is_client: volume.is_client })
    });
    let peers = facts.peers.iter().map(|peer| {
        let is_client = !peer.disks.is_empty() && peer.disks.iter().all(|disk| disk.is_client);
        let all_good =
            !peer.disks.is_empty() && peer.disks.iter().all(|disk| disk.disk == Disk::UpToDate);
        let peer_seen = Peer {
            is_connected: peer.connection == Connection::Connected,
            is_primary: peer.role == Role::Primary,
            is_up_to_date: all_good,
            is_client,
        };
        (peer.id, peer_seen)
    });
    Local {
        is_primary: facts.is_primary(),
        is_frozen: facts.suspended.fencing,
        volumes: volumes.collect(),
        peers: peers.collect(),
    }
}
