//! Tells a failover as a story: every step with its time since a zero mark and its node, and one line
//! from the cut to the first write of the guest. Invariant: it only orders and names what was
//! recorded; a step that nobody reported is left out, never filled in.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::event::{Event, Kind, Record};
use crate::judge::FREEZE;
use crate::phase::{Phase, recognise};
use crate::stream::Line;

/// What happened at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// The harness did something.
    Mark(String),
    /// A step of the cluster, of DRBD or of a handler.
    Phase(Phase),
    /// The guest booted and found this number.
    GuestBooted {
        /// Highest number on its disk.
        found: u32,
    },
    /// First confirmed write after a boot or a change of node.
    GuestWrites {
        /// The number.
        number: u32,
        /// There was no boot line: it was carried over alive.
        live: bool,
    },
    /// A write was confirmed after a long silence.
    GuestGoesOn {
        /// The number that had to wait.
        number: u32,
        /// How long nothing was confirmed, in milliseconds.
        after_ms: u64,
    },
    /// First error of a series.
    GuestWriteError {
        /// The number.
        number: u32,
    },
    /// A line of the guest that could not be read.
    Unreadable(String),
    /// A log line that is no step.
    Log {
        /// Program.
        tag: String,
        /// Its words.
        text: String,
    },
}

/// An entry of the story.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Microseconds since the zero mark; negative before it.
    #[serde(rename = "seconds", serialize_with = "to_seconds")]
    pub micros: i64,
    /// Node, or `lab`.
    pub source: String,
    /// What happened.
    pub what: What,
}

/// How much is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// Marks, steps and the guest.
    Steps,
    /// Also every other log line; steps carry a star.
    Everything,
}

/// The story of a recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Timeline {
    /// In order of time.
    pub entries: Vec<Entry>,
}

/// From the cut to the guest's first write; each is the time since the cut, if it was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Failover {
    /// Somebody noticed: token or peer lost, node gone, or a monitor that failed.
    pub detected: Option<Duration>,
    /// Fencing succeeded.
    pub fenced: Option<Duration>,
    /// A node became Primary (DRBD's word, or else Pacemaker's).
    pub promoted: Option<Duration>,
    /// The start of the guest was initiated.
    pub started: Option<Duration>,
    /// The guest's boot line.
    pub booted: Option<Duration>,
    /// The guest's first confirmed write.
    pub writing: Option<Duration>,
}

impl Timeline {
    /// The story with its zero at `zero` on the recorder's clock ([`crate::Journal::mark`] says when).
    #[must_use]
    pub fn new(events: &[Event], zero: Duration) -> Self {
        let zero = micros(zero);
        let mut guest = Guest::default();
        let mut entries = Vec::new();
        for event in events {
            let what = match &event.kind {
                Kind::Mark(text) => vec![What::Mark(text.clone())],
                Kind::Log(record) => story(record),
                Kind::Serial(line) => {
                    guest.tell(event.at, &event.source, line).into_iter().collect()
                }
            };
            let micros = micros(event.at) - zero;
            let entry = |what| Entry { micros, source: event.source.clone(), what };
            entries.extend(what.into_iter().map(entry));
        }
        Self { entries }
    }

    /// The story with its zero at the first mark that begins so.
    #[must_use]
    pub fn since_mark(events: &[Event], beginning: &str) -> Option<Self> {
        let is_zero =
            |event: &&Event| matches!(&event.kind, Kind::Mark(text) if text.starts_with(beginning));
        events.iter().find(is_zero).map(|event| Self::new(events, event.at))
    }

    /// Only what happened in this time, relative to the zero mark.
    #[must_use]
    pub fn between(&self, from_seconds: f64, until_seconds: f64) -> Self {
        let seen = |entry: &&Entry| (from_seconds..=until_seconds).contains(&entry.seconds());
        Self { entries: self.entries.iter().filter(seen).cloned().collect() }
    }

    /// The steps from the cut (zero) to the first write after it.
    #[must_use]
    pub fn failover(&self) -> Failover {
        let mut seen = Failover::default();
        for entry in &self.entries {
            let Ok(micros) = u64::try_from(entry.micros) else { continue };
            let place = match &entry.what {
                What::Phase(phase) => match phase {
                    Phase::TokenLost | Phase::ConnectionLost { .. } => &mut seen.detected,
                    Phase::NodeState { state, .. } if state == "lost" => &mut seen.detected,
                    Phase::Membership { left, .. } if !left.is_empty() => &mut seen.detected,
                    Phase::Ended { operation, .. } if operation == "monitor" => &mut seen.detected,
                    Phase::FencingEnded { ok: true, .. } => &mut seen.fenced,
                    Phase::Role { role, .. } if role == "Primary" => &mut seen.promoted,
                    // Where the kernel's own line is missing.
                    Phase::Ended { operation, status, .. }
                        if operation == "promote" && status.eq_ignore_ascii_case("ok") =>
                    {
                        &mut seen.promoted
                    }
                    Phase::Initiated { operation, .. } if operation == "start" => &mut seen.started,
                    _ => continue,
                },
                What::GuestBooted { .. } => &mut seen.booted,
                What::GuestWrites { .. } => &mut seen.writing,
                What::Mark(_)
                | What::GuestGoesOn { .. }
                | What::GuestWriteError { .. }
                | What::Unreadable(_)
                | What::Log { .. } => continue,
            };
            place.get_or_insert(Duration::from_micros(micros));
            if seen.writing.is_some() {
                break;
            }
        }
        seen
    }

