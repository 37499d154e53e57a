//! Whether the daemon is there, and how it is. Invariant: reads only; "there is none" is said only after the process table was read
//! as a whole, or the process that its state names was seen to be gone and no other is its.

use std::{io, os::unix::fs::MetadataExt, path::Path, time::Duration};

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
    let mut unclear = None;
    let mut is_ours = |seen: &Seen| {
        is_daemon_of(file, &seen.arguments)
            && match is_here(seen.process.pid, file) {
                Ok(is_here) => is_here,
                // One that has ended meanwhile is nobody's.
                Err(_) if matches!(table.is_there(seen.process), Ok(false)) => false,
                Err(error) => {
                    let pid = seen.process.pid;
                    unclear = Some(format!("whose process {pid} is cannot be read: {error}"));
                    false
                }
            }
    };
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
    let Some(seen) = seen else {
        return Ok(unclear.map_or(Daemon::Absent, Daemon::Unclear));
    };
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

/// Whether it is a process of this system, and not of a container that is below it, which may be a node of another cluster: it is in the
/// same pid namespace, and by the file's name it means the same file. For that it need not be in the same mount namespace: a
/// service with a /tmp of its own is not.
fn is_here(pid: u32, file: &Path) -> io::Result<bool> {
    let is_same = |space: &str| {
        let of = |whose: &str| std::fs::read_link(format!("/proc/{whose}/ns/{space}"));
        Ok::<_, io::Error>(of("self")? == of(&pid.to_string())?)
    };
    if !is_same("pid")? {
        return Ok(false);
    }
    if is_same("mnt")? {
        return Ok(true);
    }
    let Some(directory) = file.parent() else { return Ok(true) };
    let place = |path: &Path| match std::fs::metadata(path) {
        Ok(found) => Ok(Some((found.dev(), found.ino()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    };
    let theirs = directory.strip_prefix("/").unwrap_or(directory);
    let theirs = place(&Path::new(&format!("/proc/{pid}/root")).join(theirs))?;
    // Where there is no such directory there is no such file.
    Ok(theirs.is_some() && theirs == place(directory)?)
}
