//! Recognises the steps of a failover in system log lines of corosync 3.1, Pacemaker 2.1 and 3.0, and
//! the DRBD 8.4 and 9 kernel modules. Invariant: a line that is not recognised is no step; nothing
//! is concluded from a line that its program did not mean to say.

use std::fmt;

use serde::Serialize;

use crate::event::Record;

/// A step that matters for the story of a failover.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "the sentence over each variant speaks of its fields")]
pub enum Phase {
    /// corosync misses the token, but still waits (75 % of the time-out).
    TokenLate,
    /// corosync gave the token up and forms a new membership.
    TokenLost,
    /// No cluster link to this node is left (corosync's own node id).
    LinksDown { host: String },
    /// corosync agreed on who is there; `left` are node ids.
    Membership { left: Vec<String>, joined: Vec<String> },
    /// Pacemaker has taken note that a node is gone or there.
    NodeState { node: String, state: String },
    /// Pacemaker decided to fence.
    FencingRequested { node: String },
    /// The fencing operation ended.
    FencingEnded { node: String, ok: bool },
    /// DRBD lost its peer; `why` is the new connection state or the missing answer.
    ConnectionLost { object: String, why: String },
    /// DRBD sees its peer again.
    Connected { object: String },
    /// DRBD stops (or lets go) writes while the peer's fate is unclear.
    WritesFrozen { object: String, frozen: bool },
    /// DRBD calls a handler.
    HelperCalled { object: String, helper: String },
    /// The handler ended.
    HelperAnswered { object: String, helper: String, code: u8 },
    /// DRBD changed its role here.
    Role { object: String, role: String },
    /// Data that the peer missed is being sent.
    ResyncBegan { object: String },
    /// The peer has everything again.
    ResyncDone { object: String },
    /// Both sides have written on their own.
    SplitBrain { object: String },
    /// Pacemaker starts an operation; monitors are left out.
    Initiated { operation: String, resource: String, node: String },
    /// An operation ended; monitors only when they did not find what they should.
    Ended { operation: String, resource: String, node: String, status: String },
    /// One of the fencing handlers says what it decided.
    Handler { program: String, text: String },
}

/// The steps in this line; DRBD can report several changes in one.
#[must_use]
pub fn recognise(record: &Record) -> Vec<Phase> {
    let one = match record.tag.as_str() {
        "kernel" => return drbd(&record.text),
        "corosync" => corosync(&record.text),
        tag if tag.starts_with("pacemaker") => pacemaker(tag, without_level(&record.text)),
        // Its first line repeats the environment it was called with; the kernel's line says enough.
        tag if tag.contains("fence-peer") && !record.text.starts_with("DRBD_") => {
            Some(Phase::Handler { program: tag.to_owned(), text: record.text.clone() })
        }
        _ => None,
    };
    one.into_iter().collect()
}

fn corosync(text: &str) -> Option<Phase> {
    // [TOTEM ] may or may not be there, by configuration of the logger.
    let text = text.split_once("] ").filter(|_| text.starts_with('[')).map_or(text, |(_, t)| t);
    let text = text.trim_start();
    if text.starts_with("Token has not been received in ") {
        return Some(Phase::TokenLate);
    }
    if text.starts_with("A processor failed, forming new configuration") {
        return Some(Phase::TokenLost);
    }
    if let Some(host) = between(text, "host: host: ", " has no active links") {
        return Some(Phase::LinksDown { host });
    }
    let members = text.strip_prefix("A new membership (")?.split_once(") was formed. Members")?.1;
    let list = |word: &str| -> Vec<String> {
        let after = members.split_once(word).map_or("", |(_, after)| after);
        after
            .split_whitespace()
            .take_while(|id| id.bytes().all(|byte| byte.is_ascii_digit()))
            .map(str::to_owned)
            .collect()
    };
    Some(Phase::Membership { left: list("left:"), joined: list("joined:") })
}

fn pacemaker(tag: &str, text: &str) -> Option<Phase> {
    match tag {
        "pacemaker-fenced" => fencer(text),
        "pacemaker-controld" => controller(text),
        _ => None,
    }
}

