//! Pacemaker without Pacemaker: the CIB parsed once into what fencing decides on, and the constraint that bans a DRBD
//! peer, built, read and compared by meaning. Invariant: pure; what the CIB does not say is never made up.

#![forbid(unsafe_code)]

mod cib;
mod extract;
mod node;
mod nvset;
mod patch;
mod properties;
mod resources;
mod rule;
mod state;
mod version;
mod xml;

pub use cib::{Cib, CibError};
pub use node::{NameError, Node, NodeKind};
pub use patch::{Patch, PatchAnswer, PatchError};
pub use properties::{NoQuorumPolicy, Properties, WatchdogTimeout};
pub use resources::CloneError;
pub use rule::{
    Allowed, DEFAULT_PREFIX, Difference, FenceRule, FencingAttribute, Role, RuleError, RuleName,
};
pub use state::{Expected, Join, NodeState, Presence, Standing};
pub use version::{CibVersion, FeatureSet};
