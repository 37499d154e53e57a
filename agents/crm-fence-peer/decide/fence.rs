//! fence-peer: whether a lost peer can be declared outdated, and the rule that makes it true. Invariant: 4 and 7 are only
//! answered by a node that has quorum, is allowed by the rule, sees the peer banned by it, and has data that
//! nobody can have newer.

use std::{collections::BTreeSet, time::Duration};

use super::{
    Answer, Asked, Code, FAILURES, Late, Next, OnTimeout, PAUSE, Placed, Progress, Question, Step,
    Until, WRITING,
    reason::{Accepted, Reason, Strict},
};
use crate::facts::{Cluster, Kernel, Local, Members, Policy, Rule, Seen, Standing, Worth};

/// Whether the peers asked about can still do harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dealt {
    /// Each of them answers in this partition, so a rule in its CIB binds it.
    Reachable,
    /// Each of them answers or is down, confirmed.
    Down,
    /// One of them is neither. Whether anybody is going to fence it.
    Not {
        /// Nobody is.
        is_final: bool,
    },
}

/// Everything that holds for one look, once it is whole.
struct Look<'a> {
    asked: &'a Asked,
    seen: &'a Seen,
    progress: &'a Progress,
    local: &'a Local,
    members: &'a Members,
    worth: Worth,
    /// Who may be promoted from now on: never more than the rule allows that is there.
    allowed: BTreeSet<String>,
    /// Whether the rule that is there allows nobody else.
    serves: bool,
    /// Whose fate decides.
    subjects: BTreeSet<u32>,
}

/// What comes next for fence-peer.
#[must_use]
pub fn fence(asked: &Asked, seen: &Seen, progress: &Progress) -> Next {
    match look(asked, seen, progress) {
        Ok(look) => look.next(),
        Err(next) => next,
    }
}

fn look<'a>(asked: &'a Asked, seen: &'a Seen, progress: &'a Progress) -> Result<Look<'a>, Next> {
    let patience = asked.options.sight(progress);
    let later = |until, reason| match seen.elapsed < patience {
        true => Next::Wait { pause: PAUSE, until },
        false => not_fenced(asked, seen, reason),
    };
    let local = match &seen.kernel {
        Kernel::Known(local) => local,
        Kernel::Unconfigured => return Err(not_fenced(asked, seen, Reason::Unconfigured)),
        Kernel::Silent(why) => {
            return Err(later(Until::Kernel, Reason::KernelSilent(why.clone())));
        }
    };
    let members = match &seen.cluster {
        Cluster::Known(members) => members,
        Cluster::Unread(why) => return Err(later(Until::Cib, Reason::NoCib(why.clone()))),
        Cluster::WithoutDc(why) => return Err(later(Until::Dc, Reason::NoDc(why.clone()))),
        Cluster::Unusable(why) => {
            return Err(not_fenced(asked, seen, Reason::ClusterUnusable(why.clone())));
        }
    };
    let unusable = |why: String| not_fenced(asked, seen, Reason::CallUnusable(why));
    super::call::contradiction(asked, local).map_err(unusable)?;

    let is_allowed = |id: &u32| {
        let in_mask = asked.mask.as_ref().is_some_and(|mask| mask.contains(*id));
        asked.peer != Some(*id)
            && in_mask
            && local.peers.get(id).is_some_and(crate::facts::Peer::is_good)
    };
    let name = |id: &u32| members.peers.get(id).and_then(|member| member.name.clone());
    let (good, excluded): (BTreeSet<u32>, BTreeSet<u32>) =
        local.peers.keys().partition(|id| is_allowed(id));
    let mut wanted: BTreeSet<String> = good.iter().filter_map(name).collect();
    wanted.insert(members.me.clone());
    let wanted = Rule { allowed: wanted };
    if let Some(twice) = excluded.iter().filter_map(name).find(|name| !wanted.bans(name)) {
        return Err(unusable(format!(
            "{twice} would be banned and allowed: two DRBD nodes have that name in the cluster"
        )));
    }
    let (allowed, serves) = match &members.rule {
        None => (wanted.allowed, false),
        Some(rule) => {
            let kept = rule.allowed.iter().filter(|node| !wanted.bans(node)).cloned();
            let kept: BTreeSet<String> = kept.collect();
            let serves = kept.len() == rule.allowed.len();
            (kept, serves)
        }
    };
    let worth = local.data();
    // Data that is not known to be the newest has to be compared with everybody's, not only with that of the peer
    // of this call: another call of the same promotion asks about the others, and finds this one's rule.
    let subjects = match asked.peer {
        Some(peer) if worth.is_up_to_date() => BTreeSet::from([peer]),
        Some(_) | None => excluded,
    };
    Ok(Look { asked, seen, progress, local, members, worth, allowed, serves, subjects })
}

