//! What a datagram or a first request is worth. Invariant: nothing is done for bytes that are not a request signed as configured, nor
//! for any that came before; a change is carried out once, whatever copies of it come, and whenever.

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

/// A request, and the bytes that it came in: those are what a client has asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) request: Request,
    pub(crate) datagram: Datagram,
}

impl Asked {
    /// What it has in common with its copies, where it is a signed change: nobody can make more of those.
    fn common(&self) -> Option<Digest> {
        if self.datagram.is_signed() { self.request.digest() } else { None }
    }
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
    /// A copy, which was not here before, of a change that was carried out long ago.
    Late,
    /// Its sender is being called back already.
    InFlight,
    /// It has no address to call back.
    NoAddress,
    /// Nobody can be called back there.
    BadAddress(SocketAddr),
}

/// A datagram from anybody.
///
/// `from` is where it came from: the kernel lets nobody else's come from the loopback. `own` are addresses of our own tcp listeners:
/// calling one back would be a conversation with ourselves. `in_flight` says whether the sender of this request is being called back.
///
/// # Errors
/// Why it is dropped.
pub(crate) fn datagram(
    bytes: &[u8],
    terms: &Terms,
    memory: &mut Memory,
    (from, own): (IpAddr, &[SocketAddr]),
    in_flight: impl FnOnce(&Request) -> bool,
    now: Duration,
) -> Result<(Asked, SocketAddr), Dropped> {
    let asked = request(bytes, terms, memory)?;
    let to = asked.request.call_back.ok_or(Dropped::NoAddress)?;
    let is_this_host = to.ip().to_canonical().is_loopback();
    if !can_be_called(to, own) || is_this_host && !from.to_canonical().is_loopback() {
        return Err(Dropped::BadAddress(to));
    }
    admits(&asked, &Source::from(to.ip()), memory, now)?;
    if in_flight(&asked.request) { Err(Dropped::InFlight) } else { Ok((asked, to)) }
}

/// Whether it was carried out before.
///
/// # Errors
/// When.
pub(crate) fn admits(
    asked: &Asked,
    source: &Source,
    memory: &mut Memory,
    now: Duration,
) -> Result<(), Dropped> {
    if memory.window.admits(&asked.request, source, now) == Admission::Duplicate {
        return Err(Dropped::Duplicate);
    }
    match asked.common() {
        Some(common) if memory.replays.contains(&common) => Err(Dropped::Late),
        Some(_) | None => Ok(()),
    }
}

/// The same, and from now on it counts as carried out: to be asked once, when the peer has proved itself, immediately before acting.
///
/// # Errors
/// When it was.
pub(crate) fn claim(
    asked: &Asked,
    source: &Source,
    memory: &mut Memory,
    now: Duration,
) -> Result<(), Dropped> {
    if memory.window.claim(&asked.request, source, now) == Admission::Duplicate {
        return Err(Dropped::Duplicate);
    }
    if let Some(common) = asked.common() {
        if !memory.replays.add(common) {
            return Err(Dropped::Late);
        }
        memory.fresh.push(common);
    }
    Ok(())
}

/// What a peer says first on a stream.
///
/// # Errors
/// Why the connection is to be closed.
pub(crate) fn request(bytes: &[u8], terms: &Terms, memory: &mut Memory) -> Result<Asked, Dropped> {
    let datagram = Datagram::new(bytes).map_err(Dropped::Refused)?;
    let request = datagram.verify(terms.hash, terms.key.as_ref()).map_err(Dropped::Refused)?;
    // Whatever becomes of it: what led to nothing now must not be of use later.
    if let Some(digest) = datagram.digest() {
        if !memory.replays.add(digest) {
            return Err(Dropped::Replayed);
        }
        memory.fresh.push(digest);
    }
    Ok(Asked { request, datagram })
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
            Dropped::Late => {
                out.write_str("It is a copy of a change that was carried out more than 10 s ago")
            }
            Dropped::InFlight => out.write_str("Its sender is being called back already"),
            Dropped::NoAddress => out.write_str("It has no address to call back"),
            Dropped::BadAddress(address) => write!(out, "Nobody can be called back at {address}"),
        }
    }
}

#[cfg(test)]
mod tests;
