//! How soon a watcher has a score written after the kernel's state has changed, and how much memory it takes. The moment of
//! the change is known, because the kernel is a stub in this process; the score counts when it is on record as written.

use crate::kernel;
use duet_bench::{Command, Error, Result, Watched, Watching, measure};
use duet_drbd::{Connection, Disk, Replication, Role, View};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// How long anything may take before the measurement is given up.
const PATIENCE: Duration = Duration::from_secs(10);
/// A look is cheap: the record is a file of a few lines.
const PAUSE: Duration = Duration::from_millis(1);
/// Between two changes, so that each is one of its own: the watcher lets a score stand for a second before it takes a
/// better one for true.
const QUIET: Duration = Duration::from_millis(1500);
/// And before a better score: the one before it has stood for a second.
const STOOD: Duration = Duration::from_millis(1200);

const RESOURCE: &str = "r1";
/// Of a Secondary that sees its peer, and of one that does not.
const SEEN: u32 = 10_000;
const UNSEEN: u32 = 1000;

/// Loses and finds the peer, again and again.
pub(crate) fn watch(plan: &Watching) -> Result<Watched> {
    let kernel = kernel::start()?;
    let with_kernel = |command: &Command| {
        let mut command = command.clone();
        command.env.extend(kernel::environment(&kernel));
        command
    };
    measure::run(&with_kernel(&plan.monitor))?;
    let records = Path::new(&plan.records);
    on_record(records, SEEN)?;
    let watcher = Running::start(&with_kernel(&plan.watcher))?;
    let mut delays_ms = Vec::new();
    // The first change finds a watcher that may only be beginning to listen.
    for round in 0..=plan.rounds {
        for (is_seen, score, quiet) in [(false, UNSEEN, QUIET), (true, SEEN, STOOD)] {
            std::thread::sleep(quiet);
            let began = Instant::now();
            kernel.change(|view| see(view, is_seen));
            on_record(records, score)?;
            if round > 0 {
                delays_ms.push(began.elapsed().as_secs_f64() * 1e3);
            }
        }
    }
    Ok(Watched { delays_ms, resident_kib: watcher.most_resident()? })
}

/// The peer of the resource is there, or not.
fn see(view: &mut View, is_seen: bool) {
    let Some(peer) =
        view.resources.get_mut(RESOURCE).and_then(|resource| resource.peers.values_mut().next())
    else {
        return;
    };
    (peer.connection, peer.role) = if is_seen {
        (Connection::Connected, Role::Primary)
    } else {
        (Connection::Connecting, Role::Unknown)
    };
    for volume in peer.volumes.values_mut() {
        (volume.replication, volume.disk) = if is_seen {
            (Replication::Established, Disk::UpToDate)
        } else {
            (Replication::Off, Disk::DUnknown)
        };
    }
}

/// Waits until the one record says that this score was written.
fn on_record(records: &Path, score: u32) -> Result<()> {
    let line = format!("score={score}");
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        let entries = std::fs::read_dir(records).into_iter().flatten().flatten();
        let mut texts = entries
            .filter(|entry| entry.file_name().to_string_lossy().ends_with(".record"))
            .filter_map(|entry| std::fs::read_to_string(entry.path()).ok());
        if texts.any(|text| text.lines().any(|seen| seen == line)) {
            return Ok(());
        }
        std::thread::sleep(PAUSE);
    }
    Err(Error::Late(format!("{line} in {}", records.display()), PATIENCE))
}

/// A process that ends with this one's interest in it.
struct Running(Child);

impl Running {
    fn start(command: &Command) -> Result<Self> {
        std::process::Command::new(&command.argv[0])
            .args(&command.argv[1..])
            .env_clear()
            .envs(&command.env)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map(Self)
            .map_err(|source| Error::Start { command: command.argv.join(" "), source })
    }

    fn most_resident(&self) -> Result<u64> {
        let path = format!("/proc/{}/status", self.0.id());
        let broken = |source| Error::Read { what: path.clone(), source };
        let text = std::fs::read_to_string(&path).map_err(broken)?;
        let most = text
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse().ok());
        most.ok_or_else(|| broken(std::io::Error::other(text.clone())))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It is ours and has nothing to lose; where it is gone already, so much the better.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
