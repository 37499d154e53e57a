//! What a cluster costs that nothing happens to: processes that were made and processor time, with its monitors and in
//! maintenance mode. Invariant: read from the kernel's counters without a process of ours in the node; the guest's own
//! processor time is not the cluster's, and is taken by the same clock as all: `/proc/stat` counts timer ticks, of which a machine without
//! KVM loses some, and a guest that is always busy then has used more than everybody together.

use crate::cluster::Cluster;
use crate::failure::{Failure, Result};
use crate::node::Node;
use crate::scenario::checks::settled;
use std::time::Duration;

/// How long each of both is watched at a time: several periods of every monitor.
const WINDOW: Duration = Duration::from_secs(60);
/// How often, one after the other: what else a node does in a minute is several times what the monitors cost it, and drifts.
const PAIRS: u8 = 2;
/// Until what a change of the configuration caused is over.
const SETTLE: Duration = Duration::from_secs(10);
/// The units of `/proc/schedstat` and of `/proc/<pid>/stat`, per second.
const NANOSECONDS: f64 = 1e9;
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
    let (mut monitored, mut maintained) = (Vec::new(), Vec::new());
    for _ in 0..PAIRS {
        settled(node)?;
        std::thread::sleep(SETTLE);
        cluster.journal.mark("nothing happens, with monitors");
        monitored.push(watch(cluster, &active)?);
        maintenance(node, "true")?;
        std::thread::sleep(SETTLE);
        cluster.journal.mark("nothing happens, in maintenance mode");
        maintained.push(watch(cluster, &active)?);
        maintenance(node, "false")?;
    }
    let still = cluster.steady()?;
    if still != active {
        return Err(Failure::broken(format!("the guest went from {active} to {still}")));
    }
    Ok(Idle { monitored: mean(&monitored), maintained: mean(&maintained) })
}

fn mean(costs: &[Cost]) -> Cost {
    let share = 1.0 / costs.len() as f64;
    costs.iter().fold(Cost { forks: 0.0, cpu: 0.0 }, |sum, cost| Cost {
        forks: sum.forks + cost.forks * share,
        cpu: sum.cpu + cost.cpu * share,
    })
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
    let guest = if node.name == active {
        let pid = node.read("/run/libvirt/qemu/vm1.pid")?;
        let guest = node.read(&format!("/proc/{}/stat", pid.trim()))?;
        of_process(&guest).ok_or_else(|| unclear("The guest's process"))?
    } else {
        0.0
    };
    let made = of_machine(&node.read("/proc/stat")?).ok_or_else(|| unclear("/proc/stat"))?;
    let cpu = of_tasks(&node.read("/proc/schedstat")?).ok_or_else(|| unclear("/proc/schedstat"))?;
    Ok(Counters { forks: made, cpu: cpu - guest })
}

/// Processes and threads made since the boot.
fn of_machine(text: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix("processes "))?.trim().parse().ok()
}

/// What all tasks of all processors have run, in seconds: the seventh number of each `cpu` line (Linux:
/// Documentation/scheduler/sched-stats.rst).
fn of_tasks(text: &str) -> Option<f64> {
    let lines = text.lines().filter(|line| line.starts_with("cpu"));
    let times = lines.map(|line| line.split_ascii_whitespace().nth(7)?.parse::<f64>().ok());
    let times = times.collect::<Option<Vec<f64>>>().filter(|times| !times.is_empty())?;
    Some(times.iter().sum::<f64>() / NANOSECONDS)
}

/// What a process has run, in seconds: the scheduler's clock, divided into user and system time (Linux: cputime_adjust). Its name
/// may have blanks and brackets.
fn of_process(text: &str) -> Option<f64> {
    let fields: Vec<&str> = text.rsplit_once(") ")?.1.split_ascii_whitespace().collect();
    let [user, system] = [fields.get(11)?, fields.get(12)?].map(|field| field.parse::<f64>());
    Some((user.ok()? + system.ok()?) / TICKS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_all_tasks_have_run_is_summed_over_the_processors() {
        let text = "version 15\ntimestamp 4295\ncpu0 0 0 9 4 5 3 2500000000 77 5\ndomain0 3 1 2\n\
                    cpu1 0 0 9 4 5 3 1000000000 77 5\n";
        assert_eq!(of_tasks(text), Some(3.5));
        assert_eq!(of_tasks("version 15\ncpu0 0 0 9\n"), None);
        assert_eq!(of_tasks("version 15\n"), None);
        assert_eq!(of_machine("cpu 1 2\nbtime 1\nprocesses 1234\n"), Some(1234.0));
        assert_eq!(of_machine("cpu  1 2 3\n"), None);
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
        assert_eq!(mean(&[cost, Cost { forks: 10.0, cpu: 1.0 }]), Cost { forks: 20.0, cpu: 2.0 });
    }
}
