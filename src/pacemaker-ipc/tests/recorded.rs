//! What Pacemaker's daemons and tools were recorded to say, read as the client reads it, as it was and altered. Invariant: every
//! recording is understood, and no alteration makes a reader panic or give more than it was given.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

use duet_pacemaker_ipc::{
    Assembly, Offer, Transport, cib_request, controller_request, encode, hello,
    read_attribute_reply, read_cib_reply, read_controller_reply,
};
use proptest::prelude::*;
use std::path::PathBuf;

const VERSIONS: [&str; 2] = ["2.1.5", "3.0.0"];

fn recorded(version: &str, name: &str) -> Vec<u8> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/recorded/pacemaker-ipc");
    std::fs::read(root.join(version).join(name)).unwrap()
}

fn text(version: &str, name: &str) -> String {
    Assembly::default().add(&recorded(version, name)).unwrap().unwrap()
}

#[test]
fn the_handshake_offers_rings() {
    for version in VERSIONS {
        let offer = Offer::parse(&recorded(version, "handshake.bin")).unwrap();
        assert_eq!((offer.transport, offer.largest), (Transport::SharedMemory, 131_072));
        assert!(offer.request.ends_with("/qb-request-cib_rw"), "{offer:?}");
        assert!(offer.event.ends_with("/qb-event-cib_rw"), "{offer:?}");
    }
}

#[test]
fn the_handshake_offers_datagrams_where_it_was_configured() {
    let offer = Offer::parse(&recorded("2.1.5", "handshake-socket.bin")).unwrap();
    assert_eq!(offer.transport, Transport::Socket);
    assert!(offer.request.ends_with("/qb-control-cib_rw"), "{offer:?}");
    assert!(offer.response.ends_with("/qb-cib_rw") && offer.event.is_empty(), "{offer:?}");
}

#[test]
fn a_cib_comes_whole_and_compressed() {
    for version in VERSIONS {
        for (name, is_large) in [("query.bin", false), ("query-compressed.bin", true)] {
            let text = text(version, name);
            let reply = read_cib_reply(&text).unwrap();
            assert_eq!((reply.operation.as_str(), reply.code), ("cib_query", 0));
            let cib = reply.data.unwrap();
            assert!(cib.starts_with("<cib ") && cib.ends_with("</cib>"), "{version} {name}");
            assert_eq!(cib.contains("id=\"big-2500\""), is_large, "{version} {name}");
        }
    }
}

#[test]
fn changes_are_answered_by_their_result() {
    for version in VERSIONS {
        for (name, operation, code) in [
            ("patch-done.bin", "cib_apply_diff", 0),
            ("patch-old.bin", "cib_apply_diff", -205),
            ("bump.bin", "cib_bump", 0),
        ] {
            let text = text(version, name);
            let reply = read_cib_reply(&text).unwrap();
            assert_eq!((reply.operation.as_str(), reply.code), (operation, code), "{version}");
        }
    }
}

#[test]
fn a_controller_says_what_its_node_is_and_that_it_is_well() {
    for version in VERSIONS {
        let node = read_controller_reply(&text(version, "node-info.bin")).unwrap();
        assert_eq!((node.get("have-quorum"), node.get("uname")), (Some("true"), Some("node1")));
        assert_eq!(node.task, "node-info");
        let ping = read_controller_reply(&text(version, "ping.bin")).unwrap();
        assert_eq!((ping.get("result"), ping.get("crmd_state")), (Some("ok"), Some("S_IDLE")));
        assert!(ping.reference.starts_with("ping-"), "{ping:?}");
    }
}

#[test]
fn the_attribute_daemon_says_which_value_it_has() {
    for version in VERSIONS {
        let read = |name: &str, of: &str| read_attribute_reply(&text(version, name), of, "node1");
        let value = read("attribute.bin", "master-p_drbd");
        assert_eq!(value, Ok(Some("10000".to_owned())), "{version}");
        assert_eq!(read("attribute-deleted.bin", "master-p_drbd"), Ok(None), "{version}");
        assert_eq!(read("attribute-unknown.bin", "master-nobody"), Ok(None), "{version}");
        assert!(read("attribute.bin", "master-p_other").is_err(), "{version}");
    }
}

/// The attributes that a request has, without those that differ from call to call or that no daemon reads.
fn asked(request: &str) -> Vec<(String, String)> {
    let names = ["t", "subt", "cib_op", "cib_callopt", "crm_task", "crm_sys_to", "crm_host_to"];
    let head = request.split('>').next().unwrap();
    let mut asked = Vec::new();
    for pair in head.split_ascii_whitespace().skip(1) {
        let Some((name, value)) = pair.trim_end_matches('/').split_once('=') else { continue };
        if names.contains(&name) {
            asked.push((name.to_owned(), value.to_owned()));
        }
    }
    asked.sort();
    asked
}

#[test]
fn requests_ask_what_the_tools_ask() {
    for version in VERSIONS {
        let patch = text(version, "patch.request.bin");
        let inside = patch.split_once("<cib_calldata>").unwrap().1;
        let inside = inside.split_once("</cib_calldata>").unwrap().0;
        for (name, ours) in [
            ("query.request.bin", cib_request("cib_query", 2, 0, None)),
            ("patch.request.bin", cib_request("cib_apply_diff", 2, 0, Some(inside))),
            ("hello.request.bin", hello(7)),
            ("node-info.request.bin", controller_request("node-info", "r", 7, None)),
            ("ping.request.bin", controller_request("ping", "r", 7, Some("node1"))),
        ] {
            assert_eq!(asked(&ours), asked(&text(version, name)), "{version} {name}");
        }
        let ours = cib_request("cib_apply_diff", 2, 0, Some(inside));
        assert!(ours.contains(&format!("<cib_calldata>{inside}</cib_calldata>")));
    }
}

#[test]
fn a_header_is_as_that_of_the_tools_but_for_its_number_and_what_is_asked_to_be_answered() {
    for name in ["query.request.bin", "ping.request.bin"] {
        let theirs = recorded("2.1.5", name);
        let ours = encode(2, &text("2.1.5", name));
        assert_eq!(ours, theirs, "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]
    #[test]
    fn an_altered_recording_is_read_within_bounds(
        version in 0_usize..2,
        name in prop::sample::select(vec![
            "handshake.bin", "query.bin", "query-compressed.bin", "patch-old.bin", "node-info.bin", "ping.bin",
            "attribute.bin",
        ]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
        word in prop::option::of((0_usize..10, any::<u32>())),
    ) {
        let mut bytes = recorded(VERSIONS[version], name);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some((at, value)) = word {
            bytes[at * 4..at * 4 + 4].copy_from_slice(&value.to_ne_bytes());
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(offer) = Offer::parse(&bytes) {
            for path in [&offer.request, &offer.response, &offer.event] {
                prop_assert!(path.is_empty() || path.starts_with("/dev/shm/"));
                prop_assert!(!path.contains("/.."));
            }
        }
        if let Ok(Some(text)) = Assembly::default().add(&bytes) {
            // A compressed text says how long it is, and is not taken for longer.
            prop_assert!(text.len() <= bytes.len().max(1024 * 1024));
            if let Ok(reply) = read_cib_reply(&text) {
                prop_assert!(reply.data.is_none_or(|data| data.len() < text.len()));
            }
            let _ = read_controller_reply(&text);
            let _ = read_attribute_reply(&text, "master-p_drbd", "node1");
        }
    }
}
