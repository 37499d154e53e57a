//! What the lab itself puts into a node before its first boot: the start-up programs, its name,
//! the fencing key, libvirt's settings and our programs. Cluster and DRBD configuration is not
//! among it: that is written the way an administrator would, in the running node.

use crate::command;
use crate::executed;
use crate::failure::{Failure, Result};
use crate::programs::Programs;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

/// How a node is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Machine,
    Container,
}

/// Who starts a node's services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Init {
    /// The lab's own few lines: a shell in seconds.
    Lab,
    /// systemd in full, as on a user's machine.
    Systemd,
}

const EXECUTABLE: u32 = 0o755;
const READABLE: u32 = 0o644;
const SECRET: u32 = 0o600;

/// A file that an administrator may change: laid out at the first boot (`lab-sysinit`), not at each as all others are.
macro_rules! once {
    ($path:literal) => {
        concat!("etc/lab/once/", $path)
    };
}

/// Lays the files of one node out under `root`.
pub(crate) fn write(
    root: &Path,
    node: &str,
    kind: Kind,
    programs: &Programs,
    key: &[u8],
) -> Result<()> {
    let kind_word = match kind {
        Kind::Machine => "machine",
        Kind::Container => "container",
    };
    let mut inittab = include_str!("../files/inittab").replace("KIND", kind_word);
    if kind == Kind::Container {
        inittab = inittab
            .lines()
            .filter(|line| !line.contains("lab-agent") && !line.contains("klogd"))
            .fold(String::new(), |all, line| all + line + "\n");
    }
    let libvirtd = format!(
        "listen_tls = 0\nlisten_tcp = 1\nlisten_addr = \"0.0.0.0\"\nauth_tcp = \"none\"\n\
         auth_unix_rw = \"none\"\nhost_uuid = \"d0e70000-0000-4000-8000-0000000000{:02}\"\n",
        index(node)
    );
    // Without addresses of their own, migrations would go by host name, which the lab has no DNS for.
    let qemu = format!(
        "{}migration_address = \"0.0.0.0\"\nmigration_host = \"{node}\"\ndynamic_ownership = 0\n",
        include_str!("../files/qemu.conf")
    );
    let files: [(&str, u32, &str); 17] = [
        ("etc/lab/node", READABLE, node),
        ("etc/hostname", READABLE, node),
        ("etc/hosts", READABLE, HOSTS),
        ("etc/inittab", READABLE, &inittab),
        ("etc/default/pacemaker", READABLE, include_str!("../files/pacemaker.default")),
        ("etc/libvirt/libvirtd.conf", READABLE, &libvirtd),
        ("etc/libvirt/qemu.conf", READABLE, &qemu),
        ("etc/machine-id", READABLE, &format!("d0e7{:028}\n", index(node))),
        ("usr/local/sbin/lab-init", EXECUTABLE, include_str!("../files/lab-init")),
        ("usr/local/sbin/lab-sysinit", EXECUTABLE, include_str!("../files/lab-sysinit")),
        ("usr/local/sbin/lab-agent", EXECUTABLE, include_str!("../files/lab-agent")),
        ("usr/local/sbin/lab-cluster", EXECUTABLE, include_str!("../files/lab-cluster")),
        (
            "etc/systemd/system/lab-net.service",
            READABLE,
            include_str!("../files/systemd/lab-net.service"),
        ),
        (
            "etc/systemd/system/lab-agent.service",
            READABLE,
            include_str!("../files/systemd/lab-agent.service"),
        ),
        (
            "etc/systemd/system/lab-log.service",
            READABLE,
            include_str!("../files/systemd/lab-log.service"),
        ),
        (
            "usr/share/duet/ocf-1.1.dtd",
            READABLE,
            include_str!("../../../ocf-metadata/schema/ocf-1.1.dtd"),
        ),
        (
            once!("etc/drbd.d/global_common.conf"),
            READABLE,
            "global { usage-count no; }\ncommon { }\n",
        ),
    ];
    for (path, mode, text) in files {
        put(root, path, mode, text.as_bytes())?;
    }
    if kind == Kind::Machine {
        let path = executed::INSTALLED.trim_start_matches('/');
        put(root, path, EXECUTABLE, &executed::program()?)?;
    }
    put(root, once!("etc/cluster/fence_xvm.key"), SECRET, key)?;
    for program in programs.ours() {
        let text = fs::read(&program.built)
            .map_err(Failure::io(format!("read {}", program.built.display())))?;
        put(root, program.installed.trim_start_matches('/'), EXECUTABLE, &text)?;
        for link in program.links {
            let link = root.join(link.trim_start_matches('/'));
            drop(fs::remove_file(&link));
            std::os::unix::fs::symlink(program.installed, &link)
                .map_err(Failure::io(format!("link {}", link.display())))?;
        }
    }
    enable_units(root)?;
    Ok(())
}

/// Units that systemd starts at boot, where systemd runs, the log socket it must not take, and what a
/// package enabled that nobody here uses: pcsd's Ruby part fails again and again, which costs most of a boot.
fn enable_units(root: &Path) -> Result<()> {
    let system = root.join("etc/systemd/system");
    let wants = system.join("multi-user.target.wants");
    fs::create_dir_all(&wants).map_err(Failure::io("create a directory of systemd's"))?;
    let links = [
        (wants.join("lab-net.service"), "../lab-net.service"),
        (wants.join("lab-agent.service"), "../lab-agent.service"),
        (wants.join("lab-log.service"), "../lab-log.service"),
        (wants.join("libvirtd.service"), "/lib/systemd/system/libvirtd.service"),
        (system.join("systemd-journald-dev-log.socket"), "/dev/null"),
        (system.join("pcsd.service"), "/dev/null"),
        (system.join("pcsd-ruby.service"), "/dev/null"),
        (system.join("logd.service"), "/dev/null"),
    ];
    for (link, target) in links {
        drop(fs::remove_file(&link));
        std::os::unix::fs::symlink(target, link).map_err(Failure::io("enable a unit"))?;
    }
    Ok(())
}

const HOSTS: &str =
    "127.0.0.1 localhost\n10.77.0.1 node1\n10.77.0.2 node2\n10.77.0.3 node3\n10.77.0.254 host\n";

/// The number in a node's name, from 1.
pub(crate) fn index(node: &str) -> u8 {
    node.trim_start_matches("node").parse().unwrap_or(0)
}

fn put(root: &Path, path: &str, mode: u32, text: &[u8]) -> Result<()> {
    let path = root.join(path);
    crate::image::write(&path, text)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(mode))
        .map_err(Failure::io(format!("set the mode of {}", path.display())))
}

/// Packs a directory into the tar that a machine unpacks over its root.
pub(crate) fn pack(dir: &Path, into: &Path) -> Result<()> {
    let [dir, into] = [dir, into].map(|path| path.to_string_lossy().into_owned());
    command::run(
        &[
            "tar",
            "--create",
            "--format=ustar",
            "--owner=0",
            "--group=0",
            "--file",
            &into,
            "--directory",
            &dir,
            ".",
        ],
        Duration::from_secs(30),
    )?
    .success("packing a node's files")
    .map(drop)
}
