//! By multicast: one copy of the request from each address of this host, and again until somebody calls back. Invariant:
//! nothing is sent before somebody can call back, and nothing more once somebody has said anything: the daemon may be carrying it
//! out.

mod senders;

use super::sockets;
use super::talk::{Breach, Conversation, Standing};
use super::{random, request, sequence, wait};
use crate::event::{Event, Trace};
use crate::key::Secrets;
use crate::options::order::{Multicast, Order};
use crate::outcome::Failure;
use duet_host::clock;
use duet_ocf::Deadline;
use duet_xvm::exchange::Answer;
use nix::poll::{PollFd, PollFlags};
use senders::Senders;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::time::Duration;

/// How many callers are listened to at the same time. Any host can call; only one that has the key is our daemon.
const CALLERS: usize = 16;
/// After one that cannot be ours, how long another is waited for.
const GRACE: Duration = Duration::from_millis(500);

/// Asks whichever daemon hears it.
pub(super) fn ask(
    order: &Order,
    multicast: &Multicast,
    secrets: &Secrets,
    trace: &mut Trace,
) -> Result<Answer, Failure> {
    let (listener, port) = sockets::listener(multicast.group, multicast.port, &multicast.origin)
        .map_err(|why| Failure::Listen(why.to_string()))?;
    let instead_of = (port != multicast.port).then_some(multicast.port);
    trace.note(Event::Listening { port, instead_of });
    let caller = Calling {
        order,
        secrets,
        listener,
        senders: Senders::new(multicast, port, sequence()?),
        callers: Vec::new(),
        attempts: multicast.attempts,
        retransmit: multicast.retransmit,
        next: Deadline::at(clock::now()),
        wrong: None,
    }
    .until_proven(trace)?;
    caller.finish(clock::within(order.timeout), order.timeout.as_secs(), trace)
}

struct Calling<'a> {
    order: &'a Order,
    secrets: &'a Secrets,
    listener: TcpListener,
    senders: Senders<'a>,
    callers: Vec<(Conversation, PollFlags)>,
    attempts: u32,
    retransmit: Duration,
    next: Deadline,
    /// Somebody has said what our daemon does not say; another has until then.
    wrong: Option<Deadline>,
}

impl Calling<'_> {
    /// Sends and listens until somebody has proved that he has the key.
    fn until_proven(mut self, trace: &mut Trace) -> Result<Conversation, Failure> {
        loop {
            let now = clock::now();
            if self.wrong.is_some_and(|until| until.remaining(now).is_zero()) {
                return Err(Failure::Proof);
            }
            if self.next.remaining(now).is_zero() {
                if self.attempts == 0 {
                    return Err(self.nobody(trace));
                }
                self.attempts -= 1;
                self.next = Deadline::at(now + self.retransmit);
                // Who is connected already may be carrying it out.
                if self.callers.is_empty() && self.wrong.is_none() {
                    let make = |call_back, sequence| request(self.order, Some(call_back), sequence);
                    let sign = |request: duet_xvm::Request| {
                        Ok(request.sign(&self.secrets.hash, random()?))
                    };
                    self.senders.send(make, sign, trace)?;
                }
            }
            self.pause()?;
            self.senders.hear(trace);
            // However many call, the clock is looked at in between.
            for _ in 0..CALLERS {
                let Some((stream, peer)) = sockets::accept(&self.listener) else { break };
                trace.note(Event::CalledBack(peer.to_string()));
                let caller = Conversation::new(stream, peer.to_string(), Vec::new(), self.secrets)?;
                if self.callers.len() == CALLERS {
                    // Whoever is silent longest is the least likely to be ours.
                    self.callers.remove(0);
                }
                self.callers.push((caller, PollFlags::POLLOUT));
                if let Some(proven) = self.listen(trace)? {
                    return Ok(proven);
                }
            }
            if let Some(proven) = self.listen(trace)? {
                return Ok(proven);
            }
        }
    }

    /// Lets everybody who has called go on. Returns the first who has proved himself.
    fn listen(&mut self, trace: &mut Trace) -> Result<Option<Conversation>, Failure> {
        let mut at = 0;
        while let Some((caller, flags)) = self.callers.get_mut(at) {
            let standing = if caller.is_proven() { None } else { Some(caller.go_on(trace)) };
            if caller.is_proven() {
                return Ok(Some(self.callers.swap_remove(at).0));
            }
            match standing {
                None | Some(Standing::Finished) => {
                    return Ok(Some(self.callers.swap_remove(at).0));
                }
                Some(Standing::Waits(wanted)) => {
                    *flags = wanted;
                    at += 1;
                }
                Some(Standing::Broken(Breach::Left)) => drop(self.callers.remove(at)),
                Some(Standing::Broken(Breach::OtherAlgorithm)) => return Err(Failure::Proof),
                Some(Standing::Broken(Breach::LeftInTheMiddle | Breach::Wrong)) => {
                    drop(self.callers.remove(at));
                    self.wrong.get_or_insert_with(|| clock::within(GRACE));
                }
            }
        }
        Ok(None)
    }

    /// Waits for the next thing to happen, or to do.
    fn pause(&self) -> Result<(), Failure> {
        let now = clock::now();
        let next = match self.wrong {
            Some(until) if until.remaining(now) < self.next.remaining(now) => until,
            Some(_) | None => self.next,
        };
        let mut descriptors = Vec::with_capacity(self.callers.len() + 1);
        descriptors.push(PollFd::new(self.listener.as_fd(), PollFlags::POLLIN));
        let callers = self.callers.iter();
        descriptors.extend(callers.map(|(caller, flags)| PollFd::new(caller.descriptor(), *flags)));
        wait(&mut descriptors, next).map_err(|why| Failure::Listen(why.desc().to_owned()))
    }

    /// Time is up.
    fn nobody(&self, trace: &mut Trace) -> Failure {
        for (caller, _) in &self.callers {
            let (peer, stage, said) = (caller.peer().to_owned(), caller.stage(), caller.said());
            trace.note(Event::Silent { peer, stage, said });
        }
        if self.callers.is_empty() { Failure::NoCallBack } else { Failure::Proof }
    }
}
