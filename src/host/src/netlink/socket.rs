//! A generic netlink socket on which nothing waits without a deadline. Invariant: what does not come from the kernel,
//! or does not fit the buffer, is never handed on as a message.

use crate::clock;
use duet_ocf::Deadline;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, SockaddrStorage, bind,
    recvmsg, send, setsockopt, socket, sockopt,
};
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// Bytes for one datagram; the kernel makes those of a dump at most half of it.
pub(super) const BUFFER: usize = 64 * 1024;
/// Bytes that may wait for us in the kernel: a burst of changes of a hundred resources.
const WAITING: usize = 4 * 1024 * 1024;

/// The socket.
#[derive(Debug)]
pub(super) struct Socket {
    fd: OwnedFd,
    /// Whether the other end is a test's.
    #[cfg(feature = "stub-kernel")]
    is_stub: bool,
}

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// A datagram of this many bytes.
    Datagram(usize),
    /// Nothing that is for us, for now.
    Nothing,
    /// Something was lost: our buffer in the kernel was full.
    Lost,
}

impl Socket {
    /// A socket of our own, that nobody else listens to.
    pub(super) fn open() -> io::Result<Socket> {
        #[cfg(feature = "stub-kernel")]
        if let Some(fd) = super::stub::connect()? {
            return Ok(Socket { fd, is_stub: true });
        }
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let protocol = SockProtocol::NetlinkGeneric;
        let fd = socket(AddressFamily::Netlink, SockType::Raw, flags, protocol)?;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
        Ok(Socket {
            fd,
            #[cfg(feature = "stub-kernel")]
            is_stub: false,
        })
    }

    /// Makes room for a burst; as much as we may.
    pub(super) fn enlarge(&self) {
        if setsockopt(&self.fd, sockopt::RcvBufForce, &WAITING).is_err() {
            let _ = setsockopt(&self.fd, sockopt::RcvBuf, &WAITING);
        }
    }

    /// Joins a multicast group.
    #[allow(unsafe_code, reason = "nix has no way to join a group of netlink by its number")]
    pub(super) fn join(&self, group: u32) -> io::Result<()> {
        use nix::libc::{NETLINK_ADD_MEMBERSHIP, SOL_NETLINK, setsockopt};
        #[cfg(feature = "stub-kernel")]
        if self.is_stub {
            return super::stub::join(self, group);
        }
        let length = nix::libc::socklen_t::try_from(size_of_val(&group)).unwrap_or(0);
        // SAFETY: the pointer is to a number of as many bytes as is said, which outlives the call.
        let done = unsafe {
            setsockopt(
                self.fd.as_raw_fd(),
                SOL_NETLINK,
                NETLINK_ADD_MEMBERSHIP,
                (&raw const group).cast(),
                length,
            )
        };
        Errno::result(done).map(|_| ()).map_err(io::Error::from)
    }

    /// Sends one request. The kernel works on it meanwhile: the one call here that is as long as the module takes.
    pub(super) fn send(&self, request: &[u8]) -> io::Result<()> {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        let sent = retried(|| send(self.fd.as_raw_fd(), request, flags))?;
        if sent == request.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }

    /// The next datagram, if there is one already.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> io::Result<Received> {
        let received = retried(|| {
            let mut places = [IoSliceMut::new(buffer)];
            let flags = MsgFlags::MSG_DONTWAIT;
            recvmsg::<SockaddrStorage>(self.fd.as_raw_fd(), &mut places, None, flags)
                .map(|message| (message.bytes, message.flags, message.address))
        });
        let (length, flags, sender) = match received {
            Ok(received) => received,
            Err(Errno::EAGAIN) => return Ok(Received::Nothing),
            Err(Errno::ENOBUFS) => return Ok(Received::Lost),
            Err(errno) => return Err(errno.into()),
        };
        if !self.is_kernel(sender) {
            return Ok(Received::Nothing);
        }
        if flags.contains(MsgFlags::MSG_TRUNC) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a datagram is too long"));
        }
        Ok(if length == 0 { Received::Lost } else { Received::Datagram(length) })
    }

    /// Others may send to a netlink socket as well; the kernel is number 0.
    fn is_kernel(&self, sender: Option<SockaddrStorage>) -> bool {
        #[cfg(feature = "stub-kernel")]
        if self.is_stub {
            return true;
        }
        sender
            .as_ref()
            .and_then(SockaddrStorage::as_netlink_addr)
            .is_some_and(|from| from.pid() == 0)
    }

    /// Whether there is something, without waiting.
    pub(super) fn has_something(&self) -> io::Result<bool> {
        loop {
            match poll(&mut [PollFd::new(self.fd.as_fd(), PollFlags::POLLIN)], PollTimeout::ZERO) {
                Ok(ready) => return Ok(ready > 0),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Waits until there is something; false when the deadline came first.
    pub(super) fn wait(&self, deadline: Deadline) -> io::Result<bool> {
        loop {
            let left = deadline.remaining(clock::now());
            if left.is_zero() {
                return Ok(false);
            }
            // Whole milliseconds rounded up, so that the last fraction is slept and not spun through.
            let left = left.saturating_add(Duration::from_micros(999));
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            match poll(&mut [PollFd::new(self.fd.as_fd(), PollFlags::POLLIN)], timeout) {
                Ok(0) | Err(Errno::EINTR) => {}
                Ok(_) => return Ok(true),
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Again where a signal came.
fn retried<T>(mut call: impl FnMut() -> nix::Result<T>) -> nix::Result<T> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            done => return done,
        }
    }
}
