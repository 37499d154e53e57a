//! What is looked after beside the guest itself: monitor scripts, utilization in the CIB, the definition file, and the
//! order in which the host is shut down. Invariant: nothing of it in a probe; and but for a monitor script that fails, none
//! of it makes an operation fail.

pub(crate) mod save;
pub(crate) mod scripts;
pub(crate) mod shutdown_order;

use std::{fmt, path::PathBuf, time::Duration};

use duet_host::process;
use duet_libvirt_rpc::{DomainInfo, DomainRef, Error as LibvirtError};
use duet_ocf::{Action, Request, Turn, Values, chain};

use crate::{
    config::Config,
    utilization::{self, Settings, Update},
};

/// Whether the running domain's definition is written back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Save {
    /// It is not.
    #[default]
    Never,
    /// To this node's file.
    Here,
    /// And from there to the other nodes', by csync2.
    Everywhere,
}

/// What is wanted of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Options {
    /// Commands that have to succeed for the guest to count as healthy, as they were given.
    pub(crate) scripts: Vec<String>,
    /// The utilization to keep.
    pub(crate) utilization: Option<Settings>,
    /// Whether the definition is written back.
    pub(crate) save: Save,
}

impl Options {
    /// Reads them; `memory` is what is remembered beside, `is_xen` as for [`Settings::read`].
    pub(crate) fn read(request: &Request, values: &Values, is_xen: bool, memory: PathBuf) -> Self {
        let scripts = values.text("monitor_scripts").unwrap_or_default();
        let save =
            match (values.boolean("save_config_on_stop"), values.boolean("sync_config_on_stop")) {
                (_, true) => Save::Everywhere,
                (true, false) => Save::Here,
                (false, false) => Save::Never,
            };
        Self {
            scripts: scripts.split_ascii_whitespace().map(str::to_owned).collect(),
            utilization: Settings::read(request, values, is_xen, memory),
            save,
        }
    }
}

/// Whether this is a monitor that comes again and again.
pub(crate) fn is_recurring(request: &Request) -> bool {
    request.action == Action::Monitor && !request.is_probe()
}

/// What one look saw of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Upkeep {
    /// What to make of the CIB.
    pub(crate) utilization: Option<Update>,
    /// The definition is to be distributed, and what does that is not installed.
    pub(crate) lacks_csync2: bool,
    /// systemd has not been told yet in which order to shut down.
    pub(crate) has_no_shutdown_order: bool,
}

/// Looks; `size` is the running guest's, where that was asked for.
pub(crate) fn look(config: &Config, action: Action, size: Option<DomainInfo>) -> Upkeep {
    let options = &config.upkeep;
    let brings_up = matches!(action, Action::Start | Action::MigrateFrom);
    let must_be_complete = matches!(action, Action::Start | Action::ValidateAll);
    Upkeep {
        utilization: size.and_then(|size| options.utilization.as_ref()?.look(size)),
        lacks_csync2: must_be_complete
            && options.save == Save::Everywhere
            && process::find(save::CSYNC2, process::PATH).is_none(),
        has_no_shutdown_order: brings_up && !shutdown_order::is_in_place(),
    }
}

/// One thing to do. Each ends by its own limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Task {
    /// Run the monitor scripts.
    RunScripts {
        /// How long all of them may take.
        limit: Duration,
    },
    /// Write utilization, and remember what the CIB was found to have.
    UpdateUtilization {
        /// What to change.
        update: Update,
        /// How long it may take.
        limit: Duration,
    },
    /// Write the domain's definition back to its file, where that has another.
    SaveDefinition {
        /// Which domain.
        domain: DomainRef,
        /// How long it may take, with its distribution.
        limit: Duration,
    },
    /// Tell systemd to stop Pacemaker before libvirt.
    OrderShutdown {
        /// How long it may take.
        limit: Duration,
    },
}

impl fmt::Display for Task {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RunScripts { .. } => write!(out, "run the monitor scripts"),
            Self::UpdateUtilization { .. } => write!(out, "update the utilization"),
            Self::SaveDefinition { domain, .. } => {
                write!(out, "save the definition of domain {}", domain.name)
            }
            Self::OrderShutdown { .. } => write!(out, "order the shutdown of the host"),
        }
    }
}

/// A task that failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A monitor script did not succeed.
    #[error("Monitor script {command} {why}")]
    ScriptFailed {
        /// As it was given, or found.
        command: String,
        /// How it ended, with what it said last.
        why: String,
    },
    /// A monitor script did not begin, or did not end.
    #[error("Monitor script {command}")]
    ScriptNotRun {
        /// As it was given, or found.
        command: String,
        /// Why.
        source: duet_host::Error,
    },
    /// The CIB could not be changed.
    #[error("Could not update the utilization {name}: {why}")]
    Utilization {
        /// Which attribute.
        name: &'static str,
        /// Why.
        why: String,
        /// No cluster runs here.
        is_away: bool,
    },
    /// libvirt did not say what the definition is.
    #[error("Could not ask for the definition of domain {name}")]
    Dump {
        /// Which domain.
        name: String,
        /// Why.
        source: LibvirtError,
    },
    /// The file and the running domain are not the same.
    #[error("Did not save the definition of domain {name}: {why}")]
    NotTheSame {
        /// Which domain.
        name: String,
        /// In what way.
        why: String,
    },
    /// A tool did not do what it was asked to.
    #[error("Could not {what}: {why}")]
    Tool {
        /// What was tried.
        what: &'static str,
        /// How it ended.
        why: String,
    },
    /// A file could not be read or written.
    #[error(transparent)]
    Machine(#[from] duet_host::Error),
}

/// Carries it out. Of what fails, the log is told here, but for a script: that is the operation's outcome.
pub(crate) fn apply(config: &Config, task: &Task, turn: &mut Turn<'_>) -> Result<(), Error> {
    let done = match task {
        Task::RunScripts { limit } => return scripts::run(&config.upkeep.scripts, *limit, turn),
        Task::UpdateUtilization { update, limit } => match &config.upkeep.utilization {
            Some(settings) => utilization::apply(settings, update, *limit, turn),
            None => Ok(()),
        },
        Task::SaveDefinition { domain, limit } => save::save(config, domain, *limit, turn),
        Task::OrderShutdown { limit } => shutdown_order::put_in_place(*limit, turn),
    };
    if let Err(error) = &done {
        match error {
            // Where no cluster runs, nobody misses it.
            Error::Utilization { is_away: true, .. } => turn.debug(chain(error)),
            error => turn.warning(chain(error)),
        }
    }
    done
}
