//! Fencing that is raced for, interrupted, impossible, or done by hand: what a node ran starts in the other one when
//! that one's death is known, and not before.

use crate::cluster::Cluster;
use crate::failure::Result;
use crate::node::{Cable, Node, SHORT, Switch};
use crate::scenario::checks::{fenced, forget_failures, forget_fencing, route, settled};
use crate::scenario::{Story, boots_since, claim, downtime};
use crate::topology::uuid;
use duet_oracle::eventually;
use std::time::Duration;

pub(super) const KEY: &str = "/etc/cluster/fence_xvm.key";
/// Whoever shoots with this delay is shot before. It is never waited for to its end.
const DELAY: &str = "30s";
/// How long fencing, a boot, and what Pacemaker makes of both may take on a machine that has much else to do.
pub(super) const PATIENCE: Duration = Duration::from_secs(180);

/// The node with the guest, and the other one.
pub(super) fn pair(cluster: &Cluster) -> Result<(&Node, &Node)> {
    let active = cluster.lab.node(&cluster.steady()?)?;
    let other = cluster.other(&active.name)?;
    forget_fencing(other)?;
    Ok((active, other))
}

/// Each node takes the other for dead and has it shot, twice: with a device for each node, where the delay is the
/// guest's node's, then with one device for both, where it is the other one's.
pub(super) fn race(cluster: &Cluster) -> Result<Story> {
    let (active, other) = pair(cluster)?;
    let device = format!("fence-{}", active.name);
    let delay = format!("crm_resource -r {device} -p pcmk_delay_base -v {DELAY}");
    other.sh(&delay, "delaying the shot at the guest's node")?;
    settled(other)?;
    let zero = cluster.journal.mark("both networks cut between the nodes");
    let first = duel(cluster, active, other)?;
    let still = cluster.steady()?;
    claim(still == active.name && boots_since(cluster, zero) == 0, || {
        format!("the guest did not simply go on: it is on {still}")
    })?;
    other.sh(&format!("crm_resource -r {device} -d pcmk_delay_base"), "shooting at once again")?;
    let own = cluster.lab.nodes.iter().map(|node| format!("fence-{}", node.name));
    let own = own.collect::<Vec<_>>().join(" ");
    let named = |value: &dyn Fn(&Node) -> String| {
        let pairs = cluster.lab.nodes.iter().map(|node| format!("{}:{}", node.name, value(node)));
        pairs.collect::<Vec<_>>().join(";")
    };
    let map = named(&|node| uuid(&node.name));
    let delays = named(&|node| if node.name == other.name { DELAY } else { "0s" }.to_owned());
    let shared = format!(
        "pcs stonith create fence-all fence_xvm key_file={KEY} pcmk_host_map='{map}' \
         pcmk_delay_base='{delays}' op monitor interval=60s && crm resource stop {own}"
    );
    active.sh(&shared, "replacing the devices by one for both")?;
    settled(active)?;
    forget_fencing(active)?;
    let again = cluster.journal.mark("both networks cut between the nodes again");
    let second = duel(cluster, other, active)?;
    cluster.writing_on(&other.name, again, PATIENCE)?;
    let now = cluster.steady()?;
    claim(now == other.name && boots_since(cluster, again) == 1, || {
        format!("the guest is on {now} after {} boots", boots_since(cluster, again))
    })?;
    other.sh(&format!("crm resource start {own}"), "going back to a device for each")?;
    other.sh("crm resource stop fence-all", "stopping the device for both")?;
    // crmsh deletes nothing that runs, and a DC that still takes a node in stops nothing for a second (seen).
    eventually(PATIENCE, "the device for both to be removed", || {
        settled(other).map_err(|error| error.to_string())?;
        other
            .sh("crm configure delete fence-all 2>&1", "removing the device for both")
            .map_err(|error| error.to_string())
    })?;
    settled(other)?;
    Ok(Story::at(zero)
        .figure("cut to shot", first)
        .figure("cut to shot, one device", second)
        .figure("downtime", downtime(cluster, again)?))
}

/// Cuts both networks between the nodes, but not their way to the daemon, until the loser is shot and is back. How long
/// it took to be shot comes back.
fn duel(cluster: &Cluster, winner: &Node, loser: &Node) -> Result<Duration> {
    let (kept, lost) = (winner.instance()?, loser.instance()?);
    let cut = cluster.journal.now();
    winner.cable(Cable::Replication, Switch::Off)?;
    cluster.everywhere(|node| route(node, cluster, "add"))?;
    eventually(PATIENCE, &format!("{} to be shot", loser.name), || match loser.instance() {
        Ok(now) if now != lost => Ok(()),
        Ok(now) => Err(format!("it is instance {now} still")),
        Err(error) => Err(error.to_string()),
    })?;
    let took = cluster.journal.mark(&format!("{} was shot", loser.name)) - cut;
    fenced(cluster, &winner.name, &loser.name)?;
    let now = winner.instance()?;
    claim(now == kept, || format!("{} was shot too: {now}, before {kept}", winner.name))?;
    cluster.journal.mark("both networks mended");
    // The one that was shot has forgotten its own.
    route(winner, cluster, "del")?;
    winner.cable(Cable::Replication, Switch::On)?;
    if loser.power()? == "shut off" {
        loser.boot()?;
    }
    cluster.all_online(PATIENCE)?;
    let now = winner.instance()?;
    claim(now == kept, || format!("{} was shot afterwards: {now}", winner.name))?;
    Ok(took)
}

