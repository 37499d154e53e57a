//! unfence-peer: whether peers that were banned may be promoted again. Invariant: a node is freed only by one that is
//! allowed itself, in a partition with quorum, and makes the writes, or alone could, on the version of the CIB that it looked at, while the kernel says
//! in the same look that the node is connected and UpToDate in every volume.

use std::collections::BTreeSet;

use super::{
    Answer, Asked, Code, FAILURES, Next, PAUSE, Progress, Step, Until,
    reason::{Kept, Reason},
};
use crate::facts::{Cluster, Kernel, Local, Members, Peer, Seen};

/// What comes next for unfence-peer. Its code is ignored by the kernel, and is for people.
#[must_use]
pub fn unfence(asked: &Asked, seen: &Seen, progress: &Progress) -> Next {
    let later = |until, reason| match seen.elapsed < asked.options.dc_timeout {
        true => Next::Wait { pause: PAUSE, until },
        false => end(Code::NotFenced, reason),
    };
    let members = match &seen.cluster {
        Cluster::Known(members) => members,
        Cluster::Unread(why) => return later(Until::Cib, Reason::NoCib(why.clone())),
        Cluster::WithoutDc(why) => return later(Until::Dc, Reason::NoDc(why.clone())),
        Cluster::Unusable(why) => {
            return end(Code::NotFenced, Reason::ClusterUnusable(why.clone()));
        }
    };
    let Some(rule) = &members.rule else {
        let is_done = progress.placed.is_some() || progress.has_removed;
        return end(Code::Done, if is_done { Reason::Removed } else { Reason::NoRule });
    };
    let local = match &seen.kernel {
        Kernel::Known(local) => local,
        Kernel::Unconfigured => return end(Code::NotFenced, Reason::Unconfigured),
        Kernel::Silent(why) => return later(Until::Kernel, Reason::KernelSilent(why.clone())),
    };
    if !members.has_quorum {
        // What is changed here is not what the other partition compares with, and could replace its rule afterwards.
        return later(Until::Quorum, Reason::NoQuorum);
    }
    if rule.bans(&members.me) {
        // Who is banned can still believe in a connection that the other side has lost, and written without.
        let is_told = asked.options.only_if_owner;
        return end(
            Code::Done,
            if is_told { Reason::NotOwner } else { Reason::Kept(Kept::BansMe) },
        );
    }
    if !local.data().is_up_to_date() {
        return end(Code::Done, Reason::Kept(Kept::OwnData));
    }
    if local.all_peers_good() && local.vouches_for_all(members) {
        return change(Step::Remove { version: members.version }, asked, seen, progress);
    }
    let mut allowed = rule.allowed.clone();
    allowed.extend(freed(asked, local, members).filter(|node| rule.bans(node)));
    if allowed == rule.allowed {
        let reason = match progress.placed {
            Some(_) => Reason::Widened,
            None if local.all_peers_good() => Reason::Kept(Kept::AnotherMayWrite),
            None => Reason::Kept(Kept::Nobody),
        };
        return end(Code::Done, reason);
    }
    let placed = Some(super::Placed { then: Code::Done, because: Reason::Widened, is_new: false });
    change(Step::Write { version: members.version, allowed, placed }, asked, seen, progress)
}

/// The peers that are good now, and were when the kernel made the mask, if it did.
fn freed<'a>(
    asked: &'a Asked,
    local: &'a Local,
    members: &'a Members,
) -> impl Iterator<Item = String> + 'a {
    let good: BTreeSet<u32> = local
        .peers
        .iter()
        .filter(|(id, peer)| {
            Peer::is_good(peer)
                && local.vouches_for(**id, members)
                && asked.mask.as_ref().is_none_or(|mask| mask.contains(**id))
        })
        .map(|(id, _)| *id)
        .collect();
    let name = |id: &u32| members.peers.get(id).and_then(|member| member.name.clone());
    let others: Vec<String> =
        local.peers.keys().filter(|id| !good.contains(id)).filter_map(name).collect();
    let names: Vec<String> = good.iter().filter_map(name).collect();
    // Two DRBD nodes that have one name in the cluster are freed together or not at all.
    names
        .into_iter()
        .filter(move |name| !others.iter().any(|other| other.eq_ignore_ascii_case(name)))
}

fn change(step: Step, asked: &Asked, seen: &Seen, progress: &Progress) -> Next {
    let why = match progress.failures.last() {
        Some(why) if progress.failures.len() >= FAILURES => why.clone(),
        Some(_) | None if seen.elapsed >= asked.options.timeout && progress.has_tried() => {
            format!("the CIB changed {} times before the change arrived", progress.conflicts)
        }
        Some(_) | None => return Next::Do(step),
    };
    end(Code::NotFenced, Reason::NotWritten(why))
}

fn end(code: Code, reason: Reason) -> Next {
    Next::Done(Answer { code, reason, suicide: false })
}
