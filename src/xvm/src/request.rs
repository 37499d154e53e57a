//! The request, 176 bytes, the same datagram over multicast, tcp and vsock. Invariant: bytes become a request only by
//! [`Datagram::verify`], and only exactly 176 of them.

use crate::protection::{DIGEST, same};
use crate::target::FIELD;
use crate::{Algorithm, Error, Key, Operation, Protection, Target};
use std::net::{IpAddr, SocketAddr};

/// The length of a request, in bytes.
pub const REQUEST: usize = 176;

/// Where the fields are.
mod at {
    pub(super) const OPERATION: usize = 0;
    pub(super) const ALGORITHM: usize = 1;
    pub(super) const ADDRESS_LENGTH: usize = 2;
    pub(super) const FLAGS: usize = 3;
    pub(super) const DOMAIN: usize = 4;
    pub(super) const ADDRESS: usize = 68;
    pub(super) const PORT: usize = 96;
    pub(super) const RANDOM: usize = 98;
    pub(super) const SEQUENCE: usize = 104;
    pub(super) const FAMILY: usize = 108;
    pub(super) const HASH: usize = 112;
}

/// Linux's numbers of the address families, which are those of the wire.
const INET: u32 = 2;
const INET6: u32 = 10;
/// The flag that says that the domain is a UUID. Daemons go by its looks.
const IS_UUID: u8 = 1;

/// What is asked, of whom, and where the answer is awaited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What is asked.
    pub operation: Operation,
    /// About which domain.
    pub target: Target,
    /// Whether the client says that the domain is a UUID. Of no consequence.
    pub by_uuid: bool,
    /// Where the daemon has to connect to, for requests by multicast; `None` for those that came over a stream, and where
    /// family, address and port make no address.
    pub call_back: Option<SocketAddr>,
    /// The same in all copies of one request; fence-virt's client takes the microseconds of its clock.
    pub sequence: u32,
}

impl Request {
    /// As it goes over the wire. `random` should differ in each copy, so that no two of them are the same bytes; it is
    /// left out where nothing is signed.
    #[must_use]
    pub fn sign(&self, protection: &Protection, random: [u8; 6]) -> Datagram {
        let mut bytes = [0; REQUEST];
        bytes[at::OPERATION] = self.operation.number();
        bytes[at::ALGORITHM] = protection.algorithm().number();
        bytes[at::FLAGS] = if self.by_uuid { IS_UUID } else { 0 };
        put(&mut bytes, at::DOMAIN, &self.target.to_field());
        if let Some(call_back) = self.call_back {
            let family = match call_back.ip() {
                IpAddr::V4(address) => {
                    bytes[at::ADDRESS_LENGTH] = 4;
                    put(&mut bytes, at::ADDRESS, &address.octets());
                    INET
                }
                IpAddr::V6(address) => {
                    bytes[at::ADDRESS_LENGTH] = 16;
                    put(&mut bytes, at::ADDRESS, &address.octets());
                    INET6
                }
            };
            put(&mut bytes, at::FAMILY, &family.to_le_bytes());
            put(&mut bytes, at::PORT, &call_back.port().to_le_bytes());
        }
        put(&mut bytes, at::SEQUENCE, &self.sequence.to_le_bytes());
        if let Protection::Keyed(keyed) = protection {
            put(&mut bytes, at::RANDOM, &random);
            let digest = keyed.digest(&bytes);
            put(&mut bytes, at::HASH, &digest);
        }
        Datagram(bytes)
    }
}

/// The bytes of a request of which nobody knows yet who wrote them.
#[derive(Clone, PartialEq, Eq)]
pub struct Datagram([u8; REQUEST]);

impl Datagram {
    /// Takes what was received, which has to be of the length of a request.
    ///
    /// # Errors
    /// [`Error::Length`].
    pub fn new(bytes: &[u8]) -> Result<Self, Error> {
        bytes.try_into().map(Self).map_err(|_| Error::Length(bytes.len()))
    }

    /// As on the wire.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; REQUEST] {
        &self.0
    }

    /// The request, if it is signed with `least` or better, by `key`. With `least` none, unsigned requests are anybody's
    /// and pass; signed ones are verified all the same.
    ///
    /// # Errors
    /// [`Error::UnknownAlgorithm`], [`Error::TooWeak`], [`Error::NoKey`] and [`Error::Signature`].
    pub fn verify(&self, least: Algorithm, key: Option<&Key>) -> Result<Request, Error> {
        let number = self.0[at::ALGORITHM];
        let got = Algorithm::from_number(number).ok_or(Error::UnknownAlgorithm(number))?;
        if got < least {
            return Err(Error::TooWeak { got, wanted: least });
        }
        match Protection::new(got, key)? {
            Protection::None => Ok(self.read()),
            Protection::Keyed(keyed) => {
                let mut unsigned = self.0;
                put(&mut unsigned, at::HASH, &[0; DIGEST]);
                let signature: [u8; DIGEST] = get(&self.0, at::HASH);
                if same(&keyed.digest(&unsigned), &signature) {
                    Ok(self.read())
                } else {
                    Err(Error::Signature(got))
                }
            }
        }
    }

    /// Whether it says that it is signed. Only what is signed has random bytes that tell it from all others.
    #[must_use]
    pub fn is_signed(&self) -> bool {
        self.0[at::ALGORITHM] != Algorithm::None.number()
    }

    /// What it says that is asked.
    pub(crate) fn operation(&self) -> Operation {
        Operation::from_number(self.0[at::OPERATION])
    }

    fn read(&self) -> Request {
        Request {
            operation: self.operation(),
            target: Target::from_field(&get::<FIELD>(&self.0, at::DOMAIN)),
            by_uuid: self.0[at::FLAGS] & IS_UUID != 0,
            call_back: self.call_back(),
            sequence: u32::from_le_bytes(get(&self.0, at::SEQUENCE)),
        }
    }

    fn call_back(&self) -> Option<SocketAddr> {
        let address = match u32::from_le_bytes(get(&self.0, at::FAMILY)) {
            INET => IpAddr::from(get::<4>(&self.0, at::ADDRESS)),
            INET6 => IpAddr::from(get::<16>(&self.0, at::ADDRESS)),
            _ => return None,
        };
        let port = u16::from_le_bytes(get(&self.0, at::PORT));
        (port != 0).then(|| SocketAddr::new(address, port))
    }
}

impl std::fmt::Debug for Datagram {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Datagram({:?})", self.read())
    }
}

fn put(bytes: &mut [u8; REQUEST], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

fn get<const N: usize>(bytes: &[u8; REQUEST], at: usize) -> [u8; N] {
    let mut value = [0; N];
    value.copy_from_slice(&bytes[at..at + N]);
    value
}
