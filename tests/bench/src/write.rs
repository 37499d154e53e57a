//! A writer that tells of every write it had to wait for: how long I/O was frozen, as an application feels it. Invariant:
//! one write is under way at a time, each past every cache, so what is not told of took less than [`LONG`].

use duet_bench::{Error, Result};
use nix::fcntl::OFlag;
use nix::time::{ClockId, clock_gettime};
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::time::Duration;

/// A write that takes longer is told of.
const LONG: Duration = Duration::from_millis(100);
/// Between two writes.
const PAUSE: Duration = Duration::from_millis(20);
const BLOCK: usize = 4096;

/// Writes the same block of a device again and again, until it is ended. For each write that took long, the log gets a line:
/// when it began and when it was answered, both in seconds of the clock that the kernel's own messages go by. Its first line
/// is that of both clocks at the same moment, which the kernel's log has as well.
pub(crate) fn write(device: &str, offset: u64, log: &str) -> Result<()> {
    let opened = |path: &str, options: &OpenOptions| {
        options.open(path).map_err(|source| Error::Write { path: path.to_owned(), source })
    };
    let failed = |path: &str| {
        let path = path.to_owned();
        move |source| Error::Write { path, source }
    };
    let flags = OFlag::O_DIRECT.bits() | OFlag::O_DSYNC.bits();
    let disk = opened(device, OpenOptions::new().write(true).custom_flags(flags))?;
    let mut log_file = opened(log, OpenOptions::new().create(true).append(true))?;
    let mut messages = opened("/dev/kmsg", OpenOptions::new().write(true))?;
    let now = clock()?;
    writeln!(messages, "duet-bench: clock {:.6}", now.as_secs_f64())
        .map_err(failed("/dev/kmsg"))?;
    // O_DIRECT wants memory on a boundary of the disk's blocks.
    let memory = vec![0xd7_u8; 2 * BLOCK];
    let start = memory.as_ptr().align_offset(BLOCK);
    let block = &memory[start..start + BLOCK];
    loop {
        let began = clock()?;
        disk.write_all_at(block, offset).map_err(failed(device))?;
        let ended = clock()?;
        if ended.saturating_sub(began) > LONG {
            writeln!(log_file, "{:.6} {:.6}", began.as_secs_f64(), ended.as_secs_f64())
                .map_err(failed(log))?;
        }
        std::thread::sleep(PAUSE);
    }
}

fn clock() -> Result<Duration> {
    Ok(Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC)?))
}
