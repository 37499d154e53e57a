//! The local wire of Pacemaker's daemons, as far as the fencing handlers and the agents need it: libqb's handshake, rings and datagrams,
//! Pacemaker's header, and the few messages. A tool of Pacemaker's costs a process and some thirty libraries for each question.
//!
//! Invariant: every wait has a deadline; nothing that a daemon sends makes a call panic, hang or grow without bound; what is of
//! an unknown kind is said to be so, and never guessed.

mod assemble;
mod attributes;
mod bunzip;
mod cib;
mod connection;
mod controller;
mod datagram;
mod error;
mod handshake;
mod header;
mod mapping;
mod message;
mod ring;
mod socket;

pub use assemble::Assembly;
pub use attributes::Attributes;
pub use bunzip::{BunzipError, bunzip};
pub use cib::{CibClient, Outcome, Scope};
pub use connection::{Connection, Inbox};
pub use controller::{Controller, NodeInfo};
pub use error::Error;
pub use handshake::{Offer, Transport, request as handshake_request};
pub use header::{Frame, Kind, Layout, encode};
pub use mapping::{HEADER as HEADER_FILE, Mapping};
pub use message::{
    CibReply, ControllerReply, attribute_query, cib_lookup, cib_request, controller_request, hello,
    read_attribute_reply, read_cib_reply, read_controller_reply, read_nvpair_values, register,
};
pub use ring::{Ring, RingError};
pub use socket::Sockets;
