//! Records what the machines say while they are being broken: guest serial and system logs by UDP,
//! and the harness's own marks, all stamped at arrival by one monotonic clock. Invariant: sockets
//! are made by the caller (they may live in another network namespace), nothing blocks the harness,
//! and stopping takes less than a second.
#![allow(clippy::disallowed_methods, reason = "this is the clock of every recording")]

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::socket::{setsockopt, sockopt};

use crate::Error;
use crate::event::{Event, Kind, serial_lines};
use crate::judge::{Start, Verdict, judge};
use crate::stream::{Assembler, Stamped};
use crate::syslog;

/// How long a thread waits for a datagram before it looks whether to stop.
const READ_TIMEOUT: Duration = Duration::from_millis(100);
/// Room for some ten thousand small datagrams: the harness may be busy for seconds.
const BUFFER: usize = 8 << 20;
/// Name under which the harness itself speaks.
const HARNESS: &str = "lab";

/// Which node an address belongs to. An exact address goes before the bare one.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    exact: BTreeMap<SocketAddr, String>,
    bare: BTreeMap<IpAddr, String>,
}

impl Sources {
    /// Everything from this address is this node.
    #[must_use]
    pub fn node(mut self, address: IpAddr, name: &str) -> Self {
        self.bare.insert(address, name.to_owned());
        self
    }

    /// Everything from this address and port is this node.
    #[must_use]
    pub fn socket(mut self, address: SocketAddr, name: &str) -> Self {
        self.exact.insert(address, name.to_owned());
        self
    }

    fn name(&self, from: SocketAddr) -> Option<&str> {
        self.exact.get(&from).or_else(|| self.bare.get(&from.ip())).map(String::as_str)
    }
}

/// The record itself; clones look at the same one.
#[derive(Debug, Clone)]
pub struct Journal {
    begin: Instant,
    events: Arc<Mutex<Vec<Event>>>,
}

