//! Lines of the log that others can cause: each at once when it is the first of its kind, and then counted. Invariant: nobody fills the
//! log, or our memory, however much nonsense they send.

use std::{collections::BTreeMap, time::Duration};

use duet_ocf::Level;

/// How long a line is not repeated.
const SPAN: Duration = Duration::from_secs(10);
/// Kinds that are told apart.
const KINDS: usize = 64;

/// What was told, and how often again since.
#[derive(Debug, Default)]
pub(crate) struct Quiet {
    told: BTreeMap<String, Told>,
    now: Vec<(Level, String)>,
}

#[derive(Debug)]
struct Told {
    level: Level,
    since: Duration,
    again: u32,
}

impl Quiet {
    /// Something to tell.
    pub(crate) fn tell(&mut self, level: Level, text: &str, now: Duration) {
        if let Some(told) = self.told.get_mut(text) {
            told.again = told.again.saturating_add(1);
            return;
        }
        let key = if self.told.len() < KINDS { text } else { "Other trouble" };
        match self.told.get_mut(key) {
            Some(told) => told.again = told.again.saturating_add(1),
            None => {
                self.told.insert(key.to_owned(), Told { level, since: now, again: 0 });
                self.now.push((level, text.to_owned()));
            }
        }
    }

    /// What is to be written now.
    pub(crate) fn due(&mut self, now: Duration) -> Vec<(Level, String)> {
        let mut lines = std::mem::take(&mut self.now);
        self.told.retain(|text, told| {
            let is_over = now.saturating_sub(told.since) >= SPAN;
            if is_over && told.again > 0 {
                lines.push((told.level, format!("{text} ({} times more within 10 s)", told.again)));
            }
            !is_over
        });
        lines
    }

    /// When there is something to write, if anything.
    pub(crate) fn next_due(&self) -> Option<Duration> {
        if self.now.is_empty() {
            self.told.values().map(|told| told.since + SPAN).min()
        } else {
            Some(Duration::ZERO)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_first_is_told_at_once_and_the_others_are_counted() {
        let mut quiet = Quiet::default();
        (0..100).for_each(|_| quiet.tell(Level::Warning, "x", at(1)));
        assert_eq!(quiet.due(at(1)), [(Level::Warning, "x".to_owned())]);
        assert_eq!(quiet.due(at(10)), []);
        assert_eq!(
            quiet.due(at(11)),
            [(Level::Warning, "x (99 times more within 10 s)".to_owned())]
        );
        assert_eq!(quiet.next_due(), None);
    }

    #[test]
    fn kinds_are_bounded() {
        let mut quiet = Quiet::default();
        (0..10_000).for_each(|number| quiet.tell(Level::Warning, &number.to_string(), at(1)));
        assert_eq!(quiet.due(at(1)).len(), KINDS + 1);
        assert!(quiet.due(at(20)).iter().any(|(_, text)| text.starts_with("Other trouble (9")));
    }
}
