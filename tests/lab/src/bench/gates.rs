//! The bounds that a bench must keep. Nothing here measures: the same samples pass or fail alike, and
//! what was not measured does not pass.

use super::agents::{
    FLOOR, FROZEN_MONITOR, FROZEN_STOP, FROZEN_STOP_TIMEOUT, MONITOR, PLAIN_MONITOR, Whose, label,
};
use super::drbd;
use super::table::{AtOnce, Results, Row};
use duet_bench::Timing;
use serde::Serialize;
use std::time::Duration;

/// A bound that a result must keep.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Gate {
    pub(super) name: String,
    pub(super) seen: String,
    pub(super) holds: bool,
}

/// CPU time of one monitor of ours, in ms; this and the other limits in ms are for a machine where a
/// process that does nothing takes no more than [`USUAL_FLOOR`].
const MONITOR_CPU: f64 = 2.0;
const META_DATA_CPU: f64 = 1.5;
/// CPU time of a start or a stop besides what libvirtd and QEMU take, in ms.
const CHANGE_CPU: f64 = 10.0;
/// How many times less CPU than the stock agent a monitor takes.
const MONITOR_GAIN: [(&str, f64); 2] = [(MONITOR, 40.0), (PLAIN_MONITOR, 25.0)];
/// How many times less time than the stock agent many monitors at once take.
const AT_ONCE_GAIN: f64 = 20.0;
/// Largest resident set of a monitor.
const MONITOR_KIB: u64 = 4096;
/// The same limits for a monitor of DRBD.
const DRBD_MONITOR_CPU: f64 = 2.5;
const DRBD_MONITOR_GAIN: f64 = 10.0;
/// In ms, how long it takes to read what the kernel says of 400 volumes.
const DECODING: f64 = 5.0;
/// How soon a monitor answers while libvirtd does not.
const FROZEN_MONITOR_WALL: Duration = Duration::from_secs(2);

/// CPU time of `/bin/true` up to which the limits are taken as they stand. On a machine that is slower
/// at starting processes, they grow in the same proportion: they bound our work, not the kernel's.
pub(super) const USUAL_FLOOR: f64 = 1.2;

pub(super) fn slowness(floor: f64) -> f64 {
    (floor / USUAL_FLOOR).max(1.0)
}

fn slowness_of(results: &Results) -> f64 {
    Row::of(results, FLOOR).map_or(1.0, |floor| slowness(floor.cpu_ms))
}

/// Every gate of the bench.
pub(super) fn gates(results: &Results) -> Vec<Gate> {
    let mut gates = Vec::new();
    for (name, gain) in MONITOR_GAIN {
        gates.push(cpu(results, name, MONITOR_CPU));
        gates.push(less_cpu(results, name, gain));
        let ours = Row::of(results, &label(name, Whose::Ours));
        let children = ours.as_ref().map(|row| row.children);
        gates.push(gate(
            &format!("{name}: no child process"),
            children.map(|number| (format!("{number} children"), number == 0)),
        ));
        gates.push(gate(
            &format!("{name}: resident set"),
            ours.map(|row| {
                (
                    format!("{} KiB, limit {MONITOR_KIB} KiB", row.memory_kib),
                    row.memory_kib <= MONITOR_KIB,
                )
            }),
        ));
        gates.push(at_once(results, name));
    }
    gates.push(cpu(results, "meta-data", META_DATA_CPU));
    gates.push(cpu(results, "start", CHANGE_CPU));
    gates.push(cpu(results, "stop", CHANGE_CPU));
    gates.push(frozen(results, FROZEN_MONITOR, FROZEN_MONITOR_WALL));
    gates.push(frozen(results, FROZEN_STOP, FROZEN_STOP_TIMEOUT));
    gates.push(gate(
        "stop, libvirtd frozen: the guest is gone",
        Some((results.frozen.guest_is_gone.to_string(), results.frozen.guest_is_gone)),
    ));
    gates.extend(drbd(results));
    gates.push(every_command_succeeded(results));
    gates
}

