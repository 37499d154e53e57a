//! DRBD's other handlers, as further names of this executable: fencing by Pacemaker's fencer alone, mail to people, and a
//! snapshot of a volume whose data is about to become inconsistent. Invariant: what DRBD takes for a reason to drop a
//! connection for good, which is any failure of before-resync-target and -source, is only answered where it was asked for.

mod notify;
mod snapshot;
mod stonith;
#[cfg(test)]
mod tests;
mod words;

use std::{
    ffi::{OsStr, OsString},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use duet_drbd::handler::Event;
use duet_host::{
    Log, bounded, clock,
    drbd::{self, Sight, under_root},
    guard_with, leave_with,
    process::{self, Ended},
};
use duet_ocf::{Environment, Level, chain};

use serde::{Serialize, de::DeserializeOwned};

pub use notify::Topic;

/// Where lines go that nobody has chosen another place for, as with the stock scripts.
const FACILITY: &str = "local5";
/// What is made of a look.
const LONGEST_ANSWER: usize = 64 * 1024;

/// One of the other handlers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hook {
    /// `stonith_admin-fence-peer`: has the peer fenced, and says so.
    Stonith,
    /// `notify-…`: tells a person.
    Notify(Topic),
    /// `snapshot-resync-target-lvm`, for before-resync-target.
    Snapshot,
    /// `unsnapshot-resync-target-lvm`, for after-resync-target.
    Unsnapshot,
    /// `before-resync-source`: nothing, quickly.
    Nothing,
}

const NAMES: &[(&str, Hook)] = &[
    ("stonith_admin-fence-peer", Hook::Stonith),
    ("snapshot-resync-target-lvm", Hook::Snapshot),
    ("unsnapshot-resync-target-lvm", Hook::Unsnapshot),
    ("before-resync-source", Hook::Nothing),
];

impl Hook {
    /// The one of this name, which may be a path and may end with `.sh`.
    #[must_use]
    pub fn called(name: &OsStr) -> Option<Hook> {
        let name = Path::new(name).file_name()?.to_str()?;
        let name = name.strip_suffix(".sh").unwrap_or(name);
        if let Some((_, hook)) = NAMES.iter().find(|(known, _)| *known == name) {
            return Some(hook.clone());
        }
        match name.strip_prefix("notify")? {
            "" => Some(Hook::Notify(Topic::Unspecified)),
            topic => Some(Hook::Notify(Topic::parse(topic.strip_prefix('-')?))),
        }
    }

    /// What to exit with where nothing else can be said, also after a panic.
    #[must_use]
    pub fn fallback(&self) -> u8 {
        match self {
            Hook::Snapshot | Hook::Unsnapshot | Hook::Nothing => 0,
            Hook::Notify(topic) => u8::from(!topic.is_before_resync()),
            Hook::Stonith => 1,
        }
    }

    /// What DRBD calls the event.
    fn event(&self) -> Event {
        match self {
            Hook::Stonith => Event::FencePeer,
            Hook::Notify(topic) => topic.event(),
            Hook::Snapshot => Event::BeforeResyncTarget,
            Hook::Unsnapshot => Event::AfterResyncTarget,
            Hook::Nothing => Event::BeforeResyncSource,
        }
    }
}

/// Does a hook's work on this machine, and exits.
pub(crate) fn run(hook: &Hook, name: &OsStr, arguments: &[OsString]) -> ! {
    if *hook == Hook::Nothing {
        leave_with(0);
    }
    let words: Vec<String> =
        arguments.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let name = Path::new(name).file_name().unwrap_or(name).to_string_lossy();
    let tag = format!("{name}[{}]", std::process::id());
    let environment =
        Environment::default().with("HA_LOGTAG", &tag).with("HA_LOGFACILITY", &facility(&words));
    let log = Log::new(&name, &environment, false).with_socket(&under_root("dev/log"));
    let log = Arc::new(log);
    guard_with(&name, &log, hook.fallback());
    leave_with(run_on(&Host::of_machine(&log), hook, &words, std::env::vars_os().collect()))
}

fn run_on(
    host: &Host<'_>,
    hook: &Hook,
    arguments: &[String],
    environment: Vec<(OsString, OsString)>,
) -> u8 {
    match hook {
        Hook::Stonith => stonith::run(host, environment),
        Hook::Notify(topic) => notify::run(host, topic, arguments, environment),
        Hook::Snapshot => snapshot::run(host, snapshot::Purpose::Make, arguments, environment),
        Hook::Unsnapshot => snapshot::run(host, snapshot::Purpose::Remove, arguments, environment),
        Hook::Nothing => 0,
    }
}

