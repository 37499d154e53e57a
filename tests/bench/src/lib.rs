//! What our programs cost beside the stock ones: the plan that the lab sends into a node, the
//! samples that come back, and the arithmetic over them. Invariant: samples are kept one by one, so
//! every figure of the table can be computed again from the stored ones.

#![allow(
    clippy::disallowed_methods,
    reason = "a measuring program starts processes and times them"
)]

pub mod count;
pub mod measure;
mod plan;

pub use plan::{
    Beset, Callgrind, Command, Counts, Instructions, Plan, Timing, Together, Watched, Watching,
    median,
};

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A command that could not be started.
    #[error("Could not start {command}: {source}")]
    Start {
        /// Its words.
        command: String,
        /// Why.
        source: std::io::Error,
    },
    /// The kernel's accounting could not be read.
    #[error("Could not read the resources used by child processes: {0}")]
    Accounting(#[from] nix::errno::Errno),
    /// A plan or a log that could not be read.
    #[error("Could not read {what}: {source}")]
    Read {
        /// Which.
        what: String,
        /// Why.
        source: std::io::Error,
    },
    /// A file that could not be written.
    #[error("Could not write {path}: {source}")]
    Write {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A peer that could not do what it is there for.
    #[error("Could not {0}: {1}")]
    Hostile(&'static str, String),
    /// Something that was to come did not.
    #[error("{0} did not come within {limit} s", limit = .1.as_secs())]
    Late(String, std::time::Duration),
    /// A guest that libvirt did not switch.
    #[error("Could not switch a guest: {0}")]
    Power(String),
    /// A plan that is none.
    #[error("Could not understand the plan: {0}")]
    Plan(#[from] serde_json::Error),
    /// The measuring program was called with other words than it knows.
    #[error(
        "Usage: duet-bench rounds|count|together PLAN, duet-bench watch|beset PLAN, duet-bench memory COMMAND..., duet-bench kernel|kernel-cut FILE, duet-bench power off|on URI DOMAIN, or duet-bench write DEVICE OFFSET LOG"
    )]
    Words,
}

/// Shorthand of this crate.
pub type Result<T> = std::result::Result<T, Error>;
