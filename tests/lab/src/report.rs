//! What is left of a scenario: a row of the table, and in `reports/` its recording, its story as a page, a
//! picture, JSON and text and, if it failed, every log there was. `reports/index.html` lists the run.

use crate::cluster::Cluster;
use crate::failure::{Failure, Result};
use crate::programs::Programs;
use crate::scenario::Story;
use duet_oracle::timeline::Detail;
use duet_oracle::{Event, Timeline, Verdict};
use duet_report::{Ending, Entry, Executed, Report, Scene};
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

/// One line of the table.
pub(crate) struct Row {
    name: String,
    programs: String,
    pub(crate) took: Duration,
    end: End,
    verdict: Option<Verdict>,
    /// The directory of its report, once there is one.
    folder: Option<String>,
}

/// What is told of a scenario beside its row.
pub(crate) struct Course<'a> {
    pub(crate) about: &'a str,
    /// When it began on the recorder's clock; its cluster may be older.
    pub(crate) began: Duration,
    pub(crate) executed: Executed,
}

/// How a scenario ended.
enum End {
    Held(Story),
    Broke(Failure),
    /// It was not run, for this reason.
    Skipped(String),
}

impl Row {
    pub(crate) fn new(
        name: &str,
        programs: &Programs,
        took: Duration,
        outcome: Result<Story>,
        verdict: Option<Verdict>,
    ) -> Self {
        let end = match outcome {
            Ok(story) => End::Held(story),
            Err(failure) => End::Broke(failure),
        };
        let programs = programs.line();
        Self { name: name.to_owned(), programs, took, end, verdict, folder: None }
    }

    /// A scenario that these programs cannot run.
    pub(crate) fn skipped(name: &str, programs: &Programs, why: String) -> Self {
        Self {
            name: name.to_owned(),
            programs: programs.line(),
            took: Duration::ZERO,
            end: End::Skipped(why),
            verdict: None,
            folder: None,
        }
    }

    /// The scenario's full name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn failed(&self) -> bool {
        matches!(self.end, End::Broke(_))
    }

    /// `ok machines/power-cut 41 s: downtime 27.1 s`.
    pub(crate) fn line(&self) -> String {
        let (word, told) = self.told();
        format!("{word:<4} {:<28} {:>4.0} s  {told}", self.name, self.took.as_secs_f64())
    }

    fn told(&self) -> (&'static str, String) {
        match &self.end {
            End::Held(story) => {
                let figures = story.figures.iter().map(|(name, seconds)| match seconds {
                    // Of one process, not of a cluster.
                    ..0.2 => format!("{name} {:.1} ms", seconds * 1e3),
                    _ => format!("{name} {seconds:.1} s"),
                });
                ("ok", figures.collect::<Vec<_>>().join(", "))
            }
            End::Broke(failure) => ("FAIL", failure.to_string()),
            End::Skipped(why) => ("skip", format!("skipped: {why}")),
        }
    }

    fn entry(&self) -> Entry {
        let (word, told) = self.told();
        Entry {
            name: self.name.clone(),
            folder: self.folder.clone(),
            word: word.to_owned(),
            took: self.took,
            told,
            programs: self.programs.clone(),
        }
    }
}

/// The table, its programs and what the oracle counted.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut text = String::new();
    let mut programs = "";
    for row in rows {
        if row.programs != programs {
            programs = &row.programs;
            let _ = writeln!(text, "ran: {programs}");
        }
        let _ = writeln!(text, "{}", row.line());
    }
    let failed = rows.iter().filter(|row| row.failed()).count();
    let skipped = rows.iter().filter(|row| matches!(row.end, End::Skipped(_))).count();
    let _ = write!(text, "{} passed, {failed} failed", rows.len() - failed - skipped);
    let _ = if skipped > 0 { writeln!(text, ", {skipped} skipped") } else { writeln!(text) };
    text
}

/// Files the recording and its reports, and the logs where they are needed.
pub(crate) fn keep(
    reports: &Path,
    row: &mut Row,
    course: Course<'_>,
    cluster: &Cluster,
    with_logs: bool,
) -> Result<()> {
    let folder = row.name.replace('/', "-");
    let dir = reports.join(&folder);
    let events = cluster.journal.events();
    let none = Story::default();
    let (story, ending, zero) = match &row.end {
        End::Held(story) => (story, Ending::Passed, story.zero),
        End::Broke(failure) => (&none, Ending::Failed(failure.to_string()), course.began),
        End::Skipped(_) => return Ok(()),
    };
    for (name, text) in &story.papers {
        crate::image::write(&dir.join(name), text.as_bytes())?;
    }
    let mut files: Vec<String> = story.papers.iter().map(|(name, _)| (*name).to_owned()).collect();
    if with_logs || story.with_logs {
        cluster.lab.collect_logs(&dir.join("logs"))?;
        files.push("logs/".to_owned());
    }
    let text = told_as_text(row, zero, &course.executed, &events);
    crate::image::write(&dir.join("timeline.txt"), text.as_bytes())?;
    let scene = Scene {
        name: &row.name,
        about: course.about,
        ending,
        took: row.took,
        began: course.began,
        zero,
        figures: &story.figures,
        programs: cluster.programs.choice(),
        nodes: cluster.lab.nodes.iter().map(|node| node.name.clone()).collect(),
        executed: course.executed,
        events: &events,
        verdict: row.verdict.as_ref(),
        files,
    };
    pages(&dir, scene)?;
    row.folder = Some(folder);
    Ok(())
}

/// The page, the picture, the JSON and the recording itself, beside a `timeline.txt` that is there already.
pub(crate) fn pages(dir: &Path, mut scene: Scene<'_>) -> Result<()> {
    let recording = duet_oracle::event::to_json_lines(scene.events);
    crate::image::write(&dir.join("events.json"), recording.as_bytes())?;
    let always = ["timeline.txt", "timeline.svg", "report.json", "events.json"];
    scene.files.splice(0..0, always.map(str::to_owned));
    let report = Report::new(scene);
    for (name, text) in [
        ("report.html", report.html()),
        ("report.json", report.json()),
        ("timeline.svg", report.svg()),
    ] {
        crate::image::write(&dir.join(name), text.as_bytes())?;
    }
    Ok(())
}

/// The list of a run, with what there is so far.
pub(crate) fn index(reports: &Path, rows: &[Row]) -> Result<()> {
    let entries: Vec<Entry> = rows.iter().map(Row::entry).collect();
    crate::image::write(&reports.join("index.html"), duet_report::index(&entries).as_bytes())
}

/// Every log of a lab that is about to go, as far as it can still be had.
pub(crate) fn keep_logs(dir: &Path, cluster: &Cluster) {
    if let Err(failure) = cluster.lab.collect_logs(dir) {
        eprintln!("lab: the logs could not be kept: {failure}");
    }
}

/// The story of one scenario as text.
fn told_as_text(row: &Row, zero: Duration, executed: &Executed, events: &[Event]) -> String {
    let mut text = format!("{}\nran: {}\n", row.line(), row.programs);
    if !executed.places.is_empty() {
        let _ = write!(text, "executed, as the kernels saw it:\n{}", executed.text());
    }
    let timeline = Timeline::new(events, zero);
    let _ = writeln!(text, "\n{}\n", timeline.failover());
    text += &timeline.between(-5.0, f64::MAX).render(Detail::Steps);
    if let Some(verdict) = &row.verdict {
        let _ = write!(text, "\n{verdict}\n");
    }
    text
}
