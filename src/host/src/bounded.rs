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
#[allow(unsafe_code, reason = "fork without exec: the child only reads this file")]
pub fn read(path: &Path, limit: usize, deadline: Deadline) -> Result<Vec<u8>, Error> {
    let failed = |source| Error::Read { path: path.to_owned(), source };
    let began = clock::now();
    let (ours, childs) = pipe2(OFlag::O_CLOEXEC).map_err(|errno| failed(errno.into()))?;
    // SAFETY: programs of this crate have one thread. In a test with more, the C library has its allocator usable
    // in the child, and the child takes no other lock.
    let child = match unsafe { fork() }.map_err(|errno| failed(errno.into()))? {
        ForkResult::Parent { child } => child,
        ForkResult::Child => {
            drop(ours);
            only_keep(childs.as_raw_fd());
            let _ = File::from(childs).write_all(&answer(file::read(path, limit)));
            // SAFETY: ends this process, without anything that is registered for the end of the parent.
            unsafe { nix::libc::_exit(0) }
        }
    };
    drop(childs);
    let mut bytes = Vec::new();
    let is_whole = receive(&mut File::from(ours), &mut bytes, limit, deadline);
    end(child);
    match is_whole {
        Ok(true) => understand(&bytes, path, limit),
        Ok(false) => {
            Err(Error::Stalled { path: path.to_owned(), after: clock::now().saturating_sub(began) })
        }
        Err(source) => Err(failed(source)),
    }
}

/// Like [`read`], for text.
///
/// # Errors
/// Those of [`read`], and [`Error::NotText`].
pub fn read_text(path: &Path, limit: usize, deadline: Deadline) -> Result<String, Error> {
    file::text(read(path, limit, deadline)?, path)
}

/// A child that hangs must hold nobody's pipe or connection open, and end with us.
#[allow(unsafe_code, reason = "neither std nor nix has close_range")]
fn only_keep(pipe: i32) {
    let _ = nix::sys::prctl::set_pdeathsig(Signal::SIGKILL);
    let pipe = u32::try_from(pipe).unwrap_or(0);
    let ranges = [(0, pipe.checked_sub(1)), (pipe.saturating_add(1), Some(u32::MAX))];
    for (from, to) in ranges {
        if let Some(to) = to {
            // SAFETY: closes descriptors that nothing in this child uses; before Linux 5.9 it does nothing.
            unsafe { nix::libc::syscall(nix::libc::SYS_close_range, from, to, 0) };
        }
    }
}

const DONE: u8 = 0;
const FAILED: u8 = 1;
const NOT_A_FILE: u8 = 2;
const TOO_LARGE: u8 = 3;

fn answer(read: Result<Vec<u8>, Error>) -> Vec<u8> {
    match read {
        Ok(mut bytes) => {
            bytes.insert(0, DONE);
            bytes
        }
        Err(Error::NotAFile { .. }) => vec![NOT_A_FILE],
        Err(Error::TooLarge { .. }) => vec![TOO_LARGE],
        Err(error) => {
            let errno = match &error {
                Error::Read { source, .. } => source.raw_os_error(),
                _ => None,
            };
            let errno = errno.unwrap_or(nix::libc::EIO);
            [&[FAILED][..], &errno.to_ne_bytes()].concat()
        }
    }
}

fn understand(bytes: &[u8], path: &Path, limit: usize) -> Result<Vec<u8>, Error> {
    let path = || path.to_owned();
    match bytes.split_first() {
        Some((&DONE, content)) => Ok(content.to_vec()),
        Some((&NOT_A_FILE, _)) => Err(Error::NotAFile { path: path() }),
        Some((&TOO_LARGE, _)) => Err(Error::TooLarge { path: path(), limit }),
        other => {
            let errno = other.and_then(|(_, rest)| Some(i32::from_ne_bytes(rest.try_into().ok()?)));
            let errno = errno.unwrap_or(nix::libc::EIO);
            Err(Error::Read { path: path(), source: io::Error::from_raw_os_error(errno) })
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
            length if bytes.len() + length <= limit + 8 => {
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
