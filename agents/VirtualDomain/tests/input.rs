//! Definitions that are no definitions, and places that take no files. Invariant tested: each gets a clear error,
//! a running guest survives all of them, and what cannot be read is never "not running" beside somebody who runs.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]
#![allow(dead_code, reason = "each test file uses its part of the stage")]

mod stage;

use std::{fs, time::Duration};

use duet_fake_tools::{FakeDomain, World};
use stage::{OTHER, Stage, UUID};

/// Less than the largest of these files.
const BOUNDED: &str = "ulimit -v 40000";

fn bomb() -> String {
    let mut text = "<!DOCTYPE domain [<!ENTITY a0 \"ha\">".to_owned();
    for level in 1..30 {
        let below = level - 1;
        text.push_str(&format!("<!ENTITY a{level} \"&a{below};&a{below};\">"));
    }
    text + "]><domain type='kvm'><name>&a29;</name></domain>"
}

/// What is no definition, by its name in a failed test, and a word of the reason.
fn unusable() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let deep = format!("<domain><name>web</name>{}", "<a>".repeat(300_000));
    vec![
        ("empty", Vec::new(), "is empty"),
        ("blank", b" \n\t\n".to_vec(), "is empty"),
        ("binary", (0..=255).cycle().take(70_000).collect(), "not UTF-8"),
        ("zeroes", vec![0; 4096], "is empty"),
        ("text", b"memory = 512\nname = web\n".to_vec(), "is empty"),
        ("half", b"<domain type='kvm'><name>web</na".to_vec(), "not well-formed"),
        ("deep", deep.into_bytes(), "ends inside"),
        ("bomb", bomb().into_bytes(), "entity"),
        ("nameless", b"<domain type='kvm'><uuid/></domain>".to_vec(), "has no name"),
        ("network", b"<network><name>web</name></network>".to_vec(), "\"network\""),
        ("uuid", b"<domain><name>web</name><uuid>zz</uuid></domain>".to_vec(), "uuid"),
    ]
}

#[test]
fn what_is_no_definition_is_refused_by_name_and_says_why() {
    let Some(mut stage) = Stage::empty() else { return };
    stage.before = BOUNDED.to_owned();
    for (what, content, says) in unusable() {
        fs::write(stage.definition(), content).unwrap();
        for action in ["start", "validate-all"] {
            let ran = stage.run(action);
            assert_eq!(ran.code, 5, "{what}: {ran:?}");
            let reason = ran.reason();
            assert!(reason.contains("web.xml") && reason.contains(says), "{what}: {ran:?}");
        }
        // Nobody runs here at all, so this one does not.
        assert_eq!((stage.run("monitor").code, stage.run("stop").code), (7, 0), "{what}");
    }
    assert!(!stage.libvirt().was_asked("create"));
}

#[test]
fn a_huge_file_costs_no_memory() {
    let Some(mut stage) = Stage::empty() else { return };
    stage.before = BOUNDED.to_owned();
    fs::File::create(stage.definition()).unwrap().set_len(100 << 20).unwrap();
    for (action, code) in [("start", 5), ("validate-all", 5), ("monitor", 7), ("stop", 0)] {
        let ran = stage.run(action);
        assert_eq!(ran.code, code, "{ran:?}");
        assert!(ran.took < Duration::from_secs(2), "{ran:?}");
        assert!(code != 5 || ran.reason().contains("larger than"), "{ran:?}");
    }
}

#[test]
fn what_is_no_file_is_not_waited_for() {
    for (what, make) in [
        ("a directory", "mkdir $STAGE/it"),
        ("a FIFO", "mkfifo $STAGE/it"),
        ("a device", "ln -s /dev/zero $STAGE/it"),
        ("a terminal", "ln -s /dev/tty0 $STAGE/it"),
        ("a loop", "ln -s it $STAGE/it"),
    ] {
        let Some(mut stage) = Stage::with(FakeDomain::running("other", OTHER)) else { return };
        stage.before = format!("rm -rf $STAGE/it; {make}");
        let config = stage.directory().join("it");
        let config = [("config", config.to_str().unwrap())];
        for (action, code) in [("start", 5), ("monitor", 1), ("status", 1), ("stop", 1)] {
            let ran = stage.run_with(action, &config);
            assert_eq!(ran.code, code, "{what}, {action}: {ran:?}");
            assert!(ran.took < Duration::from_secs(1), "{what}: {ran:?}");
        }
    }
}

