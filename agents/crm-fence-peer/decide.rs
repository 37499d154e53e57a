//! The decisions of both handlers: pure functions of what was asked, what one look saw, and what this call did before.
//! Invariant: the peer is declared outdated (4, 5 with UpToDate data, 7) only when the table below says so; every
//! doubt ends with a code that changes nothing.
//!
//! What the kernel makes of an exit code (DRBD 8.4.11, 9.2 and 9.3, measured): 3, 4 and 7 declare the peer's disk bad or
//! outdated, and let a promotion or frozen I/O go on; 5 does the same if some disk of this node is UpToDate, and nothing
//! otherwise; 6 outdates this node's own disk and is never answered; anything else changes nothing.

mod call;
mod fence;
mod reason;
#[cfg(test)]
mod tests;
mod unfence;

use std::{collections::BTreeSet, time::Duration};

use serde::{Deserialize, Serialize};

pub use fence::fence;
pub use reason::Reason;
pub use unfence::unfence;

use crate::facts::{Seen, Version};

/// What was asked, which does not change while it is answered.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Asked {
    /// Fence or unfence.
    pub mode: Mode,
    /// The DRBD resource.
    pub resource: String,
    /// This node's id; `None` on 8.4, which has none.
    pub me: Option<u32>,
    /// The peer that was lost; `None`: all that are not good.
    pub peer: Option<u32>,
    /// Whether the peer was reached and refused: a split brain.
    pub is_refused: bool,
    /// Which nodes the kernel found UpToDate when it started the handler (9).
    pub mask: Option<Mask>,
    /// What another call on this node may still change, although it is over or not waited for.
    #[serde(default)]
    pub late: Late,
    /// How it is to be done.
    pub options: Options,
}

/// A change of the rule that can still arrive. One that was decided on another version of the CIB than there is by then does not
/// take place; but a rule that is only found is no change, and gives the CIB no other version.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Late {
    /// None: this call has the lock, and all changes before it were answered.
    #[default]
    Nothing,
    /// One to this version, of a call that did not get an answer.
    ChangeOf(Version),
    /// Any: this call does not have the lock.
    Anything,
}

/// Which of the two handlers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Mode {
    /// fence-peer.
    Fence,
    /// unfence-peer.
    Unfence,
}

/// A set of node ids.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Mask(pub BTreeSet<u32>);

/// What an administrator chose.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Options {
    /// How long to wait for a peer to be confirmed dead, since the process began.
    pub timeout: Duration,
    /// How long to wait for a DC, since the process began.
    pub dc_timeout: Duration,
    /// How long a link may be away that comes back by itself, since the process began.
    pub hickup: Duration,
    /// Whether a peer that is not known to be unreachable counts as reachable.
    pub cts_mode: bool,
    /// Whether the operator, at a terminal, has said that the unreachable peer is outdated.
    pub unreachable_is_outdated: bool,
    /// What to answer when nobody has confirmed the peer's death by the timeout.
    pub on_timeout: OnTimeout,
    /// Whether only a node that the rule allows may take it away.
    pub only_if_owner: bool,
    /// Whether a Primary that cannot fence its peer ends itself.
    pub suicide: bool,
}

/// What to do with I/O that is frozen for a peer that nobody confirmed dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum OnTimeout {
    /// Leave it frozen.
    Freeze,
    /// Let it go on, as the stock handler does: whoever fences too late has lost writes.
    Thaw,
}

/// What this call did before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Progress {
    /// A rule was written, and this is to be answered once it is seen.
    pub placed: Option<Placed>,
    /// A rule was removed.
    pub has_removed: bool,
    /// The version from which a rule was last asked to be removed, whatever came of it: as long as the CIB has that version, it can
    /// still be removed.
    #[serde(default)]
    pub removing: Option<Version>,
    /// The version of which the CIB was given a newer one, so that no change to it can arrive.
    #[serde(default)]
    pub bumped: Option<Version>,
    /// Whether the peer was once seen neither reachable nor down.
    pub has_waited: bool,
    /// How often the CIB had moved on when a change arrived.
    pub conflicts: u32,
    /// What kept changes from being made, for other reasons.
    pub failures: Vec<String>,
}

