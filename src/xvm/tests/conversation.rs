//! Both machines with each other, and both ends of a serial line. Invariant: what one side says, the other understands,
//! however the bytes are cut up.
#![allow(clippy::unwrap_used, reason = "test")]

use duet_xvm::exchange::{Answer, Client, Server, Stage, Want};
use duet_xvm::serial::{self, Replies, Requests};
use duet_xvm::{
    Algorithm, Challenge, Datagram, Error, HostList, Key, Operation, Outstanding, Protection,
    Record, Reply, Request, Target,
};
use proptest::prelude::*;
use std::net::{IpAddr, SocketAddr};

fn key() -> Key {
    Key::new(&[7; 32]).unwrap()
}

fn protection(algorithm: Algorithm) -> Protection {
    Protection::new(algorithm, Some(&key())).unwrap()
}

/// Lets both talk until the daemon has authenticated the client; then the daemon says `answer`.
fn converse(mut client: Client, mut server: Server, answer: &[u8]) -> Result<Answer, Error> {
    let outstanding = &mut Outstanding::default();
    let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
    let mut answered = false;
    loop {
        match client.wants() {
            Want::Write(bytes) => {
                to_server.extend_from_slice(bytes);
                client.wrote();
                continue;
            }
            Want::Read(length) if to_client.len() >= length => {
                client.read(&to_client.drain(..length).collect::<Vec<u8>>())?;
                continue;
            }
            Want::Read(_) => {}
            Want::Finished => break,
        }
        match server.wants() {
            Want::Write(bytes) => {
                to_client.extend_from_slice(bytes);
                server.wrote();
            }
            Want::Read(length) => {
                let bytes: Vec<u8> = to_server.drain(..length).collect();
                server.read(&bytes, outstanding)?;
            }
            Want::Finished => {
                assert!(!answered, "both wait");
                to_client.extend_from_slice(answer);
                answered = true;
            }
        }
    }
    server.close(outstanding);
    assert!(outstanding.is_empty());
    assert_eq!(client.stage(), Stage::Finished);
    Ok(client.answer().unwrap())
}

fn machines(client: Algorithm, server: Algorithm) -> (Client, Server) {
    (
        Client::new(protection(client), Challenge::new([1; 64])),
        Server::new(protection(server), Challenge::new([2; 64])),
    )
}

fn hosts() -> HostList {
    let uuid = |last: u8| format!("11111111-2222-4333-8444-5555555555{last:02}");
    HostList(vec![
        Record::new("node1", &uuid(1), 1).unwrap(),
        Record::new("node2", &uuid(2), 5).unwrap(),
    ])
}

#[test]
fn with_equal_algorithms_every_reply_arrives() {
    for algorithm in Algorithm::ALL {
        for number in (0..=255).filter(|number| *number != 253) {
            let (client, server) = machines(algorithm, algorithm);
            let answer = converse(client, server, &[number]);
            assert_eq!(answer, Ok(Answer::Reply(Reply::from_number(number))));
        }
    }
}

#[test]
fn with_other_algorithms_nobody_answers() {
    let keyed = [Algorithm::Sha1, Algorithm::Sha256, Algorithm::Sha512];
    for client in keyed {
        for server in keyed.into_iter().filter(|server| *server != client) {
            let (one, other) = machines(client, server);
            assert_eq!(converse(one, other, &[0]), Err(Error::Response(client)));
        }
    }
}

#[test]
fn a_list_of_two_is_392_bytes_and_arrives() {
    let mut answer = vec![Reply::HostList.number()];
    answer.extend(hosts().to_bytes());
    answer.push(0);
    assert_eq!(answer.len(), 392);
    let (client, server) = machines(Algorithm::Sha256, Algorithm::Sha256);
    assert_eq!(converse(client, server, &answer), Ok(Answer::Hosts(hosts())));
}

fn asked(operation: u8, sequence: u32) -> serial::Request {
    let target = Target::Domain("abba".parse().unwrap());
    serial::Request { operation: Operation::from_number(operation), target, sequence }
}

