//! Pacemaker's header before each message, in both forms that there are. Invariant: pure; a message whose form is not one of
//! them is unknown, and a length that is not the message's own is believed by nobody.
//!
//! Forty bytes both, behind libqb's id, size and error in eight bytes each. Up to 3.0.0 (2.1.5 and 3.0.0 seen): size, compressed
//! size, flags, version. After that (by its published source): size, flags, version, number of the part. Both say version 1.

use crate::handshake::word;

/// How long a header is.
pub(crate) const HEADER: usize = 40;
/// The version of both forms.
const VERSION: u8 = 1;
/// In the form with parts, a message that does not fit is cut into messages of this length; a shorter one is the last.
pub(crate) const PART: usize = 128 * 1024;

/// Which form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// With the compressed size.
    Compressing,
    /// With the number of the part.
    Parts,
}

/// What follows the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The whole text, and a zero.
    Whole,
    /// The text and a zero, compressed by bzip2.
    Compressed {
        /// How long it is in truth, with the zero.
        length: usize,
    },
    /// A piece of the text, and a zero.
    Part {
        /// From 0 on.
        number: u16,
        /// Whether no other one follows.
        is_last: bool,
    },
}

/// A message as it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Which form.
    pub layout: Layout,
    /// The number that an answer has in common with its parts.
    pub id: u32,
    /// What follows.
    pub kind: Kind,
    /// That, without a closing zero.
    pub payload: &'a [u8],
}

/// A request, which no daemon is to answer but by an event. Without flags and short as it is, it is the same in both forms: what
/// is the version in the first is nothing in the second, where version 0 is taken as well.
#[must_use]
pub fn encode(id: u32, text: &str) -> Vec<u8> {
    let length = u32::try_from(text.len() + 1).unwrap_or(u32::MAX);
    let header = u32::try_from(HEADER).expect("forty");
    let mut bytes = vec![0; HEADER];
    bytes[0..4].copy_from_slice(&id.to_ne_bytes());
    bytes[8..12].copy_from_slice(&length.saturating_add(header).to_ne_bytes());
    bytes[24..28].copy_from_slice(&length.to_ne_bytes());
    bytes[36] = VERSION;
    bytes.extend_from_slice(text.as_bytes());
    bytes.push(0);
    bytes
}

impl<'a> Frame<'a> {
    /// From the bytes of one message.
    ///
    /// # Errors
    /// What is not known of it.
    pub fn parse(bytes: &'a [u8]) -> Result<Frame<'a>, String> {
        let (Some(header), Some(payload)) = (bytes.get(..HEADER), bytes.get(HEADER..)) else {
            return Err(format!("a message of {} bytes", bytes.len()));
        };
        let at = |at| word(header, at).unwrap_or_default();
        if at(8) as usize != bytes.len() {
            return Err(format!("a message of {} bytes that says {}", bytes.len(), at(8)));
        }
        // In the form with parts, the last four bytes are filling, and are zero.
        match (header[36], header[32]) {
            (VERSION, _) => compressing(at(0), at(24) as usize, at(28) as usize, payload),
            (0, VERSION) => {
                let number = u16::from_ne_bytes([header[34], header[35]]);
                parts(at(0), at(24) as usize, number, payload)
            }
            (one, other) => Err(format!("a header of version {one} or {other}")),
        }
    }
}

fn text(payload: &[u8]) -> Result<&[u8], String> {
    match payload.split_last() {
        Some((0, text)) => Ok(text),
        Some(_) | None => Err("a text without an end".to_owned()),
    }
}

fn compressing(
    id: u32,
    size: usize,
    compressed: usize,
    payload: &[u8],
) -> Result<Frame<'_>, String> {
    let layout = Layout::Compressing;
    match compressed {
        0 if size == payload.len() => {
            Ok(Frame { layout, id, kind: Kind::Whole, payload: text(payload)? })
        }
        _ if compressed == payload.len() && compressed > 0 => {
            Ok(Frame { layout, id, kind: Kind::Compressed { length: size }, payload })
        }
        _ => Err(format!(
            "{} bytes that are said to be {size}, or {compressed} compressed",
            payload.len()
        )),
    }
}

fn parts(id: u32, size: usize, number: u16, payload: &[u8]) -> Result<Frame<'_>, String> {
    if size != payload.len() {
        return Err(format!("{} bytes that are said to be {size}", payload.len()));
    }
    let is_last = HEADER + size < PART;
    let kind = match (number, is_last) {
        (0, true) => Kind::Whole,
        (number, is_last) => Kind::Part { number, is_last },
    };
    Ok(Frame { layout: Layout::Parts, id, kind, payload: text(payload)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header in the form with parts.
    pub(crate) fn part(id: u32, number: u16, text: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; HEADER];
        bytes[0..4].copy_from_slice(&id.to_ne_bytes());
        let size = u32::try_from(text.len() + 1).unwrap();
        bytes[8..12].copy_from_slice(&(size + 40).to_ne_bytes());
        bytes[24..28].copy_from_slice(&size.to_ne_bytes());
        bytes[28..32].copy_from_slice(&0x0003_0000_u32.to_ne_bytes());
        bytes[32] = 1;
        bytes[34..36].copy_from_slice(&number.to_ne_bytes());
        bytes.extend_from_slice(text);
        bytes.push(0);
        bytes
    }

    #[test]
    fn a_request_is_a_whole_message_in_the_older_form() {
        let bytes = encode(7, "<a/>");
        let frame = Frame::parse(&bytes).unwrap();
        assert_eq!((frame.layout, frame.id), (Layout::Compressing, 7));
        assert_eq!((frame.kind, frame.payload), (Kind::Whole, &b"<a/>"[..]));
    }

    #[test]
    fn a_request_has_nothing_set_that_the_newer_form_would_misread() {
        let bytes = encode(7, "<a/>");
        assert_eq!(bytes[28..36], [0; 8], "flags, version and part are zero");
    }

    #[test]
    fn parts_are_told_by_their_length() {
        let short = part(3, 0, b"<a/>");
        let frame = Frame::parse(&short).unwrap();
        assert_eq!((frame.layout, frame.kind), (Layout::Parts, Kind::Whole));
        let full = part(3, 0, &vec![b'x'; PART - HEADER - 1]);
        let kind = Frame::parse(&full).unwrap().kind;
        assert_eq!(kind, Kind::Part { number: 0, is_last: false });
        let last = part(3, 2, b"rest");
        let kind = Frame::parse(&last).unwrap().kind;
        assert_eq!(kind, Kind::Part { number: 2, is_last: true });
    }

    #[test]
    fn what_is_not_known_is_refused() {
        let good = encode(1, "<a/>");
        for (at, value) in [(8, 44_u32), (24, 4), (28, 9), (36, 2), (36, 0)] {
            let mut bytes = good.clone();
            bytes[at..at + 4].copy_from_slice(&value.to_ne_bytes());
            assert!(Frame::parse(&bytes).is_err(), "{at} {value}");
        }
        let mut endless = good.clone();
        *endless.last_mut().unwrap() = b'x';
        assert!(Frame::parse(&endless).is_err());
        for length in 0..good.len() {
            assert!(Frame::parse(&good[..length]).is_err());
        }
    }
}
