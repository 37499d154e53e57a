//! The CIB's daemon: what the CIB is, and changes of it. Invariant: a change that may have been sent is never said not to have
//! been, and is sent once.

use duet_ocf::Deadline;

use crate::{
    Connection, Error, Inbox, Sockets,
    message::{cib_lookup, cib_request, read_cib_reply, read_nvpair_values, register},
};

/// The service, for those who may change something.
const SERVICE: &str = "cib_rw";
/// Of a call: answered by this node from its own copy (`cib_scope_local`).
const LOCAL: u32 = 0x100;
/// Of a question: what is asked for is an XPath (`cib_xpath`).
const XPATH: u32 = 0x2;
/// The answer where it finds nothing (ENXIO).
const NOTHING: i32 = -6;

/// Whose CIB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The DC's.
    Cluster,
    /// This node's copy, which needs no DC.
    Local,
}

/// What came of a change.
#[derive(Debug)]
pub enum Outcome {
    /// Nobody has got it.
    NotSent(Error),
    /// It may have been made, or be yet.
    Unanswered(Error),
    /// The answer: 0, or a negative error, one of the system's or of Pacemaker's own from 200 on.
    Answered(i32),
}

/// A connection to the CIB's daemon.
#[derive(Debug)]
pub struct CibClient {
    connection: Connection,
    call: u32,
}

impl CibClient {
    /// Connects.
    ///
    /// # Errors
    /// Any [`Error`].
    pub fn connect(sockets: &Sockets, deadline: Deadline) -> Result<CibClient, Error> {
        let mut connection = Connection::open(sockets, SERVICE, Inbox::Events, deadline)?;
        connection.send(&register(), deadline)?;
        Ok(CibClient { connection, call: 0 })
    }

    /// The whole CIB.
    ///
    /// # Errors
    /// Any [`Error`]; [`Error::Said`] if the daemon says no.
    pub fn query(&mut self, scope: Scope, deadline: Deadline) -> Result<String, Error> {
        let options = match scope {
            Scope::Cluster => 0,
            Scope::Local => LOCAL,
        };
        self.send("cib_query", options, None, deadline)?;
        match self.answer("cib_query", deadline)? {
            (0, Some(cib)) => Ok(cib),
            (0, None) => Err(Error::unknown(SERVICE, "an answer without a CIB")),
            (code, _) => Err(Error::Said { name: SERVICE.to_owned(), code }),
        }
    }

    /// The values of a node's transient attribute of this name that this node's copy of the CIB has: none where it was seen to have
    /// none. What the attribute daemon has is not always there: a controller that is started again leaves the node without any.
    ///
    /// # Errors
    /// Any [`Error`]; [`Error::Said`] if the daemon says no.
    pub fn transient_values(
        &mut self,
        name: &str,
        node: &str,
        deadline: Deadline,
    ) -> Result<Vec<String>, Error> {
        if [name, node].iter().any(|text| text.contains('\'')) {
            return Err(Error::unknown(SERVICE, "a name that no XPath can have"));
        }
        let path =
            format!("//node_state[@uname='{node}']/transient_attributes//nvpair[@name='{name}']");
        self.call += 1;
        self.connection.send(&cib_lookup(&path, self.call, LOCAL | XPATH), deadline)?;
        match self.answer("cib_query", deadline)? {
            (0, Some(found)) => {
                read_nvpair_values(&found).map_err(|what| Error::unknown(SERVICE, what))
            }
            (NOTHING, _) => Ok(Vec::new()),
            (0, None) => Err(Error::unknown(SERVICE, "an answer without what was found")),
            (code, _) => Err(Error::Said { name: SERVICE.to_owned(), code }),
        }
    }

    /// Applies a patch, as `cibadmin --patch` does.
    pub fn apply(&mut self, patch: &str, deadline: Deadline) -> Outcome {
        self.change("cib_apply_diff", Some(patch), deadline)
    }

    /// Gives the CIB a newer version, as `cibadmin --bump` does.
    pub fn bump(&mut self, deadline: Deadline) -> Outcome {
        self.change("cib_bump", None, deadline)
    }

    fn change(&mut self, operation: &str, data: Option<&str>, deadline: Deadline) -> Outcome {
        if let Err(why) = self.send(operation, 0, data, deadline) {
            return Outcome::NotSent(why);
        }
        match self.answer(operation, deadline) {
            Ok((code, _)) => Outcome::Answered(code),
            Err(why) => Outcome::Unanswered(why),
        }
    }

    fn send(
        &mut self,
        operation: &str,
        options: u32,
        data: Option<&str>,
        deadline: Deadline,
    ) -> Result<(), Error> {
        self.call += 1;
        self.connection.send(&cib_request(operation, self.call, options, data), deadline)
    }

    /// The answer to the last request. Those to earlier ones, that nobody waited for, are passed over.
    fn answer(
        &mut self,
        operation: &str,
        deadline: Deadline,
    ) -> Result<(i32, Option<String>), Error> {
        loop {
            let text = self.connection.receive(deadline)?;
            let reply = read_cib_reply(&text).map_err(|what| Error::unknown(SERVICE, what))?;
            if reply.call == self.call && reply.operation == operation {
                return Ok((reply.code, reply.data.map(str::to_owned)));
            }
        }
    }
}
