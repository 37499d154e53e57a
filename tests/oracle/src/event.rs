//! One entry of the common record: when, from whom, what. All streams (guest serial, system logs of
//! the nodes, marks of the harness) end up here, and it is what is stored as JSON lines.
//! Invariant: `at` is the arrival time on the one clock of the recorder, never a node's own time.

use std::fmt::Write as _;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Error;
use crate::stream::{Line, Stamped};

/// Something that happened, as seen by the recorder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Since the recorder was started. Stored as seconds with six decimals.
    #[serde(serialize_with = "to_seconds", deserialize_with = "from_seconds")]
    pub at: Duration,
    /// Name of the node, or the address when nobody gave it a name; `lab` for marks.
    pub source: String,
    /// What it is.
    #[serde(flatten)]
    pub kind: Kind,
}

/// What an event is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A line of the guest.
    Serial(Line),
    /// A line of a node's system log.
    Log(Record),
    /// Something the harness did or wants to be remembered.
    Mark(String),
}

/// A system log line, taken apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The program that wrote it; `kernel` for kernel lines.
    pub tag: String,
    /// Its process id, when it gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Syslog severity, 0 (emergency) to 7 (debug).
    pub severity: u8,
    /// The message, without the kernel's own time stamp.
    pub text: String,
}

impl Event {
    /// The guest's line in this event, ready for the judge.
    #[must_use]
    pub fn serial(&self) -> Option<Stamped> {
        match &self.kind {
            Kind::Serial(line) => {
                Some(Stamped { at: self.at, source: self.source.clone(), line: line.clone() })
            }
            Kind::Log(_) | Kind::Mark(_) => None,
        }
    }
}

/// The guest's lines of a recording, in order of arrival.
#[must_use]
pub fn serial_lines(events: &[Event]) -> Vec<Stamped> {
    events.iter().filter_map(Event::serial).collect()
}

/// A recording as JSON lines, one event each.
#[must_use]
pub fn to_json_lines(events: &[Event]) -> String {
    let mut out = String::new();
    for event in events {
        let line = serde_json::to_string(event).expect("an event holds only text and numbers");
        let _ = writeln!(out, "{line}");
    }
    out
}

/// Reads what [`to_json_lines`] wrote. Empty lines are skipped.
///
/// # Errors
/// [`Error::Recording`] names the first line that is no event.
pub fn from_json_lines(text: &str) -> Result<Vec<Event>, Error> {
    text.lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(index, line)| {
            serde_json::from_str(line).map_err(|source| Error::Recording {
                number: index + 1,
                text: line.to_owned(),
                source,
            })
        })
        .collect()
}

fn to_seconds<S: Serializer>(at: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    // Rounded to the microsecond, so that a stored recording reads back equal to itself.
    serializer.serialize_f64((at.as_secs_f64() * 1e6).round() / 1e6)
}

fn from_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let seconds = f64::deserialize(deserializer)?;
    let exact = Duration::try_from_secs_f64(seconds).map_err(serde::de::Error::custom)?;
    Ok(round_to_microseconds(exact))
}

/// The resolution in which recordings are kept.
#[must_use]
pub fn round_to_microseconds(at: Duration) -> Duration {
    let nanos = u64::from(at.subsec_nanos());
    Duration::from_secs(at.as_secs()) + Duration::from_micros((nanos + 500) / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_reads_back_as_it_was_written() {
        let events = vec![
            Event {
                at: Duration::from_micros(1),
                source: "lab".into(),
                kind: Kind::Mark("power cut \"node1\"".into()),
            },
            Event {
                at: Duration::from_micros(12_345_678),
                source: "node1".into(),
                kind: Kind::Serial(Line::Boot { highest: 7, valid: 7 }),
            },
            Event {
                at: Duration::from_micros(12_345_679),
                source: "node1".into(),
                kind: Kind::Serial(Line::Garbled("A 00".into())),
            },
            Event {
                at: Duration::from_secs(3600),
                source: "node2".into(),
                kind: Kind::Log(Record {
                    tag: "kernel".into(),
                    pid: None,
                    severity: 6,
                    text: "drbd r0: PingAck did not arrive in time.".into(),
                }),
            },
        ];
        assert_eq!(from_json_lines(&to_json_lines(&events)).unwrap(), events);
    }

    #[test]
    fn a_broken_line_is_named() {
        let error =
            from_json_lines("\n{\"at\":-1.0,\"source\":\"x\",\"mark\":\"y\"}\n").unwrap_err();
        assert!(error.to_string().contains("line 2"), "{error}");
    }
}
