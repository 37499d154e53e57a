//! The recorded figures and the comparison with them. A phase that the recording calls incomparable,
//! with its reason, is shown but not judged.

use super::phases::Sample;
use crate::programs::Programs;
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;

/// How far a median may be from the recorded one.
const TOLERANCE: f64 = 25.0;

/// What is in `tests/recorded/baseline`; its README says where it comes from.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Recording {
    about: String,
    recorded: String,
    fork_and_exec: ForkAndExec,
    disturbances: Vec<Recorded>,
}

/// CPU time of one fork and exec of `/bin/true`, milliseconds: what a machine makes of processes.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
pub(super) struct ForkAndExec {
    pub(super) node_ms: f64,
    pub(super) host_ms: f64,
}

#[derive(Debug, Clone, Deserialize)]
struct Recorded {
    name: String,
    about: String,
    zero: String,
    runs: u32,
    phases: Vec<RecordedPhase>,
}

#[derive(Debug, Clone, Deserialize)]
struct RecordedPhase {
    name: String,
    min: f64,
    median: f64,
    max: f64,
    /// Seconds of the median that are timers.
    #[serde(default)]
    timers: f64,
    #[serde(default)]
    not_compared: Option<String>,
}

/// The recorded figures of the stock stack.
pub(super) fn stock() -> Recording {
    serde_json::from_str(include_str!("../../../recorded/baseline/stock.json"))
        .expect("the recorded figures are checked by a test")
}

/// This run beside the recording.
#[derive(Debug, Serialize)]
pub(super) struct Comparison {
    recording: String,
    /// Of this machine before the lab came up.
    load_before: String,
    tolerance_percent: f64,
    recorded_processes: ForkAndExec,
    /// Of this run, as often as it was measured.
    processes: Vec<ForkAndExec>,
    disturbances: Vec<Compared>,
}

#[derive(Debug, Serialize)]
struct Compared {
    name: String,
    about: String,
    zero: String,
    recorded_runs: u32,
    phases: Vec<ComparedPhase>,
}

#[derive(Debug, Serialize)]
struct ComparedPhase {
    name: String,
    /// In ascending order; empty when the phase was never seen.
    samples: Vec<f64>,
    median: Option<f64>,
    recorded_min: f64,
    recorded_median: f64,
    recorded_max: f64,
    deviation_percent: Option<f64>,
    judgement: Judgement,
    /// What the record says for a machine whose processes take as much longer as they do here.
    scaled_median: f64,
    scaled_deviation_percent: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Judgement {
    Within,
    Outside,
    /// Shown only.
    NotCompared(String),
    /// Nothing in the record of this run.
    NotSeen,
}

impl Comparison {
    pub(super) fn new(
        recording: &Recording,
        samples: &[Sample],
        processes: &[ForkAndExec],
        load: &str,
    ) -> Self {
        let slower = slower(recording.fork_and_exec, processes);
        let disturbances = recording
            .disturbances
            .iter()
            .map(|recorded| {
                let of_it: Vec<&Sample> = samples
                    .iter()
                    .filter(|sample| sample.disturbance.name() == recorded.name)
                    .collect();
                Compared {
                    name: recorded.name.clone(),
                    about: recorded.about.clone(),
                    zero: recorded.zero.clone(),
                    recorded_runs: recorded.runs,
                    phases: recorded
                        .phases
                        .iter()
                        .map(|phase| compare(phase, &of_it, slower))
                        .collect(),
                }
            })
            .collect();
        Self {
            recording: format!("{}, recorded {}", recording.about, recording.recorded),
            load_before: load.to_owned(),
            tolerance_percent: TOLERANCE,
            recorded_processes: recording.fork_and_exec,
            processes: processes.to_vec(),
            disturbances,
        }
    }

