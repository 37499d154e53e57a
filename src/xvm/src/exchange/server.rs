//! The daemon's side, up to where the client has proved that it has the key. Invariant: a challenge that the daemon
//! itself has sent to anybody, and that is not answered yet, is refused and not answered; nor is any that a daemon of ours made.

use super::Want;
use crate::protection::Protection;
use crate::{CHALLENGE, Challenge, Error, Outstanding, Response};

/// Two fields in one segment: our answer and our challenge.
const BOTH: usize = 2 * CHALLENGE;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    AwaitingChallenge,
    Answering,
    AwaitingProof,
    Finished,
}

/// The daemon's machine. When it is finished, the peer has the key: the request is carried out and answered by whoever
/// drives it.
#[derive(Debug)]
pub struct Server {
    protection: Protection,
    ours: Challenge,
    buffer: [u8; BOTH],
    stage: Stage,
}

impl Server {
    /// Begins; `challenge` is [`Challenge::about`] what was asked, and is used for nothing else. It is added to the [`Outstanding`] ones by
    /// [`Server::read`], and has to be removed by [`Server::close`].
    #[must_use]
    pub fn new(auth: Protection, challenge: Challenge) -> Self {
        let stage = match auth {
            Protection::None => Stage::Finished,
            Protection::Keyed(_) => Stage::AwaitingChallenge,
        };
        Self { protection: auth, ours: challenge, buffer: [0; BOTH], stage }
    }

    /// What has to happen next.
    #[must_use]
    pub fn wants(&self) -> Want<'_> {
        match self.stage {
            Stage::AwaitingChallenge | Stage::AwaitingProof => Want::Read(CHALLENGE),
            Stage::Answering => Want::Write(&self.buffer),
            Stage::Finished => Want::Finished,
        }
    }

    /// All that it wanted to write was written.
    pub fn wrote(&mut self) {
        match self.stage {
            Stage::Answering => self.stage = Stage::AwaitingProof,
            Stage::AwaitingChallenge | Stage::AwaitingProof | Stage::Finished => {}
        }
    }

    /// Takes what it wanted to read. `outstanding` is the whole process's.
    ///
    /// # Errors
    /// [`Error::Length`] if it is not as much as was wanted; [`Error::Reflected`] and [`Error::Daemons`] for a challenge of ours;
    /// [`Error::Response`] if the peer has another key or algorithm. The stream has to be closed then without a word.
    pub fn read(&mut self, bytes: &[u8], outstanding: &mut Outstanding) -> Result<(), Error> {
        let Protection::Keyed(keyed) = &self.protection else {
            return Err(Error::Length(bytes.len()));
        };
        let field: [u8; CHALLENGE] = bytes.try_into().map_err(|_| Error::Length(bytes.len()))?;
        match self.stage {
            Stage::AwaitingChallenge => {
                let theirs = Challenge::new(field);
                if outstanding.contains(&theirs) || theirs.is(&self.ours) {
                    return Err(Error::Reflected);
                }
                if theirs.is_a_daemons(keyed) {
                    return Err(Error::Daemons);
                }
                outstanding.add(self.ours.clone());
                let (answer, challenge) = self.buffer.split_at_mut(CHALLENGE);
                answer.copy_from_slice(theirs.answer(keyed).as_bytes());
                challenge.copy_from_slice(self.ours.as_bytes());
                self.stage = Stage::Answering;
                Ok(())
            }
            Stage::AwaitingProof => {
                self.ours.check(&Response::new(field), keyed)?;
                outstanding.remove(&self.ours);
                self.stage = Stage::Finished;
                Ok(())
            }
            Stage::Answering | Stage::Finished => Err(Error::Length(bytes.len())),
        }
    }

    /// Has to be called however it ended: its challenge is forgotten.
    pub fn close(self, outstanding: &mut Outstanding) {
        outstanding.remove(&self.ours);
    }
}
