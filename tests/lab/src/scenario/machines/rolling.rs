//! The stock programs are replaced by ours under a writing guest, and ours by them, by the commands of docs/migrate.md.
//! Invariant: nothing is typed here that does not stand there, but for what only an installation and an init system can do.

mod page;

use super::drbd::{FIRST, GOOD};
use super::{node_back, power_cut};
use crate::cluster::Cluster;
use crate::failure::{Failure, Result};
use crate::node::{Node, SHORT};
use crate::scenario::checks::{Calm, failures, forget_fencing, settled};
use crate::scenario::{Story, boots_since, claim};
use duet_oracle::{Line, eventually};
use page::{Block, Doing, Place, Tool, Way};
use std::time::Duration;

/// How long the guest may be without an answer to a write: two machines without KVM, two processors, and crmsh beside it.
const PATIENCE: Duration = Duration::from_secs(10);
/// What one block of commands may take; Python starts slowly here.
const BLOCK: Duration = Duration::from_secs(240);
/// What Pacemaker would do to the resources by what it knows of them now, maintenance mode or not.
const WITHOUT_MAINTENANCE: &str = "set -e; cibadmin --query >/run/lab/simulated.xml\n\
    CIB_file=/run/lab/simulated.xml crm_attribute --type crm_config --name maintenance-mode --update false\n\
    crm_simulate --simulate --xml-file=/run/lab/simulated.xml";

/// Whose agents the CIB's record of what runs must name: of the guest's resource and of DRBD's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Providers {
    guest: &'static str,
    drbd: &'static str,
}

const STOCK: Providers = Providers { guest: "heartbeat", drbd: "linbit" };
const OURS: Providers = Providers { guest: "rust", drbd: "rust" };

pub(super) fn replacement(cluster: &Cluster) -> Result<Story> {
    let blocks = page::blocks().map_err(Failure::broken)?;
    let active = cluster.steady()?;
    let node = cluster.lab.node(&active)?;
    settled(node)?;
    let found = failures(node)?;
    claim(found.is_empty(), || format!("the cluster does not begin whole: {found}"))?;
    forget_fencing(node)?;
    agents_are(cluster, STOCK)?;
    let zero = cluster.journal.mark("the stock programs are replaced by ours");
    let there = walk(cluster, &blocks, Way::There, Tool::Crm)?;
    agents_are(cluster, OURS)?;
    handlers_are(cluster, "/usr/lib/drbd/crm-fence-peer;")?;
    let replaced = cluster.journal.now();
    // With ours: fence_xvm and fence_virtd end the node, the handler answers, both agents take over.
    let cut = power_cut(cluster)?;
    let back = node_back(cluster)?;
    let survivor = cluster.steady()?;
    settled(cluster.lab.node(&survivor)?)?;
    forget_fencing(cluster.lab.node(&survivor)?)?;
    cluster.journal.mark("ours are replaced by the stock programs");
    let again = walk(cluster, &blocks, Way::Back, Tool::Pcs)?;
    agents_are(cluster, STOCK)?;
    handlers_are(cluster, "/usr/lib/drbd/crm-fence-peer.sh;")?;
    let figure =
        |story: &Story| Duration::from_secs_f64(story.figures.first().map_or(0.0, |one| one.1));
    Ok(Story::at(zero)
        .figure("there", replaced - zero)
        .figure("longest wait there", there)
        .figure("cut to first write", figure(&cut))
        .figure("node back", figure(&back))
        .figure("longest wait back", again))
}

/// All blocks of one way, with what must hold after each; the longest time without an acknowledged write comes back.
fn walk(cluster: &Cluster, blocks: &[Block], way: Way, tool: Tool) -> Result<Duration> {
    let active = cluster.steady()?;
    let calm = Calm::before(cluster)?;
    let zero = cluster.journal.now();
    // The node that has a processor to spare: the guest spins on the other one's.
    let idle = cluster.other(&active)?;
    for block in blocks.iter().filter(|block| block.is_for(way, tool)) {
        cluster.journal.mark(&format!("docs/migrate.md, line {}", block.line));
        match block.place {
            Place::OneNode => in_node(cluster, block, idle)?,
            Place::EveryNode => {
                cluster.lab.nodes.iter().try_for_each(|node| in_node(cluster, block, node))?;
            }
            Place::Host => on_host(cluster, block)?,
        }
        cluster.writing_on(&active, cluster.journal.now(), PATIENCE)?;
        let boots = boots_since(cluster, zero);
        claim(boots == 0, || format!("line {}: the guest booted", block.line))?;
        if block.script.contains("--modify") || block.script.contains("filter") {
            would_restart(idle, block)?;
        }
    }
    calm.kept(cluster)?;
    let found = failures(idle)?;
    claim(found.is_empty(), || format!("operations failed: {found}"))?;
    let still = cluster.steady()?;
    claim(still == active, || format!("the guest went from {active} to {still}"))?;
    let longest = longest_silence(cluster, zero);
    claim(longest <= PATIENCE, || {
        format!("no write was acknowledged for {:.1} s", longest.as_secs_f64())
    })?;
    Ok(longest)
}

