//! Snapshots on a stage: what LVM is asked, and that whatever goes wrong never keeps a resync from happening. Invariant: each
//! test names what it claims.
#![allow(clippy::disallowed_methods, reason = "tests look at files themselves")]

use std::collections::BTreeMap;

use duet_drbd::{Disk, Volume};
use duet_fake_tools::Answer;

use super::super::tests::{Stage, borrowed, recorded, resource, seen};
use super::*;

const MAKE: &str = "/usr/lib/drbd/snapshot-resync-target-lvm.sh";
const REMOVE: &str = "/usr/lib/drbd/unsnapshot-resync-target-lvm.sh";
const ENVIRONMENT: [(&str, &str); 5] = [
    ("DRBD_RESOURCE", "r0"),
    ("DRBD_VOLUME", "0"),
    ("DRBD_MINOR", "0"),
    ("DRBD_LL_DISK", "/dev/vg0/web"),
    ("DRBD_PEER_NODE_ID", "0"),
];

/// A stage on which /dev/vg0/web is a logical volume of 1 GiB.
fn stage() -> Stage {
    let stage = Stage::new();
    stage.tools.answer("lvs", "vg_name,lv_name,lv_size", Answer::prints("  vg0 web 1073741824\n"));
    stage.tools.answer("lvs", "origin", Answer::prints("  web\n"));
    stage.tools.answer("lvcreate", "", Answer::success());
    stage.tools.answer("lvremove", "", Answer::success());
    stage
}

fn without<'a>(left_out: &str) -> Vec<(&'a str, &'a str)> {
    ENVIRONMENT.into_iter().filter(|(name, _)| *name != left_out).collect()
}

fn with<'a>(name: &'a str, value: &'a str) -> Vec<(&'a str, &'a str)> {
    let mut environment = without(name);
    environment.push((name, value));
    environment
}

#[test]
fn a_snapshot_has_room_for_what_is_out_of_sync() {
    let stage = stage();
    let ran = stage.run(MAKE, "", &ENVIRONMENT);
    assert_eq!(ran.code, 0, "{}", ran.log);
    assert_eq!(
        stage.tools.calls_of("lvcreate"),
        ["--config devices/filter=[\"r|^/dev/drbd|\"] -s -n web-before-resync -L 119193k vg0/web"]
    );
    let text =
        "INFO: Made the snapshot vg0/web-before-resync of 119193 KiB before the resync of r0/0\n";
    assert_eq!(ran.log, text);
}

#[test]
fn the_calls_of_real_drivers_are_understood() {
    for (folder, node) in [("8.4", ""), ("9", "-node2"), ("9.2.16", "-node1")] {
        let event = if folder == "9" { "before-resync-target" } else { "after-resync-target" };
        let event = if folder == "9.2.16" { "before-resync-source" } else { event };
        let stage = stage();
        let ran = stage.run(MAKE, "", &borrowed(&recorded(folder, node, event)));
        assert_eq!(ran.code, 0);
        // There it is no logical volume, but here it is.
        let lvs = stage.tools.calls_of("lvs");
        assert!(lvs[0].ends_with(" /dev/vdb"), "{folder}: {lvs:?} {}", ran.log);
    }
}

#[test]
fn options_and_defaults_are_heeded() {
    let stage = stage();
    let defaults = stage.root().join("etc/default");
    std::fs::create_dir_all(&defaults).unwrap();
    std::fs::write(defaults.join("drbd-snapshot"), "SNAP_PERC=50\nSNAP_ADDITIONAL=0\nx\n").unwrap();
    let ran = stage.run(MAKE, "-v --percent=0 -- --permission r", &ENVIRONMENT);
    assert_eq!(ran.code, 0);
    let call = &stage.tools.calls_of("lvcreate")[0];
    assert!(call.ends_with(" -n web-before-resync -L 4096k --permission r vg0/web"), "{call}");
    assert!(ran.log.starts_with("WARNING: Line 3 of /etc/default/drbd-snapshot "), "{}", ran.log);
    assert!(ran.log.contains("INFO: lvcreate web-before-resync of 4096 KiB\n"), "{}", ran.log);
}

