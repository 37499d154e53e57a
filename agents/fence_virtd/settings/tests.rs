//! What is made of configurations: Debian's, several listeners, and what cannot be meant.

use super::*;
use duet_xvm::Algorithm;

const SHIPPED: &str = include_str!("../../../tests/recorded/fence-virt/debian-4.12.1.conf");

fn with(main: &str, listeners: &str, libvirt: &str) -> Result<Settings, Error> {
    Settings::parse(&format!(
        "fence_virtd {{ backend = \"libvirt\"; {main} }} listeners {{ {listeners} }} backends {{ libvirt {{ {libvirt} }} }}"
    ))
}

const URI: &str = "uri = \"qemu:///system\";";

fn signed(listeners: &str, kind: &str) -> (Signed, Vec<String>) {
    let settings = with(&format!("listener = \"{kind}\";"), listeners, URI).unwrap();
    (settings.listeners[0].signed.clone().unwrap(), settings.warnings)
}

#[test]
fn debians_file_is_read_unchanged() {
    let settings = Settings::parse(SHIPPED).unwrap();
    let group = "225.0.0.12:1229".parse().unwrap();
    assert_eq!(
        settings.listeners,
        [Listener {
            name: "multicast".into(),
            channel: Channel::Multicast { group, interface: Some("virbr0".into()) },
            signed: Some(Signed {
                key_file: "/etc/fence_virt.key".into(),
                hash: Algorithm::Sha256,
                auth: Algorithm::Sha256
            }),
        }]
    );
    assert_eq!(settings.uris[0].text, "qemu:///system");
    assert_eq!(settings.unknown, Unknown::Fails);
    assert_eq!(settings.warnings, ["there are no groups: whoever is heard may end any guest"]);
}

#[test]
fn several_listeners_are_named_with_labels_where_needed() {
    let listeners = "multicast { interface = \"a\"; } multicast = \"six\" { family = \"ipv6\"; } tcp { address = \"::\"; } serial { mode = \"vmchannel\"; path = \"/x\"; } vsock { port = \"7\"; }";
    let settings =
        with("listener = \"multicast multicast:six, tcp serial vsock\";", listeners, URI).unwrap();
    let channels: Vec<Channel> =
        settings.listeners.into_iter().map(|listener| listener.channel).collect();
    let expected = [
        Channel::Multicast {
            group: "225.0.0.12:1229".parse().unwrap(),
            interface: Some("a".into()),
        },
        Channel::Multicast { group: "[ff05::3:1]:1229".parse().unwrap(), interface: None },
        Channel::Tcp { address: "[::]:1229".parse().unwrap() },
        Channel::Serial {
            uri: "qemu:///system".into(),
            driver: Driver::Qemu,
            path: Some("/x".into()),
            mode: SerialMode::Channel,
        },
        Channel::Vsock { port: 7 },
    ];
    assert_eq!(channels, expected);
}

#[test]
fn auth_means_auth_in_tcp_and_vsock_and_says_so() {
    for kind in ["tcp", "vsock"] {
        let (signed, warnings) = signed(&format!("{kind} {{ auth = \"sha512\"; }}"), kind);
        assert_eq!((signed.hash, signed.auth), (Algorithm::Sha256, Algorithm::Sha512));
        assert!(
            warnings.iter().any(|text| text.contains("stock's daemon takes it for hash")),
            "{warnings:?}"
        );
    }
    let (_, warnings) = signed("multicast { auth = \"sha512\"; }", "multicast");
    assert_eq!(warnings.len(), 1, "{warnings:?}");
}

#[test]
fn uris_go_by_their_number_with_their_own_time() {
    let libvirt = "uri2 = \"test:///default\"; uri = \"qemu:///system\"; uri1 = \"lxc:///\"; timeout = \"7\"; timeout2 = \"2\"; uri3 = \"qemu:///system\";";
    let settings = with("listener = \"tcp\";", "", libvirt).unwrap();
    let uris: Vec<_> =
        settings.uris.iter().map(|uri| (uri.text.as_str(), uri.limit.as_secs())).collect();
    assert_eq!(uris, [("qemu:///system", 7), ("lxc:///", 5), ("test:///default", 2)]);
    assert!(settings.warnings.contains(&"qemu:///system is configured twice".to_owned()));
}

