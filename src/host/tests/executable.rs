//! A whole agent as an executable: exit codes, reasons and log lines as a caller sees them, panic and
//! expiry included.
#![allow(clippy::disallowed_methods, reason = "tests of the crate that may")]

use duet_host::clock;
use duet_host::process::{Call, Ended};
use std::path::PathBuf;
use std::time::Duration;

/// Cargo builds examples beside the tests, but names them to tests of other packages only.
fn example(name: &str) -> PathBuf {
    let mut path = std::env::current_exe().expect("a test is a file");
    path.pop();
    path.with_file_name("examples").join(name)
}

fn run(action: &str, variables: &[(&str, &str)]) -> Ended {
    let mut call = Call::new(example("minimal").to_str().expect("a plain path")).env_clean();
    if !action.is_empty() {
        call = call.arg(action);
    }
    for (name, value) in variables {
        call = call.env(name, value);
    }
    call.run(clock::within(Duration::from_secs(20))).expect("it ends")
}

fn stderr(ended: &Ended) -> &str {
    std::str::from_utf8(&ended.stderr).expect("text")
}

#[test]
fn a_life() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let state = [("OCF_RESKEY_state", state.to_str().unwrap())];
    for (action, code) in [
        ("monitor", 7),
        ("stop", 0),
        ("start", 0),
        ("start", 0),
        ("monitor", 0),
        ("stop", 0),
        ("monitor", 7),
        ("validate-all", 0),
        ("promote", 3),
        ("", 3),
        ("usage", 0),
    ] {
        assert_eq!(run(action, &state).code, Some(code), "{action}");
    }
}

#[test]
fn changes_are_logged_and_quiet_monitors_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let state = ("OCF_RESKEY_state", state.to_str().unwrap());
    let start = run("start", &[state]);
    assert_eq!(stderr(&start), format!("INFO: Changed {}\n", state.1));
    assert_eq!(stderr(&run("monitor", &[state])), "");
    let log = dir.path().join("log");
    let file = ("HA_LOGFILE", log.to_str().unwrap());
    let stop = run("stop", &[state, file, ("OCF_RESOURCE_INSTANCE", "m1")]);
    assert_eq!(stderr(&stop), "");
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("minimal(m1)[") && log.contains("]:    INFO: Changed "), "{log}");
}

#[test]
fn a_panic_is_an_answer() {
    let ended = run("monitor", &[("OCF_RESKEY_state", "/x"), ("OCF_RESKEY_misbehave", "panic")]);
    assert_eq!(ended.code, Some(1));
    let [reason] = stderr(&ended).lines().collect::<Vec<_>>()[..] else { panic!("{ended:?}") };
    assert!(reason.starts_with("ocf-exit-reason:Internal error in minimal at "), "{reason}");
    assert!(reason.ends_with(": told to; misbehave"), "{reason}");
}

#[test]
fn expiry_comes_before_pacemakers() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let began = clock::now();
    let ended = run(
        "start",
        &[
            ("OCF_RESKEY_state", state.to_str().unwrap()),
            ("OCF_RESKEY_misbehave", "hang"),
            ("OCF_RESKEY_CRM_meta_timeout", "1000"),
        ],
    );
    assert_eq!(ended.code, Some(1));
    assert!(clock::now() - began < Duration::from_secs(1));
    assert!(
        stderr(&ended).contains("ocf-exit-reason:Timed out after 0.9 s waiting for the file\n")
    );
}

#[test]
fn validation_shows_errors_in_both_forms() {
    let bad = [("OCF_RESKEY_state", "/x"), ("OCF_RESKEY_fast", "maybe")];
    let ended = run("validate-all", &bad);
    assert_eq!(ended.code, Some(6));
    let [reason, error] = stderr(&ended).lines().collect::<Vec<_>>()[..] else {
        panic!("{ended:?}")
    };
    let reason = reason.strip_prefix("ocf-exit-reason:").unwrap();
    assert_eq!(error, format!("ERROR: {reason}"));
    let start = run("start", &bad);
    assert_eq!(stderr(&start), format!("ocf-exit-reason:{reason}\n"));
}

#[test]
fn output_that_cannot_be_delivered_is_a_failure() {
    let call =
        Call::new("sh").arg("-c").arg(r#""$0" meta-data >/dev/full"#).arg(example("minimal"));
    assert_eq!(call.run(clock::within(Duration::from_secs(20))).unwrap().code, Some(1));
}

/// Full before it begins, and never emptied.
#[test]
fn a_stderr_that_nobody_reads_holds_nobody() {
    use std::os::unix::net::UnixStream;
    let (ours, theirs) = UnixStream::pair().unwrap();
    theirs.set_nonblocking(true).unwrap();
    while std::io::Write::write(&mut &theirs, &[b'x'; 4096]).is_ok() {}
    while std::io::Write::write(&mut &theirs, b"x").is_ok() {}
    // Shared by all who have the descriptor: a blocking write would wait for ever now.
    theirs.set_nonblocking(false).unwrap();
    let mut agent = std::process::Command::new(example("minimal"))
        .arg("no-such-action")
        .env_clear()
        .stdin(std::process::Stdio::null())
        .stderr(std::os::fd::OwnedFd::from(theirs))
        .spawn()
        .unwrap();
    let deadline = clock::within(Duration::from_secs(5));
    let code = loop {
        if let Some(status) = agent.try_wait().unwrap() {
            break status.code();
        }
        if deadline.remaining(clock::now()).is_zero() {
            agent.kill().unwrap();
            agent.wait().unwrap();
            break None;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(code, Some(3));
    drop(ours);
}

#[test]
fn a_panic_on_any_thread_ends_a_guarded_program_with_1_and_a_line() {
    for (thread, code, said) in
        [("none", 7, ""), ("main", 1, "on the first thread"), ("other", 1, "on another thread")]
    {
        let call = Call::new(example("guarded").to_str().expect("a plain path")).arg(thread);
        let ended = call.run(clock::within(Duration::from_secs(20))).expect("it ends");
        assert_eq!(ended.code, Some(code), "{thread}");
        let lines: Vec<&str> = stderr(&ended).lines().collect();
        assert_eq!(lines.len(), usize::from(code == 1), "{lines:?}");
        assert!(lines.iter().all(|line| line.starts_with("ERROR: Internal error in guarded")));
        assert!(stderr(&ended).contains(said), "{lines:?}");
    }
}
