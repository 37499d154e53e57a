//! Memory images and ways of asking, with the executable against a libvirtd without guests. Invariant tested: a guest never
//! starts while an image lies where a later start would restore it.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]
#![allow(dead_code, reason = "each test file uses its part of the stage")]

mod stage;

use std::{fs, path::PathBuf, time::Duration};

use duet_fake_tools::{FakeDomain, OnAbort, OnShutdown, World};
use stage::{OTHER, Ran, Stage, UUID};

const COMPLETE: &str = "LibvirtQemudSave";

struct Node {
    stage: Stage,
    images: PathBuf,
}

impl Node {
    fn new(world: World) -> Option<Self> {
        let stage = Stage::new(world)?;
        let images = fs::canonicalize(stage.definition().parent().unwrap()).unwrap().join("images");
        fs::create_dir(&images).unwrap();
        Some(Self { stage, images })
    }

    fn with(domain: FakeDomain) -> Option<Self> {
        Self::new(World { domains: vec![domain], ..World::default() })
    }

    fn run(&self, action: &str) -> Ran {
        self.run_with(action, &[("snapshot_is_shared", "true")])
    }

    fn run_with(&self, action: &str, parameters: &[(&str, &str)]) -> Ran {
        let mut all = vec![("snapshot", self.images.to_str().unwrap())];
        all.extend_from_slice(parameters);
        self.stage.run_with(action, &all)
    }

    fn files(&self) -> Vec<String> {
        let mut files: Vec<_> = fs::read_dir(&self.images)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        files
    }

    fn put(&self, file: &str, content: &str) {
        fs::write(self.images.join(file), content).unwrap();
    }

    fn was_asked(&self, call: &str) -> bool {
        self.stage.libvirt().was_asked(call)
    }

    /// How the guest that runs has come up; libvirt calls either "running (unpaused)".
    fn came_up_by(&self) -> Option<String> {
        let world = self.stage.libvirt().world();
        world.domains.iter().find(|domain| (domain.state, domain.reason) == (1, 5))?;
        let mut calls = world.calls.iter().filter_map(|call| call.split(' ').next());
        calls.rfind(|call| ["create", "restore"].contains(call)).map(str::to_owned)
    }
}

fn image_of(uuid: &str) -> String {
    format!("{COMPLETE}<domain type='kvm'><name>web</name><uuid>{uuid}</uuid></domain>")
}

fn stubborn() -> FakeDomain {
    FakeDomain { on_shutdown: OnShutdown::Ignores, ..FakeDomain::running("web", UUID) }
}

#[test]
fn a_stop_saves_and_a_start_restores_once() {
    let Some(node) = Node::new(World::default()) else { return };
    assert_eq!(node.run("start").code, 0);
    let ran = node.run("stop");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(node.files(), ["web.state"]);
    assert!(!node.was_asked("shutdown") && !node.was_asked("destroy"));
    assert_eq!(node.run("monitor").code, 7);
    assert_eq!(node.run("stop").code, 0, "stopping what is stopped leaves the image");
    assert_eq!(node.files(), ["web.state"]);
    let ran = node.run("start");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(node.came_up_by().as_deref(), Some("restore"));
    // As libvirt's own flag for "standing still" (VIR_DOMAIN_SAVE_PAUSED).
    assert_eq!(node.stage.libvirt().world().create_flags, [1, 4]);
    assert_eq!(node.files(), [""; 0]);
    assert_eq!(node.stage.recurring().code, 0);
    let memory = node.stage.memory().join("VirtualDomain-p_web.identity");
    assert!(memory.exists(), "the same tail as any other start");
    // The next run is another one: it is saved anew, and its own image restored.
    assert_eq!(node.run("stop").code, 0);
    assert_eq!(node.files(), ["web.state"]);
}

