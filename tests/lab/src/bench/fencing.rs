//! What is measured of fence_xvm and fence_virtd, on the host side of a lab with its libvirtd and a guest: each client alone
//! against one daemon, twenty at once, one beside hostile peers, and a daemon after thousands of requests. All speak over
//! the loopback, so that no network is in the figures.

use super::agents::{BENCH_GUEST, Whose, label};
use super::on_host::{self, Host};
use crate::failure::{Failure, Result};
use crate::host_side::PATH;
use crate::programs;
use duet_bench::{Beset, Callgrind, Command, Plan, Timing, Together};
use serde::Serialize;
use std::path::PathBuf;
use std::time::Duration;

/// Both clients against our daemon.
pub(super) const ROWS: [&str; 3] = ["fence_xvm metadata", "fence_xvm list", "fence_xvm status"];
/// Each client against its own daemon.
pub(super) const AT_ONCE: usize = 20;
pub(super) const TOGETHER: &str = "fence_xvm status";
/// Ours, over multicast and over tcp.
pub(super) const BESET: [&str; 2] = ["fence_xvm status, beset", "fence_virt status, beset"];
/// The same of Debian's daemons, one for each way: it has one listener at a time.
pub(super) const BESET_STOCK: [&str; 2] =
    ["fence_xvm status, beset, stock", "fence_virt status, beset, stock"];
/// A guest switched by libvirt alone, by us, and by Debian's client and daemon.
pub(super) const POWER: [&str; 2] = ["fence_xvm off", "fence_xvm on"];
pub(super) const BY: [&str; 3] = ["libvirt alone", "ours", "stock"];
pub(super) const REQUESTS: usize = 10_000;

const GUEST: &str = "bench";
/// Of Debian's daemon and of ours.
const PORTS: [u16; 2] = [1229, 1230];
/// Ours by tcp: Debian's client listens for its call-back at the port that it sends to.
const TCP_PORT: u16 = 1231;
/// Debian's by tcp.
const STOCK_TCP_PORT: u16 = 1232;
const BESET_ROUNDS: usize = 20;
/// Of what takes Debian's daemons most of a minute.
const BESET_ROUNDS_STOCK: usize = 1;
const POWER_ROUNDS: usize = 15;
/// The guest that is switched. Nothing runs in it, so it comes and goes as fast as QEMU does.
const POWERED: &str = "powered";
const AT_ONCE_ROUNDS: usize = 5;

/// What is measured beside the rows.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Fencing {
    pub(super) together: Vec<Together>,
    pub(super) beset: Vec<Timing>,
    /// Off and on, by each.
    pub(super) power: Vec<Timing>,
    /// Our daemon after all requests.
    pub(super) daemon: Option<Daemon>,
}

/// What a daemon takes.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Daemon {
    /// The most it had in memory.
    pub(super) peak_kib: u64,
    pub(super) descriptors_before: u64,
    pub(super) descriptors_after: u64,
}

/// The name of a row about a guest's power.
pub(super) fn power_label(row: &str, by: &str) -> String {
    format!("{row}, {by}")
}

/// All daemons, and the guests.
pub(super) struct Stage {
    directory: PathBuf,
}

