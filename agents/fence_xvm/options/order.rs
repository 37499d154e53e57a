//! What was said, looked at as a whole: either something to do in which everything is decided, or why not. Invariant: an
//! [`Order`] that fences has a domain and a way to the daemon.

use super::Program;
use super::given::{Action, Family, Given};
use duet_xvm::{Algorithm, DomainName, GROUP_V4, GROUP_V6, KEY_FILE, PORT};
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Show the usage.
    Help,
    /// Show the version.
    Version,
    /// Say what is wrong, and show the usage unless only the options were to be looked at.
    Refuse {
        /// What is wrong.
        complaints: Vec<String>,
        /// Whether the usage follows.
        with_usage: bool,
    },
    /// Describe the program.
    Metadata,
    /// The options are right, as far as can be seen without the machine.
    Validate(Order),
    /// Ask the daemon.
    Ask(Order),
}

/// Something to ask a daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// What.
    pub action: Action,
    /// About whom; not for monitor and list.
    pub domain: Option<DomainName>,
    /// The flag that daemons do not look at.
    pub by_uuid: bool,
    /// How to get at the daemon.
    pub route: Route,
    /// How the request is signed.
    pub hash: Algorithm,
    /// How both sides prove that they have the key.
    pub auth: Algorithm,
    /// Where the key is.
    pub key_file: PathBuf,
    /// Whether that was said, so that it is looked at at once.
    pub key_file_was_given: bool,
    /// How long to wait for the daemon, and then for its answer.
    pub timeout: Duration,
    /// How long to wait before it.
    pub delay: Duration,
    /// How much is said on stderr.
    pub debug: u32,
    /// Whether to say what happened and why it did not work.
    pub diagnose: bool,
    /// Whether a list is for programs.
    pub json: bool,
}

/// How to get at the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// By a datagram that asks to be called back.
    Multicast(Multicast),
    /// By tcp to a host.
    Tcp {
        /// Its name or address.
        host: String,
        /// Where it listens.
        port: u16,
        /// From where.
        origin: Origin,
    },
    /// By vsock.
    Vsock {
        /// The peer's number; 2 is the host.
        cid: u32,
        /// Where it listens.
        port: u16,
    },
    /// By a serial line.
    Serial {
        /// Its device.
        device: PathBuf,
        /// Speed and framing.
        line: Line,
    },
    /// By a channel that QEMU forwards an address to.
    Channel {
        /// The address.
        address: IpAddr,
        /// The port.
        port: u16,
    },
}

/// A datagram to a group, or to one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Multicast {
    /// The group. An address that is no group's is a host's, which is asked alone.
    pub group: IpAddr,
    /// Where the daemon listens, and where the client does if it can.
    pub port: u16,
    /// The time between copies.
    pub retransmit: Duration,
    /// How often they are sent.
    pub attempts: u32,
    /// From where.
    pub origin: Origin,
}

/// From where requests leave, where that was said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// By this interface.
    pub interface: Option<String>,
    /// From this address.
    pub address: Option<IpAddr>,
}

/// Speed and framing of a serial line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// In bits per second: 2400, 9600, 19200, 38400, 57600 or 115200.
    pub speed: u32,
    /// Bits in a character: 5 to 8.
    pub bits: u8,
    /// Whether there is a parity bit, and if so whether it is an odd one.
    pub parity: Option<Parity>,
    /// Whether there are two stop bits.
    pub two_stop_bits: bool,
}

/// What a parity bit makes of the number of ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parity {
    /// Even.
    Even,
    /// Odd.
    Odd,
}

impl FromStr for Line {
    type Err = ();

    /// Like `115200,8N1`. Without a speed it is 9600, without framing 8N1.
    fn from_str(text: &str) -> Result<Self, ()> {
        let (speed, framing) = text.split_once(',').unwrap_or((text, ""));
        let speed = match speed {
            "" => 9600,
            "2400" | "9600" | "19200" | "38400" | "57600" | "115200" => {
                speed.parse().map_err(|_| ())?
            }
            _ => return Err(()),
        };
        let mut line = Self { speed, bits: 8, parity: None, two_stop_bits: false };
        if !framing.is_empty() && framing.chars().count() < 3 {
            return Err(());
        }
        for letter in framing.chars().take(3) {
            match letter {
                '5' => line.bits = 5,
                '6' => line.bits = 6,
                '7' => line.bits = 7,
                '8' => line.bits = 8,
                'n' | 'N' => line.parity = None,
                'e' | 'E' => line.parity = Some(Parity::Even),
                'o' | 'O' => line.parity = Some(Parity::Odd),
                '1' => line.two_stop_bits = false,
                '2' => line.two_stop_bits = true,
                _ => return Err(()),
            }
        }
        Ok(line)
    }
}

