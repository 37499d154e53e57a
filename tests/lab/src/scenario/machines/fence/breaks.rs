//! What the handler itself needs breaks: it is killed, Pacemaker is not there, its tools hang. It never answers what it
//! cannot know, and frozen writes go on when the peer is back.

use super::gate::Gate;
use super::{AT_ONCE, Answer, PATIENCE, Pair, rule};
use crate::cluster::Cluster;
use crate::configuration::Handlers;
use crate::failure::Result;
use crate::node::{Node, SHORT};
use crate::scenario::checks::settled;
use crate::scenario::machines::drbd::{FIRST, GOOD};
use crate::scenario::{Story, claim};
use duet_oracle::eventually;
use std::time::Duration;

/// Killed where it has decided and not yet written. Nobody calls it again: that a second call, by hand, puts everything
/// right is shown on top.
pub(super) fn handler_killed(cluster: &Cluster) -> Result<Story> {
    let pair = Pair::steady(cluster)?;
    pair.handlers(&Handlers::with_tools(&cluster.programs))?;
    Gate::HoldsChanges.close(pair.primary)?;
    let zero = pair.pull()?;
    Gate::reached(pair.primary)?;
    let program = cluster.programs.called("crm-fence-peer");
    let name = program.rsplit('/').next().unwrap_or(program);
    let killed = cluster.journal.mark(&format!("{name} of {} is killed", pair.primary.name));
    pair.primary.sh(&format!("kill -9 $(pidof -x {name})"), "killing the handler")?;
    let answer = pair.answered(pair.primary, zero)?;
    claim(![3, 4, 5, 6, 7].contains(&answer.code), || {
        format!("a handler that was killed counted as answer {}", answer.code)
    })?;
    Gate::open(pair.primary)?;
    Gate::remove(pair.primary)?;
    pair.nobody_writes()?;
    let left = rule(pair.secondary)?;
    claim(
        left.is_none() || left.as_deref() == Some(std::slice::from_ref(&pair.primary.name)),
        || format!("half a rule was left: {left:?}"),
    )?;
    for time in ["first", "second"] {
        let again = pair.primary.run("drbdadm fence-peer r0", SHORT)?;
        claim(again.status == 4, || {
            format!("the {time} call by hand ended with {}", again.status)
        })?;
        pair.banned(pair.secondary)?;
    }
    let story = thaws_with_its_peer(&pair, zero, killed, true)?;
    pair.handlers(&Handlers::of(&cluster.programs))?;
    Ok(story)
}

/// Plugs the cable; the Primary writes as soon as it is connected, and everything is whole.
fn thaws_with_its_peer(
    pair: &Pair<'_>,
    zero: Duration,
    since: Duration,
    has_rule: bool,
) -> Result<Story> {
    pair.nobody_writes()?;
    let plugged = pair.plug()?;
    let first = pair.cluster.writing_on(&pair.primary.name, plugged, PATIENCE)?;
    if has_rule {
        // Nothing was written meanwhile, so nothing is resynchronised; 8.4 calls nobody then.
        pair.reaches(pair.primary, "cs:Connected ro:Primary/Secondary ds:UpToDate/UpToDate")?;
        pair.primary.sh("drbdadm unfence-peer r0", "removing the rule")?;
        let left = rule(pair.secondary)?;
        claim(left.is_none(), || format!("the rule was left, and allows {left:?}"))?;
    }
    pair.whole(zero)?;
    Ok(Story::at(zero)
        .figure("frozen at least", plugged - since)
        .figure("plugged to first write", first - plugged)
        .figure("whole again", pair.cluster.journal.now() - plugged))
}

/// Short ones, for those that wait until the end of their time.
const TIMES: &str = "--timeout 12 --dc-timeout 6";
/// And their end, for a handler that is called in time and answers in time.
const END: Duration = Duration::from_secs(12 + 15);

fn with_short_times(cluster: &Cluster) -> Handlers {
    let handlers = Handlers::of(&cluster.programs);
    Handlers { fence: format!("{} {TIMES}", handlers.fence), ..handlers }
}

