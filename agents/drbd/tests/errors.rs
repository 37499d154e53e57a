//! What can be wrong with configuration, tools and kernel, by the executable. Invariant tested: every failure ends inside the
//! operation's timeout with a code of the contract and a reason that names the culprit; a question that failed is never 7.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]
#![allow(dead_code, reason = "each test file uses its part of the stage")]

mod stage;

use std::time::Duration;

use duet_drbd::{Disk, Role};
use duet_fake_tools::{Answer, Faults};
use stage::{Ran, Stage, V8, V9, resource, well};

/// What drbdadm says of a resource that it does not have, and of a file that it cannot read.
const NOT_DEFINED: &str = "'r0' not defined in your config (for this host).\n";
const SYNTAX: &str =
    "/etc/drbd.d/r0.res:3: Parse error: 'protocol | on | disk' expected,\n\tbut got 'garbage'\n";

/// As a failure has to be.
fn failed(ran: &Ran, code: i32, says: &str) {
    assert_eq!(ran.code, code, "{ran:?}");
    assert!(ran.reason().contains(says), "{says}: {ran:?}");
    assert_eq!(ran.stderr.matches("ocf-exit-reason:").count(), 1, "{ran:?}");
}

/// drbdadm fails in whatever it is asked.
fn break_drbdadm(stage: &Stage, answer: &Answer) {
    for word in [
        "sh-dev",
        "dump-xml",
        "new-resource",
        "new-minor",
        "attach",
        "adjust",
        "primary",
        "secondary",
        "down",
        "check-resize",
        "outdate",
        "sh-mod-parms",
    ] {
        stage.tools.answer("drbdadm", word, answer.clone());
    }
}

#[test]
fn a_resource_that_is_not_configured_is_5_where_it_is_needed_and_nothing_elsewhere() {
    let Some(stage) = Stage::new(V9) else { return };
    break_drbdadm(&stage, &Answer::fails(1, NOT_DEFINED));
    for action in ["start", "validate-all"] {
        failed(&stage.run(action), 5, "not defined in your config");
    }
    assert_eq!(stage.run("monitor").code, 7, "a probe");
    assert_eq!(stage.recurring().code, 7);
    assert_eq!(stage.run("stop").code, 0);
}

#[test]
fn a_configuration_that_is_missing_or_broken_takes_nothing_from_what_runs() {
    for version in [V8, V9] {
        for is_missing in [true, false] {
            let Some(stage) = Stage::running(version, well(Role::Primary)) else { return };
            break_drbdadm(&stage, &Answer::fails(10, SYNTAX));
            if is_missing {
                std::fs::remove_file(stage.at("drbd.conf")).unwrap();
                failed(&stage.run("validate-all"), 5, "drbd.conf");
            } else {
                failed(&stage.run("validate-all"), 5, "Parse error");
            }
            assert_eq!(stage.run("monitor").code, 8);
            assert_eq!(stage.recurring().code, 8);
            let ran = stage.run("demote");
            assert_eq!(ran.code, 0, "{ran:?}");
            let ran = stage.run("stop");
            assert_eq!(ran.code, 0, "{ran:?}");
            assert!(stage.kernel.module().view.resources.is_empty());
            let setup = stage.tools.calls_of("drbdsetup");
            let role = if version == V8 { "secondary 0" } else { "secondary r0" };
            assert_eq!(setup, [role, "down r0"]);
        }
    }
}

#[test]
fn tools_that_are_not_installed_are_5_and_keep_nothing_from_being_seen() {
    let Some(stage) = Stage::running(V9, well(Role::Secondary)) else { return };
    stage.tools.remove("drbdadm");
    failed(&stage.run("validate-all"), 5, "drbdadm");
    assert_eq!(stage.run("monitor").code, 0);
    assert_eq!(stage.run("stop").code, 0, "by drbdsetup");
    failed(&stage.run("start"), 5, "drbdadm");
}

