//! Every recorded CIB, altered in every way that a broken tool, a full pipe or a hostile hand could alter it. Invariant: reading
//! returns, in time; what is read survives the record; and one wrong byte declares nobody down.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "reads recordings, measures time"
)]

use duet_pacemaker::{Cib, DEFAULT_PREFIX, RuleName, Standing};
use proptest::prelude::*;
use std::{
    path::Path,
    time::{Duration, Instant},
};

/// How long reading a mebibyte may take on a machine that does ten other things, without optimization.
const LONGEST: Duration = Duration::from_secs(5);

fn recorded(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/recorded/pacemaker");
    std::fs::read_to_string(path.join(name)).unwrap()
}

fn name() -> RuleName {
    RuleName::new(DEFAULT_PREFIX, "r0", "ms-r0")
}

/// All that is told of a CIB; it returns, and the record tells the same.
fn tell(cib: &Cib) {
    let again = Cib::parse(&cib.extract(&name().id())).unwrap();
    let nodes = |cib: &Cib| {
        let of = |node: &duet_pacemaker::Node| (node.clone(), cib.standing(&node.uname));
        cib.nodes().iter().map(of).collect::<Vec<_>>()
    };
    assert_eq!(nodes(&again), nodes(cib));
    assert_eq!(again.node_states(), cib.node_states());
    assert_eq!((again.version(), again.dc()), (cib.version(), cib.dc()));
    assert_eq!((again.have_quorum(), again.properties()), (cib.have_quorum(), cib.properties()));
    assert_eq!(again.is_newer_than_known(), cib.is_newer_than_known());
    for resource in ["r0", "r1", ""] {
        assert_eq!(
            again.promotable_holding(resource, None),
            cib.promotable_holding(resource, None)
        );
    }
    assert_eq!(again.fence_rule(&name()), cib.fence_rule(&name()));
}

#[test]
fn one_wrong_byte_declares_nobody_down_and_makes_no_rule_allow_another() {
    for version in ["2.1.5", "3.0.0"] {
        let online = recorded(&format!("{version}/cib-online.xml"));
        let ruled = recorded(&format!("{version}/cib-no-quorum-ruled.xml"));
        for wrong in [b'x', b'"', b' ', b'<', b'/', b'0', b'\n', 0] {
            // Not each, so that it stays quick; each of these bytes meets others.
            for at in (usize::from(wrong % 37)..online.len()).step_by(37) {
                let mut bytes = online.clone().into_bytes();
                bytes[at] = wrong;
                let Ok(cib) = Cib::parse(&String::from_utf8(bytes).unwrap()) else { continue };
                assert_ne!(cib.standing("node2"), Standing::Down, "{version}, {wrong} at {at}");
            }
            let rule = ruled.find("<rsc_location rsc=").unwrap()..ruled.find("</rule>").unwrap();
            for at in rule.step_by(2) {
                let mut bytes = ruled.clone().into_bytes();
                bytes[at] = wrong;
                let Ok(cib) = Cib::parse(&String::from_utf8(bytes).unwrap()) else { continue };
                // Edited by hand, gone under another id, or for another node; never one that allows node2.
                if let Ok(Some(rule)) = cib.fence_rule(&name()) {
                    assert!(rule.bans(cib.node_named("node2").unwrap()), "{wrong} at {at}");
                }
            }
        }
    }
}

#[test]
fn a_mebibyte_of_history_is_read_in_time() {
    let small = recorded("2.1.5/cib-online.xml");
    let (before, after) = small.split_once("</lrm_resources>").unwrap();
    let history = &before[before.find("<lrm_resource ").unwrap()..];
    let large =
        [before, &history.repeat((1 << 20) / history.len()), "</lrm_resources>", after].concat();
    assert!(large.len() > 1 << 20);
    let begin = Instant::now();
    let cib = Cib::parse(&large).unwrap();
    let took = begin.elapsed();
    println!("{} bytes of history in {took:?}", large.len());
    assert!(took < LONGEST, "{took:?}");
    assert_eq!(cib, Cib::parse(&small).unwrap());
}

