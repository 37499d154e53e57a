//! The listeners that are configured. Invariant: a listener that is signed for has a file for its key, unless both hash and auth are
//! none by name.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use duet_libvirt_rpc::Driver;
use duet_xvm::{
    Algorithm, GROUP_V4, GROUP_V6, KEY_FILE, PORT,
    configuration::{Configuration, Section},
};

use super::{Error, known, not_local, number, refused, word};

/// How requests are signed and peers prove who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Signed {
    pub(crate) key_file: PathBuf,
    pub(crate) hash: Algorithm,
    pub(crate) auth: Algorithm,
}

/// What of a guest's devices is a line to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SerialMode {
    Serial,
    Channel,
}

/// Where requests come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Channel {
    Multicast { group: SocketAddr, interface: Option<String> },
    Tcp { address: SocketAddr },
    Vsock { port: u32 },
    Serial { uri: String, driver: Driver, path: Option<PathBuf>, mode: SerialMode },
}

/// A listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listener {
    /// As it is called in `fence_virtd/listener`.
    pub(crate) name: String,
    pub(crate) channel: Channel,
    /// None for serial lines, at whose other end nobody but the guest can be.
    pub(crate) signed: Option<Signed>,
}

/// The ones in `fence_virtd/listener`: one as with stock's daemon, or several, each `TYPE` or `TYPE:LABEL`.
pub(super) fn all(
    read: &Configuration,
    main: &Section<'_>,
    warnings: &mut Vec<String>,
) -> Result<Vec<Listener>, Error> {
    let missing = || Error::Missing("fence_virtd/listener".to_owned());
    let names = main.get("listener").ok_or_else(missing)?;
    let mut listeners: Vec<Listener> = Vec::new();
    for name in names.split([' ', '\t', '\n', ',']).filter(|name| !name.is_empty()) {
        let made = one(read, name, warnings)?;
        if listeners.iter().any(|other| other.channel == made.channel) {
            warnings.push(format!("listener {name} listens where another one does already"));
        } else if let Some(other) = listeners.iter().find(|other| is_same_port(other, &made)) {
            return Err(Error::SamePort(other.name.clone(), made.name));
        } else {
            listeners.push(made);
        }
    }
    if listeners.is_empty() { Err(missing()) } else { Ok(listeners) }
}

/// Whether both hear datagrams at one port. Those for a host alone could only come to one of them; with stock's daemon, which has
/// one listener, a second daemon cannot begin.
fn is_same_port(one: &Listener, other: &Listener) -> bool {
    match (&one.channel, &other.channel) {
        (Channel::Multicast { group: one, .. }, Channel::Multicast { group: other, .. }) => {
            one.port() == other.port() && one.is_ipv4() == other.is_ipv4()
        }
        _ => false,
    }
}

