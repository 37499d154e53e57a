//! DRBD's kernel module, asked and listened to over generic netlink, without a child process and without privileges.
//! Invariant: every wait has a deadline, every answer a bound, and a socket on which anything went wrong is dropped.

mod socket;
#[cfg(feature = "stub-kernel")]
pub(crate) mod stub;

use self::socket::{BUFFER, Received, Socket};
use crate::clock;
use duet_drbd::netlink::{
    self as drbd, CONTROL_GROUP, Decoder, Dump, Family, Message, Said, Torn, messages,
};
use duet_drbd::{Change, Object, Version};
use duet_ocf::Deadline;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

/// Bytes that the answer to one question may have: more than 10 000 volumes.
const LIMIT: usize = 16 * 1024 * 1024;
/// How often a dump during which something came or went is asked for.
const ATTEMPTS: u32 = 4;
/// "There is no such family", where there was one a moment ago.
const ENOENT: i32 = nix::libc::ENOENT;
/// Datagrams that are read in one go while more keep coming.
const BATCH: usize = 256;

/// Why the kernel module could not be asked. None of these says anything about DRBD's state.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel has no such family of messages: the module is not loaded, or about to be, or too old (before 8.4).
    #[error("The kernel does not know DRBD's messages")]
    NoFamily,
    /// The module has no group for notifications.
    #[error("DRBD's kernel module has no group of notifications")]
    NoGroup,
    /// The socket failed.
    #[error("Could not ask DRBD's kernel module for {asked}")]
    Socket {
        /// What was wanted.
        asked: &'static str,
        /// Why.
        source: io::Error,
    },
    /// No answer, or no end of it.
    #[error("DRBD's kernel module did not tell {asked} within {:.1} s", after.as_secs_f32())]
    TimedOut {
        /// What was wanted.
        asked: &'static str,
        /// How long it had.
        after: Duration,
    },
    /// An answer that goes on and on.
    #[error("DRBD's kernel module told {asked} in more than {limit} bytes")]
    TooMuch {
        /// What was wanted.
        asked: &'static str,
        /// The limit.
        limit: usize,
    },
    /// It was interrupted by changes each time.
    #[error("DRBD's kernel module changed whenever it was asked for {asked}, {times} times")]
    Restless {
        /// What was wanted.
        asked: &'static str,
        /// How often.
        times: u32,
    },
    /// The answer is a refusal, or not to be understood.
    #[error("DRBD's kernel module did not tell {asked}")]
    Answer {
        /// What was wanted.
        asked: &'static str,
        /// Why.
        source: drbd::Error,
    },
    /// The answers do not fit together.
    #[error("The answers of DRBD's kernel module do not fit together")]
    Torn(#[from] Torn),
}

impl Error {
    /// Whether the module speaks otherwise than we know, or is not there any more: somebody else may know better.
    #[must_use]
    pub fn is_of_language(&self) -> bool {
        use drbd::Error::{Errno, Malformed, Mismatch, Refused};
        match self {
            Error::NoFamily
            | Error::NoGroup
            | Error::Answer { source: Malformed(_) | Mismatch { .. } | Errno(ENOENT), .. } => true,
            Error::Socket { source, .. } => source.kind() == io::ErrorKind::InvalidData,
            Error::Answer { source: Refused(_) | Errno(_), .. }
            | Error::TimedOut { .. }
            | Error::TooMuch { .. }
            | Error::Restless { .. }
            | Error::Torn(_) => false,
        }
    }
}

