//! libqb's other transport, datagram sockets, for a Pacemaker with `PCMK_ipc_type=socket`. Invariant: what comes is no longer than
//! what was offered; the file in which both sides count is only ever seen as words.
//!
//! Seen with libqb 2.0.6: three pairs of words, for requests, responses and events: how many are under way, and whether the
//! reader wants none now.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::Path,
    sync::atomic::Ordering,
};

use nix::{
    errno::Errno,
    sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, bind, connect, recv, send, socket},
};

use crate::{
    Error, Inbox, Mapping,
    handshake::{Offer, signed},
    ring::RingError,
    socket::abstract_address,
};

/// The file with both sides' counts.
const CONTROL: usize = 24;
const REQUESTS: usize = 0;
const REQUESTS_HELD: usize = 1;
const RESPONSES: usize = 2;
const EVENTS: usize = 4;

/// The sockets of a connection.
#[derive(Debug)]
pub(crate) struct Datagrams {
    control: Mapping,
    request: OwnedFd,
    event: OwnedFd,
}

impl Datagrams {
    /// Those of this offer.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(crate) fn open(name: &str, offer: &Offer, owners: &[u32]) -> Result<Datagrams, Error> {
        let control = Mapping::open(Path::new(&offer.request), owners, (CONTROL, CONTROL))
            .map_err(|source| Error::io(name, "map the control file", source))?;
        let open = |ours: &str, theirs: &str| {
            pair(&offer.response, ours, theirs)
                .map_err(|errno| Error::io(name, "connect to a datagram socket", errno))
        };
        let (request, event) = (open("response", "request")?, open("event", "event-tx")?);
        Ok(Datagrams { control, request, event })
    }

    /// Sends a message, if it can be sent now.
    ///
    /// # Errors
    /// [`RingError::Full`] if not; any other one of the system's.
    pub(crate) fn put(&self, bytes: &[u8]) -> Result<Result<(), RingError>, io::Error> {
        let count = self.control.words();
        if signed(count[REQUESTS_HELD].load(Ordering::Acquire)) > 0 {
            return Ok(Err(RingError::Full { bytes: bytes.len() }));
        }
        let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
        match send(self.request.as_raw_fd(), bytes, flags) {
            Ok(_) => {
                count[REQUESTS].fetch_add(1, Ordering::AcqRel);
                Ok(Ok(()))
            }
            Err(Errno::EAGAIN | Errno::ENOBUFS | Errno::EINTR) => {
                Ok(Err(RingError::Full { bytes: bytes.len() }))
            }
            Err(other) => Err(other.into()),
        }
    }

    /// The next message, if there is one.
    ///
    /// # Errors
    /// Any one of the system's; that it is longer than `limit`.
    pub(crate) fn take(&self, inbox: Inbox, limit: usize) -> io::Result<Option<Vec<u8>>> {
        let mut bytes = vec![0; limit + 1];
        let count = match inbox {
            Inbox::Events => EVENTS,
            Inbox::Responses => RESPONSES,
        };
        match recv(self.inbox(inbox).as_raw_fd(), &mut bytes, MsgFlags::MSG_DONTWAIT) {
            Ok(length) if length > limit => Err(io::Error::other("a message that is too long")),
            Ok(length) => {
                self.control.words()[count].fetch_sub(1, Ordering::AcqRel);
                bytes.truncate(length);
                Ok(Some(bytes))
            }
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(None),
            Err(other) => Err(other.into()),
        }
    }

    /// Readable when there is a message. A response comes where the request went.
    pub(crate) fn inbox(&self, inbox: Inbox) -> BorrowedFd<'_> {
        match inbox {
            Inbox::Events => self.event.as_fd(),
            Inbox::Responses => self.request.as_fd(),
        }
    }
}

/// A socket that is called after one end, and connected to the other.
fn pair(base: &str, ours: &str, theirs: &str) -> Result<OwnedFd, Errno> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Unix, SockType::Datagram, flags, None)?;
    bind(fd.as_raw_fd(), &abstract_address(&format!("{base}-{ours}"))?)?;
    connect(fd.as_raw_fd(), &abstract_address(&format!("{base}-{theirs}"))?)?;
    Ok(fd)
}
