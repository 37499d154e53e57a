//! What becomes of a call whose work hangs where nobody can end it, or is ended by somebody. Invariant: it is answered with a code that
//! changes nothing, in time, and the next call finds everything as if there had been none.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]

mod stage;

use std::{
    path::PathBuf,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use duet_fake_tools::Daemons;
use nix::{
    sys::{
        ptrace,
        signal::{Signal, kill},
    },
    unistd::Pid,
};
use stage::{Node, Stage, V9};

const TWO: &[&str] = &["node1", "node2"];
/// Whatever is waited for comes sooner.
const PATIENCE: Duration = Duration::from_secs(60);

/// What stands behind the name in `/proc/PID/stat`: the state, and the parent.
fn stat(pid: Pid) -> Option<(String, Pid)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut words = text.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = words.next()?.to_owned();
    Some((state, Pid::from_raw(words.next()?.parse().ok()?)))
}

/// The processes whose parent this is.
fn children(of: Pid) -> Vec<Pid> {
    let all = std::fs::read_dir("/proc").unwrap();
    let pids = all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.map(Pid::from_raw)
        .filter(|pid| stat(*pid).is_some_and(|(_, parent)| parent == of))
        .collect()
}

/// Whether it has ended, whoever takes note of that.
fn is_over(pid: Pid) -> bool {
    stat(pid).is_none_or(|(state, _)| matches!(state.as_str(), "Z" | "X"))
}

#[track_caller]
fn until(what: &str, mut is: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is() {
        assert!(began.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A call that is in the middle of its work, and the process that does that.
fn at_work(node: &Node, name: &str, mask: u64) -> (Child, Pid) {
    node.logged();
    node.tools.forget();
    let words = ["--timeout=0", "--dc-timeout=0"];
    let environment = node.environment(1, mask, "NetworkFailure");
    let mut command = node.command(name, &words, &environment);
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    node.looked(1);
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
    let workers = children(pid);
    assert_eq!(workers.len(), 1, "{workers:?}");
    (child, workers[0])
}

fn open_files(pid: Pid) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    entries.filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok()).collect()
}

/// What of a process hangs where it cannot be killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    /// The thread that does the work.
    OneThread,
    /// All of them.
    All,
}

/// Traced to its end, a thread that is killed stays as it was in all but that it does nothing any more: its process has its files
/// open, and nobody can take note of its end. That is what one is that hangs in the kernel.
fn hold(worker: Pid, held: Held) -> nix::Result<()> {
    if held == Held::All {
        kill(worker, Signal::SIGSTOP)?;
        until("the process to be stopped", || stat(worker).is_some_and(|(state, _)| state == "T"));
    }
    ptrace::seize(worker, ptrace::Options::PTRACE_O_TRACEEXIT)?;
    if held == Held::OneThread {
        // A signal could be taken by another one, which would stop all.
        ptrace::interrupt(worker)?;
        until("the thread to be stopped", || stat(worker).is_some_and(|(state, _)| state == "t"));
    }
    Ok(())
}

fn holds_neither_the_answer_nor_the_lock(held: Held, why: &str) {
    let Some(stage) = Stage::new(V9, TWO) else { return };
    stage.cut();
    let node = &stage.nodes[0];
    node.kernel.module().faults.hang_on = Some(38);
    let (mut call, worker) = at_work(node, "crm-fence-peer", 0x1);
    if let Err(why) = hold(worker, held) {
        eprintln!("skipped: no process may be traced here: {why}");
        call.kill().unwrap();
        call.wait().unwrap();
        return;
    }
    let code = call.wait().unwrap().code();
    let log = node.logged();
    assert_eq!(code, Some(1), "{log:?}");
    assert!(log.last().unwrap().contains(why), "{log:?}");
    let records = node.records();
    assert_eq!(records.len(), 1, "{records:?}");
    assert!(std::fs::read_to_string(&records[0]).unwrap().contains("CutOff"));
    // It is there, and has the lock's file open.
    assert!(!is_over(worker));
    let files = open_files(worker);
    assert!(files.iter().any(|file| file.ends_with("fence.r0")), "{files:?}");
    // The next one has the lock, and knows of nothing that could still arrive.
    node.kernel.module().faults.hang_on = None;
    let ran = node.fence(1, 0x1);
    assert_eq!((ran.code, stage.allowed()), (4, Some(vec!["node1".into()])), "{ran:?}");
    assert!(!ran.log.iter().any(|line| line.contains("the lock")), "{ran:?}");
    assert!(!node.tools.calls_of("cibadmin").iter().any(|call| call.contains("--bump")));
    ptrace::detach(worker, None).unwrap();
    until("its end", || is_over(worker));
}

#[test]
fn a_thread_that_nobody_can_end_holds_neither_the_answer_nor_the_lock() {
    holds_neither_the_answer_nor_the_lock(Held::OneThread, "something still hangs; exit code 1");
}

#[test]
fn a_process_that_nobody_can_end_holds_neither_the_answer_nor_the_lock() {
    holds_neither_the_answer_nor_the_lock(Held::All, "the kernel does not let go of it");
}

#[test]
fn a_call_whose_work_is_killed_answers_1_at_once_and_the_next_one_has_the_lock() {
    let Some(stage) = Stage::new(V9, TWO) else { return };
    stage.cut();
    let node = &stage.nodes[0];
    node.kernel.module().faults.hang_on = Some(38);
    let (mut call, worker) = at_work(node, "crm-fence-peer", 0x1);
    kill(worker, Signal::SIGKILL).unwrap();
    let code = call.wait().unwrap().code();
    let log = node.logged();
    assert_eq!(code, Some(1), "{log:?}");
    assert!(log.last().unwrap().contains("was ended by SIGKILL"), "{log:?}");
    node.kernel.module().faults.hang_on = None;
    let ran = node.fence(1, 0x1);
    assert_eq!((ran.code, stage.allowed()), (4, Some(vec!["node1".into()])), "{ran:?}");
    assert!(!ran.log.iter().any(|line| line.contains("the lock")), "{ran:?}");
}

/// Whether whoever runs the tests has this signal ignored, as nohup does, and so by all that they start.
fn is_ignored(signal: Signal) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap().trim();
    u64::from_str_radix(mask, 16).unwrap() & (1 << (signal as i32 - 1)) != 0
}

#[test]
fn whoever_ends_a_call_ends_its_work_and_its_tools() {
    let signals = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGKILL];
    for signal in signals.into_iter().filter(|signal| !is_ignored(*signal)) {
        for name in ["crm-fence-peer", "crm-unfence-peer"] {
            let Some(stage) = Stage::new(V9, TWO) else { return };
            stage.cut();
            stage.cluster.change(|it| it.side("node1").daemons = Daemons::Hung);
            let node = &stage.nodes[0];
            let (mut call, worker) = at_work(node, name, 0x1);
            let tools = children(worker);
            assert!(!tools.is_empty());
            let pid = Pid::from_raw(i32::try_from(call.id()).unwrap());
            kill(pid, signal).unwrap();
            assert_eq!(call.wait().unwrap().code(), None, "{name} {signal}");
            until("the end of all", || is_over(worker) && tools.iter().all(|tool| is_over(*tool)));
        }
    }
}
