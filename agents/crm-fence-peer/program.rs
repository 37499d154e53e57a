//! Which of its programs the executable is called as. Invariant: a name that is none of them does nothing.

use std::{ffi::OsStr, path::Path};

use crate::decide::Mode;

/// By the name it was called by. It can be linked in the place of the stock programs: the names of 8.4's scripts and of
/// 9's mean the same here, because the environment tells which driver calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// crm-fence-peer and crm-unfence-peer.
    Peer(Mode),
}

const NAMES: &[(&str, Program)] = &[
    ("crm-fence-peer", Program::Peer(Mode::Fence)),
    ("crm-unfence-peer", Program::Peer(Mode::Unfence)),
];

/// What may follow: the stock scripts' names.
const SUFFIXES: &[&str] = &["", ".sh", ".9.sh"];

impl Program {
    /// The program of this name, which may be a path.
    #[must_use]
    pub fn called(name: &OsStr) -> Option<Program> {
        let name = Path::new(name).file_name()?.to_str()?;
        let is =
            |known: &str| name.strip_prefix(known).is_some_and(|suffix| SUFFIXES.contains(&suffix));
        NAMES.iter().find(|(known, _)| is(known)).map(|(_, program)| *program)
    }

    /// Its own name, for the log.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Program::Peer(Mode::Fence) => "crm-fence-peer",
            Program::Peer(Mode::Unfence) => "crm-unfence-peer",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_the_stock_scripts_are_names_of_the_same_programs() {
        for (name, mode) in [
            ("crm-fence-peer", Mode::Fence),
            ("crm-fence-peer.sh", Mode::Fence),
            ("/usr/lib/drbd/crm-fence-peer.9.sh", Mode::Fence),
            ("crm-unfence-peer", Mode::Unfence),
            ("/usr/lib/drbd/crm-unfence-peer.sh", Mode::Unfence),
            ("crm-unfence-peer.9.sh", Mode::Unfence),
        ] {
            assert_eq!(Program::called(OsStr::new(name)), Some(Program::Peer(mode)), "{name}");
        }
        for name in ["", "/", "crm-fence-peers", "crm-fence-peer.sh.bak", "xcrm-fence-peer", "sh"] {
            assert_eq!(Program::called(OsStr::new(name)), None, "{name}");
        }
    }

    #[test]
    fn every_link_that_is_installed_is_a_program() {
        let makefile = include_str!("../../Makefile").replace("\\\n", " ");
        let aliases =
            makefile.lines().find_map(|line| line.strip_prefix("ALIASES_crm-fence-peer :="));
        let aliases: Vec<&str> = aliases.unwrap().split_ascii_whitespace().collect();
        assert!(aliases.contains(&"crm-unfence-peer") && aliases.len() > 10);
        for alias in aliases {
            let name = OsStr::new(alias);
            let is_known =
                Program::called(name).is_some() || crate::hooks::Hook::called(name).is_some();
            assert!(is_known, "{alias}");
        }
    }
}
