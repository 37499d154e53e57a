//! What was asked before. Two rules with different reasons: a signed datagram that arrives twice is a recording, and so is a copy of a
//! change that was carried out ([`Replays`], for as long as there is room, also after a restart); and one request is carried out
//! once, though a client sends it many times, in copies that differ ([`Window`], 10 s). Invariant: the oldest is forgotten first, and nothing else; what changes a
//! domain is not forgotten because of questions, which come every minute.

use crate::{Datagram, DomainName, Operation, Request};
use sha2::{Digest as _, Sha256};
use std::collections::{HashSet, VecDeque};
use std::{fmt, net::IpAddr, time::Duration};

/// The length of a digest, and of an entry in the file, in bytes.
const ENTRY: usize = 16;
/// What the file begins with; as long as an entry.
const HEADER: &[u8; ENTRY] = b"duet-xvm-seen 2\n";
/// How long copies of a request that was carried out are duplicates.
const WINDOW: Duration = Duration::from_secs(10);

/// What tells a signed datagram from all others; says nothing about the key. Its last bit says whether a domain was to be changed.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; ENTRY]);

impl Digest {
    /// As in the file.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; ENTRY] {
        &self.0
    }

    /// Whether its datagram was to change a domain: only that is of any use to who sends it again.
    #[must_use]
    pub fn changes(&self) -> bool {
        Self::is_change(&self.0)
    }

    /// The same of an entry of the file.
    #[must_use]
    pub fn is_change(entry: &[u8]) -> bool {
        entry.last().is_some_and(|byte| byte & 1 == 1)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

impl Datagram {
    /// Its digest; `None` for an unsigned one, which has no random bytes, and which anybody could make anew anyway.
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        let digest = Sha256::digest(self.as_bytes());
        let mut first = [0; ENTRY];
        first.copy_from_slice(&digest[..ENTRY]);
        first[ENTRY - 1] = first[ENTRY - 1] & !1 | u8::from(self.operation().changes());
        self.is_signed().then_some(Digest(first))
    }
}

impl Request {
    /// What all copies of a request that changes a domain have in common, whatever address they name; `None` for a question. Numbers of
    /// stock's clients are below a million: one in a million for each earlier one about the same domain hits on a number that was there.
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        let domain = self.target.domain()?.as_str().to_ascii_lowercase();
        let digest = Sha256::new()
            .chain_update(b"duet: a request that was carried out\0")
            .chain_update([self.operation.number()])
            .chain_update(self.sequence.to_le_bytes())
            .chain_update(domain)
            .finalize();
        let mut first = [0; ENTRY];
        first.copy_from_slice(&digest[..ENTRY]);
        first[ENTRY - 1] |= 1;
        self.operation.changes().then_some(Digest(first))
    }
}

/// The signed datagrams that have arrived, and the changes that were carried out. Each datagram is to be added once it is verified and before anything else happens, so
/// that a copy that led to nothing cannot be kept for later. There are no times in it: a clock that steps makes
/// nothing come back.
#[derive(Debug)]
pub struct Replays {
    /// Questions, and what changes a domain: neither makes the other give way.
    order: [VecDeque<Digest>; 2],
    known: HashSet<Digest>,
    capacity: usize,
}

impl Replays {
    /// None yet, and room for `capacity` questions and as many others: of questions, at one a minute from each of four nodes with one
    /// address, 65536 are eleven days; of others, more than are ever asked. Each takes about 50 bytes.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { order: Default::default(), known: HashSet::new(), capacity: capacity.max(1) }
    }

    /// Adds one. False if it is there already.
    pub fn add(&mut self, digest: Digest) -> bool {
        if !self.known.insert(digest) {
            return false;
        }
        let order = &mut self.order[usize::from(digest.changes())];
        if order.len() == self.capacity {
            if let Some(oldest) = order.pop_front() {
                self.known.remove(&oldest);
            }
        }
        order.push_back(digest);
        true
    }

    /// Whether it is there.
    #[must_use]
    pub fn contains(&self, digest: &Digest) -> bool {
        self.known.contains(digest)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// The whole file: its header, then digests, of each kind the oldest first. More digests may be appended to it as they are added.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = HEADER.to_vec();
        self.order.iter().flatten().for_each(|digest| bytes.extend_from_slice(&digest.0));
        bytes
    }

    /// From the file, of which the newest `capacity` digests of each kind count. `None` if it is no such file. The part of a digest at the
    /// end is left by a crash and is passed over, so the file has to be written anew before anything is appended.
    #[must_use]
    pub fn from_bytes(bytes: &[u8], capacity: usize) -> Option<Self> {
        let mut replays = Self::new(capacity);
        for entry in bytes.strip_prefix(HEADER)?.chunks_exact(ENTRY) {
            let mut digest = [0; ENTRY];
            digest.copy_from_slice(entry);
            replays.add(Digest(digest));
        }
        Some(replays)
    }
}

