//! DRBD as it speaks, for 8.4 and 9: states as types, the kernel's messages and the tools' texts decoded into
//! [`Change`]s, and a [`View`] that changes build up. Nothing here touches the machine.
//!
//! Invariant: what is unknown, missing or new is never decoded into a value that is better than unknown.
#![forbid(unsafe_code)]

mod change;
mod configuration;
pub mod events2;
pub mod handler;
pub mod netlink;
pub mod proc;
mod state;
pub mod tools;
mod version;
mod view;

pub use change::{Change, Object, Verb};
pub use configuration::{
    Address, Configuration, ConfigurationError, Configured, ConfiguredVolume, Fencing, Host, Link,
    MetaDisk, OnNoQuorum, Quorum, Section,
};
pub use state::{Connection, Disk, Replication, Role};
pub use version::{Generation, Version};
pub use view::{Peer, PeerVolume, Resource, Suspended, View, Volume};
