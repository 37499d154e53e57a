//! One call of crm-fence-peer or crm-unfence-peer, from its arguments to its exit code. Invariant: it ends by its deadline,
//! with a code that `decide` gave or with 1, and leaves a line in the log that says why.

use std::{
    ffi::OsString,
    io::{IsTerminal, Write},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use duet_drbd::handler::Call;
use duet_host::{Log, clock, drbd, guard, leave_with};
use duet_ocf::{Deadline, Environment, Level, chain};

use crate::{
    apply::{self, Applied},
    asked,
    decide::{Answer, Asked, Code, Mode, Next, Progress, Question, Step, Until, decide},
    explain::explain,
    facts::{Cluster, Kernel, Seen},
    lock::{self, Locked},
    observe::{Look, Observer, kernel},
    options::{Options, Purpose},
    program::Program,
    record::{self, Ending, Evidence, Record, Store},
    suicide,
};

/// How long a record may take: I/O may be frozen for as long.
const KEEPING: Duration = Duration::from_millis(500);
/// So many changes that came too late are followed by another look at once.
const CONFLICTS: u32 = 3;
/// How long a node that ends itself may still take after [`Options`] would have ended the call.
const SUICIDE: Duration = Duration::from_secs(400);

/// What several threads use: this one, and the one that ends the call when it takes too long.
struct Common {
    log: Arc<Log>,
    is_quiet: bool,
    /// Nothing is left behind where nothing is done.
    keeps: bool,
    record: Mutex<Record>,
    end: Mutex<Deadline>,
}

/// Runs one call and exits.
pub(crate) fn run(mode: Mode, arguments: &[OsString]) -> ! {
    let words: Vec<String> =
        arguments.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let is_terminal = std::io::stdin().is_terminal();
    let extra = std::env::var("OCF_RESKEY_unfence_extra_args").ok();
    let options = Options::read(mode, &words, extra.as_deref(), is_terminal);
    let name = Program::Peer(mode).name();
    let acts = options.purpose == Purpose::Act;
    let log = Arc::new(log(name, &options.facility, acts));
    guard(name, &log);
    if let Purpose::Replay(path) = &options.purpose {
        leave_with(replay(path, &options, &log));
    }
    let common = Arc::new(Common {
        log,
        is_quiet: options.is_quiet,
        keeps: acts,
        record: Mutex::new(Record::begin(name, &words, std::env::vars_os())),
        end: Mutex::new(Deadline::at(options.decision.end())),
    });
    watch(&common);
    for note in &options.notes {
        common.say(Level::Warning, note);
    }
    let code = answer(mode, &options, &common);
    leave_with(code)
}

/// The log: of a handler that the kernel calls, in the facility that was asked for; for people, on stderr.
fn log(name: &str, facility: &str, acts: bool) -> Log {
    let tag = format!("{name}[{}]", std::process::id());
    let mut environment = Environment::default().with("HA_LOGTAG", &tag);
    if acts {
        environment = environment.with("HA_LOGFACILITY", facility);
    }
    Log::new(name, &environment, false).with_socket(&drbd::under_root("dev/log"))
}

/// Ends the call when it takes too long, whatever it waits for.
fn watch(common: &Arc<Common>) {
    let common = Arc::clone(common);
    std::thread::spawn(move || {
        loop {
            let end = *common.end.lock().unwrap_or_else(PoisonError::into_inner);
            let left = end.remaining(clock::now());
            if left.is_zero() {
                break;
            }
            std::thread::sleep(left);
        }
        let why = "the call took too long, and something still hangs";
        common.log.line(Level::Error, &format!("Not done: {why}; exit code 1"));
        if let Ok(mut record) = common.record.try_lock() {
            record.end(Code::NotFenced.number(), Ending::CutOff(why.to_owned()));
            if common.keeps {
                let _ = Store::of_machine().keep(&record, KEEPING);
            }
        }
        leave_with(Code::NotFenced.number());
    });
}

impl Common {
    fn say(&self, level: Level, text: &str) {
        if !(self.is_quiet && matches!(level, Level::Info | Level::Debug)) {
            self.log.line(level, text);
        }
    }

    fn record(&self, note: impl FnOnce(&mut Record)) {
        note(&mut self.record.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Writes how the call ended: a line in the log, then the record. Gives the code.
    fn end(&self, code: Code, ending: Ending) -> u8 {
        let mut record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        record.end(code.number(), ending);
        let level = match code {
            Code::Done | Code::PeerBanned | Code::PeerDown => Level::Info,
            Code::NotFenced | Code::PeerUnreachable => Level::Warning,
        };
        self.say(level, &record.summary());
        if self.keeps {
            if let Err(why) = Store::of_machine().keep(&record, KEEPING) {
                self.say(Level::Warning, &chain(&why));
            }
        }
        code.number()
    }
}

/// Does what is asked and gives the exit code.
fn answer(mode: Mode, options: &Options, common: &Common) -> u8 {
    let refused = |why: String| common.end(Code::NotFenced, Ending::Refused(why));
    let call = match asked::call(mode, options, std::env::vars_os()) {
        Ok(call) => call,
        Err(why) => return refused(chain(&why)),
    };
    let acts = options.purpose == Purpose::Act;
    // Late enough for whoever is before us, and early enough to do something afterwards.
    let latest = Deadline::at(options.decision.timeout.max(options.decision.dc_timeout));
    let _lock = match acts.then(|| lock::take(&options.lock, &call.resource, latest)) {
        None => None,
        Some(Locked::Yes(lock)) => lock,
        Some(Locked::Refused(why)) => return refused(why),
        Some(Locked::Without(why)) => {
            common.say(Level::Warning, &format!("{why}; going on without the lock"));
            None
        }
    };
    let end = Deadline::at(options.decision.end());
    let mut observer = Observer::new(mode, &call, options, end);
    if !acts {
        return tell(mode, options, &call, &mut observer, common);
    }
    let mut turns =
        Turns { common, options, call: &call, asked: None, progress: Progress::default() };
    let (answer, seen) = match turns.go(mode, &mut observer) {
        Ok(done) => done,
        Err(why) => return refused(why),
    };
    let code = common.end(answer.code, Ending::Decided);
    if answer.suicide {
        *common.end.lock().unwrap_or_else(PoisonError::into_inner) =
            Deadline::at(clock::now() + SUICIDE);
        end_this_node(&call, &seen, common);
    }
    code
}

/// The turns of one call: look, decide, do, and look again.
struct Turns<'a> {
    common: &'a Common,
    options: &'a Options,
    call: &'a Call,
    asked: Option<Asked>,
    progress: Progress,
}

impl Turns<'_> {
    fn go(&mut self, mode: Mode, observer: &mut Observer<'_>) -> Result<(Answer, Seen), String> {
        let mut waiting = None;
        loop {
            let mut look = observer.look();
            let asked = match self.asked.take() {
                Some(asked) => asked,
                None => asked::asked(mode, self.options, self.call, &look)?,
            };
            self.common.record(|record| record.asked(&asked));
            let next = self.settle(&asked, &mut look, observer);
            self.asked = Some(asked);
            match next {
                Next::Done(answer) => return Ok((answer, look.seen)),
                Next::Wait { pause, until } => {
                    self.progress.has_waited |= until == Until::Peer;
                    if waiting != Some(until) {
                        let text = format!("{}: waiting for {}", self.call.resource, words(until));
                        self.common.say(Level::Info, &text);
                        waiting = Some(until);
                    }
                    std::thread::sleep(pause.min(observer.end.remaining(clock::now())));
                }
                Next::Do(step) => self.take(&step, &look, observer.end),
                // All questions of this look have been asked.
                Next::Ask(question) => return Err(format!("{question:?} has no answer")),
            }
        }
    }

    /// Decides on one look, after whatever has to be asked for that.
    fn settle(&self, asked: &Asked, look: &mut Look, observer: &Observer<'_>) -> Next {
        // There are two questions, each asked once.
        let mut questions = 0;
        loop {
            let next = decide(asked, &look.seen, &self.progress);
            self.common.record(|record| {
                let place = look.place.as_ref();
                let cib = place.map(crate::rule::Place::extract);
                let evidence = Evidence { cib, kernel: look.sighted.text.clone() };
                record.turn(&look.seen, &self.progress, &next, evidence);
            });
            match &next {
                Next::Ask(question) if questions < 2 => self.ask(question, look, observer),
                Next::Ask(_) | Next::Do(_) | Next::Wait { .. } | Next::Done(_) => return next,
            }
            questions += 1;
        }
    }

    fn ask(&self, question: &Question, look: &mut Look, observer: &Observer<'_>) {
        match question {
            Question::Controllers(ids) => observer.ask_controllers(look, ids),
            Question::Policy => {
                if let Some(why) = observer.ask_policy(look) {
                    let text = format!("The fencing policy is not known: {why}");
                    self.common.say(Level::Warning, &text);
                }
            }
        }
    }

    fn take(&mut self, step: &Step, look: &Look, end: Deadline) {
        let Some(place) = &look.place else {
            self.progress.failures.push("The CIB was not read".to_owned());
            return;
        };
        let (did, placed) = match step {
            Step::Write { allowed, placed, .. } => {
                let names: Vec<&str> = allowed.iter().map(String::as_str).collect();
                let text = format!("wrote: only {} may be promoted", names.join(", "));
                (text, placed.clone())
            }
            Step::Remove { .. } => ("removed".to_owned(), None),
        };
        let applied = apply::apply(step, place, end);
        let is_remove = matches!(step, Step::Remove { .. });
        match applied {
            Applied::Done => {
                self.common.say(Level::Info, &format!("Rule {} {did}", place.id()));
                self.note(placed, is_remove);
            }
            Applied::Moved => {
                self.progress.conflicts += 1;
                if self.progress.conflicts > CONFLICTS {
                    // Others are at it: not all again at the same moment.
                    let pause = 100 + u64::from(std::process::id() % 7) * 40;
                    let pause = Duration::from_millis(pause);
                    std::thread::sleep(pause.min(end.remaining(clock::now())));
                }
            }
            Applied::Failed(why) => self.fail(place, why),
            Applied::Unclear(why) => {
                // What is seen next counts; if it is as wanted, it may well be of this call's making.
                self.note(placed, is_remove);
                self.fail(place, why);
            }
        }
    }

    fn note(&mut self, placed: Option<crate::decide::Placed>, is_remove: bool) {
        self.progress.has_removed |= is_remove;
        if placed.is_some() {
            self.progress.placed = placed;
        }
    }

    fn fail(&mut self, place: &crate::rule::Place, why: String) {
        let text = format!("Rule {} could not be changed: {why}", place.id());
        self.common.say(Level::Warning, &text);
        self.progress.failures.push(why);
    }
}

fn words(until: Until) -> &'static str {
    match until {
        Until::Kernel => "DRBD to say its state",
        Until::Cib => "the CIB to be readable",
        Until::Dc => "a DC",
        Until::Peer => "the peer to be reachable, or confirmed down",
        Until::Link => "a short interruption to be over",
    }
}

