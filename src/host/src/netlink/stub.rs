//! A test's process in place of the kernel: a Unix socket of type SEQPACKET, named by the environment. Invariant: this
//! file is not part of a program that is built without the feature `stub-kernel`, which no program is.

use duet_drbd::netlink::Writer;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect as dial, socket};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Names the socket.
const KERNEL: &str = "DUET_STUB_KERNEL";
/// Names the directory that stands for `/` where files of the kernel are read.
const ROOT: &str = "DUET_STUB_ROOT";
/// The type of the message that stands for joining a group, which is no message on a real socket.
const JOIN: u16 = 0x7fff;

/// A connection to the test's kernel, if there is one.
pub(super) fn connect() -> io::Result<Option<OwnedFd>> {
    let Some(path) = std::env::var_os(KERNEL) else { return Ok(None) };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)?;
    dial(fd.as_raw_fd(), &UnixAddr::new(Path::new(&path))?)?;
    Ok(Some(fd))
}

/// What says that this connection is to get what goes to the group.
pub(super) fn joining(group: u32) -> Vec<u8> {
    Writer::new(JOIN, 0, 0).word(group).finish()
}

/// The directory that stands for `/`, if there is one.
pub(crate) fn root() -> Option<PathBuf> {
    std::env::var_os(ROOT).map(PathBuf::from)
}
