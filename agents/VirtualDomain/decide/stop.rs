//! Bring it down: ask, wait, end it while there is still time for that. Invariant: success only when libvirt
//! says that the domain is shut off or that there is none, when nothing says who it could be, or when libvirt cannot
//! be asked and what without.rs demands was seen.

use std::time::Duration;

use duet_domain::{Ailment, Health, OnPausedByError, PausedReason, State, health};
use duet_libvirt_rpc::{DomainRef, ShutdownFlags};
use duet_ocf::{ExitCode, Next, Progress};

use crate::{
    config::Config,
    decide::{
        Step, budget, has_forgotten, nobody_known,
        snapshot::{self, Save},
        unfinished::left_over,
        upkeep,
        without::{self, Silent},
    },
    observe::{Answer, Domain, Observation, Silence},
};

/// What libvirt may need to end a domain: it waits 10 s between TERM and KILL, then releases the devices.
const DESTROY_RESERVE: Duration = Duration::from_secs(15);
/// An end that was ordered is ordered again after this long; sooner where little time is left.
pub(super) const BETWEEN_DESTROYS: Duration = Duration::from_secs(5);
/// A request that failed is repeated after this long,
const BETWEEN_REQUESTS: Duration = Duration::from_secs(2);
/// until it was made so many times.
const REQUESTS: usize = 3;
pub(super) const POLL: Duration = Duration::from_millis(500);
/// An end that was ordered comes soon.
pub(super) const SOON: Duration = Duration::from_millis(100);

/// The end of the operation that is kept for ending the domain: not more than a third of it, since the
/// guest's own way down is the better one.
pub(super) fn reserve(progress: &Progress<Step>) -> Duration {
    DESTROY_RESERVE.min(budget(progress) / 3)
}

pub(super) fn stop(config: &Config, seen: &Observation, progress: &Progress<Step>) -> Next<Step> {
    let domain = match &seen.libvirt {
        Answer::None { why, silence, silent } => {
            return without::stop(
                config,
                seen,
                &Silent { why, silence: *silence, silent: *silent },
                progress,
            );
        }
        // It was seen gone by the memory that has been removed since.
        Answer::NotAsked if has_forgotten(progress) => {
            return gone(seen, progress);
        }
        Answer::NotAsked => match nobody_known(seen) {
            Some(why) => return Next::fail(ExitCode::Generic, why),
            // Nothing says who it could be, so it was never started here.
            None => return gone(seen, progress),
        },
        // Nobody but perhaps a namesake is there, who is somebody else's business.
        Answer::Known { ours: None, .. } => return gone(seen, progress),
        Answer::Known { ours: Some(domain), .. } if !domain.is_active() => {
            return gone(seen, progress);
        }
        Answer::Known { ours: Some(domain), .. } => domain,
    };
    if progress.remaining.is_zero() {
        return still_there(domain, progress);
    }
    // It hears no request. Its definition may be older than the file, and its memory older than the disks.
    if left_over(config, domain, seen).is_some() {
        return end(&domain.reference, progress);
    }
    if let Some(step) = upkeep::save_first(config, &domain.reference, reserve(progress), progress) {
        return Next::Do(step);
    }
    let end = |domain: &Domain| end(&domain.reference, progress);
    if config.force_stop || progress.tried(|step| is_destroy(step, &domain.reference)) {
        return end(domain);
    }
    let time_to_ask = progress.remaining.saturating_sub(reserve(progress));
    if time_to_ask.is_zero() {
        return end(domain);
    }
    // What a migration left standing still, on either side, hears no request and may never go on by itself. Saving it
    // would keep half of a guest.
    if is_half_migrated(domain.state) {
        return end(domain);
    }
    match snapshot::before_shutdown(config, seen, domain, time_to_ask, progress) {
        Some(Save::Next(next)) => return next,
        Some(Save::Hopeless) => return end(domain),
        None => {}
    }
    let asked = progress.last(|step| is_request(step, &domain.reference));
    // What a monitor makes of an error is an option; that such a guest will not shut itself down is not.
    match health(domain.state, OnPausedByError::Fail) {
        Health::Leaving => going_down(domain, time_to_ask),
        // Between its process's end and its own, libvirt has a domain in no clear state.
        Health::Ailing(Ailment::Unclear) if asked.is_some_and(|asked| asked.failure.is_none()) => {
            going_down(domain, time_to_ask)
        }
        Health::Ailing(Ailment::Crashed | Ailment::Unclear) => end(domain),
        Health::Healthy | Health::Ailing(Ailment::PausedByError(_)) | Health::Gone => match asked {
            None => Next::Do(Step::RequestShutdown {
                domain: domain.reference.clone(),
                how: config.shutdown_mode,
                limit: time_to_ask,
            }),
            Some(asked) if asked.failure.is_some() => {
                ask_again_or_end(domain, time_to_ask, progress)
            }
            Some(_) => going_down(domain, time_to_ask),
        },
    }
}

