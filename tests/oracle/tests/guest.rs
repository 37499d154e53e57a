//! The guest in a real QEMU: what it says was written, is written, also after an error.

#![allow(clippy::unwrap_used, reason = "tests; the lint knows only functions marked as such")]
#![allow(clippy::disallowed_methods, reason = "starts QEMU and ends it")]

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use duet_oracle::Line;
use duet_oracle::guest::{RING, RING_START, SECTOR, fresh_disk};
use duet_oracle::stream::parse;

/// On a busy machine without KVM.
const PATIENCE: Duration = Duration::from_secs(120);
/// The write that fails once.
const FAILS: u32 = 10;
/// Fewer than the ring is long: each has a place of its own.
const ENOUGH: u32 = 30;

/// BIOS leaves in the packet of a failed call how many sectors it has written; with that none, each later write would be of no
/// sector at all, and good.
#[test]
fn a_write_is_repeated_after_an_error_and_is_on_the_disk_once_it_is_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let disk = dir.path().join("disk");
    std::fs::write(&disk, fresh_disk(1 << 20).unwrap()).unwrap();
    let sector = RING_START + u64::from(FAILS % RING);
    let drive = format!(
        "driver=blkdebug,node-name=disk,image.driver=file,image.filename={},inject-error.0.event=none,\
         inject-error.0.iotype=write,inject-error.0.errno=5,inject-error.0.once=on,inject-error.0.sector={sector}",
        disk.display()
    );
    let started = Command::new("qemu-system-x86_64")
        .args(["-M", "pc", "-accel", "tcg", "-m", "32", "-display", "none", "-nodefaults"])
        .args(["-serial", "stdio", "-blockdev", &drive, "-device", "ide-hd,drive=disk,bootindex=0"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn();
    let mut qemu = match started {
        Ok(qemu) => qemu,
        Err(why) => {
            println!("skipped: the guest in QEMU: qemu-system-x86_64 cannot be started: {why}");
            return;
        }
    };
    let out = qemu.stdout.take().unwrap();
    let (told, lines) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            if told.send(parse(line.trim_end())).is_err() {
                break;
            }
        }
    });
    let end = Instant::now() + PATIENCE;
    let mut seen = Vec::new();
    while !seen.contains(&Line::Ack(ENOUGH)) {
        match lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(line) => seen.push(line),
            Err(why) => {
                qemu.kill().unwrap();
                panic!("{why}: {seen:?}");
            }
        }
    }
    qemu.kill().unwrap();
    qemu.wait().unwrap();
    let mut wanted = vec![Line::Boot { highest: 0, valid: 0 }];
    wanted.extend((1..FAILS).map(Line::Ack));
    wanted.push(Line::Error(FAILS));
    wanted.extend((FAILS..=ENOUGH).map(Line::Ack));
    assert_eq!(seen, wanted);
    let bytes = std::fs::read(&disk).unwrap();
    for number in 1..=ENOUGH {
        let at = (usize::try_from(RING_START).unwrap() + usize::try_from(number).unwrap()) * SECTOR;
        let entry = u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        assert_eq!(entry, number, "was acknowledged");
    }
}
