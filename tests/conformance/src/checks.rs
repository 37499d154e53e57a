//! The checks, one function each; a table names them in the order in which they run. The last three judge every
//! call that the others made.

use crate::metadata::{self, Advertised};
use crate::{Subject, schema};
use duet_ocf::ExitCode;
use std::collections::BTreeSet;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::time::Duration;

/// What a check came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The contract is kept.
    Pass,
    /// It is not, and how.
    Fail(String),
    /// It could not be checked, and why.
    Skipped(String),
}

/// A check and its verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The claim that was checked.
    pub check: &'static str,
    /// What it came to.
    pub verdict: Verdict,
}

type Check = fn(&Subject, &Advertised) -> Verdict;

const CHECKS: &[(&str, Check)] = &[
    ("meta-data-needs-nothing", metadata_needs_nothing),
    ("meta-data-works-for-nobody", metadata_works_for_nobody),
    ("meta-data-is-well-formed", metadata_is_well_formed),
    ("meta-data-is-valid", metadata_is_valid),
    ("defaults-are-of-their-type", defaults_are_of_their_type),
    ("defaults-are-accepted", defaults_are_accepted),
    ("unknown-action-is-unimplemented", unknown_action_is_unimplemented),
    ("no-action-is-no-success", no_action_is_no_success),
    ("bad-booleans-are-refused", bad_booleans_are_refused),
    ("bad-integers-are-refused", bad_integers_are_refused),
    ("missing-parameters-are-refused", missing_parameters_are_refused),
    ("probe-writes-nothing", probe_writes_nothing),
    ("closed-streams-change-nothing", closed_streams_change_nothing),
    ("reasons-come-with-failures-only", reasons_come_with_failures_only),
    ("codes-are-those-of-the-contract", codes_are_those_of_the_contract),
    ("nothing-hangs", nothing_hangs),
];

/// How long meta-data may take: management tools ask every agent on a system.
const FAST: Duration = Duration::from_secs(2);
const NOBODY: (u32, u32) = (65534, 65534);

/// Runs all checks on an agent.
#[must_use]
pub fn check_all(subject: &Subject) -> Vec<Finding> {
    // Read in the environment of a cluster, so that an agent which needs one for its metadata is
    // found wanting in that alone.
    let printed = subject.call("meta-data", &[]).stdout();
    let advertised = metadata::read(&printed).map(|(advertised, _)| advertised).unwrap_or_default();
    let verdict_of = |(check, run): &(&'static str, Check)| Finding {
        check,
        verdict: run(subject, &advertised),
    };
    CHECKS.iter().map(verdict_of).collect()
}

fn verdict(wrong: &[String]) -> Verdict {
    if wrong.is_empty() { Verdict::Pass } else { Verdict::Fail(wrong.join("; ")) }
}

/// Values for the required parameters, but not for `without`.
fn required(
    subject: &Subject,
    advertised: &Advertised,
    without: Option<&str>,
) -> Vec<(String, String)> {
    let mut values = Vec::new();
    for parameter in advertised.parameters.iter().filter(|parameter| parameter.is_required) {
        if without == Some(parameter.name.as_str()) {
            values.push((parameter.name.clone(), String::new()));
        } else if subject.given(&parameter.name).is_none() {
            let value = match parameter.kind.as_str() {
                "integer" | "boolean" => "1".to_owned(),
                "select" => parameter.options.first().cloned().unwrap_or_default(),
                _ => "/nonexistent/conformance".to_owned(),
            };
            values.push((parameter.name.clone(), value));
        }
    }
    values
}

fn metadata_needs_nothing(subject: &Subject, _: &Advertised) -> Verdict {
    let call = subject.bare("meta-data", None);
    let mut wrong = Vec::new();
    if call.code() != Some(0) {
        wrong.push(call.describe());
    }
    if !call.stderr().is_empty() {
        wrong.push(format!("writes to stderr: {}", duet_ocf::fold(&call.stderr())));
    }
    if call.took > FAST {
        wrong.push(format!("took {:.1} s", call.took.as_secs_f32()));
    }
    verdict(&wrong)
}