/// Arriving, or left behind, by a migration: libvirt would make a request wait for it.
fn is_half_migrated(state: State) -> bool {
    matches!(
        state,
        State::Paused(
            PausedReason::Migration
                | PausedReason::StartingUp
                | PausedReason::PostCopy
                | PausedReason::PostCopyFailed
        )
    )
}

/// Looks again soon, and never later than the moment at which it has to be ended: of a timeout of one
/// second, two pauses would leave nothing for that.
fn going_down(domain: &Domain, time_to_ask: Duration) -> Next<Step> {
    let pause = POLL.min(time_to_ask);
    Next::wait(pause, format!("domain {} to shut down", domain.reference.name))
}

/// The request failed and the domain is still there. A paused guest cannot follow it and is ended at once; a running one
/// most likely had its libvirt restarted under the request, which is no reason to cut its power.
fn ask_again_or_end(
    domain: &Domain,
    time_to_ask: Duration,
    progress: &Progress<Step>,
) -> Next<Step> {
    let is_request = |step: &Step| is_request(step, &domain.reference);
    let can_follow = matches!(domain.state, State::Running(_) | State::Blocked);
    if !can_follow || progress.count(is_request) >= REQUESTS {
        return end(&domain.reference, progress);
    }
    match progress.since(is_request) {
        Some(ago) if ago < BETWEEN_REQUESTS => going_down(domain, time_to_ask),
        // libvirt's own choice: a way that cannot be gone is no reason to cut the power.
        Some(_) | None => Next::Do(Step::RequestShutdown {
            domain: domain.reference.clone(),
            how: ShutdownFlags::ANY,
            limit: time_to_ask,
        }),
    }
}

pub(super) fn gone(seen: &Observation, progress: &Progress<Step>) -> Next<Step> {
    if let Some(step) = snapshot::to_seal(seen, progress) {
        return Next::Do(step);
    }
    let is_remembered = seen.remembered.is_some() || seen.unclear.is_some();
    // Book-keeping that time does not allow any more is no reason to fence a node.
    if !is_remembered || has_forgotten(progress) || progress.remaining.is_zero() {
        return Next::success();
    }
    let name = seen.remembered.as_ref().map_or_else(|| seen.name(), |identity| &identity.name);
    // libvirt answers some questions ahead of orders that wait: only its end is the end of those.
    let ended = matches!(seen.libvirt, Answer::None { silence: Silence::Nobody, .. });
    Next::Do(if seen.unfinished.is_some() && !ended {
        Step::GiveUp(name.to_owned())
    } else {
        Step::Forget(name.to_owned())
    })
}

/// Whether it asks this domain. What was done to the remembered one says nothing about the one that
/// the definition names, where both run.
fn is_request(step: &Step, domain: &DomainRef) -> bool {
    matches!(step, Step::RequestShutdown { domain: asked, .. } if asked.uuid == domain.uuid)
}

fn is_destroy(step: &Step, domain: &DomainRef) -> bool {
    matches!(step, Step::Destroy(ended) if ended.uuid == domain.uuid)
}

/// Of the time that is left, half: even a stop of a second orders the end more than once.
fn between_destroys(progress: &Progress<Step>) -> Duration {
    BETWEEN_DESTROYS.min(progress.remaining / 2)
}

pub(super) fn end(domain: &DomainRef, progress: &Progress<Step>) -> Next<Step> {
    match progress.since(|step| is_destroy(step, domain)) {
        Some(ago) if ago < between_destroys(progress) => {
            Next::wait(SOON, format!("domain {} to be gone", domain.name))
        }
        Some(_) | None => Next::Do(Step::Destroy(domain.clone())),
    }
}

fn still_there(domain: &Domain, progress: &Progress<Step>) -> Next<Step> {
    let tried = progress.last(|step| is_destroy(step, &domain.reference));
    let why = tried.and_then(|tried| tried.failure.as_ref()?.reason.clone());
    let why = why.map(|why| format!(": {why}")).unwrap_or_default();
    let (name, state) = (&domain.reference.name, domain.state);
    Next::fail(ExitCode::Generic, format!("Domain {name} is still {state}{why}"))
}
