//! Looks and calls that differ from a real one in a single fact, for finding out which facts an answer hangs on. Invariant:
//! each is one that could have been seen, and the order is fixed.

use std::collections::BTreeSet;

use super::words::{data_in_words, named, policy_in_words, standing_in_words};
use crate::{
    decide::{Asked, Mask, Mode, OnTimeout},
    facts::{Cluster, Data, Kernel, Local, Members, Policy, Rule, Seen, Standing},
};

/// One fact, changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Other {
    /// As the end of "if ...".
    pub(super) what: String,
    pub(super) asked: Asked,
    pub(super) seen: Seen,
}

/// Every single change that is tried.
pub(super) fn others(asked: &Asked, seen: &Seen) -> Vec<Other> {
    let mut made = Made { asked, seen, others: Vec::new() };
    if let Kernel::Known(local) = &seen.kernel {
        made.kernel(local);
    }
    match &seen.cluster {
        Cluster::Known(members) => made.cluster(members),
        Cluster::Unread(_) | Cluster::WithoutDc(_) | Cluster::Unusable(_) => {}
    }
    made.policy();
    made.call();
    made.others
}

struct Made<'a> {
    asked: &'a Asked,
    seen: &'a Seen,
    others: Vec<Other>,
}

impl Made<'_> {
    fn add(&mut self, what: String, change: impl FnOnce(&mut Asked, &mut Seen)) {
        let (mut asked, mut seen) = (self.asked.clone(), self.seen.clone());
        change(&mut asked, &mut seen);
        if (&asked, &seen) != (self.asked, self.seen) {
            self.others.push(Other { what, asked, seen });
        }
    }

    fn local(&mut self, what: String, change: impl FnOnce(&mut Local)) {
        self.add(what, |_, seen| {
            if let Kernel::Known(local) = &mut seen.kernel {
                change(local);
            }
        });
    }

    fn members(&mut self, what: String, change: impl FnOnce(&mut Members)) {
        self.add(what, |_, seen| {
            if let Cluster::Known(members) = &mut seen.cluster {
                change(members);
            }
        });
    }

    fn kernel(&mut self, local: &Local) {
        let role = if local.is_primary { "Secondary" } else { "Primary" };
        self.local(format!("this node were {role}"), |local| {
            local.is_primary = !local.is_primary;
        });
        let frozen = if local.is_frozen { "not frozen" } else { "frozen until a peer is fenced" };
        self.local(format!("I/O were {frozen}"), |local| local.is_frozen = !local.is_frozen);
        let with_disk = local.volumes.iter().filter(|(_, volume)| !volume.is_client);
        let with_disk: Vec<u32> = with_disk.map(|(number, _)| *number).collect();
        for data in [Data::UpToDate, Data::Consistent, Data::Bad] {
            for number in &with_disk {
                let what = format!("volume {number} were {} here", data_in_words(data));
                self.local(what, |local| {
                    if let Some(volume) = local.volumes.get_mut(number) {
                        volume.data = data;
                    }
                });
            }
            if with_disk.len() > 1 {
                self.local(format!("every volume were {} here", data_in_words(data)), |local| {
                    for volume in local.volumes.values_mut().filter(|volume| !volume.is_client) {
                        volume.data = data;
                    }
                });
            }
        }
        for id in local.peers.keys() {
            let name = self.name(*id);
            for (is_good, state) in [(true, "connected and UpToDate"), (false, "not connected")] {
                self.local(format!("{name} were {state}"), |local| {
                    if let Some(peer) = local.peers.get_mut(id) {
                        peer.is_connected = is_good;
                        peer.is_up_to_date |= is_good;
                    }
                });
            }
            let role = if local.peers.get(id).is_some_and(|peer| peer.is_primary) {
                "not known to be Primary"
            } else {
                "Primary, as far as this node knows"
            };
            self.local(format!("{name} were {role}"), |local| {
                if let Some(peer) = local.peers.get_mut(id) {
                    peer.is_primary = !peer.is_primary;
                }
            });
        }
    }

    fn cluster(&mut self, members: &Members) {
        let quorum = if members.has_quorum { "no quorum" } else { "quorum" };
        self.members(format!("this node's partition had {quorum}"), |members| {
            members.has_quorum = !members.has_quorum;
        });
        let stonith = if members.has_stonith { "disabled" } else { "enabled" };
        self.members(format!("stonith were {stonith} in this cluster"), |members| {
            members.has_stonith = !members.has_stonith;
        });
        self.members("there were no rule".to_owned(), |members| members.rule = None);
        let me = BTreeSet::from([members.me.clone()]);
        self.members(format!("a rule allowed {} alone", members.me), |members| {
            members.rule = Some(Rule { allowed: me });
        });
        let theirs = members.peers.values().filter_map(|member| member.name.clone());
        let theirs: BTreeSet<String> = theirs.collect();
        if !theirs.is_empty() {
            self.members("a rule banned this node".to_owned(), |members| {
                members.rule = Some(Rule { allowed: theirs });
            });
        }
        for id in members.peers.keys() {
            let name = self.name(*id);
            for (standing, answers) in [
                (Standing::Online, Some(true)),
                (Standing::Online, Some(false)),
                (Standing::Down, None),
                (Standing::WillBeFenced, None),
                (Standing::Offline, None),
                (Standing::NotSeen, None),
            ] {
                let reach = match answers {
                    None => "",
                    Some(true) => " and its controller answered",
                    Some(false) => " and its controller did not answer",
                };
                let what = format!("{name} were {}{reach}", standing_in_words(standing));
                self.members(what, |members| {
                    if let Some(member) = members.peers.get_mut(id) {
                        (member.standing, member.answers) = (standing, answers);
                    }
                });
            }
        }
    }

    fn policy(&mut self) {
        for policy in [Policy::ResourceOnly, Policy::ResourceAndStonith] {
            self.add(policy_in_words(policy).replace(" is ", " were "), |_, seen| {
                seen.policy = Some(policy);
            });
        }
    }

    fn call(&mut self) {
        if self.asked.mode == Mode::Unfence {
            let given = if self.asked.options.only_if_owner { "not given" } else { "given" };
            self.add(format!("--unfence-only-if-owner-match were {given}"), |asked, _| {
                asked.options.only_if_owner = !asked.options.only_if_owner;
            });
            return;
        }
        let refused = if self.asked.is_refused { "lost" } else { "reached and refused" };
        self.add(format!("the peer had been {refused}"), |asked, _| {
            asked.is_refused = !asked.is_refused;
        });
        let (word, other) = match self.asked.options.on_timeout {
            OnTimeout::Freeze => ("thaw", OnTimeout::Thaw),
            OnTimeout::Thaw => ("freeze", OnTimeout::Freeze),
        };
        self.add(format!("--on-timeout were {word}"), |asked, _| {
            asked.options.on_timeout = other;
        });
        let given = |is_given: bool| if is_given { "not given" } else { "given" };
        let options = &self.asked.options;
        self.add(format!("--CTS-mode were {}", given(options.cts_mode)), |asked, _| {
            asked.options.cts_mode = !asked.options.cts_mode;
        });
        let outdated = given(options.unreachable_is_outdated);
        self.add(format!("--unreachable-peer-is-outdated were {outdated}"), |asked, _| {
            asked.options.unreachable_is_outdated = !asked.options.unreachable_is_outdated;
        });
        if let (Some(me), Some(Mask(nodes))) = (self.asked.me, &self.asked.mask) {
            let is = if nodes.contains(&me) { "were not" } else { "were" };
            self.add(format!("this node {is} in UP_TO_DATE_NODES"), |asked, _| {
                if let Some(Mask(nodes)) = &mut asked.mask {
                    if !nodes.remove(&me) {
                        nodes.insert(me);
                    }
                }
            });
        }
    }

    fn name(&self, id: u32) -> String {
        match &self.seen.cluster {
            Cluster::Known(members) => named(id, members.peers.get(&id)),
            Cluster::Unread(_) | Cluster::WithoutDc(_) | Cluster::Unusable(_) => named(id, None),
        }
    }
}
