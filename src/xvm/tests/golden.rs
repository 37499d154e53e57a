//! Vectors that another implementation computed and fence-virt's daemon accepted. Invariant: the bytes of the wire do
//! not change, on any architecture.
#![allow(clippy::unwrap_used, reason = "test")]

use duet_xvm::{
    Algorithm, Challenge, Error, Key, Operation, Protection, REQUEST, Request, Response, Target,
};

const BEGIN: [u8; 9] = *b"\x04\x02\x04\x00node1";
const SHA1: &str = "67ac9d50accf53af41529a1b7cc948af4c72227f";
const SHA256: &str = "3d525a714ee8e2e3f39d2f7a1514634c89c78c1bc34a49b19c603b04ab0df14b";
const SHA512: &str = "5f2539069bb137a984a4a24f65abca5a54aa98b74c427d99d193d0937f49c7f1\
                      c5c54a935f24166d546fcda82e93390b58f177276063d662bf5a51c85df62b87";
const ANSWER1: &str = "32ac4c053b2b811e1035687ecde9d7a46c38898b";
const ANSWER256: &str = "d35340b57032d6b88d70e03567857ab00024d096b39b20c392dd1c6a67669b52";
const ANSWER512: &str = "9542eb4e9a933fef3888c9c4ce50a497b0dc5ac02fd4d37bc560fdb6eda6b155\
                         1258ce8077638ce436a52d65217565950da50ddd804ad38c6e40d228628c0977";

fn key() -> Key {
    Key::new(&(0..=255).cycle().take(4096).collect::<Vec<u8>>()).unwrap()
}

fn protection(algorithm: Algorithm) -> Protection {
    Protection::new(algorithm, Some(&key())).unwrap()
}

fn request() -> Request {
    Request {
        operation: Operation::Status,
        target: Target::Domain("node1".parse().unwrap()),
        by_uuid: false,
        call_back: Some("10.99.0.2:1229".parse().unwrap()),
        sequence: 0x0002_0406,
    }
}

fn padded(hex: &str) -> [u8; 64] {
    let mut bytes = [0; 64];
    for (index, byte) in bytes.iter_mut().enumerate().take(hex.len() / 2) {
        *byte = u8::from_str_radix(&hex[2 * index..2 * index + 2], 16).unwrap();
    }
    bytes
}

#[test]
fn situation_15_a_request_has_the_bytes_that_fence_virtd_accepts() {
    for (algorithm, digest) in
        [(Algorithm::Sha1, SHA1), (Algorithm::Sha256, SHA256), (Algorithm::Sha512, SHA512)]
    {
        let mut wanted = [0; REQUEST];
        wanted[..9].copy_from_slice(&BEGIN);
        wanted[1] = algorithm.number();
        wanted[68..72].copy_from_slice(&[10, 99, 0, 2]);
        wanted[96..98].copy_from_slice(&[0xcd, 0x04]);
        wanted[98..104].copy_from_slice(&[1, 2, 3, 4, 5, 6]);
        wanted[104..108].copy_from_slice(&[6, 4, 2, 0]);
        wanted[108] = 2;
        wanted[112..].copy_from_slice(&padded(digest));
        let datagram = request().sign(&protection(algorithm), [1, 2, 3, 4, 5, 6]);
        assert_eq!(datagram.as_bytes(), &wanted, "{algorithm}");
        assert_eq!(datagram.verify(algorithm, Some(&key())), Ok(request()));
    }
}

#[test]
fn an_unsigned_request_has_neither_random_bytes_nor_a_digest() {
    let datagram = request().sign(&Protection::None, [1, 2, 3, 4, 5, 6]);
    assert_eq!(datagram.as_bytes()[1], 0);
    assert_eq!(datagram.as_bytes()[98..104], [0; 6]);
    assert_eq!(datagram.as_bytes()[112..], [0; 64]);
    assert_eq!(datagram.verify(Algorithm::None, None), Ok(request()));
}

#[test]
fn ipv6_and_streams_have_their_own_families() {
    let bytes = |call_back: Option<&str>| {
        let call_back = call_back.map(|text| text.parse().unwrap());
        *Request { call_back, ..request() }.sign(&Protection::None, [0; 6]).as_bytes()
    };
    let six = bytes(Some("[fd99::2]:1229"));
    assert_eq!((six[2], &six[68..70], six[83], six[84]), (16, &[0xfd, 0x99][..], 2, 0));
    assert_eq!(six[108..112], [10, 0, 0, 0]);
    let stream = bytes(None);
    assert_eq!((stream[2], &stream[68..98], &stream[108..112]), (0, &[0; 30][..], &[0; 4][..]));
}

#[test]
fn situation_15_an_answer_to_a_challenge_has_the_bytes_that_fence_virtd_accepts() {
    let mut bytes = [0; 64];
    (0..64).zip(&mut bytes).for_each(|(number, byte)| *byte = number);
    let challenge = Challenge::new(bytes);
    for (algorithm, wanted) in
        [(Algorithm::Sha1, ANSWER1), (Algorithm::Sha256, ANSWER256), (Algorithm::Sha512, ANSWER512)]
    {
        let Protection::Keyed(keyed) = protection(algorithm) else { unreachable!() };
        let answer = challenge.answer(&keyed);
        assert_eq!(answer.as_bytes(), &padded(wanted), "{algorithm}");
        assert_eq!(challenge.check(&answer, &keyed), Ok(()));
        let mut wrong = *answer.as_bytes();
        wrong[63] ^= 1;
        let refused = challenge.check(&Response::new(wrong), &keyed);
        assert_eq!(refused, Err(Error::Response(algorithm)));
    }
}
