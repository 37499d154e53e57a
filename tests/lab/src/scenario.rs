//! Scenarios: named disturbances of a steady cluster, each with what must hold afterwards. The
//! oracle judges every one over the whole life of its cluster, not only over the disturbance.

pub(crate) mod checks;
mod containers;
pub(crate) mod machines;

use crate::cluster::Cluster;
use crate::failure::{Failure, Result};
use crate::node_files::Init;
use crate::topology::Topology;
use duet_oracle::Verdict;
use duet_oracle::judge::Outcome;
use std::time::Duration;

/// One scenario of the table.
#[derive(Clone)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) topology: Topology,
    /// One line for `list`.
    pub(crate) about: &'static str,
    /// Programs that must be the stock ones, with the reason.
    pub(crate) stock: Option<(&'static str, &'static str)>,
    /// A program that must be ours, with what the stock one does instead.
    pub(crate) ours: Option<(&'static str, &'static str)>,
    /// Who starts the nodes' services, where it has to be one of them.
    pub(crate) init: Option<Init>,
    /// How many nodes, where it has to be this many.
    pub(crate) nodes: Option<u8>,
    /// Begins with nodes on which nobody has done anything yet, instead of with a guest that writes.
    pub(crate) bare: bool,
    /// Takes a cluster as the scenario before left it, even with a node off.
    pub(crate) takes_over: bool,
    /// Leaves a record that no further verdict can build on.
    pub(crate) spoils: bool,
    /// Wants nothing else to run on the machine meanwhile: it measures.
    pub(crate) alone: bool,
    /// Above this, it hangs.
    pub(crate) bound: Duration,
    pub(crate) run: fn(&Cluster) -> Result<Story>,
}

