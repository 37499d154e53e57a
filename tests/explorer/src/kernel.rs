//! DRBD's kernel module: writes, losses and returns of peers, promotions, and what it makes of a handler's code.
//! Invariant: as measured with 9.2 and 9.3; where a real module has a choice, each of them is a step of its own.

use crate::{
    cluster,
    invariant::Name,
    state::{Disk, Handler, Known, Link, MAX, Phase, Set, State, each, has, one, pair},
    world::World,
};

/// Whether packets go both ways and both ends believe in the connection.
#[must_use]
pub fn is_live(state: &State, node: usize, peer: usize) -> bool {
    let (a, b) = (&state.nodes[node], &state.nodes[peer]);
    node != peer
        && a.is_up
        && b.is_up
        && a.peers[peer].is_up
        && b.peers[node].is_up
        && !has(state.cut, pair(node, peer))
}

/// What follows by itself at once: live peers know of each other, writes arrive, and are acknowledged.
pub fn settle(world: &World, state: &mut State) {
    for node in 0..world.nodes {
        for peer in 0..world.nodes {
            if is_live(state, node, peer) {
                let there = state.nodes[peer];
                let link = &mut state.nodes[node].peers[peer];
                link.is_primary = there.is_primary;
                link.disk = match there.disk {
                    Disk::UpToDate => Known::Good,
                    Disk::Consistent => Known::Unknown,
                    Disk::Outdated | Disk::Inconsistent => Known::Bad,
                };
            }
        }
    }
    for node in 0..world.nodes {
        if !state.nodes[node].is_primary {
            continue;
        }
        let mut all_have_it = true;
        for peer in 0..world.nodes {
            if is_live(state, node, peer) && state.nodes[peer].disk == Disk::UpToDate {
                state.nodes[peer].history |= state.nodes[node].history;
            }
            if state.nodes[node].peers[peer].is_up
                && state.nodes[node].peers[peer].disk == Known::Good
            {
                let missing = state.nodes[node].history & !state.nodes[peer].history;
                all_have_it &= missing == 0;
            }
        }
        if all_have_it && !state.nodes[node].is_frozen() {
            state.acked |= state.nodes[node].history;
        }
    }
}

/// Whether the application on this node can write.
#[must_use]
pub fn can_write(state: &State, node: usize) -> bool {
    let it = &state.nodes[node];
    it.is_primary
        && it.disk == Disk::UpToDate
        && !it.is_frozen()
        && it.history & !state.acked == 0
        && state.left.writes > 0
}

/// One write. Without all peers it begins a data generation.
pub fn write(world: &World, state: &mut State, node: usize) {
    let number = usize::from(state.writes);
    state.writes += 1;
    state.left.writes -= 1;
    state.nodes[node].history |= one(number);
    if (0..world.nodes).any(|peer| peer != node && !state.nodes[node].peers[peer].is_up) {
        state.alone |= one(number);
    }
}

/// Whether the node believes in a connection that is none.
#[must_use]
pub fn can_notice(state: &State, node: usize, peer: usize) -> bool {
    state.nodes[node].is_up && state.nodes[node].peers[peer].is_up && !is_live(state, node, peer)
}

/// It notices.
pub fn notice(world: &World, state: &mut State, node: usize, peer: usize) {
    let before = state.nodes[node].peers[peer];
    let knows_primary = each(world.all()).any(|other| {
        is_live(state, node, other) && is_live(state, other, peer) && state.nodes[peer].is_primary
    });
    let it = &mut state.nodes[node];
    it.peers[peer].is_up = false;
    it.peers[peer].is_primary = false;
    if before.disk != Known::Bad {
        it.peers[peer].disk = Known::Unknown;
        if it.is_primary && it.disk >= Disk::Consistent {
            it.peers[peer].is_frozen = world.freezes;
            call(world, state, node, peer, false);
        } else if before.is_primary && knows_primary && it.disk == Disk::UpToDate {
            // Somebody else still hears of the Primary's writes.
            it.disk = Disk::Outdated;
        }
    }
}

/// The kernel calls fence-peer.
fn call(world: &World, state: &mut State, node: usize, peer: usize, is_refused: bool) {
    let mask = mask(world, state, node);
    let it = &mut state.nodes[node];
    let handler = &mut it.handlers[peer];
    if handler.runs() {
        it.peers[peer].again = !is_refused;
        return;
    }
    it.peers[peer].has_moved = false;
    it.peers[peer].is_excused = false;
    *handler = Handler { phase: Phase::Called, mask, is_refused, ..Handler::IDLE };
}

