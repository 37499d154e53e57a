//! The one error type of this crate: what was being done, to what, and why it failed.
//! Invariant: a verdict about the guest is never an error; findings are data of their own.

use std::path::PathBuf;

/// Why a guest could not be built or a recording could not be made or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A program of binutils is not installed.
    #[error(
        "Could not run {program}, which is needed to build the guest (Debian package: binutils)"
    )]
    NoTool {
        /// Name as searched in PATH.
        program: &'static str,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The assembler or linker refused.
    #[error("Could not build the guest: {program} ended with {status}: {stderr}")]
    Build {
        /// The program that failed.
        program: &'static str,
        /// Its status in words.
        status: String,
        /// What it said.
        stderr: String,
    },
    /// What was built cannot be booted.
    #[error("The guest that was built is no boot sector: {length} bytes, ending in {ending:02x?}")]
    NotBootable {
        /// Length of the image.
        length: usize,
        /// Its last two bytes (should be 55 aa).
        ending: Vec<u8>,
    },
    /// A file could not be read or written.
    #[error("Could not {action} {}", path.display())]
    File {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A socket could not be set up for recording.
    #[error("Could not {action} of the recorder's socket for {what}")]
    Socket {
        /// What was tried.
        action: &'static str,
        /// Which stream it should have received.
        what: &'static str,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A stored recording has a line that is no event.
    #[error("Could not read line {number} of the recording as an event: {text}")]
    Recording {
        /// Counted from 1.
        number: usize,
        /// The line.
        text: String,
        /// What the parser said.
        source: serde_json::Error,
    },
}
