//! The log, in the form and the places of `ocf_log`: what administrators grep for today still matches.
//! Writing a line never waits and never fails; a line that finds no other place goes to stderr.

use crate::{clock, syslog};
use duet_ocf::{Deadline, Environment, Level, boolean_word, fold};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fs::OpenOptions;
use std::io::{IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Where lines go and how they are tagged.
///
/// As in the stock shell functions: on a terminal to stderr only; else to syslog when `HA_LOGFACILITY` says
/// so (Pacemaker sets it; `none` and empty mean no), to the file `HA_LOGFILE`, and to stderr when neither is set.
/// `HA_DEBUGLOG` gets every line as well. Debug lines need `HA_debug` to be set and not 0. The tag is
/// `HA_LOGTAG`, else `<agent>(<resource>)[<pid>]`.
///
/// Three differences, on purpose: `HA_LOGD` and `HA_use_logd` mean syslog (there is no `ha_logger` any more), stderr lines carry no
/// date (Pacemaker adds one, and crmsh sorts by the first word), and what syslog does not take goes to stderr.
#[derive(Debug)]
pub struct Log {
    tag: String,
    own_tag: bool,
    facility: Option<u8>,
    socket: PathBuf,
    file: Option<PathBuf>,
    debug_file: Option<PathBuf>,
    debug: bool,
    terminal: bool,
    also_stderr: bool,
    always_syslog: bool,
}

impl Log {
    /// The log of an agent. `also_stderr` for `validate-all`, whose callers show what stderr says.
    #[must_use]
    pub fn new(agent: &str, environment: &Environment, also_stderr: bool) -> Log {
        let pid = std::process::id();
        let tag =
            match (environment.filled("HA_LOGTAG"), environment.filled("OCF_RESOURCE_INSTANCE")) {
                (Some(tag), _) => fold(tag),
                (None, Some(instance)) => format!("{agent}({})[{pid}]", fold(instance)),
                (None, None) => format!("{agent}[{pid}]"),
            };
        let wants_logd = ["HA_LOGD", "HA_use_logd"]
            .iter()
            .any(|name| environment.filled(name).and_then(boolean_word).unwrap_or(false));
        let facility = match environment.filled("HA_LOGFACILITY") {
            Some(name) => syslog::facility(name),
            None if wants_logd => syslog::facility("daemon"),
            None => None,
        };
        let path = |name: &str| {
            environment.filled(name).filter(|path| *path != "/dev/null").map(PathBuf::from)
        };
        let file = path("HA_LOGFILE");
        Log {
            own_tag: environment.filled("HA_LOGTAG").is_some(),
            tag,
            facility,
            socket: PathBuf::from(syslog::SOCKET),
            debug_file: path("HA_DEBUGLOG").filter(|debug| Some(debug) != file.as_ref()),
            file,
            debug: environment.filled("HA_debug").is_some_and(|value| value != "0"),
            terminal: std::io::stdin().is_terminal(),
            also_stderr,
            always_syslog: false,
        }
    }

    /// The log of a program that is not a resource agent: always syslog, facility `daemon`, whatever the environment says and
    /// also on a terminal, where people read what it prints.
    #[must_use]
    pub fn system(program: &str) -> Log {
        Log {
            tag: format!("{program}[{}]", std::process::id()),
            own_tag: false,
            facility: syslog::facility("daemon"),
            socket: PathBuf::from(syslog::SOCKET),
            file: None,
            debug_file: None,
            debug: false,
            terminal: false,
            also_stderr: false,
            always_syslog: false,
        }
    }

    /// The same lines on a terminal go to syslog too, where they would without one: for what is to be found again whoever did it.
    #[must_use]
    pub fn with_syslog_on_terminals(mut self) -> Log {
        self.always_syslog = true;
        self
    }

    /// Sends to another syslog socket; for tests.
    #[must_use]
    pub fn with_socket(mut self, socket: &Path) -> Log {
        socket.clone_into(&mut self.socket);
        self
    }

    /// Writes one line.
    pub fn line(&self, level: Level, text: &str) {
        self.write(level, text, false);
    }

    /// Writes an error whose text has just been printed to stderr as the exit reason.
    pub fn reason(&self, text: &str) {
        self.write(Level::Error, text, true);
    }

    fn write(&self, level: Level, text: &str, on_stderr_already: bool) {
        if level == Level::Debug && !self.debug {
            return;
        }
        let text = fold(text);
        let mut to_stderr = self.also_stderr;
        if self.terminal {
            to_stderr |= !on_stderr_already;
            if let Some(facility) = self.facility.filter(|_| self.always_syslog) {
                let stamp = stamp(SystemTime::now());
                let _ = syslog::send(&self.socket, facility, level, &stamp, &self.tag, &text);
            }
        } else {
            let stamp = stamp(SystemTime::now());
            let mut taken = on_stderr_already;
            if let Some(facility) = self.facility {
                let sent = syslog::send(&self.socket, facility, level, &stamp, &self.tag, &text);
                taken |= sent.is_ok();
            }
            if let Some(path) = self.file.as_ref().filter(|_| level != Level::Debug) {
                taken |= append(path, &format!("{stamp}  {}:    {level}: {text}\n", self.tag));
            }
            if let Some(path) = &self.debug_file {
                let written = append(path, &format!("{}:\t{stamp} {level}: {text}\n", self.tag));
                taken |= written && level == Level::Debug;
            }
            to_stderr |= !taken;
        }
        if to_stderr {
            let tag = if self.own_tag && self.terminal {
                format!("{}: ", self.tag)
            } else {
                String::new()
            };
            stderr_line(&format!("{tag}{level}: {text}"));
        }
    }
}

/// How long a reader of stderr who does not read may hold us, for all of a line.
const STDERR_PATIENCE: Duration = Duration::from_millis(200);

/// One line to stderr; a closed stderr is nobody's problem, and one that nobody reads costs the rest of
/// the line and not the operation.
pub(crate) fn stderr_line(line: &str) {
    let line = format!("{line}\n");
    let mut stderr = std::io::stderr().lock();
    let deadline = clock::within(STDERR_PATIENCE);
    // Ready means that a pipe has room for this much (PIPE_BUF); a longer write could still block.
    for piece in line.as_bytes().chunks(4096) {
        if !has_room(deadline) || stderr.write_all(piece).is_err() {
            break;
        }
    }
}

fn has_room(deadline: Deadline) -> bool {
    let stderr = std::io::stderr();
    loop {
        let left = deadline.remaining(clock::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)], timeout) {
            Err(Errno::EINTR) if !left.is_zero() => {}
            // What cannot be polled is left to the write.
            Ok(1..) | Err(_) => return true,
            Ok(_) => return false,
        }
    }
}

