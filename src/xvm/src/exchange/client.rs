//! The client's side. Invariant: a reply counts only from a peer that has answered our challenge; and we prove ourselves to no daemon
//! that says that it was asked something else.

use super::Want;
use crate::protection::Protection;
use crate::{CHALLENGE, Challenge, Datagram, Error, HostList, RECORD, Reply, Response};

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// One byte.
    Reply(Reply),
    /// All hosts that the daemon knows and shows.
    Hosts(HostList),
}

/// How far it has come: what is missing when the connection ends, or when time is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Our challenge is not sent yet.
    Challenging,
    /// The daemon has not answered our challenge: it may ask for no authentication, or wait for something else.
    AwaitingProof,
    /// The daemon has the key, and has not challenged us.
    AwaitingChallenge,
    /// Our answer to its challenge is not sent yet.
    Proving,
    /// Both have the key; the operation is being carried out, or was refused by the daemon without a word.
    AwaitingReply,
    /// In the middle of a list.
    Listing,
    /// All was said.
    Finished,
}

/// The client's machine.
#[derive(Debug)]
pub struct Client {
    protection: Protection,
    ours: Challenge,
    buffer: [u8; CHALLENGE],
    stage: Stage,
    answer: Option<Reply>,
    hosts: HostList,
}

impl Client {
    /// Begins with `challenge`, 64 random bytes that are used for nothing else.
    #[must_use]
    pub fn new(auth: Protection, challenge: Challenge) -> Self {
        let stage = match auth {
            Protection::None => Stage::AwaitingReply,
            Protection::Keyed(_) => Stage::Challenging,
        };
        let buffer = *challenge.as_bytes();
        let hosts = HostList::default();
        Self { protection: auth, ours: challenge, buffer, stage, answer: None, hosts }
    }

    /// How far it has come.
    #[must_use]
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// What has to happen next.
    #[must_use]
    pub fn wants(&self) -> Want<'_> {
        match self.stage {
            Stage::Challenging | Stage::Proving => Want::Write(&self.buffer),
            Stage::AwaitingProof | Stage::AwaitingChallenge => Want::Read(CHALLENGE),
            Stage::AwaitingReply => Want::Read(1),
            Stage::Listing => Want::Read(RECORD),
            Stage::Finished => Want::Finished,
        }
    }

    /// All that it wanted to write was written.
    pub fn wrote(&mut self) {
        match self.stage {
            Stage::Challenging => self.stage = Stage::AwaitingProof,
            Stage::Proving => self.stage = Stage::AwaitingReply,
            Stage::AwaitingProof
            | Stage::AwaitingChallenge
            | Stage::AwaitingReply
            | Stage::Listing
            | Stage::Finished => {}
        }
    }

    /// Takes what it wanted to read, of a client that has sent these copies of its request. A daemon of ours says for which it is.
    ///
    /// # Errors
    /// [`Error::AnotherRequest`], and those of [`Client::read`].
    pub fn read_for<'a>(
        &mut self,
        bytes: &[u8],
        asked: impl IntoIterator<Item = &'a Datagram>,
    ) -> Result<(), Error> {
        if let (Stage::AwaitingChallenge, Protection::Keyed(keyed), Ok(field)) =
            (self.stage, &self.protection, bytes.try_into())
        {
            let theirs = Challenge::new(field);
            if theirs.is_a_daemons(keyed)
                && !asked.into_iter().any(|asked| theirs.is_about(asked, keyed))
            {
                return Err(Error::AnotherRequest);
            }
        }
        self.read(bytes)
    }

    /// Takes what it wanted to read, whatever it is for, as stock's client does.
    ///
    /// # Errors
    /// [`Error::Length`] if it is not as much as was wanted; [`Error::Response`] if the peer has another key or algorithm;
    /// [`Error::Reflected`]; [`Error::EndlessList`]. Nothing more may be said on the stream then.
    pub fn read(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let wrong = |_| Error::Length(bytes.len());
        match self.stage {
            Stage::AwaitingProof => {
                let response = Response::new(bytes.try_into().map_err(wrong)?);
                if let Protection::Keyed(keyed) = &self.protection {
                    self.ours.check(&response, keyed)?;
                }
                self.stage = Stage::AwaitingChallenge;
            }
            Stage::AwaitingChallenge => {
                let theirs = Challenge::new(bytes.try_into().map_err(wrong)?);
                if theirs.is(&self.ours) {
                    return Err(Error::Reflected);
                }
                if let Protection::Keyed(keyed) = &self.protection {
                    self.buffer = *theirs.answer(keyed).as_bytes();
                }
                self.stage = Stage::Proving;
            }
            Stage::AwaitingReply => {
                let [byte] = bytes.try_into().map_err(wrong)?;
                let reply = Reply::from_number(byte);
                self.stage =
                    if reply == Reply::HostList { Stage::Listing } else { Stage::Finished };
                self.answer = Some(reply);
            }
            Stage::Listing => {
                if self.hosts.take(&bytes.try_into().map_err(wrong)?)? {
                    self.stage = Stage::Finished;
                }
            }
            Stage::Challenging | Stage::Proving | Stage::Finished => {
                return Err(Error::Length(bytes.len()));
            }
        }
        Ok(())
    }

    /// How many hosts of a list there are so far.
    #[must_use]
    pub fn listed(&self) -> usize {
        self.hosts.0.len()
    }

    /// What came of it, once it is finished.
    #[must_use]
    pub fn answer(self) -> Option<Answer> {
        match (self.stage, self.answer?) {
            (Stage::Finished, Reply::HostList) => Some(Answer::Hosts(self.hosts)),
            (Stage::Finished, reply) => Some(Answer::Reply(reply)),
            (_, _) => None,
        }
    }
}
