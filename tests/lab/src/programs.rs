//! Which programs a lab runs, stock or ours, program by program: `--agents`. The default is ours
//! where it exists; what was chosen is printed with every result.

use crate::failure::{Failure, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A place in the stack that the stock programs or ours can fill.
struct Slot {
    name: &'static str,
    stock: &'static str,
    ours: Option<Ours>,
}

/// One of our programs: how the cluster calls it, and where it is installed.
struct Ours {
    called: &'static str,
    package: &'static str,
    installed: &'static str,
    /// Further programs of the package, and where they are installed.
    beside: &'static [(&'static str, &'static str)],
    /// Further names of the program.
    links: &'static [&'static str],
    /// Its path is the stock program's too: only the chosen one can be there. The others are all in the nodes,
    /// whichever runs.
    replaces: bool,
}

const SLOTS: [Slot; 6] = [
    Slot {
        name: "VirtualDomain",
        stock: "ocf:heartbeat:VirtualDomain",
        ours: Some(Ours {
            called: "ocf:rust:VirtualDomain",
            package: "VirtualDomain",
            installed: "/usr/lib/ocf/resource.d/rust/VirtualDomain",
            beside: &[("VirtualDomain-libvirt", "/usr/lib/duet/VirtualDomain-libvirt")],
            links: &[],
            replaces: false,
        }),
    },
    Slot {
        name: "drbd",
        stock: "ocf:linbit:drbd",
        ours: Some(Ours {
            called: "ocf:rust:drbd",
            package: "drbd",
            installed: "/usr/lib/ocf/resource.d/rust/drbd",
            beside: &[],
            links: &[],
            replaces: false,
        }),
    },
    Slot {
        name: "drbd-watch",
        // It does another thing: attributes for auto-promote.
        stock: "ocf:linbit:drbd-attr",
        ours: Some(Ours {
            called: "ocf:rust:drbd-watch",
            package: "drbd-watch",
            installed: "/usr/lib/ocf/resource.d/rust/drbd-watch",
            beside: &[("drbd-watchd", "/usr/lib/duet/drbd-watchd")],
            links: &[],
            replaces: false,
        }),
    },
    Slot {
        name: "crm-fence-peer",
        stock: "/usr/lib/drbd/crm-fence-peer.sh",
        ours: Some(Ours {
            called: "/usr/lib/drbd/crm-fence-peer",
            package: "crm-fence-peer",
            installed: "/usr/lib/drbd/crm-fence-peer",
            beside: &[],
            links: &["/usr/lib/drbd/crm-unfence-peer"],
            replaces: false,
        }),
    },
    Slot {
        name: "fence_xvm",
        stock: "stonith:fence_xvm",
        ours: Some(Ours {
            called: "stonith:fence_xvm",
            package: "fence_xvm",
            installed: "/usr/sbin/fence_xvm",
            beside: &[],
            links: &["/usr/sbin/fence_virt"],
            replaces: true,
        }),
    },
    Slot {
        name: "fence_virtd",
        stock: "fence_virtd",
        ours: Some(Ours {
            called: "fence_virtd",
            package: "fence_virtd",
            installed: "/usr/sbin/fence_virtd",
            beside: &[],
            links: &[],
            replaces: true,
        }),
    },
];

/// What a scenario calls all of them.
pub(crate) const EVERY: &str = "every program";

/// A program of ours that goes into the nodes.
#[derive(Debug, Clone)]
pub(crate) struct Built {
    /// The slot it belongs to, where the stock program has the same path.
    replaces: Option<&'static str>,
    pub(crate) built: PathBuf,
    pub(crate) installed: &'static str,
    /// Where links to it are.
    pub(crate) links: &'static [&'static str],
}

/// The choice for one run.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    ours: BTreeMap<&'static str, bool>,
    built: Vec<Built>,
}

