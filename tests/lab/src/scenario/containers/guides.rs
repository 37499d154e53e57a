//! What the guides have people type for fencing, with pcs: each command must do what the guide says it does.

use super::fencing::{KEY, PATIENCE, cannot, mended, pair};
use crate::cluster::Cluster;
use crate::configuration::fence_address;
use crate::failure::Result;
use crate::node::{Node, SHORT};
use crate::scenario::checks::{fenced, forget_fencing, settled};
use crate::scenario::{Story, boots_since, claim, downtime};
use crate::topology::uuid;
use duet_oracle::eventually;
use std::time::Duration;

/// RHEL and CentOS: a device for each node, then one for all by the UUIDs of the hypervisor, and the two commands that an
/// administrator ends a node with: by the device, and by his word.
pub(super) fn rhel(cluster: &Cluster) -> Result<Story> {
    let (active, other) = pair(cluster)?;
    let nodes = &cluster.lab.nodes;
    let each = nodes.iter().map(|node| {
        let name = &node.name;
        format!(
            "pcs stonith create xvm-{name} fence_xvm port={name} pcmk_host_list={name} key_file={KEY} \
             op monitor interval=60s"
        )
    });
    let delete = nodes.iter().map(|node| format!("pcs stonith delete fence-{}", node.name));
    other.sh(
        &each.chain(delete).collect::<Vec<_>>().join(" && "),
        "making a device for each node with pcs",
    )?;
    settled(other)?;
    started(other, &nodes.iter().map(|node| format!("xvm-{}", node.name)).collect::<Vec<_>>())?;
    let zero = cluster.journal.mark(&format!("pcs stonith fence {}", active.name));
    let first = shot(cluster, other, active, zero)?;
    let map = nodes.iter().map(|node| format!("{}:{}", node.name, uuid(&node.name)));
    let map = map.collect::<Vec<_>>().join(";");
    let delete = nodes.iter().map(|node| format!("pcs stonith delete xvm-{}", node.name));
    let shared = format!(
        "pcs stonith create xvm fence_xvm pcmk_host_map='{map}' key_file={KEY} op monitor interval=60s && {}",
        delete.collect::<Vec<_>>().join(" && ")
    );
    other.sh(&shared, "replacing the devices by one for all with pcs")?;
    settled(other)?;
    started(other, &["xvm".to_owned()])?;
    // The guest is in the other node now, so that one is shot, and it comes back here.
    let again = cluster.journal.mark(&format!("pcs stonith fence {}", other.name));
    let second = shot(cluster, active, other, again)?;
    let word = confirmed(cluster, active, other)?;
    let back = "crm configure load update /root/cluster.crm && pcs stonith delete xvm";
    nodes[0].run(back, PATIENCE)?.success("going back to the lab's own devices")?;
    settled(&nodes[0])?;
    cluster.steady()?;
    Ok(Story::at(zero)
        .figure("fence to first write", first - zero)
        .figure("the same, one device", second - again)
        .figure("word to first write", word))
}

/// `pcs stonith fence` of the node with the guest: it is another instance soon, the guest is in the other, and the cluster is
/// whole again. When the first write came, comes back.
fn shot(cluster: &Cluster, by: &Node, target: &Node, zero: Duration) -> Result<Duration> {
    forget_fencing(by)?;
    let (before, kept) = (target.instance()?, by.instance()?);
    let said =
        by.run(&format!("pcs stonith fence {} 2>&1", target.name), PATIENCE)?.success("fencing")?;
    claim(said.contains(&format!("{} fenced", target.name)), || format!("pcs says: {said}"))?;
    eventually(SHORT, &format!("{} to be rebooted", target.name), || match target.instance() {
        Ok(now) if now != before && now != "-" => Ok(()),
        Ok(now) => Err(format!("instance {now}, {before} before")),
        Err(error) => Err(error.to_string()),
    })?;
    fenced(cluster, &by.name, &target.name)?;
    let first = cluster.writing_on(&by.name, zero, PATIENCE)?;
    let still = cluster.steady()?;
    let now = by.instance()?;
    claim(still == by.name && now == kept && boots_since(cluster, zero) == 1, || {
        format!(
            "the guest is on {still} after {} boots, {} is instance {now}, {kept} before",
            boots_since(cluster, zero),
            by.name
        )
    })?;
    Ok(first)
}

/// Nobody can fence the dead node until `pcs stonith confirm --force` says that it is dead; how long after that the guest
/// wrote comes back.
fn confirmed(cluster: &Cluster, active: &Node, other: &Node) -> Result<Duration> {
    other.sh("pcs stonith update xvm timeout=5", "shortening the time for a fencing")?;
    settled(other)?;
    let zero = cluster.journal.mark(&format!("fence_virtd, then {} killed", active.name));
    cluster.kill_fence_daemon()?;
    active.cut_power()?;
    cannot(cluster, other, zero)?;
    let word = format!("pcs stonith confirm {} --force", active.name);
    let confirmed = cluster.journal.mark(&word);
    let said = other.sh(&format!("{word} 2>&1"), "confirming the death")?;
    claim(said.contains(&format!("{} confirmed fenced", active.name)), || {
        format!("pcs says: {said}")
    })?;
    let first = cluster.writing_on(&other.name, confirmed, PATIENCE)?;
    claim(downtime(cluster, zero)? > confirmed - zero, || {
        "the guest was started before anybody knew".to_owned()
    })?;
    cluster.journal.mark("fence_virtd started again");
    cluster.start_fence_daemon()?;
    mended(cluster, other)?;
    Ok(first - confirmed)
}