#[test]
fn what_cannot_be_restored_is_set_aside_with_a_warning_and_the_guest_boots() {
    for (content, why) in [
        ("LibvirtQemudPart<domain/>".to_owned(), "did not complete"),
        ("rubbish that is long enough".to_owned(), "no memory image"),
        ("short".to_owned(), "too short"),
        (String::new(), "too short"),
        (image_of(OTHER), OTHER),
        (format!("{COMPLETE}<domain>"), "XML"),
    ] {
        let Some(node) = Node::new(World::default()) else { return };
        node.put("web.state", &content);
        let ran = node.run("start");
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(ran.stderr.contains("WARNING") && ran.stderr.contains(why), "{why}: {ran:?}");
        assert_eq!(node.came_up_by().as_deref(), Some("create"));
        assert_eq!(node.files(), ["web.state.set-aside.1"]);
        let kept = fs::read_to_string(node.images.join("web.state.set-aside.1")).unwrap();
        assert_eq!(kept, content);
    }
}

#[test]
fn libvirts_refusal_to_restore_is_told_and_the_guest_boots() {
    let text = "internal error: qemu unexpectedly closed the monitor: load of migration failed";
    let refuse = Some(("restore", 1, text));
    let Some(node) = Node::new(World { refuse, ..World::default() }) else { return };
    node.put("web.state", &image_of(UUID));
    let ran = node.run("start");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains(text), "{ran:?}");
    assert_eq!(node.came_up_by().as_deref(), Some("create"));
    assert_eq!(node.files(), ["web.state.set-aside.1"]);
}

#[test]
fn a_restore_whose_end_is_not_known_boots_nobody() {
    let world = World { hang_up_on: Some(("restore", 1)), ..World::default() };
    let Some(node) = Node::new(world) else { return };
    node.put("web.state", &image_of(UUID));
    let ran = node.run("start");
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(!node.was_asked("create"));
    assert_eq!(node.files(), ["web.state.restoring"], "no start will restore it again");
    let ran = node.run("start");
    assert_eq!((ran.code, node.came_up_by().as_deref()), (0, Some("create")), "{ran:?}");
    assert_eq!(node.files(), ["web.state.set-aside.1"]);
}

#[test]
fn leftovers_of_what_was_cut_short_are_never_restored() {
    for left in ["web.state.saving", "web.state.restoring"] {
        let Some(node) = Node::new(World::default()) else { return };
        node.put(left, &image_of(UUID));
        let ran = node.run("start");
        assert_eq!((ran.code, node.came_up_by().as_deref()), (0, Some("create")), "{ran:?}");
        assert!(!node.was_asked("restore"));
        assert_eq!(node.files(), ["web.state.set-aside.1"]);
    }
}

#[test]
fn an_image_beside_a_running_guest_is_set_aside() {
    let Some(node) = Node::with(FakeDomain::running("web", UUID)) else { return };
    node.put("web.state", &image_of(UUID));
    let ran = node.run("start");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(!node.was_asked("create") && !node.was_asked("restore"));
    assert_eq!(node.files(), ["web.state.set-aside.1"]);
}

#[test]
fn a_directory_of_this_node_alone_is_refused_and_nothing_saved_there() {
    let Some(node) = Node::with(FakeDomain::running("web", UUID)) else { return };
    let ran = node.run_with("stop", &[]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("snapshot_is_shared"), "{ran:?}");
    assert!(!node.was_asked("save") && node.was_asked("shutdown"));
    let ran = node.run_with("start", &[]);
    assert_eq!(ran.code, 5, "{ran:?}");
    assert!(ran.reason().contains("not known to be shared"), "{ran:?}");
    assert!(!node.was_asked("create"));
}

#[test]
fn a_directory_that_is_not_mounted_starts_nobody() {
    let Some(node) = Node::new(World::default()) else { return };
    fs::remove_dir(&node.images).unwrap();
    let ran = node.run("start");
    assert_eq!(ran.code, 5, "{ran:?}");
    assert!(ran.reason().contains("No such file"), "{ran:?}");
    assert!(!node.was_asked("create"));
}

