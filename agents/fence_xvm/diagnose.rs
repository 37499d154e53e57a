//! Why there is no answer, from what was seen. Pure. Invariant: what is called the culprit follows from an event; where several
//! could be it, all of them are named, the likeliest first.

use crate::event::Event;
use crate::options::order::{Order, Route};
use crate::outcome::Failure;
use duet_xvm::exchange::{Answer, Stage};
use duet_xvm::{Algorithm, Reply};
use std::fmt::Write;
use std::net::IpAddr;

/// What is to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Culprit {
    /// Nothing: it works.
    Nobody,
    /// Addresses, interfaces or routes of this host, or a name.
    Network,
    /// Multicast between here and the daemon.
    Multicast,
    /// A packet filter, here or there.
    Firewall,
    /// The daemon, or libvirt behind it.
    Daemon,
    /// The key.
    Key,
    /// How requests are signed.
    Hash,
    /// How both sides prove that they have the key.
    Auth,
    /// What the daemon allows us.
    Permission,
    /// The serial line or the channel.
    Line,
}

impl Culprit {
    fn word(self) -> &'static str {
        match self {
            Self::Nobody => "fine",
            Self::Network => "network",
            Self::Multicast => "multicast",
            Self::Firewall => "firewall",
            Self::Daemon => "daemon",
            Self::Key => "key",
            Self::Hash => "hash",
            Self::Auth => "auth",
            Self::Permission => "permission",
            Self::Line => "line",
        }
    }
}

/// One thing to look at, and why.
pub type Hint = (Culprit, String);

/// Something else that was tried when nobody called back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// What was different.
    pub what: Difference,
    /// What came of it.
    pub heard: Heard,
}

/// What a probe does in another way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Difference {
    /// It asks this host alone, without multicast.
    Alone(IpAddr),
    /// It signs with the strongest hash.
    Strongest,
}

/// What came of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// A call-back.
    CallBack,
    /// The host says that nobody listens there.
    NobodyThere,
    /// Nothing.
    Nothing,
}

/// All that was found, for a person.
#[must_use]
pub fn report(
    order: &Order,
    way: &str,
    outcome: &Result<Answer, Failure>,
    events: &[Event],
    probes: &[Probe],
) -> String {
    let mut text = format!("{} by {way}\n", order.action.word());
    for event in events {
        let _ = writeln!(text, "  {event}");
    }
    for Probe { what, heard } in probes {
        let what = match what {
            Difference::Alone(address) => format!("the same to {address} alone"),
            Difference::Strongest => "the same, signed with sha512".to_owned(),
        };
        let heard = match heard {
            Heard::CallBack => "a call-back",
            Heard::NobodyThere => "nobody listens there",
            Heard::Nothing => "nothing",
        };
        let _ = writeln!(text, "  {what}: {heard}");
    }
    for (culprit, why) in hints(order, outcome, events, probes) {
        let _ = writeln!(text, "{}: {why}", culprit.word());
    }
    text
}

/// What to look at, likeliest first.
#[must_use]
pub fn hints(
    order: &Order,
    outcome: &Result<Answer, Failure>,
    events: &[Event],
    probes: &[Probe],
) -> Vec<Hint> {
    let mut hints = match outcome {
        Ok(answer) => answered(answer),
        Err(failure) => match failure {
            Failure::Key(why) => vec![(Culprit::Key, why.clone())],
            Failure::Random(why) | Failure::Listen(why) | Failure::Send(why) => {
                vec![(Culprit::Network, why.clone())]
            }
            Failure::NoCallBack => silence(order, events, probes),
            Failure::Connect { why, .. } => connection(why),
            Failure::Line(why) => {
                let text = format!("{why}; look at the device here and at the listener there");
                vec![(Culprit::Line, text)]
            }
            Failure::Proof => proof(order, events),
            Failure::Closed => closed(order),
            Failure::NoAnswer(_) if order.auth == Algorithm::None && !is_line(order) => vec![(
                Culprit::Auth,
                "the daemon says nothing: it probably waits for a challenge, that is, its auth is not none"
                    .to_owned(),
            )],
            Failure::NoAnswer(_) | Failure::BrokenList(_) => vec![(
                Culprit::Daemon,
                "the daemon does not answer; look at its log, and whether libvirt answers there".to_owned(),
            )],
        },
    };
    hints.extend(warnings(events));
    hints
}

