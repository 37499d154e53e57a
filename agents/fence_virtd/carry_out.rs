//! Carrying out what was asked: look, decide, take one step, look again. Invariant: at most one change of a domain is under way at a time;
//! domains do not wait for each other.

use std::{
    collections::HashSet,
    os::fd::{AsFd, OwnedFd},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use duet_domain::{State, Uuid};
use duet_host::clock;
use duet_libvirt_rpc::DomainRef;
use duet_ocf::chain;
use duet_xvm::{
    HostList, Record, Reply, Source,
    permission::{Known, Member, Permission, Permissions, Target},
};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::{
    backend::{Backend, Found, Look, Revival},
    exchange,
    plan::{self, Next, Operation, Progress, Reason, Step, Wanted},
    settings::Unknown,
};

/// How soon an order that libvirt refused is given again.
const AGAIN: Duration = Duration::from_millis(300);
/// How often somebody who waits for a turn looks whether it is still wanted.
const TURN: Duration = Duration::from_millis(100);

/// Who asks, and whether they still wait.
#[derive(Debug, Clone)]
pub(crate) struct Asker {
    pub(crate) source: Source,
    /// The name of a guest that asks over its serial line.
    pub(crate) name: Option<String>,
    /// The connection on which the answer is awaited; a serial line has no end.
    pub(crate) peer: Option<Arc<OwnedFd>>,
    /// Set when nobody waits any more.
    pub(crate) has_gone: Arc<AtomicBool>,
    /// On the clock of this process.
    pub(crate) deadline: Duration,
    pub(crate) permissions: Arc<Permissions>,
}

impl Asker {
    /// Looked at immediately before anything begins.
    fn wanted(&self) -> Wanted {
        if self.has_gone.load(Ordering::Relaxed)
            || self.peer.as_ref().is_some_and(|peer| has_ended(peer))
        {
            Wanted::Gone
        } else if clock::now() >= self.deadline {
            Wanted::Late
        } else {
            Wanted::Yes
        }
    }

    pub(crate) fn permission(&self, asked: &str, known: Option<&Known>) -> Permission {
        let member = Member { source: &self.source, name: self.name.as_deref() };
        self.permissions.ask(member, Target { asked, known })
    }
}

/// Whether the other end was closed.
fn has_ended(peer: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(peer.as_fd(), exchange::hang_up())];
    let _ = poll(&mut fds, PollTimeout::ZERO);
    // Nothing but ends is asked for.
    exchange::events(&fds[0]) != PollFlags::empty()
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// None where nobody is answered.
    pub(crate) reply: Option<Reply>,
    pub(crate) hosts: Option<HostList>,
    /// Why, for the log.
    pub(crate) why: String,
    pub(crate) is_trouble: bool,
    pub(crate) permission: Permission,
    pub(crate) known: Option<Known>,
    pub(crate) uri: Option<String>,
    /// As it was found.
    pub(crate) state: Option<State>,
}

/// Whose turn it is.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    taken: Mutex<HashSet<Uuid>>,
    given_back: Condvar,
}

/// A turn, until it is dropped.
struct Turn<'a> {
    turns: &'a Turns,
    uuid: Uuid,
}

impl Turns {
    /// Waits for the turn of this domain; none where nobody wants it any more.
    fn take(&self, uuid: Uuid, wanted: impl Fn() -> Wanted) -> Option<Turn<'_>> {
        let mut taken = self.taken.lock().expect("nobody panics with it");
        while !taken.insert(uuid) {
            if wanted() != Wanted::Yes {
                return None;
            }
            (taken, _) = self.given_back.wait_timeout(taken, TURN).expect("nobody panics with it");
        }
        Some(Turn { turns: self, uuid })
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Ok(mut taken) = self.turns.taken.lock() {
            taken.remove(&self.uuid);
        }
        self.turns.given_back.notify_all();
    }
}

/// Does something to, or asks something of, the domain of that name or UUID.
pub(crate) fn domain(
    operation: Operation,
    asked: &str,
    asker: &Asker,
    unknown: Unknown,
    backend: &Backend,
    turns: &Turns,
) -> Outcome {
    let permission = asker.permission(asked, None);
    if permission == Permission::NoSuchSource {
        return Outcome::new(Reply::Permission, &Reason::NotPermitted, permission);
    }
    // libvirt may be slow: nobody's threads are spent on it for who has gone.
    if asker.wanted() == Wanted::Gone {
        return Outcome::abandoned(permission);
    }
    let began = clock::now();
    let mut work = Work {
        backend,
        found: None,
        first: None,
        revival: None,
        progress: Progress::default(),
        ended_at: None,
    };
    let mut turn = None;
    loop {
        let look = work.look(asked);
        if let Look::Found(found) = &look {
            if turn.is_none() && operation != Operation::Status {
                turn = turns.take(found.known.uuid, || asker.wanted());
                if turn.is_some() {
                    // Somebody may have had it before: what was seen is old.
                    continue;
                }
            }
        }
        let now = clock::now();
        work.progress.elapsed = now.saturating_sub(began);
        if let (Some((_, since)), Some(at)) = (&mut work.progress.ended, work.ended_at) {
            *since = now.saturating_sub(at);
        }
        let permission = asker.permission(asked, work.found.as_ref().map(|found| &found.known));
        let next = plan::next(
            operation,
            &permission,
            asker.wanted(),
            unknown,
            &look.seen(),
            &work.progress,
        );
        match next {
            Next::Do(step) => work.apply(step, operation, asker),
            Next::Wait(span) => std::thread::sleep(span),
            Next::Answer(reply, reason) => {
                return work.outcome(Outcome::new(reply, &reason, permission));
            }
            Next::Abandon => return work.outcome(Outcome::abandoned(permission)),
        }
    }
}

