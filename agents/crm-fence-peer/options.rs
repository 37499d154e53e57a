//! What an administrator wrote behind a handler's name in the configuration, or types. Invariant: a word that is not
//! understood is noted and does nothing; in particular it makes no answer bolder.

use std::{path::PathBuf, time::Duration};

use duet_pacemaker::Role;

use crate::decide::{self, Mode, OnTimeout};

/// Where locks are, as with the stock handlers: a directory that only root can write to.
const LOCKS: &str = "run/drbd/lock";

/// All options of one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// What decisions depend on.
    pub decision: decide::Options,
    /// `--resource`: in place of `DRBD_RESOURCE`.
    pub resource: Option<String>,
    /// `--master-id`: the clone, which is not looked for then.
    pub clone: Option<String>,
    /// `--role`: what a new rule calls the role.
    pub role: Role,
    /// `--fencing-attribute`: the node attribute that rules are written with.
    pub attribute: Option<String>,
    /// `--id-prefix`: what the ids of rules begin with.
    pub id_prefix: Option<String>,
    /// `--quiet`: only warnings and errors go to the log.
    pub is_quiet: bool,
    /// The lock.
    pub lock: LockOptions,
    /// `--logfacility`.
    pub facility: String,
    /// What is to be done with the decision.
    pub purpose: Purpose,
    /// `--json`.
    pub is_json: bool,
    /// `--pacemaker-tools`: Pacemaker is asked with its tools, and not over its sockets.
    pub with_tools: bool,
    /// What was not understood.
    pub notes: Vec<String>,
}

/// What is to be done with the decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// Carried out.
    Act,
    /// `--dry-run`: told, up to the first change.
    DryRun,
    /// `--explain`: told, with all that it rests on and what would change it.
    Explain,
    /// `--replay`: made again from this record.
    Replay(PathBuf),
}

/// One call on this node at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockOptions {
    /// `--flock-required`: without the lock nothing is done.
    pub is_required: bool,
    /// `--flock-timeout`, since the process began.
    pub timeout: Duration,
    /// `--lock-dir`.
    pub directory: PathBuf,
    /// `--lock-file`.
    pub file: LockFile,
}

/// Which file is locked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LockFile {
    /// One for each resource.
    OfResource,
    /// This one in the directory.
    Named(String),
    /// `NONE`.
    None,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            decision: decide::Options::default(),
            resource: None,
            clone: None,
            role: Role::default(),
            attribute: None,
            id_prefix: None,
            is_quiet: false,
            lock: LockOptions {
                is_required: false,
                timeout: Duration::from_secs(120),
                directory: duet_host::drbd::under_root(LOCKS),
                file: LockFile::OfResource,
            },
            facility: "local5".to_owned(),
            purpose: Purpose::Act,
            is_json: false,
            with_tools: false,
            notes: Vec::new(),
        }
    }
}

/// What an option is called, and what it does with its value, if it takes one.
struct Known {
    long: &'static [&'static str],
    short: Option<char>,
    take: Take,
}

enum Take {
    Flag(fn(&mut Options)),
    /// `false`: the value makes no sense.
    Value(fn(&mut Options, &str) -> bool),
}

const fn flag(long: &'static [&'static str], set: fn(&mut Options)) -> Known {
    Known { long, short: None, take: Take::Flag(set) }
}

const fn value(
    long: &'static [&'static str],
    short: Option<char>,
    set: fn(&mut Options, &str) -> bool,
) -> Known {
    Known { long, short, take: Take::Value(set) }
}

