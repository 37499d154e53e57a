//! Domains that a start has created and nobody has let run. Invariant: a domain runs only by the start that created it,
//! after libvirt's yes to that and before its time is over; whatever else stands still here after a start that was not
//! seen to succeed is ended, never resumed.

use std::time::Duration;

use duet_domain::{PausedReason, State};
use duet_libvirt_rpc::DomainRef;
use duet_ocf::{ExitCode, Next, Progress};

use crate::{
    config::Config,
    decide::{Step, stop},
    observe::{Domain, Observation},
};

/// Between two requests to let it run, of which the first was lost with the connection.
const BETWEEN_REQUESTS: Duration = Duration::from_secs(1);

/// Whether a domain is as its creation leaves it: `paused (user)`, from a memory image `paused (migrating)`; libvirt is at it
/// while it says `paused (starting up)` (seen with libvirt 9.0 and QEMU 7.2).
fn stands_still(config: &Config, domain: &Domain) -> bool {
    match domain.state {
        State::Paused(PausedReason::User | PausedReason::StartingUp) => true,
        State::Paused(PausedReason::Migration) => config.snapshot.is_some(),
        State::NoState
        | State::Running(_)
        | State::Blocked
        | State::Paused(_)
        | State::ShuttingDown
        | State::ShutOff(_)
        | State::Crashed(_)
        | State::PmSuspended
        | State::Unrecognized { .. } => false,
    }
}

/// Why a domain that libvirt has is nobody's guest: a start that was not seen to succeed has left it standing still. It has
/// run nothing yet, and must not any more: its disks were opened when it was created, and others may have written to
/// them since.
pub(super) fn left_over(config: &Config, domain: &Domain, seen: &Observation) -> Option<String> {
    let DomainRef { name, .. } = &domain.reference;
    let state = domain.state;
    (seen.unfinished.is_some() && stands_still(config, domain))
        .then(|| format!("Domain {name} is {state}: a start of it here was begun and not finished"))
}

/// What a start has to do with a domain that stands still; nothing where that is not a start's doing.
pub(super) fn go_on(
    config: &Config,
    domain: &Domain,
    seen: &Observation,
    progress: &Progress<Step>,
) -> Option<Next<Step>> {
    if !stands_still(config, domain) {
        return None;
    }
    if !is_own(progress) {
        let why = left_over(config, domain, seen)?;
        return Some(if progress.remaining.is_zero() {
            Next::fail(ExitCode::Generic, why)
        } else {
            stop::end(&domain.reference, progress)
        });
    }
    let name = &domain.reference.name;
    let wait = Next::wait(stop::SOON, format!("domain {name} to run"));
    let resume = || Next::Do(Step::Resume(domain.reference.clone()));
    let is_resume = |step: &Step| matches!(step, Step::Resume(_));
    match (progress.last(is_resume), progress.since(is_resume)) {
        // It was seen running since, and a person has paused it.
        (Some(resumed), _) if resumed.failure.is_none() && seen.unfinished.is_none() => None,
        _ if progress.remaining.is_zero() => {
            let why = format!("Domain {name} was created, and is {} still", domain.state);
            Some(Next::fail(ExitCode::Generic, why))
        }
        // libvirt is at it: see the caller.
        _ if domain.state == State::Paused(PausedReason::StartingUp) => None,
        (Some(resumed), _) if resumed.failure.is_none() => Some(wait),
        (Some(_), Some(ago)) if ago < BETWEEN_REQUESTS => Some(wait),
        (Some(_) | None, _) => Some(resume()),
    }
}

/// Whether libvirt has said yes to the latest creation, and this operation has ordered no end since. An order that got no
/// answer may be another one's domain.
fn is_own(progress: &Progress<Step>) -> bool {
    let of_start =
        |step: &Step| matches!(step, Step::Create { .. } | Step::Restore { .. } | Step::Destroy(_));
    progress
        .last(of_start)
        .is_some_and(|latest| latest.failure.is_none() && !matches!(latest.step, Step::Destroy(_)))
}
