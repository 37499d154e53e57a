//! Whether a directory is the same one wherever the guest may run. Invariant: answered from the kernel's list of
//! mounts alone, so that a dead filesystem cannot hold the question up; what is not known to be shared is not.

use std::path::{Component, Path, PathBuf};

use duet_host::file;
use duet_ocf::chain;

/// The list grows with containers; each line is short.
const LIMIT: usize = 4 * 1024 * 1024;

/// Filesystems that many nodes can have mounted at once. What is in them is seen by all.
const SHARED: [&str; 17] = [
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "ceph",
    "gfs2",
    "ocfs2",
    "glusterfs",
    "lustre",
    "beegfs",
    "gpfs",
    "9p",
    "virtiofs",
    "fuse.glusterfs",
    "fuse.ceph",
    "fuse.moosefs",
    "fuse.mfs",
];

/// The kernel's number for DRBD devices; a filesystem on one moves along with the guest.
const DRBD: u32 = 147;

/// Why `directory` cannot keep memory images; none where it can.
pub(crate) fn complaint(directory: &Path, is_declared: bool) -> Option<String> {
    let why = doubt(directory, is_declared)?;
    Some(format!(
        "snapshot={directory:?} {why}: an image left there is not seen by another node, and would later be restored over \
         newer disks. Use shared storage or a filesystem on DRBD, or say snapshot_is_shared=true where that is so"
    ))
}

/// Why memory cannot be kept for a guest whose overlay is at `path`; none where it can.
pub(crate) fn overlay_complaint(path: &Path, is_declared: bool) -> Option<String> {
    let why = doubt(path.parent().unwrap_or(Path::new("/")), is_declared)?;
    Some(format!(
        "The overlay {} {why}: the memory would be restored over the overlay of another node",
        path.display()
    ))
}

fn doubt(directory: &Path, is_declared: bool) -> Option<String> {
    if is_declared {
        return None;
    }
    match file::read_text(Path::new("/proc/self/mountinfo"), LIMIT) {
        Ok(mounts) => judge(&mounts, directory, is_on_drbd),
        Err(error) => Some(format!("lies where cannot be told ({})", chain(&error))),
    }
}

/// The rule: what speaks against the directory. `is_on_drbd` says whether a block device is a DRBD device, or made of one.
fn judge(mounts: &str, directory: &Path, is_on_drbd: impl Fn(u32, u32) -> bool) -> Option<String> {
    let is_plain = directory
        .components()
        .all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    // Of mounts on one place the last one is on top.
    let mount = mounts
        .lines()
        .filter_map(Mount::parse)
        .filter(|mount| is_plain && directory.starts_with(&mount.place))
        .max_by_key(|mount| mount.place.components().count());
    let Some(mount) = mount else {
        return Some("lies where cannot be told".to_owned());
    };
    if SHARED.contains(&mount.kind) || is_on_drbd(mount.device.0, mount.device.1) {
        return None;
    }
    Some(format!(
        "lies on the filesystem of {} ({}), which is not known to be shared by the nodes or to move with the guest",
        mount.place.display(),
        mount.kind
    ))
}

struct Mount<'a> {
    device: (u32, u32),
    place: PathBuf,
    kind: &'a str,
}

impl<'a> Mount<'a> {
    /// A line of `/proc/self/mountinfo` (proc(5)): the third word is the device, the fifth the place; the type follows
    /// the lone hyphen.
    fn parse(line: &'a str) -> Option<Self> {
        let (head, tail) = line.split_once(" - ")?;
        let mut head = head.split(' ').skip(2);
        let (major, minor) = head.next()?.split_once(':')?;
        let place = PathBuf::from(plain(head.nth(1)?));
        let device = (major.parse().ok()?, minor.parse().ok()?);
        Some(Self { device, place, kind: tail.split(' ').next()? })
    }
}

/// The kernel writes blank, tab, line break and backslash as octal numbers.
fn plain(text: &str) -> String {
    let mut text = text.to_owned();
    for (code, character) in [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")] {
        text = text.replace(code, character);
    }
    text
}

