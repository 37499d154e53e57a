//! Roles that change as planned: demoted and promoted, moved, and down for a while. Nobody is fenced, and what the cluster
//! believes is what the kernel does.

use super::{FIRST, GOOD};
use crate::cluster::Cluster;
use crate::failure::Result;
use crate::scenario::checks::{Calm, settled};
use crate::scenario::machines::MINUTES;
use crate::scenario::machines::disturb::Disturbance;
use crate::scenario::{Story, claim, downtime};

pub(super) fn demote(cluster: &Cluster) -> Result<Story> {
    let active = cluster.steady()?;
    // On the node that has a processor to spare: the guest spins on the other one's.
    let (node, idle) = (cluster.lab.node(&active)?, cluster.other(&active)?);
    let calm = Calm::before(cluster)?;
    let zero = cluster.journal.mark("crm resource demote ms_drbd");
    idle.sh("crm resource demote ms_drbd", "demoting the clone")?;
    FIRST.reaches(node, &["cs:Connected", "ro:Secondary/Secondary", "ds:UpToDate/UpToDate"])?;
    let demoted = cluster.journal.now();
    settled(idle)?;
    FIRST.scored(idle, [(node, GOOD), (idle, GOOD)])?;
    let again = cluster.journal.mark("crm resource promote ms_drbd");
    idle.sh("crm resource promote ms_drbd", "promoting the clone")?;
    cluster.writing_since(again, MINUTES(3))?;
    let promoted = cluster.journal.now();
    idle.sh("crm_resource -r ms_drbd --meta -d target-role", "forgetting the wanted role")?;
    let now = cluster.steady()?;
    FIRST.reaches(cluster.lab.node(&now)?, &["ro:Primary/Secondary"])?;
    calm.kept(cluster)?;
    Ok(Story::at(zero)
        .figure("demoted", demoted - zero)
        .figure("promoted and writing", promoted - again))
}

pub(super) fn planned_move(cluster: &Cluster) -> Result<Story> {
    let active = cluster.steady()?;
    let (node, other) = (cluster.lab.node(&active)?, cluster.other(&active)?);
    let calm = Calm::before(cluster)?;
    let zero = cluster.journal.mark(&format!("crm resource move ms_drbd {}", other.name));
    other.sh(&format!("crm resource move ms_drbd {}", other.name), "moving the promoted role")?;
    let first = cluster.writing_on(&other.name, zero, MINUTES(3))?;
    FIRST.reaches(other, &["ro:Primary/Secondary", "ds:UpToDate/UpToDate"])?;
    cluster.journal.mark("crm resource clear ms_drbd");
    node.sh("crm resource clear ms_drbd", "clearing the move")?;
    settled(node)?;
    let still = cluster.steady()?;
    claim(still == other.name, || format!("the guest went back to {still}"))?;
    FIRST.scored(node, [(node, GOOD), (other, GOOD)])?;
    calm.kept(cluster)?;
    Ok(Story::at(zero)
        .figure("command to first write", first - zero)
        .figure("downtime", downtime(cluster, zero)?))
}

pub(super) fn standby(cluster: &Cluster) -> Result<Story> {
    let active = cluster.steady()?;
    let (node, other) = (cluster.lab.node(&active)?, cluster.other(&active)?);
    let calm = Calm::before(cluster)?;
    let zero = Disturbance::Standby.inflict(cluster, node)?;
    let first = cluster.writing_on(&other.name, zero, MINUTES(3))?;
    FIRST.is_gone(node)?;
    FIRST.reaches(other, &["cs:WFConnection", "ro:Primary/Unknown", "ds:UpToDate/"])?;
    FIRST.scored(other, [(other, GOOD), (node, None)])?;
    let back = Disturbance::Standby.heal(cluster, node)?;
    FIRST.reaches(other, &["cs:Connected", "ro:Primary/Secondary", "ds:UpToDate/UpToDate"])?;
    let synced = cluster.journal.now();
    FIRST.scored(other, [(other, GOOD), (node, GOOD)])?;
    let still = cluster.steady()?;
    claim(still == other.name, || format!("the guest went back to {still}"))?;
    calm.kept(cluster)?;
    Ok(Story::at(zero)
        .figure("command to first write", first - zero)
        .figure("downtime", downtime(cluster, zero)?)
        .figure("back in sync", synced - back))
}
