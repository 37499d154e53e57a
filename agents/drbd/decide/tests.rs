//! The rules over the full product of what can be seen, and the situations one by one. Nothing here asks a kernel: the
//! world is data.

mod down;
mod notices;
mod product;
mod promotion;
mod up;

use super::*;
use crate::{
    config::Options,
    facts::{Peer, PeerDisk, Volume},
    observe::{Access, Configuration, Configured, Remembered, Roles},
    record::Kept,
    score::{Elsewhere, PeerPrimary, Score, Scores},
};
use duet_drbd::{Connection, Disk, Role, Suspended, Version};
use duet_ocf::{Applied, Environment};

const V8: Version = Version { major: 8, minor: 4, patch: 11 };
const V9: Version = Version { major: 9, minor: 2, patch: 16 };

fn config() -> Config {
    Config {
        resource: "r0".into(),
        file: "/etc/drbd.conf".into(),
        instance: "p_drbd".into(),
        node: Some("node1".into()),
        options: Options {
            scores: Scores::DEFAULT,
            peer_primary: PeerPrimary::Ignore,
            promoted_max: 1,
        },
        stop_outdates_secondary: false,
        connect_patience: Duration::from_secs(5),
        fail_promote_early: false,
        unfence: None,
        from_version: Version { major: 8, minor: 0, patch: 0 },
        before_version: Version { major: 10, minor: 0, patch: 0 },
        connect_only_after_promote: false,
        promoted: Vec::new(),
        stopping: Vec::new(),
        demoting: Vec::new(),
        relatives: Vec::new(),
        record: "/run/resource-agents/drbd-p_drbd.record".into(),
        clone_max: Some(2),
        remarks: Vec::new(),
    }
}

fn request(action: Action, interval: &str) -> Request {
    Request::new(action, Environment::default().with("OCF_RESKEY_CRM_meta_interval", interval))
}

fn volume(disk: Disk) -> Volume {
    Volume { number: 0, minor: Some(0), disk, is_client: false, has_quorum: true, open: None }
}

fn peer(connection: Connection, role: Role, disk: Disk) -> Peer {
    let disks = vec![PeerDisk { disk, is_client: false }];
    Peer { id: 1, name: Some("node2".into()), connection, role, disks }
}

/// Well, and connected to a peer that is.
fn well(role: Role) -> Facts {
    Facts {
        version: V9,
        role,
        suspended: Suspended::default(),
        volumes: vec![volume(Disk::UpToDate)],
        peers: vec![peer(Connection::Connected, Role::Secondary, Disk::UpToDate)],
    }
}

/// UpToDate, and cut off.
fn alone(role: Role) -> Facts {
    let peers = vec![peer(Connection::Connecting, Role::Unknown, Disk::DUnknown)];
    Facts { peers, ..well(role) }
}

/// As a split brain leaves it.
fn split(role: Role) -> Facts {
    let peers = vec![peer(Connection::StandAlone, Role::Unknown, Disk::DUnknown)];
    Facts { peers, ..well(role) }
}

/// With volumes that have no disk yet, and no peer.
fn bare(version: Version) -> Facts {
    let volumes = vec![volume(Disk::Diskless)];
    Facts { version, volumes, peers: Vec::new(), ..well(Role::Secondary) }
}

fn seen(kernel: Kernel) -> Observation {
    Observation {
        kernel,
        module: Some(V9),
        configuration: Configuration::Read(Configured::default()),
        elsewhere: Elsewhere::NotKnown,
        missing_nodes: Vec::new(),
        openers: Vec::new(),
        access: Access::NotDenied,
        roles: Roles::Alike,
        link: None,
        remembered: Remembered::default(),
    }
}

fn known(facts: Facts) -> Observation {
    seen(Kernel::Known(facts))
}

fn silent() -> Observation {
    seen(Kernel::Silent("Could not ask the kernel".into()))
}

fn at(elapsed: u64, remaining: u64) -> Progress<Step> {
    Progress {
        elapsed: Duration::from_secs(elapsed),
        remaining: Duration::from_secs(remaining),
        applied: Vec::new(),
    }
}

/// The same after this step, which ended so many seconds after the beginning.
fn after(
    mut progress: Progress<Step>,
    step: Step,
    at: u64,
    failure: Option<&str>,
) -> Progress<Step> {
    let failure = failure.map(|why| Outcome::fail(ExitCode::Generic, why));
    progress.applied.push(Applied { step, at: Duration::from_secs(at), failure });
    progress
}

fn decide_by(
    config: &Config,
    action: Action,
    seen: &Observation,
    progress: &Progress<Step>,
) -> Next<Step> {
    next(config, &request(action, "10000"), seen, progress)
}

fn decide(action: Action, seen: &Observation, progress: &Progress<Step>) -> Next<Step> {
    decide_by(&config(), action, seen, progress)
}

fn code(next: &Next<Step>) -> Option<ExitCode> {
    match next {
        Next::Done(outcome) => Some(outcome.code),
        Next::Do(_) | Next::Wait { .. } => None,
    }
}

fn reason(next: &Next<Step>) -> String {
    match next {
        Next::Done(outcome) => outcome.reason.clone().unwrap_or_default(),
        other => panic!("not done: {other:?}"),
    }
}

fn is_wait(next: &Next<Step>) -> bool {
    matches!(next, Next::Wait { .. })
}

fn r0() -> String {
    "r0".into()
}

fn score() -> Step {
    Step::UpdateScore(r0())
}

fn primary() -> Step {
    Step::Primary(r0())
}

fn secondary_by(by: By) -> Step {
    Step::Secondary { resource: r0(), by }
}

fn down_by(by: By) -> Step {
    Step::Down { resource: r0(), by, was: Was::Secondary }
}

fn connect_all() -> Step {
    Step::Connect { resource: r0(), peer: None }
}
