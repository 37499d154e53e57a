//! Control groups on both kinds of machines: v1 controllers with a v2 tree beside them, and pure v2
//! as systemd has it. A lab's groups are its own and are gone after it.

use crate::command;
use crate::host_side::quote;
use crate::place::Process;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What libvirt's LXC driver wants to find in a node's group, and what keeps labs apart.
const CONTROLLERS: &str = "cpu cpuset io memory pids";

/// How this machine's control groups are laid out, and the lab's place in them.
pub(crate) enum Cgroups {
    /// v1 controllers, perhaps with a v2 tree beside them.
    Hybrid,
    /// One v2 tree. The lab gets a group of its own, and a leaf in it for its processes, since
    /// only a group without processes may hand controllers down (cgroups(7)).
    Unified,
}

impl Cgroups {
    pub(crate) fn of_this_machine() -> Self {
        if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
            Self::Unified
        } else {
            Self::Hybrid
        }
    }

    /// The group of one lab on v2.
    pub(crate) fn group(run: &Path) -> PathBuf {
        Path::new("/sys/fs/cgroup")
            .join(format!("duet-lab{}", run.to_string_lossy().replace('/', "-")))
    }

    /// On v2, the namespace's root must be the lab's own group: a script that enters it before
    /// `unshare` does its work.
    pub(crate) fn enter_script(&self, run: &Path) -> Option<String> {
        matches!(self, Self::Unified).then(|| {
            let group = quote(&Self::group(run).to_string_lossy());
            format!(
                "set -e; g={group}; mkdir -p $g/host-side\n\
                 for c in {CONTROLLERS}; do echo +$c >/sys/fs/cgroup/cgroup.subtree_control || :; done\n\
                 echo $$ >$g/cgroup.procs; exec \"$@\""
            )
        })
    }

    /// Moves the last process out of the lab's own group, and hands the controllers down.
    pub(crate) fn delegate(&self, run: &Path, outer: Process) {
        if matches!(self, Self::Unified) {
            let group = Self::group(run);
            // Where a controller is not to be had, libvirt says so when it needs it.
            drop(fs::write(group.join("host-side/cgroup.procs"), outer.pid.to_string()));
            for name in CONTROLLERS.split(' ') {
                drop(fs::write(group.join("cgroup.subtree_control"), format!("+{name}")));
            }
        }
    }

    /// Directories of the groups that a process is in, as this machine sees them.
    pub(crate) fn directories(&self, process: Process) -> Vec<PathBuf> {
        let text = fs::read_to_string(format!("/proc/{}/cgroup", process.pid)).unwrap_or_default();
        text.lines()
            .filter_map(|line| {
                let mut fields = line.splitn(3, ':');
                let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
                let path = path.trim_start_matches('/');
                let root = Path::new("/sys/fs/cgroup");
                match (self, controllers) {
                    (Self::Unified, "") => Some(root.join(path)),
                    (Self::Unified, _) | (Self::Hybrid, "") => None,
                    (Self::Hybrid, names) => {
                        Some(root.join(names.trim_start_matches("name=")).join(path))
                    }
                }
            })
            .collect()
    }

    /// Lets a process that libvirt suspended run again, if its group is one of a lab's nodes.
    pub(crate) fn thaw(&self, process: Process) {
        for group in self.directories(process) {
            if group.to_string_lossy().contains("libvirt-lxc") {
                let (file, word) = match self {
                    Self::Hybrid => ("freezer.state", "THAWED"),
                    Self::Unified => ("cgroup.freeze", "0"),
                };
                // Only the freezer's directory has the file; nothing is created in a cgroup.
                drop(fs::write(group.join(file), word));
            }
        }
    }

    /// Removes the empty groups that libvirt made for the nodes.
    pub(crate) fn clean(&self, run: &Path) {
        let script = match self {
            Self::Hybrid => {
                "for c in /sys/fs/cgroup/*/machine /sys/fs/cgroup/machine; do [ -d $c ] && \
                 find $c -depth -type d -name '*libvirt-lxc*' -exec rmdir {} + ; done"
                    .to_owned()
            }
            Self::Unified => {
                format!(
                    "find {} -depth -type d -exec rmdir {{}} +",
                    quote(&Self::group(run).to_string_lossy())
                )
            }
        };
        // Groups that are left behind hold nothing and cost nothing.
        drop(command::run(&["sh", "-c", &script], Duration::from_secs(10)));
    }
}
