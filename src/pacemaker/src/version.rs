//! The versions that a CIB carries: its own, by which it is changed, and those of the programs that wrote it. Invariant: a
//! version that cannot be read counts as newer than what is known here.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Which state of the CIB: any change makes it higher. Ordered as Pacemaker orders it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct CibVersion {
    /// Raised by an administrator's hand only.
    pub admin_epoch: u64,
    /// Raised by each change of the configuration.
    pub epoch: u64,
    /// Raised by each change of the status, and reset with `epoch`.
    pub num_updates: u64,
}

impl fmt::Display for CibVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.admin_epoch, self.epoch, self.num_updates)
    }
}

/// What the oldest node of the cluster can do, `crm_feature_set`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FeatureSet(String);

/// Of Pacemaker 3.0, the newest that this was written for.
const NEWEST_FEATURES: (u32, u32) = (3, 20);
/// Likewise: `pacemaker-4.0`.
const NEWEST_SCHEMA: (u32, u32) = (4, 0);

impl FeatureSet {
    pub(crate) fn new(text: &str) -> FeatureSet {
        FeatureSet(text.to_owned())
    }

    /// Its first two numbers; the third changes nothing that is decided on.
    #[must_use]
    pub fn numbers(&self) -> Option<(u32, u32)> {
        numbers(&self.0)
    }

    /// Whether it is newer than what this was written for.
    #[must_use]
    pub fn is_newer_than_known(&self) -> bool {
        self.numbers().is_none_or(|numbers| numbers > NEWEST_FEATURES)
    }
}

impl fmt::Display for FeatureSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a schema, `validate-with`, is newer than what this was written for. `none` is no schema at all.
pub(crate) fn is_newer_schema(name: &str) -> bool {
    let version = name.strip_prefix("pacemaker-").and_then(numbers);
    name != "none" && version.is_none_or(|numbers| numbers > NEWEST_SCHEMA)
}

fn numbers(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split('.');
    let (major, minor) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    parts.all(|part| part.parse::<u32>().is_ok()).then_some((major, minor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_by_their_numbers() {
        let version =
            |admin_epoch, epoch, num_updates| CibVersion { admin_epoch, epoch, num_updates };
        assert!(version(0, 9, 99) < version(0, 10, 0));
        assert!(version(0, 10, 1) < version(1, 0, 0));
        assert_eq!(version(1, 2, 3).to_string(), "1.2.3");
    }

    #[test]
    fn newer_is_what_is_not_known() {
        for known in ["3.0.14", "3.16.1", "3.18.0", "3.20.5", "3.20"] {
            assert!(!FeatureSet::new(known).is_newer_than_known(), "{known}");
        }
        for newer in ["3.21.0", "4.0.0", "", "3", "3.x.1", "new", "3.16.1-1"] {
            assert!(FeatureSet::new(newer).is_newer_than_known(), "{newer}");
        }
        for known in ["pacemaker-1.2", "pacemaker-3.9", "pacemaker-4.0", "none"] {
            assert!(!is_newer_schema(known), "{known}");
        }
        for newer in ["pacemaker-4.1", "pacemaker-next", "", "transitional-0.6"] {
            assert!(is_newer_schema(newer), "{newer}");
        }
    }
}
