//! The real kernel of this machine, which knows netlink whether it has DRBD or not.

use super::*;

fn soon() -> Deadline {
    clock::within(Duration::from_secs(10))
}

#[test]
fn a_kernel_without_the_module_has_no_family() {
    if std::path::Path::new("/sys/module/drbd").exists() {
        println!("skipped: DRBD's module is loaded here");
        return;
    }
    let version = Version { major: 9, minor: 3, patch: 3 };
    let began = Conversation::begin(version, soon());
    assert!(matches!(began, Err(Error::NoFamily)), "{began:?}");
}

#[test]
fn a_real_group_is_joined_and_its_silence_ends_at_the_deadline() {
    let socket = Socket::open().unwrap();
    socket.enlarge();
    socket.join(CONTROL_GROUP).unwrap();
    assert!(socket.join(u32::MAX).is_err(), "a group that no kernel has");
    let began = clock::now();
    assert!(!socket.wait(clock::within(Duration::from_millis(50))).unwrap());
    assert!(clock::now().saturating_sub(began) >= Duration::from_millis(50));
    assert_eq!(socket.receive(&mut [0; 64]).unwrap(), Received::Nothing);
}

#[test]
fn a_datagram_that_does_not_fit_is_no_message() {
    let socket = Socket::open().unwrap();
    socket.send(&drbd::ask_family(7)).unwrap();
    assert!(socket.wait(soon()).unwrap());
    let error = socket.receive(&mut [0; 20]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
}
