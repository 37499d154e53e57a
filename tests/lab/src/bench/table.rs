//! The results as a table, as JSON, and as gates that hold or do not. Nothing here measures: the same
//! samples give the same table.

use super::agents::{FLOOR, MONITOR, PLAIN_MONITOR, ROWS, Whose, label};
use duet_bench::{Counts, Instructions, Timing, Together, median};
use serde::Serialize;
use std::fmt::Write as _;

/// Everything that was measured.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Results {
    pub(super) machine: Machine,
    pub(super) programs: String,
    pub(super) node: String,
    pub(super) rounds: usize,
    pub(super) at_once: usize,
    pub(super) timings: Vec<Timing>,
    pub(super) counts: Vec<Counts>,
    pub(super) together: Vec<Together>,
}

/// Where it was measured, and what else that machine did.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Machine {
    pub(super) processors: usize,
    pub(super) kernel: String,
    pub(super) load_before: String,
    pub(super) load_after: String,
}

/// What is stored: the table's figures, the gates, and every sample.
#[derive(Debug, Serialize)]
pub(super) struct Report<'a> {
    rows: Vec<Row>,
    together: Vec<AtOnce>,
    gates: Vec<Gate>,
    samples: &'a Results,
}

impl<'a> Report<'a> {
    pub(super) fn of(results: &'a Results) -> Self {
        let names = std::iter::once(FLOOR.to_owned())
            .chain(ROWS.iter().flat_map(|row| Whose::BOTH.map(|whose| label(row, whose))));
        Self {
            rows: names.filter_map(|name| Row::of(results, &name)).collect(),
            together: results.together.iter().map(AtOnce::of).collect(),
            gates: gates(results),
            samples: results,
        }
    }
}

/// One line of the table.
#[derive(Debug, Clone, Serialize)]
struct Row {
    name: String,
    wall_ms: f64,
    cpu_ms: f64,
    children: u64,
    execs: u64,
    syscalls: u64,
    instructions: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    instructions_skipped: Option<String>,
    memory_kib: u64,
}

impl Row {
    fn of(results: &Results, name: &str) -> Option<Self> {
        let timing = results.timings.iter().find(|timing| timing.name == name)?;
        let counts = results.counts.iter().find(|counts| counts.name == name)?;
        let (instructions, instructions_skipped) = match &counts.instructions {
            Instructions::Counted(number) => (Some(*number), None),
            Instructions::Skipped(why) => (None, Some(why.clone())),
        };
        Some(Self {
            name: name.to_owned(),
            wall_ms: median(&timing.wall_ms)?,
            cpu_ms: median(&timing.cpu_ms)?,
            children: counts.children,
            execs: counts.execs,
            syscalls: counts.syscalls,
            instructions,
            instructions_skipped,
            memory_kib: counts.memory_kib,
        })
    }

    /// The columns after the names.
    fn columns(&self) -> [String; 7] {
        [
            format!("{:.2}", self.wall_ms),
            format!("{:.2}", self.cpu_ms),
            self.children.to_string(),
            self.execs.to_string(),
            self.syscalls.to_string(),
            self.instructions
                .map_or("skipped".to_owned(), |number| format!("{:.3}", millions(number))),
            format!("{:.1}", float(self.memory_kib) / 1024.0),
        ]
    }

    /// How many times this one's figures are those of the other.
    fn ratios(&self, other: &Self) -> [String; 7] {
        let counted = |mine: u64, theirs: u64| ratio(float(mine), float(theirs));
        [
            ratio(self.wall_ms, other.wall_ms),
            ratio(self.cpu_ms, other.cpu_ms),
            counted(self.children, other.children),
            counted(self.execs, other.execs),
            counted(self.syscalls, other.syscalls),
            match (self.instructions, other.instructions) {
                (Some(mine), Some(theirs)) => counted(mine, theirs),
                _ => "-".to_owned(),
            },
            counted(self.memory_kib, other.memory_kib),
        ]
    }
}

/// Medians of many at once.
#[derive(Debug, Clone, Serialize)]
struct AtOnce {
    name: String,
    wall_ms: f64,
    cpu_ms: f64,
}

impl AtOnce {
    fn of(together: &Together) -> Self {
        Self {
            name: together.name.clone(),
            wall_ms: median(&together.wall_ms).unwrap_or(f64::NAN),
            cpu_ms: median(&together.cpu_ms).unwrap_or(f64::NAN),
        }
    }
}

/// A bound that a result must keep.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Gate {
    pub(super) name: String,
    pub(super) seen: String,
    pub(super) holds: bool,
}

