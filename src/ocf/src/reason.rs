//! The exit reason: the one line on stderr that Pacemaker shows beside a failed action.
//! It is always a single line, because Pacemaker reads to the end of the line and no further.

use crate::Environment;
use std::error::Error;

/// What Pacemaker looks for, unless `OCF_EXIT_REASON_PREFIX` says otherwise.
pub const DEFAULT_PREFIX: &str = "ocf-exit-reason:";

/// The exit reason line, without its newline.
#[must_use]
pub fn exit_reason_line(environment: &Environment, reason: &str) -> String {
    let prefix = environment
        .get("OCF_EXIT_REASON_PREFIX")
        .filter(|p| !p.is_empty())
        .unwrap_or(DEFAULT_PREFIX);
    format!("{prefix}{}", fold(reason))
}

/// Text as one line: lines are joined by `; `, empty ones dropped, other control characters become
/// spaces. An exit reason and a log line are never more than that.
#[must_use]
pub fn fold(text: &str) -> String {
    let lines = text.split(['\n', '\r']).map(str::trim).filter(|line| !line.is_empty());
    let mut folded = String::with_capacity(text.len());
    for line in lines {
        if !folded.is_empty() {
            folded.push_str("; ");
        }
        folded.extend(line.chars().map(|c| if c.is_control() { ' ' } else { c }));
    }
    folded
}

/// The same, cut where nobody reads on: a child may have said a megabyte before it failed.
pub(crate) fn fold_short(text: &str) -> String {
    const LONGEST: usize = 1000;
    let mut folded = fold(text);
    if let Some((end, _)) = folded.char_indices().nth(LONGEST) {
        folded.truncate(end);
        folded.push_str("...");
    }
    folded
}

/// An error and everything under it: `What we did: why: why that`.
///
/// A level whose text already ends the previous one is not repeated.
#[must_use]
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_line() {
        assert_eq!(fold("  a\n\n b\tc\r\nd\u{1b}e "), "a; b c; d e");
        assert_eq!(fold("\n"), "");
    }

    #[test]
    fn the_prefix_can_be_overridden_but_not_emptied() {
        let none = Environment::default();
        assert_eq!(exit_reason_line(&none, "why\nnot"), "ocf-exit-reason:why; not");
        let empty = Environment::default().with("OCF_EXIT_REASON_PREFIX", "");
        assert_eq!(exit_reason_line(&empty, "x"), "ocf-exit-reason:x");
        let own = Environment::default().with("OCF_EXIT_REASON_PREFIX", "because ");
        assert_eq!(exit_reason_line(&own, "x"), "because x");
    }

    #[test]
    fn nobody_reads_a_megabyte() {
        assert_eq!(fold_short("short"), "short");
        let long = fold_short(&"ü".repeat(1_000_000));
        assert_eq!(long.chars().count(), 1003);
    }

    #[derive(Debug, thiserror::Error)]
    #[error("Could not open r0")]
    struct Outer(#[source] std::fmt::Error);

    #[test]
    fn the_whole_chain_is_told() {
        let text = chain(&Outer(std::fmt::Error));
        assert!(text.starts_with("Could not open r0: an error"), "{text}");
    }
}
