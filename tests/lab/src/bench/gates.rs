//! The bounds that a bench must keep. Nothing here measures: the same samples pass or fail alike, and
//! what was not measured does not pass.

use super::agents::{
    FLOOR, FROZEN_MONITOR, FROZEN_STOP, FROZEN_STOP_TIMEOUT, MONITOR, PLAIN_MONITOR, Whose, label,
};
use super::table::{AtOnce, Results, Row};
use super::{Part, drbd, fencing, handlers, on_host};
use duet_bench::{Timing, median};
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
/// In ms, the longest from a change of the kernel's state to its score, written by the watcher.
const WATCHER_DELAY: f64 = 150.0;
/// The most memory of the watcher.
const WATCHER_KIB: u64 = 6144;
/// In ms, how long it takes to read what the kernel says of 400 volumes.
const DECODING: f64 = 5.0;
/// In ms, from the call of a fencing handler to its answer, where every tool is a stub.
const HANDLER_WALL: f64 = 15.0;
/// The most processes that it starts, with the one that writes its record.
const HANDLER_CHILDREN: [(&str, u64); 2] = [(handlers::FENCE, 6), (handlers::UNFENCE, 2)];
/// How many times the time of Debian's client ours may take.
const CLIENT_RATIO: f64 = 1.1;
/// In ms, from the start of many clients of one node to the end of the last.
const CLIENTS_AT_ONCE: f64 = 500.0;
/// In ms, the slowest answer to an honest client beside hostile ones.
const BESET_WALL: f64 = 50.0;
/// In ms, what off and on take longer by us than by libvirt alone.
const POWER_WALL: f64 = 20.0;
/// The most memory of fence_virtd.
const VIRTD_KIB: u64 = 10 * 1024;
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

/// Every gate of the parts that were asked for.
pub(super) fn gates(results: &Results) -> Vec<Gate> {
    let mut gates = Vec::new();
    if results.has(Part::Agents) {
        gates.extend(agents(results));
        gates.extend(drbd(results));
    }
    if results.has(Part::Handlers) {
        gates.extend(handlers(results));
    }
    if results.has(Part::Fencing) {
        gates.extend(fencing(results));
    }
    gates.push(every_command_succeeded(results));
    gates
}

/// Those of fence_xvm and fence_virtd.
fn fencing(results: &Results) -> Vec<Gate> {
    let mut gates = Vec::new();
    for row in fencing::ROWS {
        let [stock, ours] = Whose::BOTH.map(|whose| Row::of(results, &label(row, whose)));
        let seen = stock.zip(ours).map(|(stock, ours)| {
            let ratio = ours.wall_ms / stock.wall_ms;
            (format!("{ratio:.2} times, at most {CLIENT_RATIO}"), ratio <= CLIENT_RATIO)
        });
        gates.push(gate(&format!("{row}: time, against stock"), seen));
    }
    let at_most = |name: String, samples: Option<&Vec<f64>>, limit: f64| {
        let slowest = samples.and_then(|samples| samples.iter().copied().reduce(f64::max));
        let limit =
            limit * Row::of(results, on_host::FLOOR).map_or(1.0, |row| slowness(row.cpu_ms));
        let seen = |wall| (format!("{wall:.1} ms at most, limit {limit:.0} ms"), wall <= limit);
        gate(&name, slowest.map(seen))
    };
    let ours = label(fencing::TOGETHER, Whose::Ours);
    let together = results.fencing.together.iter().find(|together| together.name == ours);
    let name = format!("{}: {} at once", fencing::TOGETHER, fencing::AT_ONCE);
    gates.push(at_most(name, together.map(|together| &together.wall_ms), CLIENTS_AT_ONCE));
    for row in fencing::BESET {
        let timing = results.fencing.beset.iter().find(|timing| timing.name == row);
        gates.push(at_most(
            format!("{row}: time"),
            timing.map(|timing| &timing.wall_ms),
            BESET_WALL,
        ));
    }
    for row in fencing::POWER {
        gates.push(power(results, row));
    }
    let daemon = results.fencing.daemon.as_ref();
    let number = fencing::REQUESTS;
    gates.push(gate(
        &format!("fence_virtd: memory, {number} requests"),
        daemon.map(|daemon| {
            let seen = daemon.peak_kib;
            (format!("{seen} KiB, limit {VIRTD_KIB} KiB"), seen <= VIRTD_KIB)
        }),
    ));
    gates.push(gate(
        &format!("fence_virtd: descriptors, {number} requests"),
        daemon.map(|daemon| {
            let (before, after) = (daemon.descriptors_before, daemon.descriptors_after);
            (format!("{before} before, {after} after"), after <= before)
        }),
    ));
    gates
}

