//! The lab's own manners, with the real program: what it refuses and in what words, that nothing
//! outlives it, and that it leaves the machine as it was. Most of it needs root and the image; those
//! tests run under `make lab` (`DUET_LAB_TESTS=1`) and say so when they are skipped.

#![allow(clippy::disallowed_methods, reason = "these tests start the lab as a user would")]
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const LAB: &str = env!("CARGO_BIN_EXE_lab");

/// A lab directory of its own.
struct Place {
    run: PathBuf,
}

impl Place {
    fn new(name: &str) -> Self {
        // Short: Unix sockets live below it.
        let run = PathBuf::from(format!("/var/tmp/duet-test-{name}-{}", std::process::id()));
        drop(fs::remove_dir_all(&run));
        fs::create_dir_all(&run).unwrap();
        Self { run }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("timeout");
        command.args(["-k", "5", "300", LAB]).args(words);
        command.env("DUET_LAB_DIR", &self.run).stdin(Stdio::null());
        command
    }

    fn lab(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    /// Processes that have this lab's directory among their arguments.
    fn processes(&self) -> Vec<String> {
        let mark = self.run.to_string_lossy().into_owned();
        let numeric = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit());
        fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .filter(|entry| numeric(&entry.file_name().to_string_lossy()))
            .filter_map(|entry| {
                let arguments = fs::read(entry.path().join("cmdline")).unwrap_or_default();
                let text = String::from_utf8_lossy(&arguments).replace('\0', " ");
                text.contains(&mark).then_some(text)
            })
            .collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(self.lab(&["down"]));
        drop(fs::remove_dir_all(&self.run));
    }
}

fn text(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    format!("{out}{err}")
}

/// Whether tests of whole labs can run here; says why when not.
fn labs_can_run(test: &str) -> bool {
    let why = if !nix::unistd::geteuid().is_root() {
        "not root"
    } else if std::env::var_os("DUET_LAB_TESTS").is_none() {
        "whole labs are brought up by `make lab`, not by `make test`"
    } else {
        return true;
    };
    eprintln!("skipped: {test}: {why}");
    false
}

fn root(test: &str) -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        eprintln!("skipped: {test}: not root");
    }
    root
}

#[test]
fn without_root_it_says_what_is_needed() {
    let place = Place::new("user");
    let mut command = if nix::unistd::geteuid().is_root() {
        // The program's own directory may be closed to others: nobody runs a copy in an open one.
        let copy = place.run.join("lab");
        // By a process of its own: no child of another test can then hold it open for writing.
        assert!(Command::new("cp").arg(LAB).arg(&copy).status().unwrap().success());
        std::os::unix::fs::chown(&place.run, Some(65534), Some(65534)).unwrap();
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(copy);
        command
    } else {
        Command::new(LAB)
    };
    let output = command.arg("containers/start").env("DUET_LAB_DIR", &place.run).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output);
    assert!(said.contains("need root") && said.contains("sudo"), "{said}");
}

