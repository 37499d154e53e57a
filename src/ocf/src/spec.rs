//! The one table an agent is described by. Parser, defaults, metadata, man page and usage all come
//! from it, so none of them can disagree with another.

use crate::{Action, Role};
use std::time::Duration;

/// The provider under which all agents of this suite are installed: `ocf:rust:<name>`.
pub const PROVIDER: &str = "rust";

/// What an agent is, has and does.
#[derive(Debug, Clone, Copy)]
pub struct Spec {
    /// The agent's type, as installed.
    pub name: &'static str,
    /// The agent's own version (not OCF's, which is 1.1).
    pub version: &'static str,
    /// One line, no full stop.
    pub shortdesc: &'static str,
    /// Paragraphs, separated by an empty line.
    pub longdesc: &'static str,
    /// Its parameters, in the order in which they are documented.
    pub parameters: &'static [Parameter],
    /// Its actions, with the timeouts it advises.
    pub actions: &'static [ActionSpec],
}

/// One parameter. Build it with [`Parameter::new`] and the `const` methods that follow it.
#[derive(Debug, Clone, Copy)]
pub struct Parameter {
    /// The name, as in `OCF_RESKEY_<name>`.
    pub name: &'static str,
    /// What its values are.
    pub kind: Kind,
    /// The value that unset and empty stand for; `None`: there is none, the agent knows what unset means.
    pub default: Option<&'static str>,
    /// Whether it must be set.
    pub required: bool,
    /// No two resources may share the values of all parameters of one group.
    pub unique_group: Option<&'static str>,
    /// A change needs `reload-agent` only, no restart.
    pub reloadable: bool,
    /// A secret: never shown in a log, a reason or a refusal. Metadata has no attribute for it that
    /// every reader accepts (pcs refuses `private`), so it is a rule for us, not an announcement.
    pub private: bool,
    /// It still works, but something else should be used.
    pub deprecated: Option<Deprecated>,
    /// Whether this version implements it.
    pub support: Support,
    /// A few words, no full stop.
    pub shortdesc: &'static str,
    /// Paragraphs, separated by an empty line.
    pub longdesc: &'static str,
}

/// What a parameter's values are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    String,
    /// A whole number within these bounds, both included.
    Integer {
        /// Smallest allowed.
        min: i64,
        /// Largest allowed.
        max: i64,
    },
    /// One of the boolean words, see [`crate::boolean_word`].
    Boolean,
    /// One of these words, exactly.
    Select(&'static [&'static str]),
    /// A span of time, see [`crate::duration_word`]. Rendered as `string`: the schemas agree on no
    /// better type.
    Duration,
}

/// What to use instead of a deprecated parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deprecated {
    /// The parameters that replace it.
    pub replaced_with: &'static [&'static str],
    /// Why, for people.
    pub explanation: &'static str,
}

/// Whether this version implements a parameter of the stock agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// Yes.
    Supported,
    /// Not yet: set to anything but empty or its default, it is refused by name wherever values are read strictly.
    /// Stop and monitor do not depend on it.
    NotYet,
}

/// One action and what the agent advises for it.
#[derive(Debug, Clone, Copy)]
pub struct ActionSpec {
    /// Which.
    pub action: Action,
    /// The advised timeout; also what holds where the caller sets none.
    pub timeout: Duration,
    /// The advised interval, of a recurring action.
    pub interval: Option<Duration>,
    /// The check level (`OCF_CHECK_LEVEL`) this line is about.
    pub depth: Option<u32>,
    /// The role this line is about.
    pub role: Option<Role>,
}

impl Parameter {
    /// A supported, optional parameter without default.
    #[must_use]
    pub const fn new(
        name: &'static str,
        kind: Kind,
        shortdesc: &'static str,
        longdesc: &'static str,
    ) -> Parameter {
        Parameter {
            name,
            kind,
            default: None,
            required: false,
            unique_group: None,
            reloadable: false,
            private: false,
            deprecated: None,
            support: Support::Supported,
            shortdesc,
            longdesc,
        }
    }

    /// With this default.
    #[must_use]
    pub const fn with_default(mut self, default: &'static str) -> Parameter {
        self.default = Some(default);
        self
    }

    /// It must be set.
    #[must_use]
    pub const fn required(mut self) -> Parameter {
        self.required = true;
        self
    }

    /// It is part of this unique group.
    #[must_use]
    pub const fn unique(mut self, group: &'static str) -> Parameter {
        self.unique_group = Some(group);
        self
    }

