//! What client and daemon say on a stream once there is one, as two machines without a socket: each says what it
//! wants next, and is told what happened. Invariant: no machine is finished before the peer has proved that it has the
//! key, unless none is asked for.
//!
//! ```text
//! client ─ 64 bytes: challenge ──────────► daemon      nothing of these four
//!        ◄─ 64 bytes: answer ────────────              where auth is none
//!        ◄─ 64 bytes: challenge ─────────
//!        ── 64 bytes: answer ────────────►
//!        ◄─ 1 byte: reply, and 130 bytes for each host and for the end of a list
//! ```

mod client;
mod server;

pub use client::{Answer, Client, Stage};
pub use server::Server;

/// What a machine waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Want<'a> {
    /// These bytes have to be written; `wrote` takes note of it.
    Write(&'a [u8]),
    /// Exactly this many bytes have to be read; `read` takes them.
    Read(usize),
    /// Nothing more.
    Finished,
}
