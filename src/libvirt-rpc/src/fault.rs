//! An error as libvirt sends it (`remote_error`). Invariant: the code decides, never the text,
//! because texts differ by driver, version and language.

use std::fmt;

use crate::xdr::{Reader, XdrError};

/// libvirt's error numbers, as far as a decision depends on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// `VIR_ERR_INTERNAL_ERROR`
    Internal,
    /// `VIR_ERR_NO_SUPPORT`: this driver does not have the call.
    NoSupport,
    /// `VIR_ERR_NO_CONNECT`: no driver for this URI.
    NoConnect,
    /// `VIR_ERR_INVALID_ARG`: also what an unknown flag gets.
    InvalidArgument,
    /// `VIR_ERR_OPERATION_FAILED`: also "already exists with uuid ...".
    OperationFailed,
    /// `VIR_ERR_DOM_EXIST`
    DomainExists,
    /// `VIR_ERR_RPC`
    Rpc,
    /// `VIR_ERR_NO_DOMAIN`
    NoDomain,
    /// `VIR_ERR_AUTH_FAILED`
    AuthFailed,
    /// `VIR_ERR_OPERATION_INVALID`: the domain's state does not allow it.
    OperationInvalid,
    /// `VIR_ERR_OPERATION_TIMEOUT`: typically a job lock that somebody else holds.
    OperationTimeout,
    /// `VIR_ERR_AUTH_CANCELLED`
    AuthCancelled,
    /// `VIR_ERR_ACCESS_DENIED`
    AccessDenied,
    /// `VIR_ERR_AUTH_UNAVAILABLE`
    AuthUnavailable,
    /// Any other number.
    Unrecognized(i32),
}

impl Code {
    /// From the wire's number.
    #[must_use]
    pub fn from_number(number: i32) -> Self {
        match number {
            1 => Self::Internal,
            3 => Self::NoSupport,
            5 => Self::NoConnect,
            8 => Self::InvalidArgument,
            9 => Self::OperationFailed,
            28 => Self::DomainExists,
            39 => Self::Rpc,
            42 => Self::NoDomain,
            45 => Self::AuthFailed,
            55 => Self::OperationInvalid,
            68 => Self::OperationTimeout,
            79 => Self::AuthCancelled,
            88 => Self::AccessDenied,
            94 => Self::AuthUnavailable,
            other => Self::Unrecognized(other),
        }
    }

    /// The wire's number.
    #[must_use]
    pub fn number(self) -> i32 {
        match self {
            Self::Internal => 1,
            Self::NoSupport => 3,
            Self::NoConnect => 5,
            Self::InvalidArgument => 8,
            Self::OperationFailed => 9,
            Self::DomainExists => 28,
            Self::Rpc => 39,
            Self::NoDomain => 42,
            Self::AuthFailed => 45,
            Self::OperationInvalid => 55,
            Self::OperationTimeout => 68,
            Self::AuthCancelled => 79,
            Self::AccessDenied => 88,
            Self::AuthUnavailable => 94,
            Self::Unrecognized(number) => number,
        }
    }
}

/// An error that libvirt itself reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What kind.
    pub code: Code,
    /// Which part of libvirt (`virErrorDomain`).
    pub domain: i32,
    /// libvirt's own text.
    pub message: String,
}

/// An administrator's terminal is not the place for a daemon's megabyte, so the text is cut there.
const MESSAGE_MAX: usize = 2000;

impl Fault {
    /// Reads a `remote_error`.
    pub fn decode(body: &[u8]) -> Result<Self, XdrError> {
        let mut reader = Reader::new(body);
        let code = Code::from_number(reader.i32()?);
        let domain = reader.i32()?;
        let message: String =
            reader.optional_string()?.unwrap_or("no message").chars().take(MESSAGE_MAX).collect();
        // level, the domain, three strings, two numbers and a network follow; they add nothing to
        // the message, so their decoding cannot be what hides it from the administrator.
        Ok(Self { code, domain, message })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // One line: everything after a line break would be lost to Pacemaker's exit reason.
        let message = self.message.replace(['\n', '\r'], " ");
        write!(out, "{} (libvirt error {}/{})", message.trim(), self.code.number(), self.domain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xdr::Writer;
    use proptest::prelude::*;

    #[test]
    fn codes_and_numbers_agree() {
        for number in -5..200 {
            assert_eq!(Code::from_number(number).number(), number);
        }
    }

    #[test]
    fn a_fault_is_one_line_with_its_numbers() {
        let mut writer = Writer::new();
        writer.i32(42);
        writer.i32(10);
        writer.optional_string(Some("Domain not found:\nno domain"));
        let fault = Fault::decode(&writer.into_bytes()).unwrap();
        assert_eq!(fault.code, Code::NoDomain);
        assert_eq!(fault.to_string(), "Domain not found: no domain (libvirt error 42/10)");
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_fault_or_refused(bytes: Vec<u8>) {
            let _ = Fault::decode(&bytes);
        }
    }
}
