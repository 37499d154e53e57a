//! The list of hosts: records of 130 bytes, ended by one of zeros. Invariant: what is written has zeros where there is
//! nothing; what is read ends at the first NUL, whatever is behind it.

use crate::target::FIELD;
use crate::{DomainName, Error};

/// The length of a record, in bytes.
pub const RECORD: usize = 2 * FIELD + 2;
/// libvirt's number of a running domain, the only one that clients show as on.
const RUNNING: u8 = 1;
/// How many hosts are read at most. 65536 of them are 8 MB.
const MOST: usize = 65_536;

/// One host, that is one domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its name.
    pub name: String,
    /// Its UUID as text.
    pub uuid: String,
    /// libvirt's number of its state (`virDomainState`).
    pub state: u8,
}

impl Record {
    /// A record that fits on the wire.
    ///
    /// # Errors
    /// [`Error::Name`] for a name or UUID that has no place in its field.
    pub fn new(name: &str, uuid: &str, state: u8) -> Result<Self, Error> {
        let fits = |text: &str| text.parse::<DomainName>().map(|_| text.to_owned());
        Ok(Self { name: fits(name)?, uuid: fits(uuid)?, state })
    }

    /// Whether clients show it as on.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.state == RUNNING
    }

    /// As on the wire. Text that does not fit is cut, which [`Record::new`] rules out.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; RECORD] {
        let mut bytes = [0; RECORD];
        for (at, text) in [(0, &self.name), (FIELD, &self.uuid)] {
            let length = text.len().min(FIELD - 1);
            bytes[at..at + length].copy_from_slice(&text.as_bytes()[..length]);
        }
        bytes[2 * FIELD] = self.state;
        bytes
    }

    /// From the wire; `None` is the end of the list. Bytes that are no UTF-8 become U+FFFD.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; RECORD]) -> Option<Self> {
        let [name, uuid] = [&bytes[..FIELD], &bytes[FIELD..2 * FIELD]].map(|field| {
            let length = field.iter().position(|byte| *byte == 0).unwrap_or(FIELD);
            String::from_utf8_lossy(&field[..length]).into_owned()
        });
        if name.is_empty() && uuid.is_empty() {
            return None;
        }
        Some(Self { name, uuid, state: bytes[2 * FIELD] })
    }
}

/// A list as it comes in or goes out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostList(pub Vec<Record>);

impl HostList {
    /// All records and the one that ends them, without the bytes that come before and after.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes: Vec<u8> = self.0.iter().flat_map(Record::to_bytes).collect();
        bytes.resize(bytes.len() + RECORD, 0);
        bytes
    }

    /// Takes one record from the wire. True at the end of the list.
    ///
    /// # Errors
    /// [`Error::EndlessList`], so that no peer can fill the memory.
    pub fn take(&mut self, bytes: &[u8; RECORD]) -> Result<bool, Error> {
        let Some(record) = Record::from_bytes(bytes) else { return Ok(true) };
        if self.0.len() == MOST {
            return Err(Error::EndlessList(MOST));
        }
        self.0.push(record);
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "11111111-2222-4333-8444-555555555501";

    #[test]
    fn a_record_has_zeros_where_there_is_nothing() {
        let bytes = Record::new("node1", UUID, 5).unwrap().to_bytes();
        assert_eq!(&bytes[..6], b"node1\0");
        assert!(bytes[5..64].iter().all(|byte| *byte == 0));
        assert_eq!(&bytes[64..100], UUID.as_bytes());
        assert!(bytes[100..128].iter().all(|byte| *byte == 0));
        assert_eq!(bytes[128..], [5, 0]);
    }

    #[test]
    fn what_is_behind_the_nul_and_in_the_padding_does_not_count() {
        let record = Record::new("node1", UUID, 1).unwrap();
        let mut bytes = record.to_bytes();
        (bytes[63], bytes[127], bytes[129]) = (0xad, 0x5a, 0xaa);
        assert_eq!(Record::from_bytes(&bytes), Some(record));
    }

    #[test]
    fn a_list_without_end_is_an_error() {
        let record = Record::new("x", UUID, 1).unwrap().to_bytes();
        let mut list = HostList::default();
        for _ in 0..MOST {
            assert_eq!(list.take(&record), Ok(false));
        }
        assert_eq!(list.take(&record), Err(Error::EndlessList(MOST)));
        assert_eq!(list.take(&[0; RECORD]), Ok(true));
    }

    #[test]
    fn names_that_do_not_fit_are_no_record() {
        assert!(Record::new(&"x".repeat(64), UUID, 1).is_err());
        assert!(Record::new("", UUID, 1).is_err());
    }

    #[test]
    fn fields_without_nul_are_read_whole() {
        let record = Record::from_bytes(&[b'x'; RECORD]).unwrap();
        assert_eq!((record.name.len(), record.uuid.len()), (64, 64));
    }
}
