//! The library's errors in the words of `duet-libvirt-rpc`. Invariant: "could not be reached" and "says no" stay apart, by
//! code and origin and never by text.

use duet_libvirt_rpc::{Code, Error, Fault};
use virt::error::{Error as VirtError, ErrorDomain, ErrorNumber};

/// As the native client has it.
pub(crate) fn fault(error: &VirtError) -> Fault {
    let number = |raw: u32| i32::try_from(raw).unwrap_or(-1);
    Fault {
        code: Code::from_number(number(error.code().to_raw())),
        domain: number(error.domain().to_raw()),
        message: error.message().chars().take(2000).collect(),
    }
}

/// What the error of a call means.
pub(crate) fn meaning(error: &VirtError) -> Error {
    let fault = fault(error);
    // The library itself (RPC) or its remote driver lost the daemon; the same codes from elsewhere are the daemon's own.
    let is_transport = matches!(error.domain(), ErrorDomain::Rpc | ErrorDomain::Remote);
    let is_lost = matches!(
        error.code(),
        ErrorNumber::SystemError | ErrorNumber::InternalError | ErrorNumber::Rpc
    );
    match error.code() {
        _ if is_transport && is_lost => Error::Unreachable(fault),
        ErrorNumber::InvalidConn => Error::Unreachable(fault),
        _ => Error::from_fault(fault),
    }
}
