//! Daemons of the active node that are killed: libvirtd, all of Pacemaker, one of its parts. The guest is another process
//! and runs on, so nobody may say that it is stopped, nor start it a second time.

use super::MINUTES;
use super::disturb::{self, Disturbance};
use crate::cluster::Cluster;
use crate::failure::Result;
use crate::node::{Node, SHORT};
use crate::scenario::checks::{Calm, booted, failures, fenced, settled};
use crate::scenario::{Story, boots_since, claim, downtime};
use duet_oracle::eventually;
use std::time::Duration;

/// Two monitors, 10 s apart, and the recovery that a wrong answer would begin.
const TWO_MONITORS: Duration = Duration::from_secs(22);
/// What a node that left has coming is decided by then, and begun.
const A_DECISION: Duration = Duration::from_secs(12);

/// The cluster asks anew where the guest is while libvirtd is gone, and once more when it is back.
pub(super) fn libvirtd(cluster: &Cluster) -> Result<Story> {
    let active = cluster.steady()?;
    let (node, other) = (cluster.lab.node(&active)?, cluster.other(&active)?);
    let calm = Calm::before(cluster)?;
    let before = guest(node)?;
    let zero = Disturbance::LibvirtdKilled.inflict(cluster, node)?;
    pause(TWO_MONITORS);
    runs_on(cluster, other, &active, zero)?;
    cluster.journal.mark("crm_resource --refresh -r vm1");
    other.sh("crm_resource --refresh -r vm1 >/dev/null 2>&1", "asking where the guest is")?;
    settled(other)?;
    runs_on(cluster, other, &active, zero)?;
    let back = Disturbance::LibvirtdKilled.heal(cluster, node)?;
    pause(TWO_MONITORS / 2);
    runs_on(cluster, other, &active, zero)?;
    let now = guest(node)?;
    claim(now == before, || format!("the guest's process is {now}, {before} before"))?;
    let known = node.sh("virsh -q -c qemu:///system domstate vm1", "asking libvirt")?;
    claim(known.trim() == "running", || format!("libvirt says {known}"))?;
    let still = disturb::steady(cluster)?;
    claim(still == active, || format!("the guest went from {active} to {still}"))?;
    calm.kept(cluster)?;
    Ok(Story::at(zero).figure("without libvirtd", back - zero))
}

/// The guest writes on where it was, was not booted, and no operation on it failed.
fn runs_on(cluster: &Cluster, asked: &Node, active: &str, zero: Duration) -> Result<()> {
    let at = cluster.writing_since(cluster.journal.now(), SHORT)?;
    claim(at == active && boots_since(cluster, zero) == 0, || {
        format!("the guest was started again, on {at}")
    })?;
    let failed = failures(asked)?;
    claim(!failed.contains("vm1"), || format!("an operation failed:\n{failed}"))
}

/// The guest's process, by number and start time.
fn guest(node: &Node) -> Result<String> {
    let script = "p=$(cat /run/libvirt/qemu/vm1.pid) && awk '{ print $1, $22 }' /proc/$p/stat";
    Ok(node.sh(script, "looking at the guest's process")?.trim().to_owned())
}

/// corosync still answers for the node, Pacemaker does not: only fencing makes a start safe. Where that is, is Pacemaker's
/// choice: the fencing's result goes through corosync, which first waits 11 s for the node, and one that boots faster is back by then.
pub(super) fn pacemaker(cluster: &Cluster) -> Result<Story> {
    let active = cluster.steady()?;
    let (node, other) = (cluster.lab.node(&active)?, cluster.other(&active)?);
    let zero = Disturbance::PacemakerKilled.inflict(cluster, node)?;
    let (there, first) = booted(cluster, zero)?;
    fenced(cluster, &other.name, &active)?;
    Disturbance::PacemakerKilled.heal(cluster, node)?;
    let now = disturb::steady(cluster)?;
    claim(now == there && boots_since(cluster, zero) == 1, || {
        format!("the guest went from {there} to {now}, {} boots", boots_since(cluster, zero))
    })?;
    Ok(Story::at(zero)
        .figure("kill to first write", first - zero)
        .figure("downtime", downtime(cluster, zero)?))
}

/// Parts that pacemakerd starts again. The controller goes with the executor's and the CIB's connection, and a node whose
/// controller has left while resources run in it is fenced, unless it is back before anybody decided that: both is seen.
pub(super) fn parts(cluster: &Cluster) -> Result<Story> {
    let mut active = cluster.steady()?;
    let mut story = Story::at(cluster.journal.now());
    for (name, figure) in [
        ("execd", "execd: whole again"),
        ("controld", "controld: whole again"),
        ("based", "based: whole again"),
    ] {
        let node = cluster.lab.node(&active)?;
        let before = node.instance()?;
        let killed = Disturbance::DaemonKilled(name).inflict(cluster, node)?;
        there_again(node, name)?;
        pause(A_DECISION);
        Disturbance::DaemonKilled(name).heal(cluster, node)?;
        let now = disturb::steady_within(cluster, Disturbance::DaemonKilled(name).patience())?;
        let boots = boots_since(cluster, killed);
        let rebooted = node.instance()? != before;
        // Not fenced, it may be stopped and started once all the same: Pacemaker 2.1.5 takes the promotion score from a
        // node whose controller has left, and finds the guest before it finds the promoted instance below it.
        let began_anew = rebooted || now != active;
        claim(boots == 1 || boots == 0 && !began_anew, || {
            format!(
                "without pacemaker-{name} the guest went from {active} to {now} by {boots} boots, rebooted: {rebooted}"
            )
        })?;
        story = story.figure(figure, cluster.journal.now() - killed);
        scores_are_written(cluster)?;
        active = now;
    }
    Ok(story)
}

