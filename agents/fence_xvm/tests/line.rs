//! fence_virt by a channel and by a serial line (a pseudo-terminal). Invariant: what comes before the answer does not count,
//! and every run ends in its time.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]
#![allow(dead_code, reason = "each test file uses its part of the stage")]

mod stage;

use duet_xvm::{HostList, Operation, Record, Reply, Target, serial};
use nix::pty::{OpenptyResult, openpty};
use stage::daemon::Daemon;
use stage::{HOST, Ran, Stage};
use std::fs::File;
use std::io::{Read, Write};

const UUID: &str = "11111111-2222-4333-8444-555555555501";

fn first(ran: &Ran) -> &str {
    ran.stderr.lines().next().unwrap_or_default()
}

fn hosts() -> HostList {
    HostList(vec![Record::new("node1", UUID, 1).unwrap()])
}

#[test]
fn a_channel_carries_status_and_lists_whatever_comes_before() {
    let Some(stage) = Stage::with_network() else { return };
    let at = format!("-A {}", HOST[0]);
    for (answer, code, stdout) in [
        (serial::reply(Reply::Success).to_vec(), 0, "Status: ON\n"),
        (serial::reply(Reply::Off).to_vec(), 2, "Status: OFF\n"),
        ([&b"noise abba"[..4], &serial::reply(Reply::Off)].concat(), 2, "Status: OFF\n"),
        (serial::reply(Reply::Fail).to_vec(), 1, ""),
        (serial::reply(Reply::Permission).to_vec(), 3, ""),
    ] {
        let daemon = Daemon::channel(answer, true);
        let ran = stage.virt(&format!("{at} -o status -H node1"));
        assert_eq!(ran.said(), (Some(code), stdout));
        let request = &daemon.heard()[0];
        assert_eq!(request.operation, Operation::Status);
        assert_eq!(request.target, Target::Domain("node1".parse().unwrap()));
    }
    let _daemon = Daemon::channel(serial::hosts(&hosts()), true);
    let wanted = format!("node1                            {UUID} on\n");
    assert_eq!(stage.virt(&format!("{at} -o list")).said(), (Some(0), wanted.as_str()));
}

#[test]
fn a_channel_that_is_silent_closed_or_not_there_is_255() {
    let Some(stage) = Stage::with_network() else { return };
    let line = format!("-A {} -t 1 -o off -H x", HOST[0]);
    let ran = stage.virt(&line);
    assert_eq!(ran.code, Some(255));
    assert_eq!(
        ran.stderr,
        "Failed to connect to 10.99.0.1:1229: Connection refused\nUnknown response (-1)\n"
    );
    for (answer, stays, why) in [
        (vec![], true, "No answer within 1 s"),
        (b"abb".to_vec(), true, "No answer within 1 s"),
        (vec![], false, "The line was closed without an answer"),
        (serial::hosts(&hosts())[..200].to_vec(), false, "The line was closed without an answer"),
    ] {
        let _daemon = Daemon::channel(answer, stays);
        let ran = stage.virt(&line);
        assert_eq!((ran.said(), first(&ran)), ((Some(255), ""), why));
    }
}

/// A pseudo-terminal in place of a serial line, and the name of the client's end.
fn line() -> Option<(File, File, String)> {
    match openpty(None, None) {
        Ok(OpenptyResult { master, slave }) => {
            let name = nix::unistd::ttyname(&slave).unwrap().to_str().unwrap().to_owned();
            Some((File::from(master), File::from(slave), name))
        }
        Err(why) => {
            println!("skipped: no pseudo-terminal: {why}");
            None
        }
    }
}

#[test]
fn situation_35_a_serial_line_carries_a_request_and_its_answer() {
    let Some((mut host, _keep, name)) = line() else { return };
    let stage = Stage::new();
    for (answer, code, stdout) in [
        (serial::reply(Reply::Success).to_vec(), 0, String::new()),
        (serial::hosts(&hosts()), 0, format!("node1                            {UUID} on\n")),
        ([b"login: ab", &serial::reply(Reply::Fail)[..]].concat(), 1, String::new()),
    ] {
        let client = stage.start("fence_virt", &format!("-D {name} -P 9600,7E2 -o list"));
        let mut bytes = [0; serial::REQUEST];
        host.read_exact(&mut bytes).unwrap();
        let found = serial::Requests::default().feed(&bytes);
        assert_eq!(found[0].operation, Operation::List);
        host.write_all(&answer).unwrap();
        assert_eq!(client.wait().said(), (Some(code), stdout.as_str()));
    }
}

#[test]
fn what_is_no_line_is_not_written_to() {
    let stage = Stage::new();
    let file = stage.file("precious", b"precious");
    let ran = stage.virt(&format!("-D {} -o off -H x", file.display()));
    assert_eq!(ran.code, Some(255));
    assert!(first(&ran).ends_with("not a character device"), "{}", ran.stderr);
    assert_eq!(std::fs::read(&file).unwrap(), b"precious");
    let ran = stage.virt("-D /dev/nosuch -o off -H x");
    assert_eq!(ran.code, Some(255));
    let ran = stage.virt("-D /dev/null -t 1 -o off -H x");
    assert_eq!(ran.said(), (Some(255), ""), "{}", ran.stderr);
    let ran = stage.virt("-D /dev/ttyS0 -P 300 -o off -H x");
    assert_eq!((ran.code, first(&ran)), (Some(1), "Invalid serial parameters: '300'"));
}

#[test]
fn a_line_that_somebody_else_has_is_left_alone() {
    let Some((_host, ours, name)) = line() else { return };
    let stage = Stage::new();
    let lock = nix::libc::flock {
        l_type: nix::libc::F_WRLCK.try_into().unwrap(),
        l_whence: 0,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    nix::fcntl::fcntl(&ours, nix::fcntl::FcntlArg::F_SETLK(&lock)).unwrap();
    let ran = stage.virt(&format!("-D {name} -t 1 -o monitor"));
    assert_eq!(ran.code, Some(255));
    assert!(first(&ran).contains("Resource temporarily unavailable"), "{}", ran.stderr);
}
