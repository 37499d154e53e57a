//! Take it down. Invariant: success only when the kernel has nothing of the resource, or there is no module; neither a
//! broken configuration nor a missing drbdadm keeps it from trying, and the last good copy is not outdated by it.

use duet_ocf::{Next, Progress};

use crate::{
    config::Config,
    decide::{Step, aside, budget, down, scored, secondary, unanswered},
    facts::Kernel,
    observe::Observation,
};

pub(super) fn stop(config: &Config, seen: &Observation, progress: &Progress<Step>) -> Next<Step> {
    match &seen.kernel {
        Kernel::Silent(why) => unanswered(config, why, budget(progress), progress),
        Kernel::NoModule | Kernel::Unknown(_) => gone(config, seen, progress),
        // Demoting first tells the peers in order; also where a demotion was forgotten.
        Kernel::Known(facts) if facts.is_primary() => secondary(config, facts, seen, progress),
        Kernel::Known(facts) => down(config, facts, seen, progress),
    }
}

/// Book-keeping after it, none of which is worth fencing a node for.
fn gone(config: &Config, seen: &Observation, progress: &Progress<Step>) -> Next<Step> {
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
    let forget = || {
        let step = seen.remembered.exists.then(|| Step::Forget(config.resource.clone()));
        step.and_then(|step| aside(step, progress)).unwrap_or(Next::success())
    };
    scored(config, progress, forget())
}
