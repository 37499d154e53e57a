//! Messages that no driver has sent yet: with things missing, new or wrong. Invariant: they read as unknown or not at
//! all.

use duet_drbd::netlink::{Decoder, Dump, Error, Family, Said, Torn, Writer, messages, whole};
use duet_drbd::{
    Change, Connection, Disk, Object, Replication, Role, Suspended, Verb, Version, View,
};

const ID: u16 = 40;

fn decoder(major: u8) -> Decoder {
    let (version, minor) = if major == 8 { (1, 4) } else { (2, 3) };
    let family = Family { id: ID, version, events_group: Some(9) };
    Decoder::new(family, Version { major, minor, patch: 11 }).unwrap()
}

/// A good header of a message with this command.
fn message(major: u8, command: u8, minor: u32) -> Writer {
    let version = if major == 8 { 1 } else { 2 };
    Writer::new(ID, 0, 7).command(command, version).word(minor).word(101)
}

fn word(value: u32) -> [u8; 4] {
    value.to_ne_bytes()
}

/// A notification of this type about volume 0 at peer 1 of r0.
fn notification(major: u8, command: u8, kind: u32) -> Writer {
    message(major, command, u32::MAX)
        .nested(2, |context| {
            context.text(2, "r0").attribute(1, &word(0)).attribute(6, &word(1)).text(5, "node2")
        })
        .nested(23, |header| header.attribute(1, &word(kind)))
}

fn said(major: u8, writer: Writer) -> Result<Said, Error> {
    let bytes = writer.finish();
    decoder(major).notification(&messages(&bytes).next().unwrap()?)
}

fn change(major: u8, writer: Writer) -> Change {
    match said(major, writer) {
        Ok(Said::Change(change)) => *change,
        other => panic!("{other:?}"),
    }
}

fn device(disk: u32) -> Writer {
    notification(9, 35, 2).nested(16, |info| info.attribute(1, &word(disk)))
}

