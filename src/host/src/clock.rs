//! The monotonic clock, as spans since the process began: the scale of [`duet_ocf::Deadline`].
//! It never goes back, whatever happens to the time of day.

use duet_ocf::Deadline;
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

static BEGAN: OnceLock<Instant> = OnceLock::new();

/// Time since the first call, which [`crate::run`] makes as its first act.
#[must_use]
pub fn now() -> Duration {
    BEGAN.get_or_init(Instant::now).elapsed()
}

/// Time since this machine was booted, also while it slept: for what has to outlast a process but not a boot.
#[must_use]
pub fn since_boot() -> Duration {
    use nix::time::{ClockId, clock_gettime};
    // It cannot fail for a clock that every kernel of the last ten years has.
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from)
}

/// Time since the beginning of 1970, as this machine's clock has it now: for names and for people. It may be wrong and may
/// jump, so no decision is made from it.
#[must_use]
pub fn of_day() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// A deadline this far from now.
#[must_use]
pub fn within(span: Duration) -> Deadline {
    Deadline::at(now().saturating_add(span))
}

/// The deadline as an [`Instant`], for interfaces that want one.
#[must_use]
pub fn instant(deadline: Deadline) -> Instant {
    Instant::now() + deadline.remaining(now())
}
