//! Scenarios that need no DRBD: two containers, the guest on a network block device of the host side.

use super::{Scenario, Story, boots_since, claim, downtime, machines};
use crate::cluster::Cluster;
use crate::failure::{Failure, Result};
use crate::node::Switch;
use crate::topology::Topology;
use duet_oracle::judge::Outcome;
use std::time::Duration;

const SHORT: Duration = Duration::from_secs(60);
const AGENT: &str = "/usr/lib/ocf/resource.d/rust/VirtualDomain";

pub(super) fn table() -> Vec<Scenario> {
    let scenario = |name, about, run| Scenario {
        name,
        topology: Topology::Containers,
        about,
        stock: None,
        takes_over: false,
        spoils: false,
        bound: Duration::from_secs(240),
        run,
    };
    vec![
        scenario("start", "from nothing to a guest that writes", start),
        scenario(
            "metadata",
            "crm, pcs, crm_resource and ocf-tester take our agent as one of theirs",
            metadata,
        ),
        scenario(
            "guest-killed",
            "the guest's process is killed; it starts again where it was",
            machines::guest_killed,
        ),
        scenario(
            "node-killed",
            "the active node dies, is fenced, and its guest starts in the other",
            node_killed,
        ),
        scenario(
            "node-frozen",
            "the active node stops answering, is fenced and rebooted",
            node_frozen,
        ),
        scenario(
            "corosync-killed",
            "the active node's corosync is killed; the node must be fenced before its guest starts elsewhere",
            corosync_killed,
        ),
        scenario(
            "libvirtd-frozen",
            "libvirtd of the active node stops answering; the guest does not notice, and moves without fencing",
            libvirtd_frozen,
        ),
        Scenario {
            spoils: true,
            ..scenario(
                "oracle-control",
                "a disk robbed of one acknowledged write: the oracle must say so",
                oracle_control,
            )
        },
        Scenario {
            stock: Some(("VirtualDomain", "ours does not migrate yet")),
            ..scenario(
                "live-migration",
                "`crm resource move` of a running guest, which must not notice",
                live_migration,
            )
        },
        Scenario {
            bound: Duration::from_secs(5),
            ..scenario("_hang", "never ends by itself: shows that the bound does", hang)
        },
    ]
}

fn start(cluster: &Cluster) -> Result<Story> {
    let active = cluster.steady()?;
    let events = cluster.journal.events();
    let formed = events.iter().find_map(|event| match &event.kind {
        duet_oracle::Kind::Mark(text) => {
            text.strip_prefix("cluster formed in ")?.strip_suffix(" s")?.parse().ok()
        }
        duet_oracle::Kind::Serial(_) | duet_oracle::Kind::Log(_) => None,
    });
    let formed: f64 =
        formed.ok_or_else(|| Failure::broken("nobody noted when the cluster formed"))?;
    claim(formed <= 10.0, || format!("the cluster took {formed} s to form, more than 10 s"))?;
    let running =
        cluster.lab.node(&active)?.sh("crm_resource --locate -r vm1", "locating the guest")?;
    claim(running.contains(&active), || format!("Pacemaker thinks otherwise: {running}"))?;
    Ok(Story::at(Duration::ZERO)
        .figure("shells", cluster.lab.up_in)
        .figure("quorum", Duration::from_secs_f64(formed)))
}

fn metadata(cluster: &Cluster) -> Result<Story> {
    let zero = cluster.journal.now();
    let node = &cluster.lab.nodes[0];
    let listed = node.sh("crm ra list ocf rust", "listing agents")?;
    claim(listed.contains("VirtualDomain"), || format!("crm ra list ocf rust says {listed:?}"))?;
    for (command, expected) in [
        ("crm ra info ocf:rust:VirtualDomain", "force_stop"),
        (
            "crm_resource --show-metadata ocf:rust:VirtualDomain | xmllint --nonet --noout - && echo well-formed",
            "well-formed",
        ),
        ("pcs resource describe ocf:rust:VirtualDomain", "force_stop"),
    ] {
        let text = node.sh(command, "describing the agent")?;
        claim(text.contains(expected), || format!("{command} says:\n{text}"))?;
    }
    // A guest of its own, without a disk, so that the tester may start and stop it at will.
    node.put("/root/tester.xml", TESTER)?;
    node.run(
        &format!("ocf-tester -n tester -o config=/root/tester.xml -o hypervisor=qemu:///system -o force_stop=1 {AGENT} 2>&1"),
        Duration::from_secs(120),
    )?
    .success("ocf-tester")?;
    Ok(Story::at(zero))
}

