//! Monitor scripts: commands of the administrator that say whether the guest is well. Invariant: in the order given, one
//! at a time, until one fails; and all of them have ended, whatever they do, when the time for them is over.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use duet_host::{
    bounded, file,
    process::{Call, Ended},
};
use duet_ocf::{Deadline, Turn};
use glob::{MatchOptions, glob_with};

use super::Error;

/// The names that one pattern stands for, in bytes.
const FOUND_LIMIT: usize = 1024 * 1024;
/// A program of at most this size, in bytes, is brought into memory before it is started.
const PROGRAM_LIMIT: usize = 1024 * 1024;
/// What is kept of each output: only its end is shown.
const OUTPUT_LIMIT: usize = 4096;
/// As much of a script's last line as an exit reason has room for.
const LINE_LIMIT: usize = 200;
/// A script that hangs is sent TERM so long before KILL, at most a quarter of its time.
const TERM_TO_KILL: Duration = Duration::from_secs(2);

/// Runs them; all together may take `limit`, of which each has its share of what is left.
pub(super) fn run(scripts: &[String], limit: Duration, turn: &mut Turn<'_>) -> Result<(), Error> {
    let deadline = turn.within(limit);
    let mut commands = Vec::new();
    for script in scripts {
        commands.extend(find(script, turn.within(limit / 2))?);
    }
    for (at, command) in commands.iter().enumerate() {
        let still = u32::try_from(commands.len() - at).unwrap_or(u32::MAX);
        let share = deadline.remaining(turn.now()) / still;
        let ended = Call::new(command)
            .limit(OUTPUT_LIMIT)
            .keep_end()
            .terminate_before(TERM_TO_KILL.min(share / 4))
            .run(turn.within(share))
            .map_err(|source| Error::ScriptNotRun { command: command.clone(), source })?;
        if !ended.is_success() {
            return Err(Error::ScriptFailed { command: command.clone(), why: describe(&ended) });
        }
    }
    Ok(())
}

/// The commands that a script stands for. Their storage is asked by a child first: a program on storage that has died
/// hangs whoever starts it.
fn find(script: &str, deadline: Deadline) -> Result<Vec<String>, Error> {
    if !script.contains('/') {
        return Ok(vec![script.to_owned()]);
    }
    let found = bounded::run(FOUND_LIMIT, deadline, || {
        let commands = expand(script);
        for command in &commands {
            // What is wrong with it is said by the attempt to start it.
            let _ = file::read(Path::new(command), PROGRAM_LIMIT);
        }
        Ok(commands.join("\0").into_bytes())
    });
    let found = found.map_err(|source| Error::ScriptNotRun {
        command: script.to_owned(),
        source: duet_host::Error::Read { path: PathBuf::from(script), source },
    })?;
    Ok(String::from_utf8_lossy(&found).split('\0').map(str::to_owned).collect())
}

/// The files that a pattern stands for, as in a shell; what fits none stands for itself.
fn expand(script: &str) -> Vec<String> {
    let as_a_shell_does = MatchOptions {
        case_sensitive: true,
        require_literal_separator: true,
        require_literal_leading_dot: true,
    };
    let is_pattern = script.starts_with('/') && script.contains(['*', '?', '[']);
    let found: Vec<String> = if is_pattern {
        let paths = glob_with(script, as_a_shell_does).into_iter().flatten().flatten();
        paths.filter_map(|path| path.into_os_string().into_string().ok()).collect()
    } else {
        Vec::new()
    };
    if found.is_empty() { vec![script.to_owned()] } else { found }
}

/// How it ended, and the last line of each output.
fn describe(ended: &Ended) -> String {
    let how = Ended { stderr: Vec::new(), ..ended.clone() }.describe();
    let said: Vec<String> = [&ended.stdout, &ended.stderr]
        .into_iter()
        .filter_map(|output| {
            let text = String::from_utf8_lossy(output);
            let line = text.lines().map(str::trim).rfind(|line| !line.is_empty())?;
            Some(line.chars().take(LINE_LIMIT).collect())
        })
        .collect();
    if said.is_empty() { how } else { format!("{how}: {}", said.join("; ")) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests of what is found among files")]

    use super::*;

    fn ended(stdout: &str, stderr: &str) -> Ended {
        Ended {
            code: Some(3),
            signal: None,
            stdout: stdout.into(),
            stderr: stderr.into(),
            is_truncated: false,
        }
    }

    #[test]
    fn the_last_line_of_each_output_is_told() {
        for (stdout, stderr, expected) in [
            ("", "", "exited with 3"),
            ("one\ntwo\n\n", "", "exited with 3: two"),
            ("", "warn\nbad\n", "exited with 3: bad"),
            ("a\nb\n", "c\nd", "exited with 3: b; d"),
        ] {
            assert_eq!(describe(&ended(stdout, stderr)), expected);
        }
        assert!(describe(&ended(&"x".repeat(9000), "")).len() < 300);
    }

    #[test]
    fn a_pattern_stands_for_its_files_in_order() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name).display().to_string();
        for name in ["b.sh", "a.sh", ".hidden.sh", "other"] {
            std::fs::write(at(name), "").unwrap();
        }
        assert_eq!(expand(&at("*.sh")), [at("a.sh"), at("b.sh")]);
        assert_eq!(expand(&at("?.sh")), [at("a.sh"), at("b.sh")]);
        assert_eq!(expand(&at("[b].sh")), [at("b.sh")]);
        for literal in [at("*.none"), at("other"), at("[x"), "check*".into(), "true".into()] {
            assert_eq!(expand(&literal), std::slice::from_ref(&literal));
        }
    }
}
