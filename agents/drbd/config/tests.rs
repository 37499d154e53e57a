//! What is accepted, what is refused and by which code, for every action.

use super::*;
use crate::spec::SPEC;

const NAME: (&str, &str) = ("drbd_resource", "r0");
const CLONE: [(&str, &str); 6] = [
    ("CRM_meta_clone", "0"),
    ("CRM_meta_clone_max", "2"),
    ("CRM_meta_clone_node_max", "1"),
    ("CRM_meta_promoted_max", "1"),
    ("CRM_meta_promoted_node_max", "1"),
    ("CRM_meta_notify", "true"),
];
const STRICT: [Action; 4] =
    [Action::Start, Action::Promote, Action::ReloadAgent, Action::ValidateAll];
const LENIENT: [Action; 5] =
    [Action::Stop, Action::Demote, Action::Monitor, Action::Notify, Action::Status];

fn read(action: Action, parameters: &[&[(&str, &str)]]) -> Result<Config, Refusal> {
    let mut environment = Environment::default().with("OCF_RESOURCE_INSTANCE", "p_drbd");
    for (name, value) in parameters.concat() {
        environment = environment.with(&format!("OCF_RESKEY_{name}"), value);
    }
    let request = Request::new(action, environment);
    let values = Values::read(&SPEC, &request, strictness(action))?;
    Config::read(&request, &values)
}

/// What the strict actions refuse with 6, and the others go without.
fn only_strict(parameters: &[(&str, &str)], says: &str) {
    for action in STRICT {
        let refusal = read(action, &[&[NAME], &CLONE, parameters]).unwrap_err();
        assert_eq!(refusal.exit_code(), ExitCode::Configured, "{action}: {refusal}");
        assert!(refusal.to_string().contains(says), "{action}: {refusal}");
    }
    for action in LENIENT {
        let config = read(action, &[&[NAME], &CLONE, parameters]);
        assert_eq!(config.unwrap().resource, "r0", "{action}: {parameters:?}");
    }
}

/// What start and validate-all refuse with 6, and the others replace by its default.
fn only_before_it_runs(parameters: &[(&str, &str)], says: &str) {
    for action in [Action::Start, Action::ValidateAll] {
        let refusal = read(action, &[&[NAME], &CLONE, parameters]).unwrap_err();
        assert_eq!(refusal.exit_code(), ExitCode::Configured, "{action}: {refusal}");
        assert!(refusal.to_string().contains(says), "{action}: {refusal}");
    }
    for action in LENIENT.into_iter().chain([Action::Promote, Action::ReloadAgent]) {
        let config = read(action, &[&[NAME], &CLONE, parameters]);
        assert_eq!(config.unwrap().resource, "r0", "{action}: {parameters:?}");
    }
}

#[test]
fn defaults_are_those_of_the_stock_agent() {
    for action in STRICT.into_iter().chain(LENIENT) {
        let config = read(action, &[&[NAME], &CLONE]).unwrap();
        assert_eq!(config.file.to_str(), Some("/etc/drbd.conf"));
        assert_eq!(config.options.scores, Scores::DEFAULT);
        assert_eq!(config.options.peer_primary, PeerPrimary::Ignore);
        assert_eq!(config.connect_patience, Duration::from_secs(5));
        assert!(!config.stop_outdates_secondary && !config.fail_promote_early);
        assert!(!config.connect_only_after_promote && config.unfence.is_none());
        assert_eq!(config.remarks, Vec::<String>::new());
        assert_eq!(config.record.to_str(), Some("/run/resource-agents/drbd-p_drbd.record"));
    }
}

#[test]
fn without_a_possible_name_there_is_nobody_to_act_on() {
    for action in STRICT.into_iter().chain(LENIENT) {
        for name in ["", " ", "r 0", "r0;reboot", "r0\n", "$(id)", "-v", "ü"] {
            let refusal = read(action, &[&[("drbd_resource", name)], &CLONE]).unwrap_err();
            assert_eq!(refusal.exit_code(), ExitCode::Configured, "{action} {name:?}");
        }
        let config = read(action, &[&[("drbd_resource", "a-%+./9:=@Z_z")], &CLONE]);
        assert!(config.is_ok(), "{action}");
    }
}