/// Who asks, as it is compared with permissions and shown in logs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Source {
    /// By multicast the address in the request, by tcp that of the peer.
    Address(IpAddr),
    /// A guest's number on vsock.
    Cid(u32),
    /// The UUID of the guest at the other end of a serial line or channel.
    Domain(String),
}

impl From<IpAddr> for Source {
    /// An IPv4 address in the clothes of IPv6 is the IPv4 address.
    fn from(address: IpAddr) -> Self {
        Self::Address(address.to_canonical())
    }
}

impl fmt::Display for Source {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(out),
            Self::Cid(cid) => cid.fmt(out),
            Self::Domain(uuid) => uuid.fmt(out),
        }
    }
}

/// Whether a request is to be carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It was not seen in the last 10 s.
    Fresh,
    /// It was carried out in the last 10 s: a copy.
    Duplicate,
}

/// The requests that were carried out in the last 10 s.
#[derive(Debug, Default)]
pub struct Window(VecDeque<(Duration, Asked)>);

#[derive(Debug, PartialEq, Eq)]
struct Asked {
    operation: Operation,
    sequence: u32,
    domain: Option<String>,
    source: Option<Source>,
}

impl Asked {
    /// Copies of a request have different addresses where the client has several, so the source does not count for
    /// what changes a domain: off is carried out once. It does for questions, where two nodes that hit on the same
    /// number would otherwise wait for each other.
    fn new(request: &Request, source: &Source) -> Self {
        Self {
            operation: request.operation,
            sequence: request.sequence,
            domain: request.target.domain().map(DomainName::as_str).map(str::to_ascii_lowercase),
            source: (!request.operation.changes()).then(|| source.clone()),
        }
    }
}

impl Window {
    /// Whether it was carried out already. `now` is of a clock that does not step.
    #[must_use]
    pub fn admits(&mut self, request: &Request, source: &Source, now: Duration) -> Admission {
        while self.0.front().is_some_and(|(then, _)| now.saturating_sub(*then) > WINDOW) {
            self.0.pop_front();
        }
        let asked = Asked::new(request, source);
        if self.0.iter().any(|(_, before)| *before == asked) {
            Admission::Duplicate
        } else {
            Admission::Fresh
        }
    }

    /// The same, and from now on it counts as carried out: to be asked once, when the peer has proved that it has the
    /// key, immediately before acting. Two copies on two connections cannot both be fresh.
    #[must_use]
    pub fn claim(&mut self, request: &Request, source: &Source, now: Duration) -> Admission {
        let admission = self.admits(request, source, now);
        if admission == Admission::Fresh {
            self.0.push_back((now, Asked::new(request, source)));
        }
        admission
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Algorithm, Key, Protection, Target};

    fn request(operation: Operation, domain: &str, sequence: u32) -> Request {
        let target = Target::Domain(domain.parse().unwrap());
        Request { operation, target, by_uuid: false, call_back: None, sequence }
    }

    fn signed(random: u8) -> Digest {
        let key = Key::new(b"0123456789abcdef").unwrap();
        let protection = Protection::new(Algorithm::Sha256, Some(&key)).unwrap();
        request(Operation::Off, "node1", 1).sign(&protection, [random; 6]).digest().unwrap()
    }

    fn source(last: u8) -> Source {
        IpAddr::from([10, 0, 0, last]).into()
    }

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn situation_25_the_same_datagram_is_new_once_and_other_copies_are_new() {
        let mut replays = Replays::new(10);
        assert!(replays.add(signed(1)) && replays.add(signed(2)));
        assert!(!replays.add(signed(1)) && !replays.add(signed(2)));
    }

    #[test]
    fn the_oldest_gives_way() {
        let mut replays = Replays::new(2);
        assert!((1..=3).all(|random| replays.add(signed(random))));
        assert_eq!(replays.len(), 2);
        assert!(!replays.add(signed(2)) && replays.add(signed(1)));
    }