fn is_line(order: &Order) -> bool {
    match order.route {
        Route::Serial { .. } | Route::Channel { .. } => true,
        Route::Multicast(_) | Route::Tcp { .. } | Route::Vsock { .. } => false,
    }
}

fn answered(answer: &Answer) -> Vec<Hint> {
    let (culprit, why) = match answer {
        Answer::Hosts(hosts) if hosts.0.is_empty() => (
            Culprit::Permission,
            "the list is empty: the host has no domains, or the daemon's groups give this address none",
        ),
        Answer::Reply(Reply::Success | Reply::Off) | Answer::Hosts(_) => {
            (Culprit::Nobody, "the daemon has our key and has answered")
        }
        Answer::Reply(Reply::Permission) => {
            (Culprit::Permission, "the daemon's groups do not allow this address this domain")
        }
        Answer::Reply(Reply::Fail | Reply::HostList | Reply::Unrecognized(_)) => (
            Culprit::Daemon,
            "the daemon cannot do it: it knows no such domain, or cannot reach libvirt; its log says which",
        ),
    };
    vec![(culprit, why.to_owned())]
}

/// Nobody has called back.
fn silence(order: &Order, events: &[Event], probes: &[Probe]) -> Vec<Hint> {
    let Route::Multicast(multicast) = &order.route else { return Vec::new() };
    let left = |event: &&Event| matches!(event, Event::Sent { error: None, .. });
    if events.iter().find(left).is_none() {
        let text = "no request has left this host: look at its addresses, interfaces and routes";
        return vec![(Culprit::Network, text.to_owned())];
    }
    if events.iter().any(|event| matches!(event, Event::NobodyThere(_))) {
        let text = "nobody listens there: the daemon does not run, or at another port";
        return vec![(Culprit::Daemon, text.to_owned())];
    }
    let port = multicast.port;
    let back = events.iter().rev().find_map(|event| match event {
        Event::Listening { port, .. } => Some(*port),
        _ => None,
    });
    let back = back.unwrap_or(port);
    for Probe { what, heard } in probes {
        match (what, heard) {
            (Difference::Strongest, Heard::CallBack) => {
                let text = "signed with sha512 it is heard: the daemon asks for a stronger hash; set the same here";
                return vec![(Culprit::Hash, text.to_owned())];
            }
            (Difference::Alone(address), Heard::CallBack) => {
                let text = format!(
                    "{address} hears what is sent to it alone, and not the group: look at the daemon's interface and \
                     address, and at IGMP snooping without a querier on bridges between here and there"
                );
                return vec![(Culprit::Multicast, text)];
            }
            (Difference::Alone(_) | Difference::Strongest, Heard::NobodyThere | Heard::Nothing) => {
            }
        }
    }
    let mut hints = Vec::new();
    for Probe { what, heard } in probes {
        if let (Difference::Alone(address), Heard::NobodyThere) = (what, heard) {
            let text = format!(
                "nobody listens at {address}; if that is the host, its daemon does not run"
            );
            hints.push((Culprit::Daemon, text));
        }
    }
    hints.push((
        Culprit::Firewall,
        format!(
            "the host has to let in udp {port} and IGMP, and this machine tcp {back}, which the daemon calls back"
        ),
    ));
    let alone = "the daemon drops what it does not believe without a word: compare the fingerprint of the key with the one in its log";
    if order.hash == Algorithm::None {
        let text = "requests are not signed, which only a daemon with hash none takes";
        hints.push((Culprit::Hash, text.to_owned()));
    } else {
        hints.push((Culprit::Key, alone.to_owned()));
    }
    if hints.iter().all(|(culprit, _)| *culprit != Culprit::Daemon) {
        let text = format!(
            "it has to run and to listen to {} on the interface towards here",
            multicast.group
        );
        hints.push((Culprit::Daemon, text));
    }
    if multicast.group.is_multicast() {
        let text = "bridges with IGMP snooping and no querier stop forwarding after some minutes";
        hints.push((Culprit::Multicast, text.to_owned()));
    }
    hints
}

