//! The environment in which DRBD's handlers run, of 8.4 and 9, as one typed call. Invariant: a variable that is set and
//! cannot be read is an error that names it, and so is one that is asked for and not set; nothing is made up.

use crate::{Connection, Generation};
use std::{collections::BTreeMap, ffi::OsString, fmt, str::FromStr};

/// Node ids go from 0 to this (9).
const HIGHEST_NODE_ID: u32 = 31;

/// Why a handler cannot do its work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// A variable is not set, or empty.
    #[error("{0} is not set")]
    Missing(&'static str),
    /// A variable has a value that cannot be read.
    #[error("{variable}={value:?} is not {expected}")]
    Unusable {
        /// Which.
        variable: String,
        /// As far as it is text.
        value: String,
        /// What it should be.
        expected: &'static str,
    },
}

/// What a handler is called for. The environment does not say it: a handler knows it by its own name or arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A peer was lost, or is to be passed over in a promotion.
    FencePeer,
    /// The peers are UpToDate again.
    UnfencePeer,
    /// This node's data is about to become inconsistent.
    BeforeResyncTarget,
    /// It is UpToDate again.
    AfterResyncTarget,
    /// A resync from here begins.
    BeforeResyncSource,
    /// Online verify has found blocks that differ.
    OutOfSync,
    /// A split brain that was not resolved.
    SplitBrain,
    /// Any split brain.
    InitialSplitBrain,
    /// A Primary that should become the target of a resync.
    PriLost,
    /// The Primary that lost, after a split brain.
    PriLostAfterSb,
    /// A Primary without UpToDate data.
    PriOnInconDegr,
    /// The disk has failed.
    LocalIoError,
    /// A Primary without quorum (9).
    QuorumLost,
    /// A connection was lost (9).
    Disconnected,
    /// One that was not known when this was written.
    Unrecognized(String),
}

const EVENTS: &[(&str, Event)] = &[
    ("fence-peer", Event::FencePeer),
    ("unfence-peer", Event::UnfencePeer),
    ("before-resync-target", Event::BeforeResyncTarget),
    ("after-resync-target", Event::AfterResyncTarget),
    ("before-resync-source", Event::BeforeResyncSource),
    ("out-of-sync", Event::OutOfSync),
    ("split-brain", Event::SplitBrain),
    ("initial-split-brain", Event::InitialSplitBrain),
    ("pri-lost", Event::PriLost),
    ("pri-lost-after-sb", Event::PriLostAfterSb),
    ("pri-on-incon-degr", Event::PriOnInconDegr),
    ("local-io-error", Event::LocalIoError),
    ("quorum-lost", Event::QuorumLost),
    ("disconnected", Event::Disconnected),
];

impl Event {
    /// Reads DRBD's own word.
    #[must_use]
    pub fn parse(word: &str) -> Event {
        let row = EVENTS.iter().find(|(known, _)| *known == word);
        row.map_or_else(|| Event::Unrecognized(word.to_owned()), |(_, event)| event.clone())
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = EVENTS.iter().find(|(_, known)| known == self);
        match (row, self) {
            (_, Event::Unrecognized(word)) => f.write_str(word),
            (row, _) => f.write_str(row.map_or("unrecognized", |(word, _)| word)),
        }
    }
}

/// One call of a handler. What is `None` was not said: by hand (`drbdadm unfence-peer`) nothing from the kernel is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// What for.
    pub event: Event,
    /// `DRBD_RESOURCE`.
    pub resource: String,
    /// The configuration file, `DRBD_CONF`.
    pub configuration: Option<String>,
    /// Whose environment it is: only 9 has node ids.
    pub generation: Generation,
    /// This node's id, `DRBD_MY_NODE_ID` (9).
    pub node_id: Option<u32>,
    /// The names of all nodes by id, `DRBD_NODE_ID_n` (9).
    pub names: BTreeMap<u32, Vec<String>>,
    /// The peer it is about.
    pub peer: Option<CallPeer>,
    /// How the connection to the peer is, `DRBD_CSTATE` (9). Disconnecting in a fence-peer call: the peer was
    /// reached and refused.
    pub connection: Option<Connection>,
    /// Which nodes were UpToDate when the handler was started (9).
    pub up_to_date: Option<NodeMask>,
    /// The minors it is about, `DRBD_MINOR`.
    pub minors: Vec<u32>,
    /// The volumes it is about, by number. 8.4 does not number them in fence-peer and unfence-peer.
    pub volumes: BTreeMap<u32, CallVolume>,
}

