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
    /// `REMOTE_PROC_AUTH_POLKIT`
    AuthPolkit = 70,
    /// `REMOTE_PROC_DOMAIN_IS_PERSISTENT`
    DomainIsPersistent = 151,
    /// `REMOTE_PROC_DOMAIN_ABORT_JOB`
    DomainAbortJob = 164,
    /// `REMOTE_PROC_DOMAIN_HAS_MANAGED_SAVE_IMAGE`
    DomainHasManagedSaveImage = 183,
    /// `REMOTE_PROC_DOMAIN_MANAGED_SAVE_REMOVE`
    DomainManagedSaveRemove = 184,
    /// `REMOTE_PROC_DOMAIN_CREATE_WITH_FLAGS`
    DomainCreateWithFlags = 196,
    /// `REMOTE_PROC_DOMAIN_GET_STATE`
    DomainGetState = 212,
    /// `REMOTE_PROC_DOMAIN_UNDEFINE_FLAGS`
    DomainUndefineFlags = 231,
    /// `REMOTE_PROC_DOMAIN_SAVE_FLAGS`
    DomainSaveFlags = 232,
    /// `REMOTE_PROC_DOMAIN_RESTORE_FLAGS`
    DomainRestoreFlags = 233,
    /// `REMOTE_PROC_DOMAIN_DESTROY_FLAGS`
    DomainDestroyFlags = 234,
    /// `REMOTE_PROC_DOMAIN_SAVE_IMAGE_GET_XML_DESC`
    DomainSaveImageGetXmlDesc = 235,
    /// `REMOTE_PROC_DOMAIN_SHUTDOWN_FLAGS`
    DomainShutdownFlags = 258,
    /// `REMOTE_PROC_CONNECT_LIST_ALL_DOMAINS`
    ConnectListAllDomains = 273,
    /// `REMOTE_PROC_DOMAIN_DEFINE_XML_FLAGS`
    DomainDefineXmlFlags = 350,
}

impl Procedure {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::ConnectOpen,
        Self::ConnectClose,
        Self::DomainCreateXml,
        Self::DomainGetXmlDesc,
        Self::DomainGetInfo,
        Self::DomainLookupByName,
        Self::DomainLookupByUuid,
        Self::DomainResume,
        Self::DomainSuspend,
        Self::AuthList,
        Self::AuthPolkit,
        Self::DomainIsPersistent,
        Self::DomainAbortJob,
        Self::DomainHasManagedSaveImage,
        Self::DomainManagedSaveRemove,
        Self::DomainCreateWithFlags,
        Self::DomainGetState,
        Self::DomainUndefineFlags,
        Self::DomainSaveFlags,
        Self::DomainRestoreFlags,
        Self::DomainDestroyFlags,
        Self::DomainSaveImageGetXmlDesc,
        Self::DomainShutdownFlags,
        Self::ConnectListAllDomains,
        Self::DomainDefineXmlFlags,
    ];

    /// The procedure with this number, if it is one of these.
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        Self::ALL.iter().copied().find(|call| call.number() == number)
    }

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
            Self::AuthPolkit => "\"authenticate by polkit\"",
            Self::DomainIsPersistent => "\"is the domain persistent\"",
            Self::DomainAbortJob => "\"abort the job of a domain\"",
            Self::DomainHasManagedSaveImage => "\"has the domain a managed save image\"",
            Self::DomainManagedSaveRemove => "\"remove a managed save image\"",
            Self::DomainCreateWithFlags => "\"start a defined domain\"",
            Self::DomainGetState => "\"domain state\"",
            Self::DomainUndefineFlags => "\"undefine domain\"",
            Self::DomainSaveFlags => "\"save domain\"",
            Self::DomainRestoreFlags => "\"restore domain\"",
            Self::DomainDestroyFlags => "\"destroy domain\"",
            Self::DomainSaveImageGetXmlDesc => "\"describe a saved domain\"",
            Self::DomainShutdownFlags => "\"shut domain down\"",
            Self::ConnectListAllDomains => "\"list domains\"",
            Self::DomainDefineXmlFlags => "\"define domain\"",
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

/// Libvirt's limit for a list of domains (`REMOTE_DOMAIN_LIST_MAX`).
pub(crate) const DOMAIN_LIST_MAX: u32 = 16384;

/// The authentication method that needs nothing of us.
pub(crate) const POLKIT: &str = "polkit";

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
            2 => methods.push(POLKIT),
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

/// A description.
pub(crate) fn text(reader: &mut Reader<'_>) -> Result<String, XdrError> {
    reader.string().map(str::to_owned)
}

/// A question that is answered by yes or no.
pub(crate) fn yes(reader: &mut Reader<'_>) -> Result<bool, XdrError> {
    reader.i32().map(|word| word != 0)
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
