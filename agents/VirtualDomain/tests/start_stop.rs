//! Start, stop and validation of the executable against a libvirtd without guests. Invariant tested: stop answers 0 only
//! when the domain is gone, start 0 only when it is there.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]
#![allow(dead_code, reason = "each test file uses its part of the stage")]

mod stage;

use std::{os::unix::fs::MetadataExt, time::Duration};

use duet_fake_tools::{FakeDomain, OnShutdown, World};
use stage::{
    OTHER, Stage, UUID,
    guest::{Guest, Who},
};

fn stubborn() -> FakeDomain {
    FakeDomain { on_shutdown: OnShutdown::Ignores, ..FakeDomain::running("web", UUID) }
}

#[test]
fn start_and_stop_are_idempotent() {
    let Some(stage) = Stage::empty() else { return };
    assert_eq!(stage.run("start").code, 0);
    assert_eq!(stage.run("start").code, 0);
    let creations = stage.libvirt().world().calls.iter().filter(|call| *call == "create").count();
    assert_eq!(creations, 1);
    assert_eq!(stage.run("monitor").code, 0);
    assert_eq!(stage.run("stop").code, 0);
    assert_eq!(stage.run("monitor").code, 7);
    assert_eq!(stage.run("stop").code, 0);
    assert_eq!(std::fs::read_dir(stage.memory()).unwrap().count(), 0, "nothing is left behind");
}

#[test]
fn start_without_usable_definition_is_not_installed() {
    let Some(stage) = Stage::empty() else { return };
    for text in ["", "<domain>", "<domain/>", "<network><name>web</name></network>"] {
        std::fs::write(stage.definition(), text).unwrap();
        for action in ["start", "validate-all"] {
            let ran = stage.run(action);
            assert_eq!(ran.code, 5, "{text}: {ran:?}");
            assert!(ran.reason().contains("web.xml"), "{ran:?}");
        }
    }
    stage.lose_definition();
    assert_eq!(stage.run("start").code, 5);
    assert!(!stage.libvirt().was_asked("create"));
}

#[test]
fn a_definition_with_our_uuid_is_started_over() {
    let Some(stage) = Stage::with(FakeDomain::defined("web", UUID)) else { return };
    assert_eq!(stage.run("start").code, 0);
    assert!(stage.libvirt().was_asked("create") && !stage.libvirt().was_asked("undefine"));
}

#[test]
fn a_stale_memory_image_is_warned_about() {
    let domain = FakeDomain { managed_save: true, ..FakeDomain::defined("web", UUID) };
    let Some(stage) = Stage::with(domain) else { return };
    let ran = stage.run("start");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("managedsave-remove"), "{ran:?}");
}

#[test]
fn a_definition_with_another_uuid_gives_way_with_a_warning() {
    for uuid in [Some(UUID), None] {
        let Some(stage) = Stage::with(FakeDomain::defined("web", OTHER)) else { return };
        stage.define("web", uuid);
        let ran = stage.run("start");
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(ran.stderr.contains("WARNING") && ran.stderr.contains(OTHER), "{ran:?}");
        assert!(stage.libvirt().was_asked("undefine"));
    }
}

#[test]
fn undefining_keeps_what_this_libvirt_can_keep() {
    for (before_8_9, expected) in [(false, &[0x48][..]), (true, &[0x48, 0x08])] {
        let domains = vec![FakeDomain::defined("web", OTHER)];
        let Some(stage) = Stage::new(World { domains, before_8_9, ..World::default() }) else {
            return;
        };
        let ran = stage.run("start");
        assert_eq!(ran.code, 0, "{ran:?}");
        assert_eq!(stage.libvirt().world().undefine_flags, expected);
    }
}

