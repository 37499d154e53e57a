//! The table: what parameters and actions VirtualDomain has. Types, defaults, metadata and man page come from here. Every
//! parameter of the stock agent is listed.

use duet_ocf::{Action, ActionSpec, Kind, Parameter, Spec};

/// Largest value of the numbers that this version only lists.
const ANY: Kind = Kind::Integer { min: 0, max: i64::MAX };

const PARAMETERS: &[Parameter] = &[
    Parameter::new(
        "config",
        Kind::String,
        "Definition of the domain",
        "Absolute path of the libvirt definition (XML) of this domain.\n\n\
         Name and UUID in it say which domain is meant. They are remembered while the domain runs, so that a file \
         that has become unreadable cannot hide a running guest. Where the file is there and cannot be read, and nothing \
         is remembered, probe and stop succeed only if no domain runs on the node that no other resource remembers.",
    )
    .required()
    .unique("config"),
    Parameter::new(
        "hypervisor",
        Kind::String,
        "Hypervisor URI",
        "The libvirt connection to use. qemu:///system, lxc:/// and xen:///system are served directly; any other libvirt \
         URI (qemu:///session, qemu+ssh://host/system) goes through libvirt's client library, by the program \
         /usr/lib/duet/VirtualDomain-libvirt.",
    )
    .with_default("qemu:///system"),
    Parameter::new(
        "force_stop",
        Kind::Boolean,
        "Always end the domain at once",
        "Stop ends the domain without asking the guest to shut down first. Without it, the guest is asked, and \
         ended only when the operation's time is almost over.",
    )
    .with_default("false")
    .reloadable(),
    Parameter::new(
        "paused_by_error",
        Kind::Select(&["fail", "ignore"]),
        "What to make of a guest paused by an error",
        "A guest that libvirt paused because of an I/O error, a watchdog, a crash or a failed post-copy migration \
         serves nobody. With \"fail\" its monitor fails and the cluster recovers it; with \"ignore\" it counts as \
         healthy, as with the stock agent. A guest paused by a person or for a migration is healthy in both.",
    )
    .with_default("fail")
    .reloadable(),
    Parameter::new(
        "migration_transport",
        Kind::String,
        "Transport of a migration",
        "The transport to the other node's libvirt during a migration (ssh, tcp, tls, libssh2): \"ssh\" makes \
         qemu+ssh://NODE/system of qemu:///system. It replaces a transport in the hypervisor parameter. It says \
         nothing about how the guest's memory is sent, see migrateuri.",
    )
    .reloadable(),
    Parameter::new(
        "migration_user",
        Kind::String,
        "User of a migration",
        "The user to be on the other node's libvirt. The guest's memory is sent without one.",
    )
    .reloadable(),
    Parameter::new(
        "migration_downtime",
        ANY,
        "Longest downtime of a migration",
        "Milliseconds for which a live migration may stop the guest at its end; 0 leaves it to libvirt.",
    )
    .with_default("0")
    .reloadable(),
    Parameter::new(
        "migration_speed",
        ANY,
        "Speed of a migration",
        "Bandwidth of a live migration in MiB/s; 0 leaves it to libvirt.",
    )
    .with_default("0")
    .reloadable(),
    Parameter::new(
        "migration_network_suffix",
        Kind::String,
        "Suffix of host names in the migration network",
        "Put at the end of the target's node name, or of its first label: with \"-mig\", node2.example.com becomes \
         node2-mig.example.com, both for the other libvirt and for a QEMU guest's memory. An address has no suffix.",
    )
    .reloadable(),
    Parameter::new(
        "migrateuri",
        Kind::String,
        "Migration URI",
        "Where the guest's memory is sent; %n is the target's node name with the migration network's suffix. Without it, and \
         without a suffix, libvirt chooses.",
    )
    .reloadable(),
    Parameter::new(
        "migrate_options",
        Kind::String,
        "Migration options",
        "Further options of a live migration, in the words of \"virsh migrate\"; any other word is refused.\n\n\
         Understood: --live --verbose (both change nothing), --p2p --tunnelled --persistent --undefinesource --suspend \
         --copy-storage-all --copy-storage-inc --copy-storage-synchronous-writes --change-protection --unsafe --compressed \
         --abort-on-error --auto-converge --rdma-pin-all --postcopy --postcopy-after-precopy --tls --parallel --zerocopy, \
         and with a value, in either form: --migrateuri --graphicsuri --listen-address --bandwidth --postcopy-bandwidth \
         --migrate-disks --disks-port --disks-uri --comp-methods (one of them) --comp-mt-level --comp-mt-threads \
         --comp-mt-dthreads --comp-xbzrle-cache --comp-zlib-level --comp-zstd-level --auto-converge-initial \
         --auto-converge-increment --parallel-connections --tls-destination --timeout (seconds) with --timeout-suspend or \
         --timeout-postcopy.\n\n\
         Refused with the reason: --dname --xml --persistent-xml --offline --postcopy-resume --direct --domain --desturi.\n\n\
         A migration is managed by this agent, which talks to both libvirts; with --p2p the source's libvirt talks to the \
         target's, under its own identity, and goes on if the agent is killed.",
    )
    .reloadable(),
    Parameter::new(
        "monitor_scripts",
        Kind::String,
        "Scripts that check the guest",
        "Blank-separated commands, without arguments, that must all exit with 0 for the guest to count as healthy. A recurring \
         monitor runs them one after another, each with its share of the time that is left, until one fails; its \
         last line of output is part of the failure's reason. One that does not end in time is ended, with \
         all that it started, and has failed.\n\n\
         A start succeeds only when they do: they are tried until its time is over. Probes and status do not run them.\n\n\
         A command is an absolute path, a pattern of such paths as in a shell, or the name of a program in the usual \
         directories.",
    )
    .reloadable(),
    Parameter::new(
        "autoset_utilization_cpu",
        Kind::Boolean,
        "Write the number of CPUs into the CIB",
        "Keeps the resource's utilization attribute cpu at the running domain's number of virtual CPUs, for \
         placement strategies that count them. It is written by recurring monitors, and only where the CIB has another \
         value. The CIB is read from Pacemaker's file on this node; where there is none, as on a Pacemaker Remote node, \
         nothing is written.",
    )
    .with_default("true")
    .reloadable(),
    Parameter::new(
        "autoset_utilization_host_memory",
        Kind::Boolean,
        "Write the memory size into the CIB as host_memory",
        "Keeps the resource's utilization attribute host_memory at the most memory the domain may have, in MiB. \
         Otherwise like autoset_utilization_cpu.",
    )
    .with_default("true")
    .reloadable(),
    Parameter::new(
        "autoset_utilization_hv_memory",
        Kind::Boolean,
        "Write the memory size into the CIB as hv_memory",
        "Keeps the resource's utilization attribute hv_memory at the most memory the domain may have, in MiB. Unset, it is \
         true for xen:///system and false for every other hypervisor, whose nodes have no such capacity. \
         Otherwise like autoset_utilization_cpu.",
    )
    .reloadable(),
    Parameter::new(
        "unset_utilization_cpu",
        Kind::Boolean,
        "Remove the utilization attribute cpu",
        "Removes it from the resource where it is. Looked at only where autoset_utilization_cpu is false.",
    )
    .with_default("false")
    .reloadable(),
    Parameter::new(
        "unset_utilization_host_memory",
        Kind::Boolean,
        "Remove the utilization attribute host_memory",
        "Removes it from the resource where it is. Looked at only where autoset_utilization_host_memory is false.",
    )
    .with_default("false")
    .reloadable(),
    Parameter::new(
        "unset_utilization_hv_memory",
        Kind::Boolean,
        "Remove the utilization attribute hv_memory",
        "Removes it from the resource where it is. Looked at only where autoset_utilization_hv_memory is false.",
    )
    .with_default("false")
    .reloadable(),
    Parameter::new(
        "migrateport",
        Kind::Integer { min: 1, max: 65535 },
        "Port of a migration",
        "The port for the memory of a QEMU guest, where migration_network_suffix makes the migration URI. Without it, \
         libvirt takes a free one.",
    )
    .reloadable(),
    Parameter::new(
        "remoteuri",
        Kind::String,
        "URI of the other node's libvirt",
        "The other node's libvirt; %n is the target's node name, without suffix. Takes precedence over \
         migration_transport, migration_user and the suffix.",
    )
    .reloadable(),
    Parameter::new(
        "save_config_on_stop",
        Kind::Boolean,
        "Write the definition back",
        "Writes the running domain's definition back to the file given as config, where that has another: when the \
         domain is stopped, and in recurring monitors. So devices added or removed at run time are there at the \
         next start.\n\n\
         libvirt's text takes the place of the whole file, with all defaults spelled out, without comments, and with the \
         passwords that the domain has; an edit of the file while the domain runs is lost. The file's owner, mode, access control \
         list and security label stay. It is replaced in one step, for which its directory must be writable: a file that cannot be \
         replaced is left as it is, with a warning.",
    )
    .with_default("false")
    .reloadable(),
    Parameter::new(
        "sync_config_on_stop",
        Kind::Boolean,
        "Distribute the definition with csync2",
        "As save_config_on_stop, and runs \"csync2 -xv\" for a file that was written. csync2 has to be set up for it on all nodes. \
         Where it is not installed, start fails; everything else goes on with a warning.",
    )
    .with_default("false")
    .reloadable(),
    Parameter::new(
        "snapshot",
        Kind::String,
        "Directory for memory images",
        "Absolute path of a directory. Stop saves the guest's memory there, in a file named after the domain with .state \
         behind, and start restores it: the guest goes on where it stood, with the definition that it was saved with. For qemu:///system only, and not together \
         with force_stop.\n\n\
         An image must not be restored after the guest has run without it, since its memory would no longer agree with \
         its disks. So every start takes the image away, whether it restores it or not, and the directory has to be the \
         same one wherever the guest may run: a filesystem that is shared by the nodes, or one on DRBD that moves along \
         with the guest. On any other, start fails with 5 and stop does not save; see snapshot_is_shared. Give the \
         directory without symbolic links, and order its filesystem before this resource. With backingfile, the same holds \
         for the directory of the overlay: where it is not known to be the same one, stop does not save, and an image is \
         set aside. Look into the directory \
         before you set the parameter to another one or take it away while the guest is stopped: an image that stays \
         behind is not seen any more.\n\n\
         An image that cannot be restored is renamed, never removed, and the guest boots. Of the stop's timeout, saving \
         may take two thirds less 15 s; after that it is given up and the guest is asked to shut down.",
    ),
    Parameter::new(
        "snapshot_is_shared",
        Kind::Boolean,
        "The directory for memory images is shared",
        "Says that the directory given as snapshot, and with backingfile the overlay's, is the same one wherever the guest may run, where its filesystem does not \
         show that: on a logical unit that moves along with the guest, or in a cluster of one node. If it is not so, \
         an old memory will be restored over newer disks and damage them. The directory must not be there while its \
         filesystem is not mounted.",
    )
    .with_default("false")
    .reloadable(),
    Parameter::new(
        "backingfile",
        Kind::String,
        "Backing file of a copy-on-write image",
        "Absolute path of an image that is only read. The domain runs on an overlay over it, which start makes with \
         qemu-img where it is missing or empty: beside the definition, named like it with the extension qcow2 \
         (/srv/web.xml has /srv/web.qcow2). The definition has to name that overlay as the file of a disk. An overlay that \
         the stock agent made under the name that it would use is used on.",
    ),
    Parameter::new(
        "stateless",
        Kind::Boolean,
        "Begin with a fresh image each time",
        "Each start makes the overlay anew; what the guest wrote in its previous run is gone. Needs backingfile.",
    )
    .with_default("false"),
    Parameter::new(
        "copyindirs",
        Kind::String,
        "Directories copied into the image",
        "Blank-separated directories of this node, which virt-copy-in copies into the root directory of an overlay that \
         was just made. Where that fails, there is no overlay and no start. Needs backingfile.",
    ),
    Parameter::new(
        "shutdown_mode",
        Kind::String,
        "How the guest is asked to shut down",
        "acpi, agent, initctl, signal or paravirt, or several of them with commas between, which libvirt tries in an \
         order of its own; without it libvirt chooses. Where the guest cannot be asked in this way (no guest \
         agent, or a way that the driver does not have), libvirt chooses the second time.",
    )
    .reloadable(),
    Parameter::new(
        "start_resources",
        Kind::Boolean,
        "Start pools and networks first",
        "Starts the storage pools and virtual networks that the definition names, and refreshes pools that run: here before \
         a start, at the target before a migration.",
    )
    .with_default("false")
    .reloadable(),
];

