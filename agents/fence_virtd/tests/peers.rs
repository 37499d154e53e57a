//! Many at once, slow ones, and ones that hang up: nobody waits for anybody else, and nothing is done for who has gone.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that starts daemons and attacks them"
)]

mod stage;

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use duet_fake_tools::{FakeDomain, World};
use duet_xvm::{
    Algorithm, Challenge, Operation, Reply,
    exchange::{Answer, Client, Want},
};
use stage::{
    PATIENCE, UUID,
    client::{
        cast, challenge, connect_from, converse, multicast, protection, request, signed, tcp,
        tcp_from,
    },
    on_stage, two,
};

const BOTH: &str = "fence_virtd { listener = \"multicast tcp\"; backend = \"libvirt\"; }
    listeners { multicast { key_file = \"KEY\"; interface = \"lo\"; } tcp { key_file = \"KEY\"; address = \"10.99.0.1\"; } }
    backends { libvirt { uri = \"qemu:///system\"; } }";

#[allow(clippy::unnecessary_wraps, reason = "as the client has it")]
fn reply(reply: Reply) -> Option<Answer> {
    Some(Answer::Reply(reply))
}

/// Holds this many connections of each of these sorts, from the addresses 20 and above.
fn hostile(peers: u8) -> Vec<TcpStream> {
    let mut held = Vec::new();
    for peer in 0..peers {
        for sort in 0..5 {
            let mut stream = connect_from(20 + peer);
            let whole = signed(&request(Operation::Off, "node1", None), Algorithm::Sha256);
            let said: &[u8] = match sort {
                0 => b"",
                1 => &whole[..88],
                2 => &whole,
                3 => &[0x55; 176],
                _ => &whole[..1],
            };
            let _ = stream.write_all(said);
            held.push(stream);
        }
    }
    held
}

#[test]
fn silent_dripping_and_half_peers_keep_nobody_waiting() {
    on_stage(two(), BOTH, |stage| {
        // Those who cannot be called back: an address that nobody has, by a route that leads nowhere.
        stage.sh("ip link add name fv0 type veth peer name fv1 && ip addr add 10.96.0.1/24 dev fv0 && ip link set fv0 up && ip link set fv1 up");
        let mut held = hostile(40);
        let mut slowest = Duration::ZERO;
        for round in 0..20_u8 {
            for last in 10..13 {
                let nowhere = format!("10.96.0.{last}:1229").parse().unwrap();
                cast(&signed(&request(Operation::Off, "node1", Some(nowhere)), Algorithm::Sha256));
            }
            for stream in &mut held {
                let _ = stream.write(&[round]);
            }
            for ask in [tcp, multicast] {
                let began = Instant::now();
                assert_eq!(ask(Operation::Status, "node1"), reply(Reply::Success));
                slowest = slowest.max(began.elapsed());
            }
        }
        assert!(slowest < Duration::from_secs(3), "one waited for {slowest:?}");
        eprintln!("the slowest of 40 answers took {slowest:?}");
        assert_eq!(stage.changes().len(), 0);
        drop(held);
    });
}

#[test]
fn twenty_clients_of_one_node_are_all_served() {
    on_stage(two(), BOTH, |_| {
        let own = std::fs::File::open("/proc/thread-self/ns/net").unwrap();
        std::thread::scope(|scope| {
            let clients: Vec<_> = (0..20)
                .map(|number| {
                    let network = own.try_clone().unwrap();
                    scope.spawn(move || {
                        nix::sched::setns(network, nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
                        let ask = if number % 2 == 0 { tcp } else { multicast };
                        ask(Operation::Status, "node1")
                    })
                })
                .collect();
            for client in clients {
                assert_eq!(client.join().unwrap(), reply(Reply::Success));
            }
        });
    });
}

#[test]
fn one_guest_is_not_waited_for_by_who_asks_about_another() {
    let mut world = two();
    world.domains[0].persistent = true;
    world.refuse_destroy = Some((9, "busy".to_owned()));
    on_stage(world, BOTH, |stage| {
        let mut slow = connect_from(5);
        slow.write_all(&signed(&request(Operation::Off, "node1", None), Algorithm::Sha256))
            .unwrap();
        std::thread::scope(|scope| {
            let slow = scope.spawn(|| converse(&mut slow, Algorithm::Sha256));
            let began = Instant::now();
            while stage.changes().is_empty() {
                assert!(began.elapsed() < PATIENCE);
                std::thread::sleep(Duration::from_millis(2));
            }
            assert_eq!(tcp_from(5, Operation::On, "node2"), reply(Reply::Success));
            assert_eq!(tcp_from(5, Operation::Status, "node1"), reply(Reply::Success));
            assert_eq!(slow.join().unwrap(), reply(Reply::Fail));
        });
    });
}

#[test]
fn a_client_that_has_gone_is_not_acted_for_when_libvirt_thaws() {
    on_stage(two(), BOTH, |stage| {
        stage.libvirt.world().hang_on = Some("lookup-by-name");
        let mut stream = connect_from(5);
        stream
            .write_all(&signed(&request(Operation::Off, "node1", None), Algorithm::Sha256))
            .unwrap();
        let mut client = Client::new(protection(Algorithm::Sha256), Challenge::new(challenge()));
        // Up to where the daemon works on it.
        loop {
            match client.wants() {
                Want::Write(bytes) => {
                    let bytes = bytes.to_vec();
                    stream.write_all(&bytes).unwrap();
                    client.wrote();
                }
                Want::Read(1) | Want::Finished => break,
                Want::Read(length) => {
                    let mut bytes = vec![0; length];
                    stream.read_exact(&mut bytes).unwrap();
                    client.read(&bytes).unwrap();
                }
            }
        }
        let began = Instant::now();
        while !stage.libvirt.was_asked("lookup-by-name") {
            assert!(began.elapsed() < PATIENCE);
            std::thread::sleep(Duration::from_millis(2));
        }
        drop(stream);
        stage.libvirt.world().hang_on = None;
        let line = stage.logged("operation=off");
        assert!(line.contains("answer=none") || line.contains("answer=fail"), "{line}");
        assert_eq!(stage.changes().len(), 0);
        assert_eq!(tcp(Operation::Off, "node1"), reply(Reply::Success));
    });
}

#[test]
fn groups_are_held_to_over_the_wire() {
    let groups = format!(
        "{BOTH} groups {{ group {{ name = \"web\"; uuid = \"{UUID}\"; ip = \"10.99.0.2\"; }} }}"
    );
    let world = World {
        domains: vec![
            FakeDomain { persistent: true, ..FakeDomain::running("node1", UUID) },
            FakeDomain::defined("node2", stage::OTHER),
        ],
        ..World::default()
    };
    on_stage(world, &groups, |stage| {
        let rows = [
            (2, Operation::Status, "node1", Reply::Success),
            (2, Operation::Status, UUID, Reply::Success),
            (2, Operation::On, "node2", Reply::Permission),
            (3, Operation::Off, "node1", Reply::Permission),
            (3, Operation::Monitor, "", Reply::Success),
            (3, Operation::Null, "node1", Reply::Fail),
        ];
        for (from, operation, domain, expected) in rows {
            assert_eq!(
                tcp_from(from, operation, domain),
                reply(expected),
                "{from} {operation:?} {domain}"
            );
        }
        for (from, count) in [(2, 1), (3, 0)] {
            let Some(Answer::Hosts(hosts)) = tcp_from(from, Operation::List, "") else {
                panic!("no list")
            };
            assert_eq!(hosts.0.len(), count);
        }
        stage.logged("rule=\"group web\"");
        assert_eq!(stage.changes().len(), 0);
    });
}

#[test]
fn orders_for_one_guest_leave_threads_for_others() {
    let mut world = two();
    world.hang_on = Some("destroy");
    on_stage(world, BOTH, |stage| {
        // More than there are threads, from several peers, for a guest that does not end.
        let mut slow: Vec<TcpStream> = (20..40).map(connect_from).collect();
        let own = std::fs::File::open("/proc/thread-self/ns/net").unwrap();
        std::thread::scope(|scope| {
            for stream in &mut slow {
                scope.spawn(|| {
                    let asked = request(Operation::Off, "node1", None);
                    stream.write_all(&signed(&asked, Algorithm::Sha256)).unwrap();
                    converse(stream, Algorithm::Sha256)
                });
            }
            let began = Instant::now();
            while stage.changes().is_empty() {
                assert!(began.elapsed() < PATIENCE);
                std::thread::sleep(Duration::from_millis(2));
            }
            let network = own.try_clone().unwrap();
            let other = scope.spawn(move || {
                nix::sched::setns(network, nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
                tcp(Operation::On, "node2")
            });
            assert_eq!(other.join().unwrap(), reply(Reply::Success));
            let orders = stage.changes().iter().filter(|call| call.starts_with("destroy")).count();
            assert_eq!(orders, 1, "the others still wait for their turns");
            stage.signal(nix::sys::signal::Signal::SIGKILL);
        });
    });
}

#[test]
fn without_descriptors_it_goes_on_and_serves_who_comes_next() {
    on_stage(two(), BOTH, |stage| {
        assert_eq!(tcp(Operation::Status, "node1"), reply(Reply::Success));
        let pid = i32::try_from(stage.daemon.as_ref().unwrap().pid).unwrap();
        let limit = (stage.descriptors() + 6).to_string();
        let status = std::process::Command::new("prlimit")
            .args(["--pid", &pid.to_string(), &format!("--nofile={limit}:{limit}")])
            .status()
            .unwrap();
        assert!(status.success());
        let held: Vec<TcpStream> = (0..30).map(|_| connect_from(20)).collect();
        stage.logged("Listener tcp: Too many open files");
        assert_eq!(tcp(Operation::Status, "node1"), reply(Reply::Success));
        assert_eq!(multicast(Operation::Monitor, ""), reply(Reply::Success));
        drop(held);
    });
}

#[test]
fn the_log_does_not_say_that_somebody_was_answered_who_was_not() {
    let slow = BOTH
        .replace("uri = ", "timeout = \"4\"; uri = ")
        .replace("backend =", "deadline = \"1\"; backend =");
    let world = World { hang_on: Some("list"), ..two() };
    on_stage(world, &slow, |stage| {
        assert_eq!(tcp(Operation::List, ""), reply(Reply::Fail));
        let line = stage.logged("operation=list");
        assert!(line.contains("answer=none"), "{line}");
        assert!(line.contains("been answered failure"), "{line}");
    });
}
