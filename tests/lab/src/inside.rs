//! What happens inside the host side's new namespaces, once: a root over the image's tree, private
//! devices and control groups, names, and a libvirtd. Runs in the first process of the lab; every
//! mount it makes is private to it.

use crate::cgroups::Cgroups;
use crate::failure::{Failure, Result};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const NONE: Option<&str> = None;

fn mounted(
    source: Option<&Path>,
    target: &Path,
    kind: Option<&str>,
    flags: MsFlags,
    data: Option<&str>,
) -> Result<()> {
    mount(source, target, kind, flags, data)
        .map_err(|errno| Failure::io(format!("mount {}", target.display()))(errno.into()))
}

fn tmpfs(target: &Path, options: &str) -> Result<()> {
    make_dir(target)?;
    mounted(Some("lab".as_ref()), target, Some("tmpfs"), MsFlags::empty(), Some(options))
}

fn bind(source: &Path, target: &Path) -> Result<()> {
    mounted(Some(source), target, NONE, MsFlags::MS_BIND, NONE)
}

fn make_dir(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).map_err(Failure::io(format!("create {}", dir.display())))
}

/// An overlay over the image's tree with private proc, sys, dev, run and tmp, and the lab's own
/// directories under the names they have outside.
pub(crate) fn make_root(run: &Path, image: &Path) -> Result<PathBuf> {
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mounted(None, Path::new("/"), NONE, private, NONE)?;
    let base = run.join("host-side");
    tmpfs(&base, "mode=755")?;
    let [upper, work, root] = ["upper", "work", "root"].map(|name| base.join(name));
    for dir in [&upper, &work, &root] {
        make_dir(dir)?;
    }
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        image.join("tree").display(),
        upper.display(),
        work.display()
    );
    mounted(Some("lab".as_ref()), &root, Some("overlay"), MsFlags::empty(), Some(&options))?;
    let at = |name: &str| root.join(name.trim_start_matches('/'));
    mounted(Some("proc".as_ref()), &at("proc"), Some("proc"), MsFlags::empty(), NONE)?;
    mounted(Some("sysfs".as_ref()), &at("sys"), Some("sysfs"), MsFlags::empty(), NONE)?;
    make_devices(&at("dev"))?;
    make_cgroups(run, &at("sys/fs/cgroup"))?;
    tmpfs(&at("run"), "mode=755")?;
    tmpfs(&at("tmp"), "mode=1777")?;
    for (dir, flags) in [(run, MsFlags::empty()), (image, MsFlags::MS_REC)] {
        let target = at(&dir.to_string_lossy());
        make_dir(&target)?;
        mounted(Some(dir), &target, NONE, MsFlags::MS_BIND | flags, NONE)?;
    }
    Ok(root)
}

/// Without kvm: where its node exists but does not work, libvirt probes QEMU for half a minute
/// at every start (measured: 36 s against 0.3 s), and a lab must behave alike everywhere.
fn make_devices(dev: &Path) -> Result<()> {
    tmpfs(dev, "mode=755")?;
    for name in ["null", "zero", "full", "random", "urandom", "tty", "net/tun", "fuse"] {
        let source = Path::new("/dev").join(name);
        if !source.exists() {
            continue;
        }
        let target = dev.join(name);
        make_dir(target.parent().unwrap_or(dev))?;
        fs::File::create(&target).map_err(Failure::io(format!("create {}", target.display())))?;
        bind(&source, &target)?;
    }
    for (link, to) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "fd/0"),
        ("stdout", "fd/1"),
        ("stderr", "fd/2"),
        ("ptmx", "pts/ptmx"),
    ] {
        std::os::unix::fs::symlink(to, dev.join(link))
            .map_err(Failure::io(format!("link /dev/{link}")))?;
    }
    make_dir(&dev.join("pts"))?;
    mounted(
        Some("devpts".as_ref()),
        &dev.join("pts"),
        Some("devpts"),
        MsFlags::empty(),
        Some("newinstance,ptmxmode=0666,mode=620,gid=5"),
    )?;
    tmpfs(&dev.join("shm"), "mode=1777")
}

