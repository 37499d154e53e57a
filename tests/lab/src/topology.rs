//! Bringing a lab up and down: two kinds of nodes on the same two networks, `br77` and `br78`,
//! which have no way out of the lab.

use crate::executed;
use crate::failure::{Failure, Result};
use crate::host_side::{HostSide, Life};
use crate::image::{self, Image};
use crate::node::{Cable, LINE, Node, agent_socket, host_device, lines};
use crate::node_files::{self, Init, Kind, index};
use crate::place::{Alive, Place};
use crate::programs::Programs;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// Which lab.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Topology {
    /// Nodes are libvirt LXC domains: seconds to a cluster, no DRBD.
    Containers,
    /// Nodes are QEMU machines with Debian's kernel and its DRBD module.
    Machines,
}

impl Topology {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Containers => "containers",
            Self::Machines => "machines",
        }
    }

    fn kind(self) -> Kind {
        match self {
            Self::Containers => Kind::Container,
            Self::Machines => Kind::Machine,
        }
    }
}

/// What a lab is made of.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) topology: Topology,
    /// How many nodes, 2 or 3.
    pub(crate) nodes: u8,
    /// Debian release of the nodes.
    pub(crate) suite: String,
    pub(crate) init: Init,
    /// Memory of a machine, in MiB.
    pub(crate) memory: u32,
    pub(crate) programs: Programs,
}

/// A lab that is up.
#[derive(Debug)]
pub(crate) struct Lab {
    pub(crate) host: HostSide,
    pub(crate) nodes: Vec<Node>,
    pub(crate) topology: Topology,
    /// Seconds from nothing to a shell in every node.
    pub(crate) up_in: Duration,
    place: Place,
}

impl Lab {
    /// Builds the image if needed and boots every node. The caller holds the
    /// place's lock.
    pub(crate) fn up(
        place: &Place,
        settings: &Settings,
        life: Life,
        tell: &mut dyn FnMut(&str),
    ) -> Result<Self> {
        clear_stale(place, tell)?;
        let image = image::ready(place, &settings.suite, tell)?;
        let began = Instant::now();
        wipe(place)?;
        let host = HostSide::start(place, &image, life)?;
        let names: Vec<String> =
            (1..=settings.nodes).map(|number| format!("node{number}")).collect();
        let alive = Alive {
            holder: host.holder,
            topology: settings.topology.name().to_owned(),
            nodes: names.clone(),
            stays: life == Life::Stays,
            image: image.dir.clone(),
        };
        let text = serde_json::to_string_pretty(&alive).expect("a record of plain fields is JSON");
        image::write(&place.file("lab.json"), text.as_bytes())?;
        let kind = settings.topology.kind();
        let nodes: Vec<Node> = names.iter().map(|name| Node::new(name, kind, &host)).collect();
        let mut lab = Self {
            host,
            nodes,
            topology: settings.topology,
            up_in: Duration::ZERO,
            place: place.clone(),
        };
        if let Err(failure) = lab.make_nodes(settings, &image) {
            // What a half-made lab can tell is worth more than the half-made lab.
            drop(lab.collect_logs(&place.reports.join("failed-up")));
            lab.down()?;
            return Err(failure);
        }
        lab.up_in = began.elapsed();
        Ok(lab)
    }

    fn make_nodes(&self, settings: &Settings, image: &Image) -> Result<()> {
        self.make_networks(settings)?;
        let key = random_key().map_err(Failure::io("make a fencing key"))?;
        image::write(&self.place.file("fence_xvm.key"), &key)?;
        for node in &self.nodes {
            let staging = self.place.file(&format!("{}.files", node.name));
            node_files::write(&staging, &node.name, node.kind, &settings.programs, &key)?;
            let definition = match node.kind {
                Kind::Machine => self.make_machine(node, settings, image, &staging)?,
                Kind::Container => self.make_container(node, image, &staging)?,
            };
            let path = self.place.file(&format!("{}.xml", node.name));
            image::write(&path, definition.as_bytes())?;
            self.host
                .virsh(uri(node.kind), &["define", &path.to_string_lossy()])?
                .success("defining a node")?;
        }
        let boots: Vec<Result<()>> = std::thread::scope(|scope| {
            let starts: Vec<_> =
                self.nodes.iter().map(|node| scope.spawn(|| node.boot())).collect();
            starts.into_iter().map(|start| start.join().expect("a boot does not panic")).collect()
        });
        boots.into_iter().collect()
    }

