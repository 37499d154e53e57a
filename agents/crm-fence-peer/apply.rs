//! One change of the CIB, to the version that was looked at or not at all. Invariant: it concludes nothing; what came of
//! it, only the next look says.

use duet_ocf::{Deadline, chain};
use duet_pacemaker::PatchAnswer;

use crate::{decide::Step, rule::Place, tools};

/// What the tool said of a change.
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
pub(crate) fn apply(step: &Step, place: &Place, end: Deadline) -> Applied {
    let ran = match step {
        Step::Bump { .. } => tools::bump(end),
        Step::Write { .. } | Step::Remove { .. } => match place.patch(step) {
            Ok(patch) => tools::patch(&patch, end),
            Err(why) => return Applied::Failed(why),
        },
    };
    let ran = match ran {
        Ok(ran) => ran,
        Err(why) if why.is_timeout() => return Applied::Unclear(chain(&why)),
        Err(why) => return Applied::Failed(chain(&why)),
    };
    // One that a signal ended may have had its work done.
    let Some(code) = ran.code else { return Applied::Unclear(ran.how) };
    match PatchAnswer::of(code, &ran.stderr) {
        PatchAnswer::Done => Applied::Done,
        PatchAnswer::VersionMoved => Applied::Moved,
        PatchAnswer::TimedOut => Applied::Unclear(ran.how),
        PatchAnswer::NoConnection
        | PatchAnswer::NotPermitted
        | PatchAnswer::NoQuorum
        | PatchAnswer::Failed(_) => Applied::Failed(ran.how),
    }
}