#[test]
fn a_save_that_fails_is_followed_by_asking_the_guest() {
    let refuse = Some(("save", 9, "operation failed: No space left on device"));
    let domains = vec![FakeDomain::running("web", UUID)];
    let Some(node) = Node::new(World { refuse, domains, ..World::default() }) else { return };
    let ran = node.run("stop");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("No space left on device"), "{ran:?}");
    assert!(node.was_asked("shutdown") && !node.was_asked("destroy"));
    assert_eq!(node.files(), [""; 0]);
}

#[test]
fn a_save_that_does_not_end_is_given_up_in_time() {
    for on_abort in [OnAbort::GivesUp, OnAbort::Hangs] {
        let world = World {
            domains: vec![FakeDomain::running("web", UUID)],
            hang_on: Some("save"),
            on_abort,
            ..World::default()
        };
        let Some(node) = Node::new(world) else { return };
        let ran = node.run("stop");
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(ran.took < Duration::from_secs(10), "took {:?}", ran.took);
        assert!(node.was_asked("abort-job"));
        let gives_up = on_abort == OnAbort::GivesUp;
        assert_eq!(node.was_asked("shutdown"), gives_up, "{ran:?}");
        assert_eq!(node.was_asked("destroy"), !gives_up, "{ran:?}");
        assert_eq!(node.files(), [""; 0]);
    }
}

#[test]
fn an_image_older_than_the_guest_is_out_of_the_way_before_a_save() {
    for refuse in [None, Some(("save", 9, "operation failed: No space left on device"))] {
        let domains = vec![FakeDomain::running("web", UUID)];
        let world = World { refuse, domains, ..World::default() };
        let Some(node) = Node::new(world) else { return };
        node.put("web.state", "older");
        let ran = node.run("stop");
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(ran.stderr.contains("web.state.set-aside.1"), "{ran:?}");
        let kept = fs::read_to_string(node.images.join("web.state.set-aside.1")).unwrap();
        assert_eq!(kept, "older");
        assert_eq!(node.files().contains(&"web.state".to_owned()), refuse.is_none(), "{ran:?}");
    }
}

/// As in input.rs, under the images.
#[test]
fn storage_of_images_that_has_died_holds_nobody_up() {
    let Some(mut node) = Node::with(FakeDomain::running("web", UUID)) else { return };
    node.stage.before = format!(
        "{{ exec 9<>/dev/fuse && mount -i -t fuse -o fd=9,rootmode=40000,user_id=0,group_id=0 dead {}; }} 2>&1 || \
         {{ echo no-fuse; exit 0; }}",
        node.images.display()
    );
    let ran = node.run("stop");
    if ran.stdout.contains("no-fuse") || ran.stderr.contains("/dev/fuse") {
        eprintln!("skipped: no FUSE on this machine: {ran:?}");
        return;
    }
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.took < Duration::from_secs(6), "{ran:?}");
    assert!(ran.stderr.contains("storage did not answer"), "{ran:?}");
    assert!(node.was_asked("shutdown") && !node.was_asked("save") && !node.was_asked("destroy"));
    let ran = node.run("start");
    assert_eq!(ran.code, 5, "{ran:?}");
    assert!(ran.reason().contains("storage did not answer"), "{ran:?}");
    assert!(ran.took < Duration::from_secs(8) && !node.was_asked("create"), "{ran:?}");
}

#[test]
fn snapshot_and_force_stop_do_not_go_together() {
    let Some(node) = Node::with(FakeDomain::running("web", UUID)) else { return };
    let both = [("force_stop", "true"), ("snapshot_is_shared", "true")];
    for action in ["start", "validate-all"] {
        let ran = node.run_with(action, &both);
        assert_eq!(ran.code, 6, "{ran:?}");
        assert!(ran.reason().contains("force_stop"), "{ran:?}");
    }
    let ran = node.run_with("stop", &both);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(node.was_asked("destroy") && !node.was_asked("save"), "{ran:?}");
}

