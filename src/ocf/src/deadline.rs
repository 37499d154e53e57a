//! Time and the log, as handed to an agent. Times are spans since the process began, counted by
//! the [`Host`]: real in production, a plain counter in tests.

use std::fmt;
use std::time::Duration;

/// How much a log line matters; the words are those of `ocf_log`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Only with `HA_debug`.
    Debug,
    /// A change of the world.
    Info,
    /// It worked, but somebody should look.
    Warning,
    /// It did not work.
    Error,
}

impl Level {
    /// The word in the log.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Level::Debug => "DEBUG",
            Level::Info => "INFO",
            Level::Warning => "WARNING",
            Level::Error => "ERROR",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What the loop needs of the machine.
pub trait Host {
    /// Time since the process began; never goes back.
    fn now(&self) -> Duration;
    /// Lets this much time pass.
    fn sleep(&mut self, span: Duration);
    /// Writes one log line.
    fn log(&mut self, level: Level, text: &str);
    /// Writes to standard output, as it stands.
    fn stdout(&mut self, text: &str);
    /// Writes one line to standard error.
    fn stderr(&mut self, line: &str);
    /// Tells of the operation's failure: the exit reason to standard error, the reason to the log.
    fn failure(&mut self, exit_reason: &str, reason: &str) {
        self.stderr(exit_reason);
        self.log(Level::Error, reason);
    }
}

/// A moment by which something must have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline {
    at: Duration,
}

impl Deadline {
    /// The deadline at this time since the process began.
    #[must_use]
    pub const fn at(at: Duration) -> Deadline {
        Deadline { at }
    }

    /// When that is, since the process began.
    #[must_use]
    pub const fn when(self) -> Duration {
        self.at
    }

    /// What is left at `now`; zero once it has passed.
    #[must_use]
    pub const fn remaining(self, now: Duration) -> Duration {
        self.at.saturating_sub(now)
    }

    /// The earlier of this and `span` from `now`: a share of the time for one call.
    #[must_use]
    pub fn within(self, now: Duration, span: Duration) -> Deadline {
        Deadline { at: self.at.min(now.saturating_add(span)) }
    }
}

/// What one turn of the loop may use beside the world itself: the time that is left, and the log.
/// Every wait inside `observe` and `apply` takes its limit from here.
pub struct Turn<'a> {
    host: &'a mut dyn Host,
    deadline: Deadline,
}

impl<'a> Turn<'a> {
    /// A turn on this host; for the loop and for tests of an agent's `observe` and `apply`.
    pub fn new(host: &'a mut dyn Host, deadline: Deadline) -> Turn<'a> {
        Turn { host, deadline }
    }

    /// When the operation has to be over.
    #[must_use]
    pub fn deadline(&self) -> Deadline {
        self.deadline
    }

    /// A deadline for one call: at most `span` from now, never after the operation's.
    #[must_use]
    pub fn within(&self, span: Duration) -> Deadline {
        self.deadline.within(self.host.now(), span)
    }

    /// What is left of the operation.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.deadline.remaining(self.host.now())
    }

    /// Time since the process began.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.host.now()
    }

    /// Logs a change of the world, in the past tense, with names.
    pub fn info(&mut self, text: impl AsRef<str>) {
        self.host.log(Level::Info, text.as_ref());
    }

    /// Logs something that went on but deserves a look.
    pub fn warning(&mut self, text: impl AsRef<str>) {
        self.host.log(Level::Warning, text.as_ref());
    }

    /// Logs a failure that is not this operation's outcome (that one the loop logs).
    pub fn error(&mut self, text: impl AsRef<str>) {
        self.host.log(Level::Error, text.as_ref());
    }

    /// Logs a detail for those who switched debugging on.
    pub fn debug(&mut self, text: impl AsRef<str>) {
        self.host.log(Level::Debug, text.as_ref());
    }
}
