//! Monitor and what it leaves behind, by the executable. Invariant tested: a monitor that finds nothing new runs no program,
//! a probe leaves nothing, and a score is never that of something that is not there.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]
#![allow(dead_code, reason = "each test file uses its part of the stage")]

mod stage;

use std::time::Duration;

use drbd_agent::record::Record;
use duet_drbd::{Connection, Disk, Resource, Role, Version};
use duet_fake_tools::{Answer, Conduct, FakeDaemons};
use duet_host::{Lock, clock};
use stage::{Stage, V8, V9, resource, well};

/// A resource cut off from its peer.
fn alone(role: Role) -> Resource {
    resource(role, Disk::UpToDate, None)
}

fn change(stage: &Stage, change: impl FnOnce(&mut Resource)) {
    stage.kernel.change(|view| change(view.resources.get_mut("r0").unwrap()));
}

#[test]
fn a_monitor_that_finds_nothing_new_runs_no_program() {
    for version in [V8, V9] {
        let Some(stage) = Stage::running(version, well(Role::Secondary)) else { return };
        assert_eq!(stage.recurring().code, 0);
        assert_eq!(stage.scores(), ["10000"]);
        for _ in 0..3 {
            stage.tools.forget();
            let ran = stage.recurring();
            assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
            assert_eq!(stage.tools.calls(), Vec::<Vec<String>>::new());
        }
    }
}

#[test]
fn a_score_is_written_anew_when_it_may_be_gone_or_should_be_another() {
    let Some(stage) = Stage::running(V9, well(Role::Secondary)) else { return };
    assert_eq!(stage.recurring().code, 0);
    let again = |parameters: &[(&str, &str)]| {
        stage.tools.forget();
        let recurring = [&[("CRM_meta_interval", "10000")], parameters].concat();
        assert_eq!(stage.run_with("monitor", &recurring).code, 0);
        stage.scores()
    };
    let none: [&str; 0] = [];
    assert_eq!(again(&[]), none);
    stage.attribute_daemon(14000);
    assert_eq!(again(&[]), ["10000"], "the daemon was restarted");
    assert_eq!(again(&[]), none);
    let boot = stage.kernel.root().join("proc/sys/kernel/random/boot_id");
    std::fs::write(boot, "another\n").unwrap();
    assert_eq!(again(&[]), ["10000"], "the machine was restarted");
    let other = [("adjust_promotion_score", "1 2 3 4")];
    assert_eq!(again(&other), ["4"]);
    assert_eq!(again(&other), none);
    change(&stage, |r0| *r0 = alone(Role::Secondary));
    assert_eq!(again(&other), ["3"]);
    std::fs::write(stage.record(), "garbage").unwrap();
    assert_eq!(again(&other), ["3"], "nothing is known");
    std::fs::remove_file(stage.kernel.root().join("proc/net/unix")).unwrap();
    assert_eq!(again(&other), ["3"], "nobody says who the daemon is");
}

/// As if the score had been written a minute before it was.
fn age(stage: &Stage) {
    let record = std::fs::read_to_string(stage.record()).unwrap();
    let at = record.lines().find_map(|line| line.strip_prefix("at=")).unwrap();
    let old: u64 = at.parse::<u64>().unwrap().saturating_sub(61_000);
    let older = record.replace(&format!("at={at}"), &format!("at={old}"));
    std::fs::write(stage.record(), older).unwrap();
}

#[test]
fn a_record_that_says_its_age_is_over_is_not_believed() {
    let Some(stage) = Stage::running(V9, well(Role::Secondary)) else { return };
    assert_eq!(stage.recurring().code, 0);
    age(&stage);
    stage.tools.forget();
    assert_eq!(stage.recurring().code, 0);
    assert_eq!(stage.scores(), ["10000"]);
}

