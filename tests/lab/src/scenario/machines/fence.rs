//! Scenarios about DRBD's fencing handlers: lost links, dead peers, handlers that die or hang, and two that race. After each,
//! one side at most was ever writable, the rule in the CIB is what it has to be, and writes went on where they had to.

mod breaks;
mod cost;
mod deaths;
mod gate;
pub(super) mod ledger;
mod links;
mod races;

pub(super) use deaths::{not_waited_for, waits_for_the_other};

use super::Row;
use crate::cluster::Cluster;
use crate::configuration::{self as text, Handlers};
use crate::failure::{Failure, Result};
use crate::node::{Cable, Node, SHORT, Switch};
use crate::proc_drbd;
use crate::scenario::{Scenario, boots_since, claim};
use duet_oracle::phase::{Phase, recognise};
use duet_oracle::{Kind, Line, eventually};
use std::time::Duration;

/// How long Pacemaker and a resynchronisation may take in the slowest lab.
const PATIENCE: Duration = Duration::from_secs(180);
/// Once DRBD may write again, the guest has done so after this at the latest, also on a machine that has much else to do.
const AT_ONCE: Duration = Duration::from_secs(10);
/// What nobody may do is looked out for as long.
const A_WHILE: Duration = Duration::from_secs(5);

pub(super) fn table(scenario: Row) -> Vec<Scenario> {
    let takes = |ours, scenario| Scenario { ours, ..scenario };
    let needs = |why| Some(("crm-fence-peer", why));
    vec![
        scenario(
            "fence-link-cut",
            "the cable is pulled under a writing Primary, under resource-and-stonith, then resource-only",
            false,
            links::cut,
        ),
        takes(
            needs("the stock handler places a rule for a link that is back, and leaves it"),
            scenario(
                "fence-flapping",
                "the cable is pulled and plugged ten times, in the middle of everything; then the guest moves",
                false,
                links::flapping,
            ),
        ),
        scenario(
            "fence-peer-killed",
            "the Secondary's node loses power: writes wait for its fencing, and no longer",
            false,
            deaths::peer_killed,
        ),
        scenario(
            "fence-both-killed",
            "both nodes lose power during a cut, and the one with the old data comes back alone",
            false,
            deaths::both_killed,
        ),
        scenario(
            "fence-partition",
            "both networks are cut while fencing works, and the Primary is the one that is shot",
            false,
            deaths::partition,
        ),
        scenario(
            "fence-handler-killed",
            "the handler is killed while it writes the rule: I/O stays frozen until the peer is back",
            false,
            breaks::handler_killed,
        ),
        scenario(
            "fence-pacemaker-stopped",
            "Pacemaker is stopped on the Primary when the link drops: not fenced, frozen until the peer is back",
            false,
            breaks::pacemaker_stopped,
        ),
        takes(
            needs("the stock handler waits for cibadmin for ever"),
            scenario(
                "fence-cibadmin-hangs",
                "no answer of the CIB, over its socket or from cibadmin: the handler ends by itself, and leaves nothing running",
                false,
                breaks::cibadmin_hangs,
            ),
        ),
        scenario(
            "fence-promotion-race",
            "the Secondary is being promoted when the Primary's rule lands: it finds itself banned",
            false,
            races::promotion,
        ),
        scenario(
            "fence-unfence-race",
            "the link drops again while the rule is being removed: it is there in the end",
            false,
            races::unfence,
        ),
        takes(
            needs("it is ours that takes over"),
            scenario(
                "fence-stock-rule",
                "ours is linked in the stock handler's place while that one's rule stands",
                false,
                races::stock_rule,
            ),
        ),
        takes(
            needs("it is what ours costs beside the stock handlers"),
            Scenario {
                // Eight cuts, and nine calls by hand.
                bound: super::MINUTES(12),
                alone: true,
                ..scenario(
                    "fence-cost",
                    "the handlers' own times, ours and stock in turn, and for how long a writer waits for ours",
                    false,
                    cost::cost,
                )
            },
        ),
    ]
}

/// The guest's two nodes.
struct Pair<'a> {
    cluster: &'a Cluster,
    primary: &'a Node,
    secondary: &'a Node,
}

/// An answer of fence-peer, on the recorder's clock.
#[derive(Debug, Clone, Copy)]
struct Answer {
    called: Duration,
    at: Duration,
    code: u8,
}

impl<'a> Pair<'a> {
    fn steady(cluster: &'a Cluster) -> Result<Self> {
        let active = cluster.steady()?;
        Ok(Self {
            cluster,
            primary: cluster.lab.node(&active)?,
            secondary: cluster.other(&active)?,
        })
    }

    fn pull(&self) -> Result<Duration> {
        let words = format!("replication cable of {} pulled", self.secondary.name);
        let at = self.cluster.journal.mark(&words);
        self.secondary.cable(Cable::Replication, Switch::Off)?;
        Ok(at)
    }

    fn plug(&self) -> Result<Duration> {
        let words = format!("replication cable of {} plugged", self.secondary.name);
        let at = self.cluster.journal.mark(&words);
        self.secondary.cable(Cable::Replication, Switch::On)?;
        Ok(at)
    }

