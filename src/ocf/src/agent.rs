//! The four steps every agent consists of, as a trait, and the words they exchange.
//! `decide` takes data only: no clock, no log, no handle. All safety rules of an agent live there.

use crate::{Action, ExitCode, Refusal, Request, Spec, Strictness, Turn, Values};
use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::time::Duration;

/// A resource agent. [`crate::drive`] runs it; see there for the order of things.
///
/// Associated functions without `self` are pure. `observe` only reads, `apply` carries out one step;
/// both may use what the value of `self` holds (connections, tools) and must end by `turn.deadline()`.
pub trait Agent {
    /// The typed configuration of one invocation.
    type Config;
    /// The facts of one look at the world. "Could not find out" is one of its values rather than
    /// an error wherever another look may know better.
    type Observation;
    /// One change of the world. `Display` says it for the log, as "start domain vm1".
    type Step: Clone + fmt::Display;
    /// What goes wrong in observing and applying. The whole chain of sources is shown.
    type Error: Error + 'static;

    /// The table.
    fn spec() -> &'static Spec;

    /// How an action reads its parameters. By default as [`Action::strictness`] has it.
    fn strictness(action: Action) -> Strictness {
        action.strictness()
    }

    /// Typed values to configuration. For strict actions the table's own rules have already been
    /// applied. For lenient ones (stop, monitor) look at the identity only: `values.require(..)` what the
    /// resource cannot be named without, and take the rest as it comes.
    ///
    /// # Errors
    /// What cannot be right in a combination of parameters.
    fn config(request: &Request, values: &Values) -> Result<Self::Config, Refusal>;

    /// One look at the world.
    ///
    /// # Errors
    /// What no further look can change; it ends the operation with [`Agent::exit_code`].
    fn observe(
        &mut self,
        config: &Self::Config,
        request: &Request,
        turn: &mut Turn<'_>,
    ) -> Result<Self::Observation, Self::Error>;

    /// What comes next. Pure: the same arguments give the same answer.
    ///
    /// Is also asked one last time after the deadline (`progress.remaining` is zero): a `Done` then
    /// still counts, a `Wait` or `Do` becomes the expiry's outcome.
    fn decide(
        config: &Self::Config,
        request: &Request,
        seen: &Self::Observation,
        progress: &Progress<Self::Step>,
    ) -> Next<Self::Step>;

    /// Carries out one step. Success claims nothing: the next observation does.
    ///
    /// # Errors
    /// Why it could not be carried out; see [`Agent::after_failure`].
    fn apply(
        &mut self,
        config: &Self::Config,
        request: &Request,
        step: Self::Step,
        turn: &mut Turn<'_>,
    ) -> Result<(), Self::Error>;

    /// The one place where errors become exit codes.
    fn exit_code(error: &Self::Error, request: &Request) -> ExitCode;

    /// Whether a failed step ends the operation. By default it does.
    fn after_failure(step: &Self::Step, error: &Self::Error, request: &Request) -> AfterFailure {
        let _ = (step, error, request);
        AfterFailure::End
    }

    /// What the end of the time means for this operation. By default a generic error.
    fn on_expiry(config: &Self::Config, request: &Request) -> ExitCode {
        let _ = (config, request);
        ExitCode::Generic
    }

    /// How long before Pacemaker's timeout the loop gives up, to have time for saying why.
    fn reserve(request: &Request, timeout: Duration) -> Duration {
        let _ = request;
        (timeout / 20).clamp(Duration::from_millis(100), Duration::from_secs(2)).min(timeout / 2)
    }
}

/// Whether a step's failure ends the operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterFailure {
    /// It does: exit code by [`Agent::exit_code`], reason by the error's chain.
    End,
    /// It is noted in [`Progress::applied`] and the world is looked at again.
    LookAgain,
}

/// What has happened in this invocation so far, as data for `decide`.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress<S> {
    /// Time since the operation began.
    pub elapsed: Duration,
    /// Time until the deadline (the operation's timeout less the reserve); zero: this is the last look.
    pub remaining: Duration,
    /// The steps carried out, oldest first.
    pub applied: Vec<Applied<S>>,
}

/// A step that was carried out, or failed.
#[derive(Debug, Clone, PartialEq)]
pub struct Applied<S> {
    /// Which.
    pub step: S,
    /// When it ended, on the scale of [`Progress::elapsed`].
    pub at: Duration,
    /// Why it failed, with the code it stands for; `None` when it did not.
    pub failure: Option<Outcome>,
}

impl<S> Progress<S> {
    /// Nothing done yet, this much time left.
    #[must_use]
    pub fn new(remaining: Duration) -> Progress<S> {
        Progress { elapsed: Duration::ZERO, remaining, applied: Vec::new() }
    }

    /// The latest step that fits.
    pub fn last(&self, fits: impl Fn(&S) -> bool) -> Option<&Applied<S>> {
        self.applied.iter().rev().find(|applied| fits(&applied.step))
    }

    /// Whether a step that fits was tried.
    pub fn tried(&self, fits: impl Fn(&S) -> bool) -> bool {
        self.last(fits).is_some()
    }

    /// How long ago the latest step that fits ended.
    pub fn since(&self, fits: impl Fn(&S) -> bool) -> Option<Duration> {
        self.last(fits).map(|applied| self.elapsed.saturating_sub(applied.at))
    }

    /// How many times a step that fits was tried.
    pub fn count(&self, fits: impl Fn(&S) -> bool) -> usize {
        self.applied.iter().filter(|applied| fits(&applied.step)).count()
    }
}

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next<S> {
    /// Carry this out, then look again.
    Do(S),
    /// Look again after a pause, which the loop clips to the deadline.
    Wait {
        /// How long until the next look.
        pause: Duration,
        /// What is waited for, completing "Timed out after 85 s waiting for ...".
        until: Cow<'static, str>,
    },
    /// The operation is over.
    Done(Outcome),
}

impl<S> Next<S> {
    /// It worked, or it runs.
    #[must_use]
    pub const fn success() -> Next<S> {
        Next::Done(Outcome::success())
    }

    /// It was seen not to run.
    #[must_use]
    pub const fn not_running() -> Next<S> {
        Next::Done(Outcome { code: ExitCode::NotRunning, reason: None })
    }

    /// It failed.
    pub fn fail(code: ExitCode, reason: impl fmt::Display) -> Next<S> {
        Next::Done(Outcome::fail(code, reason))
    }

    /// Look again after `pause`; `until` completes "waiting for".
    pub fn wait(pause: Duration, until: impl Into<Cow<'static, str>>) -> Next<S> {
        Next::Wait { pause, until: until.into() }
    }
}

/// How an operation ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The exit code.
    pub code: ExitCode,
    /// Why, for the administrator; printed only where the code wants one.
    pub reason: Option<String>,
}

impl Outcome {
    /// It worked.
    #[must_use]
    pub const fn success() -> Outcome {
        Outcome { code: ExitCode::Ok, reason: None }
    }

    /// A code that speaks for itself: not running, running promoted.
    #[must_use]
    pub const fn plain(code: ExitCode) -> Outcome {
        Outcome { code, reason: None }
    }

    /// It did not work, for this reason.
    pub fn fail(code: ExitCode, reason: impl fmt::Display) -> Outcome {
        Outcome { code, reason: Some(reason.to_string()) }
    }
}

impl From<Refusal> for Outcome {
    fn from(refusal: Refusal) -> Outcome {
        Outcome::fail(refusal.exit_code(), &refusal)
    }
}
