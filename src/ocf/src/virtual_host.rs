//! A machine whose clock moves only when it is told to, for the tests of agents. An operation that would wait
//! for ever runs against a limit instead: a hang is a failed test, in no real time.

use crate::{Host, Level};
use std::cell::Cell;
use std::time::Duration;

/// A [`Host`] that keeps everything for the test to look at.
#[derive(Debug)]
pub struct VirtualHost {
    clock: Cell<Duration>,
    tick: Duration,
    limit: Duration,
    /// The pauses that were made.
    pub naps: Vec<Duration>,
    /// The lines logged; the reason of a failure is the last of them.
    pub log: Vec<(Level, String)>,
    /// All of standard output.
    pub out: String,
    /// The lines on standard error.
    pub err: Vec<String>,
}

impl Default for VirtualHost {
    fn default() -> VirtualHost {
        VirtualHost {
            clock: Cell::default(),
            tick: Duration::ZERO,
            limit: Duration::from_secs(3600),
            naps: Vec::new(),
            log: Vec::new(),
            out: String::new(),
            err: Vec::new(),
        }
    }
}

impl VirtualHost {
    /// A machine on which each look at the clock costs this much: work takes time.
    #[must_use]
    pub fn ticking(tick: Duration) -> VirtualHost {
        VirtualHost { tick, ..VirtualHost::default() }
    }

    /// With another limit than an hour.
    #[must_use]
    pub fn with_limit(self, limit: Duration) -> VirtualHost {
        VirtualHost { limit, ..self }
    }

    /// The time, without any passing.
    #[must_use]
    pub fn clock(&self) -> Duration {
        self.clock.get()
    }

    /// Lets time pass, as a world under test does when it keeps somebody waiting.
    ///
    /// # Panics
    /// When that goes over the limit.
    pub fn pass(&self, span: Duration) {
        self.clock.set(self.clock.get().saturating_add(span));
        assert!(self.clock.get() < self.limit, "still running after {:?}", self.clock.get());
    }
}

impl Host for VirtualHost {
    fn now(&self) -> Duration {
        self.pass(self.tick);
        self.clock.get()
    }

    fn sleep(&mut self, span: Duration) {
        self.naps.push(span);
        // Pauses of nothing move no clock.
        assert!(self.naps.len() < 100_000, "still running after 100000 pauses");
        self.pass(span);
    }

    fn log(&mut self, level: Level, text: &str) {
        self.log.push((level, text.to_owned()));
    }

    fn stdout(&mut self, text: &str) {
        self.out.push_str(text);
    }

    fn stderr(&mut self, line: &str) {
        self.err.push(line.to_owned());
    }
}
