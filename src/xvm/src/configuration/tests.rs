//! What is a configuration, what is read from it, and that nothing of it is lost.

use super::*;
use proptest::prelude::*;

/// As Debian ships it.
const SHIPPED: &str = include_str!("../../../../tests/recorded/fence-virt/debian-4.12.1.conf");

const MANY: &str = r#"# all there is
fence_virtd { listener = "multicast"; backend="libvirt";module_path = "/a b/c"; }
Listeners { multicast { key_file = "/first"; KEY_FILE = "/last"; } # one
  multicast{hash="sha1";}
  tcp = "x" { } }
groups {
	group { name = "web"; uuid = "1"; uuid = "2"; ip = "10.0.0.1"; }
	group = "labelled" { ip = "over
two lines"; }
}
# the end"#;

fn failure(text: &str) -> String {
    Configuration::parse(text).unwrap_err().to_string()
}

#[test]
fn the_shipped_file_is_read_and_written_without_loss() {
    let read = Configuration::parse(SHIPPED).unwrap();
    assert_eq!(read.to_string(), SHIPPED);
    let multicast = read.section(&["listeners", "multicast"]).unwrap();
    let keys: Vec<_> = multicast.settings().map(|setting| (setting.name, setting.value)).collect();
    let expected =
        [("key_file", "/etc/fence_virt.key"), ("address", "225.0.0.12"), ("interface", "virbr0")];
    assert_eq!(keys, expected);
    assert_eq!(read.section(&["backends", "libvirt"]).unwrap().get("uri"), Some("qemu:///system"));
}

#[test]
fn of_several_the_last_counts_and_case_does_not() {
    let read = Configuration::parse(MANY).unwrap();
    assert_eq!(read.to_string(), MANY);
    let multicast = read.section(&["LISTENERS", "Multicast"]).unwrap();
    assert_eq!((multicast.get("hash"), multicast.get("key_file")), (Some("sha1"), None));
    let first = read.section(&["listeners"]).unwrap().sections("multicast").next().unwrap();
    assert_eq!(first.get("key_file"), Some("/last"));
    let groups: Vec<_> = read.section(&["groups"]).unwrap().sections("group").collect();
    let uuids: Vec<_> =
        groups[0].all("uuid").map(|setting| (setting.value, setting.line)).collect();
    assert_eq!(uuids, [("1", 7), ("2", 7)]);
    assert_eq!((groups[1].label(), groups[1].line()), (Some("labelled"), 8));
    assert_eq!(groups[1].get("ip"), Some("over\ntwo lines"));
}

#[test]
fn what_is_no_configuration_is_refused_with_its_line() {
    let rows = [
        ("", "line 1: nothing is configured"),
        ("# only\n# comments\n", "line 3: nothing is configured"),
        ("a {", "line 1: the file ends where there should be a value, a section, or \"}\" of a"),
        ("a { b = \"1\" }", "line 1: there should be a semicolon after the value, not }"),
        ("a {\n b = 1;\n}", "line 2: there should be a value in quotation marks, not 1"),
        ("a {\n b = \"\";\n}", "line 2: a value cannot be empty (leave it out for the default)"),
        ("a {\n b = \"1;\n}\n", "line 2: a quotation mark is not closed"),
        ("a { } }", "line 1: there should be a section or a value, not }"),
        ("a;", "line 1: there should be \"=\" or \"{\" after a, not ;"),
        ("= \"1\";", "line 1: there should be a section or a value, not ="),
    ];
    for (text, expected) in rows {
        assert_eq!(failure(text), format!("syntax error on {expected}"), "{text}");
    }
    assert!(failure(&"a{".repeat(100_000)).contains("too many sections"));
}

#[test]
fn a_change_touches_nothing_else() {
    let mut read = Configuration::parse(MANY).unwrap();
    read.set(&["listeners", "multicast"], "hash", "sha512").unwrap();
    assert_eq!(read.to_string(), MANY.replace("hash=\"sha1\"", "hash=\"sha512\""));
    read.remove(&["listeners", "multicast"], "HASH");
    read.remove(&["nowhere"], "hash");
    assert_eq!(read.to_string(), MANY.replace("hash=\"sha1\";", ""));
    assert!(read.set(&["a"], "b", "c\"d").is_err());
    assert!(read.set(&["a"], "b", "").is_err());
}

#[test]
fn what_is_added_is_laid_out_as_a_person_would() {
    let mut made = Configuration::default();
    made.set(&["fence_virtd"], "listener", "tcp").unwrap();
    made.set(&["fence_virtd"], "backend", "libvirt").unwrap();
    made.set(&["listeners", "tcp"], "port", "1229").unwrap();
    let expected = "fence_virtd {\n\tlistener = \"tcp\";\n\tbackend = \"libvirt\";\n}\n\nlisteners {\n\ttcp {\n\t\tport = \"1229\";\n\t}\n}";
    assert_eq!(made.to_string(), expected);
    assert_eq!(Configuration::parse(expected).unwrap().to_string(), expected);
}

proptest! {
    #[test]
    fn any_text_is_read_without_loss_or_refused(text in "([a-z{}=;\"# \n\t\r]|\"[a-z]\"|a = \"b\";|a \\{|\\}|#x\n){0,60}") {
        if let Ok(read) = Configuration::parse(&text) {
            prop_assert_eq!(read.to_string(), text);
        }
    }

    #[test]
    fn any_bytes_are_read_without_loss_or_refused(text: String) {
        if let Ok(read) = Configuration::parse(&text) {
            prop_assert_eq!(read.to_string(), text);
        }
    }

    #[test]
    fn what_is_set_is_read_again(values in proptest::collection::vec(("[a-c]", "[a-c]", "[a-z /:]{1,9}"), 1..9)) {
        let mut made = Configuration::default();
        for (section, name, value) in &values {
            made.set(&[section], name, value).unwrap();
        }
        let read = Configuration::parse(&made.to_string()).unwrap();
        let (section, name, value) = values.last().unwrap();
        prop_assert_eq!(read.section(&[section]).unwrap().get(name), Some(value.as_str()));
    }
}
