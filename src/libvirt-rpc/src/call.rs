//! The procedures that Duet uses, their arguments and results. Invariant: every result is read to its last byte
//! (a result with something left over is refused), so a wrong number cannot pass as a right one.

use std::fmt;

use duet_domain::{State, Uuid};

use crate::xdr::{Reader, Writer, XdrError};

/// libvirt's procedure numbers; published, and never changed once released.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum Procedure {
    /// `REMOTE_PROC_CONNECT_OPEN`
    ConnectOpen = 1,
    /// `REMOTE_PROC_CONNECT_CLOSE`
    ConnectClose = 2,
    /// `REMOTE_PROC_DOMAIN_CREATE_XML`
    DomainCreateXml = 10,
    /// `REMOTE_PROC_DOMAIN_GET_XML_DESC`
    DomainGetXmlDesc = 14,
    /// `REMOTE_PROC_DOMAIN_GET_INFO`
    DomainGetInfo = 16,
    /// `REMOTE_PROC_DOMAIN_LOOKUP_BY_NAME`
    DomainLookupByName = 23,
    /// `REMOTE_PROC_DOMAIN_LOOKUP_BY_UUID`
    DomainLookupByUuid = 24,
    /// `REMOTE_PROC_DOMAIN_RESUME`
    DomainResume = 28,
    /// `REMOTE_PROC_DOMAIN_SUSPEND`
    DomainSuspend = 34,
    /// `REMOTE_PROC_AUTH_LIST`
    AuthList = 66,
    /// `REMOTE_PROC_DOMAIN_IS_PERSISTENT`
    DomainIsPersistent = 151,
    /// `REMOTE_PROC_DOMAIN_HAS_MANAGED_SAVE_IMAGE`
    DomainHasManagedSaveImage = 183,
    /// `REMOTE_PROC_DOMAIN_GET_STATE`
    DomainGetState = 212,
    /// `REMOTE_PROC_DOMAIN_UNDEFINE_FLAGS`
    DomainUndefineFlags = 231,
    /// `REMOTE_PROC_DOMAIN_DESTROY_FLAGS`
    DomainDestroyFlags = 234,
    /// `REMOTE_PROC_DOMAIN_SHUTDOWN_FLAGS`
    DomainShutdownFlags = 258,
    /// `REMOTE_PROC_CONNECT_LIST_ALL_DOMAINS`
    ConnectListAllDomains = 273,
}

impl Procedure {
    /// The wire's number.
    #[must_use]
    pub fn number(self) -> i32 {
        self as i32
    }
}

impl fmt::Display for Procedure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::ConnectOpen => "\"open\"",
            Self::ConnectClose => "\"close\"",
            Self::DomainCreateXml => "\"create domain\"",
            Self::DomainGetXmlDesc => "\"describe domain\"",
            Self::DomainGetInfo => "\"domain info\"",
            Self::DomainLookupByName => "\"look up domain by name\"",
            Self::DomainLookupByUuid => "\"look up domain by UUID\"",
            Self::DomainResume => "\"resume domain\"",
            Self::DomainSuspend => "\"suspend domain\"",
            Self::AuthList => "\"list authentication methods\"",
            Self::DomainIsPersistent => "\"is the domain persistent\"",
            Self::DomainHasManagedSaveImage => "\"has the domain a managed save image\"",
            Self::DomainGetState => "\"domain state\"",
            Self::DomainUndefineFlags => "\"undefine domain\"",
            Self::DomainDestroyFlags => "\"destroy domain\"",
            Self::DomainShutdownFlags => "\"shut domain down\"",
            Self::ConnectListAllDomains => "\"list domains\"",
        })
    }
}

/// A domain as libvirt hands it out, and wants it handed back (`remote_nonnull_domain`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainRef {
    /// Its name.
    pub name: String,
    /// Who it is.
    pub uuid: Uuid,
    /// Number of this run; -1 when it is not active.
    pub id: i32,
}

impl DomainRef {
    /// Reads one.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, XdrError> {
        Ok(Self {
            name: reader.string()?.to_owned(),
            uuid: Uuid::from_bytes(reader.uuid()?),
            id: reader.i32()?,
        })
    }

    /// Writes it back.
    pub fn encode(&self, writer: &mut Writer) {
        writer.string(&self.name);
        writer.fixed(self.uuid.as_bytes());
        writer.i32(self.id);
    }
}

/// Size of a domain (`virDomainInfo`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DomainInfo {
    /// Most memory it may have, in KiB.
    pub max_memory_kib: u64,
    /// Memory it has now, in KiB.
    pub memory_kib: u64,
    /// Virtual CPUs.
    pub vcpus: u32,
    /// CPU time used, in nanoseconds.
    pub cpu_time_ns: u64,
}

