//! From the model's state to the facts that the programs decide on, and back. Invariant: the functions asked are those
//! of the programs; what differs from ours, differs by name, in [`crate::world::Stock`].

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use crm_fence_peer::{
    decide::{
        self, Asked, Code, Late, Mask, Mode, Next, OnTimeout, Options, Placed, Progress, Question,
        Reason, Step, Until,
    },
    facts::{
        Cluster, Data, Kernel, Local, Member, Members, Peer, Policy, Rule, Seen, Standing, Version,
        Volume,
    },
};

use crate::{
    state::{
        CLOCK, Change, CibLook, Disk, Handler, KernelLook, Known, Memory, Set, State, each, has,
        one,
    },
    world::World,
};

/// What a handler does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// These controllers are asked.
    Ask(Set),
    /// The CIB is changed.
    Do(Change),
    /// It looks again later, perhaps because of the peer.
    Wait {
        /// For the peer.
        for_peer: bool,
    },
    /// The end.
    Done(u8),
}

/// All that a verdict depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    world: World,
    node: usize,
    peer: usize,
    mask: Option<Set>,
    is_refused: bool,
    clock: u8,
    memory: Memory,
    has_lock: bool,
    cib: CibLook,
    kernel: KernelLook,
}

thread_local! {
    static VERDICTS: RefCell<HashMap<Key, Verdict>> = RefCell::default();
    static SCORES: RefCell<HashMap<ScoreKey, bool>> = RefCell::default();
}

/// What the handler in this place does next, after its looks.
#[must_use]
pub fn verdict(world: &World, node: usize, peer: usize, handler: &Handler) -> Verdict {
    let key = Key {
        world: World { left: crate::state::Left::default(), ..*world },
        node,
        peer,
        mask: handler.mask,
        is_refused: handler.is_refused,
        clock: handler.clock,
        memory: handler.memory,
        has_lock: handler.has_lock,
        cib: handler.cib,
        kernel: handler.kernel,
    };
    VERDICTS.with_borrow_mut(|known| {
        *known.entry(key).or_insert_with(|| {
            let next = next(world, node, peer, handler);
            crate::stock::overrule(world, node, peer, handler, of(world, node, &next))
        })
    })
}

/// What the program says, with its reason.
#[must_use]
pub fn next(world: &World, node: usize, peer: usize, handler: &Handler) -> Next {
    let (asked, seen, progress) = facts(world, node, peer, handler);
    decide::decide(&asked, &seen, &progress)
}

fn of(world: &World, node: usize, next: &Next) -> Verdict {
    match next {
        // It calls the only other one 0.
        Next::Ask(Question::Controllers(_)) if world.is_eight => Verdict::Ask(one(1 - node)),
        Next::Ask(Question::Controllers(peers)) => {
            Verdict::Ask(peers.iter().fold(0, |set, id| set | 1 << id))
        }
        Next::Ask(Question::Policy) => unreachable!("the policy is always told"),
        Next::Do(Step::Write { allowed, placed, .. }) => {
            let known = |node: &usize| allowed.contains(&name(*node));
            Verdict::Do(Change::Write {
                allowed: each(world.all()).filter(known).fold(0, |set, node| set | one(node)),
                placed: placed.as_ref().map(|placed| (placed.then.number(), placed.is_new)),
            })
        }
        Next::Do(Step::Remove { .. }) => Verdict::Do(Change::Remove),
        Next::Do(Step::Bump { .. }) => Verdict::Do(Change::Bump),
        Next::Wait { until, .. } => Verdict::Wait { for_peer: *until == Until::Peer },
        Next::Done(answer) => Verdict::Done(answer.code.number()),
    }
}

/// As the cluster calls it.
#[must_use]
pub fn name(node: usize) -> String {
    format!("node{}", node + 1)
}

fn ids(set: Set) -> BTreeSet<u32> {
    (0..8).filter(|item| has(set, *item as usize)).collect()
}

/// The version of the CIB in every look: what matters is whether another one is the same.
const NOW: Version = Version { admin_epoch: 0, epoch: 2, num_updates: 0 };
/// One before it.
const BEFORE: Version = Version { epoch: 1, ..NOW };

