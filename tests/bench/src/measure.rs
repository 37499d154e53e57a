//! Times: wall clock, and the kernel's accounting of processes that were waited for. One command
//! runs at a time, so the growth of that account is what the command and its children cost.

use crate::{Command, Error, Plan, Result, Timing, Together};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use std::os::unix::process::ExitStatusExt;
use std::process::{self, Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Times every command of the plan in shuffled rounds, so that noise of the machine hits all alike.
///
/// # Errors
/// A command that cannot be started ends the measurement: there is nothing to compare then.
pub fn rounds(plan: &Plan) -> Result<Vec<Timing>> {
    let mut timings: Vec<Vec<Timing>> = plan
        .groups
        .iter()
        .map(|group| {
            group
                .iter()
                .map(|command| Timing { name: command.name.clone(), ..Timing::default() })
                .collect()
        })
        .collect();
    let mut dice = Dice::seeded();
    let mut order: Vec<usize> = (0..plan.groups.len()).collect();
    for round in 0..plan.warm_up + plan.rounds {
        dice.shuffle(&mut order);
        for &group in &order {
            for (command, timing) in plan.groups[group].iter().zip(&mut timings[group]) {
                let before = children_cpu()?;
                let began = Instant::now();
                let status = wait(command, &mut start(command)?)?;
                let wall = began.elapsed();
                let cpu = children_cpu()?.saturating_sub(before);
                timing.statuses.insert(code(status));
                if round >= plan.warm_up {
                    timing.wall_ms.push(milliseconds(wall));
                    timing.cpu_ms.push(milliseconds(cpu));
                }
            }
        }
    }
    Ok(timings.into_iter().flatten().collect())
}

/// Starts many of each command at once and waits for all of them.
///
/// # Errors
/// As for [`rounds`].
pub fn together(plan: &Plan) -> Result<Vec<Together>> {
    let commands: Vec<&Command> = plan.groups.iter().flatten().collect();
    let mut all: Vec<Together> = commands
        .iter()
        .map(|command| Together { name: command.name.clone(), ..Together::default() })
        .collect();
    let mut dice = Dice::seeded();
    let mut order: Vec<usize> = (0..commands.len()).collect();
    for round in 0..plan.warm_up + plan.rounds {
        dice.shuffle(&mut order);
        for &index in &order {
            let before = children_cpu()?;
            let began = Instant::now();
            let mut running =
                (0..plan.at_once).map(|_| start(commands[index])).collect::<Result<Vec<_>>>()?;
            for child in &mut running {
                let status = wait(commands[index], child)?;
                all[index].statuses.insert(code(status));
            }
            if round >= plan.warm_up {
                all[index].wall_ms.push(milliseconds(began.elapsed()));
                all[index].cpu_ms.push(milliseconds(children_cpu()?.saturating_sub(before)));
            }
        }
    }
    Ok(all)
}

/// Largest resident set of all processes that this one has waited for, in KiB. Before it executes
/// its program a child has this program's own pages, so nothing smaller than this program shows.
///
/// # Errors
/// When the kernel's accounting cannot be read.
pub fn children_memory() -> Result<u64> {
    Ok(u64::try_from(getrusage(UsageWho::RUSAGE_CHILDREN)?.max_rss()).unwrap_or(0))
}

/// Runs a command silently to its end.
///
/// # Errors
/// When it cannot be started or waited for.
pub fn run(command: &Command) -> Result<ExitStatus> {
    wait(command, &mut start(command)?)
}

fn start(command: &Command) -> Result<Child> {
    process::Command::new(&command.argv[0])
        .args(&command.argv[1..])
        .env_clear()
        .envs(&command.env)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|source| Error::Start { command: command.argv.join(" "), source })
}

fn wait(command: &Command, child: &mut Child) -> Result<ExitStatus> {
    child.wait().map_err(|source| Error::Start { command: command.argv.join(" "), source })
}

fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

fn children_cpu() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(Duration::from_micros(u64::try_from(micros).unwrap_or(0)))
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Enough chance for an order of measurements (xorshift64).
struct Dice(u64);

impl Dice {
    fn seeded() -> Self {
        let clock = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(1, |time| u64::from(time.subsec_nanos()));
        Self(clock << 20 | 1)
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 32).unwrap_or(0) % bound.max(1)
    }

    fn shuffle(&mut self, order: &mut [usize]) {
        for last in (1..order.len()).rev() {
            order.swap(last, self.below(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(name: &str, script: &str) -> Command {
        Command {
            name: name.into(),
            argv: ["sh", "-c", script].map(str::to_owned).to_vec(),
            env: [("PATH".to_owned(), "/usr/bin:/bin".to_owned())].into(),
            callgrind: crate::Callgrind::Tree,
        }
    }

    #[test]
    fn rounds_keep_one_sample_each_and_groups_keep_their_order() {
        let dir = tempfile::tempdir().unwrap();
        let made = dir.path().join("made").display().to_string();
        let plan = Plan {
            rounds: 4,
            warm_up: 1,
            groups: vec![
                vec![
                    shell("make", &format!("! test -e {made} && mkdir {made}")),
                    shell("remove", &format!("rmdir {made}")),
                ],
                vec![shell("other", "exit 3")],
            ],
            at_once: 0,
        };
        let timings = rounds(&plan).unwrap();
        assert!(timings.iter().all(|timing| timing.wall_ms.len() == 4));
        assert_eq!(timings[0].statuses, [0].into());
        assert_eq!(timings[1].statuses, [0].into());
        assert_eq!(timings[2].statuses, [3].into());
    }

    #[test]
    fn a_missing_program_is_named() {
        let mut command = shell("missing", "");
        command.argv[0] = "/no/such/program".into();
        let plan = Plan { rounds: 1, warm_up: 0, groups: vec![vec![command]], at_once: 0 };
        assert!(rounds(&plan).unwrap_err().to_string().contains("/no/such/program"));
    }

    #[test]
    fn many_at_once_are_all_waited_for() {
        let plan = Plan {
            rounds: 1,
            warm_up: 0,
            groups: vec![vec![shell("sleep", "sleep 0.2")]],
            at_once: 10,
        };
        let wall = together(&plan).unwrap()[0].wall_ms[0];
        assert!((200.0..1500.0).contains(&wall), "{wall}");
    }

    #[test]
    fn a_shuffle_keeps_every_element() {
        let mut order: Vec<usize> = (0..20).collect();
        Dice(7).shuffle(&mut order);
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..20).collect::<Vec<_>>());
        assert_ne!(order, sorted);
    }
}
