//! Whose score is to be looked at again, and when. Invariant: pure; a change of a resource's facts is looked at after it was told,
//! also if that was while an earlier look was under way; what could not be done is tried again at a sign of life and not before;
//! nothing is concluded from not knowing; a better score, but never a worse one, waits until the one before it has stood for a moment.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::Duration,
};

use drbd_agent::{
    facts::Kernel,
    promotion::Done,
    record::{Mark, Record, Written},
    score::{Elsewhere, Score, promotion_score},
};
use duet_drbd::{Version, View};

/// How many are at it at the same time.
const AT_ONCE: usize = 4;
/// How long a score stands before a better one is written: each makes the cluster compute anew, and abort what it is about to do.
const STANDS: Duration = Duration::from_secs(1);
/// How long after somebody else was found at it.
const HOLDER_PAUSE: Duration = Duration::from_secs(1);

/// What is known of DRBD at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum World {
    /// The module is not loaded.
    NoModule,
    /// All that the module has.
    Seen {
        /// Of the module.
        version: Version,
        /// Every resource.
        view: View,
    },
    /// Nothing: it cannot be followed.
    Unknown,
}

/// What is planned for all managed resources, by the files of their records.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    subjects: BTreeMap<PathBuf, Subject>,
}

/// One of them.
#[derive(Debug, Default)]
struct Subject {
    /// Whose score it is.
    instance: String,
    /// As they were told last; none before the first time.
    facts: Option<Kernel>,
    /// What score is to be expected from them; the look may know better.
    expected: Option<Score>,
    /// The score that the cluster has, if that is known, and when this daemon wrote one last.
    placed: Option<Score>,
    wrote_at: Option<Duration>,
    /// Whether it is to be looked at, and from when on.
    due: Option<Duration>,
    /// Whether somebody is at it.
    is_busy: bool,
    /// Whether the last try has come to nothing.
    has_failed: bool,
    /// Since when a look is under way, or none has seen what there is.
    blind_since: Option<Duration>,
    /// Why the latest one has not.
    blind_why: Option<String>,
}

/// A resource that is being looked at, or whose looks have come to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Blind {
    /// Whose score it is.
    pub(crate) instance: String,
    /// When the first of these looks began.
    pub(crate) since: Duration,
    /// Why the latest came to nothing; none where none has come back yet.
    pub(crate) why: Option<String>,
}

/// What a look has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Came {
    /// Nobody manages it any more.
    NotManaged,
    /// To this.
    To(Done),
    /// To nothing: what is could not be seen, or not be recorded.
    Failed(String),
    /// The cluster did not take the score.
    Refused,
}

impl World {
    /// What it has of a resource; `None` where nothing is known.
    fn facts(&self, resource: &str) -> Option<Kernel> {
        match self {
            World::NoModule => Some(Kernel::NoModule),
            World::Seen { version, view } => Some(Kernel::of(resource, view, *version)),
            World::Unknown => None,
        }
    }
}

impl Plan {
    /// Something was told, or listening began anew.
    pub(crate) fn told(&mut self, records: &[(PathBuf, Record)], world: &World, now: Duration) {
        self.take(records);
        for (path, record) in records {
            let (Some(subject), Some(facts)) =
                (self.subjects.get_mut(path), world.facts(&record.resource))
            else {
                continue;
            };
            if !subject.is_busy {
                subject.placed = record.written.as_ref().map(|written| written.score);
            }
            subject.expected = Some(promotion_score(&facts, &record.options, Elsewhere::NotKnown));
            if subject.facts.as_ref() != Some(&facts) {
                subject.facts = Some(facts);
                subject.due = Some(now);
            }
        }
    }

    /// Listening has been interrupted: what was told before is worth nothing.
    pub(crate) fn lost(&mut self) {
        for subject in self.subjects.values_mut() {
            subject.facts = None;
        }
    }

    /// A sign of life: what failed is tried again, and so is what the cluster has lost since.
    pub(crate) fn beat(
        &mut self,
        records: &[(PathBuf, Record)],
        world: &World,
        mark: Option<&Mark>,
        now: Duration,
    ) {
        self.told(records, world, now);
        for (path, record) in records {
            let Some(subject) = self.subjects.get_mut(path) else { continue };
            if subject.has_failed || is_lost(record.written.as_ref(), mark) {
                subject.due = Some(now);
            }
        }
    }