#[test]
fn a_score_whose_age_is_over_is_written_where_the_attribute_daemon_does_not_say_that_it_has_it() {
    let Some(stage) = Stage::running(V9, well(Role::Secondary)) else { return };
    let daemon = FakeDaemons::attributes(&stage.kernel.root(), "node1");
    assert_eq!(stage.recurring().code, 0);
    let later = |value, conduct| {
        age(&stage);
        daemon.set("master-p_drbd", value);
        daemon.conduct(conduct);
        stage.tools.forget();
        let _ = daemon.asked();
        assert_eq!(stage.recurring().code, 0);
        let calls = stage.tools.calls().len();
        // What was confirmed or written is believed for a minute, and nobody asked.
        let asked = daemon.asked().len();
        assert_eq!(stage.recurring().code, 0);
        assert_eq!((stage.tools.calls().len(), daemon.asked().len()), (calls, 0));
        (stage.scores(), asked)
    };
    let none = || Vec::<String>::new();
    assert_eq!(later(Some("10000"), Conduct::Well), (none(), 1));
    assert_eq!(later(Some("10"), Conduct::Well), (vec!["10000".to_owned()], 1));
    assert_eq!(later(None, Conduct::Well), (vec!["10000".to_owned()], 1));
    assert_eq!(later(Some("10000"), Conduct::Parts), (none(), 1));
    for conduct in [Conduct::Silent, Conduct::Mute, Conduct::Closing, Conduct::StrangeText] {
        assert_eq!(later(Some("10000"), conduct).0, ["10000"], "{conduct:?}");
    }
    // What the daemon has is nothing where another score is wanted, or none is remembered.
    daemon.conduct(Conduct::Well);
    change(&stage, |r0| *r0 = alone(Role::Secondary));
    daemon.set("master-p_drbd", Some("1000"));
    stage.tools.forget();
    assert_eq!(stage.recurring().code, 0);
    assert_eq!(stage.scores().len(), 1);
    std::fs::write(stage.record(), "garbage").unwrap();
    stage.tools.forget();
    assert_eq!(stage.recurring().code, 0);
    assert_eq!((stage.scores().len(), daemon.asked().len()), (1, 0));
}

/// The DC takes a node's attributes from the CIB when it misses the node's controller; the attribute daemon still has them, and writes
/// nothing when it is told what it has.
#[test]
fn a_score_that_the_cib_has_lost_is_written_anew_by_the_attribute_daemon() {
    let Some(stage) = Stage::running(V9, well(Role::Secondary)) else { return };
    let daemon = FakeDaemons::attributes(&stage.kernel.root(), "node1");
    daemon.with_cib(&stage.kernel.root(), "node1");
    let attribute = |value| {
        daemon.set("master-p_drbd", value);
        daemon.write("master-p_drbd", value);
    };
    stage.tools.answer("attrd_updater", "", Answer::success());
    stage.daemons(13003, 15000);
    assert_eq!(stage.recurring().code, 0);
    attribute(Some("10000"));
    let again = || {
        stage.tools.forget();
        let _ = daemon.asked();
        let ran = stage.recurring();
        assert_eq!(ran.code, 0, "{ran:?}");
        (stage.tools.calls(), daemon.asked().len(), ran.stderr)
    };
    let quiet = || (Vec::<Vec<String>>::new(), 0, String::new());
    let told = stage.at("memory").join("drbd-refreshed");
    let long_ago = || drop(std::fs::remove_file(&told));
    assert_eq!(again(), quiet());
    // Another controller: it may have been taken meanwhile. It was not.
    stage.daemons(13003, 15001);
    assert_eq!(again(), (Vec::new(), 2, String::new()));
    assert_eq!(again(), quiet());
    let refresh = vec![vec!["attrd_updater".to_owned(), "--refresh".to_owned()]];
    for (written, new) in [(None, 15002), (Some("10"), 15003)] {
        daemon.write("master-p_drbd", written);
        for controller in [0, new, new] {
            stage.daemons(13003, controller);
            long_ago();
            let (calls, asked, said) = again();
            assert_eq!((calls, asked), (refresh.clone(), 2), "{written:?}");
            assert!(said.contains("The CIB had lost the promotion score of p_drbd"), "{said}");
        }
        // It is not told again for a moment, whoever asks; and then less and less often, and not silently.
        assert_eq!(again(), (Vec::new(), 2, String::new()));
        let text = std::fs::read_to_string(&told).unwrap();
        let (at, pause) = text.trim().split_once(' ').unwrap();
        let old = at.parse::<u64>().unwrap() - 10_000;
        assert_eq!(pause, "5000");
        std::fs::write(&told, format!("{old} {pause}\n")).unwrap();
        let (calls, asked, said) = again();
        assert_eq!((calls, asked), (refresh.clone(), 2));
        assert!(said.contains("has not helped"), "{said}");
        assert!(std::fs::read_to_string(&told).unwrap().ends_with(" 10000\n"));
        assert_eq!(again(), (Vec::new(), 2, String::new()));
        // Once it is seen there, it is believed again.
        attribute(Some("10000"));
        assert_eq!(again(), (Vec::new(), 2, String::new()));
        assert_eq!(again(), quiet());
    }
    // Without a new controller, a minute is waited.
    daemon.write("master-p_drbd", None);
    assert_eq!(again(), quiet());
    age(&stage);
    std::fs::write(&told, "garbage").unwrap();
    assert_eq!(again().0, refresh);
    // The attribute daemon has none either: it is told.
    attribute(None);
    stage.daemons(13003, 15004);
    assert_eq!((again().0.len(), stage.scores()), (1, vec!["10000".to_owned()]));
    attribute(Some("10000"));
    daemon.write("master-p_drbd", None);
    stage.daemons(13003, 15005);
    long_ago();
    stage.tools.answer("attrd_updater", "", Answer::fails(124, "It does not answer\n"));
    let (_, _, said) = again();
    assert!(said.contains("Pacemaker has lost the promotion score of p_drbd"), "{said}");
    assert!(said.contains("124"), "{said}");
}

