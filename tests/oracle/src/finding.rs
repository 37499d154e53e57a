//! What the judge can find, as data. A [`Violation`] is proof that something went wrong with the
//! guest's data; a [`Doubt`] is a hole in the evidence. Invariant: a hole is never reported as a lost
//! write and never makes a lost write go away.

use std::fmt;
use std::time::Duration;

/// Proof that data was lost or written by two at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    /// A write that the guest saw acknowledged is not on the disk it woke up on.
    LostWrite {
        /// Highest number acknowledged before.
        acked: u32,
        /// Highest number found at this boot.
        found: u32,
    },
    /// An entry that an earlier boot had read, though nobody acknowledged it, is gone.
    ReadEntryGone {
        /// Highest number an earlier boot found.
        read: u32,
        /// Highest number found at this boot.
        found: u32,
    },
    /// Entries older than the highest are missing: writes lost from the middle, or torn.
    TornRing {
        /// Highest number found.
        highest: u32,
        /// How many entries should be whole.
        expected: u32,
        /// How many are.
        valid: u32,
    },
    /// Two nodes confirmed writes in the same period.
    TwoWriters {
        /// The node that held the guest.
        holder: String,
        /// The node that confirmed a number although it did not hold it.
        other: String,
        /// The first number that the other one confirmed.
        number: u32,
        /// What the holder would have confirmed next.
        expected: u32,
        /// Last confirmation of this contest.
        until: Duration,
        /// Changes from one to the other, the first included.
        turns: u32,
    },
    /// The guest confirmed a number that it had already passed.
    NumberJumped {
        /// What had to come next.
        expected: u32,
        /// What came.
        got: u32,
    },
    /// The very first boot found an old ring on a disk that should have been empty.
    NotFresh {
        /// Highest number found.
        found: u32,
        /// Whole entries.
        valid: u32,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LostWrite { acked, found } => write!(
                f,
                "LOST WRITE: write {acked} was acknowledged, but the disk ends at {found} ({} lost)",
                acked.saturating_sub(*found)
            ),
            Self::ReadEntryGone { read, found } => write!(
                f,
                "LOST WRITE: an earlier boot read {read} from the disk, now it ends at {found}"
            ),
            Self::TornRing { highest, expected, valid } => write!(
                f,
                "TORN RING: {valid} of the {expected} entries up to {highest} are whole; a write \
                 before the last one is missing"
            ),
            Self::TwoWriters { holder, other, number, expected, until, turns } => write!(
                f,
                "TWO WRITERS: {other} confirmed write {number} while {holder} held the guest and \
                 was to confirm {expected} ({turns} turns, until {:.3} s)",
                until.as_secs_f64()
            ),
            Self::NumberJumped { expected, got } => write!(
                f,
                "NUMBER JUMPED: the guest confirmed {got} again, {expected} was next, and it did \
                 not boot in between"
            ),
            Self::NotFresh { found, valid } => write!(
                f,
                "NOT FRESH: the first boot found a ring up to {found} ({valid} entries) on a disk \
                 that should have been empty"
            ),
        }
    }
}

/// A hole in the evidence: the recording cannot prove that all is well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doubt {
    /// Confirmations are missing from the stream (lost datagrams), later ones are there.
    StreamGap {
        /// First number missing.
        first: u32,
        /// Last number missing.
        last: u32,
    },
    /// The disk has more than one write beyond what anybody was seen to confirm: confirmations were
    /// lost, or someone wrote whom we do not hear.
    UnseenWrites {
        /// Highest number known before.
        known: u32,
        /// Highest number found at this boot.
        found: u32,
    },
    /// A boot line could not be read; the number found was taken from the next confirmation.
    BootUnreadable {
        /// Highest number found, as concluded.
        found: u32,
    },
    /// A confirmation came before any boot line of a guest that should have been new.
    NoBootSeen {
        /// The number.
        number: u32,
    },
    /// There is nothing in the recording to judge.
    NothingSeen,
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StreamGap { first, last } if first == last => {
                write!(f, "gap in the recording: the confirmation of {first} did not arrive")
            }
            Self::StreamGap { first, last } => write!(
                f,
                "gap in the recording: the confirmations of {first} to {last} did not arrive"
            ),
            Self::UnseenWrites { known, found } => write!(
                f,
                "unseen writes: the disk ends at {found}, but nobody was heard beyond {known}"
            ),
            Self::BootUnreadable { found } => {
                write!(f, "unreadable boot line; the disk must have ended at {found}")
            }
            Self::NoBootSeen { number } => {
                write!(f, "write {number} was confirmed before any boot line was seen")
            }
            Self::NothingSeen => f.write_str("the guest was not heard at all"),
        }
    }
}

/// A finding with its place in the recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found<T> {
    /// When the line arrived that proves it.
    pub at: Duration,
    /// The node that the line came from.
    pub source: String,
    /// What was found.
    pub what: T,
}

impl<T: fmt::Display> fmt::Display for Found<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} s, {}: {}", self.at.as_secs_f64(), self.source, self.what)
    }
}