const KNOWN: &[Known] = &[
    value(&["resource"], Some('r'), |o, v| word(&mut o.resource, v)),
    value(&["master-id"], Some('i'), |o, v| word(&mut o.clone, v)),
    value(&["role"], Some('l'), |o, v| {
        Role::parse(v).is_some_and(|role| {
            o.role = role;
            true
        })
    }),
    value(&["fencing-attribute"], Some('a'), |o, v| word(&mut o.attribute, v)),
    value(&["id-prefix"], Some('p'), |o, v| word(&mut o.id_prefix, v)),
    value(&["timeout"], Some('t'), |o, v| seconds(&mut o.decision.timeout, v)),
    value(&["dc-timeout"], Some('d'), |o, v| seconds(&mut o.decision.dc_timeout, v)),
    value(&["network-hickup", "net-hickup"], None, |o, v| seconds(&mut o.decision.hickup, v)),
    value(&["on-timeout"], None, |o, v| {
        o.decision.on_timeout = match v {
            "freeze" => OnTimeout::Freeze,
            "thaw" => OnTimeout::Thaw,
            _ => return false,
        };
        true
    }),
    flag(&["quiet"], |o| o.is_quiet = true),
    flag(&["unfence-only-if-owner-match"], |o| o.decision.only_if_owner = true),
    flag(&["flock-required"], |o| o.lock.is_required = true),
    value(&["flock-timeout"], None, |o, v| seconds(&mut o.lock.timeout, v)),
    value(&["lock-dir"], None, |o, v| {
        o.lock.directory = PathBuf::from(v);
        v.starts_with('/')
    }),
    value(&["lock-file"], None, |o, v| {
        o.lock.file = if v == "NONE" { LockFile::None } else { LockFile::Named(v.to_owned()) };
        !v.is_empty()
    }),
    flag(&["CTS-mode", "cts-mode"], |o| o.decision.cts_mode = true),
    flag(&["unreachable-peer-is-outdated"], |o| o.decision.unreachable_is_outdated = true),
    flag(&["suicide-on-failure-if-primary"], |o| o.decision.suicide = true),
    value(&["logfacility"], None, |o, v| {
        v.clone_into(&mut o.facility);
        crate::hooks::is_facility(&v.to_ascii_lowercase())
    }),
    flag(&["dry-run"], |o| o.purpose = Purpose::DryRun),
    flag(&["explain"], |o| o.purpose = Purpose::Explain),
    flag(&["json"], |o| o.is_json = true),
    flag(&["pacemaker-tools"], |o| o.with_tools = true),
    value(&["replay"], None, |o, v| {
        o.purpose = Purpose::Replay(PathBuf::from(v));
        !v.is_empty()
    }),
];

/// Takes a word, unless it is empty.
fn word(place: &mut Option<String>, value: &str) -> bool {
    *place = Some(value.to_owned()).filter(|value| !value.is_empty());
    place.is_some()
}

/// A day: what waits longer than that is a mistake, and sums of them have to fit.
const LONGEST: u64 = 86_400;

/// Takes whole seconds.
fn seconds(place: &mut Duration, value: &str) -> bool {
    let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    match value.parse::<u64>() {
        Ok(number) if is_number && number <= LONGEST => {
            *place = Duration::from_secs(number);
            true
        }
        Ok(_) | Err(_) => false,
    }
}

impl Options {
    /// Reads the arguments, and for unfence what the monitor of the agent adds in the environment.
    ///
    /// `is_terminal`: whether a person types; only then may one declare a peer outdated.
    #[must_use]
    pub fn read(
        mode: Mode,
        arguments: &[String],
        extra: Option<&str>,
        is_terminal: bool,
    ) -> Options {
        let mut options = Options::default();
        let extra = extra.filter(|_| mode == Mode::Unfence).unwrap_or_default();
        let words: Vec<&str> =
            arguments.iter().map(String::as_str).chain(extra.split_ascii_whitespace()).collect();
        options.take(&words);
        let declared = &mut options.decision.unreachable_is_outdated;
        if *declared && !is_terminal {
            *declared = false;
            options.note("--unreachable-peer-is-outdated is only for a person at a terminal");
        }
        options
    }

    fn note(&mut self, text: &str) {
        self.notes.push(format!("{text}; ignored"));
    }

    fn take(&mut self, words: &[&str]) {
        let mut words = words.iter().copied();
        while let Some(word) = words.next() {
            let (known, glued) = find(word);
            let Some(known) = known else {
                self.note(&format!("Unknown option {word:?}"));
                continue;
            };
            match (&known.take, glued) {
                (Take::Flag(set), None) => set(self),
                (Take::Flag(_), Some(_)) => self.note(&format!("{word:?} takes no value")),
                (Take::Value(set), glued) => {
                    let Some(value) = glued.or_else(|| words.next()) else {
                        self.note(&format!("{word:?} has no value"));
                        continue;
                    };
                    let mut changed = self.clone();
                    if set(&mut changed, value) {
                        *self = changed;
                    } else {
                        self.note(&format!("{value:?} is no value for {word:?}"));
                    }
                }
            }
        }
    }
}

