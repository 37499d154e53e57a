//! From nothing to Secondary. Invariant: success only when the kernel has the resource as Secondary with all its device
//! nodes; a start that finds it up reconnects no peer that DRBD has refused.

use std::time::Duration;

use duet_drbd::{Connection, Disk, Generation};
use duet_ocf::{ExitCode, Next, Progress};

use crate::{
    config::Config,
    decide::{
        PAUSE, Step, aside, budget, ended_or_wait, last_failure, scored, secondary, unanswered,
        validate,
    },
    facts::{Facts, Kernel, Peer, Volume},
    observe::{Configuration, Observation},
    record::Link,
};

/// How often something that must succeed is tried.
const TRIES: usize = 2;
/// How long the promoted peer has at least to say whether it refuses us.
const HANDSHAKE: Duration = Duration::from_secs(1);
/// How often the connections are looked at.
const POLL: Duration = Duration::from_millis(250);

pub(super) fn start(config: &Config, seen: &Observation, progress: &Progress<Step>) -> Next<Step> {
    match &seen.configuration {
        Configuration::Unusable { code, why } => return Next::fail(*code, why),
        Configuration::Read(read) => {
            if let Some(refusal) = validate::two_primaries(config, read) {
                return refusal;
            }
        }
        Configuration::NotAsked => {}
    }
    let resource = &config.resource;
    match &seen.kernel {
        Kernel::Silent(why) => unanswered(config, why, budget(progress), progress),
        Kernel::NoModule => load(progress),
        Kernel::Unknown(version) => {
            validate::version(config, *version).unwrap_or_else(|| create(resource, progress))
        }
        Kernel::Known(facts) => match validate::version(config, facts.version) {
            Some(refusal) => refusal,
            None if facts.is_primary() => secondary(config, facts, seen, progress),
            None if facts.volumes.is_empty() => create(resource, progress),
            None => bring_up(config, facts, seen, progress),
        },
    }
}

fn load(progress: &Progress<Step>) -> Next<Step> {
    let is_load = |step: &Step| matches!(step, Step::LoadModule);
    if progress.tried(is_load) {
        let why = last_failure(is_load, progress);
        let why = why.unwrap_or_else(|| "The DRBD module is not there after it was loaded".into());
        return Next::fail(ExitCode::Installed, why);
    }
    Next::Do(Step::LoadModule)
}

fn create(resource: &str, progress: &Progress<Step>) -> Next<Step> {
    // Its result does not matter: where there is no internal metadata, there is nothing to move.
    if let Some(step) = aside(Step::CheckResize(resource.to_owned()), progress) {
        return step;
    }
    let is_create = |step: &Step| matches!(step, Step::Create(_));
    let until = "the resource to be known to the kernel";
    tries(Step::Create(resource.to_owned()), is_create, until, progress)
}

/// Twice with a pause between; then what it said is the reason.
fn tries(
    step: Step,
    is_such: impl Fn(&Step) -> bool + Copy,
    until: &'static str,
    progress: &Progress<Step>,
) -> Next<Step> {
    // One that hung has taken all of the time, and is the reason.
    let is_over = progress.remaining.is_zero() && progress.tried(is_such);
    if !is_over && progress.since(is_such).is_some_and(|ago| ago < PAUSE) {
        return Next::wait(PAUSE, until);
    }
    if !is_over && progress.count(is_such) < TRIES {
        return Next::Do(step);
    }
    let why = last_failure(is_such, progress);
    let why =
        why.unwrap_or_else(|| format!("Could not {step}: DRBD said yes, and nothing came of it"));
    Next::fail(ExitCode::Generic, why)
}

fn bring_up(
    config: &Config,
    facts: &Facts,
    seen: &Observation,
    progress: &Progress<Step>,
) -> Next<Step> {
    let resource = &config.resource;
    if let Some(node) = seen.missing_nodes.first() {
        let why = format!("{} has not appeared", node.display());
        return ended_or_wait(why, "the device nodes", progress);
    }
    let is_create = |step: &Step| matches!(step, Step::Create(_));
    let is_attach = |step: &Step| matches!(step, Step::Attach(_));
    // A disk that was lost while it was up is no reason to fail; one that cannot be had at the beginning is.
    let is_fresh =
        progress.tried(is_create) || progress.tried(is_attach) || facts.is_unconfigured();
    if is_fresh && facts.volumes.iter().any(lacks_disk) {
        let until = "the disks to be attached";
        return tries(Step::Attach(resource.clone()), is_attach, until, progress);
    }
    let is_refused = !is_fresh && seen.has_refused(facts);
    if !config.connect_only_after_promote && !is_refused {
        if let Some(step) = connect(config, facts, seen, progress) {
            return step;
        }
    }
    scored(config, progress, Next::success())
}

fn lacks_disk(volume: &Volume) -> bool {
    matches!(volume.disk, Disk::Diskless) && !volume.is_client
}

