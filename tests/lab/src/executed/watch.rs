//! The watcher itself, in a thread of the lab or as a process of a machine. Invariant: it holds nobody up (the kernel
//! only tells it, and waits for no answer), and when the kernel had to leave something out it says so.

use super::{ALIVE, Note, PORT, is_of_interest};
use crate::failure::{Failure, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::fanotify::{EventFFlags, Fanotify, FanotifyEvent, InitFlags, MarkFlags, MaskFlags};
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How often a quiet watcher looks whether it is to stop.
const TURN: u16 = 500;
/// Who was called may be asked for this long: until then it is still its parent's image, on a busy machine for a while.
const YOUNG: Duration = Duration::from_secs(5);

/// Which version of which file: its device, number, size and time of change.
type Identity = (u64, u64, u64, i64, i64);

/// Watches the file system of `root` until told to stop, or until the kernel refuses.
///
/// # Errors
/// What the kernel said: no such call (before Linux 5.0, or built without), or no right to it.
pub(super) fn watch(root: &Path, note: &mut dyn FnMut(Note), stop: &AtomicBool) -> io::Result<()> {
    let flags = InitFlags::FAN_CLASS_NOTIF
        | InitFlags::FAN_CLOEXEC
        | InitFlags::FAN_UNLIMITED_QUEUE
        | InitFlags::FAN_NONBLOCK;
    let group = Fanotify::init(flags, EventFFlags::O_RDONLY | EventFFlags::O_CLOEXEC)?;
    let add = MarkFlags::FAN_MARK_ADD | MarkFlags::FAN_MARK_FILESYSTEM;
    let here = fs::File::open("/")?;
    group.mark(add, MaskFlags::FAN_OPEN_EXEC, here.as_fd(), Some(root))?;
    note(Note::Begin);
    let mut known: BTreeMap<Identity, u64> = BTreeMap::new();
    let mut said = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        match poll(&mut [PollFd::new(group.as_fd(), PollFlags::POLLIN)], PollTimeout::from(TURN)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        if said.elapsed() >= ALIVE {
            note(Note::Alive);
            said = Instant::now();
        }
        match group.read_events() {
            Ok(events) => events.iter().for_each(|event| take(event, &mut known, note)),
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

fn take(event: &FanotifyEvent, known: &mut BTreeMap<Identity, u64>, note: &mut dyn FnMut(Note)) {
    if event.mask().contains(MaskFlags::FAN_Q_OVERFLOW) {
        note(Note::Hole("the kernel's queue ran over".to_owned()));
    }
    let Some(fd) = event.fd() else { return };
    let link = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let Ok(path) = fs::read_link(&link) else {
        note(Note::Hole("a file without a name was executed".to_owned()));
        return;
    };
    if !is_of_interest(&path) {
        return;
    }
    let called = called(event.pid(), &path);
    let read = || -> io::Result<u64> {
        let data = fs::metadata(&link)?;
        let identity = (data.dev(), data.ino(), data.size(), data.mtime(), data.mtime_nsec());
        if let Some(content) = known.get(&identity) {
            return Ok(*content);
        }
        let content = fingerprint(&fs::read(&link)?);
        known.insert(identity, content);
        Ok(content)
    };
    let mut read = read;
    match read() {
        Ok(content) => {
            let path = path.to_string_lossy().replace('\n', "?");
            note(Note::Run { content, path, called });
        }
        Err(error) => note(Note::Hole(format!("{} could not be read: {error}", path.display()))),
    }
}

/// The last part of the name by which the program was called, where that is not its own.
fn called(pid: i32, path: &Path) -> Option<String> {
    let began = Instant::now();
    let own = path.file_name()?.to_string_lossy().into_owned();
    loop {
        let exe = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
        // As another mount namespace shows it, it may be longer.
        if exe.file_name() == path.file_name() {
            let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
            let first = line.split(|byte| *byte == 0).next()?;
            let name =
                String::from_utf8_lossy(first.rsplit(|byte| *byte == b'/').next()?).into_owned();
            let is_word = name.chars().all(|letter| letter.is_ascii_graphic());
            return (is_word && !name.is_empty() && name != own).then_some(name);
        }
        // A script's process is its interpreter.
        if began.elapsed() > YOUNG || own.contains('.') {
            return None;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Tells contents apart, at a speed that a machine without KVM has too. Nobody here makes collisions on purpose.
pub(super) fn fingerprint(content: &[u8]) -> u64 {
    let mut state = 0xcbf2_9ce4_8422_2325_u64 ^ content.len() as u64;
    let mut words = content.chunks_exact(8);
    for word in &mut words {
        let word = u64::from_le_bytes(word.try_into().unwrap_or_default());
        state = (state ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
    }
    for byte in words.remainder() {
        state = (state ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    state
}

/// In a machine: watches its root, and writes to the port as soon as there is one.
pub(crate) fn main() -> Result<()> {
    let mut waiting = Vec::new();
    let mut port: Option<fs::File> = None;
    let began = Instant::now();
    let mut write = |note: Note| {
        if port.is_none() {
            port = find_port().and_then(|path| fs::File::options().write(true).open(path).ok());
        }
        waiting.extend_from_slice(note.line().as_bytes());
        if let Some(port) = &mut port
            && port.write_all(&waiting).is_ok()
        {
            waiting.clear();
        }
        // Nobody would ever read it.
        if port.is_none() && began.elapsed() > Duration::from_secs(120) {
            std::process::exit(1);
        }
    };
    let never = AtomicBool::new(false);
    watch(Path::new("/"), &mut write, &never).map_err(Failure::io("watch what is executed"))
}

fn find_port() -> Option<PathBuf> {
    let ports = fs::read_dir("/sys/class/virtio-ports").ok()?;
    let is_ours = |entry: &fs::DirEntry| {
        fs::read_to_string(entry.path().join("name")).is_ok_and(|name| name.trim() == PORT)
    };
    let found = ports.flatten().find(is_ours)?;
    Some(Path::new("/dev").join(found.file_name()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::sync::{Arc, Mutex};

    #[test]
    fn a_byte_more_or_another_is_another_content() {
        let text = b"#!/bin/sh\necho an agent of some length\n".to_vec();
        let mut other = text.clone();
        other[20] ^= 1;
        let longer = [text.clone(), vec![0]].concat();
        let all = [text, other, longer].map(|content| fingerprint(&content));
        assert!(all[0] != all[1] && all[0] != all[2] && all[1] != all[2]);
    }

    #[test]
    fn what_is_executed_is_seen_with_its_content_and_name() {
        let dir = tempfile::tempdir().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (notes, end, root) = (Arc::clone(&seen), Arc::clone(&stop), dir.path().to_owned());
        let thread = std::thread::spawn(move || {
            watch(&root, &mut |note| notes.lock().unwrap().push(note), &end)
        });
        let wait = |what: &str, is_there: &dyn Fn(&[Note]) -> bool| {
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_secs(20) {
                if is_there(&seen.lock().unwrap()) {
                    return true;
                }
                if thread.is_finished() {
                    println!("skipped: {what}: this kernel tells nobody what is executed");
                    return false;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            panic!("{what}: {:?}", seen.lock().unwrap());
        };
        if !wait("a watcher", &|notes| notes.contains(&Note::Begin)) {
            return;
        }
        // A copy of a program that lives until it was seen, under a name of interest, called by another.
        let program = dir.path().join("fence_test");
        fs::copy("/bin/sleep", &program).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let link = dir.path().join("by_this_name");
        std::os::unix::fs::symlink(&program, &link).unwrap();
        let mut process = std::process::Command::new(&link).arg("60").spawn().unwrap();
        let content = fingerprint(&fs::read(&program).unwrap());
        let path = program.canonicalize().unwrap().to_string_lossy().into_owned();
        let called = Some("by_this_name".to_owned());
        let wanted = Note::Run { content, path, called };
        wait("the program", &|notes| notes.contains(&wanted));
        process.kill().unwrap();
        process.wait().unwrap();
        stop.store(true, Ordering::Relaxed);
        thread.join().unwrap().unwrap();
    }
}
