//! Every action crossed with every way of setting a parameter wrongly: what is refused, what is set
//! aside, and that no refusal leaks a secret.

mod demo;

use demo::{SPEC, World, run};
use duet_ocf::{
    Action, Environment, ExitCode, Request, Strictness, Values, boolean_word, duration_word,
};
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
use std::time::Duration;

const CONFIG: (&str, &str) = ("OCF_RESKEY_config", "/etc/demo1");
const RECURRING: (&str, &str) = ("OCF_RESKEY_CRM_meta_interval", "10000");
const STRICT: &[&str] = &["start", "validate-all", "reload-agent"];
const LENIENT: &[&str] = &["stop", "monitor", "notify"];

/// Parameter, bad value, words the exit reason must have.
const BAD: &[(&str, &str, &[&str])] = &[
    ("ticks", "many", &["ticks", "many"]),
    ("ticks", "11", &["ticks", "11", "0 to 10"]),
    ("ticks", "-1", &["ticks", "-1"]),
    ("ticks", "99999999999999999999", &["ticks", "99999999999999999999"]),
    ("force", "y", &["force", "\"y\""]),
    ("force", "enabled", &["force", "enabled"]),
    ("force", "tru\ne", &["force", "tru\\ne"]),
    ("mode", "Soft", &["mode", "Soft", "soft, hard"]),
    ("patience", "5 weeks", &["patience", "5 weeks"]),
    ("patience", "s", &["patience"]),
    ("secret", "hunter2", &["secret", "not shown"]),
    ("snapshot", "/var/x", &["snapshot", "not implemented"]),
    ("old_force", "2", &["old_force", "\"2\""]),
];

#[test]
fn the_table_has_no_complaints() {
    assert_eq!(SPEC.complaints(), [""; 0]);
    assert_eq!(demo::PLAIN.complaints(), [""; 0]);
}

#[test]
fn bad_values_are_refused_by_name_in_strict_actions() {
    for action in STRICT {
        for (name, value, words) in BAD {
            let variable = format!("OCF_RESKEY_{name}");
            let world = World::Obeys { looks: 0 };
            let (code, agent, host) = run(world, action, &[CONFIG, (&variable, value)]);
            assert_eq!(code, ExitCode::Configured, "{action} {name}={value}");
            assert_eq!(agent.looks, 0, "{action} {name}={value} looked at the world");
            let [reason] = &host.err[..] else { panic!("not one line: {:?}", host.err) };
            assert!(reason.starts_with(&format!("ocf-exit-reason:{name}")), "{reason}");
            for word in *words {
                assert!(reason.contains(word), "{reason} lacks {word}");
            }
            assert!(!reason.contains("hunter2") && !format!("{:?}", host.log).contains("hunter2"));
        }
    }
}

#[test]
fn bad_values_change_nothing_in_stop_monitor_and_probe() {
    for action in LENIENT {
        for recurring in [false, true] {
            let interval = if recurring { RECURRING } else { ("X", "") };
            let (plain, ..) = run(World::Stuck, action, &[CONFIG, interval]);
            for (name, value, _) in BAD {
                let variable = format!("OCF_RESKEY_{name}");
                let variables = [CONFIG, interval, (variable.as_str(), *value)];
                let (code, _, host) = run(World::Stuck, action, &variables);
                assert_eq!(code, plain, "{action} {name}={value}");
                assert!(!format!("{:?}", host.log).contains("hunter2"));
                assert!(host.log[0].1.contains(name), "not even noted: {:?}", host.log);
            }
        }
    }
}

#[test]
fn a_missing_identity_is_named_everywhere_and_empty_is_missing() {
    for action in STRICT.iter().chain(LENIENT) {
        for variables in [&[][..], &[("OCF_RESKEY_config", "")], &[("OCF_RESKEY_config", " ")]] {
            let (code, _, host) = run(World::Stuck, action, variables);
            assert_eq!(code, ExitCode::Configured, "{action}");
            assert_eq!(host.err, ["ocf-exit-reason:config: required parameter not set"]);
        }
    }
}

#[test]
fn empty_values_mean_the_default_in_every_action() {
    for action in STRICT.iter().chain(LENIENT) {
        let (plain, ..) = run(World::Obeys { looks: 0 }, action, &[CONFIG]);
        for (name, ..) in BAD {
            for empty in ["", " "] {
                let variable = format!("OCF_RESKEY_{name}");
                let world = World::Obeys { looks: 0 };
                let (code, _, host) = run(world, action, &[CONFIG, (&variable, empty)]);
                assert_eq!(code, plain, "{action} {name} empty");
                assert!(host.err.is_empty() || code != ExitCode::Ok);
            }
        }
    }
}

