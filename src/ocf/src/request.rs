//! One invocation, parsed: which action, on which resource, with what Pacemaker says about it.
//! Parsing never fails: what a caller leaves out (`crm ra validate` gives parameters only) is absent.

use crate::{Action, Environment, Notify, Role};
use std::time::Duration;

/// What was asked, by whom and about what.
///
/// Parameters are looked up by the names in the table; other `OCF_RESKEY_` variables are tolerated
/// and never looked at, as in the stock agents. Pacemaker passes on every attribute it has, declared or not
/// (`trace_ra`, `crm_feature_set`), so refusing strangers would refuse working clusters.
#[derive(Debug, Clone)]
pub struct Request {
    /// The action.
    pub action: Action,
    /// The resource's name (`OCF_RESOURCE_INSTANCE`; anonymous clones come without `:N`).
    pub instance: Option<String>,
    /// The agent's type as the caller knows it.
    pub resource_type: Option<String>,
    /// The provider as the caller knows it.
    pub provider: Option<String>,
    /// How deep a monitor or validation should look (`OCF_CHECK_LEVEL`).
    pub check_level: u32,
    /// What Pacemaker tells about the operation.
    pub meta: Meta,
    /// All variables; for parameters use [`crate::Values`].
    pub environment: Environment,
}

/// The `CRM_meta_` variables.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Meta {
    /// The operation's timeout; absent outside a cluster, and zero counts as absent.
    pub timeout: Option<Duration>,
    /// The interval; zero when absent.
    pub interval: Duration,
    /// The role a recurring monitor is for.
    pub role: Option<Role>,
    /// The operation's name as configured.
    pub name: Option<String>,
    /// The node this runs on, in Pacemaker's words.
    pub on_node: Option<String>,
    /// Its id.
    pub on_node_uuid: Option<String>,
    /// The host, where the node is a bundle's container.
    pub physical_host: Option<String>,
    /// Where a migration comes from.
    pub migrate_source: Option<String>,
    /// Where a migration goes to.
    pub migrate_target: Option<String>,
    /// Present when the resource is a clone's instance.
    pub clone: Option<CloneFacts>,
}

/// What Pacemaker says about the clone an instance belongs to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CloneFacts {
    /// The instance's number.
    pub number: Option<u32>,
    /// Instances in all.
    pub max: Option<u32>,
    /// Instances on one node.
    pub node_max: Option<u32>,
    /// Whether instances are distinguishable.
    pub globally_unique: bool,
    /// Whether notify is called.
    pub notify: bool,
    /// Promoted instances in all; present for a promotable clone.
    pub promoted_max: Option<u32>,
    /// Promoted instances on one node.
    pub promoted_node_max: Option<u32>,
}

impl CloneFacts {
    /// Whether its instances can be promoted.
    #[must_use]
    pub fn is_promotable(&self) -> bool {
        self.promoted_max.is_some_and(|max| max > 0)
    }
}

impl Request {
    /// Reads the invocation of `action` from its environment.
    #[must_use]
    pub fn new(action: Action, environment: Environment) -> Request {
        let own = |name: &str| environment.filled(name).map(str::to_owned);
        let check_level = environment
            .filled("OCF_CHECK_LEVEL")
            .or_else(|| environment.filled("OCF_RESKEY_OCF_CHECK_LEVEL"))
            .and_then(|level| level.parse().ok())
            .unwrap_or(0);
        Request {
            action,
            instance: own("OCF_RESOURCE_INSTANCE"),
            resource_type: own("OCF_RESOURCE_TYPE"),
            provider: own("OCF_RESOURCE_PROVIDER"),
            check_level,
            meta: Meta::read(&environment),
            environment,
        }
    }

    /// Whether this is a probe: a monitor outside any recurrence, which must not change anything.
    #[must_use]
    pub fn is_probe(&self) -> bool {
        self.action == Action::Monitor && self.meta.interval.is_zero()
    }

    /// Whether steps may be carried out at all: not in a probe, a status or a validation. A recurring
    /// monitor may keep scores and attributes up to date.
    #[must_use]
    pub fn may_change(&self) -> bool {
        match self.action {
            Action::Monitor => !self.is_probe(),
            Action::ValidateAll | Action::Status | Action::MetaData | Action::Usage => false,
            Action::Start
            | Action::Stop
            | Action::Promote
            | Action::Demote
            | Action::Notify
            | Action::MigrateTo
            | Action::MigrateFrom
            | Action::ReloadAgent => true,
        }
    }

    /// The resource's name, or a stand-in where the caller gave none.
    #[must_use]
    pub fn instance_or_default(&self) -> &str {
        self.instance.as_deref().unwrap_or("default")
    }

    /// A parameter as text, `None` when unset or empty.
    ///
    /// Only a lone run of white space counts as empty; white space around a value is the value's.
    #[must_use]
    pub fn raw(&self, parameter: &str) -> Option<&str> {
        let value = self.environment.get(&format!("OCF_RESKEY_{parameter}"))?;
        (!value.trim().is_empty()).then_some(value)
    }

    /// What a notify is about; `None` for other actions, and where the caller did not say.
    #[must_use]
    pub fn notification(&self) -> Option<Notify> {
        (self.action == Action::Notify).then(|| Notify::read(&self.environment)).flatten()
    }
}

impl Meta {
    fn read(environment: &Environment) -> Meta {
        let text = |name: &str| environment.meta(name).map(str::to_owned);
        let milliseconds = |name: &str| {
            environment.meta(name).and_then(|ms| ms.parse().ok()).map(Duration::from_millis)
        };
        Meta {
            timeout: milliseconds("timeout").filter(|timeout| !timeout.is_zero()),
            interval: milliseconds("interval").unwrap_or(Duration::ZERO),
            role: environment.meta("role").map(Role::parse),
            name: text("name"),
            on_node: text("on_node"),
            on_node_uuid: text("on_node_uuid"),
            physical_host: text("physical_host"),
            migrate_source: text("migrate_source"),
            migrate_target: text("migrate_target"),
            clone: CloneFacts::read(environment),
        }
    }
}

impl CloneFacts {
    fn read(environment: &Environment) -> Option<CloneFacts> {
        let number = |name: &str| environment.meta(name).and_then(|n| n.parse().ok());
        let truth = |name: &str| environment.meta(name).and_then(crate::boolean_word);
        let facts = CloneFacts {
            number: number("clone"),
            max: number("clone_max"),
            node_max: number("clone_node_max"),
            globally_unique: truth("globally_unique").unwrap_or(false),
            notify: truth("notify").unwrap_or(false),
            promoted_max: number("promoted_max").or_else(|| number("master_max")),
            promoted_node_max: number("promoted_node_max").or_else(|| number("master_node_max")),
        };
        (facts.number.is_some() || facts.max.is_some()).then_some(facts)
    }
}
