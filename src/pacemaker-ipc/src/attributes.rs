//! The attribute daemon: which value it has of an attribute. Invariant: nothing is changed through it; a value that is not known
//! for certain is an error.

use duet_ocf::Deadline;

use crate::{
    Connection, Error, Inbox, Sockets,
    message::{attribute_query, read_attribute_reply},
};

/// The service.
const SERVICE: &str = "attrd";

/// A connection to the attribute daemon.
#[derive(Debug)]
pub struct Attributes {
    connection: Connection,
}

impl Attributes {
    /// Connects.
    ///
    /// # Errors
    /// Any [`Error`].
    pub fn connect(sockets: &Sockets, deadline: Deadline) -> Result<Attributes, Error> {
        let connection = Connection::open(sockets, SERVICE, Inbox::Responses, deadline)?;
        Ok(Attributes { connection })
    }

    /// The value that a node's transient attribute of this name has, or will have once a delay is over, as
    /// `attrd_updater --query` says it; none if it has none. A Pacemaker Remote node has another one's daemon, so it has to be named.
    ///
    /// # Errors
    /// Any [`Error`].
    pub fn value(
        &mut self,
        name: &str,
        node: &str,
        deadline: Deadline,
    ) -> Result<Option<String>, Error> {
        self.connection.send(&attribute_query(name, node), deadline)?;
        let text = self.connection.receive(deadline)?;
        read_attribute_reply(&text, name, node).map_err(|what| Error::unknown(SERVICE, what))
    }
}
