//! The score as Pacemaker has it: written by crm_attribute, where it is another one than before. Invariant: whoever writes
//! holds the resource's lock from before the look that the score is made from until it is written, so an older score never
//! replaces a newer one.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use duet_host::{
    Lock, clock,
    drbd::{Sight, Source, look_at_states, look_by_tool},
    process::{Call, Ended},
};
use duet_ocf::Deadline;

use crate::{
    facts::Kernel,
    record::{Kept, Mark, Record, Written},
    score::{Elsewhere, Score, promotion_score, wants_elsewhere},
};

pub use standing::{IN_VAIN, Refresh, Standing, have_written, standing};

mod standing;

/// How long somebody else may hold the lock where a score that is not written now is written by the next look.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);
/// How long whoever writes may hold it, the agent or a watcher: nobody looks and writes for longer.
pub const HELD_AT_MOST: Duration = Duration::from_secs(10);
/// More than that is waited for by who must have the last word.
const LAST_WORD_PATIENCE: Duration = Duration::from_secs(11);
/// How long whoever watches may hold it: shorter, so that an agent that stops or promotes the resource gets it in any case.
const WATCHER_HOLDS: Duration = Duration::from_millis(1500);
/// What crm_attribute says of an attribute that is not there.
const NO_SUCH: i32 = 105;

/// What was to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Whatever the facts say, written where it is not known to be in place.
    AsSeen,
    /// Whatever the facts say, written in any case.
    AsSeenAnew,
    /// None.
    None,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Done {
    /// This was written.
    Wrote(Score),
    /// It is in place already, or was told before and is still to be seen: then the record is as it was, and the next look asks again.
    InPlace(Score),
    /// The attribute daemon had it and the CIB did not: it was told to write what it has.
    Restored(Score),
    /// It stays as it is, for this reason if the kernel could not be asked.
    Left(Option<String>),
    /// Somebody else is at it, and may have looked earlier than we: the next look compares with what that one wrote.
    LeftToHolder,
}

/// Why it was not.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The lock could not be tried.
    #[error(transparent)]
    Lock(duet_host::Error),
    /// Somebody has it for longer than anybody should.
    #[error("The promotion score of {instance} is being written by somebody who does not end")]
    Held {
        /// Whose.
        instance: String,
    },
    /// What was written could not be recorded.
    #[error("Could not record the promotion score")]
    Record(#[source] duet_host::Error),
    /// crm_attribute did not run to its end.
    #[error("Could not write the promotion score of {instance}")]
    Call {
        /// Whose.
        instance: String,
        /// Why.
        source: duet_host::Error,
    },
    /// The CIB has lost it, and the attribute daemon was not told to write it, or does not.
    #[error("Pacemaker has lost the promotion score of {instance}: {how}")]
    Lost {
        /// Whose.
        instance: String,
        /// Why.
        how: String,
    },
    /// It did, and failed.
    #[error("Could not write the promotion score of {instance}: crm_attribute {how}")]
    Failed {
        /// Whose.
        instance: String,
        /// How it ended.
        how: String,
    },
}

/// The kernel's whole answer about one resource, or that there is none. `duet_host::drbd::look_at_states` as facts.
#[must_use]
pub fn ask_kernel(resource: &str, deadline: Deadline) -> Kernel {
    match look_at_states(deadline) {
        Ok(Sight::NoModule) => Kernel::NoModule,
        Ok(Sight::Seen { version, view, source }) => {
            match (Kernel::of(resource, &view, version), source) {
                // A message that lacks something may be one that we do not understand.
                (Kernel::Silent(why), Source::Netlink) => match look_by_tool(deadline) {
                    Ok(view) => Kernel::of(resource, &view, version),
                    Err(error) => Kernel::Silent(format!("{why}: {}", duet_ocf::chain(&error))),
                },
                (kernel, _) => kernel,
            }
        }
        Err(error) => Kernel::Silent(duet_ocf::chain(&error)),
    }
}

