//! What can go wrong between us and the machine. The text says what we were doing and to what; the
//! source holds why.

use crate::NetlinkError;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such program in the directories that are searched.
    #[error("Could not find the program {program}")]
    NotFound {
        /// Its name.
        program: String,
    },
    /// It is there but could not be started.
    #[error("Could not start {program}")]
    Start {
        /// Its name.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// It did not end in time; its process group was killed.
    #[error("{program} did not end within {:.1} s and was killed", after.as_secs_f32())]
    TimedOut {
        /// Its name.
        program: String,
        /// How long it had.
        after: Duration,
    },
    /// It did not even end after SIGKILL (a process in uninterruptible sleep).
    #[error("{program} did not end within {:.1} s and cannot be killed", after.as_secs_f32())]
    Unkillable {
        /// Its name.
        program: String,
        /// How long it had.
        after: Duration,
    },
    /// Its pipes or its status could not be read.
    #[error("Could not talk to {program}")]
    Talk {
        /// Its name.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// A file could not be read.
    #[error("Could not read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file's storage did not answer in time.
    #[error("Could not use {}: its storage did not answer within {:.1} s", path.display(), after.as_secs_f32())]
    Stalled {
        /// Which.
        path: PathBuf,
        /// How long it had.
        after: Duration,
    },
    /// A file is larger than anything we would expect there.
    #[error("{} is larger than {limit} bytes", path.display())]
    TooLarge {
        /// Which.
        path: PathBuf,
        /// The limit.
        limit: usize,
    },
    /// It is no regular file.
    #[error("{} is not a regular file", path.display())]
    NotAFile {
        /// Which.
        path: PathBuf,
    },
    /// Somebody else could have written it.
    #[error("{} belongs to, or can be changed by, somebody else", path.display())]
    NotPrivate {
        /// Which.
        path: PathBuf,
    },
    /// It is no UTF-8 text.
    #[error("{} is not text", path.display())]
    NotText {
        /// Which.
        path: PathBuf,
    },
    /// A lock could not be taken.
    #[error("Could not lock {}", path.display())]
    Lock {
        /// Its file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A process could not be sent a signal.
    #[error("Could not send a signal to process {pid}")]
    Signal {
        /// Which.
        pid: u32,
        /// Why.
        source: io::Error,
    },
    /// A file could not be written; what was there before still is.
    #[error("Could not write {}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// DRBD's module is not loaded.
    #[error("DRBD's kernel module is not loaded")]
    NoDrbd,
    /// DRBD's module is loaded, and its version cannot be told: how to read its messages neither.
    #[error("Could not tell which version of DRBD is loaded, from {} or /proc/drbd", path.display())]
    DrbdVersion {
        /// Where it should be.
        path: PathBuf,
    },
    /// DRBD's tool was asked, and did not tell.
    #[error("drbdsetup could not tell DRBD's state: {how}")]
    DrbdTool {
        /// What became of it.
        how: String,
    },
    /// The module's messages could not be understood, and its tool did not help.
    #[error("drbdsetup could not tell DRBD's state either: {how}")]
    Drbdsetup {
        /// What became of it.
        how: String,
        /// Why it was asked.
        source: NetlinkError,
    },
    /// DRBD's module could not be asked.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
}

impl Error {
    /// Whether the cause is that the file does not exist.
    #[must_use]
    pub fn is_missing_file(&self) -> bool {
        matches!(self, Error::Read { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    /// Whether the cause is that time ran out.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(
            self,
            Error::TimedOut { .. }
                | Error::Unkillable { .. }
                | Error::Stalled { .. }
                | Error::Netlink(NetlinkError::TimedOut { .. })
        )
    }
}
