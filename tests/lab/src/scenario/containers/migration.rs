//! Guests that are moved: alive, by stop and start, and with a live migration that goes wrong in each
//! of the ways it can. Wherever it goes wrong, the guest runs on exactly one node in the end.

use crate::cluster::Cluster;
use crate::configuration::GUEST_FILE;
use crate::failure::Result;
use crate::node::SHORT;
use crate::scenario::checks::{
    Calm, failures, fenced, forget_failures, processes, settled, with_parameter,
};
use crate::scenario::{Story, boots_since, claim, downtime};
use std::time::Duration;

/// There and back; the guest says B whenever it boots, and it must not.
pub(super) fn live(cluster: &Cluster) -> Result<Story> {
    let calm = Calm::before(cluster)?;
    let active = cluster.steady()?;
    let other = cluster.other(&active)?.name.clone();
    let zero = cluster.journal.mark(&format!("crm resource move vm1 {other}"));
    let there = moved(cluster, &active, &other, zero)?;
    let outage = downtime(cluster, zero)?;
    let turn = cluster.journal.mark(&format!("crm resource move vm1 {active}"));
    let back = moved(cluster, &other, &active, turn)?;
    claim(boots_since(cluster, zero) == 0, || {
        "the guest was started again, not migrated".to_owned()
    })?;
    calm.kept(cluster)?;
    Ok(Story::at(zero)
        .figure("there", there - zero)
        .figure("downtime", outage)
        .figure("back", back - turn)
        .figure("downtime", downtime(cluster, turn)?))
}

/// The same move for a resource that is not to migrate.
pub(super) fn cold(cluster: &Cluster) -> Result<Story> {
    let calm = Calm::before(cluster)?;
    let active = cluster.steady()?;
    let other = cluster.other(&active)?.name.clone();
    let node = cluster.lab.node(&active)?;
    node.sh("crm resource meta vm1 set allow-migrate false", "forbidding migration")?;
    let zero = cluster.journal.mark(&format!("crm resource move vm1 {other}"));
    let first = moved(cluster, &active, &other, zero)?;
    node.sh("crm resource meta vm1 set allow-migrate true", "allowing migration")?;
    claim(boots_since(cluster, zero) == 1, || "it did not boot exactly once".to_owned())?;
    calm.kept(cluster)?;
    Ok(Story::at(zero)
        .figure("command to first write", first - zero)
        .figure("downtime", downtime(cluster, zero)?))
}

fn moved(cluster: &Cluster, from: &str, to: &str, zero: Duration) -> Result<Duration> {
    let node = cluster.lab.node(from)?;
    node.sh(&format!("crm resource move vm1 {to}"), "moving the guest")?;
    let first = cluster.writing_on(to, zero, SHORT)?;
    settled(node)?;
    node.sh("crm resource clear vm1", "clearing the move")?;
    let still = cluster.steady()?;
    claim(still == to, || format!("the guest went on to {still}"))?;
    Ok(first)
}

/// The target has no definition of the guest, as when a shared file system is not mounted there.
pub(super) fn without_definition(cluster: &Cluster) -> Result<Story> {
    let active = cluster.steady()?;
    let other = cluster.other(&active)?;
    other.sh(&format!("mv {GUEST_FILE} {GUEST_FILE}.away"), "taking the definition away")?;
    let tried = tried(cluster, &active);
    other.sh(&format!("mv {GUEST_FILE}.away {GUEST_FILE}"), "bringing the definition back")?;
    let (zero, _) = tried?;
    Ok(Story::at(zero).figure("downtime", downtime(cluster, zero).unwrap_or_default()))
}

/// The target's libvirt refuses: it runs another guest of the same name, which is to be left alone.
pub(super) fn refused(cluster: &Cluster) -> Result<Story> {
    let active = cluster.steady()?;
    let other = cluster.other(&active)?;
    other.put("/root/namesake.xml", NAMESAKE)?;
    other.sh("virsh -q -c qemu:///system create /root/namesake.xml", "starting a namesake")?;
    let tried = tried(cluster, &active);
    let script = format!("virsh -q -c qemu:///system destroy {NAMESAKE_UUID}");
    let namesake =
        other.run(&script, SHORT)?.success("the namesake was to be left alone: ending it");
    let (zero, at) = tried?;
    namesake?;
    claim(at == active, || format!("the guest is on {at}, where it cannot be"))?;
    Ok(Story::at(zero))
}

/// Asks for a move that cannot be a migration, and lets the cluster make of it what it can: the guest
/// runs in one node, was started again once at most, and nobody was fenced.
fn tried(cluster: &Cluster, active: &str) -> Result<(Duration, String)> {
    let calm = Calm::before(cluster)?;
    let node = cluster.lab.node(active)?;
    let other = cluster.other(active)?;
    let zero = cluster.journal.mark(&format!("crm resource move vm1 {}", other.name));
    node.sh(&format!("crm resource move vm1 {}", other.name), "moving the guest")?;
    settled(node)?;
    node.sh("crm resource clear vm1", "clearing the move")?;
    settled(node)?;
    let at = cluster.steady()?;
    forget_failures(node)?;
    let still = cluster.steady()?;
    claim(still == at, || format!("the guest went from {at} to {still} for no reason"))?;
    let boots = boots_since(cluster, zero);
    claim(boots <= 1, || format!("the guest booted {boots} times"))?;
    calm.kept(cluster)?;
    Ok((zero, at))
}

