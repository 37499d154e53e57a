//! Attributes: length, type, value, padded to four bytes; a value may be attributes again. Invariant: a length that
//! does not fit what is there is an error, and reading advances with every attribute.

use super::Error;

/// What is left of a type without the flags for nesting, byte order and (8.4) "mandatory".
const TYPE: u16 = 0x3fff;
/// The flag that says that the value is attributes.
pub(super) const NESTED: u16 = 0x8000;
const HEADER: usize = 4;

/// The attributes in `bytes`, as (type, value).
pub(super) struct Attributes<'a> {
    rest: &'a [u8],
}

impl<'a> Attributes<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Attributes<'a> {
        Attributes { rest: bytes }
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Result<(u16, &'a [u8]), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = std::mem::take(&mut self.rest);
        if rest.is_empty() {
            return None;
        }
        let (Some(length), Some(kind)) = (u16_at(rest, 0), u16_at(rest, 2)) else {
            return Some(Err(Error::Malformed("it ends within an attribute")));
        };
        let Some(value) = rest.get(HEADER..usize::from(length)) else {
            return Some(Err(Error::Malformed("the length of an attribute does not fit")));
        };
        // The last one may come without its padding.
        self.rest = rest.get(usize::from(length).next_multiple_of(4)..).unwrap_or_default();
        Some(Ok((kind & TYPE, value)))
    }
}

/// The values of these attributes, in this order; `None` for what is not there. What else is there does not matter.
pub(super) fn fields<const N: usize>(
    bytes: &[u8],
    wanted: [u16; N],
) -> Result<[Option<&[u8]>; N], Error> {
    let mut found = [None; N];
    for attribute in Attributes::new(bytes) {
        let (kind, value) = attribute?;
        if let Some(place) = wanted.iter().position(|wanted| *wanted == kind) {
            if found[place].replace(value).is_some() {
                return Err(Error::Malformed("an attribute comes twice"));
            }
        }
    }
    Ok(found)
}

/// A value of one byte that says yes or no.
pub(super) fn flag(value: &[u8]) -> Result<bool, Error> {
    match value {
        [0] => Ok(false),
        [1] => Ok(true),
        _ => Err(Error::Malformed("a flag is neither 0 nor 1")),
    }
}

/// A value of two bytes.
pub(super) fn u16(value: &[u8]) -> Result<u16, Error> {
    let bytes =
        value.try_into().map_err(|_| Error::Malformed("a number of two bytes has not two"))?;
    Ok(u16::from_ne_bytes(bytes))
}

/// A value of four bytes.
pub(super) fn u32(value: &[u8]) -> Result<u32, Error> {
    let bytes =
        value.try_into().map_err(|_| Error::Malformed("a number of four bytes has not four"))?;
    Ok(u32::from_ne_bytes(bytes))
}

/// A value of eight bytes.
pub(super) fn u64(value: &[u8]) -> Result<u64, Error> {
    let bytes =
        value.try_into().map_err(|_| Error::Malformed("a number of eight bytes has not eight"))?;
    Ok(u64::from_ne_bytes(bytes))
}

/// A text with or without the zero at its end.
pub(super) fn text(value: &[u8]) -> Result<&str, Error> {
    let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
    let (text, after) = value.split_at(end);
    if after.iter().any(|byte| *byte != 0) {
        return Err(Error::Malformed("a text goes on behind its end"));
    }
    std::str::from_utf8(text).map_err(|_| Error::Malformed("a text is not UTF-8"))
}

/// A name, by which an object is known: a text that says something.
pub(super) fn name(value: &[u8]) -> Result<String, Error> {
    match text(value)? {
        "" => Err(Error::Malformed("a name is empty")),
        name => Ok(name.to_owned()),
    }
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    u16(bytes.get(at..at.checked_add(2)?)?).ok()
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    u32(bytes.get(at..at.checked_add(4)?)?).ok()
}
