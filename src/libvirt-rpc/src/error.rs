//! What can go wrong when libvirt is asked. Invariant: "nobody is there", "no answer in time", "an
//! answer that makes no sense" and "libvirt says no" stay apart, because agents act differently on each.

use std::{io, path::PathBuf, time::Duration};

use crate::{
    call::Procedure,
    fault::{Code, Fault},
    wire::FrameError,
    xdr::XdrError,
};

/// A question to libvirt that got no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No socket, or nobody listens on it.
    #[error("Could not reach libvirt: nobody listens on {}", list(.sockets))]
    NotRunning {
        /// The sockets that were tried.
        sockets: Vec<PathBuf>,
    },
    /// The socket is there, but cannot be used.
    #[error("Could not connect to {}", .socket.display())]
    Connect {
        /// Which socket.
        socket: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The daemon accepts but does not answer in time: frozen or overloaded.
    #[error("libvirt did not answer {call} within {:.1} s", .limit.as_secs_f64())]
    Deadline {
        /// What was asked.
        call: Procedure,
        /// How long the answer could take.
        limit: Duration,
    },
    /// The daemon closed the connection before it answered.
    #[error("libvirt closed the connection instead of answering {call}")]
    Closed {
        /// What was asked.
        call: Procedure,
    },
    /// Reading or writing failed.
    #[error("Could not talk to libvirt about {call}")]
    Socket {
        /// What was asked.
        call: Procedure,
        /// Why.
        source: io::Error,
    },
    /// The answer is not libvirt's protocol.
    #[error("libvirt's answer to {call} makes no sense: {source}")]
    Protocol {
        /// What was asked.
        call: Procedure,
        /// What is wrong with it.
        source: FrameError,
    },
    /// An earlier call on this connection failed midway, so that answers can no longer be matched.
    #[error("The connection to libvirt broke in an earlier call")]
    Broken,
    /// The argument is longer than libvirt accepts.
    #[error("{call} has an argument of {length} bytes, more than libvirt accepts")]
    TooLarge {
        /// What was to be asked.
        call: Procedure,
        /// The length of the request.
        length: usize,
    },
    /// The path of a file is not text.
    #[error("{call} cannot name {}: libvirt takes UTF-8 only", .path.display())]
    NotText {
        /// What was to be asked.
        call: Procedure,
        /// The path.
        path: PathBuf,
    },
    /// The daemon wants a log-in that a local agent does not have.
    #[error(
        "libvirt wants authentication ({methods}) on its socket; needed is auth_unix_rw = \"none\", or to run as root or as a member of group libvirt"
    )]
    AuthenticationNeeded {
        /// What it offers: sasl, polkit.
        methods: String,
    },
    /// libvirt's client library did not come back in time.
    #[error("libvirt's client library could not {doing} within {:.1} s", .limit.as_secs_f64())]
    Overdue {
        /// What it was asked to do.
        doing: &'static str,
        /// How long it could take.
        limit: Duration,
    },
    /// libvirt's client library could not reach a daemon, or lost it.
    #[error("{0}")]
    Unreachable(Fault),
    /// There is no such domain.
    #[error("{0}")]
    NoDomain(Fault),
    /// The domain's state does not allow what was asked.
    #[error("{0}")]
    OperationInvalid(Fault),
    /// Any other refusal of libvirt's.
    #[error("{0}")]
    Refused(Fault),
}

impl Error {
    /// What libvirt's own answer means.
    #[must_use]
    pub fn from_fault(fault: Fault) -> Self {
        match fault.code {
            Code::NoDomain => Self::NoDomain(fault),
            Code::OperationInvalid => Self::OperationInvalid(fault),
            Code::AuthFailed | Code::AuthCancelled | Code::AuthUnavailable => {
                Self::AuthenticationNeeded { methods: fault.to_string() }
            }
            Code::Internal
            | Code::NoSupport
            | Code::NoConnect
            | Code::InvalidArgument
            | Code::OperationFailed
            | Code::DomainExists
            | Code::Rpc
            | Code::OperationTimeout
            | Code::AccessDenied
            | Code::Unrecognized(_) => Self::Refused(fault),
        }
    }

    pub(crate) fn from_xdr(call: Procedure, source: XdrError) -> Self {
        Self::Protocol { call, source: FrameError::Xdr(source) }
    }

    /// libvirt answered and said no; the connection is sound.
    #[must_use]
    pub fn fault(&self) -> Option<&Fault> {
        match self {
            Self::NoDomain(fault) | Self::OperationInvalid(fault) | Self::Refused(fault) => {
                Some(fault)
            }
            Self::NotRunning { .. }
            | Self::Connect { .. }
            | Self::Deadline { .. }
            | Self::Closed { .. }
            | Self::Socket { .. }
            | Self::Protocol { .. }
            | Self::Broken
            | Self::TooLarge { .. }
            | Self::NotText { .. }
            | Self::Overdue { .. }
            | Self::Unreachable(_)
            | Self::AuthenticationNeeded { .. } => None,
        }
    }

    /// Asking again soon may help: the daemon is not there (yet), or went away under the call.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::NotRunning { .. }
                | Self::Closed { .. }
                | Self::Socket { .. }
                | Self::Unreachable(_)
                | Self::Broken
        )
    }
}

fn list(sockets: &[PathBuf]) -> String {
    let names: Vec<_> = sockets.iter().map(|socket| socket.display().to_string()).collect();
    names.join(" or ")
}
