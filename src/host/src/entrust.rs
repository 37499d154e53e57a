//! Work that is answered for in time, whatever holds it: a child does all of it, and this process waits for what it tells, no longer
//! than to a deadline. A process with a thread that the kernel does not let go of (a disk that has died, a module that hangs) does
//! not end when it is told to, nor when it is killed: who has to end must have no such thread. Invariant: this
//! process does nothing that can hang; the child ends with it; what the child did not tell, it did not answer.

use crate::{Lock, bounded, clock, pidfd};
use duet_ocf::Deadline;
use nix::cmsg_space;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg,
    send, sendmsg, socketpair,
};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, getpid, getppid};
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long a killed child may take to vanish before we go on without it.
const GRACE: Duration = Duration::from_millis(50);
/// How often it is looked whether a child has ended, before Linux 5.3.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// A message: what it is, and a number.
const LENGTH: usize = 9;

/// What came of the work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// The child told this.
    Told {
        /// A code, as of an exit.
        code: u8,
        /// Whether it said in time that it was through with everything else as well, or ended.
        is_through: bool,
    },
    /// It ended and had told nothing. How it ended.
    Ended(String),
    /// It told nothing until the deadline.
    Nothing,
}

/// The child's way to tell.
#[derive(Debug)]
pub struct Voice {
    socket: OwnedFd,
    has_told: AtomicBool,
}

const CODE: u8 = b'c';
const LATER: u8 = b'l';
const THROUGH: u8 = b't';
const LOCK: u8 = b'k';

impl Voice {
    /// Tells the code, which the other process ends with. Only the first one is told: whether this was it.
    pub fn tell(&self, code: u8) -> bool {
        let is_first = !self.has_told.swap(true, Ordering::SeqCst);
        if is_first {
            self.send(CODE, u64::from(code));
        }
        is_first
    }

    /// Tells that nothing is left to be done after the code.
    pub fn is_through(&self) {
        self.send(THROUGH, 0);
    }

    /// Asks to be waited for until then. Spans of [`clock`] are the same in both processes.
    pub fn wait_until(&self, end: Deadline) {
        self.send(LATER, u64::try_from(end.when().as_millis()).unwrap_or(u64::MAX));
    }

    /// Has the other process let go of this lock where the kernel holds this one beyond its end.
    pub fn lend(&self, lock: &Lock) {
        let message = message(LOCK, 0);
        let descriptors = [lock.as_fd().as_raw_fd()];
        let with = [ControlMessage::ScmRights(&descriptors)];
        let text = [IoSlice::new(&message)];
        // Without it, the next one waits for the lock as it does for one that is held.
        let _ = sendmsg::<()>(self.socket.as_raw_fd(), &text, &with, FLAGS, None);
    }

    fn send(&self, what: u8, number: u64) {
        // Who does not listen any more is about to end this process.
        let _ = send(self.socket.as_raw_fd(), &message(what, number), FLAGS);
    }
}

const FLAGS: MsgFlags = MsgFlags::MSG_NOSIGNAL;

fn message(what: u8, number: u64) -> [u8; LENGTH] {
    let mut message = [what; LENGTH];
    message[1..].copy_from_slice(&number.to_ne_bytes());
    message
}

/// Has a child do the work, and waits until it has told a code, or has ended, or the deadline has come. Of the time after
/// the code it gets `patience`; then it is killed. It has nothing open but the standard streams.
///
/// The process must have one thread. The child ends with it, however it ends, and stays in its process group: what is sent to
/// the group reaches both. A child that cannot be killed is left behind, for the kernel to end; it has no lock then that it lent.
///
/// # Errors
/// If no child could be made.
#[allow(unsafe_code, reason = "fork without exec: the child only does this work")]
pub fn entrust(end: Deadline, patience: Duration, work: impl FnOnce(Voice)) -> io::Result<Heard> {
    let (ours, childs) =
        socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
    let us = getpid();
    // SAFETY: this process has one thread, so nobody holds a lock in the child's memory.
    let child = match unsafe { fork() }? {
        ForkResult::Parent { child } => child,
        ForkResult::Child => {
            drop(ours);
            let _ = nix::sys::prctl::set_pdeathsig(Signal::SIGKILL);
            // It may have ended before that took effect.
            if getppid() == us {
                bounded::close_all_but(childs.as_raw_fd(), 3);
                work(Voice { socket: childs, has_told: AtomicBool::new(false) });
            }
            // SAFETY: ends this process, without anything that is registered for the end of the parent.
            unsafe { nix::libc::_exit(0) }
        }
    };
    drop(childs);
    let pidfd = u32::try_from(child.as_raw()).ok().and_then(|pid| pidfd::open(pid).ok());
    let is = Entrusted {
        child,
        pidfd,
        socket: ours,
        end,
        told: None,
        is_through: false,
        is_shut: false,
        lock: None,
    };
    Ok(is.hear(patience))
}

/// A child at work.
struct Entrusted {
    child: Pid,
    /// None before Linux 5.3.
    pidfd: Option<OwnedFd>,
    socket: OwnedFd,
    end: Deadline,
    told: Option<u8>,
    is_through: bool,
    /// Nobody is there who could tell anything.
    is_shut: bool,
    /// The child's, which it lent.
    lock: Option<File>,
}

