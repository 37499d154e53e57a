//! fence_xvm against a daemon in the same private network, honest and otherwise. Invariant: an answer counts only from who has
//! the key, and every run ends in its time.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]
#![allow(dead_code, reason = "each test file uses its part of the stage")]

mod stage;

use duet_xvm::{Algorithm, HostList, Key, Operation, Record, Reply, Target};
use stage::daemon::{Daemon, Manner, Settings};
use stage::{CLIENT, HOST, Ran, Stage};
use std::net::TcpListener;
use std::time::Duration;

fn hosts() -> HostList {
    let uuid = |last: u8| format!("11111111-2222-4333-8444-5555555555{last:02}");
    HostList(vec![
        Record::new("node1", &uuid(1), 1).unwrap(),
        Record::new("node2", &uuid(2), 5).unwrap(),
    ])
}

fn list() -> Vec<u8> {
    let mut bytes = vec![Reply::HostList.number()];
    bytes.extend(hosts().to_bytes());
    bytes.push(0);
    bytes
}

const LISTED: &str = "node1                            11111111-2222-4333-8444-555555555501 on\n\
                      node2                            11111111-2222-4333-8444-555555555502 off\n";

fn first(ran: &Ran) -> &str {
    ran.stderr.lines().next().unwrap_or_default()
}

#[test]
fn situations_1_to_3_list_and_status_by_multicast() {
    let Some(stage) = Stage::with_network() else { return };
    let daemon = Daemon::v4(Settings::answering(&list()));
    assert_eq!(stage.xvm("-o list").said(), (Some(0), LISTED));
    assert_eq!(stage.xvm("-o list-status").said(), (Some(0), LISTED));
    let json = stage.xvm("-o list --json");
    let read: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(read["hosts"][1]["name"], "node2");
    assert!(daemon.heard().iter().all(|request| request.operation == Operation::List));
    drop(daemon);
    for (reply, said) in [
        (0, (Some(0), "Status: ON\n")),
        (2, (Some(2), "Status: OFF\n")),
        (1, (Some(1), "")),
        (3, (Some(3), "")),
        (200, (Some(200), "")),
    ] {
        let daemon = Daemon::v4(Settings::answering(&[reply]));
        assert_eq!(stage.xvm("-o status -H node1").said(), said);
        let request = &daemon.heard()[0];
        assert_eq!(request.operation, Operation::Status);
        assert_eq!(request.target, Target::Domain("node1".parse().unwrap()));
    }
}

#[test]
fn situation_22_a_domain_can_be_named_by_its_uuid_in_any_case() {
    let Some(stage) = Stage::with_network() else { return };
    let daemon = Daemon::v4(Settings::answering(&[0]));
    for (line, by_uuid) in [("", false), ("-u", true)] {
        for uuid in ["ABCDEF01-2222-4333-8444-555555555501", "abcdef01-2222-4333-8444-555555555501"]
        {
            let before = daemon.heard().len();
            assert_eq!(stage.xvm(&format!("{line} -o status -H {uuid}")).code, Some(0));
            let request = daemon.heard()[before].clone();
            assert_eq!(request.target, Target::Domain(uuid.parse().unwrap()));
            assert_eq!(request.by_uuid, by_uuid);
        }
    }
}

#[test]
fn situation_4_the_same_by_ipv6() {
    let Some(stage) = Stage::with_network() else { return };
    let daemon = Daemon::v6(Settings::answering(&list()));
    assert_eq!(stage.xvm("-i ipv6 -o list").said(), (Some(0), LISTED));
    assert_eq!(stage.xvm("-i ipv6 -I one -o list").said(), (Some(0), LISTED));
    let before = daemon.heard().len();
    assert_eq!(stage.xvm(&format!("-b {} -o list", CLIENT[1])).said(), (Some(0), LISTED));
    let sources: Vec<String> = daemon.heard()[before..]
        .iter()
        .map(|request| request.call_back.unwrap().ip().to_string())
        .collect();
    assert_eq!(sources, [CLIENT[1]]);
}

#[test]
fn situation_9_all_pairs_of_hash_and_auth() {
    let Some(stage) = Stage::with_network() else { return };
    for hash in Algorithm::ALL {
        for auth in Algorithm::ALL {
            let _daemon = Daemon::v4(Settings { hash, auth, ..Settings::answering(&[0]) });
            let ran = stage.xvm(&format!("-c {hash} -C {auth} -o monitor"));
            assert_eq!(ran.said(), (Some(0), ""), "{hash} {auth} {}", ran.stderr);
        }
    }
}

