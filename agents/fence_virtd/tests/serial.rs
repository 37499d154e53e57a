//! Guests that ask over a serial line of their own: frames among noise, guests that end and begin anew, and who they are.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test that starts daemons")]

mod stage;

use std::{
    io::{Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    time::{Duration, Instant},
};

use duet_fake_tools::{FakeDomain, World};
use duet_xvm::{
    Operation, Reply, Target,
    exchange::Answer,
    serial::{Replies, Request},
};
use stage::{OTHER, PATIENCE, Stage, UUID};

const SERIAL: &str = "fence_virtd { listener = \"serial\"; backend = \"libvirt\"; }
    listeners { serial { uri = \"qemu:///system\"; } }
    backends { libvirt { uri = \"qemu:///system\"; } }";

fn request(operation: Operation, domain: &str, sequence: u32) -> Vec<u8> {
    let target = domain.parse().map_or(Target::Nobody, Target::Domain);
    Request { operation, target, sequence }.to_bytes().to_vec()
}

/// QEMU's end of a line.
struct Line {
    listener: UnixListener,
}

impl Line {
    fn connected(&self) -> UnixStream {
        self.listener.set_nonblocking(true).unwrap();
        let began = Instant::now();
        loop {
            if let Ok((stream, _)) = self.listener.accept() {
                stream.set_nonblocking(false).unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                return stream;
            }
            assert!(began.elapsed() < PATIENCE, "the daemon does not connect");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn answer(stream: &mut UnixStream) -> Answer {
    let mut replies = Replies::default();
    loop {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        if let Some(answer) = replies.feed(&byte).unwrap() {
            return answer;
        }
    }
}

fn ask(stream: &mut UnixStream, frame: &[u8]) -> Answer {
    stream.write_all(frame).unwrap();
    answer(stream)
}

/// A guest with a line, and one without.
fn served(configuration: &str, story: impl FnOnce(&mut Stage, &Line)) {
    let Some(mut stage) = Stage::new(World::default()) else { return };
    let path = stage.at("line.sock");
    let line = Line { listener: UnixListener::bind(&path).unwrap() };
    let xml = format!(
        "<domain type='kvm'><name>node1</name><uuid>{UUID}</uuid><devices><serial type='unix'><source mode='bind' path='{}'/></serial></devices></domain>",
        path.display()
    );
    let node1 = FakeDomain { persistent: true, xml, ..FakeDomain::running("node1", UUID) };
    let node2 = FakeDomain { persistent: true, ..FakeDomain::running("node2", OTHER) };
    stage.libvirt.world().domains = vec![node1, node2];
    stage.configure(configuration);
    stage.start(&[]);
    story(&mut stage, &line);
}

#[test]
fn a_guest_asks_over_its_line_also_among_noise() {
    served(SERIAL, |stage, line| {
        let mut stream = line.connected();
        let success = Answer::Reply(Reply::Success);
        assert_eq!(ask(&mut stream, &request(Operation::Status, "node2", 1)), success);
        assert_eq!(
            ask(&mut stream, &request(Operation::Status, "nobody", 2)),
            Answer::Reply(Reply::Fail)
        );
        // Stray bytes, the beginning of a frame, and then a whole one.
        stream.write_all(b"\x00abba\xffab").unwrap();
        assert_eq!(ask(&mut stream, &request(Operation::Off, "node2", 3)), success);
        assert_eq!(stage.state("node2"), Some(5));
        stream.write_all(&request(Operation::List, "", 4)).unwrap();
        let mut bytes = vec![0; 5 + 3 * 130 + 5];
        stream.read_exact(&mut bytes).unwrap();
        assert_eq!((&bytes[..5], &bytes[395..]), (&b"abba\xfd"[..], &b"abba\x00"[..]));
        assert!(stage.logged("operation=off").contains(&format!("source={UUID}")));
    });
}

#[test]
fn a_copy_on_a_line_is_not_answered_and_the_next_request_is() {
    served(SERIAL, |stage, line| {
        let mut stream = line.connected();
        let off = request(Operation::Off, "node2", 7);
        assert_eq!(ask(&mut stream, &off), Answer::Reply(Reply::Success));
        stage.libvirt.world().domains[1].state = 1;
        stream.write_all(&off).unwrap();
        assert_eq!(
            ask(&mut stream, &request(Operation::Status, "node2", 8)),
            Answer::Reply(Reply::Success)
        );
        assert_eq!(stage.changes().len(), 1);
    });
}

#[test]
fn a_guest_that_begins_anew_is_connected_again() {
    served(SERIAL, |stage, line| {
        drop(line.connected());
        let mut stream = line.connected();
        assert_eq!(
            ask(&mut stream, &request(Operation::Monitor, "", 1)),
            Answer::Reply(Reply::Success)
        );
        // It ends, and libvirt says so: the line is given up.
        stage.libvirt.world().domains[0].state = 5;
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        stage.libvirt.world().domains[0].state = 1;
        let mut stream = line.connected();
        assert_eq!(
            ask(&mut stream, &request(Operation::Monitor, "", 2)),
            Answer::Reply(Reply::Success)
        );
    });
}

#[test]
fn a_guest_is_a_member_of_the_groups_that_have_its_name_or_uuid() {
    let groups = format!(
        "{SERIAL} groups {{ group {{ uuid = \"node1\"; uuid = \"{UUID}\"; }} group {{ uuid = \"node2\"; ip = \"10.99.0.1\"; }} }}"
    );
    served(&groups, |_, line| {
        let mut stream = line.connected();
        assert_eq!(
            ask(&mut stream, &request(Operation::Status, "node1", 1)),
            Answer::Reply(Reply::Success)
        );
        assert_eq!(
            ask(&mut stream, &request(Operation::Off, "node2", 2)),
            Answer::Reply(Reply::Permission)
        );
        let Answer::Hosts(hosts) = ask(&mut stream, &request(Operation::List, "", 3)) else {
            panic!("no list")
        };
        assert_eq!(hosts.0.len(), 1);
    });
}

#[test]
fn a_guest_that_says_more_than_it_may_is_not_waited_for_nor_remembered() {
    served(SERIAL, |stage, line| {
        let mut stream = line.connected();
        let (before, began) = (stage.peak_kib(), Instant::now());
        stream.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
        // Garbage, and answers that it never reads.
        let list = request(Operation::List, "", 1);
        for number in 0..20_000_u32 {
            let mut frame = list.clone();
            frame[70..].copy_from_slice(&number.to_le_bytes());
            let sent = stream.write_all(&frame).and_then(|()| stream.write_all(&[0x61; 200]));
            if sent.is_err() || began.elapsed() > Duration::from_secs(5) {
                break;
            }
        }
        assert!(stage.peak_kib() < before + 8 * 1024, "{} KiB, {before} before", stage.peak_kib());
        drop(stream);
        let mut stream = line.connected();
        assert_eq!(
            ask(&mut stream, &request(Operation::Monitor, "", 2)),
            Answer::Reply(Reply::Success)
        );
    });
}

#[test]
fn a_guest_asks_twenty_times_at_once_and_then_twenty_times_a_second() {
    served(SERIAL, |_, line| {
        let mut stream = line.connected();
        let began = Instant::now();
        for number in 0..60 {
            let answer = ask(&mut stream, &request(Operation::Monitor, "", number));
            assert_eq!(answer, Answer::Reply(Reply::Success));
        }
        assert!(began.elapsed() > Duration::from_secs(1), "{:?}", began.elapsed());
    });
}
