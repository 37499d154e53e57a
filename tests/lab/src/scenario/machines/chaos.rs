//! Disturbances at random, one upon the other, for a given time. Invariant: the seed alone decides what is done, to whom,
//! and how long it lasts; a run of the same seed does the same again, as far as its time reaches.

use super::disturb::{self, Disturbance};
use crate::cluster::Cluster;
use crate::failure::{Failure, Result};
use crate::node::Node;
use crate::scenario::{Story, claim, intact};
use std::collections::hash_map::RandomState;
use std::fmt::{self, Write as _};
use std::hash::{BuildHasher, Hasher};
use std::thread;
use std::time::Duration;

/// The number that decides everything; without it, another one each time.
const SEED: &str = "DUET_LAB_SEED";
/// For how long new disturbances begin.
const MINUTES: &str = "DUET_LAB_MINUTES";
const USUAL_MINUTES: u64 = 5;
/// What the longest run may take, with its last round's return to order.
pub(super) const BOUND: Duration = Duration::from_secs(90 * 60);
/// A recovery that took longer than this is worth its logs.
const LONG: Duration = Duration::from_secs(90);
const LONGEST_MINUTES: u64 = 75;

/// Everything that may be done at random.
const EVERYTHING: [Disturbance; 16] = [
    Disturbance::PowerCut,
    Disturbance::Freeze,
    Disturbance::ReplicationCut,
    Disturbance::ClusterCut,
    Disturbance::BothCut,
    Disturbance::DiskFails,
    Disturbance::DiskFull,
    Disturbance::GuestKilled,
    Disturbance::LibvirtdKilled,
    Disturbance::PacemakerKilled,
    Disturbance::DaemonKilled("execd"),
    Disturbance::DaemonKilled("based"),
    Disturbance::DaemonKilled("controld"),
    Disturbance::DaemonKilled("attrd"),
    Disturbance::Standby,
    Disturbance::Leave,
];

/// Whom it meets, by what it does when the round begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Active,
    Passive,
}

/// One disturbance, and how long it lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Blow {
    what: Disturbance,
    on: Victim,
    lasts: Duration,
}

/// From order to order.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Round {
    /// Of ordinary life, so that monitors are met at any point of their course.
    calm: Duration,
    first: Blow,
    /// Inflicted while the first one lasts.
    second: Option<Blow>,
    /// Whether the second is mended before the first.
    backwards: bool,
}

/// The rounds of a seed.
struct Rounds {
    state: u64,
}

impl Rounds {
    fn of(seed: u64) -> Self {
        Self { state: seed }
    }

    /// SplitMix64 (Steele, Lea, Flood 2014): its few lines are the same for ever, so an old seed keeps its meaning.
    fn next_number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next_number() % bound
    }

    fn between(&mut self, least: Duration, most: Duration) -> Duration {
        let span = u64::try_from((most - least).as_millis()).unwrap_or(u64::MAX);
        least + Duration::from_millis(self.below(span + 1))
    }

    fn blow(&mut self) -> Blow {
        let count = u64::try_from(EVERYTHING.len()).unwrap_or(1);
        let chosen = usize::try_from(self.below(count)).unwrap_or(0);
        let on = if self.below(2) == 0 { Victim::Active } else { Victim::Passive };
        let lasts = self.between(Duration::from_millis(500), Duration::from_secs(25));
        Blow { what: EVERYTHING[chosen], on, lasts }
    }
}

impl Iterator for Rounds {
    type Item = Round;

    fn next(&mut self) -> Option<Round> {
        let calm = self.between(Duration::ZERO, Duration::from_secs(10));
        let first = self.blow();
        let two = self.below(2) == 0;
        let backwards = self.below(2) == 0;
        // Drawn in any case, so that a change to what goes together moves no other round.
        let second = self.blow();
        let second = (two && go_together(first, second)).then_some(second);
        Some(Round { calm, first, second, backwards })
    }
}

