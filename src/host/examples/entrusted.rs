//! A program that has a child do its work, and ends with what the child tells; what the child does is the first argument, and what
//! became of it is printed.
#![allow(clippy::disallowed_methods, reason = "an example of the crate that may")]

use duet_host::{
    Lock, clock,
    entrust::{Heard, Voice, entrust},
    leave_with,
};
use std::{path::Path, time::Duration};

fn work(what: &str, voice: Voice) {
    let hang = || std::thread::sleep(Duration::from_secs(600));
    match what {
        "tells" => assert!(voice.tell(4) && !voice.tell(7)),
        "tells-and-hangs" => {
            voice.tell(4);
            hang();
        }
        "tells-by-another-thread" => {
            std::thread::spawn(move || voice.tell(5));
            hang();
        }
        "says-nothing" => {}
        "exits" => leave_with(4),
        "panics" => panic!("as it is told to"),
        "is-killed" => {
            let own = i32::try_from(std::process::id()).unwrap_or(0);
            let _ =
                nix::sys::signal::kill(nix::unistd::Pid::from_raw(own), nix::sys::signal::SIGKILL);
        }
        "asks-for-time" => {
            voice.wait_until(clock::within(Duration::from_secs(60)));
            std::thread::sleep(Duration::from_millis(1500));
            voice.tell(4);
        }
        "locks-and-hangs" => {
            let path = std::env::args().nth(2).unwrap_or_default();
            let lock = Lock::take(Path::new(&path), clock::within(Duration::ZERO));
            let Ok(Some(lock)) = lock else { return };
            voice.lend(&lock);
            hang();
        }
        _ => hang(),
    }
}

fn main() {
    let _ = clock::now();
    let what = std::env::args().nth(1).unwrap_or_default();
    let end = clock::within(Duration::from_secs(1));
    let heard = entrust(end, Duration::from_millis(100), |voice| work(&what, voice));
    println!("{heard:?}");
    leave_with(match heard {
        Ok(Heard::Told { code, .. }) => code,
        Ok(Heard::Ended(_) | Heard::Nothing) | Err(_) => 1,
    })
}
