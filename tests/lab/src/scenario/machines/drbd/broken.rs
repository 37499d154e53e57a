//! What the agent needs is missing or broken: the resource's file, the whole configuration, the module. A stop succeeds by
//! what the kernel has, "not running" is said where it is true, and nobody is fenced.

use super::second::{WHOLE, never_failed, ready};
use super::{FIRST, GOOD, SECOND, lines, told};
use crate::cluster::Cluster;
use crate::failure::Result;
use crate::node::{Node, SHORT};
use crate::scenario::checks::{Calm, forget_failures, settled};
use crate::scenario::{Story, claim};

/// Keeps the module from being loaded, until it is removed.
const BLOCK: &str = "/etc/modprobe.d/no-drbd.conf";

pub(super) fn configuration_gone(cluster: &Cluster) -> Result<Story> {
    let (primary, secondary) = ready(cluster)?;
    let calm = Calm::before(cluster)?;
    let zero = cluster
        .journal
        .mark(&format!("r1.res is gone in {}, and r1 is to be stopped there", secondary.name));
    secondary.sh("mv /etc/drbd.d/r1.res /root/r1.res", "taking the file away")?;
    ban(secondary, secondary)?;
    SECOND.is_gone(secondary)?;
    let stopped = cluster.journal.now();
    settled(secondary)?;
    stopped_well(cluster, secondary, zero)?;
    SECOND.scored(primary, [(primary, GOOD), (secondary, None)])?;
    calm.kept(cluster)?;
    secondary.sh("mv /root/r1.res /etc/drbd.d/r1.res", "putting the file back")?;
    back(secondary)?;
    SECOND.reaches(primary, &WHOLE)?;
    calm.kept(cluster)?;
    Ok(Story::at(zero).figure("stopped", stopped - zero))
}

/// One word that drbdadm does not know makes the configuration of every resource unreadable, the guest's too, whose monitors go on.
pub(super) fn configuration_broken(cluster: &Cluster) -> Result<Story> {
    let (primary, secondary) = ready(cluster)?;
    let calm = Calm::before(cluster)?;
    let zero = cluster
        .journal
        .mark(&format!("drbd.conf is broken in {}, and r1 is to be stopped there", primary.name));
    primary.sh(
        "echo 'resource broken { nonsense; }' >/etc/drbd.d/broken.res",
        "breaking the configuration",
    )?;
    let read = primary.run("drbdadm dump r0", SHORT)?;
    claim(read.status != 0, || "the configuration can still be read".to_owned())?;
    ban(secondary, primary)?;
    SECOND.is_gone(primary)?;
    let stopped = cluster.journal.now();
    settled(secondary)?;
    stopped_well(cluster, primary, zero)?;
    FIRST.reaches(primary, &WHOLE)?;
    FIRST.scored(secondary, [(primary, GOOD), (secondary, GOOD)])?;
    calm.kept(cluster)?;
    primary.sh("rm /etc/drbd.d/broken.res", "mending the configuration")?;
    back(secondary)?;
    SECOND.reaches(primary, &WHOLE)?;
    never_failed(secondary)?;
    let still = cluster.steady()?;
    claim(still == primary.name, || format!("the guest went from {} to {still}", primary.name))?;
    calm.kept(cluster)?;
    Ok(Story::at(zero).figure("stopped", stopped - zero))
}

