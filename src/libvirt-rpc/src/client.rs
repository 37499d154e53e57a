//! A connection to a local libvirt daemon. Invariant: every call ends within the time allowed, and once a
//! call broke off midway the connection answers nothing any more, so a late answer cannot pass for another's.

#![allow(
    clippy::disallowed_methods,
    reason = "this is the I/O half of the crate; deadlines need the monotonic clock"
)]

mod answer;
mod calls;

use std::{
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::{Duration, Instant},
};

use nix::poll::PollFlags;

pub use answer::check_answer;

use crate::{
    call::{self, DomainRef, POLKIT, Procedure},
    error::Error,
    socket::{self, Driver},
    wire::{
        FRAME_MAX, Header, KEEPALIVE_PING, KEEPALIVE_PONG, KEEPALIVE_PROGRAM, KEEPALIVE_VERSION,
        Kind, LENGTH_BYTES, REMOTE_PROGRAM, REMOTE_VERSION, Status, body_length,
    },
    xdr::{STRING_MAX, Writer, XdrError},
};

/// Largest answer to a question with a short answer; an error with three long strings fits.
const SHORT_ANSWER: usize = 256 * 1024;
/// Largest answer with a definition or a list in it.
const LONG_ANSWER: usize = 16 * 1024 * 1024;
/// How much is read at once: memory grows with what arrives, not with what is announced.
const CHUNK: usize = 64 * 1024;

/// A point in time that no call passes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    from: Instant,
    limit: Duration,
}

impl Deadline {
    fn after(limit: Duration) -> Self {
        Self { from: Instant::now(), limit }
    }

    pub(crate) fn left(&self) -> Duration {
        self.limit.saturating_sub(self.from.elapsed())
    }

    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }
}

/// A connection to a local libvirt daemon.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    serial: u32,
    deadline: Deadline,
    broken: bool,
}

impl Client {
    /// Connects to the daemon that serves `uri`, whose driver is `driver`, in `directory`
    /// ([`crate::SOCKET_DIR`] outside of tests). `limit` bounds this and all calls after it, until
    /// [`crate::Hypervisor::allow`] says otherwise.
    pub fn open(
        driver: Driver,
        uri: &str,
        directory: &Path,
        limit: Duration,
    ) -> Result<Self, Error> {
        let deadline = Deadline::after(limit);
        let stream = socket::reach(driver, directory, &deadline)?;
        let mut client = Self { stream, serial: 0, deadline, broken: false };
        // Without this question the daemon refuses everything else, even to root.
        let methods = client.ask(Procedure::AuthList, |_| {}, SHORT_ANSWER, call::auth_methods)?;
        if methods.contains(&POLKIT) {
            // Nobody is asked for a password: the daemon asks polkit about this process, and it is one of a member of
            // group libvirt (or whom else a rule allows) or not.
            let passed = client.ask(Procedure::AuthPolkit, |_| {}, SHORT_ANSWER, call::yes);
            let refused =
                |why: &str| Error::AuthenticationNeeded { methods: format!("{POLKIT}{why}") };
            match passed {
                Ok(true) => {}
                Ok(false) => return Err(refused("")),
                Err(Error::AuthenticationNeeded { methods: why }) => {
                    return Err(refused(&format!(": {why}")));
                }
                Err(error) => return Err(error),
            }
        } else if !methods.is_empty() {
            return Err(Error::AuthenticationNeeded { methods: methods.join(", ") });
        }
        let arguments = |writer: &mut Writer| {
            writer.optional_string(Some(uri));
            writer.u32(0);
        };
        client.ask(Procedure::ConnectOpen, arguments, SHORT_ANSWER, |_| Ok(()))?;
        Ok(client)
    }

