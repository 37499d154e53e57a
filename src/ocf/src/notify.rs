//! What a clone's instance is told before and after something happens to its siblings.
//! An absent list and an empty one (Pacemaker writes one space) are the same: nobody.

use crate::{Action, Environment};

/// Before or after the operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// It is about to happen.
    Pre,
    /// It has happened.
    Post,
}

/// The instances something concerns.
///
/// Both lists have the same length and order as far as Pacemaker is concerned; neither is cut down
/// to the other's length here, so that counting nodes never depends on it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Members {
    /// Resource names.
    pub resources: Vec<String>,
    /// The nodes they are on.
    pub nodes: Vec<String>,
}

impl Members {
    /// Resource and node together.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.resources.iter().map(String::as_str).zip(self.nodes.iter().map(String::as_str))
    }

    /// Whether one of them is on this node.
    #[must_use]
    pub fn on(&self, node: &str) -> bool {
        self.nodes.iter().any(|other| other == node)
    }

    /// Whether nobody is concerned.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.resources.is_empty() && self.nodes.is_empty()
    }
}

/// A notification. The lists speak of the situation before the operation, in `pre` and `post` alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notify {
    /// Before or after.
    pub when: When,
    /// Start, stop, promote or demote.
    pub operation: Action,
    /// Instances that are started.
    pub start: Members,
    /// Instances that are stopped.
    pub stop: Members,
    /// Instances that are promoted.
    pub promote: Members,
    /// Instances that are demoted.
    pub demote: Members,
    /// Instances that ran (in a promotable clone Pacemaker leaves this empty).
    pub active: Members,
    /// Instances that ran promoted.
    pub promoted: Members,
    /// Instances that ran unpromoted.
    pub unpromoted: Members,
    /// Instances that did not run; they have no node.
    pub inactive: Vec<String>,
    /// All nodes the clone may use.
    pub all_nodes: Vec<String>,
    /// Those of them that are online.
    pub available_nodes: Vec<String>,
}

impl Notify {
    /// Reads the `notify_` variables; `None` without an intelligible type and operation.
    #[must_use]
    pub fn read(environment: &Environment) -> Option<Notify> {
        let when = match environment.meta("notify_type")? {
            "pre" => When::Pre,
            "post" => When::Post,
            _ => return None,
        };
        let operation = Action::parse(environment.meta("notify_operation")?)?;
        let list = |name: &str| -> Vec<String> {
            let value = environment.meta(&format!("notify_{name}"));
            value.unwrap_or_default().split_whitespace().map(str::to_owned).collect()
        };
        let members = |verb: &str| Members {
            resources: list(&format!("{verb}_resource")),
            nodes: list(&format!("{verb}_uname")),
        };
        // The new names where they say anything, else those from before Pacemaker 2.1.
        let renamed = |new: &str, legacy: &str| {
            let found = members(new);
            if found.is_empty() { members(legacy) } else { found }
        };
        Some(Notify {
            when,
            operation,
            start: members("start"),
            stop: members("stop"),
            promote: members("promote"),
            demote: members("demote"),
            active: members("active"),
            promoted: renamed("promoted", "master"),
            unpromoted: renamed("unpromoted", "slave"),
            inactive: list("inactive_resource"),
            all_nodes: list("all_uname"),
            available_nodes: list("available_uname"),
        })
    }
}
