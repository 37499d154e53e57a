//! What is measured of the agents of DRBD: the recurring monitor, which Pacemaker repeats for ever on both sides of every
//! resource, with a promotion score that is what it was, and with one that is not. In a container, which has no module,
//! stubs say the same to both: stock's tools are scripts, and ours asks a stub of the kernel.

use super::agents::{Whose, label};
use crate::failure::{Failure, Result};
use crate::node::Node;
use crate::programs;
use duet_bench::{Callgrind, Command, Watching};
use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

/// Of a Primary, the score unchanged.
pub(crate) const PRIMARY: &str = "drbd monitor, Primary";
/// Of a Secondary, the score unchanged.
pub(crate) const SECONDARY: &str = "drbd monitor, Secondary";
/// Of a Secondary whose score is another one than it was.
pub(crate) const CHANGED: &str = "drbd monitor, changed";

/// The rows of the table about DRBD.
pub(super) const ROWS: [&str; 3] = [PRIMARY, SECONDARY, CHANGED];

/// How a measured command ends when all is well: a monitor says that the resource is promoted.
pub(super) fn expected(name: &str) -> i32 {
    if name.contains(PRIMARY) { 8 } else { 0 }
}

/// A score that differs from the default one on a node whose data is as good as it gets, and makes no other node of
/// two the better one.
const OTHER_SCORES: &str = "0 10 1000 9990";

/// One monitor of a resource, as Pacemaker calls it.
pub(crate) fn monitor(
    executor: &BTreeMap<String, String>,
    row: &str,
    whose: Whose,
    instance: &str,
    resource: &str,
) -> Command {
    let provider = match whose {
        Whose::Stock => "linbit",
        Whose::Ours => "rust",
    };
    let mut env = executor.clone();
    let interval = if row == PRIMARY { "10000" } else { "20000" };
    for (name, value) in [
        ("OCF_RESOURCE_TYPE", "drbd"),
        ("OCF_RESOURCE_PROVIDER", provider),
        ("OCF_RESOURCE_INSTANCE", instance),
        ("OCF_RESKEY_drbd_resource", resource),
        ("OCF_RESKEY_CRM_meta_name", "monitor"),
        ("OCF_RESKEY_CRM_meta_timeout", "20000"),
        ("OCF_RESKEY_CRM_meta_interval", interval),
        ("OCF_RESKEY_CRM_meta_clone", "0"),
        ("OCF_RESKEY_CRM_meta_clone_max", "2"),
        ("OCF_RESKEY_CRM_meta_clone_node_max", "1"),
        ("OCF_RESKEY_CRM_meta_globally_unique", "false"),
        ("OCF_RESKEY_CRM_meta_promotable", "true"),
        ("OCF_RESKEY_CRM_meta_notify", "true"),
        // Pacemaker 2.1 says both.
        ("OCF_RESKEY_CRM_meta_promoted_max", "1"),
        ("OCF_RESKEY_CRM_meta_promoted_node_max", "1"),
        ("OCF_RESKEY_CRM_meta_master_max", "1"),
        ("OCF_RESKEY_CRM_meta_master_node_max", "1"),
        ("OCF_RESKEY_CRM_meta_role", if row == PRIMARY { "Master" } else { "Slave" }),
    ] {
        env.insert(name.to_owned(), value.to_owned());
    }
    if row == CHANGED {
        env.insert("OCF_RESKEY_adjust_master_score".to_owned(), OTHER_SCORES.to_owned());
    }
    Command {
        name: label(row, whose),
        argv: vec![format!("/usr/lib/ocf/resource.d/{provider}/drbd"), "monitor".to_owned()],
        env,
        callgrind: Callgrind::Never,
    }
}

/// Where the stubs are in the node.
const STUBS: &str = "/root/drbd-stubs";
/// What the agent remembers of the resource that is watched.
const RECORDS: &str = "/root/drbd-stubs/records";

/// The agents of one node without the module, each with its stubs.
pub(super) struct Stubbed {
    executor: BTreeMap<String, String>,
    kernel: BTreeMap<String, String>,
}

impl Stubbed {
    /// Lays the stubs out in the node and starts the kernel's, which ends with the node.
    pub(super) fn prepare(node: &Node, executor: BTreeMap<String, String>) -> Result<Self> {
        let built = programs::build_with(&["drbd", "drbd-watch"], Some("duet-host/stub-kernel"))?;
        node.sh(
            &format!("mkdir -p {STUBS}/bin {STUBS}/linbit {RECORDS}"),
            "making room for the stubs",
        )?;
        for name in ["drbd", "drbd-watchd"] {
            let path = built.join(name);
            let program =
                std::fs::read(&path).map_err(Failure::io(format!("read {}", path.display())))?;
            node.put_program(&format!("{STUBS}/{name}"), &program)?;
        }
        for (name, text) in [("drbdadm", DRBDADM), ("drbdsetup", DRBDSETUP)] {
            node.put_program(&format!("{STUBS}/bin/{name}"), text.as_bytes())?;
        }
        // No module, no /proc/drbd, no device nodes: the stock agent is shown a file in place of each.
        node.sh(
            &format!(
                "cd {STUBS} && cp /usr/lib/ocf/resource.d/linbit/drbd* linbit/ && : >device && : >proc && \
                 sed -i 's#/proc/drbd#{STUBS}/proc#; s#test -b \\$dev#test -e $dev#' linbit/drbd && \
                 grep -q 'test -f {STUBS}/proc' linbit/drbd && grep -q 'test -e $dev' linbit/drbd"
            ),
            "pointing the stock agent to the stubs",
        )?;
        let program = super::PROGRAM;
        let text = node.sh(
            &format!(
                "rm -f {STUBS}/kernel.json; setsid {program} kernel {STUBS}/kernel.json </dev/null >/dev/null 2>&1 & \
                 for i in $(seq 100); do [ -e {STUBS}/kernel.json ] && exec cat {STUBS}/kernel.json; sleep 0.1; done; exit 1"
            ),
            "starting the stub of the kernel",
        )?;
        let kernel = serde_json::from_str(&text).map_err(|error| {
            Failure::broken(format!("The stub of the kernel says {text:?}: {error}"))
        })?;
        Ok(Self { executor, kernel })
    }

