//! Take it down. Invariant: success only when the kernel has nothing of the resource, or there is no module; neither a
//! broken configuration nor a missing drbdadm keeps it from trying, and the last good copy is not outdated by it.

use duet_ocf::{Next, Progress};

use crate::{
    config::Config,
    decide::{PAUSE, Step, aside, budget, down, secondary, unanswered},
    facts::Kernel,
    observe::Observation,
};

/// How often the removal of the score is tried: an attribute daemon that was restarted is back within a second or two, and outside
/// a cluster there is none.
const REMOVALS: usize = 5;

pub(super) fn stop(config: &Config, seen: &Observation, progress: &Progress<Step>) -> Next<Step> {
    match &seen.kernel {
        Kernel::Silent(why) => unanswered(config, why, budget(progress), progress),
        Kernel::NoModule | Kernel::Unknown(_) => gone(config, progress),
        // Demoting first tells the peers in order; also where a demotion was forgotten.
        Kernel::Known(facts) if facts.is_primary() => secondary(config, facts, seen, progress),
        Kernel::Known(facts) => down(config, facts, seen, progress),
    }
}

/// Book-keeping after it, none of which is worth fencing a node for.
fn gone(config: &Config, progress: &Progress<Step>) -> Next<Step> {
    let taken_down = progress.tried(|step| matches!(step, Step::Down { .. }));
    let was_primary = progress.tried(|step| matches!(step, Step::Secondary { .. }));
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
