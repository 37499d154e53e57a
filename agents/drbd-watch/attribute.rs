//! The node attributes of auto-promote: what DRBD's own promotion score is, and which attributes differ from what they should be.
//! Invariant: pure; an attribute is removed only where the resource was seen to go, or where it was asked, and answered, that no such
//! resource is configured.

use std::collections::{BTreeMap, BTreeSet};

use duet_drbd::{Connection, Disk, PeerVolume, Resource, Role, View};

/// What Pacemaker takes for minus infinity.
const NEVER: i64 = -1_000_000;
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
}

/// The attributes of this node.
#[derive(Debug, Default)]
pub(crate) struct Board {
    wanted: BTreeMap<String, Value>,
    placed: BTreeMap<String, Value>,
    details: BTreeMap<String, String>,
    present: BTreeSet<String>,
    busy: BTreeSet<String>,
    failed: BTreeSet<String>,
    questions: Questions,
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
        if is_anew {
            self.questions = Questions::Open;
        } else {
            for gone in self.present.iter().filter(|name| !view.resources.contains_key(*name)) {
                self.wanted.insert(gone.clone(), Value::Absent);
                self.details.insert(gone.clone(), format!("name:{gone} destroyed"));
            }
        }
        self.present = view.resources.keys().cloned().collect();
        for (name, resource) in &view.resources {
            let value = value(resource);
            if self.wanted.insert(name.clone(), value) != Some(value) {
                self.details.insert(name.clone(), describe(name, resource));
                self.failed.remove(name);
            }
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
        for name in configured.iter().filter(|name| !self.present.contains(*name)) {
            self.wanted.insert(name.clone(), Value::Never);
            self.details.insert(name.clone(), format!("name:{name} configured and not up"));
        }
        let Some(existing) = &answers.existing else {
            self.questions = Questions::Failed;
            return;
        };
        let known = existing.iter().chain(self.wanted.keys()).cloned();
        let is_stale = |name: &String| !self.present.contains(name) && !configured.contains(name);
        let stale: Vec<String> = known.filter(is_stale).collect();
        for name in stale {
            self.details.insert(name.clone(), format!("name:{name} unknown"));
            self.wanted.insert(name, Value::Absent);
        }
        self.questions = Questions::Answered;
    }

    /// A sign of life; `is_lost` where the cluster has lost its attributes since the last one.
    pub(crate) fn beat(&mut self, is_lost: bool) {
        self.failed.clear();
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
            self.placed.get(*name) != Some(*value)
                && !self.busy.contains(*name)
                && !self.failed.contains(*name)
        };
        let due = self.wanted.iter().filter(is_due).take(free);
        let orders: Vec<Order> = due
            .map(|(name, value)| Order {
                resource: name.clone(),
                value: *value,
                details: self.details.get(name).cloned().unwrap_or_default(),
            })
            .collect();
        self.busy.extend(orders.iter().map(|order| order.resource.clone()));
        orders
    }

    /// One came back.
    pub(crate) fn came(&mut self, order: &Order, is_written: bool) {
        self.busy.remove(&order.resource);
        if !is_written {
            self.placed.remove(&order.resource);
            self.failed.insert(order.resource.clone());
        } else if order.value == Value::Absent
            && self.wanted.get(&order.resource) == Some(&Value::Absent)
        {
            // Nothing is left to remember it for.
            self.wanted.remove(&order.resource);
            self.placed.remove(&order.resource);
            self.details.remove(&order.resource);
        } else {
            self.placed.insert(order.resource.clone(), order.value);
        }
    }
}

#[cfg(test)]
mod tests;