#[test]
fn a_clone_that_cannot_be_is_6_and_is_stopped_all_the_same() {
    for (name, value, says) in [
        ("CRM_meta_clone_node_max", "2", "clone-node-max=2"),
        ("CRM_meta_promoted_node_max", "2", "promoted-node-max=2"),
        ("CRM_meta_promoted_max", "3", "promoted-max=3"),
        ("CRM_meta_notify", "false", "notify=true"),
    ] {
        let Some(stage) = Stage::running(V9, well(Role::Secondary)) else { return };
        failed(&stage.run_with("start", &[(name, value)]), 6, says);
        failed(&stage.run_with("promote", &[(name, value)]), 6, says);
        assert_eq!(stage.run_with("monitor", &[(name, value)]).code, 0);
        assert_eq!(stage.run_with("stop", &[(name, value)]).code, 0);
    }
    let Some(stage) = Stage::new(V8) else { return };
    failed(&stage.run_with("start", &[("CRM_meta_clone_max", "3")]), 6, "clone-max=3");
}

#[test]
fn two_promoted_instances_without_drbds_consent_are_6() {
    let Some(stage) = Stage::new(V9) else { return };
    let two = [("CRM_meta_promoted_max", "2")];
    failed(&stage.run_with("start", &two), 6, "allow-two-primaries");
    let allowing = stage.configuration("r0", "<option name=\"allow-two-primaries\"/>");
    stage.tools.answer("drbdadm", "dump-xml", allowing);
    assert_eq!(stage.run_with("start", &two).code, 0);
    assert_eq!(stage.run_with("promote", &two).code, 0);
}

#[test]
fn scores_out_of_order_are_the_default_with_a_warning() {
    let Some(stage) = Stage::new(V9) else { return };
    for name in ["adjust_master_score", "adjust_promotion_score"] {
        stage.tools.forget();
        let ran = stage.run_with("start", &[(name, "4 3 2 1")]);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(ran.stderr.contains("WARNING") && ran.stderr.contains(name), "{ran:?}");
        assert_eq!(stage.scores(), ["10000"]);
    }
}

#[test]
fn garbage_from_a_tool_is_a_failure_that_names_it() {
    let Some(stage) = Stage::new(V9) else { return };
    for garbage in [
        "",
        "<config",
        "<html/>",
        "\u{1}\u{2}",
        "<config><resource/></config>",
        "<config></config>",
    ] {
        for (word, good) in [
            ("sh-dev", Answer::prints("/dev/drbd0\n")),
            ("dump-xml", stage.configuration("r0", "")),
        ] {
            stage.tools.answer("drbdadm", word, Answer::prints(garbage));
            for (action, parameters) in
                [("validate-all", &[][..]), ("start", &[("CRM_meta_promoted_max", "2")])]
            {
                let ran = stage.run_with(action, parameters);
                failed(&ran, 1, "drbdadm");
            }
            stage.tools.answer("drbdadm", word, good);
        }
    }
    let Some(stage) = Stage::new(V9) else { return };
    stage.unload();
    for garbage in ["", "nine\n", "9.2\n"] {
        stage.tools.answer("modinfo", "", Answer::prints(garbage));
        failed(&stage.run("validate-all"), 5, "module");
    }
    stage.tools.answer("modinfo", "", Answer::prints("9.2.16\n"));
    assert_eq!(stage.run("validate-all").code, 0);
}

/// Long enough for the namespace around the agent to be made on a busy machine.
const TIMEOUT: (&str, &str) = ("CRM_meta_timeout", "5000");

fn in_time(ran: &Ran) {
    assert!(ran.took < Duration::from_secs(5), "{ran:?}");
}

#[test]
fn a_tool_that_hangs_in_a_start_ends_in_time_and_is_named() {
    std::thread::scope(|scope| {
        for word in ["sh-dev", "new-resource", "attach", "adjust"] {
            scope.spawn(move || {
                let Some(stage) = Stage::new(V8) else { return };
                stage.tools.answer("drbdadm", word, Answer::hangs());
                let ran = stage.run_with("start", &[TIMEOUT]);
                in_time(&ran);
                match word {
                    // What becomes of the connections decides nothing.
                    "adjust" => assert_eq!(ran.code, 0, "{ran:?}"),
                    _ => failed(&ran, 1, "drbdadm did not end"),
                }
            });
        }
    });
}

#[test]
fn a_module_that_cannot_be_loaded_in_time_is_5() {
    let Some(stage) = Stage::new(V9) else { return };
    stage.unload();
    for word in ["", "drbd"] {
        stage.tools.answer("modprobe", word, Answer::hangs());
    }
    let ran = stage.run_with("start", &[TIMEOUT]);
    in_time(&ran);
    failed(&ran, 5, "modprobe did not end");
}

