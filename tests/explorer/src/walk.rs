//! A walk through a world: how far it went, and the shortest story of a violation, if there is one. Invariant: with one
//! thread the same world gives the same walk.
#![allow(
    clippy::disallowed_methods,
    reason = "how long a walk took is for people, and decides nothing"
)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use stateright::{Checker, HasDiscoveries, Model, Property};

use crate::{
    invariant::{ALL, Name},
    model::Action,
    state::State,
    world::World,
};

/// A walk's end.
#[derive(Debug, Clone)]
pub struct Walked {
    /// How many different states there were.
    pub states: usize,
    /// How many steps were tried.
    pub steps: usize,
    /// How long the longest story is.
    pub depth: usize,
    /// Whether every state was seen, not only so many.
    pub is_whole: bool,
    /// How long it took.
    pub took: Duration,
    /// A violation.
    pub found: Option<Counterexample>,
}

/// How something went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counterexample {
    /// What did not hold.
    pub name: Name,
    /// What happened.
    pub actions: Vec<Action>,
}

/// A world of which only so many states are looked at.
struct Bounded {
    world: World,
    limit: Arc<AtomicUsize>,
    expanded: Arc<AtomicUsize>,
}

impl Model for Bounded {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        self.world.init_states()
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if self.expanded.fetch_add(1, Ordering::Relaxed) < self.limit.load(Ordering::Relaxed) {
            self.world.actions(state, actions);
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        self.world.next_state(state, action)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        fn holds<const BIT: u8>(_: &Bounded, state: &State) -> bool {
            state.broken & BIT == 0
        }
        vec![
            Property::always(Name::NoDivergence.text(), holds::<1>),
            Property::always(Name::NoStalePromotion.text(), holds::<2>),
            Property::always(Name::SingleWriter.text(), holds::<4>),
            Property::always(Name::HonestCodes.text(), holds::<8>),
            Property::always(Name::MonotoneBan.text(), holds::<16>),
            Property::always(Name::BoundedFreeze.text(), holds::<32>),
            Property::always(Name::ScoreNeedsData.text(), holds::<64>),
            Property::always(Name::FirmBan.text(), holds::<128>),
        ]
    }
}

/// Walks, breadth first, until something is wrong, or everything was seen, or at least `limit` states were.
#[must_use]
pub fn walk(world: &World, limit: usize, threads: usize) -> Walked {
    let begun = Instant::now();
    let expanded = Arc::new(AtomicUsize::new(0));
    let all = Arc::new(AtomicUsize::new(limit));
    let bounded =
        Bounded { world: *world, limit: Arc::clone(&all), expanded: Arc::clone(&expanded) };
    let checker = bounded
        .checker()
        .threads(threads)
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join();
    let expanded = expanded.load(Ordering::Relaxed);
    // A story is found again by walking it, which is not to end at the limit.
    all.store(usize::MAX, Ordering::Relaxed);
    let found = ALL
        .into_iter()
        .filter_map(|name| {
            let actions = checker.discovery(name.text())?.into_actions();
            Some(Counterexample { name, actions: shorten(world, name, actions) })
        })
        .min_by_key(|found| found.actions.len());
    Walked {
        states: checker.unique_state_count(),
        steps: checker.state_count(),
        depth: checker.max_depth(),
        is_whole: found.is_none() && expanded <= limit,
        took: begun.elapsed(),
        found,
    }
}

/// The states of a story; `None` if it cannot happen like that.
#[must_use]
pub fn replay(world: &World, actions: &[Action]) -> Option<Vec<State>> {
    let mut states = world.init_states();
    for action in actions {
        let last = states.last()?;
        let mut possible = Vec::new();
        world.actions(last, &mut possible);
        if !possible.contains(action) {
            return None;
        }
        states.push(world.next_state(last, *action)?);
    }
    Some(states)
}

/// Leaves out whatever is not needed for the same violation, and what does not happen without it.
fn shorten(world: &World, name: Name, mut actions: Vec<Action>) -> Vec<Action> {
    let breaks = |actions: &[Action]| {
        let states = replay(world, actions);
        states.is_some_and(|states| states.last().is_some_and(|s| s.broken & name.bit() != 0))
    };
    loop {
        let count = actions.len();
        let without = (0..count).flat_map(|one| (one..count).map(move |other| (one, other)));
        let shorter = without
            .map(|(one, other)| {
                let kept = actions.iter().enumerate();
                kept.filter(|(at, _)| *at != one && *at != other).map(|(_, it)| *it).collect()
            })
            .find(|shorter: &Vec<Action>| breaks(shorter));
        match shorter {
            Some(shorter) => actions = shorter,
            None => return actions,
        }
    }
}