/// The value of `--logfacility`, which counts from the first line on.
fn facility(arguments: &[String]) -> String {
    let known = [words::FACILITY, words::PERCENT, words::ADDITIONAL];
    let words = words::read(arguments, &known);
    let chosen = words.value(&words::FACILITY).filter(|name| is_facility(name));
    chosen.unwrap_or(FACILITY).to_owned()
}

/// The names that syslog has for it.
pub(crate) fn is_facility(name: &str) -> bool {
    const NAMES: [&str; 11] = [
        "auth", "authpriv", "cron", "daemon", "ftp", "kern", "lpr", "mail", "news", "syslog",
        "user",
    ];
    let is_local = |number: &str| matches!(number.as_bytes(), [b'0'..=b'7']);
    NAMES.contains(&name) || name == "uucp" || name.strip_prefix("local").is_some_and(is_local)
}

/// Asks DRBD's module, for so long.
type Look<'a> = dyn Fn(Duration) -> Result<Sight, String> + 'a;
/// Takes a line for the log.
type Listener<'a> = dyn Fn(Level, &str) + 'a;

/// What a hook touches.
struct Host<'a> {
    /// Where programs are looked for.
    tools: String,
    /// What stands for `/`.
    root: PathBuf,
    /// What this machine calls itself.
    name: String,
    /// Asks DRBD's module.
    look: Box<Look<'a>>,
    /// Takes a line for the log.
    log: Box<Listener<'a>>,
    /// All deadlines are divided by this, so that tests can see them pass.
    haste: u32,
}

impl Host<'_> {
    fn of_machine(log: &Arc<Log>) -> Host<'static> {
        let log = Arc::clone(log);
        Host {
            tools: process::PATH.to_owned(),
            root: under_root(""),
            name: duet_host::host_name().unwrap_or_else(|| "this node".to_owned()),
            look: Box::new(|span| drbd::look(clock::within(span)).map_err(|error| chain(&error))),
            log: Box::new(move |level, text| log.line(level, text)),
            haste: 1,
        }
    }

    fn log(&self, level: Level, text: &str) {
        (self.log)(level, text);
    }

    /// Looks at DRBD in a child, which is given up when the time is over even where the module holds it in the kernel, and gives
    /// what is made of it.
    fn look<T: Serialize + DeserializeOwned>(
        &self,
        span: Duration,
        make: impl FnOnce(Result<Sight, String>) -> T,
    ) -> Result<T, String> {
        let span = span / self.haste;
        // Early enough for the reason to be told.
        let sight = || (self.look)(span - span / 4);
        let work = || serde_json::to_vec(&make(sight())).map_err(io::Error::other);
        let said = bounded::run(LONGEST_ANSWER, clock::within(span), work);
        let said = said.map_err(|error| error.to_string())?;
        serde_json::from_slice(&said).map_err(|error| error.to_string())
    }

    /// A file by its path below `/`; none where there is none. Given up when the time is over.
    fn file(&self, path: &str, limit: usize, span: Duration) -> Result<Option<String>, String> {
        let deadline = clock::within(span / self.haste);
        match bounded::read_text(&self.root.join(path), limit, deadline) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.is_missing_file() => Ok(None),
            Err(error) => Err(chain(&error)),
        }
    }

    /// A program, in the plain language.
    fn call(&self, program: &str) -> process::Call {
        let call = process::Call::new(program).path(self.tools.clone()).env("LC_ALL", "C");
        // LVM complains about the pipe that drbdadm leaves open in its handlers.
        call.env("LVM_SUPPRESS_FD_WARNINGS", "1")
    }

    /// Runs it for so long, and asks it to end a while before that. `Err`: it did not end well, and how.
    fn finish(&self, call: &process::Call, span: Duration) -> Result<Ended, String> {
        let span = span / self.haste;
        let ended = call.clone().terminate_before(span / 3).run(clock::within(span));
        match ended {
            Ok(ended) if ended.is_success() => Ok(ended),
            Ok(ended) => Err(ended.describe()),
            Err(error) => Err(chain(&error)),
        }
    }
}
