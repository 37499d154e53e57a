//! One cluster's turn: what is done to it and what is read off. Invariant: the stock programs and ours are treated alike, and
//! the power cut never hits the designated controller, whose election would be in some figures and not in others, and comes at
//! one place of DRBD's own timer.

use super::Whose;
use super::idle::{self, Idle};
use crate::cluster::Cluster;
use crate::failure::{Failure, Result};
use crate::node::{Node, SHORT};
use crate::runner;
use crate::scenario::{self, Story};
use crate::yardstick::phases::{self, Disturbance};
use duet_oracle::Kind;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

/// What the cluster still does after a disturbance is not to be in the figures of the next.
const SETTLE: Duration = Duration::from_secs(15);

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// In the order of a turn: nothing is disturbed before it is idle, and after a power cut a node is gone.
    Idle,
    Move,
    PowerCut,
}

impl Part {
    pub(crate) const ALL: [Self; 3] = [Self::Idle, Self::Move, Self::PowerCut];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Move => "move",
            Self::PowerCut => "power-cut",
        }
    }

    pub(super) fn about(self) -> &'static str {
        match self {
            Self::Idle => {
                "processes and processor time of an idle cluster's monitors: ours a tenth"
            }
            Self::Move => "a planned move: with ours the guest is silent for a quarter less",
            Self::PowerCut => {
                "a power cut: with ours no phase is slower, and from fencing to the guest's start it is 40 % less"
            }
        }
    }
}

/// Of a power cut, where the agent has asked libvirt to start the guest.
pub(super) const ASKED: &str = "libvirt is asked";

/// Seconds since the last acknowledged write, by the phase's name.
pub(super) type Phases = BTreeMap<&'static str, f64>;

/// One cluster's figures.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Taken {
    pub(super) idle: Option<Idle>,
    pub(super) moved: Option<Phases>,
    pub(super) cut: Option<Phases>,
}

impl Taken {
    /// What is worth a line while it runs.
    pub(super) fn line(&self) -> String {
        let mut text = String::new();
        if let Some(idle) = &self.idle {
            let cost = idle.of_monitors();
            let _ = write!(
                text,
                "monitors {:.1} forks, {:.2} s of CPU a minute; ",
                cost.forks, cost.cpu
            );
        }
        for (name, phases, end) in [
            ("move", &self.moved, "downtime"),
            ("power cut", &self.cut, "first acknowledged write"),
        ] {
            if let Some(seconds) = phases.as_ref().and_then(|phases| phases.get(end)) {
                let _ = write!(text, "{name} {seconds:.2} s; ");
            }
        }
        text
    }
}

/// Measures one cluster, which is not whole afterwards.
pub(super) fn take(
    cluster: &Arc<Cluster>,
    parts: &[Part],
    tell: &mut dyn FnMut(&str),
) -> Result<Taken> {
    let mut taken = Taken::default();
    for part in Part::ALL.into_iter().filter(|part| parts.contains(part)) {
        tell(part.name());
        cluster.steady()?;
        std::thread::sleep(SETTLE);
        match part {
            Part::Idle => taken.idle = Some(idle::measure(cluster)?),
            Part::Move => taken.moved = Some(disturbed(cluster, Disturbance::Move, None)?.1),
            Part::PowerCut => {
                away_from_controller(cluster)?;
                let (zero, mut phases) =
                    disturbed(cluster, Disturbance::PowerCut, Some(cut_between_looks))?;
                let survivor = cluster.writing_since(cluster.journal.now(), SHORT)?;
                let asked = libvirt_asked(cluster, cluster.lab.node(&survivor)?)?;
                phases.insert(ASKED, asked.as_secs_f64() - zero.as_secs_f64());
                taken.cut = Some(phases);
            }
        }
    }
    Ok(taken)
}

/// The phases of a disturbance, and the last acknowledged write before the guest was silent. `run` is in place of the scenario's own.
fn disturbed(
    cluster: &Arc<Cluster>,
    disturbance: Disturbance,
    run: Option<fn(&Cluster) -> Result<Story>>,
) -> Result<(Duration, Phases)> {
    let name = format!("machines/{}", disturbance.name());
    let scenario = scenario::all()
        .into_iter()
        .find(|scenario| scenario::full_name(scenario) == name)
        .ok_or_else(|| Failure::broken(format!("There is no scenario {name}")))?;
    let run = run.unwrap_or(scenario.run);
    // It takes the cluster as it is: to look once more whether it is steady is a load of its own.
    let story: Story =
        runner::bounded(cluster, &scenario::Scenario { takes_over: true, run, ..scenario })?;
    std::thread::sleep(SETTLE);
    let events = cluster.journal.events();
    let zero = phases::last_write(&events, story.zero, Duration::MAX);
    let sample = phases::read(disturbance, &story, &events, Duration::MAX);
    Ok((zero, sample.seconds))
}

/// Of two looks at the peer by the node that will be left, `ping-int` (5 s) apart, waits for one and then for half the time to the
/// next. Between looks nothing is sent as long as the peer's data comes (`drbd_ack_receiver`, `drivers/block/drbd/drbd_receiver.c`:
/// the receive on the second connection times out, and the data connection's last packet is younger than that), and
/// the first look without data since the one before sends a ping: the loss is seen one to two `ping-int` after the cut, and
/// `ping-timeout` (1 s). Which of it is the cut's place between two looks, whoever's agents run; a cut at one place measures alike.
/// A look is a wake of the receiving thread, which nothing else wakes where the node only receives.
const BETWEEN_LOOKS: &str = "\
    p=; for s in /proc/[0-9]*; do read -r c 2>/dev/null <$s/comm || continue; [ \"$c\" != drbd_a_r0 ] || p=$s; done\n\
    [ \"$p\" ] || { echo no thread drbd_a_r0 >&2; exit 1; }\n\
    woken() { while read -r k v; do [ \"$k\" != voluntary_ctxt_switches: ] || n=$v; done <$p/status; }\n\
    woken; before=$n; i=0\n\
    while woken; [ \"$n\" = \"$before\" ]; do\n\
    i=$((i + 1)); [ $i -lt 100 ] || { echo drbd_a_r0 sleeps on >&2; exit 1; }; sleep 0.1; done\n\
    sleep 2.5";

