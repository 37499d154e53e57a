//! The fake command-line tools, called as agents call them.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "it starts the fake tools")]

use std::{
    io::Write,
    process::{Command, Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use duet_fake_tools::{Answer, FakeTools};
use tempfile::TempDir;

/// As agents and their children have it, whatever they were given.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

fn stage() -> (TempDir, FakeTools) {
    let directory = tempfile::tempdir().unwrap();
    let tools = FakeTools::at(&directory.path().join("tools"));
    (directory, tools)
}

fn call(tools: &FakeTools, tool: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(tools.programs().join(tool));
    command.args(arguments).stdin(Stdio::null()).output().unwrap()
}

#[test]
fn every_call_is_remembered_as_it_was() {
    let (_directory, tools) = stage();
    tools.answer("drbdadm", "", Answer::success());
    let strange = ["-c", "/etc/drbd conf", "a\tb\\n", "two\nlines\n", "", "ü *"];
    call(&tools, "drbdadm", &strange);
    call(&tools, "drbdadm", &[]);
    let expected: Vec<String> = ["drbdadm"].into_iter().chain(strange).map(str::to_owned).collect();
    assert_eq!(tools.calls(), [expected, vec!["drbdadm".to_owned()]]);
    tools.forget();
    assert_eq!(tools.calls(), [[""; 0]; 0]);
}

#[test]
fn nothing_is_answered_that_was_not_arranged() {
    let (_directory, tools) = stage();
    tools.answer("drbdadm", "secondary", Answer::success());
    let output = call(&tools, "drbdadm", &["primary", "r0"]);
    assert_eq!(output.status.code(), Some(99));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(stderr, "fake drbdadm: nothing is arranged for: primary r0\n");
    assert_eq!(tools.calls_of("drbdadm"), ["primary r0"]);
}

#[test]
fn a_word_of_the_command_chooses_the_answer() {
    let (_directory, tools) = stage();
    let refused = "r0: State change failed: (-1) Multiple primaries not allowed by config\n";
    tools.answer("drbdadm", "primary", Answer::fails(11, refused));
    tools.answer("drbdadm", "role", Answer::prints("Secondary/Primary\n"));
    tools.answer("crm_attribute", "", Answer::success());
    tools.answer("crm_attribute", "query", Answer::fails(105, ""));
    let output = call(&tools, "drbdadm", &["-c", "/etc/drbd.conf", "--stacked", "primary", "r0"]);
    assert_eq!(output.status.code(), Some(11));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), refused);
    assert_eq!(call(&tools, "drbdadm", &["role", "r0"]).stdout, b"Secondary/Primary\n");
    let code = |arguments: &[&str]| call(&tools, "crm_attribute", arguments).status.code();
    assert_eq!(code(&["-N", "node1", "-v", "100"]), Some(0));
    assert_eq!(code(&["-N", "node1", "--query"]), Some(105));
    assert_eq!(code(&["--query=primary"]), Some(105));
}

#[test]
fn answers_come_in_order_and_the_last_one_stays() {
    let (_directory, tools) = stage();
    let busy = Answer::fails(11, "Device is held open by someone\n");
    tools.answers("drbdadm", "secondary", [busy.clone(), busy, Answer::success()]);
    let codes: Vec<_> =
        (0..4).map(|_| call(&tools, "drbdadm", &["secondary", "r0"]).status.code()).collect();
    assert_eq!(codes, [Some(11), Some(11), Some(0), Some(0)]);
}

#[test]
fn a_script_runs_in_the_call_and_knows_how_it_ends() {
    let (directory, tools) = stage();
    let heard = directory.path().join("heard");
    tools.answers("drbdadm", "primary", [Answer::fails(17, ""), Answer::success()]);
    let script = format!("echo $CODE $* >>{}", heard.display());
    tools.on("drbdadm", "primary", &script);
    tools.answer("drbdadm", "", Answer::success());
    for word in ["primary", "adjust", "primary"] {
        call(&tools, "drbdadm", &[word, "r0"]);
    }
    let heard = std::fs::read_to_string(heard).unwrap();
    assert_eq!(heard, "17 primary r0\n0 primary r0\n");
    assert_eq!(tools.calls().len(), 3);
}

