//! Bring it down without libvirt: the guest's own process is ended. Invariant: success only when no process is the
//! guest's any more, and no libvirt that merely does not answer can still be about to start it.

use std::time::Duration;

use duet_host::processes::Process;
use duet_ocf::{ExitCode, Next, Progress};

use crate::{
    config::Config,
    decide::{
        Step, about_to_start, is_borne_with_on_the_way_out, may_still_start,
        stop::{BETWEEN_DESTROYS, POLL, SOON, gone, reserve},
        unanswered,
    },
    observe::{Observation, Silence},
    process::Processes,
};

/// A libvirt that gives no answer.
pub(super) struct Silent<'a> {
    pub(super) why: &'a str,
    pub(super) silence: Silence,
    /// For how long.
    pub(super) silent: Duration,
}

pub(super) fn stop(
    config: &Config,
    seen: &Observation,
    libvirt: &Silent<'_>,
    progress: &Progress<Step>,
) -> Next<Step> {
    let Silent { why, silence, silent } = *libvirt;
    let may_come_back = is_borne_with_on_the_way_out(silence, silent, progress);
    let ended = progress.tried(|step| matches!(step, Step::EndProcess { .. }));
    match &seen.processes {
        Processes::Found(process) => {
            let in_time = !progress.remaining.saturating_sub(reserve(progress)).is_zero();
            // Only libvirt can ask the guest itself to shut down.
            if may_come_back && in_time && !ended && !config.force_stop {
                return Next::wait(POLL, "libvirt to be reachable");
            }
            end(seen, *process, progress)
        }
        // It was there, so nothing was still to be started.
        Processes::NoneSeen if ended || was_there(progress) => gone(seen, progress),
        Processes::NoneSeen if may_come_back => unanswered(seen, why, silence, silent, progress),
        Processes::NoneSeen if !may_still_start(seen, silence) => gone(seen, progress),
        // There is nothing else to do than to give it all the time there is.
        Processes::NoneSeen if !progress.remaining.is_zero() => {
            Next::wait(POLL, "libvirt to answer")
        }
        Processes::NoneSeen => about_to_start(seen, why),
        Processes::NotLooked | Processes::CouldNotLook(_) => {
            // A process that is ending needs a moment.
            if ended && !progress.remaining.is_zero() {
                return Next::wait(SOON, "the process table to be clear");
            }
            unanswered(seen, why, silence, silent, progress)
        }
    }
}

/// Whether libvirt, before it fell silent, was asked to do something to the running domain; or an earlier look
/// had the memory of it that has been removed since.
fn was_there(progress: &Progress<Step>) -> bool {
    progress.tried(|step| {
        matches!(
            step,
            Step::RequestShutdown { .. }
                | Step::Save { .. }
                | Step::Destroy(_)
                | Step::Forget(_)
                | Step::GiveUp(_)
        )
    })
}

/// TERM, which lets QEMU write out what it has, then KILL. A quarter of the reserve has to pass between them.
fn end(seen: &Observation, process: Process, progress: &Progress<Step>) -> Next<Step> {
    let name = seen.name();
    let is = |step: &Step, by_kill: bool| match step {
        Step::EndProcess { process: ended, kill, .. } => *ended == process && *kill == by_kill,
        _ => false,
    };
    if progress.remaining.is_zero() {
        let refusal = |fits: &dyn Fn(&Step) -> bool| {
            let why = progress.last(fits)?.failure.as_ref()?.reason.as_ref()?;
            Some(format!(": {why}"))
        };
        let of_libvirt = refusal(&|step| matches!(step, Step::Destroy(_)));
        let of_process = refusal(&|step| is(step, true) || is(step, false));
        let why = of_libvirt.into_iter().chain(of_process).collect::<String>();
        return Next::fail(
            ExitCode::Generic,
            format!("Process {} of domain {name} is still there{why}", process.pid),
        );
    }
    let step = |kill| Next::Do(Step::EndProcess { process, name: name.to_owned(), kill });
    let wait = Next::wait(SOON, format!("process {} of domain {name} to end", process.pid));
    let reserve = reserve(progress);
    let pause = reserve / 4;
    match (progress.since(|step| is(step, false)), progress.since(|step| is(step, true))) {
        (_, Some(ago)) if ago < BETWEEN_DESTROYS => wait,
        (_, Some(_)) => step(true),
        (None, None) => step(progress.remaining <= pause),
        (Some(ago), None) if progress.remaining <= reserve && ago >= pause => step(true),
        (Some(_), None) => wait,
    }
}
