//! libvirt's message frame: a length word, six header words and a body. Invariant: a frame is
//! accepted only when length, program, version, type, procedure, serial and status all fit.

use crate::xdr::{Reader, XdrError};

/// The program that carries the public API.
pub const REMOTE_PROGRAM: u32 = 0x2000_8086;
/// Its version, never changed since 2007.
pub const REMOTE_VERSION: u32 = 1;
/// The keep-alive program ("keep"); a daemon speaks it only to clients that asked, we do not ask.
pub const KEEPALIVE_PROGRAM: u32 = 0x6b65_6570;
/// Its version.
pub const KEEPALIVE_VERSION: u32 = 1;
/// "Are you there", either direction.
pub const KEEPALIVE_PING: i32 = 1;
/// The answer to it.
pub const KEEPALIVE_PONG: i32 = 2;

/// Bytes of the length word, which counts itself.
pub const LENGTH_BYTES: usize = 4;
/// Length word and header.
pub const FRAME_MIN: usize = 28;
/// libvirt's own limit for a whole message (`VIR_NET_MESSAGE_MAX`) and its length word.
pub const FRAME_MAX: usize = 32 * 1024 * 1024 + LENGTH_BYTES;

/// What kind of message a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Client to server.
    Call,
    /// Server to client, one per call.
    Reply,
    /// An event, belonging to no call.
    Message,
    /// A piece of a stream.
    Stream,
    /// Kinds with file descriptors, and whatever comes later.
    Unrecognized(u32),
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// The body is the procedure's result.
    Ok,
    /// The body is an error.
    Error,
    /// Streams only.
    Continue,
    /// Nothing known.
    Unrecognized(u32),
}

/// The six words before the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Which program.
    pub program: u32,
    /// Its version.
    pub version: u32,
    /// The procedure's number.
    pub procedure: i32,
    /// Call, reply, event.
    pub kind: Kind,
    /// Counts the calls of a connection.
    pub serial: u32,
    /// Success or error.
    pub status: Status,
}

/// Why a frame cannot be part of this conversation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The length word is impossible.
    #[error("A frame of {length} bytes is outside {FRAME_MIN} to {limit}")]
    Length {
        /// What the length word says.
        length: u32,
        /// The most this call accepts.
        limit: usize,
    },
    /// A header word is not what the call expects.
    #[error("The answer's {field} is {found}, expected {expected}")]
    Mismatch {
        /// Which header word.
        field: &'static str,
        /// What came.
        found: i64,
        /// What had to come.
        expected: i64,
    },
    /// The body does not decode.
    #[error(transparent)]
    Xdr(#[from] XdrError),
}

impl Kind {
    /// The wire's number.
    #[must_use]
    pub fn number(self) -> u32 {
        match self {
            Self::Call => 0,
            Self::Reply => 1,
            Self::Message => 2,
            Self::Stream => 3,
            Self::Unrecognized(number) => number,
        }
    }

    fn from_number(number: u32) -> Self {
        match number {
            0 => Self::Call,
            1 => Self::Reply,
            2 => Self::Message,
            3 => Self::Stream,
            other => Self::Unrecognized(other),
        }
    }
}

impl Status {
    /// The wire's number.
    #[must_use]
    pub fn number(self) -> u32 {
        match self {
            Self::Ok => 0,
            Self::Error => 1,
            Self::Continue => 2,
            Self::Unrecognized(number) => number,
        }
    }

    fn from_number(number: u32) -> Self {
        match number {
            0 => Self::Ok,
            1 => Self::Error,
            2 => Self::Continue,
            other => Self::Unrecognized(other),
        }
    }
}

/// Checks a length word and returns how many bytes follow it.
pub fn body_length(word: [u8; LENGTH_BYTES], limit: usize) -> Result<usize, FrameError> {
    let length = u32::from_be_bytes(word);
    let limit = limit.min(FRAME_MAX);
    let refused = || FrameError::Length { length, limit };
    let total = usize::try_from(length).map_err(|_| refused())?;
    if (FRAME_MIN..=limit).contains(&total) { Ok(total - LENGTH_BYTES) } else { Err(refused()) }
}

