//! The second program: who needs libvirt.so, when the agent becomes it, and what it does with the library's own test
//! driver, which needs no daemon. Invariant: nothing outside of a private mount namespace is reached.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part of the stage")]

mod stage;

use std::{
    path::Path,
    process::{Command, Stdio},
};

use duet_fake_tools::{FakeDomain, World};
use stage::{OTHER, Stage, UUID};

const PLAIN: &str = env!("CARGO_BIN_EXE_VirtualDomain");
const LIBRARY: &str = env!("CARGO_BIN_EXE_VirtualDomain-libvirt");

/// The libraries that an executable names, read by the loader's own rules (ELF, 64 bits, little-endian).
fn needed(program: &str) -> Vec<String> {
    let file = std::fs::read(program).unwrap();
    let number = |at: usize, size: usize| {
        let bytes = file[at..at + size].iter().rev();
        bytes.fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte))
    };
    assert_eq!(&file[..6], b"\x7fELF\x02\x01");
    // Segments: (type, offset in the file, address, size).
    let segments: Vec<[usize; 4]> = (0..number(56, 2))
        .map(|index| number(32, 8) + index * number(54, 2))
        .map(|at| [number(at, 4), number(at + 8, 8), number(at + 16, 8), number(at + 32, 8)])
        .collect();
    let [_, dynamic, _, size] = *segments.iter().find(|segment| segment[0] == 2).unwrap();
    let entries: Vec<(usize, usize)> = (0..size / 16)
        .map(|index| dynamic + index * 16)
        .map(|at| (number(at, 8), number(at + 8, 8)))
        .collect();
    let (_, table) = *entries.iter().find(|(tag, _)| *tag == 5).unwrap();
    let [_, offset, address, _] = *segments
        .iter()
        .find(|[kind, _, address, size]| *kind == 1 && (*address..address + size).contains(&table))
        .unwrap();
    let names = entries.iter().filter(|(tag, _)| *tag == 1);
    names
        .map(|(_, name)| {
            let start = table - address + offset + name;
            let length = file[start..].iter().position(|byte| *byte == 0).unwrap();
            String::from_utf8_lossy(&file[start..start + length]).into_owned()
        })
        .collect()
}

#[test]
fn only_the_second_program_needs_the_client_library() {
    let is_there = |program| {
        let names = needed(program);
        assert!(names.iter().any(|name| name.starts_with("libc.so")), "{names:?}");
        names.iter().any(|name| name.starts_with("libvirt"))
    };
    assert!(!is_there(PLAIN));
    assert!(is_there(LIBRARY));
}

/// What the agent said about `action`, becoming the program in `libexec`.
fn run(
    stage: &Stage,
    libexec: Option<&Path>,
    action: &str,
    parameters: &[(&str, &str)],
) -> (i32, String) {
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--propagation", "private", "sh", "-ec"])
        .arg("mount -t tmpfs none /run; mkdir /run/libvirt; exec \"$@\"")
        .args(["sh", PLAIN, action])
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("OCF_RESOURCE_INSTANCE", "p_web")
        .env("HA_RSCTMP", stage.memory())
        .env("OCF_RESKEY_config", stage.definition())
        .env("OCF_RESKEY_CRM_meta_timeout", "20000")
        .env("OCF_RESKEY_CRM_meta_migrate_target", "node2")
        .stdin(Stdio::null());
    if let Some(directory) = libexec {
        command.env("DUET_LIBEXECDIR", directory);
    }
    for (name, value) in parameters {
        command.env(format!("OCF_RESKEY_{name}"), value);
    }
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code().unwrap_or(-1), stderr)
}

/// The directory with both programs, which is not writable for others.
fn programs() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let copied = Command::new("cp").arg(LIBRARY).arg(directory.path()).status();
    assert!(copied.unwrap().success());
    directory
}

/// A host of the library's test driver with the stage's domain running.
fn host(stage: &Stage) -> (tempfile::NamedTempFile, String) {
    let file = tempfile::NamedTempFile::new().unwrap();
    let domain = format!(
        "<domain type='test'><name>web</name><uuid>{UUID}</uuid><memory>8192</memory>\
         <os><type>hvm</type></os></domain>"
    );
    std::fs::write(file.path(), format!("<node>{domain}</node>")).unwrap();
    std::fs::write(stage.definition(), domain).unwrap();
    let uri = format!("test://{}", file.path().display());
    (file, uri)
}