/// A power cut of the active node at one place of the other one's timer.
fn cut_between_looks(cluster: &Cluster) -> Result<Story> {
    let active = cluster.steady()?;
    cluster.other(&active)?.sh(BETWEEN_LOOKS, "waiting for DRBD's look at its peer")?;
    scenario::machines::power_cut_of(cluster, &active)
}

/// Moves the guest where it is on the designated controller's node.
fn away_from_controller(cluster: &Cluster) -> Result<()> {
    let active = cluster.steady()?;
    let node = cluster.lab.node(&active)?;
    let said = node.sh("crmadmin -D -q 2>/dev/null || crmadmin -D", "asking who is the DC")?;
    let controller = said.split_whitespace().next_back().unwrap_or_default();
    if controller != active {
        return Ok(());
    }
    let other = cluster.other(&active)?.name.clone();
    let since = cluster.journal.mark(&format!("the guest goes to {other}: {active} is the DC"));
    node.sh(
        &format!("crm_resource --move -r vm1 --node {other}"),
        "moving the guest away from the DC",
    )?;
    cluster.writing_on(&other, since, Duration::from_secs(180))?;
    node.sh("crm_resource --clear -r vm1", "clearing the move")?;
    scenario::checks::settled(node)?;
    cluster.steady()?;
    std::thread::sleep(SETTLE);
    Ok(())
}

/// When libvirt began to start the guest in this node, on the recorder's clock: by libvirt's own log of the guest, whose clock
/// is compared with the recorder's by a line that says the node's time.
fn libvirt_asked(cluster: &Cluster, node: &Node) -> Result<Duration> {
    let before = cluster.journal.now();
    let said = node.sh(
        &format!(
            "l=$(grep 'starting up libvirt version' /var/log/libvirt/qemu/vm1.log | tail -n 1)\n\
             date -u -d \"${{l%%: starting*}}\" +%s.%N\nlogger -t {CLOCK} $(date +%s.%N)"
        ),
        "reading when libvirt was asked",
    )?;
    let unclear = || Failure::broken(format!("libvirt's log of the guest says {said:?}"));
    let asked: f64 = said.trim().parse().map_err(|_| unclear())?;
    let clock = duet_oracle::eventually(SHORT, "the node's clock", || {
        clock(&cluster.journal.events(), before, &node.name).ok_or("nothing")
    })?;
    let ago = clock.1 - asked;
    let at = clock.0.as_secs_f64() - ago;
    Duration::try_from_secs_f64(at).map_err(|_| unclear())
}

/// The tag of a line that says the node's time.
const CLOCK: &str = "lab-clock";

/// When a node said the time, and which.
fn clock(events: &[duet_oracle::Event], since: Duration, node: &str) -> Option<(Duration, f64)> {
    events.iter().rev().take_while(|event| event.at >= since).find_map(|event| match &event.kind {
        Kind::Log(record) if record.tag == CLOCK && event.source == node => {
            Some((event.at, record.text.trim().parse().ok()?))
        }
        _ => None,
    })
}

/// Every figure of every cluster, in the order in which they were taken.
pub(super) fn samples(taken: &[(Whose, Taken)]) -> String {
    let mut text = String::from("Samples, seconds since the last acknowledged write:\n");
    for (number, (whose, one)) in taken.iter().enumerate() {
        for (name, phases) in [("power cut", &one.cut), ("move", &one.moved)] {
            let Some(phases) = phases else { continue };
            let mut phases: Vec<_> = phases.iter().collect();
            phases.sort_by(|one, other| one.1.total_cmp(other.1));
            let phases: Vec<String> =
                phases.iter().map(|(name, seconds)| format!("{name} {seconds:.2}")).collect();
            let _ =
                writeln!(text, "  {} {name} {}: {}", number + 1, whose.name(), phases.join(", "));
        }
        if let Some(Idle { monitored, maintained }) = &one.idle {
            let _ = writeln!(
                text,
                "  {} idle {}, both nodes, a minute: with monitors {:.1} forks and {:.2} s of CPU, \
                 in maintenance mode {:.1} and {:.2}",
                number + 1,
                whose.name(),
                monitored.forks,
                monitored.cpu,
                maintained.forks,
                maintained.cpu
            );
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use duet_oracle::{Event, Record};

    #[test]
    fn the_nodes_own_clock_is_the_latest_it_said() {
        let said = |seconds, source: &str, text: &str| Event {
            at: Duration::from_secs(seconds),
            source: source.to_owned(),
            kind: Kind::Log(Record {
                tag: CLOCK.into(),
                pid: None,
                severity: 5,
                text: text.to_owned(),
            }),
        };
        let events =
            [said(1, "node1", "100.5"), said(5, "node1", "104.5"), said(6, "node2", "9.0")];
        let clock = |since, node| clock(&events, Duration::from_secs(since), node);
        assert_eq!(clock(0, "node1"), Some((Duration::from_secs(5), 104.5)));
        assert_eq!(clock(6, "node1"), None);
    }
}