/// What we add to a guest's off and on: the difference of the medians, in the same rounds.
fn power(results: &Results, row: &str) -> Gate {
    let of = |by: &str| {
        let name = fencing::power_label(row, by);
        let timing = results.fencing.power.iter().find(|timing| timing.name == name)?;
        median(&timing.wall_ms)
    };
    let slow = Row::of(results, on_host::FLOOR).map_or(1.0, |row| slowness(row.cpu_ms));
    let limit = POWER_WALL * slow;
    let seen = of(fencing::BY[0]).zip(of(fencing::BY[1])).map(|(alone, ours)| {
        let more = ours - alone;
        let seen = format!(
            "{ours:.1} ms, libvirt alone {alone:.1} ms: {more:.1} ms more, limit {limit:.0} ms"
        );
        (seen, more <= limit)
    });
    gate(&format!("{row}: time, beyond libvirt's"), seen)
}

/// Those of VirtualDomain.
fn agents(results: &Results) -> Vec<Gate> {
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
    gates
}

/// Those of the fencing handlers.
fn handlers(results: &Results) -> Vec<Gate> {
    let mut gates = Vec::new();
    for (row, most) in HANDLER_CHILDREN {
        let ours = Row::of(results, &label(row, Whose::Ours));
        let floor = Row::of(results, on_host::FLOOR);
        let children = ours.as_ref().map(|row| row.children);
        gates.push(gate(
            &format!("{row}: time, median"),
            ours.zip(floor).map(|(ours, floor)| {
                let limit = HANDLER_WALL * slowness(floor.cpu_ms);
                (format!("{:.2} ms, limit {limit:.2} ms", ours.wall_ms), ours.wall_ms <= limit)
            }),
        ));
        gates.push(gate(
            &format!("{row}: child processes"),
            children.map(|number| (format!("{number}, at most {most}"), number <= most)),
        ));
    }
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
    let watched = &results.watched;
    let slowest = watched.delays_ms.iter().copied().reduce(f64::max);
    gates.push(gate(
        "drbd watcher: from a change to its score",
        slowest.map(|took| {
            let limit = WATCHER_DELAY * slowness_of(results);
            (format!("{took:.0} ms at most, limit {limit:.0} ms"), took <= limit)
        }),
    ));
    gates.push(gate(
        "drbd watcher: resident set",
        slowest.map(|_| {
            let seen = watched.resident_kib;
            (format!("{seen} KiB, limit {WATCHER_KIB} KiB"), seen <= WATCHER_KIB)
        }),
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
    let has_agent = name.starts_with("drbd ") || name.starts_with("fence_");
    let agent = if has_agent { "" } else { "VirtualDomain " };
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

/// How a measured command ends when all is well.
fn expected(name: &str) -> i32 {
    match handlers::expected(name) {
        0 => drbd::expected(name),
        other => other,
    }
}

fn every_command_succeeded(results: &Results) -> Gate {
    let status = |timing: &Timing| (timing.name.clone(), timing.statuses.clone());
    let together = results.together.iter().chain(&results.fencing.together);
    let strange: Vec<String> = results
        .timings
        .iter()
        .chain(&results.frozen.timings)
        .chain(&results.fencing.beset)
        .chain(&results.fencing.power)
        .map(status)
        .chain(together.map(|together| (together.name.clone(), together.statuses.clone())))
        .filter(|(name, statuses)| !statuses.iter().eq([&expected(name)]))
        .map(|(name, statuses)| format!("{name} ended with {statuses:?}"))
        .collect();
    Gate {
        name: "every measured command succeeded, every time".to_owned(),
        holds: strange.is_empty(),
        seen: if strange.is_empty() { "yes".to_owned() } else { strange.join("; ") },
    }
}

#[cfg(test)]
mod tests;