fn append(path: &Path, line: &str) -> bool {
    let opened = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        // A FIFO or a terminal in that place must not hold us.
        .custom_flags(nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY)
        .open(path);
    opened.is_ok_and(|mut file| file.write_all(line.as_bytes()).is_ok())
}

/// The local time as `Nov 20 12:02:54`, syslog's and `ocf_log`'s form.
fn stamp(time: SystemTime) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |span| span.as_secs());
    let Some(local) = local_time(seconds) else { return String::from("Jan  1 00:00:00") };
    let month = usize::try_from(local.tm_mon).ok().and_then(|at| MONTHS.get(at)).unwrap_or(&"Jan");
    format!(
        "{month} {:02} {:02}:{:02}:{:02}",
        local.tm_mday, local.tm_hour, local.tm_min, local.tm_sec
    )
}

#[allow(unsafe_code, reason = "no safe interface to the local time zone without a large crate")]
fn local_time(seconds: u64) -> Option<nix::libc::tm> {
    let seconds = nix::libc::time_t::try_from(seconds).ok()?;
    let mut local = std::mem::MaybeUninit::<nix::libc::tm>::zeroed();
    // SAFETY: both pointers are valid for the call, and localtime_r keeps neither of them. It reads TZ,
    // which nothing in this process ever writes.
    let filled = unsafe { nix::libc::localtime_r(&raw const seconds, local.as_mut_ptr()) };
    // SAFETY: a struct tm of zeroes is a valid value, and a successful call has filled it.
    (!filled.is_null()).then(|| unsafe { local.assume_init() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixDatagram;

    fn log(variables: &[(&str, &str)]) -> Log {
        let environment: Environment = variables.iter().copied().collect();
        Log { terminal: false, ..Log::new("Demo", &environment, false) }
    }

    #[test]
    fn the_tag_is_that_of_ocf_log() {
        let pid = std::process::id();
        assert_eq!(log(&[]).tag, format!("Demo[{pid}]"));
        assert_eq!(log(&[("OCF_RESOURCE_INSTANCE", "vm1")]).tag, format!("Demo(vm1)[{pid}]"));
        assert_eq!(log(&[("HA_LOGTAG", "mine"), ("OCF_RESOURCE_INSTANCE", "vm1")]).tag, "mine");
        let forged = log(&[("HA_LOGTAG", "mine\nERROR: forged\u{1b}[2J")]).tag;
        assert_eq!(forged, "mine; ERROR: forged [2J");
    }

    #[test]
    fn syslog_gets_priority_tag_and_level() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let server = UnixDatagram::bind(&path).unwrap();
        server.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let log = log(&[("HA_LOGFACILITY", "daemon"), ("HA_LOGTAG", "Demo(vm1)[7]")]);
        log.with_socket(&path).line(Level::Warning, "two\nlines");
        let mut buffer = [0; 256];
        let length = server.recv(&mut buffer).unwrap();
        let line = std::str::from_utf8(&buffer[..length]).unwrap();
        assert!(line.starts_with("<28>"), "{line}");
        assert!(line.ends_with(" Demo(vm1)[7]: WARNING: two; lines"), "{line}");
    }

    #[test]
    fn the_log_of_a_program_is_syslog_whatever_the_environment_says() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let server = UnixDatagram::bind(&path).unwrap();
        Log::system("fence_demo").with_socket(&path).line(Level::Error, "not done");
        let mut buffer = [0; 256];
        let length = server.recv(&mut buffer).unwrap();
        let line = std::str::from_utf8(&buffer[..length]).unwrap();
        let tag = format!(" fence_demo[{}]: ERROR: not done", std::process::id());
        assert!(line.starts_with("<27>") && line.ends_with(&tag), "{line}");
    }

    #[test]
    fn a_terminal_gets_the_lines_and_syslog_too_where_that_is_wanted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let server = UnixDatagram::bind(&path).unwrap();
        server.set_nonblocking(true).unwrap();
        let mut buffer = [0; 256];
        let on_terminal = || {
            let log = log(&[("HA_LOGFACILITY", "daemon")]).with_socket(&path);
            Log { terminal: true, ..log }
        };
        on_terminal().line(Level::Info, "for people");
        assert!(server.recv(&mut buffer).is_err());
        on_terminal().with_syslog_on_terminals().line(Level::Info, "for all");
        let length = server.recv(&mut buffer).unwrap();
        assert!(buffer[..length].ends_with(b"INFO: for all"));
    }

    #[test]
    fn a_full_syslog_holds_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let _never_read = UnixDatagram::bind(&path).unwrap();
        let log = log(&[("HA_LOGFACILITY", "daemon")]).with_socket(&path);
        let began = crate::clock::now();
        for _ in 0..2000 {
            let _ = syslog::send(&log.socket, 3, Level::Info, "x", "x", &"x".repeat(2000));
        }
        assert!(crate::clock::now() - began < Duration::from_secs(5));
    }

    #[test]
    fn files_get_the_forms_of_ocf_log_and_debug_only_if_asked() {
        let dir = tempfile::tempdir().unwrap();
        let (file, debug) = (dir.path().join("log"), dir.path().join("debug"));
        let paths = [
            ("HA_LOGFILE", file.to_str().unwrap()),
            ("HA_DEBUGLOG", debug.to_str().unwrap()),
            ("HA_LOGTAG", "T"),
        ];
        log(&paths).line(Level::Debug, "hidden");
        assert!(!file.exists() && !debug.exists());
        log(&paths).line(Level::Info, "shown");
        let with_debug = [paths[0], paths[1], paths[2], ("HA_debug", "1")];
        log(&with_debug).line(Level::Debug, "detail");
        let (file, debug) =
            (std::fs::read_to_string(file).unwrap(), std::fs::read_to_string(debug).unwrap());
        assert!(file.ends_with("  T:    INFO: shown\n"), "{file}");
        assert_eq!(file.lines().count(), 1);
        assert!(debug.starts_with("T:\t") && debug.ends_with(" DEBUG: detail\n"), "{debug}");
    }
}