    fn ask<T>(
        &mut self,
        call: Procedure,
        arguments: impl FnOnce(&mut Writer),
        limit: usize,
        result: impl FnOnce(&mut crate::xdr::Reader<'_>) -> Result<T, XdrError>,
    ) -> Result<T, Error> {
        if self.broken {
            return Err(Error::Broken);
        }
        let mut writer = Writer::new();
        arguments(&mut writer);
        let body = writer.into_bytes();
        if body.len() > STRING_MAX as usize {
            return Err(Error::TooLarge { call, length: body.len() });
        }
        self.serial = self.serial.wrapping_add(1);
        let asked = Header {
            program: REMOTE_PROGRAM,
            version: REMOTE_VERSION,
            procedure: call.number(),
            kind: Kind::Call,
            serial: self.serial,
            status: Status::Ok,
        };
        // Sound again only after a whole, matching answer.
        self.broken = true;
        self.send(call, &asked.frame(&body))?;
        loop {
            let message = self.receive(call, limit)?;
            let (header, body) =
                Header::split(&message).map_err(|source| Error::Protocol { call, source })?;
            if header.program == KEEPALIVE_PROGRAM {
                self.pong(call, &header)?;
                continue;
            }
            if header.program == REMOTE_PROGRAM && header.kind == Kind::Message {
                // An event. None was subscribed to, but it does no harm either.
                continue;
            }
            let answer = answer::read(call, &asked, header, body, result);
            self.broken = matches!(answer, Err(Error::Protocol { .. }));
            return answer;
        }
    }

    fn pong(&mut self, call: Procedure, ping: &Header) -> Result<(), Error> {
        if ping.procedure != KEEPALIVE_PING {
            return Ok(());
        }
        let pong = Header {
            program: KEEPALIVE_PROGRAM,
            version: KEEPALIVE_VERSION,
            procedure: KEEPALIVE_PONG,
            kind: Kind::Message,
            serial: 0,
            status: Status::Ok,
        };
        self.send(call, &pong.frame(&[]))
    }

    fn send(&mut self, call: Procedure, mut bytes: &[u8]) -> Result<(), Error> {
        while !bytes.is_empty() {
            self.wait(call, PollFlags::POLLOUT)?;
            match self.stream.write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) => gone_or_again(call, error)?,
            }
        }
        Ok(())
    }

    /// The next whole message, without its length word.
    fn receive(&mut self, call: Procedure, limit: usize) -> Result<Vec<u8>, Error> {
        let mut word = [0; LENGTH_BYTES];
        let mut have = 0;
        while have < LENGTH_BYTES {
            have += self.read(call, &mut word[have..])?;
        }
        let length = body_length(word, limit).map_err(|source| Error::Protocol { call, source })?;
        let mut message = Vec::new();
        let mut have = 0;
        while have < length {
            if have == message.len() {
                message.resize(length.min(have + CHUNK), 0);
            }
            have += self.read(call, &mut message[have..])?;
        }
        Ok(message)
    }

    fn read(&mut self, call: Procedure, into: &mut [u8]) -> Result<usize, Error> {
        loop {
            self.wait(call, PollFlags::POLLIN)?;
            match self.stream.read(into) {
                Ok(0) => return Err(Error::Closed { call }),
                Ok(length) => return Ok(length),
                Err(error) => gone_or_again(call, error)?,
            }
        }
    }

    fn wait(&self, call: Procedure, what: PollFlags) -> Result<(), Error> {
        match socket::ready(&self.stream, what, &self.deadline) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Error::Deadline { call, limit: self.deadline.limit() }),
            Err(errno) => Err(Error::Socket { call, source: errno.into() }),
        }
    }

    fn on_domain<T>(
        &mut self,
        call: Procedure,
        domain: &DomainRef,
        flags: Option<u32>,
        result: impl FnOnce(&mut crate::xdr::Reader<'_>) -> Result<T, XdrError>,
    ) -> Result<T, Error> {
        let arguments = |writer: &mut Writer| {
            domain.encode(writer);
            if let Some(flags) = flags {
                writer.u32(flags);
            }
        };
        self.ask(call, arguments, SHORT_ANSWER, result)
    }
}

fn gone_or_again(call: Procedure, error: io::Error) -> Result<(), Error> {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(()),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Err(Error::Closed { call }),
        _ => Err(Error::Socket { call, source: error }),
    }
}

// FRAME_MAX bounds what any call may accept.
const _: () = assert!(SHORT_ANSWER <= LONG_ANSWER && LONG_ANSWER <= FRAME_MAX);
