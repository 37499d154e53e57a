//! A handler's turns: a look at the CIB, a look at the kernel, a decision, perhaps a question, perhaps a change, and again.
//! Invariant: the two looks are two steps, the CIB first, and anything may happen between any two steps.

use crate::{
    cluster, kernel,
    project::{self, Verdict},
    state::{
        Change, CibLook, Handler, KernelLook, Known, Late, Memory, Phase, Set, State, each, has,
        one,
    },
    world::{Lock, World},
};

impl Handler {
    /// Whether it has begun.
    #[must_use]
    pub fn is_at_work(&self) -> bool {
        !matches!(self.phase, Phase::Idle | Phase::Called)
    }

    /// The CIB has another version than before.
    pub fn age(&mut self) {
        self.is_noted = false;
        self.memory.is_removing = false;
    }
}

/// Whether it may begin its look: it has the lock, can have it, or does without.
#[must_use]
pub fn can_look(world: &World, state: &State, node: usize, place: usize) -> bool {
    let handlers = &state.nodes[node].handlers;
    match handlers[place].phase {
        Phase::Called => match world.lock {
            Lock::Waits => is_free(state, node),
            Lock::Hurries => place != node || is_free(state, node),
            Lock::Missing => true,
        },
        Phase::Look => true,
        Phase::Idle | Phase::SeenCib | Phase::Asks | Phase::Commits(_) | Phase::Ends { .. } => {
            false
        }
    }
}

/// Whether nobody on this node has the lock.
fn is_free(state: &State, node: usize) -> bool {
    state.nodes[node].handlers.iter().all(|handler| !handler.has_lock)
}

/// It takes the lock, if it can be had, and reads what is noted beside it.
fn begin(world: &World, state: &mut State, node: usize, place: usize) {
    let has_lock = match world.lock {
        Lock::Waits | Lock::Hurries => is_free(state, node),
        Lock::Missing => false,
    };
    let is_noted = state.nodes[node].is_noted && has_lock && place != node;
    let handler = &mut state.nodes[node].handlers[place];
    (handler.has_lock, handler.is_noted) = (has_lock, is_noted);
}

/// It looks at the CIB.
pub fn look(world: &World, state: &mut State, node: usize, place: usize) {
    if state.nodes[node].handlers[place].phase == Phase::Called {
        begin(world, state, node, place);
        if node == place && !state.nodes[node].handlers[place].has_lock {
            // Nothing is freed without it.
            return over(world, state, node);
        }
    }
    let handler = state.nodes[node].handlers[place];
    let it = &state.nodes[node];
    let dc = it.members.trailing_zeros() as usize;
    let has_dc = has(cluster::company(world, state, node), dc);
    let cib = CibLook {
        has_dc,
        has_quorum: cluster::has_quorum(world, state, node),
        rule: it.cib.rule,
        is_noted: handler.is_noted,
        is_removing: handler.memory.is_removing,
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
            // Before it is sent.
            handler.memory.is_removing |= change == Change::Remove && !is_stale;
            let frees = change == Change::Remove || (node == place && change != Change::Bump);
            if frees {
                state.nodes[node].is_noted = !is_stale;
            }
            return;
        }
        Verdict::Wait { for_peer } => {
            handler.memory.has_waited |= for_peer;
            handler.phase = Phase::Look;
            if is_last {
                crate::invariant::Name::BoundedFreeze.broken(world, state);
            }
        }
        Verdict::Done(code) => {
            handler.phase = Phase::Ends { code, is_excused };
            if matches!(code, 4 | 7) && handler.has_lock && !handler.is_stale {
                crate::invariant::check_ban(world, state, node, place);
            }
        }
    }
    state.nodes[node].handlers[place].forget();
    if node == place && matches!(verdict, Verdict::Done(_)) {
        over(world, state, node);
    }
}

/// unfence-peer has ended; the kernel does not care how.
fn over(world: &World, state: &mut State, node: usize) {
    let again = state.nodes[node].handlers[node].again;
    state.nodes[node].handlers[node] = Handler::IDLE;
    if again {
        kernel::unfence(world, state, node);
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
        memory.is_removing = false;
        memory.has_bumped |= change == Change::Bump;
        remember(&mut memory, change);
    }
    let handler = &mut state.nodes[node].handlers[place];
    handler.memory = memory;
    handler.is_stale = false;
    handler.phase = Phase::Look;
}

/// What is noted of a change that was made, or may have been.
fn remember(memory: &mut Memory, change: Change) {
    match change {
        Change::Write { placed, .. } => memory.placed = placed.or(memory.placed),
        Change::Remove => memory.has_removed = true,
        Change::Bump => {}
    }
}

/// Nobody answers for its change, which is on its way.
pub fn lose(state: &mut State, node: usize, place: usize) {
    let handler = state.nodes[node].handlers[place];
    let Phase::Commits(change) = handler.phase else { return };
    let from = u8::try_from(node).expect("three at most");
    state.late = Late { change: Some((from, change)), is_stale: handler.is_stale };
    let handler = &mut state.nodes[node].handlers[place];
    remember(&mut handler.memory, change);
    handler.memory.failures = (handler.memory.failures + 1).min(2);
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
        over(world, state, node);
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