/// What to do with a definition's belongings when it is undefined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UndefineFlags(pub(crate) u32);

impl UndefineFlags {
    /// Refuse if the domain has NVRAM or a managed save image.
    pub const PLAIN: Self = Self(0);
    /// Keep the UEFI variables.
    pub const KEEP_NVRAM: Self = Self(1 << 3);
    /// Keep the TPM's state (libvirt 8.9 and later).
    pub const KEEP_TPM: Self = Self(1 << 6);

    /// Both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Which XML of a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct XmlFlags(pub(crate) u32);

impl XmlFlags {
    /// As it is now.
    pub const LIVE: Self = Self(0);
    /// With passwords: for what is written back as a definition, never for a log.
    pub const SECURE: Self = Self(1);
    /// What the next start of a persistent domain would use.
    pub const INACTIVE: Self = Self(1 << 1);

    /// Both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Libvirt's limit for a list of domains (`REMOTE_DOMAIN_LIST_MAX`).
pub(crate) const DOMAIN_LIST_MAX: u32 = 16384;

/// The authentication methods a daemon asks for; empty means none is needed.
pub(crate) fn auth_methods(reader: &mut Reader<'_>) -> Result<Vec<&'static str>, XdrError> {
    // REMOTE_AUTH_TYPE_LIST_MAX
    let mut methods = Vec::new();
    let mut none_accepted = false;
    let count = reader.count(20)?;
    for _ in 0..count {
        match reader.u32()? {
            0 => none_accepted = true,
            1 => methods.push("sasl"),
            2 => methods.push("polkit"),
            _ => methods.push("an unrecognised method"),
        }
    }
    if none_accepted {
        methods.clear();
    }
    Ok(methods)
}

pub(crate) fn state(reader: &mut Reader<'_>) -> Result<State, XdrError> {
    Ok(State::from_numbers(reader.i32()?, reader.i32()?))
}

pub(crate) fn info(reader: &mut Reader<'_>) -> Result<DomainInfo, XdrError> {
    // XDR has no small integers: the state's byte and the CPU count's short are words.
    let _state = reader.u32()?;
    Ok(DomainInfo {
        max_memory_kib: reader.u64()?,
        memory_kib: reader.u64()?,
        vcpus: reader.u32()?,
        cpu_time_ns: reader.u64()?,
    })
}

pub(crate) fn domains(reader: &mut Reader<'_>) -> Result<Vec<DomainRef>, XdrError> {
    let count = reader.count(DOMAIN_LIST_MAX)?;
    // Grows with what is really there, not with what is claimed.
    let mut domains = Vec::new();
    for _ in 0..count {
        domains.push(DomainRef::decode(reader)?);
    }
    let _returned = reader.u32()?;
    Ok(domains)
}

/// Reads a whole body with `read` and insists that nothing is left.
pub(crate) fn whole<'a, T>(
    body: &'a [u8],
    read: impl FnOnce(&mut Reader<'a>) -> Result<T, XdrError>,
) -> Result<T, XdrError> {
    let mut reader = Reader::new(body);
    let value = read(&mut reader)?;
    reader.end()?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_body_decodes_or_is_refused(body: Vec<u8>) {
            let _ = whole(&body, auth_methods);
            let _ = whole(&body, state);
            let _ = whole(&body, info);
            let _ = whole(&body, domains);
            let _ = whole(&body, DomainRef::decode);
        }

        #[test]
        fn domains_survive_the_round_trip(name in ".{0,80}", uuid: [u8; 16], id: i32) {
            let domain = DomainRef { name, uuid: Uuid::from_bytes(uuid), id };
            let mut writer = Writer::new();
            domain.encode(&mut writer);
            prop_assert_eq!(whole(&writer.into_bytes(), DomainRef::decode), Ok(domain));
        }
    }

    #[test]
    fn a_list_that_lies_about_its_length_is_refused() {
        let body = DOMAIN_LIST_MAX.to_be_bytes();
        assert!(matches!(whole(&body, domains), Err(XdrError::Short { .. })));
        let body = (DOMAIN_LIST_MAX + 1).to_be_bytes();
        assert!(matches!(whole(&body, domains), Err(XdrError::TooLong { .. })));
    }

    #[test]
    fn no_authentication_wins_over_what_else_is_offered() {
        let words =
            |words: &[u32]| words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<u8>>();
        assert_eq!(whole(&words(&[1, 0]), auth_methods), Ok(vec![]));
        assert_eq!(whole(&words(&[2, 2, 1]), auth_methods), Ok(vec!["polkit", "sasl"]));
        assert_eq!(whole(&words(&[0]), auth_methods), Ok(vec![]));
    }
}
