//! Changes of the CIB as patches for `cibadmin --patch`, each for the one version that was examined, and what cibadmin
//! answers. Invariant: a patch touches the rule that it was made for and nothing else, and applies to no other version.

mod answer;

use crate::{Cib, CibVersion, FenceRule, rule::Allowed, xml::Element};
pub use answer::PatchAnswer;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Where an element is put that belongs behind all others: Pacemaker appends what has a place beyond the end.
const LAST: &str = "1000000";

/// Why there is no patch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum PatchError {
    /// The path of a change cannot name it.
    #[error("The id {0:?} cannot be used in the path of a patch")]
    Id(String),
    /// It would forbid everybody to promote.
    #[error("The constraint {0} would leave no node that may promote")]
    NobodyLeft(String),
    /// Somebody placed it.
    #[error("The constraint {0} is there already")]
    AlreadyThere(String),
    /// Somebody removed it.
    #[error("The constraint {0} is not there")]
    NotThere(String),
    /// There is no next version.
    #[error("The CIB's version {0} cannot be raised")]
    Version(CibVersion),
}

/// A change that applies to one version of the CIB only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Patch {
    /// The version that was examined, and that the cluster's has to be.
    pub examined: CibVersion,
    /// The version that it becomes.
    pub result: CibVersion,
    changes: Vec<Change>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Change {
    Place(FenceRule),
    Remove { rule: String },
    Allow { rule: String, inside: String, allowed: Allowed },
    Ban { rule: String, inside: String, expression: String },
}

impl Patch {
    /// Places a rule where there is none.
    ///
    /// # Errors
    /// If there is one, or the rule cannot be written.
    pub fn place(cib: &Cib, rule: &FenceRule) -> Result<Patch, PatchError> {
        if is_there(cib, &rule.id) {
            return Err(PatchError::AlreadyThere(rule.id.clone()));
        }
        if rule.allowed.is_empty() {
            return Err(PatchError::NobodyLeft(rule.id.clone()));
        }
        Patch::new(cib, vec![Change::Place(rule.clone())])
    }

    /// Forbids whoever `wanted` does not allow, and allows nobody who was forbidden. `None` if there is nothing to do.
    ///
    /// # Errors
    /// If `found` is not there, or nobody would be left.
    pub fn tighten(
        cib: &Cib,
        found: &FenceRule,
        wanted: &FenceRule,
    ) -> Result<Option<Patch>, PatchError> {
        let wanted = wanted.meaning();
        let kept = found.allowed.iter().filter(|it| wanted.contains(&it.meaning())).cloned();
        Patch::making(cib, found, &FenceRule { allowed: kept.collect(), ..found.clone() })
    }

    /// Makes `found` mean what `wanted` does, keeping its ids and its place. `None` if it does.
    ///
    /// # Errors
    /// If `found` is not there, or nobody would be left.
    pub fn replace(
        cib: &Cib,
        found: &FenceRule,
        wanted: &FenceRule,
    ) -> Result<Option<Patch>, PatchError> {
        Patch::making(cib, found, wanted)
    }

    /// Removes a rule.
    ///
    /// # Errors
    /// If it is not there.
    pub fn remove(cib: &Cib, rule: &FenceRule) -> Result<Patch, PatchError> {
        if !is_there(cib, &rule.id) {
            return Err(PatchError::NotThere(rule.id.clone()));
        }
        Patch::new(cib, vec![Change::Remove { rule: rule.id.clone() }])
    }

    fn making(
        cib: &Cib,
        found: &FenceRule,
        wanted: &FenceRule,
    ) -> Result<Option<Patch>, PatchError> {
        if !is_there(cib, &found.id) {
            return Err(PatchError::NotThere(found.id.clone()));
        }
        if wanted.allowed.is_empty() {
            return Err(PatchError::NobodyLeft(found.id.clone()));
        }
        let (has, wants) = (found.meaning(), wanted.meaning());
        let (rule, inside) = (&found.id, &found.rule_id);
        let (kept, banned): (Vec<_>, Vec<_>) =
            found.allowed.iter().partition(|it| wants.contains(&it.meaning()));
        let mut changes: Vec<_> = banned
            .iter()
            .map(|it| {
                let (rule, inside, expression) = (rule.clone(), inside.clone(), it.id.clone());
                Change::Ban { rule, inside, expression }
            })
            .collect();
        let mut taken: BTreeSet<String> = kept.iter().map(|it| it.id.clone()).collect();
        let mut added = BTreeSet::new();
        for allowed in &wanted.allowed {
            if has.contains(&allowed.meaning()) || !added.insert(allowed.meaning()) {
                continue;
            }
            let mut allowed = allowed.clone();
            // Under another id than it has with us, or another node under its id.
            while !taken.insert(allowed.id.clone()) {
                allowed.id.push_str("-1");
            }
            changes.push(Change::Allow { rule: rule.clone(), inside: inside.clone(), allowed });
        }
        if changes.is_empty() { Ok(None) } else { Patch::new(cib, changes).map(Some) }
    }

