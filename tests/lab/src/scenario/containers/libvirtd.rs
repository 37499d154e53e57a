//! A libvirtd that is gone or does not answer: no reason to fence a node, nor to leave a guest behind.

use crate::cluster::Cluster;
use crate::failure::Result;
use crate::node::{Node, SHORT};
use crate::scenario::checks::{Calm, failures, forget_failures, settled};
use crate::scenario::{Story, boots_since, claim, downtime};
use std::time::Duration;

pub(super) fn frozen(cluster: &Cluster) -> Result<Story> {
    silent(
        cluster,
        "frozen",
        |node| node.daemon("libvirtd", "STOP"),
        |node| node.daemon("libvirtd", "CONT"),
    )
}

pub(super) fn stopped(cluster: &Cluster) -> Result<Story> {
    silent(
        cluster,
        "stopped",
        |node| {
            let script = "kill $(pidof libvirtd) && timeout 20 sh -c 'while pidof libvirtd >/dev/null; do sleep 0.1; done'";
            node.sh(script, "stopping libvirtd").map(drop)
        },
        |node| node.sh("libvirtd --daemon --listen", "starting libvirtd").map(drop),
    )
}

/// Monitors go on without it, then the node is to let its guest go without it.
fn silent(
    cluster: &Cluster,
    how: &str,
    begin: impl Fn(&Node) -> Result<()>,
    end: impl Fn(&Node) -> Result<()>,
) -> Result<Story> {
    let active = cluster.steady()?;
    let other = cluster.other(&active)?.name.clone();
    let node = cluster.lab.node(&active)?;
    let calm = Calm::before(cluster)?;
    let silent = cluster.journal.mark(&format!("libvirtd {how} in {active}"));
    begin(node)?;
    let moved: Result<_> = (|| {
        // Monitors are 10 s apart: two of them at least fall into this, and their recovery would be over.
        std::thread::sleep(Duration::from_secs(25));
        let at = cluster.writing_since(cluster.journal.now(), SHORT)?;
        claim(at == active && boots_since(cluster, silent) == 0, || {
            format!("the guest was started again, on {at}")
        })?;
        let failed = failures(node)?;
        claim(!failed.contains("vm1"), || format!("an operation failed:\n{failed}"))?;
        let zero = cluster.journal.mark(&format!("crm node standby {active}"));
        node.sh(&format!("crm node standby {active}"), "putting the node in standby")?;
        let first = cluster.writing_on(&other, zero, SHORT)?;
        Ok((zero, first))
    })();
    // Whatever happened, a silent daemon would spoil the scenarios to come.
    let speaks = end(node);
    let (zero, first) = moved?;
    speaks?;
    cluster.journal.mark(&format!("libvirtd answers again in {active}"));
    settled(node)?;
    node.sh(&format!("crm node online {active}"), "ending the standby")?;
    let still = cluster.steady()?;
    claim(still == other, || format!("the guest went back to {still}"))?;
    // Without libvirtd it could not be moved alive, and that may have been tried.
    forget_failures(node)?;
    calm.kept(cluster)?;
    Ok(Story::at(zero)
        .figure("standby to first write", first - zero)
        .figure("downtime", downtime(cluster, zero)?))
}
