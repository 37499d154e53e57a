//! What many scenarios do and claim in the same way.

use super::{boots_since, claim};
use crate::cluster::Cluster;
use crate::failure::{Failure, Result};
use crate::node::{Node, SHORT};
use std::time::Duration;

const MINUTES: fn(u64) -> Duration = |minutes| Duration::from_secs(60 * minutes);

/// Nobody is fenced: the instances of all nodes and Pacemaker's fencing history, before and after.
pub(super) struct Calm {
    seen: Vec<String>,
}

impl Calm {
    /// Waits first until all nodes know of the same number of fencings: one that has just come back hears of earlier
    /// ones from the others, which would look as if they had happened since (seen with Pacemaker 3.0).
    pub(super) fn before(cluster: &Cluster) -> Result<Self> {
        duet_oracle::eventually(SHORT, "all nodes to know of the same fencings", || {
            let known: Result<Vec<usize>> =
                cluster.lab.nodes.iter().map(|node| Ok(history(node)?.lines().count())).collect();
            let known = known.map_err(|error| error.to_string())?;
            if known.iter().all(|count| *count == known[0]) {
                Ok(())
            } else {
                Err(format!("lines of history: {known:?}"))
            }
        })?;
        Ok(Self { seen: Self::look(cluster)? })
    }

    /// Claims that it stayed so.
    pub(super) fn kept(&self, cluster: &Cluster) -> Result<()> {
        let now = Self::look(cluster)?;
        claim(now == self.seen, || {
            format!("a node was fenced or rebooted: {now:?}, before: {:?}", self.seen)
        })
    }

    fn look(cluster: &Cluster) -> Result<Vec<String>> {
        let mut seen = Vec::new();
        for node in &cluster.lab.nodes {
            seen.push(format!("{} is instance {}", node.name, node.instance()?));
        }
        seen.push(history(&cluster.lab.nodes[0])?);
        Ok(seen)
    }
}

/// What a node knows of fencings.
fn history(node: &Node) -> Result<String> {
    node.sh("stonith_admin --history '*' 2>&1 || :", "reading the fencing history")
}

/// Pacemaker's own record says that the node was fenced, successfully, since this scenario began or since [`forget_fencing`].
pub(super) fn fenced(cluster: &Cluster, witness: &str, target: &str) -> Result<()> {
    let witness = cluster.lab.node(witness)?;
    duet_oracle::eventually(SHORT, &format!("the fencing of {target}"), || {
        let script = format!("stonith_admin --history {target}");
        let history = witness.run(&script, SHORT).map_err(|error| error.to_string())?.stdout;
        if is_success(&history) { Ok(()) } else { Err(history) }
    })?;
    Ok(())
}

/// Clears Pacemaker's record of fencings, so that what is found there later is new.
pub(super) fn forget_fencing(node: &Node) -> Result<()> {
    node.sh("stonith_admin --cleanup --history '*'", "clearing the fencing history")?;
    // The nodes are told by a message.
    duet_oracle::eventually(SHORT, "an empty record of fencings", || {
        let ran =
            node.run("stonith_admin --history '*'", SHORT).map_err(|error| error.to_string())?;
        if is_success(&ran.stdout) { Err(ran.stdout) } else { Ok(()) }
    })?;
    Ok(())
}

fn is_success(history: &str) -> bool {
    history.contains("was able to") || history.contains("succe")
}

/// The way to all other nodes over the cluster's network, which leads nowhere (`add`) or is free again (`del`). The way to
/// the host side, and to who fences, stays.
pub(super) fn route(node: &Node, cluster: &Cluster, word: &str) -> Result<()> {
    let others = cluster.lab.nodes.iter().filter(|other| other.name != node.name);
    let script: Vec<String> =
        others.map(|other| format!("ip route {word} blackhole {}/32", other.address())).collect();
    node.sh(&script.join(" && "), "cutting or mending the cluster's network").map(drop)
}

/// Waits until the guest has booted on this node again after `zero` and writes; says when the first
/// write came. It must be one boot.
pub(super) fn restarted(cluster: &Cluster, active: &str, zero: Duration) -> Result<Duration> {
    let (at, first) = booted(cluster, zero)?;
    claim(at == active, || format!("the guest went from {active} to {at}"))?;
    Ok(first)
}

/// The same on whichever node; says on which, and when the first write came.
pub(super) fn booted(cluster: &Cluster, zero: Duration) -> Result<(String, Duration)> {
    let boots = || boots_since(cluster, zero);
    duet_oracle::eventually(MINUTES(3), "the guest to boot again", || {
        if boots() > 0 { Ok(()) } else { Err("no boot") }
    })?;
    let booted = cluster.verdict().boots.last().map_or(zero, |boot| boot.at);
    let at = cluster.writing_since(booted, MINUTES(1))?;
    let first = cluster.writing_on(&at, booted, MINUTES(1))?;
    claim(boots() == 1, || format!("the guest booted {} times", boots()))?;
    Ok((at, first))
}

/// Pacemaker has failures on record; whoever comes next begins with a clean slate. It looks at
/// everything anew before it forgets, and that is waited for: what happens meanwhile would be found by a
/// probe instead of a monitor.
pub(super) fn forget_failures(node: &Node) -> Result<()> {
    // The attribute daemon goes with the CIB's and is back later than the controller (seen: 27 s): to clear needs it.
    duet_oracle::eventually(SHORT, "a word to all of Pacemaker's daemons", || {
        node.sh("crm_resource --cleanup 2>&1", "clearing the failures")
            .map_err(|error| error.to_string())
    })?;
    settled(node)
}

/// Waits until Pacemaker has nothing left to do.
pub(crate) fn settled(node: &Node) -> Result<()> {
    settled_within(node, MINUTES(2))
}

/// Waits for that, not longer than this.
pub(super) fn settled_within(node: &Node, patience: Duration) -> Result<()> {
    let script = format!("crm_resource --wait --timeout={}", patience.as_secs());
    node.run(&script, patience + MINUTES(1))?.success("waiting for the cluster to settle").map(drop)
}

/// What Pacemaker shows of failed operations.
pub(super) fn failures(node: &Node) -> Result<String> {
    let seen = node.sh("crm_mon -1", "looking for failures")?;
    Ok(seen
        .split_once("Failed Resource Actions:")
        .map(|(_, rest)| rest.trim().to_owned())
        .unwrap_or_default())
}

/// Does something while the guest's resource has another parameter. The guest may be restarted by the
/// change and by its end.
pub(super) fn with_parameter<T>(
    cluster: &Cluster,
    name: &str,
    value: &str,
    during: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let node = &cluster.lab.nodes[0];
    node.sh(&format!("crm resource param vm1 set {name} {value}"), "setting a parameter")?;
    settled(node)?;
    cluster.steady()?;
    let done = during()?;
    node.sh(&format!("crm resource param vm1 delete {name}"), "removing a parameter")?;
    settled(node)?;
    cluster.steady()?;
    Ok(done)
}

/// Where the guest's processes are, as the watch sees them.
pub(super) fn processes(cluster: &Cluster) -> Result<Vec<(String, bool)>> {
    let watch = cluster
        .watch
        .as_ref()
        .ok_or_else(|| Failure::broken("The guests of this lab cannot be watched"))?;
    Ok(watch.processes(crate::configuration::GUEST_UUID))
}
