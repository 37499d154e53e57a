//! What a stop leaves behind, by the executable. Invariant tested: a score does not outlast the resource that it was made for, whoever
//! else is writing it; and where it cannot be removed, the record stays by which it is later.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]
#![allow(dead_code, reason = "each test file uses its part of the stage")]

mod stage;

use std::{path::Path, time::Duration};

use drbd_agent::{
    record::{Mark, Record, Written},
    score::Score,
};
use duet_drbd::Role;
use duet_fake_tools::{Answer, Faults};
use duet_host::{Lock, clock};
use stage::{Stage, V9, well};

fn lock(stage: &Stage) -> Lock {
    let lock = stage.record().with_extension("lock");
    Lock::take(&lock, clock::within(Duration::ZERO)).unwrap().unwrap()
}

/// What whoever has looked while the resource was there writes in the end.
fn write_late(record: &Path) {
    let mark = Mark {
        boot: "a-boot\n".trim().to_owned(),
        daemon: 13003,
        controller: 0,
        at: clock::since_boot(),
    };
    let written = Some(Written { score: Score::Set(10_000), mark });
    Record { written, ..Record::read(record).unwrap() }.write(record).unwrap();
}

#[test]
fn a_stop_has_the_last_word_on_the_score_and_waits_for_whoever_is_writing_one() {
    let Some(stage) = Stage::running(V9, well(Role::Secondary)) else { return };
    assert_eq!(stage.recurring().code, 0);
    stage.tools.forget();
    let (held, record) = (lock(&stage), stage.record());
    let (calls, stage) = std::thread::scope(|scope| {
        let stage = &stage;
        let writer = scope.spawn(move || {
            std::thread::sleep(Duration::from_secs(4));
            write_late(&record);
            let calls = stage.scores();
            drop(held);
            calls
        });
        let ran = stage.run("stop");
        assert_eq!(ran.code, 0, "{ran:?}");
        (writer.join().unwrap(), stage)
    });
    assert_eq!(calls, [""; 0], "not before the other has ended");
    assert_eq!(stage.scores(), ["-D"]);
    assert!(!stage.record().exists());
}

#[test]
fn a_score_that_may_come_back_leaves_the_record_by_which_it_is_removed() {
    let Some(stage) = Stage::running(V9, well(Role::Secondary)) else { return };
    assert_eq!(stage.recurring().code, 0);
    stage.tools.forget();
    let held = lock(&stage);
    let ran = stage.run_with("stop", &[("CRM_meta_timeout", "6000")]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("WARNING") && ran.took < Duration::from_secs(6), "{ran:?}");
    let removed = stage.scores();
    assert!(!removed.is_empty() && removed.iter().all(|call| call == "-D"), "{removed:?}");
    write_late(&stage.record());
    drop(held);
    stage.tools.forget();
    assert_eq!(stage.recurring().code, 7);
    assert_eq!(stage.scores(), ["-D"], "there is nothing to have a score");
}

#[test]
fn a_removal_that_fails_is_tried_again_and_fails_no_stop() {
    let refused = || Answer::fails(102, "Could not connect to attribute manager\n");
    let Some(stage) = Stage::running(V9, well(Role::Secondary)) else { return };
    assert_eq!(stage.recurring().code, 0);
    stage.tools.forget();
    stage.tools.answers("crm_attribute", "", [refused(), Answer::success()]);
    assert_eq!(stage.run("stop").code, 0);
    assert_eq!(stage.scores(), ["-D", "-D"]);
    assert!(!stage.record().exists());
    let Some(stage) = Stage::running(V9, well(Role::Secondary)) else { return };
    assert_eq!(stage.recurring().code, 0);
    for answer in [refused(), Answer::hangs()] {
        stage.tools.answer("crm_attribute", "", answer);
        let ran = stage.run_with("stop", &[("CRM_meta_timeout", "7000")]);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(ran.stderr.contains("WARNING") && ran.took < Duration::from_secs(7), "{ran:?}");
        assert!(Record::read(&stage.record()).is_some_and(|record| record.written.is_none()));
    }
    stage.tools.answer("crm_attribute", "", Answer::success());
    stage.tools.forget();
    assert_eq!(stage.recurring().code, 7);
    assert_eq!(stage.scores(), ["-D"]);
}

#[test]
fn what_the_kernel_does_not_tell_is_taken_down_and_seen_to_be_gone_when_it_does() {
    for broken in [true, false] {
        let Some(stage) = Stage::running(V9, well(Role::Secondary)) else { return };
        stage.kernel.module().faults = Faults { is_out_of_sequence: true, ..Faults::default() };
        if broken {
            stage.tools.answer("drbdadm", "down", Answer::fails(10, "Parse error"));
        }
        // It tells again once the resource is down.
        let kernel = stage.kernel.clone();
        let watcher = std::thread::spawn(move || {
            let began = std::time::Instant::now();
            while !kernel.module().view.resources.is_empty() && began.elapsed().as_secs() < 20 {
                std::thread::sleep(Duration::from_millis(20));
            }
            kernel.module().faults = Faults::default();
        });
        let ran = stage.run("stop");
        assert_eq!(ran.code, 0, "{broken}: {ran:?}");
        assert_eq!(stage.tools.calls_of("drbdsetup").iter().any(|call| call == "down r0"), broken);
        watcher.join().unwrap();
    }
}

#[test]
fn what_a_message_lacks_is_asked_of_drbdsetup() {
    let Some(stage) = Stage::running(V9, well(Role::Secondary)) else { return };
    stage.kernel.change(|view| {
        let r0 = view.resources.get_mut("r0").unwrap();
        r0.volumes.get_mut(&0).unwrap().quorum = None;
    });
    let events = "exists resource name:r0 role:Secondary suspended:no\n\
        exists device name:r0 volume:0 minor:0 disk:UpToDate client:no quorum:yes\n\
        exists -\n";
    let program = stage.kernel.root().join("usr/sbin/drbdsetup");
    std::fs::create_dir_all(program.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(stage.tools.programs().join("drbdsetup"), &program).unwrap();
    stage.tools.answer("drbdsetup", "events2", Answer::prints(events));
    assert_eq!(stage.recurring().code, 0);
    assert_eq!(stage.run("stop").code, 0);
}
