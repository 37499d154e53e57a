//! One call of crm-fence-peer or crm-unfence-peer, from its arguments to its exit code. Invariant: it ends by its deadline,
//! with a code that `decide` gave or with 1, and leaves a line in the log that says why; also where the kernel does not let go of
//! it, which is why a child does all of it and this process only waits for the child's word.
//!
//! A call that is killed ends with its child: nothing is looked at or sent for it any more. A change that it had sent can
//! still be made, which is no other thing with a child than without one (`late`).

#![allow(
    clippy::disallowed_methods,
    reason = "it ends a call that takes too long, and waits for that moment"
)]

use std::{
    ffi::OsString,
    io::IsTerminal,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use duet_drbd::handler::Call;
use duet_host::{
    Log, clock, drbd,
    entrust::{self, Heard, Voice},
    guard, leave_with,
};
use duet_ocf::{Deadline, Environment, Level, chain};

use crate::{
    asked,
    decide::{Code, Mode},
    facts::{Cluster, Kernel, Seen},
    late::Notes,
    lock::{self, Locked},
    observe::{Observer, kernel},
    options::{Options, Purpose},
    program::Program,
    record::{Ending, Record, RecordError, Store},
    suicide, tell,
    turns::Turns,
};

/// How long a record may take: I/O may be frozen for as long.
const KEEPING: Duration = Duration::from_millis(250);
/// How long a node that ends itself may still take after [`Options`] would have ended the call.
const SUICIDE: Duration = Duration::from_secs(400);
/// How much later than the child, which can say more, this process ends the call.
const LAST_WORD: Duration = Duration::from_millis(500);

/// What several threads of the child use: the one that does the work, and the one that ends it when it takes too long.
pub(crate) struct Common {
    log: Arc<Log>,
    voice: Voice,
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
        leave_with(tell::replay(path, &options, &log));
    }
    let record = Record::begin(name, &words, std::env::vars_os());
    let end = options.decision.end();
    let heard = entrust::entrust(Deadline::at(end + LAST_WORD), KEEPING, |voice| {
        if acts {
            // Where the kernel keeps the child, nobody is to wait for the end of its output.
            entrust::close_output();
        }
        work(
            mode,
            &options,
            Common {
                log: Arc::clone(&log),
                voice,
                is_quiet: options.is_quiet,
                keeps: acts,
                record: Mutex::new(record.clone()),
                end: Mutex::new(Deadline::at(end)),
            },
        );
    });
    let why = match heard {
        Ok(Heard::Told { code, is_through }) => {
            if !is_through && acts {
                log.line(Level::Warning, "The record of this call was not written in time");
            }
            leave_with(code)
        }
        Ok(Heard::Ended(how)) => format!("the process that does the work {how}"),
        Ok(Heard::Nothing) => {
            "the call took too long, and the kernel does not let go of it".to_owned()
        }
        Err(why) => format!("could not start a process: {why}"),
    };
    leave_with(without_a_word(record, why, &log, acts))
}

/// Nothing was answered. The code for that.
fn without_a_word(mut record: Record, why: String, log: &Log, keeps: bool) -> u8 {
    let code = Code::NotFenced.number();
    record.end(code, Ending::CutOff(why));
    log.line(Level::Error, &record.summary());
    if keeps {
        if let Err(why) = Store::of_machine().keep(&record, KEEPING) {
            log.line(Level::Warning, &chain(&why));
        }
    }
    code
}

/// All of a call, in the child.
fn work(mode: Mode, options: &Options, common: Common) {
    let common = Arc::new(common);
    watch(&common);
    for note in &options.notes {
        common.say(Level::Warning, note);
    }
    let Over { code, suicide } = answer(mode, options, &common);
    let Some((call, seen)) = suicide else {
        if common.voice.tell(code) {
            common.keep();
            common.voice.is_through();
        }
        return;
    };
    // The disk must not keep this node from ending itself.
    common.keep_by_child();
    let end = Deadline::at(clock::now() + SUICIDE);
    *common.end.lock().unwrap_or_else(PoisonError::into_inner) = end;
    common.voice.wait_until(Deadline::at(end.when() + LAST_WORD));
    end_this_node(&call, &seen, &common);
    common.voice.tell(code);
    common.voice.is_through();
}

