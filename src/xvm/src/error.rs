//! What can be wrong with bytes of the other side, or with a key. Invariant: no text has a byte of a key, or of a digest
//! that was expected: who reads a log could otherwise sign.

use crate::Algorithm;

/// Why something was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The key file has no byte. An empty key signs what anybody can sign.
    #[error("The key is empty")]
    EmptyKey,
    /// An algorithm other than none was asked for, and there is no key.
    #[error("There is no key, which {0} needs")]
    NoKey(Algorithm),
    /// A word that names no algorithm.
    #[error("{0:?} is none of none, sha1, sha256 and sha512")]
    NoSuchAlgorithm(String),
    /// Not the length of a request.
    #[error("A request has 176 bytes, this has {0}")]
    Length(usize),
    /// The request says that it was signed by an algorithm with this number.
    #[error("The request is signed by an unknown algorithm ({0})")]
    UnknownAlgorithm(u8),
    /// The request is signed with less than what is asked for.
    #[error("The request is signed with {got}, and {wanted} is the least")]
    TooWeak {
        /// What the request has.
        got: Algorithm,
        /// What was configured.
        wanted: Algorithm,
    },
    /// Signed by another key, or altered.
    #[error("The signature ({0}) is not by our key")]
    Signature(Algorithm),
    /// The peer's answer to a challenge is not by our key, or by another algorithm.
    #[error("The answer to our challenge is not by our key and {0}")]
    Response(Algorithm),
    /// The peer challenges us with a challenge of our own that nobody has answered yet.
    #[error("The peer sent a challenge of ours back")]
    Reflected,
    /// The peer challenges us with a challenge that a daemon with our key has made: on this host or another.
    #[error("The peer sent a challenge that a fence_virtd with our key has made")]
    Daemons,
    /// The daemon answers a request that this client has not sent: somebody else has, in its name.
    #[error("The daemon was asked something else in our name: a recorded request was sent again")]
    AnotherRequest,
    /// A name that does not fit into 63 bytes, is empty, or has a NUL byte.
    #[error("{0:?} cannot name a domain: 1 to 63 bytes without NUL")]
    Name(String),
    /// More hosts than any host has.
    #[error("The list of hosts has no end after {0} entries")]
    EndlessList(usize),
}
