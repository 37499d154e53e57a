//! What the cluster knows of a node's life, and what follows from it for somebody who has lost that node. Invariant: a
//! word that is not known here, or that is missing, never makes a node `Down` or `Online`.

use crate::{
    CibError, Properties,
    node::{attributes, nvset},
    nvset::boolean,
    xml::Element,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

/// What `node_state` says of a node. What is `None` is not said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeState {
    /// The node's id.
    pub id: String,
    /// Its name; empty where neither this nor the list of nodes says it.
    pub uname: String,
    /// Whether it is a member of corosync's membership.
    pub in_ccm: Option<Presence>,
    /// Whether its controller is there.
    pub crmd: Option<Presence>,
    /// How far it got in joining the cluster.
    pub join: Option<Join>,
    /// What the cluster wants it to be.
    pub expected: Option<Expected>,
    /// `ha="dead"`, which only old versions say.
    pub is_ha_dead: bool,
    /// Whether somebody asked for it to be fenced, by the attribute `terminate`.
    pub is_to_terminate: bool,
}

/// Whether something is there: `true` and `false`, `online` and `offline`, or from feature set 3.18 on the time since
/// when, 0 for not at all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Presence {
    /// It is; where it is known, since when, in seconds since 1970.
    Yes(Option<u64>),
    /// It is not.
    No,
    /// A word that was not known when this was written.
    Unrecognized(String),
}

/// How far a node got in joining.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Join {
    /// All the way.
    Member,
    /// On the way.
    Pending,
    /// Not begun.
    Down,
    /// The cluster refused it, and will fence it.
    Banned,
    /// A word that was not known when this was written.
    Unrecognized(String),
}

/// What a node is expected to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Expected {
    /// Up.
    Member,
    /// Down: it was shut down, or is confirmed to have been fenced.
    Down,
    /// A word that was not known when this was written.
    Unrecognized(String),
}

/// What a node is to somebody who has lost contact to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Standing {
    /// Its controller was there when this was written. Whether it answers has to be asked.
    Online,
    /// It was shut down, or is confirmed to have been fenced.
    Down,
    /// The cluster has not finished with it, and will fence it unless it comes back: worth waiting for.
    WillBeFenced,
    /// Not online and not confirmed to be down, and nobody will fence it.
    Offline,
    /// There is no state of it. [`Properties::fences_unseen_nodes`] says whether the cluster will fence it for that.
    NotSeen,
}

impl Presence {
    /// Reads either form; `yes` and `no` are the words of this attribute.
    fn parse(text: &str, yes: &str, no: &str) -> Presence {
        if text.eq_ignore_ascii_case(yes) {
            return Presence::Yes(None);
        }
        if text.eq_ignore_ascii_case(no) {
            return Presence::No;
        }
        match text.parse::<u64>() {
            Ok(0) => Presence::No,
            Ok(since) => Presence::Yes(Some(since)),
            Err(_) => Presence::Unrecognized(text.to_owned()),
        }
    }

    fn is_yes(this: Option<&Presence>) -> bool {
        matches!(this, Some(Presence::Yes(_)))
    }

    fn word(&self, yes: &str, no: &str) -> String {
        match self {
            Presence::Yes(None) => yes.to_owned(),
            Presence::Yes(Some(since)) => since.to_string(),
            Presence::No => no.to_owned(),
            Presence::Unrecognized(word) => word.clone(),
        }
    }
}

impl Join {
    fn parse(word: &str) -> Join {
        match word {
            "member" => Join::Member,
            "pending" => Join::Pending,
            "down" => Join::Down,
            "banned" => Join::Banned,
            other => Join::Unrecognized(other.to_owned()),
        }
    }
}

impl fmt::Display for Join {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Join::Member => "member",
            Join::Pending => "pending",
            Join::Down => "down",
            Join::Banned => "banned",
            Join::Unrecognized(word) => word,
        })
    }
}

