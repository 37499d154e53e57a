//! Lanes of states: whether a node is up, what is kept broken, what DRBD says of its role and disk.
//! Invariant: a state lasts until somebody reports another, and nothing is known of a node without power.

use crate::model::{Lane, Point, Span, Subject, Tone};
use duet_oracle::phase::{Phase, recognise};
use duet_oracle::{Event, event::Kind};

/// A node's own state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Power {
    Up,
    Off,
    Boots,
    Frozen,
}

/// Seconds since the disturbance.
pub(crate) fn seconds(event: &Event, zero: f64) -> f64 {
    event.at.as_secs_f64() - zero
}

/// The lane of the node itself, and when it lost all that it knew.
pub(crate) fn power(events: &[Event], node: &str, zero: f64, end: f64) -> (Lane, Vec<f64>) {
    let mut lane = Lane::of(node, Subject::Power);
    let Some(first) = events.first() else { return (lane, Vec::new()) };
    let mut state = (Power::Up, seconds(first, zero), "up");
    let mut forgets = Vec::new();
    let mut said = "member".to_owned();
    for event in events {
        let at = seconds(event, zero);
        if let Kind::Log(record) = &event.kind {
            for phase in recognise(record) {
                if let Phase::NodeState { node: whose, state } = phase
                    && whose == node
                    && state != said
                {
                    let tone = if state == "member" { Tone::Good } else { Tone::Bad };
                    lane.points.push(Point { at, label: state.clone(), tone });
                    said = state;
                }
            }
        }
        let Some((new, why)) = turn(event, node, state.0) else { continue };
        if new == state.0 {
            continue;
        }
        push_power(&mut lane, state, at);
        if matches!(new, Power::Off | Power::Boots) {
            forgets.push(at);
        }
        state = (new, at, why);
    }
    push_power(&mut lane, state, end);
    (lane, forgets)
}

fn push_power(lane: &mut Lane, (state, from, why): (Power, f64, &str), until: f64) {
    let tone = match state {
        Power::Up => Tone::Good,
        Power::Off => Tone::Bad,
        Power::Boots => Tone::Between,
        Power::Frozen => Tone::Frozen,
    };
    lane.spans.push(Span::new(from, until, why, tone));
}

/// What an event says of a node's power.
fn turn(event: &Event, node: &str, now: Power) -> Option<(Power, &'static str)> {
    let own = event.source == node;
    match &event.kind {
        Kind::Mark(text) if own => match text.as_str() {
            "power is cut" => Some((Power::Off, "off: power cut")),
            "power is on" => Some((Power::Boots, "boots")),
            "processors stand still" => Some((Power::Frozen, "frozen")),
            "a shell" | "processors go on" => Some((Power::Up, "up")),
            _ => None,
        },
        Kind::Mark(text) => {
            let about = |words: &str| {
                text.strip_prefix(words).is_some_and(|rest| rest.split(' ').next() == Some(node))
            };
            if about("power cut of ") || *text == format!("{node} killed") {
                Some((Power::Off, "off: power cut"))
            } else if about("power on of ") {
                Some((Power::Boots, "boots"))
            } else if about("shell in ") {
                Some((Power::Up, "up"))
            } else if *text == format!("{node} frozen") {
                Some((Power::Frozen, "frozen"))
            } else if *text == format!("{node} is off") {
                Some((Power::Off, "off"))
            } else {
                None
            }
        }
        Kind::Log(record) => {
            let text = record.text.as_str();
            let booted = record.tag == "kernel" && text.starts_with("Linux version ");
            let joins = text.contains("Corosync Cluster Engine") && text.contains("starting up");
            if own && booted {
                return Some((Power::Boots, "boots"));
            }
            if own && joins && now != Power::Up {
                return Some((Power::Up, "up"));
            }
            let fenced = |phase: &Phase| matches!(phase, Phase::FencingEnded { node: whose, ok: true } if whose == node);
            (now != Power::Off && recognise(record).iter().any(fenced))
                .then_some((Power::Off, "off: fenced"))
        }
        Kind::Serial(_) => None,
    }
}

/// What the harness keeps broken in a node: a cable, a disk, a daemon.
pub(crate) fn faults(events: &[Event], node: &str, zero: f64, end: f64) -> Lane {
    let mut lane = Lane::of(node, Subject::Fault);
    let mut open: Vec<(String, f64)> = Vec::new();
    for event in events {
        let Kind::Mark(text) = &event.kind else { continue };
        let at = seconds(event, zero);
        let Some((what, broken)) = fault(&event.source, text, node) else { continue };
        let place = open.iter().position(|(name, _)| *name == what);
        match (broken, place) {
            (true, None) => open.push((what, at)),
            (false, Some(place)) => {
                let (what, from) = open.remove(place);
                lane.spans.push(Span::new(from, at, what, Tone::Bad));
            }
            (true, Some(_)) | (false, None) => {}
        }
    }
    for (what, from) in open {
        lane.spans.push(Span { open: true, ..Span::new(from, end, what, Tone::Bad) });
    }
    lane.spans.sort_by(|one, other| one.from.total_cmp(&other.from));
    lane
}

fn fault(source: &str, text: &str, node: &str) -> Option<(String, bool)> {
    if source == node {
        let ends = [
            (" is unplugged", "", true),
            (" is plugged", "", false),
            (" fails", "", true),
            (" heals", "", false),
            (" gets STOP", " stands still", true),
            (" gets CONT", " stands still", false),
        ];
        return ends.into_iter().find_map(|(end, means, is)| {
            Some((format!("{}{means}", text.strip_suffix(end)?), is))
        });
    }
    // What the recordings of before nodes spoke for themselves say.
    let (what, rest) = text.split_once(&format!(" of {node}"))?;
    let is = match rest.split([';', ' ']).find(|word| !word.is_empty())? {
        "pulled" | "fails" => true,
        "plugged" | "heals" => false,
        _ => return None,
    };
    Some((what.trim_start_matches("the ").to_owned(), is))
}

