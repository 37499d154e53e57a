//! Under which numbers the kernel has DRBD's messages: both change whenever the module is loaded. Invariant: a family
//! that is not DRBD's, or has another header, is refused.

use super::attributes::{Attributes, fields, name, text, u16, u32, u32_at};
use super::message::{self, Message};
use super::write::{REQUEST, Writer};
use super::{Error, Said};

/// The family that tells of families.
pub(super) const CONTROLLER: u16 = 16;
/// The group in which it tells that one came or went.
pub const CONTROL_GROUP: u32 = 16;
const NAME: &str = "drbd";
/// There is none; the same number on all of Linux.
const ENOENT: i32 = 2;
/// Bytes of DRBD's own header: minor, and flags or a code.
pub(super) const OWN_HEADER: u32 = 8;

const GET_FAMILY: u8 = 3;
const NEW_FAMILY: u8 = 1;
const DELETE_FAMILY: u8 = 2;
/// Bytes of a generic netlink header.
pub(super) const GENERIC_HEADER: usize = 4;

/// Attributes of a family.
mod of_family {
    pub(super) const ID: u16 = 1;
    pub(super) const NAME: u16 = 2;
    pub(super) const VERSION: u16 = 3;
    pub(super) const HEADER: u16 = 4;
    pub(super) const GROUPS: u16 = 7;
}

/// Attributes of a group.
mod of_group {
    pub(super) const NAME: u16 = 1;
    pub(super) const ID: u16 = 2;
}

/// DRBD's family of messages, as the kernel has it now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family {
    /// The type of its messages.
    pub id: u16,
    /// 1 in 8.4, 2 in 9.
    pub version: u32,
    /// The multicast group `events`.
    pub events_group: Option<u32>,
}

impl Family {
    /// As it stands in a header; what does not fit there is no version that is known.
    pub(super) fn version_byte(self) -> u8 {
        u8::try_from(self.version).unwrap_or(u8::MAX)
    }
}

/// The question for DRBD's family.
#[must_use]
pub fn ask_family(sequence: u32) -> Vec<u8> {
    Writer::new(CONTROLLER, REQUEST, sequence)
        .command(GET_FAMILY, 1)
        .text(of_family::NAME, NAME)
        .finish()
}

/// Reads the answer to it; `None` where the kernel has no such family.
///
/// # Errors
/// See [`Error`].
pub fn read_family(message: &Message<'_>) -> Result<Option<Family>, Error> {
    match message.kind {
        CONTROLLER => {
            let (command, attributes) = split(message.body)?;
            if command != NEW_FAMILY {
                return Err(Error::Malformed("it answers another question"));
            }
            Ok(Some(decode(attributes)?))
        }
        message::ERROR => match refusal(message.body) {
            Err(Error::Errno(ENOENT)) => Ok(None),
            Err(error) => Err(error),
            Ok(_) => Err(Error::Malformed("an acknowledgement that was not asked for")),
        },
        _ => Err(Error::Malformed("it is no answer of the controller")),
    }
}

fn split(body: &[u8]) -> Result<(u8, &[u8]), Error> {
    let (header, attributes) =
        body.split_at_checked(GENERIC_HEADER).ok_or(Error::Malformed("it ends within a header"))?;
    Ok((header[0], attributes))
}

fn decode(attributes: &[u8]) -> Result<Family, Error> {
    use of_family::{GROUPS, HEADER, ID, NAME as NAME_OF, VERSION};
    let [id, called, version, header, groups] =
        fields(attributes, [ID, NAME_OF, VERSION, HEADER, GROUPS])?;
    let (Some(id), Some(called), Some(version)) = (id, called, version) else {
        return Err(Error::Malformed("a family without id, name or version"));
    };
    let id = u16(id)?;
    if text(called)? != NAME || id < message::FIRST_FAMILY || id == CONTROLLER {
        return Err(Error::Malformed("it is another family's"));
    }
    if header.map(u32).transpose()? != Some(OWN_HEADER) {
        return Err(Error::Malformed("the family's header is not of 8 bytes"));
    }
    let mut events_group = None;
    for group in Attributes::new(groups.unwrap_or_default()) {
        let [called, id] = fields(group?.1, [of_group::NAME, of_group::ID])?;
        if called.map(name).transpose()?.as_deref() == Some("events") {
            events_group = id.map(u32).transpose()?.filter(|id| *id != 0);
        }
    }
    Ok(Family { id, version: u32(version)?, events_group })
}

/// Whether the controller says that this family is no more: the module is being unloaded.
pub(super) fn is_gone(body: &[u8], family: Family) -> Result<bool, Error> {
    let (command, attributes) = split(body)?;
    if command != DELETE_FAMILY {
        return Ok(false);
    }
    let [id, called] = fields(attributes, [of_family::ID, of_family::NAME])?;
    let is_its_id = id.map(u16).transpose()? == Some(family.id);
    Ok(is_its_id || called.map(text).transpose()? == Some(NAME))
}

/// What the end of a dump says: 0, or why it is not the end of all.
pub(super) fn done(body: &[u8]) -> Result<Said, Error> {
    match body {
        [] => Ok(Said::Done),
        body => match error_number(body)? {
            0 => Ok(Said::Done),
            number => Err(Error::Errno(number)),
        },
    }
}

/// What an error message says: an acknowledgement, or why not.
pub(super) fn refusal(body: &[u8]) -> Result<Said, Error> {
    match error_number(body)? {
        0 => Ok(Said::Nothing),
        number => Err(Error::Errno(number)),
    }
}

/// The kernel has them negated.
fn error_number(body: &[u8]) -> Result<i32, Error> {
    let raw = u32_at(body, 0).ok_or(Error::Malformed("it ends within an error number"))?;
    match i32::from_ne_bytes(raw.to_ne_bytes()) {
        number @ -4095..=0 => Ok(-number),
        _ => Err(Error::Malformed("an error number that is none")),
    }
}
