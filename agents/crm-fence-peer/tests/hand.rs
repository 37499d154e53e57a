//! What a person does with the handlers, and what calls leave behind. Invariant: who only asks changes nothing, and what was
//! written down is decided in the same way again.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]

mod stage;

use duet_fake_tools::Xml;
use stage::{Ran, Stage, V8, V9, cib, is_there};

const TWO: &[&str] = &["node1", "node2"];

#[test]
fn a_person_is_told_what_would_be_done_and_why_and_nothing_is() {
    for version in [V8, V9] {
        let Some(stage) = Stage::new(version, TWO) else { return };
        stage.cut();
        let node = &stage.nodes[0];
        let run = |words: &[&str]| -> Ran {
            let ran = node.run("crm-fence-peer", &[&["--resource", "r0"], words].concat(), &[]);
            assert_eq!(ran.code, 0, "{words:?} {ran:?}");
            ran
        };
        let plan = run(&["--dry-run"]).stdout;
        assert!(plan.contains("Nothing was changed") && plan.contains('4'), "{plan}");
        let why = run(&["--explain"]).stdout;
        assert!(why.contains("Row of the table: BannedAndReachable"), "{why}");
        for words in [["--dry-run", "--json"], ["--explain", "--json"]] {
            let json: serde_json::Value = serde_json::from_str(&run(&words).stdout).unwrap();
            assert_eq!(json["row"]["code"], 4, "{json}");
        }
        assert_eq!(stage.cluster.state().pacemaker.patches, 0);
        assert!(node.records().is_empty());
        assert!(!is_there(&node.kernel.root().join("run/drbd")));
        // Of unfence: the kernel is looked at though there is no rule.
        let words = ["--explain", "--resource=r0"];
        let ran = node.run("crm-unfence-peer", &words, &[]);
        assert!(ran.stdout.contains("Row of the table: NoRule"), "{ran:?}");
    }
}

#[test]
fn who_asks_is_warned_of_two_node_without_wait_for_all() {
    let Some(stage) = Stage::new(V9, TWO) else { return };
    stage.cut();
    let node = &stage.nodes[0];
    let file = node.kernel.root().join("etc/corosync/corosync.conf");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    let quorum = "quorum {\n  provider: corosync_votequorum\n  two_node: 1\n";
    for (more, is_warned) in [("}", false), ("  wait_for_all: 0\n}", true)] {
        std::fs::write(&file, format!("{quorum}{more}\n")).unwrap();
        for words in [&["--explain"][..], &["--dry-run"], &["--explain", "--json"]] {
            let ran = node.run("crm-fence-peer", &[&["--resource", "r0"], words].concat(), &[]);
            assert_eq!(ran.stdout.contains("without wait_for_all"), is_warned, "{words:?} {ran:?}");
        }
    }
}

#[test]
fn a_name_with_control_characters_does_nothing_to_the_terminal() {
    let Some(stage) = Stage::new(V9, TWO) else { return };
    stage.cut();
    let words = ["--explain", "--resource=r0\u{1b}[2J"];
    let ran = stage.nodes[0].run("crm-fence-peer", &words, &[]);
    assert!(ran.stdout.contains("r0") && !ran.stdout.contains('\u{1b}'), "{ran:?}");
}

#[test]
fn drbdadm_by_hand_has_no_mask_and_fences_nobody_but_may_unfence() {
    let Some(stage) = Stage::new(V9, TWO) else { return };
    stage.rule(&["node1"]);
    let node = &stage.nodes[0];
    let mut environment = node.environment(1, 0x3, "");
    environment.retain(|(name, _)| {
        !["UP_TO_DATE_NODES", "DRBD_PEER_NODE_ID", "DRBD_CSTATE"].contains(&name.as_str())
    });
    let ran = node.run("crm-unfence-peer.9.sh", &[], &environment);
    assert_eq!((ran.code, stage.allowed()), (0, None), "{ran:?}");
    stage.cut();
    let ran = node.run("crm-fence-peer.9.sh", &[], &environment);
    assert_eq!((ran.code, stage.allowed()), (1, None), "{ran:?}");
}

#[test]
fn a_person_may_have_a_peer_banned_that_was_confirmed_down() {
    for version in [V8, V9] {
        let Some(stage) = Stage::new(version, TWO) else { return };
        stage.cut();
        stage.cluster.change(|pacemaker| cib::down(&mut pacemaker.cib, 2));
        let ran = stage.nodes[0].run("crm-fence-peer", &["--resource=r0"], &[]);
        assert_eq!((ran.code, stage.allowed()), (7, Some(vec!["node1".into()])), "{ran:?}");
        let record = &stage.nodes[0].records()[0];
        let words = ["--replay", record.to_str().unwrap()];
        let ran = stage.nodes[0].run("crm-fence-peer", &words, &[]);
        assert_eq!(ran.code, 0, "{ran:?}");
    }
}

#[test]
fn without_a_configuration_peers_have_the_names_of_their_connections() {
    let Some(stage) = Stage::new(V9, TWO) else { return };
    stage.cut();
    let node = &stage.nodes[0];
    let mut environment = node.environment(1, 0x1, "NetworkFailure");
    environment.retain(|(name, _)| !name.starts_with("DRBD_NODE_ID_"));
    let ran = node.run("crm-fence-peer", &[], &environment);
    assert_eq!((ran.code, stage.allowed()), (4, Some(vec!["node1".into()])), "{ran:?}");
}

