//! The labs: real clusters on one machine, and the scenarios that break them. Each lab lives in
//! namespaces of its own and leaves nothing behind.

#![allow(clippy::disallowed_methods, reason = "a lab starts processes, waits and reads clocks")]

mod bench;
mod cgroups;
mod cluster;
mod command;
mod configuration;
mod demo;
mod differential;
mod executed;
mod failure;
mod guest_agent;
mod guide;
mod host_side;
mod image;
mod inside;
mod nfs;
mod node;
mod node_files;
mod place;
mod proc_drbd;
mod programs;
mod report;
mod runner;
mod scenario;
mod topology;
mod versus;
mod watch;
mod wire;
mod yardstick;

use clap::{Parser, Subcommand};
use failure::Result;
use std::path::PathBuf;
use std::time::Duration;
use topology::{Lab, Topology};

#[derive(Parser)]
#[command(name = "lab", about = "Real clusters on one machine, and scenarios that break them")]
struct Arguments {
    #[command(flatten)]
    choices: Choices,
    #[command(subcommand)]
    word: Word,
}

/// What may stand anywhere on the command line.
#[derive(clap::Args, Clone)]
struct Choices {
    /// Which programs run: stock, ours, or a list like VirtualDomain=stock [default: ours where it exists].
    #[arg(long, global = true, default_value = "")]
    agents: String,
    /// Debian release of the nodes.
    #[arg(long, global = true, default_value = "bookworm")]
    suite: String,
    /// Number of nodes.
    #[arg(long, global = true, default_value_t = 2, value_parser = clap::value_parser!(u8).range(2..=3))]
    nodes: u8,
    /// Who starts a machine's services.
    #[arg(long, global = true, default_value = "lab", value_enum)]
    init: node_files::Init,
}

/// `lab SCENARIO...`, whose names are not subcommands, with the same choices.
#[derive(Parser)]
#[command(name = "lab")]
struct Scenarios {
    #[command(flatten)]
    choices: Choices,
    /// How often `versus-stock` measures each.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=50))]
    rounds: u8,
    /// How many labs at once; each needs 3 GB of memory and a processor.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=8))]
    lanes: u8,
    #[arg(required = true)]
    names: Vec<String>,
}

