//! `lab yardstick`: the stock stack's failures, phase by phase, beside figures recorded earlier. It
//! proves that a lab on this machine measures the same thing, before ours is compared with stock.
//! Invariant: the disturbances are the scenarios themselves, judged by the oracle as always.

pub(crate) mod phases;
mod recorded;

use crate::cluster::Cluster;
use crate::failure::{Failure, Result};
use crate::place::Place;
use crate::programs::Programs;
use crate::scenario::{self, Story};
use crate::topology::{Settings, Topology};
use crate::{image, report, runner};
use phases::{Disturbance, Sample};
use recorded::ForkAndExec;
use std::sync::Arc;
use std::time::Duration;

/// What the cluster still does after one disturbance is over (monitors, probes after a clean-up) is not to be in the
/// figures of the next.
const SETTLE: Duration = Duration::from_secs(15);

/// Runs the disturbances and prints them beside the recorded ones. Whatever deviates is said, not
/// punished: how fast a machine is, is no fault. An error is a disturbance that went wrong, or a
/// phase that the record does not show any more.
pub(crate) fn run(
    place: &Place,
    settings: &Settings,
    rounds: usize,
    tell: &mut dyn FnMut(&str),
) -> Result<()> {
    let settings = Settings { topology: Topology::Machines, ..settings.clone() };
    // Two machines without KVM fill two processors: whatever ran beside them is in the figures.
    let load = crate::bench::load();
    let cluster = Arc::new(runner::cluster(place, &settings, tell)?);
    let mut samples = Vec::new();
    let mut processes = Vec::new();
    let outcome: Result<()> = (1..=rounds).try_for_each(|number| {
        tell(&format!("--- round {number} of {rounds}"));
        round(&cluster, &mut samples, tell)?;
        processes.push(fork_and_exec(&cluster)?);
        Ok(())
    });
    let dir = place.reports.join("yardstick");
    let kept = keep(&dir, &cluster, outcome.is_err());
    cluster.down()?;
    let comparison = recorded::Comparison::new(&recorded::stock(), &samples, &processes, &load);
    let text = recorded::text(&comparison, &settings.programs, rounds);
    print!("\n{text}");
    kept?;
    image::write(&dir.join("yardstick.txt"), text.as_bytes())?;
    let json = serde_json::to_string_pretty(&comparison).expect("figures and texts are JSON");
    image::write(&dir.join("yardstick.json"), json.as_bytes())?;
    tell(&format!("the same, and the recording: {}", dir.display()));
    outcome?;
    match comparison.unseen() {
        unseen if unseen.is_empty() => Ok(()),
        unseen => Err(Failure::broken(format!("Not seen in any round: {}", unseen.join(", ")))),
    }
}

/// What runs when `--agents` says nothing: a yardstick of stock is stock.
pub(crate) fn programs(words: &str) -> Result<Programs> {
    Programs::chosen(if words.is_empty() { "stock" } else { words })
}

/// Every disturbance once. One that goes wrong ends the round; what the others showed still counts.
fn round(
    cluster: &Arc<Cluster>,
    samples: &mut Vec<Sample>,
    tell: &mut dyn FnMut(&str),
) -> Result<()> {
    let mut stories: Vec<(Disturbance, Story)> = Vec::new();
    let mut begun: Vec<Duration> = Vec::new();
    let outcome = Disturbance::ALL.into_iter().try_for_each(|disturbance| {
        std::thread::sleep(SETTLE);
        begun.push(cluster.journal.now());
        let story = disturb(cluster, disturbance).map_err(|failure| {
            Failure::broken(format!("{} went wrong: {failure}", disturbance.name()))
        })?;
        let figures: Vec<String> =
            story.figures.iter().map(|(name, seconds)| format!("{name} {seconds:.1} s")).collect();
        tell(&format!("{}: {}", disturbance.name(), figures.join(", ")));
        stories.push((disturbance, story));
        Ok(())
    });
    // A phase may end after its disturbance does, so all are read at the end.
    let events = cluster.journal.events();
    samples.extend(stories.iter().enumerate().map(|(index, (disturbance, story))| {
        // The result of a start may come when the next disturbance has begun already; power on
        // is the only one that begins so soon, and it starts nothing but the node.
        let next = if *disturbance == Disturbance::PowerCut { index + 2 } else { index + 1 };
        let until = begun.get(next).copied().unwrap_or(Duration::MAX);
        phases::read(*disturbance, story, &events, until)
    }));
    outcome.and_then(|()| scenario::intact(cluster))
}

/// 200 times, in the node without the guest and beside the nodes.
fn fork_and_exec(cluster: &Cluster) -> Result<ForkAndExec> {
    const SCRIPT: &str = "TIMEFORMAT='%U %S'; time for i in {1..200}; do /bin/true; done";
    let idle = cluster.other(&cluster.steady()?)?;
    std::thread::sleep(SETTLE);
    let in_node = idle.run(&format!("exec 2>&1; {SCRIPT}"), Duration::from_secs(120))?;
    let beside =
        cluster.lab.host.sh(&format!("exec 2>&1; bash -c {SCRIPT:?}"), "timing processes")?;
    Ok(ForkAndExec {
        node_ms: milliseconds_each(&in_node.success("timing processes")?)?,
        host_ms: milliseconds_each(&beside)?,
    })
}

/// Of what bash's `time` says about 200, user and system seconds.
fn milliseconds_each(said: &str) -> Result<f64> {
    let seconds: std::result::Result<Vec<f64>, _> =
        said.split_whitespace().map(str::parse).collect();
    match seconds {
        Ok(seconds) if seconds.len() == 2 => Ok(seconds.iter().sum::<f64>() * 1000.0 / 200.0),
        _ => Err(Failure::broken(format!("bash's time said {said:?}"))),
    }
}

fn disturb(cluster: &Arc<Cluster>, disturbance: Disturbance) -> Result<Story> {
    let name = format!("{}/{}", Topology::Machines.name(), disturbance.name());
    let scenario = scenario::all()
        .into_iter()
        .find(|scenario| scenario::full_name(scenario) == name)
        .ok_or_else(|| Failure::broken(format!("There is no scenario {name}")))?;
    runner::bounded(cluster, &scenario)
}

fn keep(dir: &std::path::Path, cluster: &Cluster, with_logs: bool) -> Result<()> {
    let events = duet_oracle::event::to_json_lines(&cluster.journal.events());
    image::write(&dir.join("events.json"), events.as_bytes())?;
    if with_logs {
        report::keep_logs(&dir.join("logs"), cluster);
    }
    Ok(())
}
