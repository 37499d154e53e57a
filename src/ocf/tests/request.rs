//! What Pacemaker hands over, in tables: metas, clone facts and notifications in both generations of
//! names, as one string per variable and with everything missing.

use duet_ocf::{Action, CloneFacts, Environment, Members, Notify, Request, Role, When};
use std::time::Duration;

fn request(action: Action, variables: &[(&str, &str)]) -> Request {
    let metas = variables.iter().map(|(name, value)| {
        let prefix = if name.starts_with("OCF_") { "" } else { "OCF_RESKEY_CRM_meta_" };
        (format!("{prefix}{name}"), *value)
    });
    Request::new(action, metas.collect::<Environment>())
}

#[test]
fn nothing_but_parameters_is_enough() {
    let request = request(Action::ValidateAll, &[("OCF_ROOT", "/usr/lib/ocf")]);
    assert_eq!(request.instance, None);
    assert_eq!(request.instance_or_default(), "default");
    assert_eq!(request.meta, duet_ocf::Meta::default());
    assert_eq!(request.check_level, 0);
}

#[test]
fn a_probe_is_a_monitor_without_interval() {
    let rows = [
        (Action::Monitor, None, true),
        (Action::Monitor, Some("0"), true),
        (Action::Monitor, Some(" "), true),
        (Action::Monitor, Some("10000"), false),
        (Action::Start, Some("0"), false),
        (Action::Status, None, false),
    ];
    for (action, interval, is_probe) in rows {
        let variables: Vec<_> = interval.map(|value| ("interval", value)).into_iter().collect();
        assert_eq!(request(action, &variables).is_probe(), is_probe, "{action} {interval:?}");
    }
}

#[test]
fn metas_are_typed() {
    let request = request(
        Action::Monitor,
        &[
            ("OCF_RESOURCE_INSTANCE", "p_vm"),
            ("OCF_CHECK_LEVEL", "10"),
            ("timeout", "20000"),
            ("interval", "30000"),
            ("role", "Master"),
            ("on_node", "alice"),
            ("migrate_source", "alice"),
            ("migrate_target", "bob"),
        ],
    );
    assert_eq!(request.instance.as_deref(), Some("p_vm"));
    assert_eq!(request.check_level, 10);
    assert_eq!(request.meta.timeout, Some(Duration::from_secs(20)));
    assert_eq!(request.meta.interval, Duration::from_secs(30));
    assert_eq!(request.meta.role, Some(Role::Promoted));
    assert_eq!(request.meta.on_node.as_deref(), Some("alice"));
    assert_eq!(request.meta.migrate_source.as_deref(), Some("alice"));
    assert_eq!(request.meta.migrate_target.as_deref(), Some("bob"));
    assert_eq!(request.meta.clone, None);
}

#[test]
fn clone_facts_are_read_in_both_generations_of_names() {
    let common = [("clone", "1"), ("clone_max", "2"), ("clone_node_max", "1"), ("notify", "true")];
    let expected = CloneFacts {
        number: Some(1),
        max: Some(2),
        node_max: Some(1),
        globally_unique: false,
        notify: true,
        promoted_max: Some(1),
        promoted_node_max: Some(1),
    };
    for (max, node_max) in
        [("promoted_max", "promoted_node_max"), ("master_max", "master_node_max")]
    {
        let variables: Vec<_> = common.into_iter().chain([(max, "1"), (node_max, "1")]).collect();
        assert_eq!(request(Action::Start, &variables).meta.clone, Some(expected.clone()));
    }
    let plain = request(Action::Start, &common).meta.clone.unwrap();
    assert!(!plain.is_promotable());
}

fn members(resources: &[&str], nodes: &[&str]) -> Members {
    let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    Members { resources: owned(resources), nodes: owned(nodes) }
}

fn notification(variables: &[(&str, &str)]) -> Option<Notify> {
    let common = [("notify_type", "post"), ("notify_operation", "promote")];
    let all: Vec<_> = common.into_iter().chain(variables.iter().copied()).collect();
    request(Action::Notify, &all).notification()
}

#[test]
fn a_lone_space_is_nobody() {
    let notify =
        notification(&[("notify_stop_resource", " "), ("notify_stop_uname", " ")]).unwrap();
    assert_eq!((notify.when, notify.operation), (When::Post, Action::Promote));
    assert!(notify.stop.is_empty() && notify.start.is_empty());
    assert_eq!(notify.inactive, [""; 0]);
}

#[test]
fn lists_are_split_and_paired() {
    let notify = notification(&[
        ("notify_start_resource", " drbd:0 drbd:1  "),
        ("notify_start_uname", "alice bob "),
        ("notify_inactive_resource", "drbd:2"),
        ("notify_all_uname", "alice bob carol"),
        ("notify_available_uname", "alice bob"),
    ])
    .unwrap();
    let pairs: Vec<_> = notify.start.pairs().collect();
    assert_eq!(pairs, [("drbd:0", "alice"), ("drbd:1", "bob")]);
    assert!(notify.start.on("bob") && !notify.start.on("carol"));
    assert_eq!(notify.inactive, ["drbd:2"]);
    assert_eq!(notify.all_nodes, ["alice", "bob", "carol"]);
    assert_eq!(notify.available_nodes, ["alice", "bob"]);
}

#[test]
fn new_names_come_first_and_legacy_ones_second() {
    let new = [("notify_promoted_resource", "d:0"), ("notify_promoted_uname", "alice")];
    let legacy = [("notify_master_resource", "d:1"), ("notify_master_uname", "bob")];
    let empty = [("notify_promoted_resource", " "), ("notify_promoted_uname", " ")];
    let rows = [
        ([&new[..], &legacy[..]].concat(), members(&["d:0"], &["alice"])),
        ([&empty[..], &legacy[..]].concat(), members(&["d:1"], &["bob"])),
        (legacy.to_vec(), members(&["d:1"], &["bob"])),
        (empty.to_vec(), members(&[], &[])),
    ];
    for (variables, expected) in rows {
        assert_eq!(notification(&variables).unwrap().promoted, expected, "{variables:?}");
    }
    let slave = [("notify_slave_resource", "d:1"), ("notify_slave_uname", "bob")];
    assert_eq!(notification(&slave).unwrap().unpromoted, members(&["d:1"], &["bob"]));
}

#[test]
fn without_type_or_operation_there_is_nothing_to_hear() {
    assert!(request(Action::Notify, &[]).notification().is_none());
    assert!(request(Action::Notify, &[("notify_type", "post")]).notification().is_none());
    let odd = [("notify_type", "mid"), ("notify_operation", "start")];
    assert!(request(Action::Notify, &odd).notification().is_none());
    let other = [("notify_type", "pre"), ("notify_operation", "start")];
    assert!(request(Action::Start, &other).notification().is_none());
}
