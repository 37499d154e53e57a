//! The daemon on its stage: what changes in the kernel reaches the score, once, at once, and by the agent's own rule.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]
#![allow(dead_code, reason = "each test file uses its part of the stage")]

mod stage;

use std::time::{Duration, Instant};

use drbd_agent::record::Record;
use duet_drbd::{Change, Disk, Object, Resource, Role, Verb};
use duet_fake_tools::{Answer, Asked};
use duet_host::{Lock, clock};
use stage::{Stage, V9, alone, resource, well};

/// The group that is listened to.
const EVENTS: u32 = 9;

fn set(stage: &Stage, resource: Resource) {
    stage.kernel.change(|view| {
        view.resources.insert("r0".to_owned(), resource);
    });
}

/// A daemon that has written the score of a resource with which all is well, and nothing else to do.
fn settled() -> Option<Stage> {
    let stage = Stage::managed()?;
    stage.start();
    stage.until("the first score", |stage| {
        let record = Record::read(&stage.memory().join("drbd-p_drbd.record"));
        record.is_some_and(|record| record.written.is_some())
    });
    assert_eq!(stage.scores(), ["10000"]);
    stage.tools.forget();
    Some(stage)
}

/// Long enough for whatever might be wrong to happen.
fn meanwhile() {
    std::thread::sleep(Duration::from_millis(400));
}

