//! One step carried out. Invariant: nothing here concludes anything from success; the next look does. A
//! definition file that lies in libvirt's own directory outlives the removal of the definition.

use std::{
    ffi::OsString,
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use duet_host::{Signal, processes::Table};
use duet_libvirt_rpc::{Code, DomainRef, Driver, Error as LibvirtError, Hypervisor, UndefineFlags};
use duet_ocf::{Action, AfterFailure, ExitCode, Turn};

use crate::{config::Config, decide::Step, memory, migrate, observe, overlay, upkeep};

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
        Step::Create { .. } | Step::Undefine(_) if refused => AfterFailure::End,
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
            let domain = observe::connect(config, limit)
                .and_then(|mut libvirt| {
                    let domain = libvirt.create(xml.unwrap_or_default());
                    libvirt.close();
                    domain
                })
                .map_err(failed)?;
            if *leaves_memory_image {
                images::warn_of_managed_save(name, turn);
            }
            turn.info(format!("Started domain {name} ({})", domain.uuid));
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

/// UEFI variables and TPM state stay, where driver and version know the words for that.
fn undefine(config: &Config, domain: &DomainRef, limit: Duration) -> Result<(), LibvirtError> {
    let nvram = UndefineFlags::KEEP_NVRAM;
    let ways: &[UndefineFlags] = match config.driver {
        Some(Driver::Qemu) => &[nvram.and(UndefineFlags::KEEP_TPM), nvram],
        None => &[nvram.and(UndefineFlags::KEEP_TPM), nvram, UndefineFlags::PLAIN],
        Some(Driver::Lxc | Driver::Xen) => &[UndefineFlags::PLAIN],
    };
    let mut libvirt = observe::connect(config, limit)?;
    let mut result = Ok(());
    for flags in ways {
        result = libvirt.undefine(domain, *flags);
        let unknown_flag = result.as_ref().is_err_and(|error| {
            error.fault().is_some_and(|fault| fault.code == Code::InvalidArgument)
        });
        if !unknown_flag {
            break;
        }
    }
    libvirt.close();
    result
}

/// A second name for the definition file while libvirt may delete the first: undefining removes
/// `/etc/libvirt/qemu/NAME.xml`, and many clusters keep their definitions right there. A crash in between
/// leaves the second name, never nothing.
struct Guard {
    /// Each name, and the second one beside it.
    names: Vec<(PathBuf, PathBuf)>,
}

impl Guard {
    fn protect(definition: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Protect { path: definition.to_owned(), source };
        // Where the name given is a symbolic link, libvirt's own name may be the link or what it leads to.
        let real = std::fs::canonicalize(definition).map_err(failed)?;
        let mut given = vec![definition.to_owned()];
        if real != definition {
            given.push(real);
        }
        let mut guard = Self { names: Vec::new() };
        for name in given {
            let mut second = OsString::from(&name);
            second.push(".kept-by-cluster");
            let second = PathBuf::from(second);
            memory::forget(&second).map_err(failed)?;
            second_name(&name, &second).map_err(failed)?;
            guard.names.push((name, second));
        }
        Ok(guard)
    }

    fn release(self) -> Result<(), Error> {
        for (name, second) in self.names {
            let done = if name.symlink_metadata().is_ok() {
                memory::forget(&second)
            } else {
                std::fs::rename(&second, &name)
            };
            done.map_err(|source| Error::Protect { path: name, source })?;
        }
        Ok(())
    }
}

/// Links the link, not what it leads to. A copy, where the file system has no second names.
fn second_name(name: &Path, second: &Path) -> io::Result<()> {
    let linked = std::fs::hard_link(name, second);
    let Err(error) = linked else { return Ok(()) };
    // EPERM, EOPNOTSUPP, ENOSYS: FAT, some FUSE and network file systems; EMLINK: too many already.
    let has_none = matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported | io::ErrorKind::TooManyLinks
    );
    if has_none { copy(name, second) } else { Err(error) }
}

/// With mode and owner, written out before libvirt may delete the first.
fn copy(name: &Path, second: &Path) -> io::Result<()> {
    let about = name.symlink_metadata()?;
    if about.is_symlink() {
        return std::os::unix::fs::symlink(std::fs::read_link(name)?, second);
    }
    std::fs::copy(name, second)?;
    std::os::unix::fs::chown(second, Some(about.uid()), Some(about.gid()))?;
    std::fs::OpenOptions::new().read(true).open(second)?.sync_all()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests of what happens to files")]

    use super::*;
    use std::{fs, os::unix::fs::symlink};

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn whichever_name_libvirt_deletes_the_definition_is_still_there() {
        for victim in ["link.xml", "real.xml", "neither"] {
            let directory = tempfile::tempdir().unwrap();
            let (link, real) =
                (directory.path().join("link.xml"), directory.path().join("real.xml"));
            fs::write(&real, "<domain/>").unwrap();
            symlink(&real, &link).unwrap();
            let guard = Guard::protect(&link).unwrap();
            let _ = fs::remove_file(directory.path().join(victim));
            guard.release().unwrap();
            assert_eq!(names(directory.path()), ["link.xml", "real.xml"], "{victim}");
            assert_eq!(fs::read_to_string(&link).unwrap(), "<domain/>", "{victim}");
            assert!(link.symlink_metadata().unwrap().is_symlink(), "{victim}");
        }
    }

    #[test]
    fn a_copy_is_as_good_as_a_second_name() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let (name, second) = (directory.path().join("a"), directory.path().join("b"));
        fs::write(&name, "<domain/>").unwrap();
        fs::set_permissions(&name, fs::Permissions::from_mode(0o640)).unwrap();
        copy(&name, &second).unwrap();
        assert_eq!(fs::read_to_string(&second).unwrap(), "<domain/>");
        assert_eq!(fs::metadata(&second).unwrap().mode() & 0o7777, 0o640);
        let link = directory.path().join("link");
        symlink("a", &link).unwrap();
        fs::remove_file(&second).unwrap();
        copy(&link, &second).unwrap();
        assert_eq!(fs::read_link(&second).unwrap(), Path::new("a"));
        assert!(copy(&directory.path().join("none"), &second).is_err());
    }

    #[test]
    fn a_guard_that_was_left_behind_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let definition = directory.path().join("web.xml");
        fs::write(&definition, "new").unwrap();
        fs::write(directory.path().join("web.xml.kept-by-cluster"), "old").unwrap();
        let guard = Guard::protect(&definition).unwrap();
        fs::remove_file(&definition).unwrap();
        guard.release().unwrap();
        assert_eq!(fs::read_to_string(&definition).unwrap(), "new");
        assert_eq!(names(directory.path()), ["web.xml"]);
    }

    #[test]
    fn nothing_is_undefined_when_the_definition_cannot_be_protected() {
        let directory = tempfile::tempdir().unwrap();
        assert!(Guard::protect(&directory.path().join("none.xml")).is_err());
    }
}
