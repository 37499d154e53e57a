//! Facts, decisions and answers in the words of the field. Invariant: what is said is in what was seen; nothing is
//! concluded here.

use crate::{
    decide::{Answer, Asked, Code, Mode, Next, Question, Step, Until},
    facts::{Cluster, Data, Kernel, Local, Member, Members, Policy, Seen, Standing},
};

/// What a disk is worth.
#[must_use]
pub fn data_in_word(data: Data) -> &'static str {
    match data {
        Data::Bad => "neither-UpToDate-nor-Consistent",
        Data::Consistent => "Consistent",
        Data::UpToDate => "UpToDate",
    }
}

/// What the CIB says of a node.
#[must_use]
pub fn standing_in_word(standing: Standing) -> &'static str {
    match standing {
        Standing::Online => "online",
        Standing::Down => "down",
        Standing::WillBeFenced => "to-be-fenced",
        Standing::Offline => "offline",
        Standing::NotSeen => "not-in-the-cib",
    }
}

/// What comes next, for people.
#[must_use]
pub fn next_in_words(next: &Next) -> String {
    match next {
        Next::Ask(Question::Controllers(ids)) => {
            format!("ask whether the controllers of the peers with node id {} answer", list(ids))
        }
        Next::Ask(Question::Policy) => "ask for the connection's fencing policy".to_owned(),
        Next::Do(step) => step_in_words(step),
        Next::Wait { until, .. } => format!("wait {}", until_in_words(*until)),
        Next::Done(answer) => format!("answer {}", answer_in_words(answer)),
    }
}

/// `4 (the peer cannot be promoted): why`.
#[must_use]
pub fn answer_in_words(answer: &Answer) -> String {
    let end = if answer.suicide { "; this node ends itself" } else { "" };
    format!("{} ({}): {}{end}", answer.code.number(), code_in_words(answer.code), answer.reason)
}

/// What a code does.
pub(super) fn code_in_words(code: Code) -> &'static str {
    match code {
        Code::Done => "done",
        Code::NotFenced => "not fenced, DRBD changes nothing",
        Code::PeerBanned => "the peer cannot be promoted, DRBD takes it for outdated",
        Code::PeerUnreachable => {
            "the peer cannot be reached, DRBD takes it for outdated if own data is UpToDate"
        }
        Code::PeerDown => "the peer is down, DRBD takes it for outdated",
    }
}

pub(super) fn step_in_words(step: &Step) -> String {
    match step {
        Step::Write { version, allowed, .. } => format!(
            "write a rule that forbids promotion everywhere but on {}, if the CIB still has version {}.{}.{}",
            list(allowed),
            version.admin_epoch,
            version.epoch,
            version.num_updates
        ),
        Step::Bump { version } => format!(
            "give the CIB a newer version than {}.{}.{}, so that no change to it that is still on its way can be made",
            version.admin_epoch, version.epoch, version.num_updates
        ),
        Step::Remove { version } => format!(
            "remove the rule, if the CIB still has version {}.{}.{}",
            version.admin_epoch, version.epoch, version.num_updates
        ),
    }
}

pub(super) fn until_in_words(until: Until) -> &'static str {
    match until {
        Until::Kernel => "until DRBD can be asked",
        Until::Cib => "until the CIB can be read",
        Until::Dc => "until there is a DC",
        Until::Quorum => "until the partition has quorum",
        Until::Peer => "until a peer can be reached or is confirmed down",
        Until::Link => "whether the connection comes back by itself",
    }
}

/// What it is about.
pub(super) fn question(asked: &Asked) -> String {
    let mode = match asked.mode {
        Mode::Fence => "fence-peer",
        Mode::Unfence => "unfence-peer",
    };
    let peer = match asked.peer {
        Some(peer) => format!("about the peer with node id {peer}"),
        None => "about every peer that is not good".to_owned(),
    };
    let refused = if asked.is_refused { ", which was reached and refused" } else { "" };
    format!("{mode} for {}, {peer}{refused}", asked.resource)
}

