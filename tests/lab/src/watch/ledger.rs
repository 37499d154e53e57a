//! What the samples of guests' processes say: who ran when, and whether a guest ever ran twice. Pure, so
//! that the rule can be tested: it is given times and counts and asks nobody.
//!
//! A guest's processor is a thread, and the kernel counts how often a thread got a turn and for how
//! long it ran. A guest that runs is woken by its timer 18 times a second, or computes without a pause;
//! one that is paused, or waits for a migration to come in, is not woken at all, but for two or three
//! times while its machine is made, each perhaps in a period of its own. So a process *ran* in a period if
//! its processors got [`TURNS_PER_SECOND`], or had one part in [`BUSY_PART`] of the time, and if they
//! have had more since they are there than [`MADE_IN_TURNS`] or [`MADE_IN_TIME`]. In one period the source
//! of a migration can stop and the target begin; two that both ran in [`PERIODS`] periods in a row ran at
//! the same time.

use crate::place::Process;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Below this, somebody else woke the thread.
const TURNS_PER_SECOND: u64 = 8;
const BUSY_PART: u32 = 20;
/// Two would be the proof; one more for a hand-over that falls between two looks.
const PERIODS: u32 = 3;
/// What processors may have had in all while their machine is only being made: three times this was seen of a
/// QEMU with `-incoming defer` on a busy machine (3 turns and 0.2 to 0.8 ms, nothing after that). A guest
/// that runs has had more after half a second.
const MADE_IN_TURNS: u64 = 10;
const MADE_IN_TIME: Duration = Duration::from_millis(10);
/// Nothing can start and end unseen in less than this; beyond it there is a hole in the evidence.
pub(super) const LONGEST_PERIOD: Duration = Duration::from_secs(2);
/// A guest stands still, for the story, when its processors had no turn for so many periods.
const STILL: u32 = 10;

/// A guest's process at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) process: Process,
    /// The UUID it was started with.
    pub(super) guest: String,
    /// `vm1 in node1`.
    pub(super) name: String,
    pub(super) processors: Turns,
}

/// What the processors of a guest have had so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Turns {
    pub(super) count: u64,
    pub(super) time: Duration,
}

impl Turns {
    /// Whether what came since `before`, a period ago, is that of a guest that runs.
    fn ran(self, before: Self, period: Duration) -> bool {
        let count = self.count.saturating_sub(before.count);
        let time = self.time.saturating_sub(before.time);
        let millis = u64::try_from(period.as_millis()).unwrap_or(u64::MAX);
        let woken = count > 0 && count.saturating_mul(1000) >= TURNS_PER_SECOND * millis;
        woken || (!time.is_zero() && time * BUSY_PART >= period)
    }

    /// Whether this is more, since the processors are there, than making their machine takes.
    fn beyond_being_made(self) -> bool {
        self.count > MADE_IN_TURNS || self.time > MADE_IN_TIME
    }
}

/// A guest that ran twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Twice {
    /// Seconds on the record's clock.
    pub(crate) at: Duration,
    /// Both of its processes.
    pub(crate) who: [String; 2],
}

impl fmt::Display for Twice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [one, other] = &self.who;
        write!(f, "RAN TWICE: {one} and {other}, at {:.3} s", self.at.as_secs_f64())
    }
}

/// Everything that the samples have said so far.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    last: Option<Duration>,
    processes: BTreeMap<i32, Known>,
    /// For how many periods in a row two have both run.
    together: BTreeMap<(i32, i32), u32>,
    pub(super) twice: Vec<Twice>,
    /// From when to when nobody looked.
    pub(super) holes: Vec<(Duration, Duration)>,
    pub(super) samples: u64,
}

#[derive(Debug)]
struct Known {
    sample: Sample,
    ran: bool,
    still_for: u32,
    told: Option<bool>,
}

impl Ledger {
    /// Takes the next look at all processes; what changed comes back as lines of the story.
    pub(super) fn take(&mut self, at: Duration, samples: Vec<Sample>) -> Vec<String> {
        let period = at.saturating_sub(self.last.unwrap_or(at));
        if period > LONGEST_PERIOD {
            self.holes.push((self.last.unwrap_or(at), at));
        }
        self.last = Some(at);
        self.samples += 1;
        let mut story = self.forget_the_gone(&samples);
        for sample in samples {
            story.extend(self.note(sample, period));
        }
        self.compare(at);
        story
    }

