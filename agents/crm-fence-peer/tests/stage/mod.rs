//! A stage for the handlers: one cluster in a document, and nodes that each have a kernel with DRBD's module in a vector,
//! Pacemaker's tools and a log, in namespaces of their own. Invariant: where that cannot be had, the test says "skipped"
//! and why; this machine's DRBD and cluster are never asked, and it is never rebooted.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "test support")]
#![allow(dead_code, unused_imports, reason = "each test uses a part of it")]

pub(crate) mod cib;
mod words;

use std::{
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use duet_drbd::{
    Connection, Disk, Peer, PeerVolume, Replication, Resource, Role, Suspended, Version, View,
    Volume,
};
use duet_fake_tools::{Answer, FakeCluster, FakeKernel, FakeTools};
use tempfile::TempDir;

pub(crate) use self::words::{but, fence, is_there, only, told, while_it_waits};

pub(crate) const V8: Version = Version { major: 8, minor: 4, patch: 11 };
pub(crate) const V9: Version = Version { major: 9, minor: 2, patch: 16 };

/// A cluster and its nodes.
pub(crate) struct Stage {
    pub(crate) cluster: FakeCluster,
    pub(crate) nodes: Vec<Arc<Node>>,
}

/// One node.
pub(crate) struct Node {
    pub(crate) name: String,
    /// Its DRBD node id.
    pub(crate) id: u32,
    pub(crate) kernel: Arc<FakeKernel>,
    pub(crate) tools: FakeTools,
    /// What is done in its namespaces before the program is run.
    pub(crate) setup: std::sync::Mutex<String>,
    version: Version,
    all: Vec<String>,
    log: UnixDatagram,
    directory: TempDir,
}

/// What one call did.
#[derive(Debug)]
pub(crate) struct Ran {
    /// Its exit code.
    pub(crate) code: i32,
    /// What it printed.
    pub(crate) stdout: String,
    /// What it complained about.
    pub(crate) stderr: String,
    /// What it logged, a line each, without what is before the level.
    pub(crate) log: Vec<String>,
    /// How long it took.
    pub(crate) took: Duration,
}

impl Ran {
    /// The last line of the log: how the call ended.
    pub(crate) fn ending(&self) -> &str {
        self.log.last().map_or("", String::as_str)
    }
}

impl Stage {
    /// A cluster of these nodes, all well, with one resource, r0, that is UpToDate and connected everywhere, and Primary
    /// on the first.
    pub(crate) fn new(version: Version, names: &[&str]) -> Option<Stage> {
        Stage::with(version, names, &cib::of(names))
    }

    /// The same with another CIB.
    pub(crate) fn with(version: Version, names: &[&str], cib: &str) -> Option<Stage> {
        let probe = Command::new("unshare").args(["--mount", "--uts", "true"]).output();
        let why = match probe {
            Ok(output) if output.status.success() => None,
            Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
            Err(error) => Some(error.to_string()),
        };
        if let Some(why) = why {
            eprintln!("skipped: no private namespaces on this machine: {why}");
            return None;
        }
        let cluster = FakeCluster::start(cib);
        let node = |(id, name): (u32, &&str)| Arc::new(Node::new(version, id, name, names));
        let nodes: Vec<Arc<Node>> = (0..).zip(names).map(node).collect();
        for node in &nodes {
            cluster.join(&node.name, &node.tools);
        }
        Some(Stage { cluster, nodes })
    }

    /// The cut of the replication link that the first node sees: it is frozen, and asks for help.
    pub(crate) fn cut(&self) {
        self.nodes[0].lose(&[1]);
    }

    /// The nodes that the rule allows; `None` without a rule.
    pub(crate) fn allowed(&self) -> Option<Vec<String>> {
        cib::allowed(&self.cluster.cib())
    }

    /// The version of the CIB.
    pub(crate) fn epoch(&self) -> String {
        self.cluster.cib().get("epoch").unwrap().to_owned()
    }

    /// Has a rule that allows these.
    pub(crate) fn rule(&self, allowed: &[&str]) {
        self.cluster.change(|pacemaker| cib::place(&mut pacemaker.cib, allowed, "Master"));
    }
}

/// A volume of this node.
fn volume(disk: Disk) -> Volume {
    Volume {
        minor: Some(0),
        disk,
        client: Some(false),
        quorum: Some(true),
        open: Some(false),
        backing: Some("/dev/vdb".into()),
    }
}

/// A peer that is connected and UpToDate.
fn peer(name: &str, role: Role) -> Peer {
    let volume = PeerVolume {
        replication: Replication::Established,
        disk: Disk::UpToDate,
        client: Some(false),
        out_of_sync: None,
    };
    Peer {
        name: Some(name.to_owned()),
        connection: Connection::Connected,
        role,
        volumes: [(0, volume)].into(),
    }
}

impl Node {
    fn new(version: Version, id: u32, name: &str, names: &[&str]) -> Node {
        let directory = tempfile::tempdir().unwrap();
        let tools = FakeTools::at(&directory.path().join("tools"));
        for tool in ["crmadmin", "wall", "reboot"] {
            tools.add(tool);
        }
        for tool in ["wall", "reboot", "crm_attribute"] {
            tools.answer(tool, "", Answer::success());
        }
        let role = |of: u32| if of == 0 { Role::Primary } else { Role::Secondary };
        let is_8 = version == V8;
        let peers = (0_u32..).zip(names).filter(|(other, _)| *other != id).map(|(other, name)| {
            if is_8 { (0, peer("peer", role(other))) } else { (other, peer(name, role(other))) }
        });
        let resource = Resource {
            node_id: Some(id).filter(|_| !is_8),
            role: role(id),
            volumes: [(0, volume(Disk::UpToDate))].into(),
            peers: peers.collect(),
            ..Resource::default()
        };
        let view = View { resources: [("r0".to_owned(), resource)].into() };
        let kernel = Arc::new(FakeKernel::start(version, view));
        std::fs::create_dir_all(kernel.root().join("dev")).unwrap();
        let log = UnixDatagram::bind(kernel.root().join("dev/log")).unwrap();
        log.set_nonblocking(true).unwrap();
        let all = names.iter().map(|name| (*name).to_owned()).collect();
        let setup = std::sync::Mutex::default();
        let name = name.into();
        let node = Node { name, id, kernel, tools, setup, version, all, log, directory };
        node.policy("resource-and-stonith");
        for program in ["fence", "unfence"] {
            for suffix in ["", ".sh", ".9.sh"] {
                let link = node.at(&format!("crm-{program}-peer{suffix}"));
                std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_crm-fence-peer"), link).unwrap();
            }
        }
        node
    }

    /// A place that is there for the stage's life.
    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The fencing policy that drbdadm tells.
    pub(crate) fn policy(&self, policy: &str) {
        let text = format!(
            "<config file=\"/etc/drbd.conf\"><common></common><resource name=\"r0\">\
             <section name=\"net\"><option name=\"fencing\" value=\"{policy}\"/></section></resource></config>\n"
        );
        self.tools.answer("drbdadm", "dump-xml", Answer::prints(&text));
    }

    /// Changes what its DRBD has.
    pub(crate) fn drbd(&self, change: impl FnOnce(&mut Resource)) {
        self.kernel.change(|view| change(view.resources.get_mut("r0").unwrap()));
    }

    /// It loses the connection to these peers; on 8.4 to the only one.
    pub(crate) fn lose(&self, peers: &[u32]) {
        let is_8 = self.version == V8;
        self.drbd(|resource| {
            for (id, peer) in &mut resource.peers {
                if is_8 || peers.contains(id) {
                    peer.connection = Connection::Connecting;
                    peer.role = Role::Unknown;
                    for volume in peer.volumes.values_mut() {
                        volume.replication = Replication::Off;
                        volume.disk = Disk::DUnknown;
                    }
                }
            }
            if resource.role == Role::Primary {
                resource.suspended = Suspended { fencing: true, ..Suspended::default() };
            }
        });
    }

    /// The connection to this peer is back, and all is well.
    pub(crate) fn regain(&self, id: u32) {
        let (name, is_8) = (self.all[id as usize].clone(), self.version == V8);
        self.drbd(|resource| {
            let role = if id == 0 { Role::Primary } else { Role::Secondary };
            resource.peers.insert(if is_8 { 0 } else { id }, peer(&name, role));
            resource.suspended = Suspended::default();
        });
    }

    /// Has this done in its namespaces before each program.
    pub(crate) fn before(&self, script: &str) {
        script.clone_into(&mut self.setup.lock().unwrap());
    }

    /// Its own disk.
    pub(crate) fn disk(&self, disk: Disk) {
        self.drbd(|resource| resource.volumes.get_mut(&0).unwrap().disk = disk);
    }

    /// The kernel calls fence-peer for the loss of `peer`, and gives a mask of who is UpToDate.
    pub(crate) fn fence(&self, peer: u32, mask: u64) -> Ran {
        self.run("crm-fence-peer.9.sh", &[], &self.environment(peer, mask, "NetworkFailure"))
    }

    /// The kernel calls unfence-peer for `peer`.
    pub(crate) fn unfence(&self, peer: u32, mask: u64) -> Ran {
        self.run("crm-unfence-peer.9.sh", &[], &self.environment(peer, mask, "Connected"))
    }

    /// What drbdadm has in a handler's environment.
    pub(crate) fn environment(&self, peer: u32, mask: u64, state: &str) -> Vec<(String, String)> {
        let mut all: Vec<(String, String)> = vec![
            ("DRBD_RESOURCE".into(), "r0".into()),
            ("DRBD_CONF".into(), "/etc/drbd.conf".into()),
            ("DRBD_MINOR".into(), "0".into()),
            ("DRBD_PEER_AF".into(), "ipv4".into()),
            ("DRBD_PEER_ADDRESS".into(), "10.78.0.2".into()),
            ("HOME".into(), "/".into()),
            ("TERM".into(), "linux".into()),
        ];
        if self.version == V8 {
            all.push(("DRBD_PEER".into(), self.all[peer as usize].clone()));
            all.push(("DRBD_PEERS".into(), self.all[peer as usize].clone()));
            return all;
        }
        for (id, name) in (0_u32..).zip(&self.all) {
            all.push((format!("DRBD_NODE_ID_{id}"), name.clone()));
        }
        all.extend([
            ("DRBD_MY_NODE_ID".into(), self.id.to_string()),
            ("DRBD_PEER_NODE_ID".into(), peer.to_string()),
            ("DRBD_CSTATE".into(), state.into()),
            ("DRBD_VOLUME".into(), "0".into()),
            ("UP_TO_DATE_NODES".into(), format!("0x{mask:08X}")),
        ]);
        all
    }

    /// Runs a program by its name, and waits.
    pub(crate) fn run(&self, name: &str, words: &[&str], environment: &[(String, String)]) -> Ran {
        self.tell_nobody();
        let began = Instant::now();
        let output = self.command(name, words, environment).output().unwrap();
        self.ran(&output, began.elapsed())
    }

    /// Runs a program and does not wait.
    pub(crate) fn start(
        &self,
        name: &str,
        words: &[&str],
        environment: &[(String, String)],
    ) -> Child {
        self.tell_nobody();
        let mut command = self.command(name, words, environment);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Waits for it.
    pub(crate) fn end(&self, child: Child) -> Ran {
        let began = Instant::now();
        let output = child.wait_with_output().unwrap();
        self.ran(&output, began.elapsed())
    }

    fn ran(&self, output: &Output, took: Duration) -> Ran {
        Ran {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            log: self.logged(),
            took,
        }
    }

    fn tell_nobody(&self) {
        self.logged();
        self.tools.forget();
    }

    /// What was logged since it was asked last.
    pub(crate) fn logged(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(length) = self.log.recv(&mut buffer) {
            let line = String::from_utf8_lossy(&buffer[..length]).into_owned();
            let line = line.split_once("]: ").map_or(line.as_str(), |(_, text)| text).to_owned();
            lines.push(line);
        }
        lines
    }

    /// The program on this node. Its tools come before the machine's, so `reboot` is one of them or it is not run.
    pub(crate) fn command(
        &self,
        name: &str,
        words: &[&str],
        environment: &[(String, String)],
    ) -> Command {
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--uts", "--propagation", "private", "sh", "-ec"])
            .arg(
                "mount --bind \"$1\" /usr/local/sbin; test -x /usr/local/sbin/reboot; \
                 echo \"$2\" >/proc/sys/kernel/hostname; cd /; eval \"$3\"; shift 3; exec \"$@\"",
            )
            .arg("sh")
            .arg(self.tools.programs())
            .arg(&self.name)
            .arg(&*self.setup.lock().unwrap())
            .arg(self.at(name))
            .args(words)
            .env_clear()
            .envs(self.kernel.environment())
            .env("PATH", "/sbin:/usr/sbin:/bin:/usr/bin")
            .envs(environment.iter().cloned())
            .stdin(Stdio::null());
        command
    }

    /// Waits until a call that runs has looked so often.
    pub(crate) fn looked(&self, times: usize) {
        let began = Instant::now();
        while self.called().iter().filter(|tool| *tool == "cibadmin").count() < times {
            assert!(began.elapsed() < Duration::from_secs(60), "{:?}", self.called());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The tools that were called, without arguments.
    pub(crate) fn called(&self) -> Vec<String> {
        self.tools.calls().into_iter().map(|call| call[0].clone()).collect()
    }

    /// The records that were kept.
    pub(crate) fn records(&self) -> Vec<PathBuf> {
        let directory = self.kernel.root().join("var/lib/duet/fence-peer");
        let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }
}