/// Those of the agent of DRBD.
fn drbd(results: &Results) -> Vec<Gate> {
    let children = |row: &str| Row::of(results, &label(row, Whose::Ours)).map(|row| row.children);
    let mut gates = Vec::new();
    for row in [drbd::PRIMARY, drbd::SECONDARY] {
        gates.push(cpu(results, row, DRBD_MONITOR_CPU));
        gates.push(less_cpu(results, row, DRBD_MONITOR_GAIN));
        gates.push(gate(
            &format!("{row}: no child process"),
            children(row).map(|number| (format!("{number} children"), number == 0)),
        ));
    }
    gates.push(gate(
        &format!("{}: one child process", drbd::CHANGED),
        children(drbd::CHANGED).map(|number| (format!("{number} children"), number == 1)),
    ));
    let worst = results.decoding.values().copied().reduce(f64::max);
    gates.push(gate(
        "drbd answers of the kernel: 100 resources of 4 volumes",
        worst.map(|took| {
            let limit = DECODING * slowness_of(results);
            (format!("read in {took:.2} ms, limit {limit:.2} ms"), took <= limit)
        }),
    ));
    gates
}

/// Rows that do not name their agent are about VirtualDomain.
fn gate(name: &str, seen: Option<(String, bool)>) -> Gate {
    let (seen, holds) = seen.unwrap_or(("not measured".to_owned(), false));
    let agent = if name.starts_with("drbd ") { "" } else { "VirtualDomain " };
    Gate { name: format!("{agent}{name}"), seen, holds }
}

fn cpu(results: &Results, row: &str, limit: f64) -> Gate {
    let ours = Row::of(results, &label(row, Whose::Ours));
    let floor = Row::of(results, FLOOR);
    let seen = ours.zip(floor).map(|(ours, floor)| {
        let limit = limit * slowness(floor.cpu_ms);
        (format!("{:.2} ms, limit {limit:.2} ms", ours.cpu_ms), ours.cpu_ms <= limit)
    });
    gate(&format!("{row}: CPU time, median"), seen)
}

fn less_cpu(results: &Results, row: &str, gain: f64) -> Gate {
    let [stock, ours] = Whose::BOTH.map(|whose| Row::of(results, &label(row, whose)));
    let seen = stock.zip(ours).map(|(stock, ours)| less(stock.cpu_ms, ours.cpu_ms, gain));
    gate(&format!("{row}: CPU time, against stock"), seen)
}

fn at_once(results: &Results, row: &str) -> Gate {
    let [stock, ours] = Whose::BOTH.map(|whose| {
        let name = label(row, whose);
        results.together.iter().find(|together| together.name == name).map(AtOnce::of)
    });
    let seen = stock.zip(ours).map(|(stock, ours)| less(stock.wall_ms, ours.wall_ms, AT_ONCE_GAIN));
    gate(&format!("{row}: {} at once, against stock", results.at_once), seen)
}

fn less(stock: f64, ours: f64, gain: f64) -> (String, bool) {
    (format!("{:.1} times less, at least {gain}", stock / ours), ours * gain <= stock)
}

/// Every single one must be in time, not only the one in the middle.
fn frozen(results: &Results, row: &str, limit: Duration) -> Gate {
    let name = label(row, Whose::Ours);
    let timing = results.frozen.timings.iter().find(|timing| timing.name == name);
    let slowest = timing.and_then(|timing| timing.wall_ms.iter().copied().reduce(f64::max));
    let limit = limit.as_secs_f64() * 1e3;
    let seen =
        slowest.map(|wall| (format!("{wall:.0} ms at most, limit {limit:.0} ms"), wall <= limit));
    gate(&format!("{row}: time"), seen)
}