#[test]
fn clone_options_out_of_range_are_refused_where_it_matters() {
    only_strict(&[("CRM_meta_clone_node_max", "2")], "clone-node-max=2");
    only_strict(&[("CRM_meta_clone_node_max", "0")], "clone-node-max=0");
    only_strict(&[("CRM_meta_promoted_node_max", "2")], "promoted-node-max=2");
    only_strict(&[("CRM_meta_promoted_max", "3")], "promoted-max=3");
    only_strict(&[("CRM_meta_clone_max", "0")], "clone-max=0");
    let two = ("CRM_meta_promoted_max", "2");
    only_strict(&[two, ("CRM_meta_clone_max", "3")], "clone-max");
    for good in [&[two][..], &[("CRM_meta_clone_max", "1")], &[("CRM_meta_clone_max", "5")]] {
        assert!(read(Action::Start, &[&[NAME], &CLONE, good]).is_ok(), "{good:?}");
    }
}

#[test]
fn the_old_words_for_promoted_are_understood() {
    let old = [
        ("CRM_meta_clone_max", "2"),
        ("CRM_meta_notify", "true"),
        ("CRM_meta_master_max", "2"),
        ("CRM_meta_master_node_max", "1"),
        ("CRM_meta_notify_master_uname", "node1 node2"),
    ];
    let config = read(Action::Start, &[&[NAME], &old]).unwrap();
    assert_eq!(config.options.promoted_max, 2);
    assert_eq!(config.promoted, ["node1", "node2"]);
}

#[test]
fn what_is_no_clone_is_refused_by_start_and_not_by_a_validation_outside_a_cluster() {
    for action in [Action::Start, Action::Promote, Action::ReloadAgent] {
        let refusal = read(action, &[&[NAME]]).unwrap_err();
        assert_eq!(refusal.exit_code(), ExitCode::Configured, "{action}");
    }
    assert!(read(Action::ValidateAll, &[&[NAME]]).is_ok());
    for action in LENIENT {
        assert!(read(action, &[&[NAME]]).is_ok(), "{action}");
    }
}

#[test]
fn a_clone_without_notifications_is_refused_unless_that_is_meant() {
    let off = [("CRM_meta_notify", "false")];
    for action in [Action::Start, Action::Promote, Action::ReloadAgent] {
        let refusal = read(action, &[&[NAME], &CLONE, &off]).unwrap_err();
        assert_eq!(refusal.exit_code(), ExitCode::Configured, "{action}");
        assert!(refusal.to_string().contains("notify=true"), "{refusal}");
        for meant in [("ignore_missing_notifications", "yes"), ("CRM_meta_notify_start_uname", " ")]
        {
            assert!(read(action, &[&[NAME], &CLONE, &off, &[meant]]).is_ok(), "{action}");
        }
    }
    for action in LENIENT.into_iter().chain([Action::ValidateAll]) {
        assert!(read(action, &[&[NAME], &CLONE, &off]).is_ok(), "{action}");
    }
}

#[test]
fn what_cannot_be_right_is_refused_by_name() {
    only_strict(&[("drbdconf", "/etc/drbd.conf;id")], "drbdconf");
    only_before_it_runs(
        &[("require_drbd_module_version_ge", "9.1")],
        "require_drbd_module_version_ge",
    );
    only_before_it_runs(
        &[("require_drbd_module_version_lt", "9.1.x")],
        "require_drbd_module_version_lt",
    );
    only_before_it_runs(
        &[("require_drbd_module_version_lt", "9.1.2.3")],
        "require_drbd_module_version_lt",
    );
    only_before_it_runs(&[("stop_outdates_secondary", "perhaps")], "stop_outdates_secondary");
    only_before_it_runs(&[("remove_master_score_if_peer_primary", "maybe")], "remove_master_score");
    only_before_it_runs(
        &[("remove_promotion_score_if_peer_primary", "x")],
        "remove_promotion_score",
    );
    // Nor is a word of that kind taken for a clone that hears nothing.
    let garbled = [("CRM_meta_notify", "false"), ("ignore_missing_notifications", "ture")];
    only_before_it_runs(&garbled[1..], "ignore_missing_notifications");
    for action in [Action::Promote, Action::ReloadAgent] {
        assert!(read(action, &[&[NAME], &CLONE, &garbled]).is_ok(), "{action}");
    }
}

#[test]
fn both_names_are_understood_and_the_present_one_wins() {
    for (parameters, best) in [
        (&[("adjust_master_score", "1 2 3 4")][..], 4),
        (&[("adjust_promotion_score", "1 2 3 5")], 5),
        (&[("adjust_master_score", "1 2 3 4"), ("adjust_promotion_score", "1 2 3 5")], 5),
    ] {
        for action in STRICT.into_iter().chain(LENIENT) {
            let config = read(action, &[&[NAME], &CLONE, parameters]).unwrap();
            assert_eq!(config.options.scores.best, best, "{action}");
        }
    }
    let old = ("remove_master_score_if_peer_primary", "true");
    let new = ("remove_promotion_score_if_peer_primary", "Unexpected");
    for (parameters, rule) in [
        (&[old][..], PeerPrimary::Remove),
        (&[new], PeerPrimary::RemoveUnexpected),
        (&[old, new], PeerPrimary::RemoveUnexpected),
        (&[("remove_promotion_score_if_peer_primary", "no"), old], PeerPrimary::Ignore),
    ] {
        let config = read(Action::Monitor, &[&[NAME], &CLONE, parameters]).unwrap();
        assert_eq!(config.options.peer_primary, rule, "{parameters:?}");
    }
}

