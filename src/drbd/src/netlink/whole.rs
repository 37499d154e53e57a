//! Four dumps are four moments. They make a view only where what one of them names is named by those before it;
//! otherwise something came or went between them. Invariant: a pair of volume and peer of which nothing was said is
//! there, and unknown.

use crate::{Change, Object, View};
use std::collections::BTreeSet;

/// Something that one dump names and another does not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "DRBD's configuration changed while it was read: {0} was not there a moment before or after"
)]
pub struct Torn(String);

/// What the answers to the four dumps (resources, devices, connections, peers' devices), together and in whatever
/// order, say of this node.
///
/// # Errors
/// [`Torn`]: ask again.
pub fn whole(changes: &[Change]) -> Result<View, Torn> {
    let mut view = View::default();
    let mut named = BTreeSet::new();
    for change in changes {
        if let Object::Resource { resource, .. } = &change.object {
            named.insert(resource.as_str());
        }
        view.apply(change);
    }
    if let Some(stray) = view.resources.keys().find(|name| !named.contains(name.as_str())) {
        return Err(Torn(format!("resource {stray}")));
    }
    let peers: BTreeSet<(&str, u32)> = changes
        .iter()
        .filter_map(|change| match &change.object {
            Object::Connection { resource, peer, .. } => Some((resource.as_str(), *peer)),
            _ => None,
        })
        .collect();
    for (name, resource) in &mut view.resources {
        for (id, peer) in &mut resource.peers {
            if !peers.contains(&(name.as_str(), *id)) {
                return Err(Torn(format!("the connection of {name} to node {id}")));
            }
            if let Some(volume) =
                peer.volumes.keys().find(|volume| !resource.volumes.contains_key(volume))
            {
                return Err(Torn(format!("volume {volume} of {name}")));
            }
            for volume in resource.volumes.keys() {
                peer.volumes.entry(*volume).or_default();
            }
        }
    }
    Ok(view)
}
