//! What is asked, from the environment, the options and, by hand, from DRBD itself. Invariant: a call of the kernel's is
//! taken at its word or refused; what it leaves out is not made up but for people who only want to know.

use std::{collections::BTreeMap, ffi::OsString};

use duet_drbd::{
    Connection, Generation,
    handler::{Call, CallError, Event},
};

use crate::{
    decide::{Asked, Mask, Mode},
    facts::{Kernel, Peer},
    observe::Look,
    options::{Options, Purpose},
};

/// Reads the environment. `--resource` counts before `DRBD_RESOURCE`.
pub(crate) fn call(
    mode: Mode,
    options: &Options,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Call, CallError> {
    let mut environment: BTreeMap<OsString, OsString> = environment.into_iter().collect();
    let mut told = None;
    if let Some(resource) = &options.resource {
        told = environment.insert("DRBD_RESOURCE".into(), resource.into());
    }
    let event = match mode {
        Mode::Fence => Event::FencePeer,
        Mode::Unfence => Event::UnfencePeer,
    };
    let call = Call::read(event, environment)?;
    // What is said of one resource would be taken for an answer about the other.
    let told = told.map(|told| told.to_string_lossy().trim().to_owned());
    if let Some(told) = told.filter(|told| !told.is_empty() && *told != call.resource) {
        if options.purpose == Purpose::Act && is_of_kernel(&call) {
            return Err(CallError::Unusable {
                variable: "DRBD_RESOURCE".to_owned(),
                value: told,
                expected: "the resource that --resource names",
            });
        }
    }
    if mode == Mode::Fence && !is_by_hand(options, &call) {
        let peer = call.peer()?;
        if call.generation == Generation::V9 && peer.node_id.is_none() {
            return Err(CallError::Missing("DRBD_PEER_NODE_ID"));
        }
    }
    Ok(call)
}

/// Whether a person asks: for an explanation, or for a resource that only the options name, with nothing in the environment
/// that the kernel sets. The exit code is not for the kernel then, and DRBD itself says what the kernel would.
fn is_by_hand(options: &Options, call: &Call) -> bool {
    options.purpose != Purpose::Act || (options.resource.is_some() && !is_of_kernel(call))
}

/// Whether something in the environment is of the kernel's own.
fn is_of_kernel(call: &Call) -> bool {
    call.peer.is_some() || call.up_to_date.is_some() || call.connection.is_some()
}

/// What is asked, once the first look has said what only DRBD knows.
///
/// # Errors
/// If the call and DRBD contradict each other.
pub(crate) fn asked(
    mode: Mode,
    options: &Options,
    call: &Call,
    look: &Look,
) -> Result<Asked, String> {
    if let (Some(told), Some(known)) = (call.node_id, look.sighted.node_id) {
        if told != known {
            return Err(format!("DRBD_MY_NODE_ID={told} contradicts DRBD, where it is {known}"));
        }
    }
    if call.generation == Generation::V9 && look.sighted.generation == Some(Generation::V8) {
        return Err(
            "DRBD_MY_NODE_ID is set, and the driver is 8.4, which has no node ids".to_owned()
        );
    }
    let me = call.node_id.or(look.sighted.node_id);
    let generation = look.sighted.generation.unwrap_or(call.generation);
    let peer = call.peer.as_ref().and_then(|peer| match generation {
        // It has one peer, and no number for it.
        Generation::V8 => Some(0),
        Generation::V9 => peer.node_id,
    });
    let mut mask = call.up_to_date.map(|mask| Mask(mask.node_ids().collect()));
    if let (None, Some(me), true, Mode::Fence) = (&mask, me, is_by_hand(options, call), mode) {
        mask = Some(good(me, &look.seen.kernel));
    }
    Ok(Asked {
        mode,
        resource: call.resource.clone(),
        me,
        peer,
        is_refused: matches!(
            call.connection,
            Some(Connection::Disconnecting | Connection::StandAlone)
        ),
        mask,
        late: crate::decide::Late::default(),
        options: options.decision.clone(),
    })
}

/// The mask that the kernel would make now.
fn good(me: u32, kernel: &Kernel) -> Mask {
    let mut nodes = std::collections::BTreeSet::from([me]);
    if let Kernel::Known(local) = kernel {
        let good = local.peers.iter().filter(|(_, peer)| Peer::is_good(peer));
        nodes.extend(good.map(|(id, _)| *id));
    }
    Mask(nodes)
}