impl Journal {
    /// Time on the record's clock.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.begin.elapsed()
    }

    /// Writes something down, and says when.
    pub fn mark(&self, text: &str) -> Duration {
        let at = self.now();
        self.push([Event { at, source: HARNESS.to_owned(), kind: Kind::Mark(text.to_owned()) }]);
        at
    }

    /// Writes down what the harness did to a node, in that node's name.
    pub fn deed(&self, node: &str, text: &str) {
        let kind = Kind::Mark(text.to_owned());
        self.push([Event { at: self.now(), source: node.to_owned(), kind }]);
    }

    /// Everything so far, in order of time.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.lock().clone()
    }

    /// Everything from this time on.
    #[must_use]
    pub fn since(&self, at: Duration) -> Vec<Event> {
        let events = self.lock();
        let first = events.partition_point(|event| event.at < at);
        events[first..].to_vec()
    }

    /// The guest's lines so far, for [`crate::judge::judge`].
    #[must_use]
    pub fn serial_lines(&self) -> Vec<Stamped> {
        serial_lines(&self.lock())
    }

    /// What the judge says of the guest so far.
    #[must_use]
    pub fn judge(&self, start: Start) -> Verdict {
        judge(&self.serial_lines(), start)
    }

    fn push(&self, new: impl IntoIterator<Item = Event>) {
        let mut events = self.lock();
        for event in new {
            // Stamped before the lock was had, so a neighbour may have come in between.
            let place = events.partition_point(|other| other.at <= event.at);
            events.insert(place, event);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Event>> {
        // A panic elsewhere cannot leave a half-written event behind: keep recording.
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Owns the threads that listen.
#[derive(Debug)]
pub struct Recorder {
    journal: Journal,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Default for Recorder {
    fn default() -> Self {
        Self::start()
    }
}

impl Recorder {
    /// Starts the clock; listens to nothing yet.
    #[must_use]
    pub fn start() -> Self {
        let events = Arc::new(Mutex::new(Vec::new()));
        let journal = Journal { begin: Instant::now(), events };
        Self { journal, stop: Arc::default(), threads: Vec::new() }
    }

    /// The record, for marks and for looking while it goes on.
    #[must_use]
    pub fn journal(&self) -> Journal {
        self.journal.clone()
    }

    /// Listens to one guest's serial ports, one datagram stream per node.
    ///
    /// # Errors
    /// [`Error::Socket`] when the socket cannot be prepared.
    pub fn listen_serial(&mut self, socket: UdpSocket, sources: Sources) -> Result<(), Error> {
        let mut assembler = Assembler::default();
        self.listen("guest serial", socket, move |at, from, bytes| {
            let lines = match (from, bytes) {
                (Some(from), bytes) => match sources.name(from) {
                    Some(name) => assembler.feed(at, name, bytes),
                    None => assembler.feed(at, &from.to_string(), bytes),
                },
                (None, _) => assembler.finish(),
            };
            let event = |line: Stamped| Event {
                at: line.at,
                source: line.source,
                kind: Kind::Serial(line.line),
            };
            lines.into_iter().map(event).collect()
        })
    }

    /// Listens to the nodes' system logs. A sender without a name in `sources` goes by the host
    /// name in its lines, or by its address.
    ///
    /// # Errors
    /// [`Error::Socket`] when the socket cannot be prepared.
    pub fn listen_syslog(&mut self, socket: UdpSocket, sources: Sources) -> Result<(), Error> {
        self.listen("system logs", socket, move |at, from, bytes| {
            let Some(from) = from else { return Vec::new() };
            let parsed = syslog::parse(bytes);
            let name = sources.name(from).map(str::to_owned).or(parsed.host);
            let source = name.unwrap_or_else(|| from.ip().to_string());
            vec![Event { at, source, kind: Kind::Log(parsed.record) }]
        })
    }

    /// Ends the threads and returns the record. Takes at most some 200 ms.
    #[must_use]
    pub fn stop(mut self) -> Vec<Event> {
        self.end();
        self.journal.events()
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // It cannot have panicked without a bug of ours; what was recorded is still good.
            let _ = thread.join();
        }
    }

    fn listen(
        &mut self,
        what: &'static str,
        socket: UdpSocket,
        mut read: impl FnMut(Duration, Option<SocketAddr>, &[u8]) -> Vec<Event> + Send + 'static,
    ) -> Result<(), Error> {
        prepare(&socket, what)?;
        let (journal, stop) = (self.journal.clone(), Arc::clone(&self.stop));
        self.threads.push(std::thread::spawn(move || {
            let mut buffer = vec![0; 65536];
            let mut stopping: Option<Instant> = None;
            loop {
                match socket.recv_from(&mut buffer) {
                    Ok((length, from)) => {
                        journal.push(read(journal.now(), Some(from), &buffer[..length]));
                    }
                    // What had arrived before the stop has been read by now.
                    Err(error) if is_timeout(&error) && stopping.is_some() => break,
                    Err(error) if is_timeout(&error) || error.kind() == ErrorKind::Interrupted => {}
                    // An ICMP error of an earlier packet is delivered here; do not spin on others.
                    Err(_) => std::thread::sleep(Duration::from_millis(10)),
                }
                if stop.load(Ordering::Relaxed) {
                    let since = *stopping.get_or_insert_with(Instant::now);
                    if since.elapsed() > READ_TIMEOUT {
                        break;
                    }
                    let _ = socket.set_nonblocking(true);
                }
            }
            journal.push(read(journal.now(), None, &[]));
        }));
        Ok(())
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.end();
    }
}

fn prepare(socket: &UdpSocket, what: &'static str) -> Result<(), Error> {
    socket
        .set_nonblocking(false)
        .and_then(|()| socket.set_read_timeout(Some(READ_TIMEOUT)))
        .map_err(|source| Error::Socket { action: "set the time-out", what, source })?;
    // The forced size needs a capability; without it the kernel's limit is what we get.
    setsockopt(socket, sockopt::RcvBufForce, &BUFFER)
        .or_else(|_| setsockopt(socket, sockopt::RcvBuf, &BUFFER))
        .map_err(|errno| Error::Socket { action: "enlarge the buffer", what, source: errno.into() })
}

fn is_timeout(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
