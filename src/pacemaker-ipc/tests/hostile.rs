//! The clients against daemons that behave, and that do not. Invariant: every call ends by its deadline, says which of the kinds of
//! failure it was, and never says of a change that may have been sent that it was not.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

use duet_fake_tools::{Conduct, FakeCluster, FakeDaemons};
use duet_host::clock;
use duet_ocf::Deadline;
use duet_pacemaker_ipc::{
    Attributes, CibClient, Controller, Error, NodeInfo, Outcome, Scope, Sockets,
};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const CIB: &str = "<cib epoch=\"4\" num_updates=\"1\" admin_epoch=\"0\"><configuration><constraints/></configuration></cib>";
const PATCH: &str = "<diff format=\"2\"><version><source admin_epoch=\"0\" epoch=\"4\" num_updates=\"1\"/>\
                     <target admin_epoch=\"0\" epoch=\"5\" num_updates=\"0\"/></version></diff>";

struct Stage {
    root: TempDir,
    cluster: FakeCluster,
    daemons: FakeDaemons,
}

fn stage() -> Stage {
    let root = tempfile::tempdir().unwrap();
    let cluster = FakeCluster::start(CIB);
    let daemons = FakeDaemons::start(root.path(), "node1", &cluster);
    Stage { root, cluster, daemons }
}

impl Stage {
    fn sockets(&self) -> Sockets {
        Sockets::under(self.root.path())
    }

    fn query(&self, deadline: Deadline) -> Result<String, Error> {
        CibClient::connect(&self.sockets(), deadline)?.query(Scope::Cluster, deadline)
    }