#[test]
fn nothing_that_is_unsuitable_keeps_a_resync_from_happening() {
    for (arguments, environment, why) in [
        ("-n", vec![], "DRBD_RESOURCE is not set"),
        ("-n", without("DRBD_RESOURCE"), "DRBD_RESOURCE is not set"),
        ("-n", without("DRBD_VOLUME"), "DRBD_VOLUME does not name one volume"),
        ("-n", without("DRBD_LL_DISK"), "DRBD_LL_DISK is not set"),
        ("-n", with("DRBD_LL_DISK", "none"), "DRBD_LL_DISK is not set"),
        ("-n", with("DRBD_LL_DISK", "-f"), "\"-f\" is no device"),
        ("-n", with("DRBD_LL_DISK", "vg0/web"), "\"vg0/web\" is no device"),
        ("-n", with("DRBD_MINOR", "zero"), "DRBD_MINOR=\"zero\" is not a list of numbers"),
        ("-n", with("DRBD_PEER_NODE_ID", "99"), "is not a node id"),
        ("-n --colour", ENVIRONMENT.to_vec(), "\"--colour\" is no option"),
        ("-n -p", ENVIRONMENT.to_vec(), "\"-p\" has no value"),
        ("-n -p ten", ENVIRONMENT.to_vec(), "\"ten\" is no whole number"),
        ("-n -a 18446744073709551615", ENVIRONMENT.to_vec(), "beyond all bounds"),
    ] {
        let stage = stage();
        let ran = stage.run(MAKE, arguments, &environment);
        assert_eq!(
            (ran.code, stage.tools.calls_of("lvcreate").len()),
            (0, 0),
            "{why}: {}",
            ran.log
        );
        assert!(ran.log.contains(why), "{why}: {}", ran.log);
        assert!(ran.log.contains("No snapshot before this resync"), "{}", ran.log);
    }
}

#[test]
fn what_is_no_logical_volume_keeps_no_resync_from_happening() {
    for answer in [
        Answer::fails(5, "  Failed to find logical volume \"vdb\"\n"),
        Answer::success(),
        Answer::prints("garbage \u{7} \n and more\n"),
        Answer::prints("vg0 web 1073741824\nvg0 web2 1073741824\n"),
    ] {
        let stage = stage();
        stage.tools.answer("lvs", "vg_name,lv_name,lv_size", answer.clone());
        let ran = stage.run(MAKE, "-n", &ENVIRONMENT);
        assert_eq!((ran.code, stage.tools.calls_of("lvcreate").len()), (0, 0), "{answer:?}");
    }
    let stage = stage();
    stage.tools.remove("lvs");
    let ran = stage.run(MAKE, "-n", &ENVIRONMENT);
    assert_eq!(ran.code, 0);
    assert!(ran.log.contains("Could not find the program lvs"), "{}", ran.log);
}

#[test]
fn a_failure_is_success_unless_it_was_asked_for() {
    let fails = |stage: &Stage| {
        stage.tools.answer("lvcreate", "", Answer::fails(5, "insufficient free space\n"));
    };
    let silent = |stage: &mut Stage| stage.sight = Err("it hangs".into());
    for (arguments, code) in [("", 0), ("-n", 1), ("--disconnect-on-error", 1)] {
        let stage_1 = stage();
        fails(&stage_1);
        let ran = stage_1.run(MAKE, arguments, &ENVIRONMENT);
        assert_eq!(ran.code, code, "{arguments}");
        assert!(
            ran.log.contains("lvcreate: exited with 5: insufficient free space"),
            "{}",
            ran.log
        );
        assert_eq!(ran.log.contains("; DRBD drops the connection"), code == 1);
        let mut stage_2 = stage();
        silent(&mut stage_2);
        let ran = stage_2.run(MAKE, arguments, &ENVIRONMENT);
        assert_eq!((ran.code, stage_2.tools.calls_of("lvcreate").len()), (code, 0));
        assert!(ran.log.contains("DRBD does not say how much is out of sync"), "{}", ran.log);
    }
}

#[test]
fn a_kernel_that_does_not_say_how_much_differs_gets_no_snapshot_of_a_guessed_size() {
    for sight in [
        Sight::NoModule,
        seen(resource(Disk::Outdated, None)),
        seen(duet_drbd::Resource::default()),
    ] {
        let mut stage = stage();
        stage.sight = Ok(sight);
        let ran = stage.run(MAKE, "", &ENVIRONMENT);
        assert_eq!((ran.code, stage.tools.calls_of("lvcreate").len()), (0, 0), "{}", ran.log);
    }
}

#[test]
fn of_several_peers_the_source_counts() {
    let mut r0 = resource(Disk::Outdated, Some(4096));
    let other = resource(Disk::Outdated, Some(1_000_000)).peers.remove(&0).unwrap();
    r0.peers.insert(1, other);
    let mut stage = stage();
    stage.sight = Ok(seen(r0));
    stage.run(MAKE, "-p 0 -a 0", &ENVIRONMENT);
    stage.run(MAKE, "-p 0 -a 0", &without("DRBD_PEER_NODE_ID"));
    let calls = stage.tools.calls_of("lvcreate");
    assert!(calls[0].contains(" -L 4096k ") && calls[1].contains(" -L 1000000k "), "{calls:?}");
}

