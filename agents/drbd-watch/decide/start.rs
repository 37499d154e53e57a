//! Start it. Invariant: success only when it is seen to live and to follow; never a second one beside one that is there, and one
//! that was told something else, has gone silent or cannot look, is ended first.

use std::time::Duration;

use duet_ocf::{ExitCode, Next, Progress};

use crate::{
    decide::{PAUSE, Step, about, complaint, is_frozen, stop, unclear, validate},
    observe::{Daemon, Observation, Told},
};

/// How long one that was started may take to be seen in the process table.
const BIRTH: Duration = Duration::from_secs(1);

pub(super) fn start(seen: &Observation, progress: &Progress<Step>) -> Next<Step> {
    if !seen.missing.is_empty() {
        return validate(seen);
    }
    match &seen.daemon {
        Daemon::Unclear(why) => Next::fail(ExitCode::Generic, unclear(why)),
        Daemon::Absent => absent(progress),
        Daemon::Present { process, duty: Told::Otherwise, .. } => stop::end(*process, progress),
        Daemon::Present { process, duty: Told::Same, says } => match complaint(says) {
            None => Next::success(),
            Some(_) if is_frozen(says) => stop::end(*process, progress),
            Some(why) if progress.remaining.is_zero() => {
                Next::fail(ExitCode::Generic, about(*process, &why))
            }
            Some(_) => Next::wait(PAUSE, "drbd-watchd to follow DRBD"),
        },
    }
}

fn absent(progress: &Progress<Step>) -> Next<Step> {
    let spawned = progress.last(|step| *step == Step::Spawn);
    if progress.remaining.is_zero() {
        let failure = spawned.and_then(|spawned| spawned.failure.as_ref()?.reason.clone());
        let why = failure.unwrap_or_else(|| "drbd-watchd ended at once; see the log".to_owned());
        return Next::fail(ExitCode::Generic, why);
    }
    match progress.since(|step| *step == Step::Spawn) {
        Some(ago) if ago < BIRTH => Next::wait(PAUSE, "drbd-watchd to be there"),
        Some(_) | None => Next::Do(Step::Spawn),
    }
}