/// While the CIB does not say, nothing is written anew and nothing is believed; what it says once it does counts.
#[test]
fn a_cib_that_does_not_say_after_a_new_controller_is_asked_again() {
    let Some(stage) = Stage::running(V9, well(Role::Secondary)) else { return };
    let daemon = FakeDaemons::attributes(&stage.kernel.root(), "node1");
    stage.tools.answer("attrd_updater", "", Answer::success());
    stage.daemons(13003, 15000);
    assert_eq!(stage.recurring().code, 0);
    daemon.set("master-p_drbd", Some("10000"));
    stage.daemons(13003, 15001);
    stage.tools.forget();
    let before = std::fs::read_to_string(stage.record()).unwrap();
    for _ in 0..2 {
        let _ = daemon.asked();
        assert_eq!(stage.recurring().code, 0);
        assert_eq!((stage.tools.calls().len(), daemon.asked().len()), (0, 1));
    }
    assert_eq!(std::fs::read_to_string(stage.record()).unwrap(), before);
    daemon.with_cib(&stage.kernel.root(), "node1");
    assert_eq!(stage.recurring().code, 0);
    assert_eq!(stage.tools.calls_of("attrd_updater"), ["--refresh"]);
}

#[test]
fn a_probe_and_a_status_leave_nothing_and_ask_nobody() {
    for (code, r0) in [(0, well(Role::Secondary)), (8, well(Role::Primary))] {
        let Some(stage) = Stage::running(V9, r0) else { return };
        for action in ["monitor", "status"] {
            let ran = stage.run(action);
            assert_eq!((ran.code, ran.stderr.as_str()), (code, ""), "{ran:?}");
            assert_eq!(stage.tools.calls(), Vec::<Vec<String>>::new());
            assert!(!stage.at("memory").exists());
        }
    }
}

#[test]
fn d11_without_the_module_the_score_is_removed_once() {
    let Some(stage) = Stage::new(V9) else { return };
    stage.unload();
    let ran = stage.recurring();
    assert_eq!(ran.code, 7, "{ran:?}");
    assert!(ran.reason().contains("not loaded"), "{ran:?}");
    assert_eq!(stage.scores(), ["-D"]);
    stage.tools.forget();
    assert_eq!(stage.recurring().code, 7);
    assert_eq!(stage.tools.calls(), Vec::<Vec<String>>::new());
    assert_eq!(stage.run("monitor").code, 7);
}

