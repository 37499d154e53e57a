//! Starts that libvirtd carries out when nobody waits for them any more, or that were cut off between creating the domain
//! and letting it run. Invariant tested: no such domain ever runs, none is taken for a healthy or an absent guest, and the next
//! stop or start ends it.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]
#![allow(dead_code, reason = "each test file uses its part of the stage")]

mod stage;

use duet_fake_tools::{FakeDomain, World};
use stage::{OTHER, Stage, UUID};

/// A start whose order waited behind hung workers, and a stop after it that libvirtd answered ahead of them.
fn late(stage: &Stage) {
    stage.libvirt().world().hang_on = Some("create");
    let start = stage.run_with("start", &[("CRM_meta_timeout", "1500")]);
    assert_eq!(start.code, 1, "{start:?}");
    let stop = stage.run("stop");
    assert_eq!(stop.code, 0, "{stop:?}");
    assert_eq!(stage.run("monitor").code, 7);
    stage.libvirt().world().carry_out();
    assert_eq!(states(stage), [(3, 1)], "it stands still");
}

fn states(stage: &Stage) -> Vec<(i32, i32)> {
    stage.libvirt().world().domains.iter().map(|domain| (domain.state, domain.reason)).collect()
}

/// The calls since the last time that change something.
fn changes(stage: &Stage) -> Vec<String> {
    let calls = std::mem::take(&mut stage.libvirt().world().calls);
    let is_change =
        |call: &&str| ["create", "resume", "restore", "save", "shutdown", "destroy"].contains(call);
    calls
        .iter()
        .filter_map(|call| call.split(' ').next().filter(is_change).map(str::to_owned))
        .collect()
}

#[test]
fn a_start_that_is_carried_out_when_nobody_waits_for_it_runs_nothing() {
    let Some(stage) = Stage::empty() else { return };
    late(&stage);
    for ran in [stage.run("monitor"), stage.recurring(), stage.run("status")] {
        assert_eq!(ran.code, 1, "neither healthy nor absent: {ran:?}");
        assert!(ran.stderr.contains("begun and not finished"), "{ran:?}");
    }
    changes(&stage);
    assert_eq!(stage.run("stop").code, 0);
    assert_eq!(changes(&stage), ["destroy"], "it hears no request");
    assert!(states(&stage).is_empty());
}

#[test]
fn the_next_start_creates_it_anew() {
    let Some(stage) = Stage::empty() else { return };
    late(&stage);
    changes(&stage);
    let ran = stage.run("start");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(changes(&stage), ["destroy", "create", "resume"]);
    assert_eq!(states(&stage), [(1, 5)]);
    assert_eq!(stage.recurring().code, 0);
    assert_eq!(stage.run("stop").code, 0);
    assert_eq!(std::fs::read_dir(stage.memory()).unwrap().count(), 0, "nothing is left behind");
}

#[test]
fn a_start_that_is_cut_off_before_the_guest_runs_is_ended_by_the_stop() {
    let Some(stage) = Stage::new(World { hang_on: Some("resume"), ..World::default() }) else {
        return;
    };
    let start = stage.run_with("start", &[("CRM_meta_timeout", "1500")]);
    assert_eq!(start.code, 1, "{start:?}");
    assert_eq!(states(&stage), [(3, 1)]);
    assert_eq!(stage.run("monitor").code, 1);
    assert_eq!(stage.run("stop").code, 0);
    // The order to let it run comes too late as well.
    stage.libvirt().world().carry_out();
    assert!(states(&stage).is_empty());
    assert_eq!(stage.run("monitor").code, 7);
}

#[test]
fn a_guest_that_libvirt_will_not_let_run_has_not_started() {
    let refuse = Some(("resume", 1, "internal error: lease not available"));
    let Some(stage) = Stage::new(World { refuse, ..World::default() }) else { return };
    let ran = stage.run("start");
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.reason().contains("lease not available"), "{ran:?}");
    assert_eq!(stage.run("stop").code, 0);
    assert!(states(&stage).is_empty());
}

#[test]
fn a_request_to_let_it_run_that_was_lost_is_made_again() {
    let hang_up_on = Some(("resume", 1));
    let Some(stage) = Stage::new(World { hang_up_on, ..World::default() }) else { return };
    assert_eq!(stage.run("start").code, 0);
    assert_eq!(changes(&stage), ["create", "resume", "resume"]);
}

#[test]
fn a_guest_that_a_person_has_paused_is_not_taken_for_a_leftover() {
    let Some(stage) = Stage::empty() else { return };
    assert_eq!(stage.run("start").code, 0);
    let paused = FakeDomain::running("web", UUID).in_state(3, 1);
    stage.libvirt().world().domains = vec![paused];
    changes(&stage);
    for ran in [stage.run("monitor"), stage.recurring(), stage.run("start")] {
        assert_eq!(ran.code, 0, "{ran:?}");
    }
    assert!(changes(&stage).is_empty());
}

/// By hand, without a resource's name, every call has the same memory.
#[test]
fn what_another_definition_has_left_behind_says_nothing_about_this_one() {
    let Some(stage) = Stage::empty() else { return };
    late(&stage);
    let other = stage.definition().with_file_name("other.xml");
    let xml = format!("<domain type='kvm'><name>other</name><uuid>{OTHER}</uuid></domain>");
    std::fs::write(&other, xml).unwrap();
    stage.libvirt().world().domains.push(FakeDomain::running("other", OTHER).in_state(3, 1));
    let other = [("config", other.to_str().unwrap())];
    changes(&stage);
    assert_eq!(stage.run_with("monitor", &other).code, 0);
    assert_eq!(stage.run_with("start", &other).code, 0);
    assert!(changes(&stage).is_empty());
}

/// Their driver in libvirt does not know how to create one that stands still.
#[test]
fn containers_are_created_running() {
    let world = World { no_paused_creation: true, ..World::default() };
    let Some(stage) = Stage::new(world) else { return };
    let ran = stage.run_with("start", &[("hypervisor", "lxc:///")]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(stage.libvirt().world().create_flags, [0]);
    assert_eq!(changes(&stage), ["create"]);
}

#[test]
fn every_other_guest_is_created_standing_still() {
    let Some(stage) = Stage::with(FakeDomain::defined("web", UUID)) else { return };
    assert_eq!(stage.run("start").code, 0);
    assert_eq!(stage.libvirt().world().create_flags, [1]);
    assert_eq!(changes(&stage), ["create", "resume"]);
    assert_eq!(states(&stage), [(1, 5)]);
}
