//! The guides' NFS server: a file system on DRBD, the server, its export, its address and its notifications, as one group of stock
//! agents on ocf:rust:drbd. A client outside the cluster writes numbered lines, each of them synchronously, while the group moves and while
//! its node dies.

use crate::cluster::Cluster;
use crate::configuration::Handlers;
use crate::failure::{Failure, Result};
use crate::nfs::{self, File};
use crate::node::{Node, SHORT};
use crate::node_files::index;
use crate::scenario::checks::{fenced, forget_fencing, settled};
use crate::scenario::{Story, claim};
use duet_oracle::{Journal, eventually};
use std::fmt::Write as _;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 101);
const DIRECTORY: &str = "/srv/nfs/data";
/// How long Pacemaker, DRBD and systemd may take for a move or a fencing.
const PATIENCE: Duration = Duration::from_secs(240);
const PAUSE: Duration = Duration::from_millis(100);

pub(super) fn server(cluster: &Cluster) -> Result<Story> {
    let active = cluster.lab.node(&cluster.steady()?)?;
    let other = cluster.other(&active.name)?;
    // The guide's cluster has no guest, and five shell agents beside one on the only processor take half an hour.
    guest(other, "-p target-role -v Stopped")?;
    make(cluster, active, other)?;
    // Two nodes without KVM take minutes for what ten agents' probes and five starts are.
    let first = runs_on(cluster, other)?;
    settled(other)?;
    let client = Client::start(cluster);
    client.writes_after(cluster.journal.now())?;
    let (here, there) = if first == active.name { (active, other) } else { (other, active) };
    let moved = cluster.journal.mark(&format!("crm resource move g_nfs {}", there.name));
    let script = format!("crm resource move g_nfs {}", there.name);
    there.sh(&script, "moving the server")?;
    at(cluster, there)?;
    let move_over = client.writes_after(cluster.journal.now())?;
    there.sh("crm resource clear g_nfs", "clearing the move")?;
    settled(there)?;
    at(cluster, there)?;
    forget_fencing(here)?;
    let cut = cluster.journal.mark(&format!("power cut of {}", there.name));
    there.cut_power()?;
    at(cluster, here)?;
    fenced(cluster, &here.name, &there.name)?;
    let cut_over = client.writes_after(cluster.journal.now())?;
    let acknowledged = client.stop()?;
    nothing_lost(cluster, acknowledged)?;
    cluster.journal.mark(&format!("power on of {}", there.name));
    there.boot()?;
    there.wait_for_shell()?;
    guest(here, "-d target-role")?;
    let still = cluster.steady()?;
    cluster
        .journal
        .mark(&format!("{acknowledged} lines acknowledged, all there; the guest on {still}"));
    // Whoever shares the cluster finds it as it was.
    here.run("crm --force configure delete g_nfs ms_r1 p_r1", PATIENCE)?;
    Ok(Story::at(moved)
        .figure("move to first line", move_over - moved)
        .figure("cut to first line", cut_over - cut))
}

/// Changes the resource of the cluster's own guest.
fn guest(asked: &Node, change: &str) -> Result<()> {
    asked.sh(&format!("crm_resource -r vm1 --meta {change}"), "changing the guest")?;
    settled(asked)
}

/// The disk with a file system, and the group of the guide.
fn make(cluster: &Cluster, active: &Node, other: &Node) -> Result<()> {
    cluster.journal.mark("an NFS server on a resource of its own");
    let resource = resource(cluster);
    // sm-notify refuses an address without a name.
    let name = format!("grep -q '^{ADDRESS} ' /etc/hosts || echo '{ADDRESS} nfs' >>/etc/hosts");
    cluster.everywhere(|node| {
        node.put("/etc/drbd.d/r1.res", &resource)?;
        node.sh(&name, "naming the server's address")?;
        let script = "set -e; systemctl stop nfs-server; \
            rm -f /etc/systemd/system/*.wants/nfs-server.service /etc/systemd/system/*.wants/nfs-kernel-server.service\n\
            mkdir -p /srv/nfs; drbdadm create-md --force r1; drbdadm up r1";
        node.run(script, PATIENCE)?.success("making the disk of the server").map(drop)
    })?;
    let make = "set -e; timeout 60 sh -c 'until grep -q \"^ 1: cs:Connected\" /proc/drbd; do sleep 0.2; done'\n\
        drbdadm new-current-uuid --clear-bitmap r1; drbdadm primary r1\n\
        mke2fs -q -t ext4 -N 256 /dev/drbd1; mount /dev/drbd1 /srv/nfs; mkdir -p /srv/nfs/data /srv/nfs/info\n\
        umount /srv/nfs; drbdadm secondary r1";
    active.run(make, PATIENCE)?.success("making the file system")?;
    cluster.everywhere(|node| node.sh("drbdadm down r1", "handing the disk over").map(drop))?;
    other.put("/root/nfs.crm", &group(cluster))?;
    other
        .run("crm -F configure load update /root/nfs.crm", PATIENCE)?
        .success("configuring the server")
        .map(drop)
}

