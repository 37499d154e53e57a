//! A connection to a daemon: the handshake, and then texts to and fro. Invariant: what may have reached the daemon is never said
//! not to have been sent, and every wait ends at the caller's deadline.

use std::{io, os::fd::OwnedFd, path::Path};

use duet_host::clock;
use duet_ocf::Deadline;
use nix::{
    errno::Errno,
    poll::PollFlags,
    sys::socket::{MsgFlags, Shutdown, recv, send, shutdown},
};
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use crate::{
    Error, Sockets,
    assemble::Assembly,
    datagram::Datagrams,
    handshake::{self, HandshakeError, Offer, RESPONSE, Transport},
    header::encode,
    mapping::{self, Mapping},
    ring::{Ring, RingError},
    socket::{pause, ready},
};

/// How long to wait where the daemon wants no requests, or has not read those before.
const PAUSE: Duration = Duration::from_millis(2);
/// A ring is longer than the largest message by less than this, whatever the size of a page.
const ROUNDING: usize = 256 * 1024;

/// A connection.
#[derive(Debug)]
pub struct Connection {
    name: String,
    socket: OwnedFd,
    largest: usize,
    channel: Channel,
    inbox: Inbox,
    id: u32,
    assembly: Assembly,
}

/// What a daemon answers by, when it is not told: each always by the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inbox {
    /// As it tells of what happens (the CIB's daemon and the controller).
    Events,
    /// One to each request, in their order (the attribute daemon).
    Responses,
}

/// How messages go to and fro.
#[derive(Debug)]
enum Channel {
    Rings { request: Shared, inbox: Shared },
    Datagrams(Datagrams),
}

/// One ring in shared memory.
#[derive(Debug)]
struct Shared {
    header: Mapping,
    data: Mapping,
}

impl Shared {
    fn open(name: &str, path: &str, owners: &[u32], largest: usize) -> Result<Shared, Error> {
        let open = |end: &str, bounds| {
            Mapping::open(Path::new(&format!("{path}-{end}")), owners, bounds)
                .map_err(|source| Error::io(name, "map a ring", source))
        };
        let header = open("header", (mapping::HEADER, 64 * 1024))?;
        let data = open("data", (largest, largest + ROUNDING))?;
        let shared = Shared { header, data };
        shared.ring().map_err(|why| Error::unknown(name, why.to_string()))?;
        Ok(shared)
    }

    fn ring(&self) -> Result<Ring<'_>, RingError> {
        Ring::of(self.header.words(), self.data.words())
    }

    fn put(&self, bytes: &[u8]) -> Result<(), RingError> {
        if self.header.is_held() {
            return Err(RingError::Full { bytes: bytes.len() });
        }
        self.ring()?.put(bytes, self.header.is_read())
    }
}

impl Connection {
    /// Connects to a service, whose answers come there.
    ///
    /// # Errors
    /// Any [`Error`].
    pub fn open(
        sockets: &Sockets,
        name: &str,
        inbox: Inbox,
        deadline: Deadline,
    ) -> Result<Connection, Error> {
        let socket = sockets.dial(name, deadline)?;
        shout(name, &socket, &handshake::request())?;
        let answer = listen(name, &socket, RESPONSE, deadline)?;
        let offer = Offer::parse(&answer).map_err(|why| match why {
            HandshakeError::Refused(errno) => Error::Refused { name: name.to_owned(), errno },
            HandshakeError::Unknown(what) => Error::unknown(name, what),
        })?;
        let largest = offer.largest as usize;
        // The files belong to the daemon, or, where it is root, to whom it gave them: this process.
        let me = nix::unistd::geteuid().as_raw();
        let owners: Vec<u32> = sockets.users().iter().copied().chain([me]).collect();
        let open = |path: &str| Shared::open(name, path, &owners, largest);
        let channel = match offer.transport {
            Transport::SharedMemory => {
                let from = match inbox {
                    Inbox::Events => &offer.event,
                    Inbox::Responses => &offer.response,
                };
                Channel::Rings { request: open(&offer.request)?, inbox: open(from)? }
            }
            Transport::Socket => Channel::Datagrams(Datagrams::open(name, &offer, &owners)?),
        };
        let (name, assembly) = (name.to_owned(), Assembly::default());
        Ok(Connection { name, socket, largest, channel, inbox, id: 0, assembly })
    }