    /// Phases that no round showed.
    pub(super) fn unseen(&self) -> Vec<String> {
        let of_it = |compared: &Compared| -> Vec<String> {
            let missing =
                compared.phases.iter().filter(|phase| phase.judgement == Judgement::NotSeen);
            missing.map(|phase| format!("{}: {}", compared.name, phase.name)).collect()
        };
        self.disturbances.iter().flat_map(of_it).collect()
    }
}

/// How many times as long processes take in a node of this run; 1 if nobody measured.
fn slower(recorded: ForkAndExec, measured: &[ForkAndExec]) -> f64 {
    let nodes: Vec<f64> = measured.iter().map(|one| one.node_ms).collect();
    duet_bench::median(&nodes).map_or(1.0, |median| median / recorded.node_ms)
}

fn compare(recorded: &RecordedPhase, samples: &[&Sample], slower: f64) -> ComparedPhase {
    let mut seconds: Vec<f64> = samples
        .iter()
        .filter_map(|sample| sample.seconds.get(recorded.name.as_str()).copied())
        .collect();
    seconds.sort_by(f64::total_cmp);
    let median = duet_bench::median(&seconds);
    let from = |wanted: f64| median.map(|median| (median - wanted) / wanted.abs() * 100.0);
    let deviation = from(recorded.median);
    let scaled = recorded.timers + (recorded.median - recorded.timers) * slower;
    let judgement = match (&recorded.not_compared, deviation) {
        (_, None) => Judgement::NotSeen,
        (Some(why), Some(_)) => Judgement::NotCompared(why.clone()),
        (None, Some(percent)) if percent.abs() <= TOLERANCE => Judgement::Within,
        (None, Some(_)) => Judgement::Outside,
    };
    ComparedPhase {
        name: recorded.name.clone(),
        samples: seconds,
        median,
        recorded_min: recorded.min,
        recorded_median: recorded.median,
        recorded_max: recorded.max,
        deviation_percent: deviation,
        judgement,
        scaled_median: scaled,
        scaled_deviation_percent: from(scaled),
    }
}

/// The comparison as people read it.
pub(super) fn text(comparison: &Comparison, programs: &Programs, rounds: usize) -> String {
    let mut out = format!(
        "ran: {}\nrounds: {rounds}; seconds; load average before the lab came up: {}\nrecorded: {}\n",
        programs.line(),
        comparison.load_before,
        comparison.recording
    );
    let slower = slower(comparison.recorded_processes, &comparison.processes);
    for (when, one) in comparison.processes.iter().enumerate() {
        let _ = writeln!(
            out,
            "fork and exec, measurement {}: {:.1} ms of CPU in a node ({:.1} recorded), {:.2} beside it ({:.2})",
            when + 1,
            one.node_ms,
            comparison.recorded_processes.node_ms,
            one.host_ms,
            comparison.recorded_processes.host_ms,
        );
    }
    let mut reasons: Vec<&str> = Vec::new();
    let (mut within, mut judged, mut unseen, mut scaled_within) = (0, 0, 0, 0);
    for disturbance in &comparison.disturbances {
        let _ = writeln!(
            out,
            "\n{} ({}; zero is {})\n{:<38}{:>7}{:>7}{:>7}{:>10}{:>9}{:>9}{:>9}  within {TOLERANCE:.0} %",
            disturbance.name,
            disturbance.about,
            disturbance.zero,
            "phase",
            "min",
            "med",
            "max",
            "recorded",
            "off by",
            "scaled",
            "off by",
        );
        for phase in &disturbance.phases {
            let is_judged = matches!(phase.judgement, Judgement::Within | Judgement::Outside);
            let scaled = phase.scaled_deviation_percent.filter(|_| is_judged);
            scaled_within += usize::from(scaled.is_some_and(|percent| percent.abs() <= TOLERANCE));
            let word = match &phase.judgement {
                Judgement::Within => {
                    judged += 1;
                    within += 1;
                    "yes".to_owned()
                }
                Judgement::Outside => {
                    judged += 1;
                    "NO".to_owned()
                }
                Judgement::NotSeen => {
                    unseen += 1;
                    "not seen".to_owned()
                }
                Judgement::NotCompared(why) => {
                    let number = reasons.iter().position(|known| known == why);
                    let number = number.unwrap_or_else(|| {
                        reasons.push(why);
                        reasons.len() - 1
                    });
                    format!("not judged ({})", number + 1)
                }
            };
            let figure = |seconds: Option<f64>| {
                seconds.map_or("-".to_owned(), |seconds| format!("{seconds:.1}"))
            };
            let percent = |percent: Option<f64>| {
                percent.map_or("-".to_owned(), |percent| format!("{percent:+.0} %"))
            };
            let _ = writeln!(
                out,
                "{:<38}{:>7}{:>7}{:>7}{:>10.1}{:>9}{:>9.1}{:>9}  {word}",
                phase.name,
                figure(phase.samples.first().copied()),
                figure(phase.median),
                figure(phase.samples.last().copied()),
                phase.recorded_median,
                percent(phase.deviation_percent),
                phase.scaled_median,
                percent(phase.scaled_deviation_percent),
            );
        }
    }
    let _ = writeln!(out, "\n{within} of {judged} judged medians within {TOLERANCE:.0} %");
    let _ = writeln!(
        out,
        "{scaled_within} of {judged} if what is not timers takes {slower:.2} times as long, as fork and exec do"
    );
    if unseen > 0 {
        let _ = writeln!(out, "{unseen} phases were not seen");
    }
    for (number, why) in reasons.iter().enumerate() {
        let _ = writeln!(out, "({}) {why}", number + 1);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::phases::Disturbance;
    use super::*;

    fn sample(phase: &'static str, seconds: f64) -> Sample {
        Sample { disturbance: Disturbance::PowerCut, seconds: [(phase, seconds)].into() }
    }

    fn judged(phase: &'static str, seconds: &[f64]) -> Judgement {
        let samples: Vec<Sample> = seconds.iter().map(|seconds| sample(phase, *seconds)).collect();
        Comparison::new(&stock(), &samples, &[], "0").disturbances[0]
            .phases
            .iter()
            .find(|compared| compared.name == phase)
            .map(|compared| compared.judgement.clone())
            .unwrap()
    }

    #[test]
    fn the_recording_names_the_disturbances_of_a_round_in_their_order() {
        let names: Vec<String> =
            stock().disturbances.into_iter().map(|recorded| recorded.name).collect();
        assert_eq!(names, Disturbance::ALL.map(Disturbance::name));
    }

    #[test]
    fn recorded_figures_are_in_order() {
        for phase in stock().disturbances.iter().flat_map(|recorded| &recorded.phases) {
            assert!(phase.min <= phase.median && phase.median <= phase.max, "{phase:?}");
        }
    }

    #[test]
    fn the_median_is_judged_by_a_quarter_of_the_recorded_one() {
        assert_eq!(judged("new membership", &[13.4, 99.0, 8.2]), Judgement::Within);
        assert_eq!(judged("new membership", &[13.6]), Judgement::Outside);
        assert_eq!(judged("new membership", &[8.0]), Judgement::Outside);
    }

    #[test]
    fn what_nobody_reported_is_not_judged_good() {
        assert_eq!(judged("new membership", &[]), Judgement::NotSeen);
        let seen = Comparison::new(&stock(), &[sample("new membership", 10.0)], &[], "0").unseen();
        assert!(seen.contains(&"power-cut: fencing done".to_owned()));
        assert!(!seen.contains(&"power-cut: new membership".to_owned()));
    }

    #[test]
    fn a_slower_machine_is_given_more_time_for_processes_and_none_for_timers() {
        let measured =
            [1.0, 1.5, 9.0].map(|times| ForkAndExec { node_ms: 26.0 * times, host_ms: 1.3 });
        let samples = [sample("first acknowledged write", 36.0), sample("new membership", 10.8)];
        let compared = Comparison::new(&stock(), &samples, &measured, "0");
        let phase = |name: &str| {
            compared.disturbances[0].phases.iter().find(|phase| phase.name == name).unwrap()
        };
        // 10.8 s of token, consensus and what they are rounded to; 16.9 s of processes.
        assert!((phase("first acknowledged write").scaled_median - 36.15).abs() < 0.01);
        assert!((phase("new membership").scaled_median - 10.8).abs() < 0.01);
        assert_eq!(phase("first acknowledged write").judgement, Judgement::Outside);
    }

    #[test]
    fn a_negative_time_deviates_by_its_size() {
        let stop = RecordedPhase {
            name: "VM stop initiated".into(),
            min: -3.8,
            median: -3.3,
            max: -2.3,
            timers: 0.0,
            not_compared: None,
        };
        let later = sample("VM stop initiated", -2.0);
        let compared = compare(&stop, &[&later], 1.0);
        assert_eq!(compared.judgement, Judgement::Outside);
        assert!(compared.deviation_percent.unwrap() > 0.0);
    }
}