#[test]
fn a_definition_that_cannot_be_removed_fails_the_start_in_libvirts_words() {
    let domain = FakeDomain { managed_save: true, ..FakeDomain::defined("web", OTHER) };
    let Some(stage) = Stage::with(domain) else { return };
    let ran = stage.run("start");
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.reason().contains("managed save image exists"), "{ran:?}");
    assert!(!stage.libvirt().was_asked("create"));
}

#[test]
fn a_running_namesake_is_left_alone() {
    let Some(stage) = Stage::with(FakeDomain::running("web", OTHER)) else { return };
    let ran = stage.run("start");
    assert_eq!(ran.code, 1);
    assert!(ran.reason().contains(OTHER), "{ran:?}");
    assert_eq!(stage.run("stop").code, 0, "what this resource is about does not run");
    let world = stage.libvirt().world();
    assert_eq!(world.domains.len(), 1);
    for call in ["create", "undefine", "shutdown", "destroy"] {
        assert!(!world.calls.iter().any(|made| made.starts_with(call)), "{call}");
    }
}

#[test]
fn a_definition_in_libvirts_own_directory_survives() {
    let Some(stage) = Stage::with(FakeDomain::defined("web", OTHER)) else { return };
    let directory = stage.definition().parent().unwrap().to_owned();
    stage.libvirt().world().definitions = Some(directory.clone());
    let before = std::fs::metadata(stage.definition()).unwrap();
    let ran = stage.run("start");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(stage.libvirt().was_asked("undefine"));
    let after = std::fs::metadata(stage.definition()).unwrap();
    assert_eq!((before.ino(), before.mode()), (after.ino(), after.mode()));
    let files = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(files.into_iter().all(|name| !name.to_string_lossy().contains("kept-by")));
}

#[test]
fn a_refused_start_fails_in_libvirts_words() {
    let text = "Cannot access storage file '/srv/web.img': No such file or directory";
    let world = World { refuse_create: Some((38, text.to_owned())), ..World::default() };
    let Some(stage) = Stage::new(world) else { return };
    let ran = stage.run("start");
    assert_eq!(ran.code, 1);
    assert!(ran.reason().starts_with("Could not start domain web: Cannot access"), "{ran:?}");
    assert_eq!(stage.run("stop").code, 0);
}

#[test]
fn a_cooperative_guest_is_not_destroyed() {
    let Some(stage) = Stage::with(FakeDomain::running("web", UUID)) else { return };
    assert_eq!(stage.run("stop").code, 0);
    assert!(stage.libvirt().was_asked("shutdown") && !stage.libvirt().was_asked("destroy"));
}

