//! One conversation: the machine of `duet_xvm` on a stream that never blocks. Invariant: what is said is what the machine
//! wants, in its order, and a conversation that broke off is not gone on with.

use crate::event::{Event, Trace};
use crate::key::Secrets;
use crate::outcome::Failure;
use crate::run::{random, wait};
use duet_host::clock;
use duet_ocf::Deadline;
use duet_xvm::exchange::{Answer, Client, Stage, Want};
use duet_xvm::{Algorithm, Challenge, Datagram, Error, Protection, Reply, Response};
use nix::poll::{PollFd, PollFlags};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The longest thing that the machine reads at once, in bytes.
const LONGEST: usize = duet_xvm::RECORD;
/// Copies of the request that a daemon may be answering: it calls back at once, or never.
const COPIES: usize = 1024;

/// The copies of the request that have left.
#[derive(Debug, Default)]
pub(super) struct Copies(VecDeque<Datagram>);

impl Copies {
    /// One more, before it leaves.
    pub(super) fn add(&mut self, copy: Datagram) {
        if self.0.len() == COPIES {
            self.0.pop_front();
        }
        self.0.push_back(copy);
    }
}

/// A stream, who is at its other end, and how far it has come.
#[derive(Debug)]
pub(super) struct Conversation {
    stream: File,
    peer: String,
    /// What goes out before the machine begins: the request, where it was not a datagram.
    before: Vec<u8>,
    client: Client,
    challenge: Challenge,
    protection: Protection,
    written: usize,
    buffer: [u8; LONGEST],
    filled: usize,
}

/// Where a conversation stands.
#[derive(Debug)]
pub(super) enum Standing {
    /// It goes on when the stream is ready for this.
    Waits(PollFlags),
    /// All was said.
    Finished,
    /// It broke off.
    Broken(Breach),
}

/// Why a conversation broke off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Breach {
    /// The peer has left without a word.
    Left,
    /// The peer has left, and had said something.
    LeftInTheMiddle,
    /// The peer has our key, hence is our daemon, and goes by another algorithm.
    OtherAlgorithm,
    /// The peer has our key, and was asked something else: by somebody who has recorded it.
    AnotherRequest,
    /// The peer has said what no daemon with our key and our algorithms says.
    Wrong,
}

impl Conversation {
    /// Begins one on a stream that does not block; `before` goes out first.
    pub(super) fn new(
        stream: OwnedFd,
        peer: String,
        before: Vec<u8>,
        secrets: &Secrets,
    ) -> Result<Self, Failure> {
        let challenge = Challenge::new(random()?);
        let protection = secrets.auth.clone();
        Ok(Self {
            stream: File::from(stream),
            peer,
            before,
            client: Client::new(protection.clone(), challenge.clone()),
            challenge,
            protection,
            written: 0,
            buffer: [0; LONGEST],
            filled: 0,
        })
    }

    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    pub(super) fn peer(&self) -> &str {
        &self.peer
    }

    /// How far it has come.
    pub(super) fn stage(&self) -> Stage {
        self.client.stage()
    }

    /// How many bytes there are of what is awaited.
    pub(super) fn said(&self) -> usize {
        self.filled
    }

    /// Whether the other side has proved that it has the key and answers what we have asked, or no proof is asked for.
    pub(super) fn is_proven(&self) -> bool {
        self.stage() > Stage::AwaitingChallenge
    }

    /// Goes on for as long as the stream is ready. `asked` is what we may have been called back for.
    pub(super) fn go_on(&mut self, asked: &Copies, trace: &mut Trace) -> Standing {
        loop {
            let outcome = match self.client.wants() {
                Want::Finished => return Standing::Finished,
                _ if self.written < self.before.len() => {
                    let outcome = self.stream.write(&self.before[self.written..]);
                    if let Ok(length) = outcome {
                        self.written += length;
                        if self.written == self.before.len() {
                            self.before.clear();
                            self.written = 0;
                        }
                    }
                    outcome.map_err(|why| (why, PollFlags::POLLOUT))
                }
                Want::Write(bytes) => {
                    let outcome = self.stream.write(&bytes[self.written..]);
                    if let Ok(length) = outcome {
                        self.written += length;
                        if self.written == bytes.len() {
                            self.client.wrote();
                            self.written = 0;
                        }
                    }
                    outcome.map_err(|why| (why, PollFlags::POLLOUT))
                }
                Want::Read(length) => {
                    let outcome = self.stream.read(&mut self.buffer[self.filled..length]);
                    if let Ok(more) = outcome {
                        self.filled += more;
                        let taken = if self.filled == length {
                            self.take(length, asked, trace)
                        } else {
                            Ok(())
                        };
                        if let Err((why, breach)) = taken {
                            trace.note(why);
                            return Standing::Broken(breach);
                        }
                    }
                    outcome.map_err(|why| (why, PollFlags::POLLIN))
                }
            };
            match outcome {
                Ok(0) => return Standing::Broken(self.left(trace)),
                Ok(_) => {}
                Err((why, flags)) if why.kind() == ErrorKind::WouldBlock => {
                    return Standing::Waits(flags);
                }
                Err((why, _)) if why.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Standing::Broken(self.left(trace)),
            }
        }
    }