fn every_command_succeeded(results: &Results) -> Gate {
    let status = |timing: &Timing| (timing.name.clone(), timing.statuses.clone());
    let together = results.together.iter();
    let strange: Vec<String> = results
        .timings
        .iter()
        .chain(&results.frozen.timings)
        .map(status)
        .chain(together.map(|together| (together.name.clone(), together.statuses.clone())))
        .filter(|(name, statuses)| !statuses.iter().eq([&drbd::expected(name)]))
        .map(|(name, statuses)| format!("{name} ended with {statuses:?}"))
        .collect();
    Gate {
        name: "every measured command succeeded, every time".to_owned(),
        holds: strange.is_empty(),
        seen: if strange.is_empty() { "yes".to_owned() } else { strange.join("; ") },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::agents::ROWS;
    use crate::bench::drbd::expected;
    use crate::bench::table::{Frozen, Machine, text};
    use duet_bench::{Counts, Instructions, Together};

    const STOCK: f64 = 120.0;

    fn timing(name: String, cpu: f64) -> Timing {
        let statuses = [expected(&name)].into();
        Timing { name, wall_ms: vec![cpu + 0.1; 3], cpu_ms: vec![cpu; 3], statuses }
    }

    /// A run in which everything of ours took `cpu` ms with `children`, on a machine with this floor.
    fn results(floor: f64, cpu: f64, children: u64) -> Results {
        let counted = |name: String, children| Counts {
            name,
            children,
            execs: children + 1,
            instructions: Instructions::Counted(1000),
            memory_kib: 2100,
            ..Counts::default()
        };
        let mut timings = vec![timing(FLOOR.to_owned(), floor)];
        let mut counts = vec![counted(FLOOR.to_owned(), 0)];
        for row in ROWS {
            timings.push(timing(label(row, Whose::Stock), STOCK));
            timings.push(timing(label(row, Whose::Ours), cpu));
            counts.push(counted(label(row, Whose::Stock), 40));
            counts.push(counted(label(row, Whose::Ours), children));
        }
        for row in drbd::ROWS {
            timings.push(timing(label(row, Whose::Stock), STOCK));
            timings.push(timing(label(row, Whose::Ours), cpu));
            counts.push(counted(label(row, Whose::Stock), 20));
            counts.push(counted(label(row, Whose::Ours), u64::from(row == drbd::CHANGED)));
        }
        let together = [MONITOR, PLAIN_MONITOR].into_iter().flat_map(|row| {
            [(Whose::Stock, 2000.0), (Whose::Ours, 90.0)].map(|(whose, wall)| Together {
                name: label(row, whose),
                wall_ms: vec![wall; 3],
                cpu_ms: vec![wall; 3],
                statuses: [0].into(),
            })
        });
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
            together: together.collect(),
            frozen: Frozen {
                timings: vec![
                    timing(label(FROZEN_MONITOR, Whose::Ours), 1700.0),
                    timing(label(FROZEN_STOP, Whose::Ours), 12_000.0),
                ],
                guest_is_gone: true,
            },
            decoding: [("8.4.11".to_owned(), 0.8), ("9.3.3".to_owned(), 1.1)].into(),
        }
    }

    fn failing(results: &Results) -> Vec<String> {
        gates(results).into_iter().filter(|gate| !gate.holds).map(|gate| gate.name).collect()
    }

    /// The first failing gate of a run that was spoilt in one way.
    fn spoilt(how: impl Fn(&mut Results)) -> String {
        let mut results = results(0.9, 1.4, 0);
        how(&mut results);
        failing(&results).into_iter().next().expect("a gate that fails")
    }

    #[test]
    fn a_good_run_passes() {
        assert_eq!(failing(&results(0.9, 1.4, 0)), Vec::<String>::new());
    }

    #[test]
    fn each_bound_is_kept_by_a_gate_of_its_own() {
        let ours = |row: &str| label(row, Whose::Ours);
        let set = |results: &mut Results, name: &str, cpu: f64| {
            let found = results.timings.iter_mut().find(|timing| timing.name == name).unwrap();
            found.cpu_ms = vec![cpu; 3];
        };
        let seen = spoilt(|results| set(results, &ours(MONITOR), 2.1));
        assert_eq!(seen, "VirtualDomain monitor: CPU time, median");
        let seen = spoilt(|results| set(results, &label(MONITOR, Whose::Stock), 55.0));
        assert_eq!(seen, "VirtualDomain monitor: CPU time, against stock");
        let seen = spoilt(|results| set(results, &label(PLAIN_MONITOR, Whose::Stock), 34.0));
        assert_eq!(seen, "VirtualDomain monitor, no utilization: CPU time, against stock");
        let seen = spoilt(|results| set(results, &ours("meta-data"), 1.6));
        assert_eq!(seen, "VirtualDomain meta-data: CPU time, median");
        for row in ["start", "stop"] {
            let seen = spoilt(|results| set(results, &ours(row), 10.1));
            assert_eq!(seen, format!("VirtualDomain {row}: CPU time, median"));
        }
        let seen = spoilt(|results| results.counts[2].memory_kib = 4097);
        assert_eq!(seen, "VirtualDomain monitor: resident set");
        let seen = spoilt(|results| results.together[1].wall_ms = vec![101.0; 3]);
        assert_eq!(seen, "VirtualDomain monitor: 50 at once, against stock");
        let seen = spoilt(|results| results.frozen.timings[0].wall_ms[1] = 2001.0);
        assert_eq!(seen, "VirtualDomain monitor, libvirtd frozen: time");
        let seen = spoilt(|results| results.frozen.timings[1].wall_ms[0] = 20_001.0);
        assert_eq!(seen, "VirtualDomain stop, libvirtd frozen: time");
        let seen = spoilt(|results| results.frozen.guest_is_gone = false);
        assert_eq!(seen, "VirtualDomain stop, libvirtd frozen: the guest is gone");
    }

    #[test]
    fn each_bound_of_drbd_is_kept_by_a_gate_of_its_own() {
        let set = |results: &mut Results, name: &str, cpu: f64| {
            let found = results.timings.iter_mut().find(|timing| timing.name == name).unwrap();
            found.cpu_ms = vec![cpu; 3];
        };
        for row in [drbd::PRIMARY, drbd::SECONDARY] {
            let seen = spoilt(|results| set(results, &label(row, Whose::Ours), 2.6));
            assert_eq!(seen, format!("{row}: CPU time, median"));
            let seen = spoilt(|results| set(results, &label(row, Whose::Stock), 13.9));
            assert_eq!(seen, format!("{row}: CPU time, against stock"));
        }
        let children = |row: &str, number| {
            let name = label(row, Whose::Ours);
            spoilt(|results| {
                let found = results.counts.iter_mut().find(|one| one.name == name).unwrap();
                found.children = number;
            })
        };
        assert_eq!(children(drbd::PRIMARY, 1), "drbd monitor, Primary: no child process");
        assert_eq!(children(drbd::SECONDARY, 1), "drbd monitor, Secondary: no child process");
        assert_eq!(children(drbd::CHANGED, 2), "drbd monitor, changed: one child process");
        let slow = spoilt(|results| results.decoding = [("9.3.3".to_owned(), 5.1)].into());
        assert_eq!(slow, "drbd answers of the kernel: 100 resources of 4 volumes");
        // A score that was not written is no less wrong.
        assert_eq!(children(drbd::CHANGED, 0), "drbd monitor, changed: one child process");
        let wrong = spoilt(|results| {
            let name = label(drbd::PRIMARY, Whose::Stock);
            let found = results.timings.iter_mut().find(|timing| timing.name == name).unwrap();
            found.statuses = [0].into();
        });
        assert_eq!(wrong, "every measured command succeeded, every time");
    }

    #[test]
    fn one_child_is_too_many() {
        let names = failing(&results(0.9, 1.0, 1));
        assert!(names.iter().all(|name| name.contains("no child process")), "{names:?}");
        assert_eq!(names.len(), 2);
    }

    #[test]
    fn a_slow_machine_moves_the_limits_in_proportion() {
        assert_eq!(failing(&results(2.4, 2.9, 0)), Vec::<String>::new());
        assert!(failing(&results(2.4, 3.1, 0)).iter().any(|name| name.contains("meta-data")));
        assert!(text(&results(2.4, 2.9, 0)).contains("this machine is slow"));
    }

    #[test]
    fn what_was_not_measured_does_not_pass() {
        let mut nothing = results(0.9, 1.0, 0);
        nothing.counts.clear();
        nothing.together.clear();
        nothing.frozen = Frozen::default();
        nothing.decoding.clear();
        let all = gates(&nothing).len();
        // The last one is about commands that were measured.
        assert_eq!(failing(&nothing).len(), all - 1);
    }

    #[test]
    fn a_command_that_failed_once_fails_the_bench() {
        let mut failed = results(0.9, 1.0, 0);
        failed.timings[2].statuses = [0, 7].into();
        let gates = gates(&failed);
        let gate = gates.iter().find(|gate| !gate.holds).unwrap();
        assert!(gate.seen.contains("monitor: ours ended with {0, 7}"), "{gate:?}");
    }
}
