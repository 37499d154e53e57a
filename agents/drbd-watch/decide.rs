//! What comes next, for every action. Invariant: pure; 7 and a stop that succeeded only where no daemon was seen to be left, 0 of a
//! start or a monitor only where one was seen that lives, follows, and can look.

mod start;
mod stop;
#[cfg(test)]
mod tests;

use std::{fmt, time::Duration};

use duet_host::processes::Process;
use duet_ocf::{Action, ExitCode, Next, Progress, Request};

use crate::{
    observe::{Daemon, Observation, Says},
    state::{BEAT, Following, Late},
};

/// A sign of life that is older is none: three were missed.
pub(crate) const STALE: Duration = Duration::from_secs(3 * BEAT.as_secs());
/// A score that nobody could look at for longer is a failure.
const BLIND: Duration = STALE;
/// Between two looks at something that takes milliseconds.
const PAUSE: Duration = Duration::from_millis(20);
/// Between two looks at something that takes seconds.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// How long a process that was told to end may take to do so by itself.
const GRACE: Duration = Duration::from_secs(2);

/// One change of the world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Start the daemon.
    Spawn,
    /// Tell it to end.
    Terminate(Process),
    /// End it.
    Kill(Process),
    /// Remove the state of one that is gone.
    Forget,
}

impl fmt::Display for Step {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Spawn => out.write_str("start drbd-watchd"),
            Step::Terminate(process) => write!(out, "end drbd-watchd (process {})", process.pid),
            Step::Kill(process) => write!(out, "kill drbd-watchd (process {})", process.pid),
            Step::Forget => out.write_str("remove the state of drbd-watchd"),
        }
    }
}

/// The decision.
pub(crate) fn next(request: &Request, seen: &Observation, progress: &Progress<Step>) -> Next<Step> {
    match request.action {
        Action::Start => start::start(seen, progress),
        Action::Stop => stop::stop(seen, progress),
        Action::Monitor | Action::Status => monitor(&seen.daemon, progress),
        Action::ValidateAll => validate(seen),
        // The table does not list these, or the loop answers them itself.
        Action::Promote
        | Action::Demote
        | Action::Notify
        | Action::MigrateTo
        | Action::MigrateFrom
        | Action::ReloadAgent
        | Action::MetaData
        | Action::Usage => {
            Next::fail(ExitCode::Unimplemented, format!("{}: action not supported", request.action))
        }
    }
}

fn monitor(daemon: &Daemon, progress: &Progress<Step>) -> Next<Step> {
    match daemon {
        Daemon::Absent => Next::not_running(),
        Daemon::Unclear(why) => Next::fail(ExitCode::Generic, unclear(why)),
        Daemon::Present { process, says, duty: _ } => match complaint(says) {
            None => Next::success(),
            // It may have been born a moment ago, slept together with the machine, or lost its state to somebody who tidies up.
            Some(_) if is_silent(says) && is_early(progress) => {
                Next::wait(LOOK_AGAIN, "a sign of life of drbd-watchd")
            }
            Some(why) => Next::fail(ExitCode::Generic, about(*process, &why)),
        },
    }
}

fn validate(seen: &Observation) -> Next<Step> {
    match seen.missing.as_slice() {
        [] => Next::success(),
        missing => {
            Next::fail(ExitCode::Installed, format!("Not installed: {}", missing.join(", ")))
        }
    }
}

/// Whether it has said nothing that is of today.
fn is_silent(says: &Says) -> bool {
    match says {
        Says::Nothing => true,
        Says::This { age, .. } => age.is_none_or(|age| age > STALE),
    }
}

/// Whether one that was told the same has to be replaced, because it does not say anything any more or somebody it has sent to look
/// does not come back.
fn is_frozen(says: &Says) -> bool {
    *says != Says::Nothing && (is_silent(says) || is_blind(says))
}

/// Whether a score has not been brought up to date for so long that it does not follow DRBD any more.
fn is_blind(says: &Says) -> bool {
    matches!(says, Says::This { late: Some(late), .. } if late.lasts > BLIND)
}

/// Whether the next sign of life may still come: they are no further apart than [`BEAT`].
fn is_early(progress: &Progress<Step>) -> bool {
    let patience = BEAT.saturating_add(Duration::from_secs(1));
    progress.elapsed < patience && progress.elapsed < progress.remaining
}

/// Why one that is there is of no use; none if it lives, follows, and brings scores up to date.
fn complaint(says: &Says) -> Option<String> {
    match says {
        Says::Nothing => Some("has not said yet how it is".to_owned()),
        Says::This { age: None, .. } => Some("gives a sign of life of another time".to_owned()),
        Says::This { age: Some(age), .. } if *age > STALE => {
            Some(format!("has not given a sign of life for {} s", age.as_secs()))
        }
        Says::This { following: following @ Following::Nothing(_), .. } => {
            Some(format!("follows {following}"))
        }
        Says::This { late: Some(Late { instance, lasts, why }), .. } if *lasts > BLIND => {
            let lasts = lasts.as_secs();
            Some(format!("could not bring the score of {instance} up to date for {lasts} s: {why}"))
        }
        Says::This {
            following: Following::Netlink | Following::Events2 | Following::NoModule,
            age: Some(_),
            late: _,
        } => None,
    }
}

fn about(process: Process, why: &str) -> String {
    format!("drbd-watchd (process {}) {why}", process.pid)
}

fn unclear(why: &str) -> String {
    format!("Whether drbd-watchd runs cannot be told: {why}")
}
