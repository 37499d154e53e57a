//! `explorer [--states N] [--threads N]`: walks the worlds of the lab until so many different states were seen in all, and
//! tells the story of a violation. Invariant: exits with 1 if there is one, or fewer states than asked for.

use std::process::ExitCode;

use explorer::{
    state::Left,
    story, walk,
    world::{Start, Stock, World},
};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().collect();
    let mut left = Left::default();
    let mut world = World::two(left);
    let mut states = 3_000_000;
    for arg in &args[1..] {
        let (k, v) = arg.split_once('=').unwrap_or((arg, "1"));
        let n: u8 = v.parse().unwrap_or(0);
        let s = &mut world.stock;
        match k {
            "n" => world.nodes = n.into(),
            "states" => states = v.parse().unwrap_or(0),
            "cuts" => left.cuts = n,
            "splits" => left.splits = n,
            "crashes" => left.crashes = n,
            "boots" => left.boots = n,
            "orders" => left.orders = n,
            "promotions" => left.promotions = n,
            "kills" => left.kills = n,
            "monitors" => left.monitors = n,
            "jumps" => left.jumps = n,
            "unloads" => left.unloads = n,
            "writes" => left.writes = n,
            "nostonith" => world.has_stonith = false,
            "ro" => world.freezes = false,
            "nowait" => world.waits_for_all = false,
            "nolock" => world.locks = false,
            "overtakes" => world.overtakes = true,
            "two" => world.has_second_volume = true,
            "allreturned" => world.start = Start::AllReturned,
"returned" => world.start = Start::Returned,
            "crashed" => world.start = Start::Crashed,
            "D11" => s.scores_nothing = true,
            "D12" => s.fails_on_tighter = true,
            "D1" => s.trusts_negotiating = true,
            "D5" => s.trusts_mask = true,
            "D9" => s.trusts_ban = true,
            "D10" => s.removes_by_id = true,
            "T5" => s.thaws_at_timeout = true,
            "BL" => s.lets_banned_lift = true,
            "VA" => s.lets_all_vouch = true,
            "I" => world.judged = Some(explorer::invariant::ALL[usize::from(n) - 1]),
            "sole" => s.sole = true,
            "touch" => s.touch = true,
            "CO" => s.asks_called_peer_only = true,
            _ => panic!("{k}"),
        }
    }
    world.left = left;
    let _ = Stock::default();
    let walked = walk::walk(&world, states, 1);
    println!(
        "{} states, {} steps, depth {}, whole {}, {:?}",
        walked.states, walked.steps, walked.depth, walked.is_whole, walked.took
    );
    match &walked.found {
        None => ExitCode::SUCCESS,
        Some(found) => {
            println!("{}{}", story::story(&world, found), story::LEGEND);
            ExitCode::FAILURE
        }
    }
}
