//! Scenarios that need DRBD's kernel module: two QEMU machines, the guest on the replicated disk.

mod chaos;
mod daemons;
mod disturb;
mod drbd;
mod dual;
mod fence;
mod freeze;
mod guides;
mod loss;
mod rolling;
mod shutdown;
mod space;
mod virtd;

use super::checks::{forget_failures, restarted};
use super::{Scenario, Story, boots_since, claim, downtime};
use crate::cluster::Cluster;
use crate::failure::Result;
use crate::node::SHORT;
use crate::node_files::Init;
use crate::topology::Topology;
use disturb::Disturbance;
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
        nodes: None,
        bare: false,
        takes_over,
        spoils: false,
        alone: false,
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
        scenario(
            "move",
            "a planned `crm resource move`, then `clear`, and the same back again",
            false,
            planned_move,
        ),
    ];
    table.extend([
        scenario(
            "cluster-link-cut",
            "corosync's networks are cut and DRBD's is not: the passive node is shot, the guest stays",
            false,
            loss::cluster_cut,
        ),
        scenario(
            "node-alone",
            "both nodes lose power; the one that was active comes back alone, waits, and is told not to",
            false,
            loss::alone,
        ),
        scenario(
            "no-disk-left",
            "the link is cut, then the disk under the Primary fails: the guest waits for its data",
            false,
            loss::no_disk_left,
        ),
        scenario(
            "frozen-shot",
            "the active node is frozen, and thaws when its fencing is decided and not yet done",
            false,
            freeze::shot,
        ),
        scenario(
            "frozen-not-fenced",
            "the active node is frozen for 30 s and nobody can fence it, then it thaws",
            false,
            freeze::not_fenced,
        ),
        scenario(
            "libvirtd-killed",
            "libvirtd of the active node is killed and started again: the guest never notices",
            false,
            daemons::libvirtd,
        ),
        scenario(
            "pacemaker-killed",
            "all of Pacemaker is killed in the active node: it is fenced before a start elsewhere",
            false,
            daemons::pacemaker,
        ),
        scenario(
            "pacemaker-parts-killed",
            "pacemaker-execd, -based and -controld of the active node are killed, one after the other",
            false,
            daemons::parts,
        ),
        scenario(
            "pacemaker-not-respawned",
            "pacemakerd starts nothing again in the active node, which stays pending; then what the docs say is done",
            false,
            daemons::not_respawned,
        ),
        scenario(
            "active-full",
            "the active node's root file system is full: monitors, a call of fence-peer, a move away",
            false,
            space::active_full,
        ),
        scenario(
            "passive-full",
            "the passive node's root file system is full, and the guest is to move there",
            false,
            space::passive_full,
        ),
    ]);
    table.extend(fence::table(scenario));
    // Before there is a second resource, whose Pacemaker a reboot would not find.
    table.push(Scenario {
        bound: chaos::BOUND,
        ..scenario(
            "chaos",
            "disturbances at random, one upon the other, for DUET_LAB_MINUTES; DUET_LAB_SEED replays them",
            false,
            chaos::chaos,
        )
    });
    table.extend(drbd::table(scenario));
    table.extend(virtd::table(scenario));
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
    // Nodes of another make, and those of which nothing was made, are other clusters, hence the last.
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
    table.push(Scenario {
        init: Some(Init::Systemd),
        bound: MINUTES(12),
        ours: Some(("fence_virtd", "the unit is ours")),
        ..scenario(
            "fence-unit",
            "fence_virtd.service as a user of its own, with and without polkit, over tcp and vsock",
            false,
            virtd::unit,
        )
    });
    table.extend(guides::table(scenario));
    table
}

pub(crate) fn power_cut(cluster: &Cluster) -> Result<Story> {
    let active = cluster.steady()?;
    power_cut_of(cluster, &active)
}

/// The same, of the node with the guest in a cluster that is known to be steady.
pub(crate) fn power_cut_of(cluster: &Cluster, active: &str) -> Result<Story> {
    let other = cluster.other(active)?.name.clone();
    let zero = Disturbance::PowerCut.inflict(cluster, cluster.lab.node(active)?)?;
    let first = cluster.writing_on(&other, zero, MINUTES(3))?;
    Ok(Story::at(zero)
        .figure("cut to first write", first - zero)
        .figure("downtime", downtime(cluster, zero)?))
}

pub(crate) fn node_back(cluster: &Cluster) -> Result<Story> {
    let active = cluster.writing_since(cluster.journal.now(), SHORT)?;
    let back = cluster.other(&active)?;
    if back.power()? != "shut off" {
        Disturbance::PowerCut.inflict(cluster, back)?;
        cluster.disk_reaches(cluster.lab.node(&active)?, "cs:WFConnection", SHORT)?;
    }
    let zero = Disturbance::PowerCut.heal(cluster, back)?;
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
    let zero = Disturbance::ReplicationCut.inflict(cluster, other)?;
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
    Disturbance::ReplicationCut.heal(cluster, other)?;
    let still = cluster.steady()?;
    claim(still == active, || format!("the guest went from {active} to {still}"))?;
    claim(boots_since(cluster, zero) == 0, || "the guest was started again".to_owned())?;
    Ok(Story::at(zero).figure("freeze", freeze).figure("writing again", thawed - zero))
}

fn standby_disk_fails(cluster: &Cluster) -> Result<Story> {
    let active = cluster.steady()?;
    let node = cluster.lab.node(&active)?;
    let standby = cluster.other(&active)?;
    let zero = Disturbance::DiskFails.inflict(cluster, standby)?;
    cluster.disk_reaches(node, "ds:UpToDate/Diskless", SHORT)?;
    let detached = cluster.journal.now();
    cluster.writing_on(&active, detached, SHORT)?;
    Disturbance::DiskFails.heal(cluster, standby)?;
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
    let zero = Disturbance::GuestKilled.inflict(cluster, node)?;
    let first = restarted(cluster, &active, zero)?;
    forget_failures(node)?;
    Ok(Story::at(zero)
        .figure("kill to first write", first - zero)
        .figure("downtime", downtime(cluster, zero)?))
}

/// There and back, as for work on a node that stays in the cluster.
fn planned_move(cluster: &Cluster) -> Result<Story> {
    let active = cluster.steady()?;
    let (here, there) = (cluster.lab.node(&active)?, cluster.other(&active)?);
    let zero = Disturbance::Leave.inflict(cluster, here)?;
    let first = cluster.writing_on(&there.name, zero, MINUTES(3))?;
    let down = downtime(cluster, zero)?;
    Disturbance::Leave.heal(cluster, here)?;
    let still = cluster.steady()?;
    claim(still == there.name, || format!("the guest went back to {still}"))?;
    let back = Disturbance::Leave.inflict(cluster, there)?;
    let again = cluster.writing_on(&active, back, MINUTES(3))?;
    Disturbance::Leave.heal(cluster, there)?;
    let still = cluster.steady()?;
    claim(still == active, || format!("the guest went back to {still}"))?;
    claim(boots_since(cluster, zero) == 2, || "it booted more than once a move".to_owned())?;
    Ok(Story::at(zero)
        .figure("command to first write", first - zero)
        .figure("downtime", down)
        .figure("back: command to first write", again - back)
        .figure("back: downtime", downtime(cluster, back)?))
}
