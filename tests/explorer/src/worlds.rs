//! The worlds that are walked: those in which ours has to hold, and those in which something is known to go wrong.
//! Invariant: each says what may happen in it, so that "none found" is a statement with bounds.

use crate::{
    invariant::Name,
    state::Left,
    world::{Lock, Start, Stock, World},
};

/// A world with a name.
#[derive(Debug, Clone, Copy)]
pub struct Named {
    /// What it is called.
    pub name: &'static str,
    /// It.
    pub world: World,
}

/// A world in which something is known to go wrong, and the same without that.
#[derive(Debug, Clone, Copy)]
pub struct Known {
    /// What it is called, and the file that tells the story.
    pub name: &'static str,
    /// What goes wrong.
    pub breaks: Name,
    /// It.
    pub world: World,
    /// The same world without what makes it go wrong, in which nothing does.
    pub cure: World,
}

const NOTHING: Left = Left {
    cuts: 0,
    splits: 0,
    crashes: 0,
    boots: 0,
    orders: 0,
    promotions: 0,
    kills: 0,
    monitors: 0,
    jumps: 0,
    unloads: 0,
    writes: 0,
};

/// Where ours has to hold, walked in `make test`.
#[must_use]
pub fn ours() -> Vec<Named> {
    let story = Left { cuts: 1, crashes: 1, promotions: 1, writes: 1, ..NOTHING };
    let returned = |world| World { start: Start::Returned, ..world };
    let crashed = |world| World { start: Start::Crashed, ..world };
    let all = Left { splits: 1, boots: 1, ..story };
    vec![
        Named { name: "two nodes, everything once", world: World::two(all) },
        Named {
            name: "two nodes, the rule is about to go, a handler is killed",
            world: returned(World::two(Left { kills: 1, boots: 1, monitors: 1, ..story })),
        },
        Named {
            name: "two nodes, the link flaps, a clock jumps",
            world: World::two(Left { cuts: 2, jumps: 2, writes: 2, ..NOTHING }),
        },
        Named {
            name: "two nodes after a crash of both",
            world: crashed(World::two(Left { splits: 1, jumps: 1, ..story })),
        },
        Named {
            name: "two nodes after a crash of both, two volumes",
            world: World {
                has_second_volume: true,
                ..crashed(World::two(Left { boots: 1, ..story }))
            },
        },
        Named {
            name: "two nodes, roles move and nodes leave in order",
            world: World::two(Left {
                orders: 2,
                promotions: 2,
                boots: 1,
                cuts: 1,
                writes: 1,
                ..NOTHING
            }),
        },
        Named {
            name: "two nodes, the link flaps, changes are lost on their way",
            world: World::two(Left { cuts: 2, kills: 2, writes: 1, ..NOTHING }),
        },
        Named {
            name: "two nodes, the rule is about to go, fence-peer does not wait for the lock",
            world: World {
                lock: Lock::Hurries,
                ..returned(World::two(Left { kills: 1, ..story }))
            },
        },
        Named { name: "two nodes under 8.4", world: World::two(Left { kills: 1, ..all }).eight() },
        Named {
            name: "two nodes under 8.4, the rule is about to go",
            world: returned(World::two(Left { kills: 1, monitors: 1, ..story })).eight(),
        },
        Named {
            name: "two nodes, resource-only with stonith",
            world: World { freezes: false, ..World::two(all) }.but(&[
                Name::NoDivergence,
                Name::NoStalePromotion,
                Name::MonotoneBan,
            ]),
        },
        Named {
            name: "three nodes, one of them about to be freed",
            world: returned(World::three(Left { cuts: 1, promotions: 1, writes: 1, ..NOTHING })),
        },
        Named {
            name: "three nodes, one cable, two fence-peers at once",
            world: World {
                lock: Lock::Missing,
                ..World::three(Left { cuts: 1, writes: 1, ..NOTHING })
            },
        },
        Named {
            name: "three nodes, one cable",
            world: World::three(Left { cuts: 1, writes: 1, ..NOTHING }),
        },
    ]
}