impl Programs {
    /// Reads a choice like `stock`, `ours` or `VirtualDomain=stock,drbd=stock`, and builds ours:
    /// they are put into the nodes even where the stock program is chosen to run, unless both have one path.
    pub(crate) fn chosen(words: &str) -> Result<Self> {
        let ours = choice(words)?;
        let packages: Vec<&str> =
            SLOTS.iter().filter_map(|slot| Some(slot.ours.as_ref()?.package)).collect();
        let directory = build(&packages)?;
        let built = SLOTS
            .iter()
            .filter_map(|slot| Some((slot.name, slot.ours.as_ref()?)))
            .flat_map(|(slot, ours)| {
                let replaces = ours.replaces.then_some(slot);
                let built = |name: &str, installed, links| {
                    let built = directory.join(name);
                    Built { replaces, built, installed, links }
                };
                let first = built(ours.package, ours.installed, ours.links);
                let beside =
                    ours.beside.iter().map(|(name, installed)| built(name, installed, &[]));
                std::iter::once(first).chain(beside).collect::<Vec<_>>()
            })
            .collect();
        Ok(Self { ours, built })
    }

    /// A choice without the programs, for what is decided on the choice alone.
    #[cfg(test)]
    pub(crate) fn wished(words: &str) -> Result<Self> {
        Ok(Self { ours: choice(words)?, built: Vec::new() })
    }

    /// Every file of ours, installed or not: by these, what is executed is told from others.
    pub(crate) fn every(&self) -> impl Iterator<Item = &Path> {
        self.built.iter().map(|built| built.built.as_path())
    }

    /// The same programs with one slot filled by the stock program, or with [`EVERY`] of them.
    pub(crate) fn with_stock(&self, name: &str) -> Self {
        let mut other = self.clone();
        for slot in SLOTS.iter().filter(|slot| slot.name == name || name == EVERY) {
            other.ours.insert(slot.name, false);
        }
        other
    }

    /// How the cluster's configuration names the program in a slot.
    pub(crate) fn called(&self, name: &str) -> &'static str {
        let slot = SLOTS
            .iter()
            .find(|slot| slot.name == name)
            .expect("only slots of the table are asked for");
        match (&slot.ours, self.ours.get(slot.name)) {
            (Some(ours), Some(true)) => ours.called,
            _ => slot.stock,
        }
    }

    pub(crate) fn is_ours(&self, name: &str) -> bool {
        self.ours.get(name) == Some(&true)
    }

    /// The programs of ours that are installed.
    pub(crate) fn ours(&self) -> impl Iterator<Item = &Built> {
        self.built.iter().filter(|built| built.replaces.is_none_or(|slot| self.is_ours(slot)))
    }

    /// One of ours, installed or not.
    pub(crate) fn built(&self, name: &str) -> Option<&Built> {
        self.built.iter().find(|built| built.built.ends_with(name))
    }

    /// The file of one of ours, where it is installed.
    pub(crate) fn file(&self, name: &str) -> Option<&Built> {
        self.ours().find(|built| built.built.ends_with(name))
    }

    /// Which runs in every slot: its name, and `ours` or `stock`.
    pub(crate) fn choice(&self) -> Vec<(String, String)> {
        let which = |slot: &Slot| if self.is_ours(slot.name) { "ours" } else { "stock" };
        SLOTS.iter().map(|slot| (slot.name.to_owned(), which(slot).to_owned())).collect()
    }

    /// The same in one line.
    pub(crate) fn line(&self) -> String {
        let words = self.choice().into_iter().map(|(slot, which)| format!("{slot} {which}"));
        words.collect::<Vec<_>>().join(", ")
    }
}

/// Whether a choice can be understood, without building anything.
pub(crate) fn check(words: &str) -> Result<()> {
    choice(words).map(drop)
}

fn choice(words: &str) -> Result<BTreeMap<&'static str, bool>> {
    let mut ours: BTreeMap<&'static str, bool> =
        SLOTS.iter().map(|slot| (slot.name, slot.ours.is_some())).collect();
    let known = || SLOTS.map(|slot| slot.name).join(", ");
    for word in words.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        let (names, which): (Vec<&Slot>, &str) = match word.split_once('=') {
            None => (SLOTS.iter().collect(), word),
            Some((name, which)) => {
                let Some(slot) = SLOTS.iter().find(|slot| slot.name == name) else {
                    return Err(Failure::Refused(format!(
                        "--agents: no program {name:?}; there are {}",
                        known()
                    )));
                };
                if which == "ours" && slot.ours.is_none() {
                    return Err(Failure::Refused(format!(
                        "--agents: there is no {name} of ours yet"
                    )));
                }
                (vec![slot], which)
            }
        };
        let want = match which {
            "ours" => true,
            "stock" => false,
            _ => {
                return Err(Failure::Refused(format!(
                    "--agents: {which:?} is neither stock nor ours"
                )));
            }
        };
        for slot in names {
            ours.insert(slot.name, want && slot.ours.is_some());
        }
    }
    Ok(ours)
}

