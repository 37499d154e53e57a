//! The cases that the resource-agents project has for its VirtualDomain (tools/ocft/VirtualDomain), each with the exit
//! codes that are expected there. Invariant tested: whoever goes by those codes can go by ours.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]
#![allow(dead_code, reason = "each test file uses its part of the stage")]

mod stage;

use std::time::Duration;

use stage::Stage;

/// A run there may take this long before it counts as hanging.
const HANG: Duration = Duration::from_secs(20);
const CONFIG: &str = "config";

/// A case: its name, and one run after the other with what is set for it and its code.
type Case = (&'static str, &'static [(&'static str, Option<&'static str>, i32)]);

const CASES: [Case; 9] = [
    ("normal start", &[("start", None, 0)]),
    ("start with a configuration that is not there", &[("start", Some("/nonexistent.xml"), 5)]),
    ("start without a configuration", &[("start", Some(""), 6)]),
    ("normal stop", &[("start", None, 0), ("stop", None, 0)]),
    ("start twice", &[("start", None, 0), ("start", None, 0)]),
    ("stop when stopped", &[("stop", None, 0)]),
    ("monitor when running", &[("start", None, 0), ("monitor", None, 0)]),
    ("monitor when stopped", &[("monitor", None, 7)]),
    ("an action that is none", &[("no_cmd", None, 3)]),
];

#[test]
fn the_stock_agents_own_cases_end_in_the_codes_it_expects() {
    let Some(stage) = Stage::empty() else { return };
    for (case, runs) in CASES {
        // What each case there has in common.
        let common = [
            ("autoset_utilization_cpu", "false"),
            ("autoset_utilization_hv_memory", "false"),
            ("autoset_utilization_host_memory", "false"),
        ];
        assert_eq!(stage.run_with("stop", &common).code, 0, "{case}: at the beginning");
        for (action, config, code) in runs {
            let mut parameters = common.to_vec();
            parameters.extend(config.map(|path| (CONFIG, path)));
            let ran = stage.run_with(action, &parameters);
            assert_eq!(ran.code, *code, "{case}: {action}: {ran:?}");
            assert!(ran.took < HANG, "{case}: {ran:?}");
        }
    }
}
