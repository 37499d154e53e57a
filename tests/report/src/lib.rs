//! Draws what a lab recorded: a page and a picture for people, JSON for programs, and a page that lists
//! them. Invariant: pure. The same recording gives the same bytes, and no file, clock or network is used.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "tests"))]

mod deeds;
mod draw;
mod executed;
mod guest;
mod index;
mod json;
pub mod model;
mod page;
mod pen;
mod state;
mod stream;
mod window;

pub use executed::{Executed, Looked, Place, Program, Whose};
pub use index::{Entry, index};
pub use json::VERSION;
pub use pen::escape;

use duet_oracle::timeline::Detail;
use duet_oracle::{Event, Timeline, Verdict};
use model::{Drawing, Gap, Lane, Span, Subject, Tone};
use std::time::Duration;

/// How long before the disturbance is shown, in seconds.
const BEFORE: f64 = 4.0;
/// How long after the last thing of note, in seconds.
const AFTER: f64 = 2.0;

/// The guest stopped writing because of the disturbance if it did so within this, in seconds.
const AT_ONCE: f64 = 15.0;

/// How a scenario ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// All that must hold held.
    Passed,
    /// Something did not, and what.
    Failed(String),
}

/// What a report is made from. All times are on the recorder's clock.
#[derive(Debug, Clone)]
pub struct Scene<'a> {
    /// `machines/power-cut`.
    pub name: &'a str,
    /// What it is about, in one line.
    pub about: &'a str,
    /// How it ended.
    pub ending: Ending,
    /// How long it took in all.
    pub took: Duration,
    /// When it began; the recording may be of a cluster that is older.
    pub began: Duration,
    /// The disturbance.
    pub zero: Duration,
    /// Figures worth a place at the top, in seconds.
    pub figures: &'a [(&'a str, f64)],
    /// Which program was chosen for which place: its name, and `ours` or `stock`.
    pub programs: Vec<(String, String)>,
    /// The nodes' names.
    pub nodes: Vec<String>,
    /// What was executed.
    pub executed: Executed,
    /// The whole recording.
    pub events: &'a [Event],
    /// What the judge says of it.
    pub verdict: Option<&'a Verdict>,
    /// Files beside the report that are worth a link.
    pub files: Vec<String>,
}

/// A report that can be written down in several ways.
#[derive(Debug)]
pub struct Report<'a> {
    scene: Scene<'a>,
    drawing: Drawing,
    strips: Vec<window::Strip>,
    story: Timeline,
}

impl<'a> Report<'a> {
    /// Finds out what there is to show.
    #[must_use]
    pub fn new(scene: Scene<'a>) -> Self {
        let zero = scene.zero.as_secs_f64();
        let last = scene.events.last().map_or(zero, |event| event.at.as_secs_f64()) - zero;
        let began = scene.began.as_secs_f64() - zero;
        let mut drawing = lanes(&scene, last);
        let labelled = |lane: &Lane| -> Vec<f64> {
            let spans = lane.spans.iter().filter(|span| span.tone != Tone::Quiet);
            let edges = spans.flat_map(|span| [span.from, span.until]);
            edges.chain(lane.points.iter().map(|point| point.at)).collect()
        };
        let mut moments: Vec<f64> = drawing.lanes.iter().flat_map(labelled).collect();
        moments.extend(drawing.gaps.iter().flat_map(|gap| [gap.from, gap.until]));
        // What merely goes on until the recording ends is no event at its end.
        moments.retain(|at| *at < last - 1e-6);
        let first = began.clamp(-BEFORE, 0.0);
        let note = moments.iter().copied().filter(|at| *at <= last).fold(0.0, f64::max);
        let end = (note + AFTER).min(last.max(1.0));
        let chapters: Vec<f64> = drawing
            .lanes
            .iter()
            .filter(|lane| lane.subject == Subject::Lab)
            .flat_map(|lane| lane.points.iter().map(|point| point.at))
            .filter(|at| *at > first + 1.0 && *at < end)
            .collect();
        clip(&mut drawing, first, end);
        let strips = window::strips(first, end, &moments, &chapters);
        let story = Timeline::new(scene.events, scene.zero).between(first - 1.0, f64::MAX);
        Self { scene, drawing, strips, story }
    }

    /// The picture alone, with a title; legible on white and on black.
    #[must_use]
    pub fn svg(&self) -> String {
        let title = format!("{}: {}", self.scene.name, self.scene.about);
        draw::svg(&self.drawing, &self.strips, &title, &self.summary())
    }

    /// The page: the picture, figures, programs, verdict and story, in one file without scripts.
    #[must_use]
    pub fn html(&self) -> String {
        let picture = draw::svg(&self.drawing, &self.strips, "", "");
        page::html(&self.scene, &self.drawing, &picture, &self.story)
    }

