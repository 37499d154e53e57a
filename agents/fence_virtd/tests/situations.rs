//! The daemon as clients find it: what each operation answers and does, over multicast and tcp, and what it is started and ended with.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test that starts daemons")]

mod stage;

use std::{io::Write, time::Duration};

use duet_fake_tools::{FakeDomain, World};
use duet_xvm::{Algorithm, Operation, Reply, exchange::Answer};
use nix::sys::signal::Signal;
use stage::{
    PATIENCE, UUID,
    client::{
        self, Awaiting, cast, connect_from, converse, converse_and, multicast, request, signed, tcp,
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

#[test]
fn every_operation_does_and_answers_what_it_should() {
    on_stage(two(), BOTH, |stage| {
        for ask in [multicast, tcp] {
            let rows = [
                (Operation::Monitor, "", Reply::Success),
                (Operation::Null, "node1", Reply::Fail),
                (Operation::Unrecognized(7), "node1", Reply::Fail),
                (Operation::Unrecognized(255), "node1", Reply::Fail),
                (Operation::Status, "node1", Reply::Success),
                (Operation::Status, "node2", Reply::Off),
                (Operation::Status, "nobody", Reply::Fail),
                (Operation::Status, "", Reply::Fail),
                (Operation::Off, "nobody", Reply::Fail),
                (Operation::On, "node2", Reply::Success),
                (Operation::Status, "node2", Reply::Success),
                (Operation::Off, "node2", Reply::Success),
                (Operation::Off, "node2", Reply::Success),
                (Operation::Reboot, "node2", Reply::Success),
                (Operation::Status, "node2", Reply::Off),
                (Operation::Reboot, UUID, Reply::Success),
            ];
            for (operation, domain, expected) in rows {
                assert_eq!(ask(operation, domain), reply(expected), "{operation:?} {domain}");
            }
            let Some(Answer::Hosts(hosts)) = ask(Operation::List, "") else { panic!("no list") };
            let names: Vec<_> =
                hosts.0.iter().map(|host| (host.name.as_str(), host.is_on())).collect();
            assert_eq!(names, [("node1", true), ("node2", false)]);
        }
        let log = stage.logged("operation=reboot target=\"11111111");
        for part in [
            "domain=\"node1\"",
            "listener=multicast",
            "rule=\"there are no groups\"",
            "answer=success",
            "key=",
        ] {
            assert!(log.contains(part), "{part} in {log}");
        }
    });
}

#[test]
fn each_hash_and_auth_is_served_and_a_stronger_hash_too() {
    for hash in Algorithm::ALL {
        for auth in Algorithm::ALL {
            let text = BOTH.replace(
                "key_file = \"KEY\";",
                &format!("key_file = \"KEY\"; hash = \"{hash}\"; auth = \"{auth}\";"),
            );
            on_stage(two(), &text, |_| {
                for stronger in Algorithm::ALL.into_iter().filter(|other| *other >= hash) {
                    let mut stream = connect_from(2);
                    stream
                        .write_all(&signed(&request(Operation::Status, "node1", None), stronger))
                        .unwrap();
                    assert_eq!(
                        converse(&mut stream, auth),
                        reply(Reply::Success),
                        "tcp {hash} {auth} {stronger}"
                    );
                    let awaiting = Awaiting::at(3);
                    cast(&signed(
                        &request(Operation::Status, "node1", Some(awaiting.address)),
                        stronger,
                    ));
                    let mut stream = awaiting.called(PATIENCE).unwrap();
                    assert_eq!(
                        converse(&mut stream, auth),
                        reply(Reply::Success),
                        "{hash} {auth} {stronger}"
                    );
                }
            });
        }
    }
}

#[test]
fn a_datagram_to_this_host_alone_is_served_as_one_to_the_group() {
    on_stage(two(), BOTH, |_| {
        let awaiting = Awaiting::at(3);
        let bytes =
            signed(&request(Operation::Status, "node1", Some(awaiting.address)), Algorithm::Sha256);
        std::net::UdpSocket::bind("10.99.0.3:0")
            .unwrap()
            .send_to(&bytes, "10.99.0.1:1229")
            .unwrap();
        let mut stream = awaiting.called(PATIENCE).unwrap();
        assert_eq!(converse(&mut stream, Algorithm::Sha256), reply(Reply::Success));
    });
}

#[test]
fn multicast_over_ipv6_is_served() {
    let text = BOTH.replace("interface = \"lo\";", "interface = \"fv0\"; family = \"ipv6\";");
    on_stage(two(), &text, |stage| {
        stage.sh("ip link add name fv0 type veth peer name fv1 && ip link set fv0 up && ip link set fv1 up && ip -6 addr add fd99::1/64 dev fv0 nodad && ip -6 addr add fd99::2/64 dev fv1 nodad && ip -6 route add multicast ff00::/8 dev fv1 table local metric 1");
        stage.logged("Listener multicast is open");
        let listener = std::net::TcpListener::bind("[fd99::2]:0").unwrap();
        let awaiting = Awaiting::of(listener);
        let socket = std::net::UdpSocket::bind("[fd99::2]:0").unwrap();
        let to = std::net::SocketAddrV6::new(duet_xvm::GROUP_V6, duet_xvm::PORT, 0, 0);
        let bytes =
            signed(&request(Operation::Status, "node1", Some(awaiting.address)), Algorithm::Sha256);
        socket.send_to(&bytes, to).unwrap();
        let mut stream = awaiting.called(PATIENCE).unwrap();
        assert_eq!(converse(&mut stream, Algorithm::Sha256), reply(Reply::Success));
    });
}

#[test]
fn an_interface_that_goes_and_comes_back_is_followed() {
    let text = BOTH.replace("interface = \"lo\";", "interface = \"fv0\";");
    on_stage(two(), &text, |stage| {
        stage.logged("cannot be opened, and is tried again: interface fv0");
        for round in 0..2 {
            stage.sh("ip link add name fv0 type veth peer name fv1 && ip addr add 10.98.0.1/24 dev fv0 && ip addr add 10.98.1.1/24 dev fv1 && ip link set fv0 up && ip link set fv1 up");
            let awaiting = Awaiting::at(3);
            let began = std::time::Instant::now();
            loop {
                let socket = std::net::UdpSocket::bind("10.98.0.1:0").unwrap();
                socket.set_multicast_loop_v4(true).unwrap();
                let bytes = signed(
                    &request(Operation::Monitor, "", Some(awaiting.address)),
                    Algorithm::Sha256,
                );
                let _ = nix::sys::socket::setsockopt(
                    &socket,
                    nix::sys::socket::sockopt::IpAddMembership,
                    &nix::sys::socket::IpMembershipRequest::new(
                        duet_xvm::GROUP_V4,
                        Some([10, 98, 0, 1].into()),
                    ),
                );
                socket.send_to(&bytes, (duet_xvm::GROUP_V4, duet_xvm::PORT)).unwrap();
                if let Some(mut stream) = awaiting.called(Duration::from_secs(1)) {
                    assert_eq!(converse(&mut stream, Algorithm::Sha256), reply(Reply::Success));
                    break;
                }
                assert!(began.elapsed() < PATIENCE, "round {round}: {}", stage.log());
            }
            stage.sh("ip link del fv0");
        }
    });
}

#[test]
fn a_request_in_the_middle_of_which_it_reloads_is_answered() {
    on_stage(two(), BOTH, |stage| {
        let mut stream = connect_from(2);
        stream
            .write_all(&signed(&request(Operation::Status, "node1", None), Algorithm::Sha256))
            .unwrap();
        let group = "groups { group { name = \"g\"; uuid = \"node2\"; ip = \"10.99.0.2\"; } }";
        let answer = converse_and(&mut stream, Algorithm::Sha256, || {
            stage.configure(&format!("{BOTH} {group}"));
            stage.signal(Signal::SIGHUP);
            stage.logged("Reloaded.");
        });
        assert_eq!(answer, reply(Reply::Success), "under the rules it began with");
        for ask in [tcp, multicast] {
            assert_eq!(ask(Operation::Status, "node1"), reply(Reply::Permission));
            assert_eq!(ask(Operation::Status, "node2"), reply(Reply::Off));
        }
        stage.configure("fence_virtd { broken");
        stage.signal(Signal::SIGHUP);
        stage.logged("Kept the configuration as it was");
        assert_eq!(tcp(Operation::Status, "node2"), reply(Reply::Off));
    });
}

#[test]
fn a_listener_that_is_added_or_removed_by_a_reload_comes_and_goes() {
    let only_tcp = BOTH.replace("multicast tcp", "tcp");
    on_stage(two(), &only_tcp, |stage| {
        stage.configure(BOTH);
        stage.signal(Signal::SIGHUP);
        stage.logged("Reloaded. Serving: listener=multicast");
        assert_eq!(multicast(Operation::Monitor, ""), reply(Reply::Success));
        stage.configure(&BOTH.replace("multicast tcp", "multicast"));
        stage.signal(Signal::SIGHUP);
        let began = std::time::Instant::now();
        while std::net::TcpStream::connect(client::TCP).is_ok() {
            assert!(began.elapsed() < PATIENCE);
        }
        assert_eq!(multicast(Operation::Monitor, ""), reply(Reply::Success));
    });
}

#[test]
fn term_lets_what_was_begun_end_and_removes_the_pid_file() {
    let world = World { refuse_destroy: Some((9, "busy".to_owned())), ..two() };
    let Some(mut stage) = stage::Stage::new(world) else { return };
    stage.configure(BOTH);
    let pid_file = stage.at("pid").to_str().unwrap().to_owned();
    stage.start(&["-p", &pid_file]);
    let text = std::fs::read_to_string(&pid_file).unwrap();
    assert!(text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty(), "{text:?}");
    let status = stage.stop();
    assert!(status.success(), "{status}: {}", stage.log());
    assert!(!std::path::Path::new(&pid_file).exists());
}

#[test]
fn term_in_the_middle_of_an_exchange_answers_it() {
    let mut world = two();
    world.refuse_destroy = Some((9, "busy".to_owned()));
    on_stage(world, BOTH, |stage| {
        let mut stream = connect_from(2);
        stream
            .write_all(&signed(&request(Operation::Off, "node1", None), Algorithm::Sha256))
            .unwrap();
        let answer = std::thread::scope(|scope| {
            let asked = scope.spawn(|| converse(&mut stream, Algorithm::Sha256));
            let began = std::time::Instant::now();
            while stage.changes().is_empty() {
                assert!(began.elapsed() < PATIENCE);
                std::thread::sleep(Duration::from_millis(2));
            }
            stage.signal(Signal::SIGTERM);
            stage.libvirt.world().refuse_destroy = None;
            asked.join().unwrap()
        });
        assert_eq!(answer, reply(Reply::Success), "{}", stage.log());
        stage.logged("Ended");
    });
}

#[test]
fn without_its_key_it_does_not_start() {
    let Some(stage) = stage::Stage::new(two()) else { return };
    stage.configure(&BOTH.replace("KEY", "/nowhere/key"));
    let run = |stage: &stage::Stage| {
        let words =
            [env!("CARGO_BIN_EXE_fence_virtd"), "-F", "-f", stage.at("conf").to_str().unwrap()]
                .map(str::to_owned);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        stage.inside(&words).output().unwrap()
    };
    let output = run(&stage);
    assert_eq!(output.status.code(), Some(255));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/nowhere/key"));
    for (content, mode) in [(&b""[..], 0o600), (&b"0123456789abcdef"[..], 0o666)] {
        stage.write("key", content, mode);
        stage.configure(BOTH);
        assert_eq!(run(&stage).status.code(), Some(255));
    }
}

#[test]
fn in_the_background_its_starter_learns_whether_it_serves() {
    let Some(stage) = stage::Stage::new(two()) else { return };
    stage.configure(BOTH);
    let pid_file = stage.at("pid");
    let start = || {
        let program = env!("CARGO_BIN_EXE_fence_virtd");
        let (conf, pid) = (stage.at("conf"), &pid_file);
        stage
            .inside(&[program, "-f", conf.to_str().unwrap(), "-p", pid.to_str().unwrap()])
            .output()
            .unwrap()
    };
    let first = start();
    assert!(first.status.success(), "{first:?}");
    let second = start();
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(said.contains("Another fence_virtd runs already"), "{said}");
    stage.sh(&format!("kill -TERM $(cat {0}); n=0; while [ -e {0} ] && [ $n -lt 600 ]; do sleep 0.1; n=$((n+1)); done; [ ! -e {0} ]", pid_file.display()));
    stage.configure(&BOTH.replace("10.99.0.1", "10.97.0.1"));
    let third = start();
    assert_eq!(third.status.code(), Some(1));
    let said = String::from_utf8_lossy(&third.stderr).into_owned();
    assert!(said.contains("Could not open listener tcp"), "{said}");
}

#[test]
fn a_transient_guest_that_is_rebooted_is_the_same_guest() {
    let world = World { domains: vec![FakeDomain::running("node1", UUID)], ..World::default() };
    on_stage(world, BOTH, |stage| {
        assert_eq!(tcp(Operation::Reboot, "node1"), reply(Reply::Success));
        assert_eq!(stage.state("node1"), Some(1));
        assert_eq!(tcp(Operation::Off, "node1"), reply(Reply::Success));
        assert_eq!(stage.state("node1"), None);
        assert_eq!(tcp(Operation::On, "node1"), reply(Reply::Fail));
    });
}