/// The promoted peer first, since it has the data; then all; and a while for them to answer. What comes of it does not
/// matter to the start.
fn connect(
    config: &Config,
    facts: &Facts,
    seen: &Observation,
    progress: &Progress<Step>,
) -> Option<Next<Step>> {
    let resource = config.resource.clone();
    let is_9 = facts.version.generation() == Generation::V9;
    let patience = config.connect_patience;
    if let Some(promoted) = config.promoted_elsewhere().filter(|_| is_9) {
        let first = Step::Connect { resource: resource.clone(), peer: Some(promoted.to_owned()) };
        let is_promoted = |peer: &Peer| {
            peer.name.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(promoted))
        };
        let step = aside(first.clone(), progress);
        let step =
            step.or_else(|| awaited(patience.max(HANDSHAKE), facts, &first, is_promoted, progress));
        if step.is_some() {
            return step;
        }
    }
    // Whoever is StandAlone once connecting was tried has been refused, and "all" would connect that one again.
    let is_refused = progress.tried(is_connect) && seen.has_refused(facts);
    let all = Step::Connect { resource, peer: floating_peer(config, facts) };
    if progress.tried(|step| *step == all) || !is_refused {
        let step = aside(all.clone(), progress);
        let step = step.or_else(|| awaited(patience, facts, &all, |_| true, progress));
        return step.or_else(|| again(patience, facts, all, seen, progress));
    }
    let others = others(config, facts);
    let one = |peer: &String| Step::Connect {
        resource: config.resource.clone(),
        peer: Some(peer.clone()),
    };
    others.iter().filter(|_| is_9).find_map(|peer| aside(one(peer), progress))
}

fn is_connect(step: &Step) -> bool {
    matches!(step, Step::Connect { .. })
}

/// The peers that have not been refused, as far as anybody says who they are.
fn others(config: &Config, facts: &Facts) -> Vec<String> {
    let is = |name: &String, other: &str| name.eq_ignore_ascii_case(other);
    let mut others: Vec<String> = Vec::new();
    let known = facts.peers.iter().filter_map(|peer| peer.name.clone());
    for name in known.chain(config.relatives.iter().cloned()) {
        let is_refused =
            facts.stand_alone().any(|peer| peer.name.as_deref().is_some_and(|it| is(&name, it)));
        let is_new = !others.iter().any(|other| is(&name, other));
        if is_new && !is_refused && config.node.is_some() && !config.is_here(&name) {
            others.push(name);
        }
    }
    others
}

/// Once more where connecting has failed, as while the address is not there yet.
fn again(
    patience: Duration,
    facts: &Facts,
    all: Step,
    seen: &Observation,
    progress: &Progress<Step>,
) -> Option<Next<Step>> {
    let first = progress.applied.iter().find(|tried| tried.step == all)?;
    let is_over = progress.elapsed.saturating_sub(first.at) >= patience;
    let is_alone = facts.peers.iter().all(|peer| peer.connection == Connection::StandAlone);
    if seen.link != Some(Link::Unmade) || seen.has_refused(facts) || !is_alone || is_over {
        return None;
    }
    match progress.since(|step| *step == all) {
        _ if progress.remaining.is_zero() => None,
        Some(ago) if ago < PAUSE => Some(Next::wait(PAUSE, "the connection to be possible")),
        Some(_) | None => Some(Next::Do(all)),
    }
}

/// A pause while one of these peers is not connected, may still come, and there is patience.
fn awaited(
    patience: Duration,
    facts: &Facts,
    after: &Step,
    is_such: impl Fn(&Peer) -> bool,
    progress: &Progress<Step>,
) -> Option<Next<Step>> {
    let tried = progress.last(|step| step == after)?;
    let waited = progress.elapsed.saturating_sub(tried.at);
    // What failed need not be waited for; who is refused does not come.
    let may_come = |peer: &&Peer| {
        is_such(peer)
            && !peer.is_connected()
            && !facts.stand_alone().any(|other| other.id == peer.id)
    };
    let is_awaited = tried.failure.is_none()
        && waited < patience
        && !progress.remaining.is_zero()
        && facts.peers.iter().any(|peer| may_come(&peer));
    let pause = POLL.min(patience.saturating_sub(waited));
    is_awaited.then(|| Next::wait(pause, "the peers to be connected"))
}

/// The peer that 8.4 has to be told where it has several to choose from: the first other node that Pacemaker names. 9
/// knows its peers. Where nobody is named and there are several, drbdadm (9.22) connects to "N/A", and fails.
pub(super) fn floating_peer(config: &Config, facts: &Facts) -> Option<String> {
    let is_8 = facts.version.generation() == Generation::V8;
    let is_other = |node: &&String| config.node.is_some() && !config.is_here(node);
    config.relatives.iter().find(is_other).filter(|_| is_8).cloned()
}
