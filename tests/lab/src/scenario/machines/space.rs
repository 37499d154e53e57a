//! A root file system without a free block, in the active node and in the passive one. Nothing is stopped for it that runs,
//! nothing is answered that is not so, and room heals what it kept from being done.

use super::MINUTES;
use super::disturb::{self, Disturbance};
use crate::cluster::Cluster;
use crate::failure::Result;
use crate::node::{Node, SHORT};
use crate::proc_drbd;
use crate::scenario::checks::{Calm, failures, forget_failures, settled};
use crate::scenario::{Story, boots_since, claim, downtime};
use duet_oracle::phase::{Phase, recognise};
use duet_oracle::{Kind, eventually};
use std::time::Duration;

/// Two monitors of the guest, 10 s apart, and one of DRBD.
const MONITORS: Duration = Duration::from_secs(22);

/// Monitors, a call of fence-peer and a move away, all of it without room.
pub(super) fn active_full(cluster: &Cluster) -> Result<Story> {
    let active = cluster.steady()?;
    let (node, other) = (cluster.lab.node(&active)?, cluster.other(&active)?);
    let calm = Calm::before(cluster)?;
    let zero = Disturbance::DiskFull.inflict(cluster, node)?;
    pause(MONITORS);
    runs_on(cluster, other, &active, zero)?;
    let pulled = Disturbance::ReplicationCut.inflict(cluster, other)?;
    let code = answer(cluster, node, pulled)?;
    claim([1, 4].contains(&code), || format!("fence-peer answered {code} on a full disk"))?;
    if code == 4 {
        cluster.writing_on(&active, cluster.journal.now(), SHORT)?;
    }
    let plugged = Disturbance::ReplicationCut.heal(cluster, other)?;
    cluster.writing_on(&active, plugged, MINUTES(1))?;
    cluster.steady()?;
    runs_on(cluster, other, &active, zero)?;
    let moved = Disturbance::Leave.inflict(cluster, node)?;
    let first = cluster.writing_on(&other.name, moved, MINUTES(3))?;
    Disturbance::DiskFull.heal(cluster, node)?;
    Disturbance::Leave.heal(cluster, node)?;
    kept_on_disk(node)?;
    let still = disturb::steady(cluster)?;
    claim(still == other.name && boots_since(cluster, zero) == 1, || {
        format!("the guest is on {still} after {} boots", boots_since(cluster, zero))
    })?;
    calm.kept(cluster)?;
    Ok(Story::at(zero)
        .figure("move to first write", first - moved)
        .figure("downtime", downtime(cluster, moved)?))
}

/// A move to a node without room.
pub(super) fn passive_full(cluster: &Cluster) -> Result<Story> {
    let active = cluster.steady()?;
    let (node, other) = (cluster.lab.node(&active)?, cluster.other(&active)?);
    let calm = Calm::before(cluster)?;
    let zero = Disturbance::DiskFull.inflict(cluster, other)?;
    pause(MONITORS);
    runs_on(cluster, node, &active, zero)?;
    let moved = Disturbance::Leave.inflict(cluster, node)?;
    // Wherever it can be started.
    eventually(MINUTES(3), "the guest to boot somewhere", || {
        if boots_since(cluster, moved) > 0 { Ok(()) } else { Err("no boot") }
    })?;
    let booted = cluster.verdict().boots.last().map_or(moved, |boot| boot.at);
    let there = cluster.writing_since(booted, MINUTES(1))?;
    settled(node)?;
    cluster.journal.mark(&format!("the guest is on {there}; failures: {}", failures(node)?));
    Disturbance::DiskFull.heal(cluster, other)?;
    forget_failures(node)?;
    let first = cluster.writing_on(&other.name, booted, MINUTES(3))?;
    Disturbance::Leave.heal(cluster, node)?;
    let still = disturb::steady(cluster)?;
    claim(still == other.name, || format!("the guest is on {still}"))?;
    calm.kept(cluster)?;
    Ok(Story::at(zero).figure("move to first write", first - moved))
}

/// The guest writes on where it was, was not booted, and no operation failed.
fn runs_on(cluster: &Cluster, asked: &Node, active: &str, zero: Duration) -> Result<()> {
    let at = cluster.writing_since(cluster.journal.now(), SHORT)?;
    claim(at == active && boots_since(cluster, zero) == 0, || {
        format!("the guest was started again, on {at}")
    })?;
    let seen = asked.read("/proc/drbd")?;
    let seen = proc_drbd::device(&seen, proc_drbd::GUEST).unwrap_or_default();
    claim(seen.contains("cs:Connected"), || format!("DRBD in {}: {seen}", asked.name))?;
    let failed = failures(asked)?;
    claim(failed.is_empty(), || format!("an operation failed:\n{failed}"))
}

/// Waits until the CIB in a node's file is the one that Pacemaker has.
fn kept_on_disk(node: &Node) -> Result<()> {
    let script = "e() { grep -o ' epoch=\"[0-9]*\"' | head -n 1; }; \
        [ \"$(cibadmin -Q -l | e)\" = \"$(e </var/lib/pacemaker/cib/cib.xml)\" ]";
    eventually(MINUTES(1), &format!("the CIB to be on the disk of {}", node.name), || {
        node.sh(script, "comparing the CIB with its file").map_err(|error| error.to_string())
    })?;
    Ok(())
}

/// The next answer of fence-peer that a node's kernel has got.
fn answer(cluster: &Cluster, node: &Node, since: Duration) -> Result<u8> {
    let code =
        eventually(MINUTES(3), &format!("an answer of fence-peer in {}", node.name), || {
            let events = cluster.journal.since(since);
            let told = events.iter().filter(|event| event.source == node.name);
            let phases = told.flat_map(|event| match &event.kind {
                Kind::Log(record) => recognise(record),
                Kind::Serial(_) | Kind::Mark(_) => Vec::new(),
            });
            let mut codes = phases.filter_map(|phase| match phase {
                Phase::HelperAnswered { helper, code, .. } if helper == "fence-peer" => Some(code),
                _ => None,
            });
            codes.next().ok_or("none")
        })?;
    Ok(code)
}

#[allow(clippy::disallowed_methods, reason = "a scenario gives the cluster time")]
fn pause(long: Duration) {
    std::thread::sleep(long);
}