#[test]
fn every_call_leaves_one_line_and_one_record_that_is_decided_again() {
    let Some(stage) = Stage::new(V9, TWO) else { return };
    stage.cut();
    let node = &stage.nodes[0];
    let ran = node.fence(1, 0x1);
    assert_eq!(ran.code, 4, "{ran:?}");
    let endings = ran.log.iter().filter(|line| line.contains("exit=")).count();
    assert_eq!(endings, 1, "{ran:?}");
    node.regain(1);
    assert_eq!(node.unfence(1, 0x3).code, 0);
    // One that was refused before anything was asked.
    assert_eq!(node.run("crm-fence-peer", &[], &[]).code, 1);
    let records = node.records();
    assert_eq!(records.len(), 3, "{records:?}");
    for record in &records {
        let path = record.to_str().unwrap();
        let ran = node.run("crm-fence-peer", &["--replay", path], &[]);
        assert_eq!(ran.code, 0, "{ran:?}");
    }
    let text = std::fs::read_to_string(
        records.iter().find(|it| it.to_string_lossy().contains("/r0.")).unwrap(),
    )
    .unwrap();
    assert!(text.contains("UP_TO_DATE_NODES") && text.contains("node_state"), "{text}");
    let ran = node.run("crm-fence-peer", &["--replay=/nowhere"], &[]);
    assert_eq!(ran.code, 1, "{ran:?}");
}

#[test]
fn a_quiet_call_says_nothing_where_all_is_well_and_the_rest_all_the_same() {
    let Some(stage) = Stage::new(V9, TWO) else { return };
    let node = &stage.nodes[0];
    let environment = node.environment(1, 0x3, "Connected");
    let ran = node.run("crm-unfence-peer", &["--quiet"], &environment);
    assert_eq!((ran.code, ran.log.len()), (0, 0), "{ran:?}");
    stage.rule(&["node2"]);
    stage.cut();
    let environment = node.environment(1, 0x1, "NetworkFailure");
    let ran = node.run("crm-fence-peer", &["--quiet"], &environment);
    assert_eq!((ran.code, ran.log.len()), (1, 1), "{ran:?}");
}

/// Two nodes at each of two sites.
fn sites(cib: &mut Xml, sites: &[&str]) {
    let nodes = &mut cib.find("/cib/configuration/nodes").unwrap().children;
    for (node, site) in nodes.iter_mut().zip(sites) {
        let id = node.get("id").unwrap().to_owned();
        node.children.push(Xml::parse(&format!(
            "<instance_attributes id=\"nodes-{id}\"><nvpair id=\"nodes-{id}-site\" name=\"site\" \
             value=\"{site}\"/></instance_attributes>"
        )));
    }
}

#[test]
fn a_rule_can_be_written_with_another_attribute_than_the_name() {
    let fence = |stage: &Stage| {
        stage.cut();
        let node = &stage.nodes[0];
        let environment = node.environment(1, 0x1, "NetworkFailure");
        node.run("crm-fence-peer", &["-a", "site"], &environment)
    };
    let Some(stage) = Stage::new(V9, TWO) else { return };
    stage.cluster.change(|pacemaker| sites(&mut pacemaker.cib, &["paris", "rome"]));
    let ran = fence(&stage);
    assert_eq!((ran.code, stage.allowed()), (4, Some(vec!["paris".into()])), "{ran:?}");
    assert!(stage.cluster.cib().to_string().contains("attribute=\"site\""));
    // It is read without the option, and removed.
    stage.nodes[0].regain(1);
    let ran = stage.nodes[0].unfence(1, 0x3);
    assert_eq!((ran.code, stage.allowed()), (0, None), "{ran:?}");

    // Without the attribute, by the name.
    let Some(stage) = Stage::new(V9, TWO) else { return };
    let ran = fence(&stage);
    assert_eq!((ran.code, stage.allowed()), (4, Some(vec!["node1".into()])), "{ran:?}");

    // One that both nodes have the same value of bans nobody.
    let Some(stage) = Stage::new(V9, TWO) else { return };
    stage.cluster.change(|pacemaker| sites(&mut pacemaker.cib, &["paris", "paris"]));
    let ran = fence(&stage);
    assert_eq!((ran.code, stage.allowed()), (1, None), "{ran:?}");
    assert!(ran.ending().contains("cannot be told from others"), "{ran:?}");
}

#[test]
fn the_clone_the_role_and_the_prefix_can_be_chosen() {
    let Some(stage) = Stage::new(V9, TWO) else { return };
    stage.cut();
    let node = &stage.nodes[0];
    let environment = node.environment(1, 0x1, "NetworkFailure");
    let words = ["--master-id=ms_r0", "--role=Promoted", "--id-prefix", "mine"];
    let ran = node.run("crm-fence-peer", &words, &environment);
    assert_eq!(ran.code, 4, "{ran:?}");
    let cib = stage.cluster.cib().to_string();
    assert!(cib.contains("rsc_location rsc=\"ms_r0\" id=\"mine-r0-ms_r0\""), "{cib}");
    assert!(cib.contains("role=\"Promoted\""), "{cib}");
}
