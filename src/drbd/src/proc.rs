//! `/proc/drbd`: the driver's version, and with 8.4 one line of state per minor (9 has none). Invariant: a line that
//! begins like a minor's and cannot be read is an error; it is never left out.

use crate::{Connection, Disk, Replication, Role, Version};
use std::collections::BTreeMap;

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proc {
    /// Of the driver that is loaded.
    pub version: Version,
    /// By minor; empty with 9, whatever is configured.
    pub minors: BTreeMap<u32, Minor>,
}

/// One minor of 8.4.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Minor {
    /// There is such a device, and nothing behind it.
    Unconfigured,
    /// Its state.
    Configured {
        /// The connection.
        connection: Connection,
        /// What goes over it.
        replication: Replication,
        /// This node's role.
        role: Role,
        /// The peer's.
        peer_role: Role,
        /// This node's disk.
        disk: Disk,
        /// The peer's.
        peer_disk: Disk,
        /// Whether I/O is frozen, for whatever reason; `None` where that cannot be told.
        is_frozen: Option<bool>,
        /// KiB that differ.
        out_of_sync: Option<u64>,
    },
}

/// Why it cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProcError {
    /// No `version:` line.
    #[error("/proc/drbd does not begin with a version")]
    NoVersion,
    /// A minor's line lacks a word.
    #[error("/proc/drbd says no {what} of minor {minor}")]
    Missing {
        /// Which minor.
        minor: u32,
        /// The key.
        what: &'static str,
    },
}

impl Proc {
    /// Reads the whole file.
    ///
    /// # Errors
    /// If there is no version, or a minor without state.
    pub fn parse(text: &str) -> Result<Proc, ProcError> {
        let version = text.lines().next().filter(|line| line.starts_with("version:"));
        let version = version.and_then(Version::parse).ok_or(ProcError::NoVersion)?;
        let mut minors: BTreeMap<u32, Minor> = BTreeMap::new();
        let mut latest = None;
        for line in text.lines() {
            if let Some((number, rest)) = numbered(line) {
                minors.insert(number, Minor::read(number, rest)?);
                latest = Some(number);
            } else if let Some(Minor::Configured { out_of_sync, .. }) =
                latest.and_then(|minor| minors.get_mut(&minor))
            {
                // The counters, one line below; `oos:` is in no other.
                let counter = word(line, "oos:").and_then(|value| value.parse().ok());
                *out_of_sync = out_of_sync.or(counter);
            }
        }
        Ok(Proc { version, minors })
    }
}

/// ` 0: cs:…`, split after the number.
fn numbered(line: &str) -> Option<(u32, &str)> {
    let (number, rest) = line.trim_start().split_once(':')?;
    Some((number.parse().ok()?, rest))
}

fn word<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    line.split_ascii_whitespace().find_map(|word| word.strip_prefix(key))
}

impl Minor {
    fn read(minor: u32, line: &str) -> Result<Minor, ProcError> {
        let missing = |what| ProcError::Missing { minor, what };
        let state = word(line, "cs:").ok_or_else(|| missing("cs"))?;
        if state == "Unconfigured" {
            return Ok(Minor::Unconfigured);
        }
        let pair = |key, what| {
            let both = word(line, key).and_then(|value| value.split_once('/'));
            both.ok_or_else(|| missing(what))
        };
        let (connection, replication) = connection(state);
        let (role, peer_role) = pair("ro:", "ro")?;
        let (disk, peer_disk) = pair("ds:", "ds")?;
        // `C r-----`: the first of the flags is `s` while I/O is suspended.
        let flags = line.split_ascii_whitespace().last().unwrap_or_default();
        let is_frozen = match flags.bytes().next() {
            Some(b'r') => Some(false),
            Some(b's') => Some(true),
            _ => None,
        };
        Ok(Minor::Configured {
            connection,
            replication,
            role: Role::parse(role),
            peer_role: Role::parse(peer_role),
            disk: Disk::parse(disk),
            peer_disk: Disk::parse(peer_disk),
            is_frozen,
            out_of_sync: None,
        })
    }
}

/// 8.4 has one scale for both: from Connected on, it is the replication.
fn connection(word: &str) -> (Connection, Replication) {
    match word {
        "WFConnection" => (Connection::Connecting, Replication::Off),
        "Connected" => (Connection::Connected, Replication::Established),
        word => match (Connection::parse(word), Replication::parse(word)) {
            (Connection::Unrecognized(_), Replication::Unrecognized(_)) => {
                let unknown = word.to_owned();
                (Connection::Unrecognized(unknown.clone()), Replication::Unrecognized(unknown))
            }
            (Connection::Unrecognized(_), replication) => (Connection::Connected, replication),
            (connection, _) => (connection, Replication::Off),
        },
    }
}
