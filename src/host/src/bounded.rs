//! Files on storage that may have died: opening or reading one there can hang in the kernel for ever, and no flag
//! of `open` or `read` prevents that. Invariant: what may hang is done by a child, which is given up at the deadline;
//! what is done here cannot hang.

use crate::{Error, clock, file};
use duet_ocf::Deadline;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, pipe2};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::time::Duration;

/// `RESOLVE_CACHED` of Linux 5.12: only by what the kernel has in memory, without asking any file system.
const RESOLVE_CACHED: u64 = 0x20;
/// How long a killed child may take to vanish before we go on without it.
const GRACE: Duration = Duration::from_millis(50);

/// Whether this file is known to be there without asking its file system. False says nothing: the kernel may
/// have forgotten it, be too old to be asked like this, or know that there is none.
#[must_use]
pub fn is_surely_there(path: &Path) -> bool {
    let how = OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::from_bits_retain(RESOLVE_CACHED));
    openat2(AT_FDCWD, path, how).is_ok()
}

/// Like [`file::read`], given up at the deadline. Costs a child.
///
/// # Errors
/// Those of [`file::read`], and [`Error::Stalled`].
pub fn read(path: &Path, limit: usize, deadline: Deadline) -> Result<Vec<u8>, Error> {
    let failed = |source| Error::Read { path: path.to_owned(), source };
    let began = clock::now();
    match by_child(limit, deadline, || answer(file::read(path, limit))).map_err(failed)? {
        Some(bytes) => understand(&bytes, path, limit),
        None => Err(stalled(path, began)),
    }
}

/// Like [`file::write_atomic`], given up at the deadline. Costs a child. One that was given up in the midst of it may
/// still put the new content in place, whole, when its storage comes back.
///
/// # Errors
/// Those of [`file::write_atomic`], and [`Error::Stalled`].
pub fn write_atomic(path: &Path, bytes: &[u8], mode: u32, deadline: Deadline) -> Result<(), Error> {
    let failed = |source| Error::Write { path: path.to_owned(), source };
    let began = clock::now();
    let work = || of_io(file::replace(path, bytes, mode).map(|()| Vec::new()));
    match by_child(0, deadline, work).map_err(failed)? {
        Some(said) => to_io(&said).map(|_| ()).map_err(failed),
        None => Err(stalled(path, began)),
    }
}

/// What `work` returns, done by a child that is given up at the deadline; at most `limit` bytes. What it changes
/// in memory is lost, what it does to files is done.
///
/// # Errors
/// Those of `work`, those of starting a child, and [`io::ErrorKind::TimedOut`].
pub fn run(
    limit: usize,
    deadline: Deadline,
    work: impl FnOnce() -> io::Result<Vec<u8>>,
) -> io::Result<Vec<u8>> {
    let began = clock::now();
    match by_child(limit, deadline, || of_io(work()))? {
        Some(said) => to_io(&said),
        None => {
            let after = clock::now().saturating_sub(began).as_secs_f32();
            let why = format!("its storage did not answer within {after:.1} s");
            Err(io::Error::new(io::ErrorKind::TimedOut, why))
        }
    }
}

/// What `work` says; none when the deadline came first.
#[allow(unsafe_code, reason = "fork without exec: the child only does this work")]
fn by_child(
    limit: usize,
    deadline: Deadline,
    work: impl FnOnce() -> Vec<u8>,
) -> io::Result<Option<Vec<u8>>> {
    let (ours, childs) = pipe2(OFlag::O_CLOEXEC)?;
    // SAFETY: programs of this crate have one thread. In a test with more, the C library has its allocator usable
    // in the child, and the child takes no other lock.
    let child = match unsafe { fork() }? {
        ForkResult::Parent { child } => child,
        ForkResult::Child => {
            drop(ours);
            only_keep(childs.as_raw_fd());
            let _ = File::from(childs).write_all(&work());
            // SAFETY: ends this process, without anything that is registered for the end of the parent.
            unsafe { nix::libc::_exit(0) }
        }
    };
    drop(childs);
    let mut bytes = Vec::new();
    let is_whole = receive(&mut File::from(ours), &mut bytes, limit, deadline);
    end(child);
    Ok(is_whole?.then_some(bytes))
}

fn stalled(path: &Path, began: Duration) -> Error {
    Error::Stalled { path: path.to_owned(), after: clock::now().saturating_sub(began) }
}

/// Like [`read`], for text.
///
/// # Errors
/// Those of [`read`], and [`Error::NotText`].
pub fn read_text(path: &Path, limit: usize, deadline: Deadline) -> Result<String, Error> {
    file::text(read(path, limit, deadline)?, path)
}

/// A child that hangs must hold nobody's pipe or connection open, and end with us.
fn only_keep(pipe: i32) {
    let _ = nix::sys::prctl::set_pdeathsig(Signal::SIGKILL);
    close_all_but(pipe, 0);
}

/// Closes every descriptor from `first` on but one, for a child that has just been made.
#[allow(unsafe_code, reason = "neither std nor nix has close_range")]
pub(crate) fn close_all_but(kept: i32, first: u32) {
    let kept = u32::try_from(kept).unwrap_or(0);
    let ranges =
        [(first, kept.checked_sub(1)), (first.max(kept.saturating_add(1)), Some(u32::MAX))];
    for (from, to) in ranges {
        if let Some(to) = to.filter(|to| from <= *to) {
            // SAFETY: closes descriptors that nothing in this child uses; before Linux 5.9 it does nothing.
            unsafe { nix::libc::syscall(nix::libc::SYS_close_range, from, to, 0) };
        }
    }
}

const DONE: u8 = 0;
const FAILED: u8 = 1;
const NOT_A_FILE: u8 = 2;
const TOO_LARGE: u8 = 3;
/// Of an error, in bytes.
const LONGEST_TEXT: usize = 1024;

