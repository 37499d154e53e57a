//! fence_virt by tcp and vsock. Invariant: the request is said once, and every run ends in its time.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]
#![allow(dead_code, reason = "each test file uses its part of the stage")]

mod stage;

use duet_xvm::{Algorithm, HostList, Record, Reply};
use stage::daemon::{Daemon, Manner, Settings};
use stage::{CLIENT, HOST, Ran, Stage};
use std::net::TcpListener;

fn first(ran: &Ran) -> &str {
    ran.stderr.lines().next().unwrap_or_default()
}

#[test]
fn situation_5_status_and_list_by_tcp_of_both_families() {
    let Some(stage) = Stage::with_network() else { return };
    let uuid = "11111111-2222-4333-8444-555555555501";
    let hosts = HostList(vec![Record::new("node1", uuid, 1).unwrap()]);
    let list = [&[Reply::HostList.number()][..], &hosts.to_bytes(), &[0]].concat();
    for host in HOST {
        let daemon = Daemon::tcp(host, Settings::answering(&[0]));
        let ran = stage.virt(&format!("-T {host} -o status -H node1"));
        assert_eq!(ran.said(), (Some(0), "Status: ON\n"), "{}", ran.stderr);
        assert_eq!(daemon.heard().len(), 1);
        assert_eq!(daemon.heard()[0].call_back, None);
        drop(daemon);
        let _daemon = Daemon::tcp(host, Settings::answering(&list));
        let ran = stage.virt(&format!("-T {host} -o list"));
        let wanted = format!("node1                            {uuid} on\n");
        assert_eq!(ran.said(), (Some(0), wanted.as_str()));
    }
}

#[test]
fn situation_9_all_pairs_of_hash_and_auth() {
    let Some(stage) = Stage::with_network() else { return };
    for hash in Algorithm::ALL {
        for auth in Algorithm::ALL {
            let _daemon =
                Daemon::tcp(HOST[0], Settings { hash, auth, ..Settings::answering(&[0]) });
            let ran = stage.virt(&format!("-T {} -c {hash} -C {auth} -o monitor", HOST[0]));
            assert_eq!(ran.said(), (Some(0), ""), "{hash} {auth} {}", ran.stderr);
        }
    }
}

#[test]
fn a_host_may_have_a_name() {
    let Some(stage) = Stage::with_network() else { return };
    let _daemon = Daemon::tcp("127.0.0.1", Settings::answering(&[0]));
    let ran = stage.virt("-T localhost -o monitor");
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let ran = stage.virt("-T no.such.name.invalid -t 5 -o monitor");
    assert_eq!(ran.code, Some(1));
    assert!(
        first(&ran).starts_with("Unable to connect to fence_virtd host no.such.name.invalid:1229 ")
    );
}

#[test]
fn connections_leave_from_the_address_and_by_the_interface_that_was_chosen() {
    let Some(stage) = Stage::with_network() else { return };
    let listener = TcpListener::bind((HOST[0], 1229)).unwrap();
    let client =
        stage.start("fence_virt", &format!("-T {} -b {} -t 1 -o monitor", HOST[0], CLIENT[0]));
    let (stream, peer) = listener.accept().unwrap();
    assert_eq!(peer.ip().to_string(), CLIENT[0]);
    drop((stream, listener));
    assert_eq!(client.wait().code, Some(1));
    let ran = stage.virt(&format!("-T {} -b 10.98.0.1 -o monitor", HOST[0]));
    assert_eq!(ran.code, Some(1));
    assert!(first(&ran).contains("Cannot assign requested address"), "{}", ran.stderr);
    let ran = stage.virt("-T 10.99.0.77 -I other -t 1 -o monitor");
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
}

#[test]
fn where_nobody_listens_or_answers_the_run_ends() {
    let Some(stage) = Stage::with_network() else { return };
    let ran = stage.virt(&format!("-T {} -o off -H x", HOST[0]));
    assert_eq!(ran.said(), (Some(1), ""));
    assert_eq!(
        ran.stderr,
        "Unable to connect to fence_virtd host 10.99.0.1:1229 Connection refused\nOperation failed\n"
    );
    // Nobody has that address, and nobody says so in time.
    let ran = stage.virt("-T 10.99.0.77 -t 1 -o off -H x");
    assert_eq!(ran.code, Some(1));
    for (manner, code, why) in [
        (Manner::Silent, 1, "Invalid response to challenge"),
        (Manner::Leave, 1, "Invalid response to challenge"),
        (Manner::Blurt(vec![0]), 1, "Invalid response to challenge"),
        (Manner::Blurt(vec![0; 300]), 1, "Invalid response to challenge"),
        (Manner::Mute, 255, "No answer within 1 s"),
        (Manner::Answer(vec![]), 1, "The daemon closed the connection without an answer"),
    ] {
        let daemon = Daemon::tcp(HOST[0], Settings::answering(&[]).with(manner.clone()));
        let ran = stage.virt(&format!("-T {} -t 1 -o off -H x", HOST[0]));
        assert_eq!((ran.code, first(&ran)), (Some(code), why), "{manner:?}");
        assert_eq!(daemon.heard().len(), 1, "{manner:?}");
    }
}

#[test]
fn another_key_hash_or_auth_is_no_success() {
    let Some(stage) = Stage::with_network() else { return };
    let _daemon = Daemon::tcp(HOST[0], Settings::answering(&[0]));
    let other = stage.file("other", &[8; 32]);
    let to = format!("-T {} -t 1", HOST[0]);
    for line in [format!("-k {}", other.display()), "-c sha1".into(), "-C sha1".into()] {
        let ran = stage.virt(&format!("{to} {line} -o off -H x"));
        assert_eq!((ran.code, first(&ran)), (Some(1), "Invalid response to challenge"), "{line}");
    }
    let ran = stage.virt(&format!("{to} -C none -o off -H x"));
    assert_eq!(ran.code, Some(255));
}

#[test]
fn to_diagnose_names_the_culprit() {
    let Some(stage) = Stage::with_network() else { return };
    let culprit = |line: &str| {
        let ran = stage.virt(&format!("--diagnose -t 1 {line}"));
        let told =
            ran.stdout.lines().find(|line| !line.starts_with("  ") && !line.contains(" by "));
        told.and_then(|line| line.split_once(": ")).map(|(word, _)| word.to_owned())
    };
    let to = format!("-T {}", HOST[0]);
    let is = |word: &str| Some(word.to_owned());
    assert_eq!(culprit(&to), is("daemon"));
    let _daemon = Daemon::tcp(HOST[0], Settings::answering(&[0]));
    assert_eq!(culprit(&to), is("fine"));
    assert_eq!(culprit(&format!("{to} -C sha1")), is("auth"));
    assert_eq!(culprit(&format!("{to} -c sha1")), is("key"));
}

#[test]
fn situation_6_vsock_without_a_daemon_or_without_vsock_fails() {
    let stage = Stage::new();
    let ran = stage.virt("-S -t 1 -o off -H x");
    assert_eq!(ran.said(), (Some(1), ""));
    assert!(
        first(&ran).starts_with("Unable to connect to fence_virtd host 2:1229 "),
        "{}",
        ran.stderr
    );
}