impl Header {
    /// A whole frame with this header around `body`.
    #[must_use]
    pub fn frame(&self, body: &[u8]) -> Vec<u8> {
        let total = u32::try_from(FRAME_MIN + body.len()).unwrap_or(u32::MAX);
        let mut bytes = Vec::with_capacity(FRAME_MIN + body.len());
        bytes.extend_from_slice(&total.to_be_bytes());
        bytes.extend_from_slice(&self.program.to_be_bytes());
        bytes.extend_from_slice(&self.version.to_be_bytes());
        bytes.extend_from_slice(&self.procedure.to_be_bytes());
        bytes.extend_from_slice(&self.kind.number().to_be_bytes());
        bytes.extend_from_slice(&self.serial.to_be_bytes());
        bytes.extend_from_slice(&self.status.number().to_be_bytes());
        bytes.extend_from_slice(body);
        bytes
    }

    /// Splits what follows the length word into header and body.
    pub fn split(message: &[u8]) -> Result<(Self, &[u8]), FrameError> {
        let mut reader = Reader::new(message);
        let header = Self {
            program: reader.u32()?,
            version: reader.u32()?,
            procedure: reader.i32()?,
            kind: Kind::from_number(reader.u32()?),
            serial: reader.u32()?,
            status: Status::from_number(reader.u32()?),
        };
        Ok((header, &message[FRAME_MIN - LENGTH_BYTES..]))
    }

    /// Checks that this is the answer to `call`.
    pub fn answers(&self, call: &Self) -> Result<(), FrameError> {
        let same = |field, found: i64, expected: i64| {
            if found == expected {
                Ok(())
            } else {
                Err(FrameError::Mismatch { field, found, expected })
            }
        };
        same("program", self.program.into(), call.program.into())?;
        same("version", self.version.into(), call.version.into())?;
        same("type", self.kind.number().into(), Kind::Reply.number().into())?;
        same("serial", self.serial.into(), call.serial.into())?;
        same("procedure", self.procedure.into(), call.procedure.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CALL: Header = Header {
        program: REMOTE_PROGRAM,
        version: REMOTE_VERSION,
        procedure: 23,
        kind: Kind::Call,
        serial: 7,
        status: Status::Ok,
    };

    #[test]
    fn only_the_matching_reply_answers_a_call() {
        let good = Header { kind: Kind::Reply, ..CALL };
        assert_eq!(good.answers(&CALL), Ok(()));
        let wrong = [
            ("program", Header { program: 1, ..good }),
            ("version", Header { version: 2, ..good }),
            ("type", CALL),
            ("type", Header { kind: Kind::Unrecognized(5), ..good }),
            ("serial", Header { serial: 8, ..good }),
            ("procedure", Header { procedure: 24, ..good }),
        ];
        for (name, header) in wrong {
            let answer = header.answers(&CALL);
            assert!(
                matches!(answer, Err(FrameError::Mismatch { field, .. }) if field == name),
                "{name}: {answer:?}"
            );
        }
    }

    #[test]
    fn length_words_outside_the_limits_are_refused() {
        for (length, limit, accepted) in [
            (0, 1000, false),
            (27, 1000, false),
            (28, 1000, true),
            (1000, 1000, true),
            (1001, 1000, false),
            (u32::MAX, usize::MAX, false),
        ] {
            assert_eq!(body_length(u32::to_be_bytes(length), limit).is_ok(), accepted, "{length}");
        }
    }

    proptest! {
        #[test]
        fn frames_survive_the_round_trip(
            program: u32, version: u32, procedure: i32, kind: u32, serial: u32, status: u32, body: Vec<u8>,
        ) {
            let header = Header {
                program, version, procedure, serial,
                kind: Kind::from_number(kind),
                status: Status::from_number(status),
            };
            let bytes = header.frame(&body);
            let word = bytes[..4].try_into().expect("four bytes");
            prop_assert_eq!(body_length(word, FRAME_MAX), Ok(bytes.len() - 4));
            prop_assert_eq!(Header::split(&bytes[4..]), Ok((header, &body[..])));
        }

        #[test]
        fn any_bytes_are_split_or_refused(bytes: Vec<u8>) {
            let _ = Header::split(&bytes);
        }
    }
}