/// What is known of a node's DRBD.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Known {
    role: Option<String>,
    disk: Option<String>,
    connection: Option<String>,
    frozen: bool,
}

/// The lanes of role and disk of the guest's resource (`r0`, minor 0).
pub(crate) fn drbd(
    events: &[Event],
    node: &str,
    zero: f64,
    end: f64,
    forgets: &[f64],
) -> [Lane; 2] {
    let mut role = Lane::of(node, Subject::Role);
    let mut disk = Lane::of(node, Subject::Disk);
    let mut known = Known::default();
    let [mut role_since, mut disk_since] = [f64::NEG_INFINITY; 2];
    let mut forgets = forgets.iter().copied().peekable();
    let own = events.iter().filter(|event| event.source == node);
    let ends = std::iter::once(None);
    for event in own.map(Some).chain(ends) {
        let at = event.map_or(end, |event| seconds(event, zero));
        while let Some(gone) = forgets.next_if(|gone| *gone <= at) {
            push_role(&mut role, &known, role_since, gone);
            push_disk(&mut disk, &known, disk_since, gone);
            known = Known::default();
            [role_since, disk_since] = [gone; 2];
        }
        let Some(event) = event else { break };
        let Kind::Log(record) = &event.kind else { continue };
        if record.tag != "kernel" {
            continue;
        }
        let mut new = known.clone();
        for (name, value) in changes(&record.text) {
            let value = Some(value.to_owned());
            match name {
                "role" => new.role = value,
                "disk" => new.disk = value,
                "conn" | "repl" => new.connection = value,
                "susp" | "susp-io" => {
                    new.frozen = !matches!(value.as_deref(), Some("0" | "no"));
                }
                _ => {}
            }
        }
        // A resource comes up as Secondary; 8.4 does not say so.
        if new.disk.is_some() && new.role.is_none() {
            new.role = Some("Secondary".to_owned());
        }
        if (&new.role, new.frozen) != (&known.role, known.frozen) {
            push_role(&mut role, &known, role_since, at);
            role_since = at;
        }
        if (&new.disk, &new.connection) != (&known.disk, &known.connection) {
            push_disk(&mut disk, &known, disk_since, at);
            disk_since = at;
        }
        known = new;
    }
    push_role(&mut role, &known, role_since, end);
    push_disk(&mut disk, &known, disk_since, end);
    [role, disk]
}

fn push_role(lane: &mut Lane, known: &Known, from: f64, until: f64) {
    let Some(role) = &known.role else { return };
    let tone = match role.as_str() {
        _ if known.frozen => Tone::Frozen,
        "Primary" => Tone::Primary,
        _ => Tone::Secondary,
    };
    let label = if known.frozen { format!("{role}, writes frozen") } else { role.clone() };
    lane.spans.push(Span::new(from, until, label, tone));
}

fn push_disk(lane: &mut Lane, known: &Known, from: f64, until: f64) {
    let Some(disk) = &known.disk else { return };
    let tone = match disk.as_str() {
        "UpToDate" => Tone::Good,
        "Diskless" | "Failed" | "Detaching" => Tone::Bad,
        _ => Tone::Between,
    };
    let label = match known.connection.as_deref() {
        None | Some("Connected" | "Established" | "Off") => disk.clone(),
        Some(connection) => format!("{disk}, {connection}"),
    };
    lane.spans.push(Span::new(from, until, label, tone));
}

/// `name( old -> new ) name( old -> new )` of the guest's device or resource; each name with what is new.
fn changes(text: &str) -> Vec<(&str, &str)> {
    let Some((object, rest)) = text.split_once(": ") else { return Vec::new() };
    let is_guests = object.split([' ', '/']).any(|word| word == "r0" || word == "drbd0");
    if !is_guests || rest.starts_with("Preparing ") {
        return Vec::new();
    }
    rest.split(" )")
        .filter_map(|part| {
            let (name, change) = part.rsplit_once("( ")?;
            let (_, new) = change.split_once(" -> ")?;
            Some((name.split_whitespace().next_back()?, new.trim()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_of_the_guests_device_are_read() {
        let table: &[(&str, &[(&str, &str)])] = &[
            ("block drbd0: role( Secondary -> Primary )", &[("role", "Primary")]),
            (
                "drbd r0: peer( Primary -> Unknown ) conn( Connected -> NetworkFailure ) susp( 0 -> 1 )",
                &[("peer", "Unknown"), ("conn", "NetworkFailure"), ("susp", "1")],
            ),
            ("drbd r0/0 drbd0: disk( Attaching -> UpToDate ) [x]", &[("disk", "UpToDate")]),
            ("block drbd1: role( Secondary -> Primary )", &[]),
            ("drbd r0: helper command: /sbin/drbdadm fence-peer r0", &[]),
        ];
        for (text, wanted) in table {
            assert_eq!(changes(text), *wanted, "{text}");
        }
    }

    #[test]
    fn a_cable_of_another_node_is_not_this_ones() {
        let text = "replication cable of node2 pulled";
        assert_eq!(fault("lab", text, "node2"), Some(("replication cable".to_owned(), true)));
        assert_eq!(fault("lab", text, "node1"), None);
        let healed = fault("lab", "the disk of node1 heals; drbdadm attach r0", "node1");
        assert_eq!(healed, Some(("disk".to_owned(), false)));
        assert_eq!(
            fault("node1", "cluster cable is unplugged", "node1").unwrap().0,
            "cluster cable"
        );
    }
}
