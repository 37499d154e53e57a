//! Each gate, by a run that is spoilt in one way. Invariant: a run that keeps every bound passes, so that what fails is what
//! was spoilt.

use super::*;
use crate::bench::agents::ROWS;
use crate::bench::table::{Frozen, Machine, text};
use duet_bench::{Counts, Instructions, Together, Watched};

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
    timings.push(timing(on_host::FLOOR.to_owned(), floor));
    counts.push(counted(on_host::FLOOR.to_owned(), 0));
    for (row, most) in HANDLER_CHILDREN {
        timings.push(timing(label(row, Whose::Stock), STOCK));
        timings.push(timing(label(row, Whose::Ours), 8.0));
        counts.push(counted(label(row, Whose::Stock), 50));
        counts.push(counted(label(row, Whose::Ours), most));
    }
    for row in fencing::ROWS {
        for whose in Whose::BOTH {
            timings.push(timing(label(row, whose), 2.5));
            counts.push(counted(label(row, whose), 0));
        }
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
        parts: vec![Part::Agents, Part::Handlers, Part::Fencing],
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
        fencing: fencing::Fencing {
            together: vec![Together {
                name: label(fencing::TOGETHER, Whose::Ours),
                wall_ms: vec![60.0; 3],
                cpu_ms: vec![60.0; 3],
                statuses: [0].into(),
            }],
            beset: fencing::BESET.map(|row| timing(row.to_owned(), 5.0)).to_vec(),
            power: fencing::POWER
                .into_iter()
                .flat_map(|row| {
                    let walls = fencing::BY.into_iter().zip([200.0, 212.0, 230.0]);
                    walls.map(move |(by, wall)| timing(fencing::power_label(row, by), wall))
                })
                .collect(),
            daemon: Some(fencing::Daemon {
                peak_kib: 4300,
                descriptors_before: 16,
                descriptors_after: 16,
            }),
        },
        watched: Watched { delays_ms: vec![70.0, 80.0], resident_kib: 4000 },
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
    let slow = spoilt(|results| results.watched.delays_ms[1] = 151.0);
    assert_eq!(slow, "drbd watcher: from a change to its score");
    let large = spoilt(|results| results.watched.resident_kib = 6145);
    assert_eq!(large, "drbd watcher: resident set");
    // A score that was not written is no less wrong.
    assert_eq!(children(drbd::CHANGED, 0), "drbd monitor, changed: one child process");
    assert_eq!(expected(&format!("before {}", label(drbd::PRIMARY, Whose::Ours))), 8);
    let wrong = spoilt(|results| {
        let name = label(drbd::PRIMARY, Whose::Stock);
        let found = results.timings.iter_mut().find(|timing| timing.name == name).unwrap();
        found.statuses = [0].into();
    });
    assert_eq!(wrong, "every measured command succeeded, every time");
}

#[test]
fn each_bound_of_the_handlers_is_kept_by_a_gate_of_its_own() {
    for (row, most) in HANDLER_CHILDREN {
        let name = label(row, Whose::Ours);
        let slow = spoilt(|results| {
            let found = results.timings.iter_mut().find(|timing| timing.name == name).unwrap();
            found.wall_ms = vec![15.1; 3];
        });
        assert_eq!(slow, format!("{row}: time, median"));
        let many = spoilt(|results| {
            let found = results.counts.iter_mut().find(|one| one.name == name).unwrap();
            found.children = most + 1;
        });
        assert_eq!(many, format!("{row}: child processes"));
    }
    // An answer that was not given is no quick one.
    let wrong = spoilt(|results| {
        let name = label(handlers::FENCE, Whose::Ours);
        let found = results.timings.iter_mut().find(|timing| timing.name == name).unwrap();
        found.statuses = [1, 4].into();
    });
    assert_eq!(wrong, "every measured command succeeded, every time");
    assert_eq!(expected(&format!("before {}", label(handlers::FENCE, Whose::Ours))), 0);
}

#[test]
fn each_bound_of_fencing_is_kept_by_a_gate_of_its_own() {
    for row in fencing::ROWS {
        let slow = spoilt(|results| {
            let name = label(row, Whose::Ours);
            let found = results.timings.iter_mut().find(|timing| timing.name == name).unwrap();
            found.wall_ms = vec![2.9; 3];
        });
        assert_eq!(slow, format!("{row}: time, against stock"));
    }
    let slow = spoilt(|results| results.fencing.together[0].wall_ms[1] = 501.0);
    assert_eq!(slow, "fence_xvm status: 20 at once");
    for (index, row) in fencing::BESET.iter().enumerate() {
        let slow = spoilt(|results| results.fencing.beset[index].wall_ms[2] = 50.1);
        assert_eq!(slow, format!("{row}: time"));
    }
    // Libvirt alone, ours and stock's of each row follow each other.
    for (index, row) in fencing::POWER.iter().enumerate() {
        let slow = spoilt(|results| results.fencing.power[3 * index + 1].wall_ms = vec![220.2; 3]);
        assert_eq!(slow, format!("{row}: time, beyond libvirt's"));
        let unknown = spoilt(|results| results.fencing.power[3 * index].wall_ms.clear());
        assert_eq!(unknown, format!("{row}: time, beyond libvirt's"));
    }
    let daemon = |change: fn(&mut fencing::Daemon)| {
        spoilt(|results| change(results.fencing.daemon.as_mut().unwrap()))
    };
    assert_eq!(daemon(|daemon| daemon.peak_kib = 10_241), "fence_virtd: memory, 10000 requests");
    assert_eq!(
        daemon(|daemon| daemon.descriptors_after = 17),
        "fence_virtd: descriptors, 10000 requests"
    );
    let wrong = spoilt(|results| results.fencing.beset[0].statuses = [0, 1].into());
    assert_eq!(wrong, "every measured command succeeded, every time");
}

#[test]
fn a_part_alone_has_its_own_gates() {
    let mut some = results(0.9, 1.4, 0);
    some.parts = vec![Part::Handlers];
    some.fencing = fencing::Fencing::default();
    some.counts.retain(|one| one.name.starts_with("drbd ") || one.name.starts_with("/bin"));
    assert_eq!((gates(&some).len(), failing(&some)), (5, Vec::new()));
    assert!(!text(&some).contains("at once"));
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
    nothing.watched = Watched::default();
    nothing.fencing = fencing::Fencing::default();
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
