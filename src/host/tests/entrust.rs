//! Work that a child does, as the caller of the process sees it. Invariant: only what was told is answered, and nothing is left
//! running.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests of the crate that may")]

use duet_host::process::{Call, Ended};
use duet_host::{Lock, clock};
use std::path::PathBuf;
use std::time::Duration;

fn run(words: &[&str]) -> (Option<i32>, String) {
    let mut path: PathBuf = std::env::current_exe().unwrap();
    path.pop();
    let program = path.with_file_name("examples").join("entrusted");
    let call = Call::new(program.to_str().unwrap()).args(words);
    let Ended { code, stdout, .. } = call.run(clock::within(Duration::from_secs(30))).unwrap();
    (code, String::from_utf8(stdout).unwrap().trim().to_owned())
}

#[test]
fn what_the_child_tells_first_is_the_answer_and_no_other_end_is_one() {
    for (what, code, heard) in [
        ("tells", 4, "Ok(Told { code: 4, is_through: true })"),
        ("tells-and-hangs", 4, "Ok(Told { code: 4, is_through: false })"),
        ("tells-by-another-thread", 5, "Ok(Told { code: 5, is_through: false })"),
        ("says-nothing", 1, "Ok(Ended(\"exited with 0\"))"),
        ("exits", 1, "Ok(Ended(\"exited with 4\"))"),
        ("panics", 1, "Ok(Ended(\"exited with 101\"))"),
        ("is-killed", 1, "Ok(Ended(\"was ended by SIGKILL\"))"),
        ("asks-for-time", 4, "Ok(Told { code: 4, is_through: true })"),
        ("hangs", 1, "Ok(Nothing)"),
    ] {
        assert_eq!(run(&[what]), (Some(code), heard.to_owned()), "{what}");
    }
}

#[test]
fn a_lock_is_free_when_the_call_is_over() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("lock");
    let (code, heard) = run(&["locks-and-hangs", path.to_str().unwrap()]);
    assert_eq!((code, heard.as_str()), (Some(1), "Ok(Nothing)"));
    assert!(Lock::take(&path, clock::within(Duration::ZERO)).unwrap().is_some());
}
