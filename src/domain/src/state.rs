//! Domain states with the reason that libvirt gives for each. Invariant: every number has a
//! meaning or is carried along as unrecognised, none is lost.

use std::fmt;

macro_rules! reasons {
    ($(#[$doc:meta])* $name:ident { $($number:literal $variant:ident $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum $name {
            $(#[doc = $text] $variant,)+
            /// A number that this version does not know.
            Unrecognized(i32),
        }

        impl $name {
            /// Every known reason.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// From libvirt's number.
            #[must_use]
            pub fn from_number(number: i32) -> Self {
                match number {
                    $($number => Self::$variant,)+
                    other => Self::Unrecognized(other),
                }
            }

            /// libvirt's number.
            #[must_use]
            pub fn number(self) -> i32 {
                match self {
                    $(Self::$variant => $number,)+
                    Self::Unrecognized(number) => number,
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$variant => out.write_str($text),)+
                    Self::Unrecognized(number) => write!(out, "reason {number}"),
                }
            }
        }
    };
}

reasons! {
    /// Why a domain runs (`virDomainRunningReason`).
    RunningReason {
        0 Unknown "unknown reason",
        1 Booted "booted",
        2 Migrated "migrated",
        3 Restored "restored",
        4 FromSnapshot "from snapshot",
        5 Unpaused "unpaused",
        6 MigrationCanceled "migration canceled",
        7 SaveCanceled "save canceled",
        8 Wakeup "woken up",
        9 Crashed "resumed from crash",
        10 PostCopy "post-copy migration",
        11 PostCopyFailed "failed post-copy migration",
    }
}

reasons! {
    /// Why a domain is paused (`virDomainPausedReason`).
    PausedReason {
        0 Unknown "unknown reason",
        1 User "by a person",
        2 Migration "migration",
        3 Save "saving",
        4 Dump "core dump",
        5 IoError "I/O error",
        6 Watchdog "watchdog",
        7 FromSnapshot "from snapshot",
        8 ShuttingDown "shutting down",
        9 Snapshot "snapshot",
        10 Crashed "guest crashed",
        11 StartingUp "starting up",
        12 PostCopy "post-copy migration",
        13 PostCopyFailed "failed post-copy migration",
        14 ApiError "failed to resume after an operation",
    }
}

reasons! {
    /// Why a domain is off (`virDomainShutoffReason`).
    ShutOffReason {
        0 Unknown "unknown reason",
        1 ShutDown "shut down",
        2 Destroyed "destroyed",
        3 Crashed "crashed",
        4 Migrated "migrated away",
        5 Saved "saved",
        6 Failed "failed to start",
        7 FromSnapshot "from snapshot",
        8 Daemon "ended by the daemon",
    }
}

reasons! {
    /// How a domain crashed (`virDomainCrashedReason`).
    CrashedReason {
        0 Unknown "unknown reason",
        1 Panicked "guest panicked",
    }
}

/// A domain's state (`virDomainState`) with its reason where one says something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// libvirt cannot say; seen while a daemon is busy, and with some drivers.
    NoState,
    /// Executing.
    Running(RunningReason),
    /// Idle or waiting for a resource (Xen says "idle").
    Blocked,
    /// Standing still with its memory kept.
    Paused(PausedReason),
    /// On its way down.
    ShuttingDown,
    /// Not there.
    ShutOff(ShutOffReason),
    /// Dead, kept for inspection (`on_crash` preserve).
    Crashed(CrashedReason),
    /// Suspended to memory by the guest itself.
    PmSuspended,
    /// A state that this version does not know.
    Unrecognized {
        /// libvirt's state.
        state: i32,
        /// libvirt's reason.
        reason: i32,
    },
}

impl State {
    /// From libvirt's two numbers.
    #[must_use]
    pub fn from_numbers(state: i32, reason: i32) -> Self {
        match state {
            0 => Self::NoState,
            1 => Self::Running(RunningReason::from_number(reason)),
            2 => Self::Blocked,
            3 => Self::Paused(PausedReason::from_number(reason)),
            4 => Self::ShuttingDown,
            5 => Self::ShutOff(ShutOffReason::from_number(reason)),
            6 => Self::Crashed(CrashedReason::from_number(reason)),
            7 => Self::PmSuspended,
            _ => Self::Unrecognized { state, reason },
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoState => out.write_str("no state"),
            Self::Running(reason) => write!(out, "running ({reason})"),
            Self::Blocked => out.write_str("blocked"),
            Self::Paused(reason) => write!(out, "paused ({reason})"),
            Self::ShuttingDown => out.write_str("shutting down"),
            Self::ShutOff(reason) => write!(out, "shut off ({reason})"),
            Self::Crashed(reason) => write!(out, "crashed ({reason})"),
            Self::PmSuspended => out.write_str("suspended to memory"),
            Self::Unrecognized { state, reason } => {
                write!(out, "in unrecognised state {state} (reason {reason})")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_kept() {
        for number in -3..40 {
            assert_eq!(RunningReason::from_number(number).number(), number);
            assert_eq!(PausedReason::from_number(number).number(), number);
            assert_eq!(ShutOffReason::from_number(number).number(), number);
            assert_eq!(CrashedReason::from_number(number).number(), number);
        }
        assert_eq!(State::from_numbers(8, 3), State::Unrecognized { state: 8, reason: 3 });
    }
}
