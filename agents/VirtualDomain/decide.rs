//! What comes next, for every action. Invariant: pure, and "not running" or a successful stop follow only from
//! libvirt's own answer that the domain is shut off or unknown to it, or, where libvirt cannot be asked, from a
//! process table in which no process is the guest's.

mod migrate_from;
mod migrate_to;
mod monitor;
mod snapshot;
mod start;
mod stop;
#[cfg(test)]
mod tests;
mod unfinished;
mod upkeep;
mod without;

use std::{fmt, path::PathBuf, time::Duration};

use duet_host::processes::Process;
use duet_libvirt_rpc::{DomainRef, ShutdownFlags};
use duet_ocf::{Action, ExitCode, Next, Progress, Request};

use crate::{
    config::Config,
    migrate,
    observe::{Document, Domain, Identity, Observation, Silence},
    overlay::Overlay,
    process::Processes,
    snapshot::Role,
    strangers::Strangers,
    upkeep::Task,
};

/// One change of the world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Create the domain from its definition file, standing still where the driver knows that.
    Create {
        /// Its name.
        name: String,
        /// libvirt keeps a memory image of an earlier run, which this start makes stale.
        leaves_memory_image: bool,
    },
    /// Let the domain run that this start has created.
    Resume(DomainRef),
    /// Remove a definition that is in the way.
    Undefine(DomainRef),
    /// Make the copy-on-write image, in place of the one that is there if any.
    MakeOverlay(PathBuf),
    /// Ask the guest to shut down.
    RequestShutdown {
        /// Which.
        domain: DomainRef,
        /// In which ways.
        how: ShutdownFlags,
        /// How long the request itself may take.
        limit: Duration,
    },
    /// Save its memory, which ends it.
    Save {
        /// Which.
        domain: DomainRef,
        /// How long that may take.
        limit: Duration,
    },
    /// Have libvirt give up saving it.
    AbortSave(DomainRef),
    /// Make the image that a save of this domain has completed the one to start from.
    Seal(String),
    /// Create the domain from its memory image, standing still.
    Restore {
        /// Its name.
        name: String,
        /// As in [`Step::Create`].
        leaves_memory_image: bool,
    },
    /// Take a memory image out of the way.
    SetImageAside {
        /// The domain's name.
        name: String,
        /// Which image.
        role: Role,
        /// Why it is not restored.
        why: String,
    },
    /// Remove the memory image that this domain was restored from.
    RemoveImage(String),
    /// End it.
    Destroy(DomainRef),
    /// End the guest's own process, where libvirt cannot be asked to.
    EndProcess {
        /// Which.
        process: Process,
        /// Whose it is.
        name: String,
        /// Without giving it the chance to end by itself.
        kill: bool,
    },
    /// Remember who runs here.
    Remember(Identity),
    /// Forget who ran here.
    Forget(String),
    /// Remember that a start of this domain was given up, and may still be carried out.
    GiveUp(String),
    /// Look after what is beside the guest.
    Upkeep(Task),
    /// Start the pools and networks that the definition names.
    StartResources(String),
    /// See [`migrate::Step`].
    Migration(migrate::Step),
}

impl fmt::Display for Step {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create { name, .. } => write!(out, "start domain {name}"),
            Self::Resume(domain) => write!(out, "let domain {} run", domain.name),
            Self::Undefine(domain) => {
                write!(out, "undefine domain {} ({})", domain.name, domain.uuid)
            }
            Self::MakeOverlay(path) => write!(out, "make the overlay {}", path.display()),
            Self::RequestShutdown { domain, .. } => {
                write!(out, "ask domain {} to shut down", domain.name)
            }
            Self::Save { domain, .. } => write!(out, "save the memory of domain {}", domain.name),
            Self::AbortSave(domain) => write!(out, "give up saving domain {}", domain.name),
            Self::Seal(name) => write!(out, "keep the memory image of domain {name}"),
            Self::Restore { name, .. } => write!(out, "restore domain {name}"),
            Self::SetImageAside { name, .. } => {
                write!(out, "set a memory image of domain {name} aside")
            }
            Self::RemoveImage(name) => write!(out, "remove the memory image of domain {name}"),
            Self::Destroy(domain) => write!(out, "destroy domain {}", domain.name),
            Self::EndProcess { process, name, kill } => {
                let how = if *kill { "kill" } else { "end" };
                write!(out, "{how} process {} of domain {name}", process.pid)
            }
            Self::Remember(identity) => write!(out, "remember domain {}", identity.name),
            Self::Forget(name) => write!(out, "forget domain {name}"),
            Self::GiveUp(name) => {
                write!(out, "remember that a start of domain {name} was given up")
            }
            Self::Upkeep(task) => write!(out, "{task}"),
            Self::StartResources(name) => {
                write!(out, "start the pools and networks of domain {name}")
            }
            Self::Migration(step) => step.fmt(out),
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
        Action::Monitor => monitor::monitor(config, request.is_probe(), seen, progress),
        Action::Status => monitor::monitor(config, true, seen, progress),
        Action::ValidateAll => validate(seen),
        // Every parameter was read strictly, and is read anew by each operation.
        Action::ReloadAgent => Next::success(),
        Action::MigrateTo => migrate_to::migrate_to(config, request, seen, progress),
        Action::MigrateFrom => {
            migrate_from::migrate_from(request.meta.migrate_source.as_deref(), seen, progress)
        }
        // The table does not list these, so the loop answers them itself.
        Action::Promote | Action::Demote | Action::Notify | Action::MetaData | Action::Usage => {
            Next::fail(ExitCode::Unimplemented, format!("{}: action not supported", request.action))
        }
    }
}