fn answer(read: Result<Vec<u8>, Error>) -> Vec<u8> {
    match read {
        Ok(bytes) => of_io(Ok(bytes)),
        Err(Error::NotAFile { .. }) => vec![NOT_A_FILE],
        Err(Error::TooLarge { .. }) => vec![TOO_LARGE],
        Err(Error::Read { source, .. }) => of_io(Err(source)),
        Err(error) => of_io(Err(io::Error::other(error))),
    }
}

fn understand(bytes: &[u8], path: &Path, limit: usize) -> Result<Vec<u8>, Error> {
    let path = || path.to_owned();
    match bytes.first() {
        Some(&NOT_A_FILE) => Err(Error::NotAFile { path: path() }),
        Some(&TOO_LARGE) => Err(Error::TooLarge { path: path(), limit }),
        _ => to_io(bytes).map_err(|source| Error::Read { path: path(), source }),
    }
}

/// An error is its number, or its text where it has none.
fn of_io(done: io::Result<Vec<u8>>) -> Vec<u8> {
    let error = match done {
        Ok(mut bytes) => {
            bytes.insert(0, DONE);
            return bytes;
        }
        Err(error) => error,
    };
    let text = if error.raw_os_error().is_some() { String::new() } else { error.to_string() };
    let text = &text.as_bytes()[..text.len().min(LONGEST_TEXT)];
    [&[FAILED][..], &error.raw_os_error().unwrap_or(0).to_ne_bytes(), text].concat()
}

fn to_io(bytes: &[u8]) -> io::Result<Vec<u8>> {
    match bytes.split_first() {
        Some((&DONE, content)) => Ok(content.to_vec()),
        Some((_, said)) if said.len() > 4 => {
            Err(io::Error::other(String::from_utf8_lossy(&said[4..])))
        }
        other => {
            let errno = other.and_then(|(_, said)| Some(i32::from_ne_bytes(said.try_into().ok()?)));
            Err(io::Error::from_raw_os_error(errno.unwrap_or(nix::libc::EIO)))
        }
    }
}

/// All that the child says; false when the deadline came first.
fn receive(
    pipe: &mut File,
    bytes: &mut Vec<u8>,
    limit: usize,
    deadline: Deadline,
) -> io::Result<bool> {
    let mut buffer = [0; 64 * 1024];
    loop {
        let left = deadline.remaining(clock::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(0) if left.is_zero() => return Ok(false),
            Ok(0) | Err(Errno::EINTR) => continue,
            Ok(_) => {}
            Err(errno) => return Err(errno.into()),
        }
        match pipe.read(&mut buffer)? {
            0 => return Ok(true),
            length if bytes.len() + length <= limit + LONGEST_TEXT + 5 => {
                bytes.extend_from_slice(&buffer[..length]);
            }
            _ => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

/// Ends the child. One that hangs where it cannot be killed is left to the kernel.
fn end(child: Pid) {
    let _ = kill(child, Signal::SIGKILL);
    let deadline = clock::within(GRACE);
    while let Ok(WaitStatus::StillAlive) | Err(Errno::EINTR) =
        waitpid(child, Some(WaitPidFlag::WNOHANG))
    {
        if deadline.remaining(clock::now()).is_zero() {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn soon() -> Deadline {
        clock::within(Duration::from_secs(10))
    }

    #[test]
    fn a_child_reads_as_we_do() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f");
        for content in [&b""[..], b"x", &vec![7; 300_000]] {
            std::fs::write(&path, content).unwrap();
            assert_eq!(read(&path, 300_000, soon()).unwrap(), content);
        }
        assert!(matches!(read(&path, 9, soon()), Err(Error::TooLarge { limit: 9, .. })));
        assert!(matches!(read(directory.path(), 9, soon()), Err(Error::NotAFile { .. })));
        assert!(read(&directory.path().join("none"), 9, soon()).unwrap_err().is_missing_file());
        let denied = read(&path.join("below"), 9, soon()).unwrap_err();
        assert!(duet_ocf::chain(&denied).contains("Not a directory"), "{denied:?}");
    }

    #[test]
    fn a_child_writes_as_we_do() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f");
        for content in [&b"one"[..], &vec![7; 300_000]] {
            write_atomic(&path, content, 0o640, soon()).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), content);
        }
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
        let denied = write_atomic(&path.join("below"), b"x", 0o600, soon()).unwrap_err();
        assert!(duet_ocf::chain(&denied).contains("Not a directory"), "{denied:?}");
        let nowhere = write_atomic(Path::new("/"), b"x", 0o600, soon()).unwrap_err();
        assert!(duet_ocf::chain(&nowhere).contains("invalid"), "{nowhere:?}");
    }

    #[test]
    fn work_that_hangs_is_given_up_and_its_process_is_gone() {
        let began = std::time::Instant::now();
        let hung = run(0, clock::within(Duration::from_millis(100)), || {
            std::thread::sleep(Duration::from_secs(60));
            Ok(Vec::new())
        });
        assert_eq!(hung.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(began.elapsed() < Duration::from_secs(20));
        assert_eq!(run(2, soon(), || Ok(b"ok".to_vec())).unwrap(), b"ok");
        assert!(run(2, soon(), || Ok(vec![7; 70_000])).is_err());
    }

    #[test]
    fn what_is_in_memory_is_there_and_what_is_not_may_be() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f");
        assert!(!is_surely_there(&path));
        std::fs::write(&path, "x").unwrap();
        // Before Linux 5.12 nothing is sure.
        assert_eq!(is_surely_there(&path), is_surely_there(Path::new("/")));
        std::fs::remove_file(&path).unwrap();
        assert!(!is_surely_there(&path));
    }
}
