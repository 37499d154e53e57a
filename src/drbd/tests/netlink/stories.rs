//! Streams: the same story, told by the group's messages and by events2.

use crate::recorded::{DRIVERS, decoder, lines, stream};
use crate::words::{Facts, Line, of_view};
use duet_drbd::netlink::{Dump, Said, messages};
use duet_drbd::{Change, Object, Verb, Version, View};
use std::collections::BTreeMap;

/// Everything that a stream says: the initial state and what followed.
fn told(driver: Version) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut is_initial = true;
    let stream = stream(driver);
    let decoder = decoder(driver, &stream[0]);
    for bytes in &stream {
        let message = messages(bytes).next().unwrap().unwrap();
        let said = if is_initial {
            decoder.answer(Dump::InitialState, &message)
        } else {
            decoder.notification(&message)
        };
        match said.unwrap() {
            Said::Change(change) => changes.push(*change),
            Said::Done => is_initial = false,
            Said::Nothing => assert_eq!(driver, DRIVERS[0], "only 8.4 repeats itself"),
            Said::Lost => panic!("nothing was lost"),
        }
    }
    changes
}

/// Which values each fact had, one after the other.
fn courses(moments: impl Iterator<Item = Facts>) -> BTreeMap<String, Vec<Option<String>>> {
    let mut courses: BTreeMap<String, Vec<Option<String>>> = BTreeMap::new();
    for facts in moments {
        for fact in facts.keys() {
            courses.entry(fact.clone()).or_insert_with(|| vec![None]);
        }
        for (fact, course) in &mut courses {
            let now = facts.get(fact).cloned();
            if course.last() != Some(&now) {
                course.push(now);
            }
        }
    }
    // events2 without --full does not say these.
    courses.retain(|fact, _| {
        !["open", "minor", "out-of-sync"].iter().any(|name| fact.ends_with(&format!(" {name}")))
    });
    courses
}

#[test]
fn each_object_goes_through_the_states_that_events2_told() {
    for driver in DRIVERS {
        let mut view = View::default();
        let ours = courses(told(driver).iter().map(|change| {
            view.apply(change);
            of_view(&view)
        }));
        let mut facts = Facts::new();
        let theirs = courses(lines(driver, "events2-node1.txt").iter().map(|line| {
            Line::read(line).apply(&mut facts);
            facts.clone()
        }));
        assert_eq!(ours, theirs, "{driver}");
        let longest = ours.values().map(Vec::len).max().unwrap();
        assert!(longest > 20, "{driver}: a story that is too short to tell anything: {longest}");
    }
}

#[test]
fn helpers_are_called_and_answer_as_events2_told() {
    for driver in DRIVERS {
        let ours: Vec<String> = told(driver)
            .into_iter()
            .filter_map(|change| match (change.verb, change.object) {
                (verb, Object::Helper { resource, peer, volume, helper, status }) => {
                    let verb = match verb {
                        Verb::Call => "call",
                        Verb::Response => "response",
                        other => panic!("{other:?}"),
                    };
                    let number = |n: Option<u32>| n.map_or(String::new(), |n| n.to_string());
                    let (peer, volume, status) = (number(peer), number(volume), number(status));
                    Some(format!("{verb} {resource} {peer} {volume} {helper} {status}"))
                }
                _ => None,
            })
            .collect();
        let theirs: Vec<String> = lines(driver, "events2-node1.txt")
            .iter()
            .map(|line| Line::read(line))
            .filter(|line| line.kind == "helper")
            .map(|line| {
                let of = |name: &str| line.field(name).unwrap_or_default();
                let (resource, peer, volume) = (of("name"), of("peer-node-id"), of("volume"));
                let (helper, status) = (of("helper"), of("status"));
                format!("{} {resource} {peer} {volume} {helper} {status}", line.verb)
            })
            .collect();
        assert!(ours.len() > 10, "{driver}");
        assert_eq!(ours, theirs, "{driver}");
    }
}

#[test]
fn nothing_that_was_recorded_is_unrecognized() {
    for driver in DRIVERS {
        for change in told(driver) {
            assert!(!format!("{change:?}").contains("Unrecognized"), "{driver}: {change:?}");
        }
    }
}
