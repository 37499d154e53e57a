//! What our handler costs beside the stock ones, with the real tools and the real module, in one run: its own time from call
//! to answer, and for how long a writing Primary has to wait for it. Invariant: the gates compare figures of this run only,
//! so a slow machine misses none of them.

use super::{PATIENCE, Pair, WITHOUT_RULE};
use crate::bench::{PROGRAM, in_node, program};
use crate::cluster::Cluster;
use crate::configuration::Handlers;
use crate::failure::{Failure, Result};
use crate::node::Node;
use crate::node_files::index;
use crate::scenario::checks::settled;
use crate::scenario::{Story, claim};
use duet_bench::{Callgrind, Command, Plan, Timing, median};
use duet_oracle::eventually;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

/// How often each handler is called by hand, in shuffled rounds.
const ROUNDS: usize = 3;
/// How often the cable is pulled with each handler.
const CUTS: usize = 4;
/// The stock handlers, and how many times less ours takes at least.
const STOCK: [(&str, f64); 2] =
    [("/usr/lib/drbd/crm-fence-peer.sh", 4.0), ("/usr/lib/drbd/crm-fence-peer.9.sh", 8.0)];
/// How much longer than with a handler that only says 4 writes wait at most, in seconds, on a machine where the first stock
/// handler takes this long; in proportion on a slower one.
const LONGER: f64 = 0.5;
const STOCK_TAKES: f64 = 2.3;
/// The device's second half, which the guest does not use.
const OFFSET: u64 = 32 << 20;
const LOG: &str = "/run/lab/writes";
/// A handler that knows nothing and says that all is well.
const ONLY_SAYS: &str = "exit 4";

pub(super) fn cost(cluster: &Cluster) -> Result<Story> {
    let pair = Pair::steady(cluster)?;
    let ours = cluster.programs.called("crm-fence-peer");
    // A guest whose disk is frozen spins on the only processor.
    let guest = |change: &str| {
        pair.secondary.sh(&format!("crm_resource -r vm1 --meta {change}"), "changing the guest")?;
        settled(pair.secondary)
    };
    guest("-p target-role -v Stopped")?;
    pair.primary.put_program(PROGRAM, &program()?)?;
    let zero = cluster.journal.mark("the guest is stopped; another writer begins");
    pair.primary.sh(
        &format!("setsid {PROGRAM} write /dev/drbd0 {OFFSET} {LOG} </dev/null >/run/lab/writer 2>&1 & echo $! >/run/lab/writer.pid"),
        "starting a writer",
    )?;
    let kinds = [ONLY_SAYS, ours];
    let mut waits: BTreeMap<&str, Vec<Wait>> = BTreeMap::new();
    let mut times = Vec::new();
    for cut in 0..CUTS {
        for kind in kinds {
            let is_last = cut + 1 == CUTS && kind == ours;
            handler(&pair, kind)?;
            let known = written(pair.primary)?.len();
            pair.pull()?;
            waits.entry(kind).or_default().push(waited(&pair, known)?);
            if is_last {
                times = by_hand(&pair, ours)?;
            }
            pair.plug()?;
            pair.reaches(pair.primary, "cs:Connected ro:Primary/Secondary ds:UpToDate/UpToDate")?;
            without_rule(&pair)?;
        }
    }
    pair.primary.sh("kill $(cat /run/lab/writer.pid)", "ending the writer")?;
    pair.handlers(&Handlers::of(&cluster.programs))?;
    guest("-d target-role")?;
    let still = cluster.steady()?;
    claim(still == pair.primary.name, || format!("the guest went to {still}"))?;
    super::one_writable(cluster)?;
    let figures = Figures { times, waits, ours };
    let text = figures.text();
    cluster.journal.mark(&text);
    let [handler, freeze] = figures.judge()?;
    Ok(Story::at(zero)
        .figure("handler", Duration::from_secs_f64(handler))
        .figure("I/O waits longer", Duration::from_secs_f64(freeze.max(0.0)))
        .paper("fence-cost.txt", text))
}

