//! What an agent may answer. The process exit code is one of these and nothing else: Pacemaker
//! reads any other number as a generic error.

use crate::Action;
use std::fmt;

/// An OCF exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ExitCode {
    /// Done, or running and healthy.
    Ok = 0,
    /// It failed; also "could not find out". Never a synonym for not running.
    Generic = 1,
    /// The arguments cannot be right on this host; Pacemaker tries another.
    Arguments = 2,
    /// This agent does not have the action.
    Unimplemented = 3,
    /// Not enough privilege; Pacemaker tries another host.
    Permission = 4,
    /// Something that is needed is not installed here; Pacemaker tries another host.
    Installed = 5,
    /// The configuration is wrong on every host; Pacemaker gives up. Never for something that
    /// another node could satisfy.
    Configured = 6,
    /// Seen not to run. Only monitor and status say it, and only when it was seen.
    NotRunning = 7,
    /// Running promoted.
    RunningPromoted = 8,
    /// Promoted, and failed.
    FailedPromoted = 9,
    /// Running with reduced quality; counted as success, listed among the failed actions.
    Degraded = 190,
    /// The same, promoted.
    DegradedPromoted = 191,
}

impl ExitCode {
    /// All of them, ascending.
    pub const ALL: [ExitCode; 12] = [
        ExitCode::Ok,
        ExitCode::Generic,
        ExitCode::Arguments,
        ExitCode::Unimplemented,
        ExitCode::Permission,
        ExitCode::Installed,
        ExitCode::Configured,
        ExitCode::NotRunning,
        ExitCode::RunningPromoted,
        ExitCode::FailedPromoted,
        ExitCode::Degraded,
        ExitCode::DegradedPromoted,
    ];

    /// The number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The code of this number, if the contract has one.
    #[must_use]
    pub fn from_number(number: i32) -> Option<ExitCode> {
        ExitCode::ALL.into_iter().find(|code| i32::from(code.number()) == number)
    }

    /// The name by which shell agents know it, without `OCF_`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            ExitCode::Ok => "SUCCESS",
            ExitCode::Generic => "ERR_GENERIC",
            ExitCode::Arguments => "ERR_ARGS",
            ExitCode::Unimplemented => "ERR_UNIMPLEMENTED",
            ExitCode::Permission => "ERR_PERM",
            ExitCode::Installed => "ERR_INSTALLED",
            ExitCode::Configured => "ERR_CONFIGURED",
            ExitCode::NotRunning => "NOT_RUNNING",
            ExitCode::RunningPromoted => "RUNNING_PROMOTED",
            ExitCode::FailedPromoted => "FAILED_PROMOTED",
            ExitCode::Degraded => "DEGRADED",
            ExitCode::DegradedPromoted => "DEGRADED_PROMOTED",
        }
    }

    /// Whether an administrator should be told why: everything but plain success, and but "not
    /// running" as the answer to somebody who only asked (a probe or a status).
    #[must_use]
    pub const fn wants_reason(self, action: Action, is_probe: bool) -> bool {
        match self {
            ExitCode::Ok | ExitCode::RunningPromoted => false,
            ExitCode::NotRunning => !(is_probe || matches!(action, Action::Status)),
            ExitCode::Generic
            | ExitCode::Arguments
            | ExitCode::Unimplemented
            | ExitCode::Permission
            | ExitCode::Installed
            | ExitCode::Configured
            | ExitCode::FailedPromoted
            | ExitCode::Degraded
            | ExitCode::DegradedPromoted => true,
        }
    }
}

impl fmt::Display for ExitCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (OCF_{})", self.number(), self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_contract() {
        let numbers: Vec<u8> = ExitCode::ALL.into_iter().map(ExitCode::number).collect();
        assert_eq!(numbers, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 190, 191]);
        for code in ExitCode::ALL {
            assert_eq!(ExitCode::from_number(i32::from(code.number())), Some(code));
        }
        assert_eq!(ExitCode::from_number(10), None);
        assert_eq!(ExitCode::from_number(-1), None);
    }

    #[test]
    fn not_running_needs_no_excuse_in_a_probe_only() {
        assert!(!ExitCode::NotRunning.wants_reason(Action::Monitor, true));
        assert!(ExitCode::NotRunning.wants_reason(Action::Monitor, false));
        assert!(!ExitCode::Ok.wants_reason(Action::Start, false));
        assert!(ExitCode::Degraded.wants_reason(Action::Monitor, false));
    }
}