#[test]
fn a_promotion_that_hangs_ends_in_time_and_drbdadm_is_named() {
    let Some(stage) = Stage::running(V9, well(Role::Secondary)) else { return };
    stage.tools.answer("drbdadm", "primary", Answer::hangs());
    let ran = stage.run_with("promote", &[TIMEOUT]);
    in_time(&ran);
    failed(&ran, 1, "drbdadm did not end");
}

#[test]
fn where_drbdadm_hangs_drbdsetup_demotes_and_takes_down() {
    let Some(stage) = Stage::running(V9, well(Role::Primary)) else { return };
    for word in ["down", "secondary"] {
        stage.tools.answer("drbdadm", word, Answer::hangs());
    }
    for action in ["demote", "stop"] {
        let ran = stage.run_with(action, &[TIMEOUT]);
        in_time(&ran);
        assert_eq!(ran.code, 0, "{ran:?}");
    }
}

#[test]
fn a_kernel_that_cannot_be_asked_is_a_failure_and_never_7() {
    let faults = [
        ("silent", Faults { hang_on: Some(38), ..Faults::default() }),
        ("silent about its family", Faults { hang_on: Some(3), ..Faults::default() }),
        ("cut off", Faults { truncate_on: Some(38), ..Faults::default() }),
        ("repeating", Faults { repeat_on: Some(38), ..Faults::default() }),
        ("refusing", Faults { refuse_on: Some((38, 158)), ..Faults::default() }),
        ("of another time", Faults { family_version: Some(9), ..Faults::default() }),
        ("without a family", Faults { no_family: true, ..Faults::default() }),
    ];
    // Each waits for as long as it may, so they wait together.
    std::thread::scope(|scope| {
        for (what, faults) in faults {
            scope.spawn(move || ask_in_vain(what, faults));
        }
    });
}

fn ask_in_vain(what: &str, faults: Faults) {
    let Some(stage) = Stage::running(V9, well(Role::Primary)) else { return };
    stage.kernel.module().faults = faults;
    let recurring = ("CRM_meta_interval", "10000");
    let runs = [
        ("monitor", vec![TIMEOUT]),
        ("monitor", vec![TIMEOUT, recurring]),
        ("stop", vec![TIMEOUT]),
    ];
    for (action, parameters) in runs {
        let ran = stage.run_with(action, &parameters);
        assert_eq!(ran.code, 1, "{what}: {ran:?}");
        failed(&ran, 1, "cannot be told");
        in_time(&ran);
    }
    assert_eq!(stage.scores(), [""; 0], "{what}");
}

#[test]
fn situation_30_a_kernel_that_is_back_after_a_moment_is_seen() {
    let Some(stage) = Stage::running(V9, well(Role::Primary)) else { return };
    stage.kernel.module().faults.interrupted = 3;
    let ran = stage.recurring();
    assert_eq!(ran.code, 8, "{ran:?}");
}

#[test]
fn words_and_attributes_of_another_time_are_no_good_and_no_failure() {
    let Some(stage) = Stage::running(V9, well(Role::Secondary)) else { return };
    stage.kernel.module().faults.has_new_attributes = true;
    assert_eq!(stage.recurring().code, 0);
    assert_eq!(stage.scores(), ["10000"]);
    stage.tools.forget();
    let strange = Disk::Unrecognized("99".into());
    stage.kernel.change(|view| {
        *view = stage::view(resource(Role::Secondary, strange, None));
    });
    assert_eq!(stage.recurring().code, 0);
    assert_eq!(stage.scores(), ["-D"]);
    let strange = Role::Unrecognized("99".into());
    stage.kernel.change(|view| view.resources.get_mut("r0").unwrap().role = strange);
    let ran = stage.run_with("monitor", &[("CRM_meta_timeout", "2000")]);
    failed(&ran, 1, "did not say the role");
}

