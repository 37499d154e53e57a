//! Why a daemon of Pacemaker's could not be asked. Invariant: "nobody is there", "what is there is not understood" and "it does
//! not answer" stay apart, because only the first two may be asked in another way.

use std::io;

/// A question that got no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No socket, or nobody listens on it.
    #[error("Nobody listens on Pacemaker's socket {name}")]
    Nobody {
        /// Of which service.
        name: String,
    },
    /// Who listens is not Pacemaker: its processes run as root or as the owner of its directory.
    #[error("Who listens on Pacemaker's socket {name} is user {uid}, and not Pacemaker")]
    Untrusted {
        /// Of which service.
        name: String,
        /// Who it is.
        uid: u32,
    },
    /// The daemon does not want to talk to this process.
    #[error("Pacemaker's {name} refused the connection with error {errno}")]
    Refused {
        /// Which service.
        name: String,
        /// As libqb says it.
        errno: i32,
    },
    /// It speaks in a way that this crate does not know.
    #[error("Pacemaker's {name} speaks in an unknown way: {what}")]
    Unknown {
        /// Which service.
        name: String,
        /// What is not known.
        what: String,
    },
    /// It did not answer in time.
    #[error("Pacemaker's {name} did not answer in time")]
    Deadline {
        /// Which service.
        name: String,
    },
    /// It went away.
    #[error("Pacemaker's {name} closed the connection")]
    Closed {
        /// Which service.
        name: String,
    },
    /// It answered that it will not.
    #[error("Pacemaker's {name} answered with error {code}")]
    Said {
        /// Which service.
        name: String,
        /// Negative: one of the system's, or of Pacemaker's own from 200 on.
        code: i32,
    },
    /// This machine could not do something.
    #[error("Could not {doing} of Pacemaker's {name}")]
    Io {
        /// Which service.
        name: String,
        /// What was tried.
        doing: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

impl Error {
    /// Whether the daemon is there, speaks as it should, and does not answer: then nobody else will get an answer either.
    #[must_use]
    pub fn is_silence(&self) -> bool {
        matches!(self, Error::Deadline { .. })
    }

    pub(crate) fn io(name: &str, doing: &'static str, source: impl Into<io::Error>) -> Error {
        Error::Io { name: name.to_owned(), doing, source: source.into() }
    }

    pub(crate) fn unknown(name: &str, what: impl Into<String>) -> Error {
        Error::Unknown { name: name.to_owned(), what: what.into() }
    }
}