/// It said that it could not fence, and in its time.
fn gave_up(pair: &Pair<'_>, zero: Duration) -> Result<Answer> {
    let answer = pair.answers(pair.primary, zero, 1)?;
    claim(answer.at - answer.called <= END + AT_ONCE, || {
        format!("the handler needed {:.1} s", (answer.at - answer.called).as_secs_f64())
    })?;
    Ok(answer)
}

/// Stopped in good order, with everything it runs left running, as for an upgrade.
pub(super) fn pacemaker_stopped(cluster: &Cluster) -> Result<Story> {
    let pair = Pair::steady(cluster)?;
    pair.handlers(&with_short_times(cluster))?;
    let managed = |change: &str| {
        let script = format!("crm_attribute -t rsc_defaults -n is-managed {change}");
        pair.secondary.sh(&script, "letting everything run as it is, or not")?;
        settled(pair.secondary)
    };
    managed("-v false")?;
    pair.primary.sh(
        "kill $(pidof pacemakerd); i=0; while pidof pacemakerd >/dev/null; do \
         i=$((i + 1)); [ $i -lt 250 ] || exit 1; sleep 0.2; done",
        "stopping Pacemaker",
    )?;
    let zero = pair.pull()?;
    let answer = gave_up(&pair, zero)?;
    claim(rule(pair.secondary)?.is_none(), || "a rule was placed without Pacemaker".to_owned())?;
    pair.primary.sh("lab-cluster start", "starting Pacemaker")?;
    pair.nobody_writes()?;
    let plugged = pair.plug()?;
    let first = cluster.writing_on(&pair.primary.name, plugged, PATIENCE)?;
    cluster.all_online(PATIENCE)?;
    // A node that has just come back has no score until a monitor has run.
    FIRST.scored(pair.secondary, [(pair.primary, GOOD), (pair.secondary, GOOD)])?;
    managed("-D")?;
    pair.whole(zero)?;
    pair.handlers(&Handlers::of(&cluster.programs))?;
    Ok(Story::at(zero)
        .figure("handler", answer.at - answer.called)
        .figure("plugged to first write", first - plugged))
}

/// The CIB's daemon, and the one that would end it for not answering.
const DAEMONS: &str = "pacemakerd pacemaker-based";

/// No answer of the cluster at all, not even an error: neither over its sockets nor to its tools.
pub(super) fn cibadmin_hangs(cluster: &Cluster) -> Result<Story> {
    let pair = Pair::steady(cluster)?;
    pair.handlers(&with_short_times(cluster))?;
    Gate::Shut.close(pair.primary)?;
    let signal = |name: &str| {
        let script = format!("for one in {DAEMONS}; do kill -{name} $(pidof $one) || exit 1; done");
        pair.primary.sh(&script, "stopping the CIB's daemon, or letting it go on")
    };
    signal("STOP")?;
    let zero = pair.pull()?;
    let answer = gave_up(&pair, zero)?;
    nothing_left(pair.primary)?;
    signal("CONT")?;
    Gate::remove(pair.primary)?;
    claim(rule(pair.secondary)?.is_none(), || "a rule was placed without an answer".to_owned())?;
    let story = thaws_with_its_peer(&pair, zero, answer.at, false)?;
    pair.handlers(&Handlers::of(&cluster.programs))?;
    Ok(story.figure("handler", answer.at - answer.called))
}

/// Whatever the handler had started has ended with it.
fn nothing_left(node: &Node) -> Result<()> {
    eventually(SHORT, "the hanging processes to be gone", || {
        let script = "pgrep -af 'sleep 600|cibadmin|fence-peer' | grep -v pgrep || :";
        match node.sh(script, "looking for processes") {
            Ok(left) if left.trim().is_empty() => Ok(()),
            Ok(left) => Err(left),
            Err(error) => Err(error.to_string()),
        }
    })?;
    Ok(())
}
