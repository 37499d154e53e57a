//! DRBD's handlers under Pacemaker. crm-fence-peer bans a peer that was lost from being promoted, and says whether that is
//! enough for DRBD to go on without it; crm-unfence-peer frees it when its data is good again.
//!
//! Invariant: `decide` is pure and has all safety rules; what it was given and what it said can be written down and
//! decided on again.
#![forbid(unsafe_code)]

mod apply;
mod asked;
pub mod decide;
pub mod explain;
pub mod facts;
mod handler;
pub mod hooks;
mod late;
mod lock;
mod observe;
pub mod options;
mod pacemaker;
pub mod program;
pub mod record;
mod rule;
mod suicide;
mod tell;
mod tools;
mod turns;

use std::ffi::OsString;

use crate::{hooks::Hook, program::Program};

/// Runs the program that this executable was called as, and exits.
pub fn main() -> ! {
    let _ = duet_host::clock::now();
    let mut words = std::env::args_os();
    let name = words.next().unwrap_or_default();
    let arguments: Vec<OsString> = words.collect();
    if let Some(hook) = Hook::called(&name) {
        hooks::run(&hook, &name, &arguments);
    }
    match Program::called(&name) {
        Some(Program::Peer(mode)) => handler::run(mode, &arguments),
        None => {
            let name = name.to_string_lossy();
            duet_host::Log::new("crm-fence-peer", &duet_ocf::Environment::default(), false)
                .line(duet_ocf::Level::Error, &format!("{name:?} is not the name of a handler"));
            duet_host::leave_with(1)
        }
    }
}
