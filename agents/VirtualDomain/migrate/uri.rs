//! Where a migration goes: the URI of the other node's libvirt, and where the guest's memory is sent. Invariant: pure; what
//! only this node's connection means (a socket's path, a transport that stays on the machine) is not carried over.

/// What the parameters say about it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Parts {
    /// `migration_transport`
    pub(crate) transport: Option<String>,
    /// `migration_user`
    pub(crate) user: Option<String>,
    /// `migration_network_suffix`
    pub(crate) suffix: Option<String>,
    /// `migrateport`
    pub(crate) port: Option<u16>,
    /// `remoteuri`
    pub(crate) remote: Option<String>,
    /// `migrateuri`, or what `migrate_options` says in its place.
    pub(crate) data: Option<String>,
}

/// A libvirt URI in its parts.
struct Uri<'a> {
    scheme: &'a str,
    transport: Option<&'a str>,
    user: Option<&'a str>,
    port: Option<&'a str>,
    path: &'a str,
    query: Option<&'a str>,
    has_host: bool,
}

impl<'a> Uri<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let (scheme, transport) = match scheme.split_once('+') {
            Some((scheme, transport)) => (scheme, Some(transport)),
            None => (scheme, None),
        };
        let rest = rest.split_once('#').map_or(rest, |(rest, _)| rest);
        let (rest, query) = match rest.split_once('?') {
            Some((rest, query)) => (rest, Some(query)),
            None => (rest, None),
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (user, server) = match authority.rsplit_once('@') {
            Some((user, server)) => (Some(user), server),
            None => (None, authority),
        };
        // The port comes after the bracket that ends an IPv6 address.
        let after_address = server.rfind(']').map_or(0, |at| at + 1);
        let port = server[after_address..].split_once(':').map(|(_, port)| port);
        let valid = |word: &str| {
            word.starts_with(|c: char| c.is_ascii_alphabetic())
                && word.chars().all(|c| c.is_ascii_alphanumeric() || "-.".contains(c))
        };
        valid(scheme).then_some(Self {
            scheme,
            transport,
            user,
            port: port.filter(|port| !port.is_empty()),
            path,
            query,
            has_host: !server.is_empty(),
        })
    }
}

/// Whether libvirt could make anything of it.
pub(crate) fn is_uri(text: &str) -> bool {
    Uri::parse(text).is_some() && !text.contains(char::is_whitespace)
}

/// The URI of the target's libvirt.
pub(crate) fn remote(hypervisor: &str, parts: &Parts, target: &str) -> Option<String> {
    if let Some(template) = &parts.remote {
        return Some(template.replace("%n", target));
    }
    let uri = Uri::parse(hypervisor)?;
    // A transport that ends on this machine says nothing about the way to another.
    let own = uri.transport.filter(|transport| !matches!(*transport, "unix" | "ext"));
    let transport = parts.transport.as_deref().or(own);
    let transport = transport.map(|transport| format!("+{transport}")).unwrap_or_default();
    let user = parts.user.as_deref().or(uri.user);
    let user = user.map(|user| format!("{user}@")).unwrap_or_default();
    let host = bracketed(&with_suffix(target, parts.suffix.as_deref()));
    let port = uri.port.map(|port| format!(":{port}")).unwrap_or_default();
    let query = uri.query.filter(|_| uri.has_host).map(carried).unwrap_or_default();
    let path = if uri.path.is_empty() { "/" } else { uri.path };
    Some(format!("{}{transport}://{user}{host}{port}{path}{query}", uri.scheme))
}

/// Where the memory is sent; `None` leaves it to libvirt. The second is what the log should say.
pub(crate) fn data(
    hypervisor: &str,
    parts: &Parts,
    target: &str,
) -> (Option<String>, Option<String>) {
    let host = with_suffix(target, parts.suffix.as_deref());
    if let Some(template) = &parts.data {
        return (Some(template.replace("%n", &host)), None);
    }
    if parts.suffix.is_none() {
        return (None, None);
    }
    match Uri::parse(hypervisor).map_or("", |uri| uri.scheme) {
        "qemu" => {
            // Without a port, libvirt takes a free one of its range.
            let port = parts.port.map(|port| format!(":{port}")).unwrap_or_default();
            (Some(format!("tcp://{}{port}", bracketed(&host))), None)
        }
        "xen" => (Some(host), None),
        scheme => {
            let why = format!(
                "migration_network_suffix: no migration URI is known for {scheme}; libvirt chooses one"
            );
            (None, Some(why))
        }
    }
}

/// The suffix belongs to the host, before the domain of a full name. An address has neither.
fn with_suffix(target: &str, suffix: Option<&str>) -> String {
    let Some(suffix) = suffix else { return target.to_owned() };
    if target.contains(':') || target.parse::<std::net::IpAddr>().is_ok() {
        return target.to_owned();
    }
    match target.split_once('.') {
        Some((host, domain)) => format!("{host}{suffix}.{domain}"),
        None => format!("{target}{suffix}"),
    }
}

fn bracketed(host: &str) -> String {
    if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() }
}