/// The daemon dies, a node dies, and while the other node asks for its fencing, the daemon comes back: it hears one of
/// the copies of the request, and nothing has to be asked twice.
pub(super) fn daemon_restarted(cluster: &Cluster) -> Result<Story> {
    let (active, other) = pair(cluster)?;
    let zero = cluster.journal.mark(&format!("fence_virtd, then {} killed", active.name));
    cluster.kill_fence_daemon()?;
    active.cut_power()?;
    asks(other)?;
    claim(boots_since(cluster, zero) == 0, || "the guest was started too early".to_owned())?;
    let back = cluster.journal.mark("fence_virtd started again");
    cluster.start_fence_daemon()?;
    let first = cluster.writing_on(&other.name, back, PATIENCE)?;
    fenced(cluster, &other.name, &active.name)?;
    let failed = failed_fencings(other)?;
    claim(failed.is_empty(), || format!("it took more than one request:\n{failed}"))?;
    mended(cluster, other)?;
    Ok(Story::at(zero)
        .figure("daemon to first write", first - back)
        .figure("downtime", downtime(cluster, zero)?))
}

/// The node that is to shoot has another key than the daemon: the guest stays where it is not running until the key is
/// the right one.
pub(in crate::scenario) fn wrong_key(cluster: &Cluster) -> Result<Story> {
    let (active, other) = pair(cluster)?;
    impatient(active, other)?;
    let spoil = format!(
        "cp -p {KEY} {KEY}.right && dd if=/dev/urandom of={KEY} bs=512 count=1 conv=notrunc status=none"
    );
    other.sh(&spoil, "giving the node another key")?;
    let asked = other.run("fence_xvm -o list -t 2", SHORT)?;
    claim(asked.status != 0, || format!("the daemon takes another key: {}", asked.stdout))?;
    let diagnosis = if cluster.programs.is_ours("fence_xvm") {
        other.run("fence_xvm -o list -t 2 --diagnose 2>&1", SHORT)?.stdout
    } else {
        String::new()
    };
    let zero = cluster.journal.mark(&format!("{} killed, the other has another key", active.name));
    active.cut_power()?;
    cannot(cluster, other, zero)?;
    other.sh(&format!("mv {KEY}.right {KEY}"), "giving the node its key back")?;
    let right = cluster.journal.mark("the key is right again");
    let first = cluster.writing_on(&other.name, right, PATIENCE)?;
    fenced(cluster, &other.name, &active.name)?;
    mended(cluster, other)?;
    patient(active, other)?;
    Ok(Story::at(zero)
        .figure("waited for the key", right - zero)
        .figure("key to first write", first - right)
        .paper("diagnose.txt", diagnosis))
}

/// Nobody can fence the dead node but its administrator, who says so.
pub(in crate::scenario) fn by_hand(cluster: &Cluster) -> Result<Story> {
    let (active, other) = pair(cluster)?;
    impatient(active, other)?;
    let zero = cluster.journal.mark(&format!("fence_virtd, then {} killed", active.name));
    cluster.kill_fence_daemon()?;
    active.cut_power()?;
    cannot(cluster, other, zero)?;
    let confirmed = cluster.journal.mark(&format!("stonith_admin --confirm {}", active.name));
    other.sh(&format!("stonith_admin --confirm {}", active.name), "confirming the fencing")?;
    let first = cluster.writing_on(&other.name, confirmed, PATIENCE)?;
    cluster.journal.mark("fence_virtd started again");
    cluster.start_fence_daemon()?;
    mended(cluster, other)?;
    patient(active, other)?;
    Ok(Story::at(zero)
        .figure("waited for a word", confirmed - zero)
        .figure("word to first write", first - confirmed))
}

/// Waits until a node asks for a fencing.
fn asks(node: &Node) -> Result<()> {
    let script = "pidof -x fence_xvm >/dev/null && crm_mon -1 | grep -i 'pending fencing'";
    eventually(SHORT, &format!("{} to ask for a fencing", node.name), || {
        let ran = node.run(script, SHORT).map_err(|error| error.to_string())?;
        if ran.status == 0 { Ok(()) } else { Err(format!("{}{}", ran.stdout, ran.stderr)) }
    })?;
    Ok(())
}

/// Waits until Pacemaker has failed to fence a node, and claims that the guest was not started for all that.
pub(super) fn cannot(cluster: &Cluster, witness: &Node, zero: Duration) -> Result<()> {
    eventually(PATIENCE, "a fencing that fails", || {
        match failed_fencings(witness).map_err(|error| error.to_string())?.as_str() {
            "" => Err("none failed".to_owned()),
            _ => Ok(()),
        }
    })?;
    claim(boots_since(cluster, zero) == 0, || {
        "the guest was started while its node might have been alive".to_owned()
    })
}

/// What Pacemaker has on record of fencings that failed. `stonith_admin --history` leaves them out.
fn failed_fencings(witness: &Node) -> Result<String> {
    let seen = witness.sh("crm_mon -1", "looking for fencings that failed")?;
    let from = seen.find("Failed Fencing Actions").unwrap_or(seen.len());
    Ok(seen[from..].to_owned())
}

/// A fencing of `target` that cannot succeed fails sooner, so that nobody has to wait for it.
fn impatient(target: &Node, by: &Node) -> Result<()> {
    let script = format!("crm_resource -r fence-{} -p timeout -v 5", target.name);
    by.sh(&script, "shortening the time for a fencing")?;
    settled(by)
}

fn patient(target: &Node, by: &Node) -> Result<()> {
    let script = format!("crm_resource -r fence-{} -d timeout", target.name);
    by.sh(&script, "giving fencing its time back")?;
    settled(by)
}

/// All nodes are there again, and nothing is held against a device that could not work.
pub(super) fn mended(cluster: &Cluster, node: &Node) -> Result<()> {
    cluster.restore()?;
    forget_failures(node)?;
    cluster.steady().map(drop)
}
