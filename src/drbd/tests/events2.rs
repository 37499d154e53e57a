//! Lines of `events2` that nobody recorded: cut off, contradictory, from tools that are newer than this.
#![allow(clippy::unwrap_used, reason = "test")]

use duet_drbd::{
    Change, Disk, Object, Role, Suspended, Verb,
    events2::{LineError, SnapshotError, change, snapshot},
};

const WHOLE: &str = "\
exists resource name:r0 role:Primary suspended:no
exists connection name:r0 peer-node-id:1 conn-name:node2 connection:Connected role:Secondary
exists device name:r0 volume:0 minor:0 disk:UpToDate
exists peer-device name:r0 peer-node-id:1 conn-name:node2 volume:0 replication:Established peer-disk:UpToDate
exists -
";

#[test]
fn a_text_that_is_cut_off_anywhere_is_no_view() {
    let whole = snapshot(WHOLE).unwrap();
    assert_eq!(snapshot(WHOLE.trim_end()), Ok(whole), "only the last newline may be missing");
    for end in 0..WHOLE.trim_end().len() {
        assert_eq!(snapshot(&WHOLE[..end]), Err(SnapshotError::CutOff), "{:?}", &WHOLE[..end]);
    }
}

#[test]
fn a_text_that_is_more_than_one_snapshot_is_none() {
    let followed = format!("{WHOLE}change resource name:r0 role:Secondary\n");
    assert_eq!(snapshot(&followed), Err(SnapshotError::CutOff));
    for line in
        ["change resource name:r0 role:Secondary", "exists -", "vanish device name:r0 volume:0"]
    {
        let text = format!("{line}\n{WHOLE}");
        let foreign = SnapshotError::Foreign { number: 1, line: line.to_owned() };
        assert_eq!(snapshot(&text), Err(foreign));
    }
}

#[test]
fn a_line_that_lacks_what_it_is_about_is_an_error_and_not_a_smaller_view() {
    let missing = |object, key| LineError::Missing { object, key };
    let rows = [
        ("exists resource role:Primary", missing("resource", "name")),
        ("exists device name:r0 minor:0 disk:Failed", missing("device", "volume")),
        ("change connection name:r0 connection:StandAlone", missing("connection", "peer-node-id")),
        (
            "change peer-device name:r0 peer-node-id:1 peer-disk:Outdated",
            missing("peer-device", "volume"),
        ),
        ("exists path peer-node-id:1", missing("path", "name")),
        ("call helper name:r0", missing("helper", "helper")),
        ("response helper name:r0 helper:fence-peer", missing("helper", "status")),
        ("rename resource name:r0", missing("resource", "new_name")),
        ("exists device name:r0 volume:0 disk:UpToDate disk:Failed", LineError::Twice("disk")),
        ("exists", LineError::Incomplete("exists".to_owned())),
        ("", LineError::Incomplete(String::new())),
        (
            "exists device name:r0 volume:-1",
            LineError::NotANumber { key: "volume", value: "-1".to_owned() },
        ),
    ];
    for (line, error) in rows {
        assert_eq!(change(line), Err(error.clone()), "{line}");
        let text = format!("{line}\n{WHOLE}");
        if !line.is_empty() {
            assert_eq!(snapshot(&text), Err(SnapshotError::Line { number: 1, source: error }));
        }
    }
}

#[test]
fn what_is_newer_than_this_is_passed_over() {
    let newer = "exists resource name:r0 role:Primary suspended:no frobnication:7 plain\n\
                 exists tether name:r0 length:3\n";
    let more = WHOLE.replacen("exists resource name:r0 role:Primary suspended:no\n", newer, 1);
    assert_eq!(snapshot(&more), snapshot(WHOLE));
    let said = change("exists - of something").unwrap();
    assert_eq!(said.object, Object::Unrecognized("-".to_owned()), "it is not the end");
    let unknown = Object::Unrecognized("ponder device name:r0 volume:0".to_owned());
    let said = change("ponder device name:r0 volume:0").unwrap();
    assert_eq!(said, Change { verb: Verb::Change, object: unknown });
}