/// Another handler in the Primary, which is called at the next loss.
fn handler(pair: &Pair<'_>, fence: &str) -> Result<()> {
    let unfence = match fence {
        ONLY_SAYS => "true".to_owned(),
        _ => Handlers::at(fence).unfence,
    };
    let handlers = Handlers { unfence, ..Handlers::at(fence) };
    let resource = crate::configuration::drbd(&pair.cluster.lab.nodes, &handlers);
    pair.primary.put(crate::configuration::DRBD_FILE, &resource)
}

fn without_rule(pair: &Pair<'_>) -> Result<()> {
    eventually(PATIENCE, "the rule to be gone", || match super::rule(pair.primary) {
        Ok(None) => Ok(()),
        Ok(Some(allowed)) => Err(format!("it allows {allowed:?}")),
        Err(error) => Err(error.to_string()),
    })?;
    Ok(())
}

/// Every handler with the environment that it has when DRBD calls it, the link being cut and no rule there.
fn by_hand(pair: &Pair<'_>, ours: &str) -> Result<Vec<Timing>> {
    let peer = &pair.secondary.name;
    let environment: BTreeMap<String, String> = [
        ("DRBD_CONF", "/etc/drbd.conf"),
        ("DRBD_DONT_WARN_ON_VERSION_MISMATCH", "1"),
        ("DRBD_MINOR", "0"),
        ("DRBD_PEER", peer),
        ("DRBD_PEERS", peer),
        ("DRBD_PEER_ADDRESS", &format!("10.78.0.{}", index(peer))),
        ("DRBD_PEER_AF", "ipv4"),
        ("DRBD_RESOURCE", "r0"),
        ("HOME", "/"),
        ("PATH", "/sbin:/usr/sbin:/bin:/usr/bin:/lib/drbd"),
        ("PWD", "/"),
        ("TERM", "linux"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    let command = |name: &str, script: &str| Command {
        name: name.to_owned(),
        argv: ["sh", "-c", script].map(str::to_owned).to_vec(),
        env: environment.clone(),
        callgrind: Callgrind::Never,
    };
    let group = |handler: &str| {
        vec![command(WITHOUT, WITHOUT_RULE), command(handler, &format!("exec {handler}"))]
    };
    let groups = [ours, STOCK[0].0, STOCK[1].0].map(group).to_vec();
    let plan = Plan { rounds: ROUNDS, warm_up: 0, groups, at_once: 0 };
    let mut timings: Vec<Timing> =
        in_node(pair.primary, "rounds", &plan, Duration::from_secs(600))?;
    timings.retain(|timing| timing.name != WITHOUT);
    // The last one's may be another program's, whose meaning ours understands.
    pair.banned(pair.primary)?;
    Ok(timings)
}

/// What removes the rule between two of them.
const WITHOUT: &str = "without a rule";

/// How long one write had to wait, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Wait {
    /// Until DRBD noticed the loss.
    unnoticed: f64,
    /// From there on.
    frozen: f64,
    /// What of that the handler took, with drbdadm before it.
    handler: f64,
}

/// The write that was caught by the cut, once it is answered.
fn waited(pair: &Pair<'_>, known: usize) -> Result<Wait> {
    let wait = eventually(PATIENCE, "an answer to the write that was caught", || {
        let all = written(pair.primary).map_err(|error| error.to_string())?;
        let log = pair.primary.sh("dmesg", "reading the kernel's log");
        let log = log.map_err(|error| error.to_string())?;
        caught(&all[known.min(all.len())..], &log).ok_or_else(|| format!("{all:?}"))
    })?;
    Ok(wait)
}

/// What the writer has told: when a write began, and when it was answered.
fn written(node: &Node) -> Result<Vec<(f64, f64)>> {
    let text = node.sh(&format!("cat {LOG} 2>/dev/null || :"), "reading the writer's log")?;
    let line = |line: &str| {
        let (began, ended) = line.split_once(' ')?;
        Some((began.parse().ok()?, ended.parse().ok()?))
    };
    Ok(text.lines().filter_map(line).collect())
}

/// Which of the writes was waiting when I/O was frozen last, by the kernel's log, and for what.
fn caught(writes: &[(f64, f64)], log: &str) -> Option<Wait> {
    let lines: Vec<(f64, &str)> = log.lines().filter_map(stamped).collect();
    let (stamp, clock) = lines
        .iter()
        .find_map(|(at, text)| Some((*at, text.strip_prefix("duet-bench: clock ")?)))?;
    let offset = clock.parse::<f64>().ok()? - stamp;
    let last = |after: f64, words: &[&str]| {
        let is = |(at, text): &&(f64, &str)| {
            *at >= after && words.iter().all(|word| text.contains(word))
        };
        lines.iter().rev().find(is).map(|(at, _)| *at)
    };
    let frozen = last(0.0, &["drbd r0:", "susp( 0 -> 1 )"])?;
    let called = last(frozen, &["fence-peer r0"]).and_then(|_| {
        lines.iter().find(|(at, text)| *at >= frozen && text.ends_with("fence-peer r0"))
    })?;
    let answered = last(called.0, &["fence-peer r0 exit code"])?;
    let frozen_at = frozen + offset;
    let (began, ended) =
        writes.iter().find(|(began, ended)| *began <= frozen_at && frozen_at <= *ended)?;
    Some(Wait {
        unnoticed: frozen_at - began,
        frozen: ended - frozen_at,
        handler: answered - called.0,
    })
}

/// A line of dmesg, and its time in seconds.
fn stamped(line: &str) -> Option<(f64, &str)> {
    let (stamp, text) = line.strip_prefix('[')?.split_once("] ")?;
    Some((stamp.trim().parse().ok()?, text.trim_end()))
}

struct Figures<'a> {
    times: Vec<Timing>,
    waits: BTreeMap<&'a str, Vec<Wait>>,
    ours: &'a str,
}