#[test]
fn the_attribute_that_is_not_there_is_as_good_as_removed() {
    let Some(stage) = Stage::new(V9) else { return };
    let no_such = Answer::fails(105, "Error performing operation: No such device or address\n");
    stage.tools.answer("crm_attribute", "D", no_such);
    assert_eq!(stage.recurring().code, 7);
    stage.tools.forget();
    assert_eq!(stage.recurring().code, 7);
    assert_eq!(stage.tools.calls(), Vec::<Vec<String>>::new());
}

#[test]
fn a_primary_that_loses_quorum_stays_promoted_without_a_score() {
    let Some(stage) = Stage::running(V9, well(Role::Primary)) else { return };
    assert_eq!(stage.recurring().code, 8);
    change(&stage, |r0| {
        *r0 = alone(Role::Primary);
        r0.volumes.get_mut(&0).unwrap().quorum = Some(false);
    });
    assert_eq!(stage.recurring().code, 8);
    assert_eq!(stage.scores(), ["10000", "-D"]);
}

#[test]
fn a_split_brain_is_told_once_and_nobody_is_reconnected() {
    for (version, peer) in [(V8, "peer 0"), (V9, "node2")] {
        told_once(version, peer);
    }
}

fn told_once(version: Version, name: &str) {
    let Some(stage) = Stage::running(version, well(Role::Primary)) else { return };
    assert_eq!(stage.recurring().code, 8);
    change(&stage, |r0| {
        *r0 = alone(Role::Primary);
        r0.peers.values_mut().for_each(|peer| peer.connection = Connection::StandAlone);
    });
    let ran = stage.recurring();
    assert_eq!(ran.code, 8);
    let told = format!("StandAlone towards {name}: after a split brain");
    assert!(ran.stderr.contains("WARNING") && ran.stderr.contains(&told), "{ran:?}");
    assert!(!ran.stderr.contains("  "), "{ran:?}");
    let ran = stage.recurring();
    assert_eq!((ran.code, ran.stderr.as_str()), (8, ""), "{ran:?}");
    stage.tools.forget();
    for (when, operation) in [("pre", "start"), ("post", "start"), ("post", "stop")] {
        let notify = [("CRM_meta_notify_type", when), ("CRM_meta_notify_operation", operation)];
        assert_eq!(stage.run_with("notify", &notify).code, 0);
    }
    assert_eq!(stage.run("start").code, 0, "which demotes");
    assert_eq!(stage.run("reload-agent").code, 0);
    let calls = stage.tools.calls_of("drbdadm");
    assert!(!calls.iter().any(|call| call.ends_with("adjust r0")), "{calls:?}");
    assert!(!calls.iter().any(|call| call.contains("connect")), "{calls:?}");
    change(&stage, |r0| *r0 = well(Role::Secondary));
    assert!(stage.recurring().stderr.contains("being made again"));
}

#[test]
fn whoever_has_the_lock_writes_the_score() {
    let Some(stage) = Stage::running(V9, well(Role::Secondary)) else { return };
    assert_eq!(stage.recurring().code, 0);
    change(&stage, |r0| *r0 = alone(Role::Secondary));
    stage.tools.forget();
    let lock = stage.record().with_extension("lock");
    let held = Lock::take(&lock, clock::within(Duration::ZERO)).unwrap().unwrap();
    let ran = stage.recurring();
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.took < Duration::from_secs(4), "{ran:?}");
    assert_eq!(stage.tools.calls(), Vec::<Vec<String>>::new());
    drop(held);
    assert_eq!(stage.recurring().code, 0);
    assert_eq!(stage.scores(), ["1000"]);
}

