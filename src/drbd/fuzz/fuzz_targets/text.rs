//! Any text as the output of DRBD's tools, a file of the kernel, or the environment of a handler. The first byte chooses
//! which. Invariant: reading returns; and what it was not told, it does not say.
#![no_main]

use duet_drbd::events2::{self, SnapshotError};
use duet_drbd::handler::{Call, Event};
use duet_drbd::proc::Proc;
use duet_drbd::{Configuration, View, tools};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((choice, text)) = input.split_first() else { return };
    let text = String::from_utf8_lossy(text);
    match choice % 6 {
        0 => {
            let mut view = View::default();
            for line in text.lines() {
                if let Ok(change) = events2::change(line) {
                    view.apply(&change);
                }
            }
        }
        1 => {
            let last: Vec<_> = text.split_ascii_whitespace().rev().take(2).collect();
            let view = events2::snapshot(&text);
            assert!(last == ["-", "exists"] || view == Err(SnapshotError::CutOff));
        }
        2 => drop(Proc::parse(&text)),
        3 => {
            if let Ok(configuration) = Configuration::parse(&text) {
                for (name, resource) in &configuration.resources {
                    let _ = configuration.stacked_on(name);
                    let links = resource.connections.iter().map(Some).chain([None]);
                    let _ = links.map(|link| resource.fencing(link)).count();
                }
            }
        }
        4 => {
            let variables = text.lines().filter_map(|line| line.split_once('='));
            let variables = variables.map(|(name, value)| (name.into(), value.into()));
            if let Ok(call) = Call::read(Event::FencePeer, variables) {
                assert!(call.up_to_date.iter().all(|mask| mask.node_ids().all(|id| id < 32)));
            }
        }
        _ => {
            let _ = (tools::Versions::parse(&text), tools::devices(&text));
            let _ = tools::module_parameters(&text);
        }
    }
});
