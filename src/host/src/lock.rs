//! Locks between processes of this machine: a file that one holds at a time. Invariant: nobody waits for one without a
//! deadline, and the kernel lets go of it when its holder ends, however it ends.

use crate::{Error, clock};
use duet_ocf::Deadline;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

/// How often a lock that somebody has is tried.
const POLL: Duration = Duration::from_millis(20);

/// A lock that is held until this is dropped. Children do not inherit it.
#[derive(Debug)]
pub struct Lock {
    file: Flock<File>,
}

impl Lock {
    /// Takes the lock of the file of this name in a directory for locks, which is made where it is missing, and has to be
    /// one that only its owner can write to, and the owner to be root or us: in any other, somebody could put a file
    /// of theirs in the lock's place, and hold it. Of the name, slashes become underscores.
    ///
    /// # Errors
    /// [`Error::Lock`], and [`Error::NotPrivate`].
    pub fn take_in(
        directory: &Path,
        name: &str,
        deadline: Deadline,
    ) -> Result<Option<Lock>, Error> {
        let path = directory.join(name.replace('/', "_"));
        let failed = |source| Error::Lock { path: path.clone(), source };
        std::fs::DirBuilder::new().recursive(true).mode(0o755).create(directory).map_err(failed)?;
        let about = std::fs::symlink_metadata(directory).map_err(failed)?;
        let is_ours = about.uid() == 0 || about.uid() == nix::unistd::geteuid().as_raw();
        if !about.is_dir() || !is_ours || about.mode() & 0o022 != 0 {
            return Err(Error::NotPrivate { path: directory.to_owned() });
        }
        Lock::take(&path, deadline)
    }

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
                Ok(file) => return Ok(Some(Lock { file })),
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

impl AsFd for Lock {
    /// The open file that is locked.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
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
    fn a_directory_that_others_can_write_to_is_no_place_for_a_lock() {
        use std::os::unix::fs::PermissionsExt;
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("run/locks");
        let take = |directory: &Path| {
            Lock::take_in(directory, "a/../b", clock::within(Duration::ZERO)).map(drop)
        };
        assert!(take(&directory).is_ok());
        assert!(directory.join("a_.._b").is_file());
        std::os::unix::fs::symlink(&directory, root.path().join("link")).unwrap();
        assert!(matches!(take(&root.path().join("link")), Err(Error::NotPrivate { .. })));
        std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(take(&directory), Err(Error::NotPrivate { .. })));
        std::fs::write(root.path().join("file"), "").unwrap();
        assert!(take(&root.path().join("file")).is_err());
    }

    #[test]
    fn a_link_is_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        std::os::unix::fs::symlink(directory.path().join("other"), &path).unwrap();
        assert!(Lock::take(&path, clock::within(Duration::ZERO)).is_err());
    }
}