/// Takes the lock, looks afresh, and brings the score in line with what is wanted. `described` says whose score it is and by
/// which options it is made; what `path` remembers beside that is kept.
///
/// # Errors
/// [`Error`]; the record then says that the score is not known.
pub fn update(
    described: &Record,
    path: &Path,
    wanted: Wanted,
    node: Option<&str>,
    deadline: Deadline,
) -> Result<Done, Error> {
    let patience = match wanted {
        Wanted::AsSeen | Wanted::AsSeenAnew => LOCK_PATIENCE,
        Wanted::None => LAST_WORD_PATIENCE.min(deadline.remaining(clock::now()) / 2),
    };
    let patience = deadline.within(clock::now(), patience);
    if let Some(directory) = path.parent() {
        // Whether it worked shows in the locking.
        let _ = std::fs::create_dir_all(directory);
    }
    let (_lock, unlocked) = match Lock::take(&lock_of(path), patience) {
        Ok(Some(lock)) => (Some(lock), None),
        Ok(None) => return Ok(Done::LeftToHolder),
        // Where no file can be made, nobody else has the lock either, and the score is worth more than it.
        Err(why) => (None, Some(why)),
    };
    let done = bring_in_line(described, path, wanted, node, deadline)?;
    match (&done, unlocked) {
        (Done::Wrote(_), Some(why)) => Err(Error::Lock(why)),
        _ => Ok(done),
    }
}

/// For a resource that was seen to be gone: removes its score, and then the record of it, both under the lock, so that nobody who
/// looked while it was there writes after this. Where the lock is not to be had, the score is removed all the same, and the
/// record stays: whoever reads it next looks again, and finds that there is nothing to have a score.
///
/// # Errors
/// [`Error`]; the record is there then, and says that the score is not known.
pub fn withdraw(described: &Record, path: &Path, deadline: Deadline) -> Result<(), Error> {
    let remaining = deadline.remaining(clock::now());
    let patience = deadline.within(clock::now(), LAST_WORD_PATIENCE.min(remaining / 2));
    if let Some(directory) = path.parent() {
        // Whether it worked shows in the locking.
        let _ = std::fs::create_dir_all(directory);
    }
    let lock = Lock::take(&lock_of(path), patience);
    if let Ok(Some(_)) = &lock {
        // If it cannot be written, it is gone: nobody relies on it either way.
        let _ = put_down(described, path);
    }
    let deadline = deadline.within(clock::now(), HELD_AT_MOST);
    write(&described.instance, Score::Remove, deadline)?;
    match lock {
        Ok(Some(_lock)) => remove(path),
        Ok(None) => Err(Error::Held { instance: described.instance.clone() }),
        Err(why) if path.symlink_metadata().is_ok() => Err(Error::Lock(why)),
        Err(_) => Ok(()),
    }
}

/// For whoever watches: takes the lock, looks afresh, and brings the score in line with what is seen, by what the record says of
/// whose it is and by which options. `None` where there is no record: nobody manages the resource here, or not any more.
///
/// # Errors
/// [`Error`]; without the lock nothing is done.
pub fn refresh(path: &Path, node: Option<&str>, deadline: Deadline) -> Result<Option<Done>, Error> {
    // No lock is made where there is nothing to lock; what counts is the record under the lock.
    if Record::read(path).is_none() {
        return Ok(None);
    }
    let patience = deadline.within(clock::now(), LOCK_PATIENCE);
    let Some(_lock) = Lock::take(&lock_of(path), patience).map_err(Error::Lock)? else {
        return Ok(Some(Done::LeftToHolder));
    };
    let Some(described) = Record::read(path) else { return Ok(None) };
    let deadline = deadline.within(clock::now(), WATCHER_HOLDS);
    bring_in_line(&described, path, Wanted::AsSeen, node, deadline).map(Some)
}

