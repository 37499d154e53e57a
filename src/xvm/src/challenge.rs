//! Proving that one has the key: 64 bytes that nobody has seen, answered with the hash of the key and them. Invariant: a challenge that
//! is a daemon's is never answered by a daemon, since its answer is what whoever got it is looking for.
//!
//! The 64 bytes of our daemon are not all random, which nobody without the key can tell: they say for which request they are. So a
//! client of ours proves itself for what it has just asked, and for no recording that somebody else has sent in its name. For stock's
//! client they are 64 random bytes, and stock's daemon sends such.

use crate::protection::{CODE, DIGEST, Keyed, same};
use crate::{Datagram, Error};

/// The length of a challenge and of an answer to it, in bytes.
pub const CHALLENGE: usize = 64;
/// How many bytes of a daemon's are random.
pub const NONCE: usize = 16;
/// How many after those say that a daemon with this key has made it; the others say for which request.
const MARK: usize = 16;
/// What is authenticated, told apart.
const MADE_BY_A_DAEMON: &[u8] = b"duet: a challenge of fence_virtd\0";
const FOR_A_REQUEST: &[u8] = b"duet: a challenge of fence_virtd for a request\0";

/// 64 bytes that the peer cannot have seen before.
#[derive(Clone, PartialEq, Eq)]
pub struct Challenge([u8; CHALLENGE]);

/// The answer to a challenge.
#[derive(Clone)]
pub struct Response([u8; DIGEST]);

impl Challenge {
    /// Random bytes of our own, or what the peer sent.
    #[must_use]
    pub fn new(bytes: [u8; CHALLENGE]) -> Self {
        Self(bytes)
    }

    /// A daemon's, for one request. `random` is used for nothing else.
    #[must_use]
    pub fn about(asked: &Datagram, keyed: &Keyed, random: [u8; NONCE]) -> Self {
        let mut bytes = [0; CHALLENGE];
        bytes[..NONCE].copy_from_slice(&random);
        bytes[NONCE..NONCE + MARK].copy_from_slice(&mark(keyed, &random));
        bytes[NONCE + MARK..].copy_from_slice(&bond(keyed, &random, asked));
        Self(bytes)
    }

    /// Whether a daemon of ours with this key has made it, for whatever request.
    #[must_use]
    pub fn is_a_daemons(&self, keyed: &Keyed) -> bool {
        same(&mark(keyed, self.nonce()), &part(&self.0, NONCE))
    }

    /// Whether it was made for this request.
    #[must_use]
    pub fn is_about(&self, asked: &Datagram, keyed: &Keyed) -> bool {
        same(&bond(keyed, self.nonce(), asked), &part(&self.0, NONCE + MARK))
    }

    fn nonce(&self) -> &[u8] {
        &self.0[..NONCE]
    }

    /// As on the wire.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; CHALLENGE] {
        &self.0
    }

    /// The answer of whoever has the key.
    #[must_use]
    pub fn answer(&self, keyed: &Keyed) -> Response {
        Response(keyed.digest(&self.0))
    }

    /// Accepts the answer that the peer gave.
    ///
    /// # Errors
    /// [`Error::Response`].
    pub fn check(&self, response: &Response, keyed: &Keyed) -> Result<(), Error> {
        if same(&self.answer(keyed).0, &response.0) {
            Ok(())
        } else {
            Err(Error::Response(keyed.algorithm()))
        }
    }

    /// Whether both are the same bytes; takes the same time whatever differs.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        same(&self.0, &other.0)
    }
}

fn mark(keyed: &Keyed, nonce: &[u8]) -> [u8; MARK] {
    part(&keyed.code(&[MADE_BY_A_DAEMON, nonce]), 0)
}

fn bond(keyed: &Keyed, nonce: &[u8], asked: &Datagram) -> [u8; CODE] {
    keyed.code(&[FOR_A_REQUEST, nonce, asked.as_bytes()])
}

fn part<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut part = [0; N];
    part.copy_from_slice(&bytes[at..at + N]);
    part
}