#[test]
fn without_the_second_program_the_answer_names_it() {
    let Some(stage) = Stage::without_libvirt() else { return };
    let installed = "/usr/lib/duet/VirtualDomain-libvirt";
    if Path::new(installed).exists() {
        println!("skipped: {installed} is installed on this machine");
        return;
    }
    let remote = [("hypervisor", "qemu+ssh://node2/system")];
    for (action, parameters, expected) in [
        ("migrate_to", &[][..], 5),
        ("start", &[("start_resources", "yes")], 5),
        ("start", &remote, 5),
        ("monitor", &remote, 1),
        ("status", &remote, 1),
        ("stop", &remote, 1),
    ] {
        let (code, stderr) = run(&stage, None, action, parameters);
        assert_eq!(code, expected, "{action}: {stderr}");
        let reason = stderr.lines().find(|line| line.starts_with("ocf-exit-reason:"));
        assert!(reason.is_some_and(|reason| reason.contains(installed)), "{action}: {stderr}");
    }
    // What others could have put there is not run.
    let open = programs();
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(open.path(), PermissionsExt::from_mode(0o777)).unwrap();
    let (code, stderr) = run(&stage, Some(open.path()), "migrate_to", &[]);
    assert!(code == 5 && stderr.contains(installed), "{stderr}");
}

#[test]
fn the_first_program_in_the_place_of_the_second_is_an_error_and_no_loop() {
    let Some(stage) = Stage::without_libvirt() else { return };
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("VirtualDomain-libvirt");
    std::fs::copy(PLAIN, &program).unwrap();
    let (code, stderr) = run(&stage, Some(directory.path()), "migrate_to", &[]);
    assert_eq!(code, 5, "{stderr}");
    assert!(stderr.contains(program.to_str().unwrap()), "{stderr}");
}

#[test]
fn another_hypervisor_goes_through_the_client_library() {
    let Some(stage) = Stage::without_libvirt() else { return };
    let (_file, uri) = host(&stage);
    let programs = programs();
    let with = [("hypervisor", uri.as_str())];
    for action in ["monitor", "status", "start", "migrate_from"] {
        let (code, stderr) = run(&stage, Some(programs.path()), action, &with);
        assert_eq!(code, 0, "{action}: {stderr}");
    }
    // The driver's domains live as long as one connection: what is destroyed is back at the next look.
    let (code, stderr) = run(&stage, Some(programs.path()), "stop", &with);
    assert!(code == 1 && stderr.contains("Destroyed domain web"), "{stderr}");
}

#[test]
fn a_target_that_cannot_be_reached_leaves_the_guest_where_it_is() {
    let Some(stage) = Stage::without_libvirt() else { return };
    let (_file, uri) = host(&stage);
    let programs = programs();
    let target = "qemu+unix:///system?socket=/run/nobody";
    let with = [("hypervisor", uri.as_str()), ("remoteuri", target)];
    let (code, stderr) = run(&stage, Some(programs.path()), "migrate_to", &with);
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("node2") && stderr.contains("domain web stays"), "{stderr}");
    assert!(!stderr.contains("libvirt: "), "the library wrote to stderr: {stderr}");
}

#[test]
fn what_is_not_active_here_is_not_migrated() {
    let Some(stage) = Stage::without_libvirt() else { return };
    let (_file, uri) = host(&stage);
    stage.define("other", Some(OTHER));
    let with = [("hypervisor", uri.as_str())];
    let (code, stderr) = run(&stage, Some(programs().path()), "migrate_to", &with);
    assert!(code == 1 && stderr.contains("not active here"), "{stderr}");
}

#[test]
fn pools_that_are_not_there_fail_the_start_with_libvirts_text() {
    let Some(stage) = Stage::without_libvirt() else { return };
    let (_file, uri) = host(&stage);
    let xml = format!(
        "<domain type='test'><name>new</name><uuid>{OTHER}</uuid><memory>8192</memory>\
         <os><type>hvm</type></os><devices><disk type='volume' device='disk'>\
         <source pool='fast' volume='a'/><target dev='vda'/></disk></devices></domain>"
    );
    std::fs::write(stage.definition(), xml).unwrap();
    let with = [("hypervisor", uri.as_str()), ("start_resources", "true")];
    let (code, stderr) = run(&stage, Some(programs().path()), "start", &with);
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("fast") || stderr.contains("pool"), "{stderr}");
    assert!(stderr.contains("libvirt error"), "{stderr}");
}

