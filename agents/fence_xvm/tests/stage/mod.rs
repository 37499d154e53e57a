//! A network of its own for each test (the thread leaves the machine's), a key, and the client as a process in it. Invariant:
//! nothing is sent outside, and no process of a test outlives a minute.

pub(crate) mod daemon;

use duet_xvm::Key;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The client's end in a test's network, and the daemon's.
pub(crate) const CLIENT: [&str; 2] = ["10.99.0.2", "fd99::2"];
pub(crate) const HOST: [&str; 2] = ["10.99.0.1", "fd99::1"];
/// Longer than anything that a test waits for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A directory with a key, in a network of its own.
pub(crate) struct Stage {
    pub(crate) directory: tempfile::TempDir,
}

/// What a client left behind.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) took: Duration,
}

impl Ran {
    /// Code and stdout.
    pub(crate) fn said(&self) -> (Option<i32>, &str) {
        (self.code, &self.stdout)
    }
}

pub(crate) fn key() -> Key {
    Key::new(&[7; 32]).unwrap()
}

impl Stage {
    /// Without a network.
    pub(crate) fn new() -> Self {
        let stage = Self { directory: tempfile::tempdir().unwrap() };
        stage.file("key", &[7; 32]);
        stage
    }

    /// With a network: a loopback, and a pair of interfaces with the addresses of client and host, both here. `None`, having said
    /// why, where this machine does not let us.
    pub(crate) fn with_network() -> Option<Self> {
        if let Err(why) = nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET) {
            println!("skipped: no network of its own: {why}");
            return None;
        }
        let [client4, client6] = CLIENT;
        let [host4, host6] = HOST;
        let script = format!(
            "ip link set lo up && ip link add one type veth peer name other && \
             ip addr add {client4}/24 dev one && ip addr add {host4}/24 dev one && \
             ip -6 addr add {client6}/64 dev one nodad && ip -6 addr add {host6}/64 dev one nodad && \
             ip link set one up && ip link set other up"
        );
        let made = Command::new("sh").arg("-c").arg(script).output();
        match made {
            Ok(made) if made.status.success() => Some(Self::new()),
            Ok(made) => {
                println!("skipped: no interfaces: {}", String::from_utf8_lossy(&made.stderr));
                None
            }
            Err(why) => {
                println!("skipped: no interfaces: {why}");
                None
            }
        }
    }

    pub(crate) fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// `fence_xvm` with the key and these words.
    pub(crate) fn xvm(&self, line: &str) -> Ran {
        self.start("fence_xvm", line).wait()
    }

    /// `fence_virt` with the key and these words.
    pub(crate) fn virt(&self, line: &str) -> Ran {
        self.start("fence_virt", line).wait()
    }

    /// The client, begun.
    pub(crate) fn start(&self, program: &str, line: &str) -> Running {
        let key = self.directory.path().join("key");
        let mut command = client(program);
        command.arg("-k").arg(key).args(line.split_whitespace()).stdin(Stdio::null());
        Running::of(&mut command)
    }
}

/// The client under a name.
pub(crate) fn client(program: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fence_xvm"));
    command.arg0(program).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The client with standard input. One that refuses it need not read it to its end, which the writer sees as EPIPE.
pub(crate) fn told(program: &str, input: &str) -> Ran {
    let mut running = Running::of(client(program).stdin(Stdio::piped()));
    let written = running.child.stdin.take().unwrap().write_all(input.as_bytes());
    assert!(
        written.is_ok() || written.is_err_and(|error| error.kind() == ErrorKind::BrokenPipe),
        "not written"
    );
    running.wait()
}

/// The client with words.
pub(crate) fn called(program: &str, words: &[&str]) -> Ran {
    Running::of(client(program).args(words).stdin(Stdio::null())).wait()
}

/// A client that runs.
pub(crate) struct Running {
    pub(crate) child: Child,
    pub(crate) began: Instant,
}

impl Running {
    /// Its time begins before it does: it never took longer than is measured.
    pub(crate) fn of(command: &mut Command) -> Self {
        let began = Instant::now();
        Self { child: command.spawn().unwrap(), began }
    }

    pub(crate) fn wait(mut self) -> Ran {
        while self.child.try_wait().unwrap().is_none() {
            if self.began.elapsed() > PATIENCE {
                self.child.kill().unwrap();
                panic!("the client does not end");
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let took = self.began.elapsed();
        let code = self.child.wait().unwrap().code();
        let (mut stdout, mut stderr) = (String::new(), String::new());
        self.child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        // Where there is no syslog, the line for it comes here.
        let is_log = |line: &&str| line.starts_with("INFO: ") || line.starts_with("ERROR: ");
        let stderr = stderr.lines().filter(|line| !is_log(line)).map(|line| format!("{line}\n"));
        Ran { code, stdout, stderr: stderr.collect(), took }
    }
}
