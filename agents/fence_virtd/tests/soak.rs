//! Fifty hostile peers and ten thousand honest requests at once. Invariant: bounded in time, and the daemon in memory and descriptors.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that starts daemons and attacks them"
)]

mod stage;

use std::{
    io::Write,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    time::{Duration, Instant},
};

use duet_xvm::{Algorithm, Operation, Reply, exchange::Answer};
use stage::{
    client::{cast, connect_from, multicast, request, signed, tcp},
    on_stage, two,
};

const BOTH: &str = "fence_virtd { listener = \"multicast tcp\"; backend = \"libvirt\"; }
    listeners { multicast { key_file = \"KEY\"; interface = \"lo\"; } tcp { key_file = \"KEY\"; address = \"10.99.0.1\"; } }
    backends { libvirt { uri = \"qemu:///system\"; } }";

/// As many as there are at most; a slow machine stops at the time and says how far it came.
const REQUESTS: u32 = 10_000;
const TIME: Duration = Duration::from_secs(60);
/// Below what the daemon may have, in KiB.
const MEMORY: u64 = 10 * 1024;

/// One hostile peer: silent, dripping, half requests, garbage.
fn torment(peer: u8, ends: &AtomicBool) {
    let mut round = 0_u8;
    while !ends.load(Ordering::Relaxed) {
        let whole = signed(&request(Operation::Off, "node1", None), Algorithm::Sha256);
        let mut held = Vec::new();
        for sort in 0..6_u8 {
            let mut stream = connect_from(5 + peer);
            let said: &[u8] = match sort.wrapping_add(round) % 6 {
                0 => b"",
                1 => &whole[..80],
                2 => &whole,
                3 => &[0xaa; 176],
                4 => &whole[..3],
                _ => &[0; 400],
            };
            let _ = stream.write_all(said);
            held.push(stream);
        }
        for byte in 0..10 {
            held.iter_mut().for_each(|stream| drop(stream.write(&[byte])));
            cast(&whole[..usize::from(byte) * 17]);
            cast(&[byte; 176]);
            std::thread::sleep(Duration::from_millis(20));
        }
        round = round.wrapping_add(1);
    }
}

#[test]
fn ten_thousand_requests_beside_fifty_hostile_peers() {
    on_stage(two(), BOTH, |stage| {
        // Something of everything first, so that what is counted is what stays.
        for _ in 0..20 {
            assert_eq!(tcp(Operation::Status, "node1"), Some(Answer::Reply(Reply::Success)));
        }
        let before = stage.descriptors();
        let own = std::fs::File::open("/proc/thread-self/ns/net").unwrap();
        let (ends, asked, slowest) = (AtomicBool::new(false), AtomicU32::new(0), AtomicU32::new(0));
        let began = Instant::now();
        std::thread::scope(|scope| {
            let inside = || {
                let network = own.try_clone().unwrap();
                move || nix::sched::setns(network, nix::sched::CloneFlags::CLONE_NEWNET).unwrap()
            };
            for peer in 0..50 {
                let (enter, ends) = (inside(), &ends);
                scope.spawn(move || {
                    enter();
                    torment(peer, ends);
                });
            }
            let honest: Vec<_> = (0..4)
                .map(|_| {
                    let (enter, asked, slowest) = (inside(), &asked, &slowest);
                    scope.spawn(move || {
                        enter();
                        loop {
                            let number = asked.fetch_add(1, Ordering::Relaxed);
                            if number >= REQUESTS || began.elapsed() > TIME {
                                return;
                            }
                            let (operation, domain) = match number % 5 {
                                0 => (Operation::Monitor, ""),
                                1 => (Operation::List, ""),
                                2 => (Operation::On, "node2"),
                                3 => (Operation::Off, "node2"),
                                _ => (Operation::Status, "node1"),
                            };
                            let ask = if number % 10 < 8 { tcp } else { multicast };
                            let since = Instant::now();
                            let answer = ask(operation, domain);
                            let took = u32::try_from(since.elapsed().as_millis()).unwrap();
                            slowest.fetch_max(took, Ordering::Relaxed);
                            let is_right = match answer {
                                Some(Answer::Hosts(hosts)) => {
                                    operation == Operation::List && hosts.0.len() == 2
                                }
                                Some(Answer::Reply(reply)) => reply == Reply::Success,
                                None => false,
                            };
                            assert!(is_right, "{operation:?} number {number} after {took} ms");
                        }
                    })
                })
                .collect();
            let all: Vec<_> = honest.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
            ends.store(true, Ordering::Relaxed);
            assert!(all.into_iter().all(|ended| ended.is_ok()), "{}", stage.log());
        });
        let count = asked.load(Ordering::Relaxed).min(REQUESTS);
        let (peak, slowest) = (stage.peak_kib(), slowest.load(Ordering::Relaxed));
        eprintln!(
            "{count} requests in {:?}, the slowest {slowest} ms, {peak} KiB at most",
            began.elapsed()
        );
        assert!(count > 500, "only {count} requests were answered");
        assert!(peak < MEMORY, "{peak} KiB");
        // What hostile peers held is given back within its time.
        let since = Instant::now();
        while stage.descriptors() > before + 8 {
            assert!(
                since.elapsed() < stage::PATIENCE,
                "{} descriptors, {before} before",
                stage.descriptors()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
        let changed = stage.changes();
        assert!(
            changed.iter().all(|call| call.ends_with(stage::OTHER)),
            "only node2 was asked for by who has the key"
        );
    });
}