/// The node that a guest came to has no definition: what it says itself tells whose it is.
#[test]
fn a_guest_that_arrives_without_its_definition_is_remembered_and_stopped() {
    let domain = FakeDomain::running("web", UUID).of_resource("p_web");
    let other = FakeDomain::running("other", OTHER).of_resource("p_other");
    let Some(stage) = Stage::new(World { domains: vec![other, domain], ..World::default() }) else {
        return;
    };
    stage.lose_definition();
    let probe = stage.run("monitor");
    assert_eq!(probe.code, 0, "{}", probe.stderr);
    let arrived = stage.run("migrate_from");
    assert_eq!(arrived.code, 0, "{}", arrived.stderr);
    assert!(std::fs::read_dir(stage.memory()).unwrap().count() > 0);
    let stopped = stage.run("stop");
    assert_eq!(stopped.code, 0, "{}", stopped.stderr);
    assert_eq!(stage.libvirt().world().domains.len(), 1, "one of two is gone");
    assert_eq!(stage.libvirt().world().domains[0].name, "other");
}

/// What the definition of a marked domain was copied to is another resource's, and not to be stopped by this one.
#[test]
fn a_copied_mark_is_not_taken_for_the_guest() {
    let copy = || FakeDomain::running("copy", OTHER).of_resource("p_web");
    let Some(stage) = Stage::new(World { domains: vec![copy()], ..World::default() }) else {
        return;
    };
    stage.lose_definition();
    std::fs::create_dir_all(stage.memory()).unwrap();
    let text = format!("uuid={OTHER}\nname=copy\nconfig=/srv/copy.xml\n");
    std::fs::write(stage.memory().join("VirtualDomain-p_copy.identity"), text).unwrap();
    assert_eq!((stage.run("monitor").code, stage.run("stop").code), (7, 0));
    assert_eq!(stage.libvirt().world().domains.len(), 1, "another resource's domain is gone");
    // Beside it, our own is known.
    let ours = FakeDomain::running("web", UUID).of_resource("p_web");
    stage.libvirt().world().domains = vec![copy(), ours.clone()];
    assert_eq!((stage.run("monitor").code, stage.run("stop").code), (0, 0));
    assert_eq!(stage.libvirt().world().domains[0].name, "copy");
    // Of two that nobody accounts for, one would be a guess.
    std::fs::remove_dir_all(stage.memory()).unwrap();
    stage.libvirt().world().domains = vec![copy(), ours];
    for action in ["monitor", "stop", "migrate_from"] {
        let ran = stage.run(action);
        assert_eq!(ran.code, 1, "{action}: {ran:?}");
        assert!(ran.reason().contains("copy") && ran.reason().contains("p_web's"), "{ran:?}");
    }
    assert_eq!(stage.libvirt().world().domains.len(), 2);
}

#[test]
fn what_is_coming_or_cannot_be_read_is_not_nobody() {
    // libvirt lists an incoming domain before it has a process, and so a number.
    let coming = FakeDomain::running("web", UUID).of_resource("p_web").in_state(5, 0);
    let mut broken = FakeDomain::running("web", UUID);
    broken.xml = "<domain><".to_owned();
    for domain in [coming, broken] {
        let Some(stage) = Stage::with(domain) else { return };
        stage.lose_definition();
        let probe = stage.run("monitor");
        assert_eq!(probe.code, 1, "{probe:?}");
        assert!(probe.reason().contains("web"), "{probe:?}");
    }
}

#[test]
fn one_that_never_arrives_is_a_failure_before_the_timeout() {
    let Some(stage) = Stage::empty() else { return };
    let ran = stage.run("migrate_from");
    assert_eq!(ran.code, 1);
    assert!(ran.reason().contains("has not arrived"), "{}", ran.stderr);
    assert!(ran.took.as_secs() < 10, "{:?}", ran.took);
}