/// CPU time that one monitor of ours may take, in ms, on a machine where a process that does
/// nothing takes no more than [`USUAL_FLOOR`].
const MONITOR_CPU: f64 = 2.0;
/// CPU time of `/bin/true` up to which the limit is taken as it stands. On a machine that is slower
/// at starting processes, the limit grows in the same proportion: it bounds our work, not the
/// kernel's.
const USUAL_FLOOR: f64 = 1.2;

fn monitor_limit(floor: f64) -> f64 {
    MONITOR_CPU * (floor / USUAL_FLOOR).max(1.0)
}

/// Every gate of the bench.
pub(super) fn gates(results: &Results) -> Vec<Gate> {
    let mut gates = Vec::new();
    let floor = Row::of(results, FLOOR).map(|row| row.cpu_ms);
    for name in [MONITOR, PLAIN_MONITOR] {
        let ours = Row::of(results, &label(name, Whose::Ours));
        let (seen, holds) = match (&ours, floor) {
            (Some(row), Some(floor)) => (
                format!("{:.2} ms, limit {:.2} ms", row.cpu_ms, monitor_limit(floor)),
                row.cpu_ms <= monitor_limit(floor),
            ),
            _ => ("not measured".to_owned(), false),
        };
        gates.push(Gate { name: format!("VirtualDomain {name}: CPU time, median"), seen, holds });
        let children = ours.map(|row| row.children);
        gates.push(Gate {
            name: format!("VirtualDomain {name}: no child process"),
            seen: children.map_or("not counted".to_owned(), |number| format!("{number} children")),
            holds: children == Some(0),
        });
    }
    let timings = results.timings.iter().map(|timing| (&timing.name, &timing.statuses));
    let together = results.together.iter().map(|together| (&together.name, &together.statuses));
    let strange: Vec<String> = timings
        .chain(together)
        .filter(|(_, statuses)| !statuses.iter().eq([&0]))
        .map(|(name, statuses)| format!("{name} ended with {statuses:?}"))
        .collect();
    gates.push(Gate {
        name: "every measured command succeeded, every time".to_owned(),
        holds: strange.is_empty(),
        seen: if strange.is_empty() { "yes".to_owned() } else { strange.join("; ") },
    });
    gates
}

/// The table as people read it.
pub(super) fn text(results: &Results) -> String {
    let mut out = String::new();
    let machine = &results.machine;
    let _ = writeln!(
        out,
        "{} processors, Linux {}, load {} before and {} after; in {} where the cluster's guest runs\n\
         ran in the cluster: {}\n\
         wall and CPU: medians of shuffled rounds ({} of questions, {} of start and stop); counts: once\n",
        machine.processors,
        machine.kernel,
        machine.load_before,
        machine.load_after,
        results.node,
        results.programs,
        results.rounds,
        results.timings.iter().map(|timing| timing.wall_ms.len()).min().unwrap_or(0),
    );
    let heads = ["wall ms", "CPU ms", "children", "execs", "syscalls", "M instr", "MB"];
    line(&mut out, "action", "agent", &heads.map(str::to_owned));
    if let Some(row) = Row::of(results, FLOOR) {
        line(&mut out, FLOOR, "", &row.columns());
    }
    for name in ROWS {
        let rows = Whose::BOTH.map(|whose| Row::of(results, &label(name, whose)));
        for (whose, row) in Whose::BOTH.iter().zip(&rows) {
            if let Some(row) = row {
                line(&mut out, name, whose.name(), &row.columns());
            }
        }
        if let [Some(stock), Some(ours)] = &rows {
            line(&mut out, "", "ratio", &stock.ratios(ours));
        }
    }
    let _ = writeln!(out, "\n{} at once", results.at_once);
    for together in results.together.iter().map(AtOnce::of) {
        let _ = writeln!(
            out,
            "{:<34}{:>10.1}{:>10.1}",
            together.name, together.wall_ms, together.cpu_ms
        );
    }
    for name in [MONITOR, PLAIN_MONITOR] {
        let of = |whose| {
            let name = label(name, whose);
            results.together.iter().find(|together| together.name == name).map(AtOnce::of)
        };
        if let (Some(stock), Some(ours)) = (of(Whose::Stock), of(Whose::Ours)) {
            let _ = writeln!(
                out,
                "{:<34}{:>10}{:>10}",
                format!("{name}: ratio"),
                ratio(stock.wall_ms, ours.wall_ms),
                ratio(stock.cpu_ms, ours.cpu_ms)
            );
        }
    }
    out += &notes(results);
    out += "\ngates\n";
    for gate in gates(results) {
        let word = if gate.holds { "holds" } else { "FAILS" };
        let _ = writeln!(out, "{word}  {}: {}", gate.name, gate.seen);
    }
    out
}