#[test]
fn a_mebibyte_of_configuration_is_read_in_time() {
    let small = recorded("2.1.5/cib-online.xml");
    let (before, after) = small.split_once("<clone id=").unwrap();
    let resource = |number| {
        format!(
            r#"<primitive id="p{number}" class="ocf" provider="heartbeat" type="IPaddr2"><instance_attributes id="i{number}">
            <nvpair id="n{number}" name="ip" value="10.0.0.1"/></instance_attributes></primitive>"#
        )
    };
    let resources: String = (0..5500).map(resource).collect();
    let large = [before, &resources, "<clone id=", after].concat();
    assert!(large.len() > 1 << 20);
    let begin = Instant::now();
    let cib = Cib::parse(&large).unwrap();
    let took = begin.elapsed();
    println!("{} bytes of configuration in {took:?}", large.len());
    assert!(took < LONGEST, "{took:?}");
    assert_eq!(cib.promotable_holding("r0", None).unwrap(), "ms-r0");
}

#[test]
fn what_is_too_large_or_too_deep_is_refused_at_once() {
    let begin = Instant::now();
    assert!(Cib::parse(&" ".repeat(33 << 20)).is_err());
    assert!(Cib::parse(&"<a>".repeat(4 << 20)).is_err());
    let rules = "<rule>".repeat(100) + &"</rule>".repeat(100);
    let nested = recorded("2.1.5/cib-online.xml")
        .replace("<constraints/>", &format!("<constraints>{rules}</constraints>"));
    let refused = Cib::parse(&nested).unwrap_err().to_string();
    assert!(refused.starts_with("The CIB is nested too deeply"), "{refused}");
    assert!(begin.elapsed() < LONGEST);
}

/// What XML and CIBs are made of.
const PIECES: [&str; 26] = [
    "<",
    ">",
    "/>",
    "</",
    "\"",
    "'",
    "=",
    "&amp;",
    "&#0;",
    "&#x10ffff;",
    "&lol;",
    "<!--",
    "-->",
    "<![CDATA[",
    "]]>",
    "<?xml?>",
    "<!DOCTYPE a>",
    " id=\"1\"",
    " id-ref=\"ms-r0\"",
    " uname=\"node2\"",
    " score=\"-INFINITY\"",
    "<rule/>",
    "<node_state id=\"2\"/>",
    "</cib>",
    "\u{0}",
    "\u{feff}",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn an_altered_cib_is_refused_or_survives_the_record(
        file in proptest::sample::select(vec!["cib-online.xml", "cib-unclean.xml", "cib-no-quorum-ruled.xml"]),
        version in proptest::sample::select(vec!["2.1.5", "3.0.0"]),
        edits in proptest::collection::vec((any::<u16>(), 0..40_usize, proptest::sample::select(&PIECES[..])), 1..4),
    ) {
        let mut text = recorded(&format!("{version}/{file}"));
        for (at, length, piece) in edits {
            let boundary = |at: usize| (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap();
            let start = boundary(usize::from(at) % text.len());
            let end = boundary((start + length).min(text.len()));
            text.replace_range(start.min(end)..end, piece);
        }
        if let Ok(cib) = Cib::parse(&text) {
            tell(&cib);
        }
    }

    #[test]
    fn any_name_and_any_value_survive_the_record(
        uname in "\\PC{1,12}", value in "\\PC{0,12}", attribute in "[a-z#_.-]{1,8}", word in "[a-z0-9]{0,6}",
    ) {
        let escape = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;");
        let text = format!(
            r#"<cib admin_epoch="0" epoch="1" num_updates="2"><configuration><crm_config/><nodes><node id="1" uname="{0}">
            <instance_attributes id="i"><nvpair id="n" name="{attribute}" value="{1}"/></instance_attributes></node></nodes>
            <resources/><constraints/></configuration><status><node_state id="1" uname="{0}" crmd="{word}" in_ccm="{word}"
            join="{word}" expected="{word}"/></status></cib>"#,
            escape(&uname), escape(&value),
        );
        let cib = Cib::parse(&text).unwrap();
        prop_assert_eq!(&cib.nodes()[0].uname, &uname);
        // An attribute may be `#default` by its value only where there is something to fall back to; there is nothing.
        if !value.eq_ignore_ascii_case("#default") {
            prop_assert_eq!(&cib.nodes()[0].attributes[&attribute], &value);
        }
        tell(&cib);
    }
}
