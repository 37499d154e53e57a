//! Single looks. Invariant: a look is whole or an error, in time.

use crate::{V8, V9, faulty, soon, view, with, without_ids};
use duet_drbd::{Connection, Disk, Replication, Role, Version, View, netlink};
use duet_fake_tools::{Asked, FakeKernel, Faults};
use duet_host::drbd::{Sight, Source, Stream, look, version};
use duet_host::{Error, NetlinkError, clock};
use std::time::{Duration, Instant};

#[test]
fn a_look_sees_what_the_module_has() {
    for version in [V8, V9] {
        with(
            || FakeKernel::start(version, view(version)),
            |kernel| {
                let expected =
                    Sight::Seen { version, view: view(version), source: Source::Netlink };
                assert_eq!(look(soon()).unwrap(), expected);
                let asked = [Asked::Family, Asked::Dump(38), Asked::Dump(30)];
                // 8.4 has no node ids to ask for.
                assert_eq!(kernel.asked(), asked[..if version == V8 { 2 } else { 3 }]);
            },
        );
    }
}

#[test]
fn a_look_sees_what_was_recorded() {
    let file = "nl-04-connected-node1-primary-node1.txt";
    for version in [V8, Version { major: 9, minor: 2, patch: 16 }, V9] {
        with(
            || FakeKernel::recorded(version, file),
            |_| {
                let Sight::Seen { view, .. } = look(soon()).unwrap() else { panic!("nothing") };
                let resource = &view.resources["r0"];
                assert_eq!((&resource.role, resource.suspended.any()), (&Role::Primary, false));
                assert_eq!(resource.volumes[&0].disk, Disk::UpToDate);
                let (_, peer) = resource.peers.first_key_value().unwrap();
                assert_eq!(peer.volumes[&0].disk, Disk::UpToDate);
                assert_eq!(peer.connection, Connection::Connected);
            },
        );
    }
}

#[test]
fn without_the_module_there_is_nothing_and_nobody_is_asked() {
    with(
        || FakeKernel::without_module(V9),
        |kernel| {
            assert_eq!(version().unwrap(), None);
            assert_eq!(look(soon()).unwrap(), Sight::NoModule);
            assert!(matches!(Stream::open(soon()), Err(Error::NoDrbd)));
            assert_eq!(kernel.asked(), []);
        },
    );
}

#[test]
fn the_version_is_found_in_either_place() {
    with(
        || FakeKernel::start(V9, view(V9)),
        |kernel| {
            let module = kernel.root().join("sys/module/drbd");
            std::fs::remove_file(module.join("version")).unwrap();
            assert_eq!(version().unwrap(), Some(V9), "/proc/drbd has it too");
            std::fs::write(kernel.root().join("proc/drbd"), "nothing\n").unwrap();
            assert!(matches!(look(soon()), Err(Error::DrbdVersion { .. })), "loaded, unclear");
            std::fs::remove_file(kernel.root().join("proc/drbd")).unwrap();
            assert!(matches!(look(soon()), Err(Error::DrbdVersion { .. })), "loaded, silent");
            std::fs::remove_dir(&module).unwrap();
            assert_eq!(look(soon()).unwrap(), Sight::NoModule);
        },
    );
}

/// Each of these kernels would hold a careless reader for ever, or fill its memory.
#[test]
fn what_never_ends_ends_in_time() {
    let limit = Duration::from_millis(300);
    let none = Faults::default;
    for faults in [
        Faults { hang_on: Some(3), ..none() },
        Faults { hang_on: Some(30), ..none() },
        Faults { hang_on: Some(38), ..none() },
        Faults { repeat_on: Some(38), ..none() },
    ] {
        with(faulty(faults.clone()), |_| {
            let began = Instant::now();
            let error = look(clock::within(limit)).unwrap_err();
            assert!(error.is_timeout(), "{faults:?}: {error:?}");
            assert!((limit..limit * 10).contains(&began.elapsed()), "{:?}", began.elapsed());
        });
    }
    for faults in [Faults { hang_on: Some(38), ..none() }, Faults { repeat_on: Some(38), ..none() }]
    {
        with(faulty(faults), |_| {
            let error = Stream::open(clock::within(limit)).unwrap_err();
            assert!(error.is_timeout(), "{error:?}");
        });
    }
}

#[test]
fn a_refusal_ends_it_at_once() {
    for (command, code) in [(30, 158), (38, 102), (38, 152)] {
        let faults = Faults { refuse_on: Some((command, code)), ..Faults::default() };
        with(faulty(faults), |kernel| {
            let began = Instant::now();
            match look(soon()) {
                Err(Error::Netlink(NetlinkError::Answer { source, .. })) => {
                    assert_eq!(source, netlink::Error::Refused(code));
                }
                other => panic!("{other:?}"),
            }
            assert!(began.elapsed() < Duration::from_secs(10));
            assert_eq!(kernel.asked().last(), Some(&Asked::Dump(command)), "the last question");
        });
    }
}

#[test]
fn what_cannot_be_understood_is_an_error_and_no_view() {
    let none = Faults::default;
    for faults in [
        Faults { no_family: true, ..none() },
        Faults { truncate_on: Some(30), ..none() },
        Faults { truncate_on: Some(38), ..none() },
        Faults { is_out_of_sequence: true, ..none() },
        Faults { family_version: Some(1), ..none() },
        Faults { family_version: Some(3), ..none() },
    ] {
        with(faulty(faults.clone()), |_| {
            let error = look(soon()).unwrap_err();
            match &error {
                Error::Drbdsetup { source, .. } => {
                    assert!(source.is_of_language(), "{faults:?}: {error:?}");
                }
                other => panic!("{faults:?}: {other:?}"),
            }
            // A stream does not ask for node ids.
            assert_eq!(Stream::open(soon()).is_ok(), faults.truncate_on == Some(30), "{faults:?}");
        });
    }
}

