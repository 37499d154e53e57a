//! Calls that make no sense, clusters that cannot be understood, and tools that fail: nothing is lost by any of them.
//! Invariant: fence-peer answers 1, which the kernel takes for "not fenced"; the rule stays as it was; and the log says why in
//! one line.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]

mod stage;

use duet_fake_tools::{Answer, Daemons, Xml};
use stage::{Node, Ran, Stage, V8, V9, but, cib};

const TWO: &[&str] = &["node1", "node2"];

/// The call was refused, nothing was changed, and one line of the log that is no note says why.
#[track_caller]
fn refused(stage: &Stage, ran: &Ran, why: &str) {
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.ending().contains(why), "{why:?} is not in {ran:?}");
    assert_eq!(ran.ending().lines().count(), 1, "{ran:?}");
    assert!(stage.cluster.state().pacemaker.applied.is_empty(), "{ran:?}");
}

fn fence(node: &Node, environment: &[(String, String)]) -> Ran {
    node.run("crm-fence-peer.9.sh", &["--timeout=3", "--dc-timeout=2"], environment)
}

#[test]
fn an_environment_that_makes_no_sense_is_refused_by_the_name_of_what_is_wrong() {
    let Some(stage) = Stage::new(V9, TWO) else { return };
    stage.cut();
    let node = &stage.nodes[0];
    let well = || node.environment(1, 0x1, "NetworkFailure");
    for (variable, value, why) in [
        ("DRBD_RESOURCE", None, "DRBD_RESOURCE is not set"),
        ("DRBD_RESOURCE", Some(""), "DRBD_RESOURCE is not set"),
        ("DRBD_RESOURCE", Some("r9"), "r9"),
        ("DRBD_RESOURCE", Some("../../etc/passwd"), "passwd"),
        ("UP_TO_DATE_NODES", None, "UP_TO_DATE_NODES is not set"),
        ("UP_TO_DATE_NODES", Some("0xZZ"), "UP_TO_DATE_NODES=\"0xZZ\""),
        ("UP_TO_DATE_NODES", Some("3"), "UP_TO_DATE_NODES=\"3\""),
        ("UP_TO_DATE_NODES", Some("0x2"), "this node's own id"),
        ("UP_TO_DATE_NODES", Some("0x0"), "this node's own id"),
        ("DRBD_MY_NODE_ID", Some("x"), "DRBD_MY_NODE_ID=\"x\""),
        ("DRBD_MY_NODE_ID", Some("32"), "DRBD_MY_NODE_ID=\"32\""),
        ("DRBD_MY_NODE_ID", Some("-1"), "DRBD_MY_NODE_ID=\"-1\""),
        ("DRBD_MY_NODE_ID", Some("1"), "contradicts DRBD"),
        ("DRBD_PEER_NODE_ID", None, "DRBD_PEER_NODE_ID is not set"),
        ("DRBD_PEER_NODE_ID", Some(""), "DRBD_PEER_NODE_ID is not set"),
        ("DRBD_PEER_NODE_ID", Some("0"), "this node's own"),
        ("DRBD_PEER_NODE_ID", Some("7"), "no peer with node id 7"),
        ("DRBD_NODE_ID_1", Some("node1"), "node1 would be banned and allowed"),
    ] {
        let ran = fence(node, &but(well(), variable, value));
        refused(&stage, &ran, why);
    }
    assert!(stage.allowed().is_none());
}

#[test]
fn an_option_that_names_another_resource_than_drbd_asks_about_is_no_answer_to_it() {
    let Some(stage) = Stage::new(V9, TWO) else { return };
    stage.cut();
    let node = &stage.nodes[0];
    // The peer of r1 was lost, and a line of the configuration that all resources share names r0.
    let environment = but(node.environment(1, 0x1, "NetworkFailure"), "DRBD_RESOURCE", Some("r1"));
    let ran = node.run("crm-fence-peer.9.sh", &["--resource", "r0"], &environment);
    refused(&stage, &ran, "DRBD_RESOURCE=\"r1\" is not the resource that --resource names");
}

