//! When what is beside the guest is looked after. Invariant: after the answer about the guest itself, never in a probe, and
//! only a monitor script that fails takes part in that answer.

use std::time::Duration;

use duet_libvirt_rpc::DomainRef;
use duet_ocf::{ExitCode, Next, Progress};

use crate::{
    config::Config,
    decide::{Step, well},
    observe::{Domain, Observation},
    upkeep::{Save, Task},
};

/// As much as book-keeping may take of an operation.
const LONGEST: Duration = Duration::from_secs(20);
/// Between two attempts of a start whose scripts have failed.
const BETWEEN_ATTEMPTS: Duration = Duration::from_secs(1);

/// A recurring monitor saw the guest well: scripts, utilization, definition, in the stock agent's order. `domain` is
/// libvirt's word; none where only the guest's process is known, of which nothing can be saved.
pub(super) fn monitored(
    config: &Config,
    domain: Option<&Domain>,
    seen: &Observation,
    progress: &Progress<Step>,
) -> Next<Step> {
    let remembered = domain.map_or_else(Next::success, |domain| well(domain, seen, progress));
    if remembered != Next::success() {
        return remembered;
    }
    // A tenth is for the look after them.
    let limit = progress.remaining.saturating_sub(progress.remaining / 10);
    match scripts(config, progress) {
        Scripts::NotRun => return run_scripts(limit),
        Scripts::Failed(why) => return Next::fail(ExitCode::Generic, why),
        Scripts::None | Scripts::Passed => {}
    }
    let limit = (progress.remaining / 2).min(LONGEST);
    if limit.is_zero() {
        return Next::success();
    }
    let update = seen.upkeep.utilization.as_ref().filter(|_| {
        !progress.tried(|step| matches!(step, Step::Upkeep(Task::UpdateUtilization { .. })))
    });
    if let Some(update) = update {
        let update = update.clone();
        return Next::Do(Step::Upkeep(Task::UpdateUtilization { update, limit }));
    }
    match domain.and_then(|domain| save(config, &domain.reference, limit, progress)) {
        Some(step) => Next::Do(step),
        None => Next::success(),
    }
}

/// A start, or the target of a migration, saw the guest well. Scripts that fail are given the time that a guest needs
/// until its services are there: until the operation's is over.
pub(super) fn started(
    config: &Config,
    domain: &Domain,
    seen: &Observation,
    progress: &Progress<Step>,
) -> Next<Step> {
    let remembered = well(domain, seen, progress);
    if remembered != Next::success() {
        return remembered;
    }
    // Half of what is left, so that one that hangs can be tried again.
    let limit = progress.remaining / 2;
    let since = progress.since(is_run_of_scripts).unwrap_or_default();
    match scripts(config, progress) {
        Scripts::None | Scripts::Passed => Next::success(),
        Scripts::Failed(why) if progress.remaining.is_zero() => {
            Next::fail(ExitCode::Generic, format!("{why}; it was tried until the time was over"))
        }
        // In the last second, an attempt would tell less than the one before.
        Scripts::Failed(_) if since.min(progress.remaining) < BETWEEN_ATTEMPTS => {
            Next::wait(BETWEEN_ATTEMPTS, "the monitor scripts to succeed")
        }
        Scripts::NotRun | Scripts::Failed(_) => run_scripts(limit),
    }
}

/// What comes before bringing the domain up, once.
pub(super) fn before_start(seen: &Observation, progress: &Progress<Step>) -> Option<Step> {
    let tried = progress.tried(|step| matches!(step, Step::Upkeep(Task::OrderShutdown { .. })));
    let limit = (progress.remaining / 4).min(LONGEST);
    (seen.upkeep.has_no_shutdown_order && !tried && !limit.is_zero())
        .then_some(Step::Upkeep(Task::OrderShutdown { limit }))
}

/// What comes before the active `domain` is stopped or sent away, and after it has arrived, once: its definition is
/// saved while libvirt still has it. `needed` is the time that the rest of the operation must be left.
pub(super) fn save_first(
    config: &Config,
    domain: &DomainRef,
    needed: Duration,
    progress: &Progress<Step>,
) -> Option<Step> {
    let limit = (progress.remaining.saturating_sub(needed) / 3).min(LONGEST);
    save(config, domain, limit, progress).filter(|_| !limit.is_zero())
}

fn save(
    config: &Config,
    domain: &DomainRef,
    limit: Duration,
    progress: &Progress<Step>,
) -> Option<Step> {
    let tried = progress.tried(|step| matches!(step, Step::Upkeep(Task::SaveDefinition { .. })));
    (config.upkeep.save != Save::Never && !tried)
        .then(|| Step::Upkeep(Task::SaveDefinition { domain: domain.clone(), limit }))
}

/// How the latest run of the scripts went.
enum Scripts {
    None,
    NotRun,
    Passed,
    Failed(String),
}

fn scripts(config: &Config, progress: &Progress<Step>) -> Scripts {
    if config.upkeep.scripts.is_empty() {
        return Scripts::None;
    }
    match progress.last(is_run_of_scripts).map(|ran| &ran.failure) {
        None => Scripts::NotRun,
        Some(None) => Scripts::Passed,
        Some(Some(failure)) => Scripts::Failed(failure.reason.clone().unwrap_or_default()),
    }
}

fn is_run_of_scripts(step: &Step) -> bool {
    matches!(step, Step::Upkeep(Task::RunScripts { .. }))
}

fn run_scripts(limit: Duration) -> Next<Step> {
    Next::Do(Step::Upkeep(Task::RunScripts { limit }))
}