    fn new(cib: &Cib, changes: Vec<Change>) -> Result<Patch, PatchError> {
        let examined = cib.version();
        // Pacemaker counts in C's int.
        let next = examined.epoch.checked_add(1).filter(|next| i32::try_from(*next).is_ok());
        let epoch = next.ok_or(PatchError::Version(examined))?;
        let result = CibVersion { epoch, num_updates: 0, ..examined };
        for id in changes.iter().flat_map(Change::ids) {
            let is_plain = !id.is_empty()
                && id.chars().all(|c| !matches!(c, '\'' | '[' | ']' | '/') && !c.is_whitespace());
            if !is_plain {
                return Err(PatchError::Id(id.to_owned()));
            }
        }
        Ok(Patch { examined, result, changes })
    }

    /// As `cibadmin --patch` takes it: as an argument (`--xml-text`), in which it arrives whole, rather than from its standard
    /// input, since 2.1.5 applies what it gets of a patch that is cut off. The version need not be set by a change: Pacemaker raises it.
    #[must_use]
    pub fn to_xml(&self) -> String {
        let version = |name, version: CibVersion| {
            let CibVersion { admin_epoch, epoch, num_updates } = version;
            let numbers = [admin_epoch.to_string(), epoch.to_string(), num_updates.to_string()];
            let names = ["admin_epoch", "epoch", "num_updates"];
            let pairs: Vec<_> = names.into_iter().zip(numbers.iter().map(String::as_str)).collect();
            Element::new(name, &pairs)
        };
        let versions = [version("source", self.examined), version("target", self.result)];
        let versions = Element::new("version", &[]).with(versions);
        let changes = self.changes.iter().map(Change::to_element);
        let mut text = String::new();
        let patch = Element::new("diff", &[("format", "2")]).with([versions]).with(changes);
        patch.write(&mut text, 0);
        text
    }
}

fn is_there(cib: &Cib, id: &str) -> bool {
    cib.constraints.iter().any(|constraint| constraint.get("id") == Some(id))
}

const CONSTRAINTS: &str = "/cib/configuration/constraints";

fn path(rule: &str, inside: &str) -> String {
    format!("{CONSTRAINTS}/rsc_location[@id='{rule}']/rule[@id='{inside}']")
}

impl Change {
    fn ids(&self) -> Vec<&str> {
        match self {
            Change::Place(rule) => vec![&rule.id, &rule.rule_id],
            Change::Remove { rule } => vec![rule],
            Change::Allow { rule, inside, allowed } => vec![rule, inside, &allowed.id],
            Change::Ban { rule, inside, expression } => vec![rule, inside, expression],
        }
    }

    fn to_element(&self) -> Element<'static> {
        let create = |path: &str, element| {
            let said = [("operation", "create"), ("path", path), ("position", LAST)];
            Element::new("change", &said).with([element])
        };
        let delete =
            |path: &str| Element::new("change", &[("operation", "delete"), ("path", path)]);
        match self {
            Change::Place(rule) => create(CONSTRAINTS, rule.to_element()),
            Change::Remove { rule } => delete(&format!("{CONSTRAINTS}/rsc_location[@id='{rule}']")),
            Change::Allow { rule, inside, allowed } => {
                create(&path(rule, inside), allowed.to_element())
            }
            Change::Ban { rule, inside, expression } => {
                delete(&format!("{}/expression[@id='{expression}']", path(rule, inside)))
            }
        }
    }
}

#[cfg(test)]
mod tests;
