//! The recorder over real sockets: one clock, names by address, bounded stop.

#![allow(clippy::unwrap_used, reason = "tests; the lint knows only functions marked as such")]
#![allow(clippy::disallowed_methods, reason = "measures how long the stop takes")]

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use duet_oracle::event::serial_lines;
use duet_oracle::{Kind, Line, Recorder, Sources, eventually};

const SOON: Duration = Duration::from_secs(5);

fn socket() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").unwrap()
}

#[test]
fn serial_bytes_logs_and_marks_come_into_one_record() {
    let (serial, logs) = (socket(), socket());
    let (to_serial, to_logs) = (serial.local_addr().unwrap(), logs.local_addr().unwrap());
    let (node1, node2) = (socket(), UdpSocket::bind("127.0.0.2:0").unwrap());
    let sources = Sources::default()
        .socket(node1.local_addr().unwrap(), "node1")
        .node("127.0.0.2".parse().unwrap(), "node2");

    let mut recorder = Recorder::start();
    recorder.listen_serial(serial, sources.clone()).unwrap();
    recorder.listen_syslog(logs, sources).unwrap();
    let journal = recorder.journal();
    journal.mark("begin");
    for byte in b"B 00000000 00000000\nA 00000001\n" {
        node1.send_to(&[*byte], to_serial).unwrap();
    }
    node2.send_to(b"<6>Nov 20 10:47:25 kernel: [ 1.2] drbd r0: x\n", to_logs).unwrap();
    eventually(SOON, "two lines and a log entry", || journal.events().len() == 4).unwrap();
    let marked = journal.mark("end");
    assert_eq!(journal.since(marked).len(), 1);
    node2.send_to(b"A 0000", to_serial).unwrap();
    let begin = Instant::now();
    let events = recorder.stop();
    assert!(begin.elapsed() < Duration::from_secs(1));

    let serial: Vec<_> =
        serial_lines(&events).into_iter().map(|line| (line.source, line.line)).collect();
    assert_eq!(
        serial,
        [
            ("node1".into(), Line::Boot { highest: 0, valid: 0 }),
            ("node1".into(), Line::Ack(1)),
            ("node2".into(), Line::Garbled("A 0000".into())),
        ]
    );
    let log = events.iter().find(|event| matches!(event.kind, Kind::Log(_))).unwrap();
    assert_eq!(log.source, "node2");
    assert!(events.is_sorted_by_key(|event| event.at));
}

#[test]
fn a_burst_is_not_lost() {
    let serial = socket();
    let to = serial.local_addr().unwrap();
    let mut recorder = Recorder::start();
    // Sent before anybody reads: it waits in the socket's buffer, which is enlarged first.
    recorder.listen_serial(serial, Sources::default()).unwrap();
    let sender = socket();
    for number in 1..=2000u32 {
        sender.send_to(format!("A {number:08x}\n").as_bytes(), to).unwrap();
    }
    let lines = serial_lines(&recorder.stop());
    assert_eq!(lines.len(), 2000);
}

#[test]
fn an_unnamed_sender_goes_by_its_host_name_or_address() {
    let logs = socket();
    let to = logs.local_addr().unwrap();
    let mut recorder = Recorder::start();
    recorder.listen_syslog(logs, Sources::default()).unwrap();
    let sender = socket();
    sender.send_to(b"<6>Nov 20 10:47:25 node9 x[1]: named", to).unwrap();
    sender.send_to(b"<6>Nov 20 10:47:25 x[1]: unnamed", to).unwrap();
    let sources: Vec<_> = recorder.stop().into_iter().map(|event| event.source).collect();
    assert_eq!(sources, ["node9", "127.0.0.1"]);
}
