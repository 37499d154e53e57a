//! The life of a resource, by the executable: up, promoted, demoted, down. Invariant tested: it does with DRBD's tools what an
//! administrator would do with them, and believes only what the kernel says.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]
#![allow(dead_code, reason = "each test file uses its part of the stage")]

mod stage;

use stage::{Stage, V8, V9};

#[test]
fn start_promote_demote_and_stop() {
    for version in [V8, V9] {
        let Some(stage) = Stage::new(version) else { return };
        for (action, code, score) in [
            ("monitor", 7, None),
            ("start", 0, Some("10000")),
            ("monitor", 0, None),
            ("start", 0, Some("10000")),
            ("promote", 0, None),
            ("monitor", 8, None),
            ("promote", 0, None),
            ("demote", 0, None),
            ("demote", 0, None),
            ("stop", 0, Some("-D")),
            ("monitor", 7, None),
            ("stop", 0, Some("-D")),
        ] {
            stage.tools.forget();
            let ran = stage.run(action);
            assert_eq!(ran.code, code, "{version} {action}: {ran:?} {:?}", stage.tools.calls());
            let expected: Vec<_> = score.into_iter().collect();
            assert_eq!(stage.scores(), expected, "{version} {action}: {ran:?}");
        }
        assert!(!stage.record().exists());
    }
}
