//! Other people's processes, found by their command lines and ended by identity. Invariant: a process is its number
//! and its start time, so one that got the number of another is never taken for it, and "gone" is said only
//! when no thread of it is left.

use crate::{Error, file, pidfd};
use nix::sys::signal::Signal;
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;

/// The kernel passes 128 KiB in one argument, and a QEMU has many; a longer line is cut here.
const COMMAND_LINE_LIMIT: usize = 8 * 1024 * 1024;
const STAT_LIMIT: usize = 4096;
/// The kernel's mark of a thread of its own (`PF_KTHREAD`).
const KERNEL_THREAD: u64 = 0x0020_0000;

/// A process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// When it was started, in clock ticks since boot.
    pub started: u64,
}

/// What is known of a process that may be meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Which.
    pub process: Process,
    /// The kernel's name for it, 15 bytes at most.
    pub name: String,
    /// Its arguments. None at all: its memory is gone already, it is ending, and whose it was cannot be read any more.
    pub arguments: Vec<Vec<u8>>,
}

/// The process table.
#[derive(Debug, Clone)]
pub struct Table {
    root: PathBuf,
}

impl Default for Table {
    fn default() -> Table {
        Table::at("/proc")
    }
}

impl Table {
    /// The table in this directory, for tests; [`Table::default`] is the kernel's.
    pub fn at(root: impl Into<PathBuf>) -> Table {
        Table { root: root.into() }
    }

