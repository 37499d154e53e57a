//! What breaks in a node of machines, and how it is mended: one table for scenarios that break one thing, and for those that
//! break many. Invariant: `heal` may come at any time after `inflict`, also when the node was fenced or rebooted meanwhile,
//! and where nothing is left to mend it changes nothing.

use super::MINUTES;
use crate::cluster::Cluster;
use crate::failure::Result;
use crate::node::{Cable, Node, SHORT, Switch};
use crate::proc_drbd;
use crate::scenario::checks::{failures, forget_failures, settled_within};
use duet_oracle::eventually;
use std::time::Duration;

/// One thing that breaks. It is done to a node; what that node was doing is the scenario's choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Disturbance {
    /// Its power is cut.
    PowerCut,
    /// Its processors stand still, as on an overloaded host.
    Freeze,
    /// Its replication cable is pulled: DRBD's, and one of corosync's two rings.
    ReplicationCut,
    /// corosync hears nobody on either ring. DRBD stays connected, and who fences can be asked.
    ClusterCut,
    /// Neither corosync nor DRBD reaches the other nodes. Who fences can be asked.
    BothCut,
    /// The disk under DRBD answers with errors only.
    DiskFails,
    /// No block is left in its root file system, not even for root.
    DiskFull,
    /// The guest's QEMU is killed; nothing happens where it does not run.
    GuestKilled,
    /// libvirtd is killed. Guests run on.
    LibvirtdKilled,
    /// All of Pacemaker is killed, corosync is not.
    PacemakerKilled,
    /// One daemon of Pacemaker's is killed, by the end of its name: `execd`.
    DaemonKilled(&'static str),
    /// `crm node standby`.
    Standby,
    /// The guest is told to leave (`crm resource move`).
    Leave,
}

/// Fills a file system to its last block, what is kept for root included: large pieces first, which cost nothing to
/// allocate, then what is left. Before it, the directories that crmsh makes at its first start and cannot start without: who looks
/// after a node has typed `crm` in it before.
const FILL: &str = "mkdir -p /root/.cache/crm /root/.config/crm; cd /var; piece=$(($(stat -f -c '%f*%S' .))); i=0; \
    while [ $piece -ge 65536 ]; do i=$((i + 1)); fallocate -l $piece lab-full.$i 2>/dev/null || rm -f lab-full.$i; \
    piece=$((piece / 2)); [ $piece -le $(($(stat -f -c '%f*%S' .))) ] || piece=$(($(stat -f -c '%f*%S' .))); \
    [ $i -lt 60 ] || break; done; \
    dd if=/dev/zero of=lab-full.0 bs=4096 status=none 2>/dev/null; sync -f .; \
    ! dd if=/dev/zero of=lab-full.last bs=4096 count=1 conv=fsync status=none 2>/dev/null";
/// Pacemaker gives up writing its CIB when it has failed once, until it is restarted or sent this signal.
const FREE: &str = "rm -f /var/lab-full.*; p=$(pidof pacemaker-based) || exit 0; kill -PIPE $p";

/// corosync's packets: knet takes the port after it for each further ring.
const DEAF: &str = "nft -f - <<'END'\ntable inet lab {\n chain from { type filter hook input priority 0; udp dport 5404-5412 drop; }\n \
    chain to { type filter hook output priority 0; udp dport 5404-5412 drop; }\n}\nEND";
const HEARING: &str = "! nft list table inet lab >/dev/null 2>&1 || nft delete table inet lab";

const LIBVIRTD: &str = "pidof libvirtd >/dev/null || libvirtd --daemon --listen";
const DAEMONS: &str = "pacemakerd pacemaker-based pacemaker-fenced pacemaker-execd pacemaker-attrd \
    pacemaker-schedulerd pacemaker-controld";
/// A node that was fenced starts it by itself, so that is waited for first.
const PACEMAKER: &str = "i=0; until pidof pacemakerd >/dev/null; do i=$((i + 1)); [ $i -lt 40 ] || break; sleep 0.5; done; \
    lab-cluster start";

