//! Where records are kept: one file for each call, in one directory for all resources. Invariant: there are never more than
//! so many of each handler for a resource, files of other names are left alone, and nobody waits for the disk longer than he is willing to.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    time::Duration,
};

use duet_host::{bounded, clock, drbd::under_root, file};

use super::{Record, RecordError};
use crate::{decide::Mode, program::Program};

/// Of one handler for one resource.
const MOST: usize = 100;
/// What is older goes,
const OLDEST: Duration = Duration::from_secs(90 * 24 * 3600);
/// but so many stay, whatever the clock says.
const FEWEST: usize = 20;
/// So many names are looked at, of whatever is in the directory.
const MOST_NAMES: usize = 20_000;
/// Of the resource's name in that of a file; file names end at 255.
const LONGEST_NAME: usize = 120;

/// A directory of records.
#[derive(Debug, Clone)]
pub struct Store {
    directory: PathBuf,
}

/// The name of a record's file. In order of time, as far as the clock has one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Name {
    of_day: Duration,
    pid: u32,
    file: String,
}

/// Where a record goes.
struct Place {
    /// What the names of its like begin with.
    prefix: String,
    name: String,
    /// Whether it is written for after a power cut.
    lasts: bool,
}

impl Place {
    fn of(record: &Record) -> Place {
        let (resource, lasts) = match &record.asked {
            Some(asked) => (asked.resource.as_str(), asked.mode == Mode::Fence),
            None => (record.environment.get("DRBD_RESOURCE").map_or("", String::as_str), false),
        };
        let prefix = prefix(resource) + kind(record);
        let name = name(&prefix, record.began.of_day, record.pid);
        Place { prefix, name, lasts }
    }
}

impl Store {
    /// This machine's: `/var/lib/duet/fence-peer`.
    #[must_use]
    pub fn of_machine() -> Store {
        Store::at(&under_root("var/lib/duet/fence-peer"))
    }

    /// This directory, which is made where it is missing.
    #[must_use]
    pub fn at(directory: &Path) -> Store {
        Store { directory: directory.to_owned() }
    }

    /// Writes a record like [`Store::write`]. Costs a child, which is given up after `patience`.
    ///
    /// # Errors
    /// [`RecordError::Write`]. The caller says so in the log and goes on.
    pub fn keep(&self, record: &Record, patience: Duration) -> Result<PathBuf, RecordError> {
        let work = || self.put(record).map(|_| Vec::new());
        bounded::run(0, clock::within(patience), work).map_err(|source| self.failed(source))?;
        Ok(self.directory.join(Place::of(record).name))
    }

    /// Writes a record, and removes old ones of its resource, however long the disk takes. A record
    /// of a fence-peer call is made to last through a power cut, since the next thing may be that this node is shot.
    ///
    /// # Errors
    /// [`RecordError::Write`]. The caller says so in the log and goes on.
    pub fn write(&self, record: &Record) -> Result<PathBuf, RecordError> {
        self.put(record).map_err(|source| self.failed(source))
    }

    fn failed(&self, source: io::Error) -> RecordError {
        RecordError::Write { directory: self.directory.clone(), source }
    }

    fn put(&self, record: &Record) -> io::Result<PathBuf> {
        let Place { prefix, name, lasts } = Place::of(record);
        let path = self.directory.join(&name);
        let text = record.to_json();
        self.make()?;
        // First without waiting for the disk: then it is there whatever the disk does.
        file::write_volatile(&path, text.as_bytes(), 0o600).map_err(io::Error::other)?;
        self.prune(&prefix, &name)?;
        if lasts {
            file::write_atomic(&path, text.as_bytes(), 0o600).map_err(io::Error::other)?;
        }
        Ok(path)
    }

