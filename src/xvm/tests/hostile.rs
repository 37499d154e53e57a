//! What a peer without the key, or without manners, could send. Invariant: nothing but a whole, genuine request becomes
//! one, and no bytes lead to a panic.
#![allow(clippy::unwrap_used, reason = "test")]

use duet_xvm::exchange::{Client, Server, Want};
use duet_xvm::{
    Algorithm, Challenge, Datagram, Error, Key, Operation, Outstanding, Protection, REQUEST,
    Request, Target,
};
use proptest::prelude::*;

fn key(byte: u8) -> Key {
    Key::new(&[byte; 32]).unwrap()
}

fn protection(algorithm: Algorithm) -> Protection {
    Protection::new(algorithm, Some(&key(1))).unwrap()
}

fn off() -> Request {
    Request {
        operation: Operation::Off,
        target: Target::Domain("node1".parse().unwrap()),
        by_uuid: false,
        call_back: Some("10.0.0.1:1229".parse().unwrap()),
        sequence: 1,
    }
}

#[test]
fn situation_27_only_176_bytes_are_a_request() {
    let genuine = off().sign(&protection(Algorithm::Sha256), [1; 6]);
    let mut longer = genuine.as_bytes().to_vec();
    longer.resize(1400, 0);
    for length in [0, 1, 4, 60, 100, 175, 177, 226, 1400] {
        assert_eq!(Datagram::new(&longer[..length]), Err(Error::Length(length)));
    }
    assert!(Datagram::new(&longer[..REQUEST]).is_ok());
}

#[test]
fn a_change_of_any_bit_is_noticed() {
    for algorithm in [Algorithm::Sha1, Algorithm::Sha256, Algorithm::Sha512] {
        let genuine = off().sign(&protection(algorithm), [1; 6]);
        for bit in 0..REQUEST * 8 {
            let mut bytes = *genuine.as_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let altered = Datagram::new(&bytes).unwrap();
            assert!(altered.verify(Algorithm::Sha1, Some(&key(1))).is_err(), "bit {bit}");
        }
    }
}

#[test]
fn stronger_is_accepted_and_weaker_is_not() {
    for got in Algorithm::ALL {
        let datagram = off().sign(&protection(got), [1; 6]);
        for wanted in Algorithm::ALL {
            let verdict = datagram.verify(wanted, Some(&key(1)));
            if got < wanted {
                assert_eq!(verdict, Err(Error::TooWeak { got, wanted }));
            } else {
                assert_eq!(verdict, Ok(off()), "{got} {wanted}");
            }
        }
    }
}

#[test]
fn another_key_an_unknown_algorithm_and_no_key_are_refused() {
    let genuine = off().sign(&protection(Algorithm::Sha256), [1; 6]);
    let refused =
        |datagram: &Datagram, key: Option<&Key>| datagram.verify(Algorithm::None, key).unwrap_err();
    assert_eq!(refused(&genuine, Some(&key(2))), Error::Signature(Algorithm::Sha256));
    assert_eq!(refused(&genuine, None), Error::NoKey(Algorithm::Sha256));
    let mut bytes = *genuine.as_bytes();
    bytes[1] = 4;
    let unknown = Datagram::new(&bytes).unwrap();
    assert_eq!(refused(&unknown, Some(&key(1))), Error::UnknownAlgorithm(4));
}

#[test]
fn situation_28_a_domain_without_nul_and_operations_nobody_knows_are_read_as_such() {
    let mut bytes = *off().sign(&Protection::None, [0; 6]).as_bytes();
    bytes[4..68].fill(b'x');
    let read = |bytes: &[u8]| Datagram::new(bytes).unwrap().verify(Algorithm::None, None).unwrap();
    assert_eq!(read(&bytes).target, Target::Malformed);
    bytes[4] = 0xff;
    bytes[67] = 0;
    assert_eq!(read(&bytes).target, Target::Malformed);
    for number in [7, 8, 66, 255] {
        bytes[0] = number;
        assert_eq!(read(&bytes).operation, Operation::Unrecognized(number));
    }
}