const TESTER: &str = "<domain type='qemu'>
  <name>tester</name>
  <memory unit='MiB'>16</memory>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
  </devices>
</domain>
";

fn node_killed(cluster: &Cluster) -> Result<Story> {
    let active = cluster.steady()?;
    let other = cluster.other(&active)?.name.clone();
    let zero = cluster.journal.mark(&format!("{active} killed"));
    cluster.lab.node(&active)?.cut_power()?;
    let first = cluster.writing_on(&other, zero, SHORT)?;
    fenced(cluster, &other, &active)?;
    cluster.lab.node(&active)?.boot()?;
    cluster.steady()?;
    Ok(Story::at(zero)
        .figure("kill to first write", first - zero)
        .figure("downtime", downtime(cluster, zero)?))
}

fn node_frozen(cluster: &Cluster) -> Result<Story> {
    let active = cluster.steady()?;
    let other = cluster.other(&active)?.name.clone();
    let node = cluster.lab.node(&active)?;
    let before = node.instance()?;
    let zero = cluster.journal.mark(&format!("{active} frozen"));
    node.processors(Switch::Off)?;
    let first = cluster.writing_on(&other, zero, SHORT)?;
    fenced(cluster, &other, &active)?;
    // The fence daemon kills it and boots it again: another instance, back in the cluster.
    duet_oracle::eventually(SHORT, "the frozen node to be rebooted", || match node.instance() {
        Ok(now) if now != before && now != "-" => Ok(()),
        Ok(now) => Err(format!("instance {now}, {before} before")),
        Err(error) => Err(error.to_string()),
    })?;
    let still = cluster.steady()?;
    claim(still == other, || format!("the guest went back to {still}"))?;
    Ok(Story::at(zero)
        .figure("freeze to first write", first - zero)
        .figure("downtime", downtime(cluster, zero)?))
}

fn corosync_killed(cluster: &Cluster) -> Result<Story> {
    let active = cluster.steady()?;
    let other = cluster.other(&active)?.name.clone();
    let zero = cluster.journal.mark(&format!("corosync killed in {active}"));
    // The guest goes on there, with nobody to look after it: only fencing makes a start elsewhere safe.
    cluster.lab.node(&active)?.daemon("corosync", "KILL")?;
    let first = cluster.writing_on(&other, zero, SHORT)?;
    fenced(cluster, &other, &active)?;
    cluster.steady()?;
    Ok(Story::at(zero)
        .figure("kill to first write", first - zero)
        .figure("downtime", downtime(cluster, zero)?))
}

fn libvirtd_frozen(cluster: &Cluster) -> Result<Story> {
    let active = cluster.steady()?;
    let other = cluster.other(&active)?.name.clone();
    let node = cluster.lab.node(&active)?;
    let (before, fencings) = (node.instance()?, fencings(cluster, &other, &active)?);
    let frozen = cluster.journal.mark(&format!("libvirtd frozen in {active}"));
    node.daemon("libvirtd", "STOP")?;
    let moved: Result<_> = (|| {
        // Monitors are 10 s apart: two of them at least fall into this, and their recovery would be over.
        std::thread::sleep(Duration::from_secs(25));
        let at = cluster.writing_since(cluster.journal.now(), SHORT)?;
        claim(at == active && boots_since(cluster, frozen) == 0, || {
            format!("the guest was started again, on {at}")
        })?;
        let failed = node.sh("crm_mon -1", "looking for failures")?;
        claim(!failed.contains("vm1_"), || format!("an operation failed:\n{failed}"))?;
        let zero = cluster.journal.mark(&format!("crm node standby {active}"));
        node.sh(&format!("crm node standby {active}"), "putting the node in standby")?;
        let first = cluster.writing_on(&other, zero, SHORT)?;
        Ok((zero, first))
    })();
    // Whatever happened, a frozen daemon would spoil the scenarios to come.
    let thawed = node.daemon("libvirtd", "CONT");
    let (zero, first) = moved?;
    thawed?;
    cluster.journal.mark(&format!("libvirtd goes on in {active}"));
    node.sh(&format!("crm node online {active}"), "ending the standby")?;
    let still = cluster.steady()?;
    claim(still == other, || format!("the guest went back to {still}"))?;
    let after = node.instance()?;
    claim(after == before, || format!("{active} was rebooted: instance {after}, {before} before"))?;
    let now = self::fencings(cluster, &other, &active)?;
    claim(now == fencings, || format!("{active} was fenced:\n{now}"))?;
    Ok(Story::at(zero)
        .figure("standby to first write", first - zero)
        .figure("downtime", downtime(cluster, zero)?))
}