    fn make(&self) -> io::Result<()> {
        if let Some(parent) = self.directory.parent() {
            DirBuilder::new().recursive(true).mode(0o755).create(parent)?;
        }
        match DirBuilder::new().mode(0o700).create(&self.directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            // Not through a link: others' files would be mistaken for ours.
            Ok(()) | Err(_) if fs::symlink_metadata(&self.directory)?.is_dir() => Ok(()),
            Ok(()) | Err(_) => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    /// Removes what is too much of this resource, but never the newest one.
    fn prune(&self, prefix: &str, newest: &str) -> io::Result<()> {
        let mut names: Vec<Name> = fs::read_dir(&self.directory)?
            .take(MOST_NAMES)
            .filter_map(|entry| parse(prefix, entry.ok()?.file_name().to_str()?))
            .filter(|name| name.file != newest)
            .collect();
        names.sort();
        let now = clock::of_day();
        let surplus = (names.len() + 1).saturating_sub(MOST);
        let spared = (names.len() + 1).saturating_sub(FEWEST);
        for (place, name) in names.iter().enumerate() {
            let is_old = now.saturating_sub(name.of_day) > OLDEST && place < spared;
            if place < surplus || is_old {
                // A directory of such a name is not removed by this, and a link is, not what it leads to.
                let _ = fs::remove_file(self.directory.join(&name.file));
            }
        }
        Ok(())
    }
}

/// The resource in the name of a file: letters, digits, `_` and `-` as they are, all else as `%` and its bytes. It has
/// no dot, so it ends where the time begins, and never makes the file a hidden one.
fn prefix(resource: &str) -> String {
    let mut name = String::new();
    for byte in resource.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' => name.push(char::from(byte)),
            other => name.push_str(&format!("%{other:02x}")),
        }
    }
    if name.len() > LONGEST_NAME {
        name.truncate(LONGEST_NAME);
        name.push_str(&format!("%{:08x}", sum(resource)));
    }
    if name.is_empty() { "%".to_owned() } else { name }
}

/// What is behind the resource. unfence-peer is called at almost every connect, and by monitors: its records must not take the
/// room of those of fence-peer. No resource's name has a `%` before other letters than those of its bytes.
fn kind(record: &Record) -> &'static str {
    if record.program == Program::Peer(Mode::Unfence).name() { "%unfence" } else { "" }
}

/// Tells long names apart (FNV-1a).
fn sum(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |sum, byte| (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

fn name(prefix: &str, of_day: Duration, pid: u32) -> String {
    format!("{prefix}.{:010}.{:09}.{pid}.json", of_day.as_secs(), of_day.subsec_nanos())
}

/// A file that is ours and of this resource, also one that was not finished (`.NAME.new-PID`).
fn parse(prefix: &str, file: &str) -> Option<Name> {
    let whole = match file.strip_prefix('.') {
        Some(hidden) => {
            let (whole, pid) = hidden.rsplit_once(".new-")?;
            number::<u32>(pid)?;
            whole
        }
        None => file,
    };
    let rest = whole.strip_prefix(prefix)?.strip_prefix('.')?.strip_suffix(".json")?;
    let mut parts = rest.split('.');
    let (seconds, nanos, pid) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let nanos = number(nanos).filter(|nanos| *nanos < 1_000_000_000)?;
    let of_day = Duration::new(number(seconds)?, nanos);
    Some(Name { of_day, pid: number(pid)?, file: file.to_owned() })
}

fn number<N: std::str::FromStr>(text: &str) -> Option<N> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_whose_record_it_is_and_when_it_was_made() {
        let of_day = Duration::new(1_795_167_540, 298_808_705);
        for resource in ["r0", "a/b", "../../etc", ".hidden", "r0.1", "naïve", "", &"x".repeat(500)]
        {
            let prefix = prefix(resource);
            let file = name(&prefix, of_day, 786);
            assert!(file.len() < 200 && !file.starts_with('.') && !file.contains('/'), "{file}");
            let parsed = parse(&prefix, &file).unwrap();
            assert_eq!((parsed.of_day, parsed.pid), (of_day, 786), "{file}");
            assert!(parse(&prefix, &format!(".{file}.new-786")).is_some());
        }
        assert_eq!(name(&prefix("r0"), of_day, 786), "r0.1795167540.298808705.786.json");
        assert_ne!(prefix(&"x".repeat(500)), prefix(&"x".repeat(501)));
    }

    #[test]
    fn other_names_are_nobodys_records() {
        for file in [
            "r0.1.2.3.json.bak",
            "r0.1.2.json",
            "r0.1.2.3.4.json",
            "r0.+1.2.3.json",
            "r0.1.2000000000.3.json",
            "r0.99999999999999999999999.2.3.json",
            "r00.1.2.3.json",
            "r0-1.2.3.json",
            "r0.1.2.3",
            ".r0.1.2.3.json",
            ".r0.1.2.3.json.new-",
            ".r0.1.2.3.json.new-x",
            "r0....json",
            "",
        ] {
            assert_eq!(parse("r0", file), None, "{file}");
        }
    }
}
