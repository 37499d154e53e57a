//! Our rules keep every invariant in every interleaving of the worlds of `worlds::ours`. Invariant: a million different
//! states at least, or the test fails.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use explorer::{
    story,
    walk::walk,
    worlds::{self, Named},
};

/// Of one world.
const LIMIT: usize = 200_000;
/// How many worlds are walked at once.
const THREADS: usize = 2;

fn states_of(named: &Named) -> usize {
    let walked = walk(&named.world, LIMIT, 1);
    let story = walked.found.as_ref().map(|found| story::story(&named.world, found));
    assert!(story.is_none(), "{}: {}", named.name, story.unwrap_or_default());
    println!(
        "{}: {} states, whole: {}, depth {}, {:?}",
        named.name, walked.states, walked.is_whole, walked.depth, walked.took
    );
    walked.states
}

#[test]
fn ours_keeps_every_invariant_in_a_million_states() {
    let worlds = worlds::ours();
    let next = AtomicUsize::new(0);
    let share = || {
        let mine = std::iter::from_fn(|| worlds.get(next.fetch_add(1, Ordering::Relaxed)));
        mine.map(states_of).sum::<usize>()
    };
    let states: usize = thread::scope(|scope| {
        let walkers: Vec<_> = (0..THREADS).map(|_| scope.spawn(share)).collect();
        walkers.into_iter().map(|walker| walker.join().unwrap()).sum()
    });
    assert!(states >= 1_000_000, "{states}");
    println!("{states} states");
}
