//! Finds the phases of a disturbance in the record. Invariant: a phase that nobody reported is
//! missing from the sample; it is never filled in from another.

use crate::scenario::Story;
use duet_oracle::phase::Phase;
use duet_oracle::timeline::{Entry, What};
use duet_oracle::{Event, Kind, Line, Timeline};
use std::collections::BTreeMap;
use std::time::Duration;

/// What is done to the cluster, in the order of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disturbance {
    PowerCut,
    NodeBack,
    GuestKilled,
    Move,
    LinkCut,
}

impl Disturbance {
    pub(crate) const ALL: [Self; 5] =
        [Self::PowerCut, Self::NodeBack, Self::GuestKilled, Self::Move, Self::LinkCut];

    /// As the scenario and the recorded figures call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::PowerCut => "power-cut",
            Self::NodeBack => "node-back",
            Self::GuestKilled => "guest-killed",
            Self::Move => "move",
            Self::LinkCut => "link-cut",
        }
    }
}

/// One disturbance as it was seen: seconds by the phase's name.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sample {
    pub(crate) disturbance: Disturbance,
    pub(crate) seconds: BTreeMap<&'static str, f64>,
}

/// Reads the phases of one disturbance that began at the story's zero, up to `until`.
pub(crate) fn read(
    disturbance: Disturbance,
    story: &Story,
    events: &[Event],
    until: Duration,
) -> Sample {
    let zero = match disturbance {
        Disturbance::PowerCut | Disturbance::Move => last_write(events, story.zero, until),
        Disturbance::NodeBack | Disturbance::GuestKilled | Disturbance::LinkCut => story.zero,
    };
    // Nothing that happened before the disturbance belongs to it, even with a later zero.
    let since = story.zero.as_secs_f64() - zero.as_secs_f64();
    let window = until.saturating_sub(zero).as_secs_f64();
    let seen = Seen { entries: Timeline::new(events, zero).between(since, window).entries };
    let mut found: Vec<(&'static str, Option<f64>)> = Vec::new();
    match disturbance {
        Disturbance::PowerCut => seen.power_cut(&mut found),
        Disturbance::NodeBack => seen.node_back(&mut found),
        Disturbance::GuestKilled => seen.guest_killed(&mut found),
        Disturbance::Move => {
            found.push(("command to last acknowledged write", Some(-since)));
            seen.planned_move(&mut found);
        }
        Disturbance::LinkCut => {
            seen.link_cut(&mut found);
            let freeze = story.figures.iter().find(|(name, _)| *name == "freeze");
            found.push(("freeze of writes", freeze.map(|(_, seconds)| *seconds)));
        }
    }
    let seconds = found.into_iter().filter_map(|(name, seconds)| Some((name, seconds?))).collect();
    Sample { disturbance, seconds }
}

/// The last write acknowledged before the guest was silent for the longest time of the window.
pub(crate) fn last_write(events: &[Event], since: Duration, until: Duration) -> Duration {
    let writes: Vec<Duration> = events
        .iter()
        .filter(|event| matches!(event.kind, Kind::Serial(Line::Ack(_))))
        .map(|event| event.at)
        .filter(|at| *at + Duration::from_secs(1) >= since && *at < until)
        .collect();
    writes
        .windows(2)
        .max_by_key(|pair| pair[1].saturating_sub(pair[0]))
        .map_or(since, |pair| pair[0])
}

/// The entries of one disturbance.
struct Seen {
    entries: Vec<Entry>,
}

type Found = Vec<(&'static str, Option<f64>)>;

impl Seen {
    fn first(&self, wanted: impl Fn(&Entry) -> bool) -> Option<f64> {
        self.entries.iter().find(|entry| wanted(entry)).map(Entry::seconds)
    }

    fn phase(&self, wanted: impl Fn(&Phase) -> bool) -> Option<f64> {
        self.first(|entry| matches!(&entry.what, What::Phase(phase) if wanted(phase)))
    }

    fn initiated(&self, what: &str, of: &str) -> Option<f64> {
        self.phase(|phase| {
            matches!(phase, Phase::Initiated { operation, resource, .. }
                if operation == what && resource.starts_with(of))
        })
    }

    fn ended(&self, what: &str, of: &str) -> Option<f64> {
        self.phase(|phase| {
            matches!(phase, Phase::Ended { operation, resource, .. }
                if operation == what && resource.starts_with(of))
        })
    }

    fn called(&self, which: &str) -> Option<f64> {
        self.phase(|phase| matches!(phase, Phase::HelperCalled { helper, .. } if helper == which))
    }

    fn answered(&self, which: &str) -> Option<f64> {
        self.phase(|phase| matches!(phase, Phase::HelperAnswered { helper, .. } if helper == which))
    }

    fn role(&self, wanted: &str) -> Option<f64> {
        self.phase(|phase| matches!(phase, Phase::Role { role, .. } if role == wanted))
    }

    fn lost(&self) -> Option<f64> {
        self.phase(|phase| matches!(phase, Phase::ConnectionLost { .. }))
    }

    fn booted(&self) -> Option<f64> {
        self.first(|entry| matches!(entry.what, What::GuestBooted { .. }))
    }

    /// The first write after a boot or on another node.
    fn writes(&self) -> Option<f64> {
        // Writes of the window's beginning are the first that a story tells, but follow no change.
        let booted = self.booted()?;
        self.first(|entry| {
            matches!(entry.what, What::GuestWrites { .. }) && entry.seconds() >= booted
        })
    }

    fn power_cut(&self, found: &mut Found) {
        found.extend([
            ("token is late", self.phase(|phase| *phase == Phase::TokenLate)),
            ("DRBD sees the loss", self.lost()),
            (
                "new membership",
                self.phase(
                    |phase| matches!(phase, Phase::Membership { left, .. } if !left.is_empty()),
                ),
            ),
            (
                "fencing requested",
                self.phase(|phase| matches!(phase, Phase::FencingRequested { .. })),
            ),
            (
                "fencing done",
                self.phase(|phase| matches!(phase, Phase::FencingEnded { ok: true, .. })),
            ),
            ("promote initiated", self.initiated("promote", "p_drbd")),
            ("fence-peer called", self.called("fence-peer")),
            ("fence-peer answered", self.answered("fence-peer")),
            ("VM start initiated", self.initiated("start", "vm1")),
            ("guest's boot line", self.booted()),
            ("first acknowledged write", self.writes()),
            ("VM start result", self.ended("start", "vm1")),
        ]);
    }

    fn node_back(&self, found: &mut Found) {
        // The survivor's word: the returning node first forms a membership of its own.
        let back = self.entries.iter().find_map(|entry| match &entry.what {
            What::Mark(text) => text.strip_prefix("power on of "),
            _ => None,
        });
        let is_marked = |entry: &Entry, beginning: &str| matches!(&entry.what, What::Mark(text) if text.starts_with(beginning));
        let is_engine = |entry: &Entry| {
            matches!(&entry.what, What::Log { tag, text }
                if tag == "corosync" && text.contains("Corosync Cluster Engine"))
        };
        let has_joined = |entry: &Entry| {
            Some(entry.source.as_str()) != back
                && matches!(&entry.what, What::Phase(Phase::Membership { joined, .. }) if !joined.is_empty())
        };
        found.extend([
            ("shell", self.first(|entry| is_marked(entry, "shell in "))),
            ("cluster started", self.first(is_engine)),
            ("membership", self.first(has_joined)),
            ("DRBD connected", self.phase(|phase| matches!(phase, Phase::Connected { .. }))),
            ("UpToDate", self.called("unfence-peer")),
            ("rule gone", self.answered("unfence-peer")),
        ]);
    }

    fn guest_killed(&self, found: &mut Found) {
        let detected = self.ended("monitor", "vm1");
        let writes = self.writes();
        found.extend([
            ("detected", detected),
            ("stop initiated", self.initiated("stop", "vm1")),
            ("stop result, start initiated", self.initiated("start", "vm1")),
            ("guest's boot line", self.booted()),
            ("first acknowledged write", writes),
            (
                "detected to first acknowledged write",
                detected.and_then(|detected| Some(writes? - detected)),
            ),
        ]);
    }

    fn planned_move(&self, found: &mut Found) {
        found.extend([
            ("VM stop initiated", self.initiated("stop", "vm1")),
            ("VM stop result", self.ended("stop", "vm1")),
            ("demote initiated", self.initiated("demote", "p_drbd")),
            ("role Secondary", self.role("Secondary")),
            ("promote initiated", self.initiated("promote", "p_drbd")),
            ("role Primary", self.role("Primary")),
            ("VM start initiated", self.initiated("start", "vm1")),
            ("downtime", self.writes()),
        ]);
    }

    fn link_cut(&self, found: &mut Found) {
        let run_time = self
            .called("fence-peer")
            .and_then(|called| Some(self.answered("fence-peer")? - called));
        found.extend([("loss noticed", self.lost()), ("fence-peer's run time", run_time)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use duet_oracle::Record;

    fn at(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    fn event(seconds: f64, source: &str, kind: Kind) -> Event {
        Event { at: at(seconds), source: source.to_owned(), kind }
    }

    fn log(seconds: f64, source: &str, tag: &str, text: &str) -> Event {
        let record = Record { tag: tag.to_owned(), pid: None, severity: 5, text: text.to_owned() };
        event(seconds, source, Kind::Log(record))
    }

    fn ack(seconds: f64, source: &str, number: u32) -> Event {
        event(seconds, source, Kind::Serial(Line::Ack(number)))
    }

    fn boot(seconds: f64, source: &str) -> Event {
        event(seconds, source, Kind::Serial(Line::Boot { highest: 3, valid: 3 }))
    }

    fn story(zero: f64, figures: &[(&'static str, f64)]) -> Story {
        Story { zero: at(zero), figures: figures.to_vec(), ..Story::default() }
    }

    #[test]
    fn a_power_cut_counts_from_the_last_acknowledged_write() {
        let events = [
            log(5.0, "node2", "kernel", "drbd r0: PingAck did not arrive in time."),
            ack(10.0, "node1", 1),
            event(10.1, "lab", Kind::Mark("power cut of node1".into())),
            ack(10.2, "node1", 2),
            log(19.0, "node2", "kernel", "drbd r0: PingAck did not arrive in time."),
            log(
                30.0,
                "node2",
                "pacemaker-controld",
                "notice: Initiating start operation vm1_start_0 locally on node2",
            ),
            boot(38.0, "node2"),
            ack(38.2, "node2", 3),
            log(
                40.2,
                "node2",
                "pacemaker-controld",
                "notice: Result of start operation for vm1 on node2: ok",
            ),
        ];
        let sample = read(Disturbance::PowerCut, &story(10.1, &[]), &events, Duration::MAX);
        let rounded: Vec<(&str, i64)> = sample
            .seconds
            .iter()
            .map(|(name, seconds)| (*name, Duration::from_secs_f64(*seconds).as_millis()))
            .map(|(name, millis)| (name, i64::try_from(millis).unwrap()))
            .collect();
        let wanted = [
            ("DRBD sees the loss", 8800),
            ("VM start initiated", 19_800),
            ("VM start result", 30_000),
            ("first acknowledged write", 28_000),
            ("guest's boot line", 27_800),
        ];
        assert!(
            rounded
                .iter()
                .zip(wanted)
                .all(|(seen, wanted)| { seen.0 == wanted.0 && (seen.1 - wanted.1).abs() <= 1 })
                && rounded.len() == wanted.len(),
            "{rounded:?}"
        );
    }

    #[test]
    fn what_belongs_to_the_next_disturbance_is_not_taken() {
        let events = [
            event(10.0, "lab", Kind::Mark("guest's process killed in node1".into())),
            boot(25.0, "node1"),
            ack(25.1, "node1", 4),
        ];
        let sample = read(Disturbance::GuestKilled, &story(10.0, &[]), &events, at(20.0));
        assert_eq!(sample.seconds, BTreeMap::new());
    }

    #[test]
    fn the_survivor_says_when_the_node_is_back() {
        let joined = |seconds, source, id| {
            log(
                seconds,
                source,
                "corosync",
                &format!("[TOTEM ] A new membership (2.e) was formed. Members joined: {id}"),
            )
        };
        let events = [
            event(100.0, "lab", Kind::Mark("power on of node2".into())),
            event(107.0, "lab", Kind::Mark("shell in node2".into())),
            joined(110.0, "node2", 2),
            joined(116.0, "node2", 1),
            joined(116.5, "node1", 2),
        ];
        let sample = read(Disturbance::NodeBack, &story(100.0, &[]), &events, Duration::MAX);
        assert!((sample.seconds["membership"] - 16.5).abs() < 0.001, "{sample:?}");
        assert!((sample.seconds["shell"] - 7.0).abs() < 0.001, "{sample:?}");
    }
}
