//! What real modules and tools said, decoded: each state is the one that the story tells, and the sources that were
//! asked at the same moment agree with each other.
#![allow(clippy::unwrap_used, reason = "test")]

mod recording;

use std::collections::BTreeMap;

use duet_drbd::{
    Change, Connection, Disk, Object, Replication, Role, View, events2,
    proc::{Minor, Proc},
};
use recording::{MODULES, answer, files, line, state, states, text};

/// A connection that went from NetworkFailure to Connecting between two commands.
const MOVED: &str = "9/state-13-suspended-during-fence-peer-resource-and-stonith-node2";

/// `events2 --now`, decoded.
fn now(file: &str) -> View {
    let said = answer(file, "drbdsetup events2 --now --timestamps").unwrap();
    assert_eq!(said.code, 0, "{file}");
    events2::snapshot(&said.output).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// Statistics and drbdsetup's own opinion are not in every source.
fn without_figures(mut view: View) -> View {
    for resource in view.resources.values_mut() {
        resource.node_id = None;
        resource.may_promote = None;
        resource.promotion_score = None;
        for peer in resource.peers.values_mut() {
            for volume in peer.volumes.values_mut() {
                volume.out_of_sync = None;
            }
        }
    }
    view
}

#[test]
fn each_state_is_the_one_of_the_story() {
    let table = text("states.txt");
    let rows = table.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let mut rows: BTreeMap<_, _> = rows.map(|row| row.split_once(": ").unwrap()).collect();
    for file in states() {
        let expected = rows.remove(state(&file).as_str());
        assert_eq!(Some(line(&now(&file)).as_str()), expected, "{file}");
    }
    assert!(rows.is_empty(), "no recordings of {rows:?}");
}

#[test]
fn statistics_and_time_stamps_change_nothing() {
    let mut seen = 0;
    for file in states() {
        for more in ["--statistics", "--full"] {
            let command = match more {
                "--full" => "drbdsetup events2 --now --full --timestamps".to_owned(),
                more => format!("drbdsetup events2 --now --timestamps {more}"),
            };
            let Some(said) = answer(&file, &command) else { continue };
            seen += 1;
            if file.contains(MOVED) {
                continue;
            }
            let full = events2::snapshot(&said.output).unwrap();
            assert_eq!(without_figures(full), without_figures(now(&file)), "{file} {more}");
        }
    }
    assert_eq!(seen, states().len(), "one of the two per state");
}

#[test]
fn status_says_the_same() {
    for file in states() {
        let said = answer(&file, "drbdsetup status --verbose --statistics").unwrap();
        let (mut said, mut seen) = (status(&said.output), now(&file));
        for resource in seen.resources.values_mut().chain(said.resources.values_mut()) {
            // 8.4's status leaves out a connection that is StandAlone and has no address any more, and 9's does
            // not say whether a peer that is not connected is a client.
            resource.peers.retain(|_, peer| peer.name.is_some());
            for peer in resource.peers.values_mut() {
                if peer.connection != Connection::Connected {
                    peer.volumes.values_mut().for_each(|volume| volume.client = None);
                }
            }
        }
        assert_eq!(without_figures(said), without_figures(seen), "{file}");
    }
}

/// `status --verbose`, by way of the lines that `events2` would print.
fn status(text: &str) -> View {
    let (mut view, mut lines) = (View::default(), Vec::<String>::new());
    let (mut resource, mut peer) = (String::new(), String::new());
    for line in text.lines().filter(|line| is_event(line)) {
        let indent = line.len() - line.trim_start().len();
        let (first, rest) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
        match (indent, first.split_once(':')) {
            (0, _) => {
                first.clone_into(&mut resource);
                peer.clear();
                lines.push(format!("exists resource name:{resource} {rest}"));
            }
            (2, Some(("volume", _))) => {
                lines.push(format!("exists device name:{resource} {first} {rest}"));
            }
            (2, None) => {
                let id = rest.split(' ').find_map(|word| word.strip_prefix("node-id:"));
                peer = format!("peer-node-id:{} conn-name:{first}", id.unwrap_or("0"));
                lines.push(format!("exists connection name:{resource} {peer} {rest}"));
            }
            (4, Some(("volume", _))) => {
                lines.push(format!("exists peer-device name:{resource} {peer} {first} {rest}"));
            }
            _ => lines.last_mut().unwrap().push_str(&format!(" {first} {rest}")),
        }
    }
    for line in lines {
        // What is not printed is `no`, but for 8.4, which has no such thing.
        let is_9 = text.contains("node-id:");
        let line = match line.split(' ').nth(1).unwrap() {
            "device" if is_9 && !line.contains("client:") => format!("{line} client:no"),
            "peer-device" if is_9 && !line.contains("peer-client:") => {
                format!("{line} peer-client:no")
            }
            _ => line,
        };
        view.apply(&events2::change(&line).unwrap_or_else(|error| panic!("{line}: {error}")));
    }
    view
}

#[test]
fn json_says_the_same() {
    let mut seen = 0;
    for file in states() {
        let said = answer(&file, "drbdsetup status --json").unwrap();
        if said.code != 0 {
            assert!(file.starts_with("8.4"), "{file}");
            continue;
        }
        assert_eq!(json(&said.output), line(&now(&file)), "{file}");
        seen += 1;
    }
    assert!(seen > 50, "{seen}");
}

/// `status --json` in the form of `states.txt`.
fn json(text: &str) -> String {
    let all: serde_json::Value = serde_json::from_str(text).unwrap();
    let Some(resource) = all.get(0) else { return "-".to_owned() };
    let word = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let flag = |value: &serde_json::Value| if value.as_bool().unwrap() { "yes" } else { "no" };
    let reasons = ["user", "no-data", "fencing", "quorum"];
    let reasons: Vec<_> = reasons
        .into_iter()
        .filter(|reason| resource[format!("suspended-{reason}")] == true)
        .collect();
    assert_eq!(resource["suspended"] == true, !reasons.is_empty());
    let reasons = if reasons.is_empty() { "no".to_owned() } else { reasons.join(",") };
    let device = &resource["devices"][0];
    let mut parts = vec![format!(
        "{} {reasons} {} {} {}",
        word(&resource["role"]),
        word(&device["disk-state"]),
        flag(&device["quorum"]),
        flag(&device["client"])
    )];
    let mut peers: Vec<_> = resource["connections"].as_array().unwrap().iter().collect();
    peers.sort_by_key(|peer| peer["peer-node-id"].as_u64());
    for peer in peers {
        let volume = &peer["peer_devices"][0];
        let words = [
            &peer["name"],
            &peer["connection-state"],
            &peer["peer-role"],
            &volume["replication-state"],
            &volume["peer-disk-state"],
        ];
        parts.push(words.map(word).join(" "));
    }
    parts.join(" | ")
}

#[test]
fn proc_says_the_same_on_8_4_and_only_the_version_on_9() {
    for file in states() {
        let said = answer(&file, "cat /proc/drbd").unwrap();
        let proc = Proc::parse(&said.output).unwrap_or_else(|error| panic!("{file}: {error}"));
        let version = match file.split('/').next().unwrap() {
            "8.4" => "8.4.11",
            "9" => "9.3.3",
            other => other,
        };
        assert_eq!(proc.version.to_string(), version, "{file}");
        let seen = now(&file);
        let Some(resource) = seen.resources.get("r0").filter(|_| version == "8.4.11") else {
            assert!(!proc.minors.values().any(|minor| *minor != Minor::Unconfigured), "{file}");
            continue;
        };
        let Minor::Configured {
            connection,
            replication,
            role,
            peer_role,
            disk,
            peer_disk,
            is_frozen,
            out_of_sync,
        } = &proc.minors[&0]
        else {
            panic!("{file}: {proc:?}");
        };
        let peer = &resource.peers[&0];
        let said = (connection, replication, role, peer_role, disk, peer_disk, *is_frozen);
        let (theirs, ours) = (&peer.volumes[&0], &resource.volumes[&0]);
        let expected = (
            &peer.connection,
            &theirs.replication,
            &resource.role,
            &peer.role,
            &ours.disk,
            &theirs.disk,
            Some(resource.suspended.any()),
        );
        assert_eq!(said, expected, "{file}");
        assert!(out_of_sync.is_some(), "{file}");
    }
}

#[test]
fn every_line_of_every_stream_is_understood() {
    let mut seen = 0;
    for module in MODULES {
        for file in files(module, "events2-") {
            for line in text(&file).lines().filter(|line| is_event(line)) {
                let said = events2::change(line).unwrap_or_else(|error| panic!("{line}: {error}"));
                assert!(is_understood(&said), "{file}: {line}");
                seen += 1;
            }
        }
    }
    assert!(seen > 2000, "{seen}");
}

fn is_event(line: &str) -> bool {
    !line.is_empty() && !line.starts_with('#')
}

/// Whether no word of it is new to the tables.
fn is_understood(said: &Change) -> bool {
    match &said.object {
        Object::Resource { role, suspended, .. } => {
            !matches!(role, Some(Role::Unrecognized(_)))
                && !suspended.is_some_and(|suspended| suspended.unrecognized)
        }
        Object::Device { disk, .. } => !matches!(disk, Some(Disk::Unrecognized(_))),
        Object::Connection { connection, role, .. } => {
            !matches!(connection, Some(Connection::Unrecognized(_)))
                && !matches!(role, Some(Role::Unrecognized(_)))
        }
        Object::PeerDevice { replication, disk, .. } => {
            !matches!(replication, Some(Replication::Unrecognized(_)))
                && !matches!(disk, Some(Disk::Unrecognized(_)))
        }
        Object::Path { .. } | Object::Helper { .. } | Object::End => true,
        Object::Unrecognized(_) => false,
    }
}

/// The streams that leave nothing out, and whose states of the same node they run through.
const STREAMS: &[(&str, &str)] = &[
    ("8.4/events2-node1.txt", "node1"),
    ("8.4/events2-node1-full.txt", "node1"),
    ("8.4/events2-node2.txt", "node2"),
    ("8.4/events2-node2-full.txt", "node2"),
    ("9/events2-node1.txt", "node1"),
    ("9/events2-full-node1.txt", "node1"),
    ("9/events2-diff-node1.txt", "node1"),
    ("9/events2-node2.txt", "node2"),
    ("9/events2-3n-full-node1.txt", "3n-node1"),
    ("9/events2-3n-node2.txt", "3n-node2"),
    ("9.2.16/events2-node1.txt", "node1"),
];

#[test]
fn a_stream_builds_up_what_a_snapshot_shows_at_each_moment() {
    let mut compared = 0;
    for (stream, node) in STREAMS {
        let events = text(stream);
        let events: Vec<_> = events.lines().filter(|line| is_event(line)).collect();
        let folder = stream.split('/').next().unwrap();
        let (is_three, node) = node.strip_prefix("3n-").map_or((false, *node), |node| (true, node));
        for file in files(folder, "state-") {
            if !file.ends_with(&format!("{node}.txt")) || file.contains("state-3n") != is_three {
                continue;
            }
            let snapshot = answer(&file, "drbdsetup events2 --now --timestamps").unwrap().output;
            let at = snapshot.split(' ').next().unwrap();
            // The recording ran from before `up` to the last state of its story.
            if events.first().is_none_or(|first| at < stamp(first))
                || events.last().is_none_or(|last| at > stamp(last))
            {
                continue;
            }
            let mut view = View::default();
            for line in events.iter().take_while(|line| stamp(line) <= at) {
                view.apply(&events2::change(line).unwrap());
            }
            let mut seen = now(&file);
            for resource in seen.resources.values_mut() {
                // 8.4 says that the connection is destroyed, and goes on showing it, without a name.
                resource.peers.retain(|_, peer| peer.name.is_some());
            }
            assert_eq!(without_figures(view), without_figures(seen), "{stream} at {file}");
            compared += 1;
        }
    }
    assert!(compared > 100, "{compared}");
}

fn stamp(line: &str) -> &str {
    line.split(' ').next().unwrap()
}
