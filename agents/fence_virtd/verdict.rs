//! What a datagram or a first request is worth. Invariant: nothing is done for bytes that are not a request signed as configured, nor
//! for any that came before.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use duet_xvm::{Admission, Algorithm, Datagram, Digest, Key, Replays, Request, Source, Window};

/// What is asked of those who send requests.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    pub(crate) hash: Algorithm,
    pub(crate) key: Option<Key>,
}

/// What came before.
#[derive(Debug)]
pub(crate) struct Memory {
    pub(crate) replays: Replays,
    pub(crate) window: Window,
    /// Digests that are not in the file yet.
    pub(crate) fresh: Vec<Digest>,
}

/// Why bytes lead to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Dropped {
    /// No request, or not signed as configured.
    Refused(duet_xvm::Error),
    /// These very bytes were here before.
    Replayed,
    /// A copy of what was carried out a moment ago.
    Duplicate,
    /// Its sender is being called back already.
    InFlight,
    /// It has no address to call back.
    NoAddress,
    /// Nobody can be called back there.
    BadAddress(SocketAddr),
}

/// A datagram from anybody.
///
/// `own` are addresses of our own tcp listeners: calling one back would be a conversation with ourselves. `in_flight` says whether
/// the sender of this request is being called back.
///
/// # Errors
/// Why it is dropped.
pub(crate) fn datagram(
    bytes: &[u8],
    terms: &Terms,
    memory: &mut Memory,
    own: &[SocketAddr],
    in_flight: impl FnOnce(&Request) -> bool,
    now: Duration,
) -> Result<(Request, SocketAddr), Dropped> {
    let request = request(bytes, terms, memory)?;
    let to = request.call_back.ok_or(Dropped::NoAddress)?;
    if !can_be_called(to, own) {
        return Err(Dropped::BadAddress(to));
    }
    if memory.window.admits(&request, &Source::from(to.ip()), now) == Admission::Duplicate {
        return Err(Dropped::Duplicate);
    }
    if in_flight(&request) { Err(Dropped::InFlight) } else { Ok((request, to)) }
}

/// What a peer says first on a stream.
///
/// # Errors
/// Why the connection is to be closed.
pub(crate) fn request(
    bytes: &[u8],
    terms: &Terms,
    memory: &mut Memory,
) -> Result<Request, Dropped> {
    let datagram = Datagram::new(bytes).map_err(Dropped::Refused)?;
    let request = datagram.verify(terms.hash, terms.key.as_ref()).map_err(Dropped::Refused)?;
    // Whatever becomes of it: what led to nothing now must not be of use later.
    if let Some(digest) = datagram.digest() {
        if !memory.replays.add(digest) {
            return Err(Dropped::Replayed);
        }
        memory.fresh.push(digest);
    }
    Ok(request)
}

fn can_be_called(to: SocketAddr, own: &[SocketAddr]) -> bool {
    let is_nobody = match to.ip().to_canonical() {
        IpAddr::V4(ip) => ip.is_multicast() || ip.is_unspecified() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_multicast() || ip.is_unspecified(),
    };
    let ip = to.ip().to_canonical();
    let is_ours = |own: &SocketAddr| {
        own.port() == to.port() && (own.ip() == ip || own.ip().is_unspecified() && ip.is_loopback())
    };
    !is_nobody && !own.iter().any(is_ours)
}

impl fmt::Display for Dropped {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Dropped::Refused(error) => write!(out, "{error}"),
            Dropped::Replayed => out.write_str("It was recorded and sent again"),
            Dropped::Duplicate => {
                out.write_str("It is a copy of a request that was carried out within 10 s")
            }
            Dropped::InFlight => out.write_str("Its sender is being called back already"),
            Dropped::NoAddress => out.write_str("It has no address to call back"),
            Dropped::BadAddress(address) => write!(out, "Nobody can be called back at {address}"),
        }
    }
}

#[cfg(test)]
mod tests;