struct Work<'a> {
    backend: &'a Backend,
    found: Option<Found>,
    first: Option<State>,
    revival: Option<Revival>,
    progress: Progress,
    ended_at: Option<Duration>,
}

impl Work<'_> {
    fn look(&mut self, asked: &str) -> Look {
        let look = match &self.found {
            None => self.backend.look(asked),
            Some(found) => self.backend.look_again(found),
        };
        if let Look::Found(found) = &look {
            self.first.get_or_insert(found.state);
            self.found = Some(found.clone());
        }
        look
    }

    /// Takes one step; what it has led to, only the next look tells.
    fn apply(&mut self, step: Step, operation: Operation, asker: &Asker) {
        let Some(found) = self.found.clone() else { return };
        let has_begun = self.progress.orders > 0;
        let wanted = || has_begun || asker.wanted() == Wanted::Yes;
        match step {
            // That took its time: what was seen and who waits is looked at again before it is ended.
            Step::End if operation == Operation::Reboot && self.revival.is_none() => {
                self.revival = Some(self.backend.revival(&found));
            }
            Step::End => match self.backend.end(&found, wanted) {
                None => {}
                Some(Ok(())) => {
                    self.progress.orders += 1;
                    self.ended_at = Some(clock::now());
                    self.progress.ended = Some((found.reference.id, Duration::ZERO));
                }
                Some(Err(error)) => {
                    self.progress.orders += 1;
                    self.progress.refusal = Some(chain(&error));
                    std::thread::sleep(AGAIN);
                }
            },
            Step::Start => {
                let revival = self.revival.take().unwrap_or(Revival::Defined(found.reference));
                self.progress.started = self.backend.start(found.at, &revival, wanted);
            }
        }
    }

    fn outcome(self, outcome: Outcome) -> Outcome {
        let uri = self.found.as_ref().map(|found| self.backend.uri(found.at).to_owned());
        let known = self.found.map(|found| found.known);
        Outcome { known, uri, state: self.first, ..outcome }
    }
}

/// The domains that may be seen.
pub(crate) fn list(asker: &Asker, backend: &Backend) -> Outcome {
    let everything = match backend.list() {
        Ok(everything) => everything,
        Err(why) => {
            return Outcome::new(Reply::Fail, &Reason::CouldNotAsk(why), Permission::Everybody);
        }
    };
    let mut rule = None;
    let mut hosts = Vec::new();
    for (DomainRef { name, uuid, .. }, state) in everything {
        let known = Known { name, uuid };
        let permission = asker.permission(&known.name, Some(&known));
        if permission.is_given() {
            // A name that has no place in a record cannot be asked for either.
            hosts.extend(Record::new(&known.name, &known.uuid.to_string(), number(state)));
        }
        if rule.as_ref().is_none_or(|rule: &Permission| !rule.is_given()) {
            rule = Some(permission);
        }
    }
    let mut outcome =
        Outcome::new(Reply::HostList, &Reason::Observed, rule.unwrap_or(Permission::Everybody));
    outcome.hosts = Some(HostList(hosts));
    outcome
}

/// libvirt's number of a state.
fn number(state: State) -> u8 {
    match state {
        State::NoState => 0,
        State::Running(_) => 1,
        State::Blocked => 2,
        State::Paused(_) => 3,
        State::ShuttingDown => 4,
        State::ShutOff(_) => 5,
        State::Crashed(_) => 6,
        State::PmSuspended => 7,
        State::Unrecognized { state, .. } => u8::try_from(state).unwrap_or(0),
    }
}

impl Outcome {
    /// Nobody waits for it, and nothing was done.
    pub(crate) fn abandoned(permission: Permission) -> Outcome {
        let mut outcome = Outcome::new(Reply::Fail, &Reason::TooLate, permission);
        outcome.reply = None;
        "the client has gone before anything was done".clone_into(&mut outcome.why);
        outcome
    }

    /// One that needs no libvirt, or says no more of it.
    pub(crate) fn new(reply: Reply, reason: &Reason, permission: Permission) -> Outcome {
        Outcome {
            reply: Some(reply),
            hosts: None,
            why: reason.to_string(),
            is_trouble: reason.is_trouble(),
            permission,
            known: None,
            uri: None,
            state: None,
        }
    }
}

#[cfg(test)]
mod tests;
