//! Nodes that die, or are shot. The handler of the one that is left waits until that is confirmed; one that wakes up with old
//! data writes nothing.

use super::{A_WHILE, PATIENCE, Pair, device, one_writable, steps};
use crate::cluster::Cluster;
use crate::failure::Result;
use crate::node::{Node, SHORT};
use crate::scenario::checks::settled;
use crate::scenario::machines::MINUTES;
use crate::scenario::machines::disturb::Disturbance;
use crate::scenario::{Story, boots_since, claim, downtime};
use duet_oracle::eventually;
use duet_oracle::phase::Phase;
use std::time::Duration;

pub(super) fn peer_killed(cluster: &Cluster) -> Result<Story> {
    let pair = Pair::steady(cluster)?;
    let zero = cluster.journal.mark(&format!("power cut of {}", pair.secondary.name));
    pair.secondary.cut_power()?;
    let answer = pair.answers(pair.primary, zero, 7)?;
    let fenced = shot(&pair, pair.primary, pair.secondary, zero)?;
    claim(answer.at > fenced, || {
        format!(
            "fence-peer answered {:.1} s before anybody had confirmed the death of {}",
            (fenced - answer.at).as_secs_f64(),
            pair.secondary.name
        )
    })?;
    pair.goes_on(answer.at)?;
    pair.banned(pair.primary)?;
    let freeze = pair.longest_silence(zero);
    let explained = pair.explain(pair.primary)?;
    let back = cluster.journal.mark(&format!("power on of {}", pair.secondary.name));
    if pair.secondary.power()? == "shut off" {
        pair.secondary.boot()?;
    }
    pair.whole(zero)?;
    let mut story = Story::at(zero)
        .figure("freeze", freeze)
        .figure("fenced to answer", answer.at - fenced)
        .figure("whole again", cluster.journal.now() - back);
    if let Some(text) = explained {
        story = story.paper("explain-peer-dead.txt", text);
    }
    Ok(story)
}

/// Says when a node has reported that another was fenced.
fn shot(pair: &Pair<'_>, by: &Node, target: &Node, since: Duration) -> Result<Duration> {
    let wanted = |phase: &Phase| match phase {
        Phase::FencingEnded { node, ok: true } if *node == target.name => Some(()),
        _ => None,
    };
    Ok(pair.step(by, since, &format!("the fencing of {}", target.name), wanted)?.0)
}

/// The one that comes back alone was cut off before it died. It knows nothing of the writes since, and must not write.
pub(super) fn both_killed(cluster: &Cluster) -> Result<Story> {
    let pair = Pair::steady(cluster)?;
    let (good, stale) = (pair.primary, pair.secondary);
    // A node that is alone becomes its own DC after this time.
    stale.sh("crm_attribute -n dc-deadtime -v 5s", "waiting for a DC no longer than needed")?;
    let zero = pair.pull()?;
    let answer = pair.answers(good, zero, 4)?;
    pair.goes_on(answer.at)?;
    pair.banned(stale)?;
    cluster.writing_on(&good.name, cluster.journal.now() + A_WHILE / 2, SHORT)?;
    for node in [stale, good] {
        cluster.journal.mark(&format!("power cut of {}", node.name));
    }
    cluster.everywhere(Node::cut_power)?;
    pair.plug()?;
    let dead = cluster.journal.mark(&format!("power on of {} alone", stale.name));
    stale.boot()?;
    waits_for_the_other(stale)?;
    not_waited_for(stale)?;
    // Pacemaker has done all that it does, and did not promote; and the kernel refuses whoever tries all the same.
    settled(stale)?;
    let seen = device(stale)?;
    claim(seen.contains("ro:Secondary"), || format!("{} alone became {seen}", stale.name))?;
    let tried = stale.run("drbdadm primary r0", SHORT)?;
    claim(tried.status != 0, || format!("{} alone was promoted by hand", stale.name))?;
    let seen = device(stale)?;
    claim(seen.contains("ro:Secondary"), || format!("{} alone became {seen}", stale.name))?;
    pair.banned(stale)?;
    claim(boots_since(cluster, dead) == 0, || "the guest was started on old data".to_owned())?;
    let back = cluster.journal.mark(&format!("power on of {}", good.name));
    if good.power()? == "shut off" {
        good.boot()?;
    }
    let first = cluster.writing_on(&good.name, back, MINUTES(3))?;
    let still = cluster.steady()?;
    claim(still == good.name, || format!("the guest is on {still}"))?;
    stale.sh("crm_attribute -n dc-deadtime -D", "waiting for a DC as before")?;
    one_writable(cluster)?;
    Ok(Story::at(zero)
        .figure("alone without writing", back - dead)
        .figure("power on to first write", first - back)
        .figure("downtime", downtime(cluster, zero)?))
}

/// A node that boots alone has no quorum until it has seen the other one.
pub(in crate::scenario::machines) fn waits_for_the_other(node: &Node) -> Result<()> {
    says(node, "partition WITHOUT quorum")
}

/// Its administrator, sure that the other one is off, says that it is not to be waited for.
pub(in crate::scenario::machines) fn not_waited_for(node: &Node) -> Result<()> {
    node.sh("corosync-cmapctl -s quorum.cancel_wait_for_all u8 1", "not waiting for the other")?;
    says(node, "partition with quorum")
}

fn says(node: &Node, wanted: &str) -> Result<()> {
    eventually(PATIENCE, &format!("{wanted} in {}", node.name), || {
        let seen = node.run("crm_mon -1", SHORT).map_err(|error| error.to_string())?;
        match seen.stdout.contains(wanted) {
            true => Ok(()),
            false => Err(seen.stdout + &seen.stderr),
        }
    })?;
    Ok(())
}

/// Each node takes the other for dead and has it shot. The Secondary is quicker, so everything that the Primary has ever
/// had answered must be there, and it must have waited for its end without writing.
pub(super) fn partition(cluster: &Cluster) -> Result<Story> {
    let pair = Pair::steady(cluster)?;
    let (loser, winner) = (pair.primary, pair.secondary);
    let device = format!("fence-{}", winner.name);
    winner.sh(
        &format!("crm_resource -r {device} -p pcmk_delay_base -v 30s"),
        "delaying the shot at the Secondary",
    )?;
    settled(winner)?;
    let zero = Disturbance::BothCut.inflict(cluster, winner)?;
    let fenced = shot(&pair, winner, loser, zero)?;
    let thawed = steps(cluster, loser, zero).into_iter().find(|(at, phase)| {
        *at < fenced && matches!(phase, Phase::WritesFrozen { frozen: false, .. })
    });
    claim(thawed.is_none(), || format!("{} wrote before it was shot", loser.name))?;
    let answer = pair.answers(winner, zero, 7)?;
    claim(answer.at > fenced, || "fence-peer answered before the fencing".to_owned())?;
    let first = cluster.writing_on(&winner.name, zero, MINUTES(3))?;
    Disturbance::BothCut.heal(cluster, winner)?;
    if loser.power()? == "shut off" {
        loser.boot()?;
    }
    let now = cluster.steady()?;
    claim(now == winner.name, || format!("the guest is on {now}"))?;
    claim(boots_since(cluster, zero) == 1, || "the guest booted more than once".to_owned())?;
    winner.sh(&format!("crm_resource -r {device} -d pcmk_delay_base"), "shooting at once again")?;
    settled(winner)?;
    one_writable(cluster)?;
    Ok(Story::at(zero)
        .figure("cut to shot", fenced - zero)
        .figure("handler", answer.at - answer.called)
        .figure("cut to first write", first - zero)
        .figure("downtime", downtime(cluster, zero)?))
}
