//! The node attributes of auto-promote: what DRBD's own promotion score is, and which attributes differ from what they should be.
//! Invariant: pure; an attribute is removed only where the resource was seen to go, or where it was asked, and answered, that no such
//! resource is configured.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use duet_drbd::{Connection, Disk, PeerVolume, Resource, Role, View};

/// What Pacemaker takes for minus infinity.
const NEVER: i64 = -1_000_000;
/// How long one that was written is relied upon: somebody may remove it behind our back, and to write it again changes nothing where it
/// is still there.
const LASTS: Duration = Duration::from_secs(60);
/// The most volumes that count.
const MOST: usize = 99;

/// What an attribute should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value {
    /// This score, more than 0.
    Score(i64),
    /// Nothing can run here.
    Never,
    /// There should be none.
    Absent,
}

impl Value {
    /// As attrd_updater is given it; none if it is to be deleted.
    pub(crate) fn text(self) -> Option<String> {
        match self {
            Value::Score(score) => Some(score.to_string()),
            Value::Never => Some(NEVER.to_string()),
            Value::Absent => None,
        }
    }
}

/// What the attribute of a resource should be: drbdsetup's own score where it was asked, else the same computed here.
fn value(resource: &Resource) -> Value {
    match resource.promotion_score.unwrap_or_else(|| promotion_score(resource)) {
        score @ 1.. => Value::Score(score),
        _ => Value::Never,
    }
}

/// DRBD's own score, as drbdsetup computes it: 10000 if there is a usable disk in every volume, 100 for each volume that is UpToDate
/// here, and the number of UpToDate copies of the volume that has the fewest. 0 where nothing can be promoted: no volume, all I/O
/// fails, no quorum, or a volume without any UpToDate copy.
fn promotion_score(resource: &Resource) -> i64 {
    let volumes = &resource.volumes;
    let lacks_quorum = volumes.values().any(|volume| volume.quorum == Some(false));
    if volumes.is_empty() || resource.force_io_failures == Some(true) || lacks_quorum {
        return 0;
    }
    let copies = |(number, own): (&u32, &duet_drbd::Volume)| {
        let peers = resource.peers.values().filter_map(|peer| peer.volumes.get(number));
        let is_good = |peer: &&PeerVolume| peer.disk == Disk::UpToDate;
        usize::from(own.disk == Disk::UpToDate) + peers.filter(is_good).count()
    };
    let fewest = volumes.iter().map(copies).min().unwrap_or(0);
    if fewest == 0 {
        return 0;
    }
    let is_usable =
        |disk: &Disk| matches!(disk, Disk::UpToDate | Disk::Consistent | Disk::Inconsistent);
    let has_disks = volumes.values().all(|volume| is_usable(&volume.disk));
    let good = volumes.values().filter(|volume| volume.disk == Disk::UpToDate).count();
    let number = |count: usize| i64::try_from(count).unwrap_or(0);
    i64::from(has_disks) * 10_000 + 100 * number(good.min(MOST)) + number(fewest)
}

/// What there is to say of a resource beside its score.
fn describe(name: &str, resource: &Resource) -> String {
    let disks: Vec<String> = resource
        .volumes
        .iter()
        .map(|(number, volume)| format!("disk/{number}:{}", volume.disk))
        .collect();
    let peers: Vec<String> = resource
        .peers
        .iter()
        .map(|(id, peer)| match (&peer.name, &peer.connection) {
            (Some(name), Connection::Connected) => format!("{name}:{}", peer.role),
            (Some(name), connection) => format!("{name}:{connection}"),
            (None, connection) => format!("{id}:{connection}"),
        })
        .collect();
    let role: &Role = &resource.role;
    let score = value(resource).text().unwrap_or_default();
    let words =
        [vec![format!("name:{name} role:{role}")], disks, peers, vec![format!("score:{score}")]];
    words.concat().join(" ")
}

/// What was asked before attributes are removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answers {
    /// The resources that drbdadm knows; none if it did not say.
    pub(crate) configured: Option<Vec<String>>,
    /// The resources that have an attribute; none if the CIB did not say.
    pub(crate) existing: Option<Vec<String>>,
}

/// One attribute to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Order {
    /// The resource.
    pub(crate) resource: String,
    /// What its attribute should be.
    pub(crate) value: Value,
    /// What has led to that.
    pub(crate) details: String,
    /// Whether it was written before, and may be there still.
    pub(crate) is_repeated: bool,
    /// Since when it was seen to be missing in the CIB only.
    pub(crate) missing_since: Option<Duration>,
}

/// What has come of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Placing {
    /// It is in place.
    Written,
    /// The attribute daemon has it, the CIB does not, and that daemon may be waiting before it writes it.
    Missing,
    /// It is not known to be in place.
    Not,
}

/// The attributes of this node.
#[derive(Debug, Default)]
pub(crate) struct Board {
    wanted: BTreeMap<String, Value>,
    placed: BTreeMap<String, Placed>,
    details: BTreeMap<String, String>,
    present: BTreeSet<String>,
    busy: BTreeSet<String>,
    missing: BTreeMap<String, (Value, Duration)>,
    failed: BTreeSet<String>,
    questions: Questions,
}

/// One that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Placed {
    value: Value,
    /// When; none where that is too long ago to rely on it.
    at: Option<Duration>,
}

/// Whether what is configured, and which attributes there are, has to be asked for.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Questions {
    /// Not since listening began.
    #[default]
    Open,
    /// Somebody asks.
    Asked,
    /// Nobody answered; again at the next sign of life.
    Failed,
    /// They were answered.
    Answered,
}

