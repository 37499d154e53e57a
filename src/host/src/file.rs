//! Small files, read with a limit and written so that a crash leaves the old content or the new one.
//! Nothing here opens a FIFO and waits for its other end.

use crate::{Error, attributes};
use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Reads a regular file of at most `limit` bytes.
///
/// # Errors
/// [`Error::Read`], [`Error::NotAFile`] or [`Error::TooLarge`].
pub fn read(path: &Path, limit: usize) -> Result<Vec<u8>, Error> {
    read_all(&open(path, 0)?.0, path, limit)
}

/// Like [`read_text`], of a file that only we or root can have written: no symbolic link, nobody else's, and
/// writable by nobody else. For state in a directory that others may be able to write to.
///
/// # Errors
/// Those of [`read_text`], and [`Error::NotPrivate`].
pub fn read_private(path: &Path, limit: usize) -> Result<String, Error> {
    let (file, about) = open(path, nix::libc::O_NOFOLLOW)?;
    let is_ours = about.uid() == 0 || about.uid() == nix::unistd::geteuid().as_raw();
    if !is_ours || about.mode() & 0o022 != 0 {
        return Err(Error::NotPrivate { path: path.to_owned() });
    }
    text(read_all(&file, path, limit)?, path)
}

/// What tells one version of a file from the next without reading it. `Display` is one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// That of the file which has this name now.
    ///
    /// # Errors
    /// [`Error::Read`].
    pub fn of(path: &Path) -> Result<Stamp, Error> {
        let failed = |source| Error::Read { path: path.to_owned(), source };
        Ok(Stamp::from(&fs::metadata(path).map_err(failed)?))
    }
}

impl From<&fs::Metadata> for Stamp {
    fn from(about: &fs::Metadata) -> Stamp {
        Stamp {
            device: about.dev(),
            inode: about.ino(),
            length: about.len(),
            modified: (about.mtime(), about.mtime_nsec()),
            changed: (about.ctime(), about.ctime_nsec()),
        }
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Stamp { device, inode, length, modified, changed } = self;
        write!(f, "{device}:{inode}:{length}:{}.{:09}", modified.0, modified.1)?;
        write!(f, ":{}.{:09}", changed.0, changed.1)
    }
}

/// A regular file for reading piece by piece, at most `limit` bytes of it, and what tells this version of it
/// from the next.
///
/// # Errors
/// [`Error::Read`], [`Error::NotAFile`] and [`Error::TooLarge`].
pub fn open_stamped(path: &Path, limit: u64) -> Result<(io::Take<File>, Stamp), Error> {
    let (file, about) = open(path, 0)?;
    if about.len() > limit {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        return Err(Error::TooLarge { path: path.to_owned(), limit });
    }
    Ok((file.take(limit), Stamp::from(&about)))
}

fn open(path: &Path, flags: i32) -> Result<(File, fs::Metadata), Error> {
    let failed = |source| Error::Read { path: path.to_owned(), source };
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY | flags)
        .open(path)
        .map_err(failed)?;
    let about = file.metadata().map_err(failed)?;
    if about.is_file() { Ok((file, about)) } else { Err(Error::NotAFile { path: path.to_owned() }) }
}

fn read_all(file: &File, path: &Path, limit: usize) -> Result<Vec<u8>, Error> {
    let failed = |source| Error::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    // What says how large it is need not be read to know that.
    let length = file.metadata().map_err(failed)?.len();
    if usize::try_from(length).map_or(true, |length| length > limit) {
        return Err(Error::TooLarge { path: path.to_owned(), limit });
    }
    let one_more = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    file.take(one_more).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > limit {
        return Err(Error::TooLarge { path: path.to_owned(), limit });
    }
    Ok(bytes)
}

/// The first `limit` bytes of a regular file of any size, and its permission bits.
///
/// # Errors
/// [`Error::Read`] and [`Error::NotAFile`].
pub fn read_beginning(path: &Path, limit: u64) -> Result<(Vec<u8>, u32), Error> {
    let (file, about) = open(path, 0)?;
    let mut bytes = Vec::new();
    file.take(limit)
        .read_to_end(&mut bytes)
        .map_err(|source| Error::Read { path: path.to_owned(), source })?;
    Ok((bytes, about.permissions().mode() & 0o7777))
}

