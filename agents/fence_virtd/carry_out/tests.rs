//! What becomes of guests, at a libvirtd without any: steps in order, several URIs, and libvirts that are away, frozen or refuse.

use std::{
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

use duet_fake_tools::{FakeDomain, FakeLibvirtd, World};
use duet_libvirt_rpc::{Driver, XmlFlags};
use duet_xvm::permission::Group;

use super::*;
use crate::settings::Uri;

mod elsewhere;

const UUID: &str = "11111111-2222-4333-8444-555555555501";
const OTHER: &str = "11111111-2222-4333-8444-555555555502";

fn uri(text: &str, driver: Driver) -> Uri {
    Uri { text: text.to_owned(), driver, limit: Duration::from_millis(400) }
}

fn backend(daemon: &FakeLibvirtd) -> Backend {
    Backend::new(vec![uri("qemu:///system", Driver::Qemu)], daemon.directory())
}

fn asker() -> Asker {
    Asker {
        source: Source::Cid(3),
        name: None,
        peer: None,
        has_gone: Arc::default(),
        deadline: clock::now() + Duration::from_secs(60),
        permissions: Arc::default(),
    }
}

fn run(operation: Operation, asked: &str, backend: &Backend) -> Outcome {
    domain(operation, asked, &asker(), Unknown::Fails, backend, &Turns::default())
}

fn defined() -> FakeDomain {
    FakeDomain { persistent: true, ..FakeDomain::running("node1", UUID) }
}

/// The calls that change something.
fn changes(daemon: &FakeLibvirtd) -> Vec<String> {
    let changing = ["destroy", "create", "start-defined"];
    let is_one = |call: &&String| changing.contains(&call.split(' ').next().unwrap());
    daemon.world().calls.iter().filter(is_one).cloned().collect()
}

#[test]
fn off_on_and_off_again_are_seen_at_libvirt() {
    let daemon = FakeLibvirtd::with(defined());
    let backend = backend(&daemon);
    for (operation, state) in [
        (Operation::Off, 5),
        (Operation::Off, 5),
        (Operation::On, 1),
        (Operation::On, 1),
        (Operation::Off, 5),
    ] {
        let outcome = run(operation, "node1", &backend);
        assert_eq!(outcome.reply, Some(Reply::Success), "{operation:?}: {}", outcome.why);
        assert_eq!(daemon.world().domains[0].state, state);
    }
    assert_eq!(changes(&daemon).len(), 3);
    assert_eq!(run(Operation::Status, UUID, &backend).reply, Some(Reply::Off));
}

#[test]
fn a_reboot_of_a_persistent_domain_starts_its_definition() {
    let daemon = FakeLibvirtd::with(defined());
    let outcome = run(Operation::Reboot, &UUID.to_uppercase(), &backend(&daemon));
    assert_eq!((outcome.reply, outcome.why.as_str()), (Some(Reply::Success), "done"));
    assert_eq!(changes(&daemon), [format!("destroy {UUID}"), format!("start-defined {UUID}")]);
}

#[test]
fn a_reboot_of_a_transient_domain_makes_it_anew_with_its_passwords() {
    let daemon = FakeLibvirtd::with(FakeDomain::running("node1", UUID));
    let outcome = run(Operation::Reboot, "node1", &backend(&daemon));
    assert_eq!(outcome.reply, Some(Reply::Success), "{}", outcome.why);
    assert_eq!(changes(&daemon), [format!("destroy {UUID}"), "create".to_owned()]);
    assert_eq!(daemon.world().xml_flags, [XmlFlags::SECURE.word()]);
    assert_eq!(daemon.world().domains[0].uuid.to_string(), UUID);
}

#[test]
fn a_reboot_of_what_is_off_leaves_it_off() {
    let daemon = FakeLibvirtd::with(FakeDomain::defined("node1", UUID));
    assert_eq!(run(Operation::Reboot, "node1", &backend(&daemon)).reply, Some(Reply::Success));
    assert!(changes(&daemon).is_empty());
}

#[test]
fn a_reboot_that_cannot_start_again_is_a_success_with_an_error_in_the_log() {
    let refuse_create = Some((1, "no memory".to_owned()));
    let domains = vec![FakeDomain::running("node1", UUID)];
    let daemon = FakeLibvirtd::start(World { domains, refuse_create, ..World::default() });
    let outcome = run(Operation::Reboot, "node1", &backend(&daemon));
    assert_eq!((outcome.reply, outcome.is_trouble), (Some(Reply::Success), true));
    assert!(outcome.why.contains("no memory"), "{}", outcome.why);
}

#[test]
fn a_transient_domain_that_was_ended_is_gone() {
    let daemon = FakeLibvirtd::with(FakeDomain::running("node1", UUID));
    let backend = backend(&daemon);
    let replies = [Operation::Off, Operation::On, Operation::Status]
        .map(|operation| run(operation, "node1", &backend).reply);
    assert_eq!(replies, [Some(Reply::Success), Some(Reply::Fail), Some(Reply::Fail)]);
}

#[test]
fn a_paused_domain_is_on_and_off_ends_it() {
    let daemon = FakeLibvirtd::with(defined().in_state(3, 1));
    let backend = backend(&daemon);
    assert_eq!(run(Operation::Status, "node1", &backend).reply, Some(Reply::Success));
    assert_eq!(run(Operation::Off, "node1", &backend).reply, Some(Reply::Success));
    assert_eq!(daemon.world().domains[0].state, 5);
}

#[test]
fn status_of_a_domain_that_nobody_knows_is_a_failure_unless_it_is_to_be_off() {
    let daemon = FakeLibvirtd::with(defined());
    let backend = backend(&daemon);
    for asked in ["NODE1", "node", OTHER] {
        assert_eq!(run(Operation::Status, asked, &backend).reply, Some(Reply::Fail), "{asked}");
    }
    let turns = Turns::default();
    let off = domain(Operation::Status, "x", &asker(), Unknown::IsOff, &backend, &turns);
    assert_eq!(off.reply, Some(Reply::Off));
}

#[test]
fn an_order_that_libvirt_refuses_is_a_failure_and_nothing_is_assumed() {
    let refuse_destroy = Some((9, "Failed to terminate process with SIGKILL".to_owned()));
    let daemon =
        FakeLibvirtd::start(World { domains: vec![defined()], refuse_destroy, ..World::default() });
    let outcome = run(Operation::Off, "node1", &backend(&daemon));
    assert_eq!((outcome.reply, outcome.is_trouble), (Some(Reply::Fail), true));
    assert!(outcome.why.contains("SIGKILL"), "{}", outcome.why);
    assert_eq!(daemon.world().domains[0].state, 1);
}

/// Two daemons behind the sockets of two drivers.
fn two(qemu: &FakeLibvirtd, lxc: &FakeLibvirtd) -> (tempfile::TempDir, Backend) {
    let directory = tempfile::tempdir().unwrap();
    for (name, daemon) in [("virtqemud-sock", qemu), ("virtlxcd-sock", lxc)] {
        let socket = daemon.directory().join("libvirt-sock");
        std::os::unix::fs::symlink(socket, directory.path().join(name)).unwrap();
    }
    let uris = vec![uri("qemu:///system", Driver::Qemu), uri("lxc:///", Driver::Lxc)];
    let backend = Backend::new(uris, directory.path());
    (directory, backend)
}

#[test]
fn with_two_uris_the_list_is_their_union_and_the_owner_acts() {
    let qemu = FakeLibvirtd::with(FakeDomain::running("b", UUID));
    let lxc =
        FakeLibvirtd::with(FakeDomain { persistent: true, ..FakeDomain::running("A", OTHER) });
    let (_directory, backend) = two(&qemu, &lxc);
    let hosts = list(&asker(), &backend).hosts.unwrap();
    let names: Vec<_> = hosts.0.iter().map(|host| (host.name.as_str(), host.state)).collect();
    assert_eq!(names, [("A", 1), ("b", 1)]);
    let outcome = run(Operation::Off, "A", &backend);
    assert_eq!((outcome.reply, outcome.uri.as_deref()), (Some(Reply::Success), Some("lxc:///")));
    assert_eq!((changes(&qemu).len(), changes(&lxc).len()), (0, 1));
}

#[test]
fn a_namesake_at_another_uri_is_left_alone_when_the_one_that_was_meant_has_gone() {
    let qemu = FakeLibvirtd::with(FakeDomain::running("node1", UUID));
    let lxc = FakeLibvirtd::with(FakeDomain::running("node1", OTHER));
    let (_directory, backend) = two(&qemu, &lxc);
    assert_eq!(run(Operation::Off, "node1", &backend).reply, Some(Reply::Success));
    assert!(changes(&lxc).is_empty());
}

#[test]
fn a_namesake_at_another_uri_is_left_alone_while_the_first_cannot_be_asked() {
    let domains = vec![FakeDomain::running("node1", UUID)];
    let qemu = FakeLibvirtd::start(World { domains, frozen: true, ..World::default() });
    let lxc = FakeLibvirtd::with(FakeDomain::running("node1", OTHER));
    let (_directory, backend) = two(&qemu, &lxc);
    for operation in [Operation::Off, Operation::Reboot, Operation::On, Operation::Status] {
        let outcome = run(operation, "node1", &backend);
        assert_eq!((outcome.reply, outcome.is_trouble), (Some(Reply::Fail), true), "{operation:?}");
        assert!(outcome.why.contains("qemu:///system"), "{}", outcome.why);
    }
    assert!(changes(&lxc).is_empty());
    // A UUID has no namesake.
    assert_eq!(run(Operation::Off, OTHER, &backend).reply, Some(Reply::Success));
}

#[test]
fn unknown_is_said_only_when_every_uri_has_said_so() {
    let qemu = FakeLibvirtd::with(defined());
    let lxc = FakeLibvirtd::start(World { frozen: true, ..World::default() });
    let (_directory, backend) = two(&qemu, &lxc);
    let turns = Turns::default();
    for unknown in [Unknown::Fails, Unknown::IsOff] {
        let began = Instant::now();
        let outcome = domain(Operation::Status, "x", &asker(), unknown, &backend, &turns);
        assert_eq!((outcome.reply, outcome.is_trouble), (Some(Reply::Fail), true));
        assert!(outcome.why.contains("lxc:///"), "{}", outcome.why);
        assert!(began.elapsed() < Duration::from_secs(8), "its own limit is 0.4 s");
    }
    // Who is known elsewhere does not depend on the one that is frozen, and half a list is none.
    assert_eq!(run(Operation::Off, "node1", &backend).reply, Some(Reply::Success));
    assert_eq!(list(&asker(), &backend).reply, Some(Reply::Fail));
}

#[test]
fn a_connection_that_libvirt_has_dropped_is_made_anew() {
    let daemon = FakeLibvirtd::with(defined());
    let backend = backend(&daemon);
    assert_eq!(run(Operation::Status, "node1", &backend).reply, Some(Reply::Success));
    for call in ["lookup-by-name", "state"] {
        daemon.world().hang_up_on = Some((call, 1));
        let outcome = run(Operation::Status, "node1", &backend);
        assert_eq!(outcome.reply, Some(Reply::Success), "{call}: {}", outcome.why);
    }
    let opened = daemon.world().calls.iter().filter(|call| call.starts_with("open")).count();
    assert_eq!(opened, 3);
}

#[test]
fn nothing_is_begun_for_who_has_hung_up_or_waited_long_enough() {
    let daemon = FakeLibvirtd::with(defined());
    let backend = backend(&daemon);
    let (ours, theirs) = UnixStream::pair().unwrap();
    let waits =
        || Asker { peer: Some(Arc::new(OwnedFd::from(ours.try_clone().unwrap()))), ..asker() };
    let gone = waits();
    let late = Asker { deadline: clock::now(), ..waits() };
    let turns = Turns::default();
    for operation in [Operation::Off, Operation::Reboot, Operation::On] {
        let outcome = domain(operation, "node1", &late, Unknown::Fails, &backend, &turns);
        assert_eq!(outcome.reply, Some(Reply::Fail), "{operation:?}");
    }
    drop(theirs);
    for operation in [Operation::Off, Operation::Reboot, Operation::On] {
        let outcome = domain(operation, "node1", &gone, Unknown::Fails, &backend, &turns);
        assert_eq!(outcome.reply, None, "{operation:?}");
    }
    assert!(changes(&daemon).is_empty());
}

#[test]
fn a_libvirt_that_was_away_executes_nothing_for_who_has_gone_meanwhile() {
    let away = tempfile::tempdir().unwrap();
    let backend = Backend::new(vec![uri("qemu:///system", Driver::Qemu)], away.path());
    let daemon = FakeLibvirtd::with(defined());
    let asker = asker();
    let has_gone = Arc::clone(&asker.has_gone);
    let socket = daemon.directory().join("libvirt-sock");
    let outcome = std::thread::scope(|scope| {
        let work = scope.spawn(|| {
            domain(Operation::Off, "node1", &asker, Unknown::Fails, &backend, &Turns::default())
        });
        // The client gives up, and then libvirt comes back.
        std::thread::sleep(Duration::from_millis(600));
        has_gone.store(true, Ordering::Relaxed);
        std::os::unix::fs::symlink(socket, away.path().join("libvirt-sock")).unwrap();
        work.join().unwrap()
    });
    assert_eq!(outcome.reply, None);
    assert!(changes(&daemon).is_empty());
    // The next one needs no restart.
    assert_eq!(run(Operation::Off, "node1", &backend).reply, Some(Reply::Success));
}

#[test]
fn a_reboot_that_takes_long_to_describe_is_not_begun_for_who_has_gone_meanwhile() {
    let hang_on = Some("describe");
    let domains = vec![FakeDomain::running("node1", UUID)];
    let daemon = FakeLibvirtd::start(World { domains, hang_on, ..World::default() });
    let backend = backend(&daemon);
    let asker = asker();
    let outcome = std::thread::scope(|scope| {
        let work = scope.spawn(|| {
            domain(Operation::Reboot, "node1", &asker, Unknown::Fails, &backend, &Turns::default())
        });
        while !daemon.world().calls.iter().any(|call| call.starts_with("describe")) {
            std::thread::sleep(Duration::from_millis(2));
        }
        asker.has_gone.store(true, Ordering::Relaxed);
        work.join().unwrap()
    });
    assert_eq!(outcome.reply, None);
    assert!(changes(&daemon).is_empty());
}

#[test]
fn a_libvirt_that_comes_back_in_time_is_waited_for() {
    let away = tempfile::tempdir().unwrap();
    let backend = Backend::new(vec![uri("qemu:///system", Driver::Qemu)], away.path());
    let daemon = FakeLibvirtd::with(defined());
    let socket = daemon.directory().join("libvirt-sock");
    let outcome = std::thread::scope(|scope| {
        let work = scope.spawn(|| run(Operation::Off, "node1", &backend));
        std::thread::sleep(Duration::from_millis(300));
        std::os::unix::fs::symlink(socket, away.path().join("libvirt-sock")).unwrap();
        work.join().unwrap()
    });
    assert_eq!(outcome.reply, Some(Reply::Success), "{}", outcome.why);
}

#[test]
fn two_orders_for_one_domain_are_one_after_the_other_and_others_do_not_wait() {
    let domains =
        vec![defined(), FakeDomain { persistent: true, ..FakeDomain::running("node2", OTHER) }];
    let daemon = FakeLibvirtd::start(World { domains, ..World::default() });
    let backend = backend(&daemon);
    let turns = Turns::default();
    let held = turns.take(UUID.parse().unwrap(), || Wanted::Yes).unwrap();
    let off = |asked: &str, limit: u64| {
        let deadline = clock::now() + Duration::from_millis(limit);
        let asker = Asker { deadline, ..asker() };
        domain(Operation::Off, asked, &asker, Unknown::Fails, &backend, &turns).reply
    };
    assert_eq!(off("node2", 30_000), Some(Reply::Success));
    assert_eq!(off("node1", 300), Some(Reply::Fail));
    assert!(turns.take(UUID.parse().unwrap(), || Wanted::Gone).is_none());
    drop(held);
    assert_eq!(off("node1", 30_000), Some(Reply::Success));
}

fn only(domains: &[&str]) -> Arc<Permissions> {
    let domains = domains.iter().map(|name| (*name).to_owned()).collect();
    let group = Group { name: "g".into(), domains, addresses: vec!["3".into()] };
    Arc::new(Permissions { groups: vec![group] })
}

#[test]
fn a_group_that_has_the_uuid_allows_the_name_and_the_other_way_round() {
    let domains = vec![defined(), FakeDomain::defined("node2", OTHER)];
    let daemon = FakeLibvirtd::start(World { domains, ..World::default() });
    let backend = backend(&daemon);
    let turns = Turns::default();
    let ask = |listed: &[&str], source: Source, asked: &str| {
        let asker = Asker { permissions: only(listed), source, ..asker() };
        domain(Operation::Status, asked, &asker, Unknown::Fails, &backend, &turns).reply
    };
    let member = || Source::Cid(3);
    for (listed, asked) in [(UUID, "node1"), ("node1", UUID), (UUID, UUID), ("NODE1", "node1")] {
        assert_eq!(ask(&[listed], member(), asked), Some(Reply::Success), "{listed} {asked}");
    }
    assert_eq!(ask(&[UUID], member(), "node2"), Some(Reply::Permission));
    assert_eq!(ask(&[UUID], member(), "nobody"), Some(Reply::Permission));
    let before = daemon.world().calls.len();
    assert_eq!(ask(&[UUID], Source::Cid(4), "node1"), Some(Reply::Permission));
    assert_eq!(daemon.world().calls.len(), before, "libvirt need not be asked for that");
}

#[test]
fn a_list_has_only_what_may_be_seen() {
    let domains = vec![defined(), FakeDomain::defined("node2", OTHER)];
    let daemon = FakeLibvirtd::start(World { domains, ..World::default() });
    let seen = |permissions, source| {
        let asker = Asker { permissions, source, ..asker() };
        let outcome = list(&asker, &backend(&daemon));
        outcome.hosts.unwrap().0.into_iter().map(|host| (host.name, host.state)).collect::<Vec<_>>()
    };
    assert_eq!(seen(only(&["node2"]), Source::Cid(3)), [("node2".to_owned(), 5)]);
    assert_eq!(seen(only(&["node2"]), Source::Cid(4)), []);
    assert_eq!(seen(Arc::default(), Source::Cid(4)).len(), 2);
}
