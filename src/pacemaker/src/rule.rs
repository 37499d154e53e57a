//! The constraint that fences a DRBD peer: "nobody may promote this clone but on these nodes", in the text that drbd-utils'
//! handlers write and read. Invariant: a constraint that says anything else is not a rule, whatever it is called.

mod read;

use crate::{Cib, Node, xml::Element};
pub use read::{Difference, RuleError};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt};

/// What a rule is called unless something else is asked for (`--id-prefix`).
pub const DEFAULT_PREFIX: &str = "drbd-fence-by-handler";

/// The names that a rule and its parts have, by resource and clone: several resources may share a clone, and then
/// each has its own rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleName {
    /// With the resource.
    prefix: String,
    clone: String,
}

impl RuleName {
    /// The resource is appended to the prefix unless it is its end already.
    #[must_use]
    pub fn new(prefix: &str, resource: &str, clone: &str) -> RuleName {
        let suffix = format!("-{resource}");
        let more = if prefix.ends_with(&suffix) { "" } else { &suffix };
        RuleName { prefix: format!("{prefix}{more}"), clone: clone.to_owned() }
    }

    /// The id of the constraint.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}-{}", self.prefix, self.clone)
    }

    fn rule(&self) -> String {
        format!("{}-rule-{}", self.prefix, self.clone)
    }

    fn expression(&self, index: u32) -> String {
        format!("{}-expr-{index}-{}", self.prefix, self.clone)
    }
}

/// Which role is forbidden. Both words mean the same; the older one is the one that every version and the stock handlers know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Role {
    /// Until Pacemaker 2.0.
    #[default]
    Master,
    /// Since Pacemaker 2.1 (schema 3.7).
    Promoted,
}

impl Role {
    /// Reads either word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Role> {
        match word.to_ascii_lowercase().as_str() {
            "master" => Some(Role::Master),
            "promoted" => Some(Role::Promoted),
            _ => None,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Master => "Master",
            Role::Promoted => "Promoted",
        })
    }
}

/// By what a rule tells nodes apart (`--fencing-attribute`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum FencingAttribute {
    /// `#uname`: the node's name in the cluster.
    Uname,
    /// A node attribute, as of several nodes that share a storage.
    Node(String),
}

impl FencingAttribute {
    /// Reads the option, or the attribute of an expression.
    #[must_use]
    pub fn parse(name: &str) -> FencingAttribute {
        match name {
            "#uname" => FencingAttribute::Uname,
            other => FencingAttribute::Node(other.to_owned()),
        }
    }

    /// What a node has for it. What is transient counts first, as in Pacemaker's scheduler.
    fn of<'n>(&self, node: &'n Node) -> Option<&'n str> {
        match self {
            FencingAttribute::Uname => Some(&node.uname),
            FencingAttribute::Node(name) => {
                let value = node.transient.get(name).or_else(|| node.attributes.get(name));
                value.map(String::as_str)
            }
        }
    }
}

impl fmt::Display for FencingAttribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FencingAttribute::Uname => "#uname",
            FencingAttribute::Node(name) => name,
        })
    }
}

/// One of the nodes that may promote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowed {
    /// The id of the expression.
    pub id: String,
    /// What is compared.
    pub attribute: FencingAttribute,
    /// What it has to be, whatever the case of its letters.
    pub value: String,
}

/// The constraint, as found or as wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FenceRule {
    /// The id of the constraint.
    pub id: String,
    /// The clone that may not be promoted elsewhere.
    pub clone: String,
    /// The id of the rule inside it.
    pub rule_id: String,
    /// The role, as it is written there.
    pub role: Role,
    /// Who may promote: one is enough of which value and attribute agree. Never empty.
    pub allowed: Vec<Allowed>,
}

impl FenceRule {
    /// The rule that allows `nodes` only, each with the number that its expression is named by: DRBD's node id on 9, 0 on
    /// 8.4. A node without the attribute is named by its name. `None` without nodes: nobody bans everybody.
    #[must_use]
    pub fn wanted(
        name: &RuleName,
        role: Role,
        attribute: &FencingAttribute,
        nodes: &[(u32, &Node)],
    ) -> Option<FenceRule> {
        let allowed = |(index, node): &(u32, &Node)| {
            // The permanent one, as the stock handlers ask for it.
            let permanent = match attribute {
                FencingAttribute::Uname => None,
                FencingAttribute::Node(name) => node.attributes.get(name),
            };
            let (attribute, value) = match permanent {
                Some(value) => (attribute.clone(), value),
                None => (FencingAttribute::Uname, &node.uname),
            };
            Allowed { id: name.expression(*index), attribute, value: value.clone() }
        };
        let rule = FenceRule {
            id: name.id(),
            clone: name.clone.clone(),
            rule_id: name.rule(),
            role,
            allowed: nodes.iter().map(allowed).collect(),
        };
        (!nodes.is_empty()).then_some(rule)
    }

    /// Whether it forbids this node to promote.
    #[must_use]
    pub fn bans(&self, node: &Node) -> bool {
        !self.allows(node)
    }

    /// Whether it leaves this node free to promote. An attribute that the node does not have is not equal to anything.
    #[must_use]
    pub fn allows(&self, node: &Node) -> bool {
        self.allowed.iter().any(|allowed| {
            let value = allowed.attribute.of(node);
            value.is_some_and(|value| value.eq_ignore_ascii_case(&allowed.value))
        })
    }

    /// Whether both forbid the same: role words, ids, order and the case of letters do not matter.
    #[must_use]
    pub fn same_meaning(&self, other: &FenceRule) -> bool {
        (&self.id, &self.clone) == (&other.id, &other.clone) && self.meaning() == other.meaning()
    }

    pub(crate) fn meaning(&self) -> BTreeSet<(&FencingAttribute, String)> {
        self.allowed.iter().map(Allowed::meaning).collect()
    }

    /// As text, as the stock handlers write and read it.
    #[must_use]
    pub fn to_xml(&self) -> String {
        let mut text = String::new();
        self.to_element().write(&mut text, 0);
        text
    }

    pub(crate) fn to_element(&self) -> Element<'static> {
        let role = self.role.to_string();
        let said = [("role", role.as_str()), ("score", "-INFINITY"), ("id", &self.rule_id)];
        let rule = Element::new("rule", &said).with(self.allowed.iter().map(Allowed::to_element));
        Element::new("rsc_location", &[("rsc", &self.clone), ("id", &self.id)]).with([rule])
    }
}

impl Allowed {
    pub(crate) fn meaning(&self) -> (&FencingAttribute, String) {
        (&self.attribute, self.value.to_ascii_lowercase())
    }

    pub(crate) fn to_element(&self) -> Element<'static> {
        let attribute = self.attribute.to_string();
        let said = [("attribute", attribute.as_str()), ("operation", "ne"), ("value", &self.value)];
        let said: Vec<_> = said.into_iter().chain([("id", self.id.as_str())]).collect();
        Element::new("expression", &said)
    }
}

impl Cib {
    /// The rule of this name, if there is one.
    ///
    /// # Errors
    /// If what has that name says anything else than such a rule does.
    pub fn fence_rule(&self, name: &RuleName) -> Result<Option<FenceRule>, RuleError> {
        read::rule(&self.constraints, name)
    }
}
