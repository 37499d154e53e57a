//! Take over what another node gave. Invariant: success only when the domain was seen here with all of it; one that
//! stands still as a migration leaves it is waited for, and never resumed from here.

use std::time::Duration;

use duet_domain::{PausedReason, RunningReason, State};
use duet_ocf::{ExitCode, Next, Progress};

use crate::{
    decide::{Step, nobody_known, patience, unanswered, well},
    observe::{Answer, Document, Observation},
};

const POLL: Duration = Duration::from_millis(250);

pub(super) fn migrate_from(
    source: Option<&str>,
    seen: &Observation,
    progress: &Progress<Step>,
) -> Next<Step> {
    let fail = |reason: String| Next::fail(ExitCode::Generic, reason);
    let name = seen.name();
    let from = source.map(|node| format!(" from {node}")).unwrap_or_default();
    let domain = match &seen.libvirt {
        Answer::NotAsked => {
            return match (nobody_known(seen), &seen.document) {
                (Some(why), _) => fail(why),
                (None, Document::Unusable(why) | Document::Missing(why)) => Next::fail(
                    ExitCode::Installed,
                    format!("{why}; no domain here says that it is this resource's"),
                ),
                (None, Document::Read(_) | Document::NotNeeded) => {
                    fail("libvirt was not asked".to_owned())
                }
            };
        }
        Answer::None { why, silence, silent } => {
            return unanswered(seen, why, *silence, *silent, progress);
        }
        Answer::Known { ours, .. } => ours.as_ref().filter(|domain| domain.is_active()),
    };
    let Some(domain) = domain else {
        // migrate_to has seen it here, so it was here already or it never will be.
        if progress.elapsed >= patience(progress) || progress.remaining.is_zero() {
            return fail(format!("Domain {name} has not arrived{from}: libvirt does not have it"));
        }
        return Next::wait(POLL, format!("domain {name} to arrive{from}"));
    };
    let name = &domain.reference.name;
    let wait = Next::wait(POLL, format!("domain {name}, now {}, to be here{from}", domain.state));
    let lost = || fail(format!("Domain {name} has not arrived{from}: it is {}", domain.state));
    match domain.state {
        State::Running(RunningReason::PostCopyFailed)
        | State::Paused(PausedReason::PostCopyFailed)
        | State::Crashed(_) => lost(),
        State::Running(RunningReason::PostCopy)
        | State::Paused(
            PausedReason::Migration | PausedReason::StartingUp | PausedReason::PostCopy,
        )
        | State::NoState
        | State::ShuttingDown
        | State::Unrecognized { .. } => wait,
        State::Running(_)
        | State::Blocked
        | State::PmSuspended
        // It was paused before it went, by a person or by --suspend.
        | State::Paused(PausedReason::User | PausedReason::Unknown) => well(domain, seen, progress),
        State::Paused(_) | State::ShutOff(_) => lost(),
    }
}
