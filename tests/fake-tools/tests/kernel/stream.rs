//! Streams. Invariant: what a stream says, taken together, is what the module has, or that something is missing.

use crate::{V8, V9, faulty, soon, view, with, without_ids};
use duet_drbd::{Change, Connection, Disk, Object, Replication, Role, Suspended, Verb, View};
use duet_fake_tools::{Asked, FakeKernel, Faults};
use duet_host::drbd::{Next, Stream};
use duet_host::{Error, NetlinkError, clock};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

fn changes(stream: &mut Stream) -> Vec<Change> {
    match stream.next(soon()).unwrap() {
        Next::Changes(changes) => changes,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_stream_is_the_state_and_then_every_change() {
    for version in [V8, V9] {
        with(
            || FakeKernel::start(version, view(version)),
            |kernel| {
                let (mut stream, seen_version, mut seen) = Stream::open(soon()).unwrap();
                assert_eq!((seen_version, &seen), (version, &without_ids(view(version))));
                assert_eq!(
                    kernel.asked(),
                    [Asked::Family, Asked::Join(9), Asked::Join(16), Asked::Dump(38)],
                    "it listens before it looks"
                );
                assert_eq!(stream.next(clock::within(Duration::ZERO)).unwrap(), Next::Nothing);
                kernel.change(|view| {
                    let resource = view.resources.get_mut("r0").unwrap();
                    resource.suspended = Suspended::default();
                    resource.volumes.get_mut(&1).unwrap().disk = Disk::Failed;
                    let peer = resource.peers.values_mut().next().unwrap();
                    peer.connection = Connection::NetworkFailure;
                    peer.role = Role::Unknown;
                    for volume in peer.volumes.values_mut() {
                        volume.replication = Replication::Off;
                        volume.disk = Disk::DUnknown;
                    }
                    let other = view.resources["r1"].clone();
                    view.resources.remove("r1");
                    view.resources.insert("r2".to_owned(), other);
                });
                for change in changes(&mut stream) {
                    seen.apply(&change);
                }
                assert_eq!(seen, without_ids(kernel.module().view.clone()));
                let call = Object::Helper {
                    resource: "r0".to_owned(),
                    peer: Some(if version == V8 { 0 } else { 7 }),
                    volume: None,
                    helper: "fence-peer".to_owned(),
                    status: None,
                };
                let call = Change { verb: Verb::Call, object: call };
                kernel.helper(&call);
                assert_eq!(changes(&mut stream), [call]);
            },
        );
    }
}

#[test]
fn a_stream_is_readable_when_it_has_something() {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    with(
        || FakeKernel::start(V9, view(V9)),
        |kernel| {
            let (mut stream, _, _) = Stream::open(soon()).unwrap();
            let ready = |stream: &Stream, timeout: u16| {
                let fd = PollFd::new(stream.as_fd(), PollFlags::POLLIN);
                poll(&mut [fd], PollTimeout::from(timeout)).unwrap()
            };
            assert_eq!(ready(&stream, 0), 0);
            kernel.change(|view| view.resources.get_mut("r1").unwrap().role = Role::Primary);
            assert_eq!(ready(&stream, 10_000), 1);
            assert_eq!(changes(&mut stream).len(), 1);
            assert_eq!(ready(&stream, 0), 0);
        },
    );
}

#[test]
fn a_stream_says_when_it_has_lost_something_and_goes_on_saying_so() {
    type Trouble = fn(&FakeKernel);
    let troubles: [(&str, Trouble); 3] = [
        ("dropped", FakeKernel::drop_streams),
        ("unloaded", FakeKernel::unload),
        ("flooded", |kernel| {
            for round in 0..5000 {
                kernel.change(|view| {
                    let role = if round % 2 == 0 { Role::Primary } else { Role::Secondary };
                    view.resources.get_mut("r1").unwrap().role = role;
                });
            }
        }),
    ];
    for (name, trouble) in troubles {
        with(
            || FakeKernel::start(V9, view(V9)),
            |kernel| {
                let (mut stream, _, _) = Stream::open(soon()).unwrap();
                trouble(kernel);
                let began = Instant::now();
                while let Next::Changes(_) = stream.next(soon()).unwrap() {}
                assert_eq!(stream.next(soon()).unwrap(), Next::Lost, "{name}");
                assert_eq!(stream.next(clock::within(Duration::ZERO)).unwrap(), Next::Lost);
                assert!(began.elapsed() < Duration::from_secs(15), "{name}");
            },
        );
    }
}

#[test]
fn a_module_that_was_loaded_anew_is_looked_up_anew() {
    with(
        || FakeKernel::start(V8, view(V8)),
        |kernel| {
            let (mut stream, _, _) = Stream::open(soon()).unwrap();
            kernel.unload();
            assert_eq!(stream.next(soon()).unwrap(), Next::Lost);
            kernel.load(V9);
            let (_, version, seen) = Stream::open(soon()).unwrap();
            assert_eq!((version, seen), (V9, View::default()));
        },
    );
}

#[test]
fn a_message_that_cannot_be_understood_ends_a_stream_with_an_error() {
    with(
        || FakeKernel::start(V9, view(V9)),
        |kernel| {
            let (mut stream, _, _) = Stream::open(soon()).unwrap();
            kernel.tell(&[7; 21]);
            let error = stream.next(soon()).unwrap_err();
            assert!(matches!(error, Error::Netlink(NetlinkError::Answer { .. })), "{error:?}");
            assert_eq!(stream.next(soon()).unwrap(), Next::Lost);
        },
    );
    with(faulty(Faults { no_group: true, ..Faults::default() }), |_| {
        assert!(matches!(Stream::open(soon()), Err(Error::Netlink(NetlinkError::NoGroup))));
    });
}