/// A node whose Pacemaker is half dead and stays so: pacemakerd waits for a cluster that has never gone, and the other node,
/// which came after that, waits for it to join. Nobody looks after the guest, which runs on. By what the docs say it is got
/// out of that without the guest noticing.
pub(super) fn not_respawned(cluster: &Cluster) -> Result<Story> {
    let active = cluster.steady()?;
    let (node, other) = (cluster.lab.node(&active)?, cluster.other(&active)?);
    let instances =
        || -> Result<Vec<String>> { cluster.lab.nodes.iter().map(Node::instance).collect() };
    let (before, process) = (instances()?, guest(node)?);
    // A node that had seen its controller go would fence it.
    other.run("lab-cluster stop", MINUTES(2))?.success("stopping the other node's cluster")?;
    let zero = cluster
        .journal
        .mark(&format!("pacemaker-based killed in {active}, while corosync is late"));
    node.sh(
        "kill -STOP $(pidof corosync); sleep 0.2; kill -KILL $(pidof pacemaker-based); sleep 1; \
         kill -CONT $(pidof corosync)",
        "killing the CIB's daemon",
    )?;
    eventually(SHORT, "pacemakerd to start nothing again", || {
        match node.run(disturb::NOT_STARTED_AGAIN, SHORT).map_err(|error| error.to_string())?.status
        {
            0 => Ok(()),
            status => Err(status.to_string()),
        }
    })?;
    other.sh("lab-cluster start", "starting the other node's cluster")?;
    pends(other, &active)?;
    pause(TWO_MONITORS);
    pends(other, &active)?;
    let at = cluster.writing_since(cluster.journal.now(), SHORT)?;
    claim(at == active, || format!("the guest writes on {at}"))?;
    let back =
        cluster.journal.mark("is-managed=false for all, Pacemaker restarted, the score waited for");
    other.sh(
        "crm_attribute -t rsc_defaults -n is-managed -v false",
        "leaving everything as it runs",
    )?;
    disturb::restart_pacemaker(cluster, node)?;
    cluster.all_online(MINUTES(3))?;
    eventually(2 * TWO_MONITORS, "the promotion score of the node with the guest", || {
        let script = format!("crm_attribute -N {active} -n master-p_drbd -l reboot -G -q");
        let said = other.sh(&script, "asking for the score").map_err(|error| error.to_string())?;
        if said.trim().parse::<u32>().is_ok_and(|score| score > 0) { Ok(()) } else { Err(said) }
    })?;
    other.sh("crm_attribute -t rsc_defaults -n is-managed -D", "letting Pacemaker manage again")?;
    let over = cluster.journal.mark("Pacemaker manages again");
    settled(other)?;
    let still = disturb::steady(cluster)?;
    let (now, same) = (instances()?, guest(node)?);
    claim(still == active && same == process && boots_since(cluster, zero) == 0, || {
        format!("the guest is on {still} as process {same}, {process} on {active} before")
    })?;
    claim(now == before, || format!("a node was rebooted: {now:?}, {before:?} before"))?;
    Ok(Story::at(zero).figure("way back", over - back))
}

/// Pacemaker waits for a node to join.
fn pends(asked: &Node, name: &str) -> Result<()> {
    eventually(MINUTES(2), &format!("{name} to be pending"), || {
        let seen = asked.run("crm_mon -1", SHORT).map_err(|error| error.to_string())?.stdout;
        let pending = seen
            .lines()
            .any(|line| line.contains(&format!("Node {name}:")) && line.contains("pending"));
        if pending { Ok(()) } else { Err(seen) }
    })?;
    Ok(())
}

/// Waits until the CIB has every node's promotion score: the DC takes those of a node whose controller it misses, and without one
/// nobody is promoted. Two monitors are enough for that.
fn scores_are_written(cluster: &Cluster) -> Result<()> {
    let asked = &cluster.lab.nodes[0];
    let script = "cibadmin -Q --xpath \"//transient_attributes//nvpair[@name='master-p_drbd']\"";
    eventually(2 * TWO_MONITORS, "every node's promotion score in the CIB", || {
        let said = asked.sh(script, "asking for the scores").map_err(|error| error.to_string())?;
        let all = said.matches("<nvpair").count() == cluster.lab.nodes.len();
        if all { Ok(()) } else { Err(said) }
    })?;
    Ok(())
}

/// Waits until a part of Pacemaker's runs again, whether the node was rebooted for that or not.
fn there_again(node: &Node, name: &str) -> Result<()> {
    let what = format!("another pacemaker-{name} in {}", node.name);
    eventually(MINUTES(2), &what, || {
        let script = format!("pidof pacemaker-{name}");
        node.sh(&script, "looking for a daemon").map_err(|error| error.to_string())
    })?;
    Ok(())
}

#[allow(clippy::disallowed_methods, reason = "a scenario gives the cluster time")]
fn pause(long: Duration) {
    std::thread::sleep(long);
}
