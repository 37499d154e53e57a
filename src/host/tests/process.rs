//! Child processes end by themselves or by the deadline, with everything they started, and whatever they do with
//! their pipes.
#![allow(clippy::disallowed_methods, reason = "tests of the crate that may")]

use duet_host::process::{Call, find};
use duet_host::{Error, clock};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(20);

fn sh(script: &str) -> Call {
    Call::new("sh").arg("-c").arg(script)
}

/// Runs it with much time, and fails the test if it needed more than `most`.
fn quickly(call: &Call, most: Duration) -> duet_host::process::Ended {
    let began = clock::now();
    let ended = call.run(clock::within(LONG)).expect("it ends");
    let took = clock::now() - began;
    assert!(took < most, "took {took:?}");
    ended
}

#[test]
fn code_outputs_and_signal_are_reported() {
    let ended = quickly(&sh("echo out; echo err >&2; exit 3"), LONG);
    assert_eq!((ended.code, ended.signal), (Some(3), None));
    assert_eq!((&ended.stdout[..], &ended.stderr[..]), (&b"out\n"[..], &b"err\n"[..]));
    assert_eq!(ended.describe(), "exited with 3: err");
    assert_eq!(quickly(&sh("kill -9 $$"), LONG).describe(), "was ended by signal 9");
}

#[test]
fn a_program_that_is_being_written_is_waited_for_and_not_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("program");
    assert!(
        std::process::Command::new("cp").arg("/bin/true").arg(&path).status().unwrap().success()
    );
    let call = Call::new(path.to_string_lossy());
    let writer = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
    let error = call.run(clock::within(LONG)).unwrap_err();
    assert!(matches!(error, Error::Start { .. }), "{error}");
    let later = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        drop(writer);
    });
    assert_eq!(quickly(&call, LONG).code, Some(0));
    later.join().unwrap();
}

#[test]
fn a_child_that_hangs_is_killed_with_its_children() {
    let dir = tempfile::tempdir().unwrap();
    let script =
        format!("(sleep 3; echo late > {0}/late) & echo $! > {0}/pid; wait", dir.path().display());
    let began = clock::now();
    let error = sh(&script).run(clock::within(Duration::from_millis(500))).unwrap_err();
    assert!(matches!(error, Error::TimedOut { .. }), "{error}");
    assert!(error.to_string().starts_with("sh did not end within 0."), "{error}");
    assert!(clock::now() - began < Duration::from_secs(2));
    std::thread::sleep(Duration::from_millis(3500));
    assert!(dir.path().join("pid").exists() && !dir.path().join("late").exists());
}

#[test]
fn a_child_that_never_stops_talking_is_bounded_in_time_and_size() {
    let error = sh("yes").run(clock::within(Duration::from_millis(300))).unwrap_err();
    assert!(error.is_timeout());
    let ended = quickly(&sh("head -c 300000 /dev/zero").limit(1000), LONG);
    assert_eq!((ended.stdout.len(), ended.is_truncated), (1000, true));
}

#[test]
fn the_end_is_the_childs_own_not_that_of_who_holds_its_pipes() {
    let ended = quickly(&sh("sleep 5 & echo done"), Duration::from_secs(3));
    assert_eq!(ended.stdout, b"done\n");
    let ended = quickly(&sh("exec >&- 2>&-; sleep 0.3; exit 4"), LONG);
    assert_eq!(ended.code, Some(4));
}

#[test]
fn input_is_given_in_full_or_left() {
    let text = vec![b'x'; 300_000];
    assert_eq!(quickly(&Call::new("cat").input(text.clone()), LONG).stdout, text);
    assert!(quickly(&Call::new("true").input(text), LONG).is_success());
    assert_eq!(quickly(&Call::new("cat"), LONG).stdout, b"");
}