    /// Waits until the CIB has this epoch.
    fn reaches(&self, epoch: &str) -> bool {
        let began = Instant::now();
        while self.cluster.cib().get("epoch") != Some(epoch) {
            if began.elapsed() > Duration::from_secs(60) {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        true
    }
}

/// Long enough for what answers, on a machine that has much else to do.
fn later() -> Deadline {
    clock::within(Duration::from_secs(60))
}

/// For what does not answer.
fn soon() -> Deadline {
    clock::within(Duration::from_millis(700))
}

#[test]
fn everything_that_is_asked_is_answered_on_one_connection() {
    for conduct in [Conduct::Well, Conduct::Parts] {
        let stage = stage();
        stage.daemons.conduct(conduct);
        let mut cib = CibClient::connect(&stage.sockets(), later()).unwrap();
        assert_eq!(cib.query(Scope::Cluster, later()).unwrap(), stage.cluster.cib().to_string());
        assert!(matches!(cib.apply(PATCH, later()), Outcome::Answered(0)));
        assert!(matches!(cib.apply(PATCH, later()), Outcome::Answered(-205)));
        assert!(matches!(cib.bump(later()), Outcome::Answered(0)));
        assert!(cib.query(Scope::Local, later()).unwrap().contains("epoch=\"6\""));
        let mut controller = Controller::connect(&stage.sockets(), later()).unwrap();
        let node = NodeInfo { has_quorum: true, name: "node1".into() };
        assert_eq!(controller.node_info(later()).unwrap(), node);
        let nodes = ["node1".to_owned(), "node2".to_owned()];
        assert_eq!(controller.are_well(&nodes, later()).unwrap(), [true, true]);
        assert_eq!(stage.cluster.state().pacemaker.applied.len(), 1, "{conduct:?}");
    }
}

#[test]
fn a_cib_in_many_parts_is_put_together() {
    let stage = stage();
    stage.daemons.conduct(Conduct::Parts);
    let value = "x".repeat(700_000);
    stage.cluster.change(|it| it.cib.set("cib-last-written", &value));
    let mut cib = CibClient::connect(&stage.sockets(), later()).unwrap();
    for _ in 0..3 {
        assert_eq!(
            cib.query(Scope::Cluster, later()).unwrap().len(),
            stage.cluster.cib().to_string().len()
        );
    }
}

#[test]
fn nobody_is_nobody() {
    let root = tempfile::tempdir().unwrap();
    let gone = CibClient::connect(&Sockets::under(root.path()), soon());
    assert!(matches!(gone, Err(Error::Nobody { .. })), "{gone:?}");
}

#[test]
fn the_attribute_daemon_is_asked_again_and_again_on_one_connection() {
    for conduct in [Conduct::Well, Conduct::Parts, Conduct::Late(Duration::from_millis(50))] {
        let root = tempfile::tempdir().unwrap();
        let daemon = FakeDaemons::attributes(root.path(), "node1");
        daemon.conduct(conduct);
        let sockets = Sockets::under(root.path());
        let mut attributes = Attributes::connect(&sockets, later()).unwrap();
        for value in [None, Some("10000"), Some("-5"), None] {
            daemon.set("master-p", value);
            let said = attributes.value("master-p", "node1", later()).unwrap();
            assert_eq!(said.as_deref(), value, "{conduct:?}");
        }
    }
}

type Is = fn(&Error) -> bool;

fn misbehaviours() -> [(Conduct, Is); 10] {
    let unknown: Is = |why| matches!(why, Error::Unknown { .. });
    let silence: Is = Error::is_silence;
    let closed: Is = |why| matches!(why, Error::Closed { .. });
    [
        (Conduct::Silent, silence),
        (Conduct::Refusing, |why| matches!(why, Error::Refused { errno: -13, .. })),
        (Conduct::StrangeHandshake, unknown),
        (Conduct::Mute, silence),
        (Conduct::Babbling, silence),
        (Conduct::StrangeHeader, unknown),
        (Conduct::StrangeText, unknown),
        (Conduct::CutOff, unknown),
        (Conduct::BrokenRing, unknown),
        (Conduct::Closing, closed),
    ]
}

#[test]
fn each_kind_of_misbehaviour_is_told_apart_and_ends_in_time() {
    for (conduct, is) in misbehaviours() {
        let stage = stage();
        stage.daemons.conduct(conduct);
        let is_silent = matches!(conduct, Conduct::Silent | Conduct::Mute | Conduct::Babbling);
        let end = || if is_silent { soon() } else { later() };
        let why = stage.query(end()).unwrap_err();
        assert!(is(&why), "{conduct:?}: {why:?}");
        let root = tempfile::tempdir().unwrap();
        let daemon = FakeDaemons::attributes(root.path(), "node1");
        daemon.conduct(conduct);
        let why = Attributes::connect(&Sockets::under(root.path()), end())
            .and_then(|mut daemon| daemon.value("master-p", "node1", end()))
            .unwrap_err();
        assert!(is(&why), "attrd, {conduct:?}: {why:?}");
    }
}

#[test]
fn a_late_answer_is_not_taken_for_the_next_one() {
    let stage = stage();
    let mut cib = CibClient::connect(&stage.sockets(), later()).unwrap();
    cib.query(Scope::Cluster, later()).unwrap();
    stage.daemons.conduct(Conduct::Late(Duration::from_secs(1)));
    assert!(cib.query(Scope::Cluster, soon()).unwrap_err().is_silence());
    stage.daemons.conduct(Conduct::Well);
    stage.cluster.change(duet_fake_tools::Pacemaker::touch);
    assert!(cib.query(Scope::Cluster, later()).unwrap().contains("epoch=\"5\""));
}

#[test]
fn a_change_without_an_answer_is_never_said_not_to_have_been_sent() {
    for (conduct, epoch) in [
        (Conduct::KeepingChanges, "5"),
        (Conduct::ClosingOnChanges, "4"),
        (Conduct::StrangeHeader, "5"),
        (Conduct::StrangeText, "5"),
        (Conduct::CutOff, "5"),
        (Conduct::Mute, "4"),
    ] {
        let stage = stage();
        let mut cib = CibClient::connect(&stage.sockets(), later()).unwrap();
        cib.query(Scope::Cluster, later()).unwrap();
        stage.daemons.conduct(conduct);
        let is_silent = matches!(conduct, Conduct::KeepingChanges | Conduct::Mute);
        let outcome = cib.apply(PATCH, if is_silent { soon() } else { later() });
        assert!(matches!(outcome, Outcome::Unanswered(_)), "{conduct:?}: {outcome:?}");
        assert!(stage.reaches(epoch), "{conduct:?}");
        let asked = stage.daemons.asked();
        let sent = asked.iter().filter(|it| *it == "cib_apply_diff").count();
        assert!(sent <= 1, "{conduct:?}: {asked:?}");
    }
}
