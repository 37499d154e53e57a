//! `lab bench`: what our agents cost beside the stock ones, measured in a node of a running cluster,
//! against its libvirtd and its live CIB, in the environment that Pacemaker gives; fencing on the host side of a lab
//! without one. Both kinds run in the same shuffled rounds, so only figures of one run are ever compared with each other.

pub(crate) mod agents;
pub(crate) mod drbd;
mod fencing;
mod gates;
mod handlers;
mod on_host;
mod table;

use crate::cluster::Cluster;
use crate::failure::{Failure, Result};
use crate::node::Node;
use crate::place::Place;
use crate::topology::{Settings, Topology};
use crate::{image, programs, runner, scenario};
use agents::{BENCH_GUEST, BENCH_GUEST_FILE, Environment};
use duet_bench::{Command, Counts, Plan, Timing};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs;
use std::path::Path;
use std::time::Duration;
use table::{Frozen, Results};

/// Where the measuring program and its plans are in the node.
pub(crate) const PROGRAM: &str = "/root/duet-bench";
const AT_ONCE: usize = 50;
/// A stop waits one to two seconds for QEMU's end, whoever asks for it.
const START_STOP_ROUNDS: usize = 7;
const AT_ONCE_ROUNDS: usize = 3;
const FROZEN_ROUNDS: usize = 3;
const WATCHED_ROUNDS: usize = 10;

/// What can be measured by itself; a gate counts where its part was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Part {
    /// The resource agents, in a node.
    Agents,
    /// DRBD's fencing handlers.
    Handlers,
    /// fence_xvm and fence_virtd.
    Fencing,
}

/// Measures, prints the table, keeps it; whether every gate holds comes back. `settings` are those of a cluster, for which
/// all its programs are built.
pub(crate) fn run(
    place: &Place,
    suite: &str,
    settings: impl FnOnce() -> Result<Settings>,
    rounds: usize,
    parts: &[Part],
    tell: &mut dyn FnMut(&str),
) -> Result<bool> {
    let mut results = Results::of_nothing(parts, rounds);
    if parts.contains(&Part::Agents) {
        let settings = Settings { topology: Topology::Containers, ..settings()? };
        results.programs = settings.programs.line();
        let program = program()?;
        let cluster = runner::cluster(place, &settings, tell)?;
        let measured = measure(&cluster, &program, &mut results, tell);
        cluster.down()?;
        measured?;
    }
    if parts.iter().any(|part| *part != Part::Agents) {
        let program = programs::build(&["duet-bench"])?;
        let host = on_host::Host::start(place, suite, &program.join("duet-bench"), tell)?;
        let measured = on_host(&host, &program, &mut results, tell);
        host.stop()?;
        measured?;
    }
    results.machine.load_after = load();
    let text = table::text(&results);
    print!("\n{text}");
    let dir = place.reports.join("bench");
    let json = serde_json::to_string_pretty(&table::Report::of(&results))
        .expect("results hold only text and numbers");
    image::write(&dir.join("bench.txt"), text.as_bytes())?;
    image::write(&dir.join("bench.json"), json.as_bytes())?;
    tell(&format!("the same with every sample: {}", dir.join("bench.json").display()));
    let gates = gates::gates(&results);
    for gate in gates.iter().filter(|gate| !gate.holds) {
        tell(&format!("FAILED: {}: {}", gate.name, gate.seen));
    }
    Ok(gates.iter().all(|gate| gate.holds))
}

/// The measuring program, as it goes into a node.
pub(crate) fn program() -> Result<Vec<u8>> {
    let program = programs::build(&["duet-bench"])?.join("duet-bench");
    fs::read(&program)
        .map_err(Failure::io(format!("read the measuring program {}", program.display())))
}

