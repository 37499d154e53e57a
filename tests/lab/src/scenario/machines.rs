//! Scenarios that need DRBD's kernel module: two QEMU machines, the guest on the replicated disk.

mod drbd;
mod dual;
mod fence;
mod rolling;
mod shutdown;

use super::checks::{forget_failures, restarted};
use super::{Scenario, Story, boots_since, claim, downtime};
use crate::cluster::Cluster;
use crate::failure::Result;
use crate::node::{Cable, SHORT, Switch};
use crate::node_files::Init;
use crate::topology::Topology;
use std::time::Duration;

const MINUTES: fn(u64) -> Duration = |minutes| Duration::from_secs(60 * minutes);

/// A row of the table, from what is different in each.
type Row = fn(&'static str, &'static str, bool, fn(&Cluster) -> Result<Story>) -> Scenario;

pub(super) fn table() -> Vec<Scenario> {
    let scenario: Row = |name, about, takes_over, run| Scenario {
        name,
        topology: Topology::Machines,
        about,
        stock: None,
        ours: None,
        init: None,
        takes_over,
        spoils: false,
        bound: MINUTES(6),
        run,
    };
    let mut table = vec![
        scenario(
            "power-cut",
            "the active node loses power; the guest goes on in the other",
            false,
            power_cut,
        ),
        scenario(
            "node-back",
            "a node that lost power returns, resynchronises, and the rule goes",
            true,
            node_back,
        ),
        scenario(
            "link-cut",
            "the replication cable is pulled under a writing guest, then plugged",
            false,
            link_cut,
        ),
        scenario(
            "standby-disk-fails",
            "the passive node's disk answers with errors only, then heals",
            false,
            standby_disk_fails,
        ),
        scenario(
            "guest-killed",
            "the guest's process is killed; it starts again where it was",
            false,
            guest_killed,
        ),
        scenario("move", "a planned `crm resource move`, then `clear`", false, planned_move),
    ];
    table.extend(fence::table(scenario));
    table.extend(drbd::table(scenario));
    table.push(Scenario {
        ours: Some(("VirtualDomain", "the stock one restarts the guest when a parameter changes")),
        bound: MINUTES(15),
        ..scenario(
            "live-migration-dual-primary",
            "two Primaries: the guest migrates there and back; then the link is cut, and one of them goes on",
            false,
            dual::live_migration,
        )
    });
    // A cluster of its own, since it begins with other programs.
    table.push(Scenario {
        stock: Some((crate::programs::EVERY, "it begins with them")),
        bound: MINUTES(15),
        ..scenario(
            "rolling-replacement",
            "the stock programs are replaced by ours under a writing guest, by the commands of docs/migrate.md, and back",
            false,
            rolling::replacement,
        )
    });
    // Nodes of another make are another cluster, hence the last.
    table.push(Scenario {
        init: Some(Init::Systemd),
        bound: MINUTES(10),
        ..scenario(
            "host-shutdown",
            "`systemctl poweroff` of the active node: its guest goes before libvirtd does",
            false,
            shutdown::poweroff,
        )
    });
    table
}

pub(crate) fn power_cut(cluster: &Cluster) -> Result<Story> {
    let active = cluster.steady()?;
    let other = cluster.other(&active)?.name.clone();
    let zero = cluster.journal.mark(&format!("power cut of {active}"));
    cluster.lab.node(&active)?.cut_power()?;
    let first = cluster.writing_on(&other, zero, MINUTES(3))?;
    Ok(Story::at(zero)
        .figure("cut to first write", first - zero)
        .figure("downtime", downtime(cluster, zero)?))
}

fn node_back(cluster: &Cluster) -> Result<Story> {
    let active = cluster.writing_since(cluster.journal.now(), SHORT)?;
    let back = cluster.other(&active)?;
    if back.power()? != "shut off" {
        cluster.journal.mark(&format!("power cut of {}", back.name));
        back.cut_power()?;
        cluster.disk_reaches(cluster.lab.node(&active)?, "cs:WFConnection", SHORT)?;
    }
    let zero = cluster.journal.mark(&format!("power on of {}", back.name));
    back.boot()?;
    let shell = cluster.journal.mark(&format!("shell in {}", back.name));
    cluster.disk_reaches(cluster.lab.node(&active)?, "ds:UpToDate/UpToDate", MINUTES(3))?;
    let synced = cluster.journal.now();
    let still = cluster.steady()?;
    claim(still == active, || format!("the guest went from {active} to {still}"))?;
    claim(boots_since(cluster, zero) == 0, || "the guest was started again".to_owned())?;
    Ok(Story::at(zero)
        .figure("shell", shell - zero)
        .figure("in sync", synced - zero)
        .figure("rule gone", cluster.journal.now() - zero))
}

