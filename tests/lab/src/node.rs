//! A node of a lab, and everything that can be done to one: commands in it, its cables, its power,
//! its disk and its daemons. Scenarios use nothing else.

use crate::cgroups::Cgroups;
use crate::command::Ran;
use crate::failure::{Failure, Result};
use crate::guest_agent;
use crate::host_side::{HostSide, quote};
use crate::node_files::{Kind, index};
use crate::place::{self, Process};
use duet_oracle::Journal;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// A node. Cheap to clone: it holds names, and the record of what is done to it.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    host: HostSide,
    /// Where deeds are written down, once somebody listens.
    journal: Arc<OnceLock<Journal>>,
}

/// One of a node's two networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cable {
    /// eth0, 10.77.0.N: cluster traffic and fencing.
    Cluster,
    /// eth1, 10.78.0.N: replication, migration and the cluster's second ring.
    Replication,
}

/// Whether something is connected, powered, running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Switch {
    On,
    Off,
}

/// For a command that only asks or sets a thing.
pub(crate) const SHORT: Duration = Duration::from_secs(60);

impl Node {
    pub(crate) fn new(name: &str, kind: Kind, host: &HostSide) -> Self {
        Self { name: name.to_owned(), kind, host: host.clone(), journal: Arc::default() }
    }

    /// From now on, what is done to this node goes into the record; the reports draw it.
    pub(crate) fn tell(&self, journal: &Journal) {
        // A second journal would be a second recorder, and there is one a cluster.
        drop(self.journal.set(journal.clone()));
    }

    fn deed(&self, text: &str) {
        if let Some(journal) = self.journal.get() {
            journal.deed(&self.name, text);
        }
    }

    pub(crate) fn address(&self) -> String {
        format!("10.77.0.{}", index(&self.name))
    }