#[test]
fn the_disk_of_a_stacked_resource_is_below_the_other_one() {
    let mut stage = stage();
    let mut sight = seen(resource(Disk::Outdated, Some(4096)));
    let Sight::Seen { view, .. } = &mut sight else { unreachable!() };
    let volume =
        Volume { minor: Some(10), backing: Some("/dev/drbd0".into()), ..Volume::default() };
    let mut upper = resource(Disk::Outdated, Some(8));
    upper.volumes = BTreeMap::from([(0, volume)]);
    view.resources.insert("r0-U".into(), upper);
    stage.sight = Ok(sight);
    let environment = [
        ("DRBD_RESOURCE", "r0-U"),
        ("DRBD_VOLUME", "0"),
        ("DRBD_MINOR", "10"),
        ("DRBD_LL_DISK", "/dev/drbd0"),
    ];
    let ran = stage.run(MAKE, "-p 0 -a 0", &environment);
    assert_eq!(ran.code, 0, "{}", ran.log);
    let calls = stage.tools.calls_of("lvcreate");
    assert!(calls[0].ends_with(" -n web-before-resync-stacked -L 8k vg0/web"), "{calls:?}");
    assert!(stage.tools.calls_of("lvs")[0].ends_with(" /dev/vg0/web"));
    let unknown = [environment[0], environment[1], environment[2], ("DRBD_LL_DISK", "/dev/drbd7")];
    let ran = stage.run(MAKE, "-n", &unknown);
    assert_eq!(ran.code, 0);
    assert!(ran.log.contains("DRBD does not say what is below /dev/drbd7"), "{}", ran.log);
}

#[test]
fn after_the_resync_the_snapshot_goes() {
    let stage = stage();
    let ran = stage.run(REMOVE, "", &ENVIRONMENT);
    assert_eq!(
        (ran.code, ran.log.as_str()),
        (0, "INFO: Removed the snapshot vg0/web-before-resync after the resync of r0/0\n")
    );
    assert_eq!(
        stage.tools.calls_of("lvremove"),
        ["--config devices/filter=[\"r|^/dev/drbd|\"] -f vg0/web-before-resync"]
    );
}

#[test]
fn what_is_no_snapshot_of_the_disk_is_never_removed() {
    for answer in [
        Answer::success(),
        Answer::prints("  \n"),
        Answer::prints("  web2\n"),
        Answer::fails(5, "not found\n"),
    ] {
        let stage = stage();
        stage.tools.answer("lvs", "origin", answer);
        let ran = stage.run(REMOVE, "-n", &ENVIRONMENT);
        assert_eq!((ran.code, stage.tools.calls_of("lvremove").len()), (0, 0), "{}", ran.log);
    }
}

#[test]
fn a_removal_that_fails_is_success() {
    for arguments in ["", "-n", "--colour"] {
        let stage = stage();
        stage.tools.answer("lvremove", "", Answer::fails(5, "in use\n"));
        assert_eq!(stage.run(REMOVE, arguments, &ENVIRONMENT).code, 0, "{arguments}");
        assert_eq!(stage.run(REMOVE, arguments, &[]).code, 0, "{arguments}");
    }
}

#[test]
fn a_tool_that_hangs_is_given_up_and_the_resync_goes_on() {
    for (name, tool, word) in [
        (MAKE, "lvs", "vg_name,lv_name,lv_size"),
        (MAKE, "lvcreate", ""),
        (REMOVE, "lvs", "origin"),
        (REMOVE, "lvremove", ""),
    ] {
        let mut stage = stage();
        stage.haste = 30;
        stage.tools.answer(tool, word, Answer::hangs());
        let ran = stage.run(name, "", &ENVIRONMENT);
        assert_eq!(ran.code, 0, "{tool}: {}", ran.log);
        assert!(ran.took < Duration::from_secs(60), "{tool}: {:?}", ran.took);
        assert!(ran.log.contains(tool), "{tool}: {}", ran.log);
    }
}

#[test]
fn a_kernel_that_hangs_holds_up_no_resync() {
    let mut stage = stage();
    stage.haste = 10;
    stage.pause = Duration::from_secs(300);
    let ran = stage.run(MAKE, "", &ENVIRONMENT);
    assert_eq!((ran.code, stage.tools.calls_of("lvcreate").len()), (0, 0), "{}", ran.log);
    assert!(ran.took < Duration::from_secs(60), "{:?}", ran.took);
}

#[test]
fn what_was_kept_before_a_resync_that_broke_off_stays_and_is_success() {
    for (said, kept) in [("web swi-a-s---\n", true), ("web swi-I-s---\n", false), ("", false)] {
        for (disk, is_asked) in [(Disk::Inconsistent, true), (Disk::Outdated, false)] {
            let stage = stage().seeing(Ok(seen(resource(disk.clone(), Some(4096)))));
            stage.tools.answer("lvs", "origin,lv_attr", Answer::prints(said));
            stage.tools.answer("lvcreate", "", Answer::fails(5, "already exists\n"));
            let ran = stage.run(MAKE, "-n", &ENVIRONMENT);
            let kept = kept && is_asked;
            assert_eq!(ran.code, u8::from(!kept), "{said:?} {disk}: {}", ran.log);
            assert_eq!(stage.tools.calls_of("lvcreate").is_empty(), kept, "{said:?} {disk}");
            assert_eq!(ran.log.contains("INFO: Kept the snapshot vg0/web-before-resync"), kept);
        }
    }
}
