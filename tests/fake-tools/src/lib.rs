//! Stand-ins for the programs that agents talk to. Invariant: they answer as the real program was
//! recorded to answer, and remember what they were asked.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "test support: it opens sockets, waits and stops loudly when the test is wrong"
)]

mod cluster;
mod daemons;
mod described;
mod kernel;
mod libvirtd;
mod marked;
mod recorded;
mod scripted;
mod tools;

pub use cluster::{ClusterState, Controller, Daemons, FakeCluster, Pacemaker, Side, Xml};
pub use daemons::{Conduct, FakeDaemons};
pub use kernel::{Asked, FAMILY, FakeKernel, Faults, Module, dumped};
pub use libvirtd::{FakeDomain, FakeLibvirtd, OnAbort, OnShutdown, World};
pub use recorded::{Exchange, recorded};
pub use scripted::{Scripted, read_frame, reply_to};
pub use tools::{Answer, Called, Delay, FakeTools};
