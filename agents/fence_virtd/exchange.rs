//! One exchange with a peer over a stream: connecting back or being connected to, the request, the proofs, the answer. Invariant: each
//! stage has a deadline of its own, and no peer is waited for anywhere but in poll.

use std::{
    io,
    net::SocketAddr,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use duet_xvm::{
    Outstanding, Source,
    exchange::{Server, Want},
};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags},
    sys::socket::{
        AddressFamily, MsgFlags, SockFlag, SockType, SockaddrStorage, connect, getsockopt, recv,
        send, socket, sockopt,
    },
};

use crate::{policy::Policy, verdict::Asked};

/// How long calling back may take.
pub(crate) const CONNECTING: Duration = Duration::from_secs(5);
/// How long the request of a peer that has connected may take; stock's daemon gives it 1 s and serves nobody else meanwhile.
pub(crate) const REQUESTING: Duration = Duration::from_secs(5);
/// How long all the proving may take.
pub(crate) const PROVING: Duration = Duration::from_secs(10);
/// How long taking the answer may take.
const ANSWERING: Duration = Duration::from_secs(10);

/// How far it is.
#[derive(Debug)]
pub(crate) enum Stage {
    /// We call back.
    Connecting,
    /// The peer says what it wants.
    Requesting,
    /// Both prove that they have the key.
    Proving(Box<Server>),
    /// It is being carried out.
    Working,
    /// The answer goes out.
    Answering,
}

/// An exchange.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) peer: Source,
    /// By which rules.
    pub(crate) policy: Arc<Policy>,
    pub(crate) stage: Stage,
    pub(crate) asked: Option<Asked>,
    pub(crate) began: Duration,
    /// When this stage has taken too long.
    pub(crate) deadline: Duration,
    pub(crate) stream: Arc<OwnedFd>,
    pub(crate) has_gone: Arc<AtomicBool>,
    buffer: Vec<u8>,
    written: usize,
}

/// What has come of a turn.
#[derive(Debug)]
pub(crate) enum Turn {
    /// More has to come or go.
    Waits,
    /// The whole first request is here.
    Requested(Vec<u8>),
    /// The peer has proved that it has the key.
    Proved,
    /// The answer is out.
    Answered,
    /// It is over.
    Failed(String),
}

/// To be told when the other end is closed, or will send no more: nix has no name for it.
pub(crate) fn hang_up() -> PollFlags {
    PollFlags::from_bits_retain(nix::libc::POLLRDHUP)
}

/// What has happened to a descriptor. Bits that nix has no name for are the one above.
pub(crate) fn events(fd: &PollFd<'_>) -> PollFlags {
    fd.revents().unwrap_or(PollFlags::POLLHUP)
}

/// Begins to call back.
///
/// # Errors
/// It cannot be, at once.
pub(crate) fn call_back(to: SocketAddr) -> io::Result<OwnedFd> {
    let family = if to.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let stream = socket(family, SockType::Stream, flags, None)?;
    match connect(stream.as_raw_fd(), &SockaddrStorage::from(to)) {
        Ok(()) | Err(Errno::EINPROGRESS | Errno::EINTR) => Ok(stream),
        Err(errno) => Err(errno.into()),
    }
}

impl Exchange {
    pub(crate) fn new(
        stream: OwnedFd,
        peer: Source,
        policy: Arc<Policy>,
        asked: Option<Asked>,
        now: Duration,
    ) -> Exchange {
        let (stage, limit) = match asked {
            Some(_) => (Stage::Connecting, CONNECTING),
            None => (Stage::Requesting, REQUESTING),
        };
        Exchange {
            peer,
            policy,
            stage,
            asked,
            began: now,
            deadline: now + limit,
            stream: Arc::new(stream),
            has_gone: Arc::default(),
            buffer: Vec::new(),
            written: 0,
        }
    }

    /// Whether the peer need not prove anything any more.
    pub(crate) fn is_proven(&self) -> bool {
        match self.stage {
            Stage::Connecting | Stage::Requesting | Stage::Proving(_) => false,
            Stage::Working | Stage::Answering => true,
        }
    }