    fn uri(&self) -> &'static str {
        match self.kind {
            Kind::Machine => "qemu:///system",
            Kind::Container => "lxc:///system",
        }
    }

    fn socket(&self) -> PathBuf {
        agent_socket(&self.host.run, &self.name)
    }

    /// Runs a shell script in the node; its status and output come back.
    pub(crate) fn run(&self, script: &str, within: Duration) -> Result<Ran> {
        match self.kind {
            Kind::Machine => guest_agent::run(&self.socket(), script, within),
            Kind::Container => {
                let argv = self.enter()?;
                let bound = format!("{:.1}", within.as_secs_f64());
                let mut all: Vec<&str> = argv.iter().map(String::as_str).collect();
                all.extend(["timeout", "-k", "2", &bound, "bash", "-c", script]);
                let ran = crate::command::run(&all, within + Duration::from_secs(4))?;
                Ok(Ran::new(script.to_owned(), ran.status, ran.stdout, ran.stderr))
            }
        }
    }

    /// The output of a script that must succeed.
    pub(crate) fn sh(&self, script: &str, doing: &str) -> Result<String> {
        self.run(script, SHORT)?.success(&format!("{doing} in {}", self.name))
    }

    /// Reads a small file in the node, at the least possible cost to it.
    pub(crate) fn read(&self, path: &str) -> Result<String> {
        match self.kind {
            Kind::Machine => guest_agent::read(&self.socket(), path),
            Kind::Container => self.sh(&format!("cat {}", quote(path)), "reading a file"),
        }
    }

    /// Writes a file in the node.
    pub(crate) fn put(&self, path: &str, content: &str) -> Result<()> {
        self.put_bytes(path, content.as_bytes())
    }

    /// Puts a program into the node.
    pub(crate) fn put_program(&self, path: &str, content: &[u8]) -> Result<()> {
        self.put_bytes(path, content)?;
        self.sh(&format!("chmod 755 {}", quote(path)), "making a program executable").map(drop)
    }

    fn put_bytes(&self, path: &str, content: &[u8]) -> Result<()> {
        match self.kind {
            Kind::Machine => guest_agent::put(&self.socket(), path, content),
            Kind::Container => {
                let argv = self.enter()?;
                let mut all: Vec<&str> = argv.iter().map(String::as_str).collect();
                let script = format!("cat >{}", quote(path));
                all.extend(["sh", "-c", &script]);
                crate::command::run_with_input(&all, SHORT, content)?
                    .success(&format!("writing {path} in {}", self.name))
                    .map(drop)
            }
        }
    }

    /// Whether it has booted, and commands can be run in it now.
    pub(crate) fn answers(&self) -> Result<()> {
        const UP: &str = "/run/lab/up";
        match self.kind {
            Kind::Machine => guest_agent::sees(&self.socket(), UP),
            Kind::Container => self
                .run(&format!("test -e {UP}"), Duration::from_secs(3))?
                .success("asking the node")
                .map(drop),
        }
    }

    /// What the host side's libvirt says of it: running, paused, shut off.
    pub(crate) fn power(&self) -> Result<String> {
        let state = self
            .host
            .virsh(self.uri(), &["domstate", &self.name])?
            .success("asking for a node's state")?;
        Ok(state.trim().to_owned())
    }

    /// The instance that runs now; another one after every boot.
    pub(crate) fn instance(&self) -> Result<String> {
        let id = self
            .host
            .virsh(self.uri(), &["domid", &self.name])?
            .success("asking for a node's id")?;
        Ok(id.trim().to_owned())
    }

    /// Cuts its power: the process that is the node is killed, nothing in it gets to know.
    pub(crate) fn cut_power(&self) -> Result<()> {
        let script = match self.kind {
            Kind::Machine => format!("kill -9 $(cat /run/libvirt/qemu/{}.pid)", self.name),
            // The container's own first process; libvirt's controller then reports the end.
            Kind::Container => format!(
                "kill -9 $(tr ' ' '\\n' </proc/{0}/task/{0}/children | head -n 1)",
                self.instance()?
            ),
        };
        self.host.sh(&script, &format!("cutting the power of {}", self.name))?;
        self.deed("power is cut");
        duet_oracle::eventually(
            Duration::from_secs(20),
            "the machine without power to be off",
            || match self.power() {
                Ok(state) if state == "shut off" => Ok(()),
                Ok(state) => Err(state),
                Err(error) => Err(error.to_string()),
            },
        )?;
        Ok(())
    }

    /// Puts power on again and waits until commands can be run.
    pub(crate) fn boot(&self) -> Result<()> {
        self.host
            .virsh(self.uri(), &["start", &self.name])?
            .success(&format!("booting {}", self.name))?;
        self.deed("power is on");
        self.wait_for_shell()?;
        self.deed("a shell");
        Ok(())
    }

    pub(crate) fn wait_for_shell(&self) -> Result<()> {
        duet_oracle::eventually(
            Duration::from_secs(120),
            &format!("a shell in {}", self.name),
            || self.answers().map_err(|error| error.to_string()),
        )?;
        Ok(())
    }

    /// Stops its processors, as an overloaded or swapping host does; `Switch::On` lets it go on.
    pub(crate) fn processors(&self, switch: Switch) -> Result<()> {
        let word = if switch == Switch::Off { "suspend" } else { "resume" };
        self.host
            .virsh(self.uri(), &[word, &self.name])?
            .success(&format!("freezing or thawing {}", self.name))?;
        let on = switch == Switch::On;
        self.deed(if on { "processors go on" } else { "processors stand still" });
        Ok(())
    }

    /// Pulls or plugs a cable.
    pub(crate) fn cable(&self, cable: Cable, switch: Switch) -> Result<()> {
        let device = host_device(&self.name, cable);
        let word = if switch == Switch::On { "up" } else { "down" };
        let ran = match self.kind {
            // The carrier goes, as it does with a real cable.
            Kind::Machine => {
                self.host.virsh(self.uri(), &["domif-setlink", &self.name, &device, word])?
            }
            Kind::Container => self.host.run(&["ip", "link", "set", &device, word], SHORT)?,
        };
        ran.success(&format!("switching the {cable:?} cable of {} {word}", self.name))?;
        let which = match cable {
            Cable::Cluster => "cluster cable",
            Cable::Replication => "replication cable",
        };
        let is = if switch == Switch::On { "is plugged" } else { "is unplugged" };
        self.deed(&format!("{which} {is}"));
        Ok(())
    }

    /// Makes the replicated disk answer every request with an error, or heal.
    pub(crate) fn disk(&self, switch: Switch) -> Result<()> {
        let target = if switch == Switch::On { "linear /dev/vdb 0" } else { "error" };
        if self.kind == Kind::Container {
            return Err(Failure::Refused(
                "Containers have no disk of their own to fail".to_owned(),
            ));
        }
        self.sh(
            &format!(
                "set -e; n=$(cat /sys/class/block/vdb/size); dmsetup suspend --noflush --nolockfs data; \
                 dmsetup load data --table \"0 $n {target}\"; dmsetup resume --noudevsync data"
            ),
            "changing the disk's table",
        )?;
        self.deed(if switch == Switch::On { "disk heals" } else { "disk fails" });
        Ok(())
    }

    /// Sends a signal to a daemon by its program's name: STOP freezes it, CONT lets it go on, KILL
    /// ends it.
    pub(crate) fn daemon(&self, program: &str, signal: &str) -> Result<()> {
        self.sh(
            &format!("kill -{signal} $(pidof {program})"),
            &format!("sending {signal} to {program}"),
        )?;
        self.deed(&format!("{program} gets {signal}"));
        Ok(())
    }

    /// Words that put the command after them into a container.
    fn enter(&self) -> Result<Vec<String>> {
        let init =
            self.first_process().ok_or_else(|| Failure::broken(format!("{} is off", self.name)))?;
        let pid = init.pid.to_string();
        // Into the node's control groups too: what is started there must freeze and count with it.
        let mut join = String::new();
        for group in Cgroups::of_this_machine().directories(init) {
            join +=
                &format!("echo $$ >{}/cgroup.procs || exit 125; ", quote(&group.to_string_lossy()));
        }
        join += "exec \"$@\"";
        let mut words = vec!["sh".to_owned(), "-c".to_owned(), join, "enter".to_owned()];
        words.extend(
            [
                "nsenter",
                "-t",
                &pid,
                "-m",
                "-u",
                "-i",
                "-n",
                "-p",
                "-C",
                "--",
                "env",
                "-i",
                "HOME=/root",
            ]
            .map(str::to_owned),
        );
        words.push(format!("PATH={}", crate::host_side::PATH));
        words.push("LC_ALL=C.UTF-8".to_owned());
        Ok(words)
    }

    /// A container's first process as this machine numbers it: the one below this lab's host side
    /// that libvirt started with the node's name in its environment.
    fn first_process(&self) -> Option<Process> {
        let mark = format!("LAB_NODE={}\0", self.name);
        let lab = format!("LAB_RUN={}\0", self.host.run.display());
        place::processes().into_iter().find(|process| {
            let innermost = fs::read_to_string(format!("/proc/{}/status", process.pid))
                .ok()
                .and_then(|status| {
                    let line =
                        status.lines().find_map(|line| line.strip_prefix("NSpid:"))?.to_owned();
                    line.split_whitespace().next_back().map(|pid| pid == "1")
                })
                .unwrap_or(false);
            innermost
                && fs::read(format!("/proc/{}/environ", process.pid)).is_ok_and(|environment| {
                    let text = String::from_utf8_lossy(&environment);
                    text.contains(&mark) && text.contains(&lab)
                })
        })
    }
}

/// The host side's end of a node's cable.
pub(crate) fn host_device(node: &str, cable: Cable) -> String {
    match cable {
        Cable::Cluster => format!("{node}-eth0"),
        Cable::Replication => format!("{node}-eth1"),
    }
}

pub(crate) fn agent_socket(run: &std::path::Path, node: &str) -> PathBuf {
    run.join(format!("{node}.agent.sock"))
}

/// The name of the machines' channel to a fencing daemon, beside which they have a serial line to it.
pub(crate) const LINE: &str = "fence.0";

/// Where QEMU has the ends of those that are on the host side.
pub(crate) fn lines(run: &std::path::Path) -> PathBuf {
    run.join("lines")
}