impl std::fmt::Debug for Challenge {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Challenge")
    }
}

impl Response {
    /// What the peer sent.
    #[must_use]
    pub fn new(bytes: [u8; DIGEST]) -> Self {
        Self(bytes)
    }

    /// As on the wire.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; DIGEST] {
        &self.0
    }
}

impl std::fmt::Debug for Response {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Response")
    }
}

/// The challenges of a whole process that wait for their answer. A daemon has one set for all its listeners: what it asks
/// on one connection, somebody without the key may ask it on another.
#[derive(Debug, Default)]
pub struct Outstanding(Vec<Challenge>);

impl Outstanding {
    /// Remembers a challenge before it is sent.
    pub fn add(&mut self, challenge: Challenge) {
        self.0.push(challenge);
    }

    /// Forgets a challenge that was answered or whose connection has ended.
    pub fn remove(&mut self, challenge: &Challenge) {
        self.0.retain(|ours| !ours.is(challenge));
    }

    /// Whether a peer's challenge is one of ours; looks at all of them.
    #[must_use]
    pub fn contains(&self, challenge: &Challenge) -> bool {
        self.0.iter().fold(false, |found, ours| found | ours.is(challenge))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Algorithm, Key, Operation, Protection, Request, Target};

    fn keyed(key: u8) -> Keyed {
        let key = Key::new(&[key; 32]).unwrap();
        match Protection::new(Algorithm::Sha256, Some(&key)).unwrap() {
            Protection::Keyed(keyed) => keyed,
            Protection::None => panic!("no key"),
        }
    }

    fn asked(operation: Operation, sequence: u32, random: u8) -> Datagram {
        let target = Target::Domain("node1".parse().unwrap());
        let request = Request { operation, target, by_uuid: false, call_back: None, sequence };
        request.sign(&Protection::Keyed(keyed(7)), [random; 6])
    }

    #[test]
    fn a_daemons_challenge_is_for_one_copy_of_one_request() {
        let off = asked(Operation::Off, 1, 1);
        let challenge = Challenge::about(&off, &keyed(7), [3; NONCE]);
        assert!(challenge.is_a_daemons(&keyed(7)) && challenge.is_about(&off, &keyed(7)));
        for other in [
            asked(Operation::Monitor, 1, 1),
            asked(Operation::Off, 2, 1),
            asked(Operation::Off, 1, 2),
        ] {
            assert!(!challenge.is_about(&other, &keyed(7)), "{other:?}");
        }
        assert!(!challenge.is_a_daemons(&keyed(8)) && !challenge.is_about(&off, &keyed(8)));
        let other = Challenge::about(&off, &keyed(7), [4; NONCE]);
        assert!(!challenge.is(&other) && other.is_about(&off, &keyed(7)));
    }

    #[test]
    fn a_challenge_that_is_altered_or_random_is_no_daemons_or_for_nothing() {
        let off = asked(Operation::Off, 1, 1);
        let challenge = Challenge::about(&off, &keyed(7), [3; NONCE]);
        for at in 0..CHALLENGE {
            let mut bytes = *challenge.as_bytes();
            bytes[at] ^= 0x10;
            let altered = Challenge::new(bytes);
            let is_for_it = altered.is_a_daemons(&keyed(7)) && altered.is_about(&off, &keyed(7));
            assert!(!is_for_it, "{at}");
        }
        assert!(!Challenge::new([9; CHALLENGE]).is_a_daemons(&keyed(7)));
    }

    #[test]
    fn what_is_ours_is_known_until_it_is_removed() {
        let [one, other] = [1, 2].map(|byte| Challenge::new([byte; CHALLENGE]));
        let mut outstanding = Outstanding::default();
        outstanding.add(one.clone());
        assert!(outstanding.contains(&one) && !outstanding.contains(&other));
        outstanding.remove(&one);
        assert!(!outstanding.contains(&one) && outstanding.is_empty());
    }
}
