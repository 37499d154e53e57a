//! The other handlers as DRBD calls them: the executable under its further names, with a kernel and tools that are made up.
//! Invariant: each test names what it claims.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]

mod stage;

use std::{path::Path, process::Command, time::Duration};

use duet_drbd::Disk;
use duet_fake_tools::{Answer, FakeKernel};
use stage::{Node, Ran, Stage, V8, V9, but};

/// A node with these tools beside the others, and links of these names to the executable.
fn node(version: duet_drbd::Version, names: &[&str]) -> Option<Stage> {
    let stage = Stage::new(version, &["node1", "node2"])?;
    for node in &stage.nodes {
        for name in names {
            let link = node.at(name);
            std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_crm-fence-peer"), link).unwrap();
        }
        for tool in ["lvs", "lvcreate", "lvremove", "mail", "stonith_admin"] {
            node.tools.add(tool);
            node.tools.answer(tool, "", Answer::success());
        }
        let volume = Answer::prints("  vg0 web 67108864\n");
        node.tools.answer("lvs", "vg_name,lv_name,lv_size", volume);
        node.tools.answer("lvs", "origin", Answer::prints("  web\n"));
    }
    Some(stage)
}

/// The environment of a handler that is about one volume.
fn of_volume(node: &Node, peer: u32) -> Vec<(String, String)> {
    let mut environment = node.environment(peer, 0, "Connected");
    for (name, value) in [("DRBD_VOLUME", "0"), ("DRBD_LL_DISK", "/dev/vg0/web")] {
        environment = but(environment, name, Some(value));
    }
    but(environment, "UP_TO_DATE_NODES", None)
}

const MAKE: &str = "snapshot-resync-target-lvm.sh";
const REMOVE: &str = "unsnapshot-resync-target-lvm.sh";

#[test]
fn a_snapshot_is_as_large_as_the_kernel_says_that_blocks_differ() {
    for version in [V8, V9] {
        let Some(stage) = node(version, &[MAKE, REMOVE]) else { return };
        let node = &stage.nodes[1];
        let recorded = FakeKernel::recorded(version, "nl-07-syncing-node2-target-node2.txt");
        let answers = recorded.module().recorded.clone();
        node.kernel.module().recorded = answers;
        let ran = node.run(MAKE, &["-p", "0", "-a", "0"], &of_volume(node, 0));
        assert_eq!(ran.code, 0, "{version}: {ran:?}");
        let calls = node.tools.calls_of("lvcreate");
        let size = calls[0].split(" -L ").nth(1).unwrap().split('k').next().unwrap();
        assert!(size.parse::<u64>().unwrap() > 0, "{version}: {calls:?}");
        assert!(ran.ending().starts_with("INFO: Made the snapshot vg0/web-before-resync of "));
        let ran = node.run(REMOVE, &[], &of_volume(node, 0));
        assert_eq!((ran.code, node.tools.calls_of("lvremove").len()), (0, 1), "{ran:?}");
    }
}

#[test]
fn a_kernel_that_does_not_answer_keeps_no_resync_from_happening() {
    let Some(stage) = node(V9, &[MAKE]) else { return };
    let node = &stage.nodes[1];
    node.kernel.module().faults.hang_on = Some(38);
    let ran = node.run(MAKE, &[], &of_volume(node, 0));
    assert_eq!((ran.code, node.tools.calls_of("lvcreate").len()), (0, 0), "{ran:?}");
    assert!(ran.took < Duration::from_secs(60), "{ran:?}");
    node.kernel.unload();
    let ran = node.run(MAKE, &[], &of_volume(node, 0));
    assert_eq!((ran.code, node.tools.calls_of("lvcreate").len()), (0, 0), "{ran:?}");
}

#[test]
fn a_split_brain_is_mailed_and_logged_under_the_name_that_was_called() {
    let Some(stage) = node(V8, &["notify-split-brain.sh"]) else { return };
    let node = &stage.nodes[0];
    let body = node.at("body");
    node.tools.on("mail", "", &format!("cat >{}\n", body.display()));
    let ran = node.run("notify-split-brain.sh", &["ops"], &of_volume(node, 1));
    assert_eq!(ran.code, 0, "{ran:?}");
    let subject = "DRBD: split brain: r0/0 (/dev/drbd0) on node1";
    assert_eq!(node.tools.calls_of("mail"), [format!("-s {subject} ops")]);
    assert_eq!(ran.log, [format!("ERROR: {subject} (mail to ops)")]);
    let body = std::fs::read_to_string(body).unwrap();
    assert!(body.contains("Peer: node2 (10.78.0.2)\n"), "{body}");
    assert!(body.contains("  Primary here\n  volume 0: UpToDate here\n"), "{body}");
}

