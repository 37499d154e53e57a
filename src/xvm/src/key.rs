//! The secret that client and daemon share. Invariant: no rendering of it says more than its fingerprint, and there is
//! no empty one.

use crate::Error;
use sha2::{Digest as _, Sha512};
use std::{fmt, sync::Arc};

/// What is read of a key file at most, in bytes: the rest of a longer one does not count, as in fence-virt.
const LONGEST: usize = 4096;
/// Shorter keys are worth a warning, in bytes.
const SHORT: usize = 16;
/// Put before the key for its fingerprint. A signature has the key first, so neither is ever the other.
const DOMAIN: &[u8] = b"duet: fingerprint of a fence_xvm key\0";

/// The content of a key file, byte for byte: a new line at its end counts.
#[derive(Clone)]
pub struct Key(Arc<[u8]>);

impl Key {
    /// From the content of its file, of which only the first 4096 bytes count.
    ///
    /// # Errors
    /// [`Error::EmptyKey`].
    pub fn new(content: &[u8]) -> Result<Self, Error> {
        match content {
            [] => Err(Error::EmptyKey),
            content => Ok(Self(Arc::from(&content[..content.len().min(LONGEST)]))),
        }
    }

    /// Whether it has fewer than 16 bytes and can perhaps be guessed from a request that somebody overheard.
    #[must_use]
    pub fn is_short(&self) -> bool {
        self.0.len() < SHORT
    }

    /// What tells two keys from each other in logs.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        let digest = Sha512::new().chain_update(DOMAIN).chain_update(&self.0).finalize();
        let mut first = [0; 4];
        first.copy_from_slice(&digest[..4]);
        Fingerprint(u32::from_be_bytes(first))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Key({})", self.fingerprint())
    }
}

/// 32 bits of a hash that is used for nothing else: enough to see that two hosts have different keys, of no use for
/// signing, and less than what a single overheard request says about a key that can be guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(u32);

impl fmt::Display for Fingerprint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:08x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_key_is_none() {
        assert_eq!(Key::new(b"").unwrap_err(), Error::EmptyKey);
    }

    #[test]
    fn the_first_4096_bytes_count_and_each_of_them() {
        let long = vec![7; 5096];
        let print = |content: &[u8]| Key::new(content).unwrap().fingerprint();
        assert_eq!(print(&long), print(&long[..4096]));
        assert_ne!(print(&long), print(&long[..4095]));
        assert_ne!(print(b"secret"), print(b"secret\n"));
    }

    #[test]
    fn keys_below_16_bytes_are_short() {
        assert!(Key::new(&[1; 15]).unwrap().is_short());
        assert!(!Key::new(&[1; 16]).unwrap().is_short());
    }

    #[test]
    fn a_key_is_not_printed() {
        let key = Key::new(b"open sesame open sesame").unwrap();
        assert_eq!(format!("{key:?}"), format!("Key({})", key.fingerprint()));
        assert_eq!(key.fingerprint().to_string().len(), 8);
    }
}
