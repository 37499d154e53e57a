//! The table of `versus-stock`: stock beside ours, and what ours must not exceed. Invariant: pure; a line with a gate and
//! without a figure on either side is missed.

use super::Whose;
use super::course::{ASKED, Part, Phases, Taken};
use super::idle::Cost;
use duet_bench::median;
use std::fmt::Write as _;

/// A timer that fires, or a line that is heard, is late by chance: so much more than stock's figure is not slower.
const NOISE_SECONDS: f64 = 0.3;
/// The same as a part of stock's figure.
const NOISE_PART: f64 = 0.1;

/// What ours must not exceed.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Gate {
    /// Stock's figure and noise.
    NotSlower,
    /// So much of stock's figure.
    AtMost(f64),
}

impl Gate {
    fn limit(self, stock: f64) -> f64 {
        match self {
            Self::NotSlower => stock + NOISE_SECONDS.max(stock * NOISE_PART),
            Self::AtMost(part) => stock * part,
        }
    }
}

/// The phases of a power cut: each with the one that it follows, nothing being the last acknowledged write.
const PHASES: [(&str, Option<&str>); 13] = [
    ("token is late", None),
    ("DRBD sees the loss", None),
    ("new membership", Some("token is late")),
    ("fencing requested", Some("new membership")),
    ("fencing done", Some("fencing requested")),
    ("promote initiated", Some("fencing done")),
    ("fence-peer called", Some("promote initiated")),
    ("fence-peer answered", Some("fence-peer called")),
    ("VM start initiated", Some("fence-peer answered")),
    (ASKED, Some("VM start initiated")),
    ("guest's boot line", Some(ASKED)),
    ("first acknowledged write", Some("guest's boot line")),
    ("VM start result", Some(ASKED)),
];

/// One line.
#[derive(Debug, Clone, PartialEq)]
struct Line {
    name: String,
    stock: Vec<f64>,
    ours: Vec<f64>,
    gate: Gate,
}

impl Line {
    fn medians(&self) -> Option<(f64, f64)> {
        Some((median(&self.stock)?, median(&self.ours)?))
    }

    fn holds(&self) -> bool {
        self.medians().is_some_and(|(stock, ours)| ours <= self.gate.limit(stock))
    }
}

/// Everything that was measured.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Table {
    lines: Vec<Line>,
}

impl Table {
    pub(super) fn new(parts: &[Part], taken: &[(Whose, Taken)]) -> Self {
        let line = |name: &str, gate, of: &dyn Fn(&Taken) -> Option<f64>| {
            let samples = |wanted: Whose| {
                taken
                    .iter()
                    .filter(move |(whose, _)| *whose == wanted)
                    .filter_map(|(_, one)| of(one))
            };
            Line {
                name: name.to_owned(),
                stock: samples(Whose::Stock).collect(),
                ours: samples(Whose::Ours).collect(),
                gate,
            }
        };
        let mut lines = Vec::new();
        if parts.contains(&Part::PowerCut) {
            for (name, before) in PHASES {
                let title = match before {
                    Some(before) => format!("{before} -> {name}"),
                    None => format!("cut -> {name}"),
                };
                lines.push(line(&title, Gate::NotSlower, &|one| {
                    length(one.cut.as_ref()?, before, name)
                }));
            }
            lines.push(line(FENCED_TO_ASKED, Gate::AtMost(0.6), &|one| {
                length(one.cut.as_ref()?, Some("fencing done"), ASKED)
            }));
            lines.push(line(CUT, Gate::NotSlower, &|one| {
                length(one.cut.as_ref()?, None, "first acknowledged write")
            }));
        }
        if parts.contains(&Part::Move) {
            lines.push(line(MOVE, Gate::AtMost(0.75), &|one| {
                length(one.moved.as_ref()?, None, "downtime")
            }));
        }
        if parts.contains(&Part::Idle) {
            let cost = |of: fn(&Cost) -> f64| {
                move |one: &Taken| Some(of(&one.idle.as_ref()?.of_monitors()))
            };
            lines.push(line(
                "idle monitors: forks a minute",
                Gate::AtMost(0.1),
                &cost(|cost| cost.forks),
            ));
            lines.push(line(
                "idle monitors: s of CPU a minute",
                Gate::AtMost(0.1),
                &cost(|cost| cost.cpu),
            ));
        }
        Self { lines }
    }

    /// The gates that do not hold, each as a sentence.
    pub(super) fn missed(&self) -> Vec<String> {
        let lines = self.lines.iter().filter(|line| !line.holds());
        lines
            .map(|line| match line.medians() {
                Some((stock, ours)) => format!(
                    "{}: {ours:.2} with ours, {stock:.2} with stock, {:.2} at most",
                    line.name,
                    line.gate.limit(stock)
                ),
                None => format!("{}: not measured with both", line.name),
            })
            .collect()
    }

