//! The watcher itself, in a thread of the lab or as a process of a machine. Invariant: it holds nobody up (the kernel
//! only tells it, and waits for no answer), it waits for no process that may never be what it is asked for while others come and
//! go, and when the kernel had to leave something out it says so.

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
/// How often it looks by which name a process was called that has not become its program yet.
const LOOK: u16 = 2;
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
    let mut known: BTreeMap<Identity, Content> = BTreeMap::new();
    let mut said = Instant::now();
    let mut young: Vec<Young> = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let turn = if young.is_empty() { TURN } else { LOOK };
        match poll(&mut [PollFd::new(group.as_fd(), PollFlags::POLLIN)], PollTimeout::from(turn)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        if said.elapsed() >= ALIVE {
            note(Note::Alive);
            said = Instant::now();
        }
        match group.read_events() {
            Ok(events) => {
                for event in &events {
                    young.extend(take(event, &mut known, note));
                }
            }
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        young.retain(|one| match called(one.pid, &one.path) {
            Called::NotYet if one.since.elapsed() <= YOUNG => true,
            Called::NotYet => {
                note(one.note(None));
                false
            }
            Called::By(name) => {
                note(one.note(name));
                false
            }
        });
    }
    young.iter().for_each(|one| note(one.note(None)));
    Ok(())
}

/// What is known of a file.
#[derive(Clone, Copy)]
struct Content {
    fingerprint: u64,
    /// Its process is its interpreter, which has another name.
    is_script: bool,
}

/// A process that is about to become a program.
struct Young {
    pid: i32,
    path: PathBuf,
    content: u64,
    since: Instant,
}

impl Young {
    fn note(&self, called: Option<String>) -> Note {
        let path = self.path.to_string_lossy().replace('\n', "?");
        Note::Run { content: self.content, path, called }
    }
}

fn take(
    event: &FanotifyEvent,
    known: &mut BTreeMap<Identity, Content>,
    note: &mut dyn FnMut(Note),
) -> Option<Young> {
    if event.mask().contains(MaskFlags::FAN_Q_OVERFLOW) {
        note(Note::Hole("the kernel's queue ran over".to_owned()));
    }
    let fd = event.fd()?;
    let link = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let Ok(path) = fs::read_link(&link) else {
        note(Note::Hole("a file without a name was executed".to_owned()));
        return None;
    };
    if !is_of_interest(&path) {
        return None;
    }
    // Before anything else: what is short may be over when the file has been read.
    let now = called(event.pid(), &path);
    let mut read = || -> io::Result<Content> {
        let data = fs::metadata(&link)?;
        let identity = (data.dev(), data.ino(), data.size(), data.mtime(), data.mtime_nsec());
        if let Some(content) = known.get(&identity) {
            return Ok(*content);
        }
        let bytes = fs::read(&link)?;
        let content =
            Content { fingerprint: fingerprint(&bytes), is_script: bytes.starts_with(b"#!") };
        known.insert(identity, content);
        Ok(content)
    };
    let content = match read() {
        Ok(content) => content,
        Err(error) => {
            note(Note::Hole(format!("{} could not be read: {error}", path.display())));
            return None;
        }
    };
    let Content { fingerprint, is_script } = content;
    let one = Young { pid: event.pid(), path, content: fingerprint, since: Instant::now() };
    let name = match now {
        Called::NotYet if is_script => None,
        Called::NotYet => return Some(one),
        Called::By(name) => name,
    };
    note(one.note(name));
    None
}

/// By which name a program was called.
enum Called {
    /// The process is still what it was before, or it is something else already.
    NotYet,
    /// The last part of the name, where that is not the file's own and can be known.
    By(Option<String>),
}

fn called(pid: i32, path: &Path) -> Called {
    let own = path.file_name().unwrap_or_default().to_string_lossy();
    let Ok(exe) = fs::read_link(format!("/proc/{pid}/exe")) else { return Called::By(None) };
    // As another mount namespace shows it, it may be longer.
    if exe.file_name() != path.file_name() {
        return Called::NotYet;
    }
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    // The program is there before its arguments are (Linux: begin_new_exec, then create_elf_tables).
    if line.is_empty() {
        return Called::NotYet;
    }
    let first = line.split(|byte| *byte == 0).next().unwrap_or_default();
    let name = first.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let name = String::from_utf8_lossy(name);
    let is_word = name.chars().all(|letter| letter.is_ascii_graphic());
    Called::By((is_word && !name.is_empty() && name != own).then(|| name.into_owned()))
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
        // A script, whose process has another program's name, and nobody waits for another one.
        let script = dir.path().join("fence_script");
        fs::write(&script, "#!/bin/sh\nread line\n").unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        let mut before = std::process::Command::new(&script)
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut process = std::process::Command::new(&link).arg("60").spawn().unwrap();
        let content = fingerprint(&fs::read(&program).unwrap());
        let path = program.canonicalize().unwrap().to_string_lossy().into_owned();
        let called = Some("by_this_name".to_owned());
        let wanted = Note::Run { content, path, called };
        wait("the program", &|notes| notes.contains(&wanted));
        let of_script =
            |note: &Note| matches!(note, Note::Run { path, .. } if path.ends_with("script"));
        wait("the script", &|notes| notes.iter().any(of_script));
        before.kill().unwrap();
        before.wait().unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
        stop.store(true, Ordering::Relaxed);
        thread.join().unwrap().unwrap();
    }
}
