//! Recognising the rule: 8.4's and 9's stock handlers' and our own, whatever order, ids and blanks Pacemaker or a person
//! gave it. Invariant: whatever is in it is either known to change nothing, or makes it none of ours.

use super::{Allowed, FenceRule, FencingAttribute, Role, RuleName};
use crate::{
    nvset::{INFINITY, score},
    xml::Element,
};
use serde::{Deserialize, Serialize};

/// Why a constraint is not the rule that its name says it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum RuleError {
    /// It is not as any handler writes it.
    #[error("The constraint {id} was edited by hand: {what}")]
    EditedByHand {
        /// Its id.
        id: String,
        /// What is different.
        what: Difference,
    },
}

/// What is different from what a handler writes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Difference {
    /// The id is there more than once.
    #[error("there are {0} of that id")]
    Several(usize),
    /// Some other kind of constraint.
    #[error("it is a <{0}>")]
    Kind(String),
    /// It is for something else.
    #[error("it is for {0:?}")]
    OtherResource(String),
    /// An attribute with this value.
    #[error("<{element}> has {attribute}={value:?}")]
    Attribute {
        /// Where.
        element: String,
        /// Which.
        attribute: String,
        /// Its value.
        value: String,
    },
    /// An attribute that is not there.
    #[error("<{element}> has no {attribute}")]
    Missing {
        /// Where.
        element: String,
        /// Which.
        attribute: String,
    },
    /// An element that does not belong there.
    #[error("<{element}> has a <{child}>")]
    Child {
        /// Where.
        element: String,
        /// Which.
        child: String,
    },
    /// None of these, or several.
    #[error("it has {count} <{element}>")]
    Count {
        /// How many.
        count: usize,
        /// Of which.
        element: String,
    },
}

pub(super) fn rule(
    constraints: &[Element<'static>],
    name: &RuleName,
) -> Result<Option<FenceRule>, RuleError> {
    let id = name.id();
    let named: Vec<_> = constraints.iter().filter(|it| it.get("id") == Some(&id)).collect();
    let found = match named[..] {
        [] => return Ok(None),
        [constraint] => read(constraint, &name.clone),
        _ => Err(Difference::Several(named.len())),
    };
    found.map(Some).map_err(|what| RuleError::EditedByHand { id, what })
}

fn read(constraint: &Element<'static>, clone: &str) -> Result<FenceRule, Difference> {
    if constraint.name != "rsc_location" {
        return Err(Difference::Kind(constraint.name.clone().into_owned()));
    }
    only_children(constraint, "rule")?;
    only_attributes(constraint, |name, _| matches!(name, "id" | "rsc"))?;
    match constraint.get("rsc") {
        Some(rsc) if rsc == clone => {}
        rsc => return Err(Difference::OtherResource(rsc.unwrap_or_default().to_owned())),
    }
    let [rule] = &constraint.children[..] else {
        return Err(Difference::Count {
            count: constraint.children.len(),
            element: "rule".to_owned(),
        });
    };
    only_children(rule, "expression")?;
    only_attributes(rule, |name, value| match name {
        "id" => true,
        "role" => Role::parse(value).is_some(),
        "score" => score(value) == -INFINITY,
        "boolean-op" => value.eq_ignore_ascii_case("and"),
        _ => false,
    })?;
    require(rule, "score")?;
    let allowed = rule.children.iter().map(expression).collect::<Result<Vec<_>, _>>()?;
    if allowed.is_empty() {
        return Err(Difference::Count { count: 0, element: "expression".to_owned() });
    }
    Ok(FenceRule {
        id: require(constraint, "id")?,
        clone: clone.to_owned(),
        rule_id: require(rule, "id")?,
        role: Role::parse(&require(rule, "role")?).unwrap_or_default(),
        allowed,
    })
}

fn expression(expression: &Element<'static>) -> Result<Allowed, Difference> {
    only_children(expression, "")?;
    only_attributes(expression, |name, value| match name {
        "id" | "value" => true,
        // Of the built-in ones, only the name is anything that a handler compares.
        "attribute" => value == "#uname" || !value.starts_with('#') && !value.is_empty(),
        "operation" => value == "ne",
        // What holds where nothing is said.
        "type" => value == "string",
        "value-source" => value == "literal",
        _ => false,
    })?;
    require(expression, "operation")?;
    Ok(Allowed {
        id: require(expression, "id")?,
        attribute: FencingAttribute::parse(&require(expression, "attribute")?),
        value: require(expression, "value")?,
    })
}

fn only_children(element: &Element<'_>, known: &str) -> Result<(), Difference> {
    let other = element.children.iter().find(|child| child.name != known);
    other.map_or(Ok(()), |child| {
        let (element, child) = (element.name.clone().into_owned(), child.name.clone());
        Err(Difference::Child { element, child: child.into_owned() })
    })
}

fn only_attributes(
    element: &Element<'_>,
    is_known: impl Fn(&str, &str) -> bool,
) -> Result<(), Difference> {
    let other = element.attributes.iter().find(|(name, value)| !is_known(name, value));
    other.map_or(Ok(()), |(attribute, value)| {
        Err(Difference::Attribute {
            element: element.name.clone().into_owned(),
            attribute: attribute.clone().into_owned(),
            value: value.clone().into_owned(),
        })
    })
}

fn require(element: &Element<'_>, attribute: &str) -> Result<String, Difference> {
    let missing = || Difference::Missing {
        element: element.name.clone().into_owned(),
        attribute: attribute.to_owned(),
    };
    element.get(attribute).map(str::to_owned).ok_or_else(missing)
}
