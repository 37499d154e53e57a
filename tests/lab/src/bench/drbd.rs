//! What is measured of the agents of DRBD: the recurring monitor, which Pacemaker repeats for ever on both sides of every
//! resource, with a promotion score that is what it was, and with one that is not.

use super::agents::{Whose, label};
use duet_bench::{Callgrind, Command};
use std::collections::BTreeMap;

/// Of a Primary, the score unchanged.
pub(crate) const PRIMARY: &str = "drbd monitor, Primary";
/// Of a Secondary, the score unchanged.
pub(crate) const SECONDARY: &str = "drbd monitor, Secondary";
/// Of a Secondary whose score is another one than it was.
pub(crate) const CHANGED: &str = "drbd monitor, score changed";

/// A score that differs from the default one on a node whose data is as good as it gets, and makes no other node of
/// two the better one.
const OTHER_SCORES: &str = "0 10 1000 9990";

/// One monitor of a resource, as Pacemaker calls it.
pub(crate) fn monitor(
    executor: &BTreeMap<String, String>,
    row: &str,
    whose: Whose,
    instance: &str,
    resource: &str,
) -> Command {
    let provider = match whose {
        Whose::Stock => "linbit",
        Whose::Ours => "rust",
    };
    let mut env = executor.clone();
    let interval = if row == PRIMARY { "10000" } else { "20000" };
    for (name, value) in [
        ("OCF_RESOURCE_TYPE", "drbd"),
        ("OCF_RESOURCE_PROVIDER", provider),
        ("OCF_RESOURCE_INSTANCE", instance),
        ("OCF_RESKEY_drbd_resource", resource),
        ("OCF_RESKEY_CRM_meta_name", "monitor"),
        ("OCF_RESKEY_CRM_meta_timeout", "20000"),
        ("OCF_RESKEY_CRM_meta_interval", interval),
        ("OCF_RESKEY_CRM_meta_clone", "0"),
        ("OCF_RESKEY_CRM_meta_clone_max", "2"),
        ("OCF_RESKEY_CRM_meta_clone_node_max", "1"),
        ("OCF_RESKEY_CRM_meta_globally_unique", "false"),
        ("OCF_RESKEY_CRM_meta_promotable", "true"),
        ("OCF_RESKEY_CRM_meta_notify", "true"),
        // Pacemaker 2.1 says both.
        ("OCF_RESKEY_CRM_meta_promoted_max", "1"),
        ("OCF_RESKEY_CRM_meta_promoted_node_max", "1"),
        ("OCF_RESKEY_CRM_meta_master_max", "1"),
        ("OCF_RESKEY_CRM_meta_master_node_max", "1"),
        ("OCF_RESKEY_CRM_meta_role", if row == PRIMARY { "Master" } else { "Slave" }),
    ] {
        env.insert(name.to_owned(), value.to_owned());
    }
    if row == CHANGED {
        env.insert("OCF_RESKEY_adjust_master_score".to_owned(), OTHER_SCORES.to_owned());
    }
    Command {
        name: label(row, whose),
        argv: vec![format!("/usr/lib/ocf/resource.d/{provider}/drbd"), "monitor".to_owned()],
        env,
        callgrind: Callgrind::Never,
    }
}
