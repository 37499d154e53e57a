//! Finding and reaching libvirt's socket without ever blocking. Invariant: only "nobody listens" leads to
//! the next socket; a daemon that is there but silent is never passed over for another one.

use std::{
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::{Path, PathBuf},
    time::Duration,
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket},
};

use crate::{call::Procedure, client::Deadline, error::Error};

/// Where libvirt's daemons keep their sockets.
pub const SOCKET_DIR: &str = "/run/libvirt";

/// A local hypervisor driver, by the daemon that has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Driver {
    /// `qemu:///system`
    Qemu,
    /// `lxc:///` and `lxc:///system`
    Lxc,
    /// `xen:///` and `xen:///system`
    Xen,
    /// `test:///default`: guests of libvirt's own invention
    Test,
}

impl Driver {
    /// The driver behind a local system URI; none for anything remote, per-user or with options,
    /// which this client does not do.
    #[must_use]
    pub fn from_uri(uri: &str) -> Option<Self> {
        match uri {
            "qemu:///system" => Some(Self::Qemu),
            "lxc:///" | "lxc:///system" => Some(Self::Lxc),
            "xen:///" | "xen:///system" => Some(Self::Xen),
            _ => None,
        }
    }

    /// The same, and the test driver, which libvirt.so has too: there, each process that asks has other guests.
    #[must_use]
    pub fn of_daemon(uri: &str) -> Option<Self> {
        if uri == "test:///default" { Some(Self::Test) } else { Self::from_uri(uri) }
    }

    /// The sockets that may serve it: its own daemon's, then that of the one for all.
    fn sockets(self, directory: &Path) -> Vec<PathBuf> {
        let own = match self {
            Self::Qemu => Some("virtqemud-sock"),
            Self::Lxc => Some("virtlxcd-sock"),
            Self::Xen => Some("virtxend-sock"),
            Self::Test => None,
        };
        own.into_iter().chain(["libvirt-sock"]).map(|name| directory.join(name)).collect()
    }
}

/// Connects to the first socket on which somebody listens.
pub(crate) fn reach(
    driver: Driver,
    directory: &Path,
    deadline: &Deadline,
) -> Result<UnixStream, Error> {
    let sockets = driver.sockets(directory);
    for path in &sockets {
        match dial(path, deadline) {
            Ok(stream) => return Ok(stream),
            Err(Dial::Nobody) => {}
            Err(Dial::Full) => {
                return Err(Error::Deadline {
                    call: Procedure::ConnectOpen,
                    limit: deadline.limit(),
                });
            }
            Err(Dial::Failed(errno)) => {
                return Err(Error::Connect { socket: path.clone(), source: errno.into() });
            }
        }
    }
    Err(Error::NotRunning { sockets })
}

enum Dial {
    Nobody,
    Full,
    Failed(Errno),
}

fn dial(path: &Path, deadline: &Deadline) -> Result<UnixStream, Dial> {
    let address = UnixAddr::new(path).map_err(Dial::Failed)?;
    loop {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let fd: OwnedFd =
            socket(AddressFamily::Unix, SockType::Stream, flags, None).map_err(Dial::Failed)?;
        match connect(fd.as_raw_fd(), &address) {
            Ok(()) => return Ok(UnixStream::from(fd)),
            Err(Errno::ENOENT | Errno::ECONNREFUSED) => return Err(Dial::Nobody),
            // A listener whose queue is full: the daemon does not accept, as when it is stopped.
            Err(Errno::EAGAIN) => {
                let pause = deadline.left().min(Duration::from_millis(20));
                if pause.is_zero() {
                    return Err(Dial::Full);
                }
                let pause = PollTimeout::try_from(pause).unwrap_or(PollTimeout::ZERO);
                let _ = poll(&mut [], pause);
            }
            Err(Errno::EINTR) => {}
            Err(other) => return Err(Dial::Failed(other)),
        }
    }
}

/// Waits until the socket is ready for `what`; false when the deadline came first.
pub(crate) fn ready(
    stream: &UnixStream,
    what: PollFlags,
    deadline: &Deadline,
) -> Result<bool, Errno> {
    loop {
        let left = deadline.left();
        if left.is_zero() {
            return Ok(false);
        }
        // Whole milliseconds rounded up, so that the last fraction is slept and not spun through.
        let left = left + Duration::from_micros(999);
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(stream.as_fd(), what)], timeout) {
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return Ok(true),
            Err(other) => return Err(other),
        }
    }
}