fn measure(
    cluster: &Cluster,
    program: &[u8],
    results: &mut Results,
    tell: &mut dyn FnMut(&str),
) -> Result<()> {
    let rounds = results.rounds;
    let active = cluster.steady()?;
    let node = cluster.lab.node(&active)?;
    node.put_program(PROGRAM, program)?;
    node.put(BENCH_GUEST_FILE, BENCH_GUEST)?;
    let environment = Environment::of(node)?;
    let every = agents::questions(&environment);
    let groups = |commands: &[Command]| commands.iter().cloned().map(|one| vec![one]).collect();
    let mut plan = Plan { rounds, warm_up: 2, groups: groups(&every), at_once: 0 };
    tell(&format!("{active}: {rounds} shuffled rounds of {} commands", every.len()));
    let mut timings: Vec<Timing> = in_node(node, "rounds", &plan, Duration::from_secs(900))?;
    tell(&format!("{active}: processes, system calls and instructions of each"));
    let mut counts: Vec<Counts> = in_node(node, "count", &plan, Duration::from_secs(1800))?;
    tell(&format!("{active}: {AT_ONCE} at once"));
    plan = Plan {
        rounds: AT_ONCE_ROUNDS,
        warm_up: 1,
        groups: groups(&agents::asked_at_once(&every)),
        at_once: AT_ONCE,
    };
    let together: Vec<_> = in_node(node, "together", &plan, Duration::from_secs(600))?;
    tell(&format!("{active}: start and stop of a second guest, {START_STOP_ROUNDS} rounds"));
    plan = Plan {
        rounds: START_STOP_ROUNDS,
        warm_up: 1,
        groups: agents::start_and_stop(&environment),
        at_once: 0,
    };
    timings.extend(in_node::<Vec<_>>(node, "rounds", &plan, Duration::from_secs(600))?);
    counts.extend(in_node::<Vec<_>>(node, "count", &plan, Duration::from_secs(900))?);
    tell(&format!("{active}: monitors of DRBD, both kinds with stubs in place of the module"));
    let stubbed = drbd::Stubbed::prepare(node, agents::executor(node)?)?;
    plan = Plan { rounds, warm_up: 2, groups: stubbed.groups(), at_once: 0 };
    timings.extend(in_node::<Vec<_>>(node, "rounds", &plan, Duration::from_secs(900))?);
    counts.extend(in_node::<Vec<_>>(node, "count", &plan, Duration::from_secs(1800))?);
    tell(&format!("{active}: the watcher, {WATCHED_ROUNDS} times a connection lost and found"));
    let watching = stubbed.watching(node, WATCHED_ROUNDS);
    let watched = in_node(node, "watch", &watching, Duration::from_secs(300))?;
    let decoding = drbd::decoding()?;
    tell(&format!("{active}: libvirtd frozen"));
    let frozen = frozen(node, &environment)?;
    // The figures mean nothing if the cluster did not live through them.
    cluster.steady()?;
    scenario::intact(cluster)?;
    results.node = active;
    results.at_once = AT_ONCE;
    results.timings.extend(timings);
    results.counts.extend(counts);
    results.together.extend(together);
    results.frozen = frozen;
    results.decoding = decoding;
    results.watched = watched;
    Ok(())
}

/// What needs no cluster. `built` is where the measuring programs are.
fn on_host(
    host: &on_host::Host,
    built: &Path,
    results: &mut Results,
    tell: &mut dyn FnMut(&str),
) -> Result<()> {
    let rounds = results.rounds;
    let mut groups = vec![vec![on_host::floor()]];
    if results.has(Part::Handlers) {
        groups.extend(handlers::Stage::prepare(host, &built.join("duet-bench-stub"))?.groups());
    }
    let fencing = results.has(Part::Fencing).then(|| fencing::Stage::prepare(host)).transpose()?;
    groups.extend(fencing.iter().flat_map(fencing::Stage::groups));
    tell(&format!("host side: {rounds} shuffled rounds of {} commands", groups.len()));
    let plan = Plan { rounds, warm_up: 2, groups, at_once: 0 };
    let within = Duration::from_secs(900);
    results.timings.extend(host.measure::<Vec<_>>("rounds", &plan, within)?);
    results.counts.extend(host.measure::<Vec<_>>("count", &plan, within)?);
    if let Some(fencing) = fencing {
        results.fencing = fencing.beside(host, tell)?;
    }
    Ok(())
}

/// Monitor and stop of ours while libvirtd is stopped; the cluster's own monitors go on meanwhile.
fn frozen(node: &Node, environment: &Environment) -> Result<Frozen> {
    let once = |command: &Command, rounds| Plan {
        rounds,
        warm_up: 0,
        groups: vec![vec![command.clone()]],
        at_once: 0,
    };
    let bound = Duration::from_secs(120);
    let start = agents::start_to_be_stopped(environment);
    let started: Vec<Timing> = in_node(node, "rounds", &once(&start, 1), bound)?;
    if !started.iter().all(|timing| timing.statuses.iter().eq([&0])) {
        return Err(Failure::broken(format!("The guest to be stopped did not start: {started:?}")));
    }
    node.daemon("libvirtd", "STOP")?;
    let [monitor, stop] = agents::while_frozen(environment);
    let measured: Result<Vec<Timing>> = (|| {
        let mut timings: Vec<Timing> =
            in_node(node, "rounds", &once(&monitor, FROZEN_ROUNDS), bound)?;
        timings.extend(in_node::<Vec<_>>(node, "rounds", &once(&stop, 1), bound)?);
        Ok(timings)
    })();
    let left = node.sh("pgrep -c -f '[q]emu-system.*guest=bench,' || :", "looking for the guest");
    // Whatever happened, the cluster needs it again.
    node.daemon("libvirtd", "CONT")?;
    Ok(Frozen { timings: measured?, guest_is_gone: left?.trim() == "0" })
}

/// Has the measuring program carry a plan out.
pub(crate) fn in_node<T: DeserializeOwned>(
    node: &Node,
    word: &str,
    plan: &impl Serialize,
    within: Duration,
) -> Result<T> {
    let path = format!("/root/{word}.json");
    let text = serde_json::to_string(plan).expect("a plan holds only text and numbers");
    node.put(&path, &text)?;
    let answer = node
        .run(&format!("{PROGRAM} {word} {path}"), within)?
        .success(&format!("measuring ({word})"))?;
    serde_json::from_str(&answer)
        .map_err(|error| Failure::broken(format!("The measuring program says nonsense: {error}")))
}

/// Load average of the last minute: what else this machine had to do.
pub(crate) fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().unwrap_or("unknown").to_owned()
}
