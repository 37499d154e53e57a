//! The texts an administrator would write for the labs' clusters: corosync, DRBD, Pacemaker and the
//! guest. One place for every address, time and policy that scenarios rely on.

use crate::node::Node;
use crate::node_files::{Kind, index};
use crate::programs::Programs;
use std::fmt::Write as _;

/// Where the guest's serial port and the nodes' logs are heard, on the host side.
pub(crate) const HOST_ADDRESS: &str = "10.77.0.254";
pub(crate) const SERIAL_PORT: u16 = 5555;
pub(crate) const SYSLOG_PORT: u16 = 514;
pub(crate) const NBD_PORT: u16 = 10809;
/// The guest's replicated resource in every node of machines.
pub(crate) const DRBD_FILE: &str = "/etc/drbd.d/r0.res";
/// The guest's definition in every node.
pub(crate) const GUEST_FILE: &str = "/etc/libvirt/qemu/vm1.xml";
pub(crate) const GUEST_UUID: &str = "d0e70000-0001-4000-8000-000000000001";
/// Where many small guests have their disks, and before the first one's serial port.
pub(crate) const SMALL_GUESTS_NBD_PORT: u16 = 10810;
pub(crate) const SMALL_GUESTS_PORT: u16 = 5600;

/// corosync.conf of all nodes: both networks, a token of `token` ms. With two nodes `two_node`
/// implies `wait_for_all`, so a node that boots alone neither fences nor takes over.
pub(crate) fn corosync(nodes: &[Node], token: u32) -> String {
    // corosync wants nothing after an opening brace and a closing one on its own line.
    let mut text = format!(
        "totem {{\n  version: 2\n  cluster_name: lab\n  transport: knet\n  token: {token}\n  \
         crypto_cipher: none\n  crypto_hash: none\n}}\nnodelist {{\n"
    );
    for node in nodes {
        let number = index(&node.name);
        let _ = write!(
            text,
            "  node {{\n    name: {}\n    nodeid: {number}\n    ring0_addr: 10.77.0.{number}\n    \
             ring1_addr: 10.78.0.{number}\n  }}\n",
            node.name
        );
    }
    text += "}\nquorum {\n  provider: corosync_votequorum\n";
    if nodes.len() == 2 {
        text += "  two_node: 1\n";
    }
    text += "}\nlogging {\n  to_syslog: yes\n  to_logfile: yes\n  logfile: /var/log/corosync/corosync.log\n  \
             to_stderr: no\n  timestamp: hires\n}\nsystem {\n  sched_rr: no\n}\n";
    text
}

/// What DRBD does when it loses its peer, and when that is whole again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Handlers {
    /// The command line of `fence-peer`.
    pub(crate) fence: String,
    /// The command line of `unfence-peer`.
    pub(crate) unfence: String,
    /// The option `fencing`.
    pub(crate) policy: &'static str,
}

impl Handlers {
    /// The handlers of `programs`, as an administrator would write them.
    pub(crate) fn of(programs: &Programs) -> Self {
        Self::at(programs.called("crm-fence-peer"))
    }

    /// The same, asking Pacemaker with its tools, of which one can be held in the middle (`fence/gate.rs`).
    pub(crate) fn with_tools(programs: &Programs) -> Self {
        let handlers = Self::of(programs);
        if !programs.is_ours("crm-fence-peer") {
            return handlers;
        }
        let by_tools = |line: String| line + " --pacemaker-tools";
        Self { fence: by_tools(handlers.fence), unfence: by_tools(handlers.unfence), ..handlers }
    }

    /// This handler, and the one for the way back that goes by its name.
    pub(crate) fn at(fence: &str) -> Self {
        Self {
            fence: fence.to_owned(),
            unfence: fence.replace("crm-fence-peer", "crm-unfence-peer"),
            policy: "resource-and-stonith",
        }
    }
}

/// The replicated resource, with fencing and its handlers.
pub(crate) fn drbd(nodes: &[Node], handlers: &Handlers) -> String {
    let Handlers { fence, unfence, policy } = handlers;
    let mut text = format!(
        "resource r0 {{\n  protocol C;\n  device /dev/drbd0;\n  disk /dev/mapper/data;\n  meta-disk internal;\n  \
         disk {{ fencing {policy}; on-io-error detach; }}\n  \
         net {{ ping-int 5; ping-timeout 10; connect-int 5; timeout 40; }}\n  \
         startup {{ wfc-timeout 1; degr-wfc-timeout 1; }}\n  \
         handlers {{\n    fence-peer \"{fence}\";\n    unfence-peer \"{unfence}\";\n  }}\n"
    );
    for node in nodes {
        let _ =
            writeln!(text, "  on {} {{ address 10.78.0.{}:7789; }}", node.name, index(&node.name));
    }
    text + "}\n"
}