/// The option that this word names, and the value behind `=` or directly behind a short one.
fn find(word: &str) -> (Option<&'static Known>, Option<&str>) {
    if let Some(long) = word.strip_prefix("--") {
        let (name, value) = match long.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (long, None),
        };
        return (KNOWN.iter().find(|known| known.long.contains(&name)), value);
    }
    let mut letters = word.strip_prefix('-').unwrap_or_default().chars();
    let short = letters.next();
    let known = KNOWN.iter().find(|known| short.is_some() && known.short == short);
    let rest = letters.as_str();
    (known, (!rest.is_empty()).then_some(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &str) -> Options {
        let words: Vec<String> = words.split_ascii_whitespace().map(str::to_owned).collect();
        Options::read(Mode::Fence, &words, None, false)
    }

    #[test]
    fn long_options_take_their_value_behind_a_blank_or_an_equals_sign() {
        for words in [
            "-r r1 -i ms -l Promoted -a site -p my -t 7 -d 8",
            "-rr1 -ims -lPromoted -asite -pmy -t7 -d8",
            "--resource r1 --master-id ms --role Promoted --fencing-attribute site --id-prefix my --timeout 7 --dc-timeout 8",
            "--resource=r1 --master-id=ms --role=Promoted --fencing-attribute=site --id-prefix=my --timeout=7 --dc-timeout=8",
        ] {
            let read = read(words);
            assert_eq!(read.notes, Vec::<String>::new(), "{words}");
            let texts = [&read.resource, &read.clone, &read.attribute, &read.id_prefix];
            assert_eq!(texts.map(|text| text.as_deref().unwrap()), ["r1", "ms", "site", "my"]);
            assert_eq!(read.role, Role::Promoted);
            assert_eq!(read.decision.timeout, Duration::from_secs(7));
            assert_eq!(read.decision.dc_timeout, Duration::from_secs(8));
        }
    }

    #[test]
    fn every_other_option_does_what_it_says() {
        let read = read(
            "--net-hickup=3 --quiet --unfence-only-if-owner-match --flock-required --flock-timeout 0 \
             --lock-dir /l --lock-file=f --CTS-mode --suicide-on-failure-if-primary --logfacility daemon \
             --on-timeout thaw --dry-run --json --pacemaker-tools",
        );
        assert_eq!(read.notes, Vec::<String>::new());
        let decision = decide::Options {
            hickup: Duration::from_secs(3),
            only_if_owner: true,
            cts_mode: true,
            suicide: true,
            on_timeout: OnTimeout::Thaw,
            ..decide::Options::default()
        };
        assert_eq!(read.decision, decision);
        let lock = LockOptions {
            is_required: true,
            timeout: Duration::ZERO,
            directory: "/l".into(),
            file: LockFile::Named("f".into()),
        };
        assert_eq!(read.lock, lock);
        assert!(read.is_quiet && read.is_json && read.with_tools);
        assert_eq!((read.facility.as_str(), read.purpose), ("daemon", Purpose::DryRun));
        assert_eq!(super::tests::read("--lock-file NONE").lock.file, LockFile::None);
        assert_eq!(super::tests::read("--explain").purpose, Purpose::Explain);
        assert_eq!(super::tests::read("--replay=x").purpose, Purpose::Replay("x".into()));
    }

    #[test]
    fn what_is_not_understood_is_noted_and_changes_nothing() {
        for words in [
            "--frobnicate",
            "--frobnicate=1",
            "-z",
            "-",
            "word",
            "--timeout",
            "--timeout ninety",
            "--timeout=-1",
            "--timeout=+1",
            "--timeout=99999999999999999999",
            "--timeout=86401",
            "--dc-timeout=",
            "--quiet=yes",
            "--on-timeout=melt",
            "--role=Chief",
            "--lock-dir relative",
            "--lock-file=",
            "--logfacility=local55",
        ] {
            let read = read(words);
            assert_eq!(read.notes.len(), 1, "{words}: {:?}", read.notes);
            assert_eq!(Options { notes: Vec::new(), ..read }, Options::default(), "{words}");
        }
        // What follows it is read all the same.
        assert!(read("--frobnicate --quiet").is_quiet);
    }

    #[test]
    fn only_a_person_at_a_terminal_declares_a_peer_outdated() {
        let words = ["--unreachable-peer-is-outdated".to_owned()];
        for is_terminal in [true, false] {
            let read = Options::read(Mode::Fence, &words, None, is_terminal);
            assert_eq!(read.decision.unreachable_is_outdated, is_terminal);
            assert_eq!(read.notes.is_empty(), is_terminal);
        }
    }

    #[test]
    fn what_the_monitor_adds_comes_last_and_is_for_unfence() {
        let words = ["--flock-timeout=9".to_owned()];
        let extra = Some(
            "--quiet --flock-required --flock-timeout 0 --unfence-only-if-owner-match --on-timeout=thaw",
        );
        let unfence = Options::read(Mode::Unfence, &words, extra, false);
        assert!(unfence.is_quiet && unfence.lock.is_required && unfence.decision.only_if_owner);
        assert_eq!(unfence.lock.timeout, Duration::ZERO);
        let fence = Options::read(Mode::Fence, &words, extra, false);
        assert_eq!(fence.decision, decide::Options::default());
        assert_eq!(fence.lock.timeout, Duration::from_secs(9));
    }
}
