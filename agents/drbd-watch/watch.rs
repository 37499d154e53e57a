//! The daemon: hears of changes, has the scores of managed resources looked at, and gives a sign of life. Invariant: nothing here
//! waits for anything but the next event or sign of life, and what it decides is decided in plan.rs and attribute.rs.

mod cib;
mod hear;
mod plan;
mod source;
mod work;

use std::{
    collections::BTreeMap, ffi::OsString, os::fd::AsFd, path::PathBuf, sync::Arc, time::Duration,
};

use drbd_agent::record::{self, Mark, Record};
use duet_host::{
    Lock, Log, clock, daemon as host,
    processes::{Process, Table},
};
use duet_ocf::{Level, chain};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::{
    attribute::Board,
    duty::Duty,
    state::{BEAT, Following, Late, State},
    watch::{
        plan::{Blind, Plan, World},
        source::{Deaf, Source},
        work::{Desk, Finished, Report, Work},
    },
};

/// What changes within so long after what was told last is decided together with it ...
const QUIET: Duration = Duration::from_millis(10);
/// ... but not later than this after what was told first.
const LATEST: Duration = Duration::from_millis(40);
/// Not listening is worth a failure when it has lasted so long.
const DEAF: Duration = Duration::from_secs(3);
/// How many attributes are written at the same time.
const ATTRIBUTES_AT_ONCE: usize = 4;

/// The daemon.
struct Watch {
    duty: Duty,
    log: Arc<Log>,
    process: Process,
    desk: Desk,
    plan: Plan,
    board: Option<Board>,
    source: Option<Source>,
    /// Why there is none, or was none before this one.
    deaf: Deaf,
    /// How often in a row listening could not be begun, or ended before anything was known.
    failures: u32,
    /// How often it could not, or did not go on, for reasons of language, since the last sign of life during which it went on.
    misread: u32,
    /// Whether the log was told since then that it did not go on; and whether it knows all there is to tell of that.
    has_broken: bool,
    is_told: bool,
    /// When it was tried last, and when it is to be tried again.
    tried_at: Duration,
    try_at: Duration,
    /// Since when nothing is known; none while something is.
    deaf_since: Option<Duration>,
    /// When was told, first and last, what is not decided yet.
    told: Option<(Duration, Duration)>,
    /// Whether listening began anew with that.
    is_anew: bool,
    next_beat: Duration,
    mark: Option<Mark>,
    /// How it is, and what of that is written down.
    following: Following,
    said: Option<(Following, Option<Blind>)>,
    /// What the log was told last, by whom it was about.
    complaints: BTreeMap<PathBuf, String>,
    writing: usize,
}

/// Runs it, and ends only with a failure.
pub(crate) fn daemon() -> ! {
    let log = host::settle("drbd-watchd");
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    let why = match Duty::parse(&words) {
        Ok(duty) => run(duty, &log),
        Err(error) => error.to_string(),
    };
    log.line(Level::Error, &why);
    eprintln!("drbd-watchd: {why}");
    std::process::exit(1)
}

/// Comes back only with why not.
fn run(duty: Duty, log: &Arc<Log>) -> String {
    let _ = std::fs::create_dir_all(&duty.records);
    let _lock =
        match Lock::take(&duty.state.with_extension("running"), clock::within(Duration::ZERO)) {
            Ok(Some(lock)) => lock,
            Ok(None) => return "another one runs already".to_owned(),
            Err(error) => return chain(&error),
        };
    let process = match Table::default().see(std::process::id()) {
        Ok(Some(seen)) => seen.process,
        Ok(None) => return "the process table does not have this process".to_owned(),
        Err(error) => return chain(&error),
    };
    let desk = match Desk::new() {
        Ok(desk) => desk,
        Err(error) => return chain(&error),
    };
    let board = duty.attributes.is_some().then(Board::default);
    let mut watch = Watch {
        duty,
        log: Arc::clone(log),
        process,
        desk,
        plan: Plan::default(),
        board,
        source: None,
        deaf: Deaf { why: String::new(), is_of_language: false },
        failures: 0,
        misread: 0,
        has_broken: false,
        is_told: false,
        tried_at: Duration::ZERO,
        try_at: Duration::ZERO,
        deaf_since: Some(clock::now()),
        told: None,
        is_anew: false,
        next_beat: clock::now() + BEAT,
        mark: Mark::now(),
        following: Following::Nothing("it has just begun".to_owned()),
        said: None,
        complaints: BTreeMap::new(),
        writing: 0,
    };
    loop {
        watch.turn();
    }
}

impl Watch {
    /// Once round: what is due, then wait for what is next.
    fn turn(&mut self) {
        if self.source.is_none() && clock::now() >= self.try_at {
            self.open();
        }
        if self.told.is_some_and(|told| clock::now() >= settled(told)) {
            self.consider();
        }
        if clock::now() >= self.next_beat {
            self.beat();
        }
        self.hand_out();
        self.say();
        self.wait();
        for finished in self.desk.take() {
            self.finish(finished);
        }
        let told = self.source.as_mut().map(Source::listen);
        self.hear(told);
    }

    /// What was told is whole: whose score does it concern?
    fn consider(&mut self) {
        self.told = None;
        let Some(source) = &self.source else { return };
        if source.world == World::Unknown {
            return;
        }
        let records = self.records();
        self.plan.told(&records, &source.world, clock::now());
        if let Some(board) = &mut self.board {
            match &source.world {
                World::Seen { view, .. } => board.told(view, self.is_anew),
                World::NoModule => board.told(&duet_drbd::View::default(), self.is_anew),
                World::Unknown => {}
            }
        }
        self.is_anew = false;
    }

