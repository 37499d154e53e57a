//! A program that is no agent, and panics on the thread that its argument names.
#![allow(clippy::panic, reason = "that is what it is for")]

use duet_host::{Log, guard, leave_with};
use duet_ocf::Environment;
use std::sync::Arc;

fn main() {
    let log = Arc::new(Log::new("guarded", &Environment::default(), false));
    guard("guarded", &log);
    match std::env::args().nth(1).as_deref() {
        Some("main") => panic!("on the first thread"),
        Some("other") => {
            let _ = std::thread::spawn(|| panic!("on another thread")).join();
        }
        _ => {}
    }
    leave_with(7)
}
