//! An active node that stands still and goes on as if nothing had been: to itself, no time has passed. What the others did
//! meanwhile decides, and it may not write until they have said so.

use super::MINUTES;
use super::disturb::{self, Disturbance};
use super::fence::one_writable;
use crate::cluster::Cluster;
use crate::failure::Result;
use crate::node::{Node, SHORT};
use crate::scenario::checks::{failures, fenced, settled};
use crate::scenario::{Story, boots_since, claim, downtime};
use duet_oracle::phase::{Phase, recognise};
use duet_oracle::{Kind, eventually};
use std::time::Duration;

/// The shot comes so much later than it is asked for, so that the thaw falls between.
const DELAY: u64 = 4;
/// For how long it stands still where nobody can shoot it.
const FROZEN: Duration = Duration::from_secs(30);

/// It thaws when its fencing has been decided and not yet done. In between it may reach its peer again, which is still
/// Secondary, and write on: then the peer has these writes, too. Or it asks for the rule against its peer first, and writes on
/// alone: then it is the one to start the guest again, when it is back from the shot. Either is one start, where the data is.
pub(super) fn shot(cluster: &Cluster) -> Result<Story> {
    let active = cluster.steady()?;
    let (node, other) = (cluster.lab.node(&active)?, cluster.other(&active)?);
    let device = format!("fence-{active}");
    other.sh(
        &format!("crm_resource -r {device} -p pcmk_delay_base -v {DELAY}s"),
        "delaying the shot at the active node",
    )?;
    settled(other)?;
    let zero = Disturbance::Freeze.inflict(cluster, node)?;
    let asked = fencing_asked(cluster, other, &active, zero)?;
    Disturbance::Freeze.heal(cluster, node)?;
    fenced(cluster, &other.name, &active)?;
    writes_again(cluster, zero)?;
    let first = cluster.journal.now();
    other.sh(&format!("crm_resource -r {device} -d pcmk_delay_base"), "shooting at once again")?;
    started_once(cluster, zero, other)?;
    Ok(Story::at(zero)
        .figure("fencing asked for", asked - zero)
        .figure("freeze to first write", first - zero)
        .figure("downtime", downtime(cluster, zero)?))
}

/// Nobody can shoot it, so nobody takes over; it thaws, finds itself missed, and goes on. The order to shoot it stands as long
/// as Pacemaker tries, and is carried out when fencing works again in that time: that is a takeover like any other.
pub(super) fn not_fenced(cluster: &Cluster) -> Result<Story> {
    let active = cluster.steady()?;
    let (node, other) = (cluster.lab.node(&active)?, cluster.other(&active)?);
    let instance = node.instance()?;
    cluster.journal.mark("fence_virtd killed");
    cluster.kill_fence_daemon()?;
    let zero = Disturbance::Freeze.inflict(cluster, node)?;
    fencing_asked(cluster, other, &active, zero)?;
    let rest = FROZEN.saturating_sub(cluster.journal.now() - zero);
    pause(rest);
    claim(boots_since(cluster, zero) == 0, || "the guest was started beside it".to_owned())?;
    let thawed = Disturbance::Freeze.heal(cluster, node)?;
    let first = cluster.writing_on(&active, thawed, MINUTES(3))?;
    claim(boots_since(cluster, zero) == 0, || "the guest was started beside it".to_owned())?;
    one_writable(cluster)?;
    cluster.journal.mark("fence_virtd started again");
    cluster.start_fence_daemon()?;
    // Whoever asked for the fencing still asks, and is answered now, or has given up: then the guest boots once, there or
    // here, or goes on.
    if fencing_ended(cluster, other, &active, zero)? {
        fenced(cluster, &other.name, &active)?;
        writes_again(cluster, zero)?;
        started_once(cluster, zero, other)?;
    } else {
        let now = disturb::steady(cluster)?;
        let (same, boots) = (node.instance()? == instance, boots_since(cluster, zero));
        claim(now == active && boots == 0 && same, || {
            format!(
                "the guest is on {now} after {boots} boots, was on {active}, which was not shot, and booted: {}",
                !same
            )
        })?;
    }
    Ok(Story::at(zero)
        .figure("thaw to first write", first - thawed)
        .figure("whole again", cluster.journal.now() - thawed))
}

/// Whether a node whose shot was asked for was shot in the end, as the one that asked says.
fn fencing_ended(cluster: &Cluster, by: &Node, target: &str, since: Duration) -> Result<bool> {
    let ended = eventually(MINUTES(3), &format!("the fencing of {target} to end"), || {
        let events = cluster.journal.since(since);
        let said = events.iter().rev().filter(|event| event.source == by.name);
        let mut phases = said.flat_map(|event| match &event.kind {
            Kind::Log(record) => recognise(record),
            Kind::Serial(_) | Kind::Mark(_) => Vec::new(),
        });
        phases
            .find_map(|phase| match phase {
                Phase::FencingEnded { node, ok } if node == target => Some(ok),
                _ => None,
            })
            .ok_or("it still tries")
    })?;
    Ok(ended)
}

/// Waits until the guest has booted since a moment, and writes.
fn writes_again(cluster: &Cluster, since: Duration) -> Result<()> {
    eventually(MINUTES(4), "the guest to boot again", || {
        if boots_since(cluster, since) > 0 { Ok(()) } else { Err("no boot") }
    })?;
    let booted = cluster.verdict().boots.last().map_or(since, |boot| boot.at);
    cluster.writing_since(booted, SHORT).map(drop)
}

/// The guest was started once, and all is steady again. To forget a failure may start it once more: `crm_resource --cleanup` of a
/// promoted instance whose promotion had failed before makes Pacemaker 2.1.5 stop and start what depends on it.
fn started_once(cluster: &Cluster, since: Duration, at: &Node) -> Result<()> {
    let at_most = |most| {
        let boots = boots_since(cluster, since);
        claim((1..=most).contains(&boots), || format!("the guest booted {boots} times"))
    };
    at_most(1)?;
    let was_promoted_late = failures(at)?.contains("promote");
    disturb::steady(cluster)?;
    at_most(if was_promoted_late { 2 } else { 1 })
}

/// When a node said that it wants another one shot.
fn fencing_asked(cluster: &Cluster, by: &Node, target: &str, since: Duration) -> Result<Duration> {
    let at = eventually(SHORT, &format!("a fencing of {target} to be asked for"), || {
        let events = cluster.journal.since(since);
        let asked = events.iter().find(|event| match &event.kind {
            Kind::Log(record) if event.source == by.name => recognise(record)
                .iter()
                .any(|phase| matches!(phase, Phase::FencingRequested { node } if node == target)),
            Kind::Log(_) | Kind::Serial(_) | Kind::Mark(_) => false,
        });
        asked.map(|event| event.at).ok_or("nobody asked")
    })?;
    Ok(at)
}

#[allow(clippy::disallowed_methods, reason = "a scenario gives the cluster time")]
fn pause(long: Duration) {
    std::thread::sleep(long);
}
