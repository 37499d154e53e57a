//! Secondary to Primary, as far as DRBD allows it. Invariant: success only when the kernel says Primary; nothing is
//! forced, so a connected Primary peer, missing data and a fencing that failed are never overridden.

use std::time::Duration;

use duet_ocf::{ExitCode, Next, Progress};

use crate::{
    config::Config,
    decide::{PAUSE, Step, aside, budget, ended_or_wait, last_failure, scored, unanswered},
    facts::{Facts, Kernel},
    observe::{Configuration, Observation, Roles},
    score::is_unexpected_primary,
};

/// A promotion that fails takes at least so long: Pacemaker would try the next one at once, and each of them can
/// have a peer fenced.
const PACE: Duration = Duration::from_secs(15);

pub(super) fn promote(
    config: &Config,
    seen: &Observation,
    progress: &Progress<Step>,
) -> Next<Step> {
    if config.options.promoted_max > 1 {
        match &seen.configuration {
            Configuration::Unusable { code, why } => return Next::fail(*code, why),
            Configuration::Read(read) if !read.allows_two_primaries => {
                return super::validate::two_primaries_missing(config);
            }
            Configuration::Read(_) | Configuration::NotAsked => {}
        }
    }
    match &seen.kernel {
        Kernel::Silent(why) => unanswered(config, why, budget(progress), progress),
        Kernel::NoModule | Kernel::Unknown(_) => not_up(config),
        Kernel::Known(facts) if is_whole(facts, seen, progress) => {
            promoted(config, facts, progress)
        }
        Kernel::Known(facts) if facts.is_unconfigured() => not_up(config),
        Kernel::Known(facts) => attempt(config, facts, seen, progress),
    }
}

/// Whether all of it is Primary. Where nobody says that, the tool's own word is better than nothing: it goes through the volumes, and
/// fails at the first that is refused.
fn is_whole(facts: &Facts, seen: &Observation, progress: &Progress<Step>) -> bool {
    let has_failed = progress.last(is_primary).is_some_and(|tried| tried.failure.is_some());
    facts.is_primary()
        && match &seen.roles {
            Roles::Alike => true,
            Roles::Mixed(_) => false,
            Roles::NotKnown => !has_failed,
        }
}

fn not_up(config: &Config) -> Next<Step> {
    let resource = &config.resource;
    Next::fail(ExitCode::Generic, format!("Resource {resource} is not up and cannot be promoted"))
}

fn promoted(config: &Config, facts: &Facts, progress: &Progress<Step>) -> Next<Step> {
    // Without connections on purpose until now, so it is nobody's refusal that this overrides.
    let is_ours = progress.tried(is_primary) || facts.stand_alone().next().is_none();
    if config.connect_only_after_promote && is_ours {
        let connect = Step::Connect { resource: config.resource.clone(), peer: None };
        if let Some(step) = aside(connect, progress) {
            return step;
        }
    }
    scored(config, progress, Next::success())
}

/// At least one real attempt is made: it makes DRBD ask the peer whether it is alive.
fn attempt(
    config: &Config,
    facts: &Facts,
    seen: &Observation,
    progress: &Progress<Step>,
) -> Next<Step> {
    let resource = &config.resource;
    let said = last_failure(is_primary, progress).map(|why| format!(": {why}")).unwrap_or_default();
    if seen.access.is_refused() {
        // This includes a fencing that failed while own data is only Consistent, and is not to be repeated.
        let why = format!("Resource {resource} has no access to UpToDate data{said}");
        return scored(config, progress, paced(why, progress));
    }
    let tried = progress.tried(is_primary);
    let is_unexpected = is_unexpected_primary(facts, &config.options, seen.elsewhere);
    if tried && config.fail_promote_early && is_unexpected {
        let peer = facts.primary_peer().map(ToString::to_string).unwrap_or_default();
        let why = format!("Resource {resource} is Primary on {peer}{said}");
        let drop = aside(Step::DropScore(resource.clone()), progress);
        return drop.unwrap_or_else(|| paced(why, progress));
    }
    let is_paused = progress.since(is_primary).is_some_and(|ago| ago < PAUSE);
    if progress.remaining.is_zero() || is_paused {
        let why = match &seen.roles {
            Roles::Mixed(minors) => {
                let minors: Vec<_> = minors.iter().map(ToString::to_string).collect();
                format!("Resource {resource} is not Primary in minor {}{said}", minors.join(", "))
            }
            Roles::NotKnown => format!("Resource {resource} is not Primary in every volume{said}"),
            Roles::Alike => format!("Resource {resource} is still {}{said}", facts.role),
        };
        return ended_or_wait(why, "DRBD to allow the promotion", progress);
    }
    Next::Do(Step::Primary(resource.clone()))
}

/// The end of a promotion that DRBD refused, not too early.
fn paced(why: String, progress: &Progress<Step>) -> Next<Step> {
    let early = PACE.saturating_sub(progress.elapsed);
    if early.is_zero() || progress.remaining.is_zero() {
        Next::fail(ExitCode::Generic, why)
    } else {
        Next::wait(early, "the next promotion not to follow too soon")
    }
}

fn is_primary(step: &Step) -> bool {
    matches!(step, Step::Primary(_))
}
