//! Our rules keep every invariant in every interleaving of the worlds of `worlds::ours`. Invariant: a million different
//! states at least, or the test fails.

use explorer::{story, walk::walk, worlds};

/// Of one world.
const LIMIT: usize = 300_000;

#[test]
fn ours_keeps_every_invariant_in_a_million_states() {
    let mut states = 0;
    for named in worlds::ours() {
        let walked = walk(&named.world, LIMIT, 1);
        let story = walked.found.as_ref().map(|found| story::story(&named.world, found));
        assert!(story.is_none(), "{}: {}", named.name, story.unwrap_or_default());
        states += walked.states;
        println!(
            "{}: {} states, whole: {}, depth {}, {:?}",
            named.name, walked.states, walked.is_whole, walked.depth, walked.took
        );
    }
    assert!(states >= 1_000_000, "{states}");
}
