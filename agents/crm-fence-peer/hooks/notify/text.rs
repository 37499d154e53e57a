//! What mails say. Invariant: a subject is one line; what is told of states was said by DRBD.

use std::fmt::Write as _;

use duet_drbd::{
    Peer, Resource,
    handler::{Call, CallError, CallPeer},
};
use duet_host::drbd::Sight;
use duet_ocf::{Level, fold};

use super::Topic;

/// In letters.
const LONGEST_SUBJECT: usize = 200;

/// How much it matters.
pub(super) fn level(topic: &Topic) -> Level {
    match topic {
        Topic::SplitBrain
        | Topic::IoError
        | Topic::PriLost
        | Topic::PriLostAfterSb
        | Topic::PriOnInconDegr
        | Topic::QuorumLost
        | Topic::EmergencyReboot
        | Topic::EmergencyShutdown => Level::Error,
        Topic::OutOfSync | Topic::Unspecified => Level::Warning,
        Topic::InitialSplitBrain | Topic::Other(_) => Level::Info,
    }
}

/// Subject and body.
pub(super) fn mail(
    topic: &Topic,
    call: &Call,
    me: &str,
    state: &[String],
    trouble: Option<&CallError>,
) -> (String, String) {
    let what = label(call);
    let peer = call.peer.as_ref().map_or_else(|| "its peer".to_owned(), named);
    let (happened, advice) = story(topic, call, me, &what, &peer);
    let mut subject = fold(&format!("DRBD: {}: {what} on {me}", headline(topic)));
    if let Some((end, _)) = subject.char_indices().nth(LONGEST_SUBJECT) {
        subject.truncate(end);
    }
    let mut body = format!("{happened}\n");
    // Writing to a string cannot fail.
    if let Some(advice) = advice {
        let _ = writeln!(body, "\n{advice}");
    }
    let _ = writeln!(body, "\nResource: {what}\nNode: {me}");
    if call.peer.is_some() {
        let _ = writeln!(body, "Peer: {peer}");
    }
    if let Some(connection) = &call.connection {
        let _ = writeln!(body, "Connection, when DRBD called: {connection}");
    }
    let configuration = call.configuration.as_deref().unwrap_or("/etc/drbd.conf");
    let _ = writeln!(body, "Configuration: {configuration}");
    if let Some(trouble) = trouble {
        let _ = writeln!(body, "Not all that DRBD said was understood: {trouble}");
    }
    body.push_str("\nDRBD when this was written:\n");
    for line in state {
        let _ = writeln!(body, "  {}", fold(line));
    }
    (subject, body)
}

fn headline(topic: &Topic) -> String {
    match topic {
        Topic::SplitBrain => "split brain".to_owned(),
        Topic::InitialSplitBrain => "split brain found".to_owned(),
        Topic::OutOfSync => "blocks differ".to_owned(),
        Topic::IoError => "disk failed".to_owned(),
        Topic::PriLost => "a Primary is to be overwritten".to_owned(),
        Topic::PriLostAfterSb => "a Primary is the victim of a split brain".to_owned(),
        Topic::PriOnInconDegr => "a Primary without data".to_owned(),
        Topic::QuorumLost => "quorum lost".to_owned(),
        Topic::EmergencyReboot => "node is about to be rebooted".to_owned(),
        Topic::EmergencyShutdown => "node is about to be switched off".to_owned(),
        Topic::Other(event) => event.to_string(),
        Topic::Unspecified => "a handler was called".to_owned(),
    }
}

