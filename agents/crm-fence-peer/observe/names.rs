//! Which node of the cluster a node of DRBD is. Invariant: a name that may be two nodes is none, and nobody is guessed where
//! the cluster has more than one other node.

use std::collections::{BTreeMap, BTreeSet};

use duet_drbd::{Generation, handler::Call};
use duet_ocf::{Deadline, chain};
use duet_pacemaker::{Cib, NodeKind};

use super::kernel::Sighted;
use crate::pacemaker::Pacemaker;

/// The names that are used for this node and its peers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Names {
    /// Whose environment it is.
    pub(crate) generation: Generation,
    /// This node's names in DRBD's configuration, where they are known.
    pub(crate) own: Vec<String>,
    /// Those of the peers, by node id.
    pub(crate) peers: BTreeMap<u32, Vec<String>>,
}

impl Names {
    /// What the environment and the kernel say.
    pub(crate) fn of(call: &Call, me: Option<u32>, sighted: &Sighted) -> Names {
        let own = me.and_then(|me| call.names.get(&me)).cloned().unwrap_or_default();
        let mut peers: BTreeMap<u32, Vec<String>> = call.names.clone();
        if let Some(me) = me {
            peers.remove(&me);
        }
        if let Some(peer) = call.peer.as_ref().filter(|peer| !peer.names.is_empty()) {
            peers.entry(peer.node_id.unwrap_or(0)).or_insert_with(|| peer.names.clone());
        }
        let generation = sighted.generation.unwrap_or(call.generation);
        if generation == Generation::V9 {
            // Where no configuration is to be had, a connection is named after the host at its other end.
            for (id, name) in &sighted.names {
                peers.entry(*id).or_insert_with(|| vec![name.clone()]);
            }
        }
        Names { generation, own, peers }
    }

    /// What the peer with this id is called in the cluster. 8.4 may not name a floating peer: then it is the only other
    /// node, if there is only one.
    pub(crate) fn peer(&self, id: u32, me: &str, cib: &Cib) -> Option<String> {
        let names = self.peers.get(&id).map(Vec::as_slice).unwrap_or_default();
        if !names.is_empty() || self.generation == Generation::V9 {
            return resolve(names, cib);
        }
        let others = cib
            .nodes()
            .iter()
            .filter(|node| node.kind == NodeKind::Member && !node.uname.eq_ignore_ascii_case(me));
        match others.collect::<Vec<_>>()[..] {
            [only] => Some(only.uname.clone()),
            _ => None,
        }
    }

    /// What this node is called in the cluster. Pacemaker names a node after its host unless corosync's configuration says
    /// otherwise: where host, DRBD and the cluster agree, nobody has to be asked.
    ///
    /// # Errors
    /// If the cluster could not say, or says what it does not have.
    pub(crate) fn own(
        &self,
        cib: &Cib,
        pacemaker: &Pacemaker,
        end: Deadline,
    ) -> Result<String, String> {
        if let Some(name) = self.own_by_host(cib) {
            return Ok(name);
        }
        let name = pacemaker.own_name(end)?;
        cib.node_named(&name).map(|node| node.uname.clone()).map_err(|why| chain(&why))
    }

    fn own_by_host(&self, cib: &Cib) -> Option<String> {
        let host = duet_host::host_name()?;
        let node = cib.node_named(&host).ok()?;
        let agrees =
            self.own.is_empty() || resolve(&self.own, cib).is_some_and(|name| name == node.uname);
        agrees.then(|| node.uname.clone())
    }
}

/// The one node of the cluster that these names are names of. Of a stacked resource all hosts below are named, of which the
/// cluster may have one.
fn resolve(names: &[String], cib: &Cib) -> Option<String> {
    let nodes: BTreeSet<String> = names
        .iter()
        .filter_map(|name| cib.node_named(name).ok())
        .map(|node| node.uname.clone())
        .collect();
    let mut nodes = nodes.into_iter();
    nodes.next().filter(|_| nodes.next().is_none())
}