/// The log: of a handler that the kernel calls, in the facility that was asked for; for people, on stderr.
fn log(name: &str, facility: &str, acts: bool) -> Log {
    let tag = format!("{name}[{}]", std::process::id());
    let mut environment = Environment::default().with("HA_LOGTAG", &tag);
    if acts {
        environment = environment.with("HA_LOGFACILITY", facility);
    }
    let log = Log::new(name, &environment, false).with_socket(&drbd::under_root("dev/log"));
    // Who fences by hand leaves what the kernel's calls leave.
    if acts { log.with_syslog_on_terminals() } else { log }
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
        if !common.voice.tell(Code::NotFenced.number()) {
            return;
        }
        let why = "the call took too long, and something still hangs";
        common.log.line(Level::Error, &format!("Not done: {why}; exit code 1"));
        if let Ok(mut record) = common.record.try_lock() {
            record.end(Code::NotFenced.number(), Ending::CutOff(why.to_owned()));
            if common.keeps {
                let _ = Store::of_machine().write(&record);
            }
        }
        common.voice.is_through();
        leave_with(Code::NotFenced.number());
    });
}

impl Common {
    /// Writes a line in the log.
    pub(crate) fn say(&self, level: Level, text: &str) {
        if !(self.is_quiet && matches!(level, Level::Info | Level::Debug)) {
            self.log.line(level, text);
        }
    }

    /// Notes something in the record.
    pub(crate) fn record(&self, note: impl FnOnce(&mut Record)) {
        note(&mut self.record.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Writes a line in the log about how the call ends. Gives the code.
    fn end(&self, code: Code, ending: Ending) -> u8 {
        let mut record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        record.end(code.number(), ending);
        let level = match code {
            Code::Done | Code::PeerBanned | Code::PeerDown => Level::Info,
            Code::NotFenced | Code::PeerUnreachable => Level::Warning,
        };
        self.say(level, &record.summary());
        code.number()
    }

    /// Writes the record. Nobody waits for it any more.
    fn keep(&self) {
        self.keep_with(|store, record| store.write(record).map(drop));
    }

    /// The same while somebody does.
    fn keep_by_child(&self) {
        self.keep_with(|store, record| store.keep(record, KEEPING).map(drop));
    }

    fn keep_with(&self, write: impl FnOnce(&Store, &Record) -> Result<(), RecordError>) {
        let record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        if self.keeps {
            if let Err(why) = write(&Store::of_machine(), &record) {
                self.say(Level::Warning, &chain(&why));
            }
        }
    }
}

/// A call that is over but for its end.
struct Over {
    /// To be exited with.
    code: u8,
    /// This node is to be ended before, for this.
    suicide: Option<(Call, Seen)>,
}

impl Over {
    fn with(code: u8) -> Over {
        Over { code, suicide: None }
    }
}

/// Does what is asked and gives the exit code. The lock is free again when it returns: what is left takes none.
fn answer(mode: Mode, options: &Options, common: &Common) -> Over {
    let refused = |why: String| Over::with(common.end(Code::NotFenced, Ending::Refused(why)));
    let call = match asked::call(mode, options, std::env::vars_os()) {
        Ok(call) => call,
        Err(why) => return refused(chain(&why)),
    };
    let acts = options.purpose == Purpose::Act;
    // Late enough for whoever is before us, and early enough to do something afterwards.
    let latest = Deadline::at(options.decision.timeout.max(options.decision.dc_timeout));
    let (_lock, notes) = match acts.then(|| lock::take(&options.lock, mode, &call.resource, latest))
    {
        None | Some(Locked::Unwanted) => (None, Notes::nowhere()),
        Some(Locked::Yes(lock, notes)) => {
            common.voice.lend(&lock);
            (Some(lock), notes)
        }
        Some(Locked::Refused(why)) => return refused(why),
        Some(Locked::Without(why)) => {
            common.say(Level::Warning, &format!("{why}; going on without the lock"));
            (None, Notes::nowhere())
        }
    };
    if acts && mode == Mode::Unfence && !notes.can_be_made() {
        return refused("Nothing is freed without the lock".to_owned());
    }
    let end = Deadline::at(options.decision.end());
    let mut observer = Observer::new(mode, &call, options, end);
    if !acts {
        return Over::with(tell::tell(mode, options, &call, &mut observer, common));
    }
    let (answer, seen) = match Turns::new(common, options, &call, notes).go(mode, &mut observer) {
        Ok(done) => done,
        Err(why) => return refused(why),
    };
    let code = common.end(answer.code, Ending::Decided);
    Over { code, suicide: answer.suicide.then_some((call, seen)) }
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