#[test]
fn an_attribute_daemon_that_hangs_or_fails_changes_no_result() {
    for answer in [Answer::hangs(), Answer::fails(1, "Transport endpoint is not connected\n")] {
        for (role, code) in [(Role::Secondary, 0), (Role::Primary, 8)] {
            let Some(stage) = Stage::running(V9, well(role)) else { return };
            stage.tools.answer("crm_attribute", "", answer.clone());
            let parameters = [("CRM_meta_interval", "10000"), ("CRM_meta_timeout", "5000")];
            let ran = stage.run_with("monitor", &parameters);
            assert_eq!(ran.code, code, "{ran:?}");
            assert!(ran.stderr.contains("WARNING") && ran.stderr.contains("crm_attribute"));
            assert!(ran.took < Duration::from_secs(5), "{ran:?}");
            // It is not believed to be there.
            stage.tools.answer("crm_attribute", "", Answer::success());
            stage.tools.forget();
            assert_eq!(stage.recurring().code, code);
            assert_eq!(stage.scores(), ["10000"]);
        }
    }
}

#[test]
fn a_peer_that_is_primary_takes_the_score_as_it_was_asked_for() {
    let peer_primary =
        || resource(Role::Secondary, Disk::UpToDate, Some((Role::Primary, Disk::UpToDate)));
    let promoted =
        "resource p_drbd is running on: node1 \nresource p_drbd is running on: node2 Master\n";
    let nobody = "resource p_drbd is running on: node1 \nresource p_drbd is running on: node2 \n";
    for (word, locate, expected) in [
        ("false", None, &["10000"][..]),
        ("true", None, &["-D"]),
        ("unexpected", Some(Answer::prints(promoted)), &["10000"]),
        ("unexpected", Some(Answer::prints(nobody)), &["-D"]),
        ("unexpected", Some(Answer::fails(102, "not connected")), &[]),
        ("unexpected", Some(Answer::prints("garbage \u{7}\n")), &[]),
    ] {
        let Some(stage) = Stage::running(V9, peer_primary()) else { return };
        let asks = locate.is_some();
        stage.tools.answer("crm_resource", "", locate.unwrap_or(Answer::fails(99, "")));
        for name in
            ["remove_master_score_if_peer_primary", "remove_promotion_score_if_peer_primary"]
        {
            stage.tools.forget();
            let _ = std::fs::remove_file(stage.record());
            let parameters = [("CRM_meta_interval", "10000"), (name, word)];
            let ran = stage.run_with("monitor", &parameters);
            assert_eq!(ran.code, 0, "{ran:?}");
            assert_eq!(stage.scores(), expected, "{name}={word}: {ran:?}");
            assert_eq!(!stage.tools.calls_of("crm_resource").is_empty(), asks, "{word}");
        }
    }
}

#[test]
fn the_unfence_handler_is_called_from_monitors_where_that_was_asked_for() {
    let Some(stage) = Stage::running(V9, well(Role::Primary)) else { return };
    let parameters = [("CRM_meta_interval", "10000"), ("unfence_if_all_uptodate", "true")];
    stage.tools.answer("drbdadm", "unfence-peer", Answer::fails(1, "busy"));
    assert_eq!(stage.run_with("monitor", &parameters).code, 8);
    let calls = stage.tools.calls_of("drbdadm");
    assert!(calls.len() == 1 && calls[0].ends_with("unfence-peer r0"), "{calls:?}");
}

#[test]
fn several_volumes_and_a_client_among_three() {
    let Some(stage) = Stage::running(V9, well(Role::Secondary)) else { return };
    // A second volume, which the peer has not yet caught up with.
    change(&stage, |r0| {
        let mut volume = r0.volumes[&0].clone();
        (volume.minor, volume.disk) = (Some(1), Disk::Inconsistent);
        r0.volumes.insert(1, volume);
        let peer = r0.peers.get_mut(&1).unwrap();
        let theirs = peer.volumes[&0].clone();
        peer.volumes.insert(1, theirs);
    });
    assert_eq!(stage.recurring().code, 0);
    assert_eq!(stage.scores(), ["10"], "the peer's data can be read");
    stage.tools.forget();
    change(&stage, |r0| {
        *r0 = well(Role::Secondary);
        let volume = r0.volumes.get_mut(&0).unwrap();
        (volume.disk, volume.client, volume.backing) = (Disk::Diskless, Some(true), None);
        let third = r0.peers[&1].clone();
        r0.peers.insert(2, third);
    });
    assert_eq!(stage.recurring().code, 0);
    assert_eq!(stage.scores(), ["9999"]);
    stage.tools.forget();
    change(&stage, |r0| {
        r0.peers.get_mut(&2).unwrap().volumes.get_mut(&0).unwrap().disk = Disk::Outdated;
    });
    assert_eq!(stage.recurring().code, 0);
    assert_eq!(stage.scores(), ["999"]);
}

