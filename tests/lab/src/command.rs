//! Commands on this machine and inside the labs, each with a bound kept by coreutils' `timeout`.
//! No command is ever run without one.

use crate::failure::{Failure, Result};
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

/// What a command left behind.
#[derive(Debug, Clone)]
pub(crate) struct Ran {
    /// Exit status; 128 + signal for one that was killed, 124 for one that ran out of time.
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    command: String,
}

impl Ran {
    pub(crate) fn new(command: String, status: i32, stdout: String, stderr: String) -> Self {
        Self { status, stdout, stderr, command }
    }

    /// The standard output of a command that must have succeeded, for `doing`.
    pub(crate) fn success(self, doing: &str) -> Result<String> {
        if self.status == 0 {
            return Ok(self.stdout);
        }
        let how = match self.status {
            124 | 137 => "no end within its time".to_owned(),
            status => format!("exit status {status}"),
        };
        Err(Failure::Command {
            doing: doing.to_owned(),
            command: self.command,
            how,
            output: format!("{}{}", self.stdout, self.stderr),
        })
    }
}

/// Runs `argv` with nothing on its standard input, for at most `within`.
pub(crate) fn run(argv: &[&str], within: Duration) -> Result<Ran> {
    run_with_input(argv, within, b"")
}

/// Runs `argv` with `input` on its standard input, for at most `within`.
pub(crate) fn run_with_input(argv: &[&str], within: Duration, input: &[u8]) -> Result<Ran> {
    let seconds = format!("{:.1}", within.as_secs_f64());
    let mut child = Command::new("timeout")
        .args(["-k", "2", &seconds])
        .args(argv)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(Failure::io(format!("start {}", argv.join(" "))))?;
    let mut stdin = child.stdin.take().expect("stdin was asked for");
    // Every command that is fed reads to the end before it writes, so neither side can fill a pipe
    // that the other does not empty; one that never reads still ends with its time.
    let written = stdin.write_all(input);
    drop(stdin);
    let output =
        child.wait_with_output().map_err(Failure::io(format!("wait for {}", argv.join(" "))))?;
    if let (Err(error), true) = (written, output.status.success()) {
        return Err(Failure::Io { doing: format!("feed {}", argv.join(" ")), source: error });
    }
    Ok(Ran::new(
        argv.join(" "),
        status(output.status),
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    ))
}

/// A process's end as one number, as shells count it.
pub(crate) fn status(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}