#[test]
fn situations_10_to_12_stronger_is_heard_weaker_and_another_key_are_not() {
    let Some(stage) = Stage::with_network() else { return };
    let _daemon = Daemon::v4(Settings::answering(&[0]));
    assert_eq!(stage.xvm("-c sha512 -o monitor").code, Some(0));
    let other = stage.file("other", &[8; 32]);
    for line in ["-c sha1 -t 1 -r 3".to_owned(), format!("-k {} -t 1 -r 3", other.display())] {
        let ran = stage.xvm(&format!("{line} -o monitor"));
        assert_eq!(ran.said(), (Some(1), ""), "{line}");
        assert_eq!(ran.stderr, "Timed out waiting for response\nOperation failed\n");
        assert!(ran.took >= Duration::from_millis(900), "three times 0.3 s: {:?}", ran.took);
    }
}

#[test]
fn situation_13_another_auth_fails_at_once() {
    let Some(stage) = Stage::with_network() else { return };
    for auth in [Algorithm::Sha1, Algorithm::Sha512] {
        let daemon = Daemon::v4(Settings { auth, ..Settings::answering(&[0]) });
        let ran = stage.xvm("-t 60 -r 600 -o monitor");
        assert_eq!(ran.code, Some(1));
        assert_eq!(ran.stderr, "Invalid response to challenge\nOperation failed\n");
        assert!(daemon.heard().len() <= 2, "sent again: {:?}", daemon.heard());
    }
}

#[test]
fn situation_14_without_auth_where_the_daemon_wants_it_there_is_no_answer() {
    let Some(stage) = Stage::with_network() else { return };
    let _daemon = Daemon::v4(Settings::answering(&[0]));
    let ran = stage.xvm("-C none -t 1 -o monitor");
    assert_eq!(ran.code, Some(255));
    assert_eq!(ran.stderr, "No answer within 1 s\nUnknown response (-1)\n");
}

#[test]
fn with_auth_where_the_daemon_wants_none_it_fails_and_nothing_is_sent_again() {
    let Some(stage) = Stage::with_network() else { return };
    let settings = Settings { auth: Algorithm::None, ..Settings::answering(&[0]) };
    let daemon = Daemon::v4(settings);
    // Another window would begin before it is over.
    let ran = stage.xvm("-t 5 -r 2 -o off -H x");
    assert_eq!((ran.code, first(&ran)), (Some(1), "Invalid response to challenge"));
    let sequences = daemon.heard().len();
    assert!(sequences <= 2, "one copy for each of two addresses: {sequences}");
}

#[test]
fn situation_26_a_call_back_by_somebody_else_does_not_keep_the_daemons_from_counting() {
    let Some(stage) = Stage::with_network() else { return };
    for manner in [Manner::Crowd(vec![0]), Manner::Flood(vec![0])] {
        let _daemon = Daemon::v4(Settings::answering(&[]).with(manner.clone()));
        let ran = stage.xvm("-o status -H x");
        assert_eq!(ran.said(), (Some(0), "Status: ON\n"), "{manner:?} {}", ran.stderr);
    }
}

#[test]
fn who_does_not_prove_that_he_has_the_key_is_not_believed() {
    let Some(stage) = Stage::with_network() else { return };
    for manner in [
        Manner::Blurt(vec![0]),
        Manner::Blurt(vec![0; 64]),
        Manner::Blurt(vec![0; 129]),
        Manner::Blurt(vec![0; 200]),
        Manner::Silent,
    ] {
        let _daemon = Daemon::v4(Settings::answering(&[]).with(manner.clone()));
        let ran = stage.xvm("-t 1 -r 10 -o off -H x");
        assert_eq!(ran.said(), (Some(1), ""), "{manner:?}");
        assert_eq!(first(&ran), "Invalid response to challenge", "{manner:?}");
    }
    let _daemon = Daemon::v4(Settings::answering(&[]).with(Manner::Leave));
    let ran = stage.xvm("-t 1 -r 5 -o off -H x");
    assert_eq!((ran.code, first(&ran)), (Some(1), "Timed out waiting for response"));
}

#[test]
fn a_daemon_that_says_nothing_more_is_no_success() {
    let Some(stage) = Stage::with_network() else { return };
    let mute = Daemon::v4(Settings::answering(&[]).with(Manner::Mute));
    let ran = stage.xvm("-t 1 -o off -H x");
    assert_eq!((ran.code, first(&ran)), (Some(255), "No answer within 1 s"));
    drop(mute);
    let _closes = Daemon::v4(Settings::answering(&[]));
    let ran = stage.xvm("-t 1 -o off -H x");
    assert_eq!(ran.code, Some(1));
    assert_eq!(first(&ran), "The daemon closed the connection without an answer");
}

