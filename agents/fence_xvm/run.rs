//! What touches the world on the way to an answer. Invariant: each wait is a poll with a deadline, and nothing here decides
//! what an answer means.

mod line;
mod multicast;
mod names;
mod sockets;
mod stream;
mod talk;

use crate::event::Trace;
use crate::key::Secrets;
use crate::options::given::Action;
use crate::options::order::{Order, Route};
use crate::outcome::Failure;
use duet_ocf::Deadline;
use duet_xvm::exchange::Answer;
use duet_xvm::{Operation, Request, Target};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::AsFd;
use std::time::Duration;

/// Asks the daemon, and waits for its answer.
///
/// # Errors
/// Why there is none.
pub fn ask(order: &Order, secrets: &Secrets, trace: &mut Trace) -> Result<Answer, Failure> {
    match &order.route {
        Route::Multicast(multicast) => multicast::ask(order, multicast, secrets, trace),
        Route::Tcp { .. } | Route::Vsock { .. } => stream::ask(order, secrets, trace),
        Route::Serial { .. } | Route::Channel { .. } => line::ask(order, trace),
    }
}

/// What goes over the wire.
fn operation(action: Action) -> Operation {
    match action {
        // The last two are never asked of a daemon.
        Action::Null | Action::Metadata | Action::ValidateAll => Operation::Null,
        Action::Off => Operation::Off,
        Action::On => Operation::On,
        Action::Reboot => Operation::Reboot,
        Action::Status => Operation::Status,
        Action::Monitor => Operation::Monitor,
        Action::List => Operation::List,
    }
}

fn target(order: &Order) -> Target {
    order.domain.clone().map_or(Target::Nobody, Target::Domain)
}

fn request(order: &Order, call_back: Option<std::net::SocketAddr>, sequence: u32) -> Request {
    Request {
        operation: operation(order.action),
        target: target(order),
        by_uuid: order.by_uuid,
        call_back,
        sequence,
    }
}

/// Random bytes of the kernel.
fn random<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|why| Failure::Random(why.to_string()))?;
    Ok(bytes)
}

/// The number that all copies of a request have. fence-virt takes the microseconds of its clock, which two nodes can have
/// in common, and which can be foreseen.
fn sequence() -> Result<u32, Failure> {
    random().map(u32::from_le_bytes)
}

/// Waits until there is something to read, or its end. False if there is not in time.
///
/// # Errors
/// Those of poll.
pub(crate) fn wait_to_read(from: &impl AsFd, deadline: Deadline) -> std::io::Result<bool> {
    loop {
        let mut descriptors = [PollFd::new(from.as_fd(), PollFlags::POLLIN)];
        wait(&mut descriptors, deadline)?;
        if descriptors[0].any().unwrap_or(false) {
            return Ok(true);
        }
        if deadline.remaining(duet_host::clock::now()).is_zero() {
            return Ok(false);
        }
    }
}

/// Waits until something happens or time is up; what has happened is in `descriptors`.
fn wait(descriptors: &mut [PollFd<'_>], deadline: Deadline) -> nix::Result<()> {
    let left = deadline.remaining(duet_host::clock::now());
    // Not shorter than what is left: a poll that comes back early would be asked again and again.
    let left = PollTimeout::try_from(left.saturating_add(Duration::from_millis(1)))
        .unwrap_or(PollTimeout::MAX);
    match poll(descriptors, left) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(why) => Err(why),
    }
}