#[test]
fn a_validation_warns_of_what_will_be_an_error_on_a_bad_day() {
    let Some(stage) = Stage::new(V9) else { return };
    let ran = stage.run("validate-all");
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    let root = stage.kernel.root();
    for directory in ["var/lib/pacemaker/cib", "etc/corosync"] {
        std::fs::create_dir_all(root.join(directory)).unwrap();
    }
    let cib = "<cib><configuration><crm_config><nvpair name=\"stonith-enabled\" value=\"false\"/></crm_config>\
         <resources><primitive id=\"p\"><nvpair name=\"drbd_resource\" value=\"r0\"/>\
         <op name=\"promote\" timeout=\"60\"/></primitive></resources></configuration></cib>";
    std::fs::write(root.join("var/lib/pacemaker/cib/cib.xml"), cib).unwrap();
    std::fs::write(root.join("etc/corosync/corosync.conf"), "quorum {\n two_node: 1\n}\n").unwrap();
    let ran = stage.run("validate-all");
    assert_eq!(ran.code, 0, "{ran:?}");
    for says in ["stonith-enabled=false", "two_node", "60 s"] {
        assert!(ran.stderr.contains(says), "{says}: {ran:?}");
    }
    assert_eq!(ran.stderr.lines().filter(|line| line.starts_with("WARNING")).count(), 3, "{ran:?}");
}

#[test]
fn a_kernel_that_is_slow_is_waited_for_by_a_monitor_for_most_of_its_time() {
    let Some(stage) = Stage::running(V9, well(Role::Primary)) else { return };
    assert_eq!(stage.recurring().code, 8);
    stage.kernel.module().faults.hang_on = Some(38);
    let kernel = stage.kernel.clone();
    let slow = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(7));
        kernel.module().faults.hang_on = None;
    });
    let ran = stage.recurring();
    assert_eq!(ran.code, 8, "{ran:?}");
    assert!(ran.took > Duration::from_secs(7), "{ran:?}");
    slow.join().unwrap();
}

#[test]
fn node_ids_that_are_not_told_are_no_failure_since_nobody_asks_for_them() {
    let Some(stage) = Stage::running(V9, well(Role::Secondary)) else { return };
    stage.kernel.module().faults.hang_on = Some(30);
    let ran = stage.recurring();
    assert!(ran.code == 0 && ran.took < Duration::from_secs(4), "{ran:?}");
}

#[test]
fn what_was_done_at_the_last_moment_is_seen_by_a_look_that_takes_a_while() {
    const SLOW: Duration = Duration::from_millis(350);
    let Some(stage) = Stage::running(V9, well(Role::Secondary)) else { return };
    let script = stage.ordering("", "primary");
    stage.tools.on("drbdadm", "primary", &format!("{script}\nsleep 20\n"));
    let kernel = stage.kernel.clone();
    // drbdadm is ended 9 s after the beginning. The look after that hears nothing for about 0.3 s.
    let slow = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(8900));
        let _module = kernel.module();
        std::thread::sleep(SLOW);
    });
    let ran = stage.run_with("promote", &[("CRM_meta_timeout", "10000")]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.took > Duration::from_secs(9) && ran.took < Duration::from_secs(10), "{ran:?}");
    slow.join().unwrap();
}

#[test]
fn a_typo_in_a_live_option_is_a_warning_and_6_only_where_nothing_runs_yet() {
    for (name, value) in [
        ("stop_outdates_secondary", "ture"),
        ("remove_master_score_if_peer_primary", "never"),
        ("require_drbd_module_version_ge", "nine"),
    ] {
        let Some(stage) = Stage::running(V9, well(Role::Secondary)) else { return };
        for action in ["reload-agent", "promote", "monitor", "demote"] {
            let ran = stage.run_with(action, &[(name, value)]);
            assert_eq!(ran.code, if action == "monitor" { 8 } else { 0 }, "{action}: {ran:?}");
            let is_told = ran.stderr.contains("WARNING") && ran.stderr.contains(name);
            assert_eq!(is_told, action != "monitor", "{action}: {ran:?}");
        }
        for action in ["start", "validate-all"] {
            failed(&stage.run_with(action, &[(name, value)]), 6, name);
        }
    }
    // What says which data, and how many may write them, is as strict as ever.
    let Some(stage) = Stage::running(V9, well(Role::Secondary)) else { return };
    for action in ["reload-agent", "promote"] {
        failed(&stage.run_with(action, &[("drbd_resource", "r 0")]), 6, "drbd_resource");
        failed(&stage.run_with(action, &[("drbdconf", "/etc/drbd conf")]), 6, "drbdconf");
        failed(&stage.run_with(action, &[("CRM_meta_promoted_max", "3")]), 6, "promoted-max=3");
    }
}