#[test]
fn a_definition_that_cannot_be_read_is_nobody_only_where_nobody_is_left_over() {
    for content in ["", "<domain><name>web</na", "\u{0}"] {
        let other = FakeDomain::running("other", OTHER);
        let Some(stage) = Stage::with(other) else { return };
        fs::write(stage.definition(), content).unwrap();
        for action in ["monitor", "status", "stop"] {
            let ran = stage.run(action);
            assert_eq!(ran.code, 1, "{action}: {ran:?}");
            assert!(ran.stderr.contains("other") && ran.stderr.contains("web.xml"), "{ran:?}");
        }
        assert_eq!(stage.recurring().code, 1);
        assert_eq!(stage.libvirt().world().domains.len(), 1, "nobody is stopped");
        // A call by hand, or this resource under another name, is not another.
        fs::create_dir_all(stage.memory()).unwrap();
        let by_hand = stage.memory().join("VirtualDomain-default.identity");
        let ours = stage.definition();
        fs::write(&by_hand, format!("uuid={OTHER}\nname=other\nconfig={}\n", ours.display()))
            .unwrap();
        assert_eq!((stage.run("monitor").code, stage.run("stop").code), (1, 1));
        // Another resource says that this one is its own.
        let memory = stage.memory().join("VirtualDomain-p_other.identity");
        let text = format!("uuid={OTHER}\nname=other\nconfig=/srv/other.xml\n");
        fs::write(&memory, text).unwrap();
        assert_eq!((stage.run("monitor").code, stage.run("stop").code), (7, 0));
        assert_eq!(stage.recurring().code, 7);
        assert!(memory.exists());
        // A definition that does not run is nobody either.
        stage.libvirt().world().domains = vec![FakeDomain::defined("other", UUID)];
        assert_eq!((stage.run("monitor").code, stage.run("stop").code), (7, 0));
    }
}

#[test]
fn who_runs_has_to_be_told_before_an_unreadable_definition_is_nobody() {
    let denied = Some(("list", 88, "access denied"));
    for world in [
        World { frozen: true, ..World::default() },
        World { refuse: denied, ..World::default() },
        World { hang_on: Some("list"), ..World::default() },
        World { hang_up_on: Some(("list", u32::MAX)), ..World::default() },
    ] {
        let Some(stage) = Stage::new(world) else { return };
        fs::write(stage.definition(), "").unwrap();
        for action in ["monitor", "stop"] {
            let ran = stage.run_with(action, &[("CRM_meta_timeout", "1500")]);
            assert_eq!(ran.code, 1, "{ran:?}");
            assert!(ran.took < Duration::from_millis(1500), "{ran:?}");
        }
    }
    // A node that never had the file needs nobody's word, where no guest is that could have been sent to it.
    let is_guest = |path: std::path::PathBuf| {
        fs::read(path.join("cmdline"))
            .is_ok_and(|line| line.windows(6).any(|word| word == b"guest="))
    };
    let guests =
        || fs::read_dir("/proc").unwrap().any(|entry| entry.is_ok_and(|one| is_guest(one.path())));
    let Some(stage) = Stage::new(World { frozen: true, ..World::default() }) else { return };
    stage.lose_definition();
    let before = guests();
    let codes = (stage.run("monitor").code, stage.run("stop").code);
    // Somebody may have started one meanwhile: a lab beside.
    if before || guests() {
        println!("skipped: a node without guests and without the file: guests run on this machine");
        return;
    }
    assert_eq!(codes, (7, 0));
}

#[test]
fn a_remembered_guest_survives_whatever_becomes_of_its_definition() {
    for (what, content, _) in unusable() {
        let Some(stage) = Stage::empty() else { return };
        assert_eq!(stage.run("start").code, 0);
        fs::write(stage.definition(), content).unwrap();
        assert_eq!((stage.run("monitor").code, stage.recurring().code), (0, 0), "{what}");
        assert_eq!(stage.run("stop").code, 0, "{what}");
        assert!(stage.libvirt().world().domains.is_empty(), "{what}: it is really gone");
    }
}

#[test]
fn however_it_is_written_the_name_is_the_one_that_libvirt_reads() {
    for (xml, name) in [
        ("<domain type='kvm'><name>vm</name><memory>1</memory></domain>", "vm"),
        (
            "<domain><metadata><name>no</name></metadata><name>vm1</name><name>no</name></domain>",
            "vm1",
        ),
        ("<domain><!-- <name>no</name> --><name>vm-1</name></domain>", "vm-1"),
        ("<domain>\n<name><![CDATA[v.1]]></name>\n</domain>", "v.1"),
        ("<?xml version='1.0'?>\n<domain><name>a+b</name></domain>", "a+b"),
        ("<domain><name>a&amp;b</name></domain>", "a&b"),
        ("<domain><name>a&#x26;c</name></domain>", "a&c"),
        ("<domain><name>gr\u{f6}\u{df}e</name></domain>", "gr\u{f6}\u{df}e"),
        ("<domain><name>two words</name></domain>", "two words"),
    ] {
        let Some(stage) = Stage::empty() else { return };
        fs::write(stage.definition(), xml).unwrap();
        let ran = stage.run("start");
        assert_eq!(ran.code, 0, "{xml}: {ran:?}");
        assert_eq!(stage.libvirt().world().domains[0].name, name);
        assert_eq!(stage.run("stop").code, 0, "{xml}");
        assert!(stage.libvirt().world().domains.is_empty(), "{xml}");
    }
}

