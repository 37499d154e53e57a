//! Guests that leave this host while they are asked about: another host may have them, and what is not known of that is not said.

use super::*;

#[test]
fn a_guest_that_was_migrated_away_is_not_off_and_is_not_started_beside_itself() {
    let daemon = FakeLibvirtd::with(FakeDomain::defined("node1", UUID).in_state(5, 4));
    let backend = backend(&daemon);
    for operation in [Operation::Off, Operation::Reboot, Operation::On, Operation::Status] {
        let outcome = run(operation, "node1", &backend);
        assert_eq!(outcome.reply, Some(Reply::Fail), "{operation:?}");
        assert!(outcome.why.contains("migrated"), "{}", outcome.why);
    }
    assert!(changes(&daemon).is_empty());
}

#[test]
fn a_guest_that_leaves_while_it_cannot_be_ended_is_neither_off_nor_made_anew() {
    for operation in [Operation::Off, Operation::Reboot] {
        let refuse_destroy = Some((55, "it is being migrated".to_owned()));
        let domains = vec![FakeDomain::running("node1", UUID)];
        let daemon = FakeLibvirtd::start(World { domains, refuse_destroy, ..World::default() });
        let backend = backend(&daemon);
        let outcome = std::thread::scope(|scope| {
            let work = scope.spawn(|| run(operation, "node1", &backend));
            while !daemon.world().calls.iter().any(|call| call.starts_with("destroy")) {
                std::thread::sleep(Duration::from_millis(2));
            }
            daemon.world().domains.clear();
            work.join().unwrap()
        });
        assert_eq!((outcome.reply, outcome.is_trouble), (Some(Reply::Fail), true), "{operation:?}");
        assert!(!changes(&daemon).contains(&"create".to_owned()), "a second one beside it");
    }
}
