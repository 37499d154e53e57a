//! A domain's UUID, which is who it is; a name can be given to another domain tomorrow.
//! Invariant: what libvirt reads as the same UUID compares equal here.

use std::{fmt, str::FromStr};

/// Sixteen bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Uuid([u8; 16]);

/// The text is not a UUID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a UUID")]
pub struct UuidError(String);

impl Uuid {
    /// From its bytes, as on libvirt's wire.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl FromStr for Uuid {
    type Err = UuidError;

    /// Like libvirt: hyphens may stand anywhere or be missing, white space around is ignored.
    fn from_str(text: &str) -> Result<Self, UuidError> {
        let refused = || UuidError(text.chars().take(64).collect());
        let mut bytes = [0_u8; 16];
        let mut digits = 0;
        for letter in text.trim().chars().filter(|letter| *letter != '-') {
            let digit = letter.to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            let (Some(digit), Some(byte)) = (digit, bytes.get_mut(digits / 2)) else {
                return Err(refused());
            };
            *byte = *byte << 4 | digit;
            digits += 1;
        }
        if digits == 32 { Ok(Self(bytes)) } else { Err(refused()) }
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                out.write_str("-")?;
            }
            write!(out, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn spellings_of_one_uuid_are_equal() {
        let plain = "c7a5fdbdedaf9455926ad65c16db1809";
        for other in [
            "c7a5fdbd-edaf-9455-926a-d65c16db1809",
            " C7A5FDBD-EDAF-9455-926A-D65C16DB1809\n",
            "c7a5fdbd-edaf9455-926ad65c16db1809",
        ] {
            assert_eq!(plain.parse::<Uuid>(), other.parse::<Uuid>());
        }
    }

    #[test]
    fn other_text_is_refused() {
        for text in ["", "-", "c7a5", "c7a5fdbdedaf9455926ad65c16db180g", &"a".repeat(33), "ä"] {
            assert!(text.parse::<Uuid>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn printed_and_parsed_is_the_same(bytes: [u8; 16]) {
            let uuid = Uuid::from_bytes(bytes);
            prop_assert_eq!(uuid.to_string().parse(), Ok(uuid));
        }

        #[test]
        fn any_text_is_parsed_or_refused(text in ".*") {
            let _ = text.parse::<Uuid>();
        }
    }
}
