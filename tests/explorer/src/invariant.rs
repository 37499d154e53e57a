//! The invariants, by their names. Invariant: those about a step are judged in the step and kept in the state, those
//! about a state in the state; none asks the programs what they think.

use crate::{
    cluster,
    state::{Change, Disk, Phase, Set, State, each, has, one, pair},
    world::World,
};

/// What must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Name {
    /// I1: no two nodes have acknowledged writes that the other lacks.
    NoDivergence,
    /// I2: who is promoted has every acknowledged write.
    NoStalePromotion,
    /// I3: one writer at most.
    SingleWriter,
    /// I4: 4 and 7 only for a peer that cannot be promoted, or died after it was lost, and only with own data that is good.
    HonestCodes,
    /// I5: nobody is allowed again whose data could be promoted and lacks an acknowledged write, or by a change to a CIB that was not looked at.
    MonotoneBan,
    /// I6: no I/O is frozen for good where there is a DC, quorum and fencing; and no handler waits for ever.
    BoundedFreeze,
    /// Who is chosen for promotion has the resource.
    ScoreNeedsData,
    /// Who has the lock answers 4 or 7 only for a ban that no change under way, by a call that is over or by its own, can lift.
    FirmBan,
}

/// All of them.
pub const ALL: [Name; 8] = [
    Name::NoDivergence,
    Name::NoStalePromotion,
    Name::SingleWriter,
    Name::HonestCodes,
    Name::MonotoneBan,
    Name::BoundedFreeze,
    Name::ScoreNeedsData,
    Name::FirmBan,
];

impl Name {
    /// As a bit of [`State::broken`].
    #[must_use]
    pub fn bit(self) -> u8 {
        1 << self as u8
    }

    /// It does not hold in this state, if it is asked for in this world.
    pub fn broken(self, world: &World, state: &mut State) {
        if world.judged & self.bit() != 0 {
            state.broken |= self.bit();
        }
    }

    /// As it is called.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Name::NoDivergence => "I1 no divergence",
            Name::NoStalePromotion => "I2 no stale promotion",
            Name::SingleWriter => "I3 single writer",
            Name::HonestCodes => "I4 honest codes",
            Name::MonotoneBan => "I5 monotone ban",
            Name::BoundedFreeze => "I6 bounded freeze",
            Name::ScoreNeedsData => "a score needs data",
            Name::FirmBan => "a ban that is answered for is firm",
        }
    }
}

/// I4, when the kernel takes 4 or 7 for "outdated".
pub fn check_code(world: &World, state: &mut State, node: usize, peer: usize) {
    let (it, other) = (&state.nodes[node], &state.nodes[peer]);
    let is_banned = other.cib.rule.is_some_and(|allowed| !has(allowed, peer))
        && it.cib.rule.is_none_or(|allowed| has(allowed, node));
    let is_bound = is_banned || it.peers[peer].has_died;
    let is_good = match it.disk {
        Disk::UpToDate => true,
        Disk::Consistent => is_banned,
        Disk::Outdated | Disk::Inconsistent => false,
    };
    if !is_bound || !is_good || it.is_attaching {
        Name::HonestCodes.broken(world, state);
    }
}

/// When 4 or 7 is decided for a peer on the CIB that there is.
pub fn check_ban(world: &World, state: &mut State, node: usize, peer: usize) {
    let Some((from, change)) = state.late.change.filter(|_| !state.late.is_stale) else { return };
    let from = usize::from(from);
    // Who is about to join brings no change: the new membership has a newer CIB.
    let arrives_here = has(cluster::company(world, state, node), from)
        && state.nodes[from].is_on
        && cluster::is_formed(world, state, from);
    let lifts = match change {
        Change::Remove => true,
        Change::Write { allowed, .. } => has(allowed, peer),
        Change::Bump => false,
    };
    if arrives_here && lifts && state.nodes[node].cib.rule.is_some_and(|rule| !has(rule, peer)) {
        Name::FirmBan.broken(world, state);
    }
}

/// I5, when the CIB is changed.
pub fn check_change(
    world: &World,
    state: &mut State,
    before: Option<Set>,
    after: Option<Set>,
    is_stale: bool,
) {
    let before = before.unwrap_or(world.all());
    let gained = after.unwrap_or(world.all()) & !before;
    // An Inconsistent or Outdated disk is not promoted by any kernel. "UpToDate at that moment" cannot be asked of anybody:
    // between the last look at the kernel and the arrival of the change, a connection can be lost and come back.
    let lacks = |member: usize| {
        let it = &state.nodes[member];
        it.disk >= Disk::Consistent && it.history & state.acked != state.acked
    };
    if gained != 0 && (is_stale || each(gained).any(lacks)) {
        Name::MonotoneBan.broken(world, state);
    }
}

/// Those that a state can be judged by, after each step.
pub fn check_state(world: &World, state: &mut State) {
    let writers = each(world.all())
        .filter(|node| state.nodes[*node].is_primary && !state.nodes[*node].is_frozen())
        .count();
    if writers > 1 {
        Name::SingleWriter.broken(world, state);
    }
    for one in each(world.all()) {
        for other in each(world.all()) {
            let (a, b) = (&state.nodes[one], &state.nodes[other]);
            let counts = a.disk >= Disk::Consistent && b.disk >= Disk::Consistent;
            let only_a = a.history & !b.history & state.acked;
            let only_b = b.history & !a.history & state.acked;
            if counts && only_a != 0 && only_b != 0 {
                Name::NoDivergence.broken(world, state);
            }
        }
        if is_stuck(world, state, one) {
            Name::BoundedFreeze.broken(world, state);
        }
    }
}

/// Whether this node is frozen and nothing but a person, or a new disturbance, will change that.
fn is_stuck(world: &World, state: &State, node: usize) -> bool {
    let it = &state.nodes[node];
    let is_frozen_for = |peer: usize| {
        let link = &it.peers[peer];
        let heals = !has(state.cut, pair(node, peer)) && state.nodes[peer].is_on;
        link.is_frozen && !link.is_excused && !link.is_refused && !heals
    };
    let is_settled = it.handlers.iter().all(|handler| handler.phase == Phase::Idle);
    it.is_primary
        && is_settled
        && world.has_stonith
        && each(world.all() & !one(node)).any(is_frozen_for)
        && cluster::is_formed(world, state, node)
        && cluster::has_quorum(world, state, node)
        && each(world.all() & !one(node)).all(|other| !will_fence(world, state, other, node))
}

fn will_fence(world: &World, state: &State, by: usize, victim: usize) -> bool {
    let first = state.nodes[by].members.trailing_zeros() as usize;
    state.nodes[by].is_on
        && (!cluster::is_formed(world, state, by)
            || (first < world.nodes && cluster::can_fence(world, state, first, victim)))
}