fn metadata_works_for_nobody(subject: &Subject, _: &Advertised) -> Verdict {
    let mode = std::fs::metadata(subject.path()).map_or(0, |file| file.permissions().mode());
    if mode & 0o555 != 0o555 {
        return Verdict::Fail(format!(
            "mode {:o}, not readable and executable by all",
            mode & 0o7777
        ));
    }
    if !nix::unistd::geteuid().is_root() {
        return Verdict::Skipped("only root can become nobody".to_owned());
    }
    let closed = subject.path().ancestors().skip(1).find(|directory| {
        let mode = std::fs::metadata(directory).map_or(0, |dir| dir.permissions().mode());
        mode & 0o001 == 0
    });
    if let Some(directory) = closed {
        return Verdict::Skipped(format!("nobody may not enter {}", directory.display()));
    }
    let call = subject.bare("meta-data", Some(NOBODY));
    let is_same = call.stdout() == subject.bare("meta-data", None).stdout();
    match (call.code(), is_same) {
        (Some(0), true) => Verdict::Pass,
        (Some(0), false) => Verdict::Fail("nobody is told something else".to_owned()),
        _ => Verdict::Fail(call.describe()),
    }
}

fn metadata_is_well_formed(subject: &Subject, _: &Advertised) -> Verdict {
    match metadata::read(&subject.call("meta-data", &[]).stdout()) {
        Ok((_, wrong)) => verdict(&wrong),
        Err(error) => Verdict::Fail(error),
    }
}

fn metadata_is_valid(subject: &Subject, _: &Advertised) -> Verdict {
    match schema::validate(&subject.call("meta-data", &[]).stdout()) {
        Ok(skipped) if skipped.is_empty() => Verdict::Pass,
        Ok(skipped) => Verdict::Skipped(skipped.join("; ")),
        Err(error) => Verdict::Fail(error),
    }
}

fn defaults_are_of_their_type(_: &Subject, advertised: &Advertised) -> Verdict {
    if advertised.parameters.is_empty() {
        return Verdict::Skipped("no parameters".to_owned());
    }
    let mut wrong = Vec::new();
    for parameter in &advertised.parameters {
        match &parameter.default {
            Some(default) if !default.is_empty() && !parameter.accepts(default) => {
                let (name, kind) = (&parameter.name, &parameter.kind);
                wrong.push(format!("{name}: default {default:?} is no {kind}"));
            }
            _ => {}
        }
    }
    verdict(&wrong)
}

fn defaults_are_accepted(subject: &Subject, advertised: &Advertised) -> Verdict {
    let basis = required(subject, advertised, None);
    let unset = subject.call("validate-all", &basis);
    let mut wrong = Vec::new();
    for parameter in &advertised.parameters {
        let Some(default) = parameter.default.as_ref().filter(|_| !parameter.is_required) else {
            continue;
        };
        let set = [basis.clone(), vec![(parameter.name.clone(), default.clone())]].concat();
        let call = subject.call("validate-all", &set);
        if call.code() != unset.code() {
            wrong.push(format!("{}, unset {:?}", call.describe(), unset.code()));
        }
    }
    verdict(&wrong)
}

fn unknown_action_is_unimplemented(subject: &Subject, advertised: &Advertised) -> Verdict {
    let mut wrong = Vec::new();
    for action in ["no-such-action", "Start", "--help"] {
        let call = subject.call(action, &required(subject, advertised, None));
        if call.code() != Some(3) {
            wrong.push(call.describe());
        }
        if !call.stdout().is_empty() {
            wrong.push(format!("{action}: writes to stdout"));
        }
    }
    verdict(&wrong)
}

fn no_action_is_no_success(subject: &Subject, _: &Advertised) -> Verdict {
    let call = subject.call("", &[]);
    match call.code() {
        Some(0) | None => Verdict::Fail(call.describe()),
        Some(_) => Verdict::Pass,
    }
}

fn bad_values_are_refused(
    subject: &Subject,
    advertised: &Advertised,
    kind: &str,
    bad: &[&str],
) -> Verdict {
    let parameters: Vec<_> = advertised.parameters.iter().filter(|p| p.kind == kind).collect();
    if parameters.is_empty() {
        return Verdict::Skipped(format!("no {kind} parameters"));
    }
    let mut wrong = Vec::new();
    for parameter in parameters {
        for value in bad {
            let mut values = required(subject, advertised, None);
            values.retain(|(name, _)| *name != parameter.name);
            values.push((parameter.name.clone(), (*value).to_owned()));
            let call = subject.call("validate-all", &values);
            if call.code() != Some(6) {
                wrong.push(call.describe());
            } else if !call.reasons().iter().any(|reason| reason.contains(&parameter.name)) {
                wrong.push(format!("{}: no reason names {}", call.what, parameter.name));
            }
        }
    }
    verdict(&wrong)
}

fn bad_booleans_are_refused(subject: &Subject, advertised: &Advertised) -> Verdict {
    bad_values_are_refused(subject, advertised, "boolean", &["maybe", "2"])
}

fn bad_integers_are_refused(subject: &Subject, advertised: &Advertised) -> Verdict {
    bad_values_are_refused(subject, advertised, "integer", &["many", "1x"])
}