#[test]
fn a_stubborn_guest_is_destroyed_while_there_is_time() {
    let Some(stage) = Stage::with(stubborn()) else { return };
    let ran = stage.run_with("stop", &[("CRM_meta_timeout", "3000")]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let early = Duration::from_millis(1500);
    assert!(ran.took > early && ran.took < Duration::from_secs(3), "took {:?}", ran.took);
    assert!(stage.libvirt().was_asked("destroy"));
    assert_eq!(
        stage.libvirt().world().calls.iter().filter(|c| c.starts_with("shutdown")).count(),
        1
    );
}

#[test]
fn a_second_is_enough_to_end_a_stubborn_guest() {
    let Some(stage) = Stage::with(stubborn()) else { return };
    let ran = stage.run_with("stop", &[("CRM_meta_timeout", "1000")]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(stage.libvirt().was_asked("destroy"));
}

#[test]
fn a_paused_guest_is_destroyed_promptly() {
    for reason in [1, 5] {
        let paused = FakeDomain::running("web", UUID).in_state(3, reason);
        let Some(stage) = Stage::with(paused) else { return };
        let ran = stage.run("stop");
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(ran.took < Duration::from_secs(2), "took {:?}", ran.took);
        assert!(stage.libvirt().was_asked("shutdown") && stage.libvirt().was_asked("destroy"));
    }
}

#[test]
fn a_shutdown_call_that_hangs_leaves_time_to_destroy() {
    let world = World { domains: vec![stubborn()], hang_on: Some("shutdown"), ..World::default() };
    let Some(stage) = Stage::new(world) else { return };
    let ran = stage.run_with("stop", &[("CRM_meta_timeout", "3000")]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.took < Duration::from_secs(3), "took {:?}", ran.took);
}

#[test]
fn force_stop_does_not_ask_the_guest() {
    let Some(stage) = Stage::with(FakeDomain::running("web", UUID)) else { return };
    assert_eq!(stage.run_with("stop", &[("force_stop", "true")]).code, 0);
    assert!(!stage.libvirt().was_asked("shutdown") && stage.libvirt().was_asked("destroy"));
}

#[test]
fn a_guest_that_cannot_be_ended_is_never_a_success() {
    let text = "Failed to terminate process 77 with SIGKILL: Device or resource busy";
    let who = Who::new();
    let mut guest = Guest::of_another_user(&who);
    let running = FakeDomain::running(&who.name, &who.uuid);
    let world = World {
        domains: vec![FakeDomain { on_shutdown: OnShutdown::Ignores, ..running }],
        refuse_destroy: Some((38, text.to_owned())),
        ..World::default()
    };
    let Some(mut stage) = Stage::new(world) else { return };
    stage.define(&who.name, Some(&who.uuid));
    stage.agent_cannot_kill_others();
    let ran = stage.run_with("stop", &[("CRM_meta_timeout", "3000")]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.reason().contains(text), "{ran:?}");
    assert!(guest.runs());
}

#[test]
fn stop_needs_no_valid_options_and_no_definition() {
    for parameters in [
        &[("snapshot", "images")][..],
        &[("migration_speed", "10M")],
        &[("force_stop", "perhaps")],
        &[("autoset_utilization_cpu", "perhaps")],
    ] {
        let Some(stage) = Stage::empty() else { return };
        assert_eq!(stage.run("start").code, 0);
        let refused = stage.run_with("start", parameters);
        assert_eq!(refused.code, 6, "{refused:?}");
        assert!(refused.reason().contains(parameters[0].0), "{refused:?}");
        stage.lose_definition();
        assert_eq!(stage.run_with("stop", parameters).code, 0);
        assert!(stage.libvirt().world().domains.is_empty(), "it is really gone");
    }
}

#[test]
fn stop_without_any_identity_has_nothing_to_stop() {
    let Some(stage) = Stage::empty() else { return };
    stage.lose_definition();
    let ran = stage.run("stop");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("WARNING"), "{ran:?}");
}

#[test]
fn metadata_needs_neither_libvirt_nor_parameters() {
    let Some(stage) = Stage::without_libvirt() else { return };
    let ran = stage.run_with("meta-data", &[("config", "")]);
    assert_eq!(ran.code, 0);
    assert!(ran.stdout.starts_with("<?xml") && ran.stdout.contains("VirtualDomain"), "{ran:?}");
    assert_eq!(stage.run("no-such-action").code, 3);
    assert_eq!(stage.run("validate-all").code, 0);
    assert_eq!(stage.run_with("validate-all", &[("config", "")]).code, 6);
}

#[test]
fn a_libvirt_that_is_restarted_during_a_stop_costs_no_guest_its_shutdown() {
    let domains = vec![FakeDomain::running("web", UUID)];
    let hang_up_on = Some(("shutdown", 1));
    let Some(stage) = Stage::new(World { domains, hang_up_on, ..World::default() }) else { return };
    let ran = stage.run("stop");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(!stage.libvirt().was_asked("destroy"), "{ran:?}");
}

#[test]
fn a_start_that_was_cut_off_is_judged_by_what_is_there() {
    let hang_up_on = Some(("create", 1));
    let Some(stage) = Stage::new(World { hang_up_on, ..World::default() }) else { return };
    let ran = stage.run("start");
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.reason().contains("closed the connection"), "{ran:?}");
}

