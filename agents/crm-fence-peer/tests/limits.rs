//! What a call may cost: processes, time, and the machine's patience. Invariant: whatever hangs, the call ends with a code
//! that changes nothing, no later than its options say.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]

mod stage;

use std::{
    os::fd::AsFd,
    process::Stdio,
    time::{Duration, Instant},
};

use duet_drbd::Role;
use duet_fake_tools::{Answer, Controller, Daemons};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use stage::{Stage, V9, cib};

const TWO: &[&str] = &["node1", "node2"];
/// What a call with `--timeout` and `--dc-timeout` of a second has until it is ended.
const END: Duration = Duration::from_secs(16);

#[test]
fn a_peer_that_is_reachable_costs_five_tools() {
    let Some(stage) = Stage::new(V9, TWO) else { return };
    stage.cut();
    let node = &stage.nodes[0];
    assert_eq!(node.fence(1, 0x1).code, 4);
    let mut called = node.called();
    // The first two are asked at the same time.
    called[..2].sort();
    assert_eq!(called, ["cibadmin", "crm_node", "crmadmin", "cibadmin", "cibadmin"]);
    // Where the rule is there already, three.
    assert_eq!(node.fence(1, 0x1).code, 4);
    assert_eq!(node.called().len(), 3);
}

#[test]
fn unfence_with_nothing_to_do_costs_one_tool_and_no_question_to_drbd() {
    let Some(stage) = Stage::new(V9, TWO) else { return };
    let node = &stage.nodes[0];
    assert_eq!(node.unfence(1, 0x3).code, 0);
    assert_eq!(node.called(), ["cibadmin"]);
    assert!(node.kernel.asked().is_empty());
}

#[test]
fn whatever_hangs_the_call_ends() {
    type Hang = fn(&Stage);
    let hangs: [(&str, Hang); 5] = [
        ("all of Pacemaker", |stage| {
            stage.cluster.change(|it| it.side("node1").daemons = Daemons::Hung);
        }),
        ("the peer's controller", |stage| {
            stage.cluster.change(|it| it.side("node2").controller = Controller::Hung);
        }),
        ("the kernel", |stage| stage.nodes[0].kernel.module().faults.hang_on = Some(38)),
        ("crm_node", |stage| {
            stage.nodes[0].tools.add("crm_node");
            stage.nodes[0].tools.answer("crm_node", "", Answer::hangs());
        }),
        ("drbdadm", |stage| {
            stage.nodes[0].drbd(|resource| resource.suspended = duet_drbd::Suspended::default());
            stage.cluster.change(|it| cib::unclean(&mut it.cib, 2));
            stage.nodes[0].tools.answer("drbdadm", "dump-xml", Answer::hangs());
        }),
    ];
    for (what, hang) in hangs {
        let Some(stage) = Stage::new(V9, TWO) else { return };
        stage.cut();
        hang(&stage);
        let node = &stage.nodes[0];
        let words = ["--timeout=1", "--dc-timeout=1"];
        let environment = node.environment(1, 0x1, "NetworkFailure");
        let ran = node.run("crm-fence-peer", &words, &environment);
        assert_eq!((ran.code, stage.allowed()), (1, None), "{what}: {ran:?}");
        assert!(ran.took < END + Duration::from_secs(10), "{what}: {ran:?}");
        assert!(!ran.ending().is_empty(), "{what}");
    }
}

#[test]
fn a_change_that_nobody_answers_for_is_looked_at() {
    let Some(stage) = Stage::new(V9, TWO) else { return };
    stage.cut();
    let node = &stage.nodes[0];
    // It is made, and cibadmin says that it has given up waiting.
    stage.cluster.before_patch(|pacemaker, number| {
        if number == 0 {
            cib::place(&mut pacemaker.cib, &["node1"], "Master");
            pacemaker.touch();
            pacemaker.refusals = vec![(124, "Call cib_apply_diff failed: Timer expired".into())];
        }
    });
    let ran = node.fence(1, 0x1);
    assert_eq!((ran.code, stage.allowed()), (4, Some(vec!["node1".into()])), "{ran:?}");
    assert_eq!(stage.cluster.state().pacemaker.patches, 1);
}

