//! The daemon: one loop over poll for every socket, and a desk for what asks libvirt. Invariant: nothing here waits for a peer, for libvirt
//! or for a disk; each of them waits for a place in the loop, and no error of theirs ends it.

mod lines;
mod open;
mod quiet;
mod record;
mod streams;
mod told;

use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    io,
    os::fd::AsFd,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use duet_host::{Log, clock};
use duet_ocf::Level;
use duet_xvm::{Outstanding, Window};
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::{SigSet, Signal},
        signalfd::{SfdFlags, SignalFd},
    },
};

use crate::{
    backend::Backend,
    desk::{Desk, Report},
    exchange::{self, Exchange},
    memory::{self, Scribe},
    notify::Notify,
    policy::Policy,
    serve::{open::Open, quiet::Quiet, record::Job},
    settings::Settings,
    verdict::Memory,
};

/// How long the end of the daemon waits for what is being carried out.
const PARTING: Duration = Duration::from_secs(10);

/// The daemon.
pub(crate) struct Serve {
    log: Arc<Log>,
    notify: Notify,
    configuration: PathBuf,
    sockets: PathBuf,
    open: Vec<Open>,
    backend: Arc<Backend>,
    exchanges: BTreeMap<u64, Exchange>,
    jobs: HashMap<u64, Job>,
    desk: Desk,
    scribe: Option<Scribe>,
    memory: Memory,
    outstanding: Outstanding,
    quiet: Quiet,
    random: File,
    signals: SignalFd,
    /// Numbers of listeners, exchanges, lines and pieces of work.
    next: u64,
    check_at: Duration,
    /// Until when what is being carried out may go on, once the daemon is to end.
    ends_by: Option<Duration>,
}

/// What a descriptor in poll is.
#[derive(Debug, Clone, Copy)]
enum Token {
    Signals,
    Desk,
    Listener(usize),
    Exchange(u64),
    Line(usize, u64),
}

/// How it is started.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) configuration: PathBuf,
    /// Where libvirt's sockets are.
    pub(crate) sockets: PathBuf,
    /// Whether what cannot be opened yet is waited for.
    pub(crate) waits: bool,
}

