//! The cluster's properties that fencing is decided by, with Pacemaker's defaults and precedence. Invariant: a
//! value that Pacemaker does not know is an error that names it, not a default.

use crate::{
    CibError, FeatureSet,
    nvset::{Held, Sets, boolean},
    xml::Element,
};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What the cluster is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Properties {
    /// Whether nodes are fenced, `stonith-enabled` (from Pacemaker 3.0 on also `fencing-enabled`, which counts before it).
    pub stonith_enabled: bool,
    /// Whether a node that was never seen is fenced.
    pub startup_fencing: bool,
    /// What a partition without quorum does.
    pub no_quorum_policy: NoQuorumPolicy,
    /// Whether the cluster leaves everything alone; `None` where a rule decides that.
    pub maintenance_mode: Option<bool>,
    /// Whether the cluster found a watchdog.
    pub have_watchdog: bool,
    /// When a node that lost contact counts as having ended itself.
    pub stonith_watchdog_timeout: WatchdogTimeout,
}

/// `no-quorum-policy`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum NoQuorumPolicy {
    /// The default: stop everything.
    Stop,
    /// Go on with what runs, begin nothing.
    Freeze,
    /// As if there were quorum.
    Ignore,
    /// Demote what is promoted, stop the rest.
    Demote,
    /// The partition fences itself; `suicide`, and `fence` from Pacemaker 3.0 on.
    Suicide,
    /// One that was not known when this was written.
    Unrecognized(String),
}

/// `stonith-watchdog-timeout`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum WatchdogTimeout {
    /// The watchdog is not relied on: unset or 0.
    Off,
    /// Twice SBD's own: a negative value.
    Automatic,
    /// This long.
    Milliseconds(u64),
    /// No duration that is known here.
    Unrecognized(String),
}

/// The set that counts before all others.
const FIRST: &str = "cib-bootstrap-options";

impl Properties {
    pub(crate) fn read(
        crm_config: &Element<'_>,
        features: Option<&FeatureSet>,
    ) -> Result<Properties, CibError> {
        let sets = Sets::new(crm_config.all("cluster_property_set"), None, Some(FIRST));
        let knows_new_names = features.and_then(FeatureSet::numbers).is_none_or(|it| it >= (3, 20));
        let renamed = |new: &'static str, name: &'static str| match sets.held(new) {
            Held::Unset => (name, sets.held(name)),
            _ if !knows_new_names => (name, sets.held(name)),
            held @ (Held::Value(_) | Held::ByRule) => (new, held),
        };
        let text = |(name, held): (&'static str, Held<'_>)| match held {
            Held::Unset => Ok(None),
            Held::Value(value) => Ok(Some(value.to_owned())),
            Held::ByRule => Err(CibError::PropertyByRule(name)),
        };
        let flag = |(name, held): (&'static str, _), default: bool| match text((name, held))? {
            None => Ok(default),
            Some(word) => boolean(&word).ok_or(CibError::Property { name, value: word }),
        };
        let named = |name: &'static str| (name, sets.held(name));
        let policy = text(named("no-quorum-policy"))?;
        let watchdog = text(renamed("fencing-watchdog-timeout", "stonith-watchdog-timeout"))?;
        Ok(Properties {
            stonith_enabled: flag(renamed("fencing-enabled", "stonith-enabled"), true)?,
            startup_fencing: flag(named("startup-fencing"), true)?,
            no_quorum_policy: policy.map_or(NoQuorumPolicy::Stop, |it| NoQuorumPolicy::parse(&it)),
            maintenance_mode: match sets.held("maintenance-mode") {
                Held::ByRule => None,
                held => Some(flag(("maintenance-mode", held), false)?),
            },
            have_watchdog: flag(named("have-watchdog"), false)?,
            stonith_watchdog_timeout: watchdog
                .map_or(WatchdogTimeout::Off, |it| WatchdogTimeout::parse(&it)),
        })
    }

    /// Whether a node of this cluster that has never been seen will be fenced.
    #[must_use]
    pub fn fences_unseen_nodes(&self) -> bool {
        self.stonith_enabled && self.startup_fencing
    }

