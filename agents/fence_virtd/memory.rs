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

/// Requests that are remembered: so many questions, and so many that change a guest.
pub(crate) const CAPACITY: usize = 65_536;
/// Bytes of a digest in the file, and of what it begins with.
const ENTRY: usize = 16;
/// The largest file: twice what counts of both kinds, then it is written anew.
const LARGEST: usize = ENTRY * (4 * CAPACITY + 1);
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
    /// Writes the file anew, and then adds to it as digests come. `complain` is told once of each different trouble; what could not be
    /// written is, as soon as that is possible again.
    ///
    /// # Errors
    /// No thread could be started.
    pub(crate) fn start(
        path: &Path,
        replays: &Replays,
        complain: impl Fn(&str) + Send + 'static,
    ) -> io::Result<Scribe> {
        let mut file = Seen { path: path.to_owned(), whole: None, pending: Vec::new() };
        let bytes = replays.to_bytes();
        if let Err(error) = file.begin(&bytes) {
            complain(&format!("Could not keep {}: {error}", path.display()));
            file.whole = Some(bytes);
        }
        let (sender, receiver) = sync_channel::<Vec<Digest>>(WAITING);
        let (end, ended) = sync_channel(1);
        let write = move || {
            let mut told = String::new();
            for digests in receiver {
                match file.add(digests) {
                    Ok(()) => told.clear(),
                    Err(error) => {
                        let text = format!("Could not add to {}: {error}", file.path.display());
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

/// The file, and what is not in it yet.
struct Seen {
    path: PathBuf,
    /// All of it, while it could not be written at all.
    whole: Option<Vec<u8>>,
    /// What could not be added.
    pending: Vec<Digest>,
}

impl Seen {
    fn begin(&self, bytes: &[u8]) -> io::Result<()> {
        if let Some(directory) = self.path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        }
        file::write_atomic(&self.path, bytes, 0o600)
            .map_err(|error| io::Error::other(chain(&error)))
    }

    fn add(&mut self, digests: Vec<Digest>) -> io::Result<()> {
        self.pending.extend(digests);
        let too_many = self.pending.len().saturating_sub(CAPACITY);
        self.pending.drain(..too_many);
        if let Some(whole) = &self.whole {
            self.begin(whole)?;
            self.whole = None;
        }
        append(&self.path, &self.pending)?;
        self.pending = Vec::new();
        Ok(())
    }
}

/// Adds to the file; where it has become too long, the newest of it are written anew. How long it is, it says itself: another daemon may
/// have added to it, or the disk may have been full in the middle of a digest.
fn append(path: &Path, digests: &[Digest]) -> io::Result<()> {
    let bytes: Vec<u8> = digests.iter().flat_map(|digest| *digest.as_bytes()).collect();
    let mut file: File =
        OpenOptions::new().append(true).custom_flags(nix::libc::O_NOFOLLOW).open(path)?;
    let length = file.metadata()?.len();
    let whole = length - length % ENTRY as u64;
    if whole != length {
        file.set_len(whole)?;
    }
    if whole + bytes.len() as u64 > LARGEST as u64 {
        let all = file::read(path, 2 * LARGEST).map_err(|error| io::Error::other(chain(&error)))?;
        let kept = newest(&[&all[..], &bytes].concat());
        return file::write_atomic(path, &kept, 0o600)
            .map_err(|error| io::Error::other(chain(&error)));
    }
    if let Err(error) = file.write_all(&bytes) {
        let _ = file.set_len(whole);
        return Err(error);
    }
    // A monitor that is forgotten by a power cut does no harm.
    if digests.iter().any(Digest::changes) { file.sync_data() } else { Ok(()) }
}

/// What the file begins with, and the newest digests of each kind.
fn newest(all: &[u8]) -> Vec<u8> {
    let (header, entries) = all.split_at(ENTRY.min(all.len()));
    let mut room = [CAPACITY; 2];
    let kept = entries.chunks_exact(ENTRY).rev().filter(|entry| {
        let room = &mut room[usize::from(Digest::is_change(entry))];
        let has_room = *room > 0;
        *room = room.saturating_sub(1);
        has_room
    });
    let kept: Vec<&[u8]> = kept.collect();
    [&[header][..], &kept.into_iter().rev().collect::<Vec<_>>()].concat().concat()
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
        long.resize(LARGEST - 2 * ENTRY, 6);
        long.splice(ENTRY..2 * ENTRY, *digest(8).as_bytes());
        long.extend_from_slice(&all[ENTRY..]);
        std::fs::write(&path, &long).unwrap();
        append(&path, &[digest(9)]).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), (ENTRY * (CAPACITY + 5)) as u64);
        let (mut replays, _) = load(&path);
        for number in [8, 0, 1, 9] {
            assert!(!replays.add(digest(number)), "questions push out no off: {number}");
        }
    }

    #[test]
    fn what_a_full_disk_keeps_out_is_written_when_there_is_room() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("seen");
        written(&path, 0..1);
        let aside = directory.path().join("aside");
        std::fs::rename(&path, &aside).unwrap();
        std::fs::create_dir(&path).unwrap();
        let mut file = Seen { path: path.clone(), whole: None, pending: Vec::new() };
        assert!(file.add(vec![digest(1)]).is_err());
        std::fs::remove_dir(&path).unwrap();
        // The disk was full in the middle of a digest.
        let mut bytes = std::fs::read(&aside).unwrap();
        bytes.extend([7; 5]);
        std::fs::write(&path, bytes).unwrap();
        file.add(vec![digest(2)]).unwrap();
        let (mut replays, trouble) = load(&path);
        assert_eq!((trouble, replays.len()), (None, 3));
        assert!((0..3).all(|number| !replays.add(digest(number))));
    }

    #[test]
    fn a_file_that_could_not_be_begun_is_begun_when_that_can_be() {
        let directory = tempfile::tempdir().unwrap();
        let blocked = directory.path().join("state");
        std::fs::write(&blocked, "not a directory").unwrap();
        let path = blocked.join("seen");
        let mut replays = Replays::new(CAPACITY);
        replays.add(digest(0));
        let scribe = Scribe::start(&path, &replays, |text| assert!(text.contains("seen"))).unwrap();
        std::fs::remove_file(&blocked).unwrap();
        assert!(scribe.write(vec![digest(1)]));
        scribe.part();
        let (mut replays, _) = load(&path);
        assert!(!replays.add(digest(0)) && !replays.add(digest(1)));
    }

    #[test]
    fn two_daemons_with_one_file_do_not_make_it_too_long_to_be_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("seen");
        written(&path, 0..1);
        let mut long = std::fs::read(&path).unwrap();
        long.resize(LARGEST + ENTRY, 6);
        std::fs::write(&path, &long).unwrap();
        append(&path, &[digest(1)]).unwrap();
        let (mut replays, trouble) = load(&path);
        assert_eq!(trouble, None);
        assert!(!replays.add(digest(0)) && !replays.add(digest(1)));
    }
}
