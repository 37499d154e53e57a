//! One thing that DRBD says about one object: from the kernel, or a line of `events2`. What it leaves out is
//! `None`, and stays as it was known before.

use crate::{Connection, Disk, Replication, Role, Suspended};

/// What happened to the object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verb {
    /// It is there: part of a snapshot.
    Exists,
    /// It has come to be.
    Create,
    /// It has changed.
    Change,
    /// It is gone.
    Destroy,
    /// It has another name.
    Rename,
    /// A helper was called.
    Call,
    /// A helper has answered.
    Response,
}

/// What is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What happened.
    pub verb: Verb,
    /// To what, and how it is now.
    pub object: Object,
}

/// The object, with its keys, and as much of its state as was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Object {
    /// A resource.
    Resource {
        /// Its name.
        resource: String,
        /// The name from now on, in a rename.
        new_name: Option<String>,
        /// This node's id (9; only in dumps).
        node_id: Option<u32>,
        /// This node's role.
        role: Option<Role>,
        /// Whether and why its I/O is frozen.
        suspended: Option<Suspended>,
        /// Whether every write fails at once.
        force_io_failures: Option<bool>,
        /// DRBD's own opinion (drbdsetup computes it; the kernel does not say it).
        may_promote: Option<bool>,
        /// DRBD's own score.
        promotion_score: Option<i64>,
    },
    /// A volume of this node.
    Device {
        /// The resource's name.
        resource: String,
        /// The volume's number.
        volume: u32,
        /// `/dev/drbdN`.
        minor: Option<u32>,
        /// Its disk.
        disk: Option<Disk>,
        /// Whether it has no disk on purpose.
        client: Option<bool>,
        /// Whether it has quorum.
        quorum: Option<bool>,
        /// Whether somebody has it open.
        open: Option<bool>,
        /// The device below it; empty where DRBD says that there is none.
        backing: Option<String>,
    },
    /// A connection to a peer.
    Connection {
        /// The resource's name.
        resource: String,
        /// The peer's node id; 0 on 8.4, which has one peer.
        peer: u32,
        /// The peer's name, as the configuration has it (`peer` on 8.4).
        name: Option<String>,
        /// The connection.
        connection: Option<Connection>,
        /// The peer's role.
        role: Option<Role>,
    },
    /// A volume of a peer.
    PeerDevice {
        /// The resource's name.
        resource: String,
        /// The peer's node id.
        peer: u32,
        /// The volume's number.
        volume: u32,
        /// What goes over the connection.
        replication: Option<Replication>,
        /// The peer's disk.
        disk: Option<Disk>,
        /// Whether it has none on purpose.
        client: Option<bool>,
        /// KiB that differ.
        out_of_sync: Option<u64>,
    },
    /// A network path. Its state decides nothing.
    Path {
        /// The resource's name.
        resource: String,
    },
    /// A call of a helper by the kernel.
    Helper {
        /// The resource's name.
        resource: String,
        /// The peer it is about.
        peer: Option<u32>,
        /// The volume it is about.
        volume: Option<u32>,
        /// `fence-peer`, `before-resync-target`, …
        helper: String,
        /// The raw wait status, in a response.
        status: Option<u32>,
    },
    /// The end of a snapshot (`exists -`).
    End,
    /// An object of a kind that was not known when this was written.
    Unrecognized(String),
}
