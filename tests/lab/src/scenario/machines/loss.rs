//! Losses that leave one node on its own: of the cluster's network alone, of both nodes' power, and of the last good disk.
//! Whoever is left writes only what it is entitled to, and says what it waits for.

use super::MINUTES;
use super::disturb::{self, Disturbance};
use super::fence::{not_waited_for, waits_for_the_other};
use crate::cluster::Cluster;
use crate::failure::Result;
use crate::node::{Node, SHORT};
use crate::proc_drbd;
use crate::scenario::checks::{fenced, settled};
use crate::scenario::{Story, boots_since, claim, downtime};
use duet_oracle::eventually;
use std::time::Duration;

/// What nobody may do is looked out for as long.
const A_WHILE: Duration = Duration::from_secs(10);

/// Each node has the other one shot while DRBD is connected; the one with the guest shoots first.
pub(super) fn cluster_cut(cluster: &Cluster) -> Result<Story> {
    let active = cluster.steady()?;
    let (node, other) = (cluster.lab.node(&active)?, cluster.other(&active)?);
    let before = node.instance()?;
    other.sh(
        "crm_attribute -t crm_config -n priority-fencing-delay -v 15s && \
         crm_resource -r vm1 --meta -p priority -v 10",
        "sparing the node with the guest",
    )?;
    settled(other)?;
    let zero = Disturbance::ClusterCut.inflict(cluster, other)?;
    fenced(cluster, &active, &other.name)?;
    // DRBD notices the shot, and its handler asks who is left; failing that, the other one's return ends the freeze.
    let first = cluster.writing_on(&active, cluster.journal.now(), MINUTES(3))?;
    Disturbance::ClusterCut.heal(cluster, other)?;
    let still = disturb::steady(cluster)?;
    let instance = node.instance()?;
    claim(still == active && boots_since(cluster, zero) == 0 && instance == before, || {
        format!(
            "the guest is on {still} after {} boots, {active} is instance {instance}, {before} before",
            boots_since(cluster, zero)
        )
    })?;
    node.sh(
        "crm_attribute -t crm_config -n priority-fencing-delay -D && \
         crm_resource -r vm1 --meta -d priority",
        "sparing nobody",
    )?;
    settled(node)?;
    Ok(Story::at(zero)
        .figure("writing after the shot", first - zero)
        .figure("whole again", cluster.journal.now() - zero))
}

/// Both lose power at once. The one that was active comes back alone, and waits; its administrator, sure that the other is
/// off, says that it is not to be waited for. Whether the other has newer data, only the administrator can know: that is a
/// second word. To DRBD that is a split brain, which a third one ends when the other node is back.
pub(super) fn alone(cluster: &Cluster) -> Result<Story> {
    let active = cluster.steady()?;
    let (node, other) = (cluster.lab.node(&active)?, cluster.other(&active)?);
    // A node that is alone becomes its own DC after this time.
    node.sh("crm_attribute -n dc-deadtime -v 5s", "waiting for a DC no longer than needed")?;
    settled(node)?;
    let zero = cluster.journal.now();
    for node in &cluster.lab.nodes {
        Disturbance::PowerCut.inflict(cluster, node)?;
    }
    let booted = Disturbance::PowerCut.heal(cluster, node)?;
    waits_for_the_other(node)?;
    pause(A_WHILE);
    unpromoted(cluster, node, zero)?;
    cluster.journal.mark("corosync-cmapctl -s quorum.cancel_wait_for_all u8 1");
    not_waited_for(node)?;
    cluster.disk_reaches(node, "ro:Secondary/Unknown ds:Consistent/DUnknown", MINUTES(2))?;
    settled(node)?;
    pause(A_WHILE);
    unpromoted(cluster, node, zero)?;
    let told = cluster.journal.mark("drbdadm primary --force r0; drbdadm secondary r0");
    node.sh("drbdadm primary --force r0 && drbdadm secondary r0", "saying whose data is good")?;
    let first = cluster.writing_on(&active, told, MINUTES(3))?;
    Disturbance::PowerCut.heal(cluster, other)?;
    // One side at least refuses the other, which may see no more of that than a connection that is closed, and waits for the next.
    eventually(MINUTES(2), "either side to refuse the other", || {
        let seen = [device(other), device(node)]
            .map(|seen| seen.unwrap_or_else(|error| error.to_string()));
        if seen.iter().any(|seen| seen.starts_with("cs:StandAlone")) {
            Ok(())
        } else {
            Err(seen.join("; "))
        }
    })?;
    cluster.journal.mark(&format!(
        "drbdadm disconnect r0; drbdadm connect --discard-my-data r0 in {}",
        other.name
    ));
    other.sh(
        "drbdadm disconnect r0; drbdadm connect --discard-my-data r0",
        "giving up what the other one has",
    )?;
    node.sh("drbdadm adjust r0", "connecting to it")?;
    let still = disturb::steady(cluster)?;
    claim(still == active && boots_since(cluster, zero) == 1, || {
        format!("the guest is on {still} after {} boots", boots_since(cluster, zero))
    })?;
    node.sh("crm_attribute -n dc-deadtime -D", "waiting for a DC as before")?;
    Ok(Story::at(zero)
        .figure("alone without writing", told - booted)
        .figure("word to first write", first - told)
        .figure("downtime", downtime(cluster, zero)?))
}

/// Nobody may write: the kernel says so, and no guest was started.
fn unpromoted(cluster: &Cluster, node: &Node, zero: Duration) -> Result<()> {
    let seen = device(node)?;
    claim(!seen.contains("ro:Primary") && boots_since(cluster, zero) == 0, || {
        format!("{} alone became {seen}, {} boots", node.name, boots_since(cluster, zero))
    })
}

/// The link is cut, the peer is banned, and then the only good disk fails under the guest.
pub(super) fn no_disk_left(cluster: &Cluster) -> Result<Story> {
    let active = cluster.steady()?;
    let (node, other) = (cluster.lab.node(&active)?, cluster.other(&active)?);
    let pulled = Disturbance::ReplicationCut.inflict(cluster, other)?;
    cluster.disk_reaches(node, "ds:UpToDate/Outdated", MINUTES(1))?;
    cluster.writing_on(&active, cluster.journal.now(), SHORT)?;
    let zero = Disturbance::DiskFails.inflict(cluster, node)?;
    // Monitors, and what follows from them.
    pause(4 * A_WHILE);
    claim(boots_since(cluster, pulled) == 0, || "the guest was started on old data".to_owned())?;
    cluster.journal.mark(&device(node)?);
    let healed = Disturbance::DiskFails.heal(cluster, node)?;
    let first = cluster.writing_on(&active, healed, MINUTES(3))?;
    Disturbance::ReplicationCut.heal(cluster, other)?;
    let still = disturb::steady(cluster)?;
    claim(still == active, || format!("the guest is on {still}"))?;
    Ok(Story::at(zero).figure("healed to first write", first - healed))
}

/// What a node's kernel says of the guest's device.
fn device(node: &Node) -> Result<String> {
    let text = node.sh("[ ! -e /proc/drbd ] || cat /proc/drbd", "asking the kernel")?;
    Ok(proc_drbd::device(&text, proc_drbd::GUEST).unwrap_or("no device").to_owned())
}

#[allow(clippy::disallowed_methods, reason = "a scenario gives the cluster time")]
fn pause(long: Duration) {
    std::thread::sleep(long);
}