impl Board {
    /// What was told; `is_anew` when listening has just begun, so that nothing was seen to go.
    pub(crate) fn told(&mut self, view: &View, is_anew: bool) {
        let is_gone = |name: &&String| !view.resources.contains_key(*name);
        if is_anew {
            self.questions = Questions::Open;
            // Whether it is configured is asked; until that is answered it is not to be used here.
            let is_there = |(_, value): &(&String, &Value)| **value != Value::Absent;
            let wanted = self.wanted.iter().filter(is_there).map(|(name, _)| name);
            let gone: Vec<String> = wanted.filter(is_gone).cloned().collect();
            for name in gone {
                self.want(&name, Value::Never, || format!("name:{name} not up"));
            }
        } else {
            let gone: Vec<String> = self.present.iter().filter(is_gone).cloned().collect();
            for name in gone {
                self.want(&name, Value::Absent, || format!("name:{name} destroyed"));
            }
        }
        self.present = view.resources.keys().cloned().collect();
        for (name, resource) in &view.resources {
            self.want(name, value(resource), || describe(name, resource));
        }
    }

    /// What it should be from now on. Another value than before is tried at once, whatever came of the one before.
    fn want(&mut self, name: &str, value: Value, details: impl FnOnce() -> String) {
        if self.wanted.insert(name.to_owned(), value) != Some(value) {
            self.details.insert(name.to_owned(), details());
            self.failed.remove(name);
        }
    }

    /// Whether to ask what is configured and which attributes there are. Counts as asked from here on.
    pub(crate) fn ask(&mut self) -> bool {
        let is_open = self.questions == Questions::Open;
        if is_open {
            self.questions = Questions::Asked;
        }
        is_open
    }

    /// The answers.
    pub(crate) fn answered(&mut self, answers: &Answers) {
        // Listening began anew since: these are of before.
        if self.questions != Questions::Asked {
            return;
        }
        let Some(configured) = &answers.configured else {
            self.questions = Questions::Failed;
            return;
        };
        let is_down = |name: &&String| !self.present.contains(*name);
        let down: Vec<String> = configured.iter().filter(is_down).cloned().collect();
        for name in down {
            self.want(&name, Value::Never, || format!("name:{name} configured and not up"));
        }
        let Some(existing) = &answers.existing else {
            self.questions = Questions::Failed;
            return;
        };
        let is_known =
            |name: &str| self.present.contains(name) || configured.iter().any(|it| it == name);
        // Whoever watches with a longer prefix has PREFIX-MORE-r0: that is the attribute of a resource MORE-r0, or not ours.
        let is_foreign =
            |name: &str| name.match_indices('-').any(|(at, _)| is_known(&name[at + 1..]));
        let left = existing.iter().filter(|name| !is_foreign(name));
        let stale = left.chain(self.wanted.keys()).filter(|name| !is_known(name));
        let stale: Vec<String> = stale.cloned().collect();
        for name in stale {
            self.want(&name, Value::Absent, || format!("name:{name} unknown"));
        }
        self.questions = Questions::Answered;
    }

    /// A sign of life; `is_lost` where the cluster has lost its attributes since the last one.
    pub(crate) fn beat(&mut self, is_lost: bool, now: Duration) {
        self.failed.clear();
        for placed in self.placed.values_mut() {
            placed.at = placed.at.filter(|at| now.saturating_sub(*at) < LASTS);
        }
        if is_lost {
            self.placed.clear();
        }
        if is_lost || self.questions == Questions::Failed {
            self.questions = Questions::Open;
        }
    }

    /// What to write now, at most `free` of them. They count as being written from here on.
    pub(crate) fn start(&mut self, free: usize) -> Vec<Order> {
        let is_due = |(name, value): &(&String, &Value)| {
            let placed = self.placed.get(*name);
            !placed.is_some_and(|placed| placed.value == **value && placed.at.is_some())
                && !self.busy.contains(*name)
                && !self.failed.contains(*name)
        };
        let due = self.wanted.iter().filter(is_due).take(free);
        let orders: Vec<Order> = due
            .map(|(name, value)| Order {
                resource: name.clone(),
                value: *value,
                details: self.details.get(name).cloned().unwrap_or_default(),
                is_repeated: self.placed.get(name).is_some_and(|placed| placed.value == *value),
                missing_since: self.missing.get(name).filter(|it| it.0 == *value).map(|it| it.1),
            })
            .collect();
        self.busy.extend(orders.iter().map(|order| order.resource.clone()));
        orders
    }

    /// One came back.
    pub(crate) fn came(&mut self, order: &Order, placing: Placing, now: Duration) {
        self.busy.remove(&order.resource);
        if placing == Placing::Missing {
            let since = order.missing_since.unwrap_or(now);
            self.missing.insert(order.resource.clone(), (order.value, since));
        } else {
            self.missing.remove(&order.resource);
        }
        if placing != Placing::Written {
            self.placed.remove(&order.resource);
            // What should be something else by now is tried at once.
            if self.wanted.get(&order.resource) == Some(&order.value) {
                self.failed.insert(order.resource.clone());
            }
        } else if order.value == Value::Absent
            && self.wanted.get(&order.resource) == Some(&Value::Absent)
        {
            // Nothing is left to remember it for.
            self.wanted.remove(&order.resource);
            self.placed.remove(&order.resource);
            self.details.remove(&order.resource);
        } else {
            let placed = Placed { value: order.value, at: Some(now) };
            self.placed.insert(order.resource.clone(), placed);
        }
    }
}

#[cfg(test)]
mod tests;