fn validate(seen: &Observation) -> Next<Step> {
    match &seen.document {
        Document::Read(_) if seen.upkeep.lacks_csync2 => lacks_csync2(),
        Document::Read(_) => match &seen.overlay {
            Overlay::Unusable(why) => Next::fail(ExitCode::Installed, why),
            Overlay::NotWanted | Overlay::Seen { .. } => Next::success(),
        },
        Document::Unusable(why) | Document::Missing(why) => Next::fail(ExitCode::Installed, why),
        Document::NotNeeded => Next::fail(ExitCode::Generic, "The definition was not read"),
    }
}

/// Before anything runs; a guest that does is neither stopped nor kept from stopping by it.
fn lacks_csync2() -> Next<Step> {
    Next::fail(ExitCode::Installed, "sync_config_on_stop needs csync2, which is not installed here")
}

/// All of the operation's time.
fn budget(progress: &Progress<Step>) -> Duration {
    progress.elapsed.saturating_add(progress.remaining)
}

/// How long to bear with a libvirt that is being restarted, or will not tell a state.
fn patience(progress: &Progress<Step>) -> Duration {
    (budget(progress) / 2).min(Duration::from_secs(10))
}

/// How long a guest's way out waits for a libvirt of which there is neither a listener nor a process. One that is being
/// restarted is back by then; what was stopped by hand or crashed for good is not worth a longer standstill.
const ABSENT_PATIENCE: Duration = Duration::from_secs(3);

/// libvirt could not be asked: again in a moment, or the end.
fn unanswered(
    seen: &Observation,
    why: &str,
    silence: Silence,
    silent: Duration,
    progress: &Progress<Step>,
) -> Next<Step> {
    if is_borne_with(silence, silent, progress) {
        return Next::wait(Duration::from_secs(1), "libvirt to be reachable");
    }
    cannot_tell(seen, why)
}

fn cannot_tell(seen: &Observation, why: &str) -> Next<Step> {
    let name = seen.name();
    let and = match &seen.processes {
        Processes::CouldNotLook(and) => format!("; {and}"),
        Processes::NotLooked | Processes::Found(_) | Processes::NoneSeen => String::new(),
    };
    Next::fail(ExitCode::Generic, format!("{why}{and}; whether domain {name} runs cannot be told"))
}

/// Whether libvirt may be back soon, and there is time to wait for that.
fn is_borne_with(silence: Silence, silent: Duration, progress: &Progress<Step>) -> bool {
    silence.may_pass() && silent < patience(progress) && !progress.remaining.is_zero()
}

/// The same on the way down or away, where every second of waiting is one more until the guest is up elsewhere.
fn is_borne_with_on_the_way_out(
    silence: Silence,
    silent: Duration,
    progress: &Progress<Step>,
) -> bool {
    let is_absent = silence == Silence::Nobody && silent >= ABSENT_PATIENCE;
    is_borne_with(silence, silent, progress) && !is_absent
}

/// Whether a libvirt that does not answer may yet carry out a start that was given up while it had the request. It
/// cannot where nobody listens; a domain that is remembered has been seen running since the latest start; and where no start
/// was begun, none is to come: a node whose libvirt hangs has other guests, and is not to be fenced for this one.
fn may_still_start(seen: &Observation, silence: Silence) -> bool {
    seen.remembered.is_none()
        && match silence {
            Silence::Nobody | Silence::NotNow => false,
            Silence::Frozen | Silence::WentAway => seen.unclear.is_some(),
            // It is there, and its own words are the answer.
            Silence::Refuses => true,
        }
}

fn about_to_start(seen: &Observation, why: &str) -> Next<Step> {
    let name = seen.name();
    Next::fail(ExitCode::Generic, format!("{why}; it may still be about to start domain {name}"))
}

/// Whether this operation has brought the memory of an earlier one up to date.
fn has_forgotten(progress: &Progress<Step>) -> bool {
    progress.tried(|step| matches!(step, Step::Forget(_) | Step::GiveUp(_)))
}

/// Why it cannot be told who is meant although somebody may have been started here: the definition is there and unusable,
/// or what was remembered is; and somebody runs here. Where nobody runs, it does not matter who is meant, and where
/// there is neither a definition nor a memory, nobody was started.
fn nobody_known(seen: &Observation) -> Option<String> {
    let why = match (&seen.document, &seen.unclear) {
        (Document::Unusable(why) | Document::Missing(why), Some(unclear)) => {
            format!("{why}; {unclear}")
        }
        (Document::Unusable(why), None) => why.clone(),
        (Document::Missing(_), None) | (Document::Read(_) | Document::NotNeeded, _) => return None,
    };
    match &seen.strangers {
        Strangers::Nobody => None,
        Strangers::Some(who) => Some(format!(
            "{why}; whether one of the domains that run here is this one cannot be told: {who}"
        )),
        Strangers::CouldNotLook(and) => {
            Some(format!("{why}; whether any domain runs here cannot be told: {and}"))
        }
        Strangers::NotLooked => Some(format!("{why}; who runs here was not asked")),
    }
}

/// The identity of a domain as libvirt has it.
fn identity(domain: &Domain) -> Identity {
    let DomainRef { name, uuid, .. } = &domain.reference;
    Identity { name: name.clone(), uuid: Some(*uuid) }
}

/// It was seen well: remembered if it is not yet, and then a success. The last look counts as any other,
/// so what cannot be written down any more does not turn a running guest into a failed one.
fn well(domain: &Domain, seen: &Observation, progress: &Progress<Step>) -> Next<Step> {
    let runs = identity(domain);
    let tried = progress.tried(|step| matches!(step, Step::Remember(_)));
    if tried || progress.remaining.is_zero() || seen.remembered.as_ref() == Some(&runs) {
        Next::success()
    } else {
        Next::Do(Step::Remember(runs))
    }
}
