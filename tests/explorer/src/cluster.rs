//! corosync and Pacemaker: memberships, copies of the CIB, quorum, fencing, and whom the scheduler promotes. Invariant:
//! inside a partition the CIB is one (every change is seen by all, in one order), and a node is promoted only where the
//! copy in force there allows it.

use crate::{
    invariant::Name,
    kernel,
    state::{Change, Cib, Handler, Phase, Set, State, each, has, one},
    world::World,
};

/// Those that this node's machine can talk to, itself included.
#[must_use]
pub fn company(world: &World, state: &State, node: usize) -> Set {
    let alone = usize::from(state.split);
    let is_with = |other: &usize| {
        state.nodes[*other].is_on
            && (alone == 0 || *other == node || (*other + 1 != alone && node + 1 != alone))
    };
    each(world.all()).filter(is_with).fold(0, |set, other| set | one(other))
}

/// Whether corosync has formed the membership that there really is.
#[must_use]
pub fn is_formed(world: &World, state: &State, node: usize) -> bool {
    state.nodes[node].members == company(world, state, node)
}

/// Whether this node's partition has quorum, as it believes.
#[must_use]
pub fn has_quorum(world: &World, state: &State, node: usize) -> bool {
    let it = &state.nodes[node];
    match world.nodes {
        2 => it.has_seen_all || !world.waits_for_all,
        nodes => it.members.count_ones() as usize * 2 > nodes,
    }
}

/// Something in the CIB has changed, if only its status.
pub fn bump(world: &World, state: &mut State, node: usize) {
    let company = company(world, state, node);
    for other in each(company) {
        state.nodes[other].is_noted = false;
        for handler in &mut state.nodes[other].handlers {
            handler.age();
            let depends = match handler.phase {
                Phase::SeenCib | Phase::Asks | Phase::Commits(_) => true,
                Phase::Idle | Phase::Called | Phase::Look | Phase::Ends { .. } => false,
            };
            handler.is_stale |= depends;
        }
    }
    if let Some((from, _)) = state.late.change {
        state.late.is_stale |= has(company, usize::from(from));
    }
}

/// corosync forms a membership of all who can talk to each other; who comes back takes the newest CIB.
pub fn form(world: &World, state: &mut State, node: usize) {
    let company = company(world, state, node);
    let newest = each(company).max_by_key(|other| state.nodes[*other].cib.epoch);
    let newest = state.nodes[newest.unwrap_or(node)].cib;
    let down = newest.down & !company;
    for other in each(company) {
        state.nodes[other].cib = Cib { down, ..newest };
    }
    for other in each(company) {
        state.nodes[other].members = company;
        state.nodes[other].has_seen_all |= company == world.all();
    }
    let least = each(world.all()).map(|other| state.nodes[other].cib.epoch).min().unwrap_or(0);
    for other in each(world.all()) {
        state.nodes[other].cib.epoch -= least;
    }
    bump(world, state, node);
}

/// Whether this partition, of which `node` is the first, will fence that node.
#[must_use]
pub fn can_fence(world: &World, state: &State, node: usize, victim: usize) -> bool {
    let it = &state.nodes[node];
    world.has_stonith
        && is_formed(world, state, node)
        && has_quorum(world, state, node)
        && it.members.trailing_zeros() as usize == node
        && !has(it.members, victim)
        && !has(it.cib.down, victim)
}

/// It loses power, and that is confirmed.
pub fn fence(world: &World, state: &mut State, node: usize, victim: usize) {
    power_off(world, state, victim);
    confirm(world, state, node, victim);
}

/// The partition knows that a node is down.
fn confirm(world: &World, state: &mut State, node: usize, victim: usize) {
    for member in each(company(world, state, node)) {
        state.nodes[member].cib.down |= one(victim);
    }
    bump(world, state, node);
}

/// A machine loses power.
pub fn power_off(world: &World, state: &mut State, node: usize) {
    kernel::gone(state, node);
    let it = &mut state.nodes[node];
    it.is_on = false;
    it.members = 0;
    it.has_seen_all = false;
    for other in each(world.all()) {
        state.nodes[other].peers[node].has_died = other != node && state.nodes[other].is_up;
    }
}

/// A machine is switched on; Pacemaker begins alone, with the CIB that it has on disk.
pub fn boot(state: &mut State, node: usize) {
    let it = &mut state.nodes[node];
    it.is_on = true;
    it.members = one(node);
    it.cib.down = 0;
    it.is_noted = false;
    it.handlers = [Handler::IDLE; crate::state::MAX];
}

/// A node leaves in order: everybody knows that it is down, and a Primary that it was outdated.
pub fn shut_down(world: &World, state: &mut State, node: usize) {
    for peer in each(world.all()) {
        if !kernel::is_live(state, node, peer) {
            continue;
        }
        let is_primary = state.nodes[peer].is_primary;
        let link = &mut state.nodes[peer].peers[node];
        link.is_up = false;
        link.disk = link.disk.min(crate::state::Known::Unknown);
        if is_primary {
            link.disk = crate::state::Known::Bad;
            let disk = &mut state.nodes[node].disk;
            *disk = (*disk).min(crate::state::Disk::Outdated);
        }
    }
    let company = company(world, state, node) & !one(node);
    let formed = is_formed(world, state, node);
    power_off(world, state, node);
    if let Some(first) = each(company).next().filter(|_| formed) {
        for member in each(company) {
            state.nodes[member].members &= !one(node);
        }
        confirm(world, state, first, node);
    }
}

/// Whether the scheduler would promote this node now.
#[must_use]
pub fn can_promote(world: &World, state: &State, node: usize) -> bool {
    let it = &state.nodes[node];
    let company = company(world, state, node);
    let others = world.all() & !company;
    let nobody = each(company)
        .all(|member| !state.nodes[member].is_primary && !state.nodes[member].is_promoting);
    it.is_on
        && nobody
        && is_formed(world, state, node)
        && has_quorum(world, state, node)
        && (!world.has_stonith || others & !it.cib.down == 0)
        && it.cib.rule.is_none_or(|allowed| has(allowed, node))
        && crate::project::has_score(world, state, node)
}

/// A promotion begins.
pub fn promote(world: &World, state: &mut State, node: usize) {
    bump(world, state, node);
    if state.nodes[node].is_up {
        state.nodes[node].is_promoting = true;
    } else {
        Name::ScoreNeedsData.broken(world, state);
    }
}

/// A change arrives at the CIB. Whether it was made: not if the CIB had moved on.
pub fn commit(
    world: &World,
    state: &mut State,
    node: usize,
    change: Change,
    is_stale: bool,
) -> bool {
    let by_id = world.stock.removes_by_id && change == Change::Remove;
    if is_stale && !by_id && change != Change::Bump {
        return false;
    }
    let before = state.nodes[node].cib.rule;
    let after = match change {
        Change::Write { allowed, .. } => Some(allowed),
        Change::Remove => None,
        Change::Bump => before,
    };
    crate::invariant::check_change(world, state, before, after, is_stale);
    bump(world, state, node);
    for member in each(company(world, state, node)) {
        let cib = &mut state.nodes[member].cib;
        cib.rule = after;
        cib.epoch += 1;
    }
    let least = each(world.all()).map(|other| state.nodes[other].cib.epoch).min().unwrap_or(0);
    for other in each(world.all()) {
        state.nodes[other].cib.epoch -= least;
    }
    true
}
