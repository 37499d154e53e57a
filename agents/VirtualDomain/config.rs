//! Environment to configuration, once. Invariant: stop and monitor need nothing but the identity: where the
//! definition is and which libvirt has the domain.

use std::path::PathBuf;

use duet_domain::OnPausedByError;
use duet_libvirt_rpc::{Driver, ShutdownFlags};
use duet_ocf::{ExitCode, Refusal, Request, Strictness, Values};

use crate::{
    migrate::{Settings, uri},
    overlay::Backing,
    shutdown_mode,
    snapshot::Snapshot,
    upkeep::Options,
};

/// Where resource agents keep what has to last until the next boot.
const STATE_DIRECTORY: &str = "/run/resource-agents";

/// The configuration of one invocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    /// The definition file.
    pub(crate) definition: PathBuf,
    /// The libvirt URI.
    pub(crate) uri: String,
    /// Its driver, where the native client serves it; libvirt's client library takes all others.
    pub(crate) driver: Option<Driver>,
    /// Stop without asking the guest.
    pub(crate) force_stop: bool,
    /// What to make of a guest paused by an error.
    pub(crate) paused_by_error: OnPausedByError,
    /// How to ask the guest.
    pub(crate) shutdown_mode: ShutdownFlags,
    /// Where memory images go, if they do.
    pub(crate) snapshot: Option<Snapshot>,
    /// What a lenient reading does not consider, and why.
    pub(crate) set_aside: Vec<String>,
    /// What the domain's copy-on-write image is laid over.
    pub(crate) backing: Option<Backing>,
    /// Where the identity is remembered while the domain runs.
    pub(crate) memory: PathBuf,
    /// What is looked after beside the guest.
    pub(crate) upkeep: Options,
    /// Start pools and networks first.
    pub(crate) start_resources: bool,
    /// The resource's name.
    pub(crate) instance: String,
    /// How it migrates.
    pub(crate) migration: Settings,
}

impl Config {
    /// Reads it.
    pub(crate) fn read(request: &Request, values: &Values) -> Result<Self, Refusal> {
        let definition = PathBuf::from(values.require("config")?);
        let uri = values.require("hypervisor")?.trim().to_owned();
        let driver = Driver::from_uri(&uri);
        if !uri::is_uri(&uri) {
            let reason = format!("hypervisor={uri:?}: not a libvirt URI");
            return Err(Refusal::other(ExitCode::Configured, reason));
        }
        let migration = Settings::read(request, values, &uri)?;
        if request.action.strictness() == Strictness::Strict && !definition.is_absolute() {
            let reason = format!("config={definition:?}: not an absolute path");
            return Err(Refusal::other(ExitCode::Configured, reason));
        }
        let paused_by_error = match values.choice("paused_by_error") {
            Some("ignore") => OnPausedByError::Ignore,
            _ => OnPausedByError::Fail,
        };
        let mut set_aside = Vec::new();
        let mut refuse = |reason: String| match request.action.strictness() {
            Strictness::Strict => Err(Refusal::other(ExitCode::Configured, reason)),
            Strictness::Lenient => {
                set_aside.push(reason);
                Ok(())
            }
        };
        let mut shutdown_mode = ShutdownFlags::ANY;
        match values.text("shutdown_mode").map(shutdown_mode::parse) {
            Some(Ok(flags)) => shutdown_mode = flags,
            Some(Err(why)) => refuse(why)?,
            None => {}
        }
        let force_stop = values.boolean("force_stop");
        let mut snapshot = values.text("snapshot").map(|directory| Snapshot {
            directory: PathBuf::from(directory).components().collect(),
            is_shared: values.boolean("snapshot_is_shared"),
        });
        if let Some(why) = snapshot.as_ref().and_then(|it| complaint(it, driver, force_stop)) {
            refuse(why)?;
            snapshot = None;
        }
        Ok(Self {
            definition,
            uri,
            driver,
            force_stop,
            shutdown_mode,
            snapshot,
            set_aside,
            paused_by_error,
            backing: backing(values, request.action.strictness() == Strictness::Strict)?,
            memory: remembered(request, "identity"),
            upkeep: Options::read(
                request,
                values,
                driver == Some(Driver::Xen),
                remembered(request, "utilization"),
            ),
            start_resources: values.boolean("start_resources"),
            instance: request.instance_or_default().to_owned(),
            migration,
        })
    }
}