/// A rule that this call wrote.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Placed {
    /// What to answer.
    pub then: Code,
    /// Why.
    pub because: Reason,
    /// Whether there was none before.
    pub is_new: bool,
}

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Next {
    /// Something that takes time is to be asked, and then decided again.
    Ask(Question),
    /// One change.
    Do(Step),
    /// Look again after so long.
    Wait {
        /// How long.
        pause: Duration,
        /// For what.
        until: Until,
    },
    /// The end.
    Done(Answer),
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Until {
    /// The kernel to answer.
    Kernel,
    /// The CIB to be readable.
    Cib,
    /// A DC.
    Dc,
    /// Quorum.
    Quorum,
    /// A peer to be reachable, or confirmed down.
    Peer,
    /// A short interruption to be over.
    Link,
}

/// What is only asked when the answer depends on it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Question {
    /// Whether the controllers of these peers answer.
    Controllers(BTreeSet<u32>),
    /// The fencing policy of the connection.
    Policy,
}

/// A change of the CIB, made to the version that was looked at or not at all.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Step {
    /// Write the rule, or put it in the place of the one that is there.
    Write {
        /// To this version.
        version: Version,
        /// Who may be promoted.
        allowed: BTreeSet<String>,
        /// What to answer when it is seen.
        placed: Option<Placed>,
    },
    /// Remove it.
    Remove {
        /// From this version.
        version: Version,
    },
    /// Give the CIB a newer version than this, and change nothing else.
    Bump {
        /// Than this.
        version: Version,
    },
}

/// What the handler exits with. There is no 0, no 3 and no 6 for fence-peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Code {
    /// 0: unfence-peer is done. Never an answer of fence-peer.
    Done,
    /// 1: nothing can be said of the peer. The kernel changes nothing; frozen I/O stays frozen.
    NotFenced,
    /// 4: the peer can be reached in the cluster and cannot be promoted.
    PeerBanned,
    /// 5: the peer cannot be reached. The kernel takes it for outdated if own data is UpToDate.
    PeerUnreachable,
    /// 7: the peer is down, confirmed.
    PeerDown,
}

/// The end of a call.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Answer {
    /// The exit code.
    pub code: Code,
    /// The row of the table that gave it.
    pub reason: Reason,
    /// Whether this node is to be ended, because it was told to rather than to stay as it is.
    pub suicide: bool,
}

impl Code {
    /// As the kernel sees it.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Code::Done => 0,
            Code::NotFenced => 1,
            Code::PeerBanned => 4,
            Code::PeerUnreachable => 5,
            Code::PeerDown => 7,
        }
    }
}

impl Mask {
    /// Whether the node is in it.
    #[must_use]
    pub fn contains(&self, node_id: u32) -> bool {
        self.0.contains(&node_id)
    }
}

impl Default for Options {
    fn default() -> Options {
        Options {
            timeout: Duration::from_secs(90),
            dc_timeout: Duration::from_secs(20),
            hickup: Duration::ZERO,
            cts_mode: false,
            unreachable_is_outdated: false,
            on_timeout: OnTimeout::Freeze,
            only_if_owner: false,
            suicide: false,
        }
    }
}

/// What comes next, for either handler.
#[must_use]
pub fn decide(asked: &Asked, seen: &Seen, progress: &Progress) -> Next {
    match asked.mode {
        Mode::Fence => fence(asked, seen, progress),
        Mode::Unfence => unfence(asked, seen, progress),
    }
}

/// How long to wait before the next look.
const PAUSE: Duration = Duration::from_secs(1);

/// How long after the timeout a change may still be tried that was decided at the timeout.
const WRITING: Duration = Duration::from_secs(10);

/// So many changes that failed for another reason than a CIB that had moved on are enough.
const FAILURES: usize = 2;

impl Progress {
    /// Whether a change was tried.
    #[must_use]
    pub fn has_tried(&self) -> bool {
        self.placed.is_some() || self.has_removed || self.conflicts > 0 || !self.failures.is_empty()
    }
}

impl Options {
    /// Until when looks that are not whole are followed by others, since the process began. What was waited for or begun
    /// after a whole look is not given up for one that was not: DRBD does not call again.
    fn sight(&self, progress: &Progress) -> Duration {
        let longest = self.dc_timeout.max(self.hickup);
        match progress.has_waited || progress.has_tried() {
            true => longest.max(self.timeout) + WRITING,
            false => longest,
        }
    }

    /// When every call is over, since the process began, whatever hangs.
    #[must_use]
    pub fn end(&self) -> Duration {
        self.timeout.max(self.dc_timeout).max(self.hickup) + WRITING + WRITING / 2
    }
}
