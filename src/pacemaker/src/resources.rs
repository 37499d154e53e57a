//! Which clone runs a DRBD resource: found by what the cluster will run, through templates, references and groups, not by
//! the order of the text. Invariant: two clones for one resource are an error, and so is none.

use crate::{
    nvset::{Held, Ids, Sets, boolean},
    xml::Element,
};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Why there is no one clone for a resource.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum CloneError {
    /// Nothing in the CIB runs it.
    #[error("No promotable clone in the CIB runs the DRBD resource {resource:?}{}", hint(.not_promotable))]
    None {
        /// The resource.
        resource: String,
        /// Clones that would, if they were promotable.
        not_promotable: Vec<String>,
    },
    /// More than one.
    #[error("The DRBD resource {resource:?} is in several clones: {}", .clones.join(", "))]
    Ambiguous {
        /// The resource.
        resource: String,
        /// Their ids.
        clones: Vec<String>,
    },
    /// The clone that was named is not there.
    #[error("The CIB has no clone {0:?}")]
    Unknown(String),
    /// The clone that was named does not run it, and others do.
    #[error("The DRBD resource {resource:?} is not in the clone {named:?} but in {}", .clones.join(", "))]
    Elsewhere {
        /// The resource.
        resource: String,
        /// What was named.
        named: String,
        /// The ids of those that run it.
        clones: Vec<String>,
    },
}

fn hint(clones: &[String]) -> String {
    if clones.is_empty() { String::new() } else { format!(" ({} is none)", clones.join(", ")) }
}

/// A clone, and what it has of DRBD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClonedDrbd {
    pub(crate) id: String,
    pub(crate) is_promotable: bool,
    /// Of each primitive of class ocf and type drbd in it: its id, and the DRBD resources it may be told to run.
    pub(crate) primitives: Vec<(String, Vec<String>)>,
}

/// All clones. `refers` says whether anything in the document names another element; only then it is searched for ids.
pub(crate) fn clones(
    configuration: &Element<'_>,
    resources: &Element<'_>,
    refers: bool,
) -> Vec<ClonedDrbd> {
    let mut ids: Ids<'_, '_> = HashMap::new();
    let mut pending = if refers { vec![configuration] } else { Vec::new() };
    while let Some(element) = pending.pop() {
        if let Some(id) = element.get("id") {
            // An id is there once; where it is not, the first counts, as in a search of the document.
            ids.entry(id).or_insert(element);
        }
        pending.extend(element.children.iter().rev());
    }
    let is_clone = |name: &str| matches!(name, "clone" | "master");
    let clones = resources.children.iter().filter(|element| is_clone(&element.name));
    clones.filter_map(|element| ClonedDrbd::read(element, &ids)).collect()
}

impl ClonedDrbd {
    fn read(element: &Element<'_>, ids: &Ids<'_, '_>) -> Option<ClonedDrbd> {
        let meta = Sets::new(element.all("meta_attributes"), Some(ids), None);
        let is_promotable = match meta.held("promotable") {
            _ if element.name == "master" => true,
            Held::Value(word) => boolean(word) == Some(true),
            // It is promotable at some time, and the constraint does no harm at others.
            Held::ByRule => true,
            Held::Unset => false,
        };
        let mut primitives = Vec::new();
        let groups = element.all("group").map(|group| (Some(group), group));
        for (group, inside) in groups.chain([(None, element)]) {
            for primitive in inside.all("primitive") {
                primitives.extend(drbd(primitive, group, element, ids));
            }
        }
        Some(ClonedDrbd { id: element.get("id")?.to_owned(), is_promotable, primitives })
    }

    fn runs(&self, resource: &str) -> bool {
        let mut resources = self.primitives.iter().flat_map(|(_, resources)| resources);
        resources.any(|known| known == resource)
    }