#[test]
fn a_word_that_is_not_known_is_not_good() {
    let said = change(
        "change device name:r0 volume:0 disk:Splendid quorum:maybe open:perhaps client:sure",
    )
    .unwrap();
    let Object::Device { disk, quorum, open, client, .. } = said.object else { panic!() };
    assert_eq!(disk, Some(Disk::Unrecognized("Splendid".to_owned())));
    assert_eq!((quorum, open, client), (Some(false), Some(true), Some(false)));
    let said = change("change resource name:r0 role:Both may_promote:sure force-io-failures:some")
        .unwrap();
    let Object::Resource { role, may_promote, force_io_failures, .. } = said.object else {
        panic!()
    };
    assert_eq!(role, Some(Role::Unrecognized("Both".to_owned())));
    assert_eq!((may_promote, force_io_failures), (Some(false), Some(true)));
}

#[test]
fn what_the_driver_does_not_say_is_not_said() {
    let said = change("exists device name:r0 volume:0 client:unknown open:unknown").unwrap();
    let Object::Device { client, open, quorum, .. } = said.object else { panic!() };
    assert_eq!((client, open, quorum), (None, None, None));
}

#[test]
fn anything_but_no_is_frozen() {
    let none = Suspended::default();
    let rows = [
        ("no", none),
        ("user", Suspended { user: true, ..none }),
        ("no-data,fencing", Suspended { no_data: true, fencing: true, ..none }),
        ("fencing->quorum,user", Suspended { quorum: true, user: true, ..none }),
        ("no->fencing", Suspended { fencing: true, ..none }),
        ("fencing->no", none),
        ("uuid", Suspended { unrecognized: true, ..none }),
        ("", Suspended { unrecognized: true, ..none }),
        ("no,fencing", Suspended { fencing: true, unrecognized: true, ..none }),
    ];
    for (word, expected) in rows {
        let said = change(&format!("change resource name:r0 suspended:{word}")).unwrap();
        let Object::Resource { suspended, .. } = said.object else { panic!() };
        assert_eq!(suspended, Some(expected), "{word}");
        assert_eq!(expected.any(), !matches!(word, "no" | "fencing->no"), "{word}");
    }
}

#[test]
fn a_disk_that_is_let_go_leaves_no_device_behind() {
    let mut view = snapshot(WHOLE).unwrap();
    let backing = |view: &duet_drbd::View| view.resources["r0"].volumes[&0].backing.clone();
    view.apply(
        &change("change device name:r0 volume:0 backing_dev:/dev/vdb disk:UpToDate").unwrap(),
    );
    assert_eq!(backing(&view).as_deref(), Some("/dev/vdb"));
    view.apply(&change("change device name:r0 volume:0 disk:Failed").unwrap());
    assert_eq!(backing(&view).as_deref(), Some("/dev/vdb"));
    view.apply(
        &change("change device name:r0 volume:0 backing_dev:/dev/vdb->none disk:Failed->Diskless")
            .unwrap(),
    );
    assert_eq!(backing(&view), None);
}

#[test]
fn a_rename_keeps_the_state() {
    let mut view = snapshot(WHOLE).unwrap();
    let before = view.resources["r0"].clone();
    view.apply(&change("2026-11-20T10:25:18.1+00:00 rename resource name:r0 new_name:r1").unwrap());
    assert_eq!(view.resources.into_iter().collect::<Vec<_>>(), [("r1".to_owned(), before)]);
}

#[test]
fn addresses_have_colons_of_their_own() {
    let line = "exists path name:r0 peer-node-id:1 local:ipv6:[fd00::1]:7789 peer:ipv6:[fd00::2]:7789 established:yes";
    assert_eq!(change(line).unwrap().object, Object::Path { resource: "r0".to_owned() });
    let line = "exists device name:a:b volume:0 backing_dev:/dev/disk/by-path/pci-0000:00:1f.2";
    let Object::Device { resource, backing, .. } = change(line).unwrap().object else { panic!() };
    assert_eq!(
        (resource.as_str(), backing.as_deref()),
        ("a:b", Some("/dev/disk/by-path/pci-0000:00:1f.2"))
    );
}
