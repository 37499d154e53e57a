//! Whom a request is about: a name or a UUID in a field of 64 bytes. Invariant: what no domain can be called is never
//! shortened or mended into something that one can.

use crate::Error;
use std::{fmt, str::FromStr};

/// The field on the wire, in bytes.
pub(crate) const FIELD: usize = 64;

/// A name or a UUID as text: 1 to 63 bytes of UTF-8 without NUL.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DomainName(String);

impl DomainName {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DomainName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if (1..FIELD).contains(&text.len()) && !text.contains('\0') {
            Ok(Self(text.to_owned()))
        } else {
            Err(Error::Name(text.chars().take(FIELD).collect()))
        }
    }
}

impl fmt::Display for DomainName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// Whom a request is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// Nobody, as with lists.
    Nobody,
    /// The domain of this name or UUID.
    Domain(DomainName),
    /// The field has no NUL, is not UTF-8, or goes on behind its NUL: nobody is called that. Operations that need a
    /// domain fail.
    Malformed,
}

impl Target {
    /// The domain, if there is one.
    #[must_use]
    pub fn domain(&self) -> Option<&DomainName> {
        match self {
            Self::Domain(name) => Some(name),
            Self::Nobody | Self::Malformed => None,
        }
    }

    /// The field; a malformed one is written as nobody.
    pub(crate) fn to_field(&self) -> [u8; FIELD] {
        let mut field = [0; FIELD];
        if let Self::Domain(DomainName(name)) = self {
            field[..name.len()].copy_from_slice(name.as_bytes());
        }
        field
    }

    pub(crate) fn from_field(field: &[u8; FIELD]) -> Self {
        let Some(length) = field.iter().position(|byte| *byte == 0) else { return Self::Malformed };
        let (name, padding) = field.split_at(length);
        match std::str::from_utf8(name) {
            _ if padding.iter().any(|byte| *byte != 0) => Self::Malformed,
            Ok("") => Self::Nobody,
            Ok(name) => Self::Domain(DomainName(name.to_owned())),
            Err(_) => Self::Malformed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(bytes: &[u8]) -> [u8; FIELD] {
        let mut field = [0; FIELD];
        field[..bytes.len()].copy_from_slice(bytes);
        field
    }

    #[test]
    fn names_of_1_to_63_bytes_go_over_the_wire_and_no_others() {
        for length in [1, 36, 62, 63] {
            let name = "x".repeat(length);
            let target = Target::Domain(name.parse().unwrap());
            assert_eq!(Target::from_field(&target.to_field()), target);
        }
        for name in ["", "a\0b", &"x".repeat(64), &"ä".repeat(32)] {
            assert!(name.parse::<DomainName>().is_err(), "{name:?}");
        }
    }

    #[test]
    fn a_field_without_nul_with_other_text_or_with_a_tail_is_malformed() {
        for bytes in [&[b'x'; 64][..], b"\xff\xfe", b"a\0b", b"\0b"] {
            assert_eq!(Target::from_field(&field(bytes)), Target::Malformed, "{bytes:?}");
        }
        assert_eq!(Target::from_field(&field(b"")), Target::Nobody);
    }
}
