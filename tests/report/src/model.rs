//! What a drawing consists of: lanes of spans and points on one axis of seconds, zero at the disturbance.
//! Invariant: everything here was recorded; what nobody reported has no span, and what did not end has no end.

use serde::Serialize;

/// How something is coloured, which is what it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tone {
    /// As it should be: a node that is up, a disk that is UpToDate, a guest that writes.
    Good,
    /// On the way there: a node that boots, a disk that is Inconsistent or Outdated.
    Between,
    /// Stands still: frozen processors, writes that wait.
    Frozen,
    /// Gone or failed: no power, no disk, an operation that did not succeed.
    Bad,
    /// Primary.
    Primary,
    /// Secondary.
    Secondary,
    /// Done by the agent for guests.
    Guest,
    /// Done by the agent for DRBD, or by its watcher.
    Disk,
    /// Fencing: of a node, or by a handler.
    Fencing,
    /// Done by somebody else.
    Other,
    /// Repeated so often that it is only hinted at: monitors and notifications.
    Quiet,
}

impl Tone {
    /// Its name in the style sheet and in JSON.
    #[must_use]
    pub fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Between => "between",
            Self::Frozen => "frozen",
            Self::Bad => "bad",
            Self::Primary => "primary",
            Self::Secondary => "secondary",
            Self::Guest => "guest",
            Self::Disk => "disk",
            Self::Fencing => "fencing",
            Self::Other => "other",
            Self::Quiet => "quiet",
        }
    }
}

/// Something that lasted.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Span {
    /// Seconds since the disturbance.
    pub from: f64,
    /// Seconds since the disturbance; where `open`, the end of the recording or of who did it.
    pub until: f64,
    /// What is written at it.
    pub label: String,
    /// What it means.
    pub tone: Tone,
    /// No end was reported.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub open: bool,
    /// The longer words, shown when it is pointed at.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

impl Span {
    pub(crate) fn new(from: f64, until: f64, label: impl Into<String>, tone: Tone) -> Self {
        Self { from, until, label: label.into(), tone, open: false, detail: String::new() }
    }

    /// How long it took, in seconds.
    #[must_use]
    pub fn length(&self) -> f64 {
        self.until - self.from
    }
}

/// Something that happened at one moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Point {
    /// Seconds since the disturbance.
    pub at: f64,
    /// What is written at it.
    pub label: String,
    /// What it means.
    pub tone: Tone,
}

/// What a lane is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// What the harness did.
    Lab,
    /// Fencing of nodes, from request to confirmation.
    Fencing,
    /// The node itself: up, off, booting.
    Power,
    /// What the harness keeps broken.
    Fault,
    /// DRBD's role.
    Role,
    /// DRBD's disk, and the connection where there is none.
    Disk,
    /// Pacemaker's operations, from the order to the result.
    Operations,
    /// DRBD's handlers, from the call to the answer.
    Handlers,
    /// The guest.
    Guest,
}

impl Subject {
    /// What stands before the lane.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Lab => "lab",
            Self::Fencing => "fencing",
            Self::Power => "node",
            Self::Fault => "broken",
            Self::Role => "DRBD role",
            Self::Disk => "DRBD disk",
            Self::Operations => "Pacemaker",
            Self::Handlers => "handlers",
            Self::Guest => "guest",
        }
    }
}

/// One row of the drawing.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Lane {
    /// Whose; none for the cluster as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// What about.
    pub subject: Subject,
    /// In order of time.
    pub spans: Vec<Span>,
    /// In order of time.
    pub points: Vec<Point>,
}

impl Lane {
    pub(crate) fn of(node: &str, subject: Subject) -> Self {
        Self { node: Some(node.to_owned()), subject, spans: Vec::new(), points: Vec::new() }
    }

    pub(crate) fn of_all(subject: Subject) -> Self {
        Self { node: None, subject, spans: Vec::new(), points: Vec::new() }
    }

    /// Whether anything of it can be seen between these seconds.
    #[must_use]
    pub fn is_seen(&self, from: f64, until: f64) -> bool {
        self.spans.iter().any(|span| span.until > from && span.from < until)
            || self.points.iter().any(|point| (from..=until).contains(&point.at))
    }
}

/// One acknowledged write.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ack {
    /// Seconds since the disturbance.
    pub at: f64,
    /// Which node of [`Drawing::nodes`].
    pub node: usize,
    /// The number of the write.
    pub number: u32,
}

/// A boot of the guest.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Boot {
    /// Seconds since the disturbance.
    pub at: f64,
    /// Where.
    pub node: String,
    /// The highest number on its disk.
    pub found: u32,
    /// The highest number that had been acknowledged, if any had.
    pub acknowledged: Option<u32>,
}

/// A time without an acknowledged write.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Gap {
    /// The last acknowledgement before it, in seconds since the disturbance.
    pub from: f64,
    /// The first after it.
    pub until: f64,
    /// Whether the guest came back by a boot or a migration; else it only stood still.
    pub moved: bool,
    /// What is written in it.
    pub label: String,
}

/// Everything that is drawn.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Drawing {
    /// The nodes, in the order of their colours.
    pub nodes: Vec<String>,
    /// The part of the recording that is shown, in seconds since the disturbance.
    pub from: f64,
    /// Its end.
    pub until: f64,
    /// The way from the disturbance to the guest's first write, if there was one.
    pub phases: Vec<Span>,
    /// Lanes in the order in which they are drawn.
    pub lanes: Vec<Lane>,
    /// Acknowledged writes; in JSON they are in `events.json` only.
    #[serde(skip)]
    pub acks: Vec<Ack>,
    /// Boots of the guest.
    pub boots: Vec<Boot>,
    /// Times without an acknowledged write.
    pub gaps: Vec<Gap>,
}