    fn beat(&mut self) {
        let now = clock::now();
        self.next_beat = now + BEAT;
        let told = self.source.as_ref().map(Source::check);
        if self.source.is_some() {
            self.misread = 0;
        }
        (self.has_broken, self.is_told) = (false, false);
        self.hear(told);
        let mark = Mark::now();
        let is_same = |old: &Mark| mark.as_ref().is_none_or(|new| new.is_of(old));
        let is_lost = !self.mark.as_ref().is_none_or(is_same);
        let records = self.records();
        let world = self.source.as_ref().map_or(&World::Unknown, |source| &source.world);
        self.plan.beat(&records, world, mark.as_ref(), now);
        if let Some(board) = &mut self.board {
            board.beat(is_lost, now);
        }
        self.mark = mark.or(self.mark.take());
        // Even if nothing has changed.
        self.said = None;
    }

    fn records(&self) -> Vec<(PathBuf, Record)> {
        record::all(&self.duty.records)
    }

    fn world(&self) -> &World {
        self.source.as_ref().map_or(&World::Unknown, |source| &source.world)
    }

    fn hand_out(&mut self) {
        let world = self.source.as_ref().map_or(&World::Unknown, |source| &source.world);
        for path in self.plan.start(world, clock::now()) {
            self.desk.hand_out(Work::Score { path, node: self.duty.node.clone() });
        }
        let (Some(board), Some(rules)) = (&mut self.board, &self.duty.attributes) else { return };
        if *world == World::Unknown || self.is_anew {
            return;
        }
        if board.ask() {
            let (rules, node) = (rules.clone(), self.duty.node.clone());
            self.desk.hand_out(Work::Ask { rules, node });
        }
        for order in board.start(ATTRIBUTES_AT_ONCE.saturating_sub(self.writing)) {
            self.writing += 1;
            let (rules, node) = (rules.clone(), self.duty.node.clone());
            let records = self.duty.records.clone();
            self.desk.hand_out(Work::Attribute { order, rules, node, records });
        }
    }

    fn finish(&mut self, finished: Finished) {
        let about = match &finished.report {
            Report::Score { path, .. } => path.clone(),
            Report::Attribute { order, .. } => PathBuf::from(&order.resource),
            Report::Answers(_) => PathBuf::new(),
        };
        match finished.said {
            // What stays wrong is told once.
            Some((level, text)) if level >= Level::Warning => {
                if self.complaints.insert(about, text.clone()).as_ref() != Some(&text) {
                    self.log.line(level, &text);
                }
            }
            Some((level, text)) => {
                self.complaints.remove(&about);
                self.log.line(level, &text);
            }
            None => {
                self.complaints.remove(&about);
            }
        }
        match finished.report {
            Report::Score { path, came } => self.plan.came(&path, &came, clock::now()),
            Report::Attribute { order, placing } => {
                self.writing = self.writing.saturating_sub(1);
                if let Some(board) = &mut self.board {
                    board.came(&order, placing, clock::now());
                }
            }
            Report::Answers(answers) => {
                if let Some(board) = &mut self.board {
                    board.answered(&answers);
                }
            }
        }
    }

    /// Writes down how it is, where that has changed or it is time for a sign of life.
    fn say(&mut self) {
        let now = clock::now();
        let heard = self.source.as_ref().map(Source::following);
        match heard {
            Some(Following::Nothing(_)) | None => {
                let since = *self.deaf_since.get_or_insert(now);
                // It may be over in a moment, and is not worth a failure before it has lasted.
                if now.saturating_sub(since) >= DEAF {
                    let nothing = || Following::Nothing(self.deaf.why.clone());
                    self.following = heard.unwrap_or_else(nothing);
                }
            }
            Some(following) => {
                self.deaf_since = None;
                self.following = following;
            }
        }
        // What takes a moment is not worth a line.
        let blind = self.plan.blindest().filter(|blind| now.saturating_sub(blind.since) >= BEAT);
        let saying = (self.following.clone(), blind);
        if self.said.as_ref() == Some(&saying) {
            return;
        }
        let late = saying.1.as_ref().map(|blind| Late {
            instance: blind.instance.clone(),
            lasts: now.saturating_sub(blind.since),
            why: blind.why.clone().unwrap_or_else(|| "the look does not come back".to_owned()),
        });
        let (process, beat) = (self.process, clock::since_boot());
        let state = State { process, beat, following: saying.0.clone(), late };
        if let Err(error) = state.write(&self.duty.state) {
            let text = chain(&error);
            let path = self.duty.state.clone();
            if self.complaints.insert(path, text.clone()).as_ref() != Some(&text) {
                self.log.line(Level::Warning, &text);
            }
        }
        self.said = Some(saying);
    }

    /// Until something is told, work comes back, or something is due.
    fn wait(&self) {
        let world = self.world();
        let dues = [
            Some(self.next_beat),
            self.source.is_none().then_some(self.try_at),
            self.told.map(settled),
            self.deaf_since.map(|since| since + DEAF).filter(|due| *due > clock::now()),
            self.plan.next_due(world),
        ];
        let next = dues.into_iter().flatten().min().unwrap_or(self.next_beat);
        // Whole milliseconds rounded up, so that the last fraction is slept and not spun through.
        let left = next.saturating_sub(clock::now()).saturating_add(Duration::from_micros(999));
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let mut fds = vec![PollFd::new(self.desk.as_fd(), PollFlags::POLLIN)];
        fds.extend(
            self.source.as_ref().map(|source| PollFd::new(source.as_fd(), PollFlags::POLLIN)),
        );
        // Whatever it says, the next turn looks.
        let _ = poll(&mut fds, timeout);
    }
}

/// When what was told, first and last, is decided.
fn settled((first, last): (Duration, Duration)) -> Duration {
    last.saturating_add(QUIET).min(first.saturating_add(LATEST))
}