#[test]
fn a_list_that_breaks_off_is_no_list() {
    let Some(stage) = Stage::with_network() else { return };
    let whole = list();
    for (length, entries) in [(1, 0), (100, 0), (131, 1), (261, 2), (300, 2)] {
        let _daemon = Daemon::v4(Settings::answering(&whole[..length]));
        let ran = stage.xvm("-t 2 -o list");
        assert_eq!(ran.said(), (Some(1), ""), "{length}");
        assert_eq!(first(&ran), format!("The list broke off after {entries} entries"));
    }
    let mut stale = whole;
    (stale[64], stale[128], stale[130]) = (0xad, 0x5a, 0xaa);
    let _daemon = Daemon::v4(Settings::answering(&stale));
    let ran = stage.xvm("-o list");
    assert_eq!(ran.said(), (Some(0), LISTED), "what is behind a NUL does not count");
}

#[test]
fn a_list_is_no_answer_to_off() {
    let Some(stage) = Stage::with_network() else { return };
    let _daemon = Daemon::v4(Settings::answering(&list()));
    let ran = stage.xvm("-o off -H x");
    assert_eq!((ran.said(), first(&ran)), ((Some(253), ""), "Unknown response (-3)"));
}

#[test]
fn a_request_that_was_not_heard_is_sent_again_with_the_same_number() {
    let Some(stage) = Stage::with_network() else { return };
    let daemon = Daemon::v4(Settings::answering(&[]).with(Manner::Deaf(4, vec![0])));
    let ran = stage.xvm("-r 2 -o off -H x");
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let heard = daemon.heard();
    assert!(heard.len() > 4);
    assert!(heard.iter().all(|request| request.sequence == heard[0].sequence));
}

#[test]
fn situation_34_20_clients_at_once_are_all_answered() {
    let Some(stage) = Stage::with_network() else { return };
    let daemon = Daemon::v4(Settings::answering(&[0]));
    let clients: Vec<_> = (0..20).map(|_| stage.start("fence_xvm", "-o status -H x")).collect();
    for client in clients {
        let ran = client.wait();
        assert_eq!(ran.said(), (Some(0), "Status: ON\n"), "{}", ran.stderr);
    }
    let heard = daemon.heard();
    let mut sequences: Vec<u32> = heard.iter().map(|request| request.sequence).collect();
    sequences.sort_unstable();
    sequences.dedup();
    assert_eq!(sequences.len(), 20, "clients share numbers");
}

#[test]
fn a_port_that_somebody_else_has_is_replaced_and_named_in_the_request() {
    let Some(stage) = Stage::with_network() else { return };
    let _taken = TcpListener::bind("0.0.0.0:1229").unwrap();
    let daemon = Daemon::v4(Settings::answering(&[0]));
    let ran = stage.xvm("-d -o monitor");
    assert_eq!(ran.said(), (Some(0), ""));
    assert!(ran.stderr.contains("since somebody else has 1229"), "{}", ran.stderr);
    assert_ne!(daemon.heard()[0].call_back.unwrap().port(), 1229);
}

#[test]
fn an_interface_and_a_source_address_can_be_chosen() {
    let Some(stage) = Stage::with_network() else { return };
    let daemon = Daemon::v4(Settings::answering(&[0]));
    let sources = |line: &str| {
        let before = daemon.heard().len();
        let ran = stage.xvm(&format!("{line} -o monitor"));
        let heard = daemon.heard();
        let addresses = heard[before..].iter().map(|it| it.call_back.unwrap().ip().to_string());
        (ran.code, addresses.collect::<Vec<_>>())
    };
    assert_eq!(sources(&format!("-b {}", CLIENT[0])), (Some(0), vec![CLIENT[0].to_owned()]));
    let (code, mut both) = sources("-I one");
    both.sort();
    assert_eq!((code, both), (Some(0), vec![HOST[0].to_owned(), CLIENT[0].to_owned()]));
    assert_eq!(sources("-I other -t 1 -r 2"), (Some(1), vec![]));
    assert_eq!(sources("-b 10.98.0.1 -t 1 -r 2").0, Some(255));
}

#[test]
fn a_host_can_be_asked_alone() {
    let Some(stage) = Stage::with_network() else { return };
    let ran = stage.xvm(&format!("-a {} -t 1 -r 3 -d -o monitor", HOST[0]));
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("nobody listens at 10.99.0.1:1229"), "{}", ran.stderr);
    let _daemon = Daemon::v4(Settings::answering(&[0]));
    let ran = stage.xvm(&format!("-a {} -o monitor", HOST[0]));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
}

