//! The results as a table and as JSON. Nothing here measures: the same samples give the same table.

use super::agents::{self, FLOOR, MONITOR, PLAIN_MONITOR, Whose, label};
use super::gates::{Gate, USUAL_FLOOR, gates, slowness};
use super::{Part, drbd, fencing, handlers, on_host};
use duet_bench::{Counts, Instructions, Timing, Together, Watched, median};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Everything that was measured.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Results {
    pub(super) parts: Vec<Part>,
    pub(super) machine: Machine,
    pub(super) programs: String,
    pub(super) node: String,
    pub(super) rounds: usize,
    pub(super) at_once: usize,
    pub(super) timings: Vec<Timing>,
    pub(super) counts: Vec<Counts>,
    pub(super) together: Vec<Together>,
    pub(super) frozen: Frozen,
    /// By DRBD's driver: ms in which what it says of 100 resources of 4 volumes is read.
    pub(super) decoding: BTreeMap<String, f64>,
    /// The watcher of DRBD.
    pub(super) watched: Watched,
    pub(super) fencing: fencing::Fencing,
}

impl Results {
    /// Before anything is measured.
    pub(super) fn of_nothing(parts: &[Part], rounds: usize) -> Self {
        Self {
            parts: parts.to_vec(),
            machine: Machine {
                processors: std::thread::available_parallelism().map_or(0, usize::from),
                kernel: std::fs::read_to_string("/proc/sys/kernel/osrelease")
                    .map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned()),
                load_before: super::load(),
                load_after: String::new(),
            },
            rounds,
            ..Self::default()
        }
    }

    pub(super) fn has(&self, part: Part) -> bool {
        self.parts.contains(&part)
    }
}

/// What our agent does while libvirtd is stopped (SIGSTOP).
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Frozen {
    pub(super) timings: Vec<Timing>,
    /// Nothing of the guest that was to be stopped is in the process table.
    pub(super) guest_is_gone: bool,
}

/// Where it was measured, and what else that machine did.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Machine {
    pub(super) processors: usize,
    pub(super) kernel: String,
    pub(super) load_before: String,
    pub(super) load_after: String,
}

/// Every row below the floors, in its order.
pub(super) fn rows() -> impl Iterator<Item = &'static str> {
    agents::ROWS.into_iter().chain(drbd::ROWS).chain(handlers::ROWS).chain(fencing::ROWS)
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
        let names = [FLOOR, on_host::FLOOR]
            .map(str::to_owned)
            .into_iter()
            .chain(rows().flat_map(|row| Whose::BOTH.map(|whose| label(row, whose))));
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
pub(super) struct Row {
    name: String,
    pub(super) wall_ms: f64,
    pub(super) cpu_ms: f64,
    pub(super) children: u64,
    execs: u64,
    syscalls: u64,
    instructions: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    instructions_skipped: Option<String>,
    pub(super) memory_kib: u64,
}