/// v1 controllers as they are, without a v2 tree beside them, on which `libvirt_lxc` stumbles
/// ("Unable to create directory .../unified", libvirt 9.0); or the lab's own part of v2.
fn make_cgroups(run: &Path, target: &Path) -> Result<()> {
    match Cgroups::of_this_machine() {
        Cgroups::Unified => {
            fs::write(Cgroups::group(run).join("host-side/cgroup.procs"), "0")
                .map_err(Failure::io("move into the lab's control group"))?;
            mounted(Some("cgroup2".as_ref()), target, Some("cgroup2"), MsFlags::empty(), NONE)
        }
        Cgroups::Hybrid => {
            tmpfs(target, "mode=755")?;
            let text = fs::read_to_string("/proc/self/mountinfo")
                .map_err(Failure::io("read the mounts"))?;
            for line in text.lines() {
                let Some((left, right)) = line.split_once(" - cgroup ") else { continue };
                let Some(point) = left.split(' ').nth(4) else { continue };
                let Some(name) = point.strip_prefix("/sys/fs/cgroup/") else { continue };
                let _ = right;
                let to = target.join(name);
                make_dir(&to)?;
                bind(Path::new(point), &to)?;
            }
            Ok(())
        }
    }
}

pub(crate) fn enter(root: &Path) -> Result<()> {
    let old = root.join("mnt");
    nix::unistd::pivot_root(root, &old)
        .map_err(|errno| Failure::io("make the tree the root")(errno.into()))?;
    std::env::set_current_dir("/").map_err(Failure::io("change into the new root"))?;
    umount2("/mnt", MntFlags::MNT_DETACH)
        .map_err(|errno| Failure::io("let go of the machine's root")(errno.into()))?;
    nix::unistd::sethostname("host")
        .map_err(|errno| Failure::io("set the host side's name")(errno.into()))?;
    for (path, text) in [
        ("/etc/hostname", "host\n"),
        (
            "/etc/hosts",
            "127.0.0.1 localhost host\n10.77.0.1 node1\n10.77.0.2 node2\n10.77.0.3 node3\n",
        ),
        ("/etc/libvirt/qemu.conf", include_str!("../files/qemu.conf")),
        ("/etc/libvirt/lxc.conf", "security_driver = \"none\"\n"),
        ("/etc/libvirt/libvirtd.conf", "auth_unix_rw = \"none\"\n"),
    ] {
        crate::image::write(Path::new(path), text.as_bytes())?;
    }
    command(&["ip", "link", "set", "lo", "up"])
}

pub(crate) fn start_libvirtd() -> Result<()> {
    for dir in ["/run/libvirt", "/run/lock", "/var/log/libvirt/qemu", "/var/log/libvirt/lxc"] {
        make_dir(Path::new(dir))?;
    }
    command(&["setsid", "libvirtd", "--daemon"])?;
    duet_oracle::eventually(Duration::from_secs(40), "libvirtd on the host side", || {
        command(&["virsh", "-q", "-c", "qemu:///system", "list"]).map_err(|error| error.to_string())
    })?;
    Ok(())
}

/// A short command of the tree; the first process has nobody else to ask.
fn command(argv: &[&str]) -> Result<()> {
    let output = Command::new("timeout")
        .arg("20")
        .args(argv)
        .env_clear()
        .env("PATH", crate::host_side::PATH)
        .env("LC_ALL", "C.UTF-8")
        .output()
        .map_err(Failure::io(format!("start {}", argv[0])))?;
    if output.status.success() {
        return Ok(());
    }
    Err(Failure::Command {
        doing: "preparing the lab's host side".to_owned(),
        command: argv.join(" "),
        how: format!("{}", output.status),
        output: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}