#[test]
fn situation_1_the_link_is_cut_and_io_frozen_until_the_peer_is_fenced() {
    // The Primary, frozen while its handler runs, and thawed when that has answered 4.
    let Some(stage) = Stage::running(V9, well(Role::Primary)) else { return };
    assert_eq!(stage.recurring().code, 8);
    change(&stage, |r0| {
        *r0 = alone(Role::Primary);
        r0.suspended.fencing = true;
    });
    assert_eq!(stage.recurring().code, 8);
    change(&stage, |r0| *r0 = fenced(Role::Primary));
    assert_eq!(stage.recurring().code, 8);
    assert_eq!(stage.scores(), ["10000"], "it stays the best there is");
    // The cut-off Secondary says UpToDate again at once: it stays promotable, and less so than the Primary.
    let Some(stage) = Stage::running(V9, alone(Role::Secondary)) else { return };
    assert_eq!(stage.recurring().code, 0);
    assert_eq!(stage.scores(), ["1000"]);
}

/// Cut off from a peer that is known to be Outdated.
fn fenced(role: Role) -> Resource {
    let mut r0 = alone(role);
    r0.peers.get_mut(&1).unwrap().volumes.get_mut(&0).unwrap().disk = Disk::Outdated;
    r0
}

#[test]
fn situation_2_a_link_that_flaps_writes_no_score_of_the_primary_twice() {
    let Some(stage) = Stage::running(V9, well(Role::Primary)) else { return };
    for r0 in
        [well(Role::Primary), alone(Role::Primary), fenced(Role::Primary), alone(Role::Primary)]
    {
        change(&stage, |now| *now = r0);
        assert_eq!(stage.recurring().code, 8);
    }
    assert_eq!(stage.scores(), ["10000"]);
}

#[test]
fn situation_3_the_link_is_back_and_the_peer_catches_up() {
    let Some(stage) = Stage::running(V9, alone(Role::Secondary)) else { return };
    let mut target =
        resource(Role::Secondary, Disk::Inconsistent, Some((Role::Primary, Disk::UpToDate)));
    target.peers.get_mut(&1).unwrap().volumes.get_mut(&0).unwrap().replication =
        duet_drbd::Replication::SyncTarget;
    let synced = resource(Role::Secondary, Disk::UpToDate, Some((Role::Primary, Disk::UpToDate)));
    for r0 in [alone(Role::Secondary), target, synced] {
        change(&stage, |now| *now = r0);
        assert_eq!(stage.recurring().code, 0);
    }
    assert_eq!(stage.scores(), ["1000", "10", "10000"]);
}

/// A watcher knows by the record alone what to look after.
#[test]
fn a_score_that_is_left_as_it_is_leaves_a_record_all_the_same() {
    let attaching = || resource(Role::Secondary, Disk::Attaching, None);
    let Some(stage) = Stage::running(V9, attaching()) else { return };
    assert_eq!(stage.recurring().code, 0);
    assert_eq!(stage.scores(), [""; 0]);
    let record = || Record::read(&stage.record()).unwrap();
    assert_eq!((record().resource.as_str(), record().written), ("r0", None));
    change(&stage, |r0| *r0 = well(Role::Secondary));
    assert_eq!(stage.recurring().code, 0);
    let written = record().written;
    assert!(written.is_some());
    // Other options, and the score that is in place stays known.
    change(&stage, |r0| *r0 = attaching());
    let parameters = [("CRM_meta_interval", "10000"), ("adjust_promotion_score", "1 2 3 4")];
    assert_eq!(stage.run_with("monitor", &parameters).code, 0);
    assert_eq!((record().options.scores.best, record().written), (4, written));
    assert_eq!(stage.scores(), ["10000"]);
}
