//! CIBs and answers of real clusters, in the words of Pacemaker 2.1.5 and the times of 3.0.0: what they say is what those
//! clusters were seen to be, and the patches are those that they took.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "reads recordings")]

use duet_pacemaker::{
    Cib, DEFAULT_PREFIX, FenceRule, FencingAttribute, Patch, PatchAnswer, Role, RuleName, Standing,
};
use std::path::{Path, PathBuf};

const VERSIONS: [&str; 2] = ["2.1.5", "3.0.0"];

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/recorded/pacemaker")
}

fn text(name: &str) -> String {
    let path = directory().join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"))
}

fn cib(name: &str) -> Cib {
    Cib::parse(&text(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn name(clone: &str) -> RuleName {
    RuleName::new(DEFAULT_PREFIX, "r0", clone)
}

/// The rule that allows these, in this order.
fn wanted(cib: &Cib, nodes: &[(u32, &str)]) -> FenceRule {
    let clone = cib.promotable_holding("r0", None).unwrap();
    let nodes: Vec<_> =
        nodes.iter().map(|(index, node)| (*index, cib.node_named(node).unwrap())).collect();
    let name = name(&clone);
    FenceRule::wanted(&name, Role::Master, &FencingAttribute::Uname, &nodes).unwrap()
}

/// The file of a state, what node2 is to node1, and whether there is quorum.
const STATES: [(&str, Standing, bool); 7] = [
    ("online", Standing::Online, true),
    // Pacemaker itself would wait for it; corosync was still running there, and stopped a moment later.
    ("pacemaker-stopped", Standing::WillBeFenced, true),
    ("down", Standing::Down, true),
    ("unclean", Standing::WillBeFenced, true),
    ("fenced", Standing::Down, true),
    ("lost-without-stonith", Standing::Offline, true),
    ("no-quorum", Standing::WillBeFenced, false),
];

#[test]
fn every_recorded_cib_says_what_its_cluster_was() {
    for version in VERSIONS {
        for (state, standing, has_quorum) in STATES {
            let file = format!("{version}/cib-{state}.xml");
            let cib = cib(&file);
            assert_eq!(cib.standing("node1"), Standing::Online, "{file}");
            assert_eq!(cib.standing("node2"), standing, "{file}");
            assert_eq!(cib.standing("node3"), Standing::NotSeen, "{file}");
            assert_eq!(cib.have_quorum(), Some(has_quorum), "{file}");
            assert_eq!(cib.dc(), Some("node1"), "{file}");
            assert!(!cib.is_newer_than_known(), "{file}");
            let properties = cib.properties();
            assert_eq!(properties.stonith_enabled, state != "lost-without-stonith", "{file}");
            assert!(!properties.startup_fencing && !properties.fences_unseen_nodes(), "{file}");
            assert_eq!(cib.promotable_holding("r0", None).unwrap(), "ms-r0", "{file}");
            assert_eq!(cib.fence_rule(&name("ms-r0")), Ok(None), "{file}");
        }
    }
}

#[test]
fn the_extract_of_a_recorded_cib_says_the_same_in_less() {
    for version in VERSIONS {
        for (state, ..) in STATES {
            let file = format!("{version}/cib-{state}.xml");
            let whole = text(&file);
            let read = Cib::parse(&whole).unwrap();
            let extract = read.extract(&name("ms-r0").id());
            let again = Cib::parse(&extract).unwrap();
            assert_eq!(again.extract(&name("ms-r0").id()), extract, "{file}");
            assert!(
                extract.len() * 2 < whole.len(),
                "{file}: {} of {}",
                extract.len(),
                whole.len()
            );
            assert_eq!(
                (again.version(), again.have_quorum(), again.dc(), again.properties()),
                (read.version(), read.have_quorum(), read.dc(), read.properties()),
                "{file}"
            );
            assert_eq!((again.nodes(), again.node_states()), (read.nodes(), read.node_states()));
            assert_eq!(again.promotable_holding("r0", None), read.promotable_holding("r0", None));
        }
    }
}

#[test]
fn a_clone_by_template_and_a_group_in_a_master_were_recorded() {
    let cib = cib("2.1.5/cib-online.xml");
    assert_eq!(cib.promotable_holding("r0", None).unwrap(), "ms-r0");
    assert_eq!(cib.promotable_holding("r1", None).unwrap(), "ms-r1");
}

#[test]
fn what_the_stock_handlers_placed_is_what_we_want() {
    for file in ["2.1.5/cib-stock-8.4-placed.xml", "2.1.5/cib-stock-9-placed.xml"] {
        let cib = cib(file);
        let found = cib.fence_rule(&name("ms_r0")).unwrap().expect(file);
        let wanted = wanted(&cib, &[(0, "node1")]);
        assert!(found.same_meaning(&wanted), "{file}");
        assert!(found.bans(cib.node_named("node2").unwrap()), "{file}");
        assert_eq!(Patch::replace(&cib, &found, &wanted), Ok(None), "{file}");
        let ours = wanted.to_xml();
        let in_text = |line: &str| text(file).contains(line.trim());
        let is_9 = file.contains("-9-");
        assert_eq!(ours.lines().all(in_text), is_9, "only 8.4 leaves the number out: {file}");
    }
}

#[test]
fn patches_are_those_that_clusters_took() {
    let both: &[_] = &[(0, "node1"), (1, "node2")];
    for version in VERSIONS {
        for (file, nodes) in [
            ("01-place", &[(0, "node1")][..]),
            ("03-replace-wider", both),
            ("04-tighten", &[(0, "node2")]),
            ("05-replace-other", &[(0, "node1")]),
            ("06-remove", &[(0, "node1")]),
        ] {
            let path = format!("{version}/answers/{file}");
            let cib = cib(&format!("{path}.cib.xml"));
            let found = cib.fence_rule(&name("ms-r0")).unwrap();
            let wanted = wanted(&cib, nodes);
            let patch = match (file, &found) {
                ("01-place", None) => Patch::place(&cib, &wanted),
                ("06-remove", Some(found)) => Patch::remove(&cib, found),
                ("04-tighten", Some(found)) => {
                    Patch::tighten(&cib, found, &wanted).map(Option::unwrap)
                }
                (_, Some(found)) => Patch::replace(&cib, found, &wanted).map(Option::unwrap),
                (_, None) => panic!("{path}: no rule"),
            };
            assert_eq!(patch.unwrap().to_xml(), text(&format!("{path}.patch.xml")), "{path}");
            assert_eq!(answer(&path), PatchAnswer::Done, "{path}");
        }
    }
}

/// What was answered, by its recording.
fn answer(path: &str) -> PatchAnswer {
    let text = text(&format!("{path}.txt"));
    let code = text.lines().find_map(|line| line.strip_prefix("# exit ")).unwrap();
    let code = code.split(' ').next().unwrap().parse().unwrap();
    let stderr = text.lines().filter_map(|line| line.strip_prefix("# stderr: "));
    PatchAnswer::of(code, &stderr.collect::<Vec<_>>().join("\n"))
}

/// The rule is there after it, says the recording.
fn is_there_after(path: &str) -> bool {
    let id = format!("rsc=\"ms-r0\" id=\"{}\"", name("ms-r0").id());
    text(&format!("{path}.txt")).contains(&id)
}

#[test]
fn every_recorded_answer_is_understood() {
    let conform = "Call cib_apply_diff failed: Update does not conform to the configured schema (exit status 78)";
    let refused = || PatchAnswer::Failed(conform.to_owned());
    let answers = [
        ("01-place", PatchAnswer::Done, true),
        ("02-place-again-stale", PatchAnswer::VersionMoved, true),
        ("06-remove", PatchAnswer::Done, false),
        ("07-only-status-moved", PatchAnswer::VersionMoved, false),
        ("10-schema-violated", refused(), false),
        ("11-no-such-clone", refused(), false),
        ("12-id-with-blank", refused(), false),
        ("13-place", PatchAnswer::Done, true),
        ("14-id-twice", refused(), true),
        // Success without any effect.
        ("15-delete-of-nothing", PatchAnswer::Done, true),
        ("16-no-change", PatchAnswer::Done, true),
        ("23-not-permitted", PatchAnswer::NoConnection, true),
        ("24-not-permitted-by-acl", PatchAnswer::NotPermitted, true),
        // Nobody could be asked there what the CIB is.
        ("25-no-cluster", PatchAnswer::NoConnection, false),
        ("26-daemon-frozen", PatchAnswer::NoConnection, true),
        // A partition without quorum takes it.
        ("27-no-quorum", PatchAnswer::Done, true),
    ];
    for version in VERSIONS {
        for (file, expected, is_there) in &answers {
            let path = format!("{version}/answers/{file}");
            assert_eq!(&answer(&path), expected, "{path}");
            assert_eq!(is_there_after(&path), *is_there, "{path}");
        }
        for file in ["17-empty-input", "19-not-xml"] {
            let answer = answer(&format!("{version}/answers/{file}"));
            assert!(matches!(answer, PatchAnswer::Failed(_)), "{file}: {answer:?}");
        }
    }
    // A patch for a version that is yet to come is refused by the DC (2.1.5's was here), while any other node (3.0.0's was here) says
    // that it was done, drops it, and fetches the DC's CIB.
    for file in ["08-version-ahead", "09-admin-epoch-ahead"] {
        let answers = VERSIONS.map(|version| format!("{version}/answers/{file}"));
        assert_eq!(answers.each_ref().map(|path| is_there_after(path)), [false, false]);
        let [at_dc, elsewhere] = answers.map(|path| answer(&path));
        assert_eq!((at_dc, elsewhere), (PatchAnswer::VersionMoved, PatchAnswer::Done), "{file}");
    }
    // What is no whole patch: 2.1.5 says that it was done, and of one cut off amid a rule does a part.
    for file in ["18-not-a-patch", "20-cut-off", "22-cut-off-amid-a-rule"] {
        assert_eq!(answer(&format!("2.1.5/answers/{file}")), PatchAnswer::Done);
        let newer = answer(&format!("3.0.0/answers/{file}"));
        assert!(matches!(newer, PatchAnswer::Failed(_)), "{file}: {newer:?}");
    }
    assert!(is_there_after("2.1.5/answers/20-cut-off"), "not removed");
    assert!(is_there_after("2.1.5/answers/22-cut-off-amid-a-rule"), "placed in part");
}

#[test]
fn of_two_patches_for_one_version_clusters_took_one() {
    for version in VERSIONS {
        let races = text(&format!("{version}/answers/races.txt"));
        let rounds: Vec<_> = races.lines().filter(|line| line.starts_with("round ")).collect();
        assert!(rounds.len() >= 30, "{version}");
        for round in rounds {
            let won = ["node1 0, node2 103, allowed: node1", "node1 103, node2 0, allowed: node2"];
            assert!(won.iter().any(|end| round.trim_end().ends_with(end)), "{version}: {round}");
        }
    }
}

#[test]
fn statuses_that_no_recorded_cluster_gave_are_in_the_table() {
    let other = |code| PatchAnswer::of(code, "first\nCould not: last\n\n");
    for code in [205, 206, 207] {
        assert_eq!(other(code), PatchAnswer::VersionMoved, "Pacemaker 1.1");
    }
    assert_eq!((other(106), other(202)), (PatchAnswer::NoQuorum, PatchAnswer::NoQuorum));
    assert_eq!((other(77), other(124)), (PatchAnswer::NotPermitted, PatchAnswer::TimedOut));
    assert_eq!(other(1), PatchAnswer::Failed("Could not: last (exit status 1)".to_owned()));
    let silent = PatchAnswer::of(70, "");
    assert_eq!(silent, PatchAnswer::Failed("cibadmin says nothing (exit status 70)".to_owned()));
}

#[test]
fn what_a_record_keeps_as_json_is_read_again() {
    fn again<T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug>(
        value: &T,
    ) {
        let text = serde_json::to_string(value).unwrap();
        assert_eq!(serde_json::from_str::<T>(&text).unwrap(), *value, "{text}");
    }
    for version in VERSIONS {
        let cib = cib(&format!("{version}/cib-no-quorum-ruled.xml"));
        let rule = cib.fence_rule(&name("ms-r0"));
        again(&rule);
        let rule = rule.unwrap().unwrap();
        again(&Patch::remove(&cib, &rule));
        again(&Patch::tighten(&cib, &rule, &wanted(&cib, &[(0, "node2")])));
        again(&cib.version());
        again(&cib.properties().clone());
        again(&cib.nodes().to_vec());
        again(&cib.node_states().to_vec());
        again(&cib.nodes().iter().map(|node| cib.standing(&node.uname)).collect::<Vec<_>>());
        again(&cib.node_named("nobody").cloned());
        again(&cib.promotable_holding("nothing", None));
        again(&cib.feature_set().cloned());
        again(&answer(&format!("{version}/answers/10-schema-violated")));
    }
}
