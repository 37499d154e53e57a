//! The pipes and the end of one child: everything is non-blocking, and each wait is one `poll` whose timeout is
//! what is left of the deadline.

use super::Ended;
use crate::{clock, pidfd};
use duet_ocf::Deadline;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::Pid;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::time::Duration;

struct Outlet<P> {
    pipe: Option<P>,
    kept: Vec<u8>,
}

impl<P: Read + AsFd> Outlet<P> {
    /// Takes what is there. True when something was dropped over the limit.
    fn drain(&mut self, limit: usize, keeps_end: bool) -> io::Result<bool> {
        let mut is_truncated = false;
        let mut buffer = [0; 8192];
        // Bounded, so that a child that never stops talking cannot keep us from the clock.
        for _ in 0..64 {
            let Some(pipe) = &mut self.pipe else { break };
            match pipe.read(&mut buffer) {
                Ok(0) => self.pipe = None,
                Ok(length) if keeps_end => {
                    self.kept.extend_from_slice(&buffer[..length]);
                    let excess = self.kept.len().saturating_sub(limit);
                    self.kept.drain(..excess);
                    is_truncated |= excess > 0;
                }
                Ok(length) => {
                    let room = limit.saturating_sub(self.kept.len()).min(length);
                    self.kept.extend_from_slice(&buffer[..room]);
                    is_truncated |= room < length;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(is_truncated)
    }
}

pub(super) struct Session<'a> {
    input: Option<std::process::ChildStdin>,
    unsent: &'a [u8],
    stdout: Outlet<std::process::ChildStdout>,
    stderr: Outlet<std::process::ChildStderr>,
    limit: usize,
    keeps_end: bool,
    is_truncated: bool,
    pidfd: Option<OwnedFd>,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        child: &mut Child,
        input: &'a [u8],
        limit: usize,
        keeps_end: bool,
    ) -> Session<'a> {
        let session = Session {
            input: child.stdin.take(),
            unsent: input,
            stdout: Outlet { pipe: child.stdout.take(), kept: Vec::new() },
            stderr: Outlet { pipe: child.stderr.take(), kept: Vec::new() },
            limit,
            keeps_end,
            is_truncated: false,
            pidfd: pidfd::open(child.id()).ok(),
        };
        let pipes = [
            session.input.as_ref().map(AsFd::as_fd),
            session.stdout.pipe.as_ref().map(AsFd::as_fd),
            session.stderr.pipe.as_ref().map(AsFd::as_fd),
        ];
        for pipe in pipes.into_iter().flatten() {
            set_nonblocking(pipe);
        }
        session
    }

    pub(super) fn drop_pipes(&mut self) {
        (self.input, self.stdout.pipe, self.stderr.pipe) = (None, None, None);
    }

    /// Serves the pipes until the child has exited (true, not yet reaped) or time is up (false).
    pub(super) fn until_exit(&mut self, child: &mut Child, deadline: Deadline) -> io::Result<bool> {
        loop {
            self.serve()?;
            if has_exited(child)? {
                self.serve()?;
                return Ok(true);
            }
            let remaining = deadline.remaining(clock::now());
            if remaining.is_zero() {
                return Ok(false);
            }
            // Without a pidfd (before Linux 5.3) an exit is noticed by looking now and then.
            let longest = if self.pidfd.is_some() { remaining } else { remaining.min(LOOK_AGAIN) };
            self.wait(longest)?;
        }
    }

    fn wait(&self, longest: Duration) -> io::Result<()> {
        let readable = [
            self.pidfd.as_ref().map(AsFd::as_fd),
            self.stdout.pipe.as_ref().map(AsFd::as_fd),
            self.stderr.pipe.as_ref().map(AsFd::as_fd),
        ];
        let mut fds: Vec<PollFd<'_>> = readable
            .into_iter()
            .flatten()
            .map(|fd| PollFd::new(fd, PollFlags::POLLIN))
            .chain(self.input.as_ref().map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLOUT)))
            .collect();
        // Rounded up: a remainder below a millisecond must not spin.
        let milliseconds = longest.as_micros().div_ceil(1000);
        let timeout = PollTimeout::try_from(milliseconds).unwrap_or(PollTimeout::MAX);
        match poll(&mut fds, timeout) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    fn serve(&mut self) -> io::Result<()> {
        self.is_truncated |= self.stdout.drain(self.limit, self.keeps_end)?;
        self.is_truncated |= self.stderr.drain(self.limit, self.keeps_end)?;
        while let Some(pipe) = &mut self.input {
            if self.unsent.is_empty() {
                self.input = None;
                break;
            }
            match pipe.write(self.unsent) {
                Ok(length) => self.unsent = &self.unsent[length..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // It does not want to read; its exit code will say whether that matters.
                Err(_) => self.input = None,
            }
        }
        Ok(())
    }

    pub(super) fn finish(self, status: ExitStatus) -> Ended {
        Ended {
            code: status.code(),
            signal: status.signal(),
            stdout: self.stdout.kept,
            stderr: self.stderr.kept,
            is_truncated: self.is_truncated,
        }
    }
}

const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Whether it has exited; leaves it to be reaped, so that its number stays its own.
fn has_exited(child: &Child) -> io::Result<bool> {
    use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
    let id = i32::try_from(child.id()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    match waitid(Id::Pid(Pid::from_raw(id)), flags) {
        Ok(WaitStatus::StillAlive) | Err(nix::errno::Errno::EINTR) => Ok(false),
        Ok(_) => Ok(true),
        Err(errno) => Err(errno.into()),
    }
}

pub(super) fn set_nonblocking(fd: BorrowedFd<'_>) {
    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    // Cannot fail for a pipe of ours.
    let _ = fcntl(fd, FcntlArg::F_SETFL(OFlag::O_NONBLOCK));
}
