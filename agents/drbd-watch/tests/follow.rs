//! The daemon on its stage: what changes in the kernel reaches the score, once, at once, and by the agent's own rule.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]
#![allow(dead_code, reason = "each test file uses its part of the stage")]

mod stage;

use std::time::Duration;

use stage::{Stage, alone};

#[test]
fn a_change_reaches_the_score_at_once() {
    let Some(stage) = Stage::managed() else { return };
    stage.start();
    stage.until("the first score", |stage| stage.scores() == ["10000"]);
    stage.kernel.change(|view| {
        view.resources.insert("r0".to_owned(), alone());
    });
    let took = stage.until("the second score", |stage| stage.scores() == ["10000", "1000"]);
    println!("a change reached the score after {took:?}");
    assert!(took < Duration::from_secs(2), "{took:?}");
}