fn resource(cluster: &Cluster) -> String {
    let Handlers { fence, unfence, policy } = Handlers::of(&cluster.programs);
    let mut text = format!(
        "resource r1 {{\n  protocol C;\n  device /dev/drbd1;\n  disk /dev/vdd;\n  meta-disk internal;\n  \
         disk {{ fencing {policy}; }}\n  net {{ ping-int 5; ping-timeout 10; connect-int 5; timeout 40; }}\n  \
         startup {{ wfc-timeout 1; degr-wfc-timeout 1; }}\n  \
         handlers {{\n    fence-peer \"{fence}\";\n    unfence-peer \"{unfence}\";\n  }}\n"
    );
    for node in &cluster.lab.nodes {
        let _ =
            writeln!(text, "  on {} {{ address 10.78.0.{}:7790; }}", node.name, index(&node.name));
    }
    text + "}\n"
}

fn group(cluster: &Cluster) -> String {
    let drbd = cluster.programs.called("drbd");
    let watched = |seconds: u8| {
        format!(
            "op start timeout=120s interval=0 op stop timeout=120s interval=0 on-fail=fence \
             op monitor interval={seconds}s timeout=60s on-fail=fence"
        )
    };
    format!(
        "primitive p_r1 {drbd} params drbd_resource=r1 op start timeout=240s interval=0 op stop timeout=100s interval=0 \
         op promote timeout=180s interval=0 op demote timeout=90s interval=0 \
         op monitor interval=10s role=Promoted timeout=20s op monitor interval=20s role=Unpromoted timeout=20s\n\
         clone ms_r1 p_r1 meta promotable=true promoted-max=1 promoted-node-max=1 clone-max=2 clone-node-max=1 \
         notify=true interleave=true\n\
         primitive nfs_fs ocf:heartbeat:Filesystem params device=/dev/drbd1 directory=/srv/nfs fstype=ext4 {}\n\
         primitive nfs_server ocf:heartbeat:nfsserver params nfs_shared_infodir=/srv/nfs/info nfs_no_notify=true {}\n\
         primitive nfs_export ocf:heartbeat:exportfs params clientspec=10.77.0.0/24 directory={DIRECTORY} fsid=1 \
         options=rw,sync,no_root_squash,no_subtree_check,insecure {}\n\
         primitive nfs_ip ocf:heartbeat:IPaddr2 params ip={ADDRESS} cidr_netmask=24 {}\n\
         primitive nfs_notify ocf:heartbeat:nfsnotify params source_host={ADDRESS} {}\n\
         group g_nfs nfs_fs nfs_server nfs_export nfs_ip nfs_notify\n\
         colocation nfs-on-r1 inf: g_nfs ms_r1:Promoted\n\
         order r1-before-nfs Mandatory: ms_r1:promote g_nfs:start\n",
        watched(10),
        watched(15),
        watched(15),
        watched(10),
        watched(30),
    )
}

/// The node that has the whole group; its last member is started last.
fn runs_on(cluster: &Cluster, asked: &Node) -> Result<String> {
    let found = eventually(PATIENCE, "the whole group to be started", || {
        let seen = asked
            .run("crm_resource --locate -r nfs_notify; crm_mon -1", SHORT)
            .map_err(|error| error.to_string())?
            .stdout;
        let node = cluster
            .lab
            .nodes
            .iter()
            .find(|node| seen.contains(&format!("nfs_notify is running on: {}", node.name)));
        node.map(|node| node.name.clone()).ok_or(seen)
    })?;
    Ok(found)
}