/// Looks at what was said as a whole.
#[must_use]
pub fn decide(program: Program, mut given: Given) -> Command {
    if given.help {
        return Command::Help;
    }
    if given.version {
        return Command::Version;
    }
    // To find out why fencing does not work, nobody should be fenced.
    let action = match given.action {
        None if given.diagnose => Action::Monitor,
        None => Action::Reboot,
        Some(action) => action,
    };
    if given.diagnose && !matches!(action, Action::Status | Action::Monitor | Action::List) {
        given.complain(format!("--diagnose does not go with {}", action.word()));
    }
    if given.json && action != Action::List {
        given.complain(format!("--json does not go with {}", action.word()));
    }
    let route = route(program, &mut given);
    if action.needs_domain() && given.domain.is_none() {
        given.complain("No domain specified!");
    }
    let domain = match (&given.domain, route) {
        (Some(Err(())), _) | (_, None) => None,
        (Some(Ok(domain)), Some(route)) => Some((Some(domain.clone()), route)),
        (None, Some(route)) => Some((None, route)),
    };
    let Some((domain, route)) = domain.filter(|_| given.complaints.is_empty()) else {
        let with_usage = action != Action::ValidateAll;
        return Command::Refuse { complaints: given.complaints, with_usage };
    };
    let order = Order {
        action,
        domain,
        by_uuid: given.by_uuid,
        route,
        hash: given.hash,
        auth: given.auth,
        key_file_was_given: given.key_file.is_some(),
        key_file: PathBuf::from(given.key_file.as_deref().unwrap_or(KEY_FILE)),
        timeout: given.timeout,
        delay: if action.is_fencing() { given.delay } else { Duration::ZERO },
        debug: given.debug,
        diagnose: given.diagnose,
        json: given.json,
    };
    match action {
        Action::Metadata => Command::Metadata,
        Action::ValidateAll => Command::Validate(order),
        Action::Null
        | Action::Off
        | Action::On
        | Action::Reboot
        | Action::Status
        | Action::Monitor
        | Action::List => Command::Ask(order),
    }
}

/// The way to the daemon; `None` after a complaint.
fn route(program: Program, given: &mut Given) -> Option<Route> {
    let port = given.port.unwrap_or(PORT);
    let origin = origin(given)?;
    if program == Program::Xvm {
        let group = group(given)?;
        if origin.address.is_some_and(|address| address.is_ipv4() != group.is_ipv4()) {
            given.complain("The source address and the multicast address are of two families");
            return None;
        }
        let retransmit = given.retransmit;
        let attempts = given.timeout.as_millis() / retransmit.as_millis().max(1);
        let attempts = u32::try_from(attempts).unwrap_or(u32::MAX).max(1);
        return Some(Route::Multicast(Multicast { group, port, retransmit, attempts, origin }));
    }
    if let Some(cid) = given.cid {
        return Some(Route::Vsock { cid, port });
    }
    if let Some(host) = given.host.clone() {
        if host.is_empty() || host.contains(|letter: char| letter.is_whitespace()) {
            given.complain(format!("Invalid address: '{host}'"));
            return None;
        }
        return Some(Route::Tcp { host, port, origin });
    }
    if let Some(device) = given.device.clone() {
        let line = given.line.as_deref().unwrap_or("115200,8N1");
        let Ok(parsed) = line.parse() else {
            given.complain(format!("Invalid serial parameters: '{line}'"));
            return None;
        };
        return Some(Route::Serial { device: PathBuf::from(device), line: parsed });
    }
    let channel = given.channel.as_deref().unwrap_or("10.0.2.179");
    let Ok(address) = channel.parse() else {
        given.complain(format!("Invalid channel address: '{channel}'"));
        return None;
    };
    Some(Route::Channel { address, port })
}

fn origin(given: &mut Given) -> Option<Origin> {
    let address = match given.source.as_deref().map(str::parse::<IpAddr>) {
        None => None,
        Some(Ok(address)) if !address.is_unspecified() && !address.is_multicast() => Some(address),
        Some(_) => {
            let source = given.source.as_deref().unwrap_or_default();
            given.complain(format!("Invalid source address: '{source}'"));
            return None;
        }
    };
    Some(Origin { interface: given.interface.clone(), address })
}

/// The group, of the family that was asked for.
fn group(given: &mut Given) -> Option<IpAddr> {
    let Some(text) = given.group.as_deref() else {
        let is_v6 = match (given.family, given.source.as_deref()) {
            (Family::V4, _) | (Family::Auto, None) => false,
            (Family::V6, _) => true,
            (Family::Auto, Some(source)) => source.contains(':'),
        };
        return Some(if is_v6 { GROUP_V6.into() } else { GROUP_V4.into() });
    };
    let Ok(address) = text.parse::<IpAddr>() else {
        given.complain(match given.family {
            Family::Auto if !text.contains([':', '.']) => {
                "Could not determine address family".to_owned()
            }
            Family::Auto | Family::V4 | Family::V6 => {
                format!("Invalid multicast address: '{text}'")
            }
        });
        return None;
    };
    match (given.family, address) {
        (Family::Auto, _) | (Family::V4, IpAddr::V4(_)) | (Family::V6, IpAddr::V6(_)) => {
            Some(address)
        }
        (Family::V4, IpAddr::V6(_)) | (Family::V6, IpAddr::V4(_)) => {
            given.complain(format!("Multicast address {text} is of the other family"));
            None
        }
    }
}

#[cfg(test)]
mod tests;
