//! Child processes with a deadline. Each runs in a process group of its own, which is killed as a whole when
//! the time is up; output is bounded; waiting is one `poll` over pipes and pidfd, never a busy loop.

mod session;

use self::session::Session;
use crate::{Error, clock};
use duet_ocf::{Deadline, fold};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// Where programs are looked for, whatever PATH the caller had; also the PATH children get.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How long a killed process may take to vanish before we go on without it.
const GRACE: Duration = Duration::from_secs(1);
/// How long a program may be busy (being written) before that is an error.
const BUSY_PATIENCE: Duration = Duration::from_secs(1);

/// The executable file of this name: itself if it has a slash, else the first one in `path`.
#[must_use]
pub fn find(program: &str, path: &str) -> Option<PathBuf> {
    let is_executable = |file: &Path| {
        file.is_file() && nix::unistd::access(file, nix::unistd::AccessFlags::X_OK).is_ok()
    };
    if program.contains('/') {
        return Some(PathBuf::from(program)).filter(|file| is_executable(file));
    }
    path.split(':').map(|dir| Path::new(dir).join(program)).find(|file| is_executable(file))
}

/// A program to be run.
#[derive(Debug, Clone)]
pub struct Call {
    program: String,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, Option<OsString>)>,
    is_clean: bool,
    path: String,
    input: Vec<u8>,
    limit: usize,
    keeps_end: bool,
    warning: Duration,
    user: Option<(u32, u32)>,
    directory: PathBuf,
}

impl Call {
    /// This program, without arguments, with this process's environment and PATH replaced by [`PATH`].
    #[must_use]
    pub fn new(program: impl Into<String>) -> Call {
        Call {
            program: program.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            is_clean: false,
            path: PATH.to_owned(),
            input: Vec::new(),
            limit: 1024 * 1024,
            keeps_end: false,
            warning: Duration::ZERO,
            user: None,
            directory: PathBuf::from("/"),
        }
    }

    /// With one more argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Call {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// With more arguments.
    #[must_use]
    pub fn args<I: IntoIterator<Item: AsRef<OsStr>>>(mut self, arguments: I) -> Call {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// With this variable.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Call {
        self.environment.push((name.as_ref().to_owned(), Some(value.as_ref().to_owned())));
        self
    }

    /// Without this variable.
    #[must_use]
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Call {
        self.environment.push((name.as_ref().to_owned(), None));
        self
    }

    /// With no variables but PATH and those given.
    #[must_use]
    pub fn env_clean(mut self) -> Call {
        self.is_clean = true;
        self
    }

    /// Searched for in these directories (as in a PATH), which also become the child's PATH.
    #[must_use]
    pub fn path(mut self, path: impl Into<String>) -> Call {
        self.path = path.into();
        self
    }

    /// With this on its standard input; otherwise that is empty.
    #[must_use]
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Call {
        self.input = bytes.into();
        self
    }

    /// Keeps at most this many bytes of each output; the rest is read and dropped.
    #[must_use]
    pub fn limit(mut self, bytes: usize) -> Call {
        self.limit = bytes;
        self
    }

    /// Keeps the last bytes of each output and not the first, where there are more than the limit.
    #[must_use]
    pub fn keep_end(mut self) -> Call {
        self.keeps_end = true;
        self
    }

    /// Sends its process group SIGTERM so long before the deadline, at which SIGKILL follows.
    #[must_use]
    pub fn terminate_before(mut self, warning: Duration) -> Call {
        self.warning = warning;
        self
    }

    /// As this user and group (needs root).
    #[must_use]
    pub fn user(mut self, uid: u32, gid: u32) -> Call {
        self.user = Some((uid, gid));
        self
    }

    /// In this directory; otherwise in `/`.
    #[must_use]
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Call {
        self.directory = directory.into();
        self
    }