/// What a scenario has to tell.
#[derive(Debug, Default)]
pub(crate) struct Story {
    /// The moment the disturbance began, on the recorder's clock.
    pub(crate) zero: Duration,
    /// Figures worth a place in the table, in seconds.
    pub(crate) figures: Vec<(&'static str, f64)>,
    /// Texts worth keeping beside the recording, each in a file of this name.
    pub(crate) papers: Vec<(&'static str, String)>,
    /// Whether the nodes' logs are kept though it held.
    pub(crate) with_logs: bool,
}

impl Story {
    pub(crate) fn at(zero: Duration) -> Self {
        Self { zero, ..Self::default() }
    }

    pub(crate) fn figure(mut self, name: &'static str, seconds: Duration) -> Self {
        self.figures.push((name, seconds.as_secs_f64()));
        self
    }

    fn paper(mut self, name: &'static str, text: String) -> Self {
        self.papers.push((name, text));
        self
    }
}

/// What `make lab` runs: everything that may happen to two nodes and their guest, each at least once, the guides' setups, and
/// whether the judges would notice. What belongs to one program, and what is a variant, is in `all` only.
const CORE: [&str; 32] = [
    "containers/disk-fails",
    "containers/guide-rhel",
    "containers/oracle-control",
    "containers/watch-control",
    "containers/guide-three-nodes",
    "machines/power-cut",
    "machines/node-back",
    "machines/link-cut",
    "machines/standby-disk-fails",
    "machines/guest-killed",
    "machines/move",
    "machines/cluster-link-cut",
    "machines/node-alone",
    "machines/no-disk-left",
    "machines/frozen-shot",
    "machines/frozen-not-fenced",
    "machines/libvirtd-killed",
    "machines/pacemaker-killed",
    "machines/active-full",
    "machines/passive-full",
    "machines/fence-flapping",
    "machines/fence-peer-killed",
    "machines/fence-both-killed",
    "machines/fence-partition",
    "machines/chaos",
    "machines/drbd-disk-fails",
    "machines/drbd-standby",
    "machines/drbd-split-brain",
    "machines/live-migration-dual-primary",
    "machines/rolling-replacement",
    "machines/guide-nfs",
    "machines/guide-sles",
];

/// Every scenario there is, in the order in which they share a cluster.
pub(crate) fn all() -> Vec<Scenario> {
    containers::table().into_iter().chain(machines::table()).collect()
}

/// The ones that `names` ask for: all of them, the core, a topology's, or by name.
pub(crate) fn chosen(names: &[String]) -> Result<Vec<Scenario>> {
    let wanted = |scenario: &Scenario, name: &str| {
        (name == "all" || name == scenario.topology.name()) && !scenario.name.starts_with('_')
            || name == "core" && CORE.contains(&full_name(scenario).as_str())
            || name == full_name(scenario)
    };
    for name in names {
        if !all().iter().any(|scenario| wanted(scenario, name)) {
            let known: Vec<String> = all().iter().map(full_name).collect();
            return Err(Failure::Refused(format!(
                "No scenario {name:?}; there are core, all, containers, machines, differential, wire, versus-stock, {}",
                known.join(", ")
            )));
        }
    }
    Ok(all()
        .into_iter()
        .filter(|scenario| names.iter().any(|name| wanted(scenario, name)))
        .collect())
}

/// `machines/power-cut`; hidden ones without their topology.
pub(crate) fn full_name(scenario: &Scenario) -> String {
    if scenario.name.starts_with('_') {
        return scenario.name.to_owned();
    }
    format!("{}/{}", scenario.topology.name(), scenario.name)
}

/// The data as it must be: every acknowledged write there, one writer at a time, evidence whole. And
/// the guest never ran twice, as far as its processes can be watched.
pub(crate) fn intact(cluster: &Cluster) -> Result<()> {
    written_once(&cluster.verdict())?;
    let Some(watch) = &cluster.watch else { return Ok(()) };
    let (twice, missing) = watch.findings();
    let found: Vec<String> = twice.iter().map(ToString::to_string).chain(missing).collect();
    claim(found.is_empty(), || {
        format!("The watch over the guests' processes: {}", found.join("; "))
    })
}

/// The oracle's half of [`intact`].
fn written_once(verdict: &Verdict) -> Result<()> {
    match verdict.outcome() {
        Outcome::Intact => Ok(()),
        Outcome::Incomplete | Outcome::Violated => {
            Err(Failure::broken(format!("The oracle: {verdict}")))
        }
    }
}

/// How long the guest was silent over a disturbance that began at `zero`, by whatever way it came back.
fn downtime(cluster: &Cluster, zero: Duration) -> Result<Duration> {
    let verdict = cluster.verdict();
    verdict
        .outages
        .iter()
        .rev()
        .find(|outage| outage.first_ack > zero)
        .map(duet_oracle::summary::Outage::downtime)
        .ok_or_else(|| Failure::broken("The guest never came back, as far as the recording goes"))
}

/// How often the guest booted after `zero`.
fn boots_since(cluster: &Cluster, zero: Duration) -> usize {
    cluster.verdict().boots.iter().filter(|boot| boot.at > zero).count()
}

/// A claim, and what was seen instead.
pub(crate) fn claim(holds: bool, otherwise: impl FnOnce() -> String) -> Result<()> {
    if holds { Ok(()) } else { Err(Failure::broken(otherwise())) }
}

/// What was fenced before this moment is on nobody's record any more: what a scenario finds there is its own.
pub(crate) fn forget_fencing(cluster: &Cluster) -> Result<()> {
    let mut said = String::new();
    for node in &cluster.lab.nodes {
        match checks::forget_fencing(node) {
            Ok(()) => return Ok(()),
            Err(failure) => said += &format!("{}: {failure}\n", node.name),
        }
    }
    // Where Pacemaker runs nowhere yet, nobody has a record.
    let runs =
        |node: &crate::node::Node| node.sh("pidof pacemaker-fenced || :", "looking for Pacemaker");
    let has_record =
        |node: &crate::node::Node| runs(node).map_or(true, |pids| !pids.trim().is_empty());
    claim(!cluster.lab.nodes.iter().any(has_record), || {
        format!("nobody forgets what was fenced before:\n{said}")
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests")]

    use super::*;
    use std::collections::BTreeMap;
    use std::path::Path;

    /// The scenarios that a page has a row for, with the number of rows and those among its cells that say nothing.
    fn rows(page: &str) -> BTreeMap<String, (usize, usize)> {
        let mut rows = BTreeMap::new();
        for line in page.lines() {
            let Some(cells) = line.strip_prefix("| `").and_then(|line| line.strip_suffix('|'))
            else {
                continue;
            };
            let mut cells = cells.split('|').map(|cell| cell.trim_matches([' ', '`']));
            let name = cells.next().unwrap_or_default().to_owned();
            let row = rows.entry(name).or_insert((0, 0));
            row.0 += 1;
            row.1 += cells.filter(|cell| cell.is_empty()).count();
        }
        rows
    }

    fn page(name: &str) -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
        std::fs::read_to_string(path).expect("the page is there")
    }

    fn listed() -> BTreeMap<String, (usize, usize)> {
        let named = all().into_iter().filter(|scenario| !scenario.name.starts_with('_'));
        named.map(|scenario| (full_name(&scenario), (1, 0))).collect()
    }

    #[test]
    fn every_scenario_is_a_failure_mode_with_one_row_and_none_else_is() {
        assert_eq!(rows(&page("failure-modes.md")), listed());
    }

    #[test]
    fn the_core_is_of_scenarios_that_there_are_and_none_is_lost_on_the_way() {
        let chosen = chosen(&["core".to_owned()]).expect("the word is known");
        let names: Vec<String> = chosen.iter().map(full_name).collect();
        assert_eq!(names, CORE);
        let known = listed();
        assert!(CORE.iter().all(|name| known.contains_key(*name)));
        assert!(known.len() > CORE.len(), "all is more");
    }

    #[test]
    fn every_scenario_is_described_to_who_tests() {
        let mut described = rows(&page("testing.md"));
        // There are other tables on the page, and what is run like a scenario without being one.
        described.retain(|name, _| {
            [Topology::Containers, Topology::Machines].iter().any(|topology| {
                name.split_once('/')
                    .is_some_and(|(of, rest)| of == topology.name() && !rest.is_empty())
            })
        });
        assert_eq!(described, listed());
    }

    #[test]
    fn a_row_that_is_missing_twice_there_or_empty_is_seen() {
        let page = "| `a/b` | x | y |\n| `a/c` | | y |\n| `a/b` | x | y |\n| other | x | y |\n";
        let seen = rows(page);
        assert_eq!(seen["a/b"], (2, 0));
        assert_eq!(seen["a/c"], (1, 1));
        assert_eq!(seen.len(), 2);
    }
}