/// `UP_TO_DATE_NODES` at this moment; 8.4 has none.
fn mask(world: &World, state: &State, node: usize) -> Option<Set> {
    let links = &state.nodes[node].peers;
    let is_good = |peer: &usize| links[*peer].is_up && links[*peer].disk == Known::Good;
    let good = each(world.all()).filter(is_good);
    (!world.is_eight).then(|| good.fold(one(node), |mask, peer| mask | one(peer)))
}

/// Whether the two would connect.
#[must_use]
pub fn can_connect(state: &State, node: usize, peer: usize) -> bool {
    let ready = |here: usize, there: usize| {
        let link = &state.nodes[here].peers[there];
        state.nodes[here].is_up
            && !state.nodes[here].is_attaching
            && !link.is_up
            && !link.is_refused
    };
    !has(state.cut, pair(node, peer)) && ready(node, peer) && ready(peer, node)
}

/// They shake hands: connected, a resync, or a refusal.
pub fn connect(world: &World, state: &mut State, node: usize, peer: usize) {
    let (a, b) = (state.nodes[node], state.nodes[peer]);
    let (of_a, of_b) = (a.history & state.alone, b.history & state.alone);
    let both_primary = a.is_primary && b.is_primary;
    // Who is ahead of whom: None is a tie.
    let ahead = if of_a != of_b {
        match (of_a & of_b == of_b, of_a & of_b == of_a) {
            (true, _) => Some((node, peer)),
            (_, true) => Some((peer, node)),
            (false, false) => return refuse(world, state, node, peer),
        }
    } else if a.disk == Disk::Inconsistent && b.disk != Disk::Inconsistent {
        Some((peer, node))
    } else if b.disk == Disk::Inconsistent && a.disk != Disk::Inconsistent {
        Some((node, peer))
    } else if a.history == b.history {
        None
    } else if b.is_primary || (!a.is_primary && a.history & b.history == a.history) {
        Some((peer, node))
    } else {
        Some((node, peer))
    };
    // A Primary is nobody's target.
    if both_primary || ahead.is_some_and(|(_, target)| state.nodes[target].is_primary) {
        return refuse(world, state, node, peer);
    }
    for (here, there) in [(node, peer), (peer, node)] {
        let link = &mut state.nodes[here].peers[there];
        let runs = state.nodes[here].handlers[there].runs();
        *link = Link { is_up: true, has_moved: runs, ..Link::DOWN };
    }
    match ahead {
        Some((source, target)) => {
            if state.nodes[source].disk == Disk::Consistent {
                state.nodes[source].disk = Disk::UpToDate;
            }
            if state.nodes[source].disk == Disk::UpToDate {
                state.nodes[target].disk = Disk::Inconsistent;
            } else if state.nodes[target].disk == Disk::Consistent {
                state.nodes[target].disk = Disk::Outdated;
            }
        }
        None => {
            let best = a.disk.max(b.disk);
            if best >= Disk::Consistent && a.disk.min(b.disk) > Disk::Inconsistent {
                state.nodes[node].disk = Disk::UpToDate;
                state.nodes[peer].disk = Disk::UpToDate;
                if !world.is_eight {
                    unfence(world, state, node);
                    unfence(world, state, peer);
                }
            }
        }
    }
}

/// Both histories are the only ones: neither is given up.
fn refuse(world: &World, state: &mut State, node: usize, peer: usize) {
    for (here, there) in [(node, peer), (peer, node)] {
        state.nodes[here].peers[there].is_refused = true;
        if state.nodes[here].is_primary && !world.is_eight {
            call(world, state, here, there, true);
        }
    }
}

/// Whether the target of a resync can finish it.
#[must_use]
pub fn can_finish(state: &State, target: usize, source: usize) -> bool {
    is_live(state, target, source)
        && state.nodes[target].disk == Disk::Inconsistent
        && state.nodes[source].disk == Disk::UpToDate
}

/// The resync is over.
pub fn finish(world: &World, state: &mut State, target: usize, source: usize) {
    state.nodes[target].history = state.nodes[source].history;
    state.nodes[target].disk = Disk::UpToDate;
    if !world.is_eight {
        unfence(world, state, target);
    }
    unfence(world, state, source);
}

/// The kernel calls unfence-peer: it begins, or will again.
pub fn unfence(world: &World, state: &mut State, node: usize) {
    settle(world, state);
    let mask = mask(world, state, node);
    let handler = &mut state.nodes[node].handlers[node];
    if handler.runs() {
        handler.again = true;
    } else {
        *handler = Handler { phase: Phase::Called, mask, ..Handler::IDLE };
    }
}