/// Waits until a node has the group, and the address.
fn at(cluster: &Cluster, node: &Node) -> Result<()> {
    eventually(PATIENCE, &format!("the server in {}", node.name), || {
        let now = runs_on(cluster, node).map_err(|error| error.to_string())?;
        if now == node.name { Ok(()) } else { Err(now) }
    })?;
    let addresses = node.sh("ip -brief address show dev eth0", "looking for the address")?;
    claim(addresses.contains(&ADDRESS.to_string()), || {
        format!("the address is not there: {addresses}")
    })
}

/// Somebody on the host side who writes lines, each as soon as the one before it is acknowledged.
struct Client {
    state: Arc<State>,
    thread: JoinHandle<io::Result<()>>,
}

struct State {
    journal: Journal,
    ends: AtomicBool,
    /// How many lines were acknowledged, when the last was, and what went wrong last.
    seen: Mutex<(u64, Duration, String)>,
}

impl Client {
    fn start(cluster: &Cluster) -> Self {
        let state = Arc::new(State {
            journal: cluster.journal.clone(),
            ends: AtomicBool::new(false),
            seen: Mutex::default(),
        });
        let shared = Arc::clone(&state);
        let thread = cluster.lab.host.inside(move || {
            shared.write();
            Ok(())
        });
        Self { state, thread }
    }

    /// Waits for a line that was acknowledged after this; says when.
    fn writes_after(&self, since: Duration) -> Result<Duration> {
        let at = eventually(PATIENCE, "a line to be acknowledged", || {
            let seen = self.state.seen.lock().expect("nobody panics with it");
            if seen.1 > since { Ok(seen.1) } else { Err(format!("{} lines, {}", seen.0, seen.2)) }
        })?;
        Ok(at)
    }

    /// Ends it; how many lines were acknowledged.
    fn stop(self) -> Result<u64> {
        self.state.ends.store(true, Ordering::Relaxed);
        let ended = self.thread.join().map_err(|_| Failure::broken("The client panicked"))?;
        ended.map_err(Failure::io("write lines from the host side"))?;
        let seen = self.state.seen.lock().expect("nobody panics with it");
        Ok(seen.0)
    }
}

impl State {
    fn write(&self) {
        let mut file = None;
        let mut number = 0;
        while !self.ends.load(Ordering::Relaxed) {
            let tried = match file.take() {
                Some(open) => Ok(open),
                None => File::open(IpAddr::V4(ADDRESS), DIRECTORY, "lines"),
            };
            let tried = tried.and_then(|mut open| open.write(number).map(|()| open));
            match tried {
                Ok(open) => {
                    file = Some(open);
                    number += 1;
                    let mut seen = self.seen.lock().expect("nobody panics with it");
                    (seen.0, seen.1) = (number, self.journal.now());
                }
                // The same line again, by another connection.
                Err(error) => {
                    self.seen.lock().expect("nobody panics with it").2 = error.to_string();
                }
            }
            std::thread::sleep(PAUSE);
        }
    }
}

/// Every line that was acknowledged is read back.
fn nothing_lost(cluster: &Cluster, acknowledged: u64) -> Result<()> {
    claim(acknowledged > 20, || format!("only {acknowledged} lines were acknowledged"))?;
    let read = move || File::open(IpAddr::V4(ADDRESS), DIRECTORY, "lines")?.read(acknowledged);
    let content = cluster
        .lab
        .host
        .inside(read)
        .join()
        .map_err(|_| Failure::broken("The client panicked"))?
        .map_err(Failure::io("read the lines back"))?;
    let wrong = (0..acknowledged).find(|number| {
        let from = usize::try_from(number * nfs::LINE).expect("the file is small");
        content.get(from..from + nfs::line(*number).len()) != Some(nfs::line(*number).as_slice())
    });
    claim(wrong.is_none(), || {
        format!("of {acknowledged} acknowledged lines, {wrong:?} is not there")
    })
}