/// The peer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallPeer {
    /// `DRBD_PEER_NODE_ID` (9).
    pub node_id: Option<u32>,
    /// Its names: by its id on 9, `DRBD_PEERS` on 8.4; several of a stacked resource, none of a floating peer.
    pub names: Vec<String>,
    /// Its address, without port.
    pub address: Option<String>,
}

/// A volume.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallVolume {
    /// `/dev/drbdN`.
    pub minor: Option<u32>,
    /// The device below it, as the kernel has it; none after it has failed.
    pub backing: Option<String>,
    /// The same, as the configuration has it.
    pub disk: Option<String>,
}

/// A set of node ids, `UP_TO_DATE_NODES`. It is of the moment at which the handler was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeMask(u64);

impl NodeMask {
    /// Whether the node is in it.
    #[must_use]
    pub fn contains(self, node_id: u32) -> bool {
        1_u64.checked_shl(node_id).is_some_and(|bit| self.0 & bit != 0)
    }

    /// The node ids in it that a node can have.
    pub fn node_ids(self) -> impl Iterator<Item = u32> {
        (0..=HIGHEST_NODE_ID).filter(move |node_id| self.contains(*node_id))
    }
}

impl Call {
    /// Reads the environment of a handler.
    ///
    /// # Errors
    /// If there is no resource, or a variable has a value that cannot be read.
    pub fn read(
        event: Event,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Call, CallError> {
        let variables = Variables::collect(environment)?;
        let node_id = variables.node_id("DRBD_MY_NODE_ID")?;
        let names = variables.names()?;
        let is_9 = node_id.is_some() || !names.is_empty();
        Ok(Call {
            event,
            resource: variables
                .get("DRBD_RESOURCE")
                .ok_or(CallError::Missing("DRBD_RESOURCE"))?
                .to_owned(),
            configuration: variables.get("DRBD_CONF").map(str::to_owned),
            generation: if is_9 { Generation::V9 } else { Generation::V8 },
            peer: variables.peer(&names)?,
            connection: variables.get("DRBD_CSTATE").map(Connection::parse),
            up_to_date: variables.mask()?,
            minors: variables.numbers("DRBD_MINOR")?,
            volumes: variables.volumes()?,
            node_id,
            names,
        })
    }

    /// The peer it is about.
    ///
    /// # Errors
    /// If the environment names none.
    pub fn peer(&self) -> Result<&CallPeer, CallError> {
        let variable = match self.generation {
            Generation::V8 => "DRBD_PEERS",
            Generation::V9 => "DRBD_PEER_NODE_ID",
        };
        self.peer.as_ref().ok_or(CallError::Missing(variable))
    }

    /// Which nodes were UpToDate when the handler was started.
    ///
    /// # Errors
    /// If the environment does not say: always on 8.4, and on 9 in a call by hand.
    pub fn up_to_date(&self) -> Result<NodeMask, CallError> {
        self.up_to_date.ok_or(CallError::Missing("UP_TO_DATE_NODES"))
    }
}

/// DRBD's variables, by name. Empty is not set.
struct Variables(BTreeMap<String, String>);

impl Variables {
    fn collect(
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Variables, CallError> {
        let mut variables = BTreeMap::new();
        for (name, value) in environment {
            let Ok(name) = name.into_string() else { continue };
            if value.is_empty() || !(name.starts_with("DRBD_") || name == "UP_TO_DATE_NODES") {
                continue;
            }
            let value = value
                .into_string()
                .map_err(|value| unusable(&name, &value.to_string_lossy(), "text"))?;
            variables.insert(name, value);
        }
        Ok(Variables(variables))
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    fn words(&self, name: &str) -> Vec<String> {
        self.get(name).unwrap_or_default().split_ascii_whitespace().map(str::to_owned).collect()
    }

    /// The variables `prefix`N, by N. Other variables that begin so are none of them.
    fn indexed(&self, prefix: &str) -> impl Iterator<Item = (u32, &str)> {
        self.0
            .keys()
            .filter_map(move |name| Some((name.strip_prefix(prefix)?.parse().ok()?, name.as_str())))
    }

    fn numbers(&self, name: &str) -> Result<Vec<u32>, CallError> {
        let numbers = self.words(name).iter().map(|word| word.parse()).collect::<Result<_, _>>();
        numbers.map_err(|_| unusable(name, self.get(name).unwrap_or_default(), "a list of numbers"))
    }

    fn node_id(&self, name: &str) -> Result<Option<u32>, CallError> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let node_id = number(name, value)?;
        if node_id > HIGHEST_NODE_ID {
            return Err(unusable(name, value, "a node id"));
        }
        Ok(Some(node_id))
    }

    fn names(&self) -> Result<BTreeMap<u32, Vec<String>>, CallError> {
        let mut names = BTreeMap::new();
        for (node_id, variable) in self.indexed("DRBD_NODE_ID_") {
            if node_id > HIGHEST_NODE_ID {
                let value = self.get(variable).unwrap_or_default();
                return Err(unusable(variable, value, "of a node id"));
            }
            names.insert(node_id, self.words(variable));
        }
        Ok(names)
    }

    fn peer(&self, names: &BTreeMap<u32, Vec<String>>) -> Result<Option<CallPeer>, CallError> {
        let node_id = self.node_id("DRBD_PEER_NODE_ID")?;
        let by_id = node_id.and_then(|node_id| names.get(&node_id)).cloned();
        let by_name = || match self.words("DRBD_PEERS") {
            none if none.is_empty() => self.words("DRBD_PEER"),
            names => names,
        };
        let peer = CallPeer {
            node_id,
            names: by_id.unwrap_or_else(by_name),
            address: self.get("DRBD_PEER_ADDRESS").map(str::to_owned),
        };
        Ok((peer != CallPeer::default()).then_some(peer))
    }

    fn mask(&self) -> Result<Option<NodeMask>, CallError> {
        let name = "UP_TO_DATE_NODES";
        let Some(value) = self.get(name) else { return Ok(None) };
        let digits = value.strip_prefix("0x").filter(|digits| !digits.starts_with('+'));
        let mask = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
        mask.map(|mask| Some(NodeMask(mask)))
            .ok_or_else(|| unusable(name, value, "a mask of node ids"))
    }

    /// The kernel of 9 numbers minors and devices in connection events; drbdadm gives lists, one item per volume.
    fn volumes(&self) -> Result<BTreeMap<u32, CallVolume>, CallError> {
        let mut volumes: BTreeMap<u32, CallVolume> = BTreeMap::new();
        let (listed, minors) = (self.numbers("DRBD_VOLUME")?, self.numbers("DRBD_MINOR")?);
        if !listed.is_empty() && listed.len() != minors.len() {
            let value = self.get("DRBD_VOLUME").unwrap_or_default();
            return Err(unusable("DRBD_VOLUME", value, "as long a list as DRBD_MINOR"));
        }
        // A list of another length has a gap somewhere: which of them is missing cannot be told.
        let disks = Some(self.words("DRBD_LL_DISK")).filter(|disks| disks.len() == listed.len());
        let mut disks = disks.unwrap_or_default().into_iter();
        for (volume, minor) in listed.iter().zip(minors) {
            let disk = disks.next().filter(|disk| disk != "none");
            let backing = Some("DRBD_BACKING_DEV").filter(|_| listed.len() == 1);
            let backing = backing.and_then(|name| self.get(name)).map(str::to_owned);
            volumes.insert(*volume, CallVolume { minor: Some(minor), backing, disk });
        }
        for (volume, variable) in self.indexed("DRBD_MINOR_") {
            let minor = self.get(variable).map(|minor| number(variable, minor)).transpose()?;
            volumes.entry(volume).or_default().minor = minor;
        }
        for (volume, variable) in self.indexed("DRBD_BACKING_DEV_") {
            let backing = self.get(variable).map(str::to_owned);
            volumes.entry(volume).or_default().backing = backing;
        }
        Ok(volumes)
    }
}

fn number<N: FromStr>(variable: &str, value: &str) -> Result<N, CallError> {
    value.parse().map_err(|_| unusable(variable, value, "a number"))
}

fn unusable(variable: &str, value: &str, expected: &'static str) -> CallError {
    CallError::Unusable { variable: variable.to_owned(), value: value.to_owned(), expected }
}