/// `--dry-run` and `--explain`: one look with all that can be asked, and what follows from it.
fn tell(
    mode: Mode,
    options: &Options,
    call: &Call,
    observer: &mut Observer<'_>,
    common: &Common,
) -> u8 {
    observer.is_thorough = true;
    let mut look = observer.look();
    let asked = match asked::asked(mode, options, call, &look) {
        Ok(asked) => asked,
        Err(why) => {
            common.say(Level::Error, &why);
            return Code::NotFenced.number();
        }
    };
    if mode == Mode::Fence {
        if let Cluster::Known(members) = &look.seen.cluster {
            let online = members
                .peers
                .iter()
                .filter(|(_, member)| member.standing == crate::facts::Standing::Online);
            let online = online.map(|(id, _)| *id).collect();
            observer.ask_controllers(&mut look, &online);
        }
        if let Some(why) = observer.ask_policy(&mut look) {
            common.say(Level::Warning, &format!("The fencing policy is not known: {why}"));
        }
    }
    let progress = Progress::default();
    let next = decide(&asked, &look.seen, &progress);
    let told = explain(&asked, &look.seen, &progress, &next);
    let text = match (&options.purpose, options.is_json) {
        (Purpose::DryRun, false) => told.plan(),
        (Purpose::DryRun, true) => told.plan_json(),
        (Purpose::Explain | Purpose::Act | Purpose::Replay(_), false) => told.text(),
        (Purpose::Explain | Purpose::Act | Purpose::Replay(_), true) => told.json(),
    };
    print(&text)
}

