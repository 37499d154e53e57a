//! Whatever goes wrong with libvirt, its words reach the exit reason. Invariant tested: no error of any class ends in
//! a success, in "not running", or in a reason that does not say what happened.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]
#![allow(dead_code, reason = "each test file uses its part of the stage")]

mod stage;

use std::time::Duration;

use duet_fake_tools::{FakeDomain, OnShutdown, World};
use stage::{
    OTHER, Stage,
    guest::{Guest, Who},
};

const TEXT: &str = "internal error: 'something' <odd> broke";

/// libvirt 9 has numbers up to 110; 42 is "no such domain", which is an answer.
fn codes() -> impl Iterator<Item = i32> {
    (0..=112).chain([-1, i32::MAX]).filter(|code| *code != 42)
}

#[test]
fn a_start_that_libvirt_refuses_says_so_in_its_words() {
    let Some(stage) = Stage::empty() else { return };
    for code in codes() {
        for call in ["create", "open", "lookup-by-uuid"] {
            if call != "create" && code % 10 != 5 {
                continue;
            }
            stage.libvirt().world().refuse = Some((call, code, TEXT));
            let ran = stage.run_with("start", &[("CRM_meta_timeout", "1000")]);
            assert_eq!(ran.code, 1, "{call}, {code}: {ran:?}");
            assert!(ran.reason().contains(TEXT), "{call}, {code}: {ran:?}");
        }
    }
    assert!(stage.libvirt().world().domains.is_empty());
}

#[test]
fn a_missing_emulator_is_named() {
    let text = "Cannot check QEMU binary /usr/bin/qemu-none: No such file or directory";
    let world = World { refuse_create: Some((1, text.to_owned())), ..World::default() };
    let Some(stage) = Stage::new(world) else { return };
    let ran = stage.run("start");
    assert!(ran.code == 1 && ran.reason().contains(text), "{ran:?}");
}

#[test]
fn a_stop_or_a_monitor_that_libvirt_refuses_says_so_in_its_words() {
    // A look that a busy machine makes too late finds the guest's process, which cannot be ended either.
    let (who, absent) = (Who::new(), Who::new());
    let mut guest = Guest::of_another_user(&who);
    for code in codes().filter(|code| code % 8 == 3 || *code == 55) {
        let running = FakeDomain::running(&who.name, &who.uuid);
        let stubborn = FakeDomain { on_shutdown: OnShutdown::Ignores, ..running };
        let Some(mut stage) = Stage::with(stubborn) else { return };
        stage.agent_cannot_kill_others();
        stage.define(&who.name, Some(&who.uuid));
        stage.libvirt().world().refuse = Some(("destroy", code, TEXT));
        let ran = stage.run_with("stop", &[("CRM_meta_timeout", "700"), ("force_stop", "1")]);
        assert_eq!(ran.code, 1, "destroy, {code}: {ran:?}");
        assert!(ran.reason().contains(TEXT), "destroy, {code}: {ran:?}");
        stage.define(&absent.name, Some(&absent.uuid));
        stage.libvirt().world().domains = vec![FakeDomain::running(&absent.name, &absent.uuid)];
        stage.libvirt().world().refuse = Some(("state", code, TEXT));
        let ran = stage.run("monitor");
        assert_eq!(ran.code, 1, "state, {code}: {ran:?}");
        assert!(ran.reason().contains(TEXT), "state, {code}: {ran:?}");
    }
    assert!(guest.runs());
}

/// Every other way in which a question gets no answer, with a word of its reason.
#[test]
fn each_class_of_failure_has_a_reason_of_its_own() {
    let frozen = World { frozen: true, ..World::default() };
    let hangs = World { hang_on: Some("create"), ..World::default() };
    let hangs_up = World { hang_up_on: Some(("create", 9)), ..World::default() };
    let login = World { authentication: vec![1, 2], ..World::default() };
    let namesake = World { domains: vec![FakeDomain::running("web", OTHER)], ..World::default() };
    for (world, says) in [
        (Some(frozen), "did not answer \"list authentication methods\""),
        (Some(hangs), "did not answer"),
        (Some(hangs_up), "closed the connection"),
        (Some(login), "authentication"),
        (Some(namesake), OTHER),
        (None, "nobody listens on"),
    ] {
        let stage = match world {
            Some(world) => Stage::new(world),
            None => Stage::without_libvirt(),
        };
        let Some(stage) = stage else { return };
        let ran = stage.run_with("start", &[("CRM_meta_timeout", "1500")]);
        assert_eq!(ran.code, 1, "{says}: {ran:?}");
        assert!(ran.reason().contains(says), "{says}: {ran:?}");
        assert!(ran.took < Duration::from_millis(1500), "{ran:?}");
    }
}
