//! The frames of serial lines and channels: 74 bytes of request, 5 of reply, no signature and no challenge. Invariant:
//! stray bytes before or between frames cost no frame; what is kept of an unfinished one is bounded.

use crate::exchange::Answer;
use crate::target::FIELD;
use crate::{Error, HostList, Operation, RECORD, Reply, Target};

/// What each frame begins with. It reads the same from both ends, so there is no byte order to it.
const MAGIC: [u8; 4] = [0x61, 0x62, 0x62, 0x61];
/// The length of a request, in bytes.
pub const REQUEST: usize = 74;
/// The length of a reply, in bytes.
pub const REPLY: usize = 5;

/// What is asked over a serial line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What is asked.
    pub operation: Operation,
    /// About which domain.
    pub target: Target,
    /// The same in all copies of one request.
    pub sequence: u32,
}

impl Request {
    /// As on the line.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; REQUEST] {
        let mut bytes = [0; REQUEST];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4] = self.operation.number();
        bytes[6..70].copy_from_slice(&self.target.to_field());
        bytes[70..].copy_from_slice(&self.sequence.to_le_bytes());
        bytes
    }

    /// A frame as it was found. `None` for what begins like one and is none: with a domain that nobody could have, hence
    /// probably noise.
    fn from_bytes(bytes: &[u8; REQUEST]) -> Option<Self> {
        let mut field = [0; FIELD];
        field.copy_from_slice(&bytes[6..70]);
        let mut sequence = [0; 4];
        sequence.copy_from_slice(&bytes[70..]);
        match Target::from_field(&field) {
            Target::Malformed => None,
            target => Some(Self {
                operation: Operation::from_number(bytes[4]),
                target,
                sequence: u32::from_le_bytes(sequence),
            }),
        }
    }
}

/// The daemon's end of a line: finds requests among what comes in.
#[derive(Debug, Default)]
pub struct Requests(Vec<u8>);

impl Requests {
    /// Takes bytes as they come, and gives the requests that they complete.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<Request> {
        let mut found = Vec::new();
        for byte in bytes {
            self.0.push(*byte);
            while !begins(&self.0) {
                self.0.remove(0);
            }
            if let Ok(frame) = <&[u8; REQUEST]>::try_from(self.0.as_slice()) {
                match Request::from_bytes(frame) {
                    Some(request) => {
                        found.push(request);
                        self.0.clear();
                    }
                    None => self.resynchronise(),
                }
            }
        }
        found
    }

    /// How many bytes of an unfinished frame there are.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.0.len()
    }

    /// Forgets an unfinished frame, as when nothing came after it for a while.
    pub fn reset(&mut self) {
        self.0.clear();
    }

    /// The first byte begins no frame: on to the next that could.
    fn resynchronise(&mut self) {
        let next = (1..self.0.len()).find(|at| begins(&self.0[*at..]));
        self.0.drain(..next.unwrap_or(self.0.len()));
    }
}

/// Whether this begins a frame, or could once there is more of it.
fn begins(bytes: &[u8]) -> bool {
    bytes.iter().zip(MAGIC).all(|(byte, magic)| *byte == magic)
}

/// A reply as on the line.
#[must_use]
pub fn reply(reply: Reply) -> [u8; REPLY] {
    let [a, b, c, d] = MAGIC;
    [a, b, c, d, reply.number()]
}

/// A list as on the line: a frame that announces it, the records, and a frame that ends it.
#[must_use]
pub fn hosts(hosts: &HostList) -> Vec<u8> {
    let mut bytes = reply(Reply::HostList).to_vec();
    bytes.extend(hosts.to_bytes());
    bytes.extend(reply(Reply::Success));
    bytes
}

/// The client's end of a line: finds the answer among what comes in.
#[derive(Debug, Default)]
pub struct Replies {
    pending: Vec<u8>,
    hosts: Option<HostList>,
}

impl Replies {
    /// Takes bytes as they come, and gives the answer once it is complete; what is behind it does not count. Records of a list
    /// follow each other without a gap, so nothing is looked for among them.
    ///
    /// # Errors
    /// [`Error::EndlessList`].
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Option<Answer>, Error> {
        for byte in bytes {
            self.pending.push(*byte);
            if let Some(hosts) = &mut self.hosts {
                if let Ok(record) = <&[u8; RECORD]>::try_from(self.pending.as_slice()) {
                    if hosts.take(record)? {
                        return Ok(Some(Answer::Hosts(std::mem::take(hosts))));
                    }
                    self.pending.clear();
                }
                continue;
            }
            while !begins(&self.pending) {
                self.pending.remove(0);
            }
            if let [_, _, _, _, number] = self.pending[..] {
                self.pending.clear();
                match Reply::from_number(number) {
                    Reply::HostList => self.hosts = Some(HostList::default()),
                    reply => return Ok(Some(Answer::Reply(reply))),
                }
            }
        }
        Ok(None)
    }
}
