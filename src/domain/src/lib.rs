//! A libvirt domain without libvirt: its states and reasons, what they mean for a cluster, and who
//! a definition says it is. Invariant: no I/O, no clock; the same input gives the same answer.

mod definition;
mod disks;
mod health;
mod requirements;
mod state;
mod uuid;

pub use definition::{Definition, DefinitionError};
pub use disks::disk_files;
pub use health::{Ailment, Health, OnPausedByError, health};
pub use requirements::{MARK_NAMESPACE, MARK_PREFIX, Requirements, mark, unmarked};
pub use state::{CrashedReason, PausedReason, RunningReason, ShutOffReason, State};
pub use uuid::{Uuid, UuidError};
