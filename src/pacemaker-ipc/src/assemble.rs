//! Texts from messages that are whole, compressed, or parts. Invariant: pure; a text is complete and has a bounded size, or
//! there is none.

use crate::{
    bunzip::bunzip,
    header::{Frame, Kind},
};

/// No text is longer: what is read of a CIB.
const LARGEST: usize = 32 * 1024 * 1024;

/// What has come of a text so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Assembly {
    id: u32,
    parts: u16,
    text: Vec<u8>,
}

impl Assembly {
    /// Adds a message; gives the text once it is complete.
    ///
    /// # Errors
    /// What is not understood. Whatever had come before is forgotten.
    pub fn add(&mut self, message: &[u8]) -> Result<Option<String>, String> {
        let before = std::mem::take(self);
        let frame = Frame::parse(message)?;
        let whole = match frame.kind {
            Kind::Whole | Kind::Compressed { .. } if before.parts > 0 => {
                return Err("another message among the parts of one".to_owned());
            }
            Kind::Whole => frame.payload.to_vec(),
            Kind::Compressed { length } => expanded(frame.payload, length)?,
            Kind::Part { number, is_last } => {
                let is_next = number == before.parts && (number == 0 || frame.id == before.id);
                if !is_next {
                    return Err(format!("part {number} behind {} parts", before.parts));
                }
                let mut text = before.text;
                if text.len() + frame.payload.len() > LARGEST {
                    return Err("a text that is too long".to_owned());
                }
                text.extend_from_slice(frame.payload);
                if !is_last {
                    let parts = number.checked_add(1).ok_or("too many parts")?;
                    *self = Assembly { id: frame.id, parts, text };
                    return Ok(None);
                }
                text
            }
        };
        String::from_utf8(whole).map(Some).map_err(|_| "a text that is none".to_owned())
    }
}

fn expanded(payload: &[u8], length: usize) -> Result<Vec<u8>, String> {
    if length > LARGEST {
        return Err(format!("a text of {length} bytes"));
    }
    let mut text = bunzip(payload, length).map_err(|error| error.to_string())?;
    match text.pop() {
        Some(0) if text.len() + 1 == length => Ok(text),
        _ => Err("a compressed text of another length".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::{HEADER, PART, encode};

    fn part(id: u32, number: u16, text: &[u8]) -> Vec<u8> {
        let mut bytes = encode(id, std::str::from_utf8(text).unwrap());
        bytes[36] = 0;
        bytes[32] = 1;
        bytes[34..36].copy_from_slice(&number.to_ne_bytes());
        bytes
    }

    const FULL: usize = PART - HEADER - 1;

    #[test]
    fn parts_are_put_together() {
        let mut assembly = Assembly::default();
        let full = vec![b'x'; FULL];
        assert_eq!(assembly.add(&part(5, 0, &full)), Ok(None));
        assert_eq!(assembly.add(&part(5, 1, &full)), Ok(None));
        let text = assembly.add(&part(5, 2, b"<end/>")).unwrap().unwrap();
        assert_eq!(text.len(), 2 * FULL + 6);
        assert!(text.ends_with("x<end/>"));
        assert_eq!(assembly, Assembly::default());
    }

    #[test]
    fn a_part_that_is_missing_another_message_or_another_id_is_an_error() {
        let full = vec![b'x'; FULL];
        for second in [part(5, 2, b"a"), part(6, 1, b"a"), part(5, 0, &full), encode(5, "<a/>")] {
            let mut assembly = Assembly::default();
            assert_eq!(assembly.add(&part(5, 0, &full)), Ok(None));
            assert!(assembly.add(&second).is_err());
            assert_eq!(assembly, Assembly::default());
        }
        assert!(Assembly::default().add(&part(5, 1, b"a")).is_err());
    }

    #[test]
    fn endless_parts_are_an_error() {
        let mut assembly = Assembly::default();
        let full = vec![b'x'; FULL];
        let ends = (0..=u16::MAX).find(|number| assembly.add(&part(5, *number, &full)).is_err());
        assert_eq!(usize::from(ends.unwrap()), LARGEST / FULL);
    }

    #[test]
    fn what_is_no_text_is_an_error() {
        let mut bytes = encode(1, "<a/>");
        bytes[HEADER] = 0xff;
        assert!(Assembly::default().add(&bytes).is_err());
    }
}
