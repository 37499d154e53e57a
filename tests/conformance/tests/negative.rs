//! Every check can fail: agents that are broken in one way each, and exactly the checks that must see it. An
//! agent without a row here, or a check that no row makes fail, fails the test as well.
#![allow(clippy::disallowed_methods, reason = "tests look at files")]

use duet_conformance::{Subject, Verdict, check_all};
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

const NEEDS_NOTHING: &str = "meta-data-needs-nothing";
const NOBODY: &str = "meta-data-works-for-nobody";
const WELL_FORMED: &str = "meta-data-is-well-formed";
const VALID: &str = "meta-data-is-valid";
const TYPED: &str = "defaults-are-of-their-type";
const ACCEPTED: &str = "defaults-are-accepted";
const UNKNOWN: &str = "unknown-action-is-unimplemented";
const NO_ACTION: &str = "no-action-is-no-success";
const BOOLEANS: &str = "bad-booleans-are-refused";
const INTEGERS: &str = "bad-integers-are-refused";
const MISSING: &str = "missing-parameters-are-refused";
const PROBE: &str = "probe-writes-nothing";
const STREAMS: &str = "closed-streams-change-nothing";
const REASONS: &str = "reasons-come-with-failures-only";
const CODES: &str = "codes-are-those-of-the-contract";
const HANGS: &str = "nothing-hangs";

const ROWS: &[(&str, &[&str])] = &[
    ("sound", &[]),
    ("metadata-needs-environment", &[NEEDS_NOTHING, NOBODY, REASONS]),
    ("metadata-is-noisy", &[NEEDS_NOTHING]),
    ("metadata-is-slow", &[NEEDS_NOTHING]),
    ("metadata-is-for-root", &[NOBODY, REASONS]),
    ("metadata-is-broken", &[WELL_FORMED, VALID]),
    ("metadata-is-empty", &[WELL_FORMED, VALID]),
    ("metadata-has-strange-type", &[WELL_FORMED, VALID]),
    ("default-of-other-type", &[TYPED, ACCEPTED]),
    ("default-is-refused", &[ACCEPTED]),
    ("unknown-action-succeeds", &[UNKNOWN]),
    ("unknown-action-prints", &[UNKNOWN]),
    ("no-action-succeeds", &[NO_ACTION]),
    ("takes-any-boolean", &[BOOLEANS]),
    ("takes-any-integer", &[INTEGERS]),
    ("starts-without-parameters", &[MISSING]),
    ("reasons-name-nothing", &[BOOLEANS, INTEGERS, MISSING]),
    ("probe-writes", &[PROBE]),
    ("probe-removes", &[PROBE]),
    ("probe-overwrites", &[PROBE]),
    ("probe-is-unimplemented", &[PROBE]),
    ("needs-its-streams", &[STREAMS]),
    ("reason-on-success", &[REASONS]),
    ("fails-silently", &[REASONS]),
    ("code-of-its-own", &[CODES]),
    ("hangs", &[PROBE, HANGS]),
];

fn agents() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/agents")
}

/// The checks that failed, and those that were skipped.
fn run(path: &Path) -> (BTreeSet<&'static str>, BTreeSet<&'static str>) {
    let limit = Duration::from_secs(if path.ends_with("hangs") { 1 } else { 15 });
    let subject = Subject::new(path, Vec::new()).expect("the agent is there").with_limit(limit);
    let mut sets = (BTreeSet::new(), BTreeSet::new());
    for finding in check_all(&subject) {
        match finding.verdict {
            Verdict::Pass => {}
            Verdict::Fail(how) => {
                println!("{}: {}: {how}", path.display(), finding.check);
                sets.0.insert(finding.check);
            }
            Verdict::Skipped(_) => {
                sets.1.insert(finding.check);
            }
        }
    }
    sets
}

#[test]
fn each_broken_agent_is_found_out_and_for_nothing_else() {
    let is_root = nix::unistd::geteuid().is_root();
    let mut found_out = BTreeSet::new();
    for (agent, expected) in ROWS {
        let (failed, skipped) = run(&agents().join(agent));
        let mut expected: BTreeSet<_> = expected.iter().copied().collect();
        if *agent == "metadata-is-for-root" && !is_root {
            // To anybody else this agent gives no metadata at all.
            continue;
        }
        if skipped.contains(NOBODY) && *agent == "metadata-is-for-root" {
            continue;
        }
        // Without xmllint the schemas are skipped; what was skipped cannot have failed.
        expected.retain(|check| !skipped.contains(check));
        assert_eq!(failed, expected, "{agent}");
        found_out.extend(expected);
    }
    let optional = BTreeSet::from([VALID, NOBODY]);
    for (check, _) in ROWS.iter().flat_map(|(_, checks)| checks.iter()).map(|c| (*c, ())) {
        assert!(found_out.contains(check) || optional.contains(check), "{check} never failed");
    }
}

#[test]
fn every_agent_has_a_row_and_every_check_can_fail() {
    let files = std::fs::read_dir(agents()).unwrap();
    let files: BTreeSet<_> =
        files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    let rows: BTreeSet<_> = ROWS.iter().map(|(agent, _)| (*agent).to_owned()).collect();
    assert_eq!(files, rows);
    let subject = Subject::new(&agents().join("sound"), Vec::new()).unwrap();
    let checks: BTreeSet<_> = check_all(&subject).iter().map(|finding| finding.check).collect();
    let failing: BTreeSet<_> = ROWS.iter().flat_map(|(_, checks)| checks.iter().copied()).collect();
    assert_eq!(checks, failing);
}

#[test]
fn a_mode_that_keeps_others_out_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("sound");
    std::fs::copy(agents().join("sound"), &copy).unwrap();
    std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(0o700)).unwrap();
    let (failed, _) = run(&copy);
    assert_eq!(failed, BTreeSet::from([NOBODY]));
}
