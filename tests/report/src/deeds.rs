//! Lanes of what was done: Pacemaker's operations, fencing, DRBD's handlers, what the harness did.
//! Invariant: a bar begins with the line that ordered it and ends with the line that reported its result.

use crate::model::{Lane, Point, Span, Subject, Tone};
use crate::state::seconds;
use duet_oracle::phase::{Phase, recognise};
use duet_oracle::{Event, Record, event::Kind};
use std::collections::BTreeMap;

/// Log lines of Pacemaker's controller are put in its own words behind a severity.
fn words(record: &Record) -> &str {
    let levels = ["error", "warning", "notice", "info"];
    match record.text.split_once(": ") {
        Some((level, rest)) if levels.contains(&level) => rest,
        Some(_) | None => &record.text,
    }
}

/// Which agent looks after which resource, by the names under which agents log: `drbd(p_drbd)`.
fn agents(events: &[Event]) -> BTreeMap<String, Tone> {
    let mut known = BTreeMap::new();
    for event in events {
        let Kind::Log(record) = &event.kind else { continue };
        let Some((agent, resource)) = record.tag.split_once('(') else { continue };
        let tone = match agent {
            "VirtualDomain" => Tone::Guest,
            "drbd" | "drbd-watch" | "drbd-attr" => Tone::Disk,
            _ => Tone::Other,
        };
        known.insert(resource.trim_end_matches(')').to_owned(), tone);
    }
    known
}

fn tone_of(agents: &BTreeMap<String, Tone>, resource: &str) -> Tone {
    match agents.get(resource) {
        Some(tone) => *tone,
        None if resource.starts_with("fence") => Tone::Fencing,
        None if resource.contains("drbd") => Tone::Disk,
        None if resource.starts_with("vm") => Tone::Guest,
        None => Tone::Other,
    }
}

/// An operation that was ordered.
#[derive(Debug, PartialEq, Eq)]
struct Order<'a> {
    operation: &'a str,
    resource: &'a str,
    node: &'a str,
}

/// `Initiating OPERATION operation KEY [locally ]on NODE`, monitors and notifications too. KEY is
/// `RESOURCE[:N]_[pre_|post_]OPERATION_...`.
fn ordered(text: &str) -> Option<Order<'_>> {
    let (operation, rest) = text.strip_prefix("Initiating ")?.split_once(" operation ")?;
    let (key, rest) = rest.split_once(' ')?;
    let node =
        rest.trim_start_matches("locally ").strip_prefix("on ")?.split_whitespace().next()?;
    let resource = match operation {
        "notify" => key.split_once("_pre_notify_").or_else(|| key.split_once("_post_notify_"))?.0,
        _ => key.rsplit_once(&format!("_{operation}_"))?.0,
    };
    let resource = resource.split_once(':').map_or(resource, |(name, _)| name);
    Some(Order { operation, resource, node })
}

/// `Result of OPERATION operation for RESOURCE on NODE: STATUS`.
fn reported(text: &str) -> Option<(Order<'_>, &str)> {
    let (operation, rest) = text.strip_prefix("Result of ")?.split_once(" operation for ")?;
    let (resource, rest) = rest.split_once(" on ")?;
    let (node, status) = rest.split_once(": ")?;
    let resource = resource.split([':', ' ']).next()?;
    let status = status.split(" | ").next().unwrap_or(status).trim();
    Some((Order { operation, resource, node }, status))
}

