//! What comes next, for every action. Invariant: pure; "not running", and a stop or a promotion that succeeded, follow
//! only from the kernel's own whole answer, and nothing here ever forces DRBD or reconnects a peer that it has refused.

mod demote;
mod monitor;
mod notify;
mod promote;
mod reload;
mod start;
mod stop;
#[cfg(test)]
mod tests;
pub(crate) mod validate;

use std::{fmt, time::Duration};

use duet_ocf::{Action, ExitCode, Next, Outcome, Progress, Request};

use crate::{
    config::Config,
    facts::{Facts, Kernel},
    observe::Observation,
    record::Link,
};

/// Between two tries of the same thing.
const PAUSE: Duration = Duration::from_secs(1);

/// One change of the world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Load the module.
    LoadModule,
    /// Move internal metadata that an offline resize has left behind.
    CheckResize(String),
    /// Make the resource and its volumes known to the kernel.
    Create(String),
    /// Attach the disks.
    Attach(String),
    /// Bring up the connections to this node, or to all.
    Connect {
        /// Which resource.
        resource: String,
        /// The one peer; on 8.4, who the floating peer is.
        peer: Option<String>,
    },
    /// Bring everything in line with the configuration, save for connections.
    AdjustDisks(String),
    /// Become Primary.
    Primary(String),
    /// Become Secondary.
    Secondary {
        /// Which resource.
        resource: String,
        /// By which program.
        by: By,
    },
    /// Take it down.
    Down {
        /// Which resource.
        resource: String,
        /// By which program.
        by: By,
        /// What it was until then.
        was: Was,
    },
    /// Mark own data as outdated, for the sake of this node.
    Outdate {
        /// Which resource.
        resource: String,
        /// The node that is promoted.
        promoted: String,
    },
    /// Have the unfence-peer handler look whether there is something to lift.
    Unfence(String),
    /// Look afresh and bring the promotion score in line with what is seen.
    UpdateScore(String),
    /// Remove the promotion score, whatever is seen.
    DropScore(String),
    /// Remove the promotion score of what is gone, and forget what is remembered about it.
    Withdraw(String),
    /// Tell of the peers that stay disconnected until somebody decides; none: that is over.
    ReportStandAlone {
        /// Which resource.
        resource: String,
        /// Which peers.
        peers: Vec<String>,
        /// Whether it is known by now to have been connected.
        link: Link,
    },
    /// Tell that there are two Primaries that do not see each other.
    ReportTwoPrimaries {
        /// Which resource.
        resource: String,
        /// The other node.
        other: String,
    },
}

/// What is known of a resource that is taken down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Was {
    /// It was seen to be Secondary.
    Secondary,
    /// It could not be seen.
    Unseen,
}

/// Which program changes the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// drbdadm, by the configuration.
    Drbdadm,
    /// drbdsetup, where there is no configuration to go by.
    Drbdsetup,
}

impl fmt::Display for Step {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LoadModule => write!(out, "load the DRBD module"),
            Self::CheckResize(r) => write!(out, "check resource {r} for an offline resize"),
            Self::Create(r) => write!(out, "create resource {r}"),
            Self::Attach(r) => write!(out, "attach the disks of resource {r}"),
            Self::Connect { resource, peer: Some(peer) } => {
                write!(out, "connect resource {resource} to {peer}")
            }
            Self::Connect { resource, peer: None } => write!(out, "connect resource {resource}"),
            Self::AdjustDisks(r) => write!(out, "adjust resource {r} except for its connections"),
            Self::Primary(r) => write!(out, "make resource {r} Primary"),
            Self::Secondary { resource, .. } => write!(out, "make resource {resource} Secondary"),
            Self::Down { resource, .. } => write!(out, "take resource {resource} down"),
            Self::Outdate { resource, promoted } => {
                write!(out, "outdate resource {resource}, since {promoted} is promoted")
            }
            Self::Unfence(r) => write!(out, "call the unfence-peer handler of resource {r}"),
            Self::UpdateScore(r) => write!(out, "update the promotion score of resource {r}"),
            Self::DropScore(r) => write!(out, "remove the promotion score of resource {r}"),
            Self::Withdraw(r) => {
                write!(out, "remove the promotion score of resource {r} and forget about it")
            }
            Self::ReportStandAlone { resource, .. } => {
                write!(out, "report the connections of resource {resource}")
            }
            Self::ReportTwoPrimaries { resource, .. } => {
                write!(out, "report the two Primaries of resource {resource}")
            }
        }
    }
}

/// The decision.
pub(crate) fn next(
    config: &Config,
    request: &Request,
    seen: &Observation,
    progress: &Progress<Step>,
) -> Next<Step> {
    match request.action {
        Action::Start => start::start(config, seen, progress),
        Action::Stop => stop::stop(config, seen, progress),
        Action::Promote => promote::promote(config, seen, progress),
        Action::Demote => demote::demote(config, seen, progress),
        Action::Monitor => monitor::monitor(config, request.is_probe(), seen, progress),
        Action::Status => monitor::monitor(config, true, seen, progress),
        Action::Notify => notify::notify(config, request.notification().as_ref(), seen, progress),
        Action::ReloadAgent => reload::reload(config, seen, progress),
        Action::ValidateAll => validate::validate(config, seen),
        // The table does not list these, or the loop answers them itself.
        Action::MigrateTo | Action::MigrateFrom | Action::MetaData | Action::Usage => {
            Next::fail(ExitCode::Unimplemented, format!("{}: action not supported", request.action))
        }
    }
}

/// All of the operation's time.
fn budget(progress: &Progress<Step>) -> Duration {
    progress.elapsed.saturating_add(progress.remaining)
}