    /// As `crm_config`, which reads as the same again.
    pub(crate) fn to_element(&self) -> Element<'static> {
        let word = |is: bool| if is { "true" } else { "false" };
        let policy = self.no_quorum_policy.to_string();
        let watchdog = self.stonith_watchdog_timeout.to_string();
        let mut pairs = vec![
            ("stonith-enabled", word(self.stonith_enabled)),
            ("startup-fencing", word(self.startup_fencing)),
            ("no-quorum-policy", &policy),
            ("have-watchdog", word(self.have_watchdog)),
            ("stonith-watchdog-timeout", &watchdog),
        ];
        pairs.extend(self.maintenance_mode.map(|is| ("maintenance-mode", word(is))));
        let set = |id: &str, pairs: &[(&'static str, &str)]| {
            let pair = |(name, value): &(&'static str, &str)| {
                let id = format!("{id}-{name}");
                Element::new("nvpair", &[("id", &id), ("name", name), ("value", value)])
            };
            Element::new("cluster_property_set", &[("id", id)]).with(pairs.iter().map(pair))
        };
        let mut sets = vec![set(FIRST, &pairs)];
        if self.maintenance_mode.is_none() {
            let by_rule = set("by-rule", &[("maintenance-mode", "true")]);
            sets.push(by_rule.with([Element::new("rule", &[("id", "by-rule-rule")])]));
        }
        Element::new("crm_config", &[]).with(sets)
    }
}

const POLICIES: &[(&str, NoQuorumPolicy)] = &[
    ("stop", NoQuorumPolicy::Stop),
    ("freeze", NoQuorumPolicy::Freeze),
    ("ignore", NoQuorumPolicy::Ignore),
    ("demote", NoQuorumPolicy::Demote),
    ("suicide", NoQuorumPolicy::Suicide),
    ("fence", NoQuorumPolicy::Suicide),
];

impl NoQuorumPolicy {
    /// Reads Pacemaker's word.
    #[must_use]
    pub fn parse(word: &str) -> NoQuorumPolicy {
        let row = POLICIES.iter().find(|(known, _)| word.eq_ignore_ascii_case(known));
        row.map_or_else(
            || NoQuorumPolicy::Unrecognized(word.to_owned()),
            |(_, policy)| policy.clone(),
        )
    }
}

impl fmt::Display for NoQuorumPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = POLICIES.iter().find(|(_, known)| known == self);
        match (row, self) {
            (Some((word, _)), _) => f.write_str(word),
            (None, NoQuorumPolicy::Unrecognized(word)) => f.write_str(word),
            (None, _) => f.write_str("unrecognized"),
        }
    }
}

impl WatchdogTimeout {
    /// Reads a duration as Pacemaker's crm_get_msec does: a number, and seconds unless a unit follows.
    #[must_use]
    pub fn parse(text: &str) -> WatchdogTimeout {
        let unrecognized = || WatchdogTimeout::Unrecognized(text.to_owned());
        let trimmed = text.trim();
        let digits =
            trimmed.trim_start_matches(['-', '+']).trim_start_matches(|c: char| c.is_ascii_digit());
        let (number, unit) = trimmed.split_at(trimmed.len() - digits.len());
        let Ok(number) = number.parse::<i64>() else { return unrecognized() };
        let milliseconds = match unit.trim() {
            "" | "s" | "sec" => number.checked_mul(1000),
            "ms" | "msec" => Some(number),
            "us" | "usec" => Some(number / 1000),
            "m" | "min" => number.checked_mul(60_000),
            "h" | "hr" => number.checked_mul(3_600_000),
            _ => None,
        };
        match milliseconds {
            None => unrecognized(),
            Some(0) => WatchdogTimeout::Off,
            Some(some) => u64::try_from(some)
                .map_or(WatchdogTimeout::Automatic, WatchdogTimeout::Milliseconds),
        }
    }
}

impl fmt::Display for WatchdogTimeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WatchdogTimeout::Off => f.write_str("0"),
            WatchdogTimeout::Automatic => f.write_str("-1"),
            WatchdogTimeout::Milliseconds(number) => write!(f, "{number}ms"),
            WatchdogTimeout::Unrecognized(text) => f.write_str(text),
        }
    }
}
