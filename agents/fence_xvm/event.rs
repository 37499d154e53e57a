//! What happened on the way to the daemon, in order. The log line, the lines of `-d` and `--diagnose` are made of it.
//! Invariant: an event is what was seen; what follows from it is for others to say.

use duet_xvm::exchange::Stage;
use duet_xvm::{Algorithm, Fingerprint, Reply};
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// Something that was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The key was read.
    Key {
        /// What tells it from another.
        fingerprint: Fingerprint,
        /// It has fewer than 16 bytes.
        is_short: bool,
        /// Others than its owner may read it.
        is_open: bool,
    },
    /// The port at which the daemon is to call back.
    Listening {
        /// The port.
        port: u16,
        /// The port that was meant, and that somebody else has.
        instead_of: Option<u16>,
    },
    /// No address of this host can be sent from.
    NoAddress {
        /// What was looked for.
        wanted: String,
    },
    /// A copy of the request left, or could not.
    Sent {
        /// Which attempt, from 1.
        attempt: u32,
        /// The address that the daemon is to call back.
        from: IpAddr,
        /// The interface it left by, where one was chosen.
        interface: String,
        /// Where to.
        to: SocketAddr,
        /// Why it could not.
        error: Option<String>,
    },
    /// The host that was asked alone says that nobody listens there.
    NobodyThere(SocketAddr),
    /// A connection to the daemon was made.
    Connected(String),
    /// A connection to the daemon could not be made.
    NotConnected {
        /// Where to.
        to: String,
        /// Why.
        why: String,
    },
    /// Somebody called back.
    CalledBack(String),
    /// The other side ended the connection.
    Left {
        /// Who.
        peer: String,
        /// What was awaited.
        stage: Stage,
        /// How many bytes of it had come.
        said: usize,
    },
    /// The other side said nothing until time was up.
    Silent {
        /// Who.
        peer: String,
        /// What was awaited.
        stage: Stage,
        /// How many bytes of it had come.
        said: usize,
    },
    /// The other side does not have our key, or goes by another algorithm.
    Mismatch {
        /// Who.
        peer: String,
        /// The algorithm by which its answer is right.
        theirs: Option<Algorithm>,
    },
    /// The other side said something that it may not say.
    Rejected {
        /// Who.
        peer: String,
        /// What.
        why: String,
    },
    /// The other side has the key, or none is asked for.
    Proven(String),
    /// The answer.
    Answered {
        /// By whom.
        peer: String,
        /// What; a list has no more than that here.
        reply: Reply,
    },
}

/// What is awaited.
fn awaited(stage: Stage) -> &'static str {
    match stage {
        Stage::Challenging => "to take our challenge",
        Stage::AwaitingProof => "to answer our challenge",
        Stage::AwaitingChallenge => "to challenge us",
        Stage::Proving => "to take our answer to its challenge",
        Stage::AwaitingReply => "to answer the request",
        Stage::Listing => "to end its list",
        Stage::Finished => "to end",
    }
}

impl fmt::Display for Event {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key { fingerprint, is_short, is_open } => {
                write!(out, "key {fingerprint}")?;
                out.write_str(if *is_short { ", fewer than 16 bytes" } else { "" })?;
                out.write_str(if *is_open { ", readable by others" } else { "" })
            }
            Self::Listening { port, instead_of: None } => write!(out, "listening at port {port}"),
            Self::Listening { port, instead_of: Some(meant) } => {
                write!(out, "listening at port {port}, since somebody else has {meant}")
            }
            Self::NoAddress { wanted } => write!(out, "no address of this host: {wanted}"),
            Self::Sent { attempt, from, interface, to, error } => {
                write!(out, "request {attempt} to {to} from {from}")?;
                if !interface.is_empty() {
                    write!(out, " by {interface}")?;
                }
                match error {
                    None => Ok(()),
                    Some(why) => write!(out, " could not be sent: {why}"),
                }
            }
            Self::NobodyThere(to) => write!(out, "nobody listens at {to}"),
            Self::Connected(to) => write!(out, "connected to {to}"),
            Self::NotConnected { to, why } => write!(out, "no connection to {to}: {why}"),
            Self::CalledBack(peer) => write!(out, "{peer} called back"),
            Self::Left { peer, stage, said } => {
                write!(
                    out,
                    "{peer} closed the connection, and had {} ({said} bytes came)",
                    awaited(*stage)
                )
            }
            Self::Silent { peer, stage, said } => {
                write!(out, "{peer} was silent, and had {} ({said} bytes came)", awaited(*stage))
            }
            Self::Mismatch { peer, theirs: Some(theirs) } => {
                write!(out, "{peer} has our key and authenticates with {theirs}")
            }
            Self::Mismatch { peer, theirs: None } => write!(out, "{peer} does not have our key"),
            Self::Rejected { peer, why } => write!(out, "{peer}: {why}"),
            Self::Proven(peer) => write!(out, "{peer} may answer"),
            Self::Answered { peer, reply } => write!(out, "{peer} answered {reply:?}"),
        }
    }
}

/// How many events are kept: the first half of them, and the latest. A flood of callers is one story.
const MOST: usize = 200;

/// The events so far; with `-d` each is also a line on stderr at once.
#[derive(Debug)]
pub struct Trace {
    program: &'static str,
    is_told: bool,
    events: Vec<Event>,
}

impl Trace {
    /// None yet.
    #[must_use]
    pub fn new(program: &'static str, debug: u32) -> Self {
        Self { program, is_told: debug > 0, events: Vec::new() }
    }

    /// Takes note of one.
    pub fn note(&mut self, event: Event) {
        if self.is_told {
            let now = duet_host::clock::now().as_secs_f64();
            crate::to_stderr(&format!("{}: {now:.3} s: {event}\n", self.program));
        }
        if self.events.len() == MOST {
            self.events.remove(MOST / 2);
        }
        self.events.push(event);
    }

    /// All of them.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        &self.events
    }
}