#[test]
fn situation_40_with_nobody_there_every_run_ends() {
    let Some(stage) = Stage::with_network() else { return };
    for line in ["-t 1", "-t 1 -r 20", "-t 1 -r 1"] {
        let ran = stage.xvm(&format!("{line} -o list"));
        assert_eq!(ran.said(), (Some(1), ""), "{line}");
        assert!(ran.took < Duration::from_secs(20), "{line}: {:?}", ran.took);
    }
}

#[test]
fn situation_38_keys_count_to_4096_bytes_and_each_of_them() {
    let Some(stage) = Stage::with_network() else { return };
    let long: Vec<u8> = (0..=255).cycle().take(5096).collect();
    let settings = Settings { key: Key::new(&long[..4096]).unwrap(), ..Settings::answering(&[0]) };
    let _daemon = Daemon::v4(settings);
    let run = |content: &[u8]| {
        let path = stage.file("tried", content);
        stage.xvm(&format!("-k {} -t 1 -r 4 -o monitor", path.display())).code
    };
    assert_eq!(run(&long), Some(0));
    assert_eq!(run(&long[..4096]), Some(0));
    assert_eq!(run(&long[..4095]), Some(1));
}

#[test]
fn a_key_that_is_short_or_open_to_others_is_told_where_somebody_is_fenced() {
    use std::os::unix::fs::PermissionsExt;
    let Some(stage) = Stage::with_network() else { return };
    let _daemon =
        Daemon::v4(Settings { key: Key::new(b"secret").unwrap(), ..Settings::answering(&[0]) });
    let path = stage.file("tried", b"secret");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let ran = stage.xvm(&format!("-k {} -o off -H x", path.display()));
    let wanted = "Warning: the key has fewer than 16 bytes\nWarning: the key can be read or changed by others\n";
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), wanted));
    let quiet = stage.xvm(&format!("-k {} -o monitor", path.display()));
    assert_eq!((quiet.code, quiet.stderr.as_str()), (Some(0), ""));
}

#[test]
fn to_diagnose_names_the_culprit() {
    let Some(stage) = Stage::with_network() else { return };
    let culprit = |line: &str| {
        let ran = stage.xvm(&format!("--diagnose -t 1 -r 3 {line}"));
        assert_eq!(ran.stderr, "", "{line}");
        let told = ran.stdout.lines().find(|line| !line.starts_with("  ") && line.contains(": "));
        let word = told.and_then(|line| line.split_once(": ")).map(|(word, _)| word.to_owned());
        (ran.code, word.unwrap_or_default())
    };
    assert_eq!(culprit(""), (Some(1), "firewall".to_owned()));
    assert_eq!(culprit("-b 10.98.0.1"), (Some(255), "network".to_owned()));
    assert_eq!(culprit("-I other"), (Some(1), "network".to_owned()));
    assert_eq!(culprit("-k /dev/null"), (Some(1), "key".to_owned()));
    let daemon = Daemon::v4(Settings::answering(&[0]));
    assert_eq!(culprit(""), (Some(0), "fine".to_owned()));
    assert_eq!(culprit("-c sha1"), (Some(1), "hash".to_owned()));
    assert_eq!(culprit("-C sha512"), (Some(1), "auth".to_owned()));
    assert_eq!(culprit("-C none"), (Some(255), "auth".to_owned()));
    assert!(daemon.heard().iter().all(|request| request.operation == Operation::Monitor));
}

#[test]
fn nobody_who_reads_stderr_is_no_reason_to_stop() {
    let Some(stage) = Stage::with_network() else { return };
    let daemon = Daemon::v4(Settings::answering(&[0]));
    let mut client = stage.start("fence_xvm", "-d -o off -H x");
    // Most of it is said afterwards.
    drop(client.child.stderr.take());
    assert_eq!(client.child.wait().unwrap().code(), Some(0));
    assert_eq!(daemon.heard()[0].operation, Operation::Off);
}

#[test]
fn a_list_that_cannot_be_printed_is_no_success() {
    let Some(stage) = Stage::with_network() else { return };
    let _daemon = Daemon::v4(Settings::answering(&list()));
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let key = stage.directory.path().join("key");
    let status = stage::client("fence_xvm")
        .arg("-k")
        .arg(key)
        .args(["-o", "list"])
        .stdout(full)
        .stdin(std::process::Stdio::null())
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(1));
}