/// There was a connection, and the other side has not proved that it has the key.
fn proof(order: &Order, events: &[Event]) -> Vec<Hint> {
    // The last word counts most: earlier callers can have been anybody.
    for event in events.iter().rev() {
        match event {
            Event::Mismatch { theirs: Some(theirs), .. } => {
                let text = format!(
                    "the daemon has our key and authenticates with {theirs}, not with {}: set the same on both sides",
                    order.auth
                );
                return vec![(Culprit::Auth, text)];
            }
            Event::Mismatch { theirs: None, peer } => {
                return vec![(Culprit::Key, format!("{peer} has another key"))];
            }
            Event::Left { stage: Stage::AwaitingProof, said, .. } if *said > 0 => {
                let text =
                    "the daemon answers at once, without asking for the key: its auth is none";
                return vec![(Culprit::Auth, text.to_owned())];
            }
            Event::Left { stage: Stage::AwaitingProof, .. } => return unsaid(order),
            Event::Left { stage, .. } if *stage > Stage::AwaitingProof => {
                let text = "the daemon was not content with our answer to its challenge";
                return vec![(Culprit::Auth, text.to_owned())];
            }
            Event::Silent { stage: Stage::AwaitingProof, .. } => {
                let text = "it is connected and says nothing: the daemon hangs, is busy with others, or it is no fence_virtd";
                return vec![(Culprit::Daemon, text.to_owned())];
            }
            _ => {}
        }
    }
    unsaid(order)
}

/// The other side has left without a word.
fn unsaid(order: &Order) -> Vec<Hint> {
    match order.route {
        Route::Multicast(_) => vec![(
            Culprit::Daemon,
            "whoever called back has left without a word: it was no fence_virtd, or one that gave up".to_owned(),
        )],
        Route::Tcp { .. } | Route::Vsock { .. } | Route::Serial { .. } | Route::Channel { .. } => vec![
            (Culprit::Key, "the daemon does not believe our signature: compare the fingerprint of the key with the one in its log".to_owned()),
            (Culprit::Hash, format!("or it asks for a stronger hash than {}", order.hash)),
        ],
    }
}

/// The daemon has closed the connection in place of an answer.
fn closed(order: &Order) -> Vec<Hint> {
    if order.auth == Algorithm::None {
        return unsaid(order);
    }
    let text = "the daemon has closed the connection: it did not believe our answer to its challenge, or took the request for a copy";
    vec![(Culprit::Auth, text.to_owned())]
}

/// There was no connection.
fn connection(why: &str) -> Vec<Hint> {
    let lower = why.to_ascii_lowercase();
    let (culprit, what) = if lower.contains("refused") || lower.contains("reset") {
        (
            Culprit::Daemon,
            "nobody listens there; note that a tcp listener without an address listens on the host itself only",
        )
    } else if lower.contains("timed out") {
        (Culprit::Firewall, "nothing comes back: a packet filter, or the wrong address")
    } else {
        (Culprit::Network, "the host cannot be reached from here")
    };
    vec![(culprit, format!("{what} ({why})"))]
}

/// What works, and should not stay as it is.
fn warnings(events: &[Event]) -> Vec<Hint> {
    let mut hints = Vec::new();
    for event in events {
        if let Event::Key { is_short, is_open, .. } = event {
            if *is_short {
                let text = "it has fewer than 16 bytes and can be guessed from one request: make one of 4096 random bytes";
                hints.push((Culprit::Key, text.to_owned()));
            }
            if *is_open {
                let text = "others than root can read or change the file: chmod 600";
                hints.push((Culprit::Key, text.to_owned()));
            }
        }
        if let Event::Listening { port, instead_of: Some(meant) } = event {
            let text = format!(
                "somebody else has port {meant}, so the daemon calls back at {port}: packet filters here have to let that in"
            );
            hints.push((Culprit::Firewall, text));
        }
    }
    hints
}

#[cfg(test)]
mod tests;
