//! Which driver it is. The tables of raw numbers go by the driver's version and never by that of the tools.

use std::fmt;

/// A driver's version, as `9.3.3`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// 8 or 9.
    pub major: u8,
    /// 4 in 8.4.11.
    pub minor: u8,
    /// 11 in 8.4.11.
    pub patch: u8,
}

impl Version {
    /// From `DRBD_KERNEL_VERSION_CODE`, 0xMMmmpp; `None` for zero, which says that there is no module.
    #[must_use]
    pub fn from_code(code: u32) -> Option<Version> {
        let [_, major, minor, patch] = code.to_be_bytes();
        (code != 0).then_some(Version { major, minor, patch })
    }

    /// From the first word that is one, as in `version: 8.4.11 (api:1/proto:86-101)`; what follows the third
    /// number (`9.2.16-1`) does not count.
    #[must_use]
    pub fn parse(text: &str) -> Option<Version> {
        text.split_whitespace().find_map(|word| {
            let mut numbers = word.splitn(3, '.');
            let major = numbers.next()?.parse().ok()?;
            let minor = numbers.next()?.parse().ok()?;
            let rest = numbers.next()?;
            let digits = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
            Some(Version { major, minor, patch: rest[..digits].parse().ok()? })
        })
    }

    /// Which tables apply.
    #[must_use]
    pub fn generation(self) -> Generation {
        if self.major >= 9 { Generation::V9 } else { Generation::V8 }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// The two families of drivers, whose raw numbers differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generation {
    /// 8.4: one peer, states per minor; raw disk state 8 is UpToDate.
    V8,
    /// 9: many peers, one role per resource; raw disk state 8 is Consistent.
    V9,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_codes_and_texts() {
        let version = |major, minor, patch| Some(Version { major, minor, patch });
        assert_eq!(Version::from_code(0x0009_0303), version(9, 3, 3));
        assert_eq!(Version::from_code(0x0008_040b), version(8, 4, 11));
        assert_eq!(Version::from_code(0), None);
        assert_eq!(Version::parse("version: 8.4.11 (api:1/proto:86-101)"), version(8, 4, 11));
        assert_eq!(Version::parse("9.2.16-1\n"), version(9, 2, 16));
        assert_eq!(Version::parse("9.2"), None);
        assert_eq!(Version::parse("9.2.x"), None);
        assert_eq!(Version::parse(""), None);
        assert_eq!(version(9, 0, 0).map(Version::generation), Some(Generation::V9));
        assert_eq!(version(8, 4, 11).map(Version::generation), Some(Generation::V8));
    }
}
