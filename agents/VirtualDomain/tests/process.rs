//! The executable without a libvirt that answers: the guest's own process decides. Invariant tested: a stop answers 0
//! only when that process is gone, and touches no other.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]
#![allow(dead_code, reason = "each test file uses its part of the stage")]

mod stage;

use std::time::Duration;

use duet_fake_tools::{FakeDomain, World};
use stage::{
    Ran, Stage,
    guest::{Guest, Who},
};

/// No libvirt, and one that accepts and never answers.
fn stages(who: &Who) -> Option<Vec<Stage>> {
    let frozen = World { frozen: true, ..World::default() };
    let stages = vec![Stage::without_libvirt()?, Stage::new(frozen)?];
    for stage in &stages {
        stage.define(&who.name, Some(&who.uuid));
    }
    Some(stages)
}

fn stop(stage: &Stage, parameters: &[(&str, &str)]) -> Ran {
    stage.run_with("stop", &[parameters, &[("CRM_meta_timeout", "4000")]].concat())
}

#[test]
fn a_guest_that_is_there_runs_and_a_warning_says_how_that_is_known() {
    let who = Who::new();
    let Some(stages) = stages(&who) else { return };
    let mut guest = Guest::start(":", &who.name, &who.uuid);
    for stage in &stages {
        for ran in [stage.recurring(), stage.run("monitor"), stage.run("status")] {
            assert_eq!(ran.code, 0, "{ran:?}");
            assert!(ran.took < Duration::from_secs(3), "{ran:?}");
            let pid = format!("process {} is the domain's", guest.pid());
            assert!(ran.stderr.contains("WARNING") && ran.stderr.contains(&pid), "{ran:?}");
        }
        assert!(!stage.memory().exists(), "what libvirt did not say is not written down");
    }
    assert!(guest.runs());
}

#[test]
fn without_a_uuid_the_name_says_who_it_is() {
    let who = Who::new();
    let Some(stages) = stages(&who) else { return };
    let _guest = Guest::start(":", &who.name, &who.uuid);
    stages[0].define(&who.name, None);
    assert_eq!(stages[0].recurring().code, 0);
    let longer = format!("{}1", who.name);
    stages[0].define(&longer, None);
    assert_eq!(stages[0].run_with("monitor", &[("CRM_meta_timeout", "1500")]).code, 7);
}

#[test]
fn a_dead_guest_is_not_running() {
    let who = Who::new();
    let Some(stages) = stages(&who) else { return };
    let mut guest = Guest::start(":", &who.name, &who.uuid);
    guest.kill();
    // Dead and not yet asked for by its parent: a zombie.
    std::thread::sleep(Duration::from_millis(100));
    let Some(lived) = Stage::empty() else { return };
    lived.define(&who.name, Some(&who.uuid));
    assert_eq!(lived.run("start").code, 0);
    lived.libvirt().world().frozen = true;
    // A libvirt that was asked to start it and not seen to, may be about to.
    let Some(begun) = Stage::new(World { hang_on: Some("create"), ..World::default() }) else {
        return;
    };
    begun.define(&who.name, Some(&who.uuid));
    assert_eq!(begun.run_with("start", &[("CRM_meta_timeout", "1500")]).code, 1);
    begun.libvirt().world().frozen = true;
    for (stage, code) in [(&stages[0], 7), (&lived, 7), (&stages[1], 7), (&begun, 1)] {
        for interval in ["0", "10000"] {
            let parameters = [("CRM_meta_timeout", "1500"), ("CRM_meta_interval", interval)];
            let ran = stage.run_with("monitor", &parameters);
            assert_eq!(ran.code, code, "{ran:?}");
            assert_eq!(ran.reason().contains("may still be about to start"), code == 1, "{ran:?}");
            assert!(ran.took < Duration::from_millis(1500), "{ran:?}");
        }
    }
}

#[test]
fn a_stop_ends_the_guest_and_nobody_else() {
    for at in 0..2 {
        let (who, other) = (Who::new(), Who::new());
        let Some(stages) = stages(&who) else { return };
        let mut guest = Guest::start(":", &who.name, &who.uuid);
        let mut namesake = Guest::start(":", &who.name, &other.uuid);
        let ran = stop(&stages[at], &[]);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(ran.took < Duration::from_secs(3), "{ran:?}");
        assert!(ran.stderr.contains("SIGTERM"), "{ran:?}");
        assert_eq!(guest.died_of(), Some(15));
        assert!(namesake.runs(), "another UUID is somebody else");
    }
}

