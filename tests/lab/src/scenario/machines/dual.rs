//! Two Primaries, for live migration: the guest moves there and back without a boot, and when the replication link is cut
//! while both are Primary, one of them goes on. Invariant: from the cut on, one node at most can have a write answered.

use super::drbd::{FIRST, GOOD};
use super::fence::ledger;
use crate::cluster::Cluster;
use crate::failure::Result;
use crate::node::{Cable, SHORT, Switch};
use crate::scenario::checks::{Calm, failures, forget_failures, settled};
use crate::scenario::{Story, boots_since, claim, downtime};
use duet_oracle::phase::{Phase, recognise};
use duet_oracle::{Kind, eventually};
use std::time::Duration;

/// How long Pacemaker, a migration, a fencing and a boot may take in the slowest lab.
const PATIENCE: Duration = Duration::from_secs(240);
const BOTH: &str = "ro:Primary/Primary ds:UpToDate/UpToDate";

pub(super) fn live_migration(cluster: &Cluster) -> Result<Story> {
    let active = cluster.steady()?;
    let other = cluster.other(&active)?.name.clone();
    let calm = Calm::before(cluster)?;
    let zero = cluster.journal.mark("two Primaries are allowed");
    allow(cluster, &active)?;
    claim(boots_since(cluster, zero) == 0, || "a second Primary restarted the guest".to_owned())?;
    let go = cluster.journal.mark(&format!("crm_resource --move vm1 to {other}"));
    let there = moved(cluster, &active, &other, go)?;
    let outage = downtime(cluster, go)?;
    let turn = cluster.journal.mark(&format!("crm_resource --move vm1 to {active}"));
    let back = moved(cluster, &other, &active, turn)?;
    let outage_back = downtime(cluster, turn)?;
    claim(boots_since(cluster, zero) == 0, || {
        "the guest was started again, not migrated".to_owned()
    })?;
    calm.kept(cluster)?;
    let found = failures(cluster.lab.node(&active)?)?;
    claim(found.is_empty(), || format!("operations failed: {found}"))?;
    let one_writes = cut(cluster)?;
    forbid(cluster)?;
    Ok(Story::at(zero)
        .figure("there", there - go)
        .figure("downtime", outage)
        .figure("back", back - turn)
        .figure("downtime", outage_back)
        .figure("cut to one writing", one_writes))
}

/// As an administrator would: DRBD first, then the cluster, then the guest's resource.
fn allow(cluster: &Cluster, active: &str) -> Result<()> {
    cluster.everywhere(|node| {
        node.sh(
            "sed -i 's/net { ping-int/net { allow-two-primaries yes; ping-int/' /etc/drbd.d/r0.res && drbdadm adjust r0",
            "allowing two Primaries",
        )
        .map(drop)
    })?;
    let node = cluster.other(active)?;
    node.sh(
        "set -e\ncrm_resource -r ms_drbd --meta -p promoted-max -v 2\n\
         crm_attribute --type op_defaults --name timeout --update 120s\n\
         crm_resource -r vm1 -p migration_transport -v tcp\n\
         crm_resource -r vm1 --meta -p allow-migrate -v true",
        "having the cluster promote two",
    )?;
    settled(node)?;
    cluster.disk_reaches(node, BOTH, PATIENCE)?;
    let still = cluster.steady()?;
    claim(still == active, || format!("the guest went from {active} to {still}"))?;
    FIRST.scored(node, [(node, GOOD), (cluster.lab.node(active)?, GOOD)])
}

/// All as before; the Primary that goes is the one without the guest.
fn forbid(cluster: &Cluster) -> Result<()> {
    let active = cluster.steady()?;
    let node = cluster.other(&active)?;
    forget_failures(node)?;
    let before = cluster.journal.now();
    node.sh(
        "set -e\ncrm_resource -r vm1 --meta -d allow-migrate\n\
         crm_resource -r vm1 -d migration_transport\n\
         crm_attribute --type op_defaults --name timeout --delete\n\
         crm_resource -r ms_drbd --meta -p promoted-max -v 1",
        "having the cluster promote one",
    )?;
    settled(node)?;
    cluster.disk_reaches(node, "ro:Secondary/Primary ds:UpToDate/UpToDate", PATIENCE)?;
    cluster.everywhere(|node| {
        node.sh(
            "sed -i 's/allow-two-primaries yes; //' /etc/drbd.d/r0.res && drbdadm adjust r0",
            "forbidding two Primaries",
        )
        .map(drop)
    })?;
    let still = cluster.steady()?;
    claim(still == active, || format!("the guest went from {active} to {still}"))?;
    claim(boots_since(cluster, before) == 0, || "the guest was started again".to_owned())
}