#[test]
fn without_a_resource_notify_fails_and_before_resync_source_does_not() {
    let Some(stage) = node(V9, &["notify-out-of-sync", "before-resync-source"]) else { return };
    let node = &stage.nodes[0];
    assert_eq!(node.run("notify-out-of-sync", &[], &[]).code, 1);
    let ran = node.run("before-resync-source", &["--what"], &[]);
    assert_eq!((ran.code, ran.log.len(), ran.stderr.as_str()), (0, 0, ""));
}

#[test]
fn the_fencer_is_asked_to_shoot_and_only_a_lost_peer() {
    const NAME: &str = "stonith_admin-fence-peer.sh";
    for version in [V8, V9] {
        let Some(stage) = node(version, &[NAME]) else { return };
        let node = &stage.nodes[0];
        let environment = node.environment(1, 1, "NetworkFailure");
        let ran = node.run(NAME, &[], &environment);
        assert_eq!((ran.code, node.tools.calls_of("stonith_admin").len()), (1, 0), "{ran:?}");
        stage.cut();
        let ran = node.run(NAME, &[], &environment);
        assert_eq!(ran.code, 7, "{ran:?}");
        let call = "--tolerance 5s --tag drbd --fence node2";
        assert_eq!(node.tools.calls_of("stonith_admin"), [call]);
        node.disk(Disk::Consistent);
        let ran = node.run(NAME, &[], &environment);
        assert_eq!((ran.code, node.tools.calls_of("stonith_admin").len()), (1, 0), "{ran:?}");
    }
}

/// Runs fence-peer where the directory of records is a file system of its own, made and filled by `mount`.
fn fence_with(node: &Node, mount: &str) -> Ran {
    let directory = node.kernel.root().join("var/lib/duet/fence-peer");
    std::fs::create_dir_all(&directory).unwrap();
    let inner = node.command("crm-fence-peer", &[], &node.environment(1, 1, "NetworkFailure"));
    let mut outer = Command::new("unshare");
    outer
        .args(["--mount", "--propagation", "private", "sh", "-ec"])
        .arg(format!("mount -t tmpfs {mount}; exec \"$@\""))
        .arg("sh")
        .arg(&directory)
        .arg(inner.get_program())
        .args(inner.get_args())
        .env_clear();
    for (name, value) in inner.get_envs() {
        outer.env(name, value.unwrap_or_default());
    }
    node.logged();
    let began = std::time::Instant::now();
    let output = outer.output().unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::new(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        log: node.logged(),
        took: began.elapsed(),
    }
}

#[test]
fn a_full_or_read_only_file_system_changes_no_answer() {
    for mount in [
        "-o size=16k none \"$1\"; cat /dev/zero >\"$1/ballast\" || true; shift",
        "-o ro none \"$1\"; shift",
    ] {
        let Some(stage) = Stage::new(V9, &["node1", "node2"]) else { return };
        stage.cut();
        let ran = fence_with(&stage.nodes[0], mount);
        assert_eq!(ran.code, 4, "{mount}: {ran:?}");
        let warned = |line: &String| line.starts_with("WARNING: Could not keep a record in ");
        assert!(ran.log.iter().any(warned), "{mount}: {ran:?}");
    }
}

#[test]
fn a_record_that_was_kept_is_decided_again_and_an_altered_one_names_the_turn() {
    let Some(stage) = Stage::new(V9, &["node1", "node2"]) else { return };
    stage.cut();
    let node = &stage.nodes[0];
    assert_eq!(node.fence(1, 1).code, 4);
    let records = node.records();
    let replay =
        |path: &Path| node.run("crm-fence-peer", &[&format!("--replay={}", path.display())], &[]);
    let ran = replay(&records[0]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let text = std::fs::read_to_string(&records[0]).unwrap();
    assert!(text.contains("\"has_quorum\":true"), "{text}");
    let altered = node.at("altered.json");
    std::fs::write(&altered, text.replace("\"has_quorum\":true", "\"has_quorum\":false")).unwrap();
    let ran = replay(&altered);
    assert_eq!(ran.code, 1);
    assert!((ran.stderr.clone() + &ran.log.concat()).contains("Turn 1 was "), "{ran:?}");
}