/// Like [`read`], for text.
///
/// # Errors
/// Those of [`read`], and [`Error::NotText`].
pub fn read_text(path: &Path, limit: usize) -> Result<String, Error> {
    text(read(path, limit)?, path)
}

pub(crate) fn text(bytes: Vec<u8>, path: &Path) -> Result<String, Error> {
    String::from_utf8(bytes).map_err(|_| Error::NotText { path: path.to_owned() })
}

/// Replaces a file's content in one step: temporary file in the same directory, synced, renamed.
///
/// An existing file keeps its mode, owner, access control list, security label and other attributes, a new one gets
/// `mode`; a symbolic link is followed. It is never written in place: on a full disk, or when the power goes, that
/// leaves neither the old content nor the new.
///
/// # Errors
/// [`Error::Write`]; the old content is then untouched. Also where the directory takes no new file, the name is a
/// mount point, or the list or the label cannot be carried over.
pub fn write_atomic(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
    replace(path, bytes, mode).map_err(|source| Error::Write { path: path.to_owned(), source })
}

/// The same for what matters to nobody after a power cut, and then may be lost or empty: no disk is waited for.
///
/// # Errors
/// Those of [`write_atomic`].
pub fn write_volatile(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
    replace_and(path, bytes, mode, |_| Ok(()))
        .map_err(|source| Error::Write { path: path.to_owned(), source })
}

pub(crate) fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    replace_and(path, bytes, mode, File::sync_all)
}

/// `settle` is what is done to the new file before it takes the name, and to the directory after it.
fn replace_and(
    path: &Path,
    bytes: &[u8],
    mode: u32,
    settle: fn(&File) -> io::Result<()>,
) -> io::Result<()> {
    let (target, before) = match fs::canonicalize(path) {
        Ok(real) => {
            let before = fs::metadata(&real)?;
            (real, Some(before))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => (path.to_owned(), None),
        Err(error) => return Err(error),
    };
    let (Some(name), Some(directory)) = (target.file_name(), parent(&target)) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let mut temporary_name = OsString::from(".");
    temporary_name.push(name);
    temporary_name.push(format!(".new-{}", std::process::id()));
    let temporary = directory.join(temporary_name);
    // One of ours that was killed half way, with our process id: only then can it be there.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let written = (|| {
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(bytes)?;
        if let Some(before) = &before {
            let (uid, gid) = (Some(before.uid()), Some(before.gid()));
            std::os::unix::fs::fchown(&file, uid, gid)?;
        }
        // First: the mode would bring an inherited list into effect.
        if before.is_some() {
            attributes::carry_over(&File::open(&target)?, &file)?;
        }
        let mode = before.as_ref().map_or(mode, |before| before.mode() & 0o7777);
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        settle(&file)?;
        fs::rename(&temporary, &target)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
        return written;
    }
    settle(&File::open(directory)?)
}

