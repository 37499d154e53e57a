//! The environments of handlers as real kernels and drbdadm made them, and environments that are wrong.
#![allow(clippy::unwrap_used, reason = "test")]

mod recording;

use std::{ffi::OsString, os::unix::ffi::OsStringExt};

use duet_drbd::{
    Connection, Generation,
    handler::{Call, CallError, Event},
};
use recording::{MODULES, files, text};

/// Every recorded call: the file, and the call.
fn calls() -> Vec<(String, Call)> {
    let mut calls = Vec::new();
    for file in MODULES.iter().flat_map(|module| files(module, "handler-calls")) {
        for recorded in text(&file).split("# environment as received\n").skip(1) {
            let lines = recorded.lines().take_while(|line| !line.starts_with('#'));
            let variables = lines.filter_map(|line| line.split_once('='));
            let environment: Vec<_> =
                variables.map(|(name, value)| (name.into(), value.into())).collect();
            calls.push((file.clone(), environment));
        }
    }
    let events =
        MODULES.iter().flat_map(|module| files(module, "handler-calls")).flat_map(|file| {
            let text = text(&file);
            let words = text.lines().filter_map(|line| line.strip_prefix("argv[1]="));
            words.map(Event::parse).collect::<Vec<_>>()
        });
    let events: Vec<_> = events.collect();
    assert_eq!(events.len(), calls.len());
    let read = |(file, environment): (String, Vec<(OsString, OsString)>), event| {
        let call = Call::read(event, environment);
        (file.clone(), call.unwrap_or_else(|error| panic!("{file}: {error}")))
    };
    calls.into_iter().zip(events).map(|(call, event)| read(call, event)).collect()
}

#[test]
fn every_recorded_call_says_what_it_is_about() {
    let calls = calls();
    assert!(calls.len() > 90, "{}", calls.len());
    for (file, call) in calls {
        let is_8_4 = file.starts_with("8.4");
        assert!(!matches!(call.event, Event::Unrecognized(_)), "{file}: {}", call.event);
        assert_eq!(call.resource, "r0");
        assert_eq!(call.configuration.as_deref(), Some("/etc/drbd.conf"));
        assert_eq!(call.generation == Generation::V8, is_8_4, "{file}");
        assert_eq!(call.minors, [0]);
        assert_eq!((call.node_id.is_none(), call.names.is_empty()), (is_8_4, is_8_4));
        let about_peer = !matches!(call.event, Event::LocalIoError | Event::QuorumLost);
        assert_eq!(call.peer().is_ok(), about_peer, "{file}: {}", call.event);
        let fences = matches!(call.event, Event::FencePeer | Event::UnfencePeer);
        assert_eq!(call.up_to_date.is_some(), fences && !is_8_4, "{file}: {}", call.event);
        assert_eq!(call.connection.is_some(), about_peer && !is_8_4, "{file}: {}", call.event);
        assert!(!matches!(call.connection, Some(Connection::Unrecognized(_))));
        // A list of minors without volumes is all that 8.4 has in these two.
        assert_eq!(call.volumes.keys().eq([&0]), !(fences && is_8_4), "{file}: {}", call.event);
        for volume in call.volumes.values() {
            assert_eq!(volume.minor, Some(0), "{file}: {}", call.event);
        }
        if let Some(peer) = &call.peer {
            assert_eq!(peer.node_id.is_none(), is_8_4);
            assert_eq!(peer.names.len(), 1);
            let number = peer.names[0].strip_prefix("node").unwrap();
            let address = format!("10.78.0.{number}");
            assert_eq!(peer.address, Some(address), "{file}: {}", call.event);
            assert!(peer.node_id.is_none_or(|id| (id + 1).to_string() == number));
            assert_ne!(peer.node_id.or(Some(99)), call.node_id);
        }
    }
}

#[test]
fn a_cut_off_primary_is_the_only_one_up_to_date() {
    let calls = calls();
    let mut story = calls.iter().filter(|(file, _)| file == "9/handler-calls-node1.txt");
    let (_, call) = story.find(|(_, call)| call.event == Event::FencePeer).unwrap();
    assert_eq!(call.connection, Some(Connection::NetworkFailure));
    assert_eq!((call.node_id, call.peer().unwrap().node_id), (Some(0), Some(1)));
    assert_eq!(call.up_to_date().unwrap().node_ids().collect::<Vec<_>>(), [0]);
    assert_eq!(call.names[&1], ["node2"]);
    let volume = &call.volumes[&0];
    let both = (volume.backing.as_deref(), volume.disk.as_deref());
    assert_eq!(both, (Some("/dev/vdb"), Some("/dev/vdb")));
}

#[test]
fn a_peer_that_was_reached_and_refused_is_told_from_one_that_was_lost() {
    let calls = calls();
    let fences = |connection: &Connection| {
        let mut calls = calls.iter().map(|(_, call)| call);
        calls.any(|call| {
            call.event == Event::FencePeer && call.connection.as_ref() == Some(connection)
        })
    };
    assert!(fences(&Connection::Disconnecting) && fences(&Connection::NetworkFailure));
}

#[test]
fn a_disk_that_failed_has_no_device_in_the_kernel() {
    let calls = calls();
    let (_, call) = calls.iter().find(|(_, call)| call.event == Event::LocalIoError).unwrap();
    let volume = &call.volumes[&0];
    assert_eq!(
        (volume.backing.as_deref(), volume.disk.as_deref()),
        (None, Some("/dev/mapper/lab"))
    );
}