    /// A change of it needs no restart.
    #[must_use]
    pub const fn reloadable(mut self) -> Parameter {
        self.reloadable = true;
        self
    }

    /// It is a secret.
    #[must_use]
    pub const fn private(mut self) -> Parameter {
        self.private = true;
        self
    }

    /// Something else should be used.
    #[must_use]
    pub const fn deprecated(
        mut self,
        replaced_with: &'static [&'static str],
        explanation: &'static str,
    ) -> Parameter {
        self.deprecated = Some(Deprecated { replaced_with, explanation });
        self
    }

    /// The stock agent has it, this version refuses it.
    #[must_use]
    pub const fn not_yet(mut self) -> Parameter {
        self.support = Support::NotYet;
        self
    }
}

impl ActionSpec {
    /// An action with its advised timeout in seconds.
    #[must_use]
    pub const fn new(action: Action, timeout_seconds: u64) -> ActionSpec {
        let timeout = Duration::from_secs(timeout_seconds);
        ActionSpec { action, timeout, interval: None, depth: None, role: None }
    }

    /// Recurring, every so many seconds.
    #[must_use]
    pub const fn every(mut self, seconds: u64) -> ActionSpec {
        self.interval = Some(Duration::from_secs(seconds));
        self
    }

    /// At this check level.
    #[must_use]
    pub const fn depth(mut self, depth: u32) -> ActionSpec {
        self.depth = Some(depth);
        self
    }

    /// For instances in the promoted role.
    #[must_use]
    pub const fn promoted(mut self) -> ActionSpec {
        self.role = Some(Role::Promoted);
        self
    }

    /// For instances in the unpromoted role.
    #[must_use]
    pub const fn unpromoted(mut self) -> ActionSpec {
        self.role = Some(Role::Unpromoted);
        self
    }
}

impl Spec {
    /// The parameter of this name.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&'static Parameter> {
        self.parameters.iter().find(|parameter| parameter.name == name)
    }

    /// Whether the table lists this action. `usage` needs no line: everybody has it.
    #[must_use]
    pub fn has(&self, action: Action) -> bool {
        action == Action::Usage || self.actions.iter().any(|line| line.action == action)
    }

    /// The timeout for an action whose caller set none: that of the line which fits role and check
    /// level best, else 90 s as in the stock agents.
    #[must_use]
    pub fn default_timeout(
        &self,
        action: Action,
        role: Option<Role>,
        check_level: u32,
    ) -> Duration {
        let fit = |line: &&ActionSpec| (line.role == role, line.depth.unwrap_or(0) == check_level);
        self.actions
            .iter()
            .filter(|line| line.action == action)
            // The first of the best, not the last.
            .rev()
            .max_by_key(fit)
            .map_or(Duration::from_secs(90), |line| line.timeout)
    }

    /// What is wrong with the table itself, for the agent's tests: every complaint is a bug.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        for (at, parameter) in self.parameters.iter().enumerate() {
            let name = parameter.name;
            if self.parameters[..at].iter().any(|earlier| earlier.name == name) {
                complaints.push(format!("{name}: listed twice"));
            }
            if name.is_empty()
                || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
            {
                complaints.push(format!("{name}: not a name for an environment variable"));
            }
            if parameter.required && parameter.default.is_some() {
                complaints.push(format!("{name}: required, yet with a default"));
            }
            if parameter.shortdesc.is_empty() || parameter.longdesc.trim().is_empty() {
                complaints.push(format!("{name}: not described"));
            }
            if let Some(default) = parameter.default.filter(|default| !default.is_empty()) {
                if let Err(refusal) = crate::values::parse(parameter, default) {
                    complaints.push(format!("default of {refusal}"));
                }
            }
            for other in parameter.deprecated.map_or(&[][..], |d| d.replaced_with) {
                if self.parameter(other).is_none() {
                    complaints.push(format!("{name}: replaced with unlisted {other}"));
                }
            }
        }
        for action in
            [Action::Start, Action::Stop, Action::Monitor, Action::MetaData, Action::ValidateAll]
        {
            if !self.has(action) {
                complaints.push(format!("action {action} is not listed"));
            }
        }
        for (one, other) in
            [(Action::Promote, Action::Demote), (Action::MigrateTo, Action::MigrateFrom)]
        {
            if self.has(one) != self.has(other) {
                complaints.push(format!("{one} and {other} come together or not at all"));
            }
        }
        if self.parameters.iter().any(|p| p.reloadable) && !self.has(Action::ReloadAgent) {
            complaints.push("a reloadable parameter needs the action reload-agent".to_owned());
        }
        complaints
    }
}
