//! Scenarios that need no DRBD: two containers, the guest on a network block device of the host side.

pub(super) mod fencing;
mod guest;
mod guides;
mod libvirtd;
mod many;
mod migration;
mod nodes;

use super::{Scenario, Story, claim, machines, written_once};
use crate::cluster::Cluster;
use crate::configuration::GUEST_UUID;
use crate::failure::{Failure, Result};
use crate::node::SHORT;
use crate::topology::Topology;
use duet_oracle::judge::Outcome;
use std::time::Duration;

const AGENT: &str = "/usr/lib/ocf/resource.d/rust/VirtualDomain";

pub(super) fn table() -> Vec<Scenario> {
    let scenario = |name, about, run| Scenario {
        name,
        topology: Topology::Containers,
        about,
        stock: None,
        ours: None,
        init: None,
        nodes: None,
        bare: false,
        takes_over: false,
        spoils: false,
        alone: false,
        bound: Duration::from_secs(240),
        run,
    };
    vec![
        // It says how long a cluster may take to form.
        Scenario { alone: true, ..scenario("start", "from nothing to a guest that writes", start) },
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
            "guest-crashes",
            "QEMU crashes, then the guest panics; it starts again where it was",
            guest::crashes,
        ),
        scenario(
            "disk-fails",
            "the guest is paused by an I/O error; its monitor fails and the cluster recovers it",
            guest::disk_fails,
        ),
        scenario(
            "disk-fails-ignored",
            "the same with paused_by_error=ignore: it stays until somebody resumes it",
            guest::disk_fails_ignored,
        ),
        scenario(
            "cold-move",
            "`crm resource move` of a guest that is not to migrate",
            migration::cold,
        ),
        scenario("standby", "the active node goes to standby and comes back", nodes::standby),
        scenario(
            "libvirtd-frozen",
            "libvirtd of the active node stops answering; the guest does not notice, and moves without fencing",
            libvirtd::frozen,
        ),
        scenario(
            "libvirtd-stopped",
            "libvirtd of the active node is stopped; the guest does not notice, and moves without fencing",
            libvirtd::stopped,
        ),
        Scenario {
            bound: Duration::from_secs(420),
            ..scenario("many-moved", "20 guests leave a node at once", many::standby)
        },
        scenario(
            "node-killed",
            "the active node dies, is fenced, and its guest starts in the other",
            nodes::node_killed,
        ),
        scenario(
            "node-frozen",
            "the active node stops answering, is fenced and rebooted",
            nodes::node_frozen,
        ),
        scenario(
            "corosync-killed",
            "the active node's corosync is killed; the node must be fenced before its guest starts elsewhere",
            nodes::corosync_killed,
        ),
        Scenario {
            bound: Duration::from_secs(420),
            ..scenario(
                "fence-race",
                "each node has the other shot, and a delay decides: with a device for each, then one for both",
                fencing::race,
            )
        },
        scenario(
            "fence-daemon-restarted",
            "fence_virtd dies and comes back while a node asks for the fencing of the other",
            fencing::daemon_restarted,
        ),
        scenario(
            "fence-wrong-key",
            "the node that is to fence has another key: nothing is started before it has the right one",
            fencing::wrong_key,
        ),
        scenario(
            "fence-by-hand",
            "nobody can fence; nothing is started before an administrator confirms the death",
            fencing::by_hand,
        ),
        Scenario {
            bound: Duration::from_secs(420),
            ..scenario(
                "guide-rhel",
                "pcs makes a device for each node, then one for all; pcs stonith fence and confirm do what the guides say",
                guides::rhel,
            )
        },
        Scenario {
            spoils: true,
            ..scenario(
                "oracle-control",
                "a disk robbed of one acknowledged write: the oracle must say so",
                oracle_control,
            )
        },
        Scenario {
            spoils: true,
            ..scenario(
                "watch-control",
                "a second copy of the guest runs, silently: the watch must say so",
                watch_control,
            )
        },
        scenario(
            "live-migration",
            "`crm resource move` of a running guest there and back, which must not notice",
            migration::live,
        ),
        scenario(
            "migration-without-definition",
            "a migration to a node that lacks the guest's configuration",
            migration::without_definition,
        ),
        scenario(
            "migration-refused",
            "a migration to a node whose libvirt refuses the guest",
            migration::refused,
        ),
        scenario(
            "migration-not-converging",
            "a migration that can never end, given up in time",
            migration::not_converging,
        ),
        scenario(
            "migration-agent-killed",
            "the agent is killed half-way through a migration",
            migration::agent_killed,
        ),
        scenario(
            "migration-target-dies",
            "the target of a migration loses power half-way",
            migration::target_dies,
        ),
        // Three nodes are another cluster, hence the last.
        Scenario {
            nodes: Some(3),
            ours: Some(("fence_virtd", "Debian's does not say in its log who it was asked for")),
            ..scenario(
                "guide-three-nodes",
                "three hosts, a fence_virtd with an address of its own on each: the dead node's one is asked, no other",
                guides::three_nodes,
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

/// The negative control of the watch over processes: a second copy of the guest that neither writes
/// nor speaks, which the oracle cannot notice and Pacemaker does not.
fn watch_control(cluster: &Cluster) -> Result<Story> {
    super::intact(cluster)?;
    let active = cluster.steady()?;
    let other = cluster.other(&active)?;
    let copy = format!(
        "<domain type='qemu'><name>copy</name><uuid>{GUEST_UUID}</uuid><memory unit='MiB'>16</memory>\
         <os><type arch='x86_64' machine='pc'>hvm</type></os>\
         <devices><emulator>/usr/bin/qemu-system-x86_64</emulator></devices></domain>"
    );
    other.put("/root/copy.xml", &copy)?;
    let zero = cluster.journal.mark(&format!("a copy of the guest is started in {}", other.name));
    other.sh("virsh -q -c qemu:///system create /root/copy.xml", "starting a copy")?;
    let watch = cluster.watch.as_ref().ok_or_else(|| Failure::broken("Nobody watches"))?;
    let found = duet_oracle::eventually(SHORT, "the watch to see both", || {
        watch.findings().0.first().cloned().ok_or("nothing found")
    })?;
    written_once(&cluster.verdict())?;
    Ok(Story::at(zero).figure("found after", found.at - zero))
}

fn hang(cluster: &Cluster) -> Result<Story> {
    loop {
        cluster.journal.mark("still hanging");
        std::thread::sleep(Duration::from_secs(1));
    }
}
