//! Nodes that fail or are told to go.

use crate::cluster::Cluster;
use crate::failure::Result;
use crate::node::{SHORT, Switch};
use crate::scenario::checks::{Calm, fenced, settled};
use crate::scenario::{Story, claim, downtime};

pub(super) fn node_killed(cluster: &Cluster) -> Result<Story> {
    let active = cluster.steady()?;
    let other = cluster.other(&active)?.name.clone();
    let zero = cluster.journal.mark(&format!("{active} killed"));
    cluster.lab.node(&active)?.cut_power()?;
    let first = cluster.writing_on(&other, zero, SHORT)?;
    fenced(cluster, &other, &active)?;
    cluster.lab.node(&active)?.boot()?;
    cluster.steady()?;
    Ok(Story::at(zero)
        .figure("kill to first write", first - zero)
        .figure("downtime", downtime(cluster, zero)?))
}

pub(super) fn node_frozen(cluster: &Cluster) -> Result<Story> {
    let active = cluster.steady()?;
    let other = cluster.other(&active)?.name.clone();
    let node = cluster.lab.node(&active)?;
    let before = node.instance()?;
    let zero = cluster.journal.mark(&format!("{active} frozen"));
    node.processors(Switch::Off)?;
    let first = cluster.writing_on(&other, zero, SHORT)?;
    fenced(cluster, &other, &active)?;
    // The fence daemon kills it and boots it again: another instance, back in the cluster.
    duet_oracle::eventually(SHORT, "the frozen node to be rebooted", || match node.instance() {
        Ok(now) if now != before && now != "-" => Ok(()),
        Ok(now) => Err(format!("instance {now}, {before} before")),
        Err(error) => Err(error.to_string()),
    })?;
    let still = cluster.steady()?;
    claim(still == other, || format!("the guest went back to {still}"))?;
    Ok(Story::at(zero)
        .figure("freeze to first write", first - zero)
        .figure("downtime", downtime(cluster, zero)?))
}

pub(super) fn corosync_killed(cluster: &Cluster) -> Result<Story> {
    let active = cluster.steady()?;
    let other = cluster.other(&active)?.name.clone();
    let zero = cluster.journal.mark(&format!("corosync killed in {active}"));
    // The guest goes on there, with nobody to look after it: only fencing makes a start elsewhere safe.
    cluster.lab.node(&active)?.daemon("corosync", "KILL")?;
    let first = cluster.writing_on(&other, zero, SHORT)?;
    fenced(cluster, &other, &active)?;
    cluster.steady()?;
    Ok(Story::at(zero)
        .figure("kill to first write", first - zero)
        .figure("downtime", downtime(cluster, zero)?))
}

pub(super) fn standby(cluster: &Cluster) -> Result<Story> {
    let active = cluster.steady()?;
    let other = cluster.other(&active)?.name.clone();
    let calm = Calm::before(cluster)?;
    let node = cluster.lab.node(&active)?;
    let zero = cluster.journal.mark(&format!("crm node standby {active}"));
    node.sh(&format!("crm node standby {active}"), "putting the node in standby")?;
    let first = cluster.writing_on(&other, zero, SHORT)?;
    // It writes there a moment before its migration is over, and what still migrates when its old node is
    // allowed again is stopped on both and started anew (Pacemaker 2.1.5).
    settled(node)?;
    node.sh(&format!("crm node online {active}"), "ending the standby")?;
    let still = cluster.steady()?;
    claim(still == other, || format!("the guest went back to {still}"))?;
    calm.kept(cluster)?;
    Ok(Story::at(zero)
        .figure("standby to first write", first - zero)
        .figure("downtime", downtime(cluster, zero)?))
}
