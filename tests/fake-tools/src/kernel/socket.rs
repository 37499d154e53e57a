//! The socket that programs with the feature `stub-kernel` take for the kernel. Invariant: it listens before anybody
//! is told its name, and one datagram is one call.

use nix::sys::socket::{
    AddressFamily, Backlog, MsgFlags, SockFlag, SockType, UnixAddr, accept4, bind, listen, recv,
    send, socket,
};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;

/// A listening socket.
pub(super) fn listener(path: &Path) -> OwnedFd {
    let fd =
        socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None).unwrap();
    bind(fd.as_raw_fd(), &UnixAddr::new(path).unwrap()).unwrap();
    listen(&fd, Backlog::MAXCONN).unwrap();
    fd
}

/// The next who dials.
#[allow(unsafe_code, reason = "nix hands an accepted socket out as a number")]
pub(super) fn next(listener: &OwnedFd) -> Option<OwnedFd> {
    let fd = accept4(listener.as_raw_fd(), SockFlag::SOCK_CLOEXEC).ok()?;
    // SAFETY: the number is new and nobody else's.
    Some(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The next request; none at the end.
pub(super) fn request(fd: &OwnedFd) -> Option<Vec<u8>> {
    let mut buffer = vec![0; 4096];
    let length = recv(fd.as_raw_fd(), &mut buffer, MsgFlags::empty()).ok()?;
    buffer.truncate(length);
    (length > 0).then_some(buffer)
}

/// Sends a datagram; false where nobody is there any more.
pub(super) fn tell(fd: &OwnedFd, datagram: &[u8]) -> bool {
    send(fd.as_raw_fd(), datagram, MsgFlags::MSG_NOSIGNAL).is_ok()
}

/// The same without waiting for room; false also where there is none.
pub(super) fn announce(fd: &OwnedFd, datagram: &[u8]) -> bool {
    let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
    send(fd.as_raw_fd(), datagram, flags).is_ok()
}

/// Ends the connection, whoever else holds it.
pub(super) fn hang_up(fd: &OwnedFd) {
    let _ = nix::sys::socket::shutdown(fd.as_raw_fd(), nix::sys::socket::Shutdown::Both);
}
