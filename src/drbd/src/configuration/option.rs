//! Options of the configuration: sections by name, and those that decide something as types. Invariant: a word that is
//! not known is `Unrecognized`, never the harmless one.

use super::element::Element;
use std::collections::BTreeMap;

/// The options of one section. Not the shared secret: what is not kept cannot reach a log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Section {
    options: BTreeMap<String, String>,
}

impl Section {
    /// What `parent` has in its section `name`. An option without a value is one that is on.
    pub(super) fn of(parent: &Element, name: &str) -> Section {
        let sections = parent.all("section").filter(|section| section.get("name") == Some(name));
        let options = sections.flat_map(|section| section.all("option"));
        let pairs = options.filter_map(|option| {
            let value = option.get("value").unwrap_or("yes");
            Some((option.get("name")?.to_owned(), value.to_owned()))
        });
        Section { options: pairs.filter(|(name, _)| name != "shared-secret").collect() }
    }

    /// The same, with what `outer` says where this says nothing.
    pub(super) fn or(mut self, outer: &Section) -> Section {
        for (name, value) in &outer.options {
            self.options.entry(name.clone()).or_insert_with(|| value.clone());
        }
        self
    }

    /// An option's value.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.options.get(name).map(String::as_str)
    }

    /// Whether a switch is on; `None` where nothing, or nothing that can be understood, is said.
    #[must_use]
    pub fn is_on(&self, name: &str) -> Option<bool> {
        match self.get(name)? {
            "yes" | "true" | "on" => Some(true),
            "no" | "false" | "off" => Some(false),
            _ => None,
        }
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.options.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// What happens when a peer is lost that may have newer data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fencing {
    /// Nothing.
    DontCare,
    /// The handler is called.
    ResourceOnly,
    /// I/O is frozen, and the handler is called.
    ResourceAndStonith,
    /// A word that was not known when this was written.
    Unrecognized(String),
}

impl Fencing {
    /// Reads the word of the configuration.
    #[must_use]
    pub fn parse(word: &str) -> Fencing {
        match word {
            "dont-care" => Fencing::DontCare,
            "resource-only" => Fencing::ResourceOnly,
            "resource-and-stonith" => Fencing::ResourceAndStonith,
            other => Fencing::Unrecognized(other.to_owned()),
        }
    }
}

/// How many nodes have to be there for writes (9).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Quorum {
    /// None.
    Off,
    /// More than half.
    Majority,
    /// All.
    All,
    /// So many.
    Nodes(u32),
    /// A word that was not known when this was written.
    Unrecognized(String),
}

impl Quorum {
    /// Reads the word of the configuration.
    #[must_use]
    pub fn parse(word: &str) -> Quorum {
        match (word, word.parse()) {
            ("off", _) => Quorum::Off,
            ("majority", _) => Quorum::Majority,
            ("all", _) => Quorum::All,
            (_, Ok(nodes)) => Quorum::Nodes(nodes),
            (other, Err(_)) => Quorum::Unrecognized(other.to_owned()),
        }
    }
}

/// What happens to I/O without quorum (9).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OnNoQuorum {
    /// It fails.
    IoError,
    /// It is frozen.
    SuspendIo,
    /// A word that was not known when this was written.
    Unrecognized(String),
}

impl OnNoQuorum {
    /// Reads the word of the configuration.
    #[must_use]
    pub fn parse(word: &str) -> OnNoQuorum {
        match word {
            "io-error" => OnNoQuorum::IoError,
            "suspend-io" => OnNoQuorum::SuspendIo,
            other => OnNoQuorum::Unrecognized(other.to_owned()),
        }
    }
}
