//! Scenarios about the agent of DRBD: roles, failures, and everything that may be missing or broken when it is asked.
//! What must hold is read from the kernel (`/proc/drbd`) and from the CIB, never from what the agent says of itself.

mod broken;
mod cost;
mod failures;
mod roles;
mod second;
mod watcher;

use super::Row;
use crate::cluster::Cluster;
use crate::failure::Result;
use crate::node::{Node, SHORT};
use crate::node_files::index;
use crate::proc_drbd;
use crate::scenario::{Scenario, claim};
use duet_oracle::{Kind, eventually};
use std::time::Duration;

/// How long Pacemaker and a resynchronisation may take in the slowest lab.
const PATIENCE: Duration = Duration::from_secs(180);
/// A node whose data is as good as it gets.
pub(super) const GOOD: Option<i64> = Some(10_000);

pub(super) fn table(scenario: Row) -> Vec<Scenario> {
    // In this order: the nodes are rebooted before the second resource is there, whose Pacemaker would not find it.
    vec![
        scenario(
            "drbd-peer-dies",
            "the Primary's node dies and comes back: roles, scores and rule, there and back again",
            false,
            failures::peer_dies,
        ),
        scenario(
            "drbd-disk-fails",
            "the disk under the Primary fails: writing goes on through the peer, the score says so",
            false,
            failures::disk_fails,
        ),
        scenario(
            "drbd-demote",
            "`crm resource demote`, then `promote`: the kernel follows, the guest comes back",
            false,
            roles::demote,
        ),
        scenario(
            "drbd-move",
            "`crm resource move` of the promoted role, then `clear`",
            false,
            roles::planned_move,
        ),
        scenario(
            "drbd-standby",
            "the Primary's node goes to standby and comes back: down in order, in sync again",
            false,
            roles::standby,
        ),
        scenario(
            "drbd-volume-added",
            "a second volume is added to a running resource (drbdadm adjust)",
            false,
            second::volume_added,
        ),
        scenario(
            "drbd-held-open",
            "somebody has the device open while it is to be demoted, then lets it go",
            false,
            second::held_open,
        ),
        scenario(
            "drbd-split-brain",
            "a split brain is told of and never touched, over several monitors",
            false,
            second::split_brain,
        ),
        scenario(
            "drbd-configuration-gone",
            "the resource's file is gone when the Secondary is stopped: it is stopped, nobody is fenced",
            false,
            broken::configuration_gone,
        ),
        Scenario {
            ours: Some((
                "drbd",
                "the stock agent cannot demote without a configuration, and the node is fenced",
            )),
            ..scenario(
                "drbd-configuration-broken",
                "drbd.conf cannot be read while the Primary is demoted and stopped",
                false,
                broken::configuration_broken,
            )
        },
        Scenario {
            ours: Some(("drbd", "the stock agent gives a node without the module a score of 9999")),
            ..scenario(
                "drbd-module-gone",
                "the module is unloaded under a monitored Secondary and cannot be loaded, then it can",
                false,
                broken::module_gone,
            )
        },
        Scenario {
            ours: Some(("drbd-watch", "there is no stock program that writes an agent's scores")),
            ..scenario(
                "drbd-watcher-killed",
                "the watcher is killed and started again: scores follow the kernel without a monitor",
                false,
                watcher::killed,
            )
        },
        Scenario {
            ours: Some(("drbd", "it is what ours costs beside the stock agent")),
            alone: true,
            ..scenario(
                "drbd-cost",
                "monitors, ours and stock in turn: processor time and child processes",
                false,
                cost::cost,
            )
        },
    ]
}

/// A DRBD resource, as kernel and cluster call it.
pub(super) struct Replicated {
    minor: u8,
    primitive: &'static str,
}

/// The guest's.
pub(super) const FIRST: Replicated = Replicated { minor: proc_drbd::GUEST, primitive: "p_drbd" };
/// The one that no guest depends on.
const SECOND: Replicated = Replicated { minor: 1, primitive: "p_r1" };

impl Replicated {
    /// What the node's kernel says of it; `None` where it does not have it.
    fn state(&self, node: &Node) -> Result<Option<String>> {
        let text =
            node.sh("[ ! -e /proc/drbd ] || cat /proc/drbd", "asking the kernel for its devices")?;
        Ok(proc_drbd::device(&text, self.minor).map(str::to_owned))
    }