/// The guest of the oracle: one boot sector on the disk that is to survive, telling the host side
/// by UDP what was acknowledged. A container's stops when its disk fails, and stays to be looked at when
/// it panics.
pub(crate) fn guest(kind: Kind) -> String {
    match kind {
        Kind::Machine => definition(&Guest {
            name: "vm1",
            uuid: GUEST_UUID,
            memory_mib: 32,
            serial_port: SERIAL_PORT,
            on_crash: "destroy",
            disk: "<disk type='block' device='disk'>\
                   <driver name='qemu' type='raw' cache='directsync'/><source dev='/dev/drbd0'/>",
        }),
        Kind::Container => definition(&Guest {
            name: "vm1",
            uuid: GUEST_UUID,
            memory_mib: 32,
            serial_port: SERIAL_PORT,
            on_crash: "preserve",
            disk: &network_disk(NBD_PORT, ""),
        }),
    }
}

/// One of many small guests, each on an export and a port of its own.
pub(crate) fn small_guest(number: u16) -> String {
    let name = small_guest_name(number);
    definition(&Guest {
        name: &name,
        uuid: &small_guest_uuid(number),
        memory_mib: 16,
        serial_port: SMALL_GUESTS_PORT + number,
        on_crash: "destroy",
        disk: &network_disk(SMALL_GUESTS_NBD_PORT, &name),
    })
}

pub(crate) fn small_guest_name(number: u16) -> String {
    format!("g{number:02}")
}

pub(crate) fn small_guest_uuid(number: u16) -> String {
    format!("d0e70000-0002-4000-8000-0000000000{number:02}")
}

fn network_disk(port: u16, export: &str) -> String {
    format!(
        "<disk type='network' device='disk'>\
         <driver name='qemu' type='raw' cache='directsync' error_policy='stop' rerror_policy='stop'/>\
         <source protocol='nbd' name='{export}'><host name='{HOST_ADDRESS}' port='{port}'/></source>"
    )
}

struct Guest<'a> {
    name: &'a str,
    uuid: &'a str,
    memory_mib: u16,
    serial_port: u16,
    on_crash: &'a str,
    /// The element without its target and end.
    disk: &'a str,
}

/// `<name>` has its line to itself: the stock agent needs that.
fn definition(guest: &Guest<'_>) -> String {
    let Guest { name, uuid, memory_mib, serial_port, on_crash, disk } = guest;
    format!(
        "<domain type='qemu'>\n  <name>{name}</name>\n  <uuid>{uuid}</uuid>\n  \
         <memory unit='MiB'>{memory_mib}</memory>\n  <vcpu>1</vcpu>\n  \
         <os><type arch='x86_64' machine='pc'>hvm</type><boot dev='hd'/></os>\n  \
         <features><acpi/></features>\n  <on_poweroff>destroy</on_poweroff>\n  \
         <on_reboot>restart</on_reboot>\n  <on_crash>{on_crash}</on_crash>\n  <devices>\n    \
         <emulator>/usr/bin/qemu-system-x86_64</emulator>\n    {disk}\
         <target dev='vda' bus='virtio'/></disk>\n    \
         <serial type='udp'><source mode='connect' host='{HOST_ADDRESS}' service='{serial_port}'/>\
         </serial>\n    <controller type='usb' model='none'/>\n    <memballoon model='none'/>\n    \
         <panic model='isa'/>\n  </devices>\n</domain>\n"
    )
}

/// fence_virtd of the host side.
pub(crate) fn fence_virtd(key: &str, uri: &str) -> String {
    fence_virtd_at("225.0.0.12", "br77", key, uri)
}

/// The same for the host of one node, which has a multicast address of its own and no other guest.
pub(crate) fn fence_virtd_of(node: &Node, nodes: &[Node], key: &str, uri: &str) -> String {
    let mut text = fence_virtd_at(&fence_address(node), "eth0", key, uri);
    let _ = write!(text, "groups {{ group {{ name = \"{0}\"; uuid = \"{0}\";", node.name);
    for asking in nodes {
        let _ = write!(text, " ip = \"{}\";", asking.address());
    }
    text + " } }\n"
}

/// Where the fence_virtd of the host of one node listens.
pub(crate) fn fence_address(node: &Node) -> String {
    format!("225.0.0.1{}", index(&node.name))
}

/// The network of that host, under the name of its namespace.
pub(crate) fn own_network(node: &Node, name: &str) -> String {
    let number = index(&node.name);
    format!(
        "set -e; ip netns add {name}; ip link add host{number} type veth peer name eth0 netns {name}\n\
         ip link set host{number} master br77 up; ip -n {name} addr add 10.77.0.24{number}/24 dev eth0\n\
         ip -n {name} link set lo up; ip -n {name} link set eth0 up"
    )
}

fn fence_virtd_at(address: &str, interface: &str, key: &str, uri: &str) -> String {
    format!(
        "fence_virtd {{ listener = \"multicast\"; backend = \"libvirt\"; \
         module_path = \"/usr/lib/x86_64-linux-gnu/fence-virt\"; }}\n\
         listeners {{ multicast {{ key_file = \"{key}\"; interface = \"{interface}\"; address = \"{address}\"; \
         family = \"ipv4\"; port = \"1229\"; }} }}\nbackends {{ libvirt {{ uri = \"{uri}\"; }} }}\n"
    )
}

