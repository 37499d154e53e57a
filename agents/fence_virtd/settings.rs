//! What is configured, typed, with its defaults. Invariant: what cannot be meant is an error with its line, never a default; what
//! stock's daemon reads as something else, or not at all, is a warning.

mod listener;

use std::time::Duration;

use duet_libvirt_rpc::Driver;
use duet_xvm::{
    configuration::{Configuration, Section, SyntaxError},
    permission::Permissions,
};

#[cfg(test)]
use listener::Signed;
pub(crate) use listener::{Channel, Listener, SerialMode};

/// How long one URI may take to say whom it knows.
const ASKING: Duration = Duration::from_secs(5);
/// How long a request may be carried out after it came: as long as clients wait unless told otherwise.
const PATIENCE: Duration = Duration::from_secs(30);

/// What to say of a domain that nobody knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Unknown {
    /// That the question failed.
    #[default]
    Fails,
    /// That it is off, as stock's daemon does.
    IsOff,
}

/// One of libvirt's daemons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Uri {
    pub(crate) text: String,
    pub(crate) driver: Driver,
    /// How long it may take to answer a question.
    pub(crate) limit: Duration,
}

/// The configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) listeners: Vec<Listener>,
    pub(crate) uris: Vec<Uri>,
    pub(crate) permissions: Permissions,
    pub(crate) unknown: Unknown,
    pub(crate) patience: Duration,
    pub(crate) is_foreground: bool,
    pub(crate) waits: bool,
    pub(crate) debug: u32,
    /// What an administrator should know.
    pub(crate) warnings: Vec<String>,
}

/// It cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    /// Not a configuration.
    #[error(transparent)]
    Syntax(#[from] SyntaxError),
    /// Something is missing.
    #[error("{0} is not configured")]
    Missing(String),
    /// No such listener.
    #[error("Could not find listener \"{0}\"")]
    NoListener(String),
    /// No such backend.
    #[error("Could not find backend \"{0}\"{1}")]
    NoBackend(String, &'static str),
    /// Not a value of this.
    #[error("line {line}: {name} cannot be \"{value}\": {why}")]
    Value {
        /// Where.
        line: usize,
        /// Of what.
        name: String,
        /// Which.
        value: String,
        /// Why not.
        why: String,
    },
    /// Two listeners of one family at one port.
    #[error(
        "listeners {0} and {1} hear datagrams of one family at the same port: give one of them another port, and its clients too (ipport)"
    )]
    SamePort(String, String),
    /// This URI needs more than a local socket.
    #[error("line {line}: {uri} cannot be used: {why}")]
    Uri {
        /// Where.
        line: usize,
        /// Which.
        uri: String,
        /// Why not.
        why: &'static str,
    },
}

impl Settings {
    /// Reads them.
    ///
    /// # Errors
    /// The first thing that cannot be meant.
    pub(crate) fn parse(text: &str) -> Result<Settings, Error> {
        let read = Configuration::parse(text)?;
        let mut warnings = Vec::new();
        let empty = Configuration::default();
        let main = read.section(&["fence_virtd"]).unwrap_or(empty.root());
        known(&main, "fence_virtd", MAIN, &mut warnings);
        for name in ["fence_virtd", "listeners", "backends", "groups"] {
            if read.root().sections(name).count() > 1 {
                warnings.push(format!("there are several sections {name}: only the last counts"));
            }
        }
        let listeners = listener::all(&read, &main, &mut warnings)?;
        let backend = main.get("backend").ok_or(Error::Missing("fence_virtd/backend".into()))?;
        let uris = match backend.to_ascii_lowercase().as_str() {
            "libvirt" => uris(&read, &mut warnings)?,
            "cpg" => {
                let why = ": run one fence_virtd with backend libvirt on each host instead; each answers only for guests that it knows";
                return Err(Error::NoBackend(backend.to_owned(), why));
            }
            _ => return Err(Error::NoBackend(backend.to_owned(), "")),
        };
        let (permissions, empty) = Permissions::of(&read);
        let ignored =
            |group: String| format!("group {group} has no uuid and no ip, and does not count");
        warnings.extend(empty.into_iter().map(ignored));
        if permissions.groups.is_empty() {
            warnings.push("there are no groups: whoever is heard may end any guest".to_owned());
        }
        let waits = flag(&main, "wait_for_init")? || flag(&main, "wait_for_backend")?;
        let choice = [("fail", Unknown::Fails), ("off", Unknown::IsOff)];
        Ok(Settings {
            listeners,
            uris,
            permissions,
            unknown: word(&main, "unknown_domain", &choice)?.unwrap_or_default(),
            patience: seconds(&main, "deadline")?.unwrap_or(PATIENCE),
            is_foreground: flag(&main, "foreground")?,
            waits,
            debug: number(&main, "debug", 0, u32::MAX)?.unwrap_or(0),
            warnings,
        })
    }
}