/// What was seen, line by line.
pub(super) fn observation(asked: &Asked, seen: &Seen) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(me) = asked.me {
        lines.push(format!("DRBD: this node has node id {me}"));
    }
    if let Some(mask) = &asked.mask {
        lines.push(format!("DRBD: at the call, these were UpToDate: node id {}", list(&mask.0)));
    }
    match &seen.kernel {
        Kernel::Silent(why) => lines.push(format!("DRBD: could not be asked: {why}")),
        Kernel::Unconfigured => lines.push("DRBD: does not have the resource".to_owned()),
        Kernel::Known(local) => kernel(local, &mut lines),
    }
    match &seen.cluster {
        Cluster::Unread(why) => lines.push(format!("Cluster: the CIB could not be read: {why}")),
        Cluster::WithoutDc(why) => lines.push(format!("Cluster: no DC answered: {why}")),
        Cluster::Unusable(why) => lines.push(format!("Cluster: {why}")),
        Cluster::Known(members) => cluster(members, &mut lines),
    }
    lines.extend(seen.policy.map(|policy| format!("DRBD: {}", policy_in_words(policy))));
    lines
}

fn kernel(local: &Local, lines: &mut Vec<String>) {
    let role = if local.is_primary { "Primary" } else { "Secondary" };
    let frozen = if local.is_frozen { ", I/O frozen until a peer is fenced" } else { "" };
    lines.push(format!("DRBD: {role} here{frozen}"));
    for (number, volume) in &local.volumes {
        lines.push(match volume.is_client {
            true => format!("DRBD: volume {number} has no disk here, on purpose"),
            false => format!("DRBD: volume {number} is {} here", data_in_words(volume.data)),
        });
    }
    for (id, peer) in &local.peers {
        let link = if peer.is_connected { "connected" } else { "not connected" };
        let role = if peer.is_primary { ", Primary" } else { "" };
        let data = match (peer.is_client, peer.is_up_to_date) {
            (true, _) => "no disk on purpose",
            (false, true) => "UpToDate",
            (false, false) => "not UpToDate, as far as is known",
        };
        lines.push(format!("DRBD: the peer with node id {id} is {link}{role}, {data}"));
    }
}

fn cluster(members: &Members, lines: &mut Vec<String>) {
    let version = members.version;
    let quorum = if members.has_quorum { "quorum" } else { "no quorum" };
    let stonith = if members.has_stonith { "stonith enabled" } else { "no stonith" };
    lines.push(format!(
        "Cluster: {quorum}, {stonith}, CIB version {}.{}.{}, this node is {}",
        version.admin_epoch, version.epoch, version.num_updates, members.me
    ));
    lines.push(match &members.rule {
        None => "Cluster: no rule".to_owned(),
        Some(rule) if rule.bans(&members.me) => format!(
            "Cluster: a rule forbids promotion everywhere but on {}, so also here",
            list(&rule.allowed)
        ),
        Some(rule) => {
            format!("Cluster: a rule forbids promotion everywhere but on {}", list(&rule.allowed))
        }
    });
    for (id, member) in &members.peers {
        let answers = match member.answers {
            None => "",
            Some(true) => ", its controller answers",
            Some(false) => ", its controller does not answer",
        };
        let name = member.name.as_deref().unwrap_or("not known");
        let standing = standing_in_words(member.standing);
        lines.push(format!("Cluster: the node of node id {id} is {name}: {standing}{answers}"));
    }
}

pub(super) fn data_in_words(data: Data) -> &'static str {
    match data {
        Data::Bad => "neither UpToDate nor Consistent",
        Data::Consistent | Data::UpToDate => data_in_word(data),
    }
}

pub(super) fn standing_in_words(standing: Standing) -> &'static str {
    match standing {
        Standing::Online => "online",
        Standing::Down => "down, confirmed",
        Standing::WillBeFenced => "about to be fenced",
        Standing::Offline => "offline, and nobody will fence it",
        Standing::NotSeen => "not in the CIB",
    }
}

pub(super) fn policy_in_words(policy: Policy) -> &'static str {
    match policy {
        Policy::ResourceOnly => "the fencing policy is resource-only",
        Policy::ResourceAndStonith => "the fencing policy is resource-and-stonith",
        Policy::NotKnown => "the fencing policy could not be told",
    }
}

/// How a peer is called here.
pub(super) fn named(id: u32, member: Option<&Member>) -> String {
    match member.and_then(|member| member.name.as_ref()) {
        Some(name) => name.clone(),
        None => format!("the peer with node id {id}"),
    }
}

fn list<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let words: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}