fn read(variables: &[(&str, &str)]) -> Result<Call, CallError> {
    let variables = variables.iter().map(|(name, value)| (name.into(), value.into()));
    Call::read(Event::FencePeer, variables)
}

#[test]
fn several_volumes_are_kept_apart() {
    let call = read(&[
        ("DRBD_RESOURCE", "r1"),
        ("DRBD_VOLUME", "0 5"),
        ("DRBD_MINOR", "1 6"),
        ("DRBD_LL_DISK", "/dev/vg/a /dev/vg/b"),
        ("DRBD_MINOR_0", "1"),
        ("DRBD_MINOR_5", "6"),
        ("DRBD_BACKING_DEV_5", "/dev/dm-3"),
        ("DRBD_MINOR_LOWEST", "1"),
    ])
    .unwrap();
    assert_eq!(call.minors, [1, 6]);
    let row = |volume: u32| {
        let volume = &call.volumes[&volume];
        (volume.minor, volume.backing.as_deref(), volume.disk.as_deref())
    };
    assert_eq!(row(0), (Some(1), None, Some("/dev/vg/a")));
    assert_eq!(row(5), (Some(6), Some("/dev/dm-3"), Some("/dev/vg/b")));
    assert_eq!(call.volumes.len(), 2);
}

#[test]
fn a_call_by_hand_says_what_is_missing() {
    let call = read(&[("DRBD_RESOURCE", "r0"), ("DRBD_NODE_ID_0", "a"), ("DRBD_NODE_ID_1", "b c")]);
    let call = call.unwrap();
    assert_eq!(call.names[&1], ["b", "c"]);
    assert_eq!(call.peer(), Err(CallError::Missing("DRBD_PEER_NODE_ID")));
    assert_eq!(call.up_to_date(), Err(CallError::Missing("UP_TO_DATE_NODES")));
    let old = read(&[("DRBD_RESOURCE", "r0"), ("UP_TO_DATE_NODES", "")]).unwrap();
    assert_eq!(old.peer(), Err(CallError::Missing("DRBD_PEERS")));
    assert_eq!(old.up_to_date, None);
    assert_eq!(read(&[]), Err(CallError::Missing("DRBD_RESOURCE")));
    assert_eq!(read(&[("DRBD_RESOURCE", "")]), Err(CallError::Missing("DRBD_RESOURCE")));
}

#[test]
fn a_value_that_cannot_be_read_is_an_error_that_names_its_variable() {
    let rows = [
        ("DRBD_PEER_NODE_ID", "one"),
        ("DRBD_PEER_NODE_ID", "-1"),
        ("DRBD_PEER_NODE_ID", "32"),
        ("DRBD_MY_NODE_ID", "4294967296"),
        ("DRBD_NODE_ID_32", "node33"),
        ("UP_TO_DATE_NODES", "3"),
        ("UP_TO_DATE_NODES", "0x"),
        ("UP_TO_DATE_NODES", "0x+3"),
        ("UP_TO_DATE_NODES", "0x1FFFFFFFFFFFFFFFF"),
        ("DRBD_MINOR", "0 x"),
        ("DRBD_VOLUME", "0 1"),
        ("DRBD_MINOR_0", "zero"),
    ];
    for (name, value) in rows {
        let error = read(&[("DRBD_RESOURCE", "r0"), (name, value)]).unwrap_err();
        assert!(error.to_string().starts_with(name), "{error}");
        assert!(error.to_string().contains(value), "{error}");
    }
    let broken = OsString::from_vec(vec![b'r', 0xff]);
    let call = Call::read(Event::FencePeer, [("DRBD_RESOURCE".into(), broken.clone())]);
    assert!(call.unwrap_err().to_string().starts_with("DRBD_RESOURCE"));
    let others = [
        ("DRBD_RESOURCE".into(), "r0".into()),
        ("LANG".into(), broken.clone()),
        (broken, "".into()),
    ];
    assert_eq!(Call::read(Event::FencePeer, others).unwrap().resource, "r0");
}

#[test]
fn a_mask_has_the_nodes_it_says_and_no_others() {
    let mask = |value: &str| {
        let call = read(&[("DRBD_RESOURCE", "r0"), ("UP_TO_DATE_NODES", value)]).unwrap();
        call.up_to_date().unwrap()
    };
    assert_eq!(mask("0x00000005").node_ids().collect::<Vec<_>>(), [0, 2]);
    assert_eq!(mask("0x00000000").node_ids().count(), 0);
    assert_eq!(mask("0xFFFFFFFFFFFFFFFF").node_ids().count(), 32);
    assert!(!mask("0x00000001").contains(64), "a shift that is too far is no node");
}

#[test]
fn events_keep_their_words() {
    let words = "fence-peer unfence-peer before-resync-target after-resync-target before-resync-source \
                 out-of-sync split-brain initial-split-brain pri-lost pri-lost-after-sb pri-on-incon-degr \
                 local-io-error quorum-lost disconnected something-new";
    for word in words.split_whitespace() {
        let event = Event::parse(word);
        assert_eq!(event.to_string(), word);
        assert_eq!(matches!(event, Event::Unrecognized(_)), word == "something-new");
    }
}
