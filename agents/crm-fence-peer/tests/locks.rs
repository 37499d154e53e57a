//! One call for a resource at a time on this node. Invariant: a lock that cannot be had, for whatever reason, keeps nobody
//! from fencing who was not told that it is required; and nothing outside of the directory is touched.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]

mod stage;

use std::{
    os::unix::fs::{PermissionsExt, symlink},
    path::PathBuf,
    time::Duration,
};

use duet_host::{Lock, clock};
use stage::{Node, Ran, Stage, V9, is_there};

const TWO: &[&str] = &["node1", "node2"];

/// The directory of locks, made as the handler makes it.
fn directory(node: &Node) -> PathBuf {
    let directory = node.at("locks");
    std::fs::create_dir(&directory).unwrap();
    std::fs::set_permissions(&directory, PermissionsExt::from_mode(0o755)).unwrap();
    directory
}

fn fence(node: &Node, words: &[&str]) -> Ran {
    let environment = node.environment(1, 0x1, "NetworkFailure");
    let directory = format!("--lock-dir={}", node.at("locks").display());
    node.run("crm-fence-peer", &[&[directory.as_str()], words].concat(), &environment)
}

/// With and without the lock being required.
#[track_caller]
fn both(stage: &Stage, why: &str) {
    let node = &stage.nodes[0];
    let ran = fence(node, &["--flock-timeout=0", "--flock-required"]);
    assert_eq!((ran.code, node.called().len()), (1, 0), "{ran:?}");
    assert!(ran.ending().contains(why), "{why}: {ran:?}");
    let ran = fence(node, &["--flock-timeout=0"]);
    assert_eq!((ran.code, stage.allowed()), (4, Some(vec!["node1".into()])), "{ran:?}");
    let warned = |line: &String| line.contains(why) && line.ends_with("without the lock");
    assert!(ran.log.iter().any(warned), "{why}: {ran:?}");
}

#[test]
fn a_lock_that_another_call_has_is_waited_for_and_then_done_without_unless_required() {
    let Some(stage) = Stage::new(V9, TWO) else { return };
    stage.cut();
    let node = &stage.nodes[0];
    let path = directory(node).join("fence.r0");
    let held = Lock::take(&path, clock::within(Duration::ZERO)).unwrap().unwrap();
    both(&stage, "Another call for this resource");
    // It is waited for as long as it may be.
    let environment = node.environment(1, 0x1, "NetworkFailure");
    let words = format!("--lock-dir={}", node.at("locks").display());
    let child = node.start("crm-fence-peer", &[&words, "--flock-required"], &environment);
    std::thread::sleep(Duration::from_millis(300));
    assert!(node.called().is_empty());
    drop(held);
    assert_eq!(node.end(child).code, 4);
    // The monitor's unfence just skips.
    let held = Lock::take(&path, clock::within(Duration::ZERO)).unwrap().unwrap();
    let mut environment = node.environment(1, 0x3, "Connected");
    let extra = "--quiet --flock-required --flock-timeout 0 --unfence-only-if-owner-match";
    environment.push(("OCF_RESKEY_unfence_extra_args".into(), extra.into()));
    let ran = node.run("crm-unfence-peer", &[&words], &environment);
    assert_eq!((ran.code, node.called().len()), (1, 0), "{ran:?}");
    drop(held);
}

#[test]
fn a_file_of_somebody_elses_in_the_place_of_the_lock_is_left_alone() {
    for what in ["link", "dangling", "fifo", "directory"] {
        let Some(stage) = Stage::new(V9, TWO) else { return };
        stage.cut();
        let node = &stage.nodes[0];
        let path = directory(node).join("fence.r0");
        let victim = node.at("victim");
        match what {
            "link" => {
                std::fs::write(&victim, "precious").unwrap();
                symlink(&victim, &path).unwrap();
            }
            "dangling" => symlink(&victim, &path).unwrap(),
            "fifo" => nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap(),
            _ => std::fs::create_dir(&path).unwrap(),
        }
        both(&stage, "Could not lock");
        match what {
            "link" => assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious"),
            _ => assert!(!is_there(&victim), "{what}"),
        }
    }
}

#[test]
fn a_directory_that_others_can_write_to_is_not_trusted() {
    let Some(stage) = Stage::new(V9, TWO) else { return };
    stage.cut();
    let path = directory(&stage.nodes[0]);
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o1777)).unwrap();
    both(&stage, "can be changed by, somebody else");
}

#[test]
fn a_file_system_that_is_full_or_read_only_keeps_nobody_from_fencing() {
    for options in ["ro", "nr_inodes=1"] {
        let Some(stage) = Stage::new(V9, TWO) else { return };
        stage.cut();
        let node = &stage.nodes[0];
        let path = directory(node);
        let mount = format!("mount -t tmpfs -o mode=755,{options} none {}", path.display());
        node.before(&mount);
        both(&stage, "Could not lock");
    }
}