/// True where pacemakerd has left parts dead. Before it starts one again it asks corosync by a connection of its own
/// whether the cluster is there; one that is broken off, as it seems by the signal of the next part's death, is a no, and then
/// it waits for a cluster that has never gone (pcmk_process_exit and pcmkd_corosync_connected; seen with 2.1.5 and
/// 3.0.0). The other node fences it for that if it knew it before, and only then.
pub(super) const NOT_STARTED_AGAIN: &str = "pidof pacemakerd >/dev/null && \
    ! { pidof pacemaker-based && pidof pacemaker-fenced && pidof pacemaker-attrd; } >/dev/null && \
    grep -aq 'Not respawning .* until cluster returns' /var/log/pacemaker/pacemaker.log";
/// True in a node that was fenced and has heard of it: one that boots before corosync misses it (11 s) gets the message that
/// was kept back for it, and its Pacemaker stops and stays stopped (`fence-reaction=stop`).
const STAYS_DOWN: &str = "! pidof pacemakerd >/dev/null && \
    grep -aq 'We were allegedly just fenced' /var/log/pacemaker/pacemaker.log";
const RESTART: &str = "kill $(pidof pacemakerd) || exit; i=0; while pidof pacemakerd >/dev/null; do \
    i=$((i + 1)); [ $i -lt 1000 ] || exit 1; sleep 0.2; done; lab-cluster start";

impl Disturbance {
    /// How long Pacemaker may have, once it is healed, until nothing is left to do. An action that Pacemaker (2.1.5) sends to a node
    /// whose controller is just being started again is lost, and waited for as long as its own timeout and 60 s more
    /// (`cluster-delay`): 300 s where it is the longest of the lab's, the start of DRBD. Where it was a stop, the node is fenced then.
    pub(super) fn patience(self) -> Duration {
        match self {
            Self::DaemonKilled("attrd") => MINUTES(2),
            Self::DaemonKilled(_) => MINUTES(6),
            _ => MINUTES(2),
        }
    }

    /// Whether what it kills runs in `node`. After the first of two blows it may not: killed already, or not started yet.
    pub(super) fn can_meet(self, node: &Node) -> Result<bool> {
        let daemon = match self {
            Self::LibvirtdKilled => "libvirtd",
            Self::PacemakerKilled => "pacemakerd",
            Self::DaemonKilled(name) => &format!("pacemaker-{name}"),
            _ => return Ok(true),
        };
        Ok(node.run(&format!("pidof {daemon}"), SHORT)?.status == 0)
    }

    /// Breaks it in `node`; says when, on the recorder's clock. The moment is marked just before.
    pub(super) fn inflict(self, cluster: &Cluster, node: &Node) -> Result<Duration> {
        let at = cluster.journal.mark(&self.words(cluster, node).0);
        match self {
            Self::PowerCut => node.cut_power()?,
            Self::Freeze => node.processors(Switch::Off)?,
            Self::ReplicationCut => node.cable(Cable::Replication, Switch::Off)?,
            Self::ClusterCut => done(node, DEAF, "keeping corosync's packets away")?,
            Self::BothCut => {
                node.cable(Cable::Replication, Switch::Off)?;
                done(node, &away(cluster, node), "cutting the cluster's network")?;
            }
            Self::DiskFails => node.disk(Switch::Off)?,
            Self::DiskFull => done(node, FILL, "filling the root file system")?,
            Self::GuestKilled => {
                let script = "! [ -e /run/libvirt/qemu/vm1.pid ] || kill -9 $(cat /run/libvirt/qemu/vm1.pid)";
                done(node, script, "killing the guest's process")?;
            }
            Self::LibvirtdKilled => node.daemon("libvirtd", "KILL")?,
            Self::PacemakerKilled => node.daemon(DAEMONS, "KILL")?,
            Self::DaemonKilled(name) => node.daemon(&format!("pacemaker-{name}"), "KILL")?,
            Self::Standby => {
                let script = format!("crm node standby {}", node.name);
                done(helper(cluster, node)?, &script, "sending a node to standby")?;
            }
            Self::Leave => {
                let to = &cluster.other(&node.name)?.name;
                // Where it is already, the command says so and fails.
                let script = format!(
                    "[ \"$(crm_resource --locate --quiet -r vm1)\" = {to} ] || crm resource move vm1 {to}"
                );
                done(helper(cluster, node)?, &script, "moving the guest")?;
            }
        }
        Ok(at)
    }

