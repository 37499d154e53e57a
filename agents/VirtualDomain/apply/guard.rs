//! The definition file while libvirt removes a definition. Invariant: a file that lies in libvirt's own directory outlives
//! that.

use std::{
    ffi::OsString,
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::Error;
use crate::memory;

/// A second name for the definition file while libvirt may delete the first: undefining removes
/// `/etc/libvirt/qemu/NAME.xml`, and many clusters keep their definitions right there. A crash in between
/// leaves the second name, never nothing.
pub(super) struct Guard {
    /// Each name, and the second one beside it.
    names: Vec<(PathBuf, PathBuf)>,
}

impl Guard {
    pub(super) fn protect(definition: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Protect { path: definition.to_owned(), source };
        // Where the name given is a symbolic link, libvirt's own name may be the link or what it leads to.
        let real = std::fs::canonicalize(definition).map_err(failed)?;
        let mut given = vec![definition.to_owned()];
        if real != definition {
            given.push(real);
        }
        let mut guard = Self { names: Vec::new() };
        for name in given {
            let mut second = OsString::from(&name);
            second.push(".kept-by-cluster");
            let second = PathBuf::from(second);
            memory::forget(&second).map_err(failed)?;
            second_name(&name, &second).map_err(failed)?;
            guard.names.push((name, second));
        }
        Ok(guard)
    }

    pub(super) fn release(self) -> Result<(), Error> {
        for (name, second) in self.names {
            let done = if name.symlink_metadata().is_ok() {
                memory::forget(&second)
            } else {
                std::fs::rename(&second, &name)
            };
            done.map_err(|source| Error::Protect { path: name, source })?;
        }
        Ok(())
    }
}

/// Links the link, not what it leads to. A copy, where the file system has no second names.
fn second_name(name: &Path, second: &Path) -> io::Result<()> {
    let linked = std::fs::hard_link(name, second);
    let Err(error) = linked else { return Ok(()) };
    // EPERM, EOPNOTSUPP, ENOSYS: FAT, some FUSE and network file systems; EMLINK: too many already.
    let has_none = matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported | io::ErrorKind::TooManyLinks
    );
    if has_none { copy(name, second) } else { Err(error) }
}

/// With mode and owner, written out before libvirt may delete the first.
fn copy(name: &Path, second: &Path) -> io::Result<()> {
    let about = name.symlink_metadata()?;
    if about.is_symlink() {
        return std::os::unix::fs::symlink(std::fs::read_link(name)?, second);
    }
    std::fs::copy(name, second)?;
    std::os::unix::fs::chown(second, Some(about.uid()), Some(about.gid()))?;
    std::fs::OpenOptions::new().read(true).open(second)?.sync_all()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests of what happens to files")]

    use super::*;
    use std::{fs, os::unix::fs::symlink};

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn whichever_name_libvirt_deletes_the_definition_is_still_there() {
        for victim in ["link.xml", "real.xml", "neither"] {
            let directory = tempfile::tempdir().unwrap();
            let (link, real) =
                (directory.path().join("link.xml"), directory.path().join("real.xml"));
            fs::write(&real, "<domain/>").unwrap();
            symlink(&real, &link).unwrap();
            let guard = Guard::protect(&link).unwrap();
            let _ = fs::remove_file(directory.path().join(victim));
            guard.release().unwrap();
            assert_eq!(names(directory.path()), ["link.xml", "real.xml"], "{victim}");
            assert_eq!(fs::read_to_string(&link).unwrap(), "<domain/>", "{victim}");
            assert!(link.symlink_metadata().unwrap().is_symlink(), "{victim}");
        }
    }

    #[test]
    fn a_copy_is_as_good_as_a_second_name() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let (name, second) = (directory.path().join("a"), directory.path().join("b"));
        fs::write(&name, "<domain/>").unwrap();
        fs::set_permissions(&name, fs::Permissions::from_mode(0o640)).unwrap();
        copy(&name, &second).unwrap();
        assert_eq!(fs::read_to_string(&second).unwrap(), "<domain/>");
        assert_eq!(fs::metadata(&second).unwrap().mode() & 0o7777, 0o640);
        let link = directory.path().join("link");
        symlink("a", &link).unwrap();
        fs::remove_file(&second).unwrap();
        copy(&link, &second).unwrap();
        assert_eq!(fs::read_link(&second).unwrap(), Path::new("a"));
        assert!(copy(&directory.path().join("none"), &second).is_err());
    }

    #[test]
    fn a_guard_that_was_left_behind_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let definition = directory.path().join("web.xml");
        fs::write(&definition, "new").unwrap();
        fs::write(directory.path().join("web.xml.kept-by-cluster"), "old").unwrap();
        let guard = Guard::protect(&definition).unwrap();
        fs::remove_file(&definition).unwrap();
        guard.release().unwrap();
        assert_eq!(fs::read_to_string(&definition).unwrap(), "new");
        assert_eq!(names(directory.path()), ["web.xml"]);
    }

    #[test]
    fn nothing_is_undefined_when_the_definition_cannot_be_protected() {
        let directory = tempfile::tempdir().unwrap();
        assert!(Guard::protect(&directory.path().join("none.xml")).is_err());
    }
}
