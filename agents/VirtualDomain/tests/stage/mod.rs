//! A stage for the executable: a libvirtd without guests at /run/libvirt, in a mount namespace of its own, so that
//! neither this machine's libvirt nor its /run can be reached. Invariant: where that cannot be had, the
//! test says "skipped" and why.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "test support")]

pub(crate) mod guest;

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use duet_fake_tools::{FakeDomain, FakeLibvirtd, World};
use tempfile::TempDir;

/// The UUID of the definition on every stage.
pub(crate) const UUID: &str = "c7a5fdbd-edaf-9455-926a-d65c16db1809";
/// Somebody else's.
pub(crate) const OTHER: &str = "d7a5fdbd-edaf-9455-926a-d65c16db1809";

/// One node with one definition.
pub(crate) struct Stage {
    /// Its libvirt, if that runs.
    pub(crate) daemon: Option<FakeLibvirtd>,
    /// Shell commands in its namespace before the agent; fake tools are in place then.
    pub(crate) before: String,
    /// And after it.
    pub(crate) after: String,
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

impl Stage {
    /// A node whose libvirt has this world; none where namespaces are not to be had.
    pub(crate) fn new(world: World) -> Option<Self> {
        Self::build(Some(FakeLibvirtd::start(world)))
    }

    /// A node with one domain.
    pub(crate) fn with(domain: FakeDomain) -> Option<Self> {
        Self::new(World { domains: vec![domain], ..World::default() })
    }

    /// A node on which libvirt knows nothing.
    pub(crate) fn empty() -> Option<Self> {
        Self::new(World::default())
    }

    /// A node without libvirt.
    pub(crate) fn without_libvirt() -> Option<Self> {
        Self::build(None)
    }

    fn build(daemon: Option<FakeLibvirtd>) -> Option<Self> {
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
        let stage = Self { daemon, before: String::new(), after: String::new(), directory };
        stage.define("web", Some(UUID));
        Some(stage)
    }

    /// Has the agent run without the right to end other users' processes, as if those did not end of a signal.
    pub(crate) fn agent_cannot_kill_others(&mut self) {
        self.before = "set -- setpriv --bounding-set=-kill --inh-caps=-kill \"$@\"".to_owned();
    }

    /// A file or directory that is there for the stage's life.
    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Puts a shell script of this name where programs are looked for first. `$STAGE` is the stage's directory.
    pub(crate) fn tool(&self, name: &str, script: &str) {
        let directory = self.at("tools");
        std::fs::create_dir_all(&directory).unwrap();
        let stage = self.directory.path().display();
        let text = format!("#!/bin/sh\nSTAGE={stage}\n{script}\n");
        let path = directory.join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    }

    /// The lines of such a file; none if it is not there.
    pub(crate) fn lines(&self, name: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.at(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Its directory.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The definition file.
    pub(crate) fn definition(&self) -> PathBuf {
        self.directory.path().join("web.xml")
    }

    /// Where the agent remembers.
    pub(crate) fn memory(&self) -> PathBuf {
        self.directory.path().join("tmp")
    }

    /// Writes the definition; `name` as in XML.
    pub(crate) fn define(&self, name: &str, uuid: Option<&str>) {
        let uuid = uuid.map(|uuid| format!("<uuid>{uuid}</uuid>")).unwrap_or_default();
        let xml =
            format!("<domain type='kvm'><name>{name}</name>{uuid}<memory>1</memory></domain>");
        std::fs::write(self.definition(), xml).unwrap();
    }

    /// Takes the definition away.
    pub(crate) fn lose_definition(&self) {
        std::fs::remove_file(self.definition()).unwrap();
    }

    /// Its libvirt.
    pub(crate) fn libvirt(&self) -> &FakeLibvirtd {
        self.daemon.as_ref().unwrap()
    }

    /// Runs an action with 10 s and no further parameters.
    pub(crate) fn run(&self, action: &str) -> Ran {
        self.run_with(action, &[])
    }

    /// Runs the recurring monitor.
    pub(crate) fn recurring(&self) -> Ran {
        self.run_with("monitor", &[("CRM_meta_interval", "10000")])
    }

    /// Runs an action with these parameters; `CRM_meta_timeout` is in milliseconds.
    pub(crate) fn run_with(&self, action: &str, parameters: &[(&str, &str)]) -> Ran {
        let nowhere = self.directory.path().join("no-libvirt");
        std::fs::create_dir_all(&nowhere).unwrap();
        let sockets: &Path = self.daemon.as_ref().map_or(&nowhere, FakeLibvirtd::directory);
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--propagation", "private", "sh", "-ec"])
            .arg(
                "mount -t tmpfs none /run; mkdir /run/libvirt; mount --bind \"$1\" /run/libvirt; \
                 shift; if [ -d \"$TOOLS\" ]; then mount --bind \"$TOOLS\" /usr/local/sbin; fi; \
                 eval \"$BEFORE\"; if [ -z \"$AFTER\" ]; then exec \"$@\"; fi; \
                 set +e; \"$@\"; code=$?; eval \"$AFTER\"; exit $code",
            )
            .arg("sh")
            .arg(sockets)
            .arg(env!("CARGO_BIN_EXE_VirtualDomain"))
            .arg(action)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("TOOLS", self.at("tools"))
            .env("BEFORE", &self.before)
            .env("AFTER", &self.after)
            .env("STAGE", self.directory())
            .env("OCF_RESOURCE_INSTANCE", "p_web")
            .env("HA_RSCTMP", self.memory())
            .env("OCF_RESKEY_config", self.definition())
            .env("OCF_RESKEY_CRM_meta_timeout", "10000")
            .stdin(Stdio::null());
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
}