/// How long a kernel that does not answer is borne with where nothing is to be changed: most of the time there is. It is slow under
/// load, and the end is a recovery.
fn patience(progress: &Progress<Step>) -> Duration {
    budget(progress) * 3 / 4
}

/// The kernel could not be asked, or its answer was not whole: again in a moment, or the end. Never "not running".
fn unanswered(
    config: &Config,
    why: &str,
    patience: Duration,
    progress: &Progress<Step>,
) -> Next<Step> {
    if progress.elapsed < patience && !progress.remaining.is_zero() {
        return Next::wait(PAUSE, "the kernel to tell the state of DRBD");
    }
    let resource = &config.resource;
    let tried = last_failure(|_| true, progress).map(|it| format!("; {it}")).unwrap_or_default();
    let reason = format!("{why}; whether resource {resource} runs cannot be told{tried}");
    Next::fail(ExitCode::Generic, reason)
}

/// Something that is done once where there is time, and whose failure decides nothing.
fn aside(step: Step, progress: &Progress<Step>) -> Option<Next<Step>> {
    let tried = progress.tried(|tried| *tried == step);
    (!tried && !progress.remaining.is_zero()).then_some(Next::Do(step))
}

/// The score is written anew in this operation, and then it ends like this.
fn scored(config: &Config, progress: &Progress<Step>, outcome: Next<Step>) -> Next<Step> {
    aside(Step::UpdateScore(config.resource.clone()), progress).unwrap_or(outcome)
}

/// Become Secondary: by drbdadm, and at once by drbdsetup where that failed, since a demotion must not need a configuration that is
/// right; then both again after a pause.
fn secondary(
    config: &Config,
    facts: &Facts,
    seen: &Observation,
    progress: &Progress<Step>,
) -> Next<Step> {
    let is_secondary = |step: &Step| matches!(step, Step::Secondary { .. });
    let step = |by| Step::Secondary { resource: config.resource.clone(), by };
    by_turns(is_secondary, step, progress).unwrap_or_else(|| {
        let why = still(config, facts, seen, is_secondary, progress);
        ended_or_wait(why, "the resource to be Secondary", progress)
    })
}

/// Take it down, in the same way.
fn down(
    config: &Config,
    facts: &Facts,
    seen: &Observation,
    progress: &Progress<Step>,
) -> Next<Step> {
    let is_down = |step: &Step| matches!(step, Step::Down { .. });
    let step = |by| Step::Down { resource: config.resource.clone(), by, was: Was::Secondary };
    by_turns(is_down, step, progress).unwrap_or_else(|| {
        let why = still(config, facts, seen, is_down, progress);
        ended_or_wait(why, "the resource to be down", progress)
    })
}

/// drbdadm, then drbdsetup, a pause, and so on; none where it is not the time for a try.
fn by_turns(
    is_such: impl Fn(&Step) -> bool + Copy,
    step: impl Fn(By) -> Step,
    progress: &Progress<Step>,
) -> Option<Next<Step>> {
    if progress.remaining.is_zero() {
        return None;
    }
    let by = match progress.last(is_such).map(|tried| &tried.step) {
        Some(Step::Secondary { by: By::Drbdadm, .. } | Step::Down { by: By::Drbdadm, .. }) => {
            By::Drbdsetup
        }
        _ => By::Drbdadm,
    };
    // What was carried out and did nothing is no reason for another program.
    let failed = progress.last(is_such).is_some_and(|tried| tried.failure.is_some());
    let is_paused = progress.since(is_such).is_some_and(|ago| ago < PAUSE);
    match by {
        By::Drbdsetup if failed => Some(Next::Do(step(By::Drbdsetup))),
        By::Drbdadm | By::Drbdsetup if is_paused => None,
        By::Drbdadm | By::Drbdsetup => Some(Next::Do(step(By::Drbdadm))),
    }
}

/// Why it is still there: what the latest try said, and who has it open.
fn still(
    config: &Config,
    facts: &Facts,
    seen: &Observation,
    is_such: impl Fn(&Step) -> bool + Copy,
    progress: &Progress<Step>,
) -> String {
    let why = last_failure(is_such, progress).map(|why| format!(": {why}")).unwrap_or_default();
    let open: Vec<_> = facts.volumes.iter().filter(|volume| volume.open == Some(true)).collect();
    let open = match (seen.openers.as_slice(), open.as_slice()) {
        ([], []) => String::new(),
        ([], [first, ..]) => format!("; volume {} is open", first.number),
        (openers, _) => format!("; held open by {}", openers.join(", ")),
    };
    let frozen = if facts.suspended.any() { ", its I/O is frozen" } else { "" };
    format!("Resource {} is still {}{frozen}{open}{why}", config.resource, facts.role)
}

/// What the latest such step said when it failed.
fn last_failure(is_such: impl Fn(&Step) -> bool, progress: &Progress<Step>) -> Option<String> {
    progress.last(is_such)?.failure.as_ref()?.reason.clone()
}

/// Again in a moment, or at the end of the time a failure that says more than that it has run out.
fn ended_or_wait(why: String, until: &'static str, progress: &Progress<Step>) -> Next<Step> {
    if progress.remaining.is_zero() {
        Next::fail(ExitCode::Generic, why)
    } else {
        Next::wait(PAUSE, until)
    }
}

/// What "it is not there" means to an action that needs it.
fn not_running(config: &Config, kernel: &Kernel) -> Outcome {
    let resource = &config.resource;
    let reason = match kernel {
        Kernel::NoModule => format!("Resource {resource} is not up: the DRBD module is not loaded"),
        _ => format!("Resource {resource} is not up"),
    };
    Outcome::fail(ExitCode::NotRunning, reason)
}