impl Expected {
    fn parse(word: &str) -> Expected {
        match word {
            "member" => Expected::Member,
            "down" => Expected::Down,
            other => Expected::Unrecognized(other.to_owned()),
        }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Expected::Member => "member",
            Expected::Down => "down",
            Expected::Unrecognized(word) => word,
        })
    }
}

impl NodeState {
    /// With the node's transient attributes.
    pub(crate) fn read(
        state: &Element<'_>,
    ) -> Result<(NodeState, BTreeMap<String, String>), CibError> {
        let mut transient = BTreeMap::new();
        for set in state.all("transient_attributes") {
            transient.extend(attributes(set));
        }
        // A word, or the time of the request.
        let is_to_terminate = transient.get("terminate").is_some_and(|value| {
            boolean(value) == Some(true) || value.parse::<u64>().is_ok_and(|time| time > 0)
        });
        let state = NodeState {
            id: state.require("id")?.to_owned(),
            uname: state.get("uname").unwrap_or_default().to_owned(),
            in_ccm: state.get("in_ccm").map(|text| Presence::parse(text, "true", "false")),
            crmd: state.get("crmd").map(|text| Presence::parse(text, "online", "offline")),
            join: state.get("join").map(Join::parse),
            expected: state.get("expected").map(Expected::parse),
            is_ha_dead: state.get("ha") == Some("dead"),
            is_to_terminate,
        };
        Ok((state, transient))
    }

    /// As an element that reads as the same again.
    pub(crate) fn to_element(&self, transient: &BTreeMap<String, String>) -> Element<'static> {
        let said = [
            ("id", Some(self.id.clone())),
            ("uname", (!self.uname.is_empty()).then(|| self.uname.clone())),
            ("in_ccm", self.in_ccm.as_ref().map(|it| it.word("true", "false"))),
            ("crmd", self.crmd.as_ref().map(|it| it.word("online", "offline"))),
            ("join", self.join.as_ref().map(Join::to_string)),
            ("expected", self.expected.as_ref().map(Expected::to_string)),
            ("ha", self.is_ha_dead.then(|| "dead".to_owned())),
        ];
        let said: Vec<(&'static str, &str)> =
            said.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?))).collect();
        let id = format!("status-{}", self.id);
        let mut transient = transient.clone();
        if self.is_to_terminate {
            transient.entry("terminate".to_owned()).or_insert_with(|| "true".to_owned());
        }
        let attributes = nvset(&id, &transient)
            .map(|set| Element::new("transient_attributes", &[("id", &self.id)]).with([set]));
        Element::new("node_state", &said).with(attributes)
    }

    /// What this node is to somebody who has lost contact to it.
    ///
    /// By what Pacemaker's scheduler makes of these words (determine_online_status_fencing in lib/pengine/unpack.c), where
    /// its uncertainty is taken for the intention to fence.
    #[must_use]
    pub fn standing(&self, properties: &Properties) -> Standing {
        let can_fence = properties.stonith_enabled;
        // Without stonith a dead node's controller stayed "online" for ever (Pacemaker 1.0).
        let is_online = Presence::is_yes(self.crmd.as_ref()) && (can_fence || !self.is_ha_dead);
        let is_gone = self.in_ccm == Some(Presence::No)
            && !is_online
            && !matches!(self.crmd, Some(Presence::Unrecognized(_)));
        match (&self.join, is_online) {
            (Some(Join::Banned), _) if can_fence => return Standing::WillBeFenced,
            (_, true) => return Standing::Online,
            (_, false) => {}
        }
        match (&self.expected, is_gone) {
            (Some(Expected::Down), true) => Standing::Down,
            // Clusters on cman did not say what they expected: nobody will fence it, and nothing confirms that it is down.
            (None, true) => Standing::Offline,
            (_, true | false) if can_fence => Standing::WillBeFenced,
            (_, true | false) => Standing::Offline,
        }
    }
}