#[test]
fn a_reader_who_does_not_read_is_not_waited_for_for_ever() {
    let Some(stage) = Stage::new(V9, TWO) else { return };
    let node = &stage.nodes[0];
    let (reader, writer) = nix::unistd::pipe().unwrap();
    fcntl(writer.as_fd(), FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    while nix::unistd::write(&writer, &[b'x'; 4096]).is_ok() {}
    fcntl(writer.as_fd(), FcntlArg::F_SETFL(OFlag::empty())).unwrap();
    let words = ["--explain", "--resource=r0", "--timeout=0", "--dc-timeout=0"];
    let mut command = node.command("crm-fence-peer", &words, &[]);
    let began = Instant::now();
    let mut child = command.stdout(writer).stderr(Stdio::null()).spawn().unwrap();
    let code = child.wait().unwrap().code();
    drop(reader);
    assert_eq!(code, Some(1));
    assert!(began.elapsed() < Duration::from_secs(45), "{:?}", began.elapsed());
}

#[test]
fn a_call_without_any_open_stream_does_its_work() {
    let Some(stage) = Stage::new(V9, TWO) else { return };
    stage.cut();
    let node = &stage.nodes[0];
    let program = node.at("crm-fence-peer.9.sh");
    let environment = node.environment(1, 0x1, "NetworkFailure");
    // The shell of the stage becomes the program, with nothing open.
    node.before(&format!("exec {} <&- >&- 2>&-", program.display()));
    let ran = node.run("crm-fence-peer.9.sh", &[], &environment);
    assert_eq!((ran.code, stage.allowed()), (4, Some(vec!["node1".into()])), "{ran:?}");
    assert!(ran.ending().contains("exit=4"), "{ran:?}");
}

#[test]
fn a_log_that_nobody_reads_or_that_is_not_there_holds_nobody() {
    let Some(stage) = Stage::new(V9, TWO) else { return };
    stage.cut();
    let node = &stage.nodes[0];
    std::fs::remove_file(node.kernel.root().join("dev/log")).unwrap();
    let ran = node.fence(1, 0x1);
    assert_eq!((ran.code, stage.allowed()), (4, Some(vec!["node1".into()])), "{ran:?}");
    assert!(ran.stderr.contains("exit=4"), "what the log does not take goes to stderr: {ran:?}");
}

#[test]
fn a_primary_that_was_told_to_ends_itself_after_a_warning() {
    let Some(stage) = Stage::new(V9, TWO) else { return };
    stage.cut();
    stage.rule(&["node2"]);
    stage.cluster.change(|it| cib::property(&mut it.cib, "stonith-enabled", "false"));
    let node = &stage.nodes[0];
    let environment = node.environment(1, 0x1, "NetworkFailure");
    let words = ["--suicide-on-failure-if-primary"];
    let ran = node.run("crm-fence-peer", &words, &environment);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert_eq!(node.tools.calls_of("reboot"), ["-f"]);
    assert!(ran.took >= Duration::from_secs(20), "{ran:?}");
    // A Secondary does not.
    node.drbd(|resource| resource.role = Role::Secondary);
    let ran = node.run("crm-fence-peer", &words, &environment);
    assert_eq!((ran.code, node.tools.calls_of("reboot").len()), (1, 0), "{ran:?}");
}

#[test]
fn a_primary_whose_peer_comes_back_in_time_does_not_end_itself() {
    let Some(stage) = Stage::new(V9, TWO) else { return };
    stage.cut();
    stage.rule(&["node2"]);
    let node = &stage.nodes[0];
    let environment = node.environment(1, 0x1, "NetworkFailure");
    let words = ["--suicide-on-failure-if-primary"];
    let child = node.start("crm-fence-peer", &words, &environment);
    while !node.called().contains(&"wall".to_owned()) {
        std::thread::sleep(Duration::from_millis(5));
    }
    node.regain(1);
    let ran = node.end(child);
    assert_eq!((ran.code, node.tools.calls_of("reboot").len()), (1, 0), "{ran:?}");
    let asked = "-t status -N node1 -n terminate";
    let expected = [format!("{asked} -v 1"), format!("{asked} -D")];
    assert_eq!(node.tools.calls_of("crm_attribute"), expected);
}
