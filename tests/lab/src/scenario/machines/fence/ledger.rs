//! Who could write the guest's disk, by the kernels' own words: at most one node at any moment is Primary with its I/O not
//! frozen. Invariant: a node is taken for not writable only after it said so itself, or has lost its power.

use duet_oracle::phase::{Phase, recognise};
use duet_oracle::{Event, Kind};
use std::collections::BTreeMap;
use std::time::Duration;

/// The guest's device and its resource, as the kernel's messages name them.
const DEVICE: &str = "drbd0";
const RESOURCE: &str = "r0";

/// Two nodes that could write at the same time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::scenario::machines) struct Both {
    /// Since when, on the recorder's clock.
    pub(in crate::scenario::machines) at: Duration,
    /// Who.
    pub(in crate::scenario::machines) nodes: Vec<String>,
}

/// What one node's kernel has said.
#[derive(Debug, Clone, Copy, Default)]
struct Side {
    is_primary: bool,
    is_frozen: bool,
}

/// The first moment at which two nodes could write, if there was one.
pub(super) fn both_writable(events: &[Event]) -> Option<Both> {
    walk(BTreeMap::new(), events.iter())
}

/// The same from a cut on, at which all of these were Primary: while a node has not noticed it, its writes wait for an answer that
/// does not come, as they do once it has.
pub(in crate::scenario::machines) fn both_writable_since(
    events: &[Event],
    cut: Duration,
    primaries: &[&str],
) -> Option<Both> {
    let side = |name: &&str| ((*name).to_owned(), Side { is_primary: true, is_frozen: true });
    walk(primaries.iter().map(side).collect(), events.iter().filter(|event| event.at >= cut))
}

fn walk<'a>(
    mut sides: BTreeMap<String, Side>,
    events: impl Iterator<Item = &'a Event>,
) -> Option<Both> {
    for event in events {
        match &event.kind {
            Kind::Log(record) => {
                for phase in recognise(record) {
                    learn(&mut sides, &event.source, &phase);
                }
            }
            Kind::Mark(text) => {
                if let Some(node) = text.strip_prefix("power cut of ") {
                    sides.remove(node);
                }
            }
            Kind::Serial(_) => {}
        }
        let writable = |(_, side): &(&String, &Side)| side.is_primary && !side.is_frozen;
        let nodes: Vec<String> =
            sides.iter().filter(writable).map(|(node, _)| node.clone()).collect();
        if nodes.len() > 1 {
            return Some(Both { at: event.at, nodes });
        }
    }
    None
}

fn learn(sides: &mut BTreeMap<String, Side>, source: &str, phase: &Phase) {
    match phase {
        Phase::Role { object, role } if object == DEVICE => {
            sides.entry(source.to_owned()).or_default().is_primary = role == "Primary";
        }
        Phase::WritesFrozen { object, frozen } if object == RESOURCE => {
            sides.entry(source.to_owned()).or_default().is_frozen = *frozen;
        }
        // What ran in it is gone, and what runs there next has told nothing yet.
        Phase::FencingEnded { node, ok: true } => {
            sides.remove(node);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use duet_oracle::event::Record;

    fn log(at: u64, node: &str, tag: &str, text: &str) -> Event {
        let record = Record { tag: tag.into(), pid: None, severity: 5, text: text.into() };
        Event { at: Duration::from_secs(at), source: node.into(), kind: Kind::Log(record) }
    }

    fn mark(at: u64, text: &str) -> Event {
        let at = Duration::from_secs(at);
        Event { at, source: "lab".into(), kind: Kind::Mark(text.into()) }
    }

    fn promoted(at: u64, node: &str) -> Event {
        log(at, node, "kernel", "block drbd0: role( Secondary -> Primary ) ")
    }

    fn susp(at: u64, node: &str, change: &str) -> Event {
        let text = format!(
            "drbd r0: peer( Secondary -> Unknown ) conn( Connected -> NetworkFailure ) susp( {change} ) "
        );
        log(at, node, "kernel", &text)
    }

    const FENCED: &str =
        "Operation 'reboot' targeting node1 by node2 for pacemaker-controld.9@node2: OK";

    #[test]
    fn two_that_can_write_are_found() {
        let events = [promoted(1, "node1"), promoted(9, "node2")];
        let nodes = vec!["node1".to_owned(), "node2".to_owned()];
        assert_eq!(both_writable(&events), Some(Both { at: Duration::from_secs(9), nodes }));
    }

    #[test]
    fn of_two_primaries_that_are_cut_one_may_go_on() {
        let before = [promoted(1, "node1"), promoted(1, "node2")];
        let noticed = [susp(6, "node1", "0 -> 1"), susp(7, "node2", "0 -> 1")];
        let both = |more: &[Event]| {
            let events: Vec<Event> = before.iter().chain(&noticed).chain(more).cloned().collect();
            both_writable_since(&events, Duration::from_secs(5), &["node1", "node2"])
        };
        let (one, other) = (susp(8, "node2", "1 -> 0"), susp(9, "node1", "1 -> 0"));
        assert_eq!(both(std::slice::from_ref(&one)), None);
        assert_eq!(both(&[one, other]).map(|both| both.at), Some(Duration::from_secs(9)));
    }

    #[test]
    fn one_that_is_frozen_cannot_write_until_it_is_let_go() {
        let frozen = [promoted(1, "node1"), susp(2, "node1", "0 -> 1"), promoted(3, "node2")];
        assert_eq!(both_writable(&frozen), None);
        let mut thawed = frozen.to_vec();
        thawed.push(log(4, "node1", "kernel", "drbd r0: susp( 1 -> 0 ) "));
        assert_eq!(both_writable(&thawed).map(|both| both.at), Some(Duration::from_secs(4)));
    }

    #[test]
    fn one_without_power_cannot_write() {
        let cut = [promoted(1, "node1"), mark(2, "power cut of node1"), promoted(3, "node2")];
        assert_eq!(both_writable(&cut), None);
        let fenced = [
            promoted(1, "node1"),
            log(2, "node2", "pacemaker-fenced", FENCED),
            promoted(3, "node2"),
        ];
        assert_eq!(both_writable(&fenced), None);
    }

    #[test]
    fn fencing_that_failed_proves_nothing() {
        let text = FENCED.replace(": OK", ": Timer expired");
        let events = [
            promoted(1, "node1"),
            log(2, "node2", "pacemaker-fenced", &text),
            promoted(3, "node2"),
        ];
        assert!(both_writable(&events).is_some());
    }

    #[test]
    fn a_move_in_good_order_is_one_side_at_a_time() {
        let events = [
            promoted(1, "node1"),
            log(2, "node1", "kernel", "block drbd0: role( Primary -> Secondary ) "),
            promoted(3, "node2"),
        ];
        assert_eq!(both_writable(&events), None);
    }

    #[test]
    fn another_device_is_another_matter() {
        let events = [
            promoted(1, "node1"),
            log(2, "node2", "kernel", "block drbd1: role( Secondary -> Primary ) "),
        ];
        assert_eq!(both_writable(&events), None);
    }
}