    /// When a step that is wanted came, in a node and after `since`.
    fn step<T>(
        &self,
        node: &Node,
        since: Duration,
        what: &str,
        wanted: impl Fn(&Phase) -> Option<T>,
    ) -> Result<(Duration, T)> {
        let what = format!("{what} in {}", node.name);
        let found = eventually(PATIENCE, &what, || {
            steps(self.cluster, node, since)
                .into_iter()
                .find_map(|(at, phase)| Some((at, wanted(&phase)?)))
        })?;
        Ok(found)
    }

    /// When a node's kernel has seen that the connection is lost.
    fn lost(&self, node: &Node, since: Duration) -> Result<Duration> {
        let wanted = |phase: &Phase| match phase {
            Phase::ConnectionLost { .. } => Some(()),
            _ => None,
        };
        Ok(self.step(node, since, "the loss of the connection", wanted)?.0)
    }

    /// When a node's kernel has called fence-peer.
    fn called(&self, node: &Node, since: Duration) -> Result<Duration> {
        let wanted = |phase: &Phase| match phase {
            Phase::HelperCalled { helper, .. } if helper == "fence-peer" => Some(()),
            _ => None,
        };
        Ok(self.step(node, since, "a call of fence-peer", wanted)?.0)
    }

    /// The next answer of fence-peer that a node's kernel has got, whatever it is.
    fn answered(&self, node: &Node, since: Duration) -> Result<Answer> {
        let called = self.called(node, since)?;
        let wanted = |phase: &Phase| match phase {
            Phase::HelperAnswered { helper, code, .. } if helper == "fence-peer" => Some(*code),
            _ => None,
        };
        let (at, code) = self.step(node, called, "an answer of fence-peer", wanted)?;
        Ok(Answer { called, at, code })
    }

    /// The same, and it must be this one.
    fn answers(&self, node: &Node, since: Duration, code: u8) -> Result<Answer> {
        let answer = self.answered(node, since)?;
        claim(answer.code == code, || {
            format!("fence-peer answered {} in {}, not {code}", answer.code, node.name)
        })?;
        Ok(answer)
    }

    /// Waits until a node's kernel says this of the guest's device.
    fn reaches(&self, node: &Node, wanted: &str) -> Result<()> {
        self.cluster.disk_reaches(node, wanted, PATIENCE)
    }

    /// The Primary writes, soon after it was let to; says when it did.
    fn goes_on(&self, since: Duration) -> Result<Duration> {
        let first = self.cluster.writing_on(&self.primary.name, since, SHORT)?;
        claim(first - since <= AT_ONCE, || {
            format!("the first write came {:.1} s late", (first - since).as_secs_f64())
        })?;
        Ok(first)
    }

    /// Nobody writes for a while.
    fn nobody_writes(&self) -> Result<()> {
        let since = self.cluster.journal.now();
        pause(A_WHILE);
        let heard = self.cluster.journal.serial_lines();
        let heard = heard.iter().find(|line| line.at > since && matches!(line.line, Line::Ack(_)));
        claim(heard.is_none(), || format!("somebody writes: {heard:?}"))
    }

    /// The rule in the CIB, asked in a node, allows the Primary and nobody else.
    fn banned(&self, asked: &Node) -> Result<()> {
        let allowed = rule(asked)?;
        claim(allowed.as_deref() == Some(std::slice::from_ref(&self.primary.name)), || {
            format!("the rule allows {allowed:?} and not {} alone", self.primary.name)
        })
    }

    /// Writes the resource's file with other handlers, in both nodes. Who is called is read at each call; the policy is
    /// the kernel's, so it is told.
    fn handlers(&self, handlers: &Handlers) -> Result<()> {
        let resource = text::drbd(&self.cluster.lab.nodes, handlers);
        self.cluster.everywhere(|node| {
            node.put(text::DRBD_FILE, &resource)?;
            let script = "drbdadm dump r0 >/dev/null && drbdadm adjust r0";
            node.sh(script, "changing the handlers").map(drop)
        })
    }

    /// All is as it was before: connected, in sync, no rule, the guest in the same node and never booted since `zero`,
    /// and one node at most was ever writable.
    fn whole(&self, zero: Duration) -> Result<()> {
        let still = self.cluster.steady()?;
        let active = &self.primary.name;
        claim(still == *active, || format!("the guest went from {active} to {still}"))?;
        claim(boots_since(self.cluster, zero) == 0, || "the guest was started again".to_owned())?;
        one_writable(self.cluster)
    }

    /// For how long at most the guest had no answer to a write, since `zero`.
    fn longest_silence(&self, zero: Duration) -> Duration {
        let lines = self.cluster.journal.serial_lines();
        let acks: Vec<Duration> = lines
            .iter()
            .filter(|line| matches!(line.line, Line::Ack(_)))
            .map(|line| line.at)
            .collect();
        let gaps = acks.windows(2).filter(|pair| pair[1] > zero).map(|pair| pair[1] - pair[0]);
        gaps.max().unwrap_or_default()
    }