    /// Of which service.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Sends a text. After an error it has not been sent; without one it may have been, and what comes of it, [`receive`]
    /// tells.
    ///
    /// # Errors
    /// Any [`Error`].
    ///
    /// [`receive`]: Connection::receive
    pub fn send(&mut self, text: &str, deadline: Deadline) -> Result<(), Error> {
        self.id += 1;
        let bytes = encode(self.id, text);
        if bytes.len() >= self.largest {
            return Err(Error::unknown(&self.name, "no request of this length"));
        }
        loop {
            let is_put = match &self.channel {
                Channel::Rings { request, .. } => request.put(&bytes),
                Channel::Datagrams(datagrams) => datagrams
                    .put(&bytes)
                    .map_err(|why| Error::io(&self.name, "write to the datagram socket", why))?,
            };
            match is_put {
                Ok(()) => break,
                Err(RingError::Full { .. }) => pause(&self.name, PAUSE, deadline)?,
                Err(why) => return Err(self.unknown(&why)),
            }
        }
        if let Channel::Rings { request, .. } = &self.channel {
            // From here on the daemon may find it, whatever fails; then the connection is no good, and hearing says so.
            let is_told =
                request.header.post().is_ok() && shout(&self.name, &self.socket, &[1]).is_ok();
            if !is_told {
                let _ = shutdown(self.socket.as_raw_fd(), Shutdown::Both);
            }
        }
        Ok(())
    }

    /// The next text that the daemon sends.
    ///
    /// # Errors
    /// Any [`Error`].
    pub fn receive(&mut self, deadline: Deadline) -> Result<String, Error> {
        loop {
            // Who always has something to say, and never what was asked for, is not listened to for longer either.
            if deadline.remaining(clock::now()).is_zero() {
                return Err(Error::Deadline { name: self.name.clone() });
            }
            let Some(message) = self.take(deadline)? else { continue };
            let text = self.assembly.add(&message);
            if let Some(text) = text.map_err(|what| Error::unknown(&self.name, what))? {
                return Ok(text);
            }
        }
    }

    /// Waits for something, and takes it if it is a message.
    fn take(&self, deadline: Deadline) -> Result<Option<Vec<u8>>, Error> {
        match &self.channel {
            Channel::Rings { inbox, .. } => {
                if self.inbox == Inbox::Events {
                    // One byte on the socket for each event in the ring.
                    listen(&self.name, &self.socket, 1, deadline)?;
                }
                let ring = inbox.ring().map_err(|why| self.unknown(&why))?;
                let taken = ring.take(self.largest).map_err(|why| self.unknown(&why))?;
                if taken.is_some() {
                    // Who writes into it tells by the count whether it is empty.
                    inbox.header.count_down();
                } else if self.inbox == Inbox::Responses {
                    // Of a response the socket says nothing, but that the daemon has gone.
                    self.look(PAUSE, deadline)?;
                }
                Ok(taken)
            }
            Channel::Datagrams(datagrams) => {
                let both = [datagrams.inbox(self.inbox), self.socket.as_fd()];
                let ready = ready(&self.name, &both, PollFlags::POLLIN, deadline)?;
                if ready[0] {
                    let io = |why| Error::io(&self.name, "read from the datagram socket", why);
                    return datagrams.take(self.inbox, self.largest).map_err(io);
                }
                // Nothing ever comes there but the end.
                listen(&self.name, &self.socket, 1, deadline).map(|_| None)
            }
        }
    }

    /// Waits so long, and hears whether the daemon has gone meanwhile; a byte that tells of an event is nobody's.
    fn look(&self, span: Duration, deadline: Deadline) -> Result<(), Error> {
        let soon = deadline.within(clock::now(), span);
        match listen(&self.name, &self.socket, 1, soon) {
            Err(Error::Deadline { .. }) if !deadline.remaining(clock::now()).is_zero() => Ok(()),
            other => other.map(drop),
        }
    }

    fn unknown(&self, why: &RingError) -> Error {
        Error::unknown(&self.name, why.to_string())
    }
}

/// Sends these few bytes, for which a socket has room.
fn shout(name: &str, socket: &OwnedFd, bytes: &[u8]) -> Result<(), Error> {
    let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
    loop {
        match send(socket.as_raw_fd(), bytes, flags) {
            Ok(sent) if sent == bytes.len() => return Ok(()),
            Ok(_) => return Err(Error::io(name, "write to the socket", io::ErrorKind::WriteZero)),
            Err(Errno::EINTR) => {}
            Err(Errno::EPIPE | Errno::ECONNRESET) => {
                return Err(Error::Closed { name: name.to_owned() });
            }
            Err(errno) => return Err(Error::io(name, "write to the socket", errno)),
        }
    }
}

/// Receives exactly so many bytes.
fn listen(
    name: &str,
    socket: &OwnedFd,
    length: usize,
    deadline: Deadline,
) -> Result<Vec<u8>, Error> {
    let mut bytes = vec![0; length];
    let mut known = 0;
    while known < length {
        match recv(socket.as_raw_fd(), &mut bytes[known..], MsgFlags::MSG_DONTWAIT) {
            Ok(0) | Err(Errno::ECONNRESET) => return Err(Error::Closed { name: name.to_owned() }),
            Ok(more) => known += more,
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => {
                ready(name, &[socket.as_fd()], PollFlags::POLLIN, deadline)?;
            }
            Err(errno) => return Err(Error::io(name, "read from the socket", errno)),
        }
    }
    Ok(bytes)
}