    /// How many processes a guest has, running or not.
    pub(super) fn of_guest(&self, guest: &str) -> Vec<(String, bool)> {
        self.processes
            .values()
            .filter(|known| known.sample.guest == guest)
            .map(|known| (known.sample.name.clone(), known.told == Some(true)))
            .collect()
    }

    fn forget_the_gone(&mut self, samples: &[Sample]) -> Vec<String> {
        let is_there =
            |known: &Known| samples.iter().any(|sample| sample.process == known.sample.process);
        let mut gone = Vec::new();
        self.processes.retain(|_, known| {
            let stays = is_there(known);
            if !stays {
                gone.push(format!("{} is gone", known.sample.name));
            }
            stays
        });
        gone
    }

    fn note(&mut self, sample: Sample, period: Duration) -> Option<String> {
        let Some(known) = self.processes.get_mut(&sample.process.pid) else {
            let line = format!("{} is there", sample.name);
            let known = Known { sample: sample.clone(), ran: false, still_for: 0, told: None };
            self.processes.insert(sample.process.pid, known);
            return Some(line);
        };
        known.ran = sample.processors.beyond_being_made()
            && sample.processors.ran(known.sample.processors, period);
        known.sample = sample;
        known.still_for = if known.ran { 0 } else { known.still_for + 1 };
        let tell = match known.told {
            Some(true) if known.still_for >= STILL => Some(false),
            Some(false) | None if known.ran => Some(true),
            Some(_) | None => None,
        };
        let runs = tell?;
        known.told = tell;
        Some(format!("{} {}", known.sample.name, if runs { "runs" } else { "stands still" }))
    }

