//! Framing: a datagram is messages, each with its length, padded to four bytes. Invariant: a message is inside its
//! datagram, and reading advances with every message.

use super::Error;
use super::attributes::{u16_at, u32_at};

/// Bytes of a message's header.
pub(super) const HEADER: usize = 16;
/// It says nothing.
pub(super) const NOOP: u16 = 1;
/// A refusal, or the acknowledgement of a request.
pub(super) const ERROR: u16 = 2;
/// The end of a dump.
pub(super) const DONE: u16 = 3;
/// Data were lost.
pub(super) const OVERRUN: u16 = 4;
/// The first type that is a family's.
pub(super) const FIRST_FAMILY: u16 = 16;

/// One message of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    pub(super) kind: u16,
    flags: u16,
    /// Of the request that it answers; in a notification a count of its own.
    pub sequence: u32,
    pub(super) body: &'a [u8],
}

impl Message<'_> {
    /// Whether what was dumped changed meanwhile, so that the dump may lack something (`NLM_F_DUMP_INTR`).
    #[must_use]
    pub fn is_interrupted(&self) -> bool {
        self.flags & 0x10 != 0
    }
}

/// The messages of a datagram, in order. After an error there are no more.
#[derive(Debug)]
pub struct Messages<'a> {
    rest: &'a [u8],
}

/// The messages of `datagram`.
#[must_use]
pub fn messages(datagram: &[u8]) -> Messages<'_> {
    Messages { rest: datagram }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Message<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = std::mem::take(&mut self.rest);
        if rest.is_empty() {
            return None;
        }
        let (Some(length), Some(kind), Some(flags), Some(sequence)) =
            (u32_at(rest, 0), u16_at(rest, 4), u16_at(rest, 6), u32_at(rest, 8))
        else {
            return Some(Err(Error::Malformed("it ends within a header")));
        };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let Some(body) = rest.get(HEADER..length) else {
            return Some(Err(Error::Malformed("its length does not fit")));
        };
        self.rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Ok(Message { kind, flags, sequence, body }))
    }
}
