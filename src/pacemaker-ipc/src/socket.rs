//! Finding and reaching a daemon's socket without ever blocking, and making sure that it is Pacemaker's. Invariant: an
//! abstract name can be taken by any user of this machine, so only Pacemaker's own users are listened to.
#![allow(clippy::disallowed_methods, reason = "this is the I/O half of the crate")]

use std::{
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::fs::MetadataExt,
    },
    path::{Path, PathBuf},
    time::Duration,
};

use duet_host::clock;
use duet_ocf::Deadline;
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{
        AddressFamily, SockFlag, SockType, UnixAddr, connect, getsockopt, socket, sockopt,
    },
};

use crate::Error;

/// Where libqb looks whether it is to use files.
const FORCE: &str = "etc/libqb/force-filesystem-sockets";
/// Where they are then.
const DIRECTORY: &str = "var/run";
/// Belongs to the user as whom the CIB's and the controller's daemons run.
const CIB_DIRECTORY: &str = "var/lib/pacemaker/cib";
/// libqb fills an abstract name with zeros up to this length.
const ABSTRACT: usize = 107;
/// How long to wait where a daemon's queue is full.
const PAUSE: Duration = Duration::from_millis(20);

/// Where this machine's daemons listen, and as whom they run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sockets {
    directory: Option<PathBuf>,
    users: Vec<u32>,
}

impl Sockets {
    /// Of the machine whose root this is. An abstract name belongs to no root but the machine's own.
    #[must_use]
    pub fn under(root: &Path) -> Sockets {
        let is_forced =
            root != Path::new("/") || std::fs::symlink_metadata(root.join(FORCE)).is_ok();
        let directory = is_forced.then(|| root.join(DIRECTORY));
        let owner = std::fs::metadata(root.join(CIB_DIRECTORY)).map(|it| it.uid());
        Sockets { directory, users: [0].into_iter().chain(owner.ok()).collect() }
    }

    /// The users as whom they may run.
    pub(crate) fn users(&self) -> &[u32] {
        &self.users
    }

    fn address(&self, name: &str) -> Result<UnixAddr, Errno> {
        match &self.directory {
            Some(directory) => UnixAddr::new(&directory.join(name)),
            None => abstract_address(name),
        }
    }

    /// Connects to a service.
    pub(crate) fn dial(&self, name: &str, deadline: Deadline) -> Result<OwnedFd, Error> {
        let io = |errno: Errno| Error::io(name, "connect to the socket", errno);
        let address = self.address(name).map_err(io)?;
        loop {
            let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
            let fd = socket(AddressFamily::Unix, SockType::Stream, flags, None).map_err(io)?;
            match connect(fd.as_raw_fd(), &address) {
                Ok(()) => {
                    self.check(name, &fd)?;
                    return Ok(fd);
                }
                Err(Errno::ENOENT | Errno::ECONNREFUSED) => {
                    return Err(Error::Nobody { name: name.to_owned() });
                }
                // Its queue is full: it does not accept, as when it is stopped.
                Err(Errno::EAGAIN) => pause(name, PAUSE, deadline)?,
                Err(Errno::EINTR) => {}
                Err(other) => return Err(io(other)),
            }
        }
    }

    /// Whether it is Pacemaker that listens: whoever did when the connection was made.
    fn check(&self, name: &str, fd: &OwnedFd) -> Result<(), Error> {
        let peer = getsockopt(fd, sockopt::PeerCredentials)
            .map_err(|errno| Error::io(name, "see who listens on the socket", errno))?;
        let uid = peer.uid();
        match self.users.contains(&uid) {
            true => Ok(()),
            false => Err(Error::Untrusted { name: name.to_owned(), uid }),
        }
    }
}

/// A name in libqb's form.
pub(crate) fn abstract_address(name: &str) -> Result<UnixAddr, Errno> {
    let mut padded = name.as_bytes().to_vec();
    if padded.len() >= ABSTRACT {
        return Err(Errno::ENAMETOOLONG);
    }
    padded.resize(ABSTRACT, 0);
    UnixAddr::new_abstract(&padded)
}

/// Waits a little where nothing can be waited for.
pub(crate) fn pause(name: &str, span: Duration, deadline: Deadline) -> Result<(), Error> {
    let left = deadline.remaining(clock::now());
    if left.is_zero() {
        return Err(Error::Deadline { name: name.to_owned() });
    }
    let _ = poll(&mut [], timeout(span.min(left)));
    Ok(())
}

/// In whole milliseconds, rounded up, so that the last fraction is slept and not spun through.
fn timeout(span: Duration) -> PollTimeout {
    PollTimeout::try_from(span + Duration::from_micros(999)).unwrap_or(PollTimeout::MAX)
}

/// Waits until one of these is ready for `what`, or the other end has gone, and says which are.
pub(crate) fn ready(
    name: &str,
    fds: &[BorrowedFd<'_>],
    what: PollFlags,
    deadline: Deadline,
) -> Result<Vec<bool>, Error> {
    loop {
        let left = deadline.remaining(clock::now());
        if left.is_zero() {
            return Err(Error::Deadline { name: name.to_owned() });
        }
        let mut asked: Vec<PollFd<'_>> =
            fds.iter().map(|fd| PollFd::new(fd.as_fd(), what)).collect();
        match poll(&mut asked, timeout(left)) {
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return Ok(asked.iter().map(|one| one.any().unwrap_or(true)).collect()),
            Err(errno) => return Err(Error::io(name, "wait for the socket", errno)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn abstract_names_are_filled_up_as_libqb_does() {
        let address = abstract_address("cib_rw").unwrap();
        let name = address.as_abstract().unwrap();
        assert_eq!((name.len(), name.trim_ascii_end()), (107, name));
        assert!(name.starts_with(b"cib_rw\0"));
        assert!(abstract_address(&"x".repeat(107)).is_err());
    }

    #[test]
    fn another_root_has_no_abstract_names() {
        let root = tempfile::tempdir().unwrap();
        let sockets = Sockets::under(root.path());
        assert_eq!(sockets.directory, Some(root.path().join("var/run")));
        let deadline = clock::within(Duration::from_secs(10));
        assert!(matches!(sockets.dial("cib_rw", deadline), Err(Error::Nobody { .. })));
    }

    #[test]
    fn a_stranger_is_not_listened_to() {
        let root = tempfile::tempdir().unwrap();
        let sockets = Sockets { directory: Some(root.path().into()), users: vec![u32::MAX] };
        let _listener = std::os::unix::net::UnixListener::bind(root.path().join("cib_rw")).unwrap();
        let deadline = clock::within(Duration::from_secs(10));
        let refused = sockets.dial("cib_rw", deadline);
        assert!(matches!(refused, Err(Error::Untrusted { .. })), "{refused:?}");
    }
}