    /// The story as text, one line a step.
    #[must_use]
    pub fn render(&self, detail: Detail) -> String {
        let width = self.entries.iter().map(|entry| entry.source.len()).max().unwrap_or(0);
        let mut out = String::new();
        // The same words from the same node within a second are one step (two links, two devices).
        let mut told: BTreeMap<(&str, String), i64> = BTreeMap::new();
        for entry in &self.entries {
            let (star, text) = match (&entry.what, detail) {
                (What::Log { .. }, Detail::Steps) => continue,
                (What::Log { tag, text }, Detail::Everything) => (' ', format!("{tag}: {text}")),
                (what, Detail::Everything) => ('*', what.to_string()),
                (What::Phase(Phase::Initiated { operation, .. }), Detail::Steps)
                    if operation == "cancel" =>
                {
                    continue;
                }
                (what, Detail::Steps) => (' ', what.to_string()),
            };
            if detail == Detail::Steps {
                let before = told.insert((&entry.source, text.clone()), entry.micros);
                if before.is_some_and(|at| entry.micros - at < 1_000_000) {
                    continue;
                }
            }
            let (seconds, source) = (entry.seconds(), &entry.source);
            let _ = writeln!(out, "{star}{seconds:>+9.3}  {source:<width$}  {text}");
        }
        out
    }

    /// The story as JSON, for other programs.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a story holds only text and numbers")
    }
}

impl Entry {
    /// Seconds since the zero mark.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        // Exact for recordings of less than two hundred years.
        Duration::from_micros(self.micros.unsigned_abs()).as_secs_f64()
            * if self.micros < 0 { -1.0 } else { 1.0 }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mark(text) => write!(f, "== {text}"),
            Self::Phase(phase) => write!(f, "{phase}"),
            Self::GuestBooted { found } => write!(f, "guest booted, its disk ends at {found}"),
            Self::GuestWrites { number, live: false } => {
                write!(f, "guest writes: {number} confirmed")
            }
            Self::GuestWrites { number, live: true } => {
                write!(f, "guest writes here, carried over alive: {number} confirmed")
            }
            Self::GuestGoesOn { number, after_ms } => {
                write!(f, "guest goes on after {after_ms} ms of silence: {number} confirmed")
            }
            Self::GuestWriteError { number } => write!(f, "guest's write {number} FAILED"),
            Self::Unreadable(text) => write!(f, "unreadable line of the guest: {text:?}"),
            Self::Log { tag, text } => write!(f, "{tag}: {text}"),
        }
    }
}

impl fmt::Display for Failover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cut")?;
        let steps = [
            ("detected", self.detected),
            ("fenced", self.fenced),
            ("promoted", self.promoted),
            ("guest writing", self.writing),
        ];
        for (name, at) in steps.into_iter().filter_map(|(name, at)| Some((name, at?))) {
            write!(f, " -> {name} {:.1} s", at.as_secs_f64())?;
        }
        Ok(())
    }
}

/// What was last heard of the guest: most confirmations are no news.
#[derive(Debug, Default)]
struct Guest {
    node: Option<String>,
    last_ack: Option<Duration>,
    booting: bool,
    failing: Option<u32>,
}

impl Guest {
    fn tell(&mut self, at: Duration, source: &str, line: &Line) -> Option<What> {
        match line {
            Line::Boot { highest, .. } => {
                self.node = Some(source.to_owned());
                self.booting = true;
                Some(What::GuestBooted { found: *highest })
            }
            Line::Ack(number) => {
                let moved = self.node.as_deref() != Some(source);
                let silence = at.saturating_sub(self.last_ack.unwrap_or(at));
                let booted = std::mem::take(&mut self.booting) && !moved;
                self.node = Some(source.to_owned());
                self.last_ack = Some(at);
                self.failing = None;
                if booted || moved {
                    return Some(What::GuestWrites { number: *number, live: !booted });
                }
                let after_ms = u64::try_from(silence.as_millis()).unwrap_or(u64::MAX);
                (silence >= FREEZE).then_some(What::GuestGoesOn { number: *number, after_ms })
            }
            Line::Error(number) => {
                let new = self.failing.replace(*number) != Some(*number);
                new.then_some(What::GuestWriteError { number: *number })
            }
            Line::Garbled(text) => Some(What::Unreadable(text.clone())),
        }
    }
}

fn story(record: &Record) -> Vec<What> {
    let phases = recognise(record);
    if phases.is_empty() {
        return vec![What::Log { tag: record.tag.clone(), text: record.text.clone() }];
    }
    phases.into_iter().map(What::Phase).collect()
}

fn micros(at: Duration) -> i64 {
    i64::try_from(at.as_micros()).unwrap_or(i64::MAX)
}

fn to_seconds<S: Serializer>(micros: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    let entry = Entry { micros: *micros, source: String::new(), what: What::Mark(String::new()) };
    serializer.serialize_f64(entry.seconds())
}
