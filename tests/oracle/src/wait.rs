//! The one waiting function of the labs: asks again and again until the answer is there or the time
//! is over. Invariant: bounded by the clock, not by turns, and the error says what was waited for
//! and the last thing that was seen.
#![allow(clippy::disallowed_methods, reason = "waiting is what this file is for")]

use std::fmt;
use std::time::{Duration, Instant};

const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);
/// A look may take this part of the time at most, one in so many: asking a busy machine over and over is a load of
/// its own, and stretched what was measured by half.
const SHARE: u32 = 5;
/// Longest pause after a look that took long.
const RELIEF: Duration = Duration::from_secs(3);

/// Something did not come true in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Waited {:.1} s for {what}, in vain; last seen: {last}", within.as_secs_f64())]
pub struct TimedOut {
    /// What was waited for.
    pub what: String,
    /// How long.
    pub within: Duration,
    /// The last answer that was not good enough.
    pub last: String,
}

/// What one look gives: a value, or what was seen instead of it. For `Option` nothing is known but
/// that it is not there yet, so prefer `Result` where there is something to say.
pub trait Look {
    /// What is waited for.
    type Value;
    /// The value, or what was seen instead.
    ///
    /// # Errors
    /// What was seen instead of the value, in words.
    fn value(self) -> Result<Self::Value, String>;
}

impl<T> Look for Option<T> {
    type Value = T;
    fn value(self) -> Result<T, String> {
        self.ok_or_else(|| "nothing yet".to_owned())
    }
}

impl Look for bool {
    type Value = ();
    fn value(self) -> Result<(), String> {
        if self { Ok(()) } else { Err("not yet".to_owned()) }
    }
}

impl<T, E: fmt::Display> Look for Result<T, E> {
    type Value = T;
    fn value(self) -> Result<T, String> {
        self.map_err(|error| error.to_string())
    }
}

/// Looks until there is a value, at least once and a last time at the end of `within`. A look that
/// takes long itself is not cut short: give it a deadline of its own. The dearer the looks, the longer the pauses.
///
/// # Errors
/// [`TimedOut`] when `within` has passed without a value.
pub fn eventually<L: Look>(
    within: Duration,
    what: &str,
    mut look: impl FnMut() -> L,
) -> Result<L::Value, TimedOut> {
    let deadline = Instant::now() + within;
    let mut pause = SHORTEST_PAUSE;
    loop {
        let began = Instant::now();
        let last = match look().value() {
            Ok(value) => return Ok(value),
            Err(last) => last,
        };
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(TimedOut { what: what.to_owned(), within, last });
        }
        let relief = (began.elapsed() * (SHARE - 1)).min(RELIEF);
        std::thread::sleep(pause.max(relief).min(left));
        pause = (pause + Duration::from_millis(50)).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_good_answer_ends_the_wait() {
        let mut turns = 0;
        let value = eventually(Duration::from_secs(5), "the third look", || {
            turns += 1;
            if turns == 3 { Ok(turns) } else { Err(format!("turn {turns}")) }
        });
        assert_eq!(value, Ok(3));
    }

    #[test]
    fn the_error_says_what_was_waited_for_and_last_seen() {
        let begin = Instant::now();
        let error = eventually(Duration::from_millis(300), "a DC", || None::<()>.ok_or("no DC"))
            .unwrap_err();
        assert_eq!(error.to_string(), "Waited 0.3 s for a DC, in vain; last seen: no DC");
        assert!(begin.elapsed() >= Duration::from_millis(300));
        assert!(begin.elapsed() < Duration::from_secs(3));
    }

    #[test]
    fn no_time_is_still_one_look() {
        assert_eq!(eventually(Duration::ZERO, "now", || Some(1)), Ok(1));
        assert!(eventually(Duration::ZERO, "now", || false).is_err());
    }
}