    /// The first process that `is_meant` by its arguments, or by its name where it is ending and has no arguments
    /// any more. Only what this process may see is looked at: the same pid namespace and those below it.
    ///
    /// # Errors
    /// [`Error::Read`] or [`Error::TooLarge`]: then somebody may have been missed.
    pub fn find(&self, mut is_meant: impl FnMut(&Seen) -> bool) -> Result<Option<Seen>, Error> {
        // Hidden from us (hidepid) is not the same as not there; whoever may see the first process, sees all.
        self.stat(1)?.ok_or_else(|| self.failed(1, "stat", io::ErrorKind::NotFound.into()))?;
        let failed = |source| Error::Read { path: self.root.clone(), source };
        for entry in fs::read_dir(&self.root).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
            if let Some(seen) = self.see(pid)?.filter(&mut is_meant) {
                return Ok(Some(seen));
            }
        }
        Ok(None)
    }

    /// What is known of this process; none if there is no such process, or it is one of the kernel's.
    ///
    /// # Errors
    /// It is there, but cannot be looked at.
    pub fn see(&self, pid: u32) -> Result<Option<Seen>, Error> {
        // Arguments between two looks at the start time: they are of one and the same process.
        let Some(before) = self.stat(pid)?.filter(|stat| !stat.is_kernel) else { return Ok(None) };
        let Some(line) = self.read(pid, "cmdline", COMMAND_LINE_LIMIT)? else { return Ok(None) };
        let Some(after) = self.stat(pid)? else { return Ok(None) };
        if after.started != before.started {
            return Ok(None);
        }
        let arguments = match line.strip_suffix(b"\0").unwrap_or(&line) {
            [] => Vec::new(),
            line => line.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect(),
        };
        let process = Process { pid, started: after.started };
        Ok(Some(Seen { process, name: after.name, arguments }))
    }

    /// Whether any of it is left. A process whose first thread has ended while another hangs in the kernel is left.
    ///
    /// # Errors
    /// That cannot be told.
    pub fn is_there(&self, process: Process) -> Result<bool, Error> {
        Ok(self.stat(process.pid)?.is_some_and(|stat| stat.started == process.started))
    }

    /// Sends a signal to this process and no other; false if it is gone.
    ///
    /// # Errors
    /// [`Error::Signal`]: the kernel would not, or whether it is there cannot be told.
    pub fn signal(&self, process: Process, signal: Signal) -> Result<bool, Error> {
        let failed = |source| Error::Signal { pid: process.pid, source };
        // What the descriptor is about can end, but never become another process.
        let handle = match pidfd::open(process.pid) {
            Ok(handle) => Some(handle),
            Err(error) if error.raw_os_error() == Some(nix::libc::ESRCH) => return Ok(false),
            // Before Linux 5.3: the number has to do, looked at a moment before.
            Err(error) if error.raw_os_error() == Some(nix::libc::ENOSYS) => None,
            Err(error) => return Err(failed(error)),
        };
        if !self.is_there(process)? {
            return Ok(false);
        }
        let sent = match handle {
            Some(handle) => pidfd::send(handle.as_fd(), signal),
            None => i32::try_from(process.pid).map_err(io::Error::other).and_then(|pid| {
                Ok(nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal)?)
            }),
        };
        match sent {
            Ok(()) => Ok(true),
            Err(error) if error.raw_os_error() == Some(nix::libc::ESRCH) => Ok(false),
            Err(error) => Err(failed(error)),
        }
    }

    /// None if there is no such process, or nothing of it but what its parent has not asked for.
    fn stat(&self, pid: u32) -> Result<Option<Stat>, Error> {
        let Some(bytes) = self.read(pid, "stat", STAT_LIMIT)? else { return Ok(None) };
        let stat = Stat::parse(&bytes);
        let stat =
            stat.ok_or_else(|| self.failed(pid, "stat", io::ErrorKind::InvalidData.into()))?;
        Ok((!stat.is_over).then_some(stat))
    }

    fn read(&self, pid: u32, file: &str, limit: usize) -> Result<Option<Vec<u8>>, Error> {
        match file::read(&self.root.join(pid.to_string()).join(file), limit) {
            Ok(bytes) => Ok(Some(bytes)),
            // It ended before the opening, or between opening and reading.
            Err(Error::Read { source, .. })
                if source.kind() == io::ErrorKind::NotFound
                    || source.raw_os_error() == Some(nix::libc::ESRCH) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn failed(&self, pid: u32, file: &str, source: io::Error) -> Error {
        Error::Read { path: self.root.join(pid.to_string()).join(file), source }
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Stat {
    name: String,
    started: u64,
    is_kernel: bool,
    is_over: bool,
}

impl Stat {
    /// `pid (name) state ppid ...`, where the name may hold anything, brackets and blanks included.
    fn parse(bytes: &[u8]) -> Option<Stat> {
        let text = String::from_utf8_lossy(bytes);
        let (_, rest) = text.split_once('(')?;
        let (name, rest) = rest.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        // The manual counts from 1, and the state is its third field.
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        let has_ended = matches!(*fields.first()?, "Z" | "X" | "x");
        Some(Stat {
            name: name.to_owned(),
            started: number(22)?,
            is_kernel: number(9)? & KERNEL_THREAD != 0,
            // A first thread that has ended stays as a zombie for as long as others are left.
            is_over: has_ended && number(20)? <= 1,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use std::process::{Command, Stdio};

    struct Fake(tempfile::TempDir);

    impl Fake {
        fn new() -> Fake {
            let fake = Fake(tempfile::tempdir().unwrap());
            fake.process(1, "init", "S", 1, 10, b"init\0");
            fake
        }

        fn process(
            &self,
            pid: u32,
            name: &str,
            state: &str,
            threads: u32,
            started: u64,
            line: &[u8],
        ) {
            let directory = self.0.path().join(pid.to_string());
            fs::create_dir_all(&directory).unwrap();
            let flags = if name == "kworker" { 0x0420_8060 } else { 0x40_0140 };
            let stat = format!(
                "{pid} ({name}) {state} 1 1 1 0 -1 {flags} 9 9 9 9 1 2 3 4 20 0 {threads} 0 {started} 99 9\n"
            );
            fs::write(directory.join("stat"), stat).unwrap();
            fs::write(directory.join("cmdline"), line).unwrap();
        }

        fn table(&self) -> Table {
            Table::at(self.0.path())
        }
    }

    fn says(word: &str) -> impl FnMut(&Seen) -> bool {
        move |seen| seen.arguments.iter().any(|argument| argument == word.as_bytes())
    }

    #[test]
    fn a_process_is_found_by_a_whole_argument() {
        let fake = Fake::new();
        fake.process(77, "a) S (b c", "S", 3, 4711, b"qemu\0-name\0vm1\0\0-x\0");
        let seen = fake.table().find(says("vm1")).unwrap().unwrap();
        assert_eq!(seen.process, Process { pid: 77, started: 4711 });
        assert_eq!(seen.name, "a) S (b c");
        assert_eq!(seen.arguments.len(), 5, "an empty argument is one: {seen:?}");
        for other in ["vm", "vm1 ", "vm.", "-name vm1"] {
            assert_eq!(fake.table().find(says(other)).unwrap(), None, "{other}");
        }
        fs::create_dir(fake.0.path().join("sys")).unwrap();
        assert_eq!(fake.table().find(|_| false).unwrap(), None);
    }

    #[test]
    fn a_zombie_is_over_but_not_while_another_thread_is_left() {
        let process = Process { pid: 77, started: 5 };
        for (state, threads, there) in
            [("S", 4, true), ("D", 1, true), ("Z", 1, false), ("X", 1, false), ("Z", 2, true)]
        {
            let fake = Fake::new();
            fake.process(77, "qemu", state, threads, 5, b"");
            assert_eq!(fake.table().is_there(process).unwrap(), there, "{state} {threads}");
            assert_eq!(fake.table().see(77).unwrap().is_some(), there, "{state} {threads}");
        }
    }

    #[test]
    fn the_same_number_is_not_the_same_process() {
        let fake = Fake::new();
        fake.process(77, "qemu", "S", 1, 5, b"qemu\0");
        assert!(!fake.table().is_there(Process { pid: 77, started: 4 }).unwrap());
        assert!(!fake.table().is_there(Process { pid: 78, started: 5 }).unwrap());
    }

    #[test]
    fn threads_of_the_kernel_are_nobody_and_an_ending_process_has_no_arguments() {
        let fake = Fake::new();
        fake.process(7, "kworker", "S", 1, 5, b"");
        fake.process(8, "qemu", "D", 1, 5, b"");
        let seen = fake.table().find(|seen| seen.arguments.is_empty()).unwrap().unwrap();
        assert_eq!((seen.process.pid, seen.name.as_str()), (8, "qemu"));
        assert_eq!(fake.table().see(7).unwrap(), None);
    }

    #[test]
    fn a_table_that_cannot_be_read_is_not_an_empty_one() {
        let nowhere = tempfile::tempdir().unwrap();
        assert!(Table::at(nowhere.path().join("none")).find(|_| false).is_err());
        assert!(Table::at(nowhere.path()).find(|_| false).is_err(), "nobody may be seen");
        let fake = Fake::new();
        fs::write(fake.0.path().join("1/stat"), "1 (init) S").unwrap();
        assert!(fake.table().find(|_| false).is_err());
    }

    #[test]
    fn a_signal_reaches_only_the_process_that_is_meant() {
        let mut child = Command::new("/bin/sh")
            .args(["-c", "read x", "sh", "-name", "guest=processes-test"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let table = Table::default();
        let deadline = crate::clock::within(std::time::Duration::from_secs(5));
        // The kernel lets the parent go on before the child's new arguments can be read (begin_new_exec
        // ends the wait for vfork, create_elf_tables sets arg_start later).
        let seen = loop {
            let seen = table.see(child.id()).unwrap().unwrap();
            if seen.arguments.last().is_some_and(|last| last == b"guest=processes-test") {
                break seen;
            }
            assert!(!deadline.remaining(crate::clock::now()).is_zero(), "{:?}", seen.arguments);
            std::thread::sleep(std::time::Duration::from_millis(1));
        };
        let another = Process { started: seen.process.started + 1, ..seen.process };
        assert!(!table.signal(another, Signal::SIGKILL).unwrap());
        assert!(child.try_wait().unwrap().is_none(), "it was not the one");
        assert!(table.signal(seen.process, Signal::SIGKILL).unwrap());
        while table.is_there(seen.process).unwrap() {
            assert!(!deadline.remaining(crate::clock::now()).is_zero(), "it did not end");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        // A zombie until now.
        assert!(Path::new(&format!("/proc/{}", child.id())).exists());
        child.wait().unwrap();
        assert!(!table.signal(seen.process, Signal::SIGTERM).unwrap());
    }
}
