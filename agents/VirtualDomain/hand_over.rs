//! When this program becomes VirtualDomain-libvirt, and how. Invariant: the process stays the same one, with the same
//! arguments and environment but for a guard against becoming itself; there is no child, and nothing was done before.
#![allow(clippy::disallowed_methods, reason = "looks at the program before becoming it")]

use std::{ffi::CString, os::unix::ffi::OsStrExt};

use duet_host::libexec;
use duet_libvirt_rpc::Driver;
use duet_ocf::{Action, boolean_word};

/// Who became the other program: its process number, so that a child that inherits it is somebody else.
const GUARD: &str = "DUET_HANDED_OVER";
/// Its name.
const NAME: &str = "VirtualDomain-libvirt";

/// Whether an action needs libvirt's client library; `parameter` gives what the caller set, if anything.
pub(crate) fn is_needed<'a>(action: &str, parameter: impl Fn(&str) -> Option<&'a str>) -> bool {
    let filled = |name: &str| parameter(name).map(str::trim).filter(|value| !value.is_empty());
    let is_native = filled("hypervisor").is_none_or(|uri| Driver::from_uri(uri).is_some());
    match Action::parse(action) {
        Some(Action::MigrateTo) => true,
        Some(Action::Start) => {
            !is_native || filled("start_resources").and_then(boolean_word) == Some(true)
        }
        Some(Action::Stop | Action::Monitor | Action::Status | Action::MigrateFrom) => !is_native,
        _ => false,
    }
}

/// Becomes the other program; comes back only with why not.
pub(crate) fn become_it() -> String {
    let program = libexec::program(NAME);
    let guard = std::process::id().to_string();
    if std::env::var_os(GUARD).is_some_and(|value| value == guard.as_str()) {
        return format!("{} is not the program with libvirt's client library", program.display());
    }
    let text = |word: &[u8]| CString::new(word);
    let words = std::env::args_os().map(|word| text(word.as_bytes()));
    let variables = std::env::vars_os().filter(|(name, _)| name != GUARD);
    let variables = variables.chain([(GUARD.into(), guard.into())]);
    let variables =
        variables.map(|(name, value)| text(&[name.as_bytes(), b"=", value.as_bytes()].concat()));
    let (words, variables): (Result<Vec<_>, _>, Result<Vec<_>, _>) =
        (words.collect(), variables.collect());
    let (Ok(words), Ok(variables), Ok(path)) =
        (words, variables, text(program.as_os_str().as_bytes()))
    else {
        return "a NUL byte in the command line".to_owned();
    };
    let errno = match nix::unistd::execve(&path, &words, &variables) {
        Ok(never) => match never {},
        Err(errno) => errno,
    };
    format!("Could not run {}: {}", program.display(), errno.desc())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needed(action: &str, parameters: &[(&str, &'static str)]) -> bool {
        is_needed(action, |wanted| {
            parameters.iter().find(|(name, _)| *name == wanted).map(|(_, value)| *value)
        })
    }

    #[test]
    fn the_library_is_for_what_nothing_else_can_do() {
        let every = [
            "start",
            "stop",
            "monitor",
            "status",
            "migrate_to",
            "migrate_from",
            "validate-all",
            "meta-data",
            "usage",
            "nonsense",
            "",
        ];
        for action in every {
            for uri in ["", " ", "qemu:///system", " qemu:///system ", "lxc:///", "xen:///system"] {
                let plain = needed(action, &[("hypervisor", uri)]);
                assert_eq!(plain, action == "migrate_to", "{action} {uri:?}");
                for yes in ["true", "Yes", "1", " on "] {
                    let with = needed(action, &[("hypervisor", uri), ("start_resources", yes)]);
                    assert_eq!(with, action == "migrate_to" || action == "start", "{action}");
                }
                assert!(!needed("start", &[("start_resources", "no")]));
            }
            for uri in ["qemu:///session", "qemu+ssh://b/system", "test:///default", "vz:///"] {
                let asks = ["start", "stop", "monitor", "status", "migrate_to", "migrate_from"];
                let with = needed(action, &[("hypervisor", uri)]);
                assert_eq!(with, asks.contains(&action), "{action} {uri}");
            }
        }
    }
}