    /// Mends it in `node`, which is there and has a shell afterwards; says when that began. What the cluster makes of it
    /// takes longer: see [`steady`].
    pub(super) fn heal(self, cluster: &Cluster, node: &Node) -> Result<Duration> {
        let at = cluster.journal.mark(&self.words(cluster, node).1);
        there(node)?;
        match self {
            // That it is there is all.
            Self::PowerCut | Self::Freeze | Self::GuestKilled | Self::DaemonKilled(_) => {}
            Self::ReplicationCut => node.cable(Cable::Replication, Switch::On)?,
            Self::ClusterCut => done(node, HEARING, "letting corosync's packets pass")?,
            Self::BothCut => {
                done(node, "ip route flush type blackhole", "mending the cluster's network")?;
                node.cable(Cable::Replication, Switch::On)?;
            }
            Self::DiskFails => {
                node.disk(Switch::On)?;
                let seen = node.read("/proc/drbd")?;
                let device = proc_drbd::device(&seen, proc_drbd::GUEST).unwrap_or_default();
                if device.contains("ds:Diskless/") {
                    done(node, "drbdadm attach r0", "attaching the healed disk")?;
                }
            }
            Self::DiskFull => done(node, FREE, "freeing the root file system")?,
            Self::LibvirtdKilled => done(node, LIBVIRTD, "starting libvirtd")?,
            Self::PacemakerKilled => done(node, PACEMAKER, "starting Pacemaker")?,
            Self::Standby => {
                let script = format!("crm node online {}", node.name);
                done(helper(cluster, node)?, &script, "bringing a node back")?;
            }
            Self::Leave => {
                done(helper(cluster, node)?, "crm resource clear vm1", "clearing the move")?;
            }
        }
        Ok(at)
    }

    /// What is told of it, and of its end. The ledger of who could write knows a power cut by these words.
    fn words(self, cluster: &Cluster, node: &Node) -> (String, String) {
        let name = &node.name;
        let say = |broken: &str, mended: &str| {
            (broken.replace("NODE", name), mended.replace("NODE", name))
        };
        match self {
            Self::PowerCut => say("power cut of NODE", "power on of NODE"),
            Self::Freeze => say("NODE is frozen", "NODE thaws"),
            Self::ReplicationCut => {
                say("replication cable of NODE pulled", "replication cable of NODE plugged")
            }
            Self::ClusterCut => {
                say("corosync of NODE hears and reaches nobody", "corosync of NODE hears again")
            }
            Self::BothCut => say("both networks of NODE cut", "both networks of NODE mended"),
            Self::DiskFails => {
                say("the disk of NODE fails", "the disk of NODE heals; drbdadm attach r0")
            }
            Self::DiskFull => {
                say("the root file system of NODE is full", "the root file system of NODE has room")
            }
            Self::GuestKilled => say("guest's process killed in NODE", "NODE is left to Pacemaker"),
            Self::LibvirtdKilled => say("libvirtd killed in NODE", "libvirtd started in NODE"),
            Self::PacemakerKilled => {
                say("all of Pacemaker killed in NODE", "Pacemaker is to be there in NODE")
            }
            Self::DaemonKilled(daemon) => {
                let killed = format!("pacemaker-{daemon} killed in NODE");
                say(&killed, "NODE is left to pacemakerd")
            }
            Self::Standby => say("crm node standby NODE", "crm node online NODE"),
            Self::Leave => {
                let to = cluster.other(name).map_or("another node", |other| &other.name);
                (format!("crm resource move vm1 {to}"), "crm resource clear vm1".to_owned())
            }
        }
    }
}

/// Whatever was inflicted and healed before: every node has a shell and is online, nothing is left to do and no failure on
/// record, both disks are UpToDate, no rule is left, the guest writes, and one node at most could ever write. Says where
/// the guest is.
pub(super) fn steady(cluster: &Cluster) -> Result<String> {
    steady_within(cluster, MINUTES(2))
}

