//! `wire`: fence_xvm and fence_virtd, Debian's and ours, in every pairing, on a real libvirt with real guests. It needs
//! no nodes: daemons run on the host side of a lab, clients in a network of their own beside it.

mod matrix;
mod replay;

use crate::failure::{Failure, Result};
use crate::host_side::{HostSide, Life};
use crate::place::Place;
use crate::report::Row;
use crate::topology::Settings;
use crate::{image, programs};
use duet_oracle::eventually;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// As scenarios are named, and what each is about.
pub(crate) const ABOUT: [(&str, &str); 2] = [
    (
        "wire/matrix",
        "fence_xvm and fence_virtd, Debian's and ours, in every pairing, with all hashes, on every transport",
    ),
    (
        "wire/replay",
        "an off that was recorded, sent again: ends a guest by Debian's daemon, and nothing by ours",
    ),
];

/// The ones that `names` ask for, and the names that ask for something else.
pub(crate) fn chosen(names: &[String]) -> (Vec<&'static str>, Vec<String>) {
    let known = ABOUT.map(|(name, _)| name);
    let wanted =
        |name: &&str| names.iter().any(|asked| [*name, "wire", "all"].contains(&asked.as_str()));
    let others = names.iter().filter(|name| *name != "wire" && !known.contains(&name.as_str()));
    (known.into_iter().filter(wanted).collect(), others.cloned().collect())
}

/// Their rows of the table. They share a host side.
pub(crate) fn rows(
    place: &Place,
    settings: &Settings,
    names: &[&'static str],
    tell: &mut dyn FnMut(&str),
) -> Vec<Row> {
    let mut began = Instant::now();
    let mut stage: Option<Stage> = None;
    let mut rows = Vec::new();
    for (name, about) in ABOUT.into_iter().filter(|(name, _)| names.contains(name)) {
        tell(&format!("--- {name}: {about}"));
        let outcome = match stage.take() {
            Some(stage) => Ok(stage),
            None => Stage::set_up(place, settings, tell),
        }
        .and_then(|ready| {
            let stage = stage.insert(ready);
            let ran =
                if name == ABOUT[0].0 { matrix::run(stage, tell) } else { replay::run(stage) };
            stage.end_daemons()?;
            ran
        });
        let row = Row::new(name, &settings.programs, began.elapsed(), outcome, None);
        tell(&row.line());
        rows.push(row);
        began = Instant::now();
    }
    if let Some(failure) = stage.and_then(|stage| stage.host.stop().err()) {
        tell(&format!("taking the host side down: {failure}"));
    }
    rows
}

/// Whose program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    Debian,
    Ours,
}

impl Whose {
    const BOTH: [Self; 2] = [Self::Debian, Self::Ours];

    fn name(self) -> &'static str {
        match self {
            Self::Debian => "Debian's",
            Self::Ours => "ours",
        }
    }
}

/// The guests: one that runs, and one that runs only where a request has it run.
const GUESTS: [(&str, &str); 2] = [
    ("vm1", "d0e70000-0003-4000-8000-000000000001"),
    ("vm2", "d0e70000-0003-4000-8000-000000000002"),
];
/// The daemons' addresses, in the network that the clients share with them.
const V4: &str = "10.99.0.1";
const BOUND: Duration = Duration::from_secs(30);

/// A host side with guests, and a network beside it for clients.
struct Stage {
    host: HostSide,
    /// Where our programs, the key, configurations and logs are.
    dir: String,
}

impl Stage {
    fn set_up(place: &Place, settings: &Settings, tell: &mut dyn FnMut(&str)) -> Result<Self> {
        let image = image::ready(place, &settings.suite, tell)?;
        let built = programs::build(&["fence_xvm", "fence_virtd"])?;
        let host = HostSide::start(place, &image, Life::DiesWithUs)?;
        let stage = Self { host, dir: "/root/wire".to_owned() };
        match stage.furnish(&built) {
            Ok(()) => Ok(stage),
            Err(failure) => {
                stage.host.stop()?;
                Err(failure)
            }
        }
    }

