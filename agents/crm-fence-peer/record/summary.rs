//! A call on one line of the log, for whoever looks for an incident with grep: words and values in a fixed order, then
//! the reason. Invariant: one line, of bounded length.

use std::fmt::Write as _;

use duet_ocf::fold;

use super::{Ending, Record, Turn};
use crate::{
    decide::{Asked, Mode, Next},
    explain::{answer_in_words, data_in_word, standing_in_word},
    facts::{Cluster, Kernel, Local, Members, Policy},
};

/// In letters; syslog takes some 8000 bytes.
const LONGEST: usize = 1500;

/// `fence-peer r0: exit=4 turns=2 ...: the peer is reachable in the cluster and banned from promotion`.
pub(super) fn line(record: &Record) -> String {
    let mut line = String::new();
    let outcome = &record.outcome;
    let resource = record.environment.get("DRBD_RESOURCE").map_or("?", String::as_str);
    // Writing to a string cannot fail.
    let _ = match &record.asked {
        Some(asked) => write!(line, "{} {}:", mode(asked.mode), asked.resource),
        None => write!(line, "{} {resource}:", record.program),
    };
    let _ = write!(line, " exit={} after={:.3}s", outcome.code, outcome.after.as_secs_f64());
    let turns = record.turns.last().map_or(0, |turn| turn.number);
    let _ = write!(line, " turns={turns}");
    if let Some(asked) = &record.asked {
        call(&mut line, asked);
    }
    if let Some(turn) = record.turns.last() {
        look(&mut line, turn);
    }
    let why = match (&outcome.ending, record.turns.last().map(|turn| &turn.next)) {
        (Ending::Decided, Some(Next::Done(answer))) => answer_in_words(answer),
        (Ending::Decided, _) => "no answer was recorded".to_owned(),
        (Ending::Refused(why) | Ending::CutOff(why), _) => why.clone(),
    };
    let _ = write!(line, ": {why}");
    let mut line = fold(&line);
    if let Some((end, _)) = line.char_indices().nth(LONGEST) {
        line.truncate(end);
        line.push_str("...");
    }
    line
}

fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Fence => "fence-peer",
        Mode::Unfence => "unfence-peer",
    }
}

fn call(line: &mut String, asked: &Asked) {
    let id = |id: Option<u32>| id.map_or_else(|| "-".to_owned(), |id| id.to_string());
    let _ = write!(line, " me={} peer={}", id(asked.me), id(asked.peer));
    if let Some(mask) = &asked.mask {
        let _ = write!(line, " mask={}", list(mask.0.iter().map(u32::to_string)));
    }
    if asked.is_refused {
        line.push_str(" refused=yes");
    }
}

fn look(line: &mut String, turn: &Turn) {
    match &turn.seen.kernel {
        Kernel::Silent(_) => line.push_str(" drbd=silent"),
        Kernel::Unconfigured => line.push_str(" drbd=unconfigured"),
        Kernel::Known(local) => kernel(line, local),
    }
    match &turn.seen.cluster {
        Cluster::Unread(_) => line.push_str(" cib=unread"),
        Cluster::WithoutDc(_) => line.push_str(" cib=without-dc"),
        Cluster::Unusable(_) => line.push_str(" cib=unusable"),
        Cluster::Known(members) => cluster(line, members),
    }
    if let Some(policy) = turn.seen.policy {
        let _ = write!(
            line,
            " policy={}",
            match policy {
                Policy::ResourceOnly => "resource-only",
                Policy::ResourceAndStonith => "resource-and-stonith",
                Policy::NotKnown => "not-known",
            }
        );
    }
    if turn.progress.conflicts > 0 || !turn.progress.failures.is_empty() {
        let failures = turn.progress.failures.len();
        let _ = write!(line, " conflicts={} failures={failures}", turn.progress.conflicts);
    }
}

fn kernel(line: &mut String, local: &Local) {
    let _ = write!(line, " role={}", if local.is_primary { "Primary" } else { "Secondary" });
    let _ = write!(line, " frozen={}", yes(local.is_frozen));
    let volumes = local.volumes.iter().map(|(number, volume)| {
        let worth = if volume.is_client { "client" } else { data_in_word(volume.data) };
        format!("{number}/{worth}")
    });
    let _ = write!(line, " volumes={}", list(volumes));
    let peers = local.peers.iter().map(|(id, peer)| {
        let role = if peer.is_primary { "/Primary" } else { "" };
        let link = if peer.is_connected { "connected" } else { "lost" };
        let data = match (peer.is_client, peer.is_up_to_date) {
            (true, _) => "/client",
            (false, true) => "/UpToDate",
            (false, false) => "",
        };
        format!("{id}/{link}{role}{data}")
    });
    let _ = write!(line, " peers={}", list(peers));
}

fn cluster(line: &mut String, members: &Members) {
    let version = members.version;
    let _ = write!(
        line,
        " cib={}.{}.{} quorum={} stonith={} node={}",
        version.admin_epoch,
        version.epoch,
        version.num_updates,
        yes(members.has_quorum),
        yes(members.has_stonith),
        members.me
    );
    let rule = members.rule.as_ref().map(|rule| list(rule.allowed.iter().cloned()));
    let _ = write!(line, " rule={}", rule.as_deref().unwrap_or("none"));
    let nodes = members.peers.iter().map(|(id, member)| {
        let name = member.name.as_deref().unwrap_or("?");
        let answers = match member.answers {
            None => "",
            Some(true) => "/answers",
            Some(false) => "/silent",
        };
        format!("{id}/{name}/{}{answers}", standing_in_word(member.standing))
    });
    let _ = write!(line, " nodes={}", list(nodes));
}

fn yes(is: bool) -> &'static str {
    if is { "yes" } else { "no" }
}

fn list(words: impl Iterator<Item = String>) -> String {
    let words: Vec<String> = words.collect();
    if words.is_empty() { "-".to_owned() } else { words.join(",") }
}
