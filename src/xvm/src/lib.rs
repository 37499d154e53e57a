//! The language of fence_xvm and fence_virtd, without a socket: requests, replies, host lists, signatures and challenges
//! as types, and who may do what. Invariant: nothing here reads, writes or waits; what is not understood is an error.
//!
//! The wire is that of fence-virt, little-endian on every architecture. A [`Request`] leaves as a [`Datagram`] signed
//! under a [`Protection`]; whoever gets one has a request only after [`Datagram::verify`]. Then both sides drive an
//! [`exchange`] over a stream, in which each proves that it has the key.

#![forbid(unsafe_code)]

mod algorithm;
mod challenge;
pub mod configuration;
mod error;
pub mod exchange;
mod host_list;
mod key;
mod operation;
pub mod permission;
mod protection;
mod request;
mod seen;
pub mod serial;
mod target;

pub use algorithm::Algorithm;
pub use challenge::{CHALLENGE, Challenge, NONCE, Outstanding, Response};
pub use error::Error;
pub use host_list::{HostList, RECORD, Record};
pub use key::{Fingerprint, Key};
pub use operation::{Operation, Reply};
pub use protection::{Keyed, Protection};
pub use request::{Datagram, REQUEST, Request};
pub use seen::{Admission, Digest, Replays, Source, Window};
pub use target::{DomainName, Target};

/// The port of requests and of call-backs, unless configured otherwise.
pub const PORT: u16 = 1229;
/// The multicast group of requests over IPv4, unless configured otherwise.
pub const GROUP_V4: std::net::Ipv4Addr = std::net::Ipv4Addr::new(225, 0, 0, 12);
/// The multicast group of requests over IPv6, unless configured otherwise.
pub const GROUP_V6: std::net::Ipv6Addr = std::net::Ipv6Addr::new(0xff05, 0, 0, 0, 0, 0, 3, 1);
/// Where both sides look for the key, unless configured otherwise.
pub const KEY_FILE: &str = "/etc/cluster/fence_xvm.key";