#[test]
fn the_guest_is_asked_in_the_way_that_is_configured() {
    for (mode, flags) in [("", 0), ("acpi", 1), ("agent", 2), ("acpi,agent", 3)] {
        let Some(stage) = Stage::with(FakeDomain::running("web", UUID)) else { return };
        assert_eq!(stage.run_with("stop", &[("shutdown_mode", mode)]).code, 0);
        assert_eq!(stage.libvirt().world().shutdown_flags, [flags], "{mode}");
    }
}

#[test]
fn a_way_that_is_not_there_gives_way_to_libvirts_choice() {
    for (mode, flags) in [("agent", [2, 0]), ("initctl", [4, 0])] {
        let world = World {
            domains: vec![FakeDomain::running("web", UUID)],
            no_guest_agent: true,
            ..World::default()
        };
        let Some(stage) = Stage::new(world) else { return };
        let ran = stage.run_with("stop", &[("shutdown_mode", mode)]);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert_eq!(stage.libvirt().world().shutdown_flags, flags);
        assert!(!stage.libvirt().was_asked("destroy"));
    }
}

#[test]
fn a_wrong_way_is_refused_and_in_stop_passed_over_with_a_warning() {
    let Some(stage) = Stage::with(FakeDomain::running("web", UUID)) else { return };
    let wrong = [("shutdown_mode", "gently")];
    for action in ["start", "validate-all"] {
        let ran = stage.run_with(action, &wrong);
        assert_eq!(ran.code, 6, "{ran:?}");
        assert!(ran.reason().contains("gently") && ran.reason().contains("acpi"), "{ran:?}");
    }
    let ran = stage.run_with("stop", &wrong);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("WARNING") && ran.stderr.contains("gently"), "{ran:?}");
    assert_eq!(stage.libvirt().world().shutdown_flags, [0]);
}

#[test]
fn a_guest_without_snapshot_leaves_no_file() {
    let Some(node) = Node::with(stubborn()) else { return };
    let ran = node.stage.run_with("stop", &[("CRM_meta_timeout", "2000")]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(!node.was_asked("save"));
    assert_eq!(node.files(), [""; 0]);
}

/// Once the memory is saved there is no domain left to describe.
#[test]
fn the_definition_is_written_back_before_the_memory_is_saved() {
    let mut domain = FakeDomain::running("web", UUID);
    domain.xml = format!(
        "<domain type='kvm'><name>web</name><uuid>{UUID}</uuid><memory>4096</memory></domain>\n"
    );
    let described = domain.xml.clone();
    let Some(node) = Node::with(domain) else { return };
    let parameters = [("snapshot_is_shared", "true"), ("save_config_on_stop", "true")];
    let ran = node.run_with("stop", &parameters);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(node.files(), ["web.state"]);
    assert_eq!(fs::read_to_string(node.stage.definition()).unwrap(), described);
}

/// The disks may have changed since it was restored: to save it again would give the next start an old memory over them.
#[test]
fn what_was_restored_and_never_ran_is_not_saved_again() {
    let Some(node) = Node::new(World { hang_on: Some("resume"), ..World::default() }) else {
        return;
    };
    node.put("web.state", &image_of(UUID));
    let parameters = [("snapshot_is_shared", "true"), ("CRM_meta_timeout", "1500")];
    assert_eq!(node.run_with("start", &parameters).code, 1);
    let states: Vec<_> =
        node.stage.libvirt().world().domains.iter().map(|d| (d.state, d.reason)).collect();
    assert_eq!(states, [(3, 2)], "as libvirt 9.0 has a domain that was restored standing still");
    assert_eq!(node.run("monitor").code, 1);
    assert_eq!(node.run("stop").code, 0);
    assert!(!node.was_asked("save") && node.stage.libvirt().world().domains.is_empty());
    assert_eq!(node.files(), ["web.state.restoring"]);
}