    fn command(&self, row: &str, whose: Whose, instance: &str) -> Command {
        let resource = if row == PRIMARY { "r0" } else { "r1" };
        let mut command = monitor(&self.executor, row, whose, instance, resource);
        match whose {
            Whose::Stock => {
                command.argv[0] = format!("{STUBS}/linbit/drbd");
                let path = command.env.get("PATH").cloned().unwrap_or_default();
                command.env.insert("PATH".to_owned(), format!("{STUBS}/bin:{path}"));
                command.callgrind = Callgrind::Tree;
            }
            Whose::Ours => {
                command.argv[0] = format!("{STUBS}/drbd");
                command.env.extend(self.kernel.clone());
                command.callgrind = Callgrind::Alone;
            }
        }
        command
    }

    /// The rows; before each the same once more, so that the row is no first one and none that is due: ours writes its
    /// score once a minute in any case. Beside a changed score, its opposite is what comes before.
    pub(super) fn groups(&self) -> Vec<Vec<Command>> {
        let before =
            |command: Command| Command { name: format!("before {}", command.name), ..command };
        let group = |row: &str, whose: Whose| {
            let (first, instance) = match row {
                PRIMARY => (PRIMARY, "bench_primary"),
                CHANGED => (SECONDARY, "bench_changed"),
                _ => (SECONDARY, "bench_secondary"),
            };
            vec![before(self.command(first, whose, instance)), self.command(row, whose, instance)]
        };
        ROWS.iter().flat_map(|row| Whose::BOTH.map(|whose| group(row, whose))).collect()
    }

    /// The watcher over one resource, whose connection is lost and found.
    pub(super) fn watching(&self, node: &Node, rounds: usize) -> Watching {
        let mut monitor = self.command(SECONDARY, Whose::Ours, "bench_watched");
        monitor.env.insert("HA_RSCTMP".to_owned(), RECORDS.to_owned());
        let state = format!("{RECORDS}/watch.state");
        let program = format!("{STUBS}/drbd-watchd");
        let words = [&program, "--state", &state, "--records", RECORDS, "--node", &node.name];
        let watcher = Command {
            name: "watcher".to_owned(),
            argv: words.map(str::to_owned).to_vec(),
            env: self.executor.clone(),
            callgrind: Callgrind::Never,
        };
        Watching { monitor, watcher, records: RECORDS.to_owned(), rounds }
    }
}

/// How long reading a large answer of the kernel takes, in ms by driver: each the median of hundreds.
pub(super) fn decoding() -> Result<BTreeMap<String, f64>> {
    let doing = "measuring how long the kernel's answers take to read";
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = std::process::Command::new("timeout")
        .arg(Duration::from_secs(1200).as_secs().to_string())
        .arg(cargo)
        .args(["run", "--release", "--locked", "-q", "--manifest-path", programs::MANIFEST])
        .args(["-p", "duet-fake-tools", "--example", "decode_drbd"])
        .stdin(Stdio::null())
        .output()
        .map_err(Failure::io("start cargo"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = |line: &str| -> Option<(String, f64)> {
        let value: serde_json::Value = serde_json::from_str(line).ok()?;
        Some((value["driver"].as_str()?.to_owned(), value["median_us"].as_f64()? / 1e3))
    };
    let all: BTreeMap<String, f64> = text.lines().filter_map(line).collect();
    // It ends badly where it is too slow, which is for the gate to say.
    if all.is_empty() {
        return Err(Failure::Command {
            doing: doing.to_owned(),
            command: "cargo run -p duet-fake-tools --example decode_drbd".to_owned(),
            how: output.status.to_string(),
            output: String::from_utf8_lossy(&output.stderr).into_owned(),
        });
    }
    Ok(all)
}

const DRBDADM: &str = r#"#!/bin/sh
case "$*" in
*--version*) printf 'DRBDADM_BUILDTAG=GIT-hash:\ x\nDRBDADM_API_VERSION=2\nDRBD_KERNEL_VERSION_CODE=0x090200\nDRBD_KERNEL_VERSION=9.2.0\nDRBDADM_VERSION_CODE=0x091600\nDRBDADM_VERSION=9.22.0\n' ;;
*sh-dev*) echo /root/drbd-stubs/device ;;
esac
"#;

const DRBDSETUP: &str = r#"#!/bin/sh
[ "$1" = events2 ] || exit 0
for name; do :; done
case $name in r0) own=Primary peer=Secondary minor=0 ;; *) own=Secondary peer=Primary minor=1 ;; esac
cat <<END
exists resource name:$name role:$own suspended:no write-ordering:flush may_promote:no promotion_score:10101
exists connection name:$name peer-node-id:1 conn-name:peer connection:Connected role:$peer
exists device name:$name volume:0 minor:$minor backing_dev:/dev/vg0/$name disk:UpToDate client:no quorum:yes size:1024 read:0 written:0 al-writes:0 bm-writes:0 upper-pending:0 lower-pending:0 al-suspended:no blocked:no
exists peer-device name:$name peer-node-id:1 conn-name:peer volume:0 replication:Established peer-disk:UpToDate peer-client:no resync-suspended:no received:0 sent:0 out-of-sync:0 pending:0 unacked:0
exists -
END
"#;