fn not_fenced(asked: &Asked, seen: &Seen, reason: Reason) -> Next {
    done(asked, seen, Code::NotFenced, reason)
}

fn done(asked: &Asked, seen: &Seen, code: Code, reason: Reason) -> Next {
    let is_primary = matches!(&seen.kernel, Kernel::Known(local) if local.is_primary);
    // Of two Primaries in a split brain only the one that is banned is to end, not both; and where nobody answers for
    // the peer, this node may have the only copy that is left, and its I/O is frozen as it is.
    let is_spared =
        matches!(reason, Reason::PeerIsBack | Reason::SplitBrain | Reason::StillUnconfirmed { .. });
    let suicide = asked.options.suicide && is_primary && code == Code::NotFenced && !is_spared;
    Next::Done(Answer { code, reason, suicide })
}

impl Look<'_> {
    /// The table, row by row: the first that matches decides.
    fn next(&self) -> Next {
        if self.is_back() {
            return self.back();
        }
        if self.members.rule.as_ref().is_some_and(|rule| rule.bans(&self.members.me)) {
            return self.end(Code::NotFenced, Reason::Banned);
        }
        if !self.members.has_quorum {
            return self.end(Code::NotFenced, Reason::NoQuorum);
        }
        if self.asked.is_refused {
            // Who is Primary keeps the other side from becoming one; nobody declares a living peer outdated.
            let keeps = self.serves || !(self.local.is_primary && self.worth.is_up_to_date());
            return match keeps {
                true => self.end(Code::NotFenced, Reason::SplitBrain),
                false => self.write(Code::NotFenced, Reason::SplitBrain),
            };
        }
        if !self.worth.is_consistent() {
            return self.refused(Reason::OwnDataBad);
        }
        if let Some(placed) = self.progress.placed.as_ref().filter(|placed| self.holds(placed)) {
            return self.end(placed.then, placed.because.clone());
        }
        if let Some(question) = self.question() {
            return Next::Ask(question);
        }
        match self.dealt() {
            Dealt::Reachable if self.serves => {
                self.affirm(Code::PeerBanned, Reason::BannedAndReachable)
            }
            Dealt::Reachable => match self.asked.options.hickup.checked_sub(self.seen.elapsed) {
                Some(left) if !left.is_zero() => {
                    Next::Wait { pause: left.min(PAUSE), until: Until::Link }
                }
                Some(_) | None => self.write(Code::PeerBanned, Reason::BannedAndReachable),
            },
            Dealt::Down => self.down(),
            Dealt::Not { is_final } => self.unconfirmed(is_final),
        }
    }

    /// Whether the loss that this call is about has healed.
    fn is_back(&self) -> bool {
        match self.asked.peer {
            Some(peer) => self
                .local
                .peers
                .get(&peer)
                .is_some_and(|peer| peer.is_good() || (peer.is_connected && peer.is_client)),
            None => self.local.all_peers_good(),
        }
    }

    /// The kernel ignores the code of a call during which the connection came back. A rule of this call's own is not
    /// left behind: nobody might be called to remove it.
    fn back(&self) -> Next {
        let is_ours = self.progress.placed.as_ref().is_some_and(|placed| placed.is_new);
        match &self.members.rule {
            Some(rule)
                if is_ours
                    && self.worth.is_up_to_date()
                    && self.local.all_peers_good()
                    && self.local.vouches_for_all(self.members)
                    && !rule.bans(&self.members.me) =>
            {
                match self.change(Step::Remove { version: self.members.version }) {
                    // Nobody dies for a rule that stays behind.
                    Next::Done(answer) => Next::Done(Answer { suicide: false, ..answer }),
                    next => next,
                }
            }
            Some(_) | None => self.end(Code::NotFenced, Reason::PeerIsBack),
        }
    }

    /// Whether what was to be answered once the rule is seen may be answered of this look: own data can have become
    /// worse since.
    fn holds(&self, placed: &Placed) -> bool {
        let operator = Reason::Unconfirmed { accepted: Accepted::Operator };
        self.serves
            && !self.is_being_removed()
            && match placed.then {
                Code::Done | Code::NotFenced => false,
                Code::PeerBanned => true,
                Code::PeerUnreachable => self.worth.is_up_to_date() || placed.because == operator,
                Code::PeerDown => self.worth.is_up_to_date(),
            }
    }

    /// Whether the rule can still go because this call has asked for that, when the peer was back for a while.
    fn is_being_removed(&self) -> bool {
        self.progress.removing == Some(self.members.version)
    }

    /// Whether the rule bans everybody, and did when this call began.
    fn served_before(&self) -> bool {
        self.serves && self.progress.placed.is_none()
    }

    /// Controllers that have not been asked in this look.
    fn question(&self) -> Option<Question> {
        let unasked = |id: &&u32| {
            self.members.peers.get(id).is_some_and(|member| {
                let is_known = member.name.is_some();
                is_known && member.standing == Standing::Online && member.answers.is_none()
            })
        };
        let unasked: BTreeSet<u32> = self.subjects.iter().filter(unasked).copied().collect();
        (!unasked.is_empty()).then_some(Question::Controllers(unasked))
    }

    fn dealt(&self) -> Dealt {
        let mut dealt = Dealt::Reachable;
        let is_late = self.is_late();
        for id in &self.subjects {
            let member = self.members.peers.get(id);
            // Nothing that is said of a node says anything of a peer that is not known to be that node.
            let member = member.filter(|member| member.name.is_some());
            let standing = member.map_or(Standing::NotSeen, |member| member.standing);
            let answers = member.is_some_and(|member| member.answers == Some(true));
            let lenient = self.asked.options.cts_mode && is_late;
            let this = match standing {
                Standing::Online if answers => Dealt::Reachable,
                Standing::Online | Standing::NotSeen if lenient => Dealt::Reachable,
                Standing::Down => Dealt::Down,
                Standing::Offline => Dealt::Not { is_final: true },
                Standing::Online | Standing::WillBeFenced | Standing::NotSeen => {
                    Dealt::Not { is_final: false }
                }
            };
            dealt = match (dealt, this) {
                (Dealt::Not { is_final: one }, Dealt::Not { is_final: two }) => {
                    Dealt::Not { is_final: one && two }
                }
                (not @ Dealt::Not { .. }, _) | (_, not @ Dealt::Not { .. }) => not,
                (Dealt::Reachable, Dealt::Reachable) => Dealt::Reachable,
                (Dealt::Down, _) | (_, Dealt::Down) => Dealt::Down,
            };
        }
        dealt
    }

    /// All are reachable or down. Shooting a peer does not make one's own data better.
    fn down(&self) -> Next {
        if !self.worth.is_up_to_date() {
            return match self.served_before() {
                // Banned before it went down, so nobody but this node can have written since.
                true => self.affirm(Code::PeerBanned, Reason::BannedBeforeAndDown),
                false => self.refused(Reason::OnlyConsistent),
            };
        }
        if !self.serves {
            return self.write(Code::PeerDown, Reason::BannedAndDown);
        }
        match self.served_before() && !self.progress.has_waited {
            true => self.affirm(Code::PeerBanned, Reason::BannedBeforeAndDown),
            false => self.affirm(Code::PeerDown, Reason::BannedAndDown),
        }
    }

    /// Somebody may be alive and writing.
    fn unconfirmed(&self, is_final: bool) -> Next {
        if self.served_before() && !self.members.has_stonith {
            return self.affirm(Code::PeerBanned, Reason::BannedBefore);
        }
        if !self.worth.is_up_to_date() {
            if self.asked.options.unreachable_is_outdated {
                return self.accept(Accepted::Operator);
            }
            return match is_final || self.is_late() {
                true => self.refused(Reason::OnlyConsistentAndUnconfirmed),
                false => Next::Wait { pause: PAUSE, until: Until::Peer },
            };
        }
        if !is_final && !self.is_late() {
            return Next::Wait { pause: PAUSE, until: Until::Peer };
        }
        let policy = match self.seen.policy {
            _ if self.local.is_frozen => Some(Policy::ResourceAndStonith),
            policy => policy,
        };
        let strict = if !self.members.has_stonith {
            return self.accept(Accepted::NoStonith);
        } else if self.asked.options.on_timeout == OnTimeout::Thaw {
            return self.accept(Accepted::OnTimeoutThaw);
        } else {
            match policy {
                None => return Next::Ask(Question::Policy),
                Some(Policy::ResourceOnly) => return self.accept(Accepted::ResourceOnly),
                Some(Policy::ResourceAndStonith) => Strict::ResourceAndStonith,
                Some(Policy::NotKnown) => Strict::PolicyNotKnown,
            }
        };
        match self.is_late() {
            true => self.end(Code::NotFenced, Reason::StillUnconfirmed { strict }),
            false => Next::Wait { pause: PAUSE, until: Until::Peer },
        }
    }

    fn accept(&self, accepted: Accepted) -> Next {
        let reason = Reason::Unconfirmed { accepted };
        match self.serves {
            true => self.affirm(Code::PeerUnreachable, reason),
            false => self.write(Code::PeerUnreachable, reason),
        }
    }

    /// An answer that rests on a rule that was found. While a change that was decided on before can still take that rule away,
    /// the CIB gets a newer version first, and the rule is looked at again.
    fn affirm(&self, code: Code, reason: Reason) -> Next {
        let now = self.members.version;
        let is_moving = match self.asked.late {
            Late::Nothing => false,
            Late::ChangeOf(version) => version == now,
            Late::Anything => true,
        };
        let is_newer = self.progress.bumped.is_some_and(|version| version < now);
        let is_found = self.progress.placed.is_none() && !is_newer;
        match self.is_being_removed() || (is_moving && is_found) {
            true => self.change(Step::Bump { version: now }),
            false => self.end(code, reason),
        }
    }

    /// The stock handler answers 5 for data that is not good enough. The kernel takes that for "the peer is outdated"
    /// as soon as one volume is UpToDate, so it is only said where none is.
    fn refused(&self, reason: Reason) -> Next {
        match self.worth.has_some_up_to_date() {
            true => self.end(Code::NotFenced, Reason::OwnDataMixed),
            false => self.end(Code::PeerUnreachable, reason),
        }
    }

    fn is_late(&self) -> bool {
        self.seen.elapsed >= self.asked.options.timeout
    }

    fn write(&self, then: Code, because: Reason) -> Next {
        let is_new = self.members.rule.is_none()
            || self.progress.placed.as_ref().is_some_and(|placed| placed.is_new);
        let placed = Some(Placed { then, because, is_new });
        let allowed = self.allowed.clone();
        self.change(Step::Write { version: self.members.version, allowed, placed })
    }

    /// A change, as long as there is hope for it.
    fn change(&self, step: Step) -> Next {
        if self.progress.failures.len() >= FAILURES {
            let why = self.progress.failures.last().cloned().unwrap_or_default();
            return self.end(Code::NotFenced, Reason::NotWritten(why));
        }
        // Who got the lock late tries once.
        if self.seen.elapsed >= self.patience() && self.progress.has_tried() {
            let moved = self.progress.conflicts;
            let why = format!("the CIB changed {moved} times before the change arrived");
            return self.end(Code::NotFenced, Reason::NotWritten(why));
        }
        Next::Do(step)
    }

    fn patience(&self) -> Duration {
        self.asked.options.timeout.max(self.asked.options.hickup) + WRITING
    }

    fn end(&self, code: Code, reason: Reason) -> Next {
        done(self.asked, self.seen, code, reason)
    }
}
