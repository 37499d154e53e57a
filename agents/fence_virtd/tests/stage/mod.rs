//! A stage for the daemon: a libvirtd without guests at /run/libvirt, namespaces in which the daemon lives no longer than the stage, and
//! clients and attackers whose sockets are in its network. Invariant: where that cannot be had, the test says "skipped" and why; nothing
//! of this machine is listened on, called or asked.
#![allow(
    dead_code,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "test support, of which no test file uses everything"
)]

pub(crate) mod client;

use std::{
    fs::File,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use duet_fake_tools::{FakeDomain, FakeLibvirtd, World};
use duet_xvm::Key;
use tempfile::TempDir;

pub(crate) const UUID: &str = "11111111-2222-4333-8444-555555555501";
pub(crate) const OTHER: &str = "11111111-2222-4333-8444-555555555502";
/// What the key file has.
pub(crate) const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

/// Longer than anything takes on a machine with ten times as much to do as it can.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// One host.
pub(crate) struct Stage {
    pub(crate) libvirt: FakeLibvirtd,
    directory: TempDir,
    /// The first process of its namespaces: when that ends, all in them do.
    keeper: Child,
    inside: u32,
    pub(crate) daemon: Option<Daemon>,
}

/// The daemon.
pub(crate) struct Daemon {
    pub(crate) child: Child,
    pub(crate) pid: u32,
}

/// Runs `story` on a thread whose network is the stage's, with a daemon of this configuration; skips where there are no namespaces.
pub(crate) fn on_stage(world: World, configuration: &str, story: impl FnOnce(&mut Stage) + Send) {
    let Some(mut stage) = Stage::new(world) else { return };
    std::thread::scope(|scope| {
        let story = scope.spawn(|| {
            stage.enter();
            stage.configure(configuration);
            stage.start(&[]);
            story(&mut stage);
        });
        if let Err(panic) = story.join() {
            std::panic::resume_unwind(panic);
        }
    });
    eprintln!("{}", stage.log());
}

/// One persistent domain that runs, and one that does not.
pub(crate) fn two() -> World {
    let node1 = FakeDomain { persistent: true, ..FakeDomain::running("node1", UUID) };
    World { domains: vec![node1, FakeDomain::defined("node2", OTHER)], ..World::default() }
}

impl Stage {
    /// A host whose daemon does not run yet.
    pub(crate) fn new(world: World) -> Option<Stage> {
        let libvirt = FakeLibvirtd::start(world);
        let directory = tempfile::tempdir().unwrap();
        let spaces = [
            "--mount",
            "--pid",
            "--net",
            "--uts",
            "--ipc",
            "--fork",
            "--kill-child",
            "--mount-proc",
        ];
        // Fifty addresses, so that there can be fifty peers; what a daemon keeps in /run and /var/lib stays in here.
        let script =
            "mount -t tmpfs none /run; mkdir -p /run/libvirt; mount --bind \"$1\" /run/libvirt
            mkdir -p \"$2/state\"; ip link set lo up
            for n in $(seq 1 60); do ip addr add 10.99.0.$n/32 dev lo; done
            echo ready; read -r end";
        let mut keeper = Command::new("unshare")
            .args(spaces)
            .args(["--propagation", "private", "sh", "-ec", script, "sh"])
            .arg(libvirt.directory())
            .arg(directory.path())
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
        let stage = Stage { libvirt, directory, keeper, inside, daemon: None };
        stage.write("key", SECRET, 0o600);
        Some(stage)
    }

    /// Has this thread's sockets in the stage's network from now on.
    fn enter(&self) {
        let network = File::open(format!("/proc/{}/ns/net", self.inside)).unwrap();
        nix::sched::setns(network, nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: &[u8], mode: u32) {
        use std::os::unix::fs::PermissionsExt;
        std::fs::write(self.at(name), content).unwrap();
        std::fs::set_permissions(self.at(name), PermissionsExt::from_mode(mode)).unwrap();
    }

    pub(crate) fn key() -> Key {
        Key::new(SECRET).unwrap()
    }

    /// Writes the configuration; KEY in it is the key file.
    pub(crate) fn configure(&self, text: &str) {
        let text = text.replace("KEY", self.at("key").to_str().unwrap());
        self.write("conf", text.as_bytes(), 0o600);
    }

    /// A command inside.
    pub(crate) fn inside(&self, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.inside.to_string(), "-m", "-n", "-p", "-u", "-i", "--"]);
        command.args(words);
        command.env("STATE_DIRECTORY", self.at("state")).env_remove("NOTIFY_SOCKET");
        command
    }

    /// A shell command inside that has to succeed.
    pub(crate) fn sh(&self, script: &str) {
        let output = self.inside(&["sh", "-ec", script]).output().unwrap();
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Starts the daemon in the foreground and waits until it says that it serves.
    pub(crate) fn start(&mut self, words: &[&str]) {
        let log = File::options().create(true).append(true).open(self.at("log")).unwrap();
        let socket = self.at(&format!("notify.{}", std::process::id()));
        let _ = std::fs::remove_file(&socket);
        let ready = std::os::unix::net::UnixDatagram::bind(&socket).unwrap();
        ready.set_read_timeout(Some(PATIENCE)).unwrap();
        let conf = self.at("conf");
        // The shell's number is the daemon's, once it has become it.
        let script = "echo $$; exec \"$@\"";
        let mut child = self
            .inside(&[
                "sh",
                "-c",
                script,
                "sh",
                env!("CARGO_BIN_EXE_fence_virtd"),
                "-F",
                "-d1",
                "-f",
            ])
            .arg(&conf)
            .args(words)
            .env("NOTIFY_SOCKET", &socket)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut line = String::new();
        let _ = BufReader::new(child.stdout.take().unwrap()).read_line(&mut line);
        let mut buffer = [0; 4096];
        let length =
            ready.recv(&mut buffer).unwrap_or_else(|error| panic!("{error}: {}", self.log()));
        assert!(buffer[..length].starts_with(b"READY=1"), "{}", self.log());
        let pid = host_pid(child.id());
        self.daemon = Some(Daemon { child, pid });
    }

    /// Sends the daemon a signal.
    pub(crate) fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = i32::try_from(self.daemon.as_ref().unwrap().pid).unwrap();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal).unwrap();
    }

    /// Ends the daemon and waits for its end.
    pub(crate) fn stop(&mut self) -> std::process::ExitStatus {
        self.signal(nix::sys::signal::Signal::SIGTERM);
        let mut daemon = self.daemon.take().unwrap();
        let began = Instant::now();
        loop {
            if let Some(status) = daemon.child.try_wait().unwrap() {
                return status;
            }
            assert!(began.elapsed() < PATIENCE, "it does not end: {}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// What the daemon has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.at("log")).unwrap_or_default()
    }

    /// Waits until the log has a line with this.
    pub(crate) fn logged(&self, text: &str) -> String {
        let began = Instant::now();
        loop {
            let log = self.log();
            if let Some(line) = log.lines().find(|line| line.contains(text)) {
                return line.to_owned();
            }
            assert!(began.elapsed() < PATIENCE, "no line with {text:?} in:\n{log}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The calls that changed something at libvirt.
    pub(crate) fn changes(&self) -> Vec<String> {
        let changing = ["destroy", "create", "start-defined"];
        let is_one = |call: &&String| changing.contains(&call.split(' ').next().unwrap());
        self.libvirt.world().calls.iter().filter(is_one).cloned().collect()
    }

    /// libvirt's number of a domain's state.
    pub(crate) fn state(&self, name: &str) -> Option<i32> {
        let world = self.libvirt.world();
        world.domains.iter().find(|domain| domain.name == name).map(|domain| domain.state)
    }

    /// Descriptors of the daemon.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.daemon.as_ref().unwrap().pid))
            .unwrap()
            .count()
    }

    /// Its resident memory in KiB, the most there has been so far.
    pub(crate) fn peak_kib(&self) -> u64 {
        let status = format!("/proc/{}/status", self.daemon.as_ref().unwrap().pid);
        let text = std::fs::read_to_string(status).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").trim().parse().unwrap()
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }
}

/// The process that nsenter has made in the namespace, and waits for.
fn host_pid(outer: u32) -> u32 {
    let began = Instant::now();
    loop {
        let children = format!("/proc/{outer}/task/{outer}/children");
        let text = std::fs::read_to_string(children).unwrap_or_default();
        if let Some(pid) = text.split_whitespace().next() {
            return pid.parse().unwrap();
        }
        assert!(began.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(2));
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // Their namespaces end with the keeper's, and with them the daemon.
        if let Some(mut stdin) = self.keeper.stdin.take() {
            let _ = stdin.write_all(b"\n");
        }
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
        if let Some(mut daemon) = self.daemon.take() {
            let _ = daemon.child.kill();
            let _ = daemon.child.wait();
        }
    }
}