    fn compare(&mut self, at: Duration) {
        let running: Vec<&Known> = self.processes.values().filter(|known| known.ran).collect();
        let mut together = BTreeMap::new();
        for (index, one) in running.iter().enumerate() {
            let twins =
                running[index + 1..].iter().filter(|other| other.sample.guest == one.sample.guest);
            for other in twins {
                let pair = (one.sample.process.pid, other.sample.process.pid);
                let periods = self.together.get(&pair).copied().unwrap_or(0) + 1;
                // Once for each time that they meet.
                if periods == PERIODS {
                    let who = [one.sample.name.clone(), other.sample.name.clone()];
                    self.twice.push(Twice { at, who });
                }
                together.insert(pair, periods);
            }
        }
        self.together = together;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Turns that a guest's processor gets in 100 ms.
    const RUNS: u64 = 2;
    /// Turns it had when somebody first looked, if it had booted then.
    const BOOTED: u64 = 20;

    /// Plays periods of 100 ms for processes that have booted.
    fn played(processes: &[(&str, &[Option<u64>])]) -> Ledger {
        played_after(&vec![BOOTED; processes.len()], processes)
    }

    /// Plays periods of 100 ms: for each process the turns before the first of them, its guest, and the
    /// turns it gets in each; a process is there from its first period with a number on.
    fn played_after(before: &[u64], processes: &[(&str, &[Option<u64>])]) -> Ledger {
        let mut ledger = Ledger::default();
        let mut turns = before.to_vec();
        let periods = processes.iter().map(|(_, periods)| periods.len()).max().unwrap();
        for period in 0..periods {
            let mut samples = Vec::new();
            for (index, (guest, got)) in processes.iter().enumerate() {
                let Some(Some(more)) = got.get(period) else { continue };
                turns[index] += more;
                let pid = i32::try_from(index).unwrap() + 100;
                samples.push(Sample {
                    process: Process { pid, started: 7 },
                    guest: (*guest).to_owned(),
                    name: format!("{guest} {pid}"),
                    processors: Turns { count: turns[index], time: Duration::ZERO },
                });
            }
            ledger.take(Duration::from_millis(100) * u32::try_from(period).unwrap(), samples);
        }
        ledger
    }

    fn periods(text: &str) -> Vec<Option<u64>> {
        text.chars()
            .map(|letter| match letter {
                'R' => Some(RUNS),
                'w' => Some(1),
                '.' => Some(0),
                _ => None,
            })
            .collect()
    }

    fn twice(one: &str, other: &str) -> usize {
        played(&[("vm1", &periods(one)), ("vm1", &periods(other))]).twice.len()
    }

    #[test]
    fn a_migration_is_not_running_twice() {
        // The target waits while the source runs; both ran in the period of the hand-over.
        assert_eq!(twice("RRRRRRRR......", "  ......RRRRRRR"), 0);
        assert_eq!(twice("RRRRRRRRR.....", "  ......RRRRRRR"), 0);
    }

    #[test]
    fn two_that_run_at_once_are_found_and_told_once() {
        assert_eq!(twice("RRRRRRRRRRRRRR", "  RRRRRRRRRRR"), 1);
        assert_eq!(twice("RRRRRR...RRRRR", "  RRRRRRRRRRR"), 2);
        assert_eq!(twice("RRRRRR", "  .RRR"), 1);
    }

    /// A guest that runs, and a process that somebody makes beside it.
    fn made_beside(one: &str, other: &str) -> Ledger {
        played_after(&[BOOTED, 0], &[("vm1", &periods(one)), ("vm1", &periods(other))])
    }

    #[test]
    fn a_migration_target_that_is_being_made_does_not_run() {
        // Woken once in each of three periods, which is often enough for a guest that runs.
        let ledger = made_beside("RRRRRRRRRR", "  .www....");
        assert!(ledger.twice.is_empty(), "{:?}", ledger.twice);
        let runs: Vec<bool> = ledger.of_guest("vm1").into_iter().map(|(_, runs)| runs).collect();
        assert_eq!(runs, [true, false]);
        // The same, and the migration after it.
        assert!(made_beside("RRRRRRRRRRR.......", "  .www....RRRRRRRR").twice.is_empty());
    }

    #[test]
    fn a_second_copy_that_is_made_and_runs_is_found() {
        // The sixth period takes it beyond what being made can be.
        assert_eq!(made_beside("RRRRRRRRRRRR", "  .RRRRRRRR").twice.len(), 1);
        assert_eq!(made_beside("RRRRRRRRRRRR", "  .RRRRRRR").twice.len(), 0);
        assert_eq!(made_beside("RRRRRRRRRRRRRRRR", "  .wwwRRRRRRRRRR").twice.len(), 1);
        assert_eq!(made_beside("RRRRRRRRRRRRRRRR", "  .wwwwwwwwwwwww").twice.len(), 1);
    }

    #[test]
    fn being_made_takes_few_turns_and_little_time() {
        let had = |count, millis| Turns { count, time: Duration::from_millis(millis) };
        assert!(!had(10, 10).beyond_being_made());
        assert!(had(11, 0).beyond_being_made());
        assert!(had(1, 11).beyond_being_made());
    }

    #[test]
    fn two_guests_are_two_guests() {
        let one = periods("RRRRRRRRRRR");
        assert!(played(&[("vm1", &one), ("vm2", &one)]).twice.is_empty());
    }

    #[test]
    fn another_process_with_the_same_number_is_another() {
        let mut ledger = Ledger::default();
        let sample = |started, turns| Sample {
            process: Process { pid: 5, started },
            guest: "vm1".into(),
            name: "vm1 in node1".into(),
            processors: Turns { count: turns, time: Duration::ZERO },
        };
        let story = [(0, 1, 20), (100, 1, 25), (200, 2, 1)].map(|(at, started, turns)| {
            ledger.take(Duration::from_millis(at), vec![sample(started, turns)])
        });
        assert_eq!(story[0], ["vm1 in node1 is there"]);
        assert_eq!(story[1], ["vm1 in node1 runs"]);
        assert_eq!(story[2], ["vm1 in node1 is gone", "vm1 in node1 is there"]);
    }

    #[test]
    fn a_guest_that_never_pauses_runs_too() {
        let before = Turns { count: 9, time: Duration::from_millis(50) };
        let after = |millis| Turns { count: 9, time: Duration::from_millis(millis) };
        let period = Duration::from_millis(100);
        assert!(after(150).ran(before, period));
        assert!(after(55).ran(before, period));
        assert!(!after(54).ran(before, period));
        assert!(!before.ran(before, period));
        assert!(!before.ran(before, Duration::ZERO));
    }

    #[test]
    fn time_without_a_look_is_a_hole() {
        let mut ledger = Ledger::default();
        for at in [0, 100, 1900, 4000] {
            ledger.take(Duration::from_millis(at), Vec::new());
        }
        assert_eq!(ledger.holes, [(Duration::from_millis(1900), Duration::from_millis(4000))]);
    }

    #[test]
    fn a_guest_stands_still_after_a_second_without_a_turn() {
        let ledger = played(&[("vm1", &periods("RRRRR........."))]);
        assert_eq!(ledger.of_guest("vm1"), [("vm1 100".to_owned(), true)]);
        let ledger = played(&[("vm1", &periods("RRRRR..........."))]);
        assert_eq!(ledger.of_guest("vm1"), [("vm1 100".to_owned(), false)]);
        assert!(ledger.of_guest("vm2").is_empty());
    }
}