/// What happened, and what can be done.
fn story(topic: &Topic, call: &Call, me: &str, what: &str, peer: &str) -> (String, Option<String>) {
    let resource = &call.resource;
    let configured = "The handler that is configured behind this one does it. If that is not wanted, change the \
                      handlers in DRBD's configuration.";
    match topic {
        Topic::SplitBrain => (
            format!("{me} and {peer} have both written to {what} without each other. They stay disconnected."),
            Some(format!(
                "Decide whose changes since then are given up. On that node:\n  drbdadm disconnect {resource}\n  \
                 drbdadm secondary {resource}\n  drbdadm connect --discard-my-data {resource}\nand on the other one, if it \
                 is StandAlone:\n  drbdadm connect {resource}"
            )),
        ),
        Topic::InitialSplitBrain => (
            format!("{me} and {peer} have both written to {what} without each other."),
            Some("DRBD may resolve it by itself, as configured. If it cannot, another mail follows, where split-brain has a \
                 handler.".to_owned()),
        ),
        Topic::OutOfSync => (
            format!("An online verify of {what} has found blocks that differ between {me} and {peer}."),
            Some("They are marked, and nothing has been repaired. Find out which side is right, and why they differ, before a \
                 disconnect and connect copies them.".to_owned()),
        ),
        Topic::IoError => {
            (format!("The disk below {what} on {me} has failed to read or write."), None)
        }
        Topic::PriLost => (
            format!("{what} is Primary on {me}, and by DRBD's rules should become the target of a resync from {peer}."),
            None,
        ),
        Topic::PriLostAfterSb => (
            format!("{what} is Primary on {me}, and was chosen as the one whose changes are given up after a split brain with {peer}."),
            None,
        ),
        Topic::PriOnInconDegr => (
            format!("{what} is Primary on {me}, and neither its own disk nor a peer's has data that can be used."),
            None,
        ),
        Topic::QuorumLost => (format!("{what} is Primary on {me}, and has lost quorum."), None),
        Topic::EmergencyReboot => {
            (format!("{me} is about to be rebooted because of {what}."), Some(configured.to_owned()))
        }
        Topic::EmergencyShutdown => (
            format!("{me} is about to be switched off because of {what}."),
            Some(configured.to_owned()),
        ),
        Topic::Other(event) => (format!("DRBD on {me} has called {event} for {what}."), None),
        Topic::Unspecified => (
            format!("DRBD on {me} has called a handler for {what} that does not say what for."),
            Some("The handler's name says it: make a link whose name is notify-split-brain.sh, for example, and use that in \
                 DRBD's configuration.".to_owned()),
        ),
    }
}

/// The resource, and the volume where it is about one.
fn label(call: &Call) -> String {
    let mut volumes = call.volumes.iter();
    match (volumes.next(), volumes.next()) {
        (Some((number, volume)), None) => match volume.minor {
            Some(minor) => format!("{}/{number} (/dev/drbd{minor})", call.resource),
            None => format!("{}/{number}", call.resource),
        },
        _ => call.resource.clone(),
    }
}

fn named(peer: &CallPeer) -> String {
    let id = peer.node_id.map(|id| format!("the node with id {id}"));
    let name = match &peer.names[..] {
        [] => id.unwrap_or_else(|| "its peer".to_owned()),
        names => names.join(", "),
    };
    match &peer.address {
        Some(address) => format!("{name} ({address})"),
        None => name,
    }
}

/// The resource as DRBD has it, line by line.
pub(super) fn state(call: &Call, sight: Result<Sight, String>) -> Vec<String> {
    let view = match sight {
        Ok(Sight::Seen { view, .. }) => view,
        Ok(Sight::NoModule) => return vec!["The module is not loaded".to_owned()],
        Err(why) => return vec![format!("It could not be asked: {why}")],
    };
    let Some(resource) = view.resources.get(&call.resource) else {
        return vec!["It does not have the resource".to_owned()];
    };
    let Resource { role, suspended, volumes, peers, .. } = resource;
    let frozen = if suspended.any() { ", I/O frozen" } else { "" };
    let mut lines = vec![format!("{role} here{frozen}")];
    for (number, volume) in volumes {
        let quorum = if volume.quorum == Some(false) { ", no quorum" } else { "" };
        lines.push(format!("volume {number}: {} here{quorum}", volume.disk));
    }
    for (id, peer) in peers {
        let Peer { name, connection, role, volumes } = peer;
        let name = match call.names.get(id) {
            Some(names) => names.join(", "),
            None => name.clone().unwrap_or_else(|| format!("node id {id}")),
        };
        lines.push(format!("{name}: {connection}, {role}"));
        for (number, volume) in volumes {
            let differs = match volume.out_of_sync {
                Some(size) => format!(", {size} KiB differ"),
                None => String::new(),
            };
            lines.push(format!("{name}, volume {number}: {}{differs}", volume.disk));
        }
    }
    lines
}