fn moved(cluster: &Cluster, from: &str, to: &str, zero: Duration) -> Result<Duration> {
    let idle = cluster.lab.node(to)?;
    idle.sh(&format!("crm_resource --move -r vm1 --node {to}"), "moving the guest")?;
    let first = cluster.writing_on(to, zero, PATIENCE)?;
    let node = cluster.lab.node(from)?;
    settled(node)?;
    node.sh("crm_resource --clear -r vm1", "clearing the move")?;
    settled(node)?;
    let still = cluster.steady()?;
    claim(still == to, || format!("the guest went on to {still}"))?;
    cluster.disk_reaches(node, BOTH, SHORT)?;
    Ok(first)
}

/// The link is cut under two Primaries, and mended when one is left. From the cut to the first write after the answer.
fn cut(cluster: &Cluster) -> Result<Duration> {
    let active = cluster.steady()?;
    let passive = cluster.other(&active)?;
    let zero = cluster.journal.mark(&format!("replication cable of {} pulled", passive.name));
    passive.cable(Cable::Replication, Switch::Off)?;
    let answer = eventually(PATIENCE, "one of two Primaries to be let go on", || {
        let told = told(cluster, zero);
        told.iter()
            .find_map(|(node, phase)| match phase {
                Phase::HelperAnswered { helper, code: 4 | 7, .. } if helper == "fence-peer" => {
                    Some(node.clone())
                }
                _ => None,
            })
            .ok_or_else(|| format!("{told:?}"))
    })?;
    let winner = cluster.lab.node(&answer)?;
    let loser = cluster.other(&answer)?;
    let goes_on = format!("{} goes on, {} is banned", winner.name, loser.name);
    let answered = cluster.journal.mark(&goes_on);
    let end = eventually(PATIENCE, &format!("{} to be Primary no longer", loser.name), || {
        let told = told(cluster, zero);
        told.iter()
            .find_map(|(node, phase)| match phase {
                Phase::FencingEnded { node, ok: true } if *node == loser.name => Some("fenced"),
                Phase::Role { role, .. } if *node == loser.name && role == "Secondary" => {
                    Some("demoted")
                }
                _ => None,
            })
            .ok_or_else(|| format!("{told:?}"))
    })?;
    cluster.journal.mark(&format!("{} was {end}", loser.name));
    let first = cluster.writing_on(&winner.name, answered, PATIENCE)?;
    let nodes = [active.as_str(), passive.name.as_str()];
    let both = ledger::both_writable_since(&cluster.journal.events(), zero, &nodes);
    claim(both.is_none(), || format!("two could write after the cut: {both:?}"))?;
    cluster.journal.mark(&format!("replication cable of {} plugged", passive.name));
    passive.cable(Cable::Replication, Switch::On)?;
    if loser.power()? == "shut off" {
        loser.boot()?;
    }
    forget_failures(winner)?;
    cluster.disk_reaches(winner, BOTH, PATIENCE)?;
    let still = cluster.steady()?;
    claim(still == winner.name, || format!("the guest went from {} to {still}", winner.name))?;
    Ok(first - zero)
}

/// What every node has told since then, as steps.
fn told(cluster: &Cluster, since: Duration) -> Vec<(String, Phase)> {
    let events = cluster.journal.since(since);
    let steps = events.iter().filter_map(|event| match &event.kind {
        Kind::Log(record) => Some((event, recognise(record))),
        Kind::Serial(_) | Kind::Mark(_) => None,
    });
    steps
        .flat_map(|(event, phases)| phases.into_iter().map(|phase| (event.source.clone(), phase)))
        .collect()
}
