//! Where packages come from: the mirror, and the way to it, that this machine's own apt uses.

use crate::command;
use crate::failure::{Failure, Result};
use std::fs;
use std::time::Duration;

/// Where this machine's own apt gets Debian from.
pub(super) struct Mirror {
    pub(super) main: String,
    security: Option<String>,
}

impl Mirror {
    pub(super) fn of_this_machine() -> Result<Self> {
        let listed = command::run(
            &[
                "apt-get",
                "indextargets",
                "--format",
                "$(REPO_URI) $(CODENAME)",
                "Created-By: Packages",
            ],
            Duration::from_secs(30),
        )?
        .success("asking apt for its mirror")?;
        Self::from_targets(&listed).ok_or_else(|| Failure::Missing {
            what: "This machine's apt names no Debian mirror".to_owned(),
            cure: "add one to /etc/apt/sources.list and run apt-get update".to_owned(),
        })
    }

    fn from_targets(listed: &str) -> Option<Self> {
        let rows = || listed.lines().filter_map(|line| line.split_once(' '));
        let main =
            rows().find(|(uri, codename)| !codename.contains('-') && !uri.contains("security"))?;
        let security = rows().find(|(_, codename)| codename.ends_with("-security"));
        Some(Self { main: main.0.to_owned(), security: security.map(|row| row.0.to_owned()) })
    }

    pub(super) fn sources(&self, suite: &str) -> String {
        let mut lines = vec![
            format!("deb {} {suite} main", self.main),
            format!("deb {} {suite}-updates main", self.main),
        ];
        lines.extend(self.security.iter().map(|uri| format!("deb {uri} {suite}-security main")));
        lines.join("\n")
    }
}

/// Files of this machine's apt that say how to reach a mirror: proxies and trust.
pub(super) fn apt_settings() -> Vec<String> {
    fs::read_dir("/etc/apt/apt.conf.d")
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| {
            fs::read_to_string(entry.path()).is_ok_and(|text| {
                text.lines().any(|line| line.trim_start().starts_with("Acquire::"))
            })
        })
        .map(|entry| entry.path().to_string_lossy().into_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_the_one_apt_uses() {
        let listed = "http://mirror.test/debian-security/ bookworm-security\n\
                      http://mirror.test/debian/ bookworm\nhttp://mirror.test/debian/ bookworm-updates\n";
        let mirror = Mirror::from_targets(listed).unwrap();
        assert_eq!(
            mirror.sources("trixie"),
            "deb http://mirror.test/debian/ trixie main\n\
             deb http://mirror.test/debian/ trixie-updates main\n\
             deb http://mirror.test/debian-security/ trixie-security main"
        );
        assert!(Mirror::from_targets("").is_none());
    }
}