    fn make_networks(&self, settings: &Settings) -> Result<()> {
        let mut script = String::from("set -e\n");
        // Addresses of their own: a bridge without one takes its lowest port's, and changes it with the
        // power of a node, so that for seconds nobody else reaches the host side either.
        for net in [77, 78] {
            script += &format!(
                "ip link add br{net} address 52:54:00:{net}:00:fe type bridge mcast_snooping 0 forward_delay 0\n\
                 ip addr add 10.{net}.0.254/24 dev br{net}\nip link set br{net} up\n"
            );
        }
        script += "ip route add 224.0.0.0/4 dev br77\n";
        if settings.topology == Topology::Machines {
            for node in &self.nodes {
                for (net, cable) in [(77, Cable::Cluster), (78, Cable::Replication)] {
                    let device = host_device(&node.name, cable);
                    script += &format!(
                        "ip tuntap add dev {device} mode tap\nip link set {device} master br{net} up\n"
                    );
                }
            }
        }
        self.host.sh(&script, "making the lab's networks").map(drop)
    }

    /// Disks of a machine, and the definition that mirrors what a hypervisor's administrator has.
    /// One processor, with room for a second: where there is room for one only, QEMU before 8.1 leaves the guest's memory barriers
    /// out (commit c914d46d0a64), and a device and its driver may each wait for the other to speak first.
    fn make_machine(
        &self,
        node: &Node,
        settings: &Settings,
        image: &Image,
        staging: &Path,
    ) -> Result<String> {
        let file =
            |name: &str| self.place.file(&format!("{}.{name}", node.name)).display().to_string();
        let [root, data, files, spare0, spare1, console] =
            ["root.qcow2", "data.img", "files.tar", "spare0.img", "spare1.img", "console"]
                .map(file);
        node_files::pack(staging, Path::new(&files))?;
        self.host.sh(
            &format!(
                "qemu-img create -q -f qcow2 -F raw -b {}/base.img {root} && truncate -s 64M {data} && \
                 truncate -s 16M {spare0} {spare1} && \
                 truncate -s %1M {files} && mkdir -p {lines}",
                image.dir.display(),
                lines = lines(&self.place.run).display()
            ),
            "making a machine's disks",
        )?;
        let init = match settings.init {
            Init::Lab => "/usr/local/sbin/lab-init",
            Init::Systemd => "/lib/systemd/systemd",
        };
        let disk = |path: &str, kind: &str, cache: &str, target: &str| {
            format!(
                "<disk type='file' device='disk'><driver name='qemu' type='{kind}' cache='{cache}'/>\
                 <source file='{path}'/><target dev='{target}' bus='virtio'/></disk>\n"
            )
        };
        let number = index(&node.name);
        let interface = |cable: Cable, net: u8| {
            format!(
                "<interface type='ethernet'><mac address='52:54:00:{net}:00:{number:02}'/>\
                 <target dev='{}' managed='no'/><model type='virtio'/><rom enabled='no'/></interface>\n",
                host_device(&node.name, cable)
            )
        };
        Ok(format!(
            "<domain type='qemu'>\n<name>{name}</name>\n<uuid>{uuid}</uuid>\n\
             <memory unit='MiB'>{memory}</memory><vcpu current='1'>2</vcpu>\n\
             <os><type arch='x86_64' machine='pc'>hvm</type><kernel>{image}/vmlinuz</kernel>\
             <initrd>{image}/initrd.img</initrd>\n\
             <cmdline>console=ttyS0 quiet panic=10 mitigations=off norandmaps transparent_hugepage=never tsc=reliable no_timer_check \
             net.ifnames=0 audit=0 lab.init={init}</cmdline></os>\n<features><acpi/></features>\n\
             <on_poweroff>destroy</on_poweroff><on_reboot>restart</on_reboot><on_crash>destroy</on_crash>\n\
             <devices><emulator>/usr/bin/qemu-system-x86_64</emulator>\n{root}{data}{files}{spare0}{spare1}{eth0}{eth1}\
             <serial type='file'><source path='{console}'/></serial>\n\
             <channel type='unix'><source mode='bind' path='{agent}'/>\
             <target type='virtio' name='lab.agent.0'/></channel>\n\
             <serial type='unix'><source mode='bind' path='{lines}/{name}.serial'/><target port='1'/></serial>\n\
             <channel type='unix'><source mode='bind' path='{lines}/{name}.channel'/>\
             <target type='virtio' name='{LINE}'/></channel>\n\
             <channel type='file'><source path='{executed}' append='on'/>\
             <target type='virtio' name='{port}'/></channel>\n\
             <memballoon model='none'/></devices>\n</domain>\n",
            name = node.name,
            uuid = uuid(&node.name),
            memory = settings.memory,
            image = image.dir.display(),
            root = disk(&root, "qcow2", "unsafe", "vda"),
            data = disk(&data, "raw", "writeback", "vdb"),
            files = disk(&files, "raw", "writeback", "vdc"),
            spare0 = disk(&spare0, "raw", "writeback", "vdd"),
            spare1 = disk(&spare1, "raw", "writeback", "vde"),
            eth0 = interface(Cable::Cluster, 77),
            eth1 = interface(Cable::Replication, 78),
            agent = agent_socket(&self.place.run, &node.name).display(),
            lines = lines(&self.place.run).display(),
            // What was written before a reboot stays.
            executed = executed::port_file(&self.host, &node.name).display(),
            port = executed::PORT,
        ))
    }