    /// Runs it to its end, or to the deadline.
    ///
    /// Processes it leaves behind in the background are left alone when it ended by itself, also
    /// when they still hold its pipes.
    ///
    /// # Errors
    /// It could not be found or started, or it was still running at the deadline and was killed.
    pub fn run(&self, deadline: Deadline) -> Result<Ended, Error> {
        let began = clock::now();
        let mut child = self.start(Stdio::piped())?;
        let mut session = Session::new(&mut child, &self.input, self.limit, self.keeps_end);
        let warned_at = Deadline::at(deadline.when().saturating_sub(self.warning));
        let ended_in_time =
            session.until_exit(&mut child, warned_at).map_err(|source| self.talk(source));
        if let Ok(true) = ended_in_time {
            let status = child.wait().map_err(|source| self.talk(source))?;
            return Ok(session.finish(status));
        }
        let after = clock::now().saturating_sub(began);
        // Not reaped yet, so the number is still this group's.
        if let Ok(id) = i32::try_from(child.id()) {
            if matches!(ended_in_time, Ok(false)) && !self.warning.is_zero() {
                let _ = killpg(Pid::from_raw(id), Signal::SIGTERM);
                let _ = session.until_exit(&mut child, deadline);
            }
            let _ = killpg(Pid::from_raw(id), Signal::SIGKILL);
        }
        session.drop_pipes();
        let is_gone = session.until_exit(&mut child, clock::within(GRACE)).unwrap_or(false);
        if is_gone {
            let _ = child.wait();
        }
        ended_in_time?;
        let program = self.program.clone();
        Err(match is_gone {
            true => Error::TimedOut { program, after },
            false => Error::Unkillable { program, after },
        })
    }

    /// What it is called.
    pub(crate) fn program(&self) -> &str {
        &self.program
    }

    /// Starts it to be listened to: nothing to read, and nobody reads what it complains about.
    pub(crate) fn start_talking(&self) -> Result<(Child, ChildStdout), Error> {
        let mut child = self.start(Stdio::null())?;
        let pipe = child.stdout.take().ok_or_else(|| self.talk(io::ErrorKind::NotFound.into()))?;
        session::set_nonblocking(pipe.as_fd());
        Ok((child, pipe))
    }

    fn start(&self, stderr: Stdio) -> Result<Child, Error> {
        let Some(file) = find(&self.program, &self.path) else {
            return Err(Error::NotFound { program: self.program.clone() });
        };
        let mut command = Command::new(file);
        if self.is_clean {
            command.env_clear();
        }
        command.env("PATH", &self.path);
        for (name, value) in &self.environment {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if let Some((uid, gid)) = self.user {
            command.uid(uid).gid(gid);
        }
        die_with_us(&mut command);
        let input = if self.input.is_empty() { Stdio::null() } else { Stdio::piped() };
        command
            .args(&self.arguments)
            .current_dir(&self.directory)
            .stdin(input)
            .stdout(Stdio::piped())
            .stderr(stderr)
            .process_group(0);
        // A program that is being replaced, by an upgrade say, is busy for a moment.
        let patience = Instant::now() + BUSY_PATIENCE;
        loop {
            match command.spawn() {
                Err(error)
                    if error.kind() == io::ErrorKind::ExecutableFileBusy
                        && Instant::now() < patience =>
                {
                    std::thread::sleep(BUSY_PATIENCE / 50);
                }
                started => {
                    return started
                        .map_err(|source| Error::Start { program: self.program.clone(), source });
                }
            }
        }
    }

    fn talk(&self, source: io::Error) -> Error {
        Error::Talk { program: self.program.clone(), source }
    }
}

/// Has the child killed when this thread ends, which waits for it: a program that Pacemaker has killed at
/// its timeout must not have a migration or a drbdadm go on in a process group that Pacemaker does not know.
#[allow(unsafe_code, reason = "the only way to run something between fork and exec")]
fn die_with_us(command: &mut Command) {
    let us = nix::unistd::getpid();
    let after_fork = move || {
        nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
        // We may have ended before that took effect.
        if nix::unistd::getppid() == us { Ok(()) } else { Err(io::ErrorKind::Interrupted.into()) }
    };
    // SAFETY: after fork it makes two system calls and allocates nothing.
    unsafe { command.pre_exec(after_fork) };
}

/// How a program ended by itself, and what it said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// What it wrote to standard output, up to the limit.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error, up to the limit.
    pub stderr: Vec<u8>,
    /// Whether one of them was longer.
    pub is_truncated: bool,
}

impl Ended {
    /// Whether it exited with 0.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.code == Some(0)
    }

    /// How it ended, on one line with what it said: "exited with 1: no such domain".
    #[must_use]
    pub fn describe(&self) -> String {
        let how = match (self.code, self.signal) {
            (Some(code), _) => format!("exited with {code}"),
            (None, Some(signal)) => format!("was ended by signal {signal}"),
            (None, None) => "ended".to_owned(),
        };
        match fold(&String::from_utf8_lossy(&self.stderr)) {
            said if said.is_empty() => how,
            said => format!("{how}: {said}"),
        }
    }
}
