//! Proving that one has the key: 64 random bytes, answered with the hash of the key and them. Invariant: a challenge that
//! is ours is never answered, since its answer is what whoever got it from us is looking for.

use crate::Error;
use crate::protection::{DIGEST, Keyed, same};

/// The length of a challenge and of an answer to it, in bytes.
pub const CHALLENGE: usize = 64;

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
