//! Talking over serial lines. Invariant: one guest has one request carried out at a time, and what it sends beyond that costs it, not us.

use std::{
    collections::VecDeque,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use duet_domain::Uuid;
use duet_host::clock;
use duet_ocf::Level;
use duet_xvm::{
    Admission, HostList, Reply, Request, Source,
    serial::{self as wire, Requests},
};
use nix::{
    errno::Errno,
    poll::PollFlags,
    sys::socket::{
        AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, connect, recv, send, socket,
    },
};

use super::{
    Serve,
    record::{Job, To},
};
use crate::{carry_out::Asker, serial};

/// Requests of a guest that wait for their turn.
const QUEUE: usize = 4;
/// Bytes of answers that a guest has not read yet.
const UNREAD: usize = 4 * 1024 * 1024;
/// How long the rest of a frame may take.
const FRAME: Duration = Duration::from_secs(5);
/// What a request costs a guest, and how much it may owe: twenty at once, and then twenty a second. Nothing proves that they are wanted, and
/// each leaves a line in the log.
const COST: Duration = Duration::from_millis(50);
const DEBT: Duration = Duration::from_secs(1);
/// Bytes that are read in one turn.
const PIECE: usize = 4096;

/// The line of a guest.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) id: u64,
    uuid: Uuid,
    name: String,
    run: i32,
    path: PathBuf,
    stream: Option<OwnedFd>,
    requests: Requests,
    heard_at: Duration,
    queue: VecDeque<wire::Request>,
    is_working: bool,
    /// When all that it has asked is paid.
    paid_at: Duration,
    unsent: Vec<u8>,
}

impl Line {
    /// What is waited for, where it is connected.
    pub(crate) fn waits_for(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        let stream = self.stream.as_ref()?;
        let mut events = PollFlags::empty();
        events.set(PollFlags::POLLIN, self.queue.len() < QUEUE);
        events.set(PollFlags::POLLOUT, !self.unsent.is_empty());
        Some((stream.as_fd(), events))
    }

    /// When its next request may begin, where one waits for nothing else.
    pub(crate) fn begins_at(&self) -> Option<Duration> {
        let waits = !self.is_working && !self.queue.is_empty();
        waits.then(|| self.paid_at.saturating_sub(DEBT))
    }

    /// Reads what has come; false when the other end has gone.
    fn read(&mut self, now: Duration) -> bool {
        let Some(stream) = &self.stream else { return false };
        if self.requests.pending() > 0 && now.saturating_sub(self.heard_at) > FRAME {
            self.requests.reset();
        }
        let mut buffer = [0; PIECE];
        match recv(stream.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
            Ok(0) => false,
            Ok(length) => {
                self.heard_at = now;
                let found = self.requests.feed(&buffer[..length]);
                let room = QUEUE.saturating_sub(self.queue.len());
                self.queue.extend(found.into_iter().take(room));
                true
            }
            Err(errno) => matches!(errno, Errno::EAGAIN | Errno::EINTR),
        }
    }

    fn write(&mut self) -> bool {
        let Some(stream) = &self.stream else { return false };
        while !self.unsent.is_empty() {
            let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
            match send(stream.as_raw_fd(), &self.unsent, flags) {
                Ok(length) => drop(self.unsent.drain(..length)),
                Err(Errno::EAGAIN) => return true,
                Err(Errno::EINTR) => {}
                Err(_) => return false,
            }
        }
        true
    }

    fn hang_up(&mut self) {
        self.stream = None;
        self.requests.reset();
        self.queue.clear();
        self.unsent.clear();
    }
}

/// Connects to the socket that QEMU listens on, without waiting.
fn dial(path: &Path) -> nix::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let stream = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    connect(stream.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(stream)
}

impl Serve {
    /// Has libvirt asked whose lines there are, where it is time to.
    pub(super) fn check_lines(&mut self, now: Duration) {
        for open in &mut self.open {
            let Some(guests) = &mut open.guests else { continue };
            self.check_at = self.check_at.min(now + serial::LOOK);
            if guests.look_at <= now {
                if let Some(known) = guests.known.take() {
                    guests.look_at = now + serial::LOOK;
                    guests.backend.tidy(now);
                    self.desk.look_for_lines(open.id, known, &guests.backend);
                }
            }
        }
    }

