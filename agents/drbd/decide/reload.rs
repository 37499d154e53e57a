//! Changed parameters, and a changed configuration of DRBD. Invariant: nothing is started by it, and a peer that DRBD has
//! refused is not reconnected.

use duet_ocf::{ExitCode, Next, Progress};

use crate::{
    config::Config,
    decide::{Step, aside, patience, scored, unanswered},
    facts::Kernel,
    observe::Observation,
};

pub(super) fn reload(config: &Config, seen: &Observation, progress: &Progress<Step>) -> Next<Step> {
    if let Kernel::Silent(why) = &seen.kernel {
        return unanswered(config, why, patience(progress), progress);
    }
    let resource = &config.resource;
    let Some(facts) = seen.kernel.running() else {
        return Next::fail(ExitCode::Generic, format!("Resource {resource} is not up"));
    };
    let is_apart = config.connect_only_after_promote && !facts.is_primary();
    let step = if is_apart || seen.has_refused(facts) {
        Step::AdjustDisks(resource.clone())
    } else {
        let peer = super::start::floating_peer(config, facts);
        Step::Connect { resource: resource.clone(), peer }
    };
    aside(step, progress).unwrap_or_else(|| scored(config, progress, Next::success()))
}
