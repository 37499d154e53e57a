//! From what is asked and what libvirt says to what is done next. Invariant: nothing that ends or starts a guest begins for somebody who
//! may not, has gone, or stopped waiting; and success is seen, never assumed.

use std::{fmt, time::Duration};

use duet_domain::{ShutOffReason, State};
use duet_xvm::{Reply, permission::Permission};

use crate::settings::Unknown;

/// How long an ended guest may be seen for, as with stock's daemon.
const ENDING: Duration = Duration::from_secs(15);
/// How long libvirt may be away before the answer is that it is.
const AWAY: Duration = Duration::from_secs(10);
/// How often an order that libvirt refused is given.
const ATTEMPTS: u32 = 3;

/// What can be done to a domain, or asked of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Off,
    On,
    Reboot,
    Status,
}

/// What the URIs say of the domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seen {
    /// It is there; `run` numbers its runs, where it runs.
    There { state: State, run: i32 },
    /// All were asked, and none knows it.
    Nobody,
    /// Not all could be asked, and the others do not know it.
    Unclear { why: String, may_pass: bool },
}

/// Whether whoever asked still waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    Yes,
    /// The peer has closed the connection.
    Gone,
    /// It takes longer than it may.
    Late,
}

/// What was done so far.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Progress {
    /// Since the first look.
    pub(crate) elapsed: Duration,
    /// How often libvirt was ordered to end the domain.
    pub(crate) orders: u32,
    /// The run that libvirt said it ended, and how long ago.
    pub(crate) ended: Option<(i32, Duration)>,
    /// libvirt's latest refusal to end it.
    pub(crate) refusal: Option<String>,
    /// Whether libvirt was ordered to start it, and what it said.
    pub(crate) started: Option<Result<(), String>>,
}

/// A change of the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// End it.
    End,
    /// Start it from its definition, or from what it was.
    Start,
}

/// What is next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Next {
    Do(Step),
    Wait(Duration),
    Answer(Reply, Reason),
    /// Nobody is answered: whoever asked has gone.
    Abandon,
}

/// Why an answer is what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reason {
    /// As asked for, and seen.
    Done,
    /// It was so already.
    Already,
    /// It was off, and a reboot leaves it so.
    StaysOff,
    /// It is dead, which is what matters, and did not start again.
    DeadButNotStarted(String),
    /// So it is.
    Observed,
    /// All were asked.
    UnknownDomain,
    /// It was migrated away: whether it runs, only the host that has it now knows, and here it would be a second one.
    Migrated,
    /// It has vanished, and libvirt had not said that it ended it.
    LostSight(Option<String>),
    /// Not all could be asked.
    CouldNotAsk(String),
    /// No group allows it.
    NotPermitted,
    /// It is still there.
    StillThere(Option<String>),
    /// It did not start.
    NotStarted(String),
    /// The time was over before anything was done.
    TooLate,
}

/// The rules.
pub(crate) fn next(
    operation: Operation,
    permission: &Permission,
    wanted: Wanted,
    unknown: Unknown,
    seen: &Seen,
    progress: &Progress,
) -> Next {
    if !permission.is_given() {
        return Next::Answer(Reply::Permission, Reason::NotPermitted);
    }
    let has_begun = progress.orders > 0 || progress.started.is_some();
    match wanted {
        Wanted::Gone if !has_begun => return Next::Abandon,
        Wanted::Late if !has_begun => return Next::Answer(Reply::Fail, Reason::TooLate),
        // What was begun is brought to its end: nobody else would.
        Wanted::Yes | Wanted::Gone | Wanted::Late => {}
    }
    match seen {
        Seen::Unclear { why, may_pass } => unclear(why, *may_pass, has_begun, progress),
        Seen::Nobody if progress.orders == 0 => nobody(operation, unknown, Reason::UnknownDomain),
        // A transient domain is gone when it has ended.
        Seen::Nobody if progress.ended.is_some() => ended(operation, progress),
        // It is gone from here, and not by our order: a migration that was under way ends like that.
        Seen::Nobody => Next::Answer(Reply::Fail, Reason::LostSight(progress.refusal.clone())),
        Seen::There { state: State::ShutOff(ShutOffReason::Migrated), .. } => {
            nobody(operation, unknown, Reason::Migrated)
        }
        Seen::There { state, run } => there(operation, *state, *run, progress),
    }
}

fn unclear(why: &str, may_pass: bool, has_begun: bool, progress: &Progress) -> Next {
    let patience = if has_begun { ENDING } else { AWAY };
    if may_pass && progress.elapsed < patience {
        return Next::Wait(Duration::from_millis(250));
    }
    Next::Answer(Reply::Fail, Reason::CouldNotAsk(why.to_owned()))
}

fn nobody(operation: Operation, unknown: Unknown, reason: Reason) -> Next {
    let reply = match (operation, unknown) {
        (Operation::Status, Unknown::IsOff) => Reply::Off,
        (Operation::Status, Unknown::Fails)
        | (Operation::Off | Operation::On | Operation::Reboot, Unknown::Fails | Unknown::IsOff) => {
            Reply::Fail
        }
    };
    Next::Answer(reply, reason)
}