fn missing_parameters_are_refused(subject: &Subject, advertised: &Advertised) -> Verdict {
    let mut wrong = Vec::new();
    let names: Vec<_> =
        advertised.parameters.iter().filter(|p| p.is_required).map(|p| p.name.as_str()).collect();
    if names.is_empty() {
        return Verdict::Skipped("no required parameters".to_owned());
    }
    for name in names {
        for action in ["start", "validate-all"] {
            let call = subject.call(action, &required(subject, advertised, Some(name)));
            if call.code() != Some(6) {
                wrong.push(call.describe());
            } else if !call.reasons().iter().any(|reason| reason.contains(name)) {
                wrong.push(format!("{}: no reason names {name}", call.what));
            }
        }
    }
    verdict(&wrong)
}

fn probe_writes_nothing(subject: &Subject, advertised: &Advertised) -> Verdict {
    // Something to take away or to overwrite, where an agent keeps its state.
    let planted = subject.scratch().join("planted");
    if let Err(error) = std::fs::write(&planted, "as it was") {
        return Verdict::Skipped(format!("{}: {error}", planted.display()));
    }
    let before = everything_in(subject.scratch().to_owned());
    let call = subject.call("monitor", &required(subject, advertised, None));
    let after = everything_in(subject.scratch().to_owned());
    let mut wrong: Vec<String> = before
        .symmetric_difference(&after)
        .map(|(file, ..)| file)
        .collect::<BTreeSet<_>>()
        .into_iter()
        .map(|file| format!("changed {}", file.display()))
        .collect();
    if matches!(call.code(), None | Some(3)) {
        wrong.push(call.describe());
    }
    if !call.stdout().is_empty() {
        wrong.push("writes to stdout".to_owned());
    }
    verdict(&wrong)
}

/// A file, and what tells whether it was touched: its number, size, and the times of its content and itself.
type Found = (PathBuf, u64, u64, [i64; 4]);

fn everything_in(directory: PathBuf) -> BTreeSet<Found> {
    let mut found = BTreeSet::new();
    let mut open = vec![directory];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(&directory).into_iter().flatten().flatten() {
            let Ok(about) = entry.metadata() else { continue };
            if about.is_dir() {
                open.push(entry.path());
            }
            let times = [about.mtime(), about.mtime_nsec(), about.ctime(), about.ctime_nsec()];
            found.insert((entry.path(), about.ino(), about.size(), times));
        }
    }
    found
}

fn closed_streams_change_nothing(subject: &Subject, advertised: &Advertised) -> Verdict {
    let mut wrong = Vec::new();
    // Metadata that nobody can receive may be a success or a failure; it has to end all the same.
    let _ = subject.call_closed("meta-data", &[]);
    for action in ["monitor", "validate-all"] {
        let values = required(subject, advertised, None);
        let (open, closed) = (subject.call(action, &values), subject.call_closed(action, &values));
        if closed.code() != open.code() {
            wrong.push(format!("{}, otherwise {:?}", closed.describe(), open.code()));
        }
    }
    verdict(&wrong)
}

fn reasons_come_with_failures_only(subject: &Subject, _: &Advertised) -> Verdict {
    let mut wrong = Vec::new();
    for call in subject.record() {
        let Some(code) = call.code().and_then(ExitCode::from_number) else { continue };
        let reasons = call.reasons().len();
        let is_failure =
            !matches!(code, ExitCode::Ok | ExitCode::NotRunning | ExitCode::RunningPromoted);
        // Without an action, or with stderr closed, there is nowhere to say one.
        let is_mute = call.action.is_empty() || call.what.ends_with("closed streams");
        if !is_failure && reasons > 0 {
            wrong.push(format!("{}: a reason although {code}", call.what));
        } else if is_failure && reasons == 0 && !is_mute {
            wrong.push(format!("{}: {code} without a reason", call.what));
        }
    }
    verdict(&wrong)
}

fn codes_are_those_of_the_contract(subject: &Subject, _: &Advertised) -> Verdict {
    let calls = subject.record();
    let odd = calls.iter().filter(|call| !call.is_hang);
    let odd = odd.filter(|call| call.code().and_then(ExitCode::from_number).is_none());
    verdict(&odd.map(crate::Invocation::describe).collect::<Vec<_>>())
}

fn nothing_hangs(subject: &Subject, _: &Advertised) -> Verdict {
    let calls = subject.record();
    let hung = calls.iter().filter(|call| call.is_hang);
    verdict(&hung.map(crate::Invocation::describe).collect::<Vec<_>>())
}
