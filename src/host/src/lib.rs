//! What touches the machine on behalf of the programs: child processes with deadlines, other processes, the
//! clock, files and the log, and the entry point of every agent. Nothing here waits without a limit.
#![allow(
    clippy::disallowed_methods,
    reason = "this is the crate that starts processes, opens files and asks the clock"
)]

mod attributes;
pub mod bounded;
pub mod clock;
pub mod daemon;
pub mod drbd;
pub mod entrust;
mod error;
pub mod file;
pub mod libexec;
pub mod lines;
mod lock;
mod log;
mod netlink;
mod pidfd;
pub mod process;
pub mod processes;
mod run;
pub mod serial;
mod syslog;

pub use error::Error;
pub use lock::Lock;
pub use log::Log;
pub use netlink::Error as NetlinkError;
pub use nix::sys::signal::Signal;
pub use run::{Machine, guard, guard_with, host_name, leave_with, run};
