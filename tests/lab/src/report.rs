//! What is left of a scenario: a row of the table, and in `reports/` its recording, its story as
//! text and, if it failed, every log there was.

use crate::cluster::Cluster;
use crate::failure::{Failure, Result};
use crate::programs::Programs;
use crate::scenario::Story;
use duet_oracle::timeline::Detail;
use duet_oracle::{Timeline, Verdict};
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
        Self { name: name.to_owned(), programs: programs.line(), took, end, verdict }
    }

    /// A scenario that these programs cannot run.
    pub(crate) fn skipped(name: &str, programs: &Programs, why: String) -> Self {
        Self {
            name: name.to_owned(),
            programs: programs.line(),
            took: Duration::ZERO,
            end: End::Skipped(why),
            verdict: None,
        }
    }

    pub(crate) fn failed(&self) -> bool {
        matches!(self.end, End::Broke(_))
    }

    fn zero(&self) -> Duration {
        match &self.end {
            End::Held(story) => story.zero,
            End::Broke(_) | End::Skipped(_) => Duration::ZERO,
        }
    }

    /// `ok machines/power-cut 41 s: downtime 27.1 s`.
    pub(crate) fn line(&self) -> String {
        let (word, told) = match &self.end {
            End::Held(story) => {
                let figures = story.figures.iter().map(|(name, seconds)| match seconds {
                    // Of one process, not of a cluster.
                    ..0.2 => format!("{name} {:.1} ms", seconds * 1e3),
                    _ => format!("{name} {seconds:.1} s"),
                });
                ("ok  ", figures.collect::<Vec<_>>().join(", "))
            }
            End::Broke(failure) => ("FAIL", failure.to_string()),
            End::Skipped(why) => ("skip", format!("skipped: {why}")),
        };
        format!("{word} {:<28} {:>4.0} s  {told}", self.name, self.took.as_secs_f64())
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

/// Files the recording, and the logs where they are needed.
pub(crate) fn keep(reports: &Path, row: &Row, cluster: &Cluster, with_logs: bool) -> Result<()> {
    let dir = reports.join(row.name.replace('/', "-"));
    let events = cluster.journal.events();
    crate::image::write(
        &dir.join("events.json"),
        duet_oracle::event::to_json_lines(&events).as_bytes(),
    )?;
    crate::image::write(&dir.join("timeline.txt"), story(row, cluster).as_bytes())?;
    if let End::Held(story) = &row.end {
        for (name, text) in &story.papers {
            crate::image::write(&dir.join(name), text.as_bytes())?;
        }
    }
    if with_logs {
        cluster.lab.collect_logs(&dir.join("logs"))?;
    }
    Ok(())
}

/// Every log of a lab that is about to go, as far as it can still be had.
pub(crate) fn keep_logs(dir: &Path, cluster: &Cluster) {
    if let Err(failure) = cluster.lab.collect_logs(dir) {
        eprintln!("lab: the logs could not be kept: {failure}");
    }
}

/// The story of one scenario as text.
fn story(row: &Row, cluster: &Cluster) -> String {
    let events = cluster.journal.events();
    let mut text = format!("{}\nran: {}\n\n", row.line(), row.programs);
    let timeline = Timeline::new(&events, row.zero());
    let _ = writeln!(text, "{}\n", timeline.failover());
    text += &timeline.between(-5.0, f64::MAX).render(Detail::Steps);
    if let Some(verdict) = &row.verdict {
        let _ = write!(text, "\n{verdict}\n");
    }
    text
}
