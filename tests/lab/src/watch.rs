//! Watches from outside, ten times a second for the whole life of a container lab, every QEMU process
//! of every guest in every node, as the machine's own kernel sees it. Neither libvirt nor Pacemaker nor
//! the guest is asked, so a guest that runs twice is found even if both copies are silent.
//! Invariant: what could not be seen is a hole in the evidence and never "not there".

mod ledger;

use crate::place::{self, Process};
use duet_oracle::Journal;
pub(crate) use ledger::Twice;
use ledger::{Ledger, Sample, Turns};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const PERIOD: Duration = Duration::from_millis(100);
/// A process executes QEMU soon after it was forked, or never.
const YOUTH: Duration = Duration::from_secs(5);

/// The thread that watches.
pub(crate) struct Watch {
    ledger: Arc<Mutex<Ledger>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Watches everything below the first process of a lab; changes go into the record.
    pub(crate) fn start(holder: Process, journal: Journal) -> Self {
        let (ledger, stop) = (Arc::<Mutex<Ledger>>::default(), Arc::<AtomicBool>::default());
        let (shared, end) = (Arc::clone(&ledger), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let mut eyes = Eyes { holder, strangers: BTreeMap::new(), guests: BTreeMap::new() };
            while !end.load(Ordering::Relaxed) {
                let began = Instant::now();
                let samples = eyes.look();
                let story = locked(&shared).take(journal.now(), samples);
                for line in story {
                    journal.mark(&line);
                }
                std::thread::sleep(PERIOD.saturating_sub(began.elapsed()));
            }
        });
        Self { ledger, stop, thread: Some(thread) }
    }

    /// What was found, and what is missing for a verdict.
    pub(crate) fn findings(&self) -> (Vec<Twice>, Vec<String>) {
        let ledger = locked(&self.ledger);
        let mut missing: Vec<String> = ledger
            .holes
            .iter()
            .map(|(from, until)| {
                format!(
                    "nobody looked at the guests' processes from {:.1} s to {:.1} s",
                    from.as_secs_f64(),
                    until.as_secs_f64()
                )
            })
            .collect();
        if turns_of(Path::new("/proc/self")).is_none_or(|turns| turns.count == 0) {
            missing.push("this kernel does not count a thread's turns".to_owned());
        }
        if ledger.samples == 0 || self.thread.as_ref().is_none_or(JoinHandle::is_finished) {
            missing.push("nobody looks at the guests' processes".to_owned());
        }
        (ledger.twice.clone(), missing)
    }

    /// The processes of a guest, each with whether its processors run.
    pub(crate) fn processes(&self, guest: &str) -> Vec<(String, bool)> {
        locked(&self.ledger).of_guest(guest)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It cannot have panicked without a bug of ours; `findings` has said so then.
            let _ = thread.join();
        }
    }
}

fn locked(ledger: &Mutex<Ledger>) -> MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is known of the machine's processes.
struct Eyes {
    holder: Process,
    /// Who is no guest, and since when that is known.
    strangers: BTreeMap<i32, Instant>,
    guests: BTreeMap<i32, Guest>,
}

struct Guest {
    process: Process,
    uuid: String,
    name: String,
}

impl Eyes {
    fn look(&mut self) -> Vec<Sample> {
        let numbers: Vec<i32> = fs::read_dir("/proc")
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .collect();
        self.strangers.retain(|pid, _| numbers.contains(pid));
        self.guests.retain(|_, guest| guest.process.is_alive());
        for pid in numbers {
            let is_known = self.guests.contains_key(&pid)
                || self.strangers.get(&pid).is_some_and(|since| since.elapsed() > YOUTH);
            if is_known {
                continue;
            }
            match self.guest(pid) {
                Some(guest) => {
                    self.strangers.remove(&pid);
                    self.guests.insert(pid, guest);
                }
                None => {
                    self.strangers.entry(pid).or_insert_with(Instant::now);
                }
            }
        }
        self.guests
            .values()
            .map(|guest| Sample {
                process: guest.process,
                guest: guest.uuid.clone(),
                name: guest.name.clone(),
                processors: processors(guest.process.pid),
            })
            .collect()
    }

    /// A QEMU of this lab, if this is one.
    fn guest(&self, pid: i32) -> Option<Guest> {
        let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let arguments: Vec<String> = line
            .split(|byte| *byte == 0)
            .map(|argument| String::from_utf8_lossy(argument).into_owned())
            .collect();
        let program = arguments.first()?.rsplit('/').next()?;
        let value = |option: &str| {
            arguments.get(arguments.iter().position(|argument| argument == option)? + 1).cloned()
        };
        if !program.starts_with("qemu-system") {
            return None;
        }
        let uuid = value("-uuid")?;
        let name = value("-name")?;
        let name = name.split(',').next()?.trim_start_matches("guest=");
        let process = Process::of(pid)?;
        self.is_ours(process).then(|| {
            let node = fs::read_to_string(format!("/proc/{pid}/root/etc/lab/node"));
            let node = node.unwrap_or_else(|_| "nowhere".to_owned());
            Guest { process, uuid, name: format!("{name} in {} (process {pid})", node.trim()) }
        })
    }

    /// Two labs can run at once on one machine.
    fn is_ours(&self, process: Process) -> bool {
        let mut pid = process.pid;
        while pid > 1 {
            if pid == self.holder.pid {
                return true;
            }
            let Some(parent) = place::parent(pid) else { return false };
            pid = parent;
        }
        false
    }
}

/// What the threads that are a guest's processors have had; QEMU names them `CPU 0/TCG`, libvirt asks it to.
fn processors(pid: i32) -> Turns {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let processors = threads.filter(|thread| {
        fs::read_to_string(thread.path().join("comm"))
            .is_ok_and(|name| name.starts_with("CPU ") || name.starts_with("ALL CPUs"))
    });
    processors.filter_map(|thread| turns_of(&thread.path())).fold(Turns::default(), |sum, one| {
        Turns { count: sum.count + one.count, time: sum.time + one.time }
    })
}

/// Of one thread: the third and the first field of schedstat, which the kernel has with
/// `CONFIG_SCHED_INFO`.
fn turns_of(thread: &Path) -> Option<Turns> {
    let text = fs::read_to_string(thread.join("schedstat")).ok()?;
    let mut fields = text.split_whitespace().map(str::parse::<u64>);
    let time = Duration::from_nanos(fields.next()?.ok()?);
    let count = fields.nth(1)?.ok()?;
    Some(Turns { count, time })
}
