//! Where the lab keeps things: images in a cache that outlives it, everything else in one
//! directory a lab, both outside the source tree. A lab is alive only if the process that holds
//! its namespaces is, recognised by pid *and* start time.

use crate::failure::{Failure, Result};
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Directories of one lab.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// Images; `DUET_LAB_CACHE`, else `/var/cache/duet-lab`.
    pub(crate) cache: PathBuf,
    /// This lab's sockets, disks and logs; `DUET_LAB_DIR`, else `/var/tmp/duet-lab`.
    pub(crate) run: PathBuf,
    /// What is left of its scenarios: in `run`, or with the lab that it is a lane of.
    pub(crate) reports: PathBuf,
}

impl Place {
    pub(crate) fn from_environment() -> Self {
        let from = |name: &str, default: &str| {
            std::env::var_os(name)
                .filter(|value| !value.is_empty())
                .map_or(default.into(), PathBuf::from)
        };
        Self::in_directories(
            from("DUET_LAB_CACHE", "/var/cache/duet-lab"),
            from("DUET_LAB_DIR", "/var/tmp/duet-lab"),
        )
    }

    fn in_directories(cache: PathBuf, run: PathBuf) -> Self {
        let reports = run.join("reports");
        Self { cache, run, reports }
    }

    /// Room for a second lab beside this one (lane 2, 3 and so on), in a directory beside its, with the same reports.
    pub(crate) fn lane(&self, number: usize) -> Self {
        let mut run = self.run.clone().into_os_string();
        run.push(format!("-lane{number}"));
        Self { run: run.into(), ..self.clone() }
    }

    /// Makes both directories, or recognises them as a lab's: what lies in them is removed without
    /// asking, so a directory with anything else in it is refused.
    pub(crate) fn create(&self) -> Result<()> {
        claim(&self.run, "DUET_LAB_DIR")?;
        claim(&self.cache, "DUET_LAB_CACHE")?;
        // Unix socket names are at most 107 bytes, and the longest of ours is
        // <run>/node1.agent.sock.
        if self.run.as_os_str().len() > 80 {
            return Err(Failure::Missing {
                what: format!("{} is too long a name for the sockets in it", self.run.display()),
                cure: "set DUET_LAB_DIR to a shorter one".to_owned(),
            });
        }
        Ok(())
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.run.join(name)
    }

    /// Takes the lock that makes this lab ours until the value is dropped.
    pub(crate) fn lock(&self) -> Result<Lock> {
        self.create()?;
        lock(&self.file("lock"), || {
            format!(
                "Another lab command is using {} ({}): wait for it, end it, or give this one a \
                 directory of its own with DUET_LAB_DIR",
                self.run.display(),
                fs::read_to_string(self.file("holder")).unwrap_or_default().trim()
            )
        })
        .inspect(|_| {
            let words: Vec<String> = std::env::args().skip(1).collect();
            // Only for the message above; a lab without it still works.
            drop(fs::write(
                self.file("holder"),
                format!("pid {}: lab {}", std::process::id(), words.join(" ")),
            ));
        })
    }

    pub(crate) fn lab(&self) -> Option<Alive> {
        let text = fs::read_to_string(self.file("lab.json")).ok()?;
        let alive: Alive = serde_json::from_str(&text).ok()?;
        alive.holder.is_alive().then_some(alive)
    }
}

/// What tells a directory of the labs from anybody else's.
const MARK: &str = ".duet-lab";

fn claim(dir: &Path, setting: &str) -> Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(dir)
        .map_err(Failure::io(format!("create {}", dir.display())))?;
    let mark = dir.join(MARK);
    if mark.exists() {
        return Ok(());
    }
    let mut entries =
        fs::read_dir(dir).map_err(Failure::io(format!("look into {}", dir.display())))?;
    if entries.next().is_some() {
        return Err(Failure::Refused(format!(
            "{} has files that are not a lab's, and a lab would remove them: set {setting} to a new \
             or an empty directory",
            dir.display()
        )));
    }
    fs::write(&mark, "").map_err(Failure::io(format!("write {}", mark.display())))
}

/// A held lock file.
pub(crate) type Lock = Flock<fs::File>;

