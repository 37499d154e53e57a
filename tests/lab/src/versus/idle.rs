//! What a cluster costs that nothing happens to: processes that were made and processor time, with its monitors and in
//! maintenance mode. Invariant: read from the kernel's counters without a process of ours in the node, and the guest's own
//! processor time is not the cluster's.

use crate::cluster::Cluster;
use crate::failure::{Failure, Result};
use crate::node::Node;
use crate::scenario::checks::settled;
use std::time::Duration;

/// How long each of both is watched: several periods of every monitor.
const WINDOW: Duration = Duration::from_secs(60);
/// Until what a change of the configuration caused is over.
const SETTLE: Duration = Duration::from_secs(10);
/// The kernel's unit of processor time in `/proc/stat`, per second.
const TICKS: f64 = 100.0;

/// Of both nodes together, a minute of each.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Cost {
    /// Processes and threads made.
    pub(super) forks: f64,
    /// Seconds of processor time.
    pub(super) cpu: f64,
}

/// With monitors, and in maintenance mode.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Idle {
    pub(super) monitored: Cost,
    pub(super) maintained: Cost,
}

impl Idle {
    /// What the monitors are the reason for.
    pub(super) fn of_monitors(&self) -> Cost {
        Cost {
            forks: self.monitored.forks - self.maintained.forks,
            cpu: self.monitored.cpu - self.maintained.cpu,
        }
    }
}

/// Watches a steady cluster.
pub(super) fn measure(cluster: &Cluster) -> Result<Idle> {
    let active = cluster.steady()?;
    let node = cluster.other(&active)?;
    settled(node)?;
    std::thread::sleep(SETTLE);
    cluster.journal.mark("nothing happens, with monitors");
    let monitored = watch(cluster, &active)?;
    maintenance(node, "true")?;
    std::thread::sleep(SETTLE);
    cluster.journal.mark("nothing happens, in maintenance mode");
    let maintained = watch(cluster, &active)?;
    maintenance(node, "false")?;
    let still = cluster.steady()?;
    if still != active {
        return Err(Failure::broken(format!("the guest went from {active} to {still}")));
    }
    Ok(Idle { monitored, maintained })
}

fn maintenance(node: &Node, value: &str) -> Result<()> {
    let script =
        format!("crm_attribute --type crm_config --name maintenance-mode --update {value}");
    node.sh(&script, "changing maintenance-mode")?;
    settled(node)
}

fn watch(cluster: &Cluster, active: &str) -> Result<Cost> {
    let look = || -> Result<Vec<Counters>> {
        cluster.lab.nodes.iter().map(|node| counters(node, active)).collect()
    };
    let before = look()?;
    let began = std::time::Instant::now();
    std::thread::sleep(WINDOW);
    let after = look()?;
    Ok(cost(&before, &after, began.elapsed()))
}

fn cost(before: &[Counters], after: &[Counters], took: Duration) -> Cost {
    let a_minute = 60.0 / took.as_secs_f64();
    let all = before.iter().zip(after).fold(Cost { forks: 0.0, cpu: 0.0 }, |sum, (then, now)| {
        Cost { forks: sum.forks + now.forks - then.forks, cpu: sum.cpu + now.cpu - then.cpu }
    });
    Cost { forks: all.forks * a_minute, cpu: all.cpu * a_minute }
}

/// Since the node's boot.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Counters {
    forks: f64,
    cpu: f64,
}

fn counters(node: &Node, active: &str) -> Result<Counters> {
    let unclear =
        |what: &str| Failure::broken(format!("{what} of {} is not as expected", node.name));
    let all = node.read("/proc/stat")?;
    let Counters { forks, cpu } = of_machine(&all).ok_or_else(|| unclear("/proc/stat"))?;
    if node.name != active {
        return Ok(Counters { forks, cpu });
    }
    let pid = node.read("/run/libvirt/qemu/vm1.pid")?;
    let guest = node.read(&format!("/proc/{}/stat", pid.trim()))?;
    let guest = of_process(&guest).ok_or_else(|| unclear("The guest's process"))?;
    Ok(Counters { forks, cpu: cpu - guest })
}

/// All but idle and waiting for disks; a guest of a machine's own kernel is in user time already.
fn of_machine(text: &str) -> Option<Counters> {
    let line = |name: &str| {
        text.lines().find_map(|line| {
            let mut words = line.split_ascii_whitespace();
            (words.next()? == name)
                .then(|| words.map(str::parse).collect::<std::result::Result<Vec<f64>, _>>())
        })
    };
    let ticks = line("cpu")?.ok()?;
    let [user, nice, system, _idle, _waiting, hard, soft, stolen, ..] = *ticks.as_slice() else {
        return None;
    };
    let forks = *line("processes")?.ok()?.first()?;
    Some(Counters { forks, cpu: (user + nice + system + hard + soft + stolen) / TICKS })
}

/// User and system time of a process, in seconds; its name may have blanks and brackets.
fn of_process(text: &str) -> Option<f64> {
    let fields: Vec<&str> = text.rsplit_once(") ")?.1.split_ascii_whitespace().collect();
    let [user, system] = [fields.get(11)?, fields.get(12)?].map(|field| field.parse::<f64>());
    Some((user.ok()? + system.ok()?) / TICKS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str =
        "cpu  100 10 50 9000 30 5 5 0 70 0\ncpu0 1 1 1 1 1 1 1 1 1 1\nbtime 1\nprocesses 1234\n";

    #[test]
    fn what_is_not_idle_is_counted_once() {
        assert_eq!(of_machine(STAT), Some(Counters { forks: 1234.0, cpu: 1.7 }));
        assert_eq!(of_machine("cpu  1 2 3\nprocesses 4\n"), None);
    }

    #[test]
    fn a_process_is_read_behind_its_name() {
        let text = "77 (qemu ) S 1) S 1 77 77 0 -1 4194624 1 0 0 0 250 150 0 0 20 0 4 0 1 1";
        assert_eq!(of_process(text), Some(4.0));
    }

    #[test]
    fn a_window_is_told_as_a_minute_of_all_nodes() {
        let at = |forks, cpu| Counters { forks, cpu };
        let cost = cost(
            &[at(10.0, 5.0), at(0.0, 1.0)],
            &[at(20.0, 6.0), at(5.0, 1.5)],
            Duration::from_secs(30),
        );
        assert_eq!(cost, Cost { forks: 30.0, cpu: 3.0 });
    }
}