/// Waits until these devices run, as `pcs stonith status` shows them, and no others are there.
fn started(node: &Node, devices: &[String]) -> Result<()> {
    eventually(SHORT, &format!("{} to be started", devices.join(", ")), || {
        let seen = node.run("pcs stonith status", SHORT).map_err(|error| error.to_string())?.stdout;
        let lines: Vec<&str> = seen.lines().filter(|line| line.contains("stonith:")).collect();
        let runs = |device: &String| {
            lines
                .iter()
                .any(|line| line.contains(&format!("* {device}\t")) && line.contains("Started"))
        };
        if lines.len() == devices.len() && devices.iter().all(runs) { Ok(()) } else { Err(seen) }
    })?;
    Ok(())
}

/// Three nodes on three hosts: a device for each, `pcmk_host_list`, and each host's daemon on an address of its own.
pub(super) fn three_nodes(cluster: &Cluster) -> Result<Story> {
    let active = cluster.lab.node(&cluster.steady()?)?;
    let other = cluster.other(&active.name)?;
    let nodes = &cluster.lab.nodes;
    cluster.fence_daemon_each()?;
    for node in nodes {
        let ask = format!("fence_xvm -a {} -o list -t 5", fence_address(node));
        eventually(SHORT, &format!("the daemon of {}", node.name), || {
            let listed = other.run(&ask, SHORT).map_err(|error| error.to_string())?.stdout;
            let names: Vec<&str> =
                listed.lines().filter_map(|line| line.split_whitespace().next()).collect();
            if names == [node.name.as_str()] { Ok(()) } else { Err(listed) }
        })?;
    }
    let create = nodes.iter().map(|node| {
        let name = &node.name;
        format!(
            "pcs stonith create xvm-{name} fence_xvm multicast_address={} pcmk_host_list={name} key_file={KEY} \
             op monitor interval=60s",
            fence_address(node)
        )
    });
    let delete = nodes.iter().map(|node| format!("pcs stonith delete fence-{}", node.name));
    let script = create.chain(delete).collect::<Vec<_>>().join(" && ");
    other.run(&script, PATIENCE)?.success("making a device for each host with pcs")?;
    settled(other)?;
    started(other, &nodes.iter().map(|node| format!("xvm-{}", node.name)).collect::<Vec<_>>())?;
    forget_fencing(other)?;
    let quorum = other.sh("corosync-quorumtool -s || :", "asking for the quorum")?;
    let has = |name: &str, value: &str| {
        quorum.lines().any(|line| {
            line.split_once(':').is_some_and(|(left, right)| {
                left == name && right.split_whitespace().next() == Some(value)
            })
        })
    };
    claim(has("Total votes", "3") && has("Quorum", "2"), || format!("the quorum is {quorum}"))?;
    let kept: Vec<(&str, String)> = nodes
        .iter()
        .filter(|node| node.name != active.name)
        .map(|node| Ok((node.name.as_str(), node.instance()?)))
        .collect::<Result<_>>()?;
    let zero = cluster.journal.mark(&format!("{} killed", active.name));
    active.cut_power()?;
    let first = eventually(PATIENCE, "the guest to write in another node", || {
        let lines = cluster.journal.serial_lines();
        let line = lines.iter().find(|line| {
            line.at > zero
                && line.source != active.name
                && matches!(line.line, duet_oracle::Line::Ack(_))
        });
        line.map(|line| line.at).ok_or("silence")
    })?;
    fenced(cluster, &other.name, &active.name)?;
    for node in nodes {
        let said = cluster.daemon_of_node_said(node)?;
        let powers: Vec<&str> = said
            .lines()
            .filter(|line| {
                ["off", "on", "reboot", "status"]
                    .iter()
                    .any(|word| line.contains(&format!("operation={word} ")))
            })
            .collect();
        let right = if node.name == active.name {
            powers
                .iter()
                .any(|line| line.contains("operation=reboot") && line.contains("answer=success"))
        } else {
            powers.is_empty()
        };
        claim(right, || format!("the daemon of {} was asked: {powers:#?}", node.name))?;
    }
    for (name, before) in kept {
        let now = cluster.lab.node(name)?.instance()?;
        claim(now == before, || format!("{name} is instance {now}, {before} before"))?;
    }
    if active.power()? == "shut off" {
        active.boot()?;
    }
    cluster.steady()?;
    Ok(Story::at(zero)
        .figure("kill to first write", first - zero)
        .figure("downtime", downtime(cluster, zero)?))
}
