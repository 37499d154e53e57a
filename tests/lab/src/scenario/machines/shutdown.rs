//! A host that shuts down in good order, under systemd.

use super::MINUTES;
use crate::cluster::Cluster;
use crate::failure::{Failure, Result};
use crate::node::{Node, SHORT};
use crate::scenario::{Story, claim, downtime};
use duet_oracle::Kind;
use std::time::Duration;

/// Pacemaker has to let the guest go while libvirtd is still there to do it, and only then may libvirtd
/// and its machines be stopped: that is the order the agent asks systemd for when it starts a guest.
pub(super) fn poweroff(cluster: &Cluster) -> Result<Story> {
    let active = cluster.steady()?;
    let node = cluster.lab.node(&active)?;
    let other = cluster.other(&active)?;
    let order = "systemctl show -p After --value resource-agents-deps.target";
    let after = node.sh(order, "asking systemd for the order")?;
    claim(after.contains("libvirtd.service"), || {
        format!("resource-agents-deps.target is not ordered after libvirtd.service: {after}")
    })?;
    node.sh("mkdir -p /var/log/journal && journalctl --flush", "keeping the journal")?;
    let fencings = history(other)?;
    let zero = cluster.journal.mark(&format!("systemctl poweroff in {active}"));
    node.sh("systemctl --no-block poweroff", "shutting the node down")?;
    let first = cluster.writing_on(&other.name, zero, MINUTES(4))?;
    duet_oracle::eventually(MINUTES(4), "the node to be off", || match node.power() {
        Ok(state) if state == "shut off" => Ok(()),
        Ok(state) => Err(state),
        Err(error) => Err(error.to_string()),
    })?;
    let off = cluster.journal.mark(&format!("{active} is off"));
    claim(stopped_in_order(cluster, &active, zero), || {
        "no notice of Pacemaker's that it stopped the guest".to_owned()
    })?;
    let now = history(other)?;
    claim(now == fencings, || format!("a node was fenced:\n{now}"))?;
    node.boot()?;
    let still = cluster.steady()?;
    claim(still == other.name, || format!("the guest went back to {still}"))?;
    libvirtd_was_last(node)?;
    Ok(Story::at(zero)
        .figure("command to first write", first - zero)
        .figure("downtime", downtime(cluster, zero)?)
        .figure("off", off - zero))
}

fn history(node: &Node) -> Result<String> {
    node.sh("stonith_admin --history '*' 2>&1 || :", "reading the fencing history")
}

/// Pacemaker said that it stopped the guest, successfully.
fn stopped_in_order(cluster: &Cluster, active: &str, zero: Duration) -> bool {
    cluster.journal.since(zero).iter().any(|event| match &event.kind {
        Kind::Log(record) => {
            event.source == active
                && record.text.contains("Result of stop operation for vm1")
                && record.text.contains(": ok")
        }
        Kind::Serial(_) | Kind::Mark(_) => false,
    })
}

/// The order in which systemd stopped things, by its own journal of the boot before.
fn libvirtd_was_last(node: &Node) -> Result<()> {
    let script = "journalctl -b -1 -o cat --no-pager _PID=1 | grep -E 'Stopp(ing|ed) (pacemaker|libvirtd)\\.service'";
    let lines = node.run(script, SHORT)?.success("reading the journal of the boot before")?;
    let place = |wanted: &str| {
        lines
            .lines()
            .position(|line| line.contains(wanted))
            .ok_or_else(|| Failure::broken(format!("{wanted} is not in the journal:\n{lines}")))
    };
    let (pacemaker, libvirtd) =
        (place("Stopped pacemaker.service")?, place("Stopping libvirtd.service")?);
    claim(pacemaker < libvirtd, || format!("libvirtd was stopped too early:\n{lines}"))
}