#[test]
fn new_attributes_do_not_matter_and_new_values_are_not_good() {
    with(faulty(Faults { has_new_attributes: true, ..Faults::default() }), |kernel| {
        let Sight::Seen { view: seen, .. } = look(soon()).unwrap() else { panic!("nothing") };
        assert_eq!(seen, view(V9));
        let new = |view: &mut View| {
            let disk = Disk::Unrecognized("new".into());
            view.resources.get_mut("r0").unwrap().volumes.get_mut(&0).unwrap().disk = disk;
        };
        kernel.change(new);
        let Sight::Seen { view, .. } = look(soon()).unwrap() else { panic!("nothing") };
        assert_eq!(view.resources["r0"].volumes[&0].disk, Disk::Unrecognized("99".into()));
    });
}

#[test]
fn a_dump_that_was_interrupted_is_asked_for_again_but_not_for_ever() {
    with(faulty(Faults { interrupted: 2, ..Faults::default() }), |kernel| {
        let Sight::Seen { view: seen, .. } = look(soon()).unwrap() else { panic!("nothing") };
        assert_eq!(seen, view(V9));
        assert_eq!(kernel.asked()[1..4], [Asked::Dump(38); 3]);
    });
    with(faulty(Faults { interrupted: 1000, ..Faults::default() }), |kernel| {
        let error = look(soon()).unwrap_err();
        assert!(matches!(error, Error::Netlink(NetlinkError::Restless { .. })), "{error:?}");
        assert!(kernel.asked().len() < 10);
    });
}

#[test]
fn an_answer_that_does_not_fit_together_is_no_view() {
    with(faulty(Faults { forgets_resources: true, ..Faults::default() }), |kernel| {
        let error = look(soon()).unwrap_err();
        assert!(matches!(error, Error::Netlink(NetlinkError::Torn(_))), "{error:?}");
        assert!((3..10).contains(&kernel.asked().len()));
    });
    // Removed between the two questions: what is seen was so at one moment.
    with(faulty(Faults { removed_after: Some(38), ..Faults::default() }), |_| {
        let Sight::Seen { view: seen, .. } = look(soon()).unwrap() else { panic!("nothing") };
        assert_eq!(seen, without_ids(view(V9)));
    });
}

/// 8.4's dumps 32 and 33 do not have it, and without it there would seem to be no peer that could have newer data.
#[test]
fn a_peer_after_a_split_brain_is_still_a_peer() {
    for version in [V8, V9] {
        let mut split = view(version);
        let peer = split.resources.get_mut("r0").unwrap().peers.values_mut().next().unwrap();
        peer.connection = Connection::StandAlone;
        peer.role = Role::Unknown;
        for volume in peer.volumes.values_mut() {
            volume.replication = Replication::Off;
            volume.disk = Disk::DUnknown;
        }
        with(
            || FakeKernel::start(version, split.clone()),
            |_| {
                let Sight::Seen { view, .. } = look(soon()).unwrap() else { panic!("nothing") };
                assert_eq!(view, split);
            },
        );
    }
}

/// `drbdsetup` as a script in place of the real one.
fn put_drbdsetup(kernel: &FakeKernel, script: &str) {
    let directory = kernel.root().join("usr/sbin");
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join("drbdsetup");
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(path, mode).unwrap();
}

#[test]
fn the_tool_is_asked_where_the_messages_are_not_understood() {
    const TEXT: &str = "echo exists resource name:r0 role:Secondary suspended:no; echo exists -";
    with(faulty(Faults { family_version: Some(3), ..Faults::default() }), |kernel| {
        put_drbdsetup(kernel, &format!("[ \"$*\" = 'events2 --now' ] || exit 9; {TEXT}"));
        let Sight::Seen { view, source, version } = look(soon()).unwrap() else { panic!("none") };
        assert_eq!((source, version), (Source::Drbdsetup, V9));
        assert_eq!(view.resources["r0"].role, Role::Secondary);
        for broken in ["exit 20", "echo exists resource name:r0", "echo nonsense; echo exists -"] {
            put_drbdsetup(kernel, broken);
            let error = look(soon()).unwrap_err();
            assert!(matches!(error, Error::Drbdsetup { .. }), "{broken}: {error:?}");
        }
        put_drbdsetup(kernel, "sleep 60");
        assert!(look(clock::within(Duration::from_millis(300))).unwrap_err().is_timeout());
    });
    // Nobody else is asked where the module was understood, or may only be slow.
    for faults in [
        Faults::default(),
        Faults { hang_on: Some(38), ..Faults::default() },
        Faults { refuse_on: Some((30, 158)), ..Faults::default() },
    ] {
        with(faulty(faults.clone()), |kernel| {
            put_drbdsetup(
                kernel,
                &format!("touch {}; {TEXT}", kernel.root().join("ran").display()),
            );
            let _ = look(clock::within(Duration::from_millis(300)));
            assert!(!kernel.root().join("ran").exists(), "{faults:?}");
        });
    }
}

#[test]
fn a_module_that_goes_while_it_is_asked_is_none() {
    with(faulty(Faults { unloads_on: Some(38), ..Faults::default() }), |_| {
        assert_eq!(look(soon()).unwrap(), Sight::NoModule);
    });
}
