//! Whether it could run here. Invariant: 6 only for what no node could satisfy, 5 for what this one lacks; what merely
//! deserves a look is a warning.

use std::time::Duration;

use duet_drbd::{Fencing, Generation, Version};
use duet_ocf::{ExitCode, Next};

use crate::{
    config::Config,
    decide::Step,
    observe::{Configuration, Configured, Observation},
    surroundings::Surroundings,
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

/// How long crm-fence-peer takes at most where its command does not say.
const HANDLER_TIMEOUT: Duration = Duration::from_secs(90);

/// What is no error, and will be one on a bad day.
pub(crate) fn warnings(
    config: &Config,
    module: Option<Version>,
    read: &Configured,
    around: &Surroundings,
) -> Vec<String> {
    let name = &config.resource;
    let fences = |policy: &&Fencing| !matches!(policy, Fencing::DontCare);
    let policy = read.fencing.iter().find(fences);
    let is_stonith = read.fencing.contains(&Fencing::ResourceAndStonith);
    let mut warnings = Vec::new();
    let mut warn = |applies: bool, text: String| {
        if applies {
            warnings.push(text);
        }
    };
    let handler = read.fence_peer.as_deref();
    warn(
        policy.is_some() && handler.is_none(),
        format!(
            "Resource {name} has a fencing policy and no handler fence-peer: nothing is ever fenced, and I/O can stay frozen"
        ),
    );
    warn(
        !read.fencing.is_empty() && policy.is_none() && handler.is_some(),
        format!(
            "Resource {name} has a handler fence-peer and the fencing policy dont-care, under which it is never called"
        ),
    );
    warn(
        policy.is_some() && handler.is_some() && !read.has_unfence,
        format!(
            "Resource {name} has a handler fence-peer and none for unfence-peer: what is fenced stays so"
        ),
    );
    let stonith_is_off = around.fences == Some(false);
    warn(
        is_stonith && stonith_is_off,
        format!(
            "Resource {name} is resource-and-stonith, and the cluster has stonith-enabled=false: I/O freezes and nobody is fenced"
        ),
    );
    warn(
        around.two_node && (stonith_is_off || (policy.is_none() && !read.fencing.is_empty())),
        format!(
            "corosync.conf has two_node, and resource {name} no working fencing: a cut cable can make two Primaries"
        ),
    );
    let limit = handler.map(handler_timeout).filter(|_| policy.is_some());
    if let (Some(limit), Some(promote)) = (limit, around.promote_timeout) {
        warn(
            promote <= limit,
            format!(
                "The promote operation of resource {name} has {} s and its handler fence-peer {} s: it can be killed in the middle of fencing",
                promote.as_secs(),
                limit.as_secs()
            ),
        );
    }
    warn(
        read.allows_two_primaries && config.options.promoted_max == 1 && config.clone_max.is_some(),
        format!(
            "Resource {name} has allow-two-primaries, which the clone with promoted-max=1 does not need"
        ),
    );
    let is_for_8 = handler.is_some_and(|handler| handler.contains("crm-fence-peer.sh"));
    let is_for_9 = handler.is_some_and(|handler| handler.contains("crm-fence-peer.9.sh"));
    match module.map(Version::generation) {
        Some(Generation::V9) => warn(
            is_for_8,
            format!(
                "Resource {name} has 8.4's handler crm-fence-peer.sh under DRBD 9, which wants crm-fence-peer.9.sh"
            ),
        ),
        Some(Generation::V8) => warn(
            is_for_9,
            format!(
                "Resource {name} has 9's handler crm-fence-peer.9.sh under DRBD 8.4, which wants crm-fence-peer.sh"
            ),
        ),
        None => {}
    }
    warnings
}

/// Seconds after `--timeout` or `-t` in a handler's command.
fn handler_timeout(command: &str) -> Duration {
    let words: Vec<&str> = command.split_whitespace().collect();
    let said = words.iter().enumerate().find_map(|(at, word)| match *word {
        "--timeout" | "-t" => words.get(at + 1).copied(),
        word => word.strip_prefix("--timeout="),
    });
    said.and_then(|text| text.parse().ok()).map_or(HANDLER_TIMEOUT, Duration::from_secs)
}