/// Negative control: maintenance mode and the refresh are there for a reason, and the page's own trial would say so.
fn would_restart(node: &Node, block: &Block) -> Result<()> {
    let refreshes = block.script.contains("refresh");
    if refreshes {
        return Ok(());
    }
    let said = node.sh(WITHOUT_MAINTENANCE, "asking what would happen without maintenance mode")?;
    let stops = |name: &str| {
        said.lines().any(|line| {
            let line = line.trim_start();
            (line.starts_with("* Restart")
                || line.starts_with("* Stop")
                || line.starts_with("* Re-promote"))
                && line.contains(name)
        })
    };
    claim(stops("vm1"), || format!("line {}: nothing would be restarted: {said}", block.line))
}

fn in_node(cluster: &Cluster, block: &Block, node: &Node) -> Result<()> {
    block.doings().into_iter().try_for_each(|doing| match doing {
        Doing::Type(script) => node
            .run(&format!("set -e\n{script}"), BLOCK)?
            .success(&format!("docs/migrate.md, line {}, in {}", block.line, node.name))
            .map(drop),
        Doing::Install => {
            let (name, program) = program(cluster, "fence_xvm")?;
            let next = format!("{name}.new");
            node.put_program(&next, &program)?;
            let script = format!("mv {next} {name} && ln -sf fence_xvm /usr/sbin/fence_virt");
            node.sh(&script, "installing a program").map(drop)
        }
        Doing::RestartDaemon => Err(Failure::broken("No node has a fencing daemon")),
    })
}

fn on_host(cluster: &Cluster, block: &Block) -> Result<()> {
    block.doings().into_iter().try_for_each(|doing| match doing {
        Doing::Type(script) => {
            let doing = format!("docs/migrate.md, line {}, on the host", block.line);
            cluster.lab.host.sh(&format!("set -e\n{script}"), &doing).map(drop)
        }
        Doing::Install => {
            let (name, program) = program(cluster, "fence_virtd")?;
            cluster.lab.host.put_program(name, &program)
        }
        Doing::RestartDaemon => {
            cluster.kill_fence_daemon()?;
            cluster.start_fence_daemon()
        }
    })
}

/// One of ours that has the stock program's path, which is not there while that one was chosen.
fn program(cluster: &Cluster, name: &str) -> Result<(&'static str, Vec<u8>)> {
    let built = cluster
        .programs
        .built(name)
        .ok_or_else(|| Failure::broken(format!("There is no {name} of ours")))?;
    let doing = format!("read {}", built.built.display());
    Ok((built.installed, std::fs::read(&built.built).map_err(Failure::io(doing))?))
}

/// Every node's record of both resources names these agents.
fn agents_are(cluster: &Cluster, wanted: Providers) -> Result<()> {
    let first = &cluster.lab.nodes[0];
    eventually(SHORT, "every node to know both resources by their agents", || {
        let text = first
            .run("cibadmin --query --scope status", SHORT)
            .map_err(|error| error.to_string())?
            .stdout;
        let found = [("vm1", wanted.guest), ("p_drbd", wanted.drbd)].map(|(id, provider)| {
            let of_it = |line: &&str| {
                line.contains("<lrm_resource ") && line.contains(&format!("id=\"{id}\""))
            };
            let mut lines = text.lines().filter(of_it).peekable();
            lines.peek().is_some()
                && lines.all(|line| line.contains(&format!("provider=\"{provider}\"")))
        });
        if found == [true, true] { Ok(()) } else { Err(text) }
    })?;
    let [one, other] = [&cluster.lab.nodes[0], &cluster.lab.nodes[1]];
    FIRST.scored(one, [(one, GOOD), (other, GOOD)])
}

fn handlers_are(cluster: &Cluster, wanted: &str) -> Result<()> {
    cluster.lab.nodes.iter().try_for_each(|node| {
        // It quotes what has blanks.
        let text = node.sh("drbdadm dump r0", "reading DRBD's configuration")?.replace('"', "");
        claim(text.contains(wanted), || format!("{}: no handler {wanted}: {text}", node.name))
    })
}

/// For how long at most the guest had no answer to a write, since `zero`.
fn longest_silence(cluster: &Cluster, zero: Duration) -> Duration {
    let lines = cluster.journal.serial_lines();
    let acks: Vec<Duration> =
        lines.iter().filter(|line| matches!(line.line, Line::Ack(_))).map(|line| line.at).collect();
    let gaps = acks.windows(2).filter(|pair| pair[1] > zero).map(|pair| pair[1] - pair[0]);
    gaps.max().unwrap_or_default()
}