    /// As an element that reads as the same again.
    pub(crate) fn to_element(&self) -> Element<'static> {
        let nvset = |kind, id: &str, name: &str, values: &[&str]| {
            let set = |(number, value): (usize, &&str)| {
                let id = format!("{id}-{kind}-{number}");
                let pair = format!("{id}-{name}");
                let pair = [("id", pair.as_str()), ("name", name), ("value", value)];
                Element::new(kind, &[("id", &id)]).with([Element::new("nvpair", &pair)])
            };
            values.iter().enumerate().map(set).collect::<Vec<_>>()
        };
        let meta = if self.is_promotable { ["true"] } else { ["false"] };
        let primitive = |(id, resources): &(String, Vec<String>)| {
            let attributes = [("id", id.as_str()), ("class", "ocf"), ("type", "drbd")];
            // The set that counts comes first; in the text it is the last.
            let values: Vec<&str> = resources.iter().rev().map(String::as_str).collect();
            let sets = nvset("instance_attributes", id, "drbd_resource", &values);
            Element::new("primitive", &attributes).with(sets)
        };
        Element::new("clone", &[("id", &self.id)])
            .with(nvset("meta_attributes", &self.id, "promotable", &meta))
            .with(self.primitives.iter().map(primitive))
    }
}

/// A primitive of DRBD, or none. What it does not say itself, its template says; a value that it lacks may come from the group or
/// the clone around it.
fn drbd(
    primitive: &Element<'_>,
    group: Option<&Element<'_>>,
    clone: &Element<'_>,
    ids: &Ids<'_, '_>,
) -> Option<(String, Vec<String>)> {
    let template = primitive.get("template").and_then(|id| ids.get(id).copied());
    let template = template.filter(|element| element.name == "template");
    let said = |name| primitive.get(name).or_else(|| template.and_then(|it| it.get(name)));
    if said("class") != Some("ocf") || said("type") != Some("drbd") {
        return None;
    }
    // A template's sets stand before the primitive's own (unpack_template in lib/pengine/complex.c).
    let own = template.into_iter().chain([primitive]);
    let own = own.flat_map(|element| element.all("instance_attributes"));
    let mut resources = every(own, ids);
    for around in group.into_iter().chain([clone]) {
        if resources.is_empty() {
            resources = every(around.all("instance_attributes"), ids);
        }
    }
    Some((primitive.get("id")?.to_owned(), resources))
}

fn every<'e, 'a: 'e>(
    sets: impl Iterator<Item = &'e Element<'a>>,
    ids: &'e Ids<'e, 'a>,
) -> Vec<String> {
    let sets = Sets::new(sets, Some(ids), None);
    sets.every("drbd_resource").into_iter().map(str::to_owned).collect()
}

/// The promotable clone that runs `resource`, or the one that was named, unless that is known to be the wrong one.
pub(crate) fn holding(
    clones: &[ClonedDrbd],
    resource: &str,
    named: Option<&str>,
) -> Result<String, CloneError> {
    let running: Vec<&ClonedDrbd> = clones.iter().filter(|clone| clone.runs(resource)).collect();
    if let Some(id) = named {
        let Some(named) = clones.iter().find(|clone| clone.id == id) else {
            return Err(CloneError::Unknown(id.to_owned()));
        };
        let others = running.iter().filter(|clone| clone.is_promotable);
        let others: Vec<String> = others.map(|clone| clone.id.clone()).collect();
        return match others.is_empty() || named.runs(resource) {
            true => Ok(id.to_owned()),
            false => Err(CloneError::Elsewhere {
                resource: resource.to_owned(),
                named: id.to_owned(),
                clones: others,
            }),
        };
    }
    let ids = |is_promotable| {
        let those = running.iter().filter(|clone| clone.is_promotable == is_promotable);
        those.map(|clone| clone.id.clone()).collect::<Vec<_>>()
    };
    let resource = resource.to_owned();
    match <[String; 1]>::try_from(ids(true)) {
        Ok([id]) => Ok(id),
        Err(none) if none.is_empty() => {
            Err(CloneError::None { resource, not_promotable: ids(false) })
        }
        Err(clones) => Err(CloneError::Ambiguous { resource, clones }),
    }
}