#[test]
fn one_number_is_another_disk_on_another_driver() {
    let disk_of = |major, raw: u32| {
        let writer = notification(major, 35, 2).nested(16, |info| info.attribute(1, &word(raw)));
        match change(major, writer).object {
            Object::Device { disk, .. } => disk.unwrap(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((disk_of(8, 8), disk_of(9, 8)), (Disk::UpToDate, Disk::Consistent));
    assert_eq!(disk_of(8, 9), Disk::Unrecognized("9".into()));
    for raw in [10, 15, 255, u32::MAX] {
        assert_eq!(disk_of(9, raw), Disk::Unrecognized(raw.to_string()));
    }
}

#[test]
fn the_one_scale_of_8_4_is_two() {
    let states_of = |raw: u32| {
        let connection = notification(8, 36, 2)
            .nested(17, |i| i.attribute(1, &word(raw)).attribute(2, &word(1)));
        let peer_device = notification(8, 37, 2)
            .nested(18, |i| i.attribute(1, &word(raw)).attribute(2, &word(8)));
        match (change(8, connection).object, change(8, peer_device).object) {
            (Object::Connection { connection, .. }, Object::PeerDevice { replication, .. }) => {
                (connection.unwrap(), replication.unwrap())
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(states_of(0), (Connection::StandAlone, Replication::Off));
    assert_eq!(states_of(8), (Connection::Connecting, Replication::Off));
    assert_eq!(states_of(9), (Connection::Connected, Replication::Off));
    assert_eq!(states_of(10), (Connection::Connected, Replication::Established));
    assert_eq!(states_of(17), (Connection::Connected, Replication::SyncTarget));
    assert_eq!(states_of(23), (Connection::Connected, Replication::Behind));
    for raw in [24, 31, u32::MAX] {
        let unrecognized =
            (Connection::Unrecognized(raw.to_string()), Replication::Unrecognized(raw.to_string()));
        assert_eq!(states_of(raw), unrecognized);
    }
}

/// Whatever was known before: a message about the object that leaves its state out makes it unknown.
#[test]
fn what_is_left_out_is_unknown() {
    for major in [8, 9] {
        for kind in [0, 1, 2] {
            let mut view = View::default();
            let good = [
                notification(major, 34, 1).nested(15, |info| {
                    [2, 3, 4]
                        .iter()
                        .fold(info.attribute(1, &word(1)), |info, flag| info.attribute(*flag, &[0]))
                }),
                notification(major, 35, 1).nested(16, |i| i.attribute(1, &word(9))),
                notification(major, 36, 1)
                    .nested(17, |i| i.attribute(1, &word(9)).attribute(2, &word(2))),
                notification(major, 37, 1)
                    .nested(18, |i| i.attribute(1, &word(10)).attribute(2, &word(9))),
            ];
            for writer in good {
                view.apply(&change(major, writer));
            }
            assert!(!view.resources["r0"].suspended.any());
            for command in 34..=37 {
                view.apply(&change(major, notification(major, command, kind)));
            }
            let resource = &view.resources["r0"];
            let unsaid = || "unsaid".to_owned();
            assert_eq!(resource.role, Role::Unrecognized(unsaid()));
            assert_eq!(
                resource.suspended,
                Suspended { unrecognized: true, ..Suspended::default() }
            );
            assert_eq!(resource.volumes[&0].disk, Disk::Unrecognized(unsaid()));
            let peer = &resource.peers[&u32::from(major == 9)];
            assert_eq!(peer.role, Role::Unrecognized(unsaid()));
            assert_eq!(peer.connection, Connection::Unrecognized(unsaid()));
            assert_eq!(peer.volumes[&0].disk, Disk::Unrecognized(unsaid()));
            assert_eq!(peer.volumes[&0].replication, Replication::Unrecognized(unsaid()));
        }
    }
}

#[test]
fn quorum_and_client_that_are_not_said_are_none() {
    match change(9, device(9)).object {
        Object::Device { quorum: None, client: None, open: None, backing: None, .. } => {}
        other => panic!("{other:?}"),
    }
    // 8.4 has neither; whatever stands there means something else.
    let writer = notification(8, 35, 2)
        .nested(16, |i| i.attribute(1, &word(8)).attribute(2, &[1]).attribute(3, &[1]));
    match change(8, writer).object {
        Object::Device { quorum: None, client: None, .. } => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn unknown_attributes_do_not_matter() {
    let plain = change(9, device(9));
    let more = notification(9, 35, 2)
        .attribute(99, b"new")
        .nested(16, |i| i.attribute(77, &[1, 2, 3]).attribute(1, &word(9)).attribute(0x3ffe, b""))
        .nested(98, |i| i.attribute(1, b"x"));
    assert_eq!(change(9, more), plain);
    let mandatory = message(9, 35, u32::MAX)
        .attribute(0xc002, &{
            let inner = Writer::new(0, 0, 0).attribute(0x4001, &word(0)).text(0x4002, "r0");
            inner.finish()[16..].to_vec()
        })
        .nested(23, |header| header.attribute(1, &word(2)))
        .nested(16, |info| info.attribute(1, &word(9)));
    assert_eq!(change(9, mandatory), plain);
}

#[test]
fn what_was_not_known_when_this_was_written_is_unrecognized() {
    for command in
        (0..=255).filter(|command| !(30..=37).contains(command) && ![40, 41, 48].contains(command))
    {
        match change(9, notification(9, command, 2)).object {
            Object::Unrecognized(what) => assert_eq!(what, format!("command {command}")),
            other => panic!("{command}: {other:?}"),
        }
    }
    assert_eq!(said(8, notification(8, 1, 2)), Ok(Said::Nothing));
    for (command, kinds) in [(34, [4, 5, 7]), (35, [4, 6, 100]), (36, [5, 6, 7]), (40, [0, 1, 6])] {
        for kind in kinds {
            let object = change(9, notification(9, command, kind)).object;
            assert!(matches!(object, Object::Unrecognized(_)), "{command} {kind}: {object:?}");
        }
    }
}

#[test]
fn a_renamed_resource_keeps_what_is_known_of_it() {
    let mut view = View::default();
    let info = |writer: Writer| {
        writer.nested(15, |i| {
            let flags = i.attribute(1, &word(1)).attribute(2, &[0]).attribute(3, &[0]);
            flags.attribute(4, &[1]).attribute(5, &[0]).attribute(6, &[0])
        })
    };
    view.apply(&change(9, info(notification(9, 34, 1))));
    let before = view.resources["r0"].clone();
    let renamed = notification(9, 34, 6).nested(32, |info| info.text(1, "r1"));
    view.apply(&change(9, renamed));
    assert_eq!(view.resources.into_iter().collect::<Vec<_>>(), [("r1".to_owned(), before)]);
    assert!(matches!(said(9, notification(9, 34, 6)), Err(Error::Malformed(_))));
}

#[test]
fn what_is_destroyed_is_gone() {
    let mut view = View::default();
    for command in 34..=37 {
        view.apply(&change(9, notification(9, command, 1)));
    }
    for command in [37, 36, 35, 34] {
        let gone = change(9, notification(9, command, 3));
        assert_eq!(gone.verb, Verb::Destroy);
        view.apply(&gone);
    }
    assert_eq!(view, View::default());
}

#[test]
fn what_does_not_say_of_whom_is_malformed() {
    let context = |inside: fn(Writer) -> Writer| {
        move |command| {
            message(9, command, u32::MAX)
                .nested(2, inside)
                .nested(23, |header| header.attribute(1, &word(2)))
        }
    };
    let nobody = context(|c| c.attribute(1, &word(0)).attribute(6, &word(1)));
    let nameless = context(|c| c.text(2, "").attribute(1, &word(0)).attribute(6, &word(1)));
    let no_volume = context(|c| c.text(2, "r0").attribute(6, &word(1)));
    let no_peer = context(|c| c.text(2, "r0").attribute(1, &word(0)));
    let wrong = [
        nobody(34),
        nobody(35),
        nobody(36),
        nobody(37),
        nameless(34),
        no_volume(35),
        no_volume(37),
        no_peer(36),
        no_peer(37),
        message(9, 34, 0),
        notification(9, 40, 4),
    ];
    for (index, writer) in wrong.into_iter().enumerate() {
        assert!(matches!(said(9, writer), Err(Error::Malformed(_))), "{index}");
    }
}

#[test]
fn values_of_another_size_or_shape_are_malformed() {
    let wrong = [
        notification(9, 35, 2).nested(16, |i| i.attribute(1, &[9])),
        notification(9, 35, 2).nested(16, |i| i.attribute(1, &[9, 0, 0, 0, 0, 0, 0, 0])),
        notification(9, 35, 2).nested(16, |i| i.attribute(1, &word(9)).attribute(3, &[2])),
        notification(9, 35, 2).nested(16, |i| i.attribute(1, &word(9)).attribute(3, &[])),
        notification(9, 35, 2).nested(16, |i| i.attribute(1, &word(9)).attribute(3, &word(1))),
        notification(9, 35, 2).nested(16, |i| i.attribute(1, &word(9)).attribute(1, &word(5))),
        notification(9, 35, 2).nested(16, |i| i.attribute(4, b"/dev/a\0b")),
        notification(9, 35, 2).nested(16, |i| i.attribute(4, &[0xff, 0xfe])),
        notification(9, 35, 2).attribute(16, &[200, 0, 1, 0, 9, 0, 0, 0]),
        notification(9, 35, 2).attribute(16, &[3, 0, 1, 0]),
        notification(9, 35, 2).attribute(16, &[1, 0]),
        notification(9, 37, 2).nested(22, |i| i.attribute(5, &word(1))),
    ];
    for (index, writer) in wrong.into_iter().enumerate() {
        assert!(matches!(said(9, writer), Err(Error::Malformed(_))), "{index}");
    }
}

#[test]
fn headers_decide_first() {
    let version = Writer::new(ID, 0, 7).command(35, 1).word(0).word(101);
    assert!(matches!(said(9, version), Err(Error::Malformed(_))));
    let family = Writer::new(ID + 1, 0, 7).command(35, 2).word(0).word(101);
    assert!(matches!(said(9, family), Err(Error::Malformed(_))));
    let refused = Writer::new(ID, 0, 7).command(35, 2).word(0).word(158);
    assert_eq!(said(9, refused), Err(Error::Refused(158)));
    assert_eq!(said(9, Writer::new(1, 0, 0)), Ok(Said::Nothing));
    assert_eq!(said(9, Writer::new(4, 0, 0)), Ok(Said::Lost));
    let answer = |writer: Writer| {
        let bytes = writer.finish();
        decoder(9).answer(Dump::Devices, &messages(&bytes).next().unwrap()?)
    };
    assert_eq!(answer(Writer::new(3, 0, 7)), Ok(Said::Done));
    assert_eq!(answer(Writer::new(3, 0, 7).word(0)), Ok(Said::Done));
    let minus = |number: i32| u32::from_ne_bytes((-number).to_ne_bytes());
    assert_eq!(answer(Writer::new(3, 0, 7).word(minus(12))), Err(Error::Errno(12)));
    assert_eq!(answer(Writer::new(2, 0, 7).word(minus(1))), Err(Error::Errno(1)));
    assert_eq!(answer(Writer::new(2, 0, 7).word(0)), Ok(Said::Nothing));
    for strange in [1, minus(5000)] {
        assert!(matches!(answer(Writer::new(2, 0, 7).word(strange)), Err(Error::Malformed(_))));
    }
}

#[test]
fn the_end_of_the_family_is_the_end_of_the_stream() {
    let control = |command: u8, name: &str, id: u16| {
        let writer = Writer::new(16, 0, 0).command(command, 2);
        said(9, writer.attribute(1, &id.to_ne_bytes()).text(2, name))
    };
    assert_eq!(control(2, "drbd", ID), Ok(Said::Lost));
    assert_eq!(control(2, "nbd", ID), Ok(Said::Lost));
    assert_eq!(control(2, "nbd", ID + 1), Ok(Said::Nothing));
    assert_eq!(control(1, "nbd", ID + 1), Ok(Said::Nothing));
}

fn dumped(command: u8, inside: impl FnOnce(Writer) -> Writer) -> Change {
    let context = message(9, command, 3).nested(2, |c| {
        let context = c.text(2, "r0").attribute(1, &word(0));
        context.attribute(6, &word(1)).text(5, "node2")
    });
    change(9, inside(context))
}

#[test]
fn dumps_that_do_not_fit_together_are_torn() {
    let resource = || dumped(30, |w| w.nested(15, |i| i.attribute(1, &word(2))));
    let device = || dumped(31, |w| w.nested(16, |i| i.attribute(1, &word(9))));
    let connection = || dumped(32, |w| w.nested(17, |i| i.attribute(1, &word(9))));
    let peer_device = || dumped(33, |w| w.nested(18, |i| i.attribute(1, &word(10))));
    let all = [resource(), device(), connection(), peer_device()];
    assert_eq!(whole(&all).unwrap().resources["r0"].volumes[&0].minor, Some(3));
    for missing in 0..3 {
        let mut some = all.to_vec();
        some.remove(missing);
        let view: Result<View, Torn> = whole(&some);
        assert!(view.is_err(), "{missing}");
    }
    // A pair of which nothing was said is there and unknown.
    let view = whole(&all[..3]).unwrap();
    let volume = &view.resources["r0"].peers[&1].volumes[&0];
    assert_eq!(volume.disk, Disk::DUnknown);
    assert!(matches!(volume.replication, Replication::Unrecognized(_)));
    assert_eq!(whole(&[]), Ok(View::default()));
}
