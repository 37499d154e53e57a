//! The promotion score: how good this node's data is, as Pacemaker is told. Invariant: one pure function of whole
//! facts; a node without quorum, without the resource or without data gets none, and what could not be asked
//! changes nothing.

use std::fmt;

use crate::{
    config::Options,
    facts::{Facts, Kernel},
};

/// What is to be done about the score.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Score {
    /// It is this, more than 0.
    Set(u32),
    /// There is none.
    Remove,
    /// It stays as it is: the facts will be others in a moment, or are not known.
    Leave,
}

/// Four scores, none smaller than the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scores {
    /// Own data is consistent and may be old.
    pub consistent: u32,
    /// Own data is no good, a peer's is and can be reached.
    pub remote: u32,
    /// Own data is UpToDate, what a peer has is not known.
    pub local: u32,
    /// Own data is UpToDate, and what all peers have is known.
    pub best: u32,
}

/// Whether a Primary peer takes the score away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerPrimary {
    /// It makes no difference.
    Ignore,
    /// It does.
    Remove,
    /// It does where Pacemaker does not know of a promoted instance elsewhere.
    RemoveUnexpected,
}

/// Whether Pacemaker knows of a promoted instance on another node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Elsewhere {
    /// It does.
    Promoted,
    /// It does not.
    Nobody,
    /// It was not asked, or did not say.
    NotKnown,
}

impl Scores {
    /// 0 10 1000 10000.
    pub const DEFAULT: Scores = Scores { consistent: 0, remote: 10, local: 1000, best: 10_000 };

    /// Reads four numbers with blanks between; `None` if they are anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Scores> {
        let number = |word: &str| {
            let is_number = word.bytes().all(|byte| byte.is_ascii_digit());
            // Pacemaker's INFINITY is 1000000; more is no more than that.
            is_number.then(|| word.parse().ok()).flatten().map(|score: u32| score.min(1_000_000))
        };
        let numbers: Option<Vec<u32>> = text.split_ascii_whitespace().map(number).collect();
        match numbers?.as_slice() {
            &[consistent, remote, local, best]
                if consistent <= remote && remote <= local && local <= best =>
            {
                Some(Scores { consistent, remote, local, best })
            }
            _ => None,
        }
    }
}

impl fmt::Display for Scores {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {} {} {}", self.consistent, self.remote, self.local, self.best)
    }
}

/// A score of 0 or less is no score: a negative one once made Pacemaker stop instances.
fn at(value: u32) -> Score {
    if value == 0 { Score::Remove } else { Score::Set(value) }
}

/// The score that this node should have.
///
/// A diskless client is worth one less than a node with the same access to data and a disk. A Primary that is
/// UpToDate keeps the best score whatever its connections do; a cut-off Secondary that is UpToDate stays promotable,
/// because it may have the last copy, and DRBD's fencing at the promotion decides whether it has.
#[must_use]
pub fn promotion_score(kernel: &Kernel, options: &Options, elsewhere: Elsewhere) -> Score {
    let facts = match kernel {
        Kernel::NoModule | Kernel::Unknown(_) => return Score::Remove,
        Kernel::Silent(_) => return Score::Leave,
        Kernel::Known(facts) if facts.is_unconfigured() => return Score::Remove,
        Kernel::Known(facts) => facts,
    };
    if !facts.has_quorum() {
        return Score::Remove;
    }
    peer_primary(facts, options, elsewhere).unwrap_or_else(|| by_data(facts, &options.scores))
}

/// Whether asking Pacemaker who is promoted would make a difference.
#[must_use]
pub fn wants_elsewhere(kernel: &Kernel, options: &Options) -> bool {
    kernel.running().is_some_and(|facts| {
        facts.has_quorum()
            && peer_primary(facts, options, Elsewhere::NotKnown) == Some(Score::Leave)
    })
}

/// Whether a healthy peer is Primary although Pacemaker does not know it to be promoted; false where Pacemaker was not asked.
#[must_use]
pub fn is_unexpected_primary(facts: &Facts, options: &Options, elsewhere: Elsewhere) -> bool {
    options.promoted_max == 1
        && !facts.is_primary()
        && facts.healthy_primary_peer()
        && elsewhere == Elsewhere::Nobody
}

/// What a Primary peer makes of the score, if it does. It counts only if its own data is good: another node's
/// being so does not make a Primary without any healthy.
fn peer_primary(facts: &Facts, options: &Options, elsewhere: Elsewhere) -> Option<Score> {
    if facts.is_primary() || !facts.healthy_primary_peer() {
        return None;
    }
    let is_single = options.promoted_max == 1;
    match (options.peer_primary, elsewhere) {
        (PeerPrimary::Remove, _) => Some(Score::Remove),
        (PeerPrimary::RemoveUnexpected, Elsewhere::Nobody) if is_single => Some(Score::Remove),
        (PeerPrimary::RemoveUnexpected, Elsewhere::NotKnown) if is_single => Some(Score::Leave),
        (PeerPrimary::Ignore | PeerPrimary::RemoveUnexpected, _) => None,
    }
}

/// By own data and that of the peers. The first rule that fits.
fn by_data(facts: &Facts, scores: &Scores) -> Score {
    if facts.is_client() {
        let is_served = facts.is_primary() && facts.some_peer_up_to_date();
        return if is_served || facts.all_peers_up_to_date() {
            at(scores.best.saturating_sub(1))
        } else if facts.some_peer_up_to_date() {
            at(scores.local.saturating_sub(1))
        } else {
            Score::Remove
        };
    }
    if facts.is_up_to_date() {
        let is_alone = !facts.is_primary() && facts.some_peer_unknown();
        at(if is_alone { scores.local } else { scores.best })
    } else if facts.some_peer_up_to_date() {
        at(scores.remote)
    } else if facts.is_transitional() {
        Score::Leave
    } else if facts.is_consistent() {
        at(scores.consistent)
    } else {
        Score::Remove
    }
}

impl fmt::Display for Score {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Score::Set(value) => value.fmt(out),
            Score::Remove => out.write_str("none"),
            Score::Leave => out.write_str("as it is"),
        }
    }
}

#[cfg(test)]
mod recorded;
#[cfg(test)]
mod tests;