/// How a child is.
enum Life {
    Runs,
    Over(String),
}

impl Entrusted {
    fn hear(mut self, patience: Duration) -> Heard {
        let mut life = self.wait(|it| it.told.is_some());
        if let Some(code) = self.told {
            if matches!(life, Life::Runs) {
                self.end = clock::within(patience);
                life = self.wait(|_| false);
            }
            let is_through = self.is_through || matches!(life, Life::Over(_));
            self.finish(life);
            return Heard::Told { code, is_through };
        }
        match life {
            Life::Over(how) => Heard::Ended(how),
            Life::Runs => {
                self.finish(life);
                // It may have told it just now, but nobody is told twice what came of it.
                Heard::Nothing
            }
        }
    }

    /// Listens until that is so, or the child is over, or time is up.
    fn wait(&mut self, is_enough: impl Fn(&Entrusted) -> bool) -> Life {
        loop {
            let life = self.life();
            // What it told before it ended has arrived.
            self.listen();
            if is_enough(self) || matches!(life, Life::Over(_)) {
                return life;
            }
            let left = self.end.remaining(clock::now());
            if left.is_zero() {
                return life;
            }
            self.poll(left);
        }
    }

    fn poll(&self, left: Duration) {
        let is_heard = !self.is_shut;
        let descriptors =
            [is_heard.then(|| self.socket.as_fd()), self.pidfd.as_ref().map(AsFd::as_fd)];
        let mut descriptors: Vec<PollFd<'_>> = descriptors
            .into_iter()
            .flatten()
            .map(|descriptor| PollFd::new(descriptor, PollFlags::POLLIN))
            .collect();
        let left = if self.pidfd.is_some() { left } else { left.min(LOOK_AGAIN) };
        // Rounded up: a remainder below a millisecond must not spin.
        let milliseconds = left.as_micros().div_ceil(1000);
        let timeout = PollTimeout::try_from(milliseconds).unwrap_or(PollTimeout::MAX);
        if poll(&mut descriptors, timeout).is_err_and(|errno| errno != Errno::EINTR) {
            std::thread::sleep(left.min(LOOK_AGAIN));
        }
    }

    /// Takes every message that is there.
    fn listen(&mut self) {
        while !self.is_shut {
            let mut bytes = [0; LENGTH];
            let mut with = cmsg_space!([i32; 1]);
            let mut text = [IoSliceMut::new(&mut bytes)];
            let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
            let socket = self.socket.as_raw_fd();
            let length = match recvmsg::<()>(socket, &mut text, Some(&mut with), flags) {
                Ok(received) => {
                    let controls = received.cmsgs().into_iter().flatten();
                    for control in controls {
                        if let ControlMessageOwned::ScmRights(descriptors) = control {
                            self.lock = descriptors.into_iter().map(own).next_back();
                        }
                    }
                    received.bytes
                }
                Err(Errno::EAGAIN) => return,
                Err(Errno::EINTR) => continue,
                Err(_) => 0,
            };
            if length == 0 {
                self.is_shut = true;
            } else {
                self.take(bytes);
            }
        }
    }

    fn take(&mut self, [what, number @ ..]: [u8; LENGTH]) {
        let number = u64::from_ne_bytes(number);
        match what {
            CODE => self.told = u8::try_from(number).ok(),
            THROUGH => self.is_through = true,
            LATER => self.end = Deadline::at(Duration::from_millis(number)),
            _ => {}
        }
    }

    /// Looks whether it has ended, and takes note of that if so: its number is nobody's then.
    fn life(&self) -> Life {
        match waitpid(self.child, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(_, code)) => Life::Over(format!("exited with {code}")),
            Ok(WaitStatus::Signaled(_, signal, _)) => Life::Over(format!("was ended by {signal}")),
            Ok(_) | Err(Errno::EINTR) => Life::Runs,
            Err(errno) => Life::Over(format!("is nobody's child: {errno}")),
        }
    }

    /// Ends it. Where the kernel has not let go of it, it never does anything of its own again, and needs no lock.
    fn finish(self, mut life: Life) {
        let mut is_killed = false;
        let deadline = clock::within(GRACE);
        while let Life::Runs = life {
            is_killed |= kill(self.child, Signal::SIGKILL).is_ok();
            if deadline.remaining(clock::now()).is_zero() {
                if let Some(lock) = self.lock.filter(|_| is_killed) {
                    // It is the child's own; to let go of it here is to let go of it there. What is another's by now is not touched.
                    let ours = Flock::lock(lock, FlockArg::LockExclusiveNonblock);
                    let _ = ours.map(Flock::unlock);
                }
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
            life = self.life();
        }
    }
}

#[allow(unsafe_code, reason = "a descriptor comes as a number")]
fn own(descriptor: i32) -> File {
    // SAFETY: just received, and nobody else's.
    unsafe { File::from_raw_fd(descriptor) }
}

/// Lets go of standard output, for whoever waits until nobody has it any more.
pub fn close_output() {
    if let Ok(null) = File::options().write(true).open("/dev/null") {
        let _ = nix::unistd::dup2_stdout(null);
    }
}
