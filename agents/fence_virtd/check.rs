//! What a configuration would do, and who may do what by it. Invariant: nothing is changed, opened or listened on.

use std::{net::IpAddr, path::Path, process::ExitCode};

use duet_domain::Uuid;
use duet_xvm::{
    Source,
    permission::{Member, Permission, Target},
};

use crate::{
    backend::{Backend, Look},
    settings::{Channel, SerialMode, Settings, Unknown},
    sockets, sources,
};

/// As for the daemon itself, of a configuration or key that it cannot use.
const UNUSABLE: u8 = 255;
/// As fence_xvm ends where permission is denied.
const DENIED: u8 = 3;

/// Says what the configuration in this file would do.
pub(crate) fn check(file: &Path) -> ExitCode {
    match sources::read(file, false) {
        Ok((settings, policies, warnings)) => {
            let keys: Vec<Option<String>> = policies
                .iter()
                .map(|policy| policy.fingerprint.map(|fingerprint| fingerprint.to_string()))
                .collect();
            print!("{}", described(&settings, &keys));
            for warning in warnings {
                println!("warning: {warning}");
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("fence_virtd: {error}");
            ExitCode::from(UNUSABLE)
        }
    }
}

/// The configuration in words.
fn described(settings: &Settings, keys: &[Option<String>]) -> String {
    let mut lines = Vec::new();
    for (listener, key) in settings.listeners.iter().zip(keys) {
        let place = match &listener.channel {
            Channel::Multicast { group, interface } => {
                let interface = interface.as_deref().map_or_else(
                    || "the interface that the routes choose (better name one)".to_owned(),
                    |name| format!("interface {name}"),
                );
                format!("datagrams to {group} on {interface}; calls clients back by tcp")
            }
            Channel::Tcp { address } => format!("tcp connections to {address}"),
            Channel::Vsock { port } => format!("vsock connections of guests to port {port}"),
            Channel::Serial { uri, path, mode, .. } => {
                let devices = match mode {
                    SerialMode::Serial => "serial ports",
                    SerialMode::Channel => "channels",
                };
                let place = path
                    .as_ref()
                    .map_or_else(String::new, |path| format!(" in {}", path.display()));
                format!("{devices} of guests of {uri} with unix sockets{place}")
            }
        };
        lines.push(format!("listener {}: {place}", listener.name));
        match (&listener.signed, key) {
            (Some(signed), Some(key)) => lines.push(format!(
                "    signed with {} or better, authenticated with {}, by key {key} ({})",
                signed.hash,
                signed.auth,
                signed.key_file.display()
            )),
            (Some(_), None) => lines.push("    neither signed nor authenticated".to_owned()),
            (None, _) => lines.push("    a guest is who libvirt says it is".to_owned()),
        }
    }
    for uri in &settings.uris {
        lines.push(format!("libvirt {}: up to {} s for a question", uri.text, uri.limit.as_secs()));
    }
    lines.push(match settings.unknown {
        Unknown::Fails => "status of a domain that nobody knows: failure".to_owned(),
        Unknown::IsOff => "status of a domain that nobody knows: off".to_owned(),
    });
    lines
        .push(format!("a request is begun within {} s or not at all", settings.patience.as_secs()));
    for group in &settings.permissions.groups {
        let (members, domains) = (group.addresses.join(" "), group.domains.join(" "));
        lines.push(format!("group {}: [{members}] may do anything to [{domains}]", group.name));
    }
    lines.join("\n") + "\n"
}

/// Says whether `source` may do something to `target`, and by which group.
pub(crate) fn acl(file: &Path, source: &str, target: &str) -> ExitCode {
    let settings = sources::lenient(file).and_then(|(text, _)| {
        Settings::parse(&text)
            .map_err(|source| sources::Error::Settings { file: file.display().to_string(), source })
    });
    let settings = match settings {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("fence_virtd: {error}");
            return ExitCode::from(UNUSABLE);
        }
    };
    let Some(from) = parsed(source) else {
        eprintln!("fence_virtd: {source} is no address, no CID and no UUID of a guest");
        return ExitCode::FAILURE;
    };
    let backend = Backend::new(settings.uris.clone(), &sockets());
    // A guest's name counts too, where libvirt knows it.
    let name = match (&from, backend.look(source)) {
        (Source::Domain(_), Look::Found(found)) => Some(found.known.name),
        (_, _) => None,
    };
    let known = match backend.look(target) {
        Look::Found(found) => {
            println!(
                "{target} is {} {} ({})",
                found.known.name,
                found.known.uuid,
                backend.uri(found.at)
            );
            Some(found.known)
        }
        Look::Nobody => {
            println!("libvirt knows no {target}");
            None
        }
        Look::Unclear { why, .. } => {
            println!("libvirt could not be asked, so {target} counts as it is written: {why}");
            None
        }
    };
    let member = Member { source: &from, name: name.as_deref() };
    let permission =
        settings.permissions.ask(member, Target { asked: target, known: known.as_ref() });
    match &permission {
        Permission::Everybody | Permission::Group(_) => {
            println!("allowed: {permission}");
            ExitCode::SUCCESS
        }
        Permission::NoSuchSource | Permission::NotThisTarget => {
            println!("refused: {permission}");
            ExitCode::from(DENIED)
        }
    }
}

fn parsed(source: &str) -> Option<Source> {
    if let Ok(address) = source.parse::<IpAddr>() {
        return Some(address.into());
    }
    if let Ok(cid) = source.parse() {
        return Some(Source::Cid(cid));
    }
    source.parse::<Uuid>().ok().map(|uuid| Source::Domain(uuid.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_told_apart() {
        assert_eq!(parsed("10.0.0.1"), Some(Source::Address([10, 0, 0, 1].into())));
        assert_eq!(parsed("3"), Some(Source::Cid(3)));
        let uuid = "11111111-2222-4333-8444-555555555501";
        assert_eq!(parsed(&uuid.to_uppercase()), Some(Source::Domain(uuid.to_owned())));
        assert_eq!(parsed("node1"), None);
    }

    #[test]
    fn a_configuration_is_told_in_words() {
        let text = "fence_virtd { listener = \"multicast, serial\"; backend = \"libvirt\"; }
            listeners { multicast { interface = \"br0\"; } serial { path = \"/s\"; } }
            backends { libvirt { uri = \"qemu:///system\"; } }
            groups { group { name = \"web\"; uuid = \"a\"; uuid = \"b\"; ip = \"10.0.0.1\"; } }";
        let told = described(&Settings::parse(text).unwrap(), &[Some("0badcafe".to_owned()), None]);
        let expected = "\
listener multicast: datagrams to 225.0.0.12:1229 on interface br0; calls clients back by tcp
    signed with sha256 or better, authenticated with sha256, by key 0badcafe (/etc/cluster/fence_xvm.key)
listener serial: serial ports of guests of qemu:///system with unix sockets in /s
    a guest is who libvirt says it is
libvirt qemu:///system: up to 5 s for a question
status of a domain that nobody knows: failure
a request is begun within 30 s or not at all
group web: [10.0.0.1] may do anything to [a b]
";
        assert_eq!(told, expected);
    }
}