    /// Waits until the node's kernel says all of this.
    fn reaches(&self, node: &Node, wanted: &[&str]) -> Result<()> {
        let what = format!("{} of minor {} in {}", wanted.join(" "), self.minor, node.name);
        eventually(PATIENCE, &what, || match self.state(node) {
            Ok(Some(line)) if wanted.iter().all(|word| line.contains(word)) => Ok(()),
            Ok(seen) => Err(format!("{seen:?}")),
            Err(error) => Err(error.to_string()),
        })?;
        Ok(())
    }

    /// Waits until the node's kernel has nothing of it.
    fn is_gone(&self, node: &Node) -> Result<()> {
        let what = format!("minor {} to be gone in {}", self.minor, node.name);
        eventually(PATIENCE, &what, || match self.state(node) {
            Ok(None) => Ok(()),
            Ok(Some(line)) => Err(line),
            Err(error) => Err(error.to_string()),
        })?;
        Ok(())
    }

    /// Looks again and again for `long`, and claims that the kernel says all of this every time.
    fn stays(
        &self,
        node: &Node,
        wanted: &[&str],
        long: Duration,
        journal: &duet_oracle::Journal,
    ) -> Result<()> {
        let until = journal.now() + long;
        // At least twice, however long a look takes.
        let mut looks = 0;
        while journal.now() < until || looks < 2 {
            let seen = self.state(node)?;
            let is_so =
                seen.as_ref().is_some_and(|line| wanted.iter().all(|word| line.contains(word)));
            claim(is_so, || format!("{}: minor {} became {seen:?}", node.name, self.minor))?;
            looks += 1;
            pause(Duration::from_secs(1));
        }
        Ok(())
    }

    /// The promotion score of a node, as the CIB has it.
    fn score(&self, asked: &Node, of: &Node) -> Result<Option<i64>> {
        let name = format!("master-{}", self.primitive);
        let script = format!("cibadmin -Q --xpath \"//node_state//nvpair[@name='{name}']\"");
        let ran = asked.run(&script, SHORT)?;
        // 105: there is no such part of the CIB.
        let text =
            if ran.status == 105 { String::new() } else { ran.success("reading the scores")? };
        let id = format!("id=\"status-{}-{name}\"", index(&of.name));
        Ok(text
            .lines()
            .find(|line| line.contains(&id))
            .and_then(|line| line.split_once("value=\"")?.1.split_once('"')?.0.parse().ok()))
    }

    /// Waits until both scores are these.
    pub(super) fn scored(&self, asked: &Node, wanted: [(&Node, Option<i64>); 2]) -> Result<()> {
        let names = wanted.map(|(node, score)| format!("{} {score:?}", node.name)).join(", ");
        eventually(PATIENCE, &format!("scores of {}: {names}", self.primitive), || {
            let mut seen = Vec::new();
            for (node, _) in wanted {
                seen.push(self.score(asked, node).map_err(|error| error.to_string())?);
            }
            if seen.iter().eq(wanted.iter().map(|(_, score)| score)) {
                Ok(())
            } else {
                Err(format!("{seen:?}"))
            }
        })?;
        Ok(())
    }
}

/// Waits for a line in a node's log that has all these words; says when it came.
fn told(cluster: &Cluster, node: &Node, since: Duration, words: &[&str]) -> Result<Duration> {
    let at = eventually(PATIENCE, &format!("{words:?} in the log of {}", node.name), || {
        lines(cluster, node, since)
            .into_iter()
            .find(|(_, line)| words.iter().all(|word| line.contains(word)))
            .map(|(at, _)| at)
    })?;
    Ok(at)
}

/// What a node has logged since then, each line with its program.
fn lines(cluster: &Cluster, node: &Node, since: Duration) -> Vec<(Duration, String)> {
    let log = |event: duet_oracle::Event| match event.kind {
        Kind::Log(record) if event.source == node.name => {
            Some((event.at, format!("{}: {}", record.tag, record.text)))
        }
        Kind::Log(_) | Kind::Serial(_) | Kind::Mark(_) => None,
    };
    cluster.journal.since(since).into_iter().filter_map(log).collect()
}

/// Between two looks.
#[allow(clippy::disallowed_methods, reason = "a scenario gives the cluster time")]
fn pause(long: Duration) {
    std::thread::sleep(long);
}
