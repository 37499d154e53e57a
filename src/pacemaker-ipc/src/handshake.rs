//! libqb's handshake on a service's socket: what a client sends, and where the daemon then listens. Invariant: pure; an offer
//! names files of this connection's own directory and nothing else.
//!
//! Seen with libqb 2.0.6: all numbers in the machine's own order, each of a header's in eight bytes.

/// What a client sends.
pub(crate) const REQUEST: usize = 24;
/// What the daemon answers with: a header, the transport, the largest message, a pointer of its own, three names.
pub(crate) const RESPONSE: usize = 40 + 3 * NAME;
/// Each name, with its end: `PATH_MAX`.
const NAME: usize = 4096;
/// The id of both (`QB_IPC_MSG_AUTHENTICATE`).
const AUTHENTICATE: i32 = -1;
/// Where rings are.
const SHM: &str = "/dev/shm/";
/// The largest message that is asked for: what Pacemaker 2.1's own clients ask for without configuration, and its servers'
/// minimum.
pub(crate) const LARGEST_MESSAGE: u32 = 128 * 1024;
/// The largest that is taken from a daemon that was configured for more (`PCMK_ipc_buffer`).
const LARGEST_OFFER: u32 = 64 * 1024 * 1024;

/// How messages go to and fro.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Datagram sockets, and a file for what waits in them (`PCMK_ipc_type=socket`).
    Socket,
    /// Rings in shared memory, which Linux has unless told otherwise.
    SharedMemory,
}

/// What a daemon offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// How.
    pub transport: Transport,
    /// No message is larger, in bytes.
    pub largest: u32,
    /// For requests.
    pub request: String,
    /// For responses. The answers that this crate asks for are all events.
    pub response: String,
    /// For events.
    pub event: String,
}

/// What is wrong with an offer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// The daemon says no.
    #[error("error {0}")]
    Refused(i32),
    /// It is no such message, or not one of libqb 2.
    #[error("{0}")]
    Unknown(String),
}

/// What a client sends.
#[must_use]
pub fn request() -> [u8; REQUEST] {
    let mut bytes = [0; REQUEST];
    bytes[0..4].copy_from_slice(&AUTHENTICATE.to_ne_bytes());
    bytes[8..12].copy_from_slice(&24_u32.to_ne_bytes());
    bytes[16..20].copy_from_slice(&LARGEST_MESSAGE.to_ne_bytes());
    bytes
}

pub(crate) fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_ne_bytes(four.try_into().ok()?))
}

/// The same bits with a sign.
pub(crate) fn signed(word: u32) -> i32 {
    i32::from_ne_bytes(word.to_ne_bytes())
}

impl Offer {
    /// From the daemon's answer.
    ///
    /// # Errors
    /// [`HandshakeError`].
    pub fn parse(bytes: &[u8]) -> Result<Offer, HandshakeError> {
        let unknown = |what: &str| Err(HandshakeError::Unknown(what.to_owned()));
        let at = |at| word(bytes, at).unwrap_or_default();
        if bytes.len() != RESPONSE || at(8) as usize != RESPONSE {
            return unknown("the answer to the handshake has another length");
        }
        if signed(at(0)) != AUTHENTICATE {
            return unknown("the answer to the handshake is another message");
        }
        if at(16) != 0 {
            return Err(HandshakeError::Refused(signed(at(16))));
        }
        let transport = match at(24) {
            0 => Transport::Socket,
            1 => Transport::SharedMemory,
            other => return unknown(&format!("transport {other}")),
        };
        let largest = at(28);
        if !(4096..=LARGEST_OFFER).contains(&largest) {
            return unknown(&format!("messages of up to {largest} bytes"));
        }
        let (request, response, event) =
            (name(bytes, 40)?, name(bytes, 40 + NAME)?, name(bytes, 40 + 2 * NAME)?);
        Ok(Offer { transport, largest, request, response, event })
    }
}

/// A name at this place. libqb 2 says the whole path; before, it was another one, in another directory.
fn name(bytes: &[u8], at: usize) -> Result<String, HandshakeError> {
    let unknown = |what: &str| HandshakeError::Unknown(what.to_owned());
    let field = bytes.get(at..at + NAME).ok_or_else(|| unknown("a name is missing"))?;
    let end = field.iter().position(|byte| *byte == 0).ok_or_else(|| unknown("an endless name"))?;
    if end == 0 {
        return Ok(String::new());
    }
    let text = std::str::from_utf8(&field[..end]).map_err(|_| unknown("a name that is no text"))?;
    let inside = text.strip_prefix(SHM).ok_or_else(|| unknown("files outside of /dev/shm"))?;
    let is_plain = inside.split('/').all(|part| !matches!(part, "" | "." | ".."))
        && inside.split('/').count() <= 2
        && text.len() <= 200;
    if is_plain { Ok(text.to_owned()) } else { Err(unknown("a path that is not plain")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer() -> Vec<u8> {
        let mut bytes = vec![0; RESPONSE];
        bytes[0..4].copy_from_slice(&AUTHENTICATE.to_ne_bytes());
        bytes[8..12].copy_from_slice(&12328_u32.to_ne_bytes());
        bytes[24] = 1;
        bytes[28..32].copy_from_slice(&131_072_u32.to_ne_bytes());
        for (place, kind) in ["request", "response", "event"].iter().enumerate() {
            let path = format!("/dev/shm/qb-1-2-3-abcdef/qb-{kind}-cib_rw");
            bytes[40 + place * NAME..][..path.len()].copy_from_slice(path.as_bytes());
        }
        bytes
    }

    #[test]
    fn an_offer_is_read() {
        let offer = Offer::parse(&offer()).unwrap();
        assert_eq!((offer.transport, offer.largest), (Transport::SharedMemory, 131_072));
        assert_eq!(offer.event, "/dev/shm/qb-1-2-3-abcdef/qb-event-cib_rw");
    }

    #[test]
    fn a_refusal_is_one() {
        let mut bytes = offer();
        bytes[16..20].copy_from_slice(&(-13_i32).to_ne_bytes());
        assert_eq!(Offer::parse(&bytes), Err(HandshakeError::Refused(-13)));
    }

    #[test]
    fn no_file_is_opened_outside_of_its_directory() {
        for path in [
            "/etc/passwd",
            "/dev/shm/../mem",
            "/dev/shm/a/b/c",
            "/dev/shm//x",
            "/dev/shm/",
            "qb-cib",
        ] {
            let mut bytes = offer();
            bytes[40..40 + NAME].fill(0);
            bytes[40..40 + path.len()].copy_from_slice(path.as_bytes());
            assert!(matches!(Offer::parse(&bytes), Err(HandshakeError::Unknown(_))), "{path}");
        }
    }

    #[test]
    fn another_transport_size_or_length_is_unknown() {
        for (at, value) in [(24, 3_u32), (28, 0), (28, u32::MAX), (8, 24), (0, 1)] {
            let mut bytes = offer();
            bytes[at..at + 4].copy_from_slice(&value.to_ne_bytes());
            assert!(
                matches!(Offer::parse(&bytes), Err(HandshakeError::Unknown(_))),
                "{at} {value}"
            );
        }
        assert!(Offer::parse(&offer()[..RESPONSE - 1]).is_err());
        assert!(Offer::parse(&[]).is_err());
    }
}