    fn left(&mut self, trace: &mut Trace) -> Breach {
        // It may have said something before it left, while we were writing: a daemon that asks for no proof does.
        if let Ok(more) = self.stream.read(&mut self.buffer[self.filled..]) {
            self.filled += more;
        }
        let (stage, said) = (self.stage(), self.filled);
        trace.note(Event::Left { peer: self.peer.clone(), stage, said });
        let has_spoken = said > 0 || stage > Stage::AwaitingProof;
        if has_spoken { Breach::LeftInTheMiddle } else { Breach::Left }
    }

    /// Hands the machine what it wanted.
    fn take(
        &mut self,
        length: usize,
        asked: &Copies,
        trace: &mut Trace,
    ) -> Result<(), (Event, Breach)> {
        let was_proven = self.is_proven();
        let bytes = &self.buffer[..length];
        self.filled = 0;
        self.client.read_for(bytes, &asked.0).map_err(|why| match why {
            Error::Response(_) => {
                let theirs = self.theirs();
                let breach = if theirs.is_some() { Breach::OtherAlgorithm } else { Breach::Wrong };
                (Event::Mismatch { peer: self.peer.clone(), theirs }, breach)
            }
            Error::AnotherRequest => {
                let why = Error::AnotherRequest.to_string();
                (Event::Rejected { peer: self.peer.clone(), why }, Breach::AnotherRequest)
            }
            other => {
                let why = other.to_string();
                (Event::Rejected { peer: self.peer.clone(), why }, Breach::Wrong)
            }
        })?;
        if self.is_proven() && !was_proven {
            trace.note(Event::Proven(self.peer.clone()));
        }
        Ok(())
    }

    /// The algorithm by which the answer in the buffer is right.
    fn theirs(&self) -> Option<Algorithm> {
        let Protection::Keyed(keyed) = &self.protection else { return None };
        let response = self.buffer.first_chunk().copied().map(Response::new)?;
        Algorithm::ALL.into_iter().find(|algorithm| {
            keyed
                .with(*algorithm)
                .is_some_and(|other| self.challenge.check(&response, &other).is_ok())
        })
    }

    /// Goes on to the end, or until time is up.
    pub(super) fn finish(
        mut self,
        asked: &Copies,
        deadline: Deadline,
        seconds: u64,
        trace: &mut Trace,
    ) -> Result<Answer, Failure> {
        loop {
            let flags = match self.go_on(asked, trace) {
                Standing::Waits(flags) => flags,
                Standing::Finished => return self.answered(trace),
                Standing::Broken(_) => return Err(self.failed(seconds, false)),
            };
            if deadline.remaining(clock::now()).is_zero() {
                let (peer, stage, said) = (self.peer.clone(), self.stage(), self.filled);
                trace.note(Event::Silent { peer, stage, said });
                return Err(self.failed(seconds, true));
            }
            wait(&mut [PollFd::new(self.stream.as_fd(), flags)], deadline)
                .map_err(|why| Failure::Send(why.desc().to_owned()))?;
        }
    }

    fn answered(self, trace: &mut Trace) -> Result<Answer, Failure> {
        let peer = self.peer;
        let answer = self.client.answer().ok_or(Failure::Closed)?;
        let reply = match &answer {
            Answer::Reply(reply) => *reply,
            Answer::Hosts(_) => Reply::HostList,
        };
        trace.note(Event::Answered { peer, reply });
        Ok(answer)
    }

    /// What it means that it has come no further.
    fn failed(&self, seconds: u64, is_late: bool) -> Failure {
        match self.stage() {
            Stage::Challenging
            | Stage::AwaitingProof
            | Stage::AwaitingChallenge
            | Stage::Proving => Failure::Proof,
            Stage::AwaitingReply if is_late => Failure::NoAnswer(seconds),
            Stage::AwaitingReply | Stage::Finished => Failure::Closed,
            Stage::Listing => Failure::BrokenList(self.client.listed()),
        }
    }
}
