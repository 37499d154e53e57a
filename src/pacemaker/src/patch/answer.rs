//! What `cibadmin --patch` answers, by its exit status and words. Invariant: an answer is never proof; whether a
//! patch was applied is seen in the CIB only, which may also have it after cibadmin gave up, or lack it after a success.

use serde::{Deserialize, Serialize};

/// What cibadmin said to a patch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PatchAnswer {
    /// It has been applied. Or it was for a version that this cluster has not reached, and this is not the DC; or it was
    /// no whole patch, of which 2.1.5 does what it can read: both end like this, without a word.
    Done,
    /// The CIB is another than was examined: look again.
    VersionMoved,
    /// No cluster here, or it does not talk to this user. cibadmin's own limit of time does not bound its connecting.
    NoConnection,
    /// This user may not.
    NotPermitted,
    /// This partition may not. Pacemaker 2.1.5 never says so: a partition without quorum changes its CIB.
    NoQuorum,
    /// Nobody answered in cibadmin's own time: it may have been applied, or be yet.
    TimedOut,
    /// It was refused.
    Failed(String),
}

impl PatchAnswer {
    /// By the result that the CIB's daemon itself answers with: 0, or a negative error, of the system's or from 200 on of
    /// Pacemaker's own (205 is old data, 206 a difference that does not fit, 207 one that needs the whole).
    #[must_use]
    pub fn of_daemon(code: i32) -> PatchAnswer {
        match code.unsigned_abs() {
            0 => PatchAnswer::Done,
            205..=207 => PatchAnswer::VersionMoved,
            // EPERM, EACCES.
            1 | 13 => PatchAnswer::NotPermitted,
            202 => PatchAnswer::NoQuorum,
            // ETIME, ETIMEDOUT.
            62 | 110 => PatchAnswer::TimedOut,
            _ => PatchAnswer::Failed(format!("The CIB's daemon answered with {code}")),
        }
    }

    /// By cibadmin's exit status and what it wrote to stderr. Statuses from 200 on are of Pacemaker 1.1.
    #[must_use]
    pub fn of(code: i32, stderr: &str) -> PatchAnswer {
        match code {
            0 => PatchAnswer::Done,
            103 | 205 | 206 | 207 => PatchAnswer::VersionMoved,
            // The version is lower than the one examined, as after a restored backup. So says the daemon, and with more
            // words a CIB in a file.
            1 if stderr.contains("Application of update diff failed") => PatchAnswer::VersionMoved,
            102 => PatchAnswer::NoConnection,
            4 | 77 => PatchAnswer::NotPermitted,
            106 | 202 => PatchAnswer::NoQuorum,
            124 => PatchAnswer::TimedOut,
            _ => {
                let mut lines = stderr.lines().map(str::trim).filter(|line| !line.is_empty());
                let last = lines.next_back().unwrap_or("cibadmin says nothing");
                PatchAnswer::Failed(format!("{last} (exit status {code})"))
            }
        }
    }
}
