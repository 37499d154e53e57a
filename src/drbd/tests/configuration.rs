//! Configurations as real drbdadm dumped them, and dumps that are none.
#![allow(clippy::unwrap_used, reason = "test")]

mod recording;

use duet_drbd::{
    Configuration, ConfigurationError, Configured, Fencing, MetaDisk, OnNoQuorum, Quorum, Version,
    tools,
};
use recording::{answer, text};

fn dump(name: &str) -> Configuration {
    Configuration::parse(&text(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn one(name: &str, resource: &str) -> Configured {
    dump(name).resources.remove(resource).unwrap()
}

#[test]
fn two_nodes_of_8_4_have_no_connection_and_fencing_in_the_disk_section() {
    let r0 = one("8.4/drbdadm-dump-xml.txt", "r0");
    assert_eq!(r0.fencing(None), Some(Fencing::ResourceAndStonith));
    assert_eq!((r0.connections.len(), r0.hosts.len()), (0, 2));
    let node1 = r0.host("node1").unwrap();
    let volume = &node1.volumes[&0];
    assert_eq!(volume.minor, Some(0));
    assert_eq!(volume.device.as_deref(), Some("/dev/drbd0"));
    assert_eq!(volume.disk.as_deref(), Some("/dev/vdb"));
    assert_eq!(volume.meta_disk, Some(MetaDisk::Internal));
    assert_eq!(node1.address.as_ref().unwrap().address, "10.78.0.1");
    assert_eq!(r0.allows_two_primaries(), Some(false));
    assert_eq!(r0.net.get("protocol"), Some("C"));
    assert_eq!(r0.handlers.get("fence-peer"), Some("/usr/local/sbin/lab-handler fence-peer"));
    assert_eq!(r0.handlers.iter().count(), 10);
    assert_eq!(r0.startup.get("wfc-timeout"), Some("1"));
    assert_eq!(r0.host("node3"), None);
}

#[test]
fn three_nodes_of_9_have_three_connections_and_one_node_without_a_disk() {
    let r0 = one("9/drbdadm-dump-xml-3n.txt", "r0");
    let disks: Vec<_> = ["node1", "node2", "node3"]
        .map(|node| r0.host(node).unwrap().volumes[&0].disk.as_deref())
        .into();
    assert_eq!(disks, [Some("/dev/vdb"), Some("/dev/vdb"), None]);
    let links: Vec<_> = r0.connections.iter().map(|link| link.hosts.join(" ")).collect();
    assert_eq!(links, ["node1 node2", "node1 node3", "node2 node3"]);
    assert_eq!(r0.fencing(r0.connections.first()), Some(Fencing::DontCare));
    assert_eq!(r0.auto_promotes(), Some(false));
    assert_eq!(r0.quorum(), Some(Quorum::Majority));
    assert_eq!(r0.on_no_quorum(), Some(OnNoQuorum::IoError));
}

#[test]
fn what_is_not_set_has_the_default() {
    let r0 = one("9/drbdadm-dump-xml.txt", "r0");
    assert_eq!(r0.fencing(None), Some(Fencing::ResourceOnly));
    assert_eq!((r0.quorum(), r0.on_no_quorum()), (Some(Quorum::Off), Some(OnNoQuorum::SuspendIo)));
    let low = one("configuration/stacked.xml", "low");
    assert_eq!((low.auto_promotes(), low.fencing(None)), (Some(true), Some(Fencing::DontCare)));
}

#[test]
fn common_holds_where_the_resource_says_nothing() {
    let many = dump("configuration/many.xml");
    let (lower, two, paths) =
        (&many.resources["lower"], &many.resources["two"], &many.resources["paths"]);
    assert_eq!(many.resources.len(), 3);
    for resource in [lower, two, paths] {
        assert_eq!(resource.fencing(None), Some(Fencing::ResourceAndStonith));
        let handler = "/usr/lib/drbd/crm-fence-peer.9.sh --timeout 30 & \"x\" <y>";
        assert_eq!(resource.handlers.get("fence-peer"), Some(handler));
        assert_eq!(resource.disk.get("on-io-error"), Some("detach"));
    }
    let two_primaries = [lower, two, paths].map(Configured::allows_two_primaries);
    assert_eq!(two_primaries, [Some(false), Some(true), Some(true)]);
    assert_eq!(lower.quorum(), Some(Quorum::Nodes(2)));
    assert_eq!(two.quorum(), Some(Quorum::Majority));
    let (lower_net, paths_net) = (&lower.connections[0].net, &paths.connections[0].net);
    assert_eq!((lower_net.get("ping-int"), lower_net.get("protocol")), (Some("3"), Some("C")));
    assert_eq!(paths_net.get("fencing"), Some("dont-care"));
    assert_eq!(paths.fencing(paths.connections.first()), Some(Fencing::DontCare));
    assert_eq!(paths.connections[0].hosts, ["alpha", "charlie"]);
}

#[test]
fn hosts_have_several_names_or_none() {
    let many = dump("configuration/many.xml");
    let lower = &many.resources["lower"];
    assert_eq!(lower.host("bravo"), lower.host("alpha"));
    assert_eq!(lower.host("alpha").unwrap().names, ["alpha", "bravo"]);
    assert_eq!(lower.host("charlie").unwrap().address.as_ref().unwrap().family, "ipv6");
    let two = &many.resources["two"];
    assert!(two.hosts.iter().all(|host| host.names.is_empty()));
    assert_eq!(two.connections[0].hosts, ["10.0.0.1:7002", "10.0.0.2:7002"]);
    assert_eq!(many.resources["paths"].host("alpha").unwrap().address, None);
}

#[test]
fn a_volume_without_a_path_is_found_by_its_minor() {
    let lower = one("configuration/many.xml", "lower");
    let volume = &lower.host("alpha").unwrap().volumes[&5];
    assert_eq!((volume.minor, volume.device.as_deref()), (Some(6), Some("/dev/drbd6")));
    let external = MetaDisk::External { device: "/dev/vg/m".to_owned(), index: Some(3) };
    assert_eq!(volume.meta_disk, Some(external));
    assert_eq!(lower.host("delta").unwrap().volumes[&5].disk, None);
}

#[test]
fn a_stacked_resource_is_on_the_device_of_another() {
    for name in ["configuration/stacked.xml", "configuration/stacked-8.4.xml"] {
        let stacked = dump(name);
        assert_eq!(stacked.stacked_on("up"), Some("low"), "{name}");
        assert_eq!(stacked.stacked_on("low"), None, "{name}");
        assert_eq!(stacked.stacked_on("nobody"), None, "{name}");
        assert_eq!(stacked.resources["up"].hosts[0].names, ["alpha", "charlie"]);
    }
}

#[test]
fn what_a_template_may_set_is_not_known() {
    let resource = one("configuration/template.xml", "t");
    assert_eq!(resource.template.as_deref(), Some("/run/template.inc"));
    assert_eq!(resource.hosts.len(), 2, "drbdadm never closes the element");
    assert_eq!(resource.fencing(None), None, "the template says resource-only");
    assert_eq!((resource.allows_two_primaries(), resource.auto_promotes()), (None, None));
    assert_eq!((resource.quorum(), resource.on_no_quorum()), (None, None));
}

#[test]
fn an_empty_configuration_is_one() {
    assert_eq!(dump("configuration/none.xml"), Configuration::default());
}

#[test]
fn a_dump_that_is_cut_off_anywhere_is_none() {
    for name in ["9/drbdadm-dump-xml-3n.txt", "configuration/template.xml"] {
        let whole = text(name);
        let whole = whole.trim_end();
        for end in 0..whole.len() {
            assert!(Configuration::parse(&whole[..end]).is_err(), "{name} up to {end}");
        }
    }
}

#[test]
fn a_dump_that_is_wrong_is_none() {
    let within = |inner: &str| Configuration::parse(&format!("<config>{inner}</config>"));
    let missing =
        |element: &str, what| Err(ConfigurationError::Missing { element: element.into(), what });
    assert_eq!(within("<resource/>"), missing("resource", "name"));
    let resource = |inner: &str| within(&format!("<resource name=\"r\">{inner}</resource>"));
    assert_eq!(resource("<host/>"), missing("host", "name"));
    assert_eq!(resource("<host name=\"a\"><volume/></host>"), missing("volume", "vnr"));
    let minor = "<host name=\"a\"><volume vnr=\"0\"><device minor=\"x\"/></volume></host>";
    let not_a_number = ConfigurationError::NotANumber { what: "a minor", value: "x".to_owned() };
    assert_eq!(resource(minor), Err(not_a_number));
    assert_eq!(Configuration::parse(""), Err(ConfigurationError::CutOff));
    let other = ConfigurationError::NotAConfiguration("cib".to_owned());
    assert_eq!(Configuration::parse("<cib/>"), Err(other));
    for broken in
        ["<config></resource>", "<config></config></config>", "</>", "<config>&nope;</config>"]
    {
        let result = Configuration::parse(broken);
        assert!(
            matches!(result, Err(ConfigurationError::Malformed { .. })),
            "{broken}: {result:?}"
        );
    }
    let deep = "<config>".repeat(100_000);
    assert!(matches!(Configuration::parse(&deep), Err(ConfigurationError::Malformed { .. })));
}

#[test]
fn words_that_are_not_known_are_not_harmless() {
    let option = |section: &str, name: &str, value: &str| {
        let text = format!(
            "<config><resource name=\"r\"><section name=\"{section}\"><option name=\"{name}\" \
             value=\"{value}\"/></section></resource></config>"
        );
        Configuration::parse(&text).unwrap().resources.remove("r").unwrap()
    };
    let fencing = option("net", "fencing", "politely").fencing(None);
    assert_eq!(fencing, Some(Fencing::Unrecognized("politely".to_owned())));
    let quorum = option("options", "quorum", "-1").quorum();
    assert_eq!(quorum, Some(Quorum::Unrecognized("-1".to_owned())));
    let on_no_quorum = option("options", "on-no-quorum", "hope").on_no_quorum();
    assert_eq!(on_no_quorum, Some(OnNoQuorum::Unrecognized("hope".to_owned())));
}

#[test]
fn a_switch_without_a_value_is_on() {
    let text = "<config><resource name=\"r\"><section name=\"net\"><option name=\"allow-two-primaries\"/>\
                </section></resource></config>";
    let configuration = Configuration::parse(text).unwrap();
    assert_eq!(configuration.resources["r"].allows_two_primaries(), Some(true));
}

#[test]
fn what_drbdadm_prints_for_scripts_is_read() {
    for name in ["configuration/version-9.txt", "configuration/version-8.4.txt"] {
        let versions = tools::Versions::parse(&text(name)).unwrap();
        assert_eq!(versions.kernel, None, "there was no module");
        assert_eq!(versions.tools, Some(Version { major: 9, minor: 22, patch: 0 }));
    }
    for module in ["8.4", "9"] {
        let file = format!("{module}/drbdadm-sh.txt");
        let said = |word: &str| answer(&file, &format!("drbdadm {word} r0")).unwrap().output;
        assert_eq!(tools::devices(&said("sh-dev")), ["/dev/drbd0"]);
        assert_eq!(tools::module_parameters(&said("sh-mod-parms")), ["minor_count=32"]);
        assert_eq!(tools::devices(&said("sh-dev-all")), [""; 0]);
    }
}

#[test]
fn the_shared_secret_is_not_kept() {
    let text = "<config><resource name=\"r\"><section name=\"net\"><option name=\"cram-hmac-alg\" value=\"sha256\"/>\
                <option name=\"shared-secret\" value=\"xyzzy\"/></section></resource></config>";
    let configuration = Configuration::parse(text).unwrap();
    assert_eq!(configuration.resources["r"].net.get("cram-hmac-alg"), Some("sha256"));
    assert!(!format!("{configuration:?}").contains("xyzzy"));
}
