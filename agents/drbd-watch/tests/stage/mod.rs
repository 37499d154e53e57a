//! A stage for the executables: a kernel with DRBD's module that is a vector, tools that are scripts, and namespaces in which a daemon
//! lives no longer than the stage. Invariant: where those cannot be had, the test says "skipped" and why; this machine's DRBD,
//! cluster and processes are never asked.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "test support")]

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use drbd_agent::{
    config::Options,
    record::Record,
    score::{PeerPrimary, Scores},
};
use duet_drbd::{
    Connection, Disk, Peer, PeerVolume, Replication, Resource, Role, Version, View, Volume,
};
use duet_fake_tools::{Answer, FakeKernel, FakeTools};
use tempfile::TempDir;

pub(crate) const V9: Version = Version { major: 9, minor: 2, patch: 16 };

/// One node.
pub(crate) struct Stage {
    pub(crate) kernel: FakeKernel,
    pub(crate) tools: FakeTools,
    directory: TempDir,
    /// Its first process: when that ends, all in the stage's namespaces do.
    keeper: Child,
    inside: u32,
}

/// What one invocation did.
#[derive(Debug)]
pub(crate) struct Ran {
    /// Its exit code.
    pub(crate) code: i32,
    /// What it said.
    pub(crate) stderr: String,
    /// How long it took.
    pub(crate) took: Duration,
}

impl Ran {
    /// The exit reason.
    pub(crate) fn reason(&self) -> &str {
        let line = self.stderr.lines().find_map(|line| line.strip_prefix("ocf-exit-reason:"));
        line.unwrap_or_default()
    }
}

/// A resource with one volume and one peer.
pub(crate) fn resource(role: Role, disk: Disk, peer: Option<(Role, Disk)>) -> Resource {
    let volume = Volume {
        minor: Some(0),
        disk,
        client: Some(false),
        quorum: Some(true),
        open: Some(false),
        backing: Some("/dev/vdb".into()),
    };
    let (connection, replication) = match peer {
        Some(_) => (Connection::Connected, Replication::Established),
        None => (Connection::Connecting, Replication::Off),
    };
    let (peer_role, peer_disk) = peer.unwrap_or((Role::Unknown, Disk::DUnknown));
    let theirs =
        PeerVolume { replication, disk: peer_disk, client: Some(false), out_of_sync: Some(0) };
    let peer = Peer {
        name: Some("node2".into()),
        connection,
        role: peer_role,
        volumes: [(0, theirs)].into(),
    };
    Resource {
        node_id: Some(0),
        role,
        volumes: [(0, volume)].into(),
        peers: [(1, peer)].into(),
        ..Resource::default()
    }
}

/// Secondary, connected, and all is well: 10000.
pub(crate) fn well() -> Resource {
    resource(Role::Secondary, Disk::UpToDate, Some((Role::Secondary, Disk::UpToDate)))
}

/// UpToDate, and nobody knows about the peer: 1000.
pub(crate) fn alone() -> Resource {
    resource(Role::Secondary, Disk::UpToDate, None)
}

impl Stage {
    /// A node with resource r0, which all is well with, and which p_drbd manages.
    pub(crate) fn managed() -> Option<Stage> {
        let stage = Stage::new()?;
        stage.manage("p_drbd", "r0");
        stage.kernel.change(|view| {
            view.resources.insert("r0".to_owned(), well());
        });
        Some(stage)
    }

    /// A node with the module and no resource.
    pub(crate) fn new() -> Option<Stage> {
        let directory = tempfile::tempdir().unwrap();
        let tools = FakeTools::at(&directory.path().join("tools"));
        let kernel = FakeKernel::start(V9, View::default());
        let spaces =
            ["--mount", "--pid", "--net", "--uts", "--fork", "--kill-child", "--mount-proc"];
        let mut keeper = Command::new("unshare")
            .args(spaces)
            .args(["--propagation", "private", "sh", "-ec"])
            .arg("mount --bind \"$1\" /usr/local/sbin; echo ready; read -r end")
            .arg("sh")
            .arg(tools.programs())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let _ = BufReader::new(keeper.stdout.take().unwrap()).read_line(&mut line);
        if line != "ready\n" {
            let output = keeper.wait_with_output().unwrap();
            let why = String::from_utf8_lossy(&output.stderr).into_owned();
            eprintln!("skipped: no private namespaces on this machine: {}", why.trim());
            return None;
        }
        let children = format!("/proc/{0}/task/{0}/children", keeper.id());
        let inside = std::fs::read_to_string(children).unwrap().trim().parse().unwrap();
        let stage = Stage { kernel, tools, directory, keeper, inside };
        stage.attribute_daemon(13003);
        for tool in ["crm_attribute", "attrd_updater"] {
            stage.tools.answer(tool, "", Answer::success());
        }
        stage.tools.answer("crm_resource", "", Answer::prints("resource p_drbd is NOT running\n"));
        Some(stage)
    }

    /// The attribute daemon listens on the socket with this inode.
    pub(crate) fn attribute_daemon(&self, inode: u32) {
        self.daemons(inode, 15000);
    }