#[test]
fn an_address_that_is_none_is_nobody_to_call_back() {
    let genuine = *off().sign(&Protection::None, [0; 6]).as_bytes();
    for (at, value) in [(108, 0), (108, 3), (109, 1), (96, 0)] {
        let mut bytes = genuine;
        bytes[at] = value;
        if at == 96 {
            bytes[97] = 0;
        }
        let request = Datagram::new(&bytes).unwrap().verify(Algorithm::None, None).unwrap();
        assert_eq!(request.call_back, None, "{at}");
    }
}

/// The challenge that a machine of the daemon sends once it got one.
fn second_challenge(server: &Server) -> [u8; 64] {
    let Want::Write(bytes) = server.wants() else { panic!("{:?}", server.wants()) };
    bytes[64..].try_into().unwrap()
}

#[test]
fn situation_33_a_challenge_that_is_out_is_not_answered_on_another_connection() {
    let outstanding = &mut Outstanding::default();
    let auth = protection(Algorithm::Sha256);
    let mut one = Server::new(auth.clone(), Challenge::new([1; 64]));
    one.read(&[9; 64], outstanding).unwrap();
    let taken = second_challenge(&one);

    let mut other = Server::new(auth.clone(), Challenge::new([2; 64]));
    assert_eq!(other.read(&taken, outstanding), Err(Error::Reflected));
    assert!(matches!(other.wants(), Want::Read(64)));
    other.close(outstanding);

    one.close(outstanding);
    assert!(outstanding.is_empty());
    let mut later = Server::new(auth, Challenge::new([3; 64]));
    assert_eq!(later.read(&taken, outstanding), Ok(()));
}

#[test]
fn a_client_does_not_answer_its_own_challenge() {
    let auth = protection(Algorithm::Sha256);
    let Protection::Keyed(keyed) = &auth else { unreachable!() };
    let challenge = Challenge::new([1; 64]);
    let mut client = Client::new(auth.clone(), challenge.clone());
    client.wrote();
    client.read(challenge.answer(keyed).as_bytes()).unwrap();
    assert_eq!(client.read(challenge.as_bytes()), Err(Error::Reflected));
}

#[test]
fn a_peer_with_another_key_or_algorithm_is_refused_by_both() {
    for (key_of_peer, algorithm) in [(2, Algorithm::Sha256), (1, Algorithm::Sha1)] {
        let auth = protection(Algorithm::Sha256);
        let other = Protection::new(algorithm, Some(&key(key_of_peer))).unwrap();
        let Protection::Keyed(keyed) = &other else { unreachable!() };
        let refused = Err(Error::Response(Algorithm::Sha256));

        let challenge = Challenge::new([1; 64]);
        let mut client = Client::new(auth.clone(), challenge.clone());
        client.wrote();
        assert_eq!(client.read(challenge.answer(keyed).as_bytes()), refused);

        let outstanding = &mut Outstanding::default();
        let mut server = Server::new(auth, Challenge::new([2; 64]));
        server.read(&[9; 64], outstanding).unwrap();
        let ours = Challenge::new(second_challenge(&server));
        server.wrote();
        assert_eq!(server.read(ours.answer(keyed).as_bytes(), outstanding), refused);
        assert!(!matches!(server.wants(), Want::Finished));
    }
}

proptest! {
    #[test]
    fn any_176_bytes_are_refused_or_read(bytes in prop::collection::vec(any::<u8>(), REQUEST)) {
        let datagram = Datagram::new(&bytes).unwrap();
        prop_assert!(datagram.verify(Algorithm::Sha1, Some(&key(1))).is_err());
        let _ = datagram.verify(Algorithm::None, None);
        let _ = format!("{datagram:?}");
    }

    #[test]
    fn any_length_but_176_is_refused(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        prop_assert_eq!(Datagram::new(&bytes).is_ok(), bytes.len() == REQUEST);
    }
}