fn one(read: &Configuration, name: &str, warnings: &mut Vec<String>) -> Result<Listener, Error> {
    let empty = Configuration::default();
    let (kind, label) =
        name.split_once(':').map_or((name, None), |(kind, label)| (kind, Some(label)));
    let of_kind = || {
        read.section(&["listeners"])
            .into_iter()
            .flat_map(|all| all.sections(kind).collect::<Vec<_>>())
    };
    let section = match label {
        Some(_) => {
            let labelled = of_kind().rfind(|section| section.label() == label);
            labelled.ok_or_else(|| {
                Error::Missing(format!("listeners/{kind} = \"{}\"", label.unwrap_or_default()))
            })?
        }
        None => {
            let plain = of_kind().rfind(|section| section.label().is_none());
            plain.or(of_kind().next_back()).unwrap_or(empty.root())
        }
    };
    let mut about = |names: &[&str]| known(&section, &format!("listeners/{name}"), names, warnings);
    let (channel, signed) = match kind.to_ascii_lowercase().as_str() {
        "multicast" => {
            about(&["key_file", "hash", "auth", "family", "address", "port", "interface"]);
            let group = address(&section, [GROUP_V4.into(), GROUP_V6.into()])?;
            if !group.ip().is_multicast() {
                let value = group.ip().to_string();
                return Err(refused(&section, "address", &value, "it is no multicast group"));
            }
            let interface = section.get("interface").map(|name| name.trim().to_owned());
            (Channel::Multicast { group, interface }, Some(signed(&section)?))
        }
        "tcp" => {
            about(&["key_file", "hash", "auth", "family", "address", "port"]);
            let local = ["127.0.0.1", "::1"].map(|text| text.parse().expect("an address"));
            let address = address(&section, local)?;
            if address.ip().is_multicast() {
                let value = address.ip().to_string();
                return Err(refused(
                    &section,
                    "address",
                    &value,
                    "nobody can connect to a multicast group",
                ));
            }
            (Channel::Tcp { address }, Some(signed(&section)?))
        }
        "vsock" => {
            about(&["key_file", "hash", "auth", "port"]);
            let port = number(&section, "port", 1, u32::MAX - 1)?.unwrap_or(PORT.into());
            (Channel::Vsock { port }, Some(signed(&section)?))
        }
        "serial" => {
            about(&["uri", "path", "mode"]);
            (serial(&section)?, None)
        }
        _ => return Err(Error::NoListener(name.to_owned())),
    };
    if let (Some(signed), true) =
        (&signed, ["tcp", "vsock"].contains(&kind.to_ascii_lowercase().as_str()))
    {
        if section.get("auth").is_some() && signed.auth != Algorithm::Sha256 {
            warnings.push(format!(
                "listener {name}: auth is {}, and that is what clients have to use now; stock's daemon takes it for hash here, and auth is always sha256 there",
                signed.auth
            ));
        }
    }
    if let Some(signed) = &signed {
        for (what, algorithm) in [("hash", signed.hash), ("auth", signed.auth)] {
            match algorithm {
                Algorithm::None => warnings.push(format!(
                    "listener {name}: {what} is none: anybody who reaches it passes this check"
                )),
                Algorithm::Sha1 => {
                    warnings.push(format!("listener {name}: {what} is sha1, which is weak"));
                }
                Algorithm::Sha256 | Algorithm::Sha512 => {}
            }
        }
    }
    Ok(Listener { name: name.to_owned(), channel, signed })
}

fn signed(section: &Section<'_>) -> Result<Signed, Error> {
    let words = Algorithm::ALL.map(|algorithm| (algorithm.word(), algorithm));
    Ok(Signed {
        key_file: PathBuf::from(section.get("key_file").unwrap_or(KEY_FILE)),
        hash: word(section, "hash", &words)?.unwrap_or(Algorithm::Sha256),
        auth: word(section, "auth", &words)?.unwrap_or(Algorithm::Sha256),
    })
}

/// The address and port; the family says which default, or goes by the address.
fn address(section: &Section<'_>, defaults: [IpAddr; 2]) -> Result<SocketAddr, Error> {
    let port = number(section, "port", 1, u16::MAX.into())?.unwrap_or(PORT.into());
    let port = u16::try_from(port).unwrap_or(PORT);
    let wants_v6 = word(section, "family", &[("ipv4", false), ("ipv6", true)])?;
    let ip = match section.get("address") {
        None => defaults[usize::from(wants_v6 == Some(true))],
        Some(text) => text
            .trim()
            .parse()
            .map_err(|_| refused(section, "address", text, "it is no address"))?,
    };
    if wants_v6.is_some_and(|wants_v6| wants_v6 != ip.is_ipv6()) {
        return Err(refused(section, "address", &ip.to_string(), "family says otherwise"));
    }
    Ok(SocketAddr::new(ip, port))
}

fn serial(section: &Section<'_>) -> Result<Channel, Error> {
    let uri = section.get("uri").unwrap_or("qemu:///system").to_owned();
    let line = section.all("uri").last().map_or(section.line(), |setting| setting.line);
    let driver = Driver::of_daemon(&uri).ok_or_else(|| Error::Uri {
        line,
        uri: uri.clone(),
        why: not_local(&uri),
    })?;
    let modes = [
        ("serial", SerialMode::Serial),
        ("vmchannel", SerialMode::Channel),
        ("0", SerialMode::Serial),
        ("1", SerialMode::Channel),
    ];
    let mode = word(section, "mode", &modes)?.unwrap_or(SerialMode::Serial);
    Ok(Channel::Serial { uri, driver, path: section.get("path").map(PathBuf::from), mode })
}
