//! libvirt's own client library (libvirt.so) behind the interface of `duet-libvirt-rpc`: for connections that the native
//! client does not serve, migration, pools and networks.
//!
//! Its calls block for as long as they like and cannot be called off. So each connection, and each migration, has a
//! thread of its own; who asks waits until the deadline and then abandons that thread, and a connection with an
//! abandoned call answers nothing any more. A thread and not a process, because the program ends right after a
//! conversation that broke; it has to end by `_exit` (`duet_host::run` does), which waits for no thread and runs no
//! destructor under one.
//! Invariant: no call outlasts the time that was allowed, and nothing of the library's reaches stderr.
#![allow(
    clippy::disallowed_methods,
    reason = "threads that wait for the library; deadlines need the monotonic clock"
)]

mod connection;
mod fault;
mod library;
mod migration;
mod worker;

pub use connection::Connection;

use duet_libvirt_rpc::ClientLibrary;

/// What a program that has the library hands to an agent.
pub const CLIENT_LIBRARY: ClientLibrary = ClientLibrary {
    open: |uri, limit| Ok(Box::new(Connection::open(uri, limit)?)),
    migrate: migration::begin,
};