/// The cluster as it is typed into `crm configure`: one fence device a node, DRBD where there is
/// one, and the guest on its promoted side.
pub(crate) fn pacemaker(nodes: &[Node], kind: Kind, programs: &Programs) -> String {
    // Machines boot into the cluster: Pacemaker's own default again, after a first election that was made short.
    let deadtime = if kind == Kind::Machine { " dc-deadtime=20s" } else { "" };
    let mut text = format!(
        "property stonith-enabled=true stonith-timeout=60s{deadtime}\nrsc_defaults resource-stickiness=100\n",
    );
    for node in nodes {
        let name = &node.name;
        let _ = write!(
            text,
            "primitive fence-{name} {} params pcmk_host_map={name}:{name} \
             key_file=/etc/cluster/fence_xvm.key op monitor interval=60s timeout=30s\n\
             location l-fence-{name} fence-{name} -inf: {name}\n",
            programs.called("fence_xvm")
        );
    }
    let migrates = kind == Kind::Container;
    text += &guest_resource("vm1", GUEST_FILE, migrates, programs);
    if kind == Kind::Machine {
        let _ = write!(
            text,
            "primitive p_drbd {} params drbd_resource=r0 op start timeout=240s op stop timeout=100s \
             op promote timeout=180s op demote timeout=90s \
             op monitor interval=10s role=Promoted timeout=20s op monitor interval=20s role=Unpromoted timeout=20s\n\
             clone ms_drbd p_drbd {CLONE}\n\
             colocation vm1-on-drbd inf: vm1 ms_drbd:Promoted\n\
             order drbd-before-vm1 Mandatory: ms_drbd:promote vm1:start\n",
            programs.called("drbd")
        );
    }
    text
}

/// A promotable clone, in the words of the SLES guide.
const CLONE: &str = "meta promotable=true promoted-max=1 promoted-node-max=1 clone-max=2 clone-node-max=1 notify=true";

/// A second replicated resource, of which no guest depends: on one spare disk, or on both.
pub(crate) fn second_drbd(nodes: &[Node], volumes: usize) -> String {
    let mut text = String::from(
        "resource r1 {\n  protocol C;\n  net { ping-int 5; ping-timeout 10; connect-int 5; timeout 40; }\n  \
         startup { wfc-timeout 1; degr-wfc-timeout 1; }\n",
    );
    for (volume, disk) in ["vdd", "vde"].iter().enumerate().take(volumes) {
        let minor = volume + 1;
        let _ = writeln!(
            text,
            "  volume {volume} {{ device /dev/drbd{minor}; disk /dev/{disk}; meta-disk internal; }}"
        );
    }
    for node in nodes {
        let _ =
            writeln!(text, "  on {} {{ address 10.78.0.{}:7790; }}", node.name, index(&node.name));
    }
    text + "}\n"
}

/// The same under Pacemaker, looked at more often than the guest's.
pub(crate) fn second_clone(programs: &Programs) -> String {
    format!(
        "primitive p_r1 {} params drbd_resource=r1 op start timeout=240s op stop timeout=100s \
         op promote timeout=90s op demote timeout=90s \
         op monitor interval=6s role=Promoted timeout=20s op monitor interval=7s role=Unpromoted timeout=20s\n\
         clone ms_r1 p_r1 {CLONE}\n",
        programs.called("drbd")
    )
}

/// It is promoted where the guest's resource is, which does not move for its sake (`influence`).
pub(crate) const SECOND_WITH_FIRST: &str = "<rsc_colocation id=\"r1-with-r0\" score=\"INFINITY\" rsc=\"ms_r1\" rsc-role=\"Promoted\" \
     with-rsc=\"ms_drbd\" with-rsc-role=\"Promoted\" influence=\"false\"/>";

/// The watcher of all replicated resources of a node, in every node.
pub(crate) fn watcher(programs: &Programs) -> String {
    format!(
        "primitive p_watch {} op monitor interval=10s timeout=20s\nclone cl_watch p_watch\n",
        programs.called("drbd-watch")
    )
}

/// A guest as it is typed into `crm configure`. Migrations end in a second or two; one that does not
/// is to be given up while somebody still waits for it.
pub(crate) fn guest_resource(
    name: &str,
    file: &str,
    migrates: bool,
    programs: &Programs,
) -> String {
    let (transport, operations) = if migrates {
        (
            " migration_transport=tcp",
            " op migrate_to timeout=40s interval=0 op migrate_from timeout=40s interval=0 \
             meta allow-migrate=true",
        )
    } else {
        ("", "")
    };
    format!(
        "primitive {name} {} params config={file} hypervisor=qemu:///system{transport} \
         op start timeout=120s op stop timeout=90s op monitor interval=10s timeout=30s{operations}\n",
        programs.called("VirtualDomain")
    )
}
