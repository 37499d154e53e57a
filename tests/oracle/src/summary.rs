//! The numbers that a verdict carries beside its findings: boots, freezes, outages, write errors.
//! Invariant: every duration is the difference of two arrival times on the recorder's clock.

use std::fmt;
use std::time::Duration;

/// One boot of the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boot {
    /// When it said so.
    pub at: Duration,
    /// Where.
    pub source: String,
    /// Highest number found.
    pub found: u32,
    /// Whole entries, unless the line was unreadable.
    pub valid: Option<u32>,
    /// Highest number acknowledged before, if anything was known.
    pub acked_before: Option<u32>,
    /// Its first confirmation, if it came that far.
    pub first_ack: Option<Duration>,
    /// Confirmations until the next boot.
    pub acks: u32,
}

impl Boot {
    /// One write more than acknowledged was there: written, and the answer lost with the node.
    #[must_use]
    pub fn has_unanswered_write(&self) -> bool {
        self.acked_before.is_some_and(|acked| Some(self.found) == acked.checked_add(1))
    }
}

/// No confirmation for a while, on one node and without a boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Freeze {
    /// Last confirmation before it.
    pub from: Duration,
    /// First confirmation after it.
    pub until: Duration,
    /// The node.
    pub source: String,
    /// The number that had to wait.
    pub number: u32,
}

impl Freeze {
    /// How long nothing was confirmed.
    #[must_use]
    pub fn length(&self) -> Duration {
        self.until.saturating_sub(self.from)
    }
}

/// How the guest came to write again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// It booted: there is a boot line.
    Boot,
    /// It was carried over alive: the numbers go on without a boot line.
    LiveMigration,
}

/// The time between the last confirmation before and the first after a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outage {
    /// Node that confirmed last.
    pub from: String,
    /// Node that confirmed next; may be the same after a restart.
    pub to: String,
    /// By boot or live.
    pub way: Way,
    /// Last confirmation before.
    pub last_ack: Duration,
    /// The boot line that ended it.
    pub boot: Option<Duration>,
    /// First confirmation after.
    pub first_ack: Duration,
}

impl Outage {
    /// Acknowledged write to acknowledged write.
    #[must_use]
    pub fn downtime(&self) -> Duration {
        self.first_ack.saturating_sub(self.last_ack)
    }
}

impl fmt::Display for Outage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = match (self.way, self.from == self.to) {
            (Way::LiveMigration, _) => "live migration",
            (Way::Boot, true) => "restart",
            (Way::Boot, false) => "takeover",
        };
        let seconds = self.downtime().as_secs_f64();
        write!(f, "{way} {} -> {}: {seconds:.2} s without a confirmed write", self.from, self.to)
    }
}

/// A write that came back with errors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteErrors {
    /// The number.
    pub number: u32,
    /// The node.
    pub source: String,
    /// First error line.
    pub first: Duration,
    /// Last error line.
    pub last: Duration,
    /// How many.
    pub count: u32,
    /// When it was confirmed after all on this node, if it was.
    pub ended: Option<Duration>,
}
