//! A stage for the executable: a kernel with DRBD's module that is a vector, and tools that are scripts, in a mount namespace of
//! its own. What a tool does to the kernel, a thread of the test does for it. Invariant: where that cannot be had, the
//! test says "skipped" and why; this machine's DRBD and cluster are never asked.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "test support")]

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use duet_drbd::{
    Connection, Disk, Peer, PeerVolume, Replication, Resource, Role, Version, View, Volume,
};
use duet_fake_tools::{Answer, FakeKernel, FakeTools};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use tempfile::TempDir;

pub(crate) const V8: Version = Version { major: 8, minor: 4, patch: 11 };
pub(crate) const V9: Version = Version { major: 9, minor: 2, patch: 16 };

/// What Pacemaker says of a promotable clone of two.
const CLONE: [(&str, &str); 7] = [
    ("CRM_meta_clone", "0"),
    ("CRM_meta_clone_max", "2"),
    ("CRM_meta_clone_node_max", "1"),
    ("CRM_meta_promoted_max", "1"),
    ("CRM_meta_promoted_node_max", "1"),
    ("CRM_meta_notify", "true"),
    ("CRM_meta_on_node", "node1"),
];

/// One node with one configured resource, r0.
pub(crate) struct Stage {
    pub(crate) kernel: Arc<FakeKernel>,
    pub(crate) tools: FakeTools,
    version: Version,
    directory: TempDir,
}

/// What one invocation did.
#[derive(Debug)]
pub(crate) struct Ran {
    /// Its exit code.
    pub(crate) code: i32,
    /// What it said.
    pub(crate) stderr: String,
    /// What it printed.
    pub(crate) stdout: String,
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
        PeerVolume { replication, disk: peer_disk, client: Some(false), out_of_sync: None };
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

/// Secondary or Primary, and all is well.
pub(crate) fn well(role: Role) -> Resource {
    resource(role, Disk::UpToDate, Some((Role::Secondary, Disk::UpToDate)))
}

pub(crate) fn view(resource: Resource) -> View {
    View { resources: [("r0".to_owned(), resource)].into() }
}

impl Stage {
    /// A node on which r0 is not up.
    pub(crate) fn new(version: Version) -> Option<Stage> {
        Stage::with(version, View::default())
    }

    /// A node with this resource.
    pub(crate) fn running(version: Version, resource: Resource) -> Option<Stage> {
        Stage::with(version, view(resource))
    }