/// Where ours has to hold, walked in `make lab`: more of everything.
#[must_use]
pub fn lab() -> Vec<Named> {
    let more = Left {
        cuts: 2,
        splits: 1,
        crashes: 1,
        boots: 1,
        promotions: 2,
        writes: 2,
        jumps: 1,
        kills: 1,
        monitors: 1,
        orders: 1,
        unloads: 0,
    };
    let three = Left { cuts: 2, splits: 1, crashes: 1, promotions: 1, writes: 2, ..NOTHING };
    vec![
        Named { name: "two nodes", world: World::two(more) },
        Named { name: "three nodes", world: World::three(three) },
        Named {
            name: "two nodes, the rule is about to go",
            world: World { start: Start::Returned, ..World::two(more) },
        },
        Named {
            name: "three nodes, one of them about to be freed",
            world: World { start: Start::Returned, ..World::three(three) },
        },
        Named {
            name: "two nodes after a crash of both",
            world: World { start: Start::Crashed, ..World::two(more) },
        },
        Named {
            name: "three nodes after a crash of all",
            world: World { start: Start::Crashed, ..World::three(three) },
        },
    ]
}

fn known(name: &'static str, breaks: Name, cure: World, change: impl Fn(&mut World)) -> Known {
    let mut world = World { judged: breaks.bit(), ..cure };
    change(&mut world);
    Known { name, breaks, world, cure }
}

/// What is known to go wrong: under the stock rules, under rules that ours were chosen over, and without what ours rest on.
#[must_use]
pub fn stories() -> Vec<Known> {
    let story = Left { cuts: 1, crashes: 1, promotions: 1, writes: 1, ..NOTHING };
    let two = World::two(story);
    let returned = World { start: Start::Returned, ..two };
    let unload = World::two(Left { unloads: 1, orders: 1, promotions: 1, ..NOTHING });
    let cut = Left { cuts: 1, ..NOTHING };
    let all_returned = World { start: Start::AllReturned, ..World::three(cut) };
    let three_returned = World { start: Start::Returned, ..World::three(cut) };
    let attaching = World {
        start: Start::Crashed,
        has_second_volume: true,
        ..World::two(Left { promotions: 1, ..NOTHING })
    };
    let split = World::two(Left { splits: 1, jumps: 2, crashes: 0, ..story });
    let killed = World { left: Left { kills: 1, ..story }, ..returned };
    let flapping = World::two(Left { cuts: 2, kills: 1, ..NOTHING });
    let booted = World::two(Left { splits: 1, boots: 1, crashes: 0, ..story });
    let stock = |set: fn(&mut Stock)| move |world: &mut World| set(&mut world.stock);
    vec![
        known(
            "stock-score-without-drbd",
            Name::ScoreNeedsData,
            unload,
            stock(|it| it.scores_nothing = true),
        ),
        known(
            "stock-tighter-rule-is-a-failure",
            Name::BoundedFreeze,
            all_returned,
            stock(|it| it.fails_on_tighter = true),
        ),
        known(
            "stock-negotiating-is-up-to-date",
            Name::HonestCodes,
            attaching,
            stock(|it| it.trusts_negotiating = true),
        ),
        known(
            "stock-mask-is-trusted",
            Name::MonotoneBan,
            returned,
            stock(|it| it.trusts_mask = true),
        ),
        known(
            "stock-rule-removed-by-id",
            Name::NoStalePromotion,
            returned,
            stock(|it| it.removes_by_id = true),
        ),
        known(
            "stock-5-at-the-timeout",
            Name::NoStalePromotion,
            split,
            stock(|it| it.thaws_at_timeout = true),
        ),
        known(
            "resource-only-without-stonith",
            Name::NoDivergence,
            World {
                left: Left { writes: 2, splits: 1, cuts: 1, promotions: 1, ..NOTHING },
                ..split
            },
            |world| {
                world.has_stonith = false;
                world.freezes = false;
            },
        ),
        known(
            "a-banned-node-lifts-the-rule",
            Name::NoStalePromotion,
            returned,
            stock(|it| it.lets_banned_lift = true),
        ),
        known(
            "any-allowed-node-frees",
            Name::HonestCodes,
            three_returned,
            stock(|it| it.lets_all_vouch = true),
        ),
        known(
            "without-the-lock",
            Name::NoStalePromotion,
            World { lock: Lock::Hurries, ..returned },
            stock(|it| it.forgets_others = true),
        ),
        known(
            "a-killed-removal-arrives-late",
            Name::NoStalePromotion,
            killed,
            stock(|it| it.forgets_others = true),
        ),
        known(
            "a-removal-of-its-own-arrives-late",
            Name::FirmBan,
            flapping,
            stock(|it| it.forgets_itself = true),
        ),
        known(
            "stock-ban-is-proof-and-no-wait-for-all",
            Name::HonestCodes,
            World { left: Left { promotions: 0, ..booted.left }, ..booted },
            |world| {
                world.stock.trusts_ban = true;
                world.waits_for_all = false;
            },
        ),
        known("without-wait-for-all", Name::HonestCodes, booted, |world| {
            world.waits_for_all = false;
        }),
    ]
}
