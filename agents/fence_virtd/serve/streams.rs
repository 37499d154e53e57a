//! Requests by datagram and by stream, up to the answer. Invariant: nothing is carried out before the peer has proved that it has the
//! key, and no request twice.

use std::{
    io::{self, Read},
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use duet_host::clock;
use duet_ocf::Level;
use duet_xvm::{
    CHALLENGE, Challenge, HostList, NONCE, Operation, Protection, Reply, Request, Source, Target,
    exchange::Server, permission::Permission,
};
use nix::poll::PollFlags;

use super::{
    Serve,
    record::{Job, To},
};
use crate::{
    carry_out::{Asker, Outcome},
    desk::Work,
    exchange::{self, Exchange, Stage, Turn},
    limits::{self, Held, Room},
    plan::{self, Reason},
    policy::Policy,
    verdict::{self, Asked, Dropped},
};

/// Datagrams or connections that are taken in one turn: the others have theirs, too.
const AT_ONCE: usize = 256;
/// How long a listener rests after an error, so that one that stays does not keep us from everything else.
const REST: Duration = Duration::from_millis(100);
/// What is left to a client's patience for the way of the answer.
const GRACE: Duration = Duration::from_secs(1);

impl Serve {
    /// Something has come to a listener.
    pub(super) fn listen(&mut self, at: usize) {
        for _ in 0..AT_ONCE {
            let Some(open) = self.open.get(at) else { return };
            let (policy, Some(listening)) = (Arc::clone(&open.policy), &open.listening) else {
                return;
            };
            let mut buffer = [0; 512];
            let scope = listening.scope();
            let came = match listening.receive(&mut buffer) {
                Ok(Some((length, from))) => {
                    self.datagram(&buffer[..length], from, &policy, scope);
                    Ok(true)
                }
                Ok(None) => match listening.accept() {
                    Ok(Some((stream, peer))) => {
                        self.admit(stream, peer, &policy, None);
                        Ok(true)
                    }
                    Ok(None) => Ok(false),
                    Err(error) => Err(error),
                },
                Err(error) => Err(error),
            };
            match came {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    let now = clock::now();
                    let name = &policy.listener.name;
                    self.quiet.tell(Level::Error, &format!("Listener {name}: {error}"), now);
                    if let Some(open) = self.open.get_mut(at) {
                        open.rests_until = now + REST;
                    }
                    if is_exhausted(&error) {
                        self.make_room();
                    }
                    return;
                }
            }
        }
    }

    fn datagram(&mut self, bytes: &[u8], from: SocketAddr, policy: &Arc<Policy>, scope: u32) {
        let now = clock::now();
        let own: Vec<SocketAddr> =
            self.open.iter().filter_map(|open| open.listening.as_ref()?.address()).collect();
        let exchanges = &self.exchanges;
        let in_flight = |request: &Request| {
            let mut asked = exchanges.values().filter_map(|exchange| exchange.asked.as_ref());
            asked.any(|asked| asked.request == *request)
        };
        let judged = verdict::datagram(
            bytes,
            &policy.terms,
            &mut self.memory,
            (from.ip(), &own),
            in_flight,
            now,
        );
        match judged {
            Ok((asked, to)) => self.call_back(asked, scoped(to, scope), policy),
            Err(dropped) => self.dropped(&dropped, &Source::from(from.ip()), policy),
        }
    }

    fn call_back(&mut self, asked: Asked, to: SocketAddr, policy: &Arc<Policy>) {
        let peer = Source::from(to.ip());
        match exchange::call_back(to) {
            Ok(stream) => self.admit(stream, peer, policy, Some(asked)),
            Err(error) => {
                let text = format!("Could not call back {to}: {error}");
                self.quiet.tell(Level::Debug, &text, clock::now());
                if is_exhausted(&error) {
                    self.make_room();
                }
            }
        }
    }

    /// Begins an exchange, where there is room for it.
    fn admit(
        &mut self,
        stream: std::os::fd::OwnedFd,
        peer: Source,
        policy: &Arc<Policy>,
        asked: Option<Asked>,
    ) {
        let one = if policy.is_signed() { limits::ONE } else { limits::UNSIGNED };
        match limits::room(&self.held(), &peer, limits::ALL, one) {
            Room::Free => {}
            Room::Evict(id) => {
                self.tell_end(id, "others are waiting");
                self.close(id);
            }
            Room::Full => {
                let text = format!("Refused {peer}: too many exchanges at once");
                return self.quiet.tell(Level::Warning, &text, clock::now());
            }
        }
        let id = self.number();
        let exchange = Exchange::new(stream, peer, Arc::clone(policy), asked, clock::now());
        self.exchanges.insert(id, exchange);
    }

    fn held(&self) -> Vec<Held<'_>> {
        let all = self.exchanges.iter();
        all.map(|(id, exchange)| Held {
            id: *id,
            peer: &exchange.peer,
            is_proven: exchange.is_proven(),
        })
        .collect()
    }

    /// Descriptors have run out: the oldest that has proved nothing gives its own back.
    fn make_room(&mut self) {
        let oldest = self.exchanges.iter().find(|(_, exchange)| !exchange.is_proven());
        if let Some(id) = oldest.map(|(id, _)| *id) {
            self.close(id);
        }
    }

    /// Something has happened to an exchange.
    pub(super) fn converse(&mut self, id: u64, events: PollFlags) {
        loop {
            let Some(exchange) = self.exchanges.get_mut(&id) else { return };
            let is_over = PollFlags::POLLHUP | PollFlags::POLLERR;
            if matches!(exchange.stage, Stage::Working) {
                if events.intersects(is_over) {
                    exchange.has_gone.store(true, Ordering::Relaxed);
                    self.close(id);
                }
                return;
            }
            match exchange.turn(&mut self.outstanding) {
                Turn::Waits => return,
                Turn::Requested(bytes) => {
                    if let Err(dropped) = self.requested(id, &bytes) {
                        self.end_with(id, &dropped);
                        return;
                    }
                }
                Turn::Proved => return self.proved(id),
                Turn::Answered => return self.close(id),
                Turn::Failed(why) => {
                    self.tell_end(id, &why);
                    return self.close(id);
                }
            }
        }
    }

    /// There is a request, and a stream: now both prove that they have the key.
    fn requested(&mut self, id: u64, bytes: &[u8]) -> Result<(), Dropped> {
        let now = clock::now();
        let Some(exchange) = self.exchanges.get_mut(&id) else { return Ok(()) };
        let asked = match exchange.asked.take() {
            Some(asked) => asked,
            None => {
                let asked = verdict::request(bytes, &exchange.policy.terms, &mut self.memory)?;
                verdict::admits(&asked, &exchange.peer, &mut self.memory, now)?;
                asked
            }
        };
        let mut nonce = [0; NONCE];
        if let Err(error) = self.random.read_exact(&mut nonce) {
            self.quiet.tell(Level::Error, &format!("No random bytes: {error}"), now);
            self.close(id);
            return Ok(());
        }
        let auth = exchange.policy.auth.clone();
        let challenge = match &auth {
            Protection::Keyed(keyed) => Challenge::about(&asked.datagram, keyed, nonce),
            Protection::None => Challenge::new([0; CHALLENGE]),
        };
        exchange.asked = Some(asked);
        exchange.prove(Server::new(auth, challenge), now);
        Ok(())
    }

    /// The peer has the key, or need not have it: what it asks is carried out, once.
    fn proved(&mut self, id: u64) {
        let now = clock::now();
        let Some(exchange) = self.exchanges.get_mut(&id) else { return };
        let Some(asked) = &exchange.asked else { return };
        if let Err(dropped) = verdict::claim(asked, &exchange.peer, &mut self.memory, now) {
            return self.end_with(id, &dropped);
        }
        let request = asked.request.clone();
        let policy = Arc::clone(&exchange.policy);
        let deadline = exchange.began + policy.patience;
        exchange.stage = Stage::Working;
        exchange.deadline = deadline + GRACE;
        let job = Job {
            operation: request.operation,
            target: request.target.clone(),
            sequence: request.sequence,
            source: exchange.peer.clone(),
            began: exchange.began,
            policy: Arc::clone(&policy),
            to: To::Exchange,
        };
        let asker = Asker {
            source: exchange.peer.clone(),
            name: None,
            peer: Some(Arc::clone(&exchange.stream)),
            has_gone: Arc::clone(&exchange.has_gone),
            deadline,
            permissions: Arc::clone(&policy.permissions),
        };
        let backend = Arc::clone(&self.backend);
        self.begin(id, job, asker, &backend);
    }

    /// Hands out what needs libvirt, and answers what does not.
    pub(super) fn begin(
        &mut self,
        id: u64,
        job: Job,
        asker: Asker,
        backend: &Arc<crate::backend::Backend>,
    ) {
        self.write_down();
        let at_once = |reply, reason: &Reason| Outcome::new(reply, reason, Permission::Everybody);
        let domain = |operation| match &job.target {
            Target::Domain(name) => Ok(Work::Domain {
                operation,
                asked: name.as_str().to_owned(),
                unknown: job.policy.unknown,
            }),
            Target::Nobody | Target::Malformed => {
                Err(Box::new(at_once(Reply::Fail, &Reason::UnknownDomain)))
            }
        };
        let work = match job.operation {
            Operation::Off => domain(plan::Operation::Off),
            Operation::On => domain(plan::Operation::On),
            Operation::Reboot => domain(plan::Operation::Reboot),
            Operation::Status => domain(plan::Operation::Status),
            Operation::List => Ok(Work::List),
            // As with stock's daemon: it says that we are here, and nothing of libvirt.
            Operation::Monitor => Err(Box::new(at_once(Reply::Success, &Reason::Observed))),
            Operation::Null | Operation::Unrecognized(_) => {
                Err(Box::new(at_once(Reply::Fail, &Reason::Observed)))
            }
        };
        self.jobs.insert(id, job);
        match work {
            Ok(work) => self.desk.hand_out(id, work, asker, backend),
            Err(outcome) => self.finish(id, *outcome),
        }
    }

    /// Something was carried out, or came to nothing.
    pub(super) fn finish(&mut self, id: u64, mut outcome: Outcome) {
        let Some(job) = self.jobs.remove(&id) else { return };
        // What the log says was answered is what was.
        let is_late = matches!(job.to, To::Exchange) && !self.awaits(id);
        if is_late && outcome.reply.take().is_some() {
            outcome.why.push_str("; the client had gone before, or been answered failure");
        }
        let now = clock::now();
        let (level, line) = job.record(&outcome, now);
        self.log.line(level, &line);
        if is_late {
            return;
        }
        if let To::Line(line) = job.to {
            return self.answer_line(line, outcome.reply, outcome.hosts);
        }
        let Some(reply) = outcome.reply else { return self.close(id) };
        let Some(exchange) = self.exchanges.get_mut(&id) else { return };
        exchange.answer(bytes(reply, outcome.hosts), now);
        self.converse(id, PollFlags::empty());
    }

    fn awaits(&self, id: u64) -> bool {
        self.exchanges.get(&id).is_some_and(|exchange| matches!(exchange.stage, Stage::Working))
    }

    /// Ends what takes too long.
    pub(super) fn end_overdue(&mut self, now: Duration) {
        let overdue: Vec<u64> = self
            .exchanges
            .iter()
            .filter(|(_, exchange)| exchange.deadline <= now)
            .map(|(id, _)| *id)
            .collect();
        for id in overdue {
            match self.exchanges.get_mut(&id) {
                Some(exchange) if matches!(exchange.stage, Stage::Working) => {
                    exchange.has_gone.store(true, Ordering::Relaxed);
                    exchange.answer(bytes(Reply::Fail, None), now);
                    self.converse(id, PollFlags::empty());
                }
                Some(_) => {
                    self.tell_end(id, "it took too long");
                    self.close(id);
                }
                None => {}
            }
        }
    }

    /// Ends an exchange.
    pub(super) fn close(&mut self, id: u64) {
        if let Some(exchange) = self.exchanges.remove(&id) {
            exchange.close(&mut self.outstanding);
        }
    }

    fn end_with(&mut self, id: u64, dropped: &Dropped) {
        if let Some(exchange) = self.exchanges.get(&id) {
            let (peer, policy) = (exchange.peer.clone(), Arc::clone(&exchange.policy));
            self.dropped(dropped, &peer, &policy);
        }
        self.close(id);
    }
}

/// The answer on a stream: a list has one byte more at its end, which clients need not wait for.
fn bytes(reply: Reply, hosts: Option<HostList>) -> Vec<u8> {
    let mut bytes = vec![reply.number()];
    if let Some(hosts) = hosts {
        bytes.extend(hosts.to_bytes());
        bytes.push(Reply::Success.number());
    }
    bytes
}

/// An address that is one of a link is on the link that its request came by.
fn scoped(to: SocketAddr, scope: u32) -> SocketAddr {
    match to {
        SocketAddr::V6(mut v6) if v6.ip().is_unicast_link_local() => {
            v6.set_scope_id(scope);
            v6.into()
        }
        other => other,
    }
}

fn is_exhausted(error: &io::Error) -> bool {
    use nix::libc::{EMFILE, ENFILE, ENOBUFS, ENOMEM};
    error.raw_os_error().is_some_and(|errno| [EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(&errno))
}
