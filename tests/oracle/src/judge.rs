//! Judges a recording of the guest: is every acknowledged write on the disk it woke up on, and did
//! only one node write at a time? Invariant: the verdict depends on the lines alone, so a stored
//! recording can be judged again, and altered copies of it must be found out.
//!
//! Who writes. A node's interval of writing opens with its boot line, or without one by confirming a
//! number that its predecessor has not reached: the counter lives in the guest's memory, so only the
//! same memory (a live migration) can go on counting. It closes when another node's opens. A
//! confirmation by a node whose interval is not open is a second writer when
//!   - its number was already passed: two memories count the same numbers; or
//!   - the holder has booted but not confirmed anything yet: the number cannot tell the old guest,
//!     which wakes up with its last write, from the new one; or
//!   - the guest would have been away for less than [`SHORTEST_STAY`]: nothing migrates there and
//!     back in that time.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::finding::{Doubt, Found, Violation};
use crate::guest::RING;
use crate::stream::{Line, Stamped};
use crate::summary::{Boot, Freeze, Outage, Way, WriteErrors};
pub use crate::verdict::{NotIntact, Outcome, Verdict};

/// A live migration there and back takes longer than this.
pub const SHORTEST_STAY: Duration = Duration::from_secs(1);
/// A gap between confirmations is a freeze from here on (the guest's own rhythm is 110 ms).
pub const FREEZE: Duration = Duration::from_millis(250);

/// What is known of the disk when the recording begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// The ring was empty: the first boot must find nothing.
    Fresh,
    /// This number was acknowledged before.
    Acknowledged(u32),
    /// Nothing; the first line is believed.
    Unknown,
}

/// Judges a whole recording.
#[must_use]
pub fn judge(lines: &[Stamped], start: Start) -> Verdict {
    let mut judge = Judge::new(start);
    for line in lines {
        judge.observe(line);
    }
    judge.verdict()
}

/// The judge for a recording that is still going on.
#[derive(Debug, Clone)]
pub struct Judge {
    start: Start,
    verdict: Verdict,
    /// Highest number that any boot has found; what was read may not vanish either.
    read: Option<u32>,
    holder: Option<Holder>,
    /// Nodes whose interval of writing was closed by another one since they last booted.
    displaced: BTreeSet<String>,
    last_ack: Option<LastAck>,
    /// The boot line of this node could not be read.
    unread_boot: Option<String>,
    /// Two are writing: every number is suspect until the next boot line.
    contested: bool,
}

#[derive(Debug, Clone)]
struct Holder {
    node: String,
    opened: Duration,
    boot: Option<Duration>,
    last_line: Duration,
    expected: u32,
    confirmed: u32,
}

#[derive(Debug, Clone)]
struct LastAck {
    node: String,
    at: Duration,
}

impl Judge {
    /// A judge who has heard nothing yet.
    #[must_use]
    pub fn new(start: Start) -> Self {
        let highest = match start {
            Start::Fresh => Some(0),
            Start::Acknowledged(number) => Some(number),
            Start::Unknown => None,
        };
        Self {
            start,
            verdict: Verdict { highest, ..Verdict::default() },
            read: None,
            holder: None,
            displaced: BTreeSet::new(),
            last_ack: None,
            unread_boot: None,
            contested: false,
        }
    }