    /// What is worth a place in the lab's own table.
    pub(super) fn figures(&self) -> Vec<(&'static str, f64)> {
        let of = |wanted: &str| {
            self.lines.iter().find(|line| line.name == wanted).and_then(Line::medians)
        };
        let both = |wanted, names: [&'static str; 2]| {
            of(wanted).map(|(stock, ours)| [(names[0], stock), (names[1], ours)])
        };
        [
            both(CUT, ["cut to write, stock", "ours"]),
            both(FENCED_TO_ASKED, ["fenced to asked, stock", "ours"]),
            both(MOVE, ["move, stock", "ours"]),
        ]
        .into_iter()
        .flatten()
        .flatten()
        .collect()
    }

    /// Medians, ratio and gate of each line.
    pub(super) fn text(&self) -> String {
        let mut text = format!(
            "{:<46} {:>8} {:>8} {:>6}  gate\n",
            "median, s where nothing else is said", "stock", "ours", "ratio"
        );
        for line in &self.lines {
            let word = if line.holds() { "holds" } else { "MISSED" };
            let _ = match line.medians() {
                Some((stock, ours)) => writeln!(
                    text,
                    "{:<46} {stock:>8.2} {ours:>8.2} {:>6.2}  {word}: {:.2} at most",
                    line.name,
                    ours / stock,
                    line.gate.limit(stock)
                ),
                None => {
                    writeln!(text, "{:<46} {:>8} {:>8} {:>6}  {word}", line.name, "?", "?", "?")
                }
            };
        }
        let _ = writeln!(
            text,
            "A phase may be {NOISE_SECONDS} s or {:.0} % longer than stock's, whichever is more.",
            NOISE_PART * 100.0
        );
        text
    }
}

const CUT: &str = "cut -> first acknowledged write";
const FENCED_TO_ASKED: &str = "fencing done -> libvirt is asked";
const MOVE: &str = "move: last to first acknowledged write";

/// A phase's own length.
fn length(phases: &Phases, from: Option<&str>, to: &str) -> Option<f64> {
    let begin = match from {
        Some(from) => *phases.get(from)?,
        None => 0.0,
    };
    Some(phases.get(to)? - begin)
}

#[cfg(test)]
mod tests {
    use super::super::idle::Idle;
    use super::*;

    fn phases(of: impl Fn(&'static str) -> f64) -> Phases {
        PHASES.iter().map(|(name, _)| (*name, of(name))).collect()
    }

    fn taken(scale: f64) -> Taken {
        let at = |name: &'static str| {
            let index = PHASES.iter().position(|(known, _)| *known == name).unwrap();
            let before_agents = [
                "token is late",
                "DRBD sees the loss",
                "new membership",
                "fencing requested",
                "fencing done",
            ];
            let seconds = f64::from(u32::try_from(index).unwrap() + 1) * 2.0;
            if before_agents.contains(&name) { seconds } else { 10.0 + (seconds - 10.0) * scale }
        };
        let cost = |forks, cpu| Cost { forks, cpu };
        let moved = [("downtime", 20.0 * scale)].into();
        let idle = Idle {
            monitored: cost(
                2.0 + 300.0 * scale * scale * scale * scale,
                4.0 + 20.0 * scale.powi(4),
            ),
            maintained: cost(2.0, 4.0),
        };
        Taken { idle: Some(idle), moved: Some(moved), cut: Some(phases(at)) }
    }

    fn table(ours: Taken) -> Table {
        Table::new(&Part::ALL, &[(Whose::Stock, taken(1.0)), (Whose::Ours, ours)])
    }

    #[test]
    fn twice_as_fast_holds_every_gate() {
        assert_eq!(table(taken(0.5)).missed(), Vec::<String>::new());
    }

    #[test]
    fn the_same_again_misses_what_is_to_be_better_and_nothing_else() {
        let missed = table(taken(1.0)).missed();
        let names: Vec<_> =
            missed.iter().filter_map(|line| line.split_once(": ")).map(|(name, _)| name).collect();
        assert_eq!(names, [FENCED_TO_ASKED, "move", "idle monitors", "idle monitors"]);
    }

    #[test]
    fn one_slow_phase_is_missed_though_the_whole_is_faster() {
        let mut slow = taken(0.5);
        let cut = slow.cut.as_mut().unwrap();
        *cut.get_mut("fence-peer called").unwrap() += 1.5;
        let missed = table(slow).missed();
        assert!(
            matches!(missed.as_slice(), [one] if one.starts_with("promote initiated -> fence-peer called")),
            "{missed:?}"
        );
    }

    #[test]
    fn what_was_not_measured_does_not_hold() {
        let mut blind = taken(0.5);
        blind.cut.as_mut().unwrap().remove(ASKED);
        blind.idle = None;
        assert!(table(blind.clone()).missed().len() >= 5);
        assert!(
            Table::new(&[Part::Move], &[(Whose::Stock, taken(1.0)), (Whose::Ours, blind)])
                .missed()
                .is_empty()
        );
    }

    #[test]
    fn noise_is_not_slower_and_more_is() {
        assert!(Gate::NotSlower.limit(1.0) >= 1.29 && Gate::NotSlower.limit(1.0) < 1.31);
        assert!((Gate::NotSlower.limit(10.0) - 11.0).abs() < 1e-9);
    }
}
