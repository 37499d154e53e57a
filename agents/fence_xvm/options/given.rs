//! What was said, word by word, before it is looked at as a whole. Invariant: a word that is wrong leaves a complaint and
//! changes nothing; a name that needs a value and has none is wrong.

use super::Setting;
use duet_xvm::{Algorithm, DomainName};
use std::time::Duration;

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Nothing; fails.
    Null,
    /// End the domain.
    Off,
    /// Start the domain.
    On,
    /// End the domain and start it again.
    Reboot,
    /// Whether it runs.
    Status,
    /// Whether the daemon answers.
    Monitor,
    /// All domains.
    List,
    /// Describe the program.
    Metadata,
    /// Whether the options are right.
    ValidateAll,
}

impl Action {
    /// From its word, in any case.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        let words = [
            ("null", Self::Null),
            ("on", Self::On),
            ("off", Self::Off),
            ("reboot", Self::Reboot),
            ("status", Self::Status),
            ("monitor", Self::Monitor),
            ("list", Self::List),
            ("list-status", Self::List),
            ("metadata", Self::Metadata),
            ("validate-all", Self::ValidateAll),
        ];
        words.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(word)).map(|(_, it)| it)
    }

    /// Its word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Off => "off",
            Self::On => "on",
            Self::Reboot => "reboot",
            Self::Status => "status",
            Self::Monitor => "monitor",
            Self::List => "list",
            Self::Metadata => "metadata",
            Self::ValidateAll => "validate-all",
        }
    }

    /// Whether it is about one domain.
    #[must_use]
    pub fn needs_domain(self) -> bool {
        match self {
            Self::Null | Self::Off | Self::On | Self::Reboot | Self::Status | Self::ValidateAll => {
                true
            }
            Self::Monitor | Self::List | Self::Metadata => false,
        }
    }

    /// Whether it is meant to change something: it comes after the delay, and leaves a line in the log.
    #[must_use]
    pub fn is_fencing(self) -> bool {
        match self {
            Self::Null | Self::Off | Self::On | Self::Reboot => true,
            Self::Status | Self::Monitor | Self::List | Self::Metadata | Self::ValidateAll => false,
        }
    }
}

/// An address family, where one was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// As the group has it, IPv4 without one.
    Auto,
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// All that was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// What is wrong with it, in the order in which it was said.
    pub complaints: Vec<String>,
    /// How often `-d` was said, or what `debug` was set to.
    pub debug: u32,
    /// The address family of multicast.
    pub family: Family,
    /// The multicast group.
    pub group: Option<String>,
    /// The host of tcp.
    pub host: Option<String>,
    /// The peer's number on vsock.
    pub cid: Option<u32>,
    /// The address of the channel.
    pub channel: Option<String>,
    /// The port.
    pub port: Option<u16>,
    /// The interface that requests leave by.
    pub interface: Option<String>,
    /// The address that requests come from.
    pub source: Option<String>,
    /// The time between copies.
    pub retransmit: Duration,
    /// How a request is signed.
    pub hash: Algorithm,
    /// How both sides prove that they have the key.
    pub auth: Algorithm,
    /// Where the key is, if it was said.
    pub key_file: Option<String>,
    /// The device of the serial line.
    pub device: Option<String>,
    /// Speed and framing of the serial line.
    pub line: Option<String>,
    /// What to do, if it was said.
    pub action: Option<Action>,
    /// To whom: also what is no name, so that a second one is seen to be one.
    pub domain: Option<Result<DomainName, ()>>,
    /// The flag that daemons do not look at.
    pub by_uuid: bool,
    /// How long.
    pub timeout: Duration,
    /// How long to wait before it.
    pub delay: Duration,
    /// Show the usage.
    pub help: bool,
    /// Show the version.
    pub version: bool,
    /// Say what happens, and why it does not work.
    pub diagnose: bool,
    /// A list for programs.
    pub json: bool,
}

impl Default for Given {
    fn default() -> Self {
        Self {
            complaints: Vec::new(),
            debug: 0,
            family: Family::Auto,
            group: None,
            host: None,
            cid: None,
            channel: None,
            port: None,
            interface: None,
            source: None,
            retransmit: Duration::from_secs(2),
            hash: Algorithm::Sha256,
            auth: Algorithm::Sha256,
            key_file: None,
            device: None,
            line: None,
            action: None,
            domain: None,
            by_uuid: false,
            timeout: Duration::from_secs(30),
            delay: Duration::ZERO,
            help: false,
            version: false,
            diagnose: false,
            json: false,
        }
    }
}

impl Given {
    /// Takes note of what is wrong.
    pub fn complain(&mut self, complaint: impl Into<String>) {
        self.complaints.push(complaint.into());
    }

