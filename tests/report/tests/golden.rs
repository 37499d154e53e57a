//! Reports of recordings: the committed ones are as they were, all are well-formed, self-contained and bounded.
//! `UPDATE=1` writes the committed ones anew; look at them before committing.

#![allow(clippy::unwrap_used, reason = "tests; the lint knows only functions marked as such")]
#![allow(
    clippy::disallowed_methods,
    reason = "recordings are read and reports written as they are"
)]
#![allow(
    clippy::redundant_closure_for_method_calls,
    reason = "a method is not general enough here"
)]

use duet_oracle::event::{Kind, from_json_lines, serial_lines};
use duet_oracle::judge::{Start, judge};
use duet_oracle::{Event, Line, Record};
use duet_report::{Ending, Executed, Report, Scene};
use std::path::Path;
use std::time::Duration;

const RECORDED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../recorded/oracle");
const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");

/// The recordings, the beginning of the mark that is their zero, and their length in seconds.
const RECORDINGS: [&str; 5] =
    ["pacemaker-2.1.5-takeover", "drbd-9.3.3-cuts", "two-nodes", "stale-disk", "two-writers"];

fn read(name: &str) -> Vec<Event> {
    let path = format!("{RECORDED}/{name}.jsonl");
    from_json_lines(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn with<T>(name: &str, events: &[Event], show: impl Fn(&Report<'_>) -> T) -> T {
    let is_cut =
        |event: &&Event| matches!(&event.kind, Kind::Mark(text) if text.starts_with("power cut"));
    let zero = events.iter().find(is_cut).map_or(events[0].at, |event| event.at);
    let verdict = judge(&serial_lines(events), Start::Fresh);
    show(&Report::new(Scene {
        name,
        about: "a recording & its <report>",
        ending: Ending::Passed,
        took: Duration::from_secs(41),
        began: events[0].at,
        zero,
        figures: &[("cut to first write", 19.7)],
        programs: vec![("drbd".to_owned(), "ours".to_owned())],
        nodes: vec!["node1".to_owned(), "node2".to_owned()],
        executed: Executed::default(),
        events,
        verdict: Some(&verdict),
        files: vec!["timeline.txt".to_owned()],
    }))
}

#[test]
fn reports_of_recordings_are_as_they_were() {
    for name in ["pacemaker-2.1.5-takeover", "two-nodes"] {
        let events = read(name);
        for (kind, text) in with(name, &events, |report| {
            [("svg", report.svg()), ("html", report.html()), ("json", report.json())]
        }) {
            let path = Path::new(GOLDEN).join(format!("{name}.{kind}"));
            if std::env::var_os("UPDATE").is_some() {
                std::fs::write(&path, &text).unwrap();
            }
            let wanted = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(text == wanted, "{} differs: see what UPDATE=1 makes of it", path.display());
        }
    }
}

/// Reads every element; panics at the first that is not closed or not XML.
fn elements(svg: &str) -> usize {
    let mut reader = quick_xml::Reader::from_str(svg);
    reader.config_mut().check_end_names = true;
    let mut count = 0;
    loop {
        match reader.read_event().unwrap() {
            quick_xml::events::Event::Eof => return count,
            quick_xml::events::Event::Start(_) | quick_xml::events::Event::Empty(_) => count += 1,
            _ => {}
        }
    }
}

#[test]
fn every_picture_is_well_formed_and_every_page_needs_nothing_else() {
    for name in RECORDINGS {
        let events = read(name);
        let (svg, html) = with(name, &events, |report| (report.svg(), report.html()));
        assert!(elements(&svg) > 20, "{name}");
        assert!(svg.contains("a recording &amp; its &lt;report&gt;"), "{name}");
        for forbidden in ["<script", "@import", "src=", "url(http", "<link", "javascript:"] {
            assert!(!html.contains(forbidden), "{name}: {forbidden}");
        }
        let addresses =
            html.matches("http").count() - html.matches("http://www.w3.org/2000/svg").count();
        assert_eq!(addresses, 0, "{name}");
        assert!(html.contains("prefers-color-scheme:dark"), "{name}");
    }
}

#[test]
fn the_judges_word_is_in_every_form() {
    let events = read("stale-disk");
    let (svg, html, json) =
        with("stale-disk", &events, |report| (report.svg(), report.html(), report.json()));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["version"], duet_report::VERSION);
    assert_eq!(json["verdict"]["outcome"], "violated");
    assert!(svg.contains("writes LOST or doubled") && html.contains("VIOLATED"));
    let boot = json["drawing"]["boots"].as_array().unwrap().last().unwrap().clone();
    assert!(boot["found"].as_u64() < boot["acknowledged"].as_u64(), "{boot}");
}

#[test]
fn json_has_no_number_that_is_none() {
    for name in RECORDINGS {
        let events = read(name);
        let json = with(name, &events, |report| report.json());
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        for lane in value["drawing"]["lanes"].as_array().unwrap() {
            for span in lane["spans"].as_array().unwrap() {
                assert!(span["from"].is_number() && span["until"].is_number(), "{name}: {span}");
            }
        }
    }
}

/// Half an hour in which something is broken every ten seconds, and everybody talks about it.
fn half_an_hour() -> Vec<Event> {
    let mut events = Vec::new();
    let at = |seconds: f64| Duration::from_secs_f64(seconds);
    let log = |seconds: f64, node: &str, tag: &str, text: String| Event {
        at: at(seconds),
        source: node.to_owned(),
        kind: Kind::Log(Record { tag: tag.to_owned(), pid: None, severity: 5, text }),
    };
    let boot = Kind::Serial(Line::Boot { highest: 0, valid: 0 });
    events.push(Event { at: at(0.0), source: "node1".to_owned(), kind: boot });
    for number in 1..=32_000_u32 {
        let kind = Kind::Serial(Line::Ack(number));
        events.push(Event { at: at(f64::from(number) * 0.0555), source: "node1".to_owned(), kind });
    }
    for round in 0..180_u32 {
        let begin = f64::from(round) * 10.0;
        let text = format!("replication cable of node2 pulled, round {round}");
        events.push(Event { at: at(begin), source: "lab".to_owned(), kind: Kind::Mark(text) });
        for step in 0..12_u32 {
            let when = begin + f64::from(step) * 0.7;
            let order = format!("notice: Initiating start operation r{step}_start_0 on node2");
            events.push(log(when, "node1", "pacemaker-controld", order));
            let result = format!("notice: Result of start operation for r{step} on node2: ok");
            events.push(log(when + 0.5, "node2", "pacemaker-controld", result));
            let role = if step % 2 == 0 { "Primary -> Secondary" } else { "Secondary -> Primary" };
            let text = format!("block drbd0: role( {role} ) disk( Inconsistent -> UpToDate )");
            events.push(log(when, "node2", "kernel", text));
            let call = "drbd r0: helper command: /sbin/drbdadm fence-peer r0";
            events.push(log(when, "node1", "kernel", call.to_owned()));
            events.push(log(when + 0.4, "node1", "kernel", format!("{call} exit code 4 (0x400)")));
        }
    }
    events.sort_by_key(|event| event.at);
    events
}

#[test]
fn half_an_hour_is_a_page_of_less_than_a_megabyte() {
    let events = half_an_hour();
    let (svg, html) = with("long", &events, |report| (report.svg(), report.html()));
    assert!(elements(&svg) > 1000);
    assert!(svg.len() < 900_000 && html.len() < 1_000_000, "{} {}", svg.len(), html.len());
}

#[test]
fn an_empty_recording_is_a_page_all_the_same() {
    let events = [Event {
        at: Duration::ZERO,
        source: "lab".to_owned(),
        kind: Kind::Mark("the lab does not come up".to_owned()),
    }];
    let svg = with("empty", &events, |report| report.svg());
    assert!(elements(&svg) > 5 && svg.contains("the lab does not come up"), "{svg}");
}
