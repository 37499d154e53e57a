//! Metadata, man page and usage of the demo table against committed copies.
//! `UPDATE=1` rewrites them; a plain run never does.
#![allow(clippy::disallowed_methods, reason = "tests read and write their golden files")]

mod demo;

use std::path::Path;

fn golden(name: &str, rendered: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("UPDATE").is_some_and(|value| value == "1") {
        std::fs::write(&path, rendered).expect("golden files can be written");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == rendered, "{name} differs; see UPDATE=1. Rendered:\n{rendered}");
}

#[test]
fn metadata_is_the_committed_one() {
    golden("demo.xml", &duet_ocf::metadata(&demo::SPEC));
    golden("plain.xml", &duet_ocf::metadata(&demo::PLAIN));
}

/// Pacemaker 3.0 logs a failed assertion for each one (`tests/recorded/pacemaker/3.0.0/declarations.log`).
#[test]
fn metadata_declares_nothing_itself() {
    for spec in [&demo::SPEC, &demo::PLAIN] {
        let xml = duet_ocf::metadata(spec);
        let declarations = xml.matches("<!").count() - xml.matches("<!DOCTYPE").count();
        assert_eq!(declarations, 0, "{xml}");
        assert!(xml.contains("SYSTEM \"/usr/share/duet/ocf-1.1.dtd\">"), "{xml}");
    }
}

#[test]
fn man_page_is_the_committed_one() {
    golden("ocf_rust_Demo.7", &duet_ocf::man_page(&demo::SPEC));
}

#[test]
fn usage_is_the_committed_one() {
    golden("usage.txt", &duet_ocf::usage(&demo::SPEC));
}
