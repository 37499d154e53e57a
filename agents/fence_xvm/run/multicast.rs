//! By multicast: one copy of the request from each address of this host, and again until somebody has proved that he has the key.
//! Invariant: nothing is sent before somebody can call back, and nothing more once the daemon is known; and whoever calls back and
//! proves nothing does not keep us from asking.

mod senders;

use super::sockets;
use super::talk::{Breach, Conversation, Copies, Standing};
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
    let mut calling = Calling {
        order,
        secrets,
        listener,
        senders: Senders::new(multicast, port, sequence()?),
        sent: Copies::default(),
        callers: Vec::new(),
        attempts: multicast.attempts,
        retransmit: multicast.retransmit,
        next: Deadline::at(clock::now()),
        is_put_off: false,
        wrong: None,
    };
    let caller = calling.until_proven(trace)?;
    caller.finish(&calling.sent, clock::within(order.timeout), order.timeout.as_secs(), trace)
}

struct Calling<'a> {
    order: &'a Order,
    secrets: &'a Secrets,
    listener: TcpListener,
    senders: Senders<'a>,
    sent: Copies,
    callers: Vec<(Conversation, PollFlags)>,
    attempts: u32,
    retransmit: Duration,
    next: Deadline,
    /// The last time to send again went by because somebody had called.
    is_put_off: bool,
    /// Somebody has said what our daemon does not say; another has until then.
    wrong: Option<Deadline>,
}

impl Calling<'_> {
    /// Sends and listens until somebody has proved that he has the key.
    fn until_proven(&mut self, trace: &mut Trace) -> Result<Conversation, Failure> {
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
                self.send(trace)?;
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

    /// Sends again, if that is of use. Who has called and proved nothing is no daemon of ours that is slow: that one says all it has to
    /// say at once. But a daemon that asks for no proof may be carrying it out, and copies make it no faster; so one time is let go by.
    /// Not two in a row: any host can call, and say nothing, as often as it likes.
    fn send(&mut self, trace: &mut Trace) -> Result<(), Failure> {
        self.is_put_off = !self.callers.is_empty() && !self.is_put_off;
        if self.is_put_off || self.wrong.is_some() {
            return Ok(());
        }
        let make = |call_back, sequence| request(self.order, Some(call_back), sequence);
        let sign = |request: duet_xvm::Request| Ok(request.sign(&self.secrets.hash, random()?));
        self.senders.send(make, sign, &mut self.sent, trace)
    }

    /// Lets everybody who has called go on. Returns the first who has proved himself.
    fn listen(&mut self, trace: &mut Trace) -> Result<Option<Conversation>, Failure> {
        let mut at = 0;
        while let Some((caller, flags)) = self.callers.get_mut(at) {
            let standing =
                if caller.is_proven() { None } else { Some(caller.go_on(&self.sent, trace)) };
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
                // The daemon, called by somebody else in our name: it will call back for us, too.
                Some(Standing::Broken(Breach::Left | Breach::AnotherRequest)) => {
                    drop(self.callers.remove(at));
                }
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
