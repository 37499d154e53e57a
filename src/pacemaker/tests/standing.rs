//! What a node is to somebody who lost it: every combination of what a CIB may say, against a table that was written from
//! the rules in words, not from the code.
#![allow(clippy::unwrap_used, reason = "test")]

mod made;

use duet_pacemaker::{Cib, Standing};
use made::{Made, UP, properties, state};

/// What the rules look at, in words: `*` is anything, `a|b` one of these, `!a` anything else, `-` not there.
/// The first row that fits decides.
///
/// stonith, join, crmd, in_ccm, expected, ha
const TABLE: &[([&str; 6], Standing)] = &[
    // A refused node is fenced, whatever else it says.
    (["on", "banned", "*", "*", "*", "*"], Standing::WillBeFenced),
    // Who has a controller is asked; without stonith the old word "dead" means that it has none.
    (["on", "*", "there", "*", "*", "*"], Standing::Online),
    (["off", "*", "there", "*", "*", "!dead"], Standing::Online),
    // Clean: out of the membership, no controller, and expected to be down.
    (["*", "*", "gone|-", "gone", "down", "*"], Standing::Down),
    (["off", "*", "there", "gone", "down", "dead"], Standing::Down),
    // The same, but nobody said what was expected: not fenced, and not confirmed.
    (["*", "*", "gone|-", "gone", "-", "*"], Standing::Offline),
    // All the rest is what a fencing cluster fences, and another leaves alone.
    (["on", "*", "*", "*", "*", "*"], Standing::WillBeFenced),
    (["off", "*", "*", "*", "*", "*"], Standing::Offline),
];

fn fits(pattern: &str, fact: &str) -> bool {
    match pattern.strip_prefix('!') {
        Some(not) => fact != not,
        None => pattern == "*" || pattern.split('|').any(|word| word == fact),
    }
}

/// A fact, and how a CIB writes it.
type Written = (&'static str, &'static str);

const JOIN: [Written; 6] = [
    ("member", "join='member'"),
    ("pending", "join='pending'"),
    ("down", "join='down'"),
    ("banned", "join='banned'"),
    ("odd", "join='odd'"),
    ("-", ""),
];
const CRMD: [Written; 6] = [
    ("there", "crmd='online'"),
    ("there", "crmd='1794996212'"),
    ("gone", "crmd='offline'"),
    ("gone", "crmd='0'"),
    ("odd", "crmd='-1'"),
    ("-", ""),
];
const IN_CCM: [Written; 6] = [
    ("there", "in_ccm='true'"),
    ("there", "in_ccm='1794996212'"),
    ("gone", "in_ccm='false'"),
    ("gone", "in_ccm='0'"),
    ("odd", "in_ccm='maybe'"),
    ("-", ""),
];
const EXPECTED: [Written; 4] = [
    ("member", "expected='member'"),
    ("down", "expected='down'"),
    ("odd", "expected='Down'"),
    ("-", ""),
];
const HA: [Written; 3] = [("dead", "ha='dead'"), ("active", "ha='active'"), ("-", "")];

#[test]
fn every_combination_is_what_the_table_says() {
    let mut seen = [0_usize; 4];
    for stonith in ["on", "off"] {
        let properties = properties(&[("stonith-enabled", stonith)]);
        for join in JOIN {
            for crmd in CRMD {
                let mut status = String::new();
                let mut expected_standings = Vec::new();
                for in_ccm in IN_CCM {
                    for expected in EXPECTED {
                        for ha in HA {
                            let name = format!("n{}", expected_standings.len());
                            let said = [join.1, crmd.1, in_ccm.1, expected.1, ha.1].join(" ");
                            status += &state(&name, &name, &said);
                            let facts = [stonith, join.0, crmd.0, in_ccm.0, expected.0, ha.0];
                            let row = TABLE.iter().find(|(patterns, _)| {
                                patterns
                                    .iter()
                                    .zip(facts)
                                    .all(|(pattern, fact)| fits(pattern, fact))
                            });
                            expected_standings.push((facts, row.unwrap().1));
                        }
                    }
                }
                let cib = Made { properties: properties.clone(), status, ..Made::default() }.read();
                let again = Cib::parse(&cib.extract("")).unwrap();
                for (number, (facts, expected)) in expected_standings.iter().enumerate() {
                    let name = format!("n{number}");
                    assert_eq!(cib.standing(&name), *expected, "{facts:?}");
                    assert_eq!(again.standing(&name), *expected, "{facts:?}, in the record");
                    let column = match expected {
                        Standing::Online => 0,
                        Standing::Down => 1,
                        Standing::WillBeFenced => 2,
                        Standing::Offline => 3,
                        Standing::NotSeen => panic!("there is a state"),
                    };
                    seen[column] += 1;
                }
            }
        }
    }
    assert_eq!(seen.iter().sum::<usize>(), 2 * 6 * 6 * 6 * 4 * 3);
    assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
}

