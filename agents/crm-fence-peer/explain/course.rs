//! How a call goes on if nothing changes but what it changes itself: the same decisions on looks that are made up from one
//! real look. Invariant: pure, and it ends: time only moves on to where a decision can depend on it.

use std::time::Duration;

use super::words::{policy_in_words, step_in_words, until_in_words};
use crate::{
    decide::{Answer, Asked, Next, Progress, Question, Step, Until, decide},
    facts::{Cluster, Policy, Rule, Seen},
};

/// More turns than a call can have here: every wait moves on to one of a handful of moments, every question and change
/// comes once.
const MOST: u32 = 50;

/// How a call goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Course {
    /// What it does, in order.
    pub(super) steps: Vec<String>,
    /// The answer; none if it did not come to one, which would be our bug.
    pub(super) answer: Option<Answer>,
    /// When, since the process began.
    pub(super) after: Duration,
}

/// How it goes on from this look.
pub(super) fn course(asked: &Asked, seen: &Seen, progress: &Progress) -> Course {
    let (mut seen, mut progress) = (seen.clone(), progress.clone());
    let mut steps: Vec<String> = Vec::new();
    for _ in 0..MOST {
        match decide(asked, &seen, &progress) {
            Next::Done(answer) => {
                return Course { steps, answer: Some(answer), after: seen.elapsed };
            }
            Next::Do(step) => {
                steps.push(step_in_words(&step));
                make(step, &mut seen, &mut progress);
            }
            Next::Ask(question) => steps.push(answer(&question, &mut seen)),
            Next::Wait { until, .. } => {
                progress.has_waited |= until == Until::Peer;
                let Some(later) = later(asked, seen.elapsed) else { break };
                seen.elapsed = later;
                let limit = later.as_secs_f64();
                let step = format!("wait {}, for {limit:.0} s at most", until_in_words(until));
                steps.push(step);
            }
        }
    }
    Course { steps, answer: None, after: seen.elapsed }
}

/// The next moment at which a decision can change by time alone.
fn later(asked: &Asked, elapsed: Duration) -> Option<Duration> {
    let options = &asked.options;
    let moments = [options.hickup, options.dc_timeout, options.timeout, options.end()];
    moments.into_iter().filter(|moment| *moment > elapsed).min()
}

/// The change arrives.
fn make(step: Step, seen: &mut Seen, progress: &mut Progress) {
    let Cluster::Known(members) = &mut seen.cluster else { return };
    members.version.epoch = members.version.epoch.saturating_add(1);
    match step {
        Step::Write { allowed, placed, .. } => {
            members.rule = Some(Rule { allowed });
            progress.placed = placed;
        }
        Step::Bump { version } => progress.bumped = Some(version),
        Step::Remove { .. } => {
            members.rule = None;
            progress.has_removed = true;
        }
    }
}

/// What was not asked in the look is taken from its bad side.
fn answer(question: &Question, seen: &mut Seen) -> String {
    match question {
        Question::Policy => {
            seen.policy = Some(Policy::NotKnown);
            format!(
                "ask for the fencing policy (taken here: {})",
                policy_in_words(Policy::NotKnown)
            )
        }
        Question::Controllers(ids) => {
            if let Cluster::Known(members) = &mut seen.cluster {
                for id in ids {
                    if let Some(member) = members.peers.get_mut(id) {
                        member.answers = Some(false);
                    }
                }
            }
            "ask the controllers of the peers (taken here: they do not answer)".to_owned()
        }
    }
}
