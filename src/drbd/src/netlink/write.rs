//! Messages built: header, family header, attributes. Invariant: every length that is written is that of what
//! follows it.

use super::attributes::NESTED;
use super::message::HEADER;

/// A request.
pub(super) const REQUEST: u16 = 1;
/// A request for all there is.
pub(super) const DUMP: u16 = 0x300;

/// A message in the making.
#[derive(Debug, Clone)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// A message of this type with these flags and this number, nothing in it yet.
    #[must_use]
    pub fn new(kind: u16, flags: u16, sequence: u32) -> Writer {
        let mut bytes = vec![0; 4];
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend(sequence.to_ne_bytes());
        bytes.extend([0; 4]);
        Writer { bytes }
    }

    /// With a generic netlink header.
    #[must_use]
    pub fn command(mut self, command: u8, version: u8) -> Writer {
        self.bytes.extend([command, version, 0, 0]);
        self
    }

    /// With one word of four bytes.
    #[must_use]
    pub fn word(mut self, word: u32) -> Writer {
        self.bytes.extend(word.to_ne_bytes());
        self
    }

    /// With an attribute of these bytes.
    ///
    /// # Panics
    /// If they are more than an attribute can hold: all that is written is short.
    #[must_use]
    pub fn attribute(mut self, kind: u16, value: &[u8]) -> Writer {
        let length = u16::try_from(value.len() + 4).expect("attributes that are written are short");
        self.bytes.extend(length.to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend_from_slice(value);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self
    }

    /// With a text, ended by a zero.
    #[must_use]
    pub fn text(self, kind: u16, text: &str) -> Writer {
        self.attribute(kind, &[text.as_bytes(), &[0]].concat())
    }

    /// With an attribute that holds what `inside` adds to a message.
    ///
    /// # Panics
    /// As [`Writer::attribute`].
    #[must_use]
    pub fn nested(self, kind: u16, inside: impl FnOnce(Writer) -> Writer) -> Writer {
        let inside = inside(Writer { bytes: Vec::new() });
        self.attribute(kind | NESTED, &inside.bytes)
    }

    /// The bytes as they go over the socket.
    ///
    /// # Panics
    /// If they are 4 GiB.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        debug_assert!(self.bytes.len() >= HEADER);
        let length = u32::try_from(self.bytes.len()).expect("messages that are written are short");
        self.bytes[..4].copy_from_slice(&length.to_ne_bytes());
        self.bytes
    }
}
