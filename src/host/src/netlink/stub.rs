//! A test's process in place of the kernel: a Unix socket of type SEQPACKET, named by the environment. Invariant: this
//! file is not part of a program that is built without the feature `stub-kernel`, which no program is.

use super::socket::Socket;
use crate::clock;
use duet_drbd::netlink::Writer;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect as dial, socket};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Names the socket.
const KERNEL: &str = "DUET_STUB_KERNEL";
/// Names the directory that stands for `/` where files of the kernel are read.
const ROOT: &str = "DUET_STUB_ROOT";
/// The type of the message that stands for joining a group, which is no message on a real socket.
const JOIN: u16 = 0x7fff;
/// How long the test's kernel may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection to the test's kernel, if there is one.
pub(super) fn connect() -> io::Result<Option<OwnedFd>> {
    let Some(path) = std::env::var_os(KERNEL) else { return Ok(None) };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)?;
    dial(fd.as_raw_fd(), &UnixAddr::new(Path::new(&path))?)?;
    Ok(Some(fd))
}

/// Has this connection get what goes to the group: done when it is acknowledged.
pub(super) fn join(socket: &Socket, group: u32) -> io::Result<()> {
    socket.send(&Writer::new(JOIN, 0, 0).word(group).finish())?;
    if !socket.wait(clock::within(PATIENCE))? {
        return Err(io::ErrorKind::TimedOut.into());
    }
    socket.receive(&mut [0; 64]).map(|_| ())
}

/// The directory that stands for `/`, if there is one.
pub(crate) fn root() -> Option<PathBuf> {
    std::env::var_os(ROOT).map(PathBuf::from)
}