impl Serve {
    /// Opens everything. Signals come in by the loop from here on.
    ///
    /// # Errors
    /// A listener that cannot be opened and is not to be waited for, or the machine has nothing left.
    pub(crate) fn new(
        start: Start,
        settings: Settings,
        policies: Vec<Arc<Policy>>,
        log: &Arc<Log>,
    ) -> Result<Serve, String> {
        let plain = |error: io::Error| error.to_string();
        let signals: SigSet = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGHUP]
            .into_iter()
            .collect();
        signals.thread_block().map_err(|errno| errno.to_string())?;
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        let signals = SignalFd::with_flags(&signals, flags).map_err(|errno| errno.to_string())?;
        let path = memory::path();
        let (replays, trouble) = memory::load(&path);
        if let Some(trouble) = trouble {
            log.line(
                Level::Error,
                &format!("Requests of before this start can be sent again: {trouble}"),
            );
        }
        let complains = Arc::clone(log);
        let scribe = Scribe::start(&path, &replays, move |text| {
            complains.line(
                Level::Error,
                &format!("{text}: requests could be sent again after a restart"),
            );
        });
        let backend = Arc::new(Backend::new(settings.uris, &start.sockets));
        let mut serve = Serve {
            log: Arc::clone(log),
            notify: Notify::from_environment(),
            configuration: start.configuration,
            sockets: start.sockets,
            open: Vec::new(),
            backend,
            exchanges: BTreeMap::new(),
            jobs: HashMap::new(),
            desk: Desk::new().map_err(plain)?,
            scribe: Some(scribe.map_err(plain)?),
            memory: Memory { replays, window: Window::default(), fresh: Vec::new() },
            outstanding: Outstanding::default(),
            quiet: Quiet::default(),
            random: File::open("/dev/urandom").map_err(plain)?,
            signals,
            next: 1,
            check_at: Duration::ZERO,
            ends_by: None,
        };
        serve.open_all(policies);
        if let (false, Some(trouble)) = (start.waits, serve.fatal_trouble()) {
            return Err(trouble);
        }
        Ok(serve)
    }

    /// Serves until a signal ends it.
    pub(crate) fn run(&mut self) {
        let status = self.status();
        self.log.line(Level::Info, &status);
        self.notify.ready(&status);
        while self.ends_by.is_none_or(|by| clock::now() < by && self.is_busy()) {
            self.turn();
        }
        if let Some(scribe) = self.scribe.take() {
            scribe.part();
        }
        self.log.line(Level::Info, "Ended");
    }

    /// Whether anything is to be brought to its end before the daemon's.
    fn is_busy(&self) -> bool {
        self.desk.busy() > 0 || self.exchanges.values().any(Exchange::is_proven)
    }

    /// Once round: what is due, then wait for what is next.
    fn turn(&mut self) {
        let now = clock::now();
        if now >= self.check_at && self.ends_by.is_none() {
            self.check(now);
        }
        self.end_overdue(now);
        self.begin_lines(now);
        self.write_down();
        for (level, text) in self.quiet.due(now) {
            self.log.line(level, &text);
        }
        for (token, events) in self.wait() {
            match token {
                Token::Signals => self.hear(),
                Token::Desk => {}
                Token::Listener(at) => self.listen(at),
                Token::Exchange(id) => self.converse(id, events),
                Token::Line(at, id) => self.speak(at, id, events),
            }
        }
        for report in self.desk.take() {
            match report {
                Report::Done(id, outcome) => self.finish(id, outcome),
                Report::Lines(id, lines) => self.lines_came(id, lines),
            }
        }
    }

    /// Waits for descriptors, or until something is due.
    fn wait(&self) -> Vec<(Token, PollFlags)> {
        let now = clock::now();
        let mut due = self.ends_by.unwrap_or(self.check_at);
        let mut fds = vec![
            (Token::Signals, PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)),
            (Token::Desk, PollFd::new(self.desk.as_fd(), PollFlags::POLLIN)),
        ];
        for (at, open) in self.open.iter().enumerate() {
            match &open.listening {
                Some(_) if open.rests_until > now => due = due.min(open.rests_until),
                Some(listening) => {
                    fds.push((
                        Token::Listener(at),
                        PollFd::new(listening.as_fd(), PollFlags::POLLIN),
                    ));
                }
                None => {}
            }
            for line in &open.lines {
                due = due.min(line.begins_at().unwrap_or(due));
                if let Some((stream, events)) = line.waits_for() {
                    fds.push((Token::Line(at, line.id), PollFd::new(stream, events)));
                }
            }
        }
        for (id, exchange) in &self.exchanges {
            due = due.min(exchange.deadline);
            fds.push((Token::Exchange(*id), PollFd::new(exchange.as_fd(), exchange.events())));
        }
        due = due.min(self.quiet.next_due().unwrap_or(due));
        // Whole milliseconds rounded up, so that the last fraction is slept and not spun through.
        let left = due.saturating_sub(now).saturating_add(Duration::from_micros(999));
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let tokens: Vec<Token> = fds.iter().map(|(token, _)| *token).collect();
        let mut fds: Vec<PollFd<'_>> = fds.into_iter().map(|(_, fd)| fd).collect();
        if poll(&mut fds, timeout).is_err() {
            return Vec::new();
        }
        let events = fds.iter().map(exchange::events);
        tokens.into_iter().zip(events).filter(|(_, events)| !events.is_empty()).collect()
    }

    /// A signal.
    fn hear(&mut self) {
        while let Ok(Some(signal)) = self.signals.read_signal() {
            let number = i32::try_from(signal.ssi_signo).unwrap_or(0);
            match Signal::try_from(number) {
                Ok(Signal::SIGHUP) => self.reload(),
                Ok(_) if self.ends_by.is_none() => self.end(),
                Ok(_) | Err(_) => {}
            }
        }
    }

    /// No more is begun; what is being carried out is brought to its end.
    fn end(&mut self) {
        self.notify.stopping();
        self.ends_by = Some(clock::now() + PARTING);
        self.open.clear();
        let unproven: Vec<u64> = self
            .exchanges
            .iter()
            .filter(|(_, exchange)| !exchange.is_proven())
            .map(|(id, _)| *id)
            .collect();
        for id in unproven {
            self.close(id);
        }
        let left = self.desk.busy();
        let text = if left == 0 {
            "Ending".to_owned()
        } else {
            format!("Ending when {left} requests are carried out")
        };
        self.log.line(Level::Info, &text);
    }

    /// Hands what came in to whoever writes it down.
    fn write_down(&mut self) {
        if self.memory.fresh.is_empty() {
            return;
        }
        let fresh = std::mem::take(&mut self.memory.fresh);
        if let Some(scribe) = &self.scribe {
            if !scribe.write(fresh) {
                let text = "The disk is behind: requests could be sent again after a restart";
                self.quiet.tell(Level::Error, text, clock::now());
            }
        }
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}