    fn with(version: Version, view: View) -> Option<Stage> {
        let probe = Command::new("unshare").args(["--mount", "true"]).output();
        let why = match probe {
            Ok(output) if output.status.success() => None,
            Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
            Err(error) => Some(error.to_string()),
        };
        if let Some(why) = why {
            eprintln!("skipped: no private mount namespace on this machine: {why}");
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let tools = FakeTools::at(&directory.path().join("tools"));
        let kernel = Arc::new(FakeKernel::start(version, view));
        let stage = Stage { kernel, tools, version, directory };
        if let Err(why) = stage.make_machine() {
            eprintln!("skipped: no device node on this machine: {why}");
            return None;
        }
        stage.obey();
        stage.arrange();
        Some(stage)
    }

    /// The module is not loaded.
    pub(crate) fn unload(&self) {
        self.kernel.unload();
        self.make_machine().unwrap();
    }

    /// The device node, the boot's id, the attribute daemon's socket and the configuration.
    fn make_machine(&self) -> nix::Result<()> {
        let root = self.kernel.root();
        for directory in ["dev", "proc/net", "proc/sys/kernel/random"] {
            std::fs::create_dir_all(root.join(directory)).unwrap();
        }
        std::fs::write(root.join("proc/sys/kernel/random/boot_id"), "a-boot\n").unwrap();
        self.attribute_daemon(13003);
        std::fs::write(self.at("drbd.conf"), "include \"drbd.d/*.res\";\n").unwrap();
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        mknod(&root.join("dev/drbd0"), SFlag::S_IFBLK, mode, makedev(147, 0))
    }

    /// The attribute daemon listens on the socket with this inode.
    pub(crate) fn attribute_daemon(&self, inode: u32) {
        self.daemons(inode, 15000);
    }

    /// So does the controller on this one.
    pub(crate) fn daemons(&self, inode: u32, controller: u32) {
        let text = format!(
            "Num       RefCount Protocol Flags    Type St Inode Path\n\
             0000000000000000: 00000002 00000000 00010000 0001 01 {inode} @attrd\n\
             0000000000000000: 00000002 00000000 00010000 0001 01 {controller} @crmd@@@\n"
        );
        std::fs::write(self.kernel.root().join("proc/net/unix"), text).unwrap();
    }

    /// Does to the kernel what a tool's script writes into a FIFO, and says when it is done.
    fn obey(&self) {
        let (orders, done) = (self.at("orders"), self.at("done"));
        for fifo in [&orders, &done] {
            nix::unistd::mkfifo(fifo, Mode::S_IRWXU).unwrap();
        }
        let (kernel, version) = (Arc::downgrade(&self.kernel), self.version);
        thread::spawn(move || {
            loop {
                let Ok(file) = std::fs::File::open(&orders) else { return };
                for order in BufReader::new(file).lines() {
                    let (Ok(order), Some(kernel)) = (order, kernel.upgrade()) else { return };
                    carry_out(&order, &kernel, version);
                    let done = std::fs::OpenOptions::new().write(true).open(&done);
                    let Ok(mut done) = done else { return };
                    writeln!(done, "done").unwrap();
                }
            }
        });
    }

    /// The tools as they are where all goes well.
    fn arrange(&self) {
        let tools = &self.tools;
        let success = Answer::success;
        for word in ["check-resize", "adjust", "attach", "outdate", "unfence-peer"] {
            tools.answer("drbdadm", word, success());
        }
        tools.answer("drbdadm", "sh-dev", Answer::prints("/dev/drbd0\n"));
        tools.answer("drbdadm", "dump-xml", self.configuration("r0", ""));
        tools.answer("drbdadm", "sh-mod-parms", Answer::prints("minor_count=32\n"));
        tools.answer("modinfo", "", Answer::prints(&format!("{}\n", self.version)));
        tools.answer("crm_attribute", "", success());
        let nowhere = Answer::prints("resource p_drbd is NOT running\n");
        tools.answer("crm_resource", "", nowhere);
        for (tool, word, order) in [
            ("modprobe", "drbd", "load"),
            ("drbdadm", "new-resource", "new-resource"),
            ("drbdadm", "new-minor", "new-minor"),
            ("drbdadm", "attach", "attach"),
            ("drbdadm", "primary", "primary"),
            ("drbdadm", "secondary", "secondary"),
            ("drbdsetup", "secondary", "secondary"),
            ("drbdadm", "down", "down"),
            ("drbdsetup", "down", "down"),
        ] {
            tools.answer(tool, word, success());
            self.does(tool, word, order);
        }
        // With --skip-net it attaches, otherwise it connects too.
        self.adjusting("connect");
    }

    /// An adjust that is not for the disks alone does this to the kernel.
    pub(crate) fn adjusting(&self, order: &str) {
        let before = format!("case \" $* \" in *--skip-net*) o=attach;; *) o={order};; esac");
        self.tools.on("drbdadm", "adjust", &self.ordering(&before, "$o"));
    }

    /// What drbdadm was asked, without its configuration file.
    pub(crate) fn drbdadm(&self) -> Vec<String> {
        let file = format!("-c {} ", self.at("drbd.conf").display());
        let calls = self.tools.calls_of("drbdadm");
        calls.iter().map(|call| call.strip_prefix(&file).unwrap_or(call).to_owned()).collect()
    }

    /// A call of this tool that ends with success does this to the kernel.
    pub(crate) fn does(&self, tool: &str, word: &str, order: &str) {
        self.tools.on(tool, word, &self.ordering("", order));
    }

    pub(crate) fn ordering(&self, before: &str, order: &str) -> String {
        let (orders, done) = (self.at("orders"), self.at("done"));
        // Two tools never run at once, but an agent that kills one may have the next run while the first still writes.
        format!(
            "{before}\nif [ $CODE = 0 ]; then echo {order} >{}; read -r word <{}; fi\n",
            orders.display(),
            done.display()
        )
    }

    /// What dump-xml prints where there is a resource of this name.
    pub(crate) fn configuration(&self, name: &str, net: &str) -> Answer {
        let host = |host: &str| {
            format!(
                "<host name=\"{host}\"><volume vnr=\"0\"><device minor=\"0\">/dev/drbd0</device>\
                 <disk>/dev/vdb</disk><meta-disk>internal</meta-disk></volume>\
                 <address family=\"ipv4\" port=\"7789\">10.78.0.1</address></host>"
            )
        };
        Answer::prints(&format!(
            "<config file=\"/etc/drbd.conf\"><common></common><resource name=\"{name}\">{}{}\
             <section name=\"net\"><option name=\"fencing\" value=\"resource-and-stonith\"/>{net}</section>\
             <section name=\"handlers\"><option name=\"fence-peer\" value=\"/usr/lib/drbd/crm-fence-peer.9.sh\"/>\
             <option name=\"unfence-peer\" value=\"/usr/lib/drbd/crm-unfence-peer.9.sh\"/></section>\
             </resource></config>\n",
            host("node1"),
            host("node2"),
        ))
    }

    /// A file or directory that is there for the stage's life.
    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Where the agent keeps what it remembers.
    pub(crate) fn record(&self) -> PathBuf {
        self.at("memory").join("drbd-p_drbd.record")
    }

    /// The promotion scores that were written, or removed, so far.
    pub(crate) fn scores(&self) -> Vec<String> {
        let calls = self.tools.calls_of("crm_attribute");
        let score = |call: &String| {
            let call = call.strip_prefix("--promotion=p_drbd -l reboot ").unwrap_or(call);
            call.strip_prefix("-v ").unwrap_or(call).to_owned()
        };
        calls.iter().map(score).collect()
    }

    /// Runs an action with 20 s.
    pub(crate) fn run(&self, action: &str) -> Ran {
        self.run_with(action, &[])
    }

    /// Runs the recurring monitor.
    pub(crate) fn recurring(&self) -> Ran {
        self.run_with("monitor", &[("CRM_meta_interval", "10000")])
    }

    /// Runs an action with these parameters; `CRM_meta_timeout` is in milliseconds.
    pub(crate) fn run_with(&self, action: &str, parameters: &[(&str, &str)]) -> Ran {
        let mut command = self.command(Path::new(env!("CARGO_BIN_EXE_drbd")));
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
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        }
    }

