//! A whole message as the answer to a call. Invariant: pure, and the only way by which bytes become answers, so what
//! is fuzzed is what runs.

use crate::{
    call::{self, DomainRef, Procedure, whole},
    error::Error,
    fault::Fault,
    wire::{FrameError, Header, Kind, REMOTE_PROGRAM, REMOTE_VERSION, Status},
    xdr::{Reader, XdrError},
};

/// Reads the answer to `asked`, or libvirt's refusal.
pub(super) fn read<T>(
    call: Procedure,
    asked: &Header,
    header: Header,
    body: &[u8],
    result: impl FnOnce(&mut Reader<'_>) -> Result<T, XdrError>,
) -> Result<T, Error> {
    let protocol = |source| Error::Protocol { call, source };
    header.answers(asked).map_err(protocol)?;
    match header.status {
        Status::Ok => whole(body, result).map_err(|error| Error::from_xdr(call, error)),
        Status::Error => Err(Error::from_fault(
            Fault::decode(body).map_err(|error| Error::from_xdr(call, error))?,
        )),
        Status::Continue | Status::Unrecognized(_) => Err(protocol(FrameError::Mismatch {
            field: "status",
            found: header.status.number().into(),
            expected: Status::Ok.number().into(),
        })),
    }
}

/// Reads `message` (what follows the length word) as the client reads the answer to its `call` number `serial`, and
/// says only whether it is one. For tests and fuzzing.
///
/// # Errors
/// Those of the call itself: a refusal by libvirt, or [`Error::Protocol`].
pub fn check_answer(call: Procedure, serial: u32, message: &[u8]) -> Result<(), Error> {
    let asked = Header {
        program: REMOTE_PROGRAM,
        version: REMOTE_VERSION,
        procedure: call.number(),
        kind: Kind::Call,
        serial,
        status: Status::Ok,
    };
    let (header, body) =
        Header::split(message).map_err(|source| Error::Protocol { call, source })?;
    let read = |result: fn(&mut Reader<'_>) -> Result<(), XdrError>| {
        read(call, &asked, header, body, result)
    };
    match call {
        Procedure::AuthList => read(|body| call::auth_methods(body).map(drop)),
        Procedure::DomainCreateXml
        | Procedure::DomainCreateWithFlags
        | Procedure::DomainDefineXmlFlags
        | Procedure::DomainLookupByName
        | Procedure::DomainLookupByUuid => read(|body| DomainRef::decode(body).map(drop)),
        Procedure::DomainGetXmlDesc | Procedure::DomainSaveImageGetXmlDesc => {
            read(|body| call::text(body).map(drop))
        }
        Procedure::DomainGetInfo => read(|body| call::info(body).map(drop)),
        Procedure::DomainGetState => read(|body| call::state(body).map(drop)),
        Procedure::AuthPolkit
        | Procedure::DomainIsPersistent
        | Procedure::DomainHasManagedSaveImage => read(|body| call::yes(body).map(drop)),
        Procedure::ConnectListAllDomains => read(|body| call::domains(body).map(drop)),
        Procedure::ConnectOpen
        | Procedure::ConnectClose
        | Procedure::DomainResume
        | Procedure::DomainSuspend
        | Procedure::DomainAbortJob
        | Procedure::DomainManagedSaveRemove
        | Procedure::DomainUndefineFlags
        | Procedure::DomainSaveFlags
        | Procedure::DomainRestoreFlags
        | Procedure::DomainDestroyFlags
        | Procedure::DomainShutdownFlags => read(|_| Ok(())),
    }
}
