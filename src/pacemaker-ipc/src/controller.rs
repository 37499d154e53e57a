//! The controller: what this node is, whether it has quorum, and whether the controllers of others answer. Invariant: who did not
//! say that it is well has not said so.

use duet_ocf::Deadline;

use crate::{
    Connection, Error, Inbox, Sockets,
    message::{ControllerReply, controller_request, hello, read_controller_reply},
};

/// The service.
const SERVICE: &str = "crmd";

/// What this node says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeInfo {
    /// Whether its partition has quorum.
    pub has_quorum: bool,
    /// Its name in the cluster.
    pub name: String,
}

/// A connection to the controller.
#[derive(Debug)]
pub struct Controller {
    connection: Connection,
    asked: u32,
}

impl Controller {
    /// Connects.
    ///
    /// # Errors
    /// Any [`Error`].
    pub fn connect(sockets: &Sockets, deadline: Deadline) -> Result<Controller, Error> {
        let mut connection = Connection::open(sockets, SERVICE, Inbox::Events, deadline)?;
        connection.send(&hello(std::process::id()), deadline)?;
        Ok(Controller { connection, asked: 0 })
    }

    /// This node, as `crm_node -q` and `crm_node -n` say it.
    ///
    /// # Errors
    /// Any [`Error`].
    pub fn node_info(&mut self, deadline: Deadline) -> Result<NodeInfo, Error> {
        let reference = self.ask("node-info", None, deadline)?;
        loop {
            let reply = self.receive(deadline)?;
            if reply.reference != reference {
                continue;
            }
            let unknown = |what: &str| Error::unknown(SERVICE, what);
            let has_quorum = match reply.get("have-quorum") {
                Some("true" | "1") => true,
                Some("false" | "0") => false,
                _ => return Err(unknown("a node that does not say whether it has quorum")),
            };
            let name = reply.get("uname").filter(|name| !name.is_empty());
            let name = name.ok_or_else(|| unknown("a node without a name"))?.to_owned();
            return Ok(NodeInfo { has_quorum, name });
        }
    }

    /// Which of these nodes' controllers say that they are well, as `crmadmin -S` asks it, all at once.
    ///
    /// # Errors
    /// Any [`Error`] if they could not be asked, or what was answered is unknown. One that does not answer by the deadline is
    /// not well.
    pub fn are_well(&mut self, nodes: &[String], deadline: Deadline) -> Result<Vec<bool>, Error> {
        let mut asked = Vec::new();
        for node in nodes {
            asked.push(Some(self.ask("ping", Some(node), deadline)?));
        }
        let mut well = vec![false; nodes.len()];
        while asked.iter().any(Option::is_some) {
            let reply = match self.receive(deadline) {
                Ok(reply) => reply,
                Err(why) if why.is_silence() => break,
                Err(why) => return Err(why),
            };
            let of = asked.iter_mut().position(|it| it.as_deref() == Some(&*reply.reference));
            if let Some(place) = of {
                asked[place] = None;
                well[place] = reply.get("result") == Some("ok");
            }
        }
        Ok(well)
    }

    /// Sends a question, and gives what its answer will be known by.
    fn ask(&mut self, task: &str, node: Option<&str>, deadline: Deadline) -> Result<String, Error> {
        self.asked += 1;
        let pid = std::process::id();
        let reference = format!("{task}-crm-fence-peer-{pid}-{}", self.asked);
        let request = controller_request(task, &reference, pid, node);
        self.connection.send(&request, deadline)?;
        Ok(reference)
    }

    fn receive(&mut self, deadline: Deadline) -> Result<ControllerReply, Error> {
        let text = self.connection.receive(deadline)?;
        read_controller_reply(&text).map_err(|what| Error::unknown(SERVICE, what))
    }
}