/// Everything but what is about a socket or a name on the host that the URI was for.
fn carried(query: &str) -> String {
    let kept: Vec<&str> = query
        .split('&')
        .filter(|word| {
            let name = word.split_once('=').map_or(*word, |(name, _)| name);
            !word.is_empty() && !matches!(name, "socket" | "mode" | "name" | "command")
        })
        .collect();
    if kept.is_empty() { String::new() } else { format!("?{}", kept.join("&")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: &str = "nodeb.example.com";

    /// `transport=ssh user=virt ...`
    fn parts(words: &str) -> Parts {
        let mut parts = Parts::default();
        for word in words.split_whitespace() {
            let (name, value) = word.split_once('=').unwrap();
            let port = value.parse().ok();
            let value = Some(value.to_owned());
            match name {
                "transport" => parts.transport = value,
                "user" => parts.user = value,
                "suffix" => parts.suffix = value,
                "port" => parts.port = port,
                "remoteuri" => parts.remote = value,
                "migrateuri" => parts.data = value,
                other => panic!("{other}"),
            }
        }
        parts
    }

    #[test]
    fn uris_are_those_of_the_table() {
        let none = "";
        for (hypervisor, words, remote_uri, data_uri) in [
            ("qemu:///system", "", "qemu://nodeb.example.com/system", none),
            ("qemu:///system", "transport=ssh", "qemu+ssh://nodeb.example.com/system", none),
            (
                "qemu:///system",
                "transport=ssh user=virt suffix=-mig port=49160",
                "qemu+ssh://virt@nodeb-mig.example.com/system",
                "tcp://nodeb-mig.example.com:49160",
            ),
            (
                "qemu:///system",
                "transport=tcp suffix=-mig",
                "qemu+tcp://nodeb-mig.example.com/system",
                "tcp://nodeb-mig.example.com",
            ),
            ("qemu:///system", "port=49160", "qemu://nodeb.example.com/system", none),
            (
                "qemu://foo:9999/system",
                "transport=tcp",
                "qemu+tcp://nodeb.example.com:9999/system",
                none,
            ),
            ("qemu://[fd00::1]:9999/system", "", "qemu://nodeb.example.com:9999/system", none),
            ("qemu://[fd00::1]/system", "", "qemu://nodeb.example.com/system", none),
            ("qemu+ssh://foo/system", "transport=ssh", "qemu+ssh://nodeb.example.com/system", none),
            ("qemu+ssh://foo/system", "", "qemu+ssh://nodeb.example.com/system", none),
            ("qemu+ssh://foo/system", "transport=tls", "qemu+tls://nodeb.example.com/system", none),
            ("qemu+ssh://me@foo/system", "", "qemu+ssh://me@nodeb.example.com/system", none),
            ("qemu+ssh://me@foo/system", "user=x", "qemu+ssh://x@nodeb.example.com/system", none),
            ("qemu+unix:///system", "", "qemu://nodeb.example.com/system", none),
            (
                "qemu:///system?socket=/run/x",
                "transport=tcp",
                "qemu+tcp://nodeb.example.com/system",
                none,
            ),
            (
                "qemu+ssh://foo/system?socket=/run/x&no_verify=1&mode=direct",
                "",
                "qemu+ssh://nodeb.example.com/system?no_verify=1",
                none,
            ),
            ("qemu:///session", "transport=ssh", "qemu+ssh://nodeb.example.com/session", none),
            (
                "xen:///system",
                "suffix=-mig",
                "xen://nodeb-mig.example.com/system",
                "nodeb-mig.example.com",
            ),
            ("lxc:///", "suffix=-mig", "lxc://nodeb-mig.example.com/", none),
            (
                "qemu:///system",
                "remoteuri=qemu+ssh://%n-x/system migrateuri=tcp://%n:1",
                "qemu+ssh://nodeb.example.com-x/system",
                "tcp://nodeb.example.com:1",
            ),
            (
                "qemu:///system",
                "remoteuri=qemu+ssh://%n/system migrateuri=tcp://%n:1 suffix=-mig",
                "qemu+ssh://nodeb.example.com/system",
                "tcp://nodeb-mig.example.com:1",
            ),
            (
                "qemu:///system",
                "transport=ssh user=virt suffix=-mig migrateuri=tcp://%n",
                "qemu+ssh://virt@nodeb-mig.example.com/system",
                "tcp://nodeb-mig.example.com",
            ),
        ] {
            let parts = parts(words);
            assert_eq!(
                remote(hypervisor, &parts, NODE).as_deref(),
                Some(remote_uri),
                "{hypervisor} {words}"
            );
            let (data, why) = data(hypervisor, &parts, NODE);
            assert_eq!(data.unwrap_or_default(), data_uri, "{hypervisor} {words}");
            assert_eq!(why.is_some(), hypervisor.starts_with("lxc"), "{hypervisor} {words}");
        }
    }

    #[test]
    fn an_address_is_bracketed_and_has_no_suffix() {
        let parts = parts("transport=tcp suffix=-mig port=5");
        for (target, host) in
            [("fd00::2", "[fd00::2]"), ("192.0.2.7", "192.0.2.7"), ("nodeb", "nodeb-mig")]
        {
            let remote = remote("qemu:///system", &parts, target).unwrap();
            assert_eq!(remote, format!("qemu+tcp://{host}/system"));
            assert_eq!(
                data("qemu:///system", &parts, target).0.unwrap(),
                format!("tcp://{host}:5")
            );
        }
    }

    #[test]
    fn what_is_no_uri_leads_nowhere() {
        for text in ["", "nonsense", "/system", "://x", "1qemu:///x", "qemu :///system"] {
            assert!(!is_uri(text), "{text}");
        }
        assert!(is_uri("qemu:///system") && is_uri("test:///default"));
        assert_eq!(remote("nonsense", &Parts::default(), NODE), None);
    }
}