    /// libvirt has said whose lines there are.
    pub(super) fn lines_came(
        &mut self,
        id: u64,
        came: Result<serial::Lines, (serial::Lines, String)>,
    ) {
        let Some(at) = self.open.iter().position(|open| open.id == id) else { return };
        let name = self.open[at].policy.listener.name.clone();
        let known = match came {
            Ok(known) => known,
            Err((known, why)) => {
                let text =
                    format!("Listener {name}: lines of guests could not be looked for: {why}");
                self.quiet.tell(Level::Warning, &text, clock::now());
                if let Some(guests) = &mut self.open[at].guests {
                    guests.known = Some(known);
                }
                return;
            }
        };
        // Of guests that have ended, or begun anew: their sockets are other ones.
        let is_there = |line: &Line| {
            known
                .guests
                .get(&line.uuid)
                .is_some_and(|guest| guest.run == line.run && guest.sockets.contains(&line.path))
        };
        self.open[at].lines.retain(is_there);
        for (uuid, guest) in &known.guests {
            for path in &guest.sockets {
                let is_it = |line: &Line| line.uuid == *uuid && line.path == *path;
                if !self.open[at].lines.iter().any(is_it) {
                    let line = Line {
                        id: self.number(),
                        uuid: *uuid,
                        name: guest.name.clone(),
                        run: guest.run,
                        path: path.clone(),
                        stream: None,
                        requests: Requests::default(),
                        heard_at: Duration::ZERO,
                        queue: VecDeque::new(),
                        is_working: false,
                        paid_at: Duration::ZERO,
                        unsent: Vec::new(),
                    };
                    self.open[at].lines.push(line);
                }
            }
        }
        let mut told = Vec::new();
        for line in self.open[at].lines.iter_mut().filter(|line| line.stream.is_none()) {
            match dial(&line.path) {
                Ok(stream) => {
                    line.stream = Some(stream);
                    told.push((
                        Level::Info,
                        format!(
                            "Listener {name}: connected to {} of {}",
                            line.path.display(),
                            line.name
                        ),
                    ));
                }
                Err(errno) => {
                    told.push((
                        Level::Warning,
                        format!(
                            "Listener {name}: {} of {}: {}",
                            line.path.display(),
                            line.name,
                            errno.desc()
                        ),
                    ));
                }
            }
        }
        for (level, text) in told {
            self.quiet.tell(level, &text, clock::now());
        }
        if let Some(guests) = &mut self.open[at].guests {
            guests.known = Some(known);
        }
    }

    /// Something has happened on a line.
    pub(super) fn speak(&mut self, at: usize, id: u64, events: PollFlags) {
        let now = clock::now();
        let Some(line) = self.line(at, id) else { return };
        let readable = PollFlags::POLLIN | PollFlags::POLLHUP | PollFlags::POLLERR;
        let is_sound = (!events.intersects(readable) || line.read(now))
            && (!events.contains(PollFlags::POLLOUT) || line.write());
        if !is_sound {
            // The guest has ended, or QEMU has another peer; the next look tells.
            line.hang_up();
        }
        self.begin_line(at, id);
    }

    fn line(&mut self, at: usize, id: u64) -> Option<&mut Line> {
        self.open.get_mut(at)?.lines.iter_mut().find(|line| line.id == id)
    }

    /// Has those guests' requests carried out that have waited for their turn.
    pub(super) fn begin_lines(&mut self, now: Duration) {
        let mut due = Vec::new();
        for (at, open) in self.open.iter().enumerate() {
            let is_due = |line: &&Line| line.begins_at().is_some_and(|begins| begins <= now);
            due.extend(open.lines.iter().filter(is_due).map(|line| (at, line.id)));
        }
        for (at, id) in due {
            self.begin_line(at, id);
        }
    }

    /// Has a guest's next request carried out.
    fn begin_line(&mut self, at: usize, id: u64) {
        let now = clock::now();
        loop {
            let number = self.number();
            let Some(open) = self.open.get_mut(at) else { return };
            let policy = Arc::clone(&open.policy);
            let Some(line) = open.lines.iter_mut().find(|line| line.id == id && !line.is_working)
            else {
                return;
            };
            if line.begins_at().is_none_or(|at| at > now) {
                return;
            }
            let Some(asked) = line.queue.pop_front() else { return };
            line.paid_at = line.paid_at.max(now) + COST;
            let source = Source::Domain(line.uuid.to_string());
            let request = Request {
                operation: asked.operation,
                target: asked.target,
                by_uuid: false,
                call_back: None,
                sequence: asked.sequence,
            };
            if self.memory.window.claim(&request, &source, now) == Admission::Duplicate {
                continue;
            }
            line.is_working = true;
            let asker = Asker {
                source: source.clone(),
                name: Some(line.name.clone()),
                peer: None,
                has_gone: Arc::default(),
                deadline: now + policy.patience,
                permissions: Arc::clone(&policy.permissions),
            };
            let job = Job {
                operation: request.operation,
                target: request.target,
                sequence: request.sequence,
                source,
                policy,
                began: now,
                to: To::Line(id),
            };
            let backend = Arc::clone(&self.backend);
            return self.begin(number, job, asker, &backend);
        }
    }

    /// A guest's request was carried out.
    pub(super) fn answer_line(&mut self, id: u64, reply: Option<Reply>, hosts: Option<HostList>) {
        let all = self.open.iter().enumerate();
        let mut places = all.filter(|(_, open)| open.lines.iter().any(|line| line.id == id));
        let Some(at) = places.next().map(|(at, _)| at) else { return };
        let Some(line) = self.line(at, id) else { return };
        line.is_working = false;
        if let Some(reply) = reply {
            let bytes =
                hosts.map_or_else(|| wire::reply(reply).to_vec(), |hosts| wire::hosts(&hosts));
            if line.unsent.len() + bytes.len() > UNREAD {
                line.hang_up();
            } else {
                line.unsent.extend(bytes);
            }
        }
        if !line.write() {
            line.hang_up();
        }
        self.begin_line(at, id);
    }
}