#[test]
fn parameters_that_are_out_of_range_or_wrong_words_are_refused_by_name() {
    let Some(stage) = Stage::empty() else { return };
    for (name, value) in [
        ("force_stop", "maybe"),
        ("stateless", "2"),
        ("paused_by_error", "restart"),
        ("config", "web.xml"),
        ("migrateport", "65536"),
        ("migration_speed", "-1"),
        ("migration_downtime", "1.5"),
    ] {
        for action in ["start", "validate-all"] {
            let ran = stage.run_with(action, &[(name, value)]);
            assert_eq!(ran.code, 6, "{name}={value}: {ran:?}");
            assert!(ran.reason().contains(name), "{ran:?}");
        }
    }
    assert!(!stage.libvirt().was_asked("create"));
}

#[test]
fn nowhere_to_remember_fails_no_running_guest() {
    let tmpfs = "mkdir -p $HA_RSCTMP; mount -t tmpfs -o size=8k";
    for (what, prepare) in [
        ("full", format!("{tmpfs} none $HA_RSCTMP; head -c 100000 /dev/zero >$HA_RSCTMP/x || :")),
        ("read-only", format!("{tmpfs},ro none $HA_RSCTMP")),
        ("a file", "rm -rf $HA_RSCTMP; : >$HA_RSCTMP".to_owned()),
    ] {
        let Some(mut stage) = Stage::with(FakeDomain::running("web", UUID)) else { return };
        stage.before = format!("{prepare} 2>/dev/null");
        for ran in [stage.recurring(), stage.run("monitor"), stage.run("start")] {
            assert_eq!(ran.code, 0, "{what}: {ran:?}");
        }
        let ran = stage.recurring();
        assert!(ran.stderr.contains("WARNING"), "{what}: it is said: {ran:?}");
        assert_eq!(stage.run("stop").code, 0, "{what}");
        assert!(stage.libvirt().world().domains.is_empty());
        // What could not be told of later is not begun.
        let ran = stage.run("start");
        assert!(ran.code == 1 && ran.reason().contains("remember"), "{what}: {ran:?}");
        assert!(stage.libvirt().world().domains.is_empty());
    }
}

/// Nobody answers for such a file system, as for a hard-mounted NFS whose server is gone: opening a file there
/// hangs in the kernel until the process is killed.
#[test]
fn storage_that_does_not_answer_holds_nobody_up() {
    let dead = "mkdir -p $STAGE/dead; exec 9<>/dev/fuse; \
        mount -i -t fuse -o fd=9,rootmode=40000,user_id=0,group_id=0 dead $STAGE/dead";
    let Some(mut stage) = Stage::empty() else { return };
    let definition = stage.directory().join("dead/web.xml");
    fs::create_dir(stage.directory().join("dead")).unwrap();
    fs::copy(stage.definition(), &definition).unwrap();
    let config = ("config", definition.to_str().unwrap().to_owned());
    let run = |stage: &Stage, action, interval| {
        let parameters = [
            (config.0, config.1.as_str()),
            ("CRM_meta_timeout", "4000"),
            ("CRM_meta_interval", interval),
        ];
        let ran = stage.run_with(action, &parameters);
        assert!(ran.took < Duration::from_secs(3), "{action}: {ran:?}");
        ran
    };
    assert_eq!(run(&stage, "start", "0").code, 0);
    stage.before = format!("{dead} 2>&1 || {{ echo no-fuse; exit 0; }}");
    let recurring = run(&stage, "monitor", "10000");
    if recurring.stdout.contains("no-fuse") || recurring.stderr.contains("/dev/fuse") {
        eprintln!("skipped: no FUSE on this machine: {recurring:?}");
        return;
    }
    assert_eq!(recurring.code, 0, "{recurring:?}");
    assert!(recurring.stderr.contains("storage did not answer"), "{recurring:?}");
    assert_eq!(run(&stage, "monitor", "0").code, 0);
    assert_eq!(run(&stage, "stop", "0").code, 0);
    assert!(stage.libvirt().world().domains.is_empty(), "who is remembered is stopped");
    // Now nobody is remembered, and nobody runs: then somebody does.
    assert_eq!((run(&stage, "monitor", "0").code, run(&stage, "stop", "0").code), (7, 0));
    stage.libvirt().world().domains.push(FakeDomain::running("other", OTHER));
    for (action, code) in [("monitor", 1), ("stop", 1), ("start", 5), ("validate-all", 5)] {
        let ran = run(&stage, action, "0");
        assert_eq!(ran.code, code, "{action}: {ran:?}");
        assert!(ran.reason().contains("storage did not answer"), "{ran:?}");
    }
}