    /// An overlay over the tree for a container's root, and its definition.
    fn make_container(&self, node: &Node, image: &Image, staging: &Path) -> Result<String> {
        let base = format!("/lab/{}", node.name);
        let script = format!(
            "set -e; mountpoint -q /lab || {{ mkdir -p /lab; mount -t tmpfs -o mode=755 lab /lab; }}\n\
             mkdir -p {base}/upper {base}/work {base}/root; cp -a {staging}/. {base}/upper/\n\
             mount -t overlay -o lowerdir={image}/tree,upperdir={base}/upper,workdir={base}/work lab {base}/root\n\
             chown -R root:root {base}/upper",
            staging = staging.display(),
            image = image.dir.display()
        );
        self.host.sh(&script, "making a container's root")?;
        let number = index(&node.name);
        let interface = |cable: Cable, net: u8, device: &str| {
            format!(
                "<interface type='bridge'><source bridge='br{net}'/>\
                 <mac address='52:54:00:{net}:00:{number:02}'/><target dev='{}'/><guest dev='{device}'/>\
                 <ip address='10.{net}.0.{number}' family='ipv4' prefix='24'/></interface>\n",
                host_device(&node.name, cable)
            )
        };
        Ok(format!(
            "<domain type='lxc'>\n<name>{name}</name>\n<uuid>{uuid}</uuid>\n\
             <memory unit='MiB'>4096</memory><vcpu>2</vcpu>\n\
             <os><type arch='x86_64'>exe</type><init>/usr/local/sbin/lab-init</init>\
             <initenv name='LAB_NODE'>{name}</initenv><initenv name='LAB_RUN'>{run}</initenv></os>\n\
             <features><capabilities policy='allow'/></features>\n\
             <on_poweroff>destroy</on_poweroff><on_reboot>restart</on_reboot><on_crash>destroy</on_crash>\n\
             <devices><emulator>/usr/lib/libvirt/libvirt_lxc</emulator>\n\
             <filesystem type='mount' accessmode='passthrough'><source dir='{base}/root'/><target dir='/'/>\
             </filesystem>\n{eth0}{eth1}<console type='pty'/>\n\
             <hostdev mode='capabilities' type='misc'><source><char>/dev/net/tun</char></source></hostdev>\n\
             </devices>\n</domain>\n",
            name = node.name,
            uuid = uuid(&node.name),
            run = self.place.run.display(),
            eth0 = interface(Cable::Cluster, 77, "eth0"),
            eth1 = interface(Cable::Replication, 78, "eth1"),
        ))
    }

    /// A node by its name.
    pub(crate) fn node(&self, name: &str) -> Result<&Node> {
        self.nodes.iter().find(|node| node.name == name).ok_or_else(|| {
            let known: Vec<&str> = self.nodes.iter().map(|node| node.name.as_str()).collect();
            Failure::Refused(format!("No node {name:?}; there are {}", known.join(", ")))
        })
    }