fn facts(world: &World, node: usize, peer: usize, handler: &Handler) -> (Asked, Seen, Progress) {
    let is_fence = node != peer;
    let stock = &world.stock;
    let on_timeout = if stock.thaws_at_timeout { OnTimeout::Thaw } else { OnTimeout::Freeze };
    let number = |item: usize| match world.is_eight {
        true => 0,
        false => u32::try_from(item).expect("there are three at most"),
    };
    let asked = Asked {
        mode: if is_fence { Mode::Fence } else { Mode::Unfence },
        resource: "r0".to_owned(),
        me: (!world.is_eight).then(|| number(node)),
        peer: is_fence.then(|| number(peer)),
        is_refused: handler.is_refused,
        mask: handler.mask.map(|mask| Mask(ids(mask))),
        late: match () {
            () if stock.forgets_others => Late::Nothing,
            () if !handler.has_lock => Late::Anything,
            () if handler.cib.is_noted => Late::ChangeOf(NOW),
            () => Late::Nothing,
        },
        options: Options { on_timeout, ..Options::default() },
    };
    let (cib, kernel) = (&handler.cib, &handler.kernel);
    let is_peer = |other: &usize| *other != node;
    let data = |disk: Disk| match disk {
        Disk::Inconsistent | Disk::Outdated => Data::Bad,
        Disk::Consistent => Data::Consistent,
        Disk::UpToDate => Data::UpToDate,
    };
    let mut volumes = BTreeMap::from([(0, Volume { data: data(kernel.disk), is_client: false })]);
    if world.has_second_volume {
        let data = match (kernel.is_attaching, stock.trusts_negotiating) {
            (true, true) => Data::UpToDate,
            (true, false) => Data::Bad,
            (false, _) => data(kernel.disk),
        };
        volumes.insert(1, Volume { data, is_client: false });
    }
    let seen_peer = |other: usize| Peer {
        is_connected: has(kernel.connected, other),
        is_primary: has(kernel.primary, other) && (is_fence || !stock.lets_all_vouch),
        is_up_to_date: has(kernel.good, other),
        is_client: false,
    };
    let peers = each(world.all()).filter(is_peer).map(|id| (number(id), seen_peer(id))).collect();
    let local =
        Local { is_primary: kernel.is_primary, is_frozen: kernel.is_frozen, volumes, peers };
    let member = |other: usize| {
        let counts = (stock.trusts_ban && cib.rule.is_some_and(|allowed| !has(allowed, other)))
            || (stock.asks_called_peer_only
                && kernel.disk == Disk::Consistent
                && is_fence
                && other != peer);
        let standing = match () {
            () if counts || has(cib.online, other) => Standing::Online,
            () if has(cib.down, other) => Standing::Down,
            () if world.has_stonith => Standing::WillBeFenced,
            () => Standing::Offline,
        };
        let answers = has(cib.asked, other).then_some(has(cib.answered, other));
        Member {
            name: Some(name(other)),
            standing,
            answers: if counts { Some(true) } else { answers },
        }
    };
    // What a banned node may do is what an allowed one may.
    let lifts = (stock.lets_banned_lift || stock.removes_by_id) && !is_fence;
    let rule = cib.rule.map(|allowed| if lifts { allowed | one(node) } else { allowed });
    // Who may say so is who could say so if nobody else could write.
    let speaks = stock.lets_all_vouch && !is_fence;
    let rule = rule.map(|allowed| if speaks && has(allowed, node) { one(node) } else { allowed });
    let rule = rule.map(|allowed| Rule {
        allowed: each(world.all()).filter(|id| has(allowed, *id)).map(name).collect(),
    });
    let members = Members {
        version: NOW,
        has_quorum: cib.has_quorum,
        has_stonith: world.has_stonith,
        me: name(node),
        rule,
        peers: each(world.all()).filter(is_peer).map(|id| (number(id), member(id))).collect(),
    };
    let seen = Seen {
        kernel: if kernel.is_up { Kernel::Known(local) } else { Kernel::Unconfigured },
        cluster: match cib.has_dc {
            true => Cluster::Known(members),
            false => Cluster::WithoutDc("nobody answered".to_owned()),
        },
        policy: Some(if world.freezes { Policy::ResourceAndStonith } else { Policy::ResourceOnly }),
        elapsed: Duration::from_secs(CLOCK[usize::from(handler.clock)]),
    };
    let memory = &handler.memory;
    let progress = Progress {
        placed: memory.placed.map(|(code, is_new)| placed(code, is_new)),
        removing: (cib.is_removing && !stock.forgets_itself).then_some(NOW),
        bumped: memory.has_bumped.then_some(BEFORE),
        has_removed: memory.has_removed,
        has_waited: memory.has_waited,
        conflicts: 0,
        failures: vec!["cibadmin was killed".to_owned(); usize::from(memory.failures)],
    };
    (asked, seen, progress)
}

