//! What is read of a CIB: versions, quorum, properties with their precedence, nodes by name, and the part that is kept for a
//! record.
#![allow(clippy::unwrap_used, reason = "test")]

mod made;

use duet_pacemaker::{Cib, CibError, CibVersion, NameError, NoQuorumPolicy, WatchdogTimeout};
use made::{Made, properties, set};

fn error(made: &Made) -> CibError {
    Cib::parse(&made.text()).unwrap_err()
}

#[test]
fn the_outermost_element_says_version_quorum_and_dc() {
    let cib = Made::default().read();
    assert_eq!(cib.version(), CibVersion { admin_epoch: 0, epoch: 7, num_updates: 3 });
    assert_eq!((cib.have_quorum(), cib.dc()), (Some(true), Some("alpha")));
    assert_eq!(cib.validate_with(), Some("pacemaker-3.9"));
    assert!(!cib.is_newer_than_known());
    let bare = Made { root: r#"admin_epoch="0" epoch="7" num_updates="3""#, ..Made::default() };
    let cib = bare.read();
    assert_eq!((cib.have_quorum(), cib.dc(), cib.feature_set()), (None, None, None));
    assert!(cib.is_newer_than_known());
}

#[test]
fn what_is_decided_on_has_to_be_there_and_readable() {
    let rooted = |root| error(&Made { root, ..Made::default() }).to_string();
    assert_eq!(rooted(r#"epoch="7" num_updates="3""#), "The CIB has a <cib> without admin_epoch");
    let garbled = rooted(r#"admin_epoch="0" epoch="x" num_updates="3""#);
    assert_eq!(garbled, r#"The CIB says epoch="x", which is no number from 0 on"#);
    let unsure = rooted(r#"admin_epoch="0" epoch="7" num_updates="3" have-quorum="perhaps""#);
    assert_eq!(unsure, r#"The CIB says have-quorum="perhaps", which is no truth value"#);
    for section in ["configuration", "crm_config", "nodes", "resources", "constraints", "status"] {
        let whole = Made::default().text();
        let without = whole
            .replace(&format!("<{section}>"), "<other>")
            .replace(&format!("</{section}>"), "</other>");
        let refused = Cib::parse(&without).unwrap_err();
        assert!(
            matches!(refused, CibError::Missing { what, .. } if what == section),
            "{section}: {refused}"
        );
    }
    let twice = Made { status: "</status><status>".to_owned(), ..Made::default() };
    assert_eq!(error(&twice), CibError::Twice("status"));
    let other = Cib::parse("<crm_mon version=\"2.1.5\"/>").unwrap_err();
    assert_eq!(other, CibError::NotACib("crm_mon".to_owned()));
    let nameless = Made { nodes: r#"<node id="1"/>"#.to_owned(), ..Made::default() };
    assert_eq!(error(&nameless).to_string(), "The CIB has a <node> without uname");
}

#[test]
fn every_way_to_cut_a_cib_off_is_refused() {
    let whole = Made::default().text();
    for end in (0..whole.trim_end().len()).filter(|end| whole.is_char_boundary(*end)) {
        assert!(Cib::parse(&whole[..end]).is_err(), "{end}");
    }
}

#[test]
fn properties_have_pacemakers_defaults_and_words() {
    let of = |pairs: &[(&str, &str)]| {
        let made = Made { properties: properties(pairs), ..Made::default() };
        Cib::parse(&made.text()).map(|cib| cib.properties().clone())
    };
    let default = of(&[]).unwrap();
    assert!(default.stonith_enabled && default.startup_fencing && !default.have_watchdog);
    assert_eq!(default.maintenance_mode, Some(false));
    assert_eq!(default.no_quorum_policy, NoQuorumPolicy::Stop);
    assert_eq!(default.stonith_watchdog_timeout, WatchdogTimeout::Off);
    for (word, is) in [("true", true), ("ON", true), ("Yes", true), ("y", true), ("1", true)]
        .into_iter()
        .chain([("false", false), ("off", false), ("no", false), ("N", false), ("0", false)])
    {
        assert_eq!(of(&[("stonith-enabled", word)]).unwrap().stonith_enabled, is, "{word}");
        assert_eq!(of(&[("startup-fencing", word)]).unwrap().startup_fencing, is, "{word}");
        assert_eq!(of(&[("maintenance-mode", word)]).unwrap().maintenance_mode, Some(is));
        assert_eq!(of(&[("have-watchdog", word)]).unwrap().have_watchdog, is);
    }
    for word in ["", "2", "t", "true ", "enabled"] {
        let refused = of(&[("stonith-enabled", word)]).unwrap_err();
        let value = word.to_owned();
        assert_eq!(refused, CibError::Property { name: "stonith-enabled", value });
    }
    assert!(of(&[("stonith_enabled", "no"), ("elsewhere", "no")]).unwrap().stonith_enabled);
    let policy = |word| of(&[("no-quorum-policy", word)]).unwrap().no_quorum_policy;
    assert_eq!(policy("ignore"), NoQuorumPolicy::Ignore);
    assert_eq!(policy("fence"), NoQuorumPolicy::Suicide);
    assert_eq!(policy("hope"), NoQuorumPolicy::Unrecognized("hope".to_owned()));
    let timeout =
        |word| of(&[("stonith-watchdog-timeout", word)]).unwrap().stonith_watchdog_timeout;
    assert_eq!(timeout("10"), WatchdogTimeout::Milliseconds(10_000));
    assert_eq!(timeout("10 s"), WatchdogTimeout::Milliseconds(10_000));
    assert_eq!(timeout("2min"), WatchdogTimeout::Milliseconds(120_000));
    assert_eq!(timeout("500ms"), WatchdogTimeout::Milliseconds(500));
    assert_eq!((timeout("-1"), timeout("0s")), (WatchdogTimeout::Automatic, WatchdogTimeout::Off));
    for odd in ["PT10S", "", "s", "10 parsecs", "9223372036854775807h"] {
        assert_eq!(timeout(odd), WatchdogTimeout::Unrecognized(odd.to_owned()));
    }
}

#[test]
fn of_several_sets_of_properties_the_first_then_the_higher_then_the_later_counts() {
    let first = |value| properties(&[("stonith-enabled", value)]);
    let more = |id, score, value| set(id, score, &[("stonith-enabled", value)]);
    let is_enabled = |properties: String| {
        Made { properties, ..Made::default() }.read().properties().stonith_enabled
    };
    assert!(!is_enabled(first("false") + &more("b", "score='INFINITY'", "true")));
    assert!(is_enabled(more("a", "score='10'", "true") + &more("b", "", "false")));
    assert!(is_enabled(more("a", "", "true") + &more("b", "score='-INFINITY'", "false")));
    assert!(!is_enabled(more("a", "", "true") + &more("b", "", "false")));
    assert!(is_enabled(first("#default") + &more("b", "", "true")));
    assert!(is_enabled(first("false") + &more("b", "", "#Default")));
    let twice = set("a", "", &[("stonith-enabled", "false"), ("stonith-enabled", "true")]);
    assert!(!is_enabled(twice));
}

#[test]
fn a_property_that_a_rule_sets_is_not_guessed() {
    let ruled = |name| {
        let set = set("ruled", "", &[(name, "false")]);
        set.replace("</cluster", "<rule id='r' score='1'><date_expression id='e'/></rule></cluster")
    };
    let with = |properties| Made { properties, ..Made::default() };
    let refused = error(&with(ruled("stonith-enabled")));
    assert_eq!(refused, CibError::PropertyByRule("stonith-enabled"));
    let first = properties(&[("stonith-enabled", "true")]);
    assert!(with(ruled("stonith-enabled") + &first).read().properties().stonith_enabled);
    let cib = with(ruled("maintenance-mode")).read();
    assert_eq!(cib.properties().maintenance_mode, None);
    assert_eq!(Cib::parse(&cib.extract("")).unwrap().properties(), cib.properties());
}

#[test]
fn the_new_names_of_properties_count_where_they_are_known() {
    let pairs = [("stonith-enabled", "true"), ("fencing-enabled", "false")];
    let old = Made { properties: properties(&pairs), ..Made::default() };
    assert!(old.read().properties().stonith_enabled);
    let root =
        r#"admin_epoch="0" epoch="1" num_updates="1" crm_feature_set="3.20.5" have-quorum="1""#;
    let new = Made { root, ..old };
    assert!(!new.read().properties().stonith_enabled);
}

#[test]
fn a_node_is_found_by_name_whatever_its_case_or_domain_if_it_is_one() {
    let nodes = |names: &[&str]| {
        let node = |name: &&str| format!(r#"<node id="{name}" uname="{name}" type="member"/>"#);
        Made { nodes: names.iter().map(node).collect(), ..Made::default() }.read()
    };
    let cases = [
        (&["alpha", "Alpha"][..], "Alpha", Ok("Alpha")),
        (&["alpha", "ALPHA"], "Alpha", Err(2)),
        (&["alpha", "beta"], "BETA", Ok("beta")),
        (&["alpha", "beta"], "beta.example.com", Ok("beta")),
        (&["alpha.example.com", "beta"], "Alpha", Ok("alpha.example.com")),
        (&["alpha.example.com", "beta"], "alpha.example.org", Err(0)),
        (&["alpha.a", "alpha.b"], "alpha", Err(2)),
        (&["alpha.a", "alpha"], "alpha", Ok("alpha")),
        (&["alpha"], "alph", Err(0)),
        (&["alpha"], "", Err(0)),
        (&["alpha", "alpha"], "alpha", Err(2)),
    ];
    for (names, name, expected) in cases {
        let cib = nodes(names);
        let found = match cib.node_named(name) {
            Ok(node) => Ok(node.uname.as_str()),
            Err(NameError::None(_)) => Err(0),
            Err(NameError::Ambiguous { nodes, .. }) => Err(nodes.len()),
        };
        assert_eq!(found, expected, "{name} among {names:?}");
    }
}