/// Two at once from which the cluster can be expected back by itself, once both are mended. Not so where the last good disk
/// is made unreachable: the guest's own error handling would be what is tried.
fn go_together(first: Blow, second: Blow) -> bool {
    use Disturbance::{BothCut, ClusterCut, DiskFails, Leave, PowerCut, ReplicationCut, Standby};
    let either = |what: Disturbance| first.what == what || second.what == what;
    // One mends what the other broke.
    let same_parts = [ReplicationCut, ClusterCut, BothCut];
    let overlaps = same_parts.contains(&first.what) && same_parts.contains(&second.what);
    let last_disk = either(DiskFails) && first.on != second.on
        || either(DiskFails)
            && (either(PowerCut) || either(ReplicationCut) || either(BothCut) || either(Standby));
    // A request that nobody is there to take is refused, which tries nothing.
    let not_taken = [Standby, Leave].contains(&second.what);
    first.what != second.what && !overlaps && !last_disk && !not_taken
}

impl fmt::Display for Blow {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let on = match self.on {
            Victim::Active => "active",
            Victim::Passive => "passive",
        };
        write!(formatter, "{:?} of the {on} node, {:.1} s", self.what, self.lasts.as_secs_f64())
    }
}

impl fmt::Display for Round {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.first)?;
        match self.second {
            Some(second) if self.backwards => write!(formatter, "; in it {second}"),
            Some(second) => write!(formatter, "; then {second}"),
            None => Ok(()),
        }
    }
}

/// What the environment asks for: a seed and a number of minutes.
fn asked(read: impl Fn(&str) -> Option<String>) -> Result<(u64, u64)> {
    let number = |name: &str| match read(name).filter(|text| !text.is_empty()) {
        None => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|_| {
            Failure::Refused(format!("{name} is {text:?}, which is not a whole number"))
        }),
    };
    let seed = number(SEED)?.unwrap_or_else(|| RandomState::new().build_hasher().finish());
    let minutes = number(MINUTES)?.unwrap_or(USUAL_MINUTES);
    if !(1..=LONGEST_MINUTES).contains(&minutes) {
        return Err(Failure::Refused(format!(
            "{MINUTES} is {minutes}; it can be 1 to {LONGEST_MINUTES}"
        )));
    }
    Ok((seed, minutes))
}

pub(super) fn chaos(cluster: &Cluster) -> Result<Story> {
    let (seed, minutes) = asked(|name| std::env::var(name).ok())?;
    let again = format!("chaos: seed {seed}, {minutes} min ({SEED}={seed} does the same again)");
    let zero = cluster.journal.mark(&again);
    println!("lab: {again}");
    let until = zero + Duration::from_secs(60 * minutes);
    let mut log = format!("{again}\n");
    let mut back_in = Vec::new();
    let mut by_hand = 0_usize;
    for (number, round) in (1..).zip(Rounds::of(seed)) {
        if cluster.journal.now() >= until {
            break;
        }
        let ended = play(cluster, &round).and_then(|took| intact(cluster).map(|()| took));
        let told = match &ended {
            Ok((took, helped)) if helped.is_empty() => {
                format!("in order again after {:.1} s, intact", took.as_secs_f64())
            }
            // Not by itself, and that is to be read.
            Ok((took, helped)) => format!(
                "NOT BY ITSELF: Pacemaker started by hand in {}; in order again after {:.1} s, intact",
                helped.join(", "),
                took.as_secs_f64()
            ),
            Err(failure) => format!("FAILED: {failure}"),
        };
        let line = format!("{number:>3} {round}: {told}");
        println!("lab: chaos: {line}");
        let _ = writeln!(log, "{line}");
        // What it was is worth more than that it was.
        let (took, helped) = ended.map_err(|failure| {
            Failure::broken(format!("chaos, seed {seed}, round {number} ({round}): {failure}"))
        })?;
        back_in.push(took);
        by_hand += usize::from(!helped.is_empty());
    }
    claim(!back_in.is_empty(), || "not a single round was played".to_owned())?;
    let verdict = cluster.verdict();
    let rounds = format!("{} rounds, {by_hand} of them not by itself", back_in.len());
    let _ = writeln!(log, "{rounds}\n{verdict}");
    let longest = back_in.iter().max().copied().unwrap_or_default();
    println!("lab: chaos: {rounds}, with seed {seed}: {:?}", verdict.outcome());
    let story = Story::at(zero).figure("in order again at most", longest).paper("chaos.txt", log);
    Ok(Story { with_logs: longest > LONG, ..story })
}

