//! Others than the daemon who call back, or have it call back: none of them keeps fence_xvm from being answered, and none is believed.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]
#![allow(dead_code, reason = "each test file uses its part of the stage")]

mod stage;

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use stage::daemon::{Daemon, Manner, Settings};
use stage::{CLIENT, Stage};

/// Whoever connects to where a call-back is awaited as soon as it can, and stays, saying this; and does that again and again.
struct Stranger {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<usize>>,
}

impl Stranger {
    fn at(port: u16, says: &'static [u8], again: Option<Duration>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stop);
        let to = SocketAddr::new(CLIENT[0].parse().unwrap(), port);
        let thread = std::thread::spawn(move || {
            let mut held = Vec::new();
            while !flag.load(Ordering::Relaxed) {
                if held.is_empty() || again.is_some() {
                    if let Ok(mut stream) = TcpStream::connect(to) {
                        let _ = std::io::Write::write_all(&mut stream, says);
                        held.push(stream);
                    }
                }
                std::thread::sleep(again.unwrap_or(Duration::from_millis(1)));
            }
            held.len()
        });
        Self { stop, thread: Some(thread) }
    }

    /// How often it has connected.
    fn leave(mut self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

#[test]
fn a_stranger_who_connects_and_is_silent_does_not_keep_the_daemon_from_being_asked_again() {
    let Some(stage) = Stage::with_network() else { return };
    for (says, again) in [
        (&b""[..], None),
        (&b"\0"[..], None),
        (&[7; 63][..], None),
        (&b""[..], Some(Duration::from_millis(100))),
    ] {
        // The first copies are lost: those of one time are two.
        let daemon = Daemon::v4(Settings::answering(&[]).with(Manner::Deaf(2, vec![0])));
        let stranger = Stranger::at(1229, says, again);
        let ran = stage.xvm("-t 20 -r 3 -o off -H x");
        assert!(stranger.leave() > 0, "the stranger came too late");
        assert_eq!(ran.said(), (Some(0), ""), "{says:?} {again:?} {}", ran.stderr);
        assert!(daemon.heard().len() > 2);
    }
}

#[test]
fn a_daemon_that_answers_a_recording_of_something_else_is_not_taken_for_an_answer() {
    let Some(stage) = Stage::with_network() else { return };
    // The recording is of a monitor, which would have succeeded; the off is refused.
    let _daemon = Daemon::v4(Settings::answering(&[]).with(Manner::Recorded(vec![3])));
    let ran = stage.xvm("-d -o off -H x");
    assert_eq!(ran.said(), (Some(3), ""), "{}", ran.stderr);
    assert!(ran.stderr.contains("a recorded request was sent again"), "{}", ran.stderr);
}
