//! Signed copies of requests that the daemon never got, because somebody kept them from it, and sends them later: what they are good for
//! with a client of stock's, and what with ours. See docs/architecture.md, "What a recorded request is good for".
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

use duet_xvm::{Algorithm, Challenge, Datagram, Operation, Protection, Reply, exchange::Answer};
use stage::{
    PATIENCE, Stage,
    client::{
        Awaiting, cast, challenge, connect_from, converse, converse_for, protection, request,
        signed, tcp,
    },
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
fn a_copy_that_was_withheld_is_of_no_use_once_its_request_was_carried_out() {
    on_stage(two(), BOTH, |stage| {
        let awaiting = Awaiting::at(5);
        let off = request(Operation::Off, "node1", Some(awaiting.address));
        let copies = [(); 3].map(|()| signed(&off, Algorithm::Sha256));
        cast(&copies[0]);
        let mut stream = awaiting.called(PATIENCE).unwrap();
        assert_eq!(converse(&mut stream, Algorithm::Sha256), reply(Reply::Success));
        assert_eq!(tcp(Operation::On, "node1"), reply(Reply::Success));
        // A daemon that has just started knows nothing of the last 10 s, and this from its file only.
        stage.stop();
        stage.start(&[]);
        stage.libvirt.world().domains[0].state = 1;
        cast(&copies[1]);
        assert!(awaiting.called(NO_CALL).is_none());
        stage.logged("a copy of a change that was carried out more than 10 s ago");
        // Nor is one with another address, as a host with two networks sends it.
        let other = Awaiting::at(6);
        let copy = duet_xvm::Request { call_back: Some(other.address), ..off };
        cast(&signed(&copy, Algorithm::Sha256));
        assert!(other.called(NO_CALL).is_none());
        assert_eq!(stage.state("node1"), Some(1));
    });
}

/// The one that stays: the daemon got no copy at all when it was asked, and the client is asking for something else now.
#[test]
fn a_request_that_never_came_is_obeyed_for_a_client_of_stocks_and_not_for_ours() {
    on_stage(two(), BOTH, |stage| {
        for (is_ours, state) in [(true, 1), (false, 5)] {
            stage.libvirt.world().domains[0].state = 1;
            let awaiting = Awaiting::at(5);
            let off = request(Operation::Off, "node1", Some(awaiting.address));
            let withheld = signed(&off, Algorithm::Sha256);
            // Later it asks for a state, and the attacker is faster.
            let asks = request(Operation::Status, "node1", Some(awaiting.address));
            let asks = signed(&asks, Algorithm::Sha256);
            cast(&withheld);
            let mut stream = awaiting.called(PATIENCE).unwrap();
            cast(&asks);
            let answer = if is_ours {
                let refused = converse_for(&mut stream, std::slice::from_ref(&asks));
                assert_eq!(refused, None, "it does not prove itself for what it did not ask");
                let mut stream = awaiting.called(PATIENCE).unwrap();
                converse_for(&mut stream, &[asks])
            } else {
                converse(&mut stream, Algorithm::Sha256)
            };
            assert_eq!(answer, reply(Reply::Success));
            assert_eq!(stage.state("node1"), Some(state), "ours: {is_ours}");
        }
    });
}

/// The same with the roles changed: a monitor that never came must not be taken for the success of an off.
#[test]
fn our_client_does_not_take_the_answer_to_a_withheld_monitor_for_its_off() {
    on_stage(two(), BOTH, |stage| {
        let awaiting = Awaiting::at(5);
        let monitor = request(Operation::Monitor, "", Some(awaiting.address));
        cast(&signed(&monitor, Algorithm::Sha256));
        let mut stream = awaiting.called(PATIENCE).unwrap();
        let off = request(Operation::Off, "nobody", Some(awaiting.address));
        let off = signed(&off, Algorithm::Sha256);
        assert_eq!(converse_for(&mut stream, std::slice::from_ref(&off)), None);
        cast(&off);
        let mut stream = awaiting.called(PATIENCE).unwrap();
        assert_eq!(converse_for(&mut stream, &[off]), reply(Reply::Fail));
        assert_eq!(stage.changes().len(), 0);
    });
}

#[test]
fn over_tcp_our_client_is_asked_about_the_bytes_that_it_sent() {
    on_stage(two(), BOTH, |_| {
        let off = signed(&request(Operation::Off, "node1", None), Algorithm::Sha256);
        let mut stream = connect_from(5);
        stream.write_all(&off).unwrap();
        assert_eq!(converse_for(&mut stream, &[off]), reply(Reply::Success));
        // Somebody in between has sent another request of ours in place of this.
        let wanted = signed(&request(Operation::Off, "node1", None), Algorithm::Sha256);
        let sent = signed(&request(Operation::Monitor, "", None), Algorithm::Sha256);
        let mut stream = connect_from(5);
        stream.write_all(&sent).unwrap();
        assert_eq!(converse_for(&mut stream, &[wanted]), None);
    });
}

#[test]
fn the_challenge_of_a_daemon_on_another_host_is_not_answered() {
    on_stage(two(), BOTH, |stage| {
        let asked = signed(&request(Operation::Off, "node1", None), Algorithm::Sha256);
        let Protection::Keyed(keyed) = protection(Algorithm::Sha256) else { panic!("no key") };
        let mut nonce = [0; 16];
        nonce.copy_from_slice(&challenge()[..16]);
        let theirs = Challenge::about(&Datagram::new(&asked).unwrap(), &keyed, nonce);
        let mut stream = connect_from(5);
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(&asked).unwrap();
        stream.write_all(theirs.as_bytes()).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.is_empty(), "it is what the other daemon waits for");
        stage.logged("a challenge that a fence_virtd with our key has made");
        assert_eq!(stage.changes().len(), 0);
        assert!(stage.log().contains(&format!("key={}", Stage::key().fingerprint())));
    });
}
