//! Where libvirt is asked: threads with small stacks, at most sixteen at once. libvirt's calls are synchronous, so that what waits for one
//! has to have a thread; everything else in the daemon is one loop over poll, in which a connection costs a kilobyte and can be dropped
//! at once, which no thread can. Invariant: who waits for a thread is served in the order of who has fewest, and no thread is spent on waiting
//! for another one's domain.

use std::{
    io::{Read, Write},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
};

use duet_ocf::chain;
use duet_xvm::{Reply, Source, permission::Permission};

use crate::{
    backend::Backend,
    carry_out::{self, Asker, Outcome, Turns},
    plan::{Operation, Reason},
    serial::{self, Lines},
    settings::Unknown,
};

/// Threads at once.
const THREADS: usize = 16;
/// Of them, for one source.
const SHARE: usize = 6;
/// Bytes for a thread's stack: what is read is on the heap.
const STACK: usize = 128 * 1024;

/// A piece of work.
#[derive(Debug)]
pub(crate) enum Work {
    /// Something with a domain.
    Domain { operation: Operation, asked: String, unknown: Unknown },
    /// The list.
    List,
}

impl Work {
    /// The domain that it may change, as it is asked for. One that is asked for by UUID beside its name waits for its turn in a thread.
    fn changes(&self) -> Option<String> {
        match self {
            Work::Domain {
                operation: Operation::Off | Operation::On | Operation::Reboot,
                asked,
                ..
            } => Some(asked.to_ascii_lowercase()),
            Work::Domain { operation: Operation::Status, .. } | Work::List => None,
        }
    }
}

/// Something for whoever handed it out.
#[derive(Debug)]
pub(crate) enum Report {
    /// What came of the work with this number.
    Done(u64, Outcome),
    /// The serial lines of the guests of the listener with this number.
    Lines(u64, Result<Lines, (Lines, String)>),
}

#[derive(Debug)]
struct Waiting {
    id: u64,
    work: Work,
    asker: Asker,
    backend: Arc<Backend>,
}

/// Where work is handed out and comes back.
#[derive(Debug)]
pub(crate) struct Desk {
    sender: Sender<Report>,
    receiver: Receiver<Report>,
    bell: UnixStream,
    rope: Arc<UnixStream>,
    turns: Arc<Turns>,
    waiting: Vec<Waiting>,
    running: Vec<Running>,
}

#[derive(Debug)]
struct Running {
    id: u64,
    source: Source,
    /// The domain that it may change, as it was asked for.
    changes: Option<String>,
}

impl Desk {
    /// An empty desk.
    ///
    /// # Errors
    /// No descriptors are left.
    pub(crate) fn new() -> std::io::Result<Desk> {
        let (bell, rope) = UnixStream::pair()?;
        bell.set_nonblocking(true)?;
        rope.set_nonblocking(true)?;
        let (sender, receiver) = channel();
        Ok(Desk {
            sender,
            receiver,
            bell,
            rope: Arc::new(rope),
            turns: Arc::default(),
            waiting: Vec::new(),
            running: Vec::new(),
        })
    }

    /// Hands out a piece of work; what comes of it has its number.
    pub(crate) fn hand_out(&mut self, id: u64, work: Work, asker: Asker, backend: &Arc<Backend>) {
        self.waiting.push(Waiting { id, work, asker, backend: Arc::clone(backend) });
        self.begin();
    }

    /// Asks libvirt which lines there are. Beside the others: whoever hands it out does so once at a time.
    pub(crate) fn look_for_lines(&self, listener: u64, lines: Lines, backend: &Arc<Backend>) {
        let (backend, before) = (Arc::clone(backend), lines.clone());
        let again = lines.clone();
        let look = move || {
            let looked = serial::look(&backend, lines);
            Report::Lines(listener, looked.map_err(|error| (before, chain(&error))))
        };
        if let Err(error) = self.spawn(look) {
            let why = format!("could not start a thread: {error}");
            let _ = self.sender.send(Report::Lines(listener, Err((again, why))));
        }
    }

    /// How much is not finished.
    pub(crate) fn busy(&self) -> usize {
        self.waiting.len() + self.running.len()
    }

    /// Begins what there are threads for, those first who have fewest.
    fn begin(&mut self) {
        self.dismiss();
        while self.running.len() < THREADS {
            let of =
                |source: &Source| self.running.iter().filter(|run| run.source == *source).count();
            let is_free = |changes: Option<String>| {
                changes.is_none() || !self.running.iter().any(|run| run.changes == changes)
            };
            let next = (0..self.waiting.len())
                .filter(|at| of(&self.waiting[*at].asker.source) < SHARE)
                .filter(|at| is_free(self.waiting[*at].work.changes()))
                .min_by_key(|at| of(&self.waiting[*at].asker.source));
            let Some(at) = next else { return };
            let Waiting { id, work, asker, backend } = self.waiting.remove(at);
            let changes = work.changes();
            self.running.push(Running { id, source: asker.source.clone(), changes });
            let turns = Arc::clone(&self.turns);
            let run = move || {
                let outcome = match work {
                    Work::Domain { operation, asked, unknown } => {
                        carry_out::domain(operation, &asked, &asker, unknown, &backend, &turns)
                    }
                    Work::List => carry_out::list(&asker, &backend),
                };
                Report::Done(id, outcome)
            };
            if let Err(error) = self.spawn(run) {
                let reason = Reason::CouldNotAsk(format!("could not start a thread: {error}"));
                let outcome = Outcome::new(Reply::Fail, &reason, Permission::Everybody);
                let _ = self.sender.send(Report::Done(id, outcome));
                ring(&self.rope);
            }
        }
    }

    /// Who has gone does not wait either: a peer that comes and goes would otherwise leave behind as much as it likes.
    fn dismiss(&mut self) {
        let has_gone = |waiting: &Waiting| waiting.asker.has_gone.load(Ordering::Relaxed);
        let (gone, waiting) = std::mem::take(&mut self.waiting).into_iter().partition(has_gone);
        self.waiting = waiting;
        let gone: Vec<Waiting> = gone;
        for Waiting { id, work, asker, .. } in gone {
            let asked = match &work {
                Work::Domain { asked, .. } => asked,
                Work::List => "",
            };
            let outcome = Outcome::abandoned(asker.permission(asked, None));
            let _ = self.sender.send(Report::Done(id, outcome));
            ring(&self.rope);
        }
    }

    fn spawn(&self, run: impl FnOnce() -> Report + Send + 'static) -> std::io::Result<()> {
        let (sender, rope) = (self.sender.clone(), Arc::clone(&self.rope));
        let all = move || {
            let _ = sender.send(run());
            ring(&rope);
        };
        thread::Builder::new().stack_size(STACK).spawn(all).map(drop)
    }

    /// What has come back.
    pub(crate) fn take(&mut self) -> Vec<Report> {
        let mut rings = [0; 64];
        while (&self.bell).read(&mut rings).is_ok_and(|length| length > 0) {}
        let reports: Vec<Report> = self.receiver.try_iter().collect();
        for report in &reports {
            if let Report::Done(id, _) = report {
                self.running.retain(|run| run.id != *id);
            }
        }
        self.begin();
        reports
    }
}

/// A full rope has rung already.
fn ring(rope: &UnixStream) {
    let _ = (&*rope).write(&[0]);
}

impl AsFd for Desk {
    /// Readable when something has come back.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}
