//! The client against real daemons, the one for all and the modular ones, each without guests in namespaces of its own.
//! Invariant: neither this machine's libvirt nor its network is touched, and no daemon outlives its test. Where one
//! cannot be had, the test says "skipped" and why.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that starts daemons and waits for them"
)]

use std::{
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use duet_libvirt_rpc::{Client, Driver, Error, Hypervisor};

/// Makes what libvirt keeps on a machine empty and private, and becomes the daemon. `$1` is the tree to run in, `$2` the
/// directory for its sockets, `$3` the daemon.
const SCRIPT: &str = r#"
tree=${1%/}
if [ -n "$tree" ]; then
    mount --rbind /dev "$tree/dev"
    mount --rbind /sys "$tree/sys"
fi
mount -t proc none "$tree/proc"
for directory in /run /var/lib/libvirt /etc/libvirt /var/log/libvirt /var/cache/libvirt; do
    [ ! -d "$tree$directory" ] || mount -t tmpfs none "$tree$directory"
done
mkdir -p "$tree/run/libvirt" "$tree/run/lock"
mount --bind "$2" "$tree/run/libvirt"
for file in passwd group; do cp "$tree/etc/$file" "$tree/run/$file"; done
grep -q ^libvirt-qemu: "$tree/run/passwd" || {
    echo "libvirt-qemu:x:64055:64055::/:/usr/sbin/nologin" >> "$tree/run/passwd"
    echo "libvirt-qemu:x:64055:" >> "$tree/run/group"
    for file in passwd group; do mount --bind "$tree/run/$file" "$tree/etc/$file"; done
}
echo 'auth_unix_rw = "none"' > "$tree/etc/libvirt/${3##*/}.conf"
exec chroot "${1}" "$3"
"#;

struct Daemon {
    child: Child,
    sockets: tempfile::TempDir,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Its pid namespace ends with it (--kill-child), and with that everything it started.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The Debian tree whose daemons are tested; another one than this machine's where its libvirt has no modular ones.
fn tree() -> PathBuf {
    std::env::var_os("DUET_LIBVIRT_TREE").map_or_else(|| PathBuf::from("/"), PathBuf::from)
}

fn program(name: &str) -> Option<PathBuf> {
    ["/usr/sbin", "/usr/local/sbin"]
        .iter()
        .map(|directory| Path::new(directory).join(name))
        .find(|path| tree().join(path.strip_prefix("/").unwrap()).exists())
}

/// Starts `name`, waits until it listens, or says why not.
fn start(name: &str) -> Option<Daemon> {
    let skip = |why: String| {
        eprintln!("skipped: {name}: {why}");
        None
    };
    let Some(program) = program(name) else {
        return skip(format!("not installed in {}", tree().display()));
    };
    let unshare =
        ["--mount", "--net", "--pid", "--fork", "--kill-child", "--propagation", "private"];
    match Command::new("unshare").args(unshare).arg("true").output() {
        Ok(output) if output.status.success() => {}
        Ok(output) => return skip(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => return skip(error.to_string()),
    }
    let sockets = tempfile::tempdir().unwrap();
    let log = std::fs::File::create(sockets.path().join("log")).unwrap();
    let child = Command::new("unshare")
        .args(unshare)
        .args(["sh", "-ec", SCRIPT, "sh"])
        .arg(tree())
        .arg(sockets.path())
        .arg(program)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .process_group(0)
        .spawn()
        .unwrap();
    let mut daemon = Daemon { child, sockets };
    let socket = match name {
        "libvirtd" => "libvirt-sock".to_owned(),
        modular => format!("{modular}-sock"),
    };
    let began = Instant::now();
    while !daemon.sockets.path().join(&socket).exists() {
        let log = || std::fs::read_to_string(daemon.sockets.path().join("log")).unwrap_or_default();
        let ended = daemon.child.try_wait().unwrap();
        assert!(ended.is_none(), "{name} ended with {ended:?}: {}", log());
        assert!(began.elapsed() < Duration::from_secs(20), "{name} does not listen: {}", log());
        thread::sleep(Duration::from_millis(50));
    }
    Some(daemon)
}

/// What every daemon has to do: be found by its own socket, open its URI, say that it has no guests and does not
/// know one.
fn is_spoken_with(name: &str, driver: Driver, uri: &str) {
    let Some(daemon) = start(name) else { return };
    let limit = Duration::from_secs(20);
    // Drivers that a daemon begins to listen before are still being loaded.
    let began = Instant::now();
    let mut client = loop {
        match Client::open(driver, uri, daemon.sockets.path(), limit) {
            Ok(client) => break client,
            Err(error @ (Error::Refused(_) | Error::NotRunning { .. } | Error::Closed { .. })) => {
                assert!(began.elapsed() < limit, "{name}: {error}");
                thread::sleep(Duration::from_millis(200));
            }
            Err(error) => panic!("{name}: {error}"),
        }
    };
    assert_eq!(client.list().unwrap(), [], "{name}");
    let missing = client.lookup_by_name("nobody").unwrap_err();
    assert!(matches!(missing, Error::NoDomain(_)), "{name}: {missing}");
    client.close();
    eprintln!("{name} was spoken with");
}

#[test]
fn the_daemon_for_all_is_spoken_with() {
    is_spoken_with("libvirtd", Driver::Qemu, "qemu:///system");
}

#[test]
fn virtqemud_is_spoken_with() {
    is_spoken_with("virtqemud", Driver::Qemu, "qemu:///system");
}

#[test]
fn virtlxcd_is_spoken_with() {
    is_spoken_with("virtlxcd", Driver::Lxc, "lxc:///system");
}

/// Without a Xen under it, it has no driver to open; then it says so, and that is an answer.
#[test]
fn virtxend_is_spoken_with() {
    let Some(daemon) = start("virtxend") else { return };
    let limit = Duration::from_secs(20);
    match Client::open(Driver::Xen, "xen:///system", daemon.sockets.path(), limit) {
        Ok(mut client) => assert_eq!(client.list().unwrap(), []),
        Err(error) => assert!(error.fault().is_some(), "{error}"),
    }
}