impl Row {
    pub(super) fn of(results: &Results, name: &str) -> Option<Self> {
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
pub(super) struct AtOnce {
    name: String,
    pub(super) wall_ms: f64,
    cpu_ms: f64,
}

impl AtOnce {
    pub(super) fn of(together: &Together) -> Self {
        Self {
            name: together.name.clone(),
            wall_ms: median(&together.wall_ms).unwrap_or(f64::NAN),
            cpu_ms: median(&together.cpu_ms).unwrap_or(f64::NAN),
        }
    }
}

/// The table as people read it.
pub(super) fn text(results: &Results) -> String {
    let mut out = String::new();
    let machine = &results.machine;
    let _ = writeln!(
        out,
        "{} processors, Linux {}, load {} before and {} after{}\n\
         wall and CPU: medians of shuffled rounds ({} of questions, {} of start and stop); counts: once\n",
        machine.processors,
        machine.kernel,
        machine.load_before,
        machine.load_after,
        if results.has(Part::Agents) {
            format!(
                "; in {} where the cluster's guest runs\nran in the cluster: {}",
                results.node, results.programs
            )
        } else {
            String::new()
        },
        results.rounds,
        results.timings.iter().map(|timing| timing.wall_ms.len()).min().unwrap_or(0),
    );
    let heads = ["wall ms", "CPU ms", "children", "execs", "syscalls", "M instr", "MB"];
    line(&mut out, "action", "agent", &heads.map(str::to_owned));
    for floor in [FLOOR, on_host::FLOOR] {
        if let Some(row) = Row::of(results, floor) {
            line(&mut out, floor, "", &row.columns());
        }
    }
    for name in rows() {
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
    if results.has(Part::Agents) {
        out += &beside(results);
    }
    for together in &results.fencing.together {
        let name = format!("{} at once: {}", fencing::AT_ONCE, together.name);
        let wall = median(&together.wall_ms).unwrap_or(f64::NAN);
        let _ = writeln!(out, "{name:<34}{wall:>10.1}");
    }
    for timing in results.fencing.beset.iter().chain(&results.fencing.power) {
        let wall = median(&timing.wall_ms).unwrap_or(f64::NAN);
        let _ = writeln!(out, "{:<34}{wall:>10.1}", timing.name);
    }
    out += &notes(results);
    out += "\ngates\n";
    for gate in gates(results) {
        let word = if gate.holds { "holds" } else { "FAILS" };
        let _ = writeln!(out, "{word}  {}: {}", gate.name, gate.seen);
    }
    out
}

/// What is measured of the agents beside the rows.
fn beside(results: &Results) -> String {
    let mut out = String::new();
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
    out.push('\n');
    for timing in &results.frozen.timings {
        let wall = median(&timing.wall_ms).unwrap_or(f64::NAN);
        let _ = writeln!(out, "{:<34}{wall:>10.1}", timing.name);
    }
    for (driver, took) in &results.decoding {
        let name = format!("DRBD {driver}: 400 volumes read");
        let _ = writeln!(out, "{name:<34}{took:>10.2}");
    }
    let name = "drbd-watch: change to score, median";
    let delay = median(&results.watched.delays_ms).unwrap_or(f64::NAN);
    let _ = writeln!(out, "{name:<34}{delay:>10.1}");
    out
}

fn notes(results: &Results) -> String {
    let mut out = String::from(
        "\nmonitor: each agent's defaults, with which both keep the guest's utilization in the CIB.\n\
         start and stop: a second guest without a disk, no utilization, force_stop. drbd monitor: the module and \
         drbd-utils\nare stubs that say the same to both, the attribute daemon is the cluster's. MB: largest \
         resident set\nof any process; what is smaller than the measuring program does not show.\n",
    );
    if results.has(Part::Handlers) {
        let stub = handlers::stub(&results.timings).unwrap_or(f64::NAN);
        let _ = writeln!(
            out,
            "drbd fence-peer: the peer's controller answers, the rule is placed. drbd unfence-peer: there is no \
             rule. Every tool\nof DRBD's and Pacemaker's is a stub, which alone takes {stub:.2} ms; ours calls five \
             of them, or one. The disk that\nkeeps our record is memory."
        );
    }
    if results.has(Part::Fencing) {
        out += "fence_xvm: both clients ask our daemon over the loopback; at once, each its own. beset: eight silent \
                peers, one that\ndrips and three call-backs to nowhere; of stock's, one daemon has the call-backs (fence_xvm) and \
                one the others (fence_virt).\noff, on: one guest, switched by libvirt alone, our client and daemon, stock's \
                client and daemon, in the same rounds.\n";
    }
    for row in &results.counts {
        if let Instructions::Skipped(why) = &row.instructions
            && why != Instructions::NOT_ASKED
        {
            let _ = writeln!(out, "instructions of {} skipped: {why}", row.name);
        }
    }
    let floors = [FLOOR, on_host::FLOOR].into_iter().filter_map(|name| Row::of(results, name));
    for floor in floors.filter(|row| row.cpu_ms > USUAL_FLOOR) {
        let _ = writeln!(
            out,
            "{} itself takes {:.2} ms of CPU here, more than {USUAL_FLOOR} ms: this machine is slow \
             or busy,\nand limits in milliseconds grow in proportion, {:.2} times.",
            floor.name,
            floor.cpu_ms,
            slowness(floor.cpu_ms)
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