fn fencer(text: &str) -> Option<Phase> {
    if let Some(rest) = text.strip_prefix("Requesting peer fencing (") {
        let node = first_word(rest.split_once(" targeting ")?.1);
        return Some(Phase::FencingRequested { node });
    }
    // "by NODE for" tells the whole operation from one device's part in it.
    let rest = text.strip_prefix("Operation '")?;
    let (node, rest) = rest.split_once(" targeting ")?.1.split_once(" by ")?;
    let result = rest.split_once(" for ")?.1.split_once(": ")?.1;
    Some(Phase::FencingEnded { node: node.to_owned(), ok: result.starts_with("OK") })
}

fn controller(text: &str) -> Option<Phase> {
    if let Some(rest) = text.strip_prefix("Requesting fencing (") {
        // "of node" until 2.1.6, "targeting node" later.
        let node = first_word(rest.split_once(" node ")?.1);
        return Some(Phase::FencingRequested { node });
    }
    if let Some(rest) = text.strip_prefix("Node ") {
        let (node, state) = rest.split_once(" state is now ")?;
        return Some(Phase::NodeState { node: node.to_owned(), state: first_word(state) });
    }
    if let Some(rest) = text.strip_prefix("Initiating ") {
        let (operation, rest) = rest.split_once(" operation ")?;
        let (key, rest) = rest.split_once(' ')?;
        if matches!(operation, "monitor" | "notify") {
            return None;
        }
        // The key is RESOURCE_OPERATION_INTERVAL, and both names may have underscores.
        let resource = key.rsplit_once(&format!("_{operation}_")).map_or(key, |(name, _)| name);
        let resource = resource.to_owned();
        let node = first_word(rest.trim_start_matches("locally ").strip_prefix("on ")?);
        return Some(Phase::Initiated { operation: operation.to_owned(), resource, node });
    }
    let (operation, rest) = text.strip_prefix("Result of ")?.split_once(" operation for ")?;
    let (resource, rest) = rest.split_once(" on ")?;
    let (node, status) = rest.split_once(": ")?;
    let status = status.split(" | ").next().unwrap_or(status).trim().to_owned();
    let expected = ["ok", "promoted", "cancelled", "master"].map(str::to_owned);
    let dull = match operation {
        "monitor" => expected.contains(&status.to_lowercase()),
        "notify" | "meta-data" => true,
        _ => false,
    };
    (!dull).then(|| Phase::Ended {
        operation: operation.to_owned(),
        resource: first_word(resource),
        node: node.to_owned(),
        status,
    })
}

/// `drbd r0: `, `drbd r0 node2: `, `drbd r0/0 drbd0 node2: ` (9), `block drbd0: ` (8.4's devices).
fn drbd(text: &str) -> Vec<Phase> {
    let is_drbd = text.starts_with("drbd ") || text.starts_with("block drbd");
    let Some((object, text)) = text.split_once(": ").filter(|_| is_drbd) else {
        return Vec::new();
    };
    let object = object.split_once(' ').map_or(object, |(_, object)| object).to_owned();
    if let Some(rest) = text.strip_prefix("helper command: ") {
        return helper(rest, object).into_iter().collect();
    }
    // 9 announces what it is going to ask the others for in the words of the change itself.
    if text.starts_with("Preparing ") {
        return Vec::new();
    }
    let silent = ["PingAck did not arrive in time", "peer failed to send PingAck in time"];
    let one = if silent.iter().any(|words| text.starts_with(words)) {
        Phase::ConnectionLost { object, why: "no answer to ping".into() }
    } else if text.starts_with("Split-Brain detected") {
        Phase::SplitBrain { object }
    } else if text.starts_with("Began resync as ") {
        Phase::ResyncBegan { object }
    } else if text.starts_with("Resync done (") {
        Phase::ResyncDone { object }
    } else {
        return changes(text, &object);
    };
    vec![one]
}

/// `/sbin/drbdadm fence-peer [r0]` and the same with ` exit code 7 (0x700)`; only 8.4 names the
/// resource or minor here.
fn helper(text: &str, object: String) -> Option<Phase> {
    let (_program, rest) = text.split_once(' ')?;
    let helper = first_word(rest);
    match rest.split_once(" exit code ") {
        Some((_, code)) => {
            Some(Phase::HelperAnswered { object, helper, code: first_word(code).parse().ok()? })
        }
        None => Some(Phase::HelperCalled { object, helper }),
    }
}