#[test]
fn frames_of_a_line_are_of_74_and_5_bytes_and_a_list_of_one_of_270() {
    let bytes = asked(1, 0x0403_0201).to_bytes();
    assert_eq!(bytes[..10], *b"abba\x01\0abba");
    assert_eq!(bytes[70..], [1, 2, 3, 4]);
    assert_eq!(serial::reply(Reply::Off), *b"abba\x02");
    let one = HostList(hosts().0[..1].to_vec());
    assert_eq!(serial::hosts(&one).len(), 270);
}

#[test]
fn situation_35_garbage_before_a_request_costs_no_request() {
    for garbage in [&b"garbage"[..], b"abba", b"abbabba", b"ab", b"abba\x01\0ab", &[0; 200]] {
        let mut requests = Requests::default();
        let mut bytes = garbage.to_vec();
        bytes.extend(asked(1, 5).to_bytes());
        bytes.extend(garbage);
        bytes.extend(asked(4, 6).to_bytes());
        let found = requests.feed(&bytes);
        assert!(found.contains(&asked(4, 6)), "{garbage:?}: {found:?}");
        assert!(found.contains(&asked(1, 5)), "{garbage:?}: {found:?}");
    }
}

#[test]
fn what_is_kept_of_an_unfinished_frame_is_bounded_and_can_be_dropped() {
    let mut requests = Requests::default();
    assert!(requests.feed(&b"ab".repeat(100_000)).is_empty());
    assert!(requests.feed(&b"abba".repeat(100_000)).is_empty());
    assert!(requests.pending() < serial::REQUEST);
    requests.reset();
    assert_eq!(requests.pending(), 0);
}

prop_compose! {
    fn any_request()(
        operation in any::<u8>(),
        name in prop_oneof![Just(None), "[^\0]{1,15}".prop_map(Some)],
        by_uuid in any::<bool>(),
        call_back in prop::option::of((any::<IpAddr>(), 1_u16..)),
        sequence in any::<u32>(),
    ) -> Request {
        Request {
            operation: Operation::from_number(operation),
            target: name.map_or(Target::Nobody, |name| Target::Domain(name.parse().unwrap())),
            by_uuid,
            call_back: call_back.map(SocketAddr::from),
            sequence,
        }
    }
}

proptest! {
    #[test]
    fn a_request_arrives_as_it_was_sent(
        request in any_request(), random in any::<[u8; 6]>(), number in 0_u8..4,
    ) {
        let algorithm = Algorithm::from_number(number).unwrap();
        let sent = request.sign(&protection(algorithm), random);
        let received = Datagram::new(sent.as_bytes()).unwrap();
        prop_assert_eq!(received.verify(algorithm, Some(&key())), Ok(request));
    }

    #[test]
    fn frames_are_found_however_they_are_cut_up(
        cuts in prop::collection::vec(1_usize..80, 1..40), noise in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let noise: Vec<u8> = noise.into_iter().filter(|byte| *byte != b'a').collect();
        let mut bytes = noise;
        bytes.extend(asked(2, 9).to_bytes());
        bytes.extend(asked(3, 9).to_bytes());
        let (mut requests, mut found, mut rest) = (Requests::default(), Vec::new(), &bytes[..]);
        for cut in cuts.iter().cycle() {
            let (now, later) = rest.split_at((*cut).min(rest.len()));
            found.extend(requests.feed(now));
            rest = later;
            if rest.is_empty() { break }
        }
        prop_assert_eq!(found, [asked(2, 9), asked(3, 9)]);
    }

    #[test]
    fn an_answer_of_a_line_is_found_behind_noise(
        noise in prop::collection::vec(any::<u8>(), 0..50), cut in 0_usize..260,
    ) {
        let mut bytes: Vec<u8> = noise.into_iter().filter(|byte| *byte != b'a').collect();
        bytes.extend(serial::hosts(&hosts()));
        let (now, later) = bytes.split_at(cut);
        let mut replies = Replies::default();
        prop_assert_eq!(replies.feed(now), Ok(None));
        prop_assert_eq!(replies.feed(later), Ok(Some(Answer::Hosts(hosts()))));
    }

    #[test]
    fn any_bytes_on_a_line_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let mut requests = Requests::default();
        let _ = requests.feed(&bytes);
        prop_assert!(requests.pending() < serial::REQUEST);
        let _ = Replies::default().feed(&bytes);
    }
}
