//! The definition written back, by the executable: libvirt's text, a csync2 that answers as version 2.0 was recorded to, and
//! file systems that are full or read-only. Invariant tested: the file is the old definition or the new one, whole, and the
//! operation ends as it would have without it.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]
#![allow(dead_code, reason = "each test file uses its part of the stage")]

mod stage;

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use duet_fake_tools::{FakeDomain, World};
use stage::{OTHER, Ran, Stage, UUID};

const SAVE: (&str, &str) = ("save_config_on_stop", "true");
const SYNC: (&str, &str) = ("sync_config_on_stop", "true");
const RECURRING: (&str, &str) = ("CRM_meta_interval", "10000");

/// What libvirt describes the domain as: longer than the file, with a password.
fn described() -> String {
    let devices = "<graphics type='vnc' passwd='secret'/>".repeat(400);
    format!("<domain type='kvm'><name>web</name><uuid>{UUID}</uuid>{devices}</domain>\n")
}

fn stage() -> Option<Stage> {
    let mut domain = FakeDomain::running("web", UUID);
    domain.xml = described();
    Stage::with(domain)
}

fn written(stage: &Stage) -> String {
    std::fs::read_to_string(stage.definition()).unwrap()
}

fn monitor(stage: &Stage) -> Ran {
    stage.run_with("monitor", &[SAVE, RECURRING])
}

#[test]
fn a_monitor_saves_what_has_changed_and_only_that() {
    let Some(stage) = stage() else { return };
    std::fs::set_permissions(stage.definition(), PermissionsExt::from_mode(0o640)).unwrap();
    let ran = monitor(&stage);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("INFO: Saved the definition of domain web to"), "{ran:?}");
    assert!(!ran.stderr.contains("secret"), "{ran:?}");
    assert_eq!(written(&stage), described());
    let about = || std::fs::metadata(stage.definition()).unwrap();
    assert_eq!(about().mode() & 0o7777, 0o640);
    let inode = about().ino();
    let again = monitor(&stage);
    assert_eq!((again.code, again.stderr.as_str()), (0, ""), "{again:?}");
    assert_eq!(about().ino(), inode, "not written again");
    // Inactive, and with passwords: else the next start has none.
    assert!(stage.libvirt().world().xml_flags.iter().all(|flags| *flags == 3));
}

/// Whose run it was is no part of a definition: a copy of it would be taken for this resource's.
#[test]
fn the_mark_of_a_migration_is_not_saved() {
    let domain = FakeDomain::running("web", UUID).of_resource("p_web");
    let Some(stage) = Stage::with(domain) else { return };
    assert_eq!(monitor(&stage).code, 0);
    let plain = format!(
        "<domain type='kvm'><name>web</name><uuid>{UUID}</uuid><metadata></metadata></domain>"
    );
    assert_eq!(written(&stage), plain);
    assert!(monitor(&stage).stderr.is_empty(), "saved again, although nothing has changed");
}

#[test]
fn nothing_is_saved_unless_asked_for_and_in_no_probe() {
    let Some(stage) = stage() else { return };
    let before = written(&stage);
    assert_eq!(stage.recurring().code, 0);
    assert_eq!(stage.run_with("monitor", &[SAVE]).code, 0);
    assert_eq!(stage.run_with("status", &[SAVE]).code, 0);
    assert_eq!(stage.run_with("start", &[SAVE]).code, 0);
    assert_eq!(stage.run("stop").code, 0);
    let ran = monitor(&stage);
    assert_eq!((ran.code, written(&stage)), (7, before));
    assert!(!stage.libvirt().was_asked("describe"));
    assert!(!ran.stderr.contains("WARNING"), "a guest that is gone is no trouble: {ran:?}");
}

#[test]
fn a_stop_saves_before_the_domain_is_gone() {
    for parameters in [&[SAVE][..], &[SAVE, ("force_stop", "true")]] {
        let Some(stage) = stage() else { return };
        let ran = stage.run_with("stop", parameters);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert_eq!(written(&stage), described());
        assert!(stage.libvirt().world().domains.is_empty());
    }
}

#[test]
fn another_domains_file_is_left_alone() {
    let Some(stage) = stage() else { return };
    assert_eq!(stage.recurring().code, 0, "remembered");
    for (name, uuid) in [("shop", UUID), ("web", OTHER)] {
        stage.define(name, Some(uuid));
        let before = written(&stage);
        let ran = monitor(&stage);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(ran.stderr.contains("was left alone"), "{ran:?}");
        assert_eq!(written(&stage), before);
    }
    stage.lose_definition();
    assert_eq!(monitor(&stage).code, 0);
    assert!(!stage.definition().exists(), "in its place may be a mount that is missing");
}

#[test]
fn what_libvirt_will_not_say_is_a_warning() {
    for (hang_on, refuse) in
        [(Some("describe"), None), (None, Some(("describe", 38, "no memory for that")))]
    {
        let domains = vec![FakeDomain::running("web", UUID)];
        let world = World { domains, hang_on, refuse, ..World::default() };
        let Some(stage) = Stage::new(world) else { return };
        let before = written(&stage);
        for (action, parameters) in [("monitor", &[SAVE, RECURRING][..]), ("stop", &[SAVE])] {
            let ran = stage.run_with(action, parameters);
            assert_eq!(ran.code, 0, "{action}: {ran:?}");
            assert!(ran.stderr.contains("WARNING: Could not ask for the definition"), "{ran:?}");
        }
        assert_eq!(written(&stage), before);
    }
}

