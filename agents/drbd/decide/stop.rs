//! Take it down. Invariant: success only when the kernel has nothing of the resource, or there is no module; neither a
//! broken configuration nor a missing drbdadm keeps it from trying, and the last good copy is not outdated by it.

use duet_ocf::{Next, Progress};

use crate::{
    config::Config,
    decide::{PAUSE, Step, Was, aside, budget, by_turns, down, secondary, unanswered},
    facts::Kernel,
    observe::Observation,
};

/// For this part of its time a stop only looks where the kernel does not answer.
const LOOKS_ONLY: u32 = 4;
/// How often the removal of the score is tried: an attribute daemon that was restarted is back within a second or two, and outside
/// a cluster there is none.
const REMOVALS: usize = 5;

pub(super) fn stop(config: &Config, seen: &Observation, progress: &Progress<Step>) -> Next<Step> {
    match &seen.kernel {
        Kernel::Silent(why) => unseen(config, why, progress),
        Kernel::NoModule | Kernel::Unknown(_) => gone(config, progress),
        // Demoting first tells the peers in order; also where a demotion was forgotten.
        Kernel::Known(facts) if facts.is_primary() => secondary(config, facts, seen, progress),
        Kernel::Known(facts) => down(config, facts, seen, progress),
    }
}

/// The kernel does not say what there is. After a while it is taken down all the same: DRBD itself demotes it first, and refuses
/// while somebody has it open. That it is gone has still to be seen.
fn unseen(config: &Config, why: &str, progress: &Progress<Step>) -> Next<Step> {
    let is_down = |step: &Step| matches!(step, Step::Down { .. });
    let is_done = progress.last(is_down).is_some_and(|tried| tried.failure.is_none());
    if progress.elapsed >= budget(progress) / LOOKS_ONLY && !is_done {
        let step = |by| Step::Down { resource: config.resource.clone(), by, was: Was::Unseen };
        if let Some(step) = by_turns(is_down, step, progress) {
            return step;
        }
    }
    unanswered(config, why, budget(progress), progress)
}

/// Book-keeping after it, none of which is worth fencing a node for.
fn gone(config: &Config, progress: &Progress<Step>) -> Next<Step> {
    let taken_down = progress.tried(|step| matches!(step, Step::Down { .. }));
    // Of what could not be seen it is not known that it was not Primary.
    let was_primary = progress
        .tried(|step| matches!(step, Step::Secondary { .. } | Step::Down { was: Was::Unseen, .. }));
    let promoted = config
        .promoted_elsewhere()
        .filter(|_| config.stop_outdates_secondary && taken_down && !was_primary);
    if let Some(promoted) = promoted {
        let (resource, promoted) = (config.resource.clone(), promoted.to_owned());
        if let Some(step) = aside(Step::Outdate { resource, promoted }, progress) {
            return step;
        }
    }
    withdraw(config, progress)
}

/// That there is nothing was seen, so the score goes without another look; what fails is tried again while there is time. If it
/// stays, so does the record, by which the next look at this resource removes it.
fn withdraw(config: &Config, progress: &Progress<Step>) -> Next<Step> {
    let is_withdraw = |step: &Step| matches!(step, Step::Withdraw(_));
    let latest = progress.last(is_withdraw);
    let is_done = latest.is_some_and(|tried| tried.failure.is_none());
    if is_done || progress.remaining.is_zero() || progress.count(is_withdraw) >= REMOVALS {
        return Next::success();
    }
    if progress.since(is_withdraw).is_some_and(|ago| ago < PAUSE) {
        return Next::wait(PAUSE, "the promotion score to be removed");
    }
    Next::Do(Step::Withdraw(config.resource.clone()))
}
