//! Handlers that meet each other, and a rule that is another program's. Whoever comes second sees what the first one has
//! written, and the node that was promised I/O is the only one that may be promoted.

use super::gate::Gate;
use super::{PATIENCE, Pair, device, rule};
use crate::cluster::Cluster;
use crate::configuration::Handlers;
use crate::failure::Result;
use crate::node::{Node, SHORT};
use crate::scenario::{Story, claim};
use duet_oracle::eventually;

/// Both handlers have read a CIB without a rule, and want to write one. The Primary's lands first.
pub(super) fn promotion(cluster: &Cluster) -> Result<Story> {
    let pair = Pair::steady(cluster)?;
    pair.handlers(&Handlers::with_tools(&cluster.programs))?;
    for node in [pair.primary, pair.secondary] {
        Gate::HoldsChanges.close(node)?;
    }
    let zero = pair.pull()?;
    pair.reaches(pair.secondary, "cs:WFConnection ro:Secondary/Unknown")?;
    let tried = cluster.journal.mark(&format!("drbdadm primary r0 in {}", pair.secondary.name));
    pair.secondary.sh(
        "rm -f /run/lab/tried; setsid sh -c 'drbdadm primary r0 >/run/lab/said 2>&1; echo $? >/run/lab/tried' \
         </dev/null >/dev/null 2>&1 &",
        "promoting by hand",
    )?;
    Gate::reached(pair.secondary)?;
    Gate::reached(pair.primary)?;
    Gate::open(pair.primary)?;
    let answer = pair.answers(pair.primary, zero, 4)?;
    pair.goes_on(answer.at)?;
    pair.banned(pair.primary)?;
    cluster.journal.mark(&format!("the change of {} is let go", pair.secondary.name));
    Gate::open(pair.secondary)?;
    let refused = pair.answers(pair.secondary, tried, 1)?;
    claim(ended(pair.secondary)? != "0", || {
        format!("{} was promoted beside the Primary", pair.secondary.name)
    })?;
    let seen = device(pair.secondary)?;
    claim(seen.contains("ro:Secondary"), || format!("{} became {seen}", pair.secondary.name))?;
    for node in [pair.primary, pair.secondary] {
        Gate::remove(node)?;
    }
    pair.banned(pair.primary)?;
    pair.plug()?;
    pair.whole(zero)?;
    pair.handlers(&Handlers::of(&cluster.programs))?;
    Ok(Story::at(zero).figure("refused after", refused.at - answer.at))
}

/// The exit status of the promotion by hand.
fn ended(node: &Node) -> Result<String> {
    let status = eventually(PATIENCE, "the promotion by hand to end", || {
        match node.run("cat /run/lab/tried", SHORT) {
            Ok(ran) if ran.status == 0 => Ok(ran.stdout.trim().to_owned()),
            Ok(ran) => Err(ran.stderr),
            Err(error) => Err(error.to_string()),
        }
    })?;
    Ok(status)
}

/// The handler that removes the rule is held with its change in hand; the link drops; then it is let go.
pub(super) fn unfence(cluster: &Cluster) -> Result<Story> {
    let pair = Pair::steady(cluster)?;
    pair.handlers(&Handlers::with_tools(&cluster.programs))?;
    let zero = pair.pull()?;
    let answer = pair.answers(pair.primary, zero, 4)?;
    pair.goes_on(answer.at)?;
    pair.banned(pair.secondary)?;
    Gate::HoldsChanges.close(pair.primary)?;
    pair.plug()?;
    Gate::reached(pair.primary)?;
    let again = pair.pull()?;
    // DRBD 8.4 calls fence-peer when unfence-peer has ended, which gives up after 9 s: so the change is let go before that call.
    pair.lost(pair.primary, again)?;
    cluster.journal.mark("the change of unfence-peer is let go");
    Gate::open(pair.primary)?;
    let called = pair.called(pair.primary, again)?;
    let second = pair.answers(pair.primary, again, 4)?;
    pair.goes_on(second.at)?;
    Gate::remove(pair.primary)?;
    pair.banned(pair.secondary)?;
    // Whatever was still on its way has arrived.
    super::pause(super::A_WHILE);
    pair.banned(pair.secondary)?;
    pair.plug()?;
    pair.whole(zero)?;
    pair.handlers(&Handlers::of(&cluster.programs))?;
    Ok(Story::at(zero).figure("handler behind the other", second.at - called))
}

/// The stock handlers' names, by which drbd.conf goes on calling.
const STOCK: &str = "/usr/lib/drbd/crm-fence-peer.sh";

pub(super) fn stock_rule(cluster: &Cluster) -> Result<Story> {
    let pair = Pair::steady(cluster)?;
    pair.handlers(&Handlers::at(STOCK))?;
    let zero = pair.pull()?;
    let answer = pair.answers(pair.primary, zero, 4)?;
    pair.goes_on(answer.at)?;
    pair.banned(pair.secondary)?;
    cluster.journal.mark("crm-fence-peer is linked in the place of crm-fence-peer.sh");
    let ours = cluster.programs.called("crm-fence-peer");
    cluster.everywhere(|node| {
        let script = format!("mv {STOCK} {STOCK}.stock && ln -s {ours} {STOCK}");
        node.sh(&script, "linking ours in place").map(drop)
    })?;
    let epoch = || pair.secondary.sh("cibadmin -Q | head -n 1", "reading the CIB's version");
    let before = epoch()?;
    let again = pair.primary.run("drbdadm fence-peer r0", SHORT)?;
    claim(again.status == 4, || format!("with the stock rule ours answered {}", again.status))?;
    pair.banned(pair.secondary)?;
    let after = epoch()?;
    let (before, after) = (version(&before), version(&after));
    claim(before == after, || format!("the rule was written again: {before:?}, {after:?}"))?;
    let plugged = pair.plug()?;
    eventually(PATIENCE, "the stock rule to be gone", || match rule(pair.secondary) {
        Ok(None) => Ok(()),
        Ok(Some(allowed)) => Err(format!("it allows {allowed:?}")),
        Err(error) => Err(error.to_string()),
    })?;
    let gone = cluster.journal.now();
    cluster.everywhere(|node| {
        node.sh(&format!("mv {STOCK}.stock {STOCK}"), "putting the stock handler back").map(drop)
    })?;
    pair.handlers(&Handlers::of(&cluster.programs))?;
    pair.whole(zero)?;
    Ok(Story::at(zero).figure("plugged to rule gone", gone - plugged))
}

/// The part of the CIB's version that changes with the configuration.
fn version(line: &str) -> Option<&str> {
    line.split_once(" epoch=\"")?.1.split_once('"').map(|(epoch, _)| epoch)
}