#[test]
fn names_with_slashes_and_dots_stay_in_the_directory() {
    let Some(stage) = Stage::new(V9, TWO) else { return };
    stage.cut();
    let node = &stage.nodes[0];
    directory(node);
    let named = |name: &str, words: &[&str]| {
        let mut environment = node.environment(1, 0x1, "NetworkFailure");
        environment.retain(|(variable, _)| variable != "DRBD_RESOURCE");
        environment.push(("DRBD_RESOURCE".into(), name.into()));
        let directory = format!("--lock-dir={}", node.at("locks").display());
        node.run("crm-fence-peer", &[&[directory.as_str()], words].concat(), &environment)
    };
    named("../../up/there", &[]);
    assert!(node.at("locks").join("fence..._.._up_there").is_file());
    fence(node, &["--lock-file=../named"]);
    assert!(node.at("locks").join(".._named").is_file() && !is_there(&node.at("named")));
    let ran = fence(node, &["--lock-file=..", "--flock-required"]);
    assert_eq!((ran.code, node.called().len()), (1, 0), "{ran:?}");
    let ran = named(&"r".repeat(300), &["--flock-required"]);
    assert_eq!((ran.code, node.called().len()), (1, 0), "{ran:?}");
    // And none at all, where none is wanted.
    std::fs::remove_dir_all(node.at("locks")).unwrap();
    let ran = fence(node, &["--lock-file=NONE"]);
    assert_eq!((ran.code, is_there(&node.at("locks"))), (4, false), "{ran:?}");
}

#[test]
fn a_change_that_may_still_arrive_is_remembered_when_another_one_to_the_same_version_fails() {
    let Some(stage) = Stage::new(V9, TWO) else { return };
    stage.rule(&["node1"]);
    let node = &stage.nodes[0];
    // Nobody answers for the first removal, and the second is refused for another reason.
    stage.cluster.change(|pacemaker| {
        pacemaker.refusals = vec![
            (124, "Call cib_apply_diff failed: Timer expired".into()),
            (1, "Call cib_apply_diff failed: Input/output error".into()),
        ];
    });
    let ran = node.unfence(1, 0x3);
    assert_eq!((ran.code, stage.allowed()), (1, Some(vec!["node1".into()])), "{ran:?}");
    stage.cut();
    let ran = node.fence(1, 0x1);
    assert_eq!(ran.code, 4, "{ran:?}");
    let bumped = node.tools.calls_of("cibadmin").iter().any(|call| call.contains("--bump"));
    assert!(bumped, "{ran:?} {:?}", node.tools.calls_of("cibadmin"));
}

#[test]
fn the_notes_of_one_resource_are_not_the_lock_of_another() {
    let Some(stage) = Stage::new(V9, TWO) else { return };
    stage.rule(&["node1"]);
    let node = &stage.nodes[0];
    let path = directory(node).join("fence.r0.change");
    let _held = Lock::take(&path, clock::within(Duration::ZERO)).unwrap().unwrap();
    let words = format!("--lock-dir={}", node.at("locks").display());
    let environment = node.environment(1, 0x3, "Connected");
    let ran = node.run("crm-unfence-peer", &[&words], &environment);
    assert_eq!((ran.code, stage.allowed()), (0, None), "{ran:?}");
    let again = Lock::take(&path, clock::within(Duration::ZERO)).unwrap();
    assert!(again.is_none(), "the lock that is held is still the one of that name");
}

#[test]
fn two_calls_at_once_on_a_node_write_once() {
    let Some(stage) = Stage::new(V9, &["node1", "node2", "node3"]) else { return };
    let node = &stage.nodes[0];
    node.lose(&[1, 2]);
    // What 9 does when two peers are lost at one pull: two calls, with masks of two moments.
    let first = node.start("crm-fence-peer", &[], &node.environment(2, 0x3, "NetworkFailure"));
    let second = node.start("crm-fence-peer", &[], &node.environment(1, 0x1, "NetworkFailure"));
    let (first, second) = (node.end(first), node.end(second));
    assert_eq!((first.code, second.code), (4, 4), "{first:?} {second:?}");
    assert_eq!(stage.allowed(), Some(vec!["node1".into()]));
    assert_eq!(stage.cluster.state().pacemaker.patches, 1);
}

#[test]
fn without_the_lock_a_rule_that_is_found_has_to_be_seen_in_a_newer_version() {
    let Some(stage) = Stage::new(V9, TWO) else { return };
    stage.cut();
    let node = &stage.nodes[0];
    let locks = directory(node);
    assert_eq!(fence(node, &[]).code, 4);
    let placed = stage.epoch();
    assert_eq!(fence(node, &[]).code, 4);
    assert_eq!(stage.epoch(), placed, "with the lock, nothing is written");
    assert_eq!(fence(node, &["--lock-file=NONE"]).code, 4);
    let bumped = stage.epoch();
    assert_ne!(bumped, placed);
    // An unfence-peer of before got no answer, and its change to this version may arrive yet.
    let cib = stage.cluster.cib();
    let version = ["admin_epoch", "epoch", "num_updates"].map(|name| cib.get(name).unwrap());
    std::fs::write(locks.join(".change.fence.r0"), version.join(" ")).unwrap();
    assert_eq!(fence(node, &[]).code, 4);
    assert_ne!(stage.epoch(), bumped);
}

#[test]
fn without_the_lock_nobody_is_freed() {
    let Some(stage) = Stage::new(V9, TWO) else { return };
    let node = &stage.nodes[0];
    stage.rule(&["node1"]);
    let environment = node.environment(1, 0x3, "Connected");
    let unfence = |words: &[&str]| {
        let locks = format!("--lock-dir={}", node.at("locks").display());
        node.run("crm-unfence-peer", &[&[locks.as_str()], words].concat(), &environment)
    };
    std::fs::write(node.at("locks"), "in the way").unwrap();
    for words in [&["--lock-file=NONE"][..], &[]] {
        let ran = unfence(words);
        assert_eq!((ran.code, stage.allowed()), (1, Some(vec!["node1".into()])), "{ran:?}");
    }
    std::fs::remove_file(node.at("locks")).unwrap();
    let ran = unfence(&["--lock-file=NONE"]);
    assert_eq!((ran.code, stage.allowed()), (0, None), "{ran:?}");
    assert!(!is_there(&node.at("locks").join(".change.fence.r0")), "it was answered");
}
