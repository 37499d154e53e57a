//! What the others do. Invariant: always a success; a peer that DRBD has refused is not reconnected, and own data is
//! outdated only for a node that Pacemaker knows to be promoted and to stay so.

use duet_ocf::{Action, Next, Notify, Progress, When};

use crate::{
    config::Config,
    decide::{PAUSE, Step, aside, patience, scored},
    facts::{Facts, Kernel},
    observe::Observation,
};

pub(super) fn notify(
    config: &Config,
    notification: Option<&Notify>,
    seen: &Observation,
    progress: &Progress<Step>,
) -> Next<Step> {
    let Some(notification) = notification else { return Next::success() };
    if let Kernel::Silent(_) = seen.kernel {
        return if progress.elapsed < patience(progress) && !progress.remaining.is_zero() {
            Next::wait(PAUSE, "the kernel to tell the state of DRBD")
        } else {
            Next::success()
        };
    }
    let facts = seen.kernel.running();
    match (notification.when, notification.operation) {
        (When::Pre | When::Post, Action::Start) => {
            let reconnect = facts.and_then(|facts| connect(config, facts, seen, progress));
            reconnect.unwrap_or_else(|| match notification.when {
                When::Pre => Next::success(),
                When::Post => scored(config, progress, Next::success()),
            })
        }
        (When::Post, Action::Promote | Action::Demote | Action::Stop) => {
            let outdate = facts.and_then(|facts| outdate(config, facts, progress));
            outdate.unwrap_or_else(|| scored(config, progress, Next::success()))
        }
        (When::Pre | When::Post, _) => Next::success(),
    }
}

/// A peer that starts may have another address than this connection was made for.
fn connect(
    config: &Config,
    facts: &Facts,
    seen: &Observation,
    progress: &Progress<Step>,
) -> Option<Next<Step>> {
    // What was tried here and came to nothing is not tried twice.
    if config.connect_only_after_promote || seen.has_refused(facts) {
        return None;
    }
    let peer = super::start::floating_peer(config, facts);
    aside(Step::Connect { resource: config.resource.clone(), peer }, progress)
}

/// Where a peer's disk is not known: if another node is promoted and stays so, this one's data is old from now on.
fn outdate(config: &Config, facts: &Facts, progress: &Progress<Step>) -> Option<Next<Step>> {
    let promoted = config.promoted_elsewhere().filter(|_| config.stop_outdates_secondary)?;
    let (resource, other) = (config.resource.clone(), promoted.to_owned());
    if !facts.some_peer_unknown() {
        None
    } else if facts.is_primary() {
        aside(Step::ReportTwoPrimaries { resource, other }, progress)
    } else if facts.is_consistent() {
        aside(Step::Outdate { resource, promoted: other }, progress)
    } else {
        None
    }
}