fn parent(path: &Path) -> Option<PathBuf> {
    let parent = path.parent()?;
    Some(if parent.as_os_str().is_empty() { PathBuf::from(".") } else { parent.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_is_bounded_and_regular_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        fs::write(&path, "12345").unwrap();
        assert_eq!(read(&path, 5).unwrap(), b"12345");
        assert!(matches!(read(&path, 4), Err(Error::TooLarge { limit: 4, .. })));
        assert!(matches!(read(dir.path(), 4), Err(Error::NotAFile { .. })));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(read_beginning(&path, 3).unwrap(), (b"123".to_vec(), 0o640));
        assert_eq!(read_beginning(&path, 9).unwrap().0, b"12345");
        assert!(matches!(read_beginning(dir.path(), 4), Err(Error::NotAFile { .. })));
        assert!(read(&dir.path().join("none"), 4).unwrap_err().is_missing_file());
        fs::write(&path, [0xff]).unwrap();
        assert!(matches!(read_text(&path, 4), Err(Error::NotText { .. })));
        let fifo = dir.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(matches!(read(&fifo, 4), Err(Error::NotAFile { .. })));
    }

    #[test]
    fn what_others_could_have_written_is_not_private() {
        let dir = tempfile::tempdir().unwrap();
        let (path, link) = (dir.path().join("f"), dir.path().join("l"));
        fs::write(&path, "ours").unwrap();
        std::os::unix::fs::symlink("f", &link).unwrap();
        assert!(read_private(&link, 9).is_err());
        for (mode, is_private) in [(0o600, true), (0o644, true), (0o620, false), (0o602, false)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(read_private(&path, 9).is_ok(), is_private, "{mode:o}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        // Only root can give a file away.
        if std::os::unix::fs::chown(&path, Some(65534), None).is_ok() {
            assert!(matches!(read_private(&path, 9), Err(Error::NotPrivate { .. })));
        }
    }

    #[test]
    fn replacing_keeps_mode_and_links_and_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let (path, link) = (dir.path().join("f"), dir.path().join("l"));
        write_atomic(&path, b"one", 0o640).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o640);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o604)).unwrap();
        std::os::unix::fs::symlink("f", &link).unwrap();
        write_volatile(&link, b"two", 0o600).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        write_atomic(&link, b"three", 0o600).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"three");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o604);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
        assert!(write_atomic(&dir.path().join("no/f"), b"x", 0o600).is_err());
    }

    /// A list for one more user (65534), as setfacl writes it: version, then tag, rights and id of each entry.
    fn one_more_user() -> Vec<u8> {
        let entries: [(u16, u16, u32); 5] = [
            (1, 6, u32::MAX),
            (2, 4, 65534),
            (4, 4, u32::MAX),
            (16, 4, u32::MAX),
            (32, 0, u32::MAX),
        ];
        let mut list = 2u32.to_le_bytes().to_vec();
        for (tag, rights, id) in entries {
            list.extend(tag.to_le_bytes());
            list.extend(rights.to_le_bytes());
            list.extend(id.to_le_bytes());
        }
        list
    }

    #[test]
    fn replacing_keeps_attributes() {
        use xattr::FileExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        write_atomic(&path, b"one", 0o640).unwrap();
        let list = one_more_user();
        let kept = [("system.posix_acl_access", &list[..]), ("user.note", b"mine")];
        let file = File::open(&path).unwrap();
        for (name, value) in kept {
            if let Err(error) = file.set_xattr(name, value) {
                eprintln!("skipped: {name} on this file system: {error}");
                return;
            }
        }
        write_atomic(&path, b"two", 0o600).unwrap();
        let file = File::open(&path).unwrap();
        for (name, value) in kept {
            assert_eq!(file.get_xattr(name).unwrap().as_deref(), Some(value), "{name}");
        }
        assert_eq!(fs::read(&path).unwrap(), b"two");
    }

    #[test]
    fn what_replaces_a_file_does_not_inherit_a_list() {
        use xattr::FileExt;
        const LIST: &str = "system.posix_acl_access";
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        write_atomic(&path, b"one", 0o640).unwrap();
        let directory = File::open(dir.path()).unwrap();
        if let Err(error) = directory.set_xattr("system.posix_acl_default", &one_more_user()) {
            eprintln!("skipped: access control lists on this file system: {error}");
            return;
        }
        std::fs::write(dir.path().join("other"), "x").unwrap();
        let list = |name: &str| File::open(dir.path().join(name)).unwrap().get_xattr(LIST).unwrap();
        assert!(list("other").is_some(), "inherited");
        write_atomic(&path, b"two", 0o600).unwrap();
        assert_eq!(list("f"), None);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o640);
    }

    #[test]
    fn a_stamp_is_one_version_of_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        assert!(Stamp::of(&path).unwrap_err().is_missing_file());
        write_atomic(&path, b"12345", 0o600).unwrap();
        let before = Stamp::of(&path).unwrap();
        let (mut file, opened) = open_stamped(&path, 5).unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(
            (text.as_str(), opened, before.to_string()),
            ("12345", before, opened.to_string())
        );
        assert!(matches!(open_stamped(&path, 4), Err(Error::TooLarge { .. })));
        write_atomic(&path, b"54321", 0o600).unwrap();
        assert_ne!(Stamp::of(&path).unwrap(), before);
    }
}
