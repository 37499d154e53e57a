//! Processes that stay when the agent that started them has ended. Invariant: such a process has nothing of its starter's but
//! arguments and environment: no terminal, no session, no descriptor, no directory that could be unmounted.

use crate::log::stderr_line;
use crate::run::leave;
use crate::{Error, Log, clock};
use duet_ocf::{Environment, ExitCode, fold};
use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::panic::PanicHookInfo;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// Starts `program` in a session of its own and goes on without it. Whether it lives, only a look at it tells.
///
/// # Errors
/// [`Error::Start`].
pub fn start<I>(program: &Path, words: I) -> Result<(), Error>
where
    I: IntoIterator,
    I::Item: AsRef<OsStr>,
{
    let mut command = Command::new(program);
    command
        .args(words)
        // It names the process that will have ended.
        .env_remove("HA_LOGTAG")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    leave_everything(&mut command);
    let failed = |source| Error::Start { program: program.display().to_string(), source };
    // Nobody waits for it: it outlives this process, and then it is the first process's child.
    command.spawn().map(drop).map_err(failed)
}

/// What tells a process that whoever started it listens on its standard input for [`ready`].
const HEARD: &str = "DUET_DAEMON_IS_HEARD";

/// Like [`start`], with these variables beside our own, and waits until it says that it is ready; what it says instead, where it ends
/// or gives up, comes back as the inner error.
///
/// # Errors
/// [`Error::Start`], and [`Error::TimedOut`] for one that says nothing; it goes on then.
pub fn start_and_hear<I>(
    program: &Path,
    words: I,
    variables: &[(&str, &str)],
    limit: Duration,
) -> Result<Result<(), String>, Error>
where
    I: IntoIterator,
    I::Item: AsRef<OsStr>,
{
    let name = program.display().to_string();
    let failed = |source| Error::Start { program: name.clone(), source };
    let (mut ours, theirs) = UnixStream::pair().map_err(failed)?;
    let mut command = Command::new(program);
    command
        .args(words)
        .envs(variables.iter().copied())
        .env(HEARD, "1")
        .current_dir("/")
        .stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    leave_everything(&mut command);
    let mut child = command.spawn().map_err(failed)?;
    // Its end is its own now.
    drop(command);
    let deadline = clock::within(limit);
    let mut said = Vec::new();
    loop {
        let left = deadline.remaining(clock::now());
        if left.is_zero() {
            return Err(Error::TimedOut { program: name, after: limit });
        }
        let mut piece = [0; 512];
        ours.set_read_timeout(Some(left)).map_err(failed)?;
        match ours.read(&mut piece) {
            Ok(0) => break,
            Ok(length) => said.extend_from_slice(&piece[..length]),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) => {}
            Err(_) => break,
        }
        if said == b"READY\n" {
            return Ok(Ok(()));
        }
    }
    let _ = child.try_wait();
    Ok(Err(String::from_utf8_lossy(&said).trim().to_owned()))
}

/// Says whether this process, which [`start_and_hear`] has started, is ready, or why it will not be. Says nothing where nobody listens.
pub fn ready(result: Result<(), &str>) {
    if std::env::var_os(HEARD).is_none() {
        return;
    }
    let text = match result {
        Ok(()) => "READY".to_owned(),
        Err(why) => fold(why),
    };
    let _ = nix::unistd::write(std::io::stdin(), format!("{text}\n").as_bytes());
    // What listens there is not kept from its end.
    if let Ok(null) = std::fs::File::open("/dev/null") {
        let _ = nix::unistd::dup2_stdin(&null);
    }
}

/// A session of its own, and no descriptor but the three standard ones.
#[allow(unsafe_code, reason = "the only way to run something between fork and exec")]
fn leave_everything(command: &mut Command) {
    let after_fork = || {
        nix::unistd::setsid()?;
        // Closed by the exec and not before: std has one with which it tells of a failure.
        let flags = nix::libc::CLOSE_RANGE_CLOEXEC;
        // SAFETY: the call takes three numbers and touches no memory of ours.
        let closed = unsafe { nix::libc::syscall(nix::libc::SYS_close_range, 3, u32::MAX, flags) };
        if closed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    };
    // SAFETY: after fork it makes two system calls and allocates nothing.
    unsafe { command.pre_exec(after_fork) };
}

/// Makes this process, which [`start`] has started, one that can be left alone: signals arrive, children can be waited for, and
/// a panic ends it with a line in the log, which this returns.
#[must_use]
pub fn settle(name: &'static str) -> Arc<Log> {
    settle_with(name, &[])
}

/// The same, where these variables say how to log in place of our own.
#[must_use]
pub fn settle_with(name: &'static str, variables: &[(&str, &str)]) -> Arc<Log> {
    let _ = clock::now();
    let environment: Environment = std::env::vars_os()
        .map(|(name, value)| {
            (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())
        })
        .collect();
    let environment =
        variables.iter().fold(environment, |all, (name, value)| all.with(name, value));
    crate::run::take_signals();
    let log = Arc::new(Log::new(name, &environment, false));
    let for_panics = Arc::clone(&log);
    std::panic::set_hook(Box::new(move |info: &PanicHookInfo<'_>| {
        let text = fold(&format!("Internal error in {name}: {info}"));
        stderr_line(&text);
        for_panics.reason(&text);
        leave(ExitCode::Generic)
    }));
    log
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_says_of_itself_is_heard() {
        let run = |script: &str| {
            let words = ["-c", script];
            start_and_hear(Path::new("/bin/sh"), words, &[("WORD", "it")], Duration::from_secs(20))
        };
        assert_eq!(run("echo READY >&0; exec sleep 0.1").unwrap(), Ok(()));
        assert_eq!(run("echo $WORD fails >&0").unwrap(), Err("it fails".to_owned()));
        assert_eq!(run("exit 1").unwrap(), Err(String::new()));
        let quiet = ["-c", "exec sleep 2"];
        let heard = start_and_hear(Path::new("/bin/sh"), quiet, &[], Duration::from_millis(50));
        assert!(matches!(heard, Err(Error::TimedOut { .. })));
    }

    #[test]
    fn what_was_started_has_nothing_of_its_starters() {
        let directory = tempfile::tempdir().unwrap();
        let said = directory.path().join("said");
        let open = std::fs::File::open("/proc/self/stat").unwrap();
        nix::fcntl::fcntl(&open, nix::fcntl::F_SETFD(nix::fcntl::FdFlag::empty())).unwrap();
        let script = "echo $(cut -d' ' -f1,6 /proc/$$/stat) $$ $(pwd) $(ls /proc/$$/fd) >$0.new; mv $0.new $0";
        let words = ["-c", script, said.to_str().unwrap()];
        start(Path::new("/bin/sh"), words).unwrap();
        let deadline = clock::within(Duration::from_secs(10));
        let text = loop {
            if let Ok(text) = std::fs::read_to_string(&said) {
                break text;
            }
            assert!(!deadline.remaining(clock::now()).is_zero());
            std::thread::sleep(Duration::from_millis(5));
        };
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        let (own, session) = (words[0], words[1]);
        assert_eq!((session, words[2], words[3]), (own, own, "/"), "{text}");
        // What a shell opens for itself is above 9; $() has a pipe for as long as ls runs.
        assert_eq!(words[4..7], ["0", "1", "2"], "{text}");
        let number = std::os::fd::AsRawFd::as_raw_fd(&open).to_string();
        assert!(number == "3" || !words[7..].contains(&number.as_str()), "{number} in {text}");
        assert!(start(Path::new("/nowhere/at/all"), ["x"]).is_err());
    }
}