#[test]
fn a_change_reaches_the_score_before_a_sign_of_life_how_soon_the_bench_measures() {
    let Some(stage) = settled() else { return };
    set(&stage, alone());
    let took = stage.until("the score", |stage| stage.scores() == ["1000"]);
    println!("a change reached the score after {took:?}");
    // The monitor that would have found it comes every 10 s.
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[test]
fn lost_quorum_removes_the_score() {
    let Some(stage) = settled() else { return };
    stage.kernel.change(|view| {
        view.resources.get_mut("r0").unwrap().volumes.get_mut(&0).unwrap().quorum = Some(false);
    });
    stage.until("the score to go", |stage| stage.scores() == ["-D"]);
}

#[test]
fn a_burst_is_one_decision() {
    let Some(stage) = settled() else { return };
    for disk in [Disk::Consistent, Disk::Outdated, Disk::Inconsistent, Disk::UpToDate, Disk::Failed]
    {
        set(&stage, resource(Role::Secondary, disk, None));
    }
    set(&stage, alone());
    stage.until("the score", |stage| !stage.scores().is_empty());
    meanwhile();
    assert_eq!(stage.scores(), ["1000"]);
}

/// A Secondary that loses its Primary is Consistent for a few milliseconds, and then UpToDate again (9): it must not lose its score.
#[test]
fn what_lasts_a_few_milliseconds_is_no_state() {
    let Some(stage) = settled() else { return };
    for _ in 0..100 {
        let began = Instant::now();
        set(&stage, resource(Role::Secondary, Disk::Consistent, None));
        std::thread::sleep(Duration::from_millis(3));
        set(&stage, alone());
        // Otherwise this machine was too busy to be so quick.
        if began.elapsed() < Duration::from_millis(6) {
            stage.until("the score", |stage| !stage.scores().is_empty());
            meanwhile();
            assert_eq!(stage.scores(), ["1000"]);
            return;
        }
        set(&stage, well());
        meanwhile();
        stage.tools.forget();
    }
    println!("skipped: this machine is too busy to change a state within 6 ms");
}

#[test]
fn what_does_not_matter_starts_nobody() {
    let Some(stage) = settled() else { return };
    for kib in 1..50 {
        stage.kernel.change(|view| {
            let peer = view.resources.get_mut("r0").unwrap().peers.get_mut(&1).unwrap();
            peer.volumes.get_mut(&0).unwrap().out_of_sync = Some(kib * 4);
        });
    }
    let (resource, helper) = ("r0".to_owned(), "before-resync-source".to_owned());
    let object = Object::Helper { resource, peer: Some(1), volume: Some(0), helper, status: None };
    stage.kernel.helper(&Change { verb: Verb::Call, object });
    // A promotion keeps the best score.
    set(&stage, resource_primary());
    meanwhile();
    assert_eq!(stage.tools.calls(), [[""; 0]; 0]);
}

fn resource_primary() -> Resource {
    Resource { role: Role::Primary, ..well() }
}

#[test]
fn all_of_many_resources_follow_at_the_same_time() {
    let Some(stage) = Stage::new() else { return };
    let instances: Vec<String> = (0..12).map(|number| format!("p{number}")).collect();
    for instance in &instances {
        stage.manage(instance, &format!("r-{instance}"));
    }
    let put = |resource: &Resource| {
        stage.kernel.change(|view| {
            for instance in &instances {
                view.resources.insert(format!("r-{instance}"), resource.clone());
            }
        });
    };
    put(&well());
    stage.start();
    let all =
        |wanted: &[&str]| instances.iter().all(|instance| stage.scores_of(instance) == wanted);
    stage.until("the first scores", |_| all(&["10000"]));
    put(&alone());
    let took = stage.until("the scores", |_| all(&["10000", "1000"]));
    println!("a change of 12 resources reached the scores after {took:?}");
    meanwhile();
    assert_eq!(stage.tools.calls().len(), 24);
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", stage.daemon().unwrap())).unwrap();
    let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let most: u32 = most.trim().trim_end_matches(" kB").parse().unwrap();
    println!("the daemon had {most} KiB in memory, at most");
    assert!(most <= 6 * 1024, "{most}");
}

#[test]
fn a_lost_stream_is_regained_before_a_sign_of_life_and_what_happened_meanwhile_counts() {
    let Some(stage) = settled() else { return };
    // Nobody hears of it.
    stage.kernel.drop_streams();
    stage.kernel.module().view.resources.insert("r0".to_owned(), alone());
    let took = stage.until("the score", |stage| stage.scores() == ["1000"]);
    println!("a stream was regained after {took:?}");
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert_eq!(stage.run("monitor").code, 0);
}

#[test]
fn streams_that_are_lost_again_and_again_are_no_failure() {
    let Some(stage) = settled() else { return };
    for round in 0..8 {
        let listens = |stage: &Stage| stage.kernel.asked().contains(&Asked::Join(EVENTS));
        stage.kernel.module().asked.clear();
        stage.kernel.drop_streams();
        stage.until("listening anew", listens);
        assert_eq!(stage.run("monitor").code, 0, "{round}");
    }
    set(&stage, alone());
    stage.until("the score", |stage| stage.scores() == ["1000"]);
    assert!(stage.log().matches("Listening begins anew").count() < 8, "{}", stage.log());
}

#[test]
fn a_message_that_cannot_be_understood_is_no_end() {
    let Some(stage) = settled() else { return };
    stage.kernel.tell(&[0xff; 40]);
    set(&stage, alone());
    stage.until("the score", |stage| stage.scores() == ["1000"]);
}

#[test]
fn a_module_that_goes_takes_the_score_along_and_comes_again() {
    let Some(stage) = settled() else { return };
    stage.kernel.unload();
    stage.attribute_daemon(13003);
    let took = stage.until("the score to go", |stage| stage.scores() == ["-D"]);
    println!("the score of a module that was unloaded went after {took:?}");
    stage.until("the daemon to wait", |stage| stage.run("monitor").code == 0);
    stage.kernel.load(V9);
    stage.attribute_daemon(13003);
    set(&stage, well());
    let took = stage.until("the score to come", |stage| stage.scores() == ["-D", "10000"]);
    println!("the score of a module that was loaded came after {took:?}");
    // A sign of life would find it as well, later.
    assert!(took < Duration::from_secs(4), "{took:?}");
}

#[test]
fn a_resource_that_nobody_manages_is_left_alone() {
    let Some(stage) = Stage::new() else { return };
    set(&stage, well());
    stage.start();
    set(&stage, alone());
    meanwhile();
    assert_eq!(stage.tools.calls(), [[""; 0]; 0]);
    // Until somebody does.
    stage.manage("p_drbd", "r0");
    set(&stage, well());
    stage.until("the score", |stage| stage.scores() == ["10000"]);
}

#[test]
fn one_that_was_stopped_is_left_alone() {
    let Some(stage) = settled() else { return };
    let record = stage.memory().join("drbd-p_drbd.record");
    std::fs::remove_file(&record).unwrap();
    set(&stage, alone());
    meanwhile();
    stage.kernel.change(|view| view.resources.clear());
    meanwhile();
    assert_eq!(stage.tools.calls(), [[""; 0]; 0]);
    assert!(!record.exists(), "nobody manages it");
}

#[test]
fn scores_that_the_cluster_has_lost_are_written_again() {
    let Some(stage) = settled() else { return };
    stage.attribute_daemon(14004);
    stage.until("the score", |stage| stage.scores() == ["10000"]);
}

#[test]
fn a_cluster_that_does_not_answer_keeps_nobody_from_listening() {
    let Some(stage) = Stage::managed() else { return };
    stage.manage("p_other", "r1");
    stage.kernel.change(|view| {
        view.resources.insert("r1".to_owned(), well());
    });
    stage.start();
    stage.until("the first scores", |stage| {
        stage.scores() == ["10000"] && stage.scores_of("p_other") == ["10000"]
    });
    meanwhile();
    stage.tools.answers("crm_attribute", "promotion", [Answer::hangs(), Answer::success()]);
    set(&stage, alone());
    stage.until("the one that hangs", |stage| stage.scores().len() == 2);
    stage.kernel.change(|view| {
        view.resources.insert("r1".to_owned(), alone());
    });
    let took = stage.until("the other one", |stage| stage.scores_of("p_other").len() == 2);
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert_eq!(stage.run("monitor").code, 0);
    // What hung is ended, and tried again with what is true then.
    set(&stage, resource(Role::Secondary, Disk::Outdated, None));
    stage.until("another try", |stage| stage.scores().last().is_some_and(|last| last == "-D"));
}

#[test]
fn an_agent_gets_the_lock_while_the_cluster_does_not_answer_the_watcher() {
    let Some(stage) = settled() else { return };
    stage.tools.answer("crm_attribute", "promotion", Answer::hangs());
    set(&stage, alone());
    stage.until("the one that hangs", |stage| stage.scores() == ["1000"]);
    let lock = stage.memory().join("drbd-p_drbd.lock");
    assert!(Lock::take(&lock, clock::within(Duration::ZERO)).unwrap().is_none());
    // So long an agent waits for it.
    assert!(Lock::take(&lock, clock::within(Duration::from_secs(2))).unwrap().is_some());
}

#[test]
fn what_it_has_started_ends_with_it() {
    let Some(stage) = settled() else { return };
    stage.tools.answer("crm_attribute", "promotion", Answer::hangs());
    set(&stage, alone());
    stage.until("the one that hangs", |stage| stage.named("sleep") == 1);
    stage.signal(nix::sys::signal::Signal::SIGKILL);
    stage.until("the end of both", |stage| stage.named("sleep") + stage.named("drbd-watchd") == 0);
}

#[test]
fn one_that_failed_is_tried_again() {
    let Some(stage) = settled() else { return };
    let refusal = Answer::fails(102, "Could not connect to the cluster\n");
    stage.tools.answers("crm_attribute", "promotion", [refusal, Answer::success()]);
    set(&stage, alone());
    stage.until("two tries", |stage| stage.scores() == ["1000", "1000"]);
    assert!(stage.log().contains("Could not connect to the cluster"), "{}", stage.log());
}

#[test]
fn a_kernel_that_repeats_itself_or_hangs_fails_the_monitor_until_it_does_not() {
    let Some(stage) = settled() else { return };
    stage.kernel.module().faults.hang_on = Some(38);
    stage.kernel.drop_streams();
    stage.until("the monitor to fail", |stage| stage.run("monitor").code == 1);
    let ran = stage.run("monitor");
    assert!(ran.reason().contains("did not tell"), "{}", ran.reason());
    assert_eq!(stage.scores(), [""; 0], "nothing is concluded from not knowing");
    stage.kernel.module().faults.hang_on = None;
    stage.kernel.module().faults.repeat_on = Some(38);
    meanwhile();
    stage.kernel.module().faults.repeat_on = None;
    stage.until("the monitor to succeed", |stage| stage.run("monitor").code == 0);
    set(&stage, alone());
    stage.until("the score", |stage| stage.scores() == ["1000"]);
}

#[test]
fn where_the_kernel_cannot_be_understood_drbdsetup_is_listened_to() {
    let Some(stage) = Stage::managed() else { return };
    stage.kernel.module().faults.no_family = true;
    let line = |disk: &str| {
        format!(
            "resource name:r0 role:Secondary suspended:no\n\
             exists connection name:r0 peer-node-id:1 conn-name:node2 connection:Connected role:Secondary\n\
             exists device name:r0 volume:0 minor:0 disk:{disk} client:no quorum:yes\n\
             exists peer-device name:r0 peer-node-id:1 conn-name:node2 volume:0 replication:Established \
             peer-disk:UpToDate peer-client:no\nexists -\n"
        )
    };
    let (now, events, next) = (stage.at("now"), stage.at("events"), stage.at("next"));
    std::fs::write(&now, format!("exists {}", line("UpToDate"))).unwrap();
    nix::unistd::mkfifo(&next, nix::sys::stat::Mode::S_IRWXU).unwrap();
    std::fs::copy(&now, &events).unwrap();
    stage.tools.answer("drbdsetup", "", Answer::success());
    let script = format!(
        "case \" $* \" in *--now*) exec cat {};; esac; cat {}; while cat {}; do :; done",
        now.display(),
        events.display(),
        next.display()
    );
    stage.tools.on("drbdsetup", "events2", &script);
    std::fs::create_dir_all(stage.kernel.root().join("usr")).unwrap();
    std::os::unix::fs::symlink(stage.tools.programs(), stage.kernel.root().join("usr/sbin"))
        .unwrap();
    stage.start();
    assert!(stage.log().contains("drbdsetup events2"), "{}", stage.log());
    stage.until("the score", |stage| stage.scores() == ["10000"]);
    std::fs::write(&now, format!("exists {}", line("Outdated"))).unwrap();
    let change = "change device name:r0 volume:0 minor:0 disk:Outdated client:no quorum:yes\n";
    std::fs::write(&next, change).unwrap();
    stage.until("the next score", |stage| stage.scores() == ["10000", "10"]);
}

#[test]
fn nothing_to_do_is_nothing_done() {
    let Some(stage) = settled() else { return };
    let status = format!("/proc/{}/status", stage.daemon().unwrap());
    let switches = || -> u64 {
        let text = std::fs::read_to_string(&status).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.unwrap().trim().parse().unwrap()
    };
    meanwhile();
    let before = switches();
    std::thread::sleep(Duration::from_secs(25));
    let woken = switches() - before;
    println!("an idle daemon was woken {woken} times in 25 s");
    // A sign of life every 10 s, which writes a file.
    assert!(woken <= 6, "{woken}");
    assert_eq!(stage.tools.calls(), [[""; 0]; 0]);
}
