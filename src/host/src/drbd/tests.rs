//! The version and the answer without a module, on this machine's own kernel.

use super::*;
use std::time::Duration;

fn soon() -> Deadline {
    clock::within(Duration::from_secs(10))
}

/// Tests that need another root go through the feature; without it the environment has no say.
#[cfg(not(feature = "stub-kernel"))]
#[test]
fn without_the_feature_files_are_the_kernels_own() {
    assert_eq!(under_root("proc/drbd"), PathBuf::from("/proc/drbd"));
}

#[test]
fn without_a_module_there_is_nothing_and_no_stream() {
    if std::path::Path::new("/sys/module/drbd").exists() {
        println!("skipped: DRBD's module is loaded here");
        return;
    }
    assert_eq!(version().unwrap(), None);
    assert_eq!(look(soon()).unwrap(), Sight::NoModule);
    assert!(matches!(Stream::open(soon()), Err(Error::NoDrbd)));
}