#[test]
fn a_node_without_a_state_was_not_seen_and_the_properties_say_what_follows() {
    let with = |pairs: &[(&str, &str)]| {
        let status = state("1", "alpha", UP);
        Made { properties: properties(pairs), status, ..Made::default() }.read()
    };
    for (pairs, fences) in [
        (&[][..], true),
        (&[("startup-fencing", "false")], false),
        (&[("stonith-enabled", "false")], false),
        (&[("stonith-enabled", "false"), ("startup-fencing", "false")], false),
    ] {
        let cib = with(pairs);
        assert_eq!(cib.standing("beta"), Standing::NotSeen);
        assert_eq!(cib.properties().fences_unseen_nodes(), fences, "{pairs:?}");
        assert_eq!(cib.standing("alpha"), Standing::Online);
    }
    assert_eq!(with(&[]).standing("nobody"), Standing::NotSeen);
}

#[test]
fn startup_fencing_changes_nothing_for_a_node_that_was_seen() {
    let status = state("2", "beta", "in_ccm='false' crmd='offline' expected='member'");
    let properties = properties(&[("startup-fencing", "false")]);
    let cib = Made { properties, status, ..Made::default() }.read();
    assert_eq!(cib.standing("beta"), Standing::WillBeFenced);
}

#[test]
fn of_two_states_with_one_name_that_of_the_configured_id_counts() {
    let down = state("9", "beta", "in_ccm='false' crmd='offline' expected='down'");
    for status in [down.clone() + &state("2", "Beta", UP), state("2", "Beta", UP) + &down] {
        let cib = Made { status, ..Made::default() }.read();
        assert_eq!(cib.standing("beta"), Standing::Online);
        assert_eq!(cib.standing("BETA"), Standing::Online);
    }
}

#[test]
fn states_that_contradict_each_other_confirm_nothing() {
    let down = state("8", "gamma", "in_ccm='false' crmd='offline' expected='down'");
    for (stonith, standing) in [("on", Standing::WillBeFenced), ("off", Standing::Offline)] {
        let properties = properties(&[("stonith-enabled", stonith)]);
        let status = down.clone() + &state("9", "gamma", UP);
        let cib = Made { properties, status, ..Made::default() }.read();
        assert_eq!((cib.standing("gamma"), cib.node_state("gamma")), (standing, None));
    }
    let twice = Made { status: down.clone() + &down, ..Made::default() };
    assert_eq!(twice.read().standing("gamma"), Standing::Down);
}

#[test]
fn a_state_without_a_name_is_that_of_the_node_with_its_id() {
    let status = r#"<node_state id="2"><transient_attributes id="2"><instance_attributes id="s">
        <nvpair id="t" name="terminate" value="1794996212"/></instance_attributes></transient_attributes></node_state>"#;
    let cib = Made { status: status.to_owned(), ..Made::default() }.read();
    assert_eq!(cib.standing("beta"), Standing::WillBeFenced);
    assert!(cib.node_state("beta").unwrap().is_to_terminate);
    assert_eq!(cib.node_named("beta").unwrap().transient["terminate"], "1794996212");
    assert_eq!(Cib::parse(&cib.extract("")).unwrap().node_state("beta"), cib.node_state("beta"));
}
