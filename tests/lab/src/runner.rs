//! Runs scenarios: shares a cluster among those that can, holds each to its bound, judges, reports,
//! and takes everything down whatever happened.

pub(crate) mod lanes;

use crate::cluster::Cluster;
use crate::executed::Since;
use crate::failure::{Failure, Result};
use crate::host_side::Life;
use crate::node_files::Init;
use crate::place::Place;
use crate::programs::Programs;
use crate::report::{self, Course, Row};
use crate::scenario::{self, Scenario, Story};
use crate::topology::{Lab, Settings};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// Runs them in order; the rows of the table come back, failures among them.
fn run(
    place: &Place,
    settings: &Settings,
    scenarios: &[Scenario],
    tell: &mut dyn FnMut(&str),
) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let mut current: Option<(Group, Arc<Cluster>)> = None;
    for scenario in scenarios {
        let began = Instant::now();
        let programs = programs(settings, scenario);
        if let Some((name, why)) = scenario.ours.filter(|(name, _)| !programs.is_ours(name)) {
            let why = format!("needs {name} of ours: {why}");
            let row = Row::skipped(&scenario::full_name(scenario), &programs, why);
            tell(&row.line());
            rows.push(row);
            continue;
        }
        let group = Group::of(scenario);
        if current.as_ref().is_some_and(|(other, _)| *other != group) {
            end(current.take())?;
        }
        let name = scenario::full_name(scenario);
        tell(&format!("--- {name}: {}", scenario.about));
        let (mut started, mut since) = (Duration::ZERO, Since::default());
        let outcome = match &current {
            Some((_, cluster)) => Ok(Arc::clone(cluster)),
            None => {
                let settings = Settings {
                    topology: scenario.topology,
                    programs: programs.clone(),
                    init: scenario.init.unwrap_or(settings.init),
                    nodes: scenario.nodes.unwrap_or(settings.nodes),
                    ..settings.clone()
                };
                let made = if scenario.bare { nodes } else { self::cluster };
                made(place, &settings, tell).map(Arc::new)
            }
        }
        .and_then(|cluster| {
            current = Some((group, Arc::clone(&cluster)));
            (started, since) = (cluster.journal.now(), cluster.executions.now());
            let story = bounded(&cluster, scenario)?;
            if !scenario.spoils {
                scenario::intact(&cluster)?;
            }
            Ok(story)
        });
        let cluster = current.as_ref().map(|(_, cluster)| cluster.as_ref());
        let mut row =
            Row::new(&name, &programs, began.elapsed(), outcome, cluster.map(Cluster::verdict));
        if let Some(cluster) = cluster {
            let executed = cluster.executed(&since);
            let course = Course { about: scenario.about, began: started, executed };
            let with_logs = row.failed();
            report::keep(&place.reports, &mut row, course, cluster, with_logs)?;
        }
        tell(&row.line());
        if row.failed() || scenario.spoils {
            end(current.take())?;
        }
        rows.push(row);
    }
    end(current.take())?;
    Ok(rows)
}

/// Scenarios of one group can share a cluster.
#[derive(PartialEq, Eq, Clone, Copy)]
struct Group {
    topology: crate::topology::Topology,
    stock: Option<&'static str>,
    init: Option<Init>,
    nodes: Option<u8>,
    /// Nodes of which nothing was made can be made something of once.
    bare: Option<&'static str>,
}

impl Group {
    fn of(scenario: &Scenario) -> Self {
        Self {
            topology: scenario.topology,
            stock: scenario.stock.map(|(name, _)| name),
            init: scenario.init,
            nodes: scenario.nodes,
            bare: scenario.bare.then_some(scenario.name),
        }
    }
}

fn programs(settings: &Settings, scenario: &Scenario) -> Programs {
    match scenario.stock {
        Some((name, _)) => settings.programs.with_stock(name),
        None => settings.programs.clone(),
    }
}

/// A cluster from nothing, that ends with this process at the latest.
pub(crate) fn cluster(
    place: &Place,
    settings: &Settings,
    tell: &mut dyn FnMut(&str),
) -> Result<Cluster> {
    let cluster = nodes(place, settings, tell)?;
    if let Err(failure) = cluster.set_up(tell) {
        report::keep_logs(&place.reports.join("failed-set-up"), &cluster);
        cluster.down()?;
        return Err(failure);
    }
    Ok(cluster)
}

/// Nodes that are listened to, and nothing else.
fn nodes(place: &Place, settings: &Settings, tell: &mut dyn FnMut(&str)) -> Result<Cluster> {
    let lab = Lab::up(place, settings, Life::DiesWithUs, tell)?;
    tell(&format!(
        "{} nodes with a shell in each after {:.1} s",
        lab.nodes.len(),
        lab.up_in.as_secs_f64()
    ));
    Cluster::watch(lab, settings.programs.clone())
}

/// The scenario on a thread of its own, so that one that hangs can be left behind.
pub(crate) fn bounded(cluster: &Arc<Cluster>, scenario: &Scenario) -> Result<Story> {
    let (done, end) = mpsc::channel();
    let (shared, run) = (Arc::clone(cluster), scenario.run);
    let takes_over = scenario.takes_over || scenario.bare;
    thread::spawn(move || {
        let outcome = if takes_over { Ok(()) } else { shared.restore() }.and_then(|()| {
            scenario::forget_fencing(&shared)?;
            run(&shared)
        });
        // Nobody listens any more once the bound has passed.
        drop(done.send(outcome));
    });
    end.recv_timeout(scenario.bound).unwrap_or_else(|error| {
        Err(Failure::broken(match error {
            mpsc::RecvTimeoutError::Timeout => {
                format!("No end within its bound of {} s", scenario.bound.as_secs())
            }
            mpsc::RecvTimeoutError::Disconnected => "The scenario panicked".to_owned(),
        }))
    })
}

fn end(current: Option<(Group, Arc<Cluster>)>) -> Result<()> {
    match current {
        Some((_, cluster)) => cluster.down(),
        None => Ok(()),
    }
}
