//! The cluster's nodes, and finding one by a name that DRBD, a kernel or a person uses for it. Invariant: a name that fits two
//! nodes finds none.

use crate::{
    CibError,
    nvset::{Held, Sets},
    xml::Element,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A node of the cluster, as configured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its number under corosync, or its name.
    pub id: String,
    /// Its name in the cluster. Names are compared without regard to case, as Pacemaker does.
    pub uname: String,
    /// What kind of node it is.
    pub kind: NodeKind,
    /// Its permanent attributes, less those that a rule decides.
    pub attributes: BTreeMap<String, String>,
    /// Its attributes until the next reboot, which count before the permanent ones.
    pub transient: BTreeMap<String, String>,
}

/// What kind of node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeKind {
    /// One that runs the whole cluster stack.
    Member,
    /// One that runs pacemaker-remoted only. It has no controller, and its state does not say whether it is up.
    Remote,
    /// Something else, as `ping`.
    Unrecognized(String),
}

/// Why a name finds no node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum NameError {
    /// Nobody is called that.
    #[error("The cluster has no node {0:?}")]
    None(String),
    /// More than one is.
    #[error("{name:?} may be any of the nodes {}", .nodes.join(", "))]
    Ambiguous {
        /// The name.
        name: String,
        /// Those it fits, by their names in the cluster.
        nodes: Vec<String>,
    },
}

impl Node {
    pub(crate) fn read(node: &Element<'_>) -> Result<Node, CibError> {
        Ok(Node {
            id: node.require("id")?.to_owned(),
            uname: node.require("uname")?.to_owned(),
            kind: match node.get("type") {
                None | Some("member" | "normal") => NodeKind::Member,
                Some("remote") => NodeKind::Remote,
                Some(other) => NodeKind::Unrecognized(other.to_owned()),
            },
            attributes: attributes(node),
            transient: BTreeMap::new(),
        })
    }

    /// As an element that reads as the same again, but for what is transient.
    pub(crate) fn to_element(&self) -> Element<'static> {
        let kind = match &self.kind {
            NodeKind::Member => "member",
            NodeKind::Remote => "remote",
            NodeKind::Unrecognized(kind) => kind,
        };
        let attributes = [("id", self.id.as_str()), ("uname", &self.uname), ("type", kind)];
        let set = nvset(&format!("nodes-{}", self.id), &self.attributes);
        Element::new("node", &attributes).with(set)
    }
}

/// What the `instance_attributes` in `of` say.
pub(crate) fn attributes(of: &Element<'_>) -> BTreeMap<String, String> {
    let sets = Sets::new(of.all("instance_attributes"), None, None);
    let pairs = of.all("instance_attributes").flat_map(|set| set.all("nvpair"));
    let names: BTreeSet<&str> = pairs.filter_map(|pair| pair.get("name")).collect();
    let value = |name: &str| match sets.held(name) {
        Held::Value(value) => Some((name.to_owned(), value.to_owned())),
        Held::Unset | Held::ByRule => None,
    };
    names.into_iter().filter_map(value).collect()
}

/// The opposite; nothing for nothing.
pub(crate) fn nvset(id: &str, attributes: &BTreeMap<String, String>) -> Option<Element<'static>> {
    let pair = |(name, value): (&String, &String)| {
        let id = format!("{id}-{name}");
        Element::new("nvpair", &[("id", &id), ("name", name), ("value", value)])
    };
    let set = Element::new("instance_attributes", &[("id", id)]);
    (!attributes.is_empty()).then(|| set.with(attributes.iter().map(pair)))
}

/// The node of this name: spelled exactly so, else so but for case, else with or without its domain.
pub(crate) fn named<'n>(nodes: &'n [Node], name: &str) -> Result<&'n Node, NameError> {
    let is_same = |uname: &str| uname == name;
    let is_same_but_for_case = |uname: &str| uname.eq_ignore_ascii_case(name);
    let is_same_but_for_domain = |uname: &str| {
        let ((short, domain), (other, of_other)) = (split(uname), split(name));
        short.eq_ignore_ascii_case(other) && domain.is_some() != of_other.is_some()
    };
    let ways: [&dyn Fn(&str) -> bool; 3] =
        [&is_same, &is_same_but_for_case, &is_same_but_for_domain];
    for fits in ways {
        let found: Vec<_> = nodes.iter().filter(|node| fits(&node.uname)).collect();
        match found[..] {
            [] => {}
            [node] => return Ok(node),
            _ => {
                let nodes = found.iter().map(|node| node.uname.clone()).collect();
                return Err(NameError::Ambiguous { name: name.to_owned(), nodes });
            }
        }
    }
    Err(NameError::None(name.to_owned()))
}

fn split(name: &str) -> (&str, Option<&str>) {
    name.split_once('.').map_or((name, None), |(short, domain)| (short, Some(domain)))
}
