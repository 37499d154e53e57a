//! Draws a recording again: `draw events.json FOLDER [beginning of the mark that is the disturbance]` writes
//! report.html, report.json and timeline.svg. What was executed, and what was claimed, is not in a recording.

#![allow(clippy::disallowed_methods, reason = "reports are no state that has to survive")]

use duet_oracle::event::{Kind, from_json_lines};
use duet_oracle::judge::{Start, judge};
use duet_report::{Ending, Executed, Report, Scene};
use std::time::Duration;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [recording, folder, mark @ ..] = arguments.as_slice() else {
        eprintln!("draw events.json FOLDER [MARK]");
        std::process::exit(2);
    };
    let events = from_json_lines(&std::fs::read_to_string(recording)?)?;
    let mark = mark.first().map_or("power cut", String::as_str);
    let marks = events.iter().filter_map(|event| match &event.kind {
        Kind::Mark(text) => Some((event.at, text)),
        Kind::Log(_) | Kind::Serial(_) => None,
    });
    // The last one: a recording holds all that its cluster went through.
    let zero = marks.rev().find(|(_, text)| text.starts_with(mark)).map(|(at, _)| at);
    let zero = zero.unwrap_or_default();
    let mut nodes: Vec<String> = events.iter().map(|event| event.source.clone()).collect();
    nodes.retain(|name| name.starts_with("node"));
    nodes.sort();
    nodes.dedup();
    let verdict = judge(&duet_oracle::event::serial_lines(&events), Start::Fresh);
    let report = Report::new(Scene {
        name: recording,
        about: "drawn again",
        ending: Ending::Passed,
        took: Duration::ZERO,
        began: zero.saturating_sub(Duration::from_secs(5)),
        zero,
        figures: &[],
        programs: Vec::new(),
        nodes,
        executed: Executed::default(),
        events: &events,
        verdict: Some(&verdict),
        files: Vec::new(),
    });
    std::fs::create_dir_all(folder)?;
    let folder = std::path::Path::new(folder);
    std::fs::write(folder.join("report.html"), report.html())?;
    std::fs::write(folder.join("report.json"), report.json())?;
    std::fs::write(folder.join("timeline.svg"), report.svg())?;
    Ok(())
}
