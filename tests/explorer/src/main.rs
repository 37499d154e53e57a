//! `explorer [--states N]`: walks the worlds of the lab until so many different states were seen in all, and tells the
//! story of a violation. Invariant: exits with 1 if there is one, or fewer states were seen than asked for.

use std::process::ExitCode;

use explorer::{
    story,
    walk::{self, Walked},
    worlds,
};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let states: Option<usize> = match (arguments.next().as_deref(), arguments.next()) {
        (None, _) => Some(10_000_000),
        (Some("--states"), Some(number)) => number.parse().ok().filter(|number| *number > 0),
        (Some(_), _) => None,
    };
    let Some(states) = states else {
        eprintln!("usage: explorer [--states N]");
        return ExitCode::FAILURE;
    };
    let worlds = worlds::lab();
    let mut seen: usize = 0;
    let mut is_sound = true;
    for (at, named) in worlds.iter().enumerate() {
        let share = states.saturating_sub(seen) / (worlds.len() - at);
        let walked = walk::walk(&named.world, share.max(states / 20) + 1, 1);
        seen += walked.states;
        println!("{}: {}", named.name, text(&walked));
        if let Some(found) = &walked.found {
            is_sound = false;
            println!("{}\n{}", story::story(&named.world, found), story::LEGEND);
        }
    }
    println!("{seen} states in all");
    if is_sound && seen >= states { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn text(walked: &Walked) -> String {
    let Walked { states, steps, depth, took, .. } = walked;
    let whole = if walked.is_whole { ", all there are" } else { "" };
    format!("{states} states{whole}, {steps} steps, depth {depth}, {:.1} s", took.as_secs_f32())
}