    /// So does the controller on this one.
    pub(crate) fn daemons(&self, inode: u32, controller: u32) {
        let root = self.kernel.root();
        for directory in ["proc/net", "proc/sys/kernel/random"] {
            std::fs::create_dir_all(root.join(directory)).unwrap();
        }
        std::fs::write(root.join("proc/sys/kernel/random/boot_id"), "a-boot\n").unwrap();
        let text = format!(
            "Num       RefCount Protocol Flags    Type St Inode Path\n\
             0000000000000000: 00000002 00000000 00010000 0001 01 {inode} @attrd\n\
             0000000000000000: 00000002 00000000 00010000 0001 01 {controller} @crmd@@@\n"
        );
        std::fs::write(root.join("proc/net/unix"), text).unwrap();
    }

    /// Leaves the record that an ocf:rust:drbd leaves which was started as `instance`.
    pub(crate) fn manage(&self, instance: &str, resource: &str) {
        let options =
            Options { scores: Scores::DEFAULT, peer_primary: PeerPrimary::Ignore, promoted_max: 1 };
        let record = Record {
            instance: instance.to_owned(),
            resource: resource.to_owned(),
            file: "/etc/drbd.conf".into(),
            options,
            kept: drbd_agent::record::Kept::default(),
            written: None,
        };
        record.write(&self.memory().join(format!("drbd-{instance}.record"))).unwrap();
    }

    /// Where programs remember.
    pub(crate) fn memory(&self) -> PathBuf {
        self.at("memory")
    }

    /// A file that is there for the stage's life.
    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What the programs have logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.at("log")).unwrap_or_default()
    }

    /// Runs an action with 10 s.
    pub(crate) fn run(&self, action: &str) -> Ran {
        self.run_with(action, &[])
    }

    /// Runs an action with these parameters; `CRM_meta_timeout` is in milliseconds.
    pub(crate) fn run_with(&self, action: &str, parameters: &[(&str, &str)]) -> Ran {
        let mut command = self.command(Path::new(env!("CARGO_BIN_EXE_drbd-watch")));
        command.arg(action);
        for (name, value) in parameters {
            command.env(format!("OCF_RESKEY_{name}"), value);
        }
        let began = Instant::now();
        let output = command.output().unwrap();
        Ran {
            took: began.elapsed(),
            code: output.status.code().unwrap_or(-1),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Starts the daemon, and expects that to succeed.
    pub(crate) fn start(&self) {
        let ran = self.run("start");
        assert_eq!(ran.code, 0, "{} {}", ran.stderr, self.log());
    }

    /// A program on this stage, without an action.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let daemon = Path::new(env!("CARGO_BIN_EXE_drbd-watchd"));
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--target={}", self.inside))
            .args(["--mount", "--pid", "--net", "--uts", "--"])
            .arg(program)
            .env_clear()
            .envs(self.kernel.environment())
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("DUET_LIBEXECDIR", daemon.parent().unwrap())
            .env("OCF_RESOURCE_INSTANCE", "p_watch:0")
            .env("HA_RSCTMP", self.memory())
            .env("HA_LOGFILE", self.at("log"))
            .env("OCF_RESKEY_CRM_meta_timeout", "10000")
            .env("OCF_RESKEY_CRM_meta_on_node", "node1")
            .stdin(Stdio::null());
        command
    }

    /// The daemon's process, as this machine counts; none if there is no daemon.
    pub(crate) fn daemon(&self) -> Option<i32> {
        let own = format!("{}/drbd-watch-p_watch.state", self.memory().display());
        let entries = std::fs::read_dir("/proc").unwrap().flatten();
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).find(|pid: &i32| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
            words.first().is_some_and(|name| name.ends_with(b"/drbd-watchd"))
                && words.get(2) == Some(&own.as_bytes())
        })
    }

    /// How many processes of this name live on this stage.
    pub(crate) fn named(&self, name: &str) -> usize {
        let space = |pid: u32| std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
        let own = space(self.inside);
        let entries = std::fs::read_dir("/proc").unwrap().flatten();
        let all = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let is_such = |pid: &u32| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.contains(&format!(" ({name}) ")) && !stat.contains(") Z ") && space(*pid) == own
        };
        all.filter(is_such).count()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = nix::unistd::Pid::from_raw(self.daemon().unwrap());
        nix::sys::signal::kill(pid, signal).unwrap();
    }

    /// The scores of p_drbd that were written, or removed, so far.
    pub(crate) fn scores(&self) -> Vec<String> {
        self.scores_of("p_drbd")
    }

    /// The same of another one.
    pub(crate) fn scores_of(&self, instance: &str) -> Vec<String> {
        let calls = self.tools.calls_of("crm_attribute");
        let own = format!("--promotion={instance} -l reboot ");
        let own = calls.iter().filter_map(|call| call.strip_prefix(&own));
        own.map(|call| call.strip_prefix("-v ").unwrap_or(call).to_owned()).collect()
    }

    /// Waits until `is_so`, 20 s at most, and tells how long it took.
    pub(crate) fn until(&self, what: &str, is_so: impl Fn(&Stage) -> bool) -> Duration {
        let began = Instant::now();
        while !is_so(self) {
            let log = self.log();
            assert!(
                began.elapsed() < Duration::from_secs(20),
                "{what}: {:?}\n{log}",
                self.tools.calls()
            );
            std::thread::sleep(Duration::from_millis(2));
        }
        began.elapsed()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
        // Its shell reads to the end of what this process says, and then the kernel ends everything on the stage.
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}