#[test]
fn a_promotion_has_happened_when_the_tool_returns() {
    let (_directory, tools) = stage();
    let is_primary = Arc::new(AtomicBool::new(false));
    tools.answers("drbdadm", "primary", [Answer::fails(11, ""), Answer::success()]);
    let kernel = Arc::clone(&is_primary);
    tools.then("drbdadm", "primary", move |call| {
        assert_eq!(call.arguments, "primary r0");
        // Slow enough for a tool that did not wait to be seen.
        std::thread::sleep(Duration::from_millis(100));
        kernel.store(call.code == 0, Ordering::SeqCst);
    });
    let mut seen = Vec::new();
    for _ in 0..2 {
        let code = call(&tools, "drbdadm", &["primary", "r0"]).status.code();
        seen.push((code, is_primary.load(Ordering::SeqCst)));
    }
    assert_eq!(seen, [(Some(11), false), (Some(0), true)]);
}

#[test]
#[should_panic(expected = "on-drbdadm-primary failed")]
fn a_test_that_panics_in_a_call_does_not_wait_for_ever() {
    let (_directory, tools) = stage();
    tools.answer("drbdadm", "", Answer::success());
    tools.then("drbdadm", "primary", |_| panic!("as arranged"));
    call(&tools, "drbdadm", &["primary", "r0"]);
    let _ = tools.calls();
}

#[test]
fn the_tools_are_found_before_the_real_ones() {
    let (_directory, tools) = stage();
    tools.answer("modprobe", "", Answer::prints("fake\n"));
    let mut command = Command::new("unshare");
    let script = "mount --bind \"$1\" /usr/local/sbin; modprobe -s drbd";
    let command = command.args(["--mount", "--propagation", "private", "sh", "-ec", script, "sh"]);
    let output = command.arg(tools.programs()).env("PATH", PATH).output().unwrap();
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        assert!(why.contains("unshare"), "{why}");
        eprintln!("skipped: no private mount namespace on this machine: {why}");
        return;
    }
    assert_eq!(output.stdout, b"fake\n");
    assert_eq!(tools.calls_of("modprobe"), ["-s drbd"]);
}

#[test]
#[should_panic(expected = "on-drbdadm-primary failed")]
fn a_script_that_fails_fails_the_test() {
    let (_directory, tools) = stage();
    tools.answer("drbdadm", "", Answer::success());
    tools.on("drbdadm", "primary", "false; true");
    call(&tools, "drbdadm", &["primary", "r0"]);
    let _ = tools.calls();
}

#[test]
fn an_answer_can_be_late_or_never_come() {
    let (_directory, tools) = stage();
    tools.answer("drbdsetup", "status", Answer::success().after(Duration::from_millis(300)));
    let began = Instant::now();
    call(&tools, "drbdsetup", &["status"]);
    assert!(began.elapsed() >= Duration::from_millis(300), "{:?}", began.elapsed());
    tools.answer("drbdsetup", "down", Answer::hangs());
    let mut command = Command::new(tools.programs().join("drbdsetup"));
    let mut child = command.args(["down", "r0"]).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while tools.calls_of("drbdsetup").len() < 2 {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(10));
    }
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(child.try_wait().unwrap(), None);
    // It has become the sleep itself, so that this leaves nobody behind.
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn what_comes_on_stdin_is_kept() {
    let (_directory, tools) = stage();
    tools.answer("cibadmin", "", Answer::success());
    let mut command = Command::new(tools.programs().join("cibadmin"));
    let mut child = command.args(["--patch", "--xml-pipe"]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"<diff/>\n").unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(tools.stdin_of("cibadmin"), "<diff/>\n");
}

#[test]
fn a_tool_can_be_missing() {
    let (_directory, tools) = stage();
    tools.remove("drbdsetup");
    assert!(!tools.programs().join("drbdsetup").exists());
    assert!(tools.programs().join("drbdadm").exists());
}

#[test]
fn recordings_are_answers() {
    let (_directory, tools) = stage();
    let file = "9/state-00-module-only-node1.txt";
    tools.answer("drbdadm", "role", Answer::recorded(file, "drbdadm role r0"));
    let output = call(&tools, "drbdadm", &["role", "r0"]);
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(10), b"".as_slice()));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.starts_with("r0: Unknown resource\n"), "{stderr}");
    let file = "8.4/state-04-connected-node1-primary-node1.txt";
    let now = Answer::recorded(file, "drbdsetup events2 --now --timestamps");
    assert_eq!((now.code, now.stdout.lines().count()), (0, 5));
}