    fn furnish(&self, built: &std::path::Path) -> Result<()> {
        let dir = &self.dir;
        let mut script = format!(
            "set -e; mkdir -p {dir} /run/netns\n\
             dd if=/dev/urandom of={dir}/key bs=512 count=1 status=none\n\
             dd if=/dev/urandom of={dir}/wrong bs=512 count=1 status=none\n\
             chmod 600 {dir}/key {dir}/wrong\n\
             ip netns add client; ip link add daemons type veth peer name clients netns client\n\
             ip addr add {V4}/24 dev daemons; ip -6 addr add fd99::1/64 dev daemons nodad; ip link set daemons up\n\
             ip -n client link set lo up; ip -n client addr add 10.99.0.2/24 dev clients\n\
             ip -n client -6 addr add fd99::2/64 dev clients nodad; ip -n client link set clients up\n"
        );
        for (name, uuid) in GUESTS {
            let _ = write!(
                script,
                "cat >{dir}/{name}.xml <<'END'\n<domain type='qemu'><name>{name}</name><uuid>{uuid}</uuid>\
                 <memory unit='MiB'>16</memory><os><type arch='x86_64' machine='pc'>hvm</type></os>\
                 <devices><emulator>/usr/bin/qemu-system-x86_64</emulator>\
                 <controller type='usb' model='none'/><memballoon model='none'/></devices></domain>\nEND\n\
                 virsh -q -c qemu:///system define {dir}/{name}.xml\n"
            );
        }
        script += "virsh -q -c qemu:///system start vm1\n";
        self.host.sh(&script, "making guests and a network for clients")?;
        for name in ["fence_xvm", "fence_virtd"] {
            let file = built.join(name);
            let content =
                std::fs::read(&file).map_err(Failure::io(format!("read {}", file.display())))?;
            self.host.put_program(&format!("{dir}/{name}"), &content)?;
        }
        self.host.sh(&format!("ln -s fence_xvm {dir}/fence_virt"), "linking a program").map(drop)
    }

    /// Starts a daemon. `listener` is what its listener's section has besides the key and the port.
    fn daemon(&self, whose: Whose, port: u16, kind: &str, listener: &str) -> Result<()> {
        let dir = &self.dir;
        let name = format!("{dir}/{port}");
        let text = format!(
            "fence_virtd {{ listener = \"{kind}\"; backend = \"libvirt\"; \
             module_path = \"/usr/lib/x86_64-linux-gnu/fence-virt\"; }}\n\
             listeners {{ {kind} {{ key_file = \"{dir}/key\"; port = \"{port}\"; {listener} }} }}\n\
             backends {{ libvirt {{ uri = \"qemu:///system\"; }} }}\n"
        );
        let program = match whose {
            Whose::Debian => "/usr/sbin/fence_virtd".to_owned(),
            Whose::Ours => format!("{dir}/fence_virtd"),
        };
        // Debian's has no state; of ours, each instance has its own.
        let script = format!(
            "cat >{name}.conf <<'END'\n{text}END\nchmod 600 {name}.conf\nexport STATE_DIRECTORY={name}.state\n\
             setsid --fork {program} -F -d 1 -f {name}.conf -p {name}.pid </dev/null >>{name}.log 2>&1"
        );
        self.host.sh(&script, "starting a daemon").map(drop)
    }

    /// Waits until somebody listens on each of these ports.
    fn listen(&self, ports: &[u16]) -> Result<()> {
        eventually(BOUND, "the daemons to listen", || {
            let seen = self
                .host
                .sh("ss -Hlntu", "looking for daemons")
                .map_err(|error| error.to_string())?;
            let deaf: Vec<_> = ports
                .iter()
                .filter(|port| {
                    !seen.split_whitespace().any(|word| word.ends_with(&format!(":{port}")))
                })
                .collect();
            if deaf.is_empty() { Ok(()) } else { Err(format!("nobody listens on {deaf:?}")) }
        })?;
        Ok(())
    }

    /// Ends all daemons of this stage.
    fn end_daemons(&self) -> Result<()> {
        let script = "p=$(pidof fence_virtd) || exit 0; kill -9 $p; \
                      timeout 20 sh -c 'while pidof fence_virtd >/dev/null; do sleep 0.1; done'";
        self.host.sh(script, "ending the daemons").map(drop)
    }

    /// What a guest is, in libvirt's words.
    fn state(&self, guest: &str) -> Result<String> {
        let seen = self.host.virsh("qemu:///system", &["domstate", guest])?;
        Ok(seen.success("asking for a guest's state")?.trim().to_owned())
    }

    /// A client's path.
    fn client(&self, whose: Whose, name: &str) -> String {
        match whose {
            Whose::Debian => format!("/usr/sbin/{name}"),
            Whose::Ours => format!("{}/{name}", self.dir),
        }
    }

    /// Runs a client where clients are; its status and what it said.
    fn ask(&self, client: &str, options: &str) -> Result<(i32, String)> {
        let script = format!("exec ip netns exec client {client} {options} 2>&1");
        let ran = self.host.run(&["sh", "-c", &script], BOUND)?;
        Ok((ran.status, ran.stdout))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_taken_from_the_names() {
        let names =
            |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let (wires, others) = chosen(&names(&["wire/replay", "containers"]));
        assert_eq!((wires, others), (vec!["wire/replay"], names(&["containers"])));
        assert_eq!(chosen(&names(&["wire"])).0.len(), 2);
        let (wires, others) = chosen(&names(&["all"]));
        assert_eq!((wires.len(), others), (2, names(&["all"])));
        assert!(chosen(&names(&["machines"])).0.is_empty());
    }
}