pub(super) fn module_gone(cluster: &Cluster) -> Result<Story> {
    let (primary, secondary) = ready(cluster)?;
    let calm = Calm::before(cluster)?;
    let zero = cluster.journal.mark(&format!("the DRBD module is unloaded in {}", secondary.name));
    secondary.put(BLOCK, "install drbd /bin/false\n")?;
    secondary.sh(
        "drbdsetup down r1; drbdsetup down r0; rmmod drbd && [ ! -e /proc/drbd ]",
        "unloading the module",
    )?;
    // A monitor finds out, and the start that follows cannot load it.
    for which in [FIRST, SECOND] {
        which.scored(primary, [(primary, GOOD), (secondary, None)])?;
        told(cluster, secondary, zero, &["Result of start operation", which.primitive])?;
    }
    settled(primary)?;
    let noticed = cluster.journal.now();
    for (interval, word) in [("0", "a probe"), ("10000", "a recurring monitor")] {
        let seen = asked(secondary, cluster, interval)?;
        claim(seen == 7, || format!("{word} without the module says {seen}"))?;
    }
    for which in [FIRST, SECOND] {
        which.scored(primary, [(primary, GOOD), (secondary, None)])?;
        no_better_than_its_data(cluster, which.primitive, secondary, zero)?;
    }
    let still = cluster.writing_since(cluster.journal.now(), SHORT)?;
    claim(still == primary.name, || format!("the guest went from {} to {still}", primary.name))?;
    calm.kept(cluster)?;
    let back = cluster.journal.mark("the module can be loaded again");
    secondary.sh(&format!("rm {BLOCK}"), "allowing the module")?;
    forget_failures(primary)?;
    FIRST.reaches(primary, &WHOLE)?;
    SECOND.reaches(primary, &WHOLE)?;
    let whole = cluster.journal.now();
    for which in [FIRST, SECOND] {
        which.scored(primary, [(primary, GOOD), (secondary, GOOD)])?;
        no_better_than_its_data(cluster, which.primitive, secondary, zero)?;
    }
    cluster.steady()?;
    calm.kept(cluster)?;
    Ok(Story::at(zero).figure("noticed", noticed - zero).figure("whole again", whole - back))
}

/// What the agent says of the guest's resource when Pacemaker asks it in this node.
fn asked(node: &Node, cluster: &Cluster, interval: &str) -> Result<i32> {
    let provider = if cluster.programs.is_ours("drbd") { "rust" } else { "linbit" };
    let script = format!(
        "export OCF_ROOT=/usr/lib/ocf OCF_RA_VERSION_MAJOR=1 OCF_RA_VERSION_MINOR=1 OCF_RESOURCE_INSTANCE=p_drbd \
         OCF_RESOURCE_TYPE=drbd OCF_RESOURCE_PROVIDER={provider} OCF_RESKEY_drbd_resource=r0 \
         OCF_RESKEY_crm_feature_set=3.16.2 OCF_RESKEY_CRM_meta_name=monitor OCF_RESKEY_CRM_meta_timeout=20000 \
         OCF_RESKEY_CRM_meta_interval={interval} OCF_RESKEY_CRM_meta_clone_max=2 \
         OCF_RESKEY_CRM_meta_clone_node_max=1 OCF_RESKEY_CRM_meta_promoted_max=1 \
         OCF_RESKEY_CRM_meta_promoted_node_max=1 OCF_RESKEY_CRM_meta_notify=true \
         OCF_RESKEY_CRM_meta_on_node={}; exec /usr/lib/ocf/resource.d/{provider}/drbd monitor",
        node.name
    );
    Ok(node.run(&script, SHORT)?.status)
}

/// The cluster's attributes never had this node better than one whose own data is good and alone can be.
fn no_better_than_its_data(
    cluster: &Cluster,
    primitive: &str,
    node: &Node,
    since: std::time::Duration,
) -> Result<()> {
    let change = format!("Setting master-{primitive}[{}]", node.name);
    let mut seen = 0;
    for witness in &cluster.lab.nodes {
        for (_, line) in lines(cluster, witness, since) {
            if line.contains(&change) {
                seen += 1;
                claim(!line.contains("-> 9999"), || format!("{}: {line}", witness.name))?;
            }
        }
    }
    claim(seen > 0, || format!("no notice of a change of the score of {primitive}"))
}

/// Keeps r1 off a node, by the word of another.
fn ban(by: &Node, node: &Node) -> Result<()> {
    by.sh(&format!("crm_resource --ban -r ms_r1 -N {}", node.name), "banning r1").map(drop)
}

/// Lets r1 run everywhere again.
fn back(by: &Node) -> Result<()> {
    by.sh("crm_resource --clear -r ms_r1", "lifting the ban").map(drop)
}

/// Pacemaker's own record of the stop.
fn stopped_well(cluster: &Cluster, node: &Node, since: std::time::Duration) -> Result<()> {
    told(cluster, node, since, &["Result of stop operation for p_r1", ": ok"]).map(drop)
}