#[derive(Subcommand)]
enum Word {
    /// Bring a lab up and leave it running; with --cluster, corosync, Pacemaker and the guest too.
    Up {
        topology: Topology,
        #[arg(long)]
        cluster: bool,
    },
    /// Protect a guest, cut the power of its machine, and watch. KEEP=1 leaves the lab up.
    Demo,
    /// Measure our agents beside the stock ones; fails when a gate does not hold.
    Bench {
        /// Shuffled rounds of the questions.
        #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u16).range(3..=1000))]
        rounds: u16,
        /// Only these parts [default: all].
        #[arg(long, value_enum, value_delimiter = ',')]
        parts: Vec<bench::Part>,
    },
    /// Run the stock stack's failures and compare each phase with the recorded figures.
    Yardstick {
        /// How often each.
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=50))]
        rounds: u8,
    },
    /// Run a command in a node of the lab that is up; `host` is the host side.
    Run {
        node: String,
        #[arg(trailing_var_arg = true, required = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Take the lab down.
    Down,
    /// Run scenarios: by name, a topology's, the core of them, or all.
    #[command(external_subcommand)]
    Scenario(#[allow(dead_code, reason = "read again, with the choices among them")] Vec<String>),
    /// List the scenarios.
    List,
    #[command(name = "_executed", hide = true)]
    Executed,
    #[command(name = "_host-side", hide = true)]
    HostSide { run: PathBuf, image: PathBuf },
}

fn main() {
    let arguments = Arguments::parse();
    match obey(&arguments) {
        Ok(status) => std::process::exit(status),
        Err(failure) => {
            eprintln!("lab: {failure}");
            std::process::exit(1);
        }
    }
}

fn settings(choices: &Choices, topology: Topology) -> Result<topology::Settings> {
    image::require_root()?;
    Ok(topology::Settings {
        topology,
        nodes: choices.nodes,
        suite: choices.suite.clone(),
        init: choices.init,
        memory: 1536,
        programs: programs::Programs::chosen(&choices.agents)?,
    })
}

fn tell(line: &str) {
    println!("lab: {line}");
}

fn obey(arguments: &Arguments) -> Result<i32> {
    let place = place::Place::from_environment();
    match &arguments.word {
        Word::HostSide { run, image } => host_side::main(run, image).map(|()| 0),
        Word::Executed => executed::main().map(|()| 0),
        Word::Demo => {
            let _lock = place.lock()?;
            let settings = settings(&arguments.choices, Topology::Machines)?;
            let keep = std::env::var("KEEP").is_ok_and(|value| !value.is_empty() && value != "0");
            demo::run(&place, &settings, keep, &mut tell).map(|()| 0)
        }
        Word::Bench { rounds, parts } => {
            let all = <bench::Part as clap::ValueEnum>::value_variants();
            let parts = if parts.is_empty() { all } else { parts };
            let _lock = place.lock()?;
            image::require_root()?;
            let choices = &arguments.choices;
            let settings = || settings(choices, Topology::Containers);
            let rounds = usize::from(*rounds);
            let holds = bench::run(&place, &choices.suite, settings, rounds, parts, &mut tell)?;
            Ok(i32::from(!holds))
        }
        Word::Yardstick { rounds } => {
            let _lock = place.lock()?;
            let settings = topology::Settings {
                programs: yardstick::programs(&arguments.choices.agents)?,
                ..settings(&arguments.choices, Topology::Machines)?
            };
            yardstick::run(&place, &settings, usize::from(*rounds), &mut tell).map(|()| 0)
        }
        Word::Up { topology, cluster: true } => {
            let _lock = place.lock()?;
            let settings = settings(&arguments.choices, *topology)?;
            demo::set_up_and_keep(&place, &settings, &mut tell).map(|()| 0)
        }
        Word::Up { topology, cluster: false } => {
            let _lock = place.lock()?;
            let settings = settings(&arguments.choices, *topology)?;
            let lab = Lab::up(&place, &settings, host_side::Life::Stays, &mut tell)?;
            tell(&format!(
                "{} with a shell in each after {:.1} s",
                lab.nodes.len(),
                lab.up_in.as_secs_f64()
            ));
            tell(&settings.programs.line());
            Ok(0)
        }
        Word::Run { node, command } => {
            let lab = Lab::attach(&place)?;
            let within = Duration::from_secs(600);
            let ran = if node == "host" {
                let words: Vec<&str> = command.iter().map(String::as_str).collect();
                lab.host.run(&words, within)?
            } else {
                lab.node(node)?.run(&command.join(" "), within)?
            };
            print!("{}", ran.stdout);
            eprint!("{}", ran.stderr);
            Ok(ran.status)
        }
        Word::List => {
            println!("{:<28} {}", differential::NAME, differential::ABOUT);
            for (name, about) in wire::ABOUT {
                println!("{name:<28} {about}");
            }
            for (name, about) in versus::about() {
                println!("{name:<28} {about}");
            }
            for scenario in
                scenario::all().iter().filter(|scenario| !scenario.name.starts_with('_'))
            {
                let needs = |whose: &str, needed: Option<(&str, &str)>| {
                    needed.map_or(String::new(), |(name, why)| format!(" [{name} {whose}: {why}]"))
                };
                let (stock, ours) = (needs("stock", scenario.stock), needs("ours", scenario.ours));
                println!("{:<28} {}{stock}{ours}", scenario::full_name(scenario), scenario.about);
            }
            Ok(0)
        }
        Word::Scenario(_) => {
            // Choices before the first name were read already; read all of them in one place.
            let again = std::env::args();
            let scenarios = Scenarios::parse_from(again);
            let compares = differential::is_wanted(&scenarios.names);
            let (parts, others) = versus::chosen(&scenarios.names);
            let (wires, mut others) = wire::chosen(&others);
            others.retain(|name| name != differential::NAME);
            let chosen = scenario::chosen(&others)?;
            programs::check(&scenarios.choices.agents)?;
            image::require_root()?;
            let _lock = place.lock()?;
            let settings = settings(&scenarios.choices, Topology::Machines)?;
            let began = std::time::Instant::now();
            let mut rows = Vec::new();
            if compares {
                rows.push(differential::row(&place, &settings, &mut tell));
            }
            rows.extend(wire::rows(&place, &settings, &wires, &mut tell));
            let rounds = usize::from(scenarios.rounds);
            rows.extend(versus::row(&place, &settings, &parts, rounds, &mut tell));
            let lanes = usize::from(scenarios.lanes);
            rows.extend(runner::lanes::run(&place, &settings, &chosen, lanes, &mut tell)?);
            print!("\n{}", report::table(&rows));
            report::index(&place.reports, &rows)?;
            tell(&format!(
                "{:.0} s in all; to look at: {}",
                began.elapsed().as_secs_f64(),
                place.reports.join("index.html").display()
            ));
            Ok(i32::from(rows.iter().any(report::Row::failed)))
        }
        Word::Down => {
            let _lock = place.lock()?;
            match Lab::attach(&place) {
                Ok(lab) => lab.down().map(|()| 0),
                Err(failure::Failure::Refused(_)) => {
                    tell("no lab is up");
                    Ok(0)
                }
                Err(error) => Err(error),
            }
        }
    }
}