const ACTIONS: &[ActionSpec] = &[
    ActionSpec::new(Action::Start, 90),
    ActionSpec::new(Action::Stop, 90),
    ActionSpec::new(Action::Status, 30).every(10).depth(0),
    ActionSpec::new(Action::Monitor, 30).every(10).depth(0),
    ActionSpec::new(Action::ReloadAgent, 10),
    ActionSpec::new(Action::MigrateTo, 120),
    ActionSpec::new(Action::MigrateFrom, 60),
    ActionSpec::new(Action::MetaData, 5),
    ActionSpec::new(Action::ValidateAll, 5),
];

/// The table.
pub(crate) static SPEC: Spec = Spec {
    name: "VirtualDomain",
    version: env!("CARGO_PKG_VERSION"),
    shortdesc: "Manages a virtual machine or container through libvirt",
    longdesc: "Starts, stops and watches a libvirt domain: a virtual machine, or a container.\n\n\
        The domain is started from the file given as config and is transient: its definition on a node lasts as \
         long as it runs there. Where libvirt has a persistent definition with the same UUID, that one stays, and could be \
         started outside the cluster: undefine it. The domain's files and disks must be reachable on every node \
         that may run it.\n\n\
         \"Not running\" is answered when libvirt says so, or to a probe when nothing on the node says which domain is \
         meant. When libvirt cannot be asked, the guest's own QEMU process decides: monitor goes by whether it is there, \
         stop ends it. A container or a Xen guest has no such process; monitor and stop then fail with the reason, except \
         that the controller of a container shows that it runs.",
    parameters: PARAMETERS,
    actions: ACTIONS,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_no_complaints() {
        assert_eq!(SPEC.complaints(), Vec::<String>::new());
    }

    #[test]
    fn every_parameter_of_the_stock_agent_is_listed() {
        for name in [
            "config",
            "hypervisor",
            "force_stop",
            "migration_transport",
            "migration_user",
            "migration_downtime",
            "migration_speed",
            "migration_network_suffix",
            "migrateuri",
            "migrate_options",
            "monitor_scripts",
            "autoset_utilization_cpu",
            "autoset_utilization_host_memory",
            "autoset_utilization_hv_memory",
            "unset_utilization_cpu",
            "unset_utilization_host_memory",
            "unset_utilization_hv_memory",
            "migrateport",
            "remoteuri",
            "save_config_on_stop",
            "sync_config_on_stop",
            "snapshot",
            "backingfile",
            "stateless",
            "copyindirs",
            "shutdown_mode",
            "start_resources",
        ] {
            assert!(SPEC.parameter(name).is_some(), "{name}");
        }
    }
}
