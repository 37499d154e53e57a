//! The known counterexamples in the stock rules are found, and ours has none where they were. Invariant: each test names
//! the rule and the invariant that it breaks.

use explorer::{
    invariant::Name,
    state::Left,
    walk::walk,
    world::{Stock, World},
};

const ALL: usize = 5_000_000;

#[test]
fn five_at_the_timeout_loses_acknowledged_writes() {
    let left = Left { cuts: 1, splits: 1, promotions: 1, writes: 1, jumps: 2, ..Left::default() };
    let stock = Stock { thaws_at_timeout: true, ..Stock::default() };
    let found = walk(&World::two(left).with(stock), ALL, 1).found;
    assert_eq!(found.map(|found| found.name), Some(Name::NoStalePromotion));
    let ours = walk(&World::two(left), ALL, 1);
    assert_eq!(ours.found, None);
    assert!(ours.is_whole);
}