    #[test]
    fn a_recorded_off_is_known_however_many_questions_come_after_it() {
        let key = Key::new(b"0123456789abcdef").unwrap();
        let protection = Protection::new(Algorithm::Sha256, Some(&key)).unwrap();
        let asked = |operation, sequence| {
            request(operation, "x", sequence).sign(&protection, [1; 6]).digest().unwrap()
        };
        let mut replays = Replays::new(2);
        for operation in [Operation::Off, Operation::Reboot] {
            assert!(replays.add(asked(operation, 1)));
        }
        for operation in [Operation::Monitor, Operation::Status, Operation::List] {
            assert!((0..9).all(|sequence| replays.add(asked(operation, sequence))));
        }
        let mut again = Replays::from_bytes(&replays.to_bytes(), 2).unwrap();
        for replays in [&mut replays, &mut again] {
            assert_eq!(replays.len(), 4);
            assert!(!replays.add(asked(Operation::Off, 1)));
            assert!(!replays.add(asked(Operation::Reboot, 1)));
            assert!(!replays.add(asked(Operation::List, 8)));
        }
    }

    #[test]
    fn what_was_seen_is_known_after_a_restart() {
        let mut replays = Replays::new(10);
        assert!((1..=3).all(|random| replays.add(signed(random))));
        let mut file = replays.to_bytes();
        file.extend_from_slice(signed(4).as_bytes());
        file.extend_from_slice(&signed(5).as_bytes()[..7]);
        let mut again = Replays::from_bytes(&file, 10).unwrap();
        assert!((1..=4).all(|random| !again.add(signed(random))));
        assert!(again.add(signed(5)));
        let newest = Replays::from_bytes(&file, 2).unwrap();
        assert_eq!(newest.to_bytes()[ENTRY..], file[ENTRY * 3..ENTRY * 5]);
    }

    #[test]
    fn another_file_is_none() {
        assert!(Replays::from_bytes(b"", 10).is_none());
        assert!(Replays::from_bytes(b"duet-xvm-seen 1\n", 10).is_none());
        assert!(Replays::from_bytes(HEADER, 10).is_some_and(|replays| replays.is_empty()));
    }

    #[test]
    fn an_unsigned_datagram_has_no_digest() {
        assert!(request(Operation::Off, "a", 1).sign(&Protection::None, [1; 6]).digest().is_none());
    }

    #[test]
    fn situation_24_a_request_is_carried_out_once_in_10_seconds() {
        let mut window = Window::default();
        let off = request(Operation::Off, "node1", 7);
        assert_eq!(window.claim(&off, &source(1), at(100)), Admission::Fresh);
        for (other, from, now, admission) in [
            (off.clone(), 1, 110, Admission::Duplicate),
            (request(Operation::Off, "NODE1", 7), 1, 105, Admission::Duplicate),
            (off.clone(), 2, 105, Admission::Duplicate),
            (request(Operation::Off, "node1", 8), 1, 105, Admission::Fresh),
            (request(Operation::Reboot, "node1", 7), 1, 105, Admission::Fresh),
            (request(Operation::Off, "node2", 7), 1, 105, Admission::Fresh),
            (off, 1, 111, Admission::Fresh),
        ] {
            assert_eq!(window.admits(&other, &source(from), at(now)), admission, "{other:?} {now}");
        }
    }

    #[test]
    fn what_copies_of_a_change_have_in_common_is_number_domain_and_operation() {
        let off = request(Operation::Off, "node1", 7);
        let common = off.digest().unwrap();
        assert!(common.changes());
        let copy = Request { call_back: "10.0.0.9:7".parse().ok(), by_uuid: true, ..off };
        assert_eq!(copy.digest(), Some(common));
        assert_eq!(request(Operation::Off, "NODE1", 7).digest(), Some(common));
        for other in [
            request(Operation::Off, "node1", 8),
            request(Operation::Off, "node2", 7),
            request(Operation::Reboot, "node1", 7),
        ] {
            assert_ne!(other.digest().unwrap(), common, "{other:?}");
        }
        for question in [Operation::Status, Operation::Monitor, Operation::List] {
            assert_eq!(request(question, "node1", 7).digest(), None);
        }
    }

    #[test]
    fn questions_of_two_nodes_with_the_same_number_are_two() {
        let mut window = Window::default();
        let monitor = request(Operation::Monitor, "x", 7);
        assert_eq!(window.claim(&monitor, &source(1), at(1)), Admission::Fresh);
        assert_eq!(window.claim(&monitor, &source(2), at(1)), Admission::Fresh);
        assert_eq!(window.claim(&monitor, &source(1), at(1)), Admission::Duplicate);
    }

    #[test]
    fn addresses_are_written_as_the_configuration_has_them() {
        let mapped: IpAddr = "::ffff:10.0.0.1".parse().unwrap();
        assert_eq!(Source::from(mapped).to_string(), "10.0.0.1");
        assert_eq!(Source::Cid(3).to_string(), "3");
    }
}
