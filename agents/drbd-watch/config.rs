//! Environment to configuration, once. Invariant: stop and monitor need nothing but the instance's name; what would make a wrong
//! name of an attribute is refused with 6 by start and validate-all.

use std::{ffi::OsString, path::PathBuf};

use duet_host::libexec;
use duet_ocf::{ExitCode, Refusal, Request, Strictness, Values};

use crate::{
    duty::{Attributes, Duty},
    spec::PREFIX,
};

/// Where resource agents keep what has to last until the next boot.
const STATE_DIRECTORY: &str = "/run/resource-agents";
/// The program that is supervised.
const PROGRAM: &str = "drbd-watchd";

/// The configuration of one invocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    /// The program that is supervised.
    pub(crate) program: PathBuf,
    /// What it is told.
    pub(crate) duty: Duty,
}

impl Config {
    /// Reads it.
    ///
    /// # Errors
    /// A prefix that cannot be part of an attribute's name, for actions that read strictly.
    pub(crate) fn read(request: &Request, values: &Values) -> Result<Self, Refusal> {
        let mut prefix = values.text("attr_name_prefix").unwrap_or(PREFIX);
        if !is_name(prefix) {
            if request.action.strictness() == Strictness::Strict {
                let reason = format!(
                    "attr_name_prefix={prefix:?}: only letters, digits and . _ : - can be in it"
                );
                return Err(Refusal::other(ExitCode::Configured, reason));
            }
            prefix = PREFIX;
        }
        let attributes = values.boolean("auto_promote").then(|| Attributes {
            prefix: prefix.to_owned(),
            delay: values.integer("dampening_delay").and_then(|n| n.try_into().ok()).unwrap_or(5),
            has_details: values.boolean("record_event_details"),
        });
        let directory = request.environment.filled("HA_RSCTMP").unwrap_or(STATE_DIRECTORY);
        let directory = PathBuf::from(directory);
        let instance = base(request.instance_or_default()).replace('/', "_");
        let state = directory.join(format!("drbd-watch-{instance}.state"));
        let node = request.meta.on_node.clone();
        let duty = Duty { state, records: directory, node, attributes };
        Ok(Self { program: libexec::program(PROGRAM), duty })
    }

    /// The words that the daemon is started with.
    pub(crate) fn words(&self) -> Vec<OsString> {
        self.duty.words()
    }
}

/// What may be the beginning of an attribute's name, in attrd_updater's and in XPath's eyes.
fn is_name(text: &str) -> bool {
    let is_fine = |c: char| c.is_ascii_alphanumeric() || "._:-".contains(c);
    text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') && text.chars().all(is_fine)
}

/// Without the number of an anonymous clone's instance.
fn base(instance: &str) -> &str {
    match instance.rsplit_once(':') {
        Some((base, number)) if number.bytes().all(|byte| byte.is_ascii_digit()) => base,
        Some(_) | None => instance,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::SPEC;
    use duet_ocf::{Action, Environment};

    fn config(action: Action, parameters: &[(&str, &str)]) -> Result<Config, Refusal> {
        let own = [("HA_RSCTMP", "/tmp/x"), ("OCF_RESOURCE_INSTANCE", "p_watch:0")];
        let parameters =
            parameters.iter().map(|(name, value)| (format!("OCF_RESKEY_{name}"), *value));
        let environment: Environment = own
            .map(|(name, value)| (name.to_owned(), value))
            .into_iter()
            .chain(parameters)
            .collect();
        let request = Request::new(action, environment);
        let values = Values::read(&SPEC, &request, action.strictness())?;
        Config::read(&request, &values)
    }

    #[test]
    fn by_default_only_managed_resources_are_watched() {
        let duty = config(Action::Start, &[]).unwrap().duty;
        assert_eq!(duty.attributes, None);
        assert_eq!(duty.state, PathBuf::from("/tmp/x/drbd-watch-p_watch.state"));
        assert_eq!(duty.records, PathBuf::from("/tmp/x"));
    }

    #[test]
    fn attributes_are_as_drbd_attr_has_them() {
        let duty = config(Action::Start, &[("auto_promote", "yes")]).unwrap().duty;
        let stock = Attributes { prefix: PREFIX.to_owned(), delay: 5, has_details: false };
        assert_eq!(duty.attributes, Some(stock));
        let own = [
            ("auto_promote", "true"),
            ("attr_name_prefix", "score"),
            ("dampening_delay", "0"),
            ("record_event_details", "on"),
        ];
        let duty = config(Action::Start, &own).unwrap().duty;
        let own = Attributes { prefix: "score".to_owned(), delay: 0, has_details: true };
        assert_eq!(duty.attributes, Some(own));
    }

    #[test]
    fn what_cannot_be_in_a_name_is_refused_but_not_by_stop() {
        for prefix in ["a b", "a'b", "-a", "a/b", "a\nb", "ä"] {
            for action in [Action::Start, Action::ValidateAll] {
                let refusal = config(action, &[("attr_name_prefix", prefix)]).unwrap_err();
                assert_eq!(refusal.exit_code(), ExitCode::Configured, "{prefix}");
            }
            for action in [Action::Stop, Action::Monitor] {
                assert!(config(action, &[("attr_name_prefix", prefix)]).is_ok(), "{prefix}");
            }
        }
    }
}