/// Operations are orders of the DC and results of the node.
pub(crate) fn operations(events: &[Event], node: &str, zero: f64, end: f64, gone: &[f64]) -> Lane {
    let mut lane = Lane::of(node, Subject::Operations);
    let agents = agents(events);
    let mut open: BTreeMap<(String, String), f64> = BTreeMap::new();
    for event in events {
        let Kind::Log(record) = &event.kind else { continue };
        if record.tag != "pacemaker-controld" {
            continue;
        }
        let (text, at) = (words(record), seconds(event, zero));
        if let Some(order) = ordered(text).filter(|order| order.node == node) {
            if is_of_agents(order.operation) {
                let key = (order.operation.to_owned(), order.resource.to_owned());
                open.insert(key, at);
            }
        } else if let Some((order, status)) = reported(text).filter(|(order, _)| order.node == node)
        {
            // A probe is ordered as a monitor.
            let operation = if order.operation == "probe" { "monitor" } else { order.operation };
            let from = open.remove(&(operation.to_owned(), order.resource.to_owned()));
            let tone = tone_of(&agents, order.resource);
            lane.spans.extend(result(&order, status, from, at, tone));
        }
    }
    for ((operation, resource), from) in open {
        if is_dull(&operation) {
            continue;
        }
        // Its node is gone, or the recording.
        let until = gone.iter().copied().find(|at| *at > from).unwrap_or(end);
        let label = format!("{operation} {resource}, no result");
        lane.spans.push(Span { open: true, ..Span::new(from, until, label, Tone::Bad) });
    }
    lane.spans.sort_by(|one, other| one.from.total_cmp(&other.from));
    lane
}

/// What an agent is called for; the controller has further ones, without results.
fn is_of_agents(operation: &str) -> bool {
    let changes = ["start", "stop", "promote", "demote", "migrate_to", "migrate_from"];
    is_dull(operation) || changes.contains(&operation) || operation.starts_with("reload")
}

fn is_dull(operation: &str) -> bool {
    matches!(operation, "monitor" | "probe" | "notify")
}

fn result(order: &Order<'_>, status: &str, from: Option<f64>, at: f64, tone: Tone) -> Option<Span> {
    let Order { operation, resource, node } = order;
    let begin = from.unwrap_or(at);
    let took = at - begin;
    let well = matches!(status, "ok" | "promoted" | "master" | "Cancelled");
    let detail = match from {
        Some(_) => format!("{operation} of {resource} on {node}: {status}, {took:.2} s"),
        None => format!("{operation} of {resource} on {node}: {status}"),
    };
    let span = match (is_dull(operation), well) {
        (true, true) => Span::new(begin, at, "", Tone::Quiet),
        // A probe that finds nothing is what it is for.
        (true, false) if status == "not running" && (*operation == "probe" || from.is_some()) => {
            Span::new(begin, at, "", Tone::Quiet)
        }
        (false, true) => Span::new(begin, at, format!("{operation} {resource}"), tone),
        (_, false) => Span::new(begin, at, format!("{operation} {resource}: {status}"), Tone::Bad),
    };
    is_of_agents(operation).then_some(Span { detail, ..span })
}

/// Fencing of nodes, from the first request to the end that Pacemaker reported.
/// `gone` says of a node when it lost what it was about to do.
pub(crate) fn fencing(
    events: &[Event],
    zero: f64,
    end: f64,
    gone: impl Fn(&str, f64) -> Option<f64>,
) -> Lane {
    let mut lane = Lane::of_all(Subject::Fencing);
    let mut open: BTreeMap<String, (f64, String)> = BTreeMap::new();
    for event in events {
        let Kind::Log(record) = &event.kind else { continue };
        let at = seconds(event, zero);
        for phase in recognise(record) {
            match phase {
                Phase::FencingRequested { node } => {
                    open.entry(node).or_insert_with(|| (at, event.source.clone()));
                }
                Phase::FencingEnded { node, ok } => {
                    // Every member that hears of it says so.
                    let Some((from, by)) = open.remove(&node) else { continue };
                    let (word, tone) = if ok {
                        ("is fenced", Tone::Fencing)
                    } else {
                        ("is NOT fenced", Tone::Bad)
                    };
                    let label = format!("{node} {word} by {by}, {:.1} s", at - from);
                    lane.spans.push(Span::new(from, at, label, tone));
                }
                _ => {}
            }
        }
    }
    for (node, (from, by)) in open {
        let label = format!("fencing of {node} by {by}, no end");
        let until = gone(&by, from).unwrap_or(end);
        lane.spans.push(Span { open: true, ..Span::new(from, until, label, Tone::Bad) });
    }
    lane.spans.sort_by(|one, other| one.from.total_cmp(&other.from));
    lane
}

