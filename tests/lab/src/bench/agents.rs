//! What is measured: each action of the stock agent and of ours, each with its own correct parameters
//! and the same guest. The environment is the one of the node's pacemaker-execd, with what it adds
//! for an agent.

use crate::configuration::GUEST_FILE;
use crate::failure::{Failure, Result};
use crate::node::Node;
use duet_bench::{Callgrind, Command};
use std::collections::BTreeMap;
use std::time::Duration;

pub(super) const BENCH_GUEST_FILE: &str = "/root/bench.xml";

/// What every other operation is given.
const TIMEOUT: Duration = Duration::from_secs(90);

const BENCH_INSTANCE: &str = "bench";

/// A second guest to start and stop at will: no disk, so nothing can be lost. `<name>` has its line
/// to itself: the stock agent needs that.
pub(super) const BENCH_GUEST: &str = "<domain type='qemu'>
  <name>bench</name>
  <memory unit='MiB'>16</memory>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
  </devices>
</domain>
";

/// The floor: a process that does nothing.
pub(crate) const FLOOR: &str = "/bin/true";
/// The action that Pacemaker repeats for ever, as it is configured when nothing is said.
pub(super) const MONITOR: &str = "monitor";
/// The same without the stock agent's writes of utilization, so that both do the same.
pub(super) const PLAIN_MONITOR: &str = "monitor, no utilization";

/// Ours alone, while libvirtd is stopped: the stock agent waits for ever.
pub(super) const FROZEN_MONITOR: &str = "monitor, libvirtd frozen";
pub(super) const FROZEN_STOP: &str = "stop, libvirtd frozen";
/// What Pacemaker would give that stop.
pub(super) const FROZEN_STOP_TIMEOUT: Duration = Duration::from_secs(20);

/// Whose agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    Stock,
    Ours,
}

impl Whose {
    pub(crate) const BOTH: [Self; 2] = [Self::Stock, Self::Ours];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Stock => "stock",
            Self::Ours => "ours",
        }
    }

    fn provider(self) -> &'static str {
        match self {
            Self::Stock => "heartbeat",
            Self::Ours => "rust",
        }
    }
}

/// Every row of the table below the floor, in its order.
pub(super) const ROWS: [&str; 6] =
    [MONITOR, PLAIN_MONITOR, "validate-all", "meta-data", "start", "stop"];

/// What a row's results are filed under.
pub(crate) fn label(row: &str, whose: Whose) -> String {
    format!("{row}: {}", whose.name())
}

/// What a process that Pacemaker starts in a node finds in its environment, whatever agent it is.
pub(crate) fn executor(node: &Node) -> Result<BTreeMap<String, String>> {
    let text = node.sh(
        "tr '\\0' '\\n' </proc/$(pidof pacemaker-execd)/environ",
        "reading the environment of pacemaker-execd",
    )?;
    let mut all: BTreeMap<String, String> = text
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    if !all.contains_key("PATH") {
        return Err(Failure::broken(format!("pacemaker-execd has no PATH but {text:?}")));
    }
    // What Pacemaker 2.1 adds for every OCF agent (lib/services/services_linux.c).
    for (name, value) in [
        ("OCF_RA_VERSION_MAJOR", "1"),
        ("OCF_RA_VERSION_MINOR", "1"),
        ("OCF_ROOT", "/usr/lib/ocf"),
        ("OCF_EXIT_REASON_PREFIX", "ocf-exit-reason:"),
        ("OCF_RESKEY_crm_feature_set", "3.16.2"),
        ("OCF_RESKEY_CRM_meta_on_node", &node.name),
    ] {
        all.insert(name.to_owned(), value.to_owned());
    }
    Ok(all)
}

/// The same for VirtualDomain.
pub(super) struct Environment(BTreeMap<String, String>);

impl Environment {
    pub(super) fn of(node: &Node) -> Result<Self> {
        let mut all = executor(node)?;
        for (name, value) in
            [("OCF_RESOURCE_TYPE", "VirtualDomain"), ("OCF_RESKEY_hypervisor", "qemu:///system")]
        {
            all.insert(name.to_owned(), value.to_owned());
        }
        Ok(Self(all))
    }

    fn command(&self, row: &str, whose: Whose, instance: &str, config: &str) -> Command {
        let action = row.split(',').next().unwrap_or(row);
        let mut env = self.0.clone();
        let mut set = |name: &str, value: &str| env.insert(name.to_owned(), value.to_owned());
        set("OCF_RESOURCE_PROVIDER", whose.provider());
        set("OCF_RESOURCE_INSTANCE", instance);
        set("OCF_RESKEY_config", config);
        set("OCF_RESKEY_CRM_meta_name", action);
        let timeout = if row == FROZEN_STOP { FROZEN_STOP_TIMEOUT } else { TIMEOUT };
        set("OCF_RESKEY_CRM_meta_timeout", &timeout.as_millis().to_string());
        set("OCF_RESKEY_CRM_meta_interval", if action == MONITOR { "10000" } else { "0" });
        if row != MONITOR {
            for kind in ["cpu", "hv_memory", "host_memory"] {
                set(&format!("OCF_RESKEY_autoset_utilization_{kind}"), "false");
            }
        }
        if instance == BENCH_INSTANCE {
            // Nothing runs in it that could answer the power button.
            set("OCF_RESKEY_force_stop", "true");
        }
        let program = format!("/usr/lib/ocf/resource.d/{}/VirtualDomain", whose.provider());
        Command {
            name: label(row, whose),
            argv: vec![program, action.to_owned()],
            env,
            callgrind: match whose {
                Whose::Stock => Callgrind::Tree,
                Whose::Ours => Callgrind::Alone,
            },
        }
    }
}

/// The floor and every action that changes nothing, about the running guest of the cluster.
pub(super) fn questions(environment: &Environment) -> Vec<Command> {
    let floor = Command {
        name: FLOOR.to_owned(),
        argv: vec![FLOOR.to_owned()],
        env: environment.0.clone(),
        callgrind: Callgrind::Alone,
    };
    let agents = ROWS[..4].iter().flat_map(|row| {
        Whose::BOTH.map(|whose| environment.command(row, whose, "vm1", GUEST_FILE))
    });
    std::iter::once(floor).chain(agents).collect()
}

/// Those that are also measured many at once.
pub(super) fn asked_at_once(questions: &[Command]) -> Vec<Command> {
    let wanted = |name: &str| {
        name == FLOOR || name.split(": ").next().is_some_and(|row| row.contains(MONITOR))
    };
    questions.iter().filter(|command| wanted(&command.name)).cloned().collect()
}

/// A start and the stop after it, each kind of agent in a group of its own.
pub(super) fn start_and_stop(environment: &Environment) -> Vec<Vec<Command>> {
    Whose::BOTH
        .iter()
        .map(|whose| {
            ["start", "stop"]
                .map(|row| environment.command(row, *whose, BENCH_INSTANCE, BENCH_GUEST_FILE))
                .to_vec()
        })
        .collect()
}

/// For a libvirtd that will be frozen: a guest to stop.
pub(super) fn start_to_be_stopped(environment: &Environment) -> Command {
    environment.command("start", Whose::Ours, BENCH_INSTANCE, BENCH_GUEST_FILE)
}

/// While libvirtd is frozen: a question about the cluster's guest, and the stop of that other one.
pub(super) fn while_frozen(environment: &Environment) -> [Command; 2] {
    [
        environment.command(FROZEN_MONITOR, Whose::Ours, "vm1", GUEST_FILE),
        environment.command(FROZEN_STOP, Whose::Ours, BENCH_INSTANCE, BENCH_GUEST_FILE),
    ]
}
