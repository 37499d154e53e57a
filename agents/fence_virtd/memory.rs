//! The file in which digests of requests outlast the daemon. Invariant: a disk that does not answer holds nobody up: a thread of its own
//! writes.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
    time::Duration,
};

use duet_host::file;
use duet_ocf::chain;
use duet_xvm::{Digest, Replays};

/// Requests that are remembered: 65536 are a week of monitors from four nodes.
pub(crate) const CAPACITY: usize = 65_536;
/// Bytes of a digest in the file, and of what it begins with.
const ENTRY: usize = 16;
/// The largest file: twice what counts, then it is written anew.
const LARGEST: usize = ENTRY * (2 * CAPACITY + 1);
/// Where services have their state.
const DIRECTORY: &str = "/var/lib/fence_virtd";
/// Lots of digests that may wait for the disk.
const WAITING: usize = 1024;
/// How long the end of the daemon waits for what is not written yet.
const PARTING: Duration = Duration::from_secs(2);

/// Where the file is: in what systemd made for us, else in the usual place.
pub(crate) fn path() -> PathBuf {
    let given = std::env::var_os("STATE_DIRECTORY").filter(|directory| !directory.is_empty());
    given.map_or_else(|| PathBuf::from(DIRECTORY), PathBuf::from).join("seen")
}

/// What was remembered. Where that cannot be told, nothing was, and why comes back with it.
pub(crate) fn load(path: &Path) -> (Replays, Option<String>) {
    match file::read(path, LARGEST) {
        Ok(bytes) => match Replays::from_bytes(&bytes, CAPACITY) {
            Some(replays) => (replays, None),
            None => (Replays::new(CAPACITY), Some(format!("{} is damaged", path.display()))),
        },
        Err(error) if error.is_missing_file() => (Replays::new(CAPACITY), None),
        Err(error) => (Replays::new(CAPACITY), Some(chain(&error))),
    }
}

/// Whoever writes.
#[derive(Debug)]
pub(crate) struct Scribe {
    sender: Option<SyncSender<Vec<Digest>>>,
    ended: Receiver<()>,
}

impl Scribe {
    /// Writes the file anew, and then adds to it as digests come. `complain` is told once of each different trouble.
    ///
    /// # Errors
    /// The file cannot be written, or no thread started.
    pub(crate) fn start(
        path: &Path,
        replays: &Replays,
        complain: impl Fn(&str) + Send + 'static,
    ) -> io::Result<Scribe> {
        if let Some(directory) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        }
        let bytes = replays.to_bytes();
        file::write_atomic(path, &bytes, 0o600).map_err(|error| io::Error::other(chain(&error)))?;
        let (sender, receiver) = sync_channel::<Vec<Digest>>(WAITING);
        let (end, ended) = sync_channel(1);
        let path = path.to_owned();
        let write = move || {
            let mut length = bytes.len();
            drop(bytes);
            let mut told = String::new();
            for digests in receiver {
                match append(&path, &digests, length) {
                    Ok(now) => length = now,
                    Err(error) => {
                        let text = format!("Could not add to {}: {error}", path.display());
                        if text != told {
                            complain(&text);
                            told = text;
                        }
                    }
                }
            }
            let _ = end.send(());
        };
        thread::Builder::new().stack_size(128 * 1024).spawn(write)?;
        Ok(Scribe { sender: Some(sender), ended })
    }

    /// Has these written. False where the disk is so far behind that they are not.
    pub(crate) fn write(&self, digests: Vec<Digest>) -> bool {
        self.sender.as_ref().is_some_and(|sender| sender.try_send(digests).is_ok())
    }

    /// Waits a moment for what is not written yet.
    pub(crate) fn part(mut self) {
        self.sender = None;
        let _ = self.ended.recv_timeout(PARTING);
    }
}

/// Adds to the file; where it has become too long, its newer half is written anew. How long it is then comes back.
fn append(path: &Path, digests: &[Digest], length: usize) -> io::Result<usize> {
    let bytes: Vec<u8> = digests.iter().flat_map(|digest| *digest.as_bytes()).collect();
    if length + bytes.len() > LARGEST {
        let all = file::read(path, LARGEST).map_err(|error| io::Error::other(chain(&error)))?;
        let newest = all.len().saturating_sub(ENTRY * CAPACITY).max(ENTRY);
        // Whole entries, counted from the beginning.
        let newest = newest.next_multiple_of(ENTRY).min(all.len());
        let kept = [&all[..ENTRY.min(all.len())], &all[newest..], &bytes].concat();
        file::write_atomic(path, &kept, 0o600).map_err(|error| io::Error::other(chain(&error)))?;
        return Ok(kept.len());
    }
    let mut file: File =
        OpenOptions::new().append(true).custom_flags(nix::libc::O_NOFOLLOW).open(path)?;
    file.write_all(&bytes)?;
    Ok(length + bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use duet_xvm::{Algorithm, Key, Operation, Protection, Request, Target};

    fn digest(number: u32) -> Digest {
        let key = Key::new(b"0123456789abcdef").unwrap();
        let protection = Protection::new(Algorithm::Sha1, Some(&key)).unwrap();
        let request = Request {
            operation: Operation::Off,
            target: Target::Nobody,
            by_uuid: false,
            call_back: None,
            sequence: number,
        };
        request.sign(&protection, [0; 6]).digest().unwrap()
    }

    fn written(path: &Path, numbers: std::ops::Range<u32>) {
        let (replays, trouble) = load(path);
        assert_eq!(trouble, None);
        let scribe = Scribe::start(path, &replays, |text| panic!("{text}")).unwrap();
        assert!(scribe.write(numbers.map(digest).collect()));
        scribe.part();
    }

    #[test]
    fn what_was_seen_is_known_to_the_next_daemon() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state/seen");
        written(&path, 0..3);
        written(&path, 3..5);
        let (mut replays, _) = load(&path);
        assert_eq!(replays.len(), 5);
        assert!(!replays.add(digest(0)) && !replays.add(digest(4)) && replays.add(digest(5)));
    }

    #[test]
    fn a_damaged_file_is_told_of() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("seen");
        std::fs::write(&path, "something else").unwrap();
        let (replays, trouble) = load(&path);
        assert!(replays.is_empty() && trouble.unwrap().contains("damaged"));
    }

    #[test]
    fn a_file_that_has_become_long_keeps_what_is_newest() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("seen");
        written(&path, 0..2);
        let all = std::fs::read(&path).unwrap();
        let mut long = all[..ENTRY].to_vec();
        long.resize(LARGEST - 2 * ENTRY, 7);
        long.extend_from_slice(&all[ENTRY..]);
        std::fs::write(&path, &long).unwrap();
        let length = append(&path, &[digest(9)], long.len()).unwrap();
        assert_eq!(length, ENTRY * (CAPACITY + 2));
        let (mut replays, _) = load(&path);
        assert!(!replays.add(digest(0)) && !replays.add(digest(1)) && !replays.add(digest(9)));
    }
}
