//! libvirt's wire protocol over the local socket: a codec without I/O, and a small blocking client
//! in which every call has a deadline. Loading libvirt.so costs more than ten times what the whole
//! conversation does, and its calls cannot be given a deadline; hence this crate.
//! Invariant: no answer, however wrong, late or large, makes a call panic, hang or grow without bound.

mod call;
mod client;
mod error;
mod fault;
mod flags;
mod hypervisor;
pub mod library;
mod socket;
pub mod wire;
pub mod xdr;

pub use call::{DomainInfo, DomainRef, Procedure};
pub use client::{Client, check_answer};
pub use error::Error;
pub use fault::{Code, Fault};
pub use flags::{
    CreateFlags, DefineFlags, DestroyFlags, SaveFlags, ShutdownFlags, UndefineFlags, XmlFlags,
};
pub use hypervisor::Hypervisor;
pub use library::{ClientLibrary, JobInfo, Library, Order};
pub use socket::{Driver, SOCKET_DIR};