/// DRBD's calls of handlers in a node, and the answers it took.
pub(crate) fn handlers(events: &[Event], node: &str, zero: f64, end: f64, gone: &[f64]) -> Lane {
    let mut lane = Lane::of(node, Subject::Handlers);
    let mut open: BTreeMap<(String, String), f64> = BTreeMap::new();
    let mut said = String::new();
    for event in events.iter().filter(|event| event.source == node) {
        let Kind::Log(record) = &event.kind else { continue };
        let at = seconds(event, zero);
        for phase in recognise(record) {
            match phase {
                Phase::HelperCalled { object, helper } => {
                    open.insert((object, helper), at);
                    said.clear();
                }
                Phase::Handler { text, .. } => said = text,
                Phase::HelperAnswered { object, helper, code } => {
                    let key = (object, helper);
                    let from = open.remove(&key).unwrap_or(at);
                    let (object, helper) = key;
                    let tone = match helper.as_str() {
                        "fence-peer" | "unfence-peer" => Tone::Fencing,
                        _ => Tone::Quiet,
                    };
                    let took = at - from;
                    let label = if tone == Tone::Quiet {
                        String::new()
                    } else {
                        format!("{helper} answers {code}, {took:.1} s")
                    };
                    let detail =
                        format!("{object}: {helper} answered {code} after {took:.2} s. {said}");
                    lane.spans.push(Span { detail, ..Span::new(from, at, label, tone) });
                }
                _ => {}
            }
        }
    }
    for ((_, helper), from) in open {
        let until = gone.iter().copied().find(|at| *at > from).unwrap_or(end);
        let label = format!("{helper}, no answer");
        lane.spans.push(Span { open: true, ..Span::new(from, until, label, Tone::Bad) });
    }
    lane.spans.sort_by(|one, other| one.from.total_cmp(&other.from));
    lane
}

/// Marks of the harness that say what it did; its looks at the cluster and at processes are no deeds.
pub(crate) fn lab(events: &[Event], zero: f64) -> Lane {
    let mut lane = Lane::of_all(Subject::Lab);
    let marks = events.iter().filter(|event| event.source == "lab");
    lane.points = marks
        .filter_map(|event| match &event.kind {
            Kind::Mark(text) if is_deed(text) => Some(Point {
                at: seconds(event, zero),
                label: text.lines().next().unwrap_or_default().to_owned(),
                tone: Tone::Other,
            }),
            Kind::Mark(_) | Kind::Log(_) | Kind::Serial(_) => None,
        })
        .collect();
    lane
}

fn is_deed(text: &str) -> bool {
    !text.starts_with("steady") && !text.contains(" (process ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_of_every_kind_name_their_resource() {
        let table = [
            (
                "Initiating promote operation p_drbd_promote_0 locally on node2",
                ("promote", "p_drbd", "node2"),
            ),
            (
                "Initiating notify operation p_drbd:1_post_notify_start_0 on node1",
                ("notify", "p_drbd", "node1"),
            ),
            (
                "Initiating monitor operation vm1_monitor_10000 on node1 | action 3",
                ("monitor", "vm1", "node1"),
            ),
            ("Initiating start operation my_start_vm_start_0 on n", ("start", "my_start_vm", "n")),
        ];
        for (text, (operation, resource, node)) in table {
            assert_eq!(ordered(text), Some(Order { operation, resource, node }), "{text}");
        }
    }

    #[test]
    fn a_result_has_a_status_without_its_tail() {
        let (order, status) =
            reported("Result of start operation for vm1 on node2: error (boom) | graph").unwrap();
        assert_eq!((order.operation, order.resource, status), ("start", "vm1", "error (boom)"));
    }

    #[test]
    fn looking_is_no_deed() {
        assert!(is_deed("power cut of node1"));
        assert!(!is_deed("steady, the guest on node1"));
        assert!(!is_deed("vm1 in node1 (process 12) runs"));
    }
}
