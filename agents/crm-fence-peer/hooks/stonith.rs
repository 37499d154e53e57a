//! fence-peer by Pacemaker's fencer alone, without a rule: the peer is shot, and then it is down. Invariant: 7 is only
//! answered where every node of the peer's was confirmed to be down after this node had seen that its own data is UpToDate, and a
//! peer that was reached is never shot.

use std::{ffi::OsString, time::Duration};

use duet_drbd::{
    Connection, Disk, Generation,
    handler::{Call, Event},
};
use duet_host::{clock, drbd::Sight};
use duet_ocf::{Level, fold};

use super::Host;
use crate::decide::Code;

/// How long DRBD may take to answer.
const LOOK: Duration = Duration::from_secs(5);
/// How long the shooting may take. stonith_admin itself waits for two minutes.
const SHOT: Duration = Duration::from_secs(130);
/// A peer that somebody else has shot so recently, in seconds, is not shot again.
const TOLERANCE: &str = "5s";

/// Has the peer shot, and gives what to exit with.
pub(super) fn run(host: &Host<'_>, environment: Vec<(OsString, OsString)>) -> u8 {
    let call = Call::read(Event::FencePeer, environment);
    let inputs = call.as_ref().map_or_else(|_| "?:".to_owned(), inputs);
    let mut nodes = Vec::new();
    let done = call.map_err(|error| error.to_string()).and_then(|call| {
        nodes = victims(&call, &host.name)?;
        let seen = host.look(LOOK, |sight| sight.and_then(|sight| is_fit(&call, &sight)));
        seen.and_then(|seen| seen)?;
        nodes.iter().try_for_each(|node| shoot(host, node))
    });
    let (code, level, why) = match done {
        Ok(()) => (Code::PeerDown, Level::Info, "fenced, confirmed by Pacemaker".to_owned()),
        Err(why) => (Code::NotFenced, Level::Error, why),
    };
    let (nodes, after) = (nodes.join(","), clock::now().as_secs_f64());
    let code = code.number();
    let line = format!("fence-peer {inputs} exit={code} after={after:.3}s nodes={nodes}: {why}");
    host.log(level, &fold(&line));
    code
}

/// What was asked, for the log.
fn inputs(call: &Call) -> String {
    let id = |id: Option<u32>| id.map_or_else(|| "-".to_owned(), |id| id.to_string());
    let peer = call.peer.as_ref().and_then(|peer| peer.node_id);
    let connection = call.connection.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
    format!("{}: me={} peer={} connection={connection}", call.resource, id(call.node_id), id(peer))
}

/// Which nodes are to be shot, by the names that the cluster should know them by.
fn victims(call: &Call, me: &str) -> Result<Vec<String>, String> {
    if call.connection == Some(Connection::Disconnecting) {
        return Err("the peer was reached and refused (split brain), and is not shot".to_owned());
    }
    let peer = call.peer().map_err(|error| error.to_string())?;
    if peer.names.is_empty() {
        return Err(match (call.generation, peer.node_id) {
            (Generation::V9, Some(id)) => format!("DRBD_NODE_ID_{id} is not set"),
            (Generation::V9 | Generation::V8, _) => "DRBD_PEERS is not set".to_owned(),
        });
    }
    let mine = call.node_id.and_then(|id| call.names.get(&id)).cloned().unwrap_or_default();
    let is_me = |name: &String| {
        mine.iter().chain([&me.to_owned()]).any(|mine| mine.eq_ignore_ascii_case(name))
    };
    if peer.node_id.is_some() && peer.node_id == call.node_id {
        return Err("DRBD_PEER_NODE_ID is this node's own id".to_owned());
    }
    for name in &peer.names {
        if is_me(name) {
            return Err(format!("{name} is this node itself"));
        }
        if name.starts_with('-') {
            return Err(format!("{name:?} is no node"));
        }
    }
    Ok(peer.names.clone())
}

/// Whether this node can go on alone, and has to.
fn is_fit(call: &Call, sight: &Sight) -> Result<(), String> {
    let Sight::Seen { view, .. } = sight else {
        return Err("DRBD's module is not loaded".to_owned());
    };
    let resource = view.resources.get(&call.resource);
    let resource = resource.ok_or_else(|| "DRBD does not have the resource".to_owned())?;
    let mut with_disk = resource.volumes.iter().filter(|(_, volume)| volume.client != Some(true));
    let (first, mut rest) = (with_disk.next(), with_disk);
    let bad = |(_, volume): &(&u32, &duet_drbd::Volume)| volume.disk != Disk::UpToDate;
    if let Some((number, volume)) = first.filter(bad).or_else(|| rest.find(bad)) {
        return Err(format!("volume {number} is {} here, and not UpToDate", volume.disk));
    }
    if first.is_none() {
        return Err("this node has no disk".to_owned());
    }
    let id = call.peer.as_ref().and_then(|peer| peer.node_id);
    let mut peers = resource.peers.iter().filter(|(other, _)| id.is_none_or(|id| id == **other));
    if peers.any(|(_, peer)| peer.connection == Connection::Connected) {
        return Err("the peer is connected again, and is not shot".to_owned());
    }
    Ok(())
}

fn shoot(host: &Host<'_>, node: &str) -> Result<(), String> {
    let call = host.call("stonith_admin").env_remove("CIB_file").env_remove("CIB_shadow");
    let call = call.args(["--tolerance", TOLERANCE, "--tag", "drbd", "--fence", node]);
    host.finish(&call, SHOT)
        .map_err(|how| format!("{node} was not fenced: stonith_admin {how}"))?;
    Ok(())
}

#[cfg(test)]
mod tests;
