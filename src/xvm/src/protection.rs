//! How something is made unforgeable: the hash of key and content, as both programs have always done it. Invariant:
//! there is no protection by an algorithm without a key, and comparing takes the same time whatever differs.

use crate::{Algorithm, Error, Key};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};

/// The field of a digest on the wire, in bytes; a shorter one is padded with zeros.
pub(crate) const DIGEST: usize = 64;
/// The length of a code, in bytes.
pub(crate) const CODE: usize = 32;
/// What SHA-256 takes at once, in bytes.
const BLOCK: usize = 64;

/// An algorithm with its key, or none.
#[derive(Debug, Clone)]
pub enum Protection {
    /// Nothing is signed and nothing is asked.
    None,
    /// By a key.
    Keyed(Keyed),
}

/// An algorithm other than none, and the key.
#[derive(Debug, Clone)]
pub struct Keyed {
    algorithm: Algorithm,
    key: Key,
}

impl Protection {
    /// By `algorithm`, with the key it needs.
    ///
    /// # Errors
    /// [`Error::NoKey`].
    pub fn new(algorithm: Algorithm, key: Option<&Key>) -> Result<Self, Error> {
        match (algorithm, key) {
            (Algorithm::None, _) => Ok(Self::None),
            (Algorithm::Sha1 | Algorithm::Sha256 | Algorithm::Sha512, Some(key)) => {
                Ok(Self::Keyed(Keyed { algorithm, key: key.clone() }))
            }
            (algorithm, None) => Err(Error::NoKey(algorithm)),
        }
    }

    /// By which algorithm.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        match self {
            Self::None => Algorithm::None,
            Self::Keyed(keyed) => keyed.algorithm,
        }
    }
}

impl Keyed {
    /// By which algorithm; never none.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The same key with another algorithm; none is none.
    #[must_use]
    pub fn with(&self, algorithm: Algorithm) -> Option<Self> {
        (algorithm != Algorithm::None).then(|| Self { algorithm, key: self.key.clone() })
    }

    /// The hash of the key and `content`, left-aligned.
    pub(crate) fn digest(&self, content: &[u8]) -> [u8; DIGEST] {
        match self.algorithm {
            Algorithm::None => [0; DIGEST],
            Algorithm::Sha1 => hash::<Sha1>(&self.key, content),
            Algorithm::Sha256 => hash::<Sha256>(&self.key, content),
            Algorithm::Sha512 => hash::<Sha512>(&self.key, content),
        }
    }

    /// HMAC with SHA-256 (RFC 2104), whatever the algorithm: what no peer can have us compute by any challenge, since those are
    /// answered with the plain hash above.
    pub(crate) fn code(&self, parts: &[&[u8]]) -> [u8; CODE] {
        let mut block = [0; BLOCK];
        match self.key.bytes() {
            short if short.len() <= BLOCK => block[..short.len()].copy_from_slice(short),
            long => block[..CODE].copy_from_slice(&Sha256::digest(long)),
        }
        let inner = Sha256::new().chain_update(block.map(|byte| byte ^ 0x36));
        let inner = parts.iter().fold(inner, Digest::chain_update).finalize();
        let outer = Sha256::new().chain_update(block.map(|byte| byte ^ 0x5c));
        outer.chain_update(inner).finalize().into()
    }
}

fn hash<D: Digest>(key: &Key, content: &[u8]) -> [u8; DIGEST] {
    let digest = D::new().chain_update(key.bytes()).chain_update(content).finalize();
    let mut field = [0; DIGEST];
    field[..digest.len()].copy_from_slice(&digest);
    field
}

/// Whether all bytes are the same; looks at all of them.
pub(crate) fn same<const N: usize>(one: &[u8; N], other: &[u8; N]) -> bool {
    let difference =
        one.iter().zip(other).fold(0, |all, (a, b)| std::hint::black_box(all | (a ^ b)));
    difference == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_key_there_is_only_none() {
        for algorithm in Algorithm::ALL {
            let made = Protection::new(algorithm, None);
            assert_eq!(made.is_ok(), algorithm == Algorithm::None);
        }
    }

    /// Cases 1, 2 and 6 of RFC 4231: a short key, a shorter one, and one longer than a block.
    #[test]
    fn codes_are_those_of_rfc_4231() {
        for (key, content, code) in [
            (
                vec![0x0b; 20],
                "Hi There",
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
            ),
            (
                b"Jefe".to_vec(),
                "what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                vec![0xaa; 131],
                "Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
        ] {
            let keyed = Keyed { algorithm: Algorithm::Sha1, key: Key::new(&key).unwrap() };
            let (one, other) = content.as_bytes().split_at(3);
            let got: String =
                keyed.code(&[one, other]).iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(got, code, "{content}");
        }
    }

    #[test]
    fn fields_are_the_same_only_in_all_bytes() {
        let field = [9; DIGEST];
        assert!(same(&field, &field));
        for index in 0..DIGEST {
            let mut other = field;
            other[index] ^= 0x80;
            assert!(!same(&field, &other), "{index}");
        }
    }
}
