//! `versus-stock`: the same disturbances with the stock programs and with ours, in clusters that take turns, so that a machine
//! which grows slower hits both alike. Invariant: figures of one run are compared with each other only, and a gate that was
//! not measured does not hold.

mod course;
mod gates;
mod idle;

use crate::failure::{Failure, Result};
use crate::place::Place;
use crate::programs::Programs;
use crate::report::{self, Row};
use crate::scenario::{self, Story};
use crate::topology::{Settings, Topology};
use crate::{image, runner};
use course::{Part, Taken};
use gates::Table;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// As scenarios are named.
pub(crate) const NAME: &str = "versus-stock";
/// Beside the recordings and the table.
const PAPER: &str = "versus-stock.txt";

/// Every part, and what it is about.
pub(crate) fn about() -> [(String, &'static str); 3] {
    Part::ALL.map(|part| (format!("{NAME}/{}", part.name()), part.about()))
}

/// The parts that `names` ask for, and the names that ask for something else. They take long, so `all` does not.
pub(crate) fn chosen(names: &[String]) -> (Vec<Part>, Vec<String>) {
    let asks = |name: &String, part: &Part| {
        name == NAME
            || name.strip_prefix(NAME).is_some_and(|rest| rest == format!("/{}", part.name()))
    };
    let parts: Vec<Part> =
        Part::ALL.into_iter().filter(|part| names.iter().any(|name| asks(name, part))).collect();
    let others = names.iter().filter(|name| !Part::ALL.iter().any(|part| asks(name, part)));
    (parts, others.cloned().collect())
}

/// Who was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    Stock,
    Ours,
}

impl Whose {
    fn name(self) -> &'static str {
        match self {
            Self::Stock => "stock",
            Self::Ours => "ours",
        }
    }

    /// Who is first in a round changes from round to round.
    fn of_round(round: usize) -> [Self; 2] {
        if round % 2 == 1 { [Self::Stock, Self::Ours] } else { [Self::Ours, Self::Stock] }
    }
}

/// The row of the table; none where nothing is asked for.
pub(crate) fn row(
    place: &Place,
    settings: &Settings,
    parts: &[Part],
    rounds: usize,
    tell: &mut dyn FnMut(&str),
) -> Option<Row> {
    if parts.is_empty() {
        return None;
    }
    let began = Instant::now();
    let outcome = measure(place, settings, parts, rounds, tell);
    let row = Row::new(NAME, &settings.programs, began.elapsed(), outcome, None);
    tell(&row.line());
    Some(row)
}

fn measure(
    place: &Place,
    settings: &Settings,
    parts: &[Part],
    rounds: usize,
    tell: &mut dyn FnMut(&str),
) -> Result<Story> {
    let dir = place.reports.join(NAME);
    let mut taken: Vec<(Whose, Taken)> = Vec::new();
    let outcome: Result<()> = (1..=rounds).try_for_each(|round| {
        Whose::of_round(round).into_iter().try_for_each(|whose| {
            tell(&format!("--- {NAME}: round {round} of {rounds}, {}", whose.name()));
            let kept = dir.join(format!("{round}-{}", whose.name()));
            let one = one(place, settings, whose, parts, &kept, tell)?;
            tell(&one.line());
            taken.push((whose, one));
            Ok(())
        })
    });
    let table = Table::new(parts, &taken);
    let text = format!("{}\n{}", table.text(), course::samples(&taken));
    image::write(&dir.join(PAPER), text.as_bytes())?;
    text.lines().for_each(&mut *tell);
    outcome?;
    match table.missed().as_slice() {
        [] => Ok(table.figures().into_iter().fold(Story::default(), |story, (name, seconds)| {
            story.figure(name, Duration::from_secs_f64(seconds.max(0.0)))
        })),
        missed => Err(Failure::broken(format!("{}; see {}", missed.join("; "), dir.display()))),
    }
}

/// A cluster from nothing, measured and taken down.
fn one(
    place: &Place,
    settings: &Settings,
    whose: Whose,
    parts: &[Part],
    kept: &std::path::Path,
    tell: &mut dyn FnMut(&str),
) -> Result<Taken> {
    let programs = Programs::chosen(whose.name())?;
    let settings = Settings { topology: Topology::Machines, programs, ..settings.clone() };
    let cluster = Arc::new(runner::cluster(place, &settings, tell)?);
    let measured = course::take(&cluster, parts, tell)
        .and_then(|taken| scenario::intact(&cluster).map(|()| taken));
    let events = duet_oracle::event::to_json_lines(&cluster.journal.events());
    let written = image::write(&kept.join("events.json"), events.as_bytes());
    if measured.is_err() {
        report::keep_logs(&kept.join("logs"), &cluster);
    }
    cluster.down()?;
    written?;
    measured
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(names: &[&str]) -> (Vec<Part>, Vec<String>) {
        chosen(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn it_runs_by_name_only() {
        assert_eq!(asked(&["all", "machines"]), (vec![], vec!["all".into(), "machines".into()]));
        assert_eq!(asked(&["versus-stock"]).0, Part::ALL);
        assert_eq!(asked(&["versus-stock/move", "wire"]), (vec![Part::Move], vec!["wire".into()]));
    }

    #[test]
    fn nobody_is_always_the_first() {
        assert_eq!(Whose::of_round(1), [Whose::Stock, Whose::Ours]);
        assert_eq!(Whose::of_round(2), [Whose::Ours, Whose::Stock]);
    }
}
