//! The rule for committed metadata: the file is what the table renders to, it is valid, and the executable
//! prints it. Only `UPDATE=1` rewrites the file; a plain test run never does, not even a missing one.

use crate::{metadata, schema};
use duet_host::clock;
use duet_host::process::Call;
use duet_ocf::Spec;
use std::path::Path;
use std::time::Duration;

/// Asserts the rule, for an agent's `tests/metadata.rs`; prints what was skipped.
///
/// # Panics
/// When the rule is broken, saying how.
pub fn assert_committed(spec: &Spec, committed: &Path, executable: Option<&Path>) {
    let update = std::env::var_os("UPDATE").is_some_and(|value| value == "1");
    match check_committed(spec, committed, executable, update) {
        Ok(skipped) => skipped.iter().for_each(|what| println!("skipped: {what}")),
        Err(wrong) => panic!("{wrong}"),
    }
}

/// The rule itself; returns what had to be skipped.
///
/// # Errors
/// How the rule is broken.
pub fn check_committed(
    spec: &Spec,
    committed: &Path,
    executable: Option<&Path>,
    update: bool,
) -> Result<Vec<String>, String> {
    let complaints = spec.complaints();
    if !complaints.is_empty() {
        return Err(format!("The table of {} is wrong: {}", spec.name, complaints.join("; ")));
    }
    let rendered = duet_ocf::metadata(spec);
    let (_, wrong) = metadata::read(&rendered)?;
    if !wrong.is_empty() {
        return Err(format!("The metadata of {} is wrong: {}", spec.name, wrong.join("; ")));
    }
    let skipped = schema::validate(&rendered)?;
    if let Some(executable) = executable {
        let call = Call::new(executable.to_string_lossy()).arg("meta-data").env_clean();
        let ended =
            call.run(clock::within(Duration::from_secs(10))).map_err(|error| error.to_string())?;
        if !ended.is_success() || ended.stdout != rendered.as_bytes() {
            return Err(format!("{} does not print what the table says", executable.display()));
        }
    }
    let shown = committed.display();
    if update {
        std::fs::write(committed, &rendered).map_err(|error| format!("{shown}: {error}"))?;
    }
    let before = std::fs::read_to_string(committed)
        .map_err(|error| format!("{shown}: {error} (UPDATE=1 writes it)"))?;
    if before == rendered {
        return Ok(skipped);
    }
    let line = before.lines().zip(rendered.lines()).take_while(|(a, b)| a == b).count() + 1;
    Err(format!("{shown} differs from the table from line {line} on (UPDATE=1 rewrites it)"))
}