#[test]
fn the_environment_is_ours_to_choose() {
    let ended = quickly(&Call::new("env").env_clean().env("A", "b"), LONG);
    let mut lines: Vec<_> = std::str::from_utf8(&ended.stdout).unwrap().lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["A=b", &format!("PATH={}", duet_host::process::PATH)]);
}

#[test]
fn what_is_not_there_is_not_found() {
    assert!(matches!(Call::new("no-such").run(clock::within(LONG)), Err(Error::NotFound { .. })));
    assert!(matches!(
        Call::new("/etc/passwd").run(clock::within(LONG)),
        Err(Error::NotFound { .. })
    ));
    assert!(find("sh", duet_host::process::PATH).is_some());
    assert!(find("sh", "/nonexistent").is_none());
}

#[test]
fn waiting_costs_no_time_of_the_processor() {
    let before = cpu();
    let _ = quickly(&sh("sleep 1"), LONG);
    let used = cpu() - before;
    // This thread's alone; a busy loop would be a whole second.
    assert!(used < Duration::from_millis(200), "{used:?}");
}

fn cpu() -> Duration {
    use nix::sys::time::TimeValLike;
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_THREAD);
    let usage = usage.expect("the kernel counts");
    let microseconds = (usage.user_time() + usage.system_time()).num_microseconds();
    Duration::from_micros(u64::try_from(microseconds).unwrap_or(0))
}

/// Not a test: what `a_child_does_not_outlive_us` runs as a process of its own, and kills.
#[test]
#[ignore = "run by a_child_does_not_outlive_us"]
fn victim() {
    let Ok(pid_file) = std::env::var("VICTIM_PID_FILE") else { return };
    let _ = sh(&format!("echo $$ > {pid_file}.new; mv {pid_file}.new {pid_file}; exec sleep 30"))
        .run(clock::within(LONG));
}

#[test]
fn a_child_does_not_outlive_us() {
    let dir = tempfile::tempdir().unwrap();
    let pid_file = dir.path().join("pid");
    let mut victim = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "victim"])
        .env("VICTIM_PID_FILE", &pid_file)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let deadline = clock::within(LONG);
    let within_time = || {
        std::thread::sleep(Duration::from_millis(20));
        assert!(!deadline.remaining(clock::now()).is_zero(), "took too long");
    };
    while !pid_file.exists() {
        within_time();
    }
    let pid = std::fs::read_to_string(&pid_file).unwrap();
    victim.kill().unwrap();
    victim.wait().unwrap();
    let stat = format!("/proc/{}/stat", pid.trim());
    // Gone, or dead and waiting for whoever reaps orphans here.
    while std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
        within_time();
    }
}

#[test]
fn the_end_of_a_long_output_is_kept_where_that_is_wanted() {
    let talk = sh("seq 1 100000; echo last; seq 1 100000 >&2; echo end >&2").limit(64);
    let first = quickly(&talk, LONG);
    assert!(first.stdout.starts_with(b"1\n2\n") && first.is_truncated);
    let last = quickly(&talk.keep_end(), LONG);
    assert!(last.stdout.ends_with(b"100000\nlast\n") && last.stdout.len() == 64);
    assert!(last.stderr.ends_with(b"100000\nend\n") && last.is_truncated);
}

#[test]
fn a_child_that_hangs_can_be_asked_to_end_before_it_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let asked = dir.path().join("asked");
    for (after, survives) in [("exit 0", false), ("while :; do sleep 1; done", true)] {
        let script =
            format!("trap 'echo asked >{}; {after}' TERM; sleep 30 & wait", asked.display());
        let (began, limit) = (clock::now(), Duration::from_millis(900));
        let call = sh(&script).terminate_before(Duration::from_millis(500));
        let error = call.run(clock::within(limit)).unwrap_err();
        assert!(matches!(error, Error::TimedOut { .. }), "{error}");
        assert!(asked.exists(), "{after}");
        let took = clock::now() - began;
        assert_eq!(took >= limit, survives, "{after} took {took:?}");
        std::fs::remove_file(&asked).unwrap();
    }
}
