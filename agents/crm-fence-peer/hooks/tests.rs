//! A stage for hooks: fake tools, a root of one's own, and a look at DRBD that is made up. Invariant: this machine's tools and
//! files are never used.
#![allow(clippy::disallowed_methods, reason = "tests look at files themselves")]

use std::{
    cell::RefCell,
    collections::BTreeMap,
    path::Path,
    time::{Duration, Instant},
};

use duet_drbd::{
    Connection, Disk, Peer, PeerVolume, Replication, Resource, Role, Version, View, Volume,
};
use duet_fake_tools::FakeTools;
use duet_host::drbd::Source;
use tempfile::TempDir;

use super::*;

/// What tools that are shell scripts need themselves.
const BASICS: [&str; 6] = ["cat", "mv", "sed", "tr", "sleep", "sh"];

pub(super) struct Stage {
    pub(super) tools: FakeTools,
    /// What DRBD says; `Err`: that it cannot be asked.
    pub(super) sight: Result<Sight, String>,
    /// After how long.
    pub(super) pause: Duration,
    /// All deadlines are divided by this.
    pub(super) haste: u32,
    /// What the machine calls itself.
    pub(super) name: String,
    directory: TempDir,
    log: RefCell<Vec<String>>,
}

/// What a hook did.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) code: u8,
    pub(super) log: String,
    pub(super) took: Duration,
}

impl Stage {
    /// node2's r0 is about to be synchronized by node1 (node id 0, `peer` on 8.4).
    pub(super) fn new() -> Stage {
        let directory = tempfile::tempdir().unwrap();
        let tools = FakeTools::at(&directory.path().join("tools"));
        for tool in ["lvs", "lvcreate", "lvremove", "mail", "stonith_admin"] {
            tools.add(tool);
        }
        let basics = directory.path().join("bin");
        std::fs::create_dir(&basics).unwrap();
        for tool in BASICS {
            let path = process::find(tool, process::PATH).unwrap();
            std::os::unix::fs::symlink(path, basics.join(tool)).unwrap();
        }
        let sight = Ok(seen(resource(Disk::Outdated, Some(4096))));
        Stage {
            tools,
            sight,
            pause: Duration::ZERO,
            haste: 1,
            name: "node2".into(),
            directory,
            log: RefCell::default(),
        }
    }

    /// The same where DRBD says this.
    pub(super) fn seeing(self, sight: Result<Sight, String>) -> Stage {
        Stage { sight, ..self }
    }

    pub(super) fn root(&self) -> PathBuf {
        self.directory.path().join("root")
    }

    /// A file that is there for the stage's life.
    pub(super) fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs a hook with these arguments and this environment.
    pub(super) fn run(&self, name: &str, arguments: &str, environment: &[(&str, &str)]) -> Ran {
        let hook = Hook::called(OsStr::new(name)).unwrap();
        let programs = self.tools.programs().display().to_string();
        let host = Host {
            tools: format!("{programs}:{}", self.at("bin").display()),
            root: self.root(),
            haste: self.haste,
            name: self.name.clone(),
            look: Box::new(|_| {
                std::thread::sleep(self.pause);
                self.sight.clone()
            }),
            log: Box::new(|level, text| {
                assert!(!text.chars().any(char::is_control), "{text:?}");
                self.log.borrow_mut().push(format!("{level}: {text}\n"));
            }),
        };
        let arguments: Vec<String> = arguments.split_whitespace().map(str::to_owned).collect();
        let environment = environment.iter().map(|(name, value)| (name.into(), value.into()));
        let began = Instant::now();
        let code = run_on(&host, &hook, &arguments, environment.collect());
        let log = self.log.take().concat();
        Ran { code, log, took: began.elapsed() }
    }
}

/// One volume, and one peer that differs so much from it.
pub(super) fn resource(disk: Disk, out_of_sync: Option<u64>) -> Resource {
    let volume = Volume {
        minor: Some(0),
        disk,
        client: Some(false),
        backing: Some("/dev/vg0/web".into()),
        ..Volume::default()
    };
    let theirs = PeerVolume {
        replication: Replication::Established,
        disk: Disk::UpToDate,
        client: Some(false),
        out_of_sync,
    };
    let peer = Peer {
        name: Some("node1".into()),
        connection: Connection::Connected,
        role: Role::Primary,
        volumes: BTreeMap::from([(0, theirs)]),
    };
    Resource {
        role: Role::Secondary,
        volumes: BTreeMap::from([(0, volume)]),
        peers: BTreeMap::from([(0, peer)]),
        ..Resource::default()
    }
}