fn read(variables: &[(&str, &str)], strictness: Strictness) -> Values {
    let environment: Environment = variables.iter().copied().collect();
    let request = Request::new(Action::Start, environment);
    Values::read(&SPEC, &request, strictness).expect("these values are fine")
}

#[test]
fn values_are_typed_and_defaults_are_the_tables() {
    let values = read(&[CONFIG], Strictness::Strict);
    assert_eq!(values.text("config"), Some("/etc/demo1"));
    assert_eq!(values.integer("ticks"), Some(3));
    assert!(!values.boolean("force"));
    assert_eq!(values.choice("mode"), Some("soft"));
    assert_eq!(values.duration("patience"), Some(Duration::from_secs(120)));
    assert_eq!((values.integer("secret"), values.text("snapshot")), (None, None));
    assert!(values.is_set("config") && !values.is_set("ticks"));
    let set = [
        CONFIG,
        ("OCF_RESKEY_ticks", "7"),
        ("OCF_RESKEY_force", "JA"),
        ("OCF_RESKEY_mode", "hard"),
    ];
    let values = read(&set, Strictness::Strict);
    assert_eq!((values.integer("ticks"), values.boolean("force")), (Some(7), true));
    assert_eq!(values.choice("mode"), Some("hard"));
}

#[test]
fn a_debug_dump_hides_secrets() {
    let values = read(&[CONFIG, ("OCF_RESKEY_secret", "7")], Strictness::Strict);
    let dump = format!("{values:?}");
    assert!(dump.contains("not shown") && !dump.contains('7'), "{dump}");
    let environment: Environment = [("OCF_RESKEY_secret", "hunter2")].into_iter().collect();
    let dump = format!("{:?}", Request::new(Action::Start, environment));
    assert!(dump.contains("OCF_RESKEY_secret") && !dump.contains("hunter2"), "{dump}");
}

#[test]
#[should_panic(expected = "the table has no parameter tocks")]
fn an_unlisted_name_is_a_bug_that_shows() {
    let _ = read(&[CONFIG], Strictness::Strict).integer("tocks");
}

#[test]
#[should_panic(expected = "the table does not say that ticks is a boolean")]
fn a_wrong_kind_is_a_bug_that_shows() {
    let _ = read(&[CONFIG], Strictness::Strict).boolean("ticks");
}

#[test]
fn booleans_are_the_ocf_words_whatever_their_case() {
    for word in ["yes", "YES", "Yes", "true", "TRUE", "True", "1", "ja", "on", "ON", "On", " on "] {
        assert_eq!(boolean_word(word), Some(true), "{word}");
    }
    for word in ["no", "No", "false", "FALSE", "0", "nein", "off", "Off"] {
        assert_eq!(boolean_word(word), Some(false), "{word}");
    }
    for word in ["", "y", "n", "2", "-1", "00", "enabled", "yes please", "truе"] {
        assert_eq!(boolean_word(word), None, "{word}");
    }
}

#[test]
fn times_have_the_units_of_pacemaker() {
    let rows =
        [("90", 90_000), ("90s", 90_000), ("90 sec", 90_000), ("5min", 300_000), ("5m", 300_000)];
    for (word, ms) in rows.into_iter().chain([("100ms", 100), ("1h", 3_600_000), ("0", 0)]) {
        assert_eq!(duration_word(word), Some(Duration::from_millis(ms)), "{word}");
    }
    for word in ["", "s", "-5", "1.5s", "5 weeks", "99999999999999999999", "18446744073709551615h"]
    {
        assert_eq!(duration_word(word), None, "{word}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused_but_never_panics(text in any::<String>(), at in 0..BAD.len()) {
        let name = BAD[at].0;
        let variable = format!("OCF_RESKEY_{name}");
        let variables = [CONFIG, (variable.as_str(), text.as_str())];
        let (code, _, host) = run(World::Obeys { looks: 0 }, "start", &variables);
        prop_assert!(matches!(code, ExitCode::Ok | ExitCode::Configured));
        prop_assert_eq!(host.err.len(), usize::from(code == ExitCode::Configured));
        prop_assert!(host.err.iter().all(|line| !line.contains('\n')));
        let (code, ..) = run(World::Stuck, "stop", &variables);
        prop_assert_eq!(code, ExitCode::Ok);
    }
}
