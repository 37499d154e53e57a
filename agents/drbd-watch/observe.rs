//! Whether the daemon is there, and how it is. Invariant: reads only; "there is none" is said only after the process table was read
//! as a whole, or the process that its state names was seen to be gone and no other is its.

use std::time::Duration;

use duet_host::{
    Error, clock,
    processes::{Process, Seen, Table},
};
use duet_ocf::chain;

use crate::{
    config::Config,
    duty::is_daemon_of,
    state::{Following, Late, State},
};

/// One look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Observation {
    /// The daemon.
    pub(crate) daemon: Daemon,
    /// Whether there is a file with the state of one.
    pub(crate) has_state: bool,
    /// Programs that are needed and not to be found; only start and validate-all look.
    pub(crate) missing: Vec<String>,
}

/// The daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Daemon {
    /// There is none.
    Absent,
    /// Whether there is one cannot be told.
    Unclear(String),
    /// It is there.
    Present {
        /// Who.
        process: Process,
        /// Whether it was told what this invocation would tell it.
        duty: Told,
        /// What it says of itself.
        says: Says,
    },
}

/// What it was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// The same.
    Same,
    /// Something else.
    Otherwise,
}

/// What it says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Says {
    /// Nothing yet.
    Nothing,
    /// This, so long ago.
    This {
        /// What it follows.
        following: Following,
        /// How old its sign of life is; none if that is of another boot.
        age: Option<Duration>,
        /// The score that it has tried for longest to bring up to date, if it does not succeed.
        late: Option<Late>,
    },
}

/// Looks.
pub(crate) fn look(config: &Config) -> Observation {
    let state = State::read(&config.duty.state);
    let daemon = daemon(config, state.as_ref(), &Table::default())
        .unwrap_or_else(|error| Daemon::Unclear(chain(&error)));
    let has_state = std::fs::symlink_metadata(&config.duty.state).is_ok();
    Observation { daemon, has_state, missing: Vec::new() }
}

fn daemon(config: &Config, state: Option<&State>, table: &Table) -> Result<Daemon, Error> {
    let file = &config.duty.state;
    let is_ours =
        |seen: &Seen| is_daemon_of(file, &seen.arguments) && !is_elsewhere(seen.process.pid);
    let named = match state {
        Some(state) => table
            .see(state.process.pid)?
            .filter(|seen| seen.process == state.process && is_ours(seen)),
        None => None,
    };
    // Its state may have been removed behind its back.
    let seen = match named {
        Some(seen) => Some(seen),
        None => table.find(is_ours)?,
    };
    let Some(seen) = seen else { return Ok(Daemon::Absent) };
    let says = match state.filter(|state| state.process == seen.process) {
        None => Says::Nothing,
        Some(state) => Says::This {
            following: state.following.clone(),
            age: clock::since_boot().checked_sub(state.beat),
            late: state.late.clone(),
        },
    };
    let words = config.words();
    let wanted = words.iter().map(|word| word.as_encoded_bytes());
    let is_same = seen.arguments.iter().skip(1).map(Vec::as_slice).eq(wanted);
    let duty = if is_same { Told::Same } else { Told::Otherwise };
    Ok(Daemon::Present { process: seen.process, duty, says })
}

/// Whether it is known to be a process of another pid namespace: that of a container, which may be a node of another cluster.
fn is_elsewhere(pid: u32) -> bool {
    let space = |of: &str| std::fs::read_link(format!("/proc/{of}/ns/pid")).ok();
    match (space("self"), space(&pid.to_string())) {
        (Some(own), Some(other)) => own != other,
        (None, _) | (_, None) => false,
    }
}