const MAIN: &[&str] = &[
    "listener",
    "backend",
    "module_path",
    "foreground",
    "wait_for_init",
    "wait_for_backend",
    "debug",
    "unknown_domain",
    "deadline",
    "name_mode",
];

/// `uri`, then `uri1` and so on, each with `timeout` of the same number.
fn uris(read: &Configuration, warnings: &mut Vec<String>) -> Result<Vec<Uri>, Error> {
    let missing = || Error::Missing("backends/libvirt/uri".to_owned());
    let section = read.section(&["backends", "libvirt"]).ok_or_else(missing)?;
    let mut found = Vec::new();
    for setting in section.settings() {
        let name = setting.name.to_ascii_lowercase();
        let number = name.strip_prefix("uri").or(name.strip_prefix("timeout"));
        let Some(number) = number.filter(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
        else {
            warnings.push(format!("line {}: backends/libvirt does not have {name}", setting.line));
            continue;
        };
        let place: u64 = number.parse().unwrap_or(0);
        if !name.starts_with("uri") {
            continue;
        }
        let refused = |why| Error::Uri { line: setting.line, uri: setting.value.to_owned(), why };
        let driver =
            Driver::of_daemon(setting.value).ok_or_else(|| refused(not_local(setting.value)))?;
        let limit = seconds(&section, &format!("timeout{number}"))?.unwrap_or(ASKING);
        found.retain(|(before, _)| *before != place);
        found.push((place, Uri { text: setting.value.to_owned(), driver, limit }));
    }
    found.sort_by_key(|(place, _)| *place);
    let mut uris: Vec<Uri> = Vec::new();
    for (_, uri) in found {
        if uris.iter().any(|before| before.text == uri.text) {
            warnings.push(format!("{} is configured twice", uri.text));
        } else {
            uris.push(uri);
        }
    }
    if uris.is_empty() { Err(missing()) } else { Ok(uris) }
}

fn not_local(uri: &str) -> &'static str {
    if uri.ends_with(":///session") || uri.contains(":///session?") {
        "guests of a user's own session are seen by that user only; define them in qemu:///system"
    } else if uri.contains('+') || !uri.contains(":///") {
        "another host's libvirt is not asked from here; run fence_virtd on that host, every one answers only for guests that it knows"
    } else {
        "local are qemu:///system, lxc:///system, xen:///system and test:///default"
    }
}

/// Warns of what is not known.
fn known(section: &Section<'_>, name: &str, names: &[&str], warnings: &mut Vec<String>) {
    for setting in section.settings() {
        if !names.iter().any(|known| known.eq_ignore_ascii_case(setting.name)) {
            warnings.push(format!("line {}: {name} does not have {}", setting.line, setting.name));
        }
    }
}

fn refused(section: &Section<'_>, name: &str, value: &str, why: &str) -> Error {
    let line = section.all(name).last().map_or(section.line(), |setting| setting.line);
    Error::Value { line, name: name.to_owned(), value: value.to_owned(), why: why.to_owned() }
}

/// One of these words, in any case.
fn word<T: Copy>(
    section: &Section<'_>,
    name: &str,
    words: &[(&str, T)],
) -> Result<Option<T>, Error> {
    let Some(value) = section.get(name) else { return Ok(None) };
    match words.iter().find(|(word, _)| word.eq_ignore_ascii_case(value)) {
        Some((_, meant)) => Ok(Some(*meant)),
        None => {
            let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            Err(refused(section, name, value, &format!("it is one of {}", words.join(", "))))
        }
    }
}

fn number(section: &Section<'_>, name: &str, least: u32, most: u32) -> Result<Option<u32>, Error> {
    let Some(value) = section.get(name) else { return Ok(None) };
    match value.trim().parse() {
        Ok(number) if (least..=most).contains(&number) => Ok(Some(number)),
        _ => Err(refused(section, name, value, &format!("it is a number from {least} to {most}"))),
    }
}

/// From 1 s to a day.
fn seconds(section: &Section<'_>, name: &str) -> Result<Option<Duration>, Error> {
    Ok(number(section, name, 1, 86_400)?.map(|number| Duration::from_secs(number.into())))
}

/// A number of which 0 is no, as stock's daemon has it, or a word for yes or no.
fn flag(section: &Section<'_>, name: &str) -> Result<bool, Error> {
    let Some(value) = section.get(name) else { return Ok(false) };
    let as_number = value.trim().parse::<i64>().ok().map(|number| number != 0);
    let meant = as_number.or(duet_ocf::boolean_word(value.trim()));
    meant.ok_or_else(|| refused(section, name, value, "it is 0 or 1"))
}

#[cfg(test)]
mod tests;
