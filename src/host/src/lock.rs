//! Locks between processes of this machine: a file that one holds at a time. Invariant: nobody waits for one without a
//! deadline, and the kernel lets go of it when its holder ends, however it ends.

use crate::{Error, clock};
use duet_ocf::Deadline;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

/// How often a lock that somebody has is tried.
const POLL: Duration = Duration::from_millis(20);

/// A lock that is held until this is dropped. Children do not inherit it.
#[derive(Debug)]
pub struct Lock {
    _file: Flock<File>,
}

impl Lock {
    /// Takes the lock of this file, which is made where it is missing and stays; `None` where somebody else has it until
    /// the deadline.
    ///
    /// # Errors
    /// [`Error::Lock`].
    pub fn take(path: &Path, deadline: Deadline) -> Result<Option<Lock>, Error> {
        let failed = |source| Error::Lock { path: path.to_owned(), source };
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK)
            .open(path)
            .map_err(failed)?;
        loop {
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(file) => return Ok(Some(Lock { _file: file })),
                Err((again, Errno::EWOULDBLOCK | Errno::EINTR)) => file = again,
                Err((_, errno)) => return Err(failed(io::Error::from(errno))),
            }
            let left = deadline.remaining(clock::now());
            if left.is_zero() {
                return Ok(None);
            }
            std::thread::sleep(POLL.min(left));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_has_it_at_a_time_and_the_other_waits_no_longer_than_its_deadline() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let held = Lock::take(&path, clock::within(Duration::ZERO)).unwrap();
        assert!(held.is_some());
        let began = clock::now();
        let second = Lock::take(&path, clock::within(Duration::from_millis(60))).unwrap();
        assert!(second.is_none());
        assert!(clock::now() - began >= Duration::from_millis(60));
        drop(held);
        assert!(Lock::take(&path, clock::within(Duration::ZERO)).unwrap().is_some());
    }

    #[test]
    fn a_link_is_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        std::os::unix::fs::symlink(directory.path().join("other"), &path).unwrap();
        assert!(Lock::take(&path, clock::within(Duration::ZERO)).is_err());
    }
}