/// `name( old -> new ) name( old -> new ) ...`
fn changes(text: &str, object: &str) -> Vec<Phase> {
    let of = |name: &str| {
        // `susp(` must not be found in `resync-susp(`.
        let alone = |at: usize| text[..at].chars().next_back().is_none_or(char::is_whitespace);
        let (at, _) = text.match_indices(name).find(|(at, _)| alone(*at))?;
        let inside = text[at + name.len()..].strip_prefix("( ")?.split_once(" )")?.0;
        inside.split_once(" -> ")
    };
    let object = || object.to_owned();
    let mut seen = Vec::new();
    if let Some((_, role)) = of("role") {
        seen.push(Phase::Role { object: object(), role: role.to_owned() });
    }
    match of("conn") {
        Some(("WFReportParams", new)) if !is_lost(new) => {
            seen.push(Phase::Connected { object: object() });
        }
        Some(("Connecting", "Connected")) => seen.push(Phase::Connected { object: object() }),
        Some((old, new)) if is_lost(new) && is_up(old) => {
            seen.push(Phase::ConnectionLost { object: object(), why: new.to_owned() });
        }
        Some(_) | None => {}
    }
    if let Some((_, new)) = of("susp").or_else(|| of("susp-io")) {
        let frozen = new != "0" && new != "no";
        seen.push(Phase::WritesFrozen { object: object(), frozen });
    }
    seen
}

fn is_lost(state: &str) -> bool {
    matches!(
        state,
        "NetworkFailure"
            | "BrokenPipe"
            | "Timeout"
            | "ProtocolError"
            | "TearDown"
            | "Disconnecting"
            | "StandAlone"
            | "Unconnected"
    )
}

fn is_up(state: &str) -> bool {
    !is_lost(state) && !matches!(state, "WFConnection" | "Connecting" | "WFReportParams")
}

fn without_level(text: &str) -> &str {
    let levels = ["emerg", "crit", "error", "warning", "notice", "info", "debug"];
    match text.split_once(": ") {
        Some((level, rest)) if levels.contains(&level) => rest,
        Some(_) | None => text,
    }
}

fn between(text: &str, before: &str, after: &str) -> Option<String> {
    Some(text.split_once(before)?.1.split_once(after)?.0.to_owned())
}

fn first_word(text: &str) -> String {
    text.split_whitespace().next().unwrap_or_default().to_owned()
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |ids: &[String]| if ids.is_empty() { "nobody".into() } else { ids.join(", ") };
        match self {
            Self::TokenLate => f.write_str("the token is late"),
            Self::TokenLost => f.write_str("the token is lost, a new membership is formed"),
            Self::LinksDown { host } => write!(f, "no cluster link to node id {host} is left"),
            Self::Membership { left, joined } => {
                write!(f, "membership formed: left {}, joined {}", list(left), list(joined))
            }
            Self::NodeState { node, state } => write!(f, "node {node} is now {state}"),
            Self::FencingRequested { node } => write!(f, "fencing of {node} requested"),
            Self::FencingEnded { node, ok: true } => write!(f, "{node} has been fenced"),
            Self::FencingEnded { node, ok: false } => write!(f, "fencing of {node} FAILED"),
            Self::ConnectionLost { object, why } => write!(f, "{object}: peer lost ({why})"),
            Self::Connected { object } => write!(f, "{object}: connected"),
            Self::WritesFrozen { object, frozen: true } => write!(f, "{object}: writes frozen"),
            Self::WritesFrozen { object, frozen: false } => write!(f, "{object}: writes go on"),
            Self::HelperCalled { object, helper } => write!(f, "{object}: {helper} called"),
            Self::HelperAnswered { object, helper, code } => {
                write!(f, "{object}: {helper} answered {code}")
            }
            Self::Role { object, role } => write!(f, "{object}: role {role}"),
            Self::ResyncBegan { object } => write!(f, "{object}: resync began"),
            Self::ResyncDone { object } => write!(f, "{object}: resync done"),
            Self::SplitBrain { object } => write!(f, "{object}: SPLIT BRAIN"),
            Self::Initiated { operation, resource, node } => {
                write!(f, "{operation} of {resource} on {node} initiated")
            }
            Self::Ended { operation, resource, node, status } => {
                write!(f, "{operation} of {resource} on {node}: {status}")
            }
            Self::Handler { program, text } => write!(f, "{program}: {text}"),
        }
    }
}