/// What was written, by what will be answered; the reason is only handed on.
fn placed(code: u8, is_new: bool) -> Placed {
    let (then, because) = match code {
        0 => (Code::Done, Reason::Widened),
        4 => (Code::PeerBanned, Reason::BannedAndReachable),
        5 => (Code::PeerUnreachable, Reason::OnlyConsistentAndUnconfirmed),
        7 => (Code::PeerDown, Reason::BannedAndDown),
        _ => (Code::NotFenced, Reason::SplitBrain),
    };
    Placed { then, because, is_new }
}

/// What decides on a score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct ScoreKey {
    is_up: bool,
    is_attaching: bool,
    is_primary: bool,
    disk: Disk,
    peers: [(bool, bool, Known); 3],
    nodes: usize,
    volumes: usize,
    trusts: bool,
}

/// Whether the agent of DRBD gives this node a promotion score.
#[must_use]
pub fn has_score(world: &World, state: &State, node: usize) -> bool {
    let it = &state.nodes[node];
    if world.stock.scores_nothing && !it.is_up {
        return true;
    }
    let peers = it.peers.map(|link| (link.is_up, link.is_primary, link.disk));
    let key = ScoreKey {
        is_up: it.is_up,
        is_attaching: it.is_attaching,
        is_primary: it.is_primary,
        disk: it.disk,
        peers,
        nodes: world.nodes,
        volumes: if world.has_second_volume { 2 } else { 1 },
        trusts: world.stock.trusts_negotiating,
    };
    SCORES.with_borrow_mut(|known| *known.entry(key).or_insert_with(|| score(node, &key)))
}

fn score(node: usize, key: &ScoreKey) -> bool {
    use drbd_agent::{
        config::Options,
        facts::{Facts, Kernel, Peer, PeerDisk, Volume},
        score::{Elsewhere, PeerPrimary, Score, Scores, promotion_score},
    };
    use duet_drbd::{Connection, Disk as Word, Role};
    let version = duet_drbd::Version { major: 9, minor: 2, patch: 16 };
    let own = match key.disk {
        Disk::Inconsistent => Word::Inconsistent,
        Disk::Outdated => Word::Outdated,
        Disk::Consistent => Word::Consistent,
        Disk::UpToDate => Word::UpToDate,
    };
    let role = |is_primary| if is_primary { Role::Primary } else { Role::Secondary };
    let volume = |number: usize| {
        let is_attaching = number > 0 && key.is_attaching && !key.trusts;
        Volume {
            number: u32::try_from(number).expect("two at most"),
            minor: None,
            disk: if is_attaching { Word::Negotiating } else { own.clone() },
            is_client: false,
            has_quorum: true,
            open: None,
        }
    };
    let peer = |id: usize| {
        let (is_up, is_primary, known) = key.peers[id];
        let disk = match known {
            Known::Bad => Word::Outdated,
            Known::Unknown => Word::DUnknown,
            Known::Good => Word::UpToDate,
        };
        Peer {
            id: u32::try_from(id).expect("three at most"),
            name: Some(name(id)),
            connection: if is_up { Connection::Connected } else { Connection::Connecting },
            role: if is_up { role(is_primary) } else { Role::Unknown },
            disks: vec![PeerDisk { disk, is_client: false }; key.volumes],
        }
    };
    let facts = Facts {
        version,
        role: role(key.is_primary),
        suspended: duet_drbd::Suspended::default(),
        volumes: (0..key.volumes).map(volume).collect(),
        peers: (0..key.nodes).filter(|id| *id != node).map(peer).collect(),
    };
    let kernel = if key.is_up { Kernel::Known(facts) } else { Kernel::NoModule };
    // By default data that is only Consistent gives none, and half of the handler would never run.
    let scores = Scores { consistent: 5, ..Scores::DEFAULT };
    let options = Options { scores, peer_primary: PeerPrimary::Ignore, promoted_max: 1 };
    match promotion_score(&kernel, &options, Elsewhere::NotKnown) {
        // "As it is" may be one from before.
        Score::Set(_) | Score::Leave => true,
        Score::Remove => false,
    }
}