    /// What can be said so far.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let mut verdict = self.verdict.clone();
        if verdict.boots.is_empty() && verdict.acknowledged == 0 {
            let at = Duration::ZERO;
            verdict.doubts.push(Found { at, source: "lab".into(), what: Doubt::NothingSeen });
        }
        verdict
    }

    /// Takes the next line; lines must come in order of arrival.
    pub fn observe(&mut self, stamped: &Stamped) {
        match &stamped.line {
            Line::Boot { highest, valid } => self.boot(stamped, *highest, Some(*valid)),
            Line::Ack(number) => self.ack(stamped, *number),
            Line::Error(number) => self.error(stamped, *number),
            Line::Garbled(text) => {
                self.verdict.garbled += 1;
                if text.starts_with('B') {
                    self.unread_boot = Some(stamped.source.clone());
                }
            }
        }
    }

    fn boot(&mut self, stamped: &Stamped, found: u32, valid: Option<u32>) {
        let acked = self.verdict.highest;
        if self.start == Start::Fresh && self.verdict.boots.is_empty() && acked == Some(0) {
            if found != 0 || valid.is_some_and(|valid| valid != 0) {
                let valid = valid.unwrap_or(0);
                self.violation(stamped, Violation::NotFresh { found, valid });
            }
        } else {
            self.compare(stamped, found, acked);
        }
        let expected = found.min(RING);
        if let Some(valid) = valid.filter(|valid| *valid != expected) {
            self.violation(stamped, Violation::TornRing { highest: found, expected, valid });
        }
        // From here on this disk is the truth: a loss is reported once, not at every later boot.
        self.verdict.highest = Some(found.min(acked.unwrap_or(found)));
        self.read = Some(found);
        self.verdict.boots.push(Boot {
            at: stamped.at,
            source: stamped.source.clone(),
            found,
            valid,
            acked_before: acked,
            first_ack: None,
            acks: 0,
        });
        self.contested = false;
        self.unread_boot = None;
        self.open(stamped, Some(stamped.at), found.saturating_add(1));
    }

    fn compare(&mut self, stamped: &Stamped, found: u32, acked: Option<u32>) {
        match acked {
            Some(acked) if found < acked => {
                self.violation(stamped, Violation::LostWrite { acked, found });
                return;
            }
            Some(_) | None => {}
        }
        match self.read {
            Some(read) if found < read => {
                self.violation(stamped, Violation::ReadEntryGone { read, found });
                return;
            }
            Some(_) | None => {}
        }
        if let Some(known) = acked.max(self.read).filter(|known| found > known.saturating_add(1)) {
            self.doubt(stamped, Doubt::UnseenWrites { known, found });
        }
    }

    fn ack(&mut self, stamped: &Stamped, number: u32) {
        if self.unread_boot.as_ref() == Some(&stamped.source) {
            // The guest goes on at what it found plus one: nothing is lost by the torn line.
            let found = number.saturating_sub(1);
            self.doubt(stamped, Doubt::BootUnreadable { found });
            self.boot(stamped, found, None);
        }
        self.place(stamped, number);
        self.outage_or_freeze(stamped, number);
        self.verdict.acknowledged += 1;
        self.verdict.highest = self.verdict.highest.max(Some(number));
        if let Some(boot) = self.verdict.boots.last_mut() {
            if boot.source == stamped.source {
                boot.first_ack.get_or_insert(stamped.at);
            }
            boot.acks += 1;
        }
        let waiting = |errors: &&mut WriteErrors| {
            errors.number == number && errors.source == stamped.source && errors.ended.is_none()
        };
        if let Some(errors) = self.verdict.write_errors.iter_mut().rev().find(waiting) {
            errors.ended = Some(stamped.at);
        }
        self.last_ack = Some(LastAck { node: stamped.source.clone(), at: stamped.at });
        if let Some(holder) = &mut self.holder {
            holder.confirmed += 1;
            holder.last_line = stamped.at;
            holder.expected = holder.expected.max(number.saturating_add(1));
        }
    }

    /// Is this number one that this node may confirm now?
    fn place(&mut self, stamped: &Stamped, number: u32) {
        if self.contested {
            return self.contest_goes_on(stamped);
        }
        let Some(holder) = self.holder.clone() else {
            if self.start != Start::Unknown {
                self.doubt(stamped, Doubt::NoBootSeen { number });
            }
            return self.open(stamped, None, number);
        };
        let expected = holder.expected;
        let same = holder.node == stamped.source;
        let back_too_soon = self.displaced.contains(&stamped.source)
            && (holder.confirmed == 0
                || holder.last_line.saturating_sub(holder.opened) < SHORTEST_STAY);
        if !same && (number < expected || back_too_soon) {
            self.contested = true;
            let (other, until) = (stamped.source.clone(), stamped.at);
            let holder = holder.node;
            return self.violation(
                stamped,
                Violation::TwoWriters { holder, other, number, expected, until, turns: 1 },
            );
        }
        if number < expected {
            self.violation(stamped, Violation::NumberJumped { expected, got: number });
            // Believe the guest's counter, so that one jump is one finding.
            if let Some(holder) = &mut self.holder {
                holder.expected = number;
            }
        } else if number > expected {
            self.doubt(stamped, Doubt::StreamGap { first: expected, last: number - 1 });
        }
        if !same {
            self.open(stamped, None, number);
        }
    }

    fn contest_goes_on(&mut self, stamped: &Stamped) {
        let turn = self.last_ack.as_ref().is_some_and(|last| last.node != stamped.source);
        if let Some(Found { what: Violation::TwoWriters { until, turns, .. }, .. }) =
            self.verdict.violations.iter_mut().rev().find(|found| is_contest(&found.what))
        {
            if turn {
                *turns += 1;
                *until = stamped.at;
            }
        }
    }

    fn open(&mut self, stamped: &Stamped, boot: Option<Duration>, expected: u32) {
        if let Some(old) = self.holder.take().filter(|old| old.node != stamped.source) {
            self.displaced.insert(old.node);
        }
        self.displaced.remove(&stamped.source);
        self.holder = Some(Holder {
            node: stamped.source.clone(),
            opened: stamped.at,
            boot,
            last_line: stamped.at,
            expected,
            confirmed: 0,
        });
    }

    fn outage_or_freeze(&mut self, stamped: &Stamped, number: u32) {
        let (Some(last), Some(holder)) = (&self.last_ack, &self.holder) else { return };
        if self.contested {
            return;
        }
        if holder.confirmed == 0 {
            self.verdict.outages.push(Outage {
                from: last.node.clone(),
                to: stamped.source.clone(),
                way: if holder.boot.is_some() { Way::Boot } else { Way::LiveMigration },
                last_ack: last.at,
                boot: holder.boot,
                first_ack: stamped.at,
            });
        } else if stamped.at.saturating_sub(last.at) >= FREEZE {
            let source = stamped.source.clone();
            self.verdict.freezes.push(Freeze { from: last.at, until: stamped.at, source, number });
        }
    }

    fn error(&mut self, stamped: &Stamped, number: u32) {
        // A failed write of a node that lost the guest is what fencing is for: no second writer.
        let same = |errors: &&mut WriteErrors| {
            errors.number == number && errors.source == stamped.source && errors.ended.is_none()
        };
        if let Some(errors) = self.verdict.write_errors.last_mut().filter(same) {
            errors.count += 1;
            errors.last = stamped.at;
            return;
        }
        self.verdict.write_errors.push(WriteErrors {
            number,
            source: stamped.source.clone(),
            first: stamped.at,
            last: stamped.at,
            count: 1,
            ended: None,
        });
    }

    fn violation(&mut self, stamped: &Stamped, what: Violation) {
        let (at, source) = (stamped.at, stamped.source.clone());
        self.verdict.violations.push(Found { at, source, what });
    }

    fn doubt(&mut self, stamped: &Stamped, what: Doubt) {
        let (at, source) = (stamped.at, stamped.source.clone());
        self.verdict.doubts.push(Found { at, source, what });
    }
}

fn is_contest(violation: &Violation) -> bool {
    matches!(violation, Violation::TwoWriters { .. })
}