    /// The lab that an earlier `up` left running.
    pub(crate) fn attach(place: &Place) -> Result<Self> {
        let alive = place.lab().ok_or_else(|| {
            Failure::Refused(format!(
                "No lab is up in {}: `cargo run -p lab -- up machines`",
                place.run.display()
            ))
        })?;
        let host = HostSide::of(place, &alive);
        let topology = if alive.topology == Topology::Machines.name() {
            Topology::Machines
        } else {
            Topology::Containers
        };
        let nodes =
            alive.nodes.iter().map(|name| Node::new(name, topology.kind(), &host)).collect();
        Ok(Self { host, nodes, topology, up_in: Duration::ZERO, place: place.clone() })
    }

    /// Keeps the logs of every node and of the host side in a directory of their own.
    pub(crate) fn collect_logs(&self, into: &Path) -> Result<()> {
        fs::create_dir_all(into).map_err(Failure::io(format!("create {}", into.display())))?;
        for node in &self.nodes {
            let script = "for f in /var/log/pacemaker/pacemaker.log /var/log/corosync/corosync.log \
                /var/log/libvirt/qemu/*.log /run/lab/*; do [ -f \"$f\" ] && { echo \"==> $f\"; tail -n 3000 \"$f\"; }; \
                done; echo '==> dmesg'; dmesg 2>/dev/null | tail -n 300; echo '==> status'; timeout 20 crm_mon -1rnf 2>&1; \
                echo '==> writes'; cat /proc/drbd /sys/kernel/debug/drbd/resources/*/in_flight_summary 2>/dev/null; \
                for t in /proc/[0-9]*/task/[0-9]*; do read -r _ name state _ 2>/dev/null <$t/stat && [ \"$state\" = D ] && \
                { echo \"$t $name\"; cat $t/stack; }; done; timeout 5 virsh -q domblkstat vm1 2>&1; \
                timeout 5 virsh -q qemu-monitor-command vm1 --hmp 'info registers' 2>&1 | head -n 4";
            let text = match node.run(script, Duration::from_secs(40)) {
                Ok(ran) => ran.stdout,
                Err(error) => format!("{error}\n"),
            };
            image::write(&into.join(format!("{}.log", node.name)), text.as_bytes())?;
        }
        for entry in fs::read_dir(&self.place.run).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let text = name.to_string_lossy();
            if text.ends_with(".log") || text.ends_with(".console") {
                // A log that cannot be copied is no reason to lose the others.
                drop(fs::copy(entry.path(), into.join(&name)));
            }
        }
        Ok(())
    }

    /// Ends everything and removes every file of this lab but collected logs.
    pub(crate) fn down(&self) -> Result<()> {
        take_down(&self.place, &self.host)
    }
}

fn take_down(place: &Place, host: &HostSide) -> Result<()> {
    host.stop()?;
    wipe(place)?;
    drop(fs::remove_file(place.file("lab.json")));
    Ok(())
}

/// A lab of an earlier command: one that was meant to stay is not ours to end.
fn clear_stale(place: &Place, tell: &mut dyn FnMut(&str)) -> Result<()> {
    let Some(alive) = place.lab() else { return Ok(()) };
    if alive.stays {
        return Err(Failure::Refused(format!(
            "A {} lab is up in {}: take it down with `cargo run -p lab -- down`, or give this one a \
             directory of its own with DUET_LAB_DIR",
            alive.topology,
            place.run.display()
        )));
    }
    tell("taking down a lab that a killed command left behind");
    take_down(place, &HostSide::of(place, &alive))
}

/// Removes everything but the lock and the reports.
fn wipe(place: &Place) -> Result<()> {
    for entry in fs::read_dir(&place.run).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if [".duet-lab", "lock", "holder", "reports"].iter().any(|kept| name == *kept) {
            continue;
        }
        let path = entry.path();
        let removed =
            if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.map_err(Failure::io(format!("remove {}", path.display())))?;
    }
    Ok(())
}

fn uri(kind: Kind) -> &'static str {
    match kind {
        Kind::Machine => "qemu:///system",
        Kind::Container => "lxc:///system",
    }
}

/// What libvirt knows a node by, besides its name.
pub(crate) fn uuid(node: &str) -> String {
    format!("d0e70000-0077-4000-8000-0000000000{:02}", index(node))
}

fn random_key() -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let mut key = vec![0; 512];
    fs::File::open("/dev/urandom")?.read_exact(&mut key)?;
    Ok(key)
}