pub(super) fn seen(resource: Resource) -> Sight {
    let view = View { resources: BTreeMap::from([("r0".to_owned(), resource)]) };
    Sight::Seen { version: Version { major: 9, minor: 3, patch: 3 }, view, source: Source::Netlink }
}

/// The environment of a recorded call for this event, of the driver in this folder on this node.
pub(super) fn recorded(folder: &str, node: &str, event: &str) -> Vec<(String, String)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/recorded/drbd");
    let path = directory.join(folder).join(format!("handler-calls{node}.txt"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    let call = text.split(&format!("argv[1]={event}\n")).nth(1).expect("it was recorded");
    let lines = call.lines().skip(1).take_while(|line| !line.starts_with('#'));
    let variables = lines.filter_map(|line| line.split_once('='));
    variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

pub(super) fn borrowed(environment: &[(String, String)]) -> Vec<(&str, &str)> {
    environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

#[test]
fn the_names_of_the_stock_hooks_are_names_of_the_same_hooks() {
    let called = |name: &str| Hook::called(OsStr::new(name));
    for suffix in ["", ".sh"] {
        for (name, hook) in [
            ("stonith_admin-fence-peer", Hook::Stonith),
            ("/usr/lib/drbd/stonith_admin-fence-peer", Hook::Stonith),
            ("snapshot-resync-target-lvm", Hook::Snapshot),
            ("unsnapshot-resync-target-lvm", Hook::Unsnapshot),
            ("before-resync-source", Hook::Nothing),
            ("notify", Hook::Notify(Topic::Unspecified)),
            ("notify-emergency-reboot", Hook::Notify(Topic::EmergencyReboot)),
            ("notify-emergency-shutdown", Hook::Notify(Topic::EmergencyShutdown)),
            ("notify-io-error", Hook::Notify(Topic::IoError)),
            ("notify-local-io-error", Hook::Notify(Topic::IoError)),
            ("notify-out-of-sync", Hook::Notify(Topic::OutOfSync)),
            ("notify-pri-lost-after-sb", Hook::Notify(Topic::PriLostAfterSb)),
            ("notify-pri-lost", Hook::Notify(Topic::PriLost)),
            ("notify-pri-on-incon-degr", Hook::Notify(Topic::PriOnInconDegr)),
            ("notify-split-brain", Hook::Notify(Topic::SplitBrain)),
            ("notify-initial-split-brain", Hook::Notify(Topic::InitialSplitBrain)),
            ("notify-quorum-lost", Hook::Notify(Topic::QuorumLost)),
            ("notify-our-split-brain", Hook::Notify(Topic::SplitBrain)),
            ("notify-disconnected", Hook::Notify(Topic::Other(Event::Disconnected))),
            ("notify-whatever", Hook::Notify(Topic::Unspecified)),
        ] {
            assert_eq!(called(&format!("{name}{suffix}")), Some(hook), "{name}{suffix}");
        }
    }
    for name in ["", "/", "sh", "notifysplit-brain", "snapshot-resync-target-lvm.sh.bak", "drbdadm"]
    {
        assert_eq!(called(name), None, "{name}");
    }
}

#[test]
fn a_hook_that_can_keep_a_resync_from_happening_falls_back_to_success() {
    for (name, code) in [
        ("snapshot-resync-target-lvm.sh", 0),
        ("unsnapshot-resync-target-lvm.sh", 0),
        ("before-resync-source", 0),
        ("notify-before-resync-target", 0),
        ("notify-before-resync-source", 0),
        ("notify-split-brain.sh", 1),
        ("stonith_admin-fence-peer.sh", 1),
    ] {
        assert_eq!(Hook::called(OsStr::new(name)).unwrap().fallback(), code, "{name}");
    }
}

#[test]
fn before_resync_source_is_success_whatever_there_is() {
    let mut stage = Stage::new();
    stage.sight = Err("it hangs".into());
    let ran = stage.run("before-resync-source", "--what -ever", &[("DRBD_MINOR", "x")]);
    assert_eq!((ran.code, ran.log.as_str()), (0, ""));
}

#[test]
fn lines_go_where_the_facility_says_and_else_where_the_stock_scripts_put_them() {
    let facility = |line: &str| {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        super::facility(&words)
    };
    for (line, expected) in [
        ("", "local5"),
        ("root", "local5"),
        ("-l local3 root", "local3"),
        ("--logfacility=daemon -p 10 -- -l auth", "daemon"),
        ("-p 10 -n -l mail", "mail"),
        ("-l local8", "local5"),
        ("-l ../../etc", "local5"),
        ("-l", "local5"),
    ] {
        assert_eq!(facility(line), expected, "{line}");
    }
}