/// 0 if somebody got it.
fn print(text: &str) -> u8 {
    let mut out = std::io::stdout().lock();
    let is_told = out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_ok();
    u8::from(!is_told)
}

/// Decides again on a record.
fn replay(path: &std::path::Path, options: &Options, log: &Log) -> u8 {
    let failed = |why: String| {
        log.line(Level::Error, &why);
        1
    };
    let record = match Record::read(path) {
        Ok(record) => record,
        Err(why) => return failed(chain(&why)),
    };
    match record::replay(&record) {
        Err(why) => failed(chain(&why)),
        Ok(report) if options.is_json => match serde_json::to_string_pretty(&report) {
            Ok(json) => print(&(json + "\n")),
            Err(why) => failed(chain(&why)),
        },
        Ok(report) => print(&format!(
            "{}\n{} turns decided again, each the same\n",
            record.summary(),
            report.turns
        )),
    }
}

/// What the suicide does to this machine.
struct Here<'a> {
    call: &'a Call,
    common: &'a Common,
}

impl suicide::Surroundings for Here<'_> {
    fn run(&mut self, call: &[&str]) -> Result<(), String> {
        suicide::run(call)
    }

    fn sleep(&mut self, span: Duration) {
        std::thread::sleep(span);
    }

    fn is_still_wanted(&mut self) -> bool {
        match kernel::look(&self.call.resource, clock::within(Duration::from_secs(1))).kernel {
            Kernel::Known(local) => local.is_primary && !local.all_peers_good(),
            Kernel::Unconfigured => false,
            Kernel::Silent(_) => true,
        }
    }

    fn log(&mut self, level: Level, text: &str) {
        self.common.say(level, text);
    }
}

fn end_this_node(call: &Call, seen: &Seen, common: &Common) {
    let (node, has_stonith) = match &seen.cluster {
        Cluster::Known(members) => (members.me.clone(), members.has_stonith),
        Cluster::Unread(_) | Cluster::WithoutDc(_) | Cluster::Unusable(_) => {
            (duet_host::host_name().unwrap_or_default(), false)
        }
    };
    suicide::commit(&node, &call.resource, has_stonith, &mut Here { call, common });
}