#[test]
fn unknown_words_are_answered_with_the_known_ones() {
    let place = Place::new("words");
    let output = place.lab(&["containers/stat"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("containers/start"), "{}", text(&output));
    let output = place.lab(&["containers/start", "--agents", "drbd=theirs"]);
    assert!(text(&output).contains("neither stock nor ours"), "{}", text(&output));
    let output = place.lab(&["run", "node1", "true"]);
    assert!(text(&output).contains("No lab is up"), "{}", text(&output));
}

#[test]
fn too_little_space_is_said_before_anything_is_fetched() {
    if !root("space") {
        return;
    }
    let place = Place::new("space");
    let run = place.run.display();
    let script = format!("mount -t tmpfs -o size=20m small {run} && exec {LAB} up containers");
    let output = Command::new("timeout")
        .args(["300", "unshare", "-m", "sh", "-c", &script])
        .env("DUET_LAB_DIR", &place.run)
        .env("DUET_LAB_CACHE", place.run.join("cache"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("MiB free, the image needs"), "{}", text(&output));
}

#[test]
fn without_a_mirror_it_says_so_and_leaves_nothing_that_looks_like_an_image() {
    if !root("mirror") {
        return;
    }
    if !Path::new("/usr/sbin/debootstrap").exists() {
        eprintln!("skipped: mirror: debootstrap is not installed (make deps)");
        return;
    }
    let place = Place::new("mirror");
    let cache = place.run.join("cache");
    // A network namespace without any network: every name and address is out of reach.
    let output = Command::new("timeout")
        .args(["300", "unshare", "-n", LAB, "up", "containers"])
        .env("DUET_LAB_DIR", &place.run)
        .env("DUET_LAB_CACHE", &cache)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output);
    assert!(said.contains("package mirror") && said.contains("bookworm.log"), "{said}");
    let complete =
        fs::read_dir(&cache).unwrap().flatten().any(|entry| entry.path().join("manifest").exists());
    assert!(!complete, "a failed build must not look like an image");
}

#[test]
fn two_labs_in_one_place_are_refused_and_in_two_places_are_not() {
    if !labs_can_run("two labs") {
        return;
    }
    let (one, two) = (Place::new("one"), Place::new("two"));
    let up = one.lab(&["up", "containers"]);
    assert!(up.status.success(), "{}", text(&up));
    let again = one.lab(&["containers/start"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again).contains("is up") && text(&again).contains("down"), "{}", text(&again));
    let other = two.lab(&["up", "containers"]);
    assert!(other.status.success(), "{}", text(&other));
    let run = one.lab(&["run", "node1", "hostname"]);
    assert_eq!(String::from_utf8_lossy(&run.stdout), "node1\n", "{}", text(&run));
    let (mut holder, refusal) = second_while_first_runs(&one);
    assert!(refusal.contains("Another lab command is using"), "{refusal}");
    assert!(holder.wait().unwrap().success());
    assert!(one.processes().is_empty(), "{:?}", one.processes());
}

/// A command that holds the place for a while, and what a second one is told meanwhile.
fn second_while_first_runs(place: &Place) -> (Child, String) {
    assert!(place.lab(&["down"]).status.success());
    let holder = place.command(&["containers/start"]).stdout(Stdio::null()).spawn().unwrap();
    let record = place.run.join("lab.json");
    wait_for(Duration::from_secs(60), "the first command to begin", || record.exists());
    let second = place.lab(&["containers/start"]);
    (holder, text(&second))
}

#[test]
fn a_scenario_that_hangs_ends_at_its_bound_with_logs_and_nothing_left() {
    if !labs_can_run("hang") {
        return;
    }
    let place = Place::new("hang");
    let output = place.lab(&["_hang"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("No end within its bound of 5 s"), "{}", text(&output));
    let log = fs::read_to_string(place.run.join("reports/_hang/logs/node1.log")).unwrap();
    assert!(log.contains("pacemaker"), "the logs are empty");
    assert!(place.processes().is_empty(), "{:?}", place.processes());
    assert!(!place.run.join("lab.json").exists());
}

#[test]
fn a_killed_command_takes_its_lab_with_it_and_the_next_one_starts_clean() {
    if !labs_can_run("killed command") {
        return;
    }
    let place = Place::new("killed");
    let mut child = Command::new(LAB)
        .arg("containers/start")
        .env("DUET_LAB_DIR", &place.run)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let ready = place.run.join("host-side.ready");
    wait_for(Duration::from_secs(120), "the lab to come up", || ready.exists());
    child.kill().unwrap();
    child.wait().unwrap();
    wait_for(Duration::from_secs(20), "everything of the lab to end", || {
        place.processes().is_empty()
    });
    let next = place.lab(&["containers/start"]);
    assert!(next.status.success(), "{}", text(&next));
}

#[test]
fn taken_bridges_and_ports_do_not_matter_and_the_machine_stays_as_it_was() {
    if !labs_can_run("taken") {
        return;
    }
    let place = Place::new("taken");
    let before = machine();
    let run = place.run.clone();
    // A thread in a network namespace of its own plays the machine: its bridges and ports are taken.
    let (output, links) = std::thread::spawn(move || {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
        let taken = "set -e; ip link set lo up; for n in 77 78; do ip link add br$n type bridge; \
                     ip addr add 10.$n.0.254/24 dev br$n; ip link set br$n up; done";
        assert!(Command::new("sh").args(["-c", taken]).status().unwrap().success());
        let _udp = [5555, 514, 1229].map(|port| UdpSocket::bind(("0.0.0.0", port)).unwrap());
        let _tcp = TcpListener::bind(("0.0.0.0", 10809)).unwrap();
        let links = || text(&Command::new("sh").args(["-c", LINKS]).output().unwrap());
        let before = links();
        let output = Command::new("timeout")
            .args(["300", LAB, "containers/start"])
            .env("DUET_LAB_DIR", &run)
            .output()
            .unwrap();
        (output, (before, links()))
    })
    .join()
    .unwrap();
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(links.0, links.1);
    assert_eq!(machine(), before);
}

/// The machine's network devices, without what changes by itself.
const LINKS: &str = "ip -o link | sed 's/ state.*//'";

/// What of this machine a lab must never change.
fn machine() -> Vec<String> {
    let mut facts = vec![
        fs::read_to_string("/proc/sys/kernel/hostname").unwrap(),
        fs::read_to_string("/proc/self/mountinfo").unwrap(),
    ];
    let commands = [
        LINKS,
        "losetup -a",
        "ls -l /etc/libvirt /var/lib/libvirt /run/libvirt /etc/corosync /var/lib/pacemaker 2>&1",
    ];
    for command in commands {
        facts.push(text(&Command::new("sh").args(["-c", command]).output().unwrap()));
    }
    facts
}

fn wait_for(within: Duration, what: &str, mut there: impl FnMut() -> bool) {
    let began = Instant::now();
    while !there() {
        assert!(began.elapsed() < within, "waited {within:?} for {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}
