//! What the environment of a call says, beside what DRBD does. Invariant: what contradicts itself is acted on by nobody.

use super::Asked;
use crate::facts::Local;

/// What in the call cannot be.
pub(super) fn contradiction(asked: &Asked, local: &Local) -> Result<(), String> {
    match (asked.me, &asked.mask) {
        (Some(me), Some(mask)) if !mask.contains(me) => {
            return Err(format!("UP_TO_DATE_NODES does not have this node's own id {me}"));
        }
        (Some(_), None) => return Err("UP_TO_DATE_NODES is not set".to_owned()),
        (None, Some(_)) => {
            return Err("UP_TO_DATE_NODES is set and DRBD_MY_NODE_ID is not".to_owned());
        }
        (Some(_), Some(_)) | (None, None) => {}
    }
    match asked.peer {
        Some(peer) if asked.me == Some(peer) => Err(format!("Node id {peer} is this node's own")),
        Some(peer) if !local.peers.contains_key(&peer) => {
            Err(format!("DRBD has no peer with node id {peer}"))
        }
        Some(_) | None if local.peers.is_empty() => Err("DRBD has no peer".to_owned()),
        Some(_) | None => Ok(()),
    }
}