/// The same, where Pacemaker may have so long until nothing is left to do.
pub(super) fn steady_within(cluster: &Cluster, patience: Duration) -> Result<String> {
    let first = &cluster.lab.nodes[0];
    let settles = || -> Result<()> {
        for node in &cluster.lab.nodes {
            there(node)?;
        }
        cluster.all_online(MINUTES(3))?;
        settled_within(first, patience)
    };
    let before = first.instance()?;
    if let Err(error) = settles() {
        // What was left to do may have been to fence the node that was asked; libvirt takes a moment to notice.
        eventually(Duration::from_secs(5), "another instance of the node that was asked", || {
            match first.instance() {
                Ok(now) if now != before => Ok(()),
                Ok(now) => Err(now),
                Err(error) => Err(error.to_string()),
            }
        })
        .map_err(|_| error)?;
        settles()?;
    }
    if !failures(first)?.is_empty() {
        forget_failures(first)?;
    }
    let active = cluster.steady()?;
    super::fence::one_writable(cluster)?;
    Ok(active)
}

/// Does by hand what docs/failure-modes.md tells an administrator to do about a node whose Pacemaker does not come back by
/// itself ([`NOT_STARTED_AGAIN`], [`STAYS_DOWN`]); says in which nodes that was.
pub(super) fn started_by_hand(cluster: &Cluster) -> Result<Vec<String>> {
    let mut helped = Vec::new();
    for node in &cluster.lab.nodes {
        let is_so = |script: &str| node.run(script, SHORT).is_ok_and(|ran| ran.status == 0);
        if is_so(NOT_STARTED_AGAIN) {
            restart_pacemaker(cluster, node)?;
        } else if is_so(STAYS_DOWN) {
            cluster.journal.mark(&format!("Pacemaker is started by hand in {}", node.name));
            node.sh("lab-cluster start", "starting Pacemaker")?;
        } else {
            continue;
        }
        helped.push(node.name.clone());
    }
    Ok(helped)
}

/// Pacemaker stopped and started in a node, as its administrator would.
pub(super) fn restart_pacemaker(cluster: &Cluster, node: &Node) -> Result<()> {
    cluster.journal.mark(&format!("Pacemaker is restarted by hand in {}", node.name));
    node.run(RESTART, MINUTES(4))?.success("restarting Pacemaker").map(drop)
}

/// Sees to it that a node runs, whatever it was left in, and waits for its shell.
fn there(node: &Node) -> Result<()> {
    match node.power()?.as_str() {
        // So is, for a moment, one that the fence daemon is just starting.
        "paused" => match node.processors(Switch::On) {
            Err(error) if node.power()? == "paused" => return Err(error),
            Ok(()) | Err(_) => {}
        },
        // Who fenced it may be first to switch it on.
        "shut off" => match node.boot() {
            Err(error) if node.power()? == "shut off" => return Err(error),
            Ok(()) | Err(_) => {}
        },
        _ => {}
    }
    node.wait_for_shell()
}

fn done(node: &Node, script: &str, doing: &str) -> Result<()> {
    node.sh(script, doing).map(drop)
}

/// A node in which crmsh is quick: the guest does not spin on its processor. The node itself, where no other answers.
fn helper<'a>(cluster: &'a Cluster, node: &'a Node) -> Result<&'a Node> {
    let other = cluster.other(&node.name)?;
    let answers = eventually(Duration::from_secs(3), "the other node to answer", || {
        other.run("crm_mon -1 >/dev/null", SHORT).map_err(|error| error.to_string())
    });
    Ok(if answers.is_ok_and(|ran| ran.status == 0) { other } else { node })
}

/// Routes to all other nodes over the cluster's network that lead nowhere.
fn away(cluster: &Cluster, node: &Node) -> String {
    let others = cluster.lab.nodes.iter().filter(|other| other.name != node.name);
    let routes = others.map(|other| format!("ip route replace blackhole {}/32", other.address()));
    routes.collect::<Vec<_>>().join(" && ")
}