/// A conversation with the module. It ends with the first error.
#[derive(Debug)]
pub(crate) struct Conversation {
    socket: Socket,
    decoder: Decoder,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Conversation {
    /// Looks the family up, which gets other numbers whenever the module is loaded.
    ///
    /// # Errors
    /// See [`Error`].
    pub(crate) fn begin(version: Version, deadline: Deadline) -> Result<Conversation, Error> {
        const ASKED: &str = "its family of messages";
        let failed = |source| Error::Socket { asked: ASKED, source };
        let answer = |source| Error::Answer { asked: ASKED, source };
        let socket = Socket::open().map_err(failed)?;
        let mut buffer = vec![0; BUFFER];
        let mut family: Option<Option<Family>> = None;
        let sequence = 1;
        socket.send(&drbd::ask_family(sequence)).map_err(failed)?;
        receive(&socket, &mut buffer, ASKED, deadline, |message| {
            if message.sequence != sequence {
                return Err(drbd::Error::Malformed("it answers another question"));
            }
            family = Some(drbd::read_family(message)?);
            Ok(Turn::Stop)
        })?;
        let family = family.flatten().ok_or(Error::NoFamily)?;
        let decoder = Decoder::new(family, version).map_err(answer)?;
        Ok(Conversation { socket, decoder, sequence, buffer })
    }

    /// The answer to a question, whole.
    ///
    /// # Errors
    /// See [`Error`].
    pub(crate) fn ask(&mut self, dump: Dump, deadline: Deadline) -> Result<Vec<Change>, Error> {
        for _ in 0..ATTEMPTS {
            if let Some(changes) = self.ask_once(dump, deadline)? {
                return Ok(changes);
            }
        }
        Err(Error::Restless { asked: asked(dump), times: ATTEMPTS })
    }

    /// `None` where something came or went meanwhile.
    fn ask_once(&mut self, dump: Dump, deadline: Deadline) -> Result<Option<Vec<Change>>, Error> {
        self.sequence += 1;
        let Conversation { socket, decoder, sequence, buffer } = self;
        let request = decoder.ask(dump, *sequence);
        socket.send(&request).map_err(|source| Error::Socket { asked: asked(dump), source })?;
        let mut changes = Vec::new();
        // The initial state has an end of its own, before that of the dump.
        let mut has_ended = dump != Dump::InitialState;
        let mut is_whole = true;
        receive(socket, buffer, asked(dump), deadline, |message| {
            if message.sequence != *sequence {
                return Err(drbd::Error::Malformed("it answers another question"));
            }
            is_whole &= !message.is_interrupted();
            match decoder.answer(dump, message)? {
                Said::Change(change) if change.object == Object::End => has_ended = true,
                Said::Change(change) => changes.push(*change),
                Said::Nothing => {}
                Said::Lost => is_whole = false,
                Said::Done if has_ended => return Ok(Turn::Stop),
                Said::Done => return Err(drbd::Error::Malformed("it ends before its end")),
            }
            Ok(Turn::Go)
        })?;
        Ok(is_whole.then_some(changes))
    }

    /// What changes from now on, on a socket of its own: there numbers of notifications and answers do not mix.
    ///
    /// # Errors
    /// See [`Error`].
    pub(crate) fn subscribe(&self) -> Result<Subscription, Error> {
        const ASKED: &str = "its changes";
        let failed = |source| Error::Socket { asked: ASKED, source };
        let group = self.decoder.family().events_group.ok_or(Error::NoGroup)?;
        let socket = Socket::open().map_err(failed)?;
        socket.enlarge();
        socket.join(group).map_err(failed)?;
        // The kernel takes us out of the group without a word when the module goes; this is the word.
        socket.join(CONTROL_GROUP).map_err(failed)?;
        let decoder = self.decoder.clone();
        Ok(Subscription { socket, decoder, buffer: vec![0; BUFFER], is_lost: false })
    }
}

/// What the kernel tells of families of messages that come and go.
#[derive(Debug)]
pub(crate) struct Families {
    socket: Socket,
    buffer: Vec<u8>,
}

impl Families {
    /// Listens.
    ///
    /// # Errors
    /// [`Error::Socket`].
    pub(crate) fn open() -> Result<Families, Error> {
        let failed = |source| Error::Socket { asked: "its families of messages", source };
        let socket = Socket::open().map_err(failed)?;
        socket.join(CONTROL_GROUP).map_err(failed)?;
        Ok(Families { socket, buffer: vec![0; 4096] })
    }