    /// What the handler says of the situation when it is asked by hand; `None` where it is the stock one.
    fn explain(&self, node: &Node) -> Result<Option<String>> {
        if !self.cluster.programs.is_ours("crm-fence-peer") {
            return Ok(None);
        }
        let program = self.cluster.programs.called("crm-fence-peer");
        let ran = node.run(&format!("{program} --explain --resource r0"), SHORT)?;
        Ok(Some(format!("{}{}", ran.stdout, ran.stderr)))
    }
}

/// What a node has told since then, as steps.
fn steps(cluster: &Cluster, node: &Node, since: Duration) -> Vec<(Duration, Phase)> {
    let events = cluster.journal.since(since);
    let of_node = events.iter().filter(|event| event.source == node.name);
    let told = of_node.flat_map(|event| match &event.kind {
        Kind::Log(record) => recognise(record).into_iter().map(|phase| (event.at, phase)).collect(),
        Kind::Serial(_) | Kind::Mark(_) => Vec::new(),
    });
    told.collect()
}

/// One node at most was ever writable, over the whole life of the cluster.
pub(super) fn one_writable(cluster: &Cluster) -> Result<()> {
    match ledger::both_writable(&cluster.journal.events()) {
        None => Ok(()),
        Some(both) => {
            let at = both.at.as_secs_f64();
            let nodes = both.nodes.join(" and ");
            Err(Failure::broken(format!("{nodes} could write at the same time, at {at:.1} s")))
        }
    }
}

/// What a node's kernel says of the guest's device.
fn device(node: &Node) -> Result<String> {
    let text = node.read("/proc/drbd")?;
    Ok(proc_drbd::device(&text, proc_drbd::GUEST).unwrap_or_default().to_owned())
}

/// What shows the rule, and what removes it.
const RULE: &str = "cibadmin -Q --xpath \"//rsc_location[@rsc='ms_drbd' and \
    starts-with(@id,'drbd-fence-by-handler-r0')]\"";
const WITHOUT_RULE: &str = "cibadmin -D --xpath \"//rsc_location[@rsc='ms_drbd' and \
    starts-with(@id,'drbd-fence-by-handler-r0')]\"";

/// The nodes that the rule in the CIB allows to be promoted, asked in a node; `None` where there is no rule.
fn rule(asked: &Node) -> Result<Option<Vec<String>>> {
    let ran = asked.run(RULE, SHORT)?;
    if ran.status == NO_SUCH_PART {
        return Ok(None);
    }
    let text = ran.success("reading the rule")?;
    let broken =
        || Failure::broken(format!("This is no rule that bans nodes from promotion: {text}"));
    allowed(&text).map(Some).ok_or_else(broken)
}

/// cibadmin's exit status where the CIB has nothing that was asked for.
const NO_SUCH_PART: i32 = 105;

/// The nodes that a rule leaves free; `None` where it is not one rule of the meaning that all handlers write.
fn allowed(text: &str) -> Option<Vec<String>> {
    let is_rule = text.matches("<rsc_location").count() == 1
        && text.matches("<rule").count() == 1
        && text.contains("score=\"-INFINITY\"")
        && (text.contains("role=\"Master\"") || text.contains("role=\"Promoted\""));
    let mut names = Vec::new();
    for expression in text.split("<expression ").skip(1) {
        let expression = expression.split_once('>')?.0;
        let of = |name: &str| {
            let (_, after) = expression.split_once(&format!("{name}=\""))?;
            after.split_once('"').map(|(value, _)| value)
        };
        if of("attribute") != Some("#uname") || of("operation") != Some("ne") {
            return None;
        }
        names.push(of("value")?.to_owned());
    }
    names.sort();
    (is_rule && !names.is_empty()).then_some(names)
}

/// Between two looks.
#[allow(clippy::disallowed_methods, reason = "a scenario gives the cluster time")]
fn pause(long: Duration) {
    std::thread::sleep(long);
}

#[cfg(test)]
mod tests {
    use super::*;

    const STOCK: &str = r##"<rsc_location rsc="ms_drbd" id="drbd-fence-by-handler-r0-ms_drbd">
  <rule role="Master" score="-INFINITY" id="drbd-fence-by-handler-r0-rule-ms_drbd">
    <expression attribute="#uname" operation="ne" value="node2" id="drbd-fence-by-handler-r0-expr-ms_drbd"/>
  </rule>
</rsc_location>"##;

    #[test]
    fn a_rule_allows_those_it_names() {
        assert_eq!(allowed(STOCK), Some(vec!["node2".to_owned()]));
        let promoted = STOCK.replace("Master", "Promoted");
        assert_eq!(allowed(&promoted), Some(vec!["node2".to_owned()]));
    }

    #[test]
    fn what_bans_nobody_is_no_rule() {
        for (word, other) in [
            ("-INFINITY", "INFINITY"),
            ("Master", "Started"),
            ("\"ne\"", "\"eq\""),
            ("#uname", "site"),
            ("<expression", "<date_expression"),
        ] {
            assert_eq!(allowed(&STOCK.replace(word, other)), None, "{other}");
        }
        assert_eq!(allowed(&format!("{STOCK}{STOCK}")), None, "two of them");
    }
}
