//! End it. Invariant: 0 only when none was seen to be left; one that does not listen is killed, and one that cannot be killed is a
//! failure.

use duet_host::processes::Process;
use duet_ocf::{ExitCode, Next, Progress};

use crate::{
    decide::{GRACE, PAUSE, Step, about, unclear},
    observe::{Daemon, Observation},
};

pub(super) fn stop(seen: &Observation, progress: &Progress<Step>) -> Next<Step> {
    match &seen.daemon {
        Daemon::Absent if seen.has_state && !progress.tried(|step| *step == Step::Forget) => {
            Next::Do(Step::Forget)
        }
        Daemon::Absent => Next::success(),
        Daemon::Unclear(why) if progress.remaining.is_zero() => {
            Next::fail(ExitCode::Generic, unclear(why))
        }
        Daemon::Unclear(_) => Next::wait(GRACE / 4, "the process table to be readable"),
        Daemon::Present { process, .. } => end(*process, progress),
    }
}

/// Tell it, give it a moment, kill it.
pub(super) fn end(process: Process, progress: &Progress<Step>) -> Next<Step> {
    let (term, kill) = (Step::Terminate(process), Step::Kill(process));
    if progress.remaining.is_zero() {
        return Next::fail(ExitCode::Generic, about(process, "does not end"));
    }
    match progress.since(|step| *step == term) {
        None => Next::Do(term),
        Some(ago) if ago < GRACE => Next::wait(PAUSE, "drbd-watchd to end"),
        Some(_) if progress.since(|step| *step == kill).is_none_or(|ago| ago >= GRACE) => {
            Next::Do(kill)
        }
        Some(_) => Next::wait(PAUSE, "drbd-watchd to be gone"),
    }
}
