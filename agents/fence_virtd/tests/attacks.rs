//! What those without the key can try, and those who keep a connection: each does what it claims to at a daemon without the cure, and
//! nothing here.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that starts daemons and attacks them"
)]

mod stage;

use std::{
    io::{Read, Write},
    time::Duration,
};

use duet_xvm::{Algorithm, Operation, Protection, Reply, exchange::Answer};
use nix::sys::signal::Signal;
use stage::{
    PATIENCE, Stage,
    client::{Awaiting, cast, challenge, connect_from, converse, multicast, request, signed, tcp},
    on_stage, two,
};

const BOTH: &str = "fence_virtd { listener = \"multicast tcp\"; backend = \"libvirt\"; }
    listeners { multicast { key_file = \"KEY\"; interface = \"lo\"; } tcp { key_file = \"KEY\"; address = \"10.99.0.1\"; } }
    backends { libvirt { uri = \"qemu:///system\"; } }";

/// Long enough for a call-back that comes; what does not come is seen in the log too.
const NO_CALL: Duration = Duration::from_millis(700);

#[allow(clippy::unnecessary_wraps, reason = "as the client has it")]
fn reply(reply: Reply) -> Option<Answer> {
    Some(Answer::Reply(reply))
}

#[test]
fn a_recorded_off_that_is_sent_while_its_victim_asks_for_something_else_does_nothing() {
    on_stage(two(), BOTH, |stage| {
        // The victim turns node2 off and on; the attacker records the datagram.
        let awaiting = Awaiting::at(5);
        let recorded =
            signed(&request(Operation::Off, "node1", Some(awaiting.address)), Algorithm::Sha256);
        cast(&recorded);
        let mut stream = awaiting.called(PATIENCE).unwrap();
        assert_eq!(converse(&mut stream, Algorithm::Sha256), reply(Reply::Success));
        assert_eq!(tcp(Operation::On, "node1"), reply(Reply::Success));
        assert_eq!(stage.state("node1"), Some(1));
        // Now it waits for the call-back of a status, at the same port; the attacker is faster.
        let status =
            signed(&request(Operation::Status, "node1", Some(awaiting.address)), Algorithm::Sha256);
        for _ in 0..50 {
            cast(&recorded);
        }
        cast(&status);
        let mut stream = awaiting.called(PATIENCE).unwrap();
        assert_eq!(
            converse(&mut stream, Algorithm::Sha256),
            reply(Reply::Success),
            "its own answer"
        );
        assert!(awaiting.called(NO_CALL).is_none());
        assert_eq!(stage.state("node1"), Some(1));
        stage.logged("It was recorded and sent again");
    });
}

#[test]
fn a_recording_is_of_no_use_after_a_restart_either() {
    on_stage(two(), BOTH, |stage| {
        let awaiting = Awaiting::at(5);
        let acted =
            signed(&request(Operation::Off, "node1", Some(awaiting.address)), Algorithm::Sha256);
        // A copy of the same request, which leads to nothing, is recorded too.
        cast(&acted);
        let mut stream = awaiting.called(PATIENCE).unwrap();
        assert_eq!(converse(&mut stream, Algorithm::Sha256), reply(Reply::Success));
        for stops_hard in [false, true] {
            if stops_hard {
                stage.signal(Signal::SIGKILL);
                let _ = stage.daemon.take().unwrap().child.wait();
            } else {
                stage.stop();
            }
            stage.start(&[]);
            stage.libvirt.world().domains[0].state = 1;
            cast(&acted);
            assert!(awaiting.called(NO_CALL).is_none(), "stopped hard: {stops_hard}");
            stage.logged("It was recorded and sent again");
            assert_eq!(stage.state("node1"), Some(1));
            // Somebody who asks anew is served.
            assert_eq!(multicast(Operation::Status, "node1"), reply(Reply::Success));
        }
    });
}

#[test]
fn copies_of_one_request_are_carried_out_once() {
    on_stage(two(), BOTH, |stage| {
        let awaiting = Awaiting::at(5);
        let asked = request(Operation::Off, "node1", Some(awaiting.address));
        cast(&signed(&asked, Algorithm::Sha256));
        let mut stream = awaiting.called(PATIENCE).unwrap();
        assert_eq!(converse(&mut stream, Algorithm::Sha256), reply(Reply::Success));
        stage.libvirt.world().domains[0].state = 1;
        cast(&signed(&asked, Algorithm::Sha256));
        assert!(awaiting.called(NO_CALL).is_none());
        // The same over tcp: closed without a byte.
        let mut stream = connect_from(5);
        let over_tcp = duet_xvm::Request { call_back: None, ..asked };
        stream.write_all(&signed(&over_tcp, Algorithm::Sha256)).unwrap();
        assert_eq!(converse(&mut stream, Algorithm::Sha256), None);
        assert_eq!(stage.changes().len(), 1);
    });
}

#[test]
fn a_copy_whose_call_back_was_lost_does_not_keep_the_next_from_being_carried_out() {
    on_stage(two(), BOTH, |stage| {
        let gone = Awaiting::at(6);
        let asked = request(Operation::Off, "node1", Some(gone.address));
        drop(gone);
        cast(&signed(&asked, Algorithm::Sha256));
        let awaiting = Awaiting::at(5);
        let copy = duet_xvm::Request { call_back: Some(awaiting.address), ..asked };
        cast(&signed(&copy, Algorithm::Sha256));
        let mut stream = awaiting.called(PATIENCE).unwrap();
        assert_eq!(converse(&mut stream, Algorithm::Sha256), reply(Reply::Success));
        assert_eq!(stage.state("node1"), Some(5));
    });
}

#[test]
fn datagrams_of_another_length_do_nothing_before_and_after_a_real_one() {
    on_stage(two(), BOTH, |stage| {
        let awaiting = Awaiting::at(5);
        let whole =
            signed(&request(Operation::Off, "node1", Some(awaiting.address)), Algorithm::Sha256);
        let lengths = [0, 1, 4, 60, 100, 175];
        let short = || lengths.iter().for_each(|length| cast(&whole[..*length]));
        short();
        cast(&[&whole[..], &[0; 50]].concat());
        cast(&[7; 1400]);
        assert!(awaiting.called(NO_CALL).is_none());
        cast(&whole);
        let mut stream = awaiting.called(PATIENCE).unwrap();
        assert_eq!(converse(&mut stream, Algorithm::Sha256), reply(Reply::Success));
        stage.libvirt.world().domains[0].state = 1;
        short();
        cast(&[2]);
        assert!(awaiting.called(NO_CALL).is_none());
        assert_eq!(
            (stage.changes().len(), multicast(Operation::Monitor, "")),
            (1, reply(Reply::Success))
        );
    });
}

#[test]
fn our_own_challenge_is_not_answered_on_another_connection() {
    on_stage(two(), BOTH, |stage| {
        let open = |from: u8| {
            let mut stream = connect_from(from);
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            // Somebody without the key can have recorded as many signed requests as they like.
            stream
                .write_all(&signed(&request(Operation::Off, "node1", None), Algorithm::Sha256))
                .unwrap();
            stream
        };
        let (mut one, mut other) = (open(5), open(6));
        one.write_all(&challenge()).unwrap();
        let mut both = [0; 128];
        one.read_exact(&mut both).unwrap();
        other.write_all(&both[64..]).unwrap();
        let mut answer = Vec::new();
        let _ = other.read_to_end(&mut answer);
        assert!(answer.is_empty(), "the answer that the first connection waits for");
        // Nor on the same one.
        let mut same = open(7);
        same.write_all(&challenge()).unwrap();
        same.read_exact(&mut both).unwrap();
        same.write_all(&both[64..]).unwrap();
        let _ = same.read_to_end(&mut answer);
        assert!(answer.is_empty());
        stage.logged("sent a challenge of ours back");
        assert_eq!(stage.changes().len(), 0);
        assert_eq!(tcp(Operation::Status, "node1"), reply(Reply::Success));
    });
}

#[test]
fn peers_that_reset_their_connections_keep_nobody_waiting() {
    use nix::sys::socket::{setsockopt, sockopt::Linger};
    on_stage(two(), BOTH, |stage| {
        stage.signal(Signal::SIGSTOP);
        for _ in 0..300 {
            let stream = connect_from(9);
            setsockopt(&stream, Linger, &nix::libc::linger { l_onoff: 1, l_linger: 0 }).unwrap();
        }
        let mut honest = connect_from(5);
        let asked = request(Operation::Status, "node1", None);
        honest.write_all(&signed(&asked, Algorithm::Sha256)).unwrap();
        stage.signal(Signal::SIGCONT);
        let began = std::time::Instant::now();
        assert_eq!(converse(&mut honest, Algorithm::Sha256), reply(Reply::Success));
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    });
}

#[test]
fn weak_wrong_or_altered_requests_are_not_called_back() {
    on_stage(two(), BOTH, |stage| {
        let awaiting = Awaiting::at(5);
        let asked = || request(Operation::Off, "node1", Some(awaiting.address));
        cast(asked().sign(&Protection::None, [0; 6]).as_bytes());
        cast(&signed(&asked(), Algorithm::Sha1));
        let other = duet_xvm::Key::new(b"another key of whoever it may be").unwrap();
        let other = Protection::new(Algorithm::Sha256, Some(&other)).unwrap();
        cast(asked().sign(&other, [1; 6]).as_bytes());
        for at in [0, 1, 4, 68, 96, 98, 104, 108, 112, 144, 175] {
            let mut altered = signed(&asked(), Algorithm::Sha256);
            altered[at] ^= 1;
            cast(&altered);
        }
        assert!(awaiting.called(NO_CALL).is_none());
        assert_eq!(multicast(Operation::Status, "node1"), reply(Reply::Success));
        assert_eq!(stage.changes().len(), 0);
    });
}

#[test]
fn who_proves_with_another_key_or_algorithm_gets_nothing() {
    on_stage(two(), BOTH, |stage| {
        for auth in [Algorithm::Sha1, Algorithm::Sha512] {
            let mut stream = connect_from(5);
            stream
                .write_all(&signed(&request(Operation::Off, "node1", None), Algorithm::Sha256))
                .unwrap();
            assert_eq!(converse(&mut stream, auth), None);
        }
        // One that does not look at what the daemon proves, and has no key itself.
        let mut stream = connect_from(5);
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
            .write_all(&signed(&request(Operation::Off, "node1", None), Algorithm::Sha256))
            .unwrap();
        stream.write_all(&challenge()).unwrap();
        stream.read_exact(&mut [0; 128]).unwrap();
        stream.write_all(&[0; 64]).unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        assert!(rest.is_empty());
        stage.logged("is not by our key");
        assert_eq!(stage.changes().len(), 0);
    });
}

#[test]
fn a_domain_without_nul_or_with_other_text_is_nobody() {
    on_stage(two(), &BOTH.replace("key_file", "hash = \"none\"; key_file"), |stage| {
        let fields: [&[u8]; 3] = [&[b'x'; 64], b"node1\0node2", b"\xff\xfe"];
        for (at, field) in fields.iter().enumerate() {
            let mut bytes =
                *request(Operation::Off, "", None).sign(&Protection::None, [0; 6]).as_bytes();
            bytes[4..4 + field.len()].copy_from_slice(field);
            let mut stream = connect_from(5);
            stream.write_all(&bytes).unwrap();
            assert_eq!(converse(&mut stream, Algorithm::Sha256), reply(Reply::Fail), "{at}");
        }
        assert_eq!(stage.changes().len(), 0);
    });
}

#[test]
fn what_a_peer_finds_out_is_not_in_the_log() {
    on_stage(two(), BOTH, |stage| {
        let mut altered = signed(&request(Operation::Off, "node1", None), Algorithm::Sha256);
        let digest: Vec<String> =
            altered[112..116].iter().map(|byte| format!("{byte:02x}")).collect();
        altered[0] = 3;
        let mut stream = connect_from(5);
        stream.write_all(&altered).unwrap();
        let _ = stream.read(&mut [0; 1]);
        let line = stage.logged("The signature (sha256) is not by our key");
        assert!(line.contains(&format!("key={}", Stage::key().fingerprint())), "{line}");
        for joined in [digest.concat(), digest.join(" ")] {
            assert!(!stage.log().contains(&joined));
        }
    });
}
