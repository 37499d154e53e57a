//! What a monitor of ours costs beside the stock one, about the cluster's own resource and with the real module.
//! Both run in the same shuffled rounds, and only figures of one run are compared.

use super::{FIRST, GOOD, PATIENCE};
use crate::bench::agents::{Whose, executor, label};
use crate::bench::drbd::{CHANGED, PRIMARY, SECONDARY, monitor};
use crate::bench::{PROGRAM, in_node, program};
use crate::cluster::Cluster;
use crate::failure::{Failure, Result};
use crate::node::Node;
use crate::scenario::{Story, claim};
use duet_bench::{Command, Counts, Plan, Timing, median};
use std::collections::BTreeMap;
use std::time::Duration;

/// As many shuffled rounds: the stock agent takes a second and more in a machine without KVM.
const ROUNDS: usize = 5;
/// How many times less CPU time ours must take.
const GAIN: f64 = 10.0;

pub(super) fn cost(cluster: &Cluster) -> Result<Story> {
    let active = cluster.steady()?;
    let (primary, secondary) = (cluster.lab.node(&active)?, cluster.other(&active)?);
    let program = program()?;
    let zero = cluster.journal.mark("monitors, ours and stock in turn");
    let mut story = Story::at(zero);
    for (node, row, code) in [(primary, PRIMARY, 8), (secondary, SECONDARY, 0)] {
        node.put_program(PROGRAM, &program)?;
        let measured = measure(node, row)?;
        let cpu = Whose::BOTH.map(|whose| measured.cpu(&label(row, whose)));
        let [Some(stock), Some(ours)] = cpu else {
            return Err(Failure::broken(format!("{row}: not measured")));
        };
        cluster.journal.mark(&format!("{row}: CPU {stock:.1} ms stock, {ours:.2} ms ours"));
        claim(measured.timings.iter().all(|timing| timing.statuses.iter().eq([&code])), || {
            format!("{row}: not always {code}: {:?}", measured.statuses())
        })?;
        claim(ours * GAIN <= stock, || {
            format!("{row}: {stock:.1} ms of CPU stock, {ours:.2} ms ours: less than {GAIN} times")
        })?;
        let children = measured.children(&label(row, Whose::Ours));
        claim(children == Some(0), || format!("{row}: ours has {children:?} children, not none"))?;
        let name = if row == PRIMARY {
            ["Primary: CPU stock", "Primary: CPU ours"]
        } else {
            ["Secondary: CPU stock", "Secondary: CPU ours"]
        };
        for (name, milliseconds) in name.into_iter().zip([stock, ours]) {
            story = story.figure(name, Duration::from_secs_f64(milliseconds / 1e3));
        }
    }
    let counts = changed(secondary)?;
    let name = label(CHANGED, Whose::Ours);
    let children = counts.iter().find(|one| one.name == name).map(|one| one.children);
    claim(children == Some(1), || format!("{CHANGED}: ours has {children:?} children, not one"))?;
    // What it meant for a moment is over.
    FIRST.scored(secondary, [(primary, GOOD), (secondary, GOOD)])?;
    let still = cluster.steady()?;
    claim(still == active, || format!("the guest went from {active} to {still}"))?;
    Ok(story)
}

struct Measured {
    timings: Vec<Timing>,
    counts: Vec<Counts>,
}

impl Measured {
    fn cpu(&self, name: &str) -> Option<f64> {
        median(&self.timings.iter().find(|timing| timing.name == name)?.cpu_ms)
    }

    fn children(&self, name: &str) -> Option<u64> {
        Some(self.counts.iter().find(|one| one.name == name)?.children)
    }

    fn statuses(&self) -> BTreeMap<&str, Vec<i32>> {
        let statuses = |timing: &Timing| timing.statuses.iter().copied().collect::<Vec<_>>();
        self.timings.iter().map(|timing| (timing.name.as_str(), statuses(timing))).collect()
    }
}

fn measure(node: &Node, row: &str) -> Result<Measured> {
    let executor = executor(node)?;
    let command = |whose| vec![monitor(&executor, row, whose, FIRST.primitive, "r0")];
    let mut plan =
        Plan { rounds: ROUNDS, warm_up: 1, groups: Whose::BOTH.map(command).to_vec(), at_once: 0 };
    let timings = in_node(node, "rounds", &plan, PATIENCE)?;
    // Ours writes its score once a minute all the same. The second of two has just been preceded by one that would have.
    let ours = monitor(&executor, row, Whose::Ours, FIRST.primitive, "r0");
    let before = Command { name: "the one before".to_owned(), ..ours.clone() };
    plan.groups = vec![vec![before, ours]];
    Ok(Measured { timings, counts: in_node(node, "count", &plan, PATIENCE)? })
}

/// A monitor with other scores than the one before it, and one that takes them back.
fn changed(node: &Node) -> Result<Vec<Counts>> {
    let executor = executor(node)?;
    let command = |row| monitor(&executor, row, Whose::Ours, FIRST.primitive, "r0");
    let groups = vec![vec![command(CHANGED), command(SECONDARY)]];
    in_node(node, "count", &Plan { rounds: 1, warm_up: 0, groups, at_once: 0 }, PATIENCE)
}
