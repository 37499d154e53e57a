//! The OCF resource agent contract, written once for all agents: what Pacemaker hands over, what
//! an agent may answer, the one table its parameters come from, and the loop that drives it.
//! Nothing here touches the machine: environment, clock, log and output are handed in.
//!
//! An agent is a [`Spec`] table and an [`Agent`]: read `agent.rs` first, then `drive.rs`.
//! The life of one invocation:
//!
//! ```text
//! argv + environment --> Request --> Values --> Agent::config --> Config
//!     loop { observe --> decide --> Do(step) | Wait | Done(outcome) }   until Done or the deadline
//! ```
#![forbid(unsafe_code)]

mod action;
mod agent;
mod deadline;
mod drive;
mod environment;
mod exit;
mod man;
mod metadata;
mod notify;
mod reason;
mod refusal;
mod request;
mod spec;
mod usage;
mod values;
mod virtual_host;

pub use action::{Action, Role, Strictness};
pub use agent::{AfterFailure, Agent, Applied, Next, Outcome, Progress};
pub use deadline::{Deadline, Host, Level, Turn};
pub use drive::{DO_WITHOUT_WAIT_LIMIT, SHORTEST_WAIT, drive};
pub use environment::Environment;
pub use exit::ExitCode;
pub use man::man_page;
pub use metadata::metadata;
pub use notify::{Members, Notify, When};
pub use reason::{DEFAULT_PREFIX, chain, exit_reason_line, fold};
pub use refusal::{Refusal, Shown};
pub use request::{CloneFacts, Meta, Request};
pub use spec::{ActionSpec, Deprecated, Kind, PROVIDER, Parameter, Spec, Support};
pub use usage::usage;
pub use values::{Values, boolean_word, duration_word};
pub use virtual_host::VirtualHost;
