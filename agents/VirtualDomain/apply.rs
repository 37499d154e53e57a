//! One step carried out. Invariant: nothing here concludes anything from success; the next look does.

use std::{io, path::PathBuf, time::Duration};

use duet_host::{Signal, processes::Table};
use duet_libvirt_rpc::{
    Code, CreateFlags, DomainRef, Driver, Error as LibvirtError, Hypervisor, UndefineFlags,
};
use duet_ocf::{Action, AfterFailure, ExitCode, Turn};

use crate::{config::Config, decide::Step, memory, migrate, observe, overlay, upkeep};

use guard::Guard;

mod guard;
mod images;

/// What libvirt gets to end a domain, where there is as much.
const DESTROY_LEAST: Duration = Duration::from_millis(500);

/// A step that failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// libvirt would not or could not.
    #[error("Could not {step}")]
    Libvirt {
        /// What was tried.
        step: String,
        /// Why.
        source: LibvirtError,
    },
    /// The definition file could not be kept safe.
    #[error("Could not protect {} from being deleted with the old definition", .path.display())]
    Protect {
        /// The definition file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The guest's process could not be ended.
    #[error("Could not {step}")]
    Process {
        /// What was tried.
        step: String,
        /// Why.
        source: duet_host::Error,
    },
    /// The files of a memory image could not be changed.
    #[error("Could not {step}")]
    Image {
        /// What was tried.
        step: String,
        /// Why.
        source: io::Error,
    },
    /// The copy-on-write image could not be made.
    #[error("Could not make the overlay {}", .path.display())]
    Overlay {
        /// The image.
        path: PathBuf,
        /// Why.
        source: overlay::Error,
    },
    /// The program with libvirt's client library is not there.
    #[error("{0}; migration, start_resources and other hypervisors need it")]
    NoLibrary(String),
    /// The identity could not be remembered.
    #[error("Could not remember which domain runs here")]
    Remember(#[from] duet_host::Error),
    /// A start could not be marked as begun.
    #[error("Could not remember that a start begins")]
    Begin(#[source] duet_host::Error),
    /// The identity could not be forgotten.
    #[error("Could not remove {}", .path.display())]
    Forget {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something beside the guest.
    #[error(transparent)]
    Upkeep(#[from] upkeep::Error),
}

/// The exit code of a failed step; each is a failure on this node only.
pub(crate) fn exit_code(error: &Error, action: Action) -> ExitCode {
    let brings = matches!(action, Action::Start | Action::MigrateTo | Action::MigrateFrom);
    match error {
        Error::Overlay { source, .. } => overlay::exit_code(source),
        // Said by a probe, "not installed" is read as "cannot be running here".
        Error::NoLibrary(_) if brings => ExitCode::Installed,
        _ => ExitCode::Generic,
    }
}

/// Whether a failed step ends the operation.
pub(crate) fn after_failure(step: &Step, error: &Error) -> AfterFailure {
    let refused = matches!(error, Error::Libvirt { source, .. } if source.fault().is_some());
    match step {
        // libvirt's own no is final; a connection that broke says nothing about the domain.
        Step::Create { .. } | Step::Resume(_) | Step::Undefine(_) if refused => AfterFailure::End,
        Step::Undefine(_)
        | Step::SetImageAside { .. }
        | Step::MakeOverlay(_)
        | Step::StartResources(_) => AfterFailure::End,
        // libvirt's no leaves the definition to start from. Anything else may still become a running guest.
        Step::Restore { .. } if !refused => AfterFailure::End,
        Step::Migration(step) => match step {
            migrate::Step::Mark(_) | migrate::Step::Prepare(_) | migrate::Step::Begin(_) => {
                AfterFailure::End
            }
            // The migration goes on, or ends, whatever became of the others.
            _ => AfterFailure::LookAgain,
        },
        // On the way down, what counts is whether the domain is still there; and book-keeping never
        // decides whether a guest runs.
        Step::Create { .. }
        | Step::Resume(_)
        | Step::RequestShutdown { .. }
        | Step::Destroy(_)
        | Step::Save { .. }
        | Step::AbortSave(_)
        | Step::Restore { .. }
        | Step::Seal(_)
        | Step::RemoveImage(_)
        | Step::EndProcess { .. }
        | Step::Remember(_)
        | Step::Forget(_)
        | Step::GiveUp(_)
        | Step::Upkeep(_) => AfterFailure::LookAgain,
    }
}

/// Carries out `step`; `xml` is the definition as it was judged.
pub(crate) fn apply(
    config: &Config,
    xml: Option<&str>,
    step: &Step,
    migration: &mut migrate::run::Run,
    turn: &mut Turn<'_>,
) -> Result<(), Error> {
    let failed = |source| Error::Libvirt { step: step.to_string(), source };
    let limit = turn.remaining();
    match step {
        Step::Create { name, leaves_memory_image } => {
            // Whoever is remembered was seen running after the latest start. This one may not be, if libvirt stops
            // answering now and carries it out later: a stop must not take it for over then.
            memory::begin(config).map_err(Error::Begin)?;
            let (domain, how) = create(config, xml.unwrap_or_default(), limit).map_err(failed)?;
            if *leaves_memory_image {
                images::warn_of_managed_save(name, turn);
            }
            let uuid = domain.uuid;
            turn.info(match how {
                CreateFlags::PAUSED => format!("Created domain {name} ({uuid}), standing still"),
                _ => format!("Started domain {name} ({uuid})"),
            });
        }
        Step::Resume(domain) => {
            with(config, limit, |libvirt| libvirt.resume(domain)).map_err(failed)?;
            turn.info(format!("Started domain {} ({})", domain.name, domain.uuid));
        }
        Step::Undefine(domain) => {
            let guard = Guard::protect(&config.definition)?;
            let result = undefine(config, domain, limit);
            guard.release()?;
            result.map_err(failed)?;
            turn.warning(format!(
                "Removed the definition of a domain {} that was not running and had another UUID ({})",
                domain.name, domain.uuid
            ));
        }
        Step::MakeOverlay(path) => {
            overlay::make(config, path, turn.deadline())
                .map_err(|source| Error::Overlay { path: path.clone(), source })?;
            turn.info(format!("Made the overlay {}", path.display()));
        }
        Step::RequestShutdown { domain, how, limit } => {
            with(config, *limit, |libvirt| libvirt.request_shutdown_with(domain, *how))
                .map_err(failed)?;
            turn.info(format!("Asked domain {} to shut down", domain.name));
        }
        Step::Destroy(domain) => {
            // A libvirt that freezes over it leaves half to the guest's process.
            let limit = (limit / 2).max(DESTROY_LEAST.min(limit));
            with(config, limit, |libvirt| libvirt.destroy(domain)).map_err(failed)?;
            turn.info(format!("Destroyed domain {}", domain.name));
        }
        Step::Save { .. }
        | Step::AbortSave(_)
        | Step::Seal(_)
        | Step::Restore { .. }
        | Step::SetImageAside { .. }
        | Step::RemoveImage(_) => images::apply(config, step, turn)?,
        Step::EndProcess { process, name, kill } => {
            let signal = if *kill { Signal::SIGKILL } else { Signal::SIGTERM };
            let sent = Table::default().signal(*process, signal);
            if sent.map_err(|source| Error::Process { step: step.to_string(), source })? {
                turn.warning(format!(
                    "Sent {signal} to process {} of domain {name}, since libvirt cannot be asked to end it",
                    process.pid
                ));
            }
        }
        Step::Remember(identity) => {
            if let Err(error) = memory::keep(config, identity) {
                turn.warning(duet_ocf::chain(&error));
                return Err(error.into());
            }
        }
        Step::StartResources(_) => {
            migrate::run::start_resources_here(config, xml, limit).map_err(failed)?;
        }
        Step::Migration(migrating) => {
            let Some(plan) = &config.migration.plan else { return Ok(()) };
            let error = match migration.apply(config, plan, migrating, turn) {
                Ok(()) => return Ok(()),
                Err(source) => failed(source),
            };
            // What goes on in spite of it is said here; what ends the operation, by its outcome.
            if after_failure(step, &error) == AfterFailure::LookAgain {
                turn.warning(duet_ocf::chain(&error));
            }
            return Err(error);
        }
        Step::Forget(_) => memory::forget(&config.memory)
            .map_err(|source| Error::Forget { path: config.memory.clone(), source })?,
        Step::GiveUp(_) => memory::give_up(config)?,
        Step::Upkeep(task) => upkeep::apply(config, task, turn)?,
    }
    Ok(())
}

fn with(
    config: &Config,
    limit: Duration,
    call: impl FnOnce(&mut dyn Hypervisor) -> Result<(), LibvirtError>,
) -> Result<(), LibvirtError> {
    let mut libvirt = observe::connect(config, limit)?;
    let result = call(libvirt.as_mut());
    libvirt.close();
    result
}

/// Standing still, so that an order which waits in libvirtd for longer than anybody waits for it makes no guest run. The
/// driver of containers does not know the flag; of drivers that nobody has tried, libvirt's refusal tells.
fn create(
    config: &Config,
    xml: &str,
    limit: Duration,
) -> Result<(DomainRef, CreateFlags), LibvirtError> {
    let ways: &[CreateFlags] = match config.driver {
        Some(Driver::Qemu | Driver::Xen) => &[CreateFlags::PAUSED],
        Some(Driver::Lxc) => &[CreateFlags::PLAIN],
        Some(Driver::Test) | None => &[CreateFlags::PAUSED, CreateFlags::PLAIN],
    };
    let mut libvirt = observe::connect(config, limit)?;
    let result = first_known(ways, |how| Ok((libvirt.create_with(xml, how)?, how)));
    libvirt.close();
    result
}

/// What comes of the first of these `ways` that is no flag which libvirt does not know.
fn first_known<F: Copy, T>(
    ways: &[F],
    mut call: impl FnMut(F) -> Result<T, LibvirtError>,
) -> Result<T, LibvirtError> {
    let (last, others) = ways.split_last().expect("there is one");
    for way in others {
        match call(*way) {
            Err(error)
                if error.fault().is_some_and(|fault| fault.code == Code::InvalidArgument) => {}
            result => return result,
        }
    }
    call(*last)
}

/// UEFI variables and TPM state stay, where driver and version know the words for that.
fn undefine(config: &Config, domain: &DomainRef, limit: Duration) -> Result<(), LibvirtError> {
    let nvram = UndefineFlags::KEEP_NVRAM;
    let ways: &[UndefineFlags] = match config.driver {
        Some(Driver::Qemu) => &[nvram.and(UndefineFlags::KEEP_TPM), nvram],
        Some(Driver::Test) | None => {
            &[nvram.and(UndefineFlags::KEEP_TPM), nvram, UndefineFlags::PLAIN]
        }
        Some(Driver::Lxc | Driver::Xen) => &[UndefineFlags::PLAIN],
    };
    let mut libvirt = observe::connect(config, limit)?;
    let result = first_known(ways, |flags| libvirt.undefine(domain, flags));
    libvirt.close();
    result
}