    /// Takes one setting, called `name` by whoever made it.
    pub fn set(&mut self, setting: Setting, name: &str, value: Option<&str>) {
        match (setting, value) {
            (Setting::Ignored, _) => {}
            (Setting::Help, _) => self.help = true,
            (Setting::Version, _) => self.version = true,
            (Setting::Diagnose, _) => self.diagnose = true,
            (Setting::Json, _) => self.json = true,
            (Setting::Debug, None) => self.debug = self.debug.saturating_add(1),
            (Setting::UseUuid, None) => self.by_uuid = true,
            (Setting::Cid, None) => self.cid = Some(HOST_CID),
            (_, Some(value)) => self.set_to(setting, value),
            (_, None) => self.complain(format!("No value for '{name}'")),
        }
    }

    fn set_to(&mut self, setting: Setting, value: &str) {
        let text = || Some(value.to_owned());
        match setting {
            Setting::Debug => {
                let level = leading_number(value);
                self.debug = u32::try_from(level).unwrap_or(1);
            }
            // Said once, it stays.
            Setting::UseUuid => self.by_uuid |= leading_number(value) != 0,
            Setting::Family => match value.to_ascii_lowercase().as_str() {
                "auto" => self.family = Family::Auto,
                "ipv4" => self.family = Family::V4,
                "ipv6" => self.family = Family::V6,
                _ => self.complain(format!("Unsupported family: '{value}'")),
            },
            Setting::Group => self.group = text(),
            Setting::Host => self.host = text(),
            Setting::Channel => self.channel = text(),
            Setting::Interface => self.interface = text(),
            Setting::Source => self.source = text(),
            Setting::KeyFile => self.key_file = text(),
            Setting::Device => self.device = text(),
            Setting::Line => self.line = text(),
            Setting::Cid => match number(value).and_then(|cid| u32::try_from(cid).ok()) {
                Some(cid) if (HOST_CID..u32::MAX).contains(&cid) => self.cid = Some(cid),
                _ => self.complain(format!("Invalid CID: '{value}'")),
            },
            Setting::Port => match number(value).and_then(|port| u16::try_from(port).ok()) {
                Some(port) if port > 0 => self.port = Some(port),
                _ => self.complain(format!("Invalid port: '{value}'")),
            },
            Setting::Retransmit => match span(value) {
                Some(tenths) if tenths > 0 => {
                    self.retransmit = Duration::from_millis(u64::from(tenths) * 100);
                }
                _ => self.complain(format!("Invalid retransmit time: '{value}'")),
            },
            Setting::Timeout => match span(value) {
                Some(seconds) if seconds > 0 => {
                    self.timeout = Duration::from_secs(u64::from(seconds));
                }
                _ => self.complain(format!("Invalid timeout: '{value}'")),
            },
            Setting::Delay => match span(value) {
                Some(seconds) => self.delay = Duration::from_secs(u64::from(seconds)),
                None => self.complain(format!("Invalid delay: '{value}'")),
            },
            Setting::Hash => match value.parse() {
                Ok(hash) => self.hash = hash,
                Err(_) => self.complain(format!("Unsupported hash: {value}")),
            },
            Setting::Auth => match value.parse() {
                Ok(auth) => self.auth = auth,
                Err(_) => self.complain(format!("Unsupported auth type: {value}")),
            },
            Setting::Action => match Action::from_word(value) {
                Some(action) => self.action = Some(action),
                None => self.complain(format!("Unsupported operation: {value}")),
            },
            Setting::Domain => self.name(value),
            Setting::Ignored
            | Setting::Help
            | Setting::Version
            | Setting::Diagnose
            | Setting::Json => {}
        }
    }

    fn name(&mut self, value: &str) {
        if self.domain.is_some() {
            return self.complain("Domain/UUID may not be specified more than once");
        }
        let name = value.parse().map_err(|_| match value.len() {
            0 => self.complain("Invalid domain name"),
            1..=63 => self.complain(format!("Invalid domain name: '{value}'")),
            _ => self.complain(format!("Invalid domain name: '{value}' (File name too long)")),
        });
        self.domain = Some(name);
    }
}

/// The host's number on vsock, and the least that can be asked for.
const HOST_CID: u32 = 2;

/// A whole number as C's strtol reads it with base 0: blanks before it, a sign, 0x and 0 for other bases. Nothing at all is 0.
fn number(text: &str) -> Option<i64> {
    let text = text.trim_start_matches([' ', '\t', '\n', '\x0b', '\x0c', '\r']);
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let hexadecimal = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X"));
    let (digits, base) = match hexadecimal {
        Some(digits) => (digits, 16),
        None if digits.len() > 1 && digits.starts_with('0') => (&digits[1..], 8),
        None => (digits, 10),
    };
    if text.is_empty() {
        return Some(0);
    }
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let value = i64::from_str_radix(digits, base).ok()?;
    Some(if negative { -value } else { value })
}

/// A time, in whatever unit; as many as a C int has.
fn span(text: &str) -> Option<u32> {
    number(text).and_then(|value| i32::try_from(value).ok()).and_then(|it| u32::try_from(it).ok())
}

/// A number as C's atoi reads it: what is behind it does not count, and no number is 0.
fn leading_number(text: &str) -> i64 {
    let text = text.trim_start();
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let length = digits.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(digits.len());
    digits[..length.min(9)].parse::<i64>().map_or(0, |value| sign * value)
}

#[cfg(test)]
mod tests;