impl Stage {
    /// Starts all that is asked.
    pub(super) fn prepare(host: &Host) -> Result<Self> {
        let built = programs::build(&["fence_xvm", "fence_virtd"])?;
        let directory = host.directory.join("fencing");
        std::fs::create_dir_all(&directory)
            .map_err(Failure::io(format!("create {}", directory.display())))?;
        for name in ["fence_xvm", "fence_virtd"] {
            on_host::copy(&built.join(name), &directory.join(name))?;
        }
        let stage = Self { directory };
        crate::image::write(&stage.at("guest.xml"), BENCH_GUEST.as_bytes())?;
        let powered = BENCH_GUEST.replace("<name>bench<", &format!("<name>{POWERED}<"));
        crate::image::write(&stage.at("powered.xml"), powered.as_bytes())?;
        for (name, listeners, ports) in [
            ("stock", "multicast", [PORTS[0], 0]),
            ("stock-tcp", "tcp", [0, STOCK_TCP_PORT]),
            ("ours", "multicast tcp", [PORTS[1], TCP_PORT]),
        ] {
            let text = stage.configuration(listeners, ports);
            crate::image::write(&stage.at(name), text.as_bytes())?;
        }
        let place = stage.directory.display();
        host.side.sh(
            &format!(
                "set -e; cd {place}; ln -sf fence_xvm fence_virt; chmod 600 stock stock-tcp ours\n\
                 (umask 077; head -c 4096 /dev/urandom >key); mkdir -p state\n\
                 ip link set lo multicast on; ip route add 224.0.0.0/4 dev lo\n\
                 ip link add name fv0 type veth peer name fv1; ip addr add 10.96.0.1/24 dev fv0\n\
                 ip link set fv0 up; ip link set fv1 up\n\
                 virsh -q -c qemu:///system create guest.xml\n\
                 virsh -q -c qemu:///system define powered.xml; virsh -q -c qemu:///system start {POWERED}"
            ),
            "preparing the guest and the network",
        )?;
        let at = |name: &str| stage.at(name).display().to_string();
        for name in ["stock", "stock-tcp"] {
            let pid = at(&format!("{name}.pid"));
            host.side.daemon(
                &format!("{name}-virtd"),
                &["/usr/sbin/fence_virtd", "-F", "-f", &at(name), "-p", &pid],
            )?;
        }
        let state = format!("STATE_DIRECTORY={}", at("state"));
        host.side.daemon(
            "our-virtd",
            &["env", &state, &at("fence_virtd"), "-F", "-f", &at("ours"), "-p", &at("ours.pid")],
        )?;
        for port in PORTS {
            duet_oracle::eventually(Duration::from_secs(20), "a fencing daemon", || {
                let words = [
                    "/usr/sbin/fence_xvm",
                    "-k",
                    &at("key"),
                    "-p",
                    &port.to_string(),
                    "-t",
                    "2",
                    "-o",
                    "list",
                ];
                let ran = host
                    .side
                    .run(&words, Duration::from_secs(10))
                    .map_err(|error| error.to_string())?;
                if ran.status == 0 {
                    Ok(())
                } else {
                    Err(format!("port {port}: {}{}", ran.stdout, ran.stderr))
                }
            })?;
        }
        Ok(stage)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn configuration(&self, listeners: &str, [multicast, tcp]: [u16; 2]) -> String {
        let key = self.at("key").display().to_string();
        format!(
            "fence_virtd {{ listener = \"{listeners}\"; backend = \"libvirt\"; module_path = \"/usr/lib/x86_64-linux-gnu/fence-virt\"; }}\n\
             listeners {{ multicast {{ key_file = \"{key}\"; address = \"225.0.0.12\"; interface = \"lo\"; port = \"{multicast}\"; }}\n\
             tcp {{ key_file = \"{key}\"; address = \"127.0.0.1\"; port = \"{tcp}\"; }} }}\n\
             backends {{ libvirt {{ uri = \"qemu:///system\"; }} }}\n"
        )
    }

    fn command(&self, name: String, whose: Whose, port: u16, words: &[&str]) -> Command {
        let program = match whose {
            Whose::Stock => "/usr/sbin/fence_xvm".to_owned(),
            Whose::Ours => self.at("fence_xvm").display().to_string(),
        };
        let key = self.at("key").display().to_string();
        let port = port.to_string();
        let mut argv = vec![program];
        if words != ["-o", "metadata"] {
            argv.extend(["-k", &key, "-p", &port].map(str::to_owned));
        }
        argv.extend(words.iter().map(|word| (*word).to_owned()));
        let env = [("PATH".to_owned(), PATH.to_owned())].into();
        Command { name, argv, env, callgrind: Callgrind::Never }
    }

    pub(super) fn groups(&self) -> Vec<Vec<Command>> {
        let words: [&[&str]; 3] =
            [&["-o", "metadata"], &["-o", "list"], &["-o", "status", "-H", GUEST]];
        let one = |row: &str, words: &[&str], whose| {
            vec![self.command(label(row, whose), whose, PORTS[1], words)]
        };
        ROWS.iter()
            .zip(words)
            .flat_map(|(row, words)| Whose::BOTH.map(|whose| one(row, words, whose)))
            .collect()
    }

    /// What is measured beside the rows.
    pub(super) fn beside(&self, host: &Host, tell: &mut dyn FnMut(&str)) -> Result<Fencing> {
        let status = ["-o", "status", "-H", GUEST];
        tell(&format!("host side: {AT_ONCE} clients at once"));
        let both = Whose::BOTH.into_iter().zip(PORTS);
        let groups = both
            .map(|(whose, port)| vec![self.command(label(TOGETHER, whose), whose, port, &status)])
            .collect();
        let plan = Plan { rounds: AT_ONCE_ROUNDS, warm_up: 1, groups, at_once: AT_ONCE };
        let together = host.measure("together", &plan, Duration::from_secs(300))?;
        let descriptors_before = self.descriptors(host)?;
        tell("host side: clients beside hostile peers");
        let mut beset = self.beset(host, Whose::Ours)?;
        beset.extend(self.beset(host, Whose::Stock)?);
        tell(&format!("host side: a guest off and on, {POWER_ROUNDS} rounds"));
        let plan = Plan { rounds: POWER_ROUNDS, warm_up: 1, groups: self.power(host), at_once: 0 };
        let power = host.measure("rounds", &plan, Duration::from_secs(300))?;
        tell(&format!("host side: {REQUESTS} requests"));
        let client = self.command(String::new(), Whose::Ours, PORTS[1], &status).argv.join(" ");
        let script = format!(
            "i=0; while [ $i -lt {REQUESTS} ]; do {client} >/dev/null || exit 1; i=$((i+1)); done"
        );
        host.side
            .run(&["sh", "-c", &script], Duration::from_secs(300))?
            .success("asking thousands of times")?;
        // What hostile peers had is given back by now.
        let descriptors_after = self.descriptors(host)?;
        let peak = self
            .of_daemon(host, "sed -n 's/^VmHWM:[^0-9]*\\([0-9]*\\) kB/\\1/p' /proc/$pid/status")?;
        let daemon = Some(Daemon { peak_kib: peak, descriptors_before, descriptors_after });
        Ok(Fencing { together, beset, power, daemon })
    }

    /// Off and on, each pair in one piece, so that the next finds the guest running.
    fn power(&self, host: &Host) -> Vec<Vec<Command>> {
        let pair = |by: &str, words: &dyn Fn(&str) -> Command| {
            let both = POWER.into_iter().zip(["off", "on"]);
            both.map(|(row, way)| Command { name: power_label(row, by), ..words(way) }).collect()
        };
        let alone = |way: &str| host.own("power", &[way, "qemu:///system", POWERED]);
        let by = |whose, port| {
            move |way: &str| self.command(String::new(), whose, port, &["-o", way, "-H", POWERED])
        };
        vec![
            pair(BY[0], &alone),
            pair(BY[1], &by(Whose::Ours, PORTS[1])),
            pair(BY[2], &by(Whose::Stock, PORTS[0])),
        ]
    }

    /// Clients beside hostile peers, by multicast and by tcp. Debian's client and daemon are each given time: it serves one after the
    /// other, so a client waits for all who came before it.
    fn beset(&self, host: &Host, whose: Whose) -> Result<Vec<Timing>> {
        let status = ["-o", "status", "-H", GUEST, "-t", "120"];
        let (names, ports, rounds) = match whose {
            Whose::Ours => (BESET, [PORTS[1], TCP_PORT], BESET_ROUNDS),
            Whose::Stock => (BESET_STOCK, [PORTS[0], STOCK_TCP_PORT], BESET_ROUNDS_STOCK),
        };
        let multicast = self.command(names[0].to_owned(), whose, ports[0], &status);
        let mut tcp = self.command(names[1].to_owned(), whose, ports[1], &status);
        tcp.argv[0] = tcp.argv[0].replace("fence_xvm", "fence_virt");
        tcp.argv.extend(["-T", "127.0.0.1"].map(str::to_owned));
        // Ours has both ways in one daemon, so all hostile peers are there for both.
        let plans = match whose {
            Whose::Ours => vec![(vec![multicast, tcp], [Some(ports[0]), Some(ports[1])])],
            Whose::Stock => {
                vec![(vec![multicast], [Some(ports[0]), None]), (vec![tcp], [None, Some(ports[1])])]
            }
        };
        let mut all = Vec::new();
        for (commands, [multicast_port, tcp_port]) in plans {
            let plan = Beset {
                commands,
                rounds,
                multicast_port,
                tcp_port,
                key: self.at("key").display().to_string(),
                nowhere: [10, 11, 12].map(|last| format!("10.96.0.{last}:1229")).to_vec(),
            };
            all.extend(host.measure::<Vec<Timing>>("beset", &plan, Duration::from_secs(300))?);
        }
        Ok(all)
    }

    fn descriptors(&self, host: &Host) -> Result<u64> {
        // Those of peers that have just gone are closed at once, those of hostile ones within their time.
        let count = || self.of_daemon(host, "ls /proc/$pid/fd | wc -l");
        let mut least = count()?;
        for _ in 0..30 {
            std::thread::sleep(Duration::from_millis(500));
            let now = count()?;
            if now >= least {
                return Ok(least);
            }
            least = now;
        }
        Ok(least)
    }

    /// A number about our daemon.
    fn of_daemon(&self, host: &Host, script: &str) -> Result<u64> {
        let program = self.at("fence_virtd");
        let text = host.side.sh(
            &format!("pid=$(pgrep -o -f '^{} -F') && {script}", program.display()),
            "looking at our daemon",
        )?;
        text.trim()
            .parse()
            .map_err(|_| Failure::broken(format!("Not a number of our daemon: {text:?}")))
    }
}
