//! Counts that repeat from run to run: processes, programs and system calls by strace, instructions
//! by callgrind, memory by a run of its own. A count that could not be taken is left out with the
//! reason, never estimated.

use crate::{Callgrind, Command, Counts, Error, Instructions, Plan, Result, measure};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;
use std::{fs, process};

/// How long one command may take under valgrind, which makes it some fifty times slower.
const INSTRUCTIONS_BOUND: &str = "120";

/// Counts every command of the plan. `own` is this program's file. The commands of a group keep
/// their order in every pass, so that a stop finds what the start before it started.
///
/// # Errors
/// When strace, a command or a log is missing; without instructions the other counts still come.
pub fn count(plan: &Plan, own: &Path) -> Result<Vec<Counts>> {
    let temporary = |source| Error::Read { what: "a temporary directory".to_owned(), source };
    let mut all = Vec::new();
    for group in &plan.groups {
        let mut counted = Vec::new();
        let mut codes = Vec::new();
        for command in group {
            let dir = tempfile::tempdir().map_err(temporary)?;
            let (counts, code) = system_calls(command, dir.path())?;
            codes.push(code);
            counted.push(Counts { name: command.name.clone(), ..counts });
        }
        for ((command, counts), code) in group.iter().zip(&mut counted).zip(codes) {
            let dir = tempfile::tempdir().map_err(temporary)?;
            counts.instructions = match instructions(command, dir.path(), code) {
                Ok(number) => Instructions::Counted(number),
                Err(why) => Instructions::Skipped(why),
            };
        }
        for (command, counts) in group.iter().zip(&mut counted) {
            counts.memory_kib = memory(command, own)?;
        }
        all.extend(counted);
    }
    Ok(all)
}

fn wrapped(command: &Command, before: &[&str]) -> Command {
    let argv = before.iter().map(|word| (*word).to_owned()).chain(command.argv.clone()).collect();
    Command { argv, ..command.clone() }
}

fn read(path: &Path) -> Result<String> {
    fs::read(path)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .map_err(|source| Error::Read { what: path.display().to_string(), source })
}

/// And the exit status, which strace passes on.
fn system_calls(command: &Command, dir: &Path) -> Result<(Counts, Option<i32>)> {
    let log = dir.join("strace");
    let path = log.to_string_lossy();
    let status = measure::run(&wrapped(command, &["strace", "-f", "-qq", "-o", &path]))?;
    Ok((of_strace(&read(&log)?), status.code()))
}

/// Counts in a log of `strace -f -qq -o`: every line begins with a process id, and a call that was
/// interrupted by another process's line is resumed in a line of its own.
#[must_use]
pub fn of_strace(log: &str) -> Counts {
    let mut counts = Counts::default();
    let mut ids = BTreeSet::new();
    for line in log.lines() {
        let Some((id, rest)) = line.split_once(' ') else { continue };
        ids.insert(id);
        let rest = rest.trim_start();
        if rest.starts_with("+++") || rest.starts_with("---") {
            continue;
        }
        let resumed = rest.starts_with("<... ");
        counts.syscalls += u64::from(!resumed);
        counts.threads += u64::from(!resumed && rest.contains("CLONE_THREAD"));
        let is_exec = rest.starts_with("execve(") || rest.starts_with("<... execve resumed");
        counts.execs += u64::from(is_exec && rest.ends_with(" = 0"));
    }
    // Every process or thread has lines of its own, if only for its end.
    let others = u64::try_from(ids.len().saturating_sub(1)).unwrap_or(0);
    counts.children = others.saturating_sub(counts.threads);
    counts
}