    /// The same as JSON; [`VERSION`] is its form.
    #[must_use]
    pub fn json(&self) -> String {
        json::json(&self.scene, &self.drawing, &self.story)
    }

    /// What is drawn.
    #[must_use]
    pub fn drawing(&self) -> &Drawing {
        &self.drawing
    }

    /// The steps and the verdict in one line.
    fn summary(&self) -> String {
        let failover = self.story.failover().to_string();
        let verdict = self.scene.verdict.map(page::in_short).unwrap_or_default();
        let steps =
            if self.drawing.phases.is_empty() { String::new() } else { format!("{failover}; ") };
        format!("{steps}{verdict}")
    }
}

fn lanes(scene: &Scene<'_>, end: f64) -> Drawing {
    let (events, zero) = (scene.events, scene.zero.as_secs_f64());
    let nothing = Verdict::default();
    let verdict = scene.verdict.unwrap_or(&nothing);
    let acks = guest::acks(events, &scene.nodes, zero);
    let boots = guest::boots(verdict, zero);
    let powers: Vec<_> =
        scene.nodes.iter().map(|node| state::power(events, node, zero, end)).collect();
    let gone = |node: &str, after: f64| {
        let index = scene.nodes.iter().position(|name| name == node)?;
        powers[index].1.iter().copied().find(|at| *at > after)
    };
    let mut lanes = vec![deeds::lab(events, zero), deeds::fencing(events, zero, end, gone)];
    for (index, (node, (power, gone))) in scene.nodes.iter().zip(powers.clone()).enumerate() {
        let [role, disk] = state::drbd(events, node, zero, end, &gone);
        lanes.extend([
            power,
            state::faults(events, node, zero, end),
            role,
            disk,
            deeds::handlers(events, node, zero, end, &gone),
            deeds::operations(events, node, zero, end, &gone),
            guest::lane(&acks, &boots, node, index),
        ]);
    }
    let gaps = guest::gaps(verdict, zero);
    Drawing {
        nodes: scene.nodes.clone(),
        from: 0.0,
        until: end,
        phases: phases(events, scene.zero, &gaps),
        lanes,
        acks,
        boots,
        gaps,
    }
}

/// The way from the disturbance to the first write, in the words of [`duet_oracle::timeline::Failover`].
/// Only where the guest went away by the disturbance itself, and not by something that came later.
fn phases(events: &[Event], zero: Duration, gaps: &[Gap]) -> Vec<Span> {
    let seen = Timeline::new(events, zero).failover();
    let Some(writing) = seen.writing.map(|at| at.as_secs_f64()) else { return Vec::new() };
    let is_it = |gap: &&Gap| gap.moved && gap.from < AT_ONCE && (gap.until - writing).abs() < 1.0;
    if !gaps.iter().any(|gap| is_it(&gap)) {
        return Vec::new();
    }
    let steps = [
        ("detect", seen.detected, Tone::Other),
        ("fence", seen.fenced, Tone::Fencing),
        ("promote", seen.promoted, Tone::Disk),
        ("start the guest", seen.writing, Tone::Guest),
    ];
    let mut before = 0.0;
    let mut spans = Vec::new();
    for (name, at, tone) in steps {
        let Some(at) = at.map(|at| at.as_secs_f64()).filter(|at| *at > before) else { continue };
        spans.push(Span::new(before, at, name, tone));
        before = at;
    }
    spans
}

/// Nothing of another scenario of the same cluster is shown.
fn clip(drawing: &mut Drawing, from: f64, until: f64) {
    (drawing.from, drawing.until) = (from, until);
    for lane in &mut drawing.lanes {
        lane.spans.retain(|span| span.until > from && span.from < until);
        for span in &mut lane.spans {
            (span.from, span.until) = (span.from.max(from), span.until.min(until));
        }
        lane.points.retain(|point| (from..=until).contains(&point.at));
    }
    let keep = |lane: &Lane| {
        !(lane.spans.is_empty() && lane.points.is_empty()) || lane.subject == Subject::Power
    };
    drawing.lanes.retain(keep);
    drawing.acks.retain(|ack| (from..=until).contains(&ack.at));
    drawing.boots.retain(|boot| (from..=until).contains(&boot.at));
    drawing.gaps.retain(|gap| gap.until > from && gap.from < until);
}

/// The steps of a story that are told: those of a line each, as in `timeline.txt`.
fn steps(story: &Timeline) -> Vec<(f64, String, String)> {
    let text = story.render(Detail::Steps);
    text.lines()
        .filter_map(|line| {
            let (seconds, rest) = line.trim_start().split_once("  ")?;
            let (node, what) = rest.split_once("  ")?;
            Some((seconds.trim().parse().ok()?, node.trim().to_owned(), what.trim().to_owned()))
        })
        .collect()
}