#[test]
fn what_stock_does_not_have_is_for_the_administrator_to_choose() {
    let settings = with("listener = \"tcp\"; unknown_domain = \"off\"; deadline = \"9\"; wait_for_backend = \"1\"; foreground = \"yes\"; debug = \"3\";", "", URI).unwrap();
    assert_eq!((settings.unknown, settings.patience), (Unknown::IsOff, Duration::from_secs(9)));
    assert!(settings.waits && settings.is_foreground && settings.debug == 3);
}

#[test]
fn what_cannot_be_meant_is_named_with_its_line() {
    let tcp = "listener = \"tcp\";";
    let rows = [
        (with("", "", URI), "fence_virtd/listener is not configured"),
        (with("listener = \"cpg\";", "", URI), "Could not find listener \"cpg\""),
        (with("listener = \"tcp:a\";", "tcp { }", URI), "listeners/tcp = \"a\" is not configured"),
        (with(tcp, "", ""), "backends/libvirt/uri is not configured"),
        (
            with(tcp, "tcp { hash = \"md5\"; }", URI),
            "line 1: hash cannot be \"md5\": it is one of none, sha1, sha256, sha512",
        ),
        (
            with(tcp, "\ntcp { port = \"70000\"; }", URI),
            "line 2: port cannot be \"70000\": it is a number from 1 to 65535",
        ),
        (
            with(tcp, "tcp { address = \"here\"; }", URI),
            "line 1: address cannot be \"here\": it is no address",
        ),
        (
            with(tcp, "tcp { address = \"225.0.0.12\"; }", URI),
            "line 1: address cannot be \"225.0.0.12\": nobody can connect to a multicast group",
        ),
        (
            with(tcp, "tcp { family = \"ipv6\"; address = \"1.2.3.4\"; }", URI),
            "line 1: address cannot be \"1.2.3.4\": family says otherwise",
        ),
        (
            with("listener = \"multicast\";", "multicast { address = \"1.2.3.4\"; }", URI),
            "line 1: address cannot be \"1.2.3.4\": it is no multicast group",
        ),
        (
            with(tcp, "", "uri = \"qemu:///session\";"),
            "line 1: qemu:///session cannot be used: guests of a user's own session are seen by that user only; define them in qemu:///system",
        ),
        (
            with("listener = \"tcp\"; unknown_domain = \"maybe\";", "", URI),
            "line 1: unknown_domain cannot be \"maybe\": it is one of fail, off",
        ),
    ];
    for (read, expected) in rows {
        assert_eq!(read.unwrap_err().to_string(), expected);
    }
    let remote = with(tcp, "", "uri = \"qemu+tls://host/system\";").unwrap_err().to_string();
    assert!(remote.contains("run fence_virtd on that host"), "{remote}");
    let cpg =
        Settings::parse("fence_virtd { listener = \"tcp\"; backend = \"cpg\"; }").unwrap_err();
    assert!(cpg.to_string().starts_with("Could not find backend \"cpg\": run one"), "{cpg}");
}

#[test]
fn what_is_not_known_is_a_warning() {
    let settings =
        with("listener = \"tcp\"; colour = \"red\";", "tcp { interface = \"x\"; }", URI).unwrap();
    assert!(settings.warnings.contains(&"line 1: fence_virtd does not have colour".to_owned()));
    assert!(
        settings.warnings.contains(&"line 1: listeners/tcp does not have interface".to_owned())
    );
}

#[test]
fn two_multicast_listeners_of_one_family_need_two_ports() {
    let listeners = |second: &str| {
        with(
            "listener = \"multicast:a multicast:b\";",
            &format!(
                "multicast = \"a\" {{ interface = \"br0\"; }} multicast = \"b\" {{ interface = \"br1\"; {second} }}"
            ),
            URI,
        )
    };
    let refused = listeners("").unwrap_err().to_string();
    assert!(refused.starts_with("listeners multicast:a and multicast:b hear"), "{refused}");
    assert_eq!(listeners("port = \"1230\";").unwrap().listeners.len(), 2);
    assert_eq!(listeners("family = \"ipv6\";").unwrap().listeners.len(), 2);
}