    /// Whether anything was told since the last call. Which family it was does not matter: one comes or goes so seldom that it is
    /// cheaper to look than to read, and then nothing can be misread.
    ///
    /// # Errors
    /// [`Error::Socket`], also where something was lost: listen anew.
    pub(crate) fn have_changed(&mut self) -> Result<bool, Error> {
        const ASKED: &str = "its families of messages";
        let failed = |source| Error::Socket { asked: ASKED, source };
        let mut something = false;
        for _ in 0..BATCH {
            match self.socket.receive(&mut self.buffer).map_err(failed)? {
                Received::Nothing => break,
                Received::Datagram(_) => something = true,
                Received::Lost => return Err(failed(io::ErrorKind::ConnectionAborted.into())),
            }
        }
        Ok(something)
    }
}

impl AsFd for Families {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// What comes unasked.
#[derive(Debug)]
pub(crate) struct Subscription {
    socket: Socket,
    decoder: Decoder,
    buffer: Vec<u8>,
    is_lost: bool,
}

impl Subscription {
    /// What has come already; `None` once anything was lost.
    ///
    /// # Errors
    /// See [`Error`].
    pub(crate) fn pending(&mut self) -> Result<Option<Vec<Change>>, Error> {
        const ASKED: &str = "its changes";
        let Subscription { socket, decoder, buffer, is_lost } = self;
        let mut changes = Vec::new();
        for _ in 0..BATCH {
            if *is_lost {
                return Ok(None);
            }
            let received =
                socket.receive(buffer).map_err(|source| Error::Socket { asked: ASKED, source });
            let length = match received {
                Ok(Received::Datagram(length)) => length,
                Ok(Received::Nothing) => break,
                Ok(Received::Lost) => {
                    *is_lost = true;
                    continue;
                }
                Err(error) => {
                    *is_lost = true;
                    return Err(error);
                }
            };
            for message in messages(&buffer[..length]) {
                match message.and_then(|message| decoder.notification(&message)) {
                    Ok(Said::Change(change)) => changes.push(*change),
                    Ok(Said::Nothing | Said::Done) => {}
                    Ok(Said::Lost) => *is_lost = true,
                    Err(source) => {
                        *is_lost = true;
                        return Err(Error::Answer { asked: ASKED, source });
                    }
                }
            }
        }
        Ok((!*is_lost).then_some(changes))
    }

    /// Waits for more; false when the deadline came first.
    ///
    /// # Errors
    /// See [`Error`].
    pub(crate) fn wait(&self, deadline: Deadline) -> Result<bool, Error> {
        self.socket.wait(deadline).map_err(|source| Error::Socket { asked: "its changes", source })
    }
}

impl AsFd for Subscription {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Whether there is more to come.
#[derive(PartialEq, Eq)]
enum Turn {
    Go,
    Stop,
}

/// Hands every message on until it says that it was the last.
fn receive(
    socket: &Socket,
    buffer: &mut [u8],
    asked: &'static str,
    deadline: Deadline,
    mut each: impl FnMut(&Message<'_>) -> Result<Turn, drbd::Error>,
) -> Result<(), Error> {
    let began = clock::now();
    let failed = |source| Error::Socket { asked, source };
    let mut total = 0;
    loop {
        // Asked for before each datagram, also where there is one already: a module that repeats itself never pauses.
        if !socket.wait(deadline).map_err(failed)? {
            return Err(Error::TimedOut { asked, after: clock::now().saturating_sub(began) });
        }
        let length = match socket.receive(buffer).map_err(failed)? {
            Received::Datagram(length) => length,
            Received::Nothing => continue,
            Received::Lost => return Err(failed(io::ErrorKind::ConnectionAborted.into())),
        };
        total += length;
        if total > LIMIT {
            return Err(Error::TooMuch { asked, limit: LIMIT });
        }
        let mut turn = Turn::Go;
        for message in messages(&buffer[..length]) {
            let more = if turn == Turn::Stop {
                Err(drbd::Error::Malformed("it goes on behind its end"))
            } else {
                message.and_then(|message| each(&message))
            };
            turn = more.map_err(|source| Error::Answer { asked, source })?;
        }
        if turn == Turn::Stop {
            return Ok(());
        }
    }
}

fn asked(dump: Dump) -> &'static str {
    match dump {
        Dump::Resources => "its resources",
        Dump::Devices => "its volumes",
        Dump::Connections => "its connections",
        Dump::PeerDevices => "its peers' volumes",
        Dump::InitialState => "its state",
    }
}

#[cfg(test)]
mod tests;