/// Why memory images cannot be had in this configuration.
fn complaint(snapshot: &Snapshot, driver: Option<Driver>, force_stop: bool) -> Option<String> {
    let directory = &snapshot.directory;
    if !directory.is_absolute() {
        Some(format!("snapshot={directory:?}: not an absolute path"))
    } else if force_stop {
        // Whoever orders the end at once gets it.
        Some(format!(
            "snapshot={directory:?} with force_stop: a domain is either saved or ended at once"
        ))
    } else if driver == Some(Driver::Qemu) {
        None
    } else {
        Some(format!("snapshot={directory:?}: only qemu:///system can save memory"))
    }
}

fn backing(values: &Values, is_strict: bool) -> Result<Option<Backing>, Refusal> {
    let file = values.text("backingfile").map(PathBuf::from);
    let stateless = values.boolean("stateless");
    let copyindirs: Vec<String> = values
        .text("copyindirs")
        .unwrap_or_default()
        .split_ascii_whitespace()
        .map(str::to_owned)
        .collect();
    let wrong = match &file {
        Some(file) if !file.is_absolute() => {
            Some(format!("backingfile={file:?}: not an absolute path"))
        }
        None if stateless => Some("stateless=true: needs backingfile".to_owned()),
        None if !copyindirs.is_empty() => Some("copyindirs: needs backingfile".to_owned()),
        Some(_) | None => None,
    };
    match wrong.filter(|_| is_strict) {
        Some(reason) => Err(Refusal::other(ExitCode::Configured, reason)),
        None => Ok(file.map(|file| Backing { file, stateless, copyindirs })),
    }
}

