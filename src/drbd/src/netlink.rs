//! DRBD's kernel module over generic netlink: questions as bytes, answers and notifications as [`Change`]s.
//! Invariant: no bytes make reading panic, go in circles or take more than they are, and what is missing or unknown
//! in them never reads as a value that is better than unknown.

mod attributes;
mod decode;
mod family;
mod message;
mod whole;
mod write;

pub use family::{CONTROL_GROUP, Family, ask_family, read_family};
pub use message::{Message, Messages, messages};
pub use whole::{Torn, whole};
pub use write::Writer;

use crate::{Change, Generation, Version};

/// Why a message says nothing that can be used. The socket it came from is of no use after any of these: a dump that
/// began with a refusal repeats it without end (8.4.11, 9.3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is not what such a message looks like.
    #[error("A message of the kernel cannot be understood: {0}")]
    Malformed(&'static str),
    /// DRBD refused; the number is one of its `ERR_` codes.
    #[error("DRBD's kernel module refused with code {0}")]
    Refused(u32),
    /// The kernel refused, with this error number.
    #[error("The kernel refused with error number {0}")]
    Errno(i32),
    /// The messages are of another generation of drivers than the version says: their numbers mean something else.
    #[error("DRBD {version} speaks version {family} of its messages, which is not known of it")]
    Mismatch {
        /// The version of the family.
        family: u32,
        /// The driver's.
        version: Version,
    },
}

/// What can be asked for. Always all there is: a filter by a name that nobody has makes the module repeat its refusal
/// without end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dump {
    /// Resources, with options.
    Resources,
    /// This node's volumes.
    Devices,
    /// Connections.
    Connections,
    /// The peers' volumes.
    PeerDevices,
    /// All of these at one moment, in the form of notifications.
    InitialState,
}

impl Dump {
    /// The command's number.
    #[must_use]
    pub const fn command(self) -> u8 {
        match self {
            Dump::Resources => 30,
            Dump::Devices => 31,
            Dump::Connections => 32,
            Dump::PeerDevices => 33,
            Dump::InitialState => 38,
        }
    }
}

/// What a message says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// Something about DRBD.
    Change(Box<Change>),
    /// Nothing that matters.
    Nothing,
    /// That the dump is complete.
    Done,
    /// That something was not said, or will not be said here any more: the module is gone, or messages are.
    Lost,
}

/// Reads the messages of one driver. Made anew whenever the module may have been loaded anew.
#[derive(Debug, Clone)]
pub struct Decoder {
    family: Family,
    generation: Generation,
}

impl Decoder {
    /// For the driver of this version, which speaks this family.
    ///
    /// # Errors
    /// [`Error::Mismatch`] unless they are known to go together: version 1 with 8.4, 2 with 9. The raw number 8 of a
    /// disk is UpToDate in one and Consistent in the other.
    pub fn new(family: Family, version: Version) -> Result<Decoder, Error> {
        let generation = version.generation();
        match (family.version, version.major, generation) {
            (1, 8, Generation::V8) | (2, 9, Generation::V9) => Ok(Decoder { family, generation }),
            (version_of_family, ..) => Err(Error::Mismatch { family: version_of_family, version }),
        }
    }

    /// The family it reads.
    #[must_use]
    pub fn family(&self) -> Family {
        self.family
    }

    /// The request for a dump.
    #[must_use]
    pub fn ask(&self, dump: Dump, sequence: u32) -> Vec<u8> {
        // What drbdsetup sends as well: no minor, no flags.
        Writer::new(self.family.id, write::REQUEST | write::DUMP, sequence)
            .command(dump.command(), self.family.version_byte())
            .word(u32::MAX)
            .word(0)
            .finish()
    }

    /// Reads a message that answers the request for `dump`.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn answer(&self, dump: Dump, message: &Message<'_>) -> Result<Said, Error> {
        match message.kind {
            message::NOOP => Ok(Said::Nothing),
            message::DONE => family::done(message.body),
            message::ERROR => family::refusal(message.body),
            message::OVERRUN => Ok(Said::Lost),
            kind if kind == self.family.id => {
                let said = decode::Statement::split(message.body, self.family)?;
                let fits = match dump {
                    Dump::InitialState => said.is_notification(),
                    dump => said.command == dump.command(),
                };
                if fits {
                    said.change(self.generation)
                } else {
                    Err(Error::Malformed("it answers another question"))
                }
            }
            _ => Err(Error::Malformed("it is of another family")),
        }
    }

    /// Reads a message that came unasked, from the group of the family or from [`CONTROL_GROUP`].
    ///
    /// # Errors
    /// See [`Error`].
    pub fn notification(&self, message: &Message<'_>) -> Result<Said, Error> {
        match message.kind {
            message::NOOP => Ok(Said::Nothing),
            message::OVERRUN => Ok(Said::Lost),
            family::CONTROLLER => family::is_gone(message.body, self.family)
                .map(|is_gone| if is_gone { Said::Lost } else { Said::Nothing }),
            kind if kind == self.family.id => {
                decode::Statement::split(message.body, self.family)?.change(self.generation)
            }
            _ => Err(Error::Malformed("it is of another family")),
        }
    }
}