impl Figures<'_> {
    /// The median of a handler's time, in seconds.
    fn takes(&self, handler: &str) -> Result<f64> {
        let timing = self.times.iter().find(|timing| timing.name == handler);
        let timing = timing.filter(|timing| timing.statuses.iter().eq([&4])).ok_or_else(|| {
            Failure::broken(format!("{handler} did not always answer 4: {timing:?}"))
        })?;
        let took = median(&timing.wall_ms).unwrap_or(f64::NAN) / 1e3;
        Ok(took)
    }

    fn middle(&self, kind: &str, of: fn(&Wait) -> f64) -> f64 {
        let samples: Vec<f64> = self.waits.get(kind).into_iter().flatten().map(of).collect();
        median(&samples).unwrap_or(f64::NAN)
    }

    /// Every gate; ours and by how much writes waited longer come back.
    fn judge(&self) -> Result<[f64; 2]> {
        let ours = self.takes(self.ours)?;
        for (handler, times) in STOCK {
            let stock = self.takes(handler)?;
            claim(ours * times <= stock, || {
                format!("{handler} takes {stock:.2} s, ours {ours:.2} s: not {times} times less")
            })?;
        }
        let [only_says, with_ours] =
            [ONLY_SAYS, self.ours].map(|kind| self.middle(kind, |wait| wait.frozen));
        let limit = LONGER * (self.takes(STOCK[0].0)? / STOCK_TAKES).max(1.0);
        let longer = with_ours - only_says;
        claim(longer <= limit, || {
            format!(
                "I/O is frozen for {with_ours:.2} s with ours and {only_says:.2} s with {ONLY_SAYS:?}: \
                 longer by {longer:.2} s, not by {limit:.2} s at most"
            )
        })?;
        Ok([ours, longer])
    }

    fn text(&self) -> String {
        let mut text = String::from(
            "fence-peer by hand, the link cut and no rule there, from call to answer (s):\n",
        );
        for Timing { name, wall_ms, cpu_ms, statuses } in &self.times {
            let [wall, cpu] = [wall_ms, cpu_ms].map(|samples| {
                let seconds: Vec<String> =
                    samples.iter().map(|one| format!("{:.3}", one / 1e3)).collect();
                seconds.join(" ")
            });
            let middle = median(wall_ms).unwrap_or(f64::NAN) / 1e3;
            let _ = writeln!(
                text,
                "  {name}: median {middle:.3}; all {wall}; CPU {cpu}; answers {statuses:?}"
            );
        }
        text += "A write that was caught by a cut (s): until DRBD noticed, frozen from there on, of that the handler:\n";
        for (kind, waits) in &self.waits {
            let [unnoticed, frozen, handler] = [
                |wait: &Wait| wait.unnoticed,
                |wait: &Wait| wait.frozen,
                |wait: &Wait| wait.handler,
            ]
            .map(|of| self.middle(kind, of));
            let _ = writeln!(text, "  {kind}: median {unnoticed:.3} {frozen:.3} {handler:.3}");
            for wait in waits {
                let Wait { unnoticed, frozen, handler } = wait;
                let _ = writeln!(text, "    {unnoticed:.3} {frozen:.3} {handler:.3}");
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
[   90.000000] duet-bench: clock 90.500000
[  168.362641] drbd r0: peer( Secondary -> Unknown ) conn( Connected -> NetworkFailure ) pdsk( UpToDate -> DUnknown ) susp( 0 -> 1 ) 
[  168.396241] drbd r0: helper command: /sbin/drbdadm fence-peer r0
[  174.743002] drbd r0: helper command: /sbin/drbdadm fence-peer r0 exit code 4 (0x400)
[  174.767300] drbd r0: susp( 1 -> 0 ) 
";

    #[test]
    fn a_write_waits_for_the_loss_to_be_noticed_and_then_for_the_handler() {
        let writes = [(95.0, 95.2), (165.862_641, 175.362_641)];
        let wait = caught(&writes, LOG).unwrap();
        let rounded = [wait.unnoticed, wait.frozen, wait.handler].map(|one| (one * 1e3).round());
        assert_eq!(rounded, [3000.0, 6500.0, 6347.0]);
    }

    #[test]
    fn a_write_that_is_still_waiting_or_was_not_caught_is_none() {
        assert_eq!(caught(&[(95.0, 95.2)], LOG), None);
        let unanswered = LOG.replace("exit code", "nothing yet");
        assert_eq!(caught(&[(165.9, 175.4)], &unanswered), None);
    }

    fn figures(ours: f64, frozen: f64) -> Figures<'static> {
        let timing = |name: &str, seconds: f64| Timing {
            name: name.into(),
            wall_ms: vec![seconds * 1e3],
            cpu_ms: vec![1.0],
            statuses: [4].into(),
        };
        let wait = |frozen| vec![Wait { unnoticed: 3.0, frozen, handler: 0.1 }];
        Figures {
            times: vec![timing("ours", ours), timing(STOCK[0].0, 4.6), timing(STOCK[1].0, 9.4)],
            waits: [(ONLY_SAYS, wait(0.3)), ("ours", wait(frozen))].into(),
            ours: "ours",
        }
    }

    #[test]
    fn each_gate_is_missed_by_what_is_beyond_it() {
        // The first stock handler takes 4.6 s and the second 9.4 s: a machine that is half as fast.
        assert!(figures(1.14, 1.29).judge().is_ok());
        assert!(figures(1.16, 1.29).judge().is_err(), "more than a quarter of the first one");
        assert!(figures(1.14, 1.31).judge().is_err(), "the freeze");
        let mut second = figures(1.14, 1.29);
        second.times[2].wall_ms = vec![9.0e3];
        assert!(second.judge().is_err(), "more than an eighth of the second one");
        let mut refused = figures(1.14, 1.29);
        refused.times[0].statuses.insert(1);
        assert!(refused.judge().is_err(), "another answer");
    }
}