/// One round; says how long order took to come back once all was mended, and in which nodes Pacemaker did not by itself.
fn play(cluster: &Cluster, round: &Round) -> Result<(Duration, Vec<String>)> {
    let active = disturb::steady(cluster)?;
    let (active, passive) = (cluster.lab.node(&active)?, cluster.other(&active)?);
    let met = |blow: Blow| -> &Node {
        match blow.on {
            Victim::Active => active,
            Victim::Passive => passive,
        }
    };
    thread::sleep(round.calm);
    round.first.what.inflict(cluster, met(round.first))?;
    let mut inflicted = vec![round.first];
    if let Some(second) = round.second {
        thread::sleep(round.first.lasts);
        if met_there(cluster, second.what, met(second))? {
            inflicted.push(second);
        }
    }
    if round.backwards {
        inflicted.reverse();
    }
    let mut mended = cluster.journal.now();
    let patience = inflicted.iter().map(|blow| blow.what.patience()).max().unwrap_or_default();
    for blow in inflicted {
        thread::sleep(blow.lasts);
        mended = blow.what.heal(cluster, met(blow))?;
    }
    let mut helped = Vec::new();
    if let Err(failure) = disturb::steady_within(cluster, patience) {
        helped = disturb::started_by_hand(cluster)?;
        if helped.is_empty() {
            return Err(failure);
        }
        disturb::steady_within(cluster, patience)?;
    }
    Ok((cluster.journal.now() - mended, helped))
}

/// Whether the second disturbance found its node: the first, or fencing, may have ended it before or meanwhile.
fn met_there(cluster: &Cluster, what: Disturbance, node: &Node) -> Result<bool> {
    let there = || node.answers().is_ok() && what.can_meet(node).unwrap_or(false);
    let done = if there() { Some(what.inflict(cluster, node)) } else { None };
    match done {
        Some(Ok(_)) => Ok(true),
        Some(Err(failure)) if there() => Err(failure),
        Some(Err(_)) | None => {
            cluster.journal.mark(&format!("{} is not there to be disturbed", node.name));
            Ok(false)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_means_the_same_for_ever() {
        let first: Vec<String> = Rounds::of(1).take(3).map(|round| round.to_string()).collect();
        let known = [
            "GuestKilled of the active node, 21.4 s",
            "Freeze of the active node, 2.5 s; in it DaemonKilled(\"based\") of the passive node, 18.8 s",
            "LibvirtdKilled of the active node, 6.5 s",
        ];
        assert_eq!(first, known);
        let again: Vec<Round> = Rounds::of(1).take(100).collect();
        assert_eq!(again, Rounds::of(1).take(100).collect::<Vec<_>>());
        assert_ne!(again, Rounds::of(2).take(100).collect::<Vec<_>>());
    }

    #[test]
    fn everything_happens_to_both_nodes_and_never_two_that_exclude_each_other() {
        let rounds: Vec<Round> = Rounds::of(7).take(2000).collect();
        for what in EVERYTHING {
            for on in [Victim::Active, Victim::Passive] {
                assert!(
                    rounds.iter().any(|round| round.first.what == what && round.first.on == on),
                    "{what:?} of {on:?} never comes"
                );
            }
        }
        let pairs: Vec<_> =
            rounds.iter().filter_map(|round| Some((round.first, round.second?))).collect();
        assert!(pairs.len() > 400, "{} pairs", pairs.len());
        assert!(pairs.iter().all(|(first, second)| go_together(*first, *second)));
    }

    #[test]
    fn what_is_asked_for_is_read_or_refused() {
        let told = |seed: &'static str, minutes: &'static str| {
            asked(move |name| Some(if name == SEED { seed } else { minutes }.to_owned()))
        };
        assert_eq!(told("7", "10").unwrap(), (7, 10));
        assert_eq!(told("7", "").unwrap(), (7, USUAL_MINUTES));
        for (seed, minutes) in [("x", "1"), ("1", "0"), ("1", "76"), ("-1", "1")] {
            assert!(told(seed, minutes).is_err(), "{seed} {minutes}");
        }
    }
}