fn link_cut(cluster: &Cluster) -> Result<Story> {
    let active = cluster.steady()?;
    let other = cluster.other(&active)?;
    let node = cluster.lab.node(&active)?;
    let zero = cluster.journal.mark(&format!("replication cable of {} pulled", other.name));
    other.cable(Cable::Replication, Switch::Off)?;
    cluster.disk_reaches(
        node,
        "cs:WFConnection ro:Primary/Unknown ds:UpToDate/Outdated",
        MINUTES(1),
    )?;
    // Only after the handler's answer does I/O go on: a write from now on proves the thaw.
    let thawed = cluster.writing_on(&active, cluster.journal.now(), SHORT)?;
    let freeze = cluster
        .verdict()
        .longest_freezes(10)
        .into_iter()
        .find(|freeze| freeze.until > zero)
        .map(duet_oracle::summary::Freeze::length)
        .unwrap_or_default();
    let rules = node.sh("cibadmin -Q --xpath '//constraints'", "reading the fencing rule")?;
    claim(rules.contains("drbd-fence-by-handler-r0"), || {
        format!("no fencing rule was placed: {rules}")
    })?;
    cluster.journal.mark(&format!("replication cable of {} plugged", other.name));
    other.cable(Cable::Replication, Switch::On)?;
    let still = cluster.steady()?;
    claim(still == active, || format!("the guest went from {active} to {still}"))?;
    claim(boots_since(cluster, zero) == 0, || "the guest was started again".to_owned())?;
    Ok(Story::at(zero).figure("freeze", freeze).figure("writing again", thawed - zero))
}

fn standby_disk_fails(cluster: &Cluster) -> Result<Story> {
    let active = cluster.steady()?;
    let node = cluster.lab.node(&active)?;
    let standby = cluster.other(&active)?;
    let zero = cluster.journal.mark(&format!("the disk of {} fails", standby.name));
    standby.disk(Switch::Off)?;
    cluster.disk_reaches(node, "ds:UpToDate/Diskless", SHORT)?;
    let detached = cluster.journal.now();
    cluster.writing_on(&active, detached, SHORT)?;
    cluster.journal.mark(&format!("the disk of {} heals; drbdadm attach r0", standby.name));
    standby.disk(Switch::On)?;
    standby.sh("drbdadm attach r0", "attaching the healed disk")?;
    let still = cluster.steady()?;
    claim(still == active, || format!("the guest went from {active} to {still}"))?;
    claim(boots_since(cluster, zero) == 0, || "the guest was started again".to_owned())?;
    Ok(Story::at(zero)
        .figure("detached", detached - zero)
        .figure("in sync again", cluster.journal.now() - zero))
}

pub(super) fn guest_killed(cluster: &Cluster) -> Result<Story> {
    let active = cluster.steady()?;
    let node = cluster.lab.node(&active)?;
    let zero = cluster.journal.mark(&format!("guest's process killed in {active}"));
    node.sh("kill -9 $(cat /run/libvirt/qemu/vm1.pid)", "killing the guest's process")?;
    let first = restarted(cluster, &active, zero)?;
    forget_failures(node)?;
    Ok(Story::at(zero)
        .figure("kill to first write", first - zero)
        .figure("downtime", downtime(cluster, zero)?))
}

fn planned_move(cluster: &Cluster) -> Result<Story> {
    let active = cluster.steady()?;
    let other = cluster.other(&active)?.name.clone();
    let node = cluster.lab.node(&active)?;
    let zero = cluster.journal.mark(&format!("crm resource move vm1 {other}"));
    // On the node that has a processor to spare: the guest spins on the other one's.
    let idle = cluster.lab.node(&other)?;
    idle.sh(&format!("crm resource move vm1 {other}"), "moving the guest")?;
    let first = cluster.writing_on(&other, zero, MINUTES(3))?;
    node.sh("crm resource clear vm1", "clearing the move")?;
    cluster.journal.mark("crm resource clear vm1");
    let still = cluster.steady()?;
    claim(still == other, || format!("the guest went back to {still}"))?;
    Ok(Story::at(zero)
        .figure("command to first write", first - zero)
        .figure("downtime", downtime(cluster, zero)?))
}
