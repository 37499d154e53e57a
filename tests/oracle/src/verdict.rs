//! The answer of the judge: findings, numbers and the text that an administrator reads.
//! Invariant: "intact" is said only of evidence without a hole.

use std::fmt;

use crate::finding::{Doubt, Found, Violation};
use crate::summary::{Boot, Freeze, Outage, WriteErrors};

/// The short answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Every acknowledged write was found again, one writer at a time, and the evidence is whole.
    Intact,
    /// Nothing wrong was found, but the evidence has holes.
    Incomplete,
    /// Data was lost, or two wrote at once.
    Violated,
}

/// Everything that the recording says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Proof of damage, in order of time.
    pub violations: Vec<Found<Violation>>,
    /// Holes in the evidence, in order of time.
    pub doubts: Vec<Found<Doubt>>,
    /// Every boot.
    pub boots: Vec<Boot>,
    /// Confirmations seen.
    pub acknowledged: u64,
    /// Highest number acknowledged and not lost since.
    pub highest: Option<u32>,
    /// Lines that could not be read.
    pub garbled: u64,
    /// Writes that came back with errors.
    pub write_errors: Vec<WriteErrors>,
    /// Gaps between confirmations of one node, in order of time.
    pub freezes: Vec<Freeze>,
    /// From the last confirmation before a boot or migration to the first after it.
    pub outages: Vec<Outage>,
}

/// The guest's data were not proved to be whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotIntact(pub Box<Verdict>);

impl Verdict {
    /// The short answer.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match (self.violations.is_empty(), self.doubts.is_empty()) {
            (false, _) => Outcome::Violated,
            (true, false) => Outcome::Incomplete,
            (true, true) => Outcome::Intact,
        }
    }

    /// Passes an intact verdict on; anything else is an error that says everything.
    ///
    /// # Errors
    /// [`NotIntact`] with the verdict, also when only the evidence has holes.
    pub fn require_intact(self) -> Result<Self, NotIntact> {
        match self.outcome() {
            Outcome::Intact => Ok(self),
            Outcome::Incomplete | Outcome::Violated => Err(NotIntact(Box::new(self))),
        }
    }

    /// The longest freezes first.
    #[must_use]
    pub fn longest_freezes(&self, count: usize) -> Vec<&Freeze> {
        let mut freezes: Vec<&Freeze> = self.freezes.iter().collect();
        freezes.sort_by_key(|freeze| std::cmp::Reverse(freeze.length()));
        freezes.truncate(count);
        freezes
    }

    /// The last time that the guest came back, by boot or by migration.
    #[must_use]
    pub fn last_outage(&self) -> Option<&Outage> {
        self.outages.last()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let answer = match self.outcome() {
            Outcome::Intact => "intact",
            Outcome::Incomplete => "INCOMPLETE EVIDENCE",
            Outcome::Violated => "VIOLATED",
        };
        let exact = |boot: &&Boot| boot.acked_before.is_none_or(|acked| boot.found == acked);
        let exact = self.boots.iter().filter(exact).count();
        let one_more = self.boots.iter().filter(|boot| boot.has_unanswered_write()).count();
        writeln!(
            f,
            "integrity: {answer}; {} boots (found exactly the last acknowledged write: {exact}, one \
             more: {one_more}, other: {}), {} acknowledged writes, {} unreadable lines",
            self.boots.len(),
            self.boots.len() - exact - one_more,
            self.acknowledged,
            self.garbled
        )?;
        for violation in &self.violations {
            writeln!(f, "  {violation}")?;
        }
        for doubt in &self.doubts {
            writeln!(f, "  {doubt}")?;
        }
        for outage in &self.outages {
            writeln!(f, "  {outage}")?;
        }
        for freeze in self.longest_freezes(3) {
            let (length, from) = (freeze.length().as_secs_f64(), freeze.from.as_secs_f64());
            writeln!(f, "  freeze on {}: {length:.2} s from {from:.3} s", freeze.source)?;
        }
        for errors in &self.write_errors {
            let (first, last) = (errors.first.as_secs_f64(), errors.last.as_secs_f64());
            writeln!(
                f,
                "  write {} failed {} times on {} from {first:.3} s to {last:.3} s",
                errors.number, errors.count, errors.source
            )?;
        }
        Ok(())
    }
}
