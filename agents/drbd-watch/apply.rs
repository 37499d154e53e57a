//! One step carried out. Invariant: nothing here concludes anything from success; the next look does.

use std::io;

use duet_host::{Error as HostError, Signal, daemon, processes::Table};
use duet_ocf::{ExitCode, Turn};

use crate::{config::Config, decide::Step};

/// A step that failed.
#[derive(Debug, thiserror::Error)]
#[error("Could not {step}")]
pub(crate) struct Error {
    /// What was tried.
    step: String,
    /// Why.
    source: HostError,
}

/// Each is a failure on this node only; a program that is not there is one of installation.
pub(crate) fn exit_code(error: &Error) -> ExitCode {
    match &error.source {
        HostError::Start { source, .. } if source.kind() == io::ErrorKind::NotFound => {
            ExitCode::Installed
        }
        _ => ExitCode::Generic,
    }
}

/// Carries out `step`.
pub(crate) fn apply(config: &Config, step: &Step, turn: &mut Turn<'_>) -> Result<(), Error> {
    let table = Table::default();
    let done = match step {
        Step::Spawn => daemon::start(&config.program, config.words()),
        Step::Terminate(process) => table.signal(*process, Signal::SIGTERM).map(drop),
        Step::Kill(process) => table.signal(*process, Signal::SIGKILL).map(drop),
        Step::Forget => {
            // What stays is told from the state of one that lives.
            let _ = std::fs::remove_file(&config.duty.state);
            Ok(())
        }
    };
    done.map_err(|source| Error { step: step.to_string(), source })?;
    match step {
        Step::Spawn => turn.info("Started drbd-watchd"),
        Step::Terminate(process) => {
            turn.info(format!("Told drbd-watchd (process {}) to end", process.pid));
        }
        Step::Kill(process) => {
            turn.warning(format!("Killed drbd-watchd (process {})", process.pid));
        }
        Step::Forget => {}
    }
    Ok(())
}
