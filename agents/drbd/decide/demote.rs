//! Primary to Secondary. Invariant: success only when the kernel says Secondary.

use duet_ocf::{Next, Progress};

use crate::{
    config::Config,
    decide::{Step, budget, not_running, scored, secondary, unanswered},
    facts::Kernel,
    observe::Observation,
};

pub(super) fn demote(config: &Config, seen: &Observation, progress: &Progress<Step>) -> Next<Step> {
    match &seen.kernel {
        Kernel::Silent(why) => unanswered(config, why, budget(progress), progress),
        Kernel::NoModule | Kernel::Unknown(_) => Next::Done(not_running(config, &seen.kernel)),
        Kernel::Known(facts) if facts.is_primary() => secondary(config, facts, seen, progress),
        Kernel::Known(facts) if facts.is_unconfigured() => {
            Next::Done(not_running(config, &seen.kernel))
        }
        Kernel::Known(_) => scored(config, progress, Next::success()),
    }
}