    /// What to wait for.
    pub(crate) fn events(&self) -> PollFlags {
        match &self.stage {
            Stage::Connecting | Stage::Answering => PollFlags::POLLOUT,
            Stage::Requesting => PollFlags::POLLIN,
            Stage::Proving(server) => match server.wants() {
                Want::Write(_) => PollFlags::POLLOUT,
                Want::Read(_) | Want::Finished => PollFlags::POLLIN,
            },
            // A peer that says more than it has to is not listened to; one that hangs up is noticed.
            Stage::Working => hang_up(),
        }
    }

    /// Goes on to proving, with a challenge that nobody has seen.
    pub(crate) fn prove(&mut self, server: Server, now: Duration) {
        self.buffer.clear();
        self.written = 0;
        self.deadline = now + PROVING;
        self.stage = Stage::Proving(Box::new(server));
    }

    /// Goes on to answering.
    pub(crate) fn answer(&mut self, bytes: Vec<u8>, now: Duration) {
        self.buffer = bytes;
        self.written = 0;
        self.deadline = now + ANSWERING;
        self.stage = Stage::Answering;
    }

    /// Goes on with whatever can be done without waiting.
    pub(crate) fn turn(&mut self, outstanding: &mut Outstanding) -> Turn {
        match self.turn_until_error(outstanding) {
            Ok(turn) => turn,
            Err(why) => Turn::Failed(why),
        }
    }

    fn turn_until_error(&mut self, outstanding: &mut Outstanding) -> Result<Turn, String> {
        loop {
            match &mut self.stage {
                Stage::Connecting => {
                    let failed = getsockopt(&*self.stream, sockopt::SocketError)
                        .map_err(|errno| errno.to_string())?;
                    return match failed {
                        // The caller goes on to proving; where nothing has to be proved that ends at once.
                        0 => Ok(Turn::Requested(Vec::new())),
                        errno => Err(Errno::from_raw(errno).desc().to_owned()),
                    };
                }
                Stage::Requesting => {
                    return if fill(&self.stream, &mut self.buffer, duet_xvm::REQUEST)? {
                        Ok(Turn::Requested(std::mem::take(&mut self.buffer)))
                    } else {
                        Ok(Turn::Waits)
                    };
                }
                Stage::Proving(server) => match server.wants() {
                    Want::Finished => return Ok(Turn::Proved),
                    Want::Write(bytes) => {
                        if !drain(&self.stream, bytes, &mut self.written)? {
                            return Ok(Turn::Waits);
                        }
                        self.written = 0;
                        server.wrote();
                    }
                    Want::Read(length) => {
                        if !fill(&self.stream, &mut self.buffer, length)? {
                            return Ok(Turn::Waits);
                        }
                        let bytes = std::mem::take(&mut self.buffer);
                        server.read(&bytes, outstanding).map_err(|error| error.to_string())?;
                    }
                },
                Stage::Working => return Ok(Turn::Waits),
                Stage::Answering => {
                    return if drain(&self.stream, &self.buffer, &mut self.written)? {
                        Ok(Turn::Answered)
                    } else {
                        Ok(Turn::Waits)
                    };
                }
            }
        }
    }

    /// Forgets what has to be forgotten when it ends.
    pub(crate) fn close(self, outstanding: &mut Outstanding) {
        if let Stage::Proving(server) = self.stage {
            server.close(outstanding);
        }
    }
}

/// Reads up to `length` bytes in all; true when they are there.
fn fill(stream: &OwnedFd, buffer: &mut Vec<u8>, length: usize) -> Result<bool, String> {
    while buffer.len() < length {
        let have = buffer.len();
        buffer.resize(length, 0);
        let received = recv(stream.as_raw_fd(), &mut buffer[have..], MsgFlags::MSG_DONTWAIT);
        buffer.truncate(have + received.unwrap_or(0));
        match received {
            Ok(0) => return Err("The peer has hung up".to_owned()),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => return Ok(false),
            Err(errno) => return Err(errno.desc().to_owned()),
        }
    }
    Ok(true)
}

/// Writes what is left of `bytes`; true when all is out.
fn drain(stream: &OwnedFd, bytes: &[u8], written: &mut usize) -> Result<bool, String> {
    while *written < bytes.len() {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        match send(stream.as_raw_fd(), &bytes[*written..], flags) {
            Ok(length) => *written += length,
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => return Ok(false),
            Err(errno) => return Err(errno.desc().to_owned()),
        }
    }
    Ok(true)
}

impl AsFd for Exchange {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
