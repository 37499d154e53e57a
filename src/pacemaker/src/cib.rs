//! The CIB: the whole output of `cibadmin -Q`, read once into what fencing decides on. Invariant: what decides is there and
//! was understood, or there is no CIB; elements and attributes that are not known here are passed over.

use crate::{
    CibVersion, CloneError, FeatureSet, NameError, Node, NodeState, Properties, Standing, node,
    nvset,
    resources::{self, ClonedDrbd},
    version::is_newer_schema,
    xml::Element,
};

/// Why a CIB cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CibError {
    /// Longer than any CIB.
    #[error("The CIB has {bytes} bytes, which is more than can be read")]
    TooLarge {
        /// How long it is.
        bytes: usize,
    },
    /// Deeper than any CIB.
    #[error("The CIB is nested too deeply at byte {position}")]
    TooDeep {
        /// Where.
        position: u64,
    },
    /// It ends before its root does, or there is nothing.
    #[error("The CIB is cut off")]
    CutOff,
    /// It is no XML.
    #[error("The CIB cannot be read at byte {position}: {problem}")]
    Malformed {
        /// Where.
        position: u64,
        /// The parser's own words.
        problem: String,
    },
    /// Some other document.
    #[error("<{0}> is there where <cib> was expected")]
    NotACib(String),
    /// What has to be there is not.
    #[error("The CIB has a <{element}> without {what}")]
    Missing {
        /// Where it belongs.
        element: String,
        /// What is missing.
        what: &'static str,
    },
    /// What has to be there once is there twice.
    #[error("The CIB has more than one <{0}>")]
    Twice(&'static str),
    /// A number or a truth value that is none.
    #[error("The CIB says {what}={value:?}, which is no {expected}")]
    Unusable {
        /// Which attribute.
        what: &'static str,
        /// What it is.
        value: String,
        /// What it should be.
        expected: &'static str,
    },
    /// A property of the cluster with a value that Pacemaker does not know.
    #[error("The cluster property {name} is {value:?}, which is neither true nor false")]
    Property {
        /// Which.
        name: &'static str,
        /// Its value.
        value: String,
    },
    /// A property that depends on the time of day or the like.
    #[error("The cluster property {0} is set by a rule, which only Pacemaker can evaluate")]
    PropertyByRule(&'static str),
}

/// What was read of a CIB.
#[derive(Debug, PartialEq, Eq, Clone)]
pub struct Cib {
    version: CibVersion,
    feature_set: Option<FeatureSet>,
    validate_with: Option<String>,
    have_quorum: Option<bool>,
    dc_uuid: Option<String>,
    properties: Properties,
    nodes: Vec<Node>,
    states: Vec<NodeState>,
    pub(crate) clones: Vec<ClonedDrbd>,
    /// What may be the rule, as it stands.
    pub(crate) constraints: Vec<Element<'static>>,
}

impl Cib {
    /// Reads the output of `cibadmin -Q`.
    ///
    /// # Errors
    /// If it is no CIB, cut off, or lacks or garbles something that is decided on.
    pub fn parse(document: &str) -> Result<Cib, CibError> {
        let root = Element::parse(document)?;
        if root.name != "cib" {
            return Err(CibError::NotACib(root.name.into_owned()));
        }
        let configuration = root.section("configuration")?;
        let feature_set = root.get("crm_feature_set").map(FeatureSet::new);
        let mut nodes = Vec::new();
        for node in configuration.section("nodes")?.all("node") {
            nodes.push(Node::read(node)?);
        }
        let mut states = Vec::new();
        for state in root.section("status")?.all("node_state") {
            let (mut state, transient) = NodeState::read(state)?;
            if let Some(node) = nodes.iter_mut().find(|node| node.id == state.id) {
                node.transient.extend(transient);
                // The attribute daemon writes the state of a node that was never seen, without its name.
                if state.uname.is_empty() {
                    state.uname.clone_from(&node.uname);
                }
            }
            states.push(state);
        }
        let constraints = configuration.section("constraints")?.children.iter();
        Ok(Cib {
            version: CibVersion {
                admin_epoch: number(&root, "admin_epoch")?,
                epoch: number(&root, "epoch")?,
                num_updates: number(&root, "num_updates")?,
            },
            validate_with: root.get("validate-with").map(str::to_owned),
            have_quorum: match root.get("have-quorum") {
                None => None,
                Some(word) => Some(nvset::boolean(word).ok_or_else(|| CibError::Unusable {
                    what: "have-quorum",
                    value: word.to_owned(),
                    expected: "truth value",
                })?),
            },
            dc_uuid: root.get("dc-uuid").map(str::to_owned),
            properties: Properties::read(
                configuration.section("crm_config")?,
                feature_set.as_ref(),
            )?,
            feature_set,
            nodes,
            states,
            clones: resources::clones(
                configuration,
                configuration.section("resources")?,
                document.contains("id-ref") || document.contains("template"),
            ),
            constraints: constraints.map(Element::to_static).collect(),
        })
    }

    /// Which state of the CIB this is.
    #[must_use]
    pub fn version(&self) -> CibVersion {
        self.version
    }

    /// What all nodes of the cluster can do.
    #[must_use]
    pub fn feature_set(&self) -> Option<&FeatureSet> {
        self.feature_set.as_ref()
    }

    /// The schema, as `pacemaker-3.9`; `none` where it is not checked.
    #[must_use]
    pub fn validate_with(&self) -> Option<&str> {
        self.validate_with.as_deref()
    }

    /// Whether it was written by a Pacemaker that is newer than what this was written for, or that does not say how new it is.
    #[must_use]
    pub fn is_newer_than_known(&self) -> bool {
        self.feature_set.as_ref().is_none_or(FeatureSet::is_newer_than_known)
            || self.validate_with.as_deref().is_none_or(is_newer_schema)
    }

    /// Whether the partition that wrote it had quorum.
    #[must_use]
    pub fn have_quorum(&self) -> Option<bool> {
        self.have_quorum
    }

    /// The name of the designated controller, if there is one among the nodes.
    #[must_use]
    pub fn dc(&self) -> Option<&str> {
        let id = self.dc_uuid.as_deref()?;
        self.nodes.iter().find(|node| node.id == id).map(|node| node.uname.as_str())
    }

    pub(crate) fn dc_uuid(&self) -> Option<&str> {
        self.dc_uuid.as_deref()
    }

    /// The cluster's properties.
    #[must_use]
    pub fn properties(&self) -> &Properties {
        &self.properties
    }

    /// All nodes that are configured, in the order of the CIB.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The node of this name: spelled exactly so, else so but for case, else with or without its domain.
    ///
    /// # Errors
    /// If there is none, or more than one.
    pub fn node_named(&self, name: &str) -> Result<&Node, NameError> {
        node::named(&self.nodes, name)
    }

    /// All that is known of nodes' lives, in the order of the CIB.
    #[must_use]
    pub fn node_states(&self) -> &[NodeState] {
        &self.states
    }

    /// What is known of the life of a node, by its name in the cluster. After a node has got another id there may be two
    /// states for one name; then that of the id that is configured counts, and without one there is none.
    #[must_use]
    pub fn node_state(&self, uname: &str) -> Option<&NodeState> {
        match self.states_of(uname)[..] {
            [state] => Some(state),
            _ => None,
        }
    }

    /// What a node is to somebody who has lost contact to it. Where states contradict each other, it is not finished with.
    #[must_use]
    pub fn standing(&self, uname: &str) -> Standing {
        let states = self.states_of(uname);
        let mut standings = states.iter().map(|state| state.standing(&self.properties));
        match standings.next() {
            None => Standing::NotSeen,
            Some(first) if standings.all(|other| other == first) => first,
            Some(_) if self.properties.stonith_enabled => Standing::WillBeFenced,
            Some(_) => Standing::Offline,
        }
    }

    fn states_of(&self, uname: &str) -> Vec<&NodeState> {
        let id = self.node_named(uname).ok().map(|node| node.id.as_str());
        let by_id: Vec<_> =
            self.states.iter().filter(|state| Some(state.id.as_str()) == id).collect();
        if !by_id.is_empty() {
            return by_id;
        }
        self.states.iter().filter(|state| state.uname.eq_ignore_ascii_case(uname)).collect()
    }

    /// The clone that runs a DRBD resource, by its id; or `master_id`, which is then only looked for.
    ///
    /// # Errors
    /// If there is none, or more than one; or if `master_id` does not run it and others do.
    pub fn promotable_holding(
        &self,
        resource: &str,
        master_id: Option<&str>,
    ) -> Result<String, CloneError> {
        resources::holding(&self.clones, resource, master_id)
    }
}

fn number(root: &Element<'_>, what: &'static str) -> Result<u64, CibError> {
    let value = root.require(what)?;
    let unusable =
        || CibError::Unusable { what, value: value.to_owned(), expected: "number from 0 on" };
    value.parse().map_err(|_| unusable())
}