/// Under the lock.
fn bring_in_line(
    described: &Record,
    path: &Path,
    wanted: Wanted,
    node: Option<&str>,
    deadline: Deadline,
) -> Result<Done, Error> {
    let score = match wanted {
        Wanted::None => Score::Remove,
        Wanted::AsSeen | Wanted::AsSeenAnew => {
            let kernel = ask_kernel(&described.resource, deadline);
            let elsewhere = elsewhere(described, &kernel, node, deadline);
            match (promotion_score(&kernel, &described.options, elsewhere), kernel) {
                (Score::Leave, kernel) => {
                    remember(described, path)?;
                    let why = match kernel {
                        Kernel::Silent(why) => Some(why),
                        Kernel::NoModule | Kernel::Unknown(_) | Kernel::Known(_) => None,
                    };
                    return Ok(Done::Left(why));
                }
                (score, _) => score,
            }
        }
    };
    let before = Record::read(path);
    let marked = before.as_ref().and_then(|before| before.written.as_ref());
    let marked = marked.map(|written| written.mark.clone());
    let is_same = before.as_ref().is_some_and(|before| before.is_of(described));
    let in_place = before.as_ref().and_then(|before| before.score(Mark::now().as_ref()));
    if wanted == Wanted::AsSeen && is_same && in_place == Some(score) {
        return Ok(Done::InPlace(score));
    }
    if let Some(before) = before.filter(|_| wanted == Wanted::AsSeen && is_same) {
        if let Some(done) = confirm(before, path, score, node, deadline)? {
            return Ok(done);
        }
    }
    let recorded = put_down(described, path);
    // Taken before the call: a daemon that is restarted during it is another one than this.
    let mark = Mark::now();
    write(&described.instance, score, deadline)?;
    let mut record = recorded?;
    record.written = mark.map(|mark| Written { score, mark: mark.after(marked.as_ref()) });
    record.write(path).map_err(Error::Record)?;
    Ok(Done::Wrote(score))
}

/// If the score that was written last is this one, and the attribute daemon says that it has it: where the CIB has it too, it counts
/// as written now, and where it has not, the attribute daemon is told to write it, and the next look asks what came of that. A CIB
/// that does not say counts as one that has it only if nobody was started again since it was written. To ask is one message each; to
/// tell is a program of Pacemaker's. That there is none is told: the CIB may have one all the same.
fn confirm(
    before: Record,
    path: &Path,
    score: Score,
    node: Option<&str>,
    deadline: Deadline,
) -> Result<Option<Done>, Error> {
    let Score::Set(value) = score else { return Ok(None) };
    let Some(written) = before.written.as_ref().filter(|written| written.score == score) else {
        return Ok(None);
    };
    // Taken before the question: a daemon that is restarted during it is another one than this.
    let Some(mark) = Mark::now() else { return Ok(None) };
    let name = format!("master-{}", before.instance);
    match standing(&name, &value.to_string(), node, deadline) {
        Standing::NotSeen if !written.mark.is_of(&mark) => Ok(Some(Done::InPlace(score))),
        Standing::InPlace | Standing::NotSeen => {
            let mark = mark.after(Some(&written.mark));
            let record = Record { written: Some(Written { score, mark }), ..before };
            Ok(record.write(path).is_ok().then_some(Done::InPlace(score)))
        }
        Standing::Lost => {
            let lost = |how: &str| {
                let instance = before.instance.clone();
                Err(Error::Lost { instance, how: how.to_owned() })
            };
            match have_written(path.parent(), deadline) {
                Ok(Refresh::Told) => Ok(Some(Done::Restored(score))),
                Ok(Refresh::Waits) => Ok(Some(Done::InPlace(score))),
                Ok(Refresh::ToldAgain) => lost(IN_VAIN),
                Err(how) => lost(&format!("the attribute daemon was not told: {how}")),
            }
        }
        Standing::NotKnown => Ok(None),
    }
}

/// Where no score is written, so that whoever watches knows that the resource is managed, and by which options. The score that is in
/// place stays known.
fn remember(described: &Record, path: &Path) -> Result<(), Error> {
    let record = match Record::read(path) {
        Some(before) if before.is_of(described) => return Ok(()),
        Some(before) if before.instance == described.instance => {
            let Record { kept, written, .. } = before;
            Record { kept, written, ..described.clone() }
        }
        Some(_) | None => described.clone(),
    };
    record.write(path).map_err(Error::Record)
}

/// Before anything is written, it is no longer known what is: crm_attribute may be killed half way.
fn put_down(described: &Record, path: &Path) -> Result<Record, Error> {
    let before = Record::read(path);
    let kept = before.map(|before| before.kept).unwrap_or_default();
    let record = Record { kept, written: None, ..described.clone() };
    match record.write(path) {
        Ok(()) => Ok(record),
        Err(why) => {
            let _ = std::fs::remove_file(path);
            Err(Error::Record(why))
        }
    }
}

