//! The words between the lab and the measuring program. Both sides are built from this file; the
//! lab sends a [`Plan`] and reads lists of [`Timing`], [`Counts`] or [`Together`].

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// One thing to measure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// What the results are filed under.
    pub name: String,
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Its whole environment.
    pub env: BTreeMap<String, String>,
    /// How its instructions are counted.
    pub callgrind: Callgrind,
}

/// How instructions are counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Callgrind {
    /// Of its own process.
    Alone,
    /// Of its children too.
    Tree,
    /// Not at all: where valgrind would take minutes.
    Never,
}

/// What to measure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// How often each is measured.
    pub rounds: usize,
    /// Rounds before that, which are thrown away.
    pub warm_up: usize,
    /// Groups are shuffled in every round; the commands of one group keep their order.
    pub groups: Vec<Vec<Command>>,
    /// For `together`: how many at once.
    pub at_once: usize,
}

/// Times of one command, a sample a round.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    /// The command's name.
    pub name: String,
    /// From its start to its end, in milliseconds.
    pub wall_ms: Vec<f64>,
    /// User and system time of it and of every process it waited for, in milliseconds.
    pub cpu_ms: Vec<f64>,
    /// Every exit status seen; 128 and the signal for one that was killed.
    pub statuses: BTreeSet<i32>,
}

/// What does not vary from run to run, counted once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// The command's name.
    pub name: String,
    /// Processes besides its own.
    pub children: u64,
    /// Threads besides the first of each process.
    pub threads: u64,
    /// Programs executed, itself among them.
    pub execs: u64,
    /// System calls of all of them.
    pub syscalls: u64,
    /// Instructions in user space of all of them, or why they were not counted.
    pub instructions: Instructions,
    /// Largest resident set of any of them, in KiB.
    pub memory_kib: u64,
}

/// A count of instructions, or none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Instructions {
    /// As many.
    Counted(u64),
    /// Why there is no count.
    Skipped(String),
}

impl Instructions {
    /// The reason of [`Callgrind::Never`].
    pub const NOT_ASKED: &'static str = "not asked for";
}

impl Default for Instructions {
    fn default() -> Self {
        Self::Skipped("nobody counted".to_owned())
    }
}

/// Many at once, a sample a round.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Together {
    /// The command's name.
    pub name: String,
    /// From the first start to the last end, in milliseconds.
    pub wall_ms: Vec<f64>,
    /// User and system time of all of them, in milliseconds.
    pub cpu_ms: Vec<f64>,
    /// Every exit status seen.
    pub statuses: BTreeSet<i32>,
}

/// A watcher to measure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watching {
    /// A monitor of the resource `r1`, which makes it one that is watched.
    pub monitor: Command,
    /// The watcher.
    pub watcher: Command,
    /// Where the agent keeps what it remembers, and nobody else's.
    pub records: String,
    /// How often the connection is lost and found.
    pub rounds: usize,
}

/// Clients of a fencing daemon to measure beside hostile peers of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beset {
    /// What honest clients do, one after the other.
    pub commands: Vec<Command>,
    /// How often.
    pub rounds: usize,
    /// Where the daemon listens for multicast, if it does: it gets call-backs to nowhere there.
    pub multicast_port: Option<u16>,
    /// And by tcp, if it does: it gets peers that are silent, and one that drips.
    pub tcp_port: Option<u16>,
    /// The file of its key: those who cannot be called back have it.
    pub key: String,
    /// Addresses that lead nowhere.
    pub nowhere: Vec<String>,
}

/// What a watcher did.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Watched {
    /// From each change of the kernel's state to its score, written and on record, in milliseconds.
    pub delays_ms: Vec<f64>,
    /// The most that it ever had in memory, in KiB.
    pub resident_kib: u64,
}

/// The middle of the samples; of an even number of them the mean of the two in the middle.
#[must_use]
pub fn median(samples: &[f64]) -> Option<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_the_mean_of_two() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[9.0, 1.0, 2.0, 4.0]), Some(3.0));
    }

    #[test]
    fn results_survive_the_way_out_of_a_node() {
        let counts = Counts {
            name: "monitor, ours".into(),
            instructions: Instructions::Skipped("no end within 120 s".into()),
            ..Counts::default()
        };
        let text = serde_json::to_string(&counts).unwrap();
        assert_eq!(serde_json::from_str::<Counts>(&text).unwrap(), counts);
    }
}
