//! Pacemaker, asked over its daemons' sockets, and with its tools where that does not work. Invariant: a change is sent once, in
//! one way; whoever may have got it is not passed over for another.

use std::{
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use duet_host::drbd::under_root;
use duet_ocf::{Deadline, chain};
use duet_pacemaker_ipc::{CibClient, Controller, Error, NodeInfo, Outcome, Scope, Sockets};

use crate::{
    options::Options,
    tools::{self, LIMIT, LOCAL, Ran, Unanswered, within},
};

/// How one of the daemons is asked.
#[derive(Debug, Default)]
enum Way<T> {
    /// It has not been asked yet, or has gone.
    #[default]
    Untried,
    /// Over its socket.
    Connected {
        client: T,
        /// Whether it has ever answered.
        is_understood: bool,
        /// How many questions it has left without an answer.
        silences: u32,
    },
    /// With tools, for this reason.
    Tools(String),
}

/// How Pacemaker is asked, in one call of a handler.
#[derive(Debug)]
pub(crate) struct Pacemaker {
    sockets: Sockets,
    cib: Mutex<Way<CibClient>>,
    controller: Mutex<Way<Controller>>,
}

/// What came of a change.
#[derive(Debug)]
pub(crate) enum Changed {
    /// The daemon's answer, or that there is none.
    ByDaemon(Outcome),
    /// How the tool ended, or that it did not.
    ByTool(Result<Ran, duet_host::Error>),
}

/// What a question came to.
enum Asked<A> {
    Answer(A),
    /// It was understood, and there is none.
    None(Error),
    /// It is to be asked with tools.
    Tools,
}

impl<T> Way<T> {
    /// Asks over the socket. A daemon that has gone since it answered last is looked for once more; one that is not understood,
    /// or has left so many questions without ever an answer, is asked with tools from now on, and at once unless the time is over.
    fn ask<A>(
        &mut self,
        patience: u32,
        connect: impl Fn() -> Result<T, Error>,
        question: impl Fn(&mut T) -> Result<A, Error>,
    ) -> Asked<A> {
        for _ in 0..2 {
            if matches!(self, Way::Untried) {
                match connect() {
                    Ok(client) => {
                        *self = Way::Connected { client, is_understood: false, silences: 0 };
                    }
                    Err(why) => return self.give_up(why),
                }
            }
            let Way::Connected { client, is_understood, silences } = self else {
                return Asked::Tools;
            };
            match question(client) {
                Ok(answer) => {
                    *is_understood = true;
                    return Asked::Answer(answer);
                }
                Err(why @ Error::Said { .. }) => {
                    *is_understood = true;
                    return Asked::None(why);
                }
                // A late answer is not taken for another one's, so the connection stays good.
                Err(why) if why.is_silence() && (*is_understood || *silences + 1 < patience) => {
                    *silences += 1;
                    return Asked::None(why);
                }
                Err(Error::Closed { .. }) if *is_understood => *self = Way::Untried,
                Err(why) => return self.give_up(why),
            }
        }
        Asked::Tools
    }

    fn give_up<A>(&mut self, why: Error) -> Asked<A> {
        *self = Way::Tools(chain(&why));
        if why.is_silence() { Asked::None(why) } else { Asked::Tools }
    }

    fn in_words(&self, name: &str) -> Option<String> {
        match self {
            Way::Untried => None,
            Way::Connected { .. } => Some(format!("{name}: over its socket")),
            Way::Tools(why) => Some(format!("{name}: with tools. {why}")),
        }
    }
}

fn locked<T>(way: &Mutex<Way<T>>) -> MutexGuard<'_, Way<T>> {
    way.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pacemaker {
    /// As the options say.
    pub(crate) fn new(options: &Options) -> Pacemaker {
        fn way<T>(options: &Options) -> Mutex<Way<T>> {
            let asked_for = || Way::Tools("So it was asked for".to_owned());
            Mutex::new(if options.with_tools { asked_for() } else { Way::Untried })
        }
        let root: PathBuf = under_root("");
        Pacemaker { sockets: Sockets::under(&root), cib: way(options), controller: way(options) }
    }

    /// How each daemon was asked, for the record.
    pub(crate) fn ways(&self) -> Vec<String> {
        let cib = locked(&self.cib).in_words("CIB");
        cib.into_iter().chain(locked(&self.controller).in_words("controller")).collect()
    }

    fn query(&self, scope: Scope, deadline: Deadline) -> Asked<String> {
        let connect = || CibClient::connect(&self.sockets, deadline);
        // Without a DC the first question has no answer, and the next one, after this node's copy, has.
        locked(&self.cib).ask(2, connect, |client| client.query(scope, deadline))
    }

    /// The CIB as the DC has it, if one answers within the limit.
    pub(crate) fn cib_of_dc(&self, limit: Duration, end: Deadline) -> Result<String, Unanswered> {
        match self.query(Scope::Cluster, within(limit, end)) {
            Asked::Answer(cib) => Ok(cib),
            Asked::None(why) => Err(Unanswered::Other(chain(&why))),
            Asked::Tools => tools::cib_of_dc(limit, end),
        }
    }

    /// This node's copy of the CIB, which needs no DC.
    pub(crate) fn cib_of_here(&self, limit: Duration, end: Deadline) -> Result<String, Unanswered> {
        match self.query(Scope::Local, within(limit, end)) {
            Asked::Answer(cib) => Ok(cib),
            Asked::None(why) => Err(Unanswered::Other(chain(&why))),
            Asked::Tools => tools::cib_of_here(limit, end),
        }
    }

    fn node_info(&self, end: Deadline) -> Asked<NodeInfo> {
        let deadline = within(LOCAL, end);
        let connect = || Controller::connect(&self.sockets, deadline);
        locked(&self.controller).ask(1, connect, |client| client.node_info(deadline))
    }

    /// Whether the partition has quorum, as this node sees it.
    pub(crate) fn quorum(&self, end: Deadline) -> Result<bool, String> {
        match self.node_info(end) {
            Asked::Answer(node) => Ok(node.has_quorum),
            Asked::None(why) => Err(chain(&why)),
            Asked::Tools => tools::quorum(end),
        }
    }

    /// What this node is called in the cluster.
    pub(crate) fn own_name(&self, end: Deadline) -> Result<String, String> {
        match self.node_info(end) {
            Asked::Answer(node) => Ok(node.name),
            Asked::None(why) => Err(chain(&why)),
            Asked::Tools => tools::own_name(end),
        }
    }

    /// Whether the controllers of these nodes answer that they are well, all asked at once.
    pub(crate) fn controllers_answer(
        &self,
        nodes: &[String],
        limit: Duration,
        end: Deadline,
    ) -> Vec<bool> {
        let deadline = within(limit, end);
        let connect = || Controller::connect(&self.sockets, deadline);
        let asked = locked(&self.controller).ask(1, connect, |it| it.are_well(nodes, deadline));
        match asked {
            Asked::Answer(well) => well,
            Asked::None(_) => vec![false; nodes.len()],
            Asked::Tools => tools::controllers_answer(nodes, limit, end),
        }
    }

    /// Makes this change of the CIB.
    pub(crate) fn patch(&self, change: &str, end: Deadline) -> Changed {
        self.change(end, |client, end| client.apply(change, end), |end| tools::patch(change, end))
    }

    /// Gives the CIB a newer version.
    pub(crate) fn bump(&self, end: Deadline) -> Changed {
        self.change(end, CibClient::bump, tools::bump)
    }

    /// Over the socket only where it has answered before: then it understands a change as well. What it has not got, the tool
    /// may send.
    fn change(
        &self,
        end: Deadline,
        over_socket: impl Fn(&mut CibClient, Deadline) -> Outcome,
        by_tool: impl Fn(Deadline) -> Result<Ran, duet_host::Error>,
    ) -> Changed {
        let mut way = locked(&self.cib);
        if let Way::Connected { client, is_understood: true, .. } = &mut *way {
            match over_socket(client, within(LIMIT, end)) {
                Outcome::NotSent(why) if !why.is_silence() => {
                    *way = Way::Tools(chain(&why));
                }
                outcome => {
                    // Whatever it was that broke it: the next question finds the daemon again.
                    if matches!(&outcome, Outcome::Unanswered(why) if !why.is_silence()) {
                        *way = Way::Untried;
                    }
                    return Changed::ByDaemon(outcome);
                }
            }
        }
        drop(way);
        Changed::ByTool(by_tool(end))
    }
}