/// The target loses power while memory is on its way.
pub(super) fn target_dies(cluster: &Cluster) -> Result<Story> {
    let story = with_parameter(cluster, "migration_speed", "1", || {
        let active = cluster.steady()?;
        let node = cluster.lab.node(&active)?;
        let other = cluster.other(&active)?;
        let before = node.instance()?;
        let zero = begun(cluster, &active, &other.name)?;
        std::thread::sleep(Duration::from_secs(2));
        claim(processes(cluster)?.len() == 2, || "the migration ended too soon".to_owned())?;
        let cut = cluster.journal.mark(&format!("power cut of {}", other.name));
        other.cut_power()?;
        node.sh("crm resource clear vm1", "clearing the move")?;
        fenced(cluster, &active, &other.name)?;
        settled(node)?;
        let first = cluster.writing_on(&active, cluster.journal.now(), SHORT)?;
        let boots = boots_since(cluster, zero);
        claim(boots <= 1, || format!("the guest booted {boots} times"))?;
        let now = node.instance()?;
        claim(now == before, || format!("{active} was rebooted too: instance {now}"))?;
        other.boot()?;
        let still = cluster.steady()?;
        claim(still == active, || format!("the guest went from {active} to {still}"))?;
        forget_failures(node)?;
        Ok(Story::at(cut).figure("writes and settled after", first - cut))
    })?;
    Ok(story)
}

/// The guest changes its memory faster than it may be sent: the agent gives up before Pacemaker does.
pub(super) fn not_converging(cluster: &Cluster) -> Result<Story> {
    let calm = Calm::before(cluster)?;
    let story = with_parameter(cluster, "migration_speed", "1", || {
        let active = cluster.steady()?;
        let node = cluster.lab.node(&active)?;
        let other = cluster.other(&active)?;
        let zero = begun(cluster, &active, &other.name)?;
        settled(node)?;
        let over = cluster.journal.now();
        let failed = failures(node)?;
        claim(failed.contains("migrate_to") && !failed.contains("Timed Out"), || {
            format!("the agent did not give up in time:\n{failed}")
        })?;
        node.sh("crm resource clear vm1", "clearing the move")?;
        forget_failures(node)?;
        cluster.steady()?;
        let boots = boots_since(cluster, zero);
        claim(boots <= 1, || format!("the guest booted {boots} times"))?;
        Ok(Story::at(zero).figure("settled after", over - zero))
    })?;
    calm.kept(cluster)?;
    Ok(story)
}

/// The agent that talks to both libvirts is killed while memory is being sent: the target's half must go, and the guest
/// goes on, or is started anew, on one node.
pub(super) fn agent_killed(cluster: &Cluster) -> Result<Story> {
    let calm = Calm::before(cluster)?;
    let story = with_parameter(cluster, "migration_speed", "1", || {
        let active = cluster.steady()?;
        let node = cluster.lab.node(&active)?;
        let other = cluster.other(&active)?;
        let zero = begun(cluster, &active, &other.name)?;
        let killed = cluster.journal.mark("the migrating agent is killed");
        let found = node.sh(
            "for p in /proc/[0-9]*; do \
             if [ \"$(cat $p/comm 2>/dev/null)\" = VirtualDomain-l ]; then kill -KILL ${p#/proc/} && echo ${p#/proc/}; fi; \
             done",
            "killing the agent",
        )?;
        claim(!found.trim().is_empty(), || "there was no agent to kill".to_owned())?;
        settled(node)?;
        let over = cluster.journal.now();
        node.sh("crm resource clear vm1", "clearing the move")?;
        forget_failures(node)?;
        cluster.steady()?;
        let boots = boots_since(cluster, zero);
        claim(boots <= 1, || format!("the guest booted {boots} times"))?;
        Ok(Story::at(killed).figure("settled after", over - killed))
    })?;
    calm.kept(cluster)?;
    Ok(story)
}

/// Begins a migration that has no end at 1 MiB/s, and waits until it is on its way.
fn begun(cluster: &Cluster, active: &str, other: &str) -> Result<Duration> {
    let zero = cluster.journal.mark(&format!("crm resource move vm1 {other}"));
    let node = cluster.lab.node(active)?;
    node.sh(&format!("crm resource move vm1 {other}"), "moving the guest")?;
    duet_oracle::eventually(SHORT, "a process at both ends of the migration", || {
        let there = processes(cluster).map_err(|error| error.to_string())?;
        if there.len() == 2 { Ok(()) } else { Err(format!("{there:?}")) }
    })?;
    Ok(zero)
}

const NAMESAKE_UUID: &str = "d0e70000-0009-4000-8000-000000000009";

const NAMESAKE: &str = "<domain type='qemu'>
  <name>vm1</name>
  <uuid>d0e70000-0009-4000-8000-000000000009</uuid>
  <memory unit='MiB'>16</memory>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
  </devices>
</domain>
";
