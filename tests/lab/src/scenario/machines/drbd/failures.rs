//! A node, and a disk, that fail under the Primary. The scores in the CIB follow what the kernel has, down and up again.

use super::{FIRST, GOOD, told};
use crate::cluster::Cluster;
use crate::failure::Result;
use crate::node::{SHORT, Switch};
use crate::scenario::checks::{Calm, fenced, settled};
use crate::scenario::machines::MINUTES;
use crate::scenario::{Story, claim, downtime};

pub(super) fn peer_dies(cluster: &Cluster) -> Result<Story> {
    let active = cluster.steady()?;
    let (dead, survivor) = (cluster.lab.node(&active)?, cluster.other(&active)?);
    FIRST.scored(survivor, [(dead, GOOD), (survivor, GOOD)])?;
    let zero = cluster.journal.mark(&format!("power cut of {active}"));
    dead.cut_power()?;
    let first = cluster.writing_on(&survivor.name, zero, MINUTES(3))?;
    fenced(cluster, &survivor.name, &active)?;
    let alone = ["cs:WFConnection", "ro:Primary/Unknown", "ds:UpToDate/Outdated"];
    FIRST.reaches(survivor, &alone)?;
    FIRST.scored(survivor, [(survivor, GOOD), (dead, None)])?;
    // Fencing may have been first to switch it on again.
    let back = cluster.journal.mark(&format!("power on of {active}"));
    if dead.power()? == "shut off" {
        dead.boot()?;
    }
    FIRST.reaches(survivor, &["cs:Connected", "ro:Primary/Secondary", "ds:UpToDate/UpToDate"])?;
    let synced = cluster.journal.now();
    FIRST.scored(survivor, [(survivor, GOOD), (dead, GOOD)])?;
    let scored = cluster.journal.now();
    let still = cluster.steady()?;
    claim(still == survivor.name, || format!("the guest went back to {still}"))?;
    Ok(Story::at(zero)
        .figure("downtime", downtime(cluster, zero)?)
        .figure("cut to first write", first - zero)
        .figure("in sync", synced - back)
        .figure("scored", scored - back))
}

/// By its score the node without a disk is the worse one, so the guest follows the data, as planned, and without a
/// write lost on the way.
pub(super) fn disk_fails(cluster: &Cluster) -> Result<Story> {
    let active = cluster.steady()?;
    let (node, other) = (cluster.lab.node(&active)?, cluster.other(&active)?);
    let calm = Calm::before(cluster)?;
    let zero = cluster.journal.mark(&format!("the disk of {active} fails"));
    node.disk(Switch::Off)?;
    // By the kernel's own words: whoever asks may be late, and the guest leaves soon.
    let detached = told(cluster, node, zero, &["kernel", "-> Diskless"])?;
    let through = cluster.writing_on(&active, detached, SHORT)?;
    FIRST.scored(other, [(node, Some(10)), (other, GOOD)])?;
    let first = cluster.writing_on(&other.name, zero, MINUTES(3))?;
    FIRST.reaches(other, &["ro:Primary/Secondary", "ds:UpToDate/Diskless"])?;
    settled(node)?;
    let healed = cluster.journal.mark(&format!("the disk of {active} heals; drbdadm attach r0"));
    node.disk(Switch::On)?;
    node.sh("drbdadm attach r0", "attaching the healed disk")?;
    FIRST.reaches(other, &["cs:Connected", "ds:UpToDate/UpToDate"])?;
    FIRST.scored(other, [(node, GOOD), (other, GOOD)])?;
    let scored = cluster.journal.now();
    let still = cluster.steady()?;
    claim(still == other.name, || format!("the guest went back to {still}"))?;
    calm.kept(cluster)?;
    Ok(Story::at(zero)
        .figure("detached", detached - zero)
        .figure("writing through the peer", through - zero)
        .figure("writing where the data is", first - zero)
        .figure("scored again", scored - healed))
}
