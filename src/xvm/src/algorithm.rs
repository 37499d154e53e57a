//! The choice of hash and of authentication. Invariant: the order is that of strength, and none is the least.

use crate::Error;
use std::{fmt, str::FromStr};

/// How something is signed or answered; the numbers are those of the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Algorithm {
    /// Not at all.
    None = 0,
    /// SHA-1, 20 bytes. Only for peers that have nothing better.
    Sha1 = 1,
    /// SHA-256, 32 bytes: the default of both programs.
    Sha256 = 2,
    /// SHA-512, 64 bytes.
    Sha512 = 3,
}

impl Algorithm {
    /// All of them, weakest first.
    pub const ALL: [Self; 4] = [Self::None, Self::Sha1, Self::Sha256, Self::Sha512];

    /// Its number on the wire.
    #[must_use]
    pub fn number(self) -> u8 {
        self as u8
    }

    /// From its number on the wire.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.number() == number)
    }

    /// Its word in options and in `fence_virt.conf`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }
}

impl FromStr for Algorithm {
    type Err = Error;

    /// The words in any case.
    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.word().eq_ignore_ascii_case(text))
            .ok_or_else(|| Error::NoSuchAlgorithm(text.chars().take(64).collect()))
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_numbers_lead_back_to_the_algorithm() {
        for algorithm in Algorithm::ALL {
            assert_eq!(Algorithm::from_number(algorithm.number()), Some(algorithm));
            assert_eq!(algorithm.word().to_uppercase().parse(), Ok(algorithm));
        }
        assert_eq!(Algorithm::from_number(4), None);
        assert!("md5".parse::<Algorithm>().is_err() && "".parse::<Algorithm>().is_err());
    }

    #[test]
    fn the_order_is_that_of_strength() {
        assert!(Algorithm::ALL.is_sorted() && Algorithm::None < Algorithm::Sha1);
    }
}