    /// Whom to look at now. They count as being looked at from here on.
    pub(crate) fn start(&mut self, world: &World, now: Duration) -> Vec<PathBuf> {
        // Without knowing what is, the look would come to nothing; all are due when listening begins again.
        if *world == World::Unknown {
            return Vec::new();
        }
        let busy = self.subjects.values().filter(|subject| subject.is_busy).count();
        let mut free = AT_ONCE.saturating_sub(busy);
        let mut started = Vec::new();
        for (path, subject) in &mut self.subjects {
            let is_due = subject.when().is_some_and(|due| due <= now) && !subject.is_busy;
            if is_due && free > 0 {
                free -= 1;
                *subject = Subject {
                    due: None,
                    is_busy: true,
                    has_failed: false,
                    blind_since: subject.blind_since.or(Some(now)),
                    ..std::mem::take(subject)
                };
                started.push(path.clone());
            }
        }
        started
    }

    /// One of them came back.
    pub(crate) fn came(&mut self, path: &Path, came: &Came, now: Duration) {
        let Some(subject) = self.subjects.get_mut(path) else { return };
        subject.is_busy = false;
        match came {
            Came::Failed(why) | Came::To(Done::Left(Some(why))) => {
                subject.blind_why = Some(why.clone());
            }
            Came::NotManaged | Came::Refused | Came::To(_) => {
                (subject.blind_since, subject.blind_why) = (None, None);
            }
        }
        match came {
            Came::To(Done::Wrote(score)) => {
                (subject.placed, subject.wrote_at) = (Some(*score), Some(now));
            }
            Came::To(Done::InPlace(score) | Done::Restored(score)) => subject.placed = Some(*score),
            // Whoever has the lock may have looked before what was told.
            Came::To(Done::LeftToHolder) => {
                let again = now.saturating_add(HOLDER_PAUSE);
                subject.due = Some(subject.due.map_or(again, |due| due.min(again)));
            }
            Came::To(Done::Left(_)) | Came::Failed(_) | Came::Refused => subject.has_failed = true,
            Came::NotManaged => {
                self.subjects.remove(path);
            }
        }
    }

    /// When [`Plan::start`] has somebody to start next; none if only an event can change that.
    pub(crate) fn next_due(&self, world: &World) -> Option<Duration> {
        let busy = self.subjects.values().filter(|subject| subject.is_busy).count();
        if *world == World::Unknown || busy >= AT_ONCE {
            return None;
        }
        let waiting = self.subjects.values().filter(|subject| !subject.is_busy);
        waiting.filter_map(Subject::when).min()
    }

    /// Whoever nothing was seen of for longest, though somebody looks.
    pub(crate) fn blindest(&self) -> Option<Blind> {
        let blind = self.subjects.values().filter_map(|subject| {
            let (instance, why) = (subject.instance.clone(), subject.blind_why.clone());
            Some(Blind { instance, since: subject.blind_since?, why })
        });
        blind.min_by_key(|blind| blind.since)
    }

    /// Keeps to those that have a record, and to those that somebody is at.
    fn take(&mut self, records: &[(PathBuf, Record)]) {
        let managed: BTreeSet<&Path> = records.iter().map(|(path, _)| path.as_path()).collect();
        self.subjects.retain(|path, subject| subject.is_busy || managed.contains(path.as_path()));
        for (path, record) in records {
            let subject = self.subjects.entry(path.clone()).or_default();
            subject.instance.clone_from(&record.instance);
        }
    }
}

impl Subject {
    /// When to look at it.
    fn when(&self) -> Option<Duration> {
        let due = self.due?;
        let may_be_worse = match (self.expected, self.placed) {
            (Some(Score::Set(new)), Some(Score::Set(old))) => new < old,
            (Some(Score::Set(_) | Score::Remove), Some(Score::Remove)) => false,
            (Some(Score::Remove | Score::Leave) | None, _) | (_, None | Some(Score::Leave)) => true,
        };
        match self.wrote_at {
            Some(wrote_at) if !may_be_worse => Some(due.max(wrote_at.saturating_add(STANDS))),
            Some(_) | None => Some(due),
        }
    }
}

/// Whether the cluster does not have any more what was written, or it is not known what was. Its age does not matter: the agent's
/// monitor writes it again each minute. While there is no attribute daemon to be seen, nothing can be written.
fn is_lost(written: Option<&Written>, mark: Option<&Mark>) -> bool {
    match (written, mark) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(written), Some(mark)) => !written.mark.is_of(mark),
    }
}

#[cfg(test)]
mod tests;
