//! The inputs. Invariant: each is there once.

use crate::input::{Ban, Driver, Fate, Input, Link, Mode};
use duet_drbd::Disk;

const FATES: [Fate; 5] = [Fate::Answers, Fate::Mute, Fate::Down, Fate::Unclean, Fate::Absent];

fn rule(allowed: &[usize]) -> Option<Ban> {
    Some(Ban { allowed: allowed.to_vec(), role: "Master" })
}

/// All of them.
pub(crate) fn inputs() -> Vec<Input> {
    let mut all = Vec::new();
    for driver in [Driver::V9, Driver::V8] {
        fence(driver, &mut all);
        unfence(driver, &mut all);
    }
    three_fence(&mut all);
    three_unfence(&mut all);
    all
}

/// What one node's data may be.
fn own() -> Vec<Vec<Disk>> {
    vec![
        vec![Disk::UpToDate],
        vec![Disk::Consistent],
        vec![Disk::Outdated],
        vec![Disk::Negotiating],
        vec![Disk::UpToDate, Disk::Inconsistent],
    ]
}

fn fence(driver: Driver, all: &mut Vec<Input>) {
    let lost = Input::lost(driver);
    for own in own() {
        for fate in FATES {
            for ban in [None, rule(&[1]), rule(&[2])] {
                for has_stonith in [true, false] {
                    let is_plain = matches!(own[..], [Disk::UpToDate | Disk::Consistent]);
                    // What bad data comes to depends on neither.
                    if !is_plain && (!has_stonith || ban == rule(&[2])) {
                        continue;
                    }
                    let is_primary = own[0] == Disk::UpToDate;
                    let (own, ban, peers) = (own.clone(), ban.clone(), vec![(Link::Lost, fate)]);
                    all.push(Input { own, ban, peers, has_stonith, is_primary, ..lost.clone() });
                }
            }
        }
    }
    // Policies, roles and the rule in other words and other scopes.
    for fate in FATES {
        let peers = vec![(Link::Lost, fate)];
        let other = Input { peers, ..lost.clone() };
        all.push(Input { freezes: false, ..other.clone() });
        all.push(Input { freezes: false, ban: rule(&[1]), ..other.clone() });
        all.push(Input { is_primary: false, ..other.clone() });
        let promoted = Some(Ban { allowed: vec![1], role: "Promoted" });
        all.push(Input { ban: promoted, ..other.clone() });
        if driver == Driver::V9 {
            all.push(Input { ban: rule(&[1, 2]), ..other.clone() });
            for ban in [None, rule(&[1]), rule(&[2])] {
                all.push(Input { is_refused: true, ban, ..other.clone() });
            }
        }
    }
    // No quorum, by the CIB or by the membership.
    for (cib_has_quorum, node_sees_quorum) in [(false, false), (true, false)] {
        for own in [Disk::UpToDate, Disk::Consistent] {
            for fate in [Fate::Answers, Fate::Down] {
                for ban in [None, rule(&[1])] {
                    all.push(Input {
                        own: vec![own.clone()],
                        peers: vec![(Link::Lost, fate)],
                        ban,
                        cib_has_quorum,
                        node_sees_quorum,
                        ..lost.clone()
                    });
                }
            }
        }
    }
    // The peer is back, or on its way.
    for link in [Link::Behind, Link::Good] {
        for ban in [None, rule(&[1]), rule(&[2])] {
            all.push(Input { peers: vec![(link, Fate::Answers)], ban, ..lost.clone() });
        }
    }
    // The mask is not to be believed: it lacks this node, or still has the peer.
    if driver == Driver::V9 {
        for mask in [2, 3] {
            for link in [Link::Lost, Link::Behind] {
                all.push(Input { mask, peers: vec![(link, Fate::Answers)], ..lost.clone() });
            }
        }
    }
}

fn unfence(driver: Driver, all: &mut Vec<Input>) {
    let good = Input { mode: Mode::Unfence, ..Input::lost(driver) };
    let masks: &[u32] = if driver == Driver::V9 { &[1, 3] } else { &[1] };
    for link in [Link::Good, Link::Behind, Link::Lost] {
        for ban in [None, rule(&[1]), rule(&[2])] {
            for mask in masks {
                for only_if_owner in [false, true] {
                    let peers = vec![(link, Fate::Answers)];
                    let (ban, mask) = (ban.clone(), *mask);
                    all.push(Input { peers, ban, mask, only_if_owner, ..good.clone() });
                }
            }
        }
        for own in [vec![Disk::Consistent], vec![Disk::UpToDate; 2]] {
            let peers = vec![(link, Fate::Answers)];
            all.push(Input { own, peers, ban: rule(&[1]), mask: 3, ..good.clone() });
        }
    }
    for cib_has_quorum in [true, false] {
        let peers = vec![(Link::Good, Fate::Answers)];
        let (ban, mask) = (rule(&[1]), 3);
        all.push(Input {
            peers,
            ban,
            mask,
            cib_has_quorum,
            node_sees_quorum: cib_has_quorum,
            is_primary: false,
            ..good.clone()
        });
    }
}

/// node2 is lost, and node3 is good, behind, or lost as well.
fn three_fence(all: &mut Vec<Input>) {
    let lost = Input::lost(Driver::V9);
    for own in [Disk::UpToDate, Disk::Consistent] {
        for fate in [Fate::Answers, Fate::Down, Fate::Unclean] {
            for (third, mask) in [
                ((Link::Good, Fate::Answers), 0b101),
                ((Link::Behind, Fate::Answers), 0b001),
                ((Link::Lost, Fate::Answers), 0b001),
                ((Link::Lost, Fate::Answers), 0b101),
                ((Link::Lost, Fate::Down), 0b001),
            ] {
                let bans = [None, rule(&[1]), rule(&[1, 3]), rule(&[1, 2, 3])];
                // Data that may be old: one rule is enough to show whose fates count.
                for ban in bans.into_iter().take(if own == Disk::UpToDate { 4 } else { 1 }) {
                    let peers = vec![(Link::Lost, fate), third];
                    let (own, is_primary) = (vec![own.clone()], own == Disk::UpToDate);
                    all.push(Input { own, is_primary, peers, mask, ban, ..lost.clone() });
                }
            }
        }
    }
}

fn three_unfence(all: &mut Vec<Input>) {
    let good = Input { mode: Mode::Unfence, ..Input::lost(Driver::V9) };
    for second in [Link::Good, Link::Behind, Link::Lost] {
        for third in [Link::Good, Link::Lost] {
            for mask in [0b001, 0b011, 0b111] {
                for ban in [rule(&[1]), rule(&[1, 3])] {
                    let peers = vec![(second, Fate::Answers), (third, Fate::Answers)];
                    all.push(Input { peers, mask, ban, ..good.clone() });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn no_input_is_there_twice() {
        let mut seen: BTreeMap<String, u32> = BTreeMap::new();
        for input in inputs() {
            *seen.entry(input.line()).or_default() += 1;
        }
        seen.retain(|_, times| *times > 1);
        assert!(seen.is_empty(), "{seen:#?}");
    }
}
