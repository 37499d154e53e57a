//! The one error type of the lab. Every variant says what was being done, to what, and, where an
//! administrator can do something about it, what.

use std::io;
use std::path::PathBuf;

/// Why the lab could not go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Something this machine lacks; `cure` is a command or a setting.
    #[error("{what}\n  to cure it: {cure}")]
    Missing { what: String, cure: String },
    /// The lab is in use, or the request makes no sense now.
    #[error("{0}")]
    Refused(String),
    /// A file or socket operation.
    #[error("Could not {doing}: {source}")]
    Io { doing: String, source: io::Error },
    /// A command that ended badly or not in time.
    #[error("{doing} failed: {command}: {how}{}", tail(.output))]
    Command { doing: String, command: String, how: String, output: String },
    /// A package or image step that failed; the log has the whole story.
    #[error("{doing} failed: {why}\n  the whole story is in {}", log.display())]
    Build { doing: String, why: String, log: PathBuf },
    /// Something that was waited for did not come.
    #[error(transparent)]
    TimedOut(#[from] duet_oracle::TimedOut),
    /// A scenario saw something it must not see.
    #[error("{0}")]
    Broken(String),
}

impl Failure {
    /// An I/O error with what was being done, in the form that follows "Could not".
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }

    /// A claim of a scenario that turned out false.
    pub(crate) fn broken(what: impl Into<String>) -> Self {
        Self::Broken(what.into())
    }
}

/// The last lines of a command's output, indented, for the end of a message.
fn tail(output: &str) -> String {
    let lines: Vec<&str> = output.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(12)..].iter().map(|line| format!("\n    {line}")).collect()
}

/// Shorthand of everything in the lab.
pub(crate) type Result<T> = std::result::Result<T, Failure>;
