//! Whether it could run here. Invariant: 6 only for what no node could satisfy, 5 for what this one lacks; what merely
//! deserves a look is a warning.

use duet_drbd::{Generation, Version};
use duet_ocf::{ExitCode, Next};

use crate::{
    config::Config,
    decide::Step,
    observe::{Configuration, Configured, Observation},
};

pub(super) fn validate(config: &Config, seen: &Observation) -> Next<Step> {
    let read = match &seen.configuration {
        Configuration::Unusable { code, why } => return Next::fail(*code, why),
        Configuration::NotAsked => {
            return Next::fail(ExitCode::Generic, "The configuration of DRBD was not read");
        }
        Configuration::Read(read) => read,
    };
    let Some(module) = seen.module else {
        return Next::fail(ExitCode::Installed, "There is no DRBD module for this kernel");
    };
    version(config, module).or_else(|| two_primaries(config, read)).unwrap_or(Next::success())
}

/// Why this version of the module will not do.
pub(super) fn version(config: &Config, module: Version) -> Option<Next<Step>> {
    let (from, before) = (config.from_version, config.before_version);
    if module < from || module >= before {
        let wanted = format!("from {from} on and before {before}");
        let reason = format!("The DRBD module is {module}, wanted is one {wanted}");
        return Some(Next::fail(ExitCode::Installed, reason));
    }
    let max = config.clone_max.unwrap_or(2);
    (module.generation() == Generation::V8 && max > 2).then(|| {
        let reason = format!("clone-max={max}: DRBD {module} has two nodes");
        Next::fail(ExitCode::Configured, reason)
    })
}

/// Two promoted instances need DRBD's consent.
pub(super) fn two_primaries(config: &Config, read: &Configured) -> Option<Next<Step>> {
    let is_missing = config.options.promoted_max > 1 && !read.allows_two_primaries;
    is_missing.then(|| two_primaries_missing(config))
}

pub(super) fn two_primaries_missing(config: &Config) -> Next<Step> {
    let (resource, max) = (&config.resource, config.options.promoted_max);
    let reason =
        format!("promoted-max={max}: resource {resource} does not have allow-two-primaries");
    Next::fail(ExitCode::Configured, reason)
}