/// Takes an exclusive lock without waiting; `refusal` words the error when somebody holds it.
pub(crate) fn lock(path: &Path, refusal: impl FnOnce() -> String) -> Result<Lock> {
    let file = fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(Failure::io(format!("open {}", path.display())))?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|_| Failure::Refused(refusal()))
}

/// A process that cannot be mistaken for a later one with the same pid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    /// Clock ticks since boot, field 22 of `/proc/PID/stat` (proc(5)).
    pub(crate) started: u64,
}

impl Process {
    /// The process that has this pid now.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let started = stat_fields(&stat)?.nth(19)?.parse().ok()?;
        Some(Self { pid, started })
    }

    pub(crate) fn is_alive(self) -> bool {
        let zombie = fs::read_to_string(format!("/proc/{}/stat", self.pid))
            .ok()
            .and_then(|stat| stat_fields(&stat)?.next().map(|state| state == "Z"))
            .unwrap_or(false);
        !zombie && Self::of(self.pid) == Some(self)
    }

    /// Ends it, if it still is the one that was meant.
    pub(crate) fn kill(self) {
        if self.is_alive() {
            // Gone in between is what was wanted.
            let pid = nix::unistd::Pid::from_raw(self.pid);
            let _gone = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
        }
    }

    /// Every process below this one.
    pub(crate) fn descendants(self) -> Vec<Self> {
        let parents: Vec<(Self, i32)> = processes()
            .into_iter()
            .filter_map(|process| Some((process, parent(process.pid)?)))
            .collect();
        let mut found = vec![self];
        let mut next = 0;
        while next < found.len() {
            let pid = found[next].pid;
            found.extend(
                parents.iter().filter(|(_, parent)| *parent == pid).map(|(process, _)| *process),
            );
            next += 1;
        }
        found.split_off(1)
    }

    /// The children of this process, by the parent field of every process there is.
    pub(crate) fn children(self) -> Vec<Self> {
        processes().into_iter().filter(|process| parent(process.pid) == Some(self.pid)).collect()
    }
}

/// Every process of this machine.
pub(crate) fn processes() -> Vec<Process> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(Process::of)
        .collect()
}

pub(crate) fn parent(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat_fields(&stat)?.nth(1)?.parse().ok()
}

/// The fields of a stat line from the state on: the name before it may hold blanks and brackets.
fn stat_fields(stat: &str) -> Option<impl Iterator<Item = &str>> {
    Some(stat.rsplit_once(')')?.1.split_whitespace())
}

/// What `lab.json` says about a lab that was brought up.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Alive {
    /// The first process inside the lab's namespaces; when it ends, the kernel ends the rest.
    pub(crate) holder: Process,
    pub(crate) topology: String,
    pub(crate) nodes: Vec<String>,
    /// Started by `up` and meant to stay, rather than by a scenario.
    pub(crate) stays: bool,
    pub(crate) image: PathBuf,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_pid_and_start_time() {
        let own = Process::of(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(own.is_alive());
        assert!(!Process { started: own.started + 1, ..own }.is_alive());
    }

    #[test]
    fn a_directory_with_somebody_elses_files_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let [run, cache] = ["run", "cache"].map(|name| dir.path().join(name));
        let place = Place::in_directories(cache.clone(), run.clone());
        place.create().unwrap();
        fs::write(run.join("node1.xml"), "").unwrap();
        place.create().unwrap();
        for taken in [&run, &cache] {
            fs::remove_file(taken.join(MARK)).unwrap();
            fs::write(taken.join("letter.txt"), "").unwrap();
            assert!(
                matches!(place.create(), Err(Failure::Refused(why)) if why.contains("DUET_LAB"))
            );
            fs::remove_file(taken.join("letter.txt")).unwrap();
            fs::write(taken.join(MARK), "").unwrap();
        }
    }

    #[test]
    fn a_second_lock_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = lock(&path, String::new).unwrap();
        assert!(
            matches!(lock(&path, || "held".into()), Err(Failure::Refused(why)) if why == "held")
        );
        drop(held);
        lock(&path, String::new).unwrap();
    }
}
