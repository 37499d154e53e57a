//! One change of the CIB, to the version that was looked at or not at all. Invariant: it concludes nothing; what came of
//! it, only the next look says.

use duet_ocf::{Deadline, chain};
use duet_pacemaker::PatchAnswer;
use duet_pacemaker_ipc::Outcome;

use crate::{
    decide::Step,
    pacemaker::{Changed, Pacemaker},
    rule::Place,
};

/// What was said of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Applied {
    /// Made.
    Done,
    /// Not made: the CIB has another version by now.
    Moved,
    /// Not made, for another reason.
    Failed(String),
    /// Nobody said what came of it: it may have been made, or be yet.
    Unclear(String),
}

/// Has it made.
pub(crate) fn apply(step: &Step, place: &Place, pacemaker: &Pacemaker, end: Deadline) -> Applied {
    let changed = match step {
        Step::Bump { .. } => pacemaker.bump(end),
        Step::Write { .. } | Step::Remove { .. } => match place.patch(step) {
            Ok(patch) => pacemaker.patch(&patch, end),
            Err(why) => return Applied::Failed(why),
        },
    };
    let ran = match changed {
        Changed::ByDaemon(outcome) => return by_daemon(outcome),
        Changed::ByTool(ran) => ran,
    };
    let ran = match ran {
        Ok(ran) => ran,
        Err(why) if why.is_timeout() => return Applied::Unclear(chain(&why)),
        Err(why) => return Applied::Failed(chain(&why)),
    };
    // One that a signal ended may have had its work done.
    let Some(code) = ran.code else { return Applied::Unclear(ran.how) };
    concluded(&PatchAnswer::of(code, &ran.stderr), ran.how)
}

/// What the CIB's daemon itself said.
fn by_daemon(outcome: Outcome) -> Applied {
    match outcome {
        Outcome::NotSent(why) => Applied::Failed(chain(&why)),
        Outcome::Unanswered(why) => Applied::Unclear(chain(&why)),
        Outcome::Answered(code) => concluded(
            &PatchAnswer::of_daemon(code),
            format!("The CIB's daemon answered with {code}"),
        ),
    }
}

fn concluded(answer: &PatchAnswer, how: String) -> Applied {
    match answer {
        PatchAnswer::Done => Applied::Done,
        PatchAnswer::VersionMoved => Applied::Moved,
        PatchAnswer::TimedOut => Applied::Unclear(how),
        PatchAnswer::NoConnection
        | PatchAnswer::NotPermitted
        | PatchAnswer::NoQuorum
        | PatchAnswer::Failed(_) => Applied::Failed(how),
    }
}