/// Follows what a device mapper is made of.
fn is_on_drbd(major: u32, minor: u32) -> bool {
    is_made_of_drbd(Path::new("/sys/dev/block"), &format!("{major}:{minor}"), 8)
}

fn is_made_of_drbd(devices: &Path, device: &str, depth: u32) -> bool {
    if device.split(':').next().and_then(|major| major.parse().ok()) == Some(DRBD) {
        return true;
    }
    let Some(depth) = depth.checked_sub(1) else { return false };
    let Ok(parts) = std::fs::read_dir(devices.join(device).join("slaves")) else { return false };
    let mut parts = parts.flatten().peekable();
    // Of a volume over several devices, each has to move.
    parts.peek().is_some()
        && parts.all(|part| {
            file::read_text(&part.path().join("dev"), 64)
                .is_ok_and(|number| is_made_of_drbd(devices, number.trim(), depth))
        })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "a tree of files like sysfs")]

    use super::*;

    const MOUNTS: &str = "\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 147:0 / /srv/guests rw - xfs /dev/drbd0 rw
31 22 0:50 / /mnt/nas rw - nfs4 nas:/x rw
32 31 0:51 / /mnt/nas/local rw - tmpfs none rw
33 22 253:0 / /srv/with\\040blank rw - ext4 /dev/mapper/a-b rw
34 22 0:52 / /mnt/twice rw - nfs4 nas:/x rw
35 34 0:53 / /mnt/twice rw - tmpfs none rw
";

    #[test]
    fn what_is_shared_or_moves_is_fit_and_nothing_else() {
        for (directory, fits) in [
            ("/srv/guests", true),
            ("/srv/guests/state", true),
            ("/srv/guests2", false),
            ("/srv", false),
            ("/var/lib/libvirt/save", false),
            ("/mnt/nas/images", true),
            ("/mnt/nas/local/images", false),
            ("/mnt/nas/../../var", false),
            ("/srv/with blank/x", true),
            ("/mnt/twice/x", false),
        ] {
            let complaint = judge(MOUNTS, Path::new(directory), |major, minor| {
                major == DRBD || (major, minor) == (253, 0)
            });
            assert_eq!(complaint.is_none(), fits, "{directory}: {complaint:?}");
        }
        let local = judge(MOUNTS, Path::new("/var/lib"), |_, _| false).unwrap();
        assert!(local.contains("ext4"), "{local}");
        assert!(judge("", Path::new("/srv"), |_, _| true).is_some());
    }

    #[test]
    fn who_complains_says_about_what() {
        // Never shared, and in every mount table.
        let (directory, overlay) = (Path::new("/proc"), Path::new("/proc/web.qcow2"));
        assert!(complaint(directory, false).unwrap().contains("snapshot_is_shared"));
        assert!(overlay_complaint(overlay, false).unwrap().contains("/proc/web.qcow2"));
        assert_eq!((complaint(directory, true), overlay_complaint(overlay, true)), (None, None));
    }

    #[test]
    fn a_volume_on_drbd_is_on_drbd() {
        let sysfs = tempfile::tempdir().unwrap();
        for (device, part, number) in [
            ("253:0", "drbd0", "147:0"),
            ("253:1", "sda1", "8:1"),
            ("253:2", "dm-0", "253:0"),
            ("253:3", "dm-3", "253:3"),
        ] {
            let part = sysfs.path().join(device).join("slaves").join(part);
            std::fs::create_dir_all(&part).unwrap();
            std::fs::write(part.join("dev"), format!("{number}\n")).unwrap();
        }
        for (device, is_drbd) in [
            ("147:5", true),
            ("253:0", true),
            ("253:1", false),
            ("253:2", true),
            ("253:3", false),
            ("8:1", false),
            ("0:40", false),
        ] {
            assert_eq!(is_made_of_drbd(sysfs.path(), device, 8), is_drbd, "{device}");
        }
    }
}