#[test]
fn a_guest_that_does_not_heed_is_killed_in_time() {
    for at in 0..2 {
        let who = Who::new();
        let Some(stages) = stages(&who) else { return };
        let mut guest = Guest::start("trap '' TERM", &who.name, &who.uuid);
        let ran = stop(&stages[at], &[]);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(ran.took < Duration::from_secs(4), "{ran:?}");
        assert_eq!(guest.died_of(), Some(9));
    }
}

#[test]
fn a_libvirt_that_comes_back_in_time_is_asked_instead() {
    let who = Who::new();
    let mut guest = Guest::start(":", &who.name, &who.uuid);
    let domains = vec![FakeDomain::running(&who.name, &who.uuid)];
    let hang_up_on = Some(("state", 1));
    let Some(stage) = Stage::new(World { domains, hang_up_on, ..World::default() }) else { return };
    stage.define(&who.name, Some(&who.uuid));
    let ran = stop(&stage, &[]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(stage.libvirt().was_asked("shutdown"), "the guest was asked");
    assert!(guest.runs(), "its end is libvirt's business then");
}

#[test]
fn a_forced_stop_does_not_wait_for_libvirt() {
    let who = Who::new();
    let Some(stages) = stages(&who) else { return };
    let mut guest = Guest::start(":", &who.name, &who.uuid);
    let ran = stop(&stages[0], &[("force_stop", "true")]);
    assert_eq!((ran.code, guest.died_of()), (0, Some(15)), "{ran:?}");
    assert!(ran.took < Duration::from_secs(1), "{ran:?}");
}

#[test]
fn a_libvirt_that_freezes_while_it_ends_the_guest_leaves_time_for_its_process() {
    let who = Who::new();
    let domains = vec![FakeDomain::running(&who.name, &who.uuid)];
    let world = World { domains, freezes_on: Some("destroy"), ..World::default() };
    let Some(stage) = Stage::new(world) else { return };
    stage.define(&who.name, Some(&who.uuid));
    let mut guest = Guest::start(":", &who.name, &who.uuid);
    let ran = stop(&stage, &[("force_stop", "true")]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(stage.libvirt().was_asked("destroy") && !guest.runs(), "{ran:?}");
}

#[test]
fn a_guest_that_was_started_here_and_is_gone_is_stopped() {
    let who = Who::new();
    let Some(stage) = Stage::empty() else { return };
    stage.define(&who.name, Some(&who.uuid));
    assert_eq!(stage.run("start").code, 0);
    stage.libvirt().world().frozen = true;
    let ran = stop(&stage, &[]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(std::fs::read_dir(stage.memory()).unwrap().count(), 0, "nothing is left behind");
    // No start was begun since.
    assert_eq!(stop(&stage, &[]).code, 0);
}

/// A memory of the run before would make a stop believe that there is nothing left to come.
#[test]
fn a_start_that_froze_leaves_no_memory_of_the_run_before() {
    let who = Who::new();
    let Some(stage) = Stage::empty() else { return };
    stage.define(&who.name, Some(&who.uuid));
    assert_eq!(stage.run("start").code, 0);
    stage.libvirt().world().domains.clear();
    stage.libvirt().world().hang_on = Some("create");
    let ran = stage.run_with("start", &[("CRM_meta_timeout", "1500")]);
    assert_eq!(ran.code, 1, "{ran:?}");
    stage.libvirt().world().frozen = true;
    assert_eq!(stop(&stage, &[]).code, 1);
}

#[test]
fn containers_and_xen_guests_are_not_judged_by_a_qemu() {
    let who = Who::new();
    let Some(stages) = stages(&who) else { return };
    let mut guest = Guest::start(":", &who.name, &who.uuid);
    for uri in ["lxc:///", "xen:///system"] {
        for action in ["monitor", "stop"] {
            let parameters = [("hypervisor", uri), ("CRM_meta_timeout", "1500")];
            let ran = stages[0].run_with(action, &parameters);
            assert_eq!(ran.code, 1, "{action} {uri}: {ran:?}");
        }
    }
    assert!(guest.runs());
}
