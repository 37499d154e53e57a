//! A handler's turns: a look at the CIB, a look at the kernel, a decision, perhaps a question, perhaps a change, and again.
//! Invariant: the two looks are two steps, the CIB first, and anything may happen between any two steps.

use crate::{
    cluster, kernel,
    project::{self, Verdict},
    state::{CibLook, Handler, KernelLook, Known, Late, Phase, Set, State, each, has, one},
    world::World,
};

/// Whether it may begin its look: it has the lock or can have it, and no change of a run before it is still on its way.
#[must_use]
pub fn can_look(world: &World, state: &State, node: usize, place: usize) -> bool {
    let handlers = &state.nodes[node].handlers;
    let others = || (0..world.nodes).filter(|other| *other != place);
    let minds = |other: &usize| !world.fences_together || *other == node || place == node;
    let is_free = !world.locks || others().filter(minds).all(|it| !handlers[it].has_lock());
    let is_first =
        world.overtakes || state.late.change.is_none_or(|(from, _)| usize::from(from) != node);
    is_first
        && match handlers[place].phase {
            Phase::Called => is_free,
            Phase::Look => true,
            Phase::Idle | Phase::SeenCib | Phase::Asks | Phase::Commits(_) | Phase::Ends { .. } => {
                false
            }
        }
}

/// It looks at the CIB.
pub fn look(world: &World, state: &mut State, node: usize, place: usize) {
    let it = &state.nodes[node];
    let dc = it.members.trailing_zeros() as usize;
    let has_dc = has(cluster::company(world, state, node), dc);
    let cib = CibLook {
        has_dc,
        has_quorum: cluster::has_quorum(world, state, node),
        rule: it.cib.rule,
        online: it.members & !one(node),
        down: it.cib.down,
        asked: 0,
        answered: 0,
    };
    let handler = &mut state.nodes[node].handlers[place];
    handler.cib = if has_dc { cib } else { CibLook::default() };
    handler.is_stale = false;
    handler.phase = Phase::SeenCib;
}

/// The handler with the look at the kernel that it takes now.
#[must_use]
pub fn looked(world: &World, state: &State, node: usize, place: usize) -> Handler {
    let it = &state.nodes[node];
    let set = |test: &dyn Fn(usize) -> bool| -> Set {
        let peers = each(world.all()).filter(|peer| *peer != node && test(*peer));
        peers.fold(0, |set, id| set | one(id))
    };
    let kernel = KernelLook {
        is_up: it.is_up,
        is_primary: it.is_primary,
        is_frozen: it.is_frozen(),
        is_attaching: it.is_attaching,
        disk: it.disk,
        connected: set(&|peer| it.peers[peer].is_up),
        primary: set(&|peer| it.peers[peer].is_up && it.peers[peer].is_primary),
        good: set(&|peer| it.peers[peer].is_up && it.peers[peer].disk == Known::Good),
    };
    Handler { kernel, ..it.handlers[place] }
}

/// The handler with the answers of the controllers that it asked.
#[must_use]
pub fn answered(world: &World, state: &State, node: usize, place: usize) -> Handler {
    let company = cluster::company(world, state, node);
    let mut handler = state.nodes[node].handlers[place];
    handler.cib.asked |= handler.asked;
    handler.cib.answered |= handler.asked & company;
    handler.asked = 0;
    handler
}

/// It decides on what it has seen.
pub fn decide(world: &World, state: &mut State, node: usize, place: usize, seen: Handler) {
    state.nodes[node].handlers[place] = seen;
    conclude(world, state, node, place);
}

fn conclude(world: &World, state: &mut State, node: usize, place: usize) {
    let verdict = project::verdict(world, node, place, &state.nodes[node].handlers[place]);
    let is_last =
        usize::from(state.nodes[node].handlers[place].clock) + 1 == crate::state::CLOCK.len();
    let handler = &mut state.nodes[node].handlers[place];
    let is_excused = !handler.cib.has_dc
        || !handler.cib.has_quorum
        || handler.clock >= 2
        || handler.memory.failures > 0;
    match verdict {
        Verdict::Ask(whom) => {
            handler.asked = whom;
            handler.phase = Phase::Asks;
            return;
        }
        Verdict::Do(change) => {
            let is_stale = handler.is_stale;
            handler.forget();
            handler.is_stale = is_stale;
            handler.phase = Phase::Commits(change);
            return;
        }
        Verdict::Wait { for_peer } => {
            handler.memory.has_waited |= for_peer;
            handler.phase = Phase::Look;
            if is_last {
                crate::invariant::Name::BoundedFreeze.broken(world, state);
            }
        }
        Verdict::Done(code) => handler.phase = Phase::Ends { code, is_excused },
    }
    state.nodes[node].handlers[place].forget();
    if node == place && matches!(verdict, Verdict::Done(_)) {
        over(state, node);
    }
}

/// unfence-peer has ended; the kernel does not care how.
fn over(state: &mut State, node: usize) {
    let again = state.nodes[node].handlers[node].again;
    state.nodes[node].handlers[node] = Handler::IDLE;
    if again {
        kernel::start_unfence(state, node, Some(one(node)));
        let it = &state.nodes[node];
        let good = (0..it.peers.len())
            .filter(|peer| it.peers[*peer].is_up && it.peers[*peer].disk == Known::Good);
        let mask = good.fold(one(node), |mask, peer| mask | one(peer));
        state.nodes[node].handlers[node].mask = Some(mask);
    }
}

/// Its change arrives at the CIB. Without a membership nothing arrives, and the tool is killed at its deadline.
pub fn commit(world: &World, state: &mut State, node: usize, place: usize) {
    let handler = state.nodes[node].handlers[place];
    let Phase::Commits(change) = handler.phase else { return };
    let mut memory = handler.memory;
    if !cluster::is_formed(world, state, node) {
        memory.failures = (memory.failures + 1).min(2);
    } else if cluster::commit(world, state, node, change, handler.is_stale) {
        match change {
            crate::state::Change::Write { placed, .. } => memory.placed = placed,
            crate::state::Change::Remove => memory.has_removed = true,
        }
    }
    let handler = &mut state.nodes[node].handlers[place];
    handler.memory = memory;
    handler.is_stale = false;
    handler.phase = Phase::Look;
}

/// It is killed. A change that it was about to make may be on its way.
pub fn kill(world: &World, state: &mut State, node: usize, place: usize) {
    let handler = state.nodes[node].handlers[place];
    if let Phase::Commits(change) = handler.phase {
        let from = u8::try_from(node).expect("three at most");
        state.late = Late { change: Some((from, change)), is_stale: handler.is_stale };
    }
    if node == place {
        over(state, node);
    } else {
        kernel::code(world, state, node, place, 137, true);
    }
}

/// The change of a handler that is gone arrives.
pub fn arrive(world: &World, state: &mut State) {
    let late = std::mem::replace(&mut state.late, Late { change: None, is_stale: false });
    if let Some((from, change)) = late.change {
        cluster::commit(world, state, usize::from(from), change, late.is_stale);
    }
}
