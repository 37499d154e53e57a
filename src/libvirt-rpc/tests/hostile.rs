//! Servers that are broken, hostile or gone. Invariant: each is an error of its own kind, within the time
//! allowed, and nothing that such a server sends is taken for an answer.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that talks over a socket"
)]

use std::{
    io::Write,
    os::fd::AsRawFd,
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use duet_fake_tools::{FakeDomain, FakeLibvirtd, Scripted, World, read_frame, recorded, reply_to};
use duet_libvirt_rpc::{
    Client, Driver, Error, Hypervisor,
    wire::{Header, KEEPALIVE_PROGRAM, Kind, Status},
};

const UUID: &str = "c7a5fdbd-edaf-9455-926a-d65c16db1809";
const SHORT: Duration = Duration::from_millis(300);

fn open(directory: &Path) -> Result<Client, Error> {
    Client::open(Driver::Qemu, "qemu:///system", directory, SHORT)
}

/// Greets properly, then treats the look-up as `script` says.
fn after_greeting(
    script: impl Fn(&mut UnixStream, Vec<u8>) + Send + Sync + Clone + 'static,
) -> Result<(), Error> {
    let server = Scripted::start(move |mut stream| {
        for name in ["auth-list", "open"] {
            let asked = read_frame(&mut stream).unwrap();
            let body = recorded(name).answer[28..].to_vec();
            stream.write_all(&reply_to(&asked, Status::Ok, &body)).unwrap();
        }
        if let Some(asked) = read_frame(&mut stream) {
            script(&mut stream, asked);
        }
    });
    let mut client = open(server.directory()).unwrap();
    let began = Instant::now();
    let result = client.lookup_by_name("tiny1").map(drop);
    assert!(began.elapsed() < SHORT * 3, "the deadline was passed: {:?}", began.elapsed());
    if result.as_ref().is_err_and(|error| error.fault().is_none()) {
        let again = client.lookup_by_name("tiny1");
        assert!(matches!(again, Err(Error::Broken)), "a broken connection was used: {again:?}");
    }
    result
}

fn found(asked: &[u8]) -> Vec<u8> {
    reply_to(asked, Status::Ok, &recorded("lookup-by-name").answer[28..])
}

#[test]
fn nobody_listening_is_told_from_every_other_trouble() {
    let empty = tempfile::tempdir().unwrap();
    assert!(matches!(open(empty.path()), Err(Error::NotRunning { .. })));
    drop(UnixListener::bind(empty.path().join("libvirt-sock")).unwrap());
    let error = open(empty.path()).unwrap_err();
    assert!(matches!(error, Error::NotRunning { .. }), "a stale socket: {error}");
    assert!(error.to_string().contains("virtqemud-sock"), "{error}");
}

#[test]
fn the_own_daemon_is_asked_before_the_one_for_all() {
    let both = tempfile::tempdir().unwrap();
    let own = UnixListener::bind(both.path().join("virtqemud-sock")).unwrap();
    let _all = UnixListener::bind(both.path().join("libvirt-sock")).unwrap();
    // The own daemon is there but silent: that is an answer, not a reason to ask another one.
    assert!(matches!(open(both.path()), Err(Error::Deadline { .. })));
    own.set_nonblocking(true).unwrap();
    assert!(own.accept().is_ok());
    drop(own);
    assert!(matches!(open(both.path()), Err(Error::Deadline { .. })), "libvirt-sock is tried now");
}

#[test]
fn a_full_queue_is_a_deadline_and_not_a_hang() {
    use nix::sys::socket::{
        AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, listen, socket,
    };
    let directory = tempfile::tempdir().unwrap();
    let address = UnixAddr::new(&directory.path().join("libvirt-sock")).unwrap();
    let stream = || {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        socket(AddressFamily::Unix, SockType::Stream, flags, None).unwrap()
    };
    let listener = stream();
    bind(listener.as_raw_fd(), &address).unwrap();
    listen(&listener, Backlog::new(1).unwrap()).unwrap();
    let waiting: Vec<_> = std::iter::repeat_with(stream)
        .take_while(|fd| connect(fd.as_raw_fd(), &address).is_ok())
        .collect();
    assert!(waiting.len() < 10, "the queue is full now");
    let began = Instant::now();
    let error = open(directory.path()).unwrap_err();
    assert!(matches!(error, Error::Deadline { .. }), "{error}");
    assert!(began.elapsed() < SHORT * 3, "{:?}", began.elapsed());
}

#[test]
fn a_frozen_daemon_is_a_deadline() {
    let daemon = FakeLibvirtd::start(World { frozen: true, ..World::default() });
    let began = Instant::now();
    let error = open(daemon.directory()).unwrap_err();
    assert!(matches!(error, Error::Deadline { .. }), "{error}");
    assert!(began.elapsed() >= SHORT && began.elapsed() < SHORT * 3, "{:?}", began.elapsed());
}

#[test]
fn a_daemon_that_freezes_later_is_a_deadline() {
    let error = after_greeting(|_, _| thread::sleep(Duration::from_secs(2))).unwrap_err();
    assert!(matches!(error, Error::Deadline { .. }), "{error}");
}

#[test]
fn an_answer_in_small_pieces_is_put_together() {
    let result = after_greeting(|stream, asked| {
        for piece in found(&asked).chunks(7) {
            stream.write_all(piece).unwrap();
            thread::sleep(Duration::from_millis(1));
        }
    });
    assert!(result.is_ok(), "{result:?}");
}

#[test]
fn dripping_bytes_do_not_extend_the_deadline() {
    let error = after_greeting(|stream, asked| {
        for byte in found(&asked) {
            if stream.write_all(&[byte]).is_err() {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
    });
    assert!(matches!(error, Err(Error::Deadline { .. })), "{error:?}");
}

#[test]
fn endless_keepalives_do_not_extend_the_deadline() {
    let error = after_greeting(|stream, asked| {
        let (header, _) = Header::split(&asked[4..]).unwrap();
        let pong = Header {
            program: KEEPALIVE_PROGRAM,
            procedure: 2,
            kind: Kind::Message,
            serial: 0,
            ..header
        };
        while stream.write_all(&pong.frame(&[])).is_ok() {}
    });
    assert!(matches!(error, Err(Error::Deadline { .. })), "{error:?}");
}

#[test]
fn keepalives_and_events_before_the_answer_are_no_trouble() {
    let result = after_greeting(|stream, asked| {
        let (header, _) = Header::split(&asked[4..]).unwrap();
        let event = Header { procedure: 318, kind: Kind::Message, serial: 0, ..header };
        let ping = Header { program: KEEPALIVE_PROGRAM, procedure: 1, ..event };
        stream.write_all(&event.frame(&[0; 40])).unwrap();
        stream.write_all(&ping.frame(&[])).unwrap();
        let pong = read_frame(stream).unwrap();
        let (pong, _) = Header::split(&pong[4..]).unwrap();
        assert_eq!((pong.program, pong.procedure), (KEEPALIVE_PROGRAM, 2));
        stream.write_all(&found(&asked)).unwrap();
    });
    assert!(result.is_ok(), "{result:?}");
}

#[test]
fn impossible_lengths_are_refused_at_once() {
    for length in [0_u32, 27, 300 * 1024, 40 * 1024 * 1024, u32::MAX] {
        let error = after_greeting(move |stream, _| {
            stream.write_all(&length.to_be_bytes()).unwrap();
            thread::sleep(Duration::from_secs(1));
        });
        assert!(matches!(error, Err(Error::Protocol { .. })), "{length}: {error:?}");
    }
}

#[test]
fn an_answer_to_something_else_is_refused() {
    for (what, at, value) in [
        ("program", 4, 0x2000_8087_u32),
        ("version", 8, 2),
        ("procedure", 12, 24),
        ("type", 16, 0),
        ("type with descriptors", 16, 5),
        ("serial", 20, 99),
        ("status", 24, 2),
        ("status", 24, 77),
    ] {
        let error = after_greeting(move |stream, asked| {
            let mut answer = found(&asked);
            answer[at..at + 4].copy_from_slice(&value.to_be_bytes());
            stream.write_all(&answer).unwrap();
        });
        assert!(matches!(error, Err(Error::Protocol { .. })), "{what}: {error:?}");
    }
}

#[test]
fn a_body_of_the_wrong_size_is_refused() {
    for cut in [-8_i32, -1, 1, 4] {
        let error = after_greeting(move |stream, asked| {
            let mut body = recorded("lookup-by-name").answer[28..].to_vec();
            body.resize(body.len().checked_add_signed(cut as isize).unwrap(), 0);
            stream.write_all(&reply_to(&asked, Status::Ok, &body)).unwrap();
        });
        assert!(matches!(error, Err(Error::Protocol { .. })), "{cut}: {error:?}");
    }
}

#[test]
fn an_error_without_content_is_refused() {
    let error = after_greeting(|stream, asked| {
        stream.write_all(&reply_to(&asked, Status::Error, &[0; 6])).unwrap();
    });
    assert!(matches!(error, Err(Error::Protocol { .. })), "{error:?}");
}

#[test]
fn closing_midway_is_its_own_error() {
    for keep in [0, 3, 4, 20, 40] {
        let error = after_greeting(move |stream, asked| {
            stream.write_all(&found(&asked)[..keep]).unwrap();
        });
        assert!(matches!(error, Err(Error::Closed { .. })), "{keep}: {error:?}");
    }
}

#[test]
fn authentication_is_named() {
    let daemon = FakeLibvirtd::start(World { authentication: vec![2], ..World::default() });
    let error = open(daemon.directory()).unwrap_err();
    assert!(matches!(error, Error::AuthenticationNeeded { .. }), "{error}");
    assert!(error.to_string().contains("polkit"), "{error}");
}

#[test]
fn who_polkit_lets_pass_is_spoken_with() {
    let world = World { authentication: vec![2], polkit_allows: true, ..World::default() };
    let daemon = FakeLibvirtd::start(world);
    assert_eq!(open(daemon.directory()).unwrap().list().unwrap(), []);
    assert!(daemon.was_asked("auth-polkit"));
}

#[test]
fn requests_larger_than_the_protocol_are_not_sent() {
    let daemon = FakeLibvirtd::with(FakeDomain::running("vm", UUID));
    let mut client = open(daemon.directory()).unwrap();
    let huge = "x".repeat(5 * 1024 * 1024);
    assert!(matches!(client.lookup_by_name(&huge), Err(Error::TooLarge { .. })));
    assert!(client.lookup_by_name("vm").is_ok(), "the connection is still sound");
}

#[test]
fn a_refusal_leaves_the_connection_sound() {
    let daemon = FakeLibvirtd::with(FakeDomain::running("vm", UUID));
    let mut client = open(daemon.directory()).unwrap();
    assert!(matches!(client.lookup_by_name("vm1"), Err(Error::NoDomain(_))));
    assert_eq!(client.lookup_by_name("vm").unwrap().uuid.to_string(), UUID);
}