fn notes(results: &Results) -> String {
    let mut out = String::from(
        "\nmonitor: each agent's defaults; stock then also keeps the guest's utilization in the CIB, ours \
         does not yet.\nstart and stop: a second guest without a disk, no utilization, force_stop. MB: \
         largest resident set\nof any process; what is smaller than the measuring program does not show.\n",
    );
    for row in &results.counts {
        if let Instructions::Skipped(why) = &row.instructions {
            let _ = writeln!(out, "instructions of {} skipped: {why}", row.name);
        }
    }
    if let Some(floor) = Row::of(results, FLOOR).filter(|row| row.cpu_ms > USUAL_FLOOR) {
        let _ = writeln!(
            out,
            "{FLOOR} itself takes {:.2} ms of CPU here, more than {USUAL_FLOOR} ms: this machine is slow \
             or busy,\nand the monitor's limit grows in proportion, from {MONITOR_CPU} to {:.2} ms.",
            floor.cpu_ms,
            monitor_limit(floor.cpu_ms)
        );
    }
    out
}

fn line(out: &mut String, action: &str, agent: &str, columns: &[String; 7]) {
    let _ = write!(out, "{action:<25}{agent:<6}");
    for column in columns {
        let _ = write!(out, "{column:>10}");
    }
    out.push('\n');
}

fn ratio(mine: f64, theirs: f64) -> String {
    if theirs > 0.0 { format!("{:.1}x", mine / theirs) } else { "-".to_owned() }
}

fn millions(number: u64) -> f64 {
    float(number) / 1e6
}

/// Counts far below the 2^53 from which on this would round.
#[allow(clippy::cast_precision_loss, reason = "counts of one command")]
fn float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run in which ours took `cpu` ms with `children`, on a machine with this floor.
    fn results(floor: f64, cpu: f64, children: u64) -> Results {
        let timing = |name: String, cpu: f64| Timing {
            name,
            wall_ms: vec![cpu + 0.1; 3],
            cpu_ms: vec![cpu; 3],
            statuses: [0].into(),
        };
        let counted = |name: String, children| Counts {
            name,
            children,
            execs: children + 1,
            instructions: Instructions::Counted(1000),
            ..Counts::default()
        };
        let ours = [MONITOR, PLAIN_MONITOR].map(|name| label(name, Whose::Ours));
        let mut timings = vec![timing(FLOOR.to_owned(), floor)];
        timings.extend(ours.clone().map(|name| timing(name, cpu)));
        let mut counts = vec![counted(FLOOR.to_owned(), 0)];
        counts.extend(ours.map(|name| counted(name, children)));
        Results {
            machine: Machine {
                processors: 2,
                kernel: "6.1".into(),
                load_before: "0.1".into(),
                load_after: "0.2".into(),
            },
            programs: String::new(),
            node: "node1".into(),
            rounds: 3,
            at_once: 50,
            timings,
            counts,
            together: Vec::new(),
        }
    }

    fn failing(results: &Results) -> Vec<String> {
        gates(results).into_iter().filter(|gate| !gate.holds).map(|gate| gate.name).collect()
    }

    #[test]
    fn a_cheap_monitor_without_children_passes() {
        assert_eq!(failing(&results(0.9, 1.9, 0)), Vec::<String>::new());
    }

    #[test]
    fn a_dear_monitor_is_named() {
        let names = failing(&results(0.9, 2.1, 0));
        assert_eq!(names.len(), 2);
        assert!(names[0].contains("monitor: CPU time"), "{names:?}");
    }

    #[test]
    fn one_child_is_too_many() {
        let names = failing(&results(0.9, 1.0, 1));
        assert!(names.iter().all(|name| name.contains("no child process")), "{names:?}");
        assert_eq!(names.len(), 2);
    }

    #[test]
    fn a_slow_machine_moves_the_limit_in_proportion() {
        assert_eq!(failing(&results(2.4, 3.9, 0)), Vec::<String>::new());
        assert_eq!(failing(&results(2.4, 4.1, 0)).len(), 2);
        assert!(text(&results(2.4, 3.9, 0)).contains("this machine is slow"));
    }

    #[test]
    fn what_was_not_measured_does_not_pass() {
        let mut nothing = results(0.9, 1.0, 0);
        nothing.counts.clear();
        assert_eq!(failing(&nothing).len(), 4);
    }

    #[test]
    fn a_command_that_failed_once_fails_the_bench() {
        let mut failed = results(0.9, 1.0, 0);
        failed.timings[1].statuses = [0, 7].into();
        let gates = gates(&failed);
        let gate = gates.iter().find(|gate| !gate.holds).unwrap();
        assert!(gate.seen.contains("monitor: ours ended with {0, 7}"), "{gate:?}");
    }
}