/// What becomes of a promotion, as far as the kernel can say now.
pub fn barrier(world: &World, state: &mut State, node: usize) {
    let it = state.nodes[node];
    let peers = || each(world.all()).filter(|peer| *peer != node);
    let a_peer_is_good =
        peers().any(|peer| it.peers[peer].is_up && it.peers[peer].disk == Known::Good);
    let has_data = it.disk >= Disk::Consistent || a_peer_is_good;
    let a_peer_is_primary = peers().any(|peer| it.peers[peer].is_up && it.peers[peer].is_primary);
    let mut refuse = || {
        state.nodes[node].is_promoting = false;
        cluster::bump(world, state, node);
    };
    if !has_data || a_peer_is_primary {
        return refuse();
    }
    let unsettled = |peer: &usize| !it.peers[*peer].is_up && it.peers[*peer].disk != Known::Bad;
    let next = peers().find(unsettled);
    if let Some(peer) = next {
        return call(world, state, node, peer, false);
    }
    // The volume that is there has made the kernel call; the other one has no data to be Primary with.
    if it.is_attaching {
        return refuse();
    }
    let has_all = it.history & state.acked == state.acked;
    if it.disk >= Disk::Consistent && !has_all {
        Name::NoStalePromotion.broken(world, state);
    }
    let it = &mut state.nodes[node];
    it.is_promoting = false;
    it.is_primary = true;
    if it.disk == Disk::Consistent {
        it.disk = Disk::UpToDate;
    }
    // Who hears of the new Primary from others alone is not in on its writes.
    for peer in 0..world.nodes {
        let hears = each(world.all())
            .any(|other| is_live(state, other, peer) && is_live(state, other, node));
        if peer != node && hears && !is_live(state, node, peer) {
            let disk = &mut state.nodes[peer].disk;
            *disk = (*disk).min(Disk::Outdated);
        }
    }
    cluster::bump(world, state, node);
}

/// fence-peer has ended with this code.
pub fn code(
    world: &World,
    state: &mut State,
    node: usize,
    peer: usize,
    code: u8,
    is_excused: bool,
) {
    let is_refused = state.nodes[node].handlers[peer].is_refused;
    state.nodes[node].handlers[peer] = Handler::IDLE;
    let link = state.nodes[node].peers[peer];
    let is_ignored = link.is_up || link.has_moved;
    let mut outdates = false;
    if !is_ignored {
        let is_good = state.nodes[node].disk == Disk::UpToDate;
        outdates = code == 4 || code == 7 || (code == 5 && is_good);
        if code == 4 || code == 7 {
            crate::invariant::check_code(world, state, node, peer);
        }
    }
    let it = &mut state.nodes[node];
    let link = &mut it.peers[peer];
    link.has_moved = false;
    if outdates {
        link.disk = Known::Bad;
        link.is_frozen = false;
    } else if !is_ignored {
        link.is_excused = is_excused;
    }
    let again = std::mem::take(&mut link.again);
    let is_lost = !link.is_up && link.disk != Known::Bad;
    if it.is_promoting {
        let failed = !outdates && !link.is_up;
        if failed && !is_refused {
            it.is_promoting = false;
            cluster::bump(world, state, node);
        }
    } else if again && is_lost && it.is_primary {
        call(world, state, node, peer, false);
    }
}

/// DRBD ends on this node, in order or not.
pub fn gone(state: &mut State, node: usize) {
    let it = &mut state.nodes[node];
    it.is_up = false;
    it.is_attaching = false;
    it.is_primary = false;
    it.is_promoting = false;
    for peer in 0..MAX {
        // What a peer's disk is worth is remembered on disk, but only if it is bad.
        let disk = it.peers[peer].disk.min(Known::Unknown);
        it.peers[peer] = Link { disk, ..Link::DOWN };
        it.handlers[peer] = Handler::IDLE;
    }
}

/// The resource is brought up: what is on disk is good only if everybody else's is known to be bad.
pub fn up(world: &World, state: &mut State, node: usize) {
    let others_bad = (0..world.nodes)
        .all(|peer| peer == node || state.nodes[node].peers[peer].disk == Known::Bad);
    let it = &mut state.nodes[node];
    it.is_up = true;
    it.is_attaching = world.has_second_volume;
    it.disk = match it.disk {
        Disk::UpToDate | Disk::Consistent if others_bad => Disk::UpToDate,
        Disk::UpToDate | Disk::Consistent => Disk::Consistent,
        Disk::Outdated | Disk::Inconsistent => it.disk,
    };
}