fn there(operation: Operation, state: State, run: i32, progress: &Progress) -> Next {
    let is_off = is_off(state);
    match operation {
        Operation::Status if is_off => Next::Answer(Reply::Off, Reason::Observed),
        Operation::Status => Next::Answer(Reply::Success, Reason::Observed),
        Operation::On if is_off => start(progress, not_started),
        Operation::On => {
            let reason = if progress.started.is_some() { Reason::Done } else { Reason::Already };
            Next::Answer(Reply::Success, reason)
        }
        Operation::Off | Operation::Reboot if is_off && progress.orders > 0 => {
            ended(operation, progress)
        }
        Operation::Off if is_off => Next::Answer(Reply::Success, Reason::Already),
        Operation::Reboot if is_off => Next::Answer(Reply::Success, Reason::StaysOff),
        Operation::Off | Operation::Reboot => running(operation, run, progress),
    }
}

/// It runs, or stands still with its memory in place, and is not to.
fn running(operation: Operation, run: i32, progress: &Progress) -> Next {
    match (&progress.ended, &progress.started) {
        // It was ended, and runs anew by our order, or by somebody else's.
        (Some(_), Some(_)) if operation == Operation::Reboot => {
            Next::Answer(Reply::Success, Reason::Done)
        }
        (Some((before, _)), None) if operation == Operation::Reboot && *before != run => {
            Next::Answer(Reply::Success, Reason::Done)
        }
        (Some((before, since)), _) if *before == run => {
            if *since < ENDING {
                Next::Wait(Duration::from_millis(50))
            } else {
                Next::Answer(Reply::Fail, Reason::StillThere(None))
            }
        }
        _ if progress.orders >= ATTEMPTS => {
            Next::Answer(Reply::Fail, Reason::StillThere(progress.refusal.clone()))
        }
        _ => Next::Do(Step::End),
    }
}

/// It was ended, and is seen to be so.
fn ended(operation: Operation, progress: &Progress) -> Next {
    match operation {
        Operation::Reboot => {
            start(progress, |why| Next::Answer(Reply::Success, Reason::DeadButNotStarted(why)))
        }
        Operation::Off | Operation::On | Operation::Status => {
            Next::Answer(Reply::Success, Reason::Done)
        }
    }
}

fn start(progress: &Progress, failed: fn(String) -> Next) -> Next {
    match &progress.started {
        None => Next::Do(Step::Start),
        Some(Ok(())) => failed("it was started and is off again".to_owned()),
        Some(Err(why)) => failed(why.clone()),
    }
}

fn not_started(why: String) -> Next {
    Next::Answer(Reply::Fail, Reason::NotStarted(why))
}

/// Only what libvirt calls shut off is.
fn is_off(state: State) -> bool {
    match state {
        State::ShutOff(_) => true,
        State::NoState
        | State::Running(_)
        | State::Blocked
        | State::Paused(_)
        | State::ShuttingDown
        | State::Crashed(_)
        | State::PmSuspended
        | State::Unrecognized { .. } => false,
    }
}

impl Reason {
    /// Whether an administrator should look.
    pub(crate) fn is_trouble(&self) -> bool {
        match self {
            Reason::DeadButNotStarted(_)
            | Reason::CouldNotAsk(_)
            | Reason::StillThere(_)
            | Reason::LostSight(_)
            | Reason::NotStarted(_)
            | Reason::TooLate => true,
            Reason::Done
            | Reason::Already
            | Reason::StaysOff
            | Reason::Observed
            | Reason::UnknownDomain
            | Reason::Migrated
            | Reason::NotPermitted => false,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Done => out.write_str("done"),
            Reason::Already => out.write_str("it was so already"),
            Reason::StaysOff => out.write_str("it is off, and a reboot does not start it"),
            Reason::DeadButNotStarted(why) => {
                write!(out, "it was ended, and could not be started again: {why}")
            }
            Reason::Observed => out.write_str("observed"),
            Reason::UnknownDomain => out.write_str("libvirt knows no such domain"),
            Reason::Migrated => {
                out.write_str("it was migrated to another host, which has to be asked")
            }
            Reason::LostSight(why) => {
                out.write_str("it has vanished from this host without having been ended")?;
                why.as_ref().map_or(Ok(()), |why| write!(out, ": {why}"))
            }
            Reason::CouldNotAsk(why) => write!(out, "libvirt could not be asked: {why}"),
            Reason::NotPermitted => out.write_str("not permitted"),
            Reason::StillThere(None) => out.write_str("it was ended and is still there"),
            Reason::StillThere(Some(why)) => write!(out, "it could not be ended: {why}"),
            Reason::NotStarted(why) => write!(out, "it could not be started: {why}"),
            Reason::TooLate => out.write_str("the time was over before anything was done"),
        }
    }
}

#[cfg(test)]
mod tests;
