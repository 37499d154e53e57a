//! Values one by one, as fence_virt 4.12.1 takes and refuses them.

use super::*;

fn set(setting: Setting, value: &str) -> Given {
    let mut given = Given::default();
    given.set(setting, "it", Some(value));
    given
}

#[test]
fn numbers_are_those_of_strtol() {
    for (text, value) in [
        ("1229", Some(1229)),
        ("0x10", Some(16)),
        ("010", Some(8)),
        (" 5", Some(5)),
        ("-1", Some(-1)),
        ("+7", Some(7)),
        ("0", Some(0)),
        ("", Some(0)),
        ("5x", None),
        ("5 ", None),
        ("08", None),
        ("--5", None),
        ("+-5", None),
        ("0x", None),
        ("0x-5", None),
        ("99999999999999999999", None),
    ] {
        assert_eq!(number(text), value, "{text:?}");
    }
}

#[test]
fn values_that_are_none_leave_a_complaint_and_change_nothing() {
    for (setting, value, complaint) in [
        (Setting::Port, "0", "Invalid port: '0'"),
        (Setting::Port, "65536", "Invalid port: '65536'"),
        (Setting::Port, "12x", "Invalid port: '12x'"),
        (Setting::Port, "", "Invalid port: ''"),
        (Setting::Timeout, "0", "Invalid timeout: '0'"),
        (Setting::Timeout, "", "Invalid timeout: ''"),
        (Setting::Timeout, "-5", "Invalid timeout: '-5'"),
        (Setting::Timeout, "3000000000", "Invalid timeout: '3000000000'"),
        (Setting::Delay, "x", "Invalid delay: 'x'"),
        (Setting::Delay, "-1", "Invalid delay: '-1'"),
        (Setting::Retransmit, "0", "Invalid retransmit time: '0'"),
        (Setting::Cid, "1", "Invalid CID: '1'"),
        (Setting::Cid, "", "Invalid CID: ''"),
        (Setting::Cid, "0xffffffff", "Invalid CID: '0xffffffff'"),
        (Setting::Family, "ipx", "Unsupported family: 'ipx'"),
        (Setting::Hash, "md5", "Unsupported hash: md5"),
        (Setting::Auth, "", "Unsupported auth type: "),
        (Setting::Action, "devstatus", "Unsupported operation: devstatus"),
        (Setting::Action, "hostlist", "Unsupported operation: hostlist"),
        (Setting::Action, "", "Unsupported operation: "),
    ] {
        let mut given = set(setting, value);
        assert_eq!(given.complaints, [complaint]);
        given.complaints.clear();
        assert_eq!(given, Given::default(), "{setting:?}");
    }
}

#[test]
fn words_are_read_in_any_case_and_the_last_counts() {
    let mut given = set(Setting::Action, "OFF");
    given.set(Setting::Action, "it", Some("list-status"));
    given.set(Setting::Hash, "it", Some("SHA1"));
    given.set(Setting::Family, "it", Some("IPv6"));
    given.set(Setting::Port, "it", Some("0x4cd"));
    assert_eq!(given.complaints, [""; 0]);
    assert_eq!((given.action, given.hash), (Some(Action::List), Algorithm::Sha1));
    assert_eq!((given.family, given.port), (Family::V6, Some(1229)));
}

#[test]
fn a_domain_is_named_once_and_has_1_to_63_bytes() {
    let long = "x".repeat(64);
    assert_eq!(set(Setting::Domain, "").complaints, ["Invalid domain name"]);
    assert!(set(Setting::Domain, &long).complaints[0].ends_with("(File name too long)"));
    assert_eq!(set(Setting::Domain, "a\0b").complaints.len(), 1);
    for first in ["x", "", &long] {
        let mut given = set(Setting::Domain, first);
        given.set(Setting::Domain, "it", Some("x"));
        let last = given.complaints.last().unwrap();
        assert_eq!(last, "Domain/UUID may not be specified more than once");
    }
}

#[test]
fn debug_and_use_uuid_are_read_as_atoi_reads_them() {
    for (value, level) in [("-3", 1), ("2", 2), ("4x", 4), ("x", 0), ("", 0)] {
        assert_eq!(set(Setting::Debug, value).debug, level, "{value:?}");
    }
    for (value, wanted) in [("1", true), ("0", false), ("", false), ("yes", false)] {
        assert_eq!(set(Setting::UseUuid, value).by_uuid, wanted, "{value:?}");
    }
}

#[test]
fn a_name_without_its_value_is_wrong_except_where_it_says_enough() {
    let mut given = Given::default();
    given.set(Setting::Debug, "debug", None);
    given.set(Setting::UseUuid, "use_uuid", None);
    given.set(Setting::Cid, "vsock", None);
    assert_eq!(given.complaints, [""; 0]);
    assert_eq!((given.debug, given.by_uuid, given.cid), (1, true, Some(2)));
    given.set(Setting::Action, "action", None);
    assert_eq!(given.complaints, ["No value for 'action'"]);
}

proptest::proptest! {
    #[test]
    fn no_value_makes_a_setting_panic(value in ".*", which in 0_usize..17) {
        let settings = [
            Setting::Debug, Setting::Family, Setting::Group, Setting::Host, Setting::Cid,
            Setting::Channel, Setting::Port, Setting::Retransmit, Setting::Hash, Setting::Auth,
            Setting::KeyFile, Setting::Line, Setting::Action, Setting::Domain, Setting::UseUuid,
            Setting::Timeout, Setting::Delay,
        ];
        let _ = set(settings[which], &value);
    }
}