/// Runs monitor and stop with the definition on a file system that `mount` makes; says what it holds afterwards.
fn on(mount: &str) -> Option<Vec<(Ran, String)>> {
    let mut runs = Vec::new();
    for (action, parameters) in [("monitor", &[SAVE, RECURRING][..]), ("stop", &[SAVE])] {
        let mut stage = stage()?;
        stage.before = format!(
            "D=$(dirname \"$OCF_RESKEY_config\"); mkdir $D/fs; {mount}; OCF_RESKEY_config=$D/fs/web.xml; \
             export OCF_RESKEY_config"
        );
        stage.after = "ls -A $D/fs; cat $D/fs/web.xml".to_owned();
        let before = written(&stage);
        let ran = stage.run_with(action, parameters);
        assert_eq!(ran.code, 0, "{action}: {ran:?}");
        runs.push((ran, before));
    }
    Some(runs)
}

#[test]
fn a_full_disk_leaves_the_old_file_intact() {
    // Two pages: the directory's file takes one, the new one would take four.
    let Some(runs) = on("mount -t tmpfs -o size=8k none $D/fs; cp $D/web.xml $D/fs/") else {
        return;
    };
    for (ran, before) in runs {
        assert_eq!(ran.stdout, format!("web.xml\n{before}"), "whole, and nothing beside it");
        assert!(ran.stderr.contains("WARNING: Could not write"), "{ran:?}");
        assert!(ran.stderr.contains("No space left on device"), "{ran:?}");
    }
}

#[test]
fn a_read_only_file_system_leaves_the_old_file_intact() {
    let mount = "mount -t tmpfs none $D/fs; cp $D/web.xml $D/fs/; mount -o remount,ro $D/fs";
    let Some(runs) = on(mount) else { return };
    for (ran, before) in runs {
        assert_eq!(ran.stdout, format!("web.xml\n{before}"));
        assert!(ran.stderr.contains("Read-only file system"), "{ran:?}");
    }
}

#[test]
fn a_file_that_cannot_be_replaced_in_one_step_is_not_written_in_place() {
    let mount = "touch $D/fs/web.xml; mount --bind $D/web.xml $D/fs/web.xml";
    let Some(runs) = on(mount) else { return };
    for (ran, before) in runs {
        assert_eq!(ran.stdout, format!("web.xml\n{before}"));
        assert!(ran.stderr.contains("WARNING: Could not write"), "{ran:?}");
    }
}

const CSYNC2: &str = r#"
echo "$*" >>$STAGE/calls
if [ -e $STAGE/fails ]; then
    echo "ERROR: Connection to remote host \`b' failed." >&2
    echo "Host stays in dirty state. Try again later..." >&2
    echo "Finished with 1 errors." >&2
    exit 1
fi
if [ -e $STAGE/unlisted ]; then echo "WARNING: Parameter will be ignored: $2" >&2; fi
echo "Finished with 0 errors." >&2
"#;

#[test]
fn what_was_written_is_distributed_and_only_that() {
    let Some(stage) = stage() else { return };
    stage.tool("csync2", CSYNC2);
    for _ in 0..2 {
        let ran = stage.run_with("monitor", &[SYNC, RECURRING]);
        assert_eq!(ran.code, 0, "{ran:?}");
    }
    assert_eq!(stage.lines("calls"), [format!("-xv {}", stage.definition().display())]);
    assert_eq!(written(&stage), described());
}

#[test]
fn a_distribution_that_fails_is_a_warning() {
    for (how, says) in [("fails", "exited with 1"), ("unlisted", "will be ignored")] {
        let Some(stage) = stage() else { return };
        stage.tool("csync2", CSYNC2);
        std::fs::write(stage.at(how), "").unwrap();
        let ran = stage.run_with("stop", &[SYNC]);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(ran.stderr.contains("WARNING: Could not distribute the definition"), "{ran:?}");
        assert!(ran.stderr.contains(says), "{ran:?}");
    }
}

#[test]
fn csync2_that_is_missing_fails_a_start_and_nothing_else() {
    let Some(stage) = stage() else { return };
    if std::process::Command::new("csync2").arg("-h").output().is_ok() {
        eprintln!("skipped: csync2 is installed here");
        return;
    }
    let ran = stage.run_with("start", &[SYNC]);
    assert_eq!(ran.code, 5, "{ran:?}");
    assert!(ran.reason().contains("csync2"), "{ran:?}");
    assert_eq!(stage.run_with("monitor", &[SYNC]).code, 0, "a probe tells the truth");
    let ran = stage.run_with("stop", &[SYNC]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("Could not find the program csync2"), "{ran:?}");
    assert!(stage.libvirt().world().domains.is_empty());
    assert_eq!(stage.run_with("monitor", &[SYNC]).code, 7);
}
