//! What is left of a scenario: a row of the table, and in `reports/` its recording, its story as
//! text and, if it failed, every log there was.

use crate::cluster::Cluster;
use crate::failure::Result;
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
    outcome: Result<Story>,
    verdict: Option<Verdict>,
}

impl Row {
    pub(crate) fn new(
        name: &str,
        programs: &Programs,
        took: Duration,
        outcome: Result<Story>,
        verdict: Option<Verdict>,
    ) -> Self {
        Self { name: name.to_owned(), programs: programs.line(), took, outcome, verdict }
    }

    pub(crate) fn passed(&self) -> bool {
        self.outcome.is_ok()
    }

    fn zero(&self) -> Duration {
        self.outcome.as_ref().map_or(Duration::ZERO, |story| story.zero)
    }

    /// `ok machines/power-cut 41 s: downtime 27.1 s`.
    pub(crate) fn line(&self) -> String {
        let word = if self.passed() { "ok  " } else { "FAIL" };
        let told = match &self.outcome {
            Ok(story) => story
                .figures
                .iter()
                .map(|(name, seconds)| format!("{name} {seconds:.1} s"))
                .collect::<Vec<_>>()
                .join(", "),
            Err(failure) => failure.to_string(),
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
    let failed = rows.iter().filter(|row| !row.passed()).count();
    let _ = writeln!(text, "{} passed, {failed} failed", rows.len() - failed);
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