/// Changes what the record remembers beside the score, under the lock.
///
/// # Errors
/// The lock or the record failed.
pub fn annotate(
    described: &Record,
    path: &Path,
    change: impl FnOnce(&mut Kept),
    deadline: Deadline,
) -> Result<(), Error> {
    if let Some(directory) = path.parent() {
        // Whether it worked shows in the locking.
        let _ = std::fs::create_dir_all(directory);
    }
    let patience = deadline.within(clock::now(), LOCK_PATIENCE);
    let Some(_lock) = Lock::take(&lock_of(path), patience).map_err(Error::Lock)? else {
        return Err(Error::Held { instance: described.instance.clone() });
    };
    let mut record = Record::read(path).unwrap_or_else(|| described.clone());
    change(&mut record.kept);
    record.write(path).map_err(Error::Record)
}

fn remove(path: &Path) -> Result<(), Error> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            let path = path.to_owned();
            Err(Error::Record(duet_host::Error::Write { path, source: error }))
        }
        _ => Ok(()),
    }
}

fn lock_of(path: &Path) -> PathBuf {
    path.with_extension("lock")
}

/// `crm_attribute --promotion=INSTANCE` names the attribute as Pacemaker does, and lifetime reboot makes it a transient one.
fn write(instance: &str, score: Score, deadline: Deadline) -> Result<(), Error> {
    let call = Call::new("crm_attribute")
        .env("LC_ALL", "C")
        .arg(format!("--promotion={instance}"))
        .args(["-l", "reboot"]);
    let call = match score {
        Score::Set(value) => call.arg("-v").arg(value.to_string()),
        Score::Remove | Score::Leave => call.arg("-D"),
    };
    let ended = call
        .run(deadline)
        .map_err(|source| Error::Call { instance: instance.to_owned(), source })?;
    let is_gone_anyway = score == Score::Remove && ended.code == Some(NO_SUCH);
    if ended.is_success() || is_gone_anyway {
        return Ok(());
    }
    Err(Error::Failed { instance: instance.to_owned(), how: ended.describe() })
}

/// Whether Pacemaker knows of a promoted instance on another node, asked only where that makes a difference.
#[must_use]
pub fn elsewhere(
    described: &Record,
    kernel: &Kernel,
    node: Option<&str>,
    deadline: Deadline,
) -> Elsewhere {
    if wants_elsewhere(kernel, &described.options) {
        ask_pacemaker(&described.instance, node, deadline)
    } else {
        Elsewhere::NotKnown
    }
}

/// Asks Pacemaker where the resource is promoted.
#[must_use]
pub fn ask_pacemaker(instance: &str, node: Option<&str>, deadline: Deadline) -> Elsewhere {
    let call =
        Call::new("crm_resource").env("LC_ALL", "C").args(["--resource", instance, "--locate"]);
    match call.run(deadline) {
        Ok(ended) if ended.is_success() => promoted_elsewhere(&ended, node),
        Ok(_) | Err(_) => Elsewhere::NotKnown,
    }
}

/// Lines as `resource p_drbd is running on: node2 Promoted`, `Master` before Pacemaker 2.1; or that it runs nowhere.
fn promoted_elsewhere(ended: &Ended, node: Option<&str>) -> Elsewhere {
    let text = String::from_utf8_lossy(&ended.stdout);
    let mut understood = false;
    for line in text.lines() {
        let Some((_, place)) = line.split_once(" is running on:") else {
            understood |= line.contains("is NOT running");
            continue;
        };
        understood = true;
        let mut words = place.split_ascii_whitespace();
        let (Some(name), role) = (words.next(), words.next()) else { continue };
        let is_here = node.is_some_and(|here| here.eq_ignore_ascii_case(name));
        if matches!(role, Some("Promoted" | "Master")) && !is_here {
            return Elsewhere::Promoted;
        }
    }
    if understood && !ended.is_truncated { Elsewhere::Nobody } else { Elsewhere::NotKnown }
}

#[cfg(test)]
mod tests;
