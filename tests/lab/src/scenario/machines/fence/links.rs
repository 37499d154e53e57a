//! The link between the two disks, lost and found while the nodes see each other in the cluster.

use super::{PATIENCE, Pair, device, rule, steps};
use crate::cluster::Cluster;
use crate::configuration::Handlers;
use crate::failure::Result;
use crate::node::{Node, SHORT};
use crate::scenario::machines::MINUTES;
use crate::scenario::{Story, claim};
use duet_oracle::eventually;
use duet_oracle::phase::Phase;
use std::time::Duration;

/// What the Primary's kernel says when the other side is fenced.
const ALONE: &str = "cs:WFConnection ro:Primary/Unknown ds:UpToDate/Outdated";

pub(super) fn cut(cluster: &Cluster) -> Result<Story> {
    let pair = Pair::steady(cluster)?;
    as_in_the_guide(&pair)?;
    let connected = pair.explain(pair.primary)?;
    let zero = pair.pull()?;
    let answer = pair.answers(pair.primary, zero, 4)?;
    let first = pair.goes_on(answer.at)?;
    pair.reaches(pair.primary, ALONE)?;
    pair.banned(pair.secondary)?;
    let alone = pair.explain(pair.primary)?;
    let freeze = pair.longest_silence(zero);
    pair.plug()?;
    pair.whole(zero)?;

    let handlers = Handlers::of(&cluster.programs);
    cluster.journal.mark("fencing is resource-only");
    pair.handlers(&Handlers { policy: "resource-only", ..handlers.clone() })?;
    let second = pair.pull()?;
    pair.answers(pair.primary, second, 4)?;
    pair.reaches(pair.primary, ALONE)?;
    cluster.writing_on(&pair.primary.name, cluster.journal.now(), SHORT)?;
    let is_freeze =
        |(_, phase): &(_, Phase)| matches!(phase, Phase::WritesFrozen { frozen: true, .. });
    claim(!steps(cluster, pair.primary, second).iter().any(is_freeze), || {
        "I/O was frozen under resource-only".to_owned()
    })?;
    pair.banned(pair.secondary)?;
    pair.plug()?;
    pair.whole(zero)?;
    pair.handlers(&handlers)?;
    pair.whole(zero)?;

    let mut story = Story::at(zero)
        .figure("handler", answer.at - answer.called)
        .figure("freeze", freeze)
        .figure("answer to first write", first - answer.at);
    for (name, text) in [("explain-connected.txt", connected), ("explain-link-cut.txt", alone)] {
        if let Some(text) = text {
            story = story.paper(name, text);
        }
    }
    Ok(story)
}

/// The configuration of the SLES guide, with its two handlers changed to these, is one that drbdadm reads.
fn as_in_the_guide(pair: &Pair<'_>) -> Result<()> {
    const FILE: &str = "/root/guide.conf";
    let Handlers { fence, unfence, .. } = Handlers::of(&pair.cluster.programs);
    let guide = format!(
        "global {{ usage-count no; }}\n\
         common {{\n  handlers {{\n    fence-peer \"{fence}\";\n    after-resync-target \"{unfence}\";\n  }}\n  \
         disk {{ fencing resource-and-stonith; }}\n}}\n\
         resource r0 {{\n  device /dev/drbd0;\n  disk /dev/mapper/data;\n  meta-disk internal;\n  \
         on node1 {{ address 10.78.0.1:7789; }}\n  on node2 {{ address 10.78.0.2:7789; }}\n}}\n"
    );
    let node = pair.primary;
    node.put(FILE, &guide)?;
    let dump = node.sh(&format!("drbdadm -c {FILE} dump"), "reading the guide's configuration")?;
    for (handler, program) in [("fence-peer", fence), ("after-resync-target", unfence)] {
        let has = |line: &str| line.contains(handler) && line.contains(&program);
        claim(dump.lines().any(has), || format!("no {handler} {program} in:\n{dump}"))?;
        node.sh(&format!("test -x {program}"), "looking for the handler")?;
    }
    Ok(())
}

/// What the guest said before may be heard as late as this.
const IN_TRANSIT: Duration = Duration::from_secs(1);
/// How often the cable is pulled.
const FLAPS: u32 = 10;

/// Plugged again while the handler runs, and when writes go on; pulled again while it resynchronises, and when the rule
/// is gone.
pub(super) fn flapping(cluster: &Cluster) -> Result<Story> {
    let pair = Pair::steady(cluster)?;
    let zero = cluster.journal.now();
    for flap in 0..FLAPS {
        let pulled = pair.pull()?;
        let lost = lost(&pair, pulled)?;
        if flap % 3 > 0 {
            // Whether it was called or not, where the peer was known to be inconsistent: who writes alone, has a rule.
            cluster.writing_on(&pair.primary.name, lost + IN_TRANSIT, PATIENCE)?;
            let seen = device(pair.primary)?;
            claim(seen.contains("cs:WFConnection"), || format!("a lost link is {seen}"))?;
            pair.banned(pair.secondary)?;
        }
        let plugged = pair.plug()?;
        connected(&pair, plugged)?;
        if flap % 4 == 3 {
            gone(pair.primary)?;
        }
        let seen = device(pair.secondary)?;
        claim(!seen.contains("ro:Primary"), || format!("{}: {seen}", pair.secondary.name))?;
    }
    pair.whole(zero)?;
    let silence = pair.longest_silence(zero);
    // Only a boot on the other disk tells whether every write is there.
    let to = &pair.secondary.name;
    let moved = cluster.journal.mark(&format!("crm resource move vm1 {to}"));
    pair.secondary.sh(&format!("crm_resource --move -r vm1 -N {to}"), "moving the guest")?;
    let there = cluster.writing_on(to, moved, MINUTES(3))?;
    pair.secondary.sh("crm_resource --clear -r vm1", "clearing the move")?;
    cluster.steady()?;
    super::one_writable(cluster)?;
    Ok(Story::at(zero)
        .figure("ten times", moved - zero)
        .figure("longest silence", silence)
        .figure("moved", there - moved))
}

/// When the Primary has lost its peer.
fn lost(pair: &Pair<'_>, since: Duration) -> Result<Duration> {
    let wanted = |phase: &Phase| match phase {
        Phase::ConnectionLost { why, .. } if why == "NetworkFailure" => Some(()),
        _ => None,
    };
    Ok(pair.step(pair.primary, since, "a lost connection", wanted)?.0)
}

/// The Primary sees its peer again.
fn connected(pair: &Pair<'_>, since: Duration) -> Result<()> {
    let wanted = |phase: &Phase| matches!(phase, Phase::Connected { .. }).then_some(());
    pair.step(pair.primary, since, "a connection", wanted).map(drop)
}

/// Waits until no rule is left.
fn gone(asked: &Node) -> Result<()> {
    eventually(PATIENCE, "the rule to be gone", || match rule(asked) {
        Ok(None) => Ok(()),
        Ok(Some(allowed)) => Err(format!("it allows {allowed:?}")),
        Err(error) => Err(error.to_string()),
    })?;
    Ok(())
}
