//! What tests say often.

use std::path::Path;

use super::{Node, Ran, Stage};

/// Whom the rule allows, and the code.
pub(crate) fn told(stage: &Stage, ran: &Ran) -> (i32, Option<Vec<String>>) {
    (ran.code, stage.allowed())
}

pub(crate) fn only(names: &[&str]) -> Option<Vec<String>> {
    Some(names.iter().map(|name| (*name).to_owned()).collect())
}

/// The kernel calls fence-peer with these options.
pub(crate) fn fence(node: &Node, peer: u32, mask: u64, words: &[&str]) -> Ran {
    let environment = node.environment(peer, mask, "NetworkFailure");
    node.run("crm-fence-peer.9.sh", words, &environment)
}

/// The cluster changes while the handler on this node waits: it has looked, and looks again.
pub(crate) fn while_it_waits(
    stage: &Stage,
    node: &Node,
    change: impl FnOnce(&mut duet_fake_tools::Xml),
) {
    node.looked(2);
    stage.cluster.change(|pacemaker| {
        change(&mut pacemaker.cib);
        pacemaker.touch();
    });
}

/// The same environment with one variable changed, or removed.
pub(crate) fn but(
    mut environment: Vec<(String, String)>,
    name: &str,
    value: Option<&str>,
) -> Vec<(String, String)> {
    environment.retain(|(known, _)| known != name);
    environment.extend(value.map(|value| (name.to_owned(), value.to_owned())));
    environment
}

/// Whether a file is there.
pub(crate) fn is_there(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok()
}