/// Pacemaker's record of fencing `target`.
fn fencings(cluster: &Cluster, witness: &str, target: &str) -> Result<String> {
    cluster
        .lab
        .node(witness)?
        .sh(&format!("stonith_admin --history {target}"), "reading the fencing history")
}

/// Pacemaker's own record says that the node was fenced, successfully.
fn fenced(cluster: &Cluster, witness: &str, target: &str) -> Result<()> {
    let history = fencings(cluster, witness, target)?;
    claim(history.contains("was able to") || history.contains("succe"), || {
        format!("no fencing of {target}: {history}")
    })
}

fn live_migration(cluster: &Cluster) -> Result<Story> {
    let active = cluster.steady()?;
    let other = cluster.other(&active)?.name.clone();
    let node = cluster.lab.node(&active)?;
    let zero = cluster.journal.mark(&format!("crm resource move vm1 {other}"));
    node.sh(&format!("crm resource move vm1 {other}"), "moving the guest")?;
    let first = cluster.writing_on(&other, zero, SHORT)?;
    node.sh("crm resource clear vm1", "clearing the move")?;
    let still = cluster.steady()?;
    claim(still == other, || format!("the guest went back to {still}"))?;
    // The guest says B whenever it boots. It did not: it is the same one, counting on.
    claim(boots_since(cluster, zero) == 0, || {
        "the guest was started again, not migrated".to_owned()
    })?;
    Ok(Story::at(zero)
        .figure("command to first write", first - zero)
        .figure("downtime", downtime(cluster, zero)?))
}

/// The oracle's negative control on real parts: stop the guest, put back a disk that lacks its last
/// acknowledged writes, start it again.
fn oracle_control(cluster: &Cluster) -> Result<Story> {
    super::intact(cluster)?;
    let active = cluster.steady()?;
    let node = cluster.lab.node(&active)?;
    let image = cluster.lab.host.run.join("guest.img").to_string_lossy().into_owned();
    let zero = cluster.journal.mark("an old copy of the guest's disk is kept");
    cluster.lab.host.sh(&format!("cp {image} {image}.old"), "copying the guest's disk")?;
    cluster.writing_since(cluster.journal.now() + Duration::from_millis(500), SHORT)?;
    node.run("crm resource stop vm1", SHORT)?.success("stopping the guest")?;
    duet_oracle::eventually(SHORT, "the guest to be gone", || {
        let seen = node
            .run("virsh -q -c qemu:///system list --name", SHORT)
            .map_err(|error| error.to_string())?;
        if seen.stdout.contains("vm1") { Err(seen.stdout) } else { Ok(()) }
    })?;
    cluster.journal.mark("the old copy replaces the disk");
    cluster.lab.host.sh(
        &format!("dd if={image}.old of={image} conv=notrunc status=none"),
        "putting the old disk back",
    )?;
    node.run("crm resource start vm1", SHORT)?.success("starting the guest")?;
    cluster.writing_since(cluster.journal.now(), SHORT)?;
    let verdict = cluster.verdict();
    claim(verdict.outcome() == Outcome::Violated, || {
        format!("The oracle did not see the loss: {verdict}")
    })?;
    Ok(Story::at(zero))
}

fn hang(cluster: &Cluster) -> Result<Story> {
    loop {
        cluster.journal.mark("still hanging");
        std::thread::sleep(Duration::from_secs(1));
    }
}