#[test]
fn scores_out_of_order_fall_back_to_the_default_with_a_remark() {
    for name in ["adjust_master_score", "adjust_promotion_score"] {
        for action in STRICT.into_iter().chain(LENIENT) {
            let config = read(action, &[&[NAME], &CLONE, &[(name, "5 4 3 2")]]).unwrap();
            assert_eq!(config.options.scores, Scores::DEFAULT, "{action}");
            assert!(config.remarks[0].contains(name), "{:?}", config.remarks);
        }
    }
}

#[test]
fn a_start_waits_for_whole_seconds_or_not_at_all() {
    for (text, seconds) in [("7", 7), ("0", 0), ("5s", 0), ("-1", 0), ("never", 0)] {
        let config = read(Action::Start, &[&[NAME], &CLONE, &[("wfc_timeout", text)]]).unwrap();
        assert_eq!(config.connect_patience, Duration::from_secs(seconds), "{text}");
    }
}

#[test]
fn an_instance_of_an_anonymous_clone_has_no_number() {
    for (given, base) in [("p_drbd:1", "p_drbd"), ("p_drbd", "p_drbd"), ("p:x", "p:x")] {
        let environment = Environment::default().with("OCF_RESOURCE_INSTANCE", given);
        let request = Request::new(Action::Monitor, environment);
        assert_eq!(instance(&request), base);
    }
}

#[test]
fn who_is_promoted_elsewhere_and_stays_so() {
    let promoted = |names: &str, stopping: &str| {
        let lists = [
            ("CRM_meta_on_node", "node1"),
            ("CRM_meta_notify_promoted_uname", names),
            ("CRM_meta_notify_stop_uname", stopping),
        ];
        let config = read(Action::Notify, &[&[NAME], &CLONE, &lists]).unwrap();
        config.promoted_elsewhere().map(str::to_owned)
    };
    assert_eq!(promoted(" ", " "), None);
    assert_eq!(promoted("NODE1", " "), None, "names have no case");
    assert_eq!(promoted("node2", " "), Some("node2".into()));
    assert_eq!(promoted("node2", "Node2"), None, "it is being stopped");
    assert_eq!(promoted("node1 node2", "node1"), Some("node2".into()));
    // Who does not know its own name cannot tell another from itself.
    let lists = [("CRM_meta_notify_promoted_uname", "node2")];
    let config = read(Action::Notify, &[&[NAME], &CLONE, &lists]).unwrap();
    assert_eq!(config.promoted_elsewhere(), None);
}

#[test]
fn the_instances_of_a_globally_unique_clone_have_scores_of_their_own() {
    for (unique, instance) in [("false", "p_drbd"), ("true", "p_drbd:0")] {
        let environment = Environment::default().with("OCF_RESOURCE_INSTANCE", "p_drbd:0");
        let unique = [("CRM_meta_globally_unique", unique)];
        let parameters = [&[NAME], &CLONE[..], &unique].concat();
        let environment = parameters.iter().fold(environment, |environment, (name, value)| {
            environment.with(&format!("OCF_RESKEY_{name}"), value)
        });
        let request = Request::new(Action::Start, environment);
        let values = Values::read(&SPEC, &request, Strictness::Strict).unwrap();
        let config = Config::read(&request, &values).unwrap();
        assert_eq!(config.instance, instance);
        let record = format!("/run/resource-agents/drbd-{instance}.record");
        assert_eq!(config.record.to_str(), Some(record.as_str()));
    }
}

#[test]
fn who_is_being_demoted_is_not_promoted_for_long() {
    let told = [("CRM_meta_notify_promoted_uname", "node2"), ("CRM_meta_on_node", "node1")];
    let demoted = ("CRM_meta_notify_demote_uname", "node2");
    let config = read(Action::Notify, &[&[NAME], &CLONE, &told]).unwrap();
    assert_eq!(config.promoted_elsewhere(), Some("node2"));
    let config = read(Action::Notify, &[&[NAME], &CLONE, &told, &[demoted]]).unwrap();
    assert_eq!(config.promoted_elsewhere(), None);
}
