//! Environment to configuration, once. Invariant: stop and monitor need nothing but the identity: where the
//! definition is and which libvirt has the domain.

use std::path::PathBuf;

use duet_domain::OnPausedByError;
use duet_libvirt_rpc::Driver;
use duet_ocf::{ExitCode, Refusal, Request, Strictness, Values};

use crate::upkeep::Options;

/// Where resource agents keep what has to last until the next boot.
const STATE_DIRECTORY: &str = "/run/resource-agents";

/// The configuration of one invocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    /// The definition file.
    pub(crate) definition: PathBuf,
    /// The libvirt URI.
    pub(crate) uri: String,
    /// Its driver.
    pub(crate) driver: Driver,
    /// Stop without asking the guest.
    pub(crate) force_stop: bool,
    /// What to make of a guest paused by an error.
    pub(crate) paused_by_error: OnPausedByError,
    /// Where the identity is remembered while the domain runs.
    pub(crate) memory: PathBuf,
    /// What is looked after beside the guest.
    pub(crate) upkeep: Options,
}

impl Config {
    /// Reads it.
    pub(crate) fn read(request: &Request, values: &Values) -> Result<Self, Refusal> {
        let definition = PathBuf::from(values.require("config")?);
        let uri = values.require("hypervisor")?.trim().to_owned();
        let driver = Driver::from_uri(&uri).ok_or_else(|| {
            let reason = format!(
                "hypervisor={uri:?}: only qemu:///system, lxc:/// and xen:///system are implemented yet"
            );
            Refusal::other(ExitCode::Configured, reason)
        })?;
        if request.action.strictness() == Strictness::Strict && !definition.is_absolute() {
            let reason = format!("config={definition:?}: not an absolute path");
            return Err(Refusal::other(ExitCode::Configured, reason));
        }
        let paused_by_error = match values.choice("paused_by_error") {
            Some("ignore") => OnPausedByError::Ignore,
            _ => OnPausedByError::Fail,
        };
        Ok(Self {
            definition,
            uri,
            driver,
            force_stop: values.boolean("force_stop"),
            paused_by_error,
            memory: remembered(request, "identity"),
            upkeep: Options::read(
                request,
                values,
                driver == Driver::Xen,
                remembered(request, "utilization"),
            ),
        })
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
        for uri in ["qemu+ssh://other/system", "test:///default", "qemu:///session", "nonsense"] {
            for action in EVERY {
                let refusal = read(action, &[XML, ("hypervisor", uri)]).unwrap_err();
                assert_eq!(refusal.exit_code(), ExitCode::Configured);
                assert!(refusal.to_string().contains(uri), "{refusal}");
            }
        }
    }

    #[test]
    fn what_is_not_implemented_yet_is_refused_where_it_matters_and_nowhere_else() {
        for (name, value) in [
            ("snapshot", "/srv"),
            ("migration_transport", "ssh"),
            ("shutdown_mode", "agent"),
            ("migrateport", "49152"),
            ("start_resources", "true"),
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
    fn a_relative_config_is_refused_in_start() {
        assert!(read(Action::Start, &[("config", "vm.xml")]).is_err());
        assert!(read(Action::Stop, &[("config", "vm.xml")]).is_ok());
    }
}