/// Where `what` is remembered.
fn remembered(request: &Request, what: &str) -> PathBuf {
    let directory = request.environment.filled("HA_RSCTMP").unwrap_or(STATE_DIRECTORY);
    // Resource ids are XML ids and cannot hold a slash; a caller by hand could.
    let instance = request.instance_or_default().replace('/', "_");
    PathBuf::from(directory).join(format!("VirtualDomain-{instance}.{what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use duet_ocf::{Action, Environment};

    fn read(action: Action, parameters: &[(&str, &str)]) -> Result<Config, Refusal> {
        let mut environment = Environment::default().with("OCF_RESOURCE_INSTANCE", "vm");
        for (name, value) in parameters {
            environment = environment.with(&format!("OCF_RESKEY_{name}"), value);
        }
        let request = Request::new(action, environment);
        let values = Values::read(&crate::spec::SPEC, &request, action.strictness())?;
        Config::read(&request, &values)
    }

    const XML: (&str, &str) = ("config", "/srv/vm.xml");
    const EVERY: [Action; 5] =
        [Action::Start, Action::Stop, Action::Monitor, Action::Status, Action::ValidateAll];

    #[test]
    fn defaults_are_those_of_the_table() {
        for action in EVERY {
            let config = read(action, &[XML]).unwrap();
            assert_eq!(config.uri, "qemu:///system");
            assert_eq!(config.paused_by_error, OnPausedByError::Fail);
            assert!(!config.force_stop);
            assert_eq!(
                config.memory.to_str(),
                Some("/run/resource-agents/VirtualDomain-vm.identity")
            );
        }
    }

    #[test]
    fn without_config_there_is_no_identity_to_act_on() {
        for action in EVERY {
            for parameters in [&[][..], &[("config", "")], &[("config", " ")]] {
                let refusal = read(action, parameters).unwrap_err();
                assert_eq!(refusal.exit_code(), ExitCode::Configured, "{action}");
            }
        }
    }

    #[test]
    fn uris_that_are_not_served_are_refused_by_name() {
        for uri in ["nonsense", "/system", "qemu :///system"] {
            for action in EVERY {
                let refusal = read(action, &[XML, ("hypervisor", uri)]).unwrap_err();
                assert_eq!(refusal.exit_code(), ExitCode::Configured);
                assert!(refusal.to_string().contains("hypervisor"), "{refusal}");
            }
        }
    }

    #[test]
    fn what_is_not_implemented_yet_is_refused_where_it_matters_and_nowhere_else() {
        for (name, value) in [
            ("copyindirs", "/srv"),
            ("migrate_options", "--dname other"),
            ("migration_user", "a b"),
        ] {
            for action in [Action::Start, Action::ValidateAll] {
                let refusal = read(action, &[XML, (name, value)]).unwrap_err();
                assert_eq!(refusal.exit_code(), ExitCode::Configured, "{name}");
                assert!(refusal.to_string().contains(name), "{refusal}");
            }
            for action in [Action::Stop, Action::Monitor, Action::Status] {
                assert!(read(action, &[XML, (name, value)]).is_ok(), "{name} in {action}");
            }
        }
    }

    #[test]
    fn a_fresh_image_needs_something_below_it() {
        for (parameters, says) in [
            (&[("stateless", "true")][..], "stateless"),
            (&[("copyindirs", "/etc/web")], "copyindirs"),
            (&[("backingfile", "base.img")], "base.img"),
        ] {
            let parameters = [&[XML], parameters].concat();
            for action in [Action::Start, Action::ValidateAll] {
                let refusal = read(action, &parameters).unwrap_err();
                assert_eq!(refusal.exit_code(), ExitCode::Configured);
                assert!(refusal.to_string().contains(says), "{refusal}");
            }
            for action in [Action::Stop, Action::Monitor, Action::Status] {
                assert!(read(action, &parameters).is_ok(), "{says} in {action}");
            }
        }
        let whole = [
            XML,
            ("backingfile", "/srv/base.img"),
            ("stateless", "yes"),
            ("copyindirs", " /etc/a  /etc/b "),
        ];
        let backing = read(Action::Start, &whole).unwrap().backing.unwrap();
        assert!(backing.stateless);
        assert_eq!(backing.copyindirs, ["/etc/a", "/etc/b"]);
    }

    #[test]
    fn saying_no_to_what_is_not_done_yet_is_accepted() {
        for (name, value) in [
            ("autoset_utilization_cpu", "false"),
            ("autoset_utilization_host_memory", "no"),
            ("autoset_utilization_hv_memory", "0"),
            ("save_config_on_stop", "false"),
            ("migration_speed", "0"),
        ] {
            for action in EVERY {
                assert!(read(action, &[XML, (name, value)]).is_ok(), "{name} in {action}");
            }
        }
    }

    #[test]
    fn what_cannot_be_saved_or_asked_is_refused_by_name_and_otherwise_not_considered() {
        let images = ("snapshot", "/srv/images");
        for (what, parameters) in [
            ("snapshot", &[("snapshot", "images")][..]),
            ("force_stop", &[images, ("force_stop", "true")]),
            ("qemu:///system", &[images, ("hypervisor", "lxc:///")]),
            ("gently", &[("shutdown_mode", "gently")]),
        ] {
            let all = [&[XML][..], parameters].concat();
            for action in [Action::Start, Action::ValidateAll] {
                let refusal = read(action, &all).unwrap_err();
                assert_eq!(refusal.exit_code(), ExitCode::Configured, "{what}");
                assert!(refusal.to_string().contains(what), "{refusal}");
            }
            let config = read(Action::Stop, &all).unwrap();
            assert_eq!((config.snapshot, config.shutdown_mode), (None, ShutdownFlags::ANY));
            assert!(config.set_aside[0].contains(what), "{:?}", config.set_aside);
        }
        let config = read(Action::Start, &[XML, images]).unwrap();
        assert!(config.snapshot.is_some_and(|it| !it.is_shared));
    }

    #[test]
    fn a_relative_config_is_refused_in_start() {
        assert!(read(Action::Start, &[("config", "vm.xml")]).is_err());
        assert!(read(Action::Stop, &[("config", "vm.xml")]).is_ok());
    }
}