/// User-space instructions. A forked child inherits what callgrind has counted, so it writes down
/// and forgets its count before every fork: the sum over all that was written is the whole tree's.
/// Quiet, because scripts read the errors of what they call. It has to end with this `code`, as without valgrind.
fn instructions(
    command: &Command,
    dir: &Path,
    code: Option<i32>,
) -> std::result::Result<u64, String> {
    let pattern = format!("--callgrind-out-file={}/callgrind.%p", dir.display());
    let mut words = vec![
        "timeout",
        "-k",
        "5",
        INSTRUCTIONS_BOUND,
        "valgrind",
        "-q",
        "--tool=callgrind",
        &pattern,
    ];
    match command.callgrind {
        Callgrind::Never => return Err(Instructions::NOT_ASKED.to_owned()),
        Callgrind::Alone => {}
        Callgrind::Tree => words.extend(["--trace-children=yes", "--dump-before=*fork*"]),
    }
    let status = measure::run(&wrapped(command, &words)).map_err(|error| error.to_string())?;
    match status.code() {
        Some(124 | 137) => {
            return Err(format!("no end within {INSTRUCTIONS_BOUND} s under valgrind"));
        }
        seen if seen == code => {}
        _ => return Err(format!("under valgrind it ended with {status}")),
    }
    let files = fs::read_dir(dir).map_err(|error| error.to_string())?;
    let mut sum = 0;
    let mut found = false;
    for file in files.flatten() {
        if file.file_name().to_string_lossy().starts_with("callgrind.") {
            let text = read(&file.path()).map_err(|error| error.to_string())?;
            found = true;
            sum += of_callgrind(&text);
        }
    }
    if found { Ok(sum) } else { Err("valgrind wrote nothing".to_owned()) }
}

/// The total of one file that callgrind wrote.
#[must_use]
pub fn of_callgrind(text: &str) -> u64 {
    text.lines().filter_map(|line| line.strip_prefix("totals: ")?.trim().parse::<u64>().ok()).sum()
}

/// Another instance of this program, that waits for nothing but this one command.
fn memory(command: &Command, own: &Path) -> Result<u64> {
    let output = process::Command::new(own)
        .arg("memory")
        .args(&command.argv)
        .env_clear()
        .envs(&command.env)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .map_err(|source| Error::Start { command: own.display().to_string(), source })?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.trim().parse().map_err(|_| Error::Read {
        what: format!("the memory of {}", command.name),
        source: std::io::Error::other(text),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_programs_and_calls_are_counted_over_interrupted_lines() {
        let log = "\
80    execve(\"/usr/bin/bash\", [\"bash\"], 0x7f /* 7 vars */) = 0
80    clone(child_stack=NULL, flags=CLONE_CHILD_CLEARTID|SIGCHLD <unfinished ...>
81    set_robust_list(0x7f, 24) = 0
80    <... clone resumed>, child_tidptr=0x7f) = 81
81    execve(\"/bin/nothing\", [\"nothing\"], 0x7f) = -1 ENOENT (No such file or directory)
81    execve(\"/bin/true\", [\"true\"], 0x7f <unfinished ...>
80    wait4(-1,  <unfinished ...>
81    <... execve resumed>) = 0
81    clone3({flags=CLONE_VM|CLONE_THREAD, exit_signal=0}, 88) = 82
82    exit(0) = ?
82    +++ exited with 0 +++
81    exit_group(0) = ?
81    +++ exited with 0 +++
80    <... wait4 resumed>NULL, 0, NULL) = 81
80    --- SIGCHLD {si_signo=SIGCHLD} ---
80    exit_group(0) = ?
80    +++ exited with 0 +++
";
        let counts = of_strace(log);
        assert_eq!((counts.children, counts.threads, counts.execs, counts.syscalls), (1, 1, 2, 10));
    }

    #[test]
    fn a_program_alone_has_no_children() {
        let counts =
            of_strace("7 execve(\"/bin/true\", [\"true\"], 0x7f) = 0\n7 exit_group(0) = ?\n");
        assert_eq!((counts.children, counts.execs, counts.syscalls), (0, 1, 2));
    }

    #[test]
    fn the_parts_of_a_callgrind_file_are_summed() {
        assert_eq!(of_callgrind("events: Ir\nsummary: 5\ntotals: 892474\n"), 892_474);
        assert_eq!(of_callgrind("events: Ir\n"), 0);
    }
}
