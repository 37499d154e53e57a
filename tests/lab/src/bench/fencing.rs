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
pub(super) const REQUESTS: usize = 10_000;

const GUEST: &str = "bench";
/// Of Debian's daemon and of ours.
const PORTS: [u16; 2] = [1229, 1230];
/// Ours by tcp: Debian's client listens for its call-back at the port that it sends to.
const TCP_PORT: u16 = 1231;
const BESET_ROUNDS: usize = 20;
const AT_ONCE_ROUNDS: usize = 5;

/// What is measured beside the rows.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Fencing {
    pub(super) together: Vec<Together>,
    pub(super) beset: Vec<Timing>,
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

/// Both daemons, and a guest.
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
        for (name, listeners, port) in
            [("stock", "multicast", PORTS[0]), ("ours", "multicast tcp", PORTS[1])]
        {
            crate::image::write(&stage.at(name), stage.configuration(listeners, port).as_bytes())?;
        }
        let place = stage.directory.display();
        host.side.sh(
            &format!(
                "set -e; cd {place}; ln -sf fence_xvm fence_virt; chmod 600 stock ours\n\
                 (umask 077; head -c 4096 /dev/urandom >key); mkdir -p state\n\
                 ip link set lo multicast on; ip route add 224.0.0.0/4 dev lo\n\
                 ip link add name fv0 type veth peer name fv1; ip addr add 10.96.0.1/24 dev fv0\n\
                 ip link set fv0 up; ip link set fv1 up\n\
                 virsh -q -c qemu:///system create guest.xml"
            ),
            "preparing the guest and the network",
        )?;
        let at = |name: &str| stage.at(name).display().to_string();
        host.side.daemon(
            "stock-virtd",
            &["/usr/sbin/fence_virtd", "-F", "-f", &at("stock"), "-p", &at("stock.pid")],
        )?;
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

    fn configuration(&self, listeners: &str, port: u16) -> String {
        let key = self.at("key").display().to_string();
        format!(
            "fence_virtd {{ listener = \"{listeners}\"; backend = \"libvirt\"; module_path = \"/usr/lib/x86_64-linux-gnu/fence-virt\"; }}\n\
             listeners {{ multicast {{ key_file = \"{key}\"; address = \"225.0.0.12\"; interface = \"lo\"; port = \"{port}\"; }}\n\
             tcp {{ key_file = \"{key}\"; address = \"127.0.0.1\"; port = \"{TCP_PORT}\"; }} }}\n\
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
        let multicast = self.command(BESET[0].to_owned(), Whose::Ours, PORTS[1], &status);
        let mut tcp = self.command(BESET[1].to_owned(), Whose::Ours, TCP_PORT, &status);
        tcp.argv[0] = self.at("fence_virt").display().to_string();
        tcp.argv.extend(["-T", "127.0.0.1"].map(str::to_owned));
        let plan = Beset {
            commands: vec![multicast, tcp],
            rounds: BESET_ROUNDS,
            multicast_port: PORTS[1],
            tcp_port: TCP_PORT,
            key: self.at("key").display().to_string(),
            nowhere: [10, 11, 12].map(|last| format!("10.96.0.{last}:1229")).to_vec(),
        };
        let beset = host.measure("beset", &plan, Duration::from_secs(300))?;
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
        Ok(Fencing { together, beset, daemon })
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
