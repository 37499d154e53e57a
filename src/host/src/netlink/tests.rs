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

/// Root may send to any netlink socket: what comes from there is not the kernel's word.
#[test]
fn what_others_send_is_nothing() {
    use nix::sys::socket::{MsgFlags, NetlinkAddr, getsockname, sendto};
    use std::os::fd::AsRawFd;
    let (ours, stranger) = (Socket::open().unwrap(), Socket::open().unwrap());
    let address: NetlinkAddr = getsockname(ours.as_fd().as_raw_fd()).unwrap();
    let lie = drbd::ask_family(1);
    let sent = sendto(stranger.as_fd().as_raw_fd(), &lie, &address, MsgFlags::empty());
    if let Err(nix::errno::Errno::EPERM) = sent {
        println!("skipped: only root can send to another's netlink socket");
        return;
    }
    assert_eq!(sent, Ok(lie.len()));
    assert!(ours.wait(soon()).unwrap());
    assert_eq!(ours.receive(&mut [0; BUFFER]).unwrap(), Received::Nothing);
    // Nor does a flood of it outlast the deadline.
    let limit = Duration::from_millis(100);
    let deadline = clock::within(limit);
    let began = clock::now();
    let flood = std::thread::spawn(move || {
        while !deadline.remaining(clock::now()).is_zero() {
            let flags = MsgFlags::MSG_DONTWAIT;
            let _ = sendto(stranger.as_fd().as_raw_fd(), &lie, &address, flags);
        }
    });
    let never = |_: &Message<'_>| panic!("a stranger was believed");
    let end = receive(&ours, &mut [0; BUFFER], "nothing", deadline, never);
    assert!(matches!(end, Err(Error::TimedOut { .. } | Error::Socket { .. })), "{end:?}");
    assert!(clock::now().saturating_sub(began) < limit * 50);
    flood.join().unwrap();
}

#[test]
fn the_tool_is_asked_where_the_module_does_not_know_the_question_or_does_not_talk_to_us() {
    let errno = |number| Error::Answer { asked: "it", source: drbd::Error::Errno(number) };
    let socket =
        |number| Error::Socket { asked: "it", source: io::Error::from_raw_os_error(number) };
    use nix::libc::{EACCES, EBUSY, EIO, EOPNOTSUPP, EPERM};
    for (error, is_of_language) in [
        (errno(EOPNOTSUPP), true),
        (errno(EPERM), true),
        (errno(EACCES), true),
        (errno(EBUSY), false),
        (socket(EPERM), true),
        (socket(EACCES), true),
        (socket(EIO), false),
    ] {
        assert_eq!(error.is_of_language(), is_of_language, "{error:?}");
    }
}

#[test]
fn an_answer_that_lies_there_is_read_also_after_the_deadline() {
    let socket = Socket::open().unwrap();
    socket.send(&drbd::ask_family(7)).unwrap();
    let over = clock::within(Duration::ZERO);
    let mut seen = 0;
    let end = receive(&socket, &mut [0; BUFFER], "it", over, |message| {
        seen = message.sequence;
        Ok(Turn::Stop)
    });
    assert!(end.is_ok() && seen == 7, "{end:?} {seen}");
    // And nothing is waited for that does not.
    let end = receive(&socket, &mut [0; BUFFER], "it", over, |_| Ok(Turn::Stop));
    assert!(matches!(end, Err(Error::TimedOut { .. })), "{end:?}");
}
