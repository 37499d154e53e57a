//! What a state means for a cluster: healthy, ailing, gone, or not to be told. Invariant: only a
//! domain that libvirt calls shut off is gone; anything unclear is never "not running".

use std::fmt;

use crate::state::{PausedReason, State};

/// What to make of a guest that stands still because something broke (`paused_by_error`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnPausedByError {
    /// It is failed: nobody is served by a guest that stands still.
    #[default]
    Fail,
    /// It is healthy, as the stock agent has it.
    Ignore,
}

/// What is wrong with a guest that is still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ailment {
    /// Standing still because something broke.
    PausedByError(PausedReason),
    /// Dead and preserved.
    Crashed,
    /// No statement can be made.
    Unclear,
}

/// A state as the cluster sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// Doing, or about to do, what it is for; also when a person or a migration stopped it for a moment.
    Healthy,
    /// On its way down by itself or on request. Monitors call it healthy, a start waits for its end.
    Leaving,
    /// There, but failed.
    Ailing(Ailment),
    /// Not there.
    Gone,
}

/// The rule: state and reason decide.
#[must_use]
pub fn health(state: State, on_paused: OnPausedByError) -> Health {
    match state {
        State::Running(_) | State::Blocked | State::PmSuspended => Health::Healthy,
        State::ShuttingDown => Health::Leaving,
        State::Paused(reason) => match (paused_by_error(reason), on_paused) {
            (true, OnPausedByError::Fail) => Health::Ailing(Ailment::PausedByError(reason)),
            (true, OnPausedByError::Ignore) | (false, _) => Health::Healthy,
        },
        State::Crashed(_) => Health::Ailing(Ailment::Crashed),
        State::ShutOff(_) => Health::Gone,
        State::NoState | State::Unrecognized { .. } => Health::Ailing(Ailment::Unclear),
    }
}

fn paused_by_error(reason: PausedReason) -> bool {
    match reason {
        PausedReason::IoError
        | PausedReason::Watchdog
        | PausedReason::Crashed
        | PausedReason::PostCopyFailed
        | PausedReason::ApiError => true,
        PausedReason::Unknown
        | PausedReason::User
        | PausedReason::Migration
        | PausedReason::Save
        | PausedReason::Dump
        | PausedReason::FromSnapshot
        | PausedReason::ShuttingDown
        | PausedReason::Snapshot
        | PausedReason::StartingUp
        | PausedReason::PostCopy
        // A newer libvirt's reason: failing here would restart guests because libvirt was upgraded.
        | PausedReason::Unrecognized(_) => false,
    }
}

impl fmt::Display for Ailment {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PausedByError(reason) => write!(out, "paused: {reason}"),
            Self::Crashed => out.write_str("crashed"),
            Self::Unclear => out.write_str("in a state that libvirt cannot or will not tell"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use OnPausedByError::{Fail, Ignore};

    /// Stated apart from the code: (state, reasons) and the expected class with paused_by_error=fail.
    #[test]
    fn the_full_product_of_states_and_reasons_is_classified() {
        for state in -2..12 {
            for reason in -2..30 {
                for policy in [Fail, Ignore] {
                    let seen = health(State::from_numbers(state, reason), policy);
                    let broken = matches!(reason, 5 | 6 | 10 | 13 | 14);
                    let right = match state {
                        3 if broken && policy == Fail => {
                            seen == Health::Ailing(Ailment::PausedByError(
                                PausedReason::from_number(reason),
                            ))
                        }
                        1 | 2 | 3 | 7 => seen == Health::Healthy,
                        4 => seen == Health::Leaving,
                        5 => seen == Health::Gone,
                        6 => seen == Health::Ailing(Ailment::Crashed),
                        _ => seen == Health::Ailing(Ailment::Unclear),
                    };
                    assert!(right, "{state}/{reason} {policy:?} gave {seen:?}");
                }
            }
        }
    }

    #[test]
    fn only_shut_off_is_gone() {
        for state in -2..12 {
            for reason in -2..30 {
                for policy in [Fail, Ignore] {
                    let seen = health(State::from_numbers(state, reason), policy);
                    assert_eq!(seen == Health::Gone, state == 5, "{state}/{reason}");
                }
            }
        }
    }

    #[test]
    fn a_reason_from_the_future_does_not_fail_a_paused_guest() {
        assert_eq!(health(State::from_numbers(3, 99), Fail), Health::Healthy);
    }
}
