//! The roles of a resource's volumes, of which 8.4 has one for each: it calls the resource Primary as soon as one of them is.
//! Invariant: they are alike only where each of them was said.

use duet_drbd::{
    Generation, Role,
    proc::{Minor, Proc},
};
use duet_host::{drbd::under_root, file};

use crate::facts::Facts;

/// Two lines a minor.
const LIMIT: usize = 1024 * 1024;

/// The roles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Roles {
    /// They are alike, or it has one role as a whole.
    Alike,
    /// These minors are not Primary, though the resource is said to be.
    Mixed(Vec<u32>),
    /// It has several volumes, and nobody says their roles.
    NotKnown,
}

impl Roles {
    /// By `/proc/drbd`, since the messages say one role for all.
    pub(super) fn of(facts: &Facts) -> Roles {
        let is_one = facts.version.generation() == Generation::V9 || facts.volumes.len() < 2;
        if is_one || !facts.is_primary() {
            return Roles::Alike;
        }
        let text = file::read_text(&under_root("proc/drbd"), LIMIT).ok();
        let Some(Ok(proc)) = text.map(|text| Proc::parse(&text)) else { return Roles::NotKnown };
        let mut others = Vec::new();
        for minor in facts.volumes.iter().map(|volume| volume.minor) {
            match minor.and_then(|minor| Some((minor, proc.minors.get(&minor)?))) {
                Some((_, Minor::Configured { role: Role::Primary, .. })) => {}
                Some((minor, _)) => others.push(minor),
                None => return Roles::NotKnown,
            }
        }
        if others.is_empty() { Roles::Alike } else { Roles::Mixed(others) }
    }
}