/// The workspace's.
pub(crate) const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml");

/// Builds the release programs, so that a lab never runs an older one than the source beside it.
pub(crate) fn build(packages: &[&str]) -> Result<PathBuf> {
    build_with(packages, None)
}

/// The same with a feature for tests, in a directory of its own: such a program must never be where one that is
/// installed is looked for.
pub(crate) fn build_with(packages: &[&str], feature: Option<&str>) -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new("timeout");
    command.arg("1200").arg(cargo).args([
        "build",
        "--release",
        "--locked",
        "--manifest-path",
        MANIFEST,
    ]);
    if let Some(feature) = feature {
        let target = std::env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| PathBuf::from(MANIFEST).with_file_name("target"), PathBuf::from);
        command.args(["--features", feature, "--target-dir"]).arg(target.join("tests-only"));
    }
    command.args(["--message-format", "json-render-diagnostics"]);
    for package in packages {
        command.args(["-p", package]);
    }
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .map_err(Failure::io("start cargo to build the programs under test"))?;
    let stdout = String::from_utf8_lossy(&output.stdout);
    let executable = stdout
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter_map(|message| message["executable"].as_str().map(PathBuf::from))
        .next_back();
    match (output.status.success(), executable) {
        (true, Some(path)) => Ok(path.parent().map(PathBuf::from).unwrap_or_default()),
        _ => Err(Failure::Command {
            doing: "building the programs under test".to_owned(),
            command: format!("cargo build --release -p {}", packages.join(" -p ")),
            how: format!("{}", output.status),
            output: String::from_utf8_lossy(&output.stderr).into_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_is_the_default_where_it_exists() {
        let ours = choice("").unwrap();
        assert!(ours["VirtualDomain"] && ours["drbd"] && ours["fence_xvm"] && ours["fence_virtd"]);
    }

    #[test]
    fn one_program_can_be_chosen() {
        assert!(!choice("VirtualDomain=stock").unwrap()["VirtualDomain"]);
        assert!(!choice("stock").unwrap()["VirtualDomain"]);
        assert!(choice("stock,VirtualDomain=ours").unwrap()["VirtualDomain"]);
    }

    #[test]
    fn what_has_the_stock_programs_path_is_installed_only_where_it_is_chosen() {
        let installed = |words: &str| {
            let built = |replaces, installed| Built {
                replaces,
                built: PathBuf::from(installed),
                installed,
                links: &[],
            };
            let built = vec![
                built(None, "/usr/lib/drbd/crm-fence-peer"),
                built(Some("fence_xvm"), "/usr/sbin/fence_xvm"),
                built(Some("fence_virtd"), "/usr/sbin/fence_virtd"),
            ];
            let programs = Programs { ours: choice(words).unwrap(), built };
            programs.ours().map(|built| built.installed).collect::<Vec<_>>()
        };
        assert_eq!(installed("").len(), 3);
        assert_eq!(installed("stock"), ["/usr/lib/drbd/crm-fence-peer"]);
        let mixed = ["/usr/lib/drbd/crm-fence-peer", "/usr/sbin/fence_virtd"];
        assert_eq!(installed("fence_xvm=stock"), mixed);
    }

    #[test]
    fn every_program_can_be_the_stock_one() {
        let programs = Programs { ours: choice("").unwrap(), built: Vec::new() };
        assert!(SLOTS.iter().all(|slot| !programs.with_stock(EVERY).is_ours(slot.name)));
        assert!(programs.with_stock("drbd").is_ours("VirtualDomain"));
    }

    #[test]
    fn a_wrong_choice_is_refused_with_what_there_is() {
        assert!(choice("Virtual=ours").unwrap_err().to_string().contains("VirtualDomain"));
        assert!(choice("drbd=theirs").unwrap_err().to_string().contains("neither"));
    }
}