#[test]
fn an_environment_that_is_not_of_this_driver_is_refused() {
    let Some(stage) = Stage::new(V8, TWO) else { return };
    stage.cut();
    let node = &stage.nodes[0];
    let mut nine = node.environment(1, 0x1, "");
    nine.extend(
        [("DRBD_MY_NODE_ID", "0"), ("DRBD_PEER_NODE_ID", "1"), ("UP_TO_DATE_NODES", "0x1")]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    refused(&stage, &fence(node, &nine), "the driver is 8.4");
    // And 8.4's, in which nobody is named.
    let mut nobody = node.environment(1, 0x1, "");
    nobody.retain(|(name, _)| !name.starts_with("DRBD_PEER"));
    refused(&stage, &fence(node, &nobody), "DRBD_PEERS is not set");

    let Some(stage) = Stage::new(V9, TWO) else { return };
    stage.cut();
    let ran = fence(&stage.nodes[0], &node.environment(1, 0x1, ""));
    refused(&stage, &ran, "UP_TO_DATE_NODES is not set");
}

#[test]
fn a_resource_that_drbd_does_not_have_is_refused() {
    let Some(stage) = Stage::new(V9, TWO) else { return };
    let node = &stage.nodes[0];
    let environment = node.environment(1, 0x1, "NetworkFailure");
    node.kernel.change(|view| view.resources.clear());
    refused(&stage, &fence(node, &environment), "DRBD does not have the resource");
    node.kernel.unload();
    std::fs::create_dir_all(node.kernel.root().join("dev")).unwrap();
    let ran = fence(node, &environment);
    assert_eq!(ran.code, 1, "{ran:?}");
}

#[test]
fn a_cluster_that_cannot_be_understood_is_refused() {
    let xpath = "/cib/configuration/resources";
    type Break = fn(&mut Xml);
    let broken: [(&str, Break, &str); 9] = [
        (
            "two clones",
            |cib| {
                let resources = cib.find("/cib/configuration/resources").unwrap();
                let second = resources.children[0].to_string().replace("ms_r0", "ms_other");
                resources.children.push(Xml::parse(&second.replace("p_r0", "p_other")));
            },
            "is in several clones: ms_r0, ms_other",
        ),
        (
            "no clone",
            |cib| cib.find("/cib/configuration/resources").unwrap().children.clear(),
            "No promotable clone",
        ),
        ("unknown schema", |cib| cib.set("validate-with", "pacemaker-9.9"), "newer Pacemaker"),
        ("no schema", |cib| cib.set("validate-with", "made-up"), "newer Pacemaker"),
        ("newer features", |cib| cib.set("crm_feature_set", "4.0.0"), "newer Pacemaker"),
        (
            "edited",
            |cib| {
                cib::place(cib, &["node1"], "Master");
                cib::constraints(cib)[0].children[0].set("score", "100");
            },
            "was edited by hand",
        ),
        (
            "edited",
            |cib| {
                cib::place(cib, &["node1"], "Master");
                cib::constraints(cib)[0].children[0].children[0].set("operation", "eq");
            },
            "was edited by hand",
        ),
        ("odd property", |cib| cib::property(cib, "stonith-enabled", "perhaps"), "stonith-enabled"),
        (
            "no node of that name",
            |cib| {
                let nodes = cib.find("/cib/configuration/nodes").unwrap();
                nodes.children[0].set("uname", "somebody");
            },
            "name in the cluster is not known",
        ),
    ];
    for (what, change, why) in broken {
        let Some(stage) = Stage::new(V9, TWO) else { return };
        stage.cut();
        stage.cluster.change(|pacemaker| change(&mut pacemaker.cib));
        let node = &stage.nodes[0];
        let before = stage.cluster.cib();
        let ran = fence(node, &node.environment(1, 0x1, "NetworkFailure"));
        refused(&stage, &ran, why);
        assert_eq!(stage.cluster.cib(), before, "{what} {xpath}");
        // To unfence is refused as well, where there might be something to do.
        if what == "edited" {
            node.regain(1);
            refused(&stage, &node.unfence(1, 0x3), why);
        }
    }
}

#[test]
fn names_in_another_case_and_with_a_domain_are_the_same_nodes() {
    for (in_drbd, in_cluster, host) in [
        (["NODE1", "Node2"], ["node1", "node2"], "node1"),
        (["node1", "node2"], ["NODE1", "NODE2"], "node1"),
        (["node1.example.com", "node2.example.com"], ["node1", "node2"], "node1.example.com"),
        (["node1", "node2"], ["node1.example.com", "node2.example.com"], "node1"),
        // The cluster has a name of its own for this node.
        (["node1", "node2"], ["node1", "node2"], "somebody"),
    ] {
        let Some(stage) = Stage::with(V9, TWO, &cib::of(&in_cluster)) else { return };
        stage.cut();
        let node = &stage.nodes[0];
        node.before(&format!("echo {host} >/proc/sys/kernel/hostname"));
        let mut environment = node.environment(1, 0x1, "NetworkFailure");
        environment = but(environment, "DRBD_NODE_ID_0", Some(in_drbd[0]));
        environment = but(environment, "DRBD_NODE_ID_1", Some(in_drbd[1]));
        let ran = fence(node, &environment);
        assert_eq!((ran.code, stage.allowed()), (4, Some(vec![in_cluster[0].into()])), "{ran:?}");
    }
}

#[test]
fn no_dc_no_pacemaker_and_no_sense_are_refused_within_the_time_for_them() {
    for (daemons, why) in [
        (Daemons::NoDc, "no DC answered"),
        (Daemons::Stopped, "Not connected"),
        (Daemons::Garbling, "the CIB could not be read"),
        (Daemons::Hung, "cibadmin did not end"),
    ] {
        let Some(stage) = Stage::new(V9, TWO) else { return };
        stage.cut();
        let node = &stage.nodes[0];
        stage.cluster.change(|pacemaker| pacemaker.side("node1").daemons = daemons);
        let ran = fence(node, &node.environment(1, 0x1, "NetworkFailure"));
        refused(&stage, &ran, why);
    }
}

#[test]
fn a_cluster_that_is_readable_again_in_time_is_not_given_up() {
    let Some(stage) = Stage::new(V9, TWO) else { return };
    stage.cut();
    let node = &stage.nodes[0];
    stage.cluster.change(|pacemaker| pacemaker.side("node1").daemons = Daemons::Garbling);
    let child = node.start("crm-fence-peer", &[], &node.environment(1, 0x1, "NetworkFailure"));
    node.looked(2);
    stage.cluster.change(|pacemaker| pacemaker.side("node1").daemons = Daemons::Well);
    let ran = node.end(child);
    assert_eq!((ran.code, stage.allowed()), (4, Some(vec!["node1".into()])), "{ran:?}");
}

#[test]
fn tools_that_are_missing_are_named() {
    for tool in ["cibadmin", "crm_node"] {
        let Some(stage) = Stage::new(V9, TWO) else { return };
        stage.cut();
        let node = &stage.nodes[0];
        node.tools.remove(tool);
        let ran = fence(node, &node.environment(1, 0x1, "NetworkFailure"));
        refused(&stage, &ran, &format!("Could not find the program {tool}"));
    }
    // Without crmadmin the peer has not answered; nobody will say that it is down.
    let Some(stage) = Stage::new(V9, TWO) else { return };
    stage.cut();
    let node = &stage.nodes[0];
    node.tools.remove("crmadmin");
    let ran = fence(node, &node.environment(1, 0x1, "NetworkFailure"));
    refused(&stage, &ran, "nobody has confirmed in time");
}

#[test]
fn tools_that_print_something_else_have_said_nothing() {
    for (tool, word, answer, why) in [
        ("crm_node", "", Answer::prints("yes\n"), "crm_node -q printed"),
        ("crm_node", "", Answer::prints(""), "crm_node -q printed"),
        ("crm_node", "", Answer::fails(1, "boom"), "boom"),
        (
            "crmadmin",
            "",
            Answer::prints("Controller on node2 in state S_IDLE: failed\n"),
            "nobody has confirmed",
        ),
        ("cibadmin", "", Answer::prints(""), "The CIB is cut off"),
        ("cibadmin", "", Answer::prints("<cib/>\n"), "without"),
        ("cibadmin", "", Answer::prints("<html></html>\n"), "<html>"),
        ("cibadmin", "", Answer::fails(76, "boom"), "boom"),
    ] {
        let Some(stage) = Stage::new(V9, TWO) else { return };
        stage.cut();
        let node = &stage.nodes[0];
        // In the place of the cluster's.
        node.tools.add(tool);
        node.tools.answer(tool, word, answer);
        let ran = fence(node, &node.environment(1, 0x1, "NetworkFailure"));
        refused(&stage, &ran, why);
    }
}

#[test]
fn a_change_that_is_refused_is_tried_once_more_and_then_given_up() {
    let Some(stage) = Stage::new(V9, TWO) else { return };
    stage.cut();
    let node = &stage.nodes[0];
    let denied = (77, "Call cib_apply_diff failed: Permission denied".to_owned());
    stage.cluster.change(|pacemaker| pacemaker.refusals = vec![denied.clone()]);
    let ran = node.fence(1, 0x1);
    assert_eq!((ran.code, stage.allowed()), (4, Some(vec!["node1".into()])), "{ran:?}");
    let Some(stage) = Stage::new(V9, TWO) else { return };
    stage.cut();
    stage.cluster.change(|pacemaker| pacemaker.refusals = vec![denied.clone(), denied]);
    let ran = stage.nodes[0].fence(1, 0x1);
    refused(&stage, &ran, "Permission denied");
}

#[test]
fn a_cib_that_changes_all_the_time_is_followed_until_the_change_arrives() {
    let Some(stage) = Stage::new(V9, TWO) else { return };
    stage.cut();
    stage.cluster.before_patch(|pacemaker, number| {
        if number < 6 {
            pacemaker.touch();
        }
    });
    let ran = stage.nodes[0].fence(1, 0x1);
    assert_eq!((ran.code, stage.allowed()), (4, Some(vec!["node1".into()])), "{ran:?}");
    assert_eq!(stage.cluster.state().pacemaker.patches, 7);
}

#[test]
fn a_name_that_is_no_handlers_does_nothing() {
    let Some(stage) = Stage::new(V9, TWO) else { return };
    stage.cut();
    let node = &stage.nodes[0];
    let link = node.at("something");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_crm-fence-peer"), link).unwrap();
    let ran = node.run("something", &[], &node.environment(1, 0x1, "NetworkFailure"));
    assert_eq!((ran.code, node.called().len()), (1, 0), "{ran:?}");
    assert!(ran.stderr.contains("is not the name of a handler"), "{ran:?}");
}

#[test]
fn options_that_are_not_understood_are_noted_and_the_call_goes_on() {
    let Some(stage) = Stage::new(V9, TWO) else { return };
    stage.cut();
    let node = &stage.nodes[0];
    let words = ["--frobnicate", "--timeout=soon", "--unreachable-peer-is-outdated"];
    let ran = node.run("crm-fence-peer", &words, &node.environment(1, 0x1, "NetworkFailure"));
    assert_eq!((ran.code, stage.allowed()), (4, Some(vec!["node1".into()])), "{ran:?}");
    let notes = ran.log.iter().filter(|line| line.ends_with("; ignored")).count();
    assert_eq!(notes, 3, "{ran:?}");
}

/// Every question after the time of day gets another day.
const JUMPING: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>
int clock_gettime(clockid_t clock, struct timespec *time) {
    static int (*real)(clockid_t, struct timespec *);
    static long jump;
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int code = real(clock, time);
    if (clock == CLOCK_REALTIME) time->tv_sec += (jump = jump > 0 ? -900000000 : 900000000);
    return code;
}
"#;

#[test]
fn a_clock_that_jumps_changes_no_answer_and_no_wait() {
    let Some(stage) = Stage::new(V9, TWO) else { return };
    stage.cut();
    let node = &stage.nodes[0];
    let (source, library) = (node.at("jump.c"), node.at("jump.so"));
    std::fs::write(&source, JUMPING).unwrap();
    let built = std::process::Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .arg("-ldl")
        .status();
    if !built.is_ok_and(|status| status.success()) {
        eprintln!("skipped: a clock that jumps: no C compiler on this machine");
        return;
    }
    let mut environment = node.environment(1, 0x1, "NetworkFailure");
    environment.push(("LD_PRELOAD".into(), library.to_string_lossy().into_owned()));
    let ran = node.run("crm-fence-peer", &[], &environment);
    assert_eq!((ran.code, stage.allowed()), (4, Some(vec!["node1".into()])), "{ran:?}");
    stage.cluster.change(|pacemaker| {
        cib::constraints(&mut pacemaker.cib).clear();
        cib::unclean(&mut pacemaker.cib, 2);
    });
    let ran = node.run("crm-fence-peer", &["--timeout=2"], &environment);
    assert_eq!((ran.code, stage.allowed()), (1, None), "{ran:?}");
    assert!(ran.took >= std::time::Duration::from_secs(2), "{ran:?}");
    assert!(ran.took < std::time::Duration::from_secs(60), "{ran:?}");
}
