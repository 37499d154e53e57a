//! Why an invocation cannot be served as configured. Every refusal names its parameter and, unless
//! that is private, the offending value; none ever carries a secret.

use crate::{ExitCode, Parameter};
use std::fmt;

/// A parameter's value as it may be shown to people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown(Option<String>);

impl Shown {
    /// Shows a value of this parameter, or hides it if the parameter is private.
    #[must_use]
    pub fn of(parameter: &Parameter, value: &str) -> Shown {
        Shown((!parameter.private).then(|| value.to_owned()))
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            // Debug form: the value came from outside, quotes and control characters are escaped.
            Some(value) => write!(f, "{value:?}"),
            None => f.write_str("(not shown)"),
        }
    }
}

/// A refusal; its `Display` is what follows `ocf-exit-reason:`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A required parameter is unset or empty.
    #[error("{parameter}: required parameter not set")]
    Missing {
        /// Its name.
        parameter: &'static str,
    },
    /// Not one of the boolean words.
    #[error("{parameter}={value}: not a boolean (yes, no, true, false, on, off, 1, 0)")]
    NotABoolean {
        /// Its name.
        parameter: &'static str,
        /// What it was set to.
        value: Shown,
    },
    /// Not a number, or out of range.
    #[error("{parameter}={value}: not a whole number from {min} to {max}")]
    NotAnInteger {
        /// Its name.
        parameter: &'static str,
        /// What it was set to.
        value: Shown,
        /// Smallest allowed.
        min: i64,
        /// Largest allowed.
        max: i64,
    },
    /// Not one of the values that can be chosen.
    #[error("{parameter}={value}: not one of {}", options.join(", "))]
    NotOneOf {
        /// Its name.
        parameter: &'static str,
        /// What it was set to.
        value: Shown,
        /// What can be chosen.
        options: &'static [&'static str],
    },
    /// Not a span of time.
    #[error("{parameter}={value}: not a time such as 30, 30s, 500ms or 2min")]
    NotADuration {
        /// Its name.
        parameter: &'static str,
        /// What it was set to.
        value: Shown,
    },
    /// The stock agent has the parameter, this one not yet; it is never silently ignored.
    #[error("{parameter}: this parameter is not implemented yet, remove it")]
    NotYet {
        /// Its name.
        parameter: &'static str,
    },
    /// The agent's own judgement.
    #[error("{reason}")]
    Other {
        /// The code to answer with.
        code: ExitCode,
        /// Why, naming the parameter.
        reason: String,
    },
}

impl Refusal {
    /// A refusal for which the table has no words; keep private values out of `reason`.
    #[must_use]
    pub fn other(code: ExitCode, reason: impl Into<String>) -> Refusal {
        Refusal::Other { code, reason: reason.into() }
    }

    /// The exit code that goes with it.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Refusal::Missing { .. }
            | Refusal::NotABoolean { .. }
            | Refusal::NotAnInteger { .. }
            | Refusal::NotOneOf { .. }
            | Refusal::NotADuration { .. }
            | Refusal::NotYet { .. } => ExitCode::Configured,
            Refusal::Other { code, .. } => *code,
        }
    }
}