    /// The program on this stage, without an action.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--propagation", "private", "sh", "-ec"])
            .arg("mount --bind \"$1\" /usr/local/sbin; shift; exec \"$@\"")
            .arg("sh")
            .arg(self.tools.programs())
            .arg(program)
            .env_clear()
            .envs(self.kernel.environment())
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("OCF_RESOURCE_INSTANCE", "p_drbd")
            .env("HA_RSCTMP", self.at("memory"))
            .env("OCF_RESKEY_drbd_resource", "r0")
            .env("OCF_RESKEY_drbdconf", self.at("drbd.conf"))
            .env("OCF_RESKEY_wfc_timeout", "1")
            .env("OCF_RESKEY_CRM_meta_timeout", "20000")
            .stdin(Stdio::null());
        for (name, value) in CLONE {
            command.env(format!("OCF_RESKEY_{name}"), value);
        }
        command
    }
}

/// What a tool would have the kernel do.
fn carry_out(order: &str, kernel: &FakeKernel, version: Version) {
    if order == "load" {
        kernel.load(version);
        return;
    }
    kernel.change(|view| {
        if order == "down" {
            view.resources.clear();
            return;
        }
        let r0 = view
            .resources
            .entry("r0".to_owned())
            .or_insert_with(|| Resource { role: Role::Secondary, ..Resource::default() });
        match order {
            "new-resource" => {}
            "new-minor" => {
                let mut made = well(Role::Secondary).volumes;
                for volume in made.values_mut() {
                    (volume.disk, volume.backing) = (Disk::Diskless, None);
                }
                r0.volumes = made;
            }
            "attach" => r0.volumes = resource(Role::Secondary, Disk::UpToDate, None).volumes,
            "connect" => r0.peers = well(Role::Secondary).peers,
            // The peer answers, and will not have us.
            "refuse" => {
                r0.peers = resource(Role::Secondary, Disk::UpToDate, None).peers;
                r0.peers.values_mut().for_each(|peer| peer.connection = Connection::StandAlone);
            }
            // Nobody answers.
            "call" => r0.peers = resource(Role::Secondary, Disk::UpToDate, None).peers,
            "primary" => r0.role = Role::Primary,
            "secondary" => r0.role = Role::Secondary,
            other => panic!("{other:?} is no order"),
        }
    });
}