/// By hand, without a resource's name, every call has the same memory.
#[test]
fn what_another_definition_was_started_as_is_not_ours() {
    let Some(stage) = Stage::empty() else { return };
    assert_eq!(stage.run("start").code, 0);
    let other = stage.definition().with_file_name("other.xml");
    let xml = format!("<domain type='kvm'><name>other</name><uuid>{OTHER}</uuid></domain>");
    std::fs::write(&other, xml).unwrap();
    let other = [("config", other.to_str().unwrap())];
    assert_eq!(stage.run_with("monitor", &other).code, 7);
    assert_eq!(stage.run_with("stop", &other).code, 0);
    assert_eq!(stage.run("monitor").code, 0, "the first one still runs");
}

#[test]
fn a_memory_that_others_could_have_written_stops_nobody() {
    let Some(stage) = Stage::with(FakeDomain::running("victim", OTHER)) else { return };
    std::fs::create_dir_all(stage.memory()).unwrap();
    let file = stage.memory().join("VirtualDomain-p_web.identity");
    let forged = stage.definition().with_file_name("forged");
    let text = format!("uuid={OTHER}\nname=victim\nconfig={}\n", stage.definition().display());
    std::fs::write(&forged, text).unwrap();
    std::os::unix::fs::symlink(&forged, &file).unwrap();
    assert_eq!(stage.run("stop").code, 0);
    assert_eq!(stage.libvirt().world().domains.len(), 1);
    // A start replaces the link and leaves alone what it leads to.
    assert_eq!(stage.run("start").code, 0);
    assert!(!file.symlink_metadata().unwrap().is_symlink());
    assert!(std::fs::read_to_string(&forged).unwrap().contains("victim"));
    // With the definition gone as well, nobody can say who was started here.
    std::fs::write(&file, "half").unwrap();
    stage.lose_definition();
    let ran = stage.run("stop");
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.reason().contains("is damaged"), "{ran:?}");
}

#[test]
fn a_start_that_finds_the_previous_run_shutting_down_waits_for_its_end_and_starts() {
    let leaving = FakeDomain::running("web", UUID).in_state(4, 1);
    let Some(stage) = Stage::with(leaving) else { return };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(700));
            let mut world = stage.libvirt().world();
            assert!(
                !world.calls.iter().any(|call| call == "create"),
                "not beside the previous run"
            );
            world.domains.clear();
        });
        let ran = stage.run("start");
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(ran.took > Duration::from_millis(700), "{ran:?}");
    });
    assert!(stage.libvirt().was_asked("create"));
    assert_eq!(stage.run("monitor").code, 0);
}

#[test]
fn a_guest_that_never_gets_beyond_starting_up_has_not_started() {
    let starting = FakeDomain::running("web", UUID).in_state(3, 11);
    let Some(stage) = Stage::with(starting) else { return };
    let ran = stage.run_with("start", &[("CRM_meta_timeout", "1000")]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.reason().contains("waiting for domain web to have started"), "{ran:?}");
}

/// As libvirt 9 has a domain between the order to create it and the start of its QEMU; the order may be of a start that
/// was given up.
#[test]
fn a_transient_domain_that_is_off_is_about_to_start_and_not_stopped() {
    let about_to = FakeDomain { persistent: false, ..FakeDomain::defined("web", UUID) };
    let Some(stage) = Stage::with(about_to) else { return };
    for action in ["stop", "monitor", "start"] {
        let ran = stage.run_with(action, &[("CRM_meta_timeout", "1500")]);
        assert_eq!(ran.code, 1, "{action}: {ran:?}");
    }
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(500));
            let mut world = stage.libvirt().world();
            let domain = &mut world.domains[0];
            (domain.state, domain.reason) = (1, 1);
        });
        let ran = stage.run("stop");
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(ran.took > Duration::from_millis(500), "{ran:?}");
    });
    assert!(stage.libvirt().world().domains.is_empty(), "it was stopped when it ran");
}
