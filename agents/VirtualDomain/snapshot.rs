//! The memory image that a stop leaves for the next start (`snapshot`), as files. Invariant: an image has the name
//! that a start restores from only between the stop that completed it and the next start of the guest. Before the
//! guest's first instruction, the name is gone for good, so no image is restored over disks that have changed since.
//! Storage that has died is given up at a deadline.
//!
//! The names in the directory, for a domain `web`:
//! - `web.state`: a complete image; the next start restores from it.
//! - `web.state.saving`: being written by a stop, or left behind by one that was cut short.
//! - `web.state.restoring`: being read by a start, or left behind by one that was cut short.
//! - `web.state.set-aside.N`: one that was not restored; nobody reads or removes it.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Read},
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
};

use duet_host::bounded;
use duet_ocf::Deadline;

use crate::place;

/// What libvirt's QEMU driver begins a complete image with; an incomplete one has `LibvirtQemudPart`
/// (seen with libvirt 9.0 and 11.3).
const COMPLETE: &[u8; 16] = b"LibvirtQemudSave";

/// Three reasons, or a path, in bytes.
const LONGEST_ANSWER: usize = 16 * 1024;

/// What a filesystem that cannot sync a directory answers.
const EINVAL: i32 = 22;

/// The parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Snapshot {
    /// The directory.
    pub(crate) directory: PathBuf,
    /// The administrator says that all nodes see the same directory.
    pub(crate) is_shared: bool,
}

/// Which of the names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// `.state`
    Ready,
    /// `.state.saving`
    Saving,
    /// `.state.restoring`
    Restoring,
}

/// What lies under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Image {
    /// Nothing.
    Absent,
    /// An image that libvirt completed.
    Complete,
    /// An image that cannot be restored for this domain, and why.
    Unusable(String),
}

/// What lies in the directory for one domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Images {
    pub(crate) ready: Image,
    pub(crate) saving: Image,
    pub(crate) restoring: Image,
}

/// What is known about the images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seen {
    /// The parameter is not set, or does not matter to this action.
    NotAsked,
    /// The directory cannot serve.
    Unfit(String),
    /// It can, and has not been looked into.
    Fit,
    /// What is in it.
    Images(Images),
}

impl Image {
    fn as_line(&self) -> &str {
        match self {
            Self::Absent => "absent",
            Self::Complete => "complete",
            Self::Unusable(why) => why,
        }
    }

    fn of_line(line: &str) -> Self {
        match line {
            "absent" => Self::Absent,
            "complete" => Self::Complete,
            why => Self::Unusable(why.to_owned()),
        }
    }
}

impl Images {
    fn of_lines(lines: &[u8]) -> Option<Self> {
        let mut images = std::str::from_utf8(lines).ok()?.split('\n').map(Image::of_line);
        let (ready, saving, restoring) = (images.next()?, images.next()?, images.next()?);
        Some(Self { ready, saving, restoring })
    }
}

impl Snapshot {
    /// The file of this role for the domain `name`.
    pub(crate) fn file(&self, name: &str, role: Role) -> PathBuf {
        let suffix = match role {
            Role::Ready => "",
            Role::Saving => ".saving",
            Role::Restoring => ".restoring",
        };
        self.directory.join(format!("{name}.state{suffix}"))
    }

    /// Whether the directory can serve, without touching it: on the way down nothing may depend on storage that may
    /// have died.
    pub(crate) fn fit(&self) -> Seen {
        match place::complaint(&self.directory, self.is_shared) {
            Some(why) => Seen::Unfit(why),
            None => Seen::Fit,
        }
    }

    /// Looks into the directory.
    pub(crate) fn look(&self, name: &str, deadline: Deadline) -> Seen {
        match self.fit() {
            Seen::Fit => {}
            unfit => return unfit,
        }
        let examined = bounded::run(LONGEST_ANSWER, deadline, || {
            let [ready, saving, restoring] = self.examine(name)?;
            Ok([ready.as_line(), saving.as_line(), restoring.as_line()].join("\n").into_bytes())
        });
        match examined.map(|lines| Images::of_lines(&lines)) {
            Ok(Some(images)) => Seen::Images(images),
            Ok(None) => Seen::Unfit(format!("snapshot={:?}: no answer", self.directory)),
            Err(error) => Seen::Unfit(format!("snapshot={:?}: {error}", self.directory)),
        }
    }

    /// The images that are ready, being saved, and being restored.
    fn examine(&self, name: &str) -> io::Result<[Image; 3]> {
        let directory = &self.directory;
        // A directory that is not there may be a filesystem that is not mounted, with an image on it.
        let real = fs::canonicalize(directory)?;
        if real != *directory || !real.is_dir() {
            let real = real.display();
            return Err(io::Error::other(format!(
                "not a directory by its real path, which is {real}"
            )));
        }
        // Opening a directory makes NFS ask its server whether what it remembers of the names in it still holds.
        open(directory)?;
        let image = |role| examine(&self.file(name, role));
        Ok([image(Role::Ready)?, image(Role::Saving)?, image(Role::Restoring)?])
    }

    /// Makes the image that a stop completed the one to start from.
    pub(crate) fn seal(&self, name: &str, deadline: Deadline) -> io::Result<()> {
        let from = self.file(name, Role::Saving);
        within(deadline, || {
            open(&from)?.sync_all()?;
            self.rename(&from, &self.file(name, Role::Ready))
        })
    }

    /// Takes the image away from later starts, and hands it to this one.
    pub(crate) fn take(&self, name: &str, deadline: Deadline) -> io::Result<PathBuf> {
        let to = self.file(name, Role::Restoring);
        within(deadline, || self.rename(&self.file(name, Role::Ready), &to))?;
        Ok(to)
    }

    /// Takes a file out of the way and keeps it. Returns its new name; none where there was no such file.
    pub(crate) fn set_aside(
        &self,
        name: &str,
        role: Role,
        deadline: Deadline,
    ) -> io::Result<Option<PathBuf>> {
        let to = bounded::run(LONGEST_ANSWER, deadline, || {
            let to = match self.file(name, role).symlink_metadata() {
                Ok(_) => self.move_aside(name, role)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => PathBuf::new(),
                Err(error) => return Err(error),
            };
            Ok(to.into_os_string().into_vec())
        })?;
        Ok(Some(PathBuf::from(OsString::from_vec(to))).filter(|to| !to.as_os_str().is_empty()))
    }

    fn move_aside(&self, name: &str, role: Role) -> io::Result<PathBuf> {
        let from = self.file(name, role);
        let free = (1..=9999_u32)
            .map(|number| {
                let mut file = OsString::from(format!("{name}.state.set-aside."));
                file.push(number.to_string());
                self.directory.join(file)
            })
            .find(|file| {
                matches!(file.symlink_metadata(), Err(error) if error.kind() == io::ErrorKind::NotFound)
            });
        let to = free.ok_or_else(|| io::Error::from(io::ErrorKind::AlreadyExists))?;
        self.rename(&from, &to)?;
        Ok(to)
    }

    /// Removes an image whose guest was seen running.
    pub(crate) fn remove(&self, name: &str, deadline: Deadline) -> io::Result<()> {
        within(deadline, || match fs::remove_file(self.file(name, Role::Restoring)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        })
    }

    /// Lasting when it returns: a name that came back after a power cut would be restored from.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)?;
        match open(&self.directory)?.sync_all() {
            // The filesystem has nothing to do for that, as CIFS.
            Err(error) if error.raw_os_error() == Some(EINVAL) => Ok(()),
            other => other,
        }
    }
}

fn within(deadline: Deadline, work: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    bounded::run(0, deadline, || work().map(|()| Vec::new())).map(|_| ())
}

#[allow(clippy::disallowed_methods, reason = "files of the agent's own, in its own names")]
fn open(path: &Path) -> io::Result<File> {
    File::open(path)
}

fn examine(path: &Path) -> io::Result<Image> {
    let about = match path.symlink_metadata() {
        Ok(about) => about,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Image::Absent),
        Err(error) => return Err(error),
    };
    if !about.is_file() {
        return Ok(Image::Unusable("it is not a regular file".to_owned()));
    }
    let mut mark = [0; COMPLETE.len()];
    match open(path)?.read_exact(&mut mark) {
        Ok(()) if mark == *COMPLETE => Ok(Image::Complete),
        Ok(()) if mark.starts_with(b"LibvirtQemudPart") => {
            Ok(Image::Unusable("libvirt did not complete it".to_owned()))
        }
        Ok(()) => Ok(Image::Unusable("it is no memory image of libvirt's".to_owned())),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Ok(Image::Unusable("it is too short for a memory image".to_owned()))
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests of what happens to files")]

    use super::*;

    fn snapshot(directory: &Path) -> Snapshot {
        Snapshot { directory: fs::canonicalize(directory).unwrap(), is_shared: true }
    }

    fn soon() -> Deadline {
        duet_host::clock::within(std::time::Duration::from_secs(10))
    }

    fn images(seen: &Seen) -> &Images {
        match seen {
            Seen::Images(images) => images,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_libvirts_own_mark_makes_an_image_complete() {
        let directory = tempfile::tempdir().unwrap();
        let snapshot = snapshot(directory.path());
        let file = snapshot.file("web", Role::Ready);
        assert_eq!(images(&snapshot.look("web", soon())).ready, Image::Absent);
        for (content, is_complete) in [
            (&b"LibvirtQemudSave\x02\0\0\0"[..], true),
            (b"LibvirtQemudPart\x02\0\0\0", false),
            (b"LibvirtQemudSav", false),
            (b"", false),
            (b"rubbish of some length", false),
        ] {
            fs::write(&file, content).unwrap();
            let found = snapshot.look("web", soon());
            assert_eq!(images(&found).ready == Image::Complete, is_complete, "{found:?}");
            assert_ne!(images(&found).ready, Image::Absent);
        }
        fs::remove_file(&file).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &file).unwrap();
        assert!(matches!(images(&snapshot.look("web", soon())).ready, Image::Unusable(_)));
    }

    #[test]
    fn an_image_goes_from_name_to_name_and_is_never_in_two() {
        let directory = tempfile::tempdir().unwrap();
        let snapshot = snapshot(directory.path());
        let names = || {
            let mut names: Vec<_> = fs::read_dir(directory.path())
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        };
        fs::write(snapshot.file("web", Role::Saving), COMPLETE).unwrap();
        snapshot.seal("web", soon()).unwrap();
        assert_eq!(names(), ["web.state"]);
        snapshot.take("web", soon()).unwrap();
        assert_eq!(names(), ["web.state.restoring"]);
        snapshot.set_aside("web", Role::Restoring, soon()).unwrap();
        fs::write(snapshot.file("web", Role::Ready), "another").unwrap();
        snapshot.set_aside("web", Role::Ready, soon()).unwrap();
        assert_eq!(names(), ["web.state.set-aside.1", "web.state.set-aside.2"]);
        assert_eq!(fs::read(directory.path().join("web.state.set-aside.1")).unwrap(), COMPLETE);
        assert_eq!(snapshot.set_aside("web", Role::Ready, soon()).unwrap(), None);
        snapshot.remove("web", soon()).unwrap();
        assert!(snapshot.take("web", soon()).is_err() && snapshot.seal("web", soon()).is_err());
    }

    #[test]
    fn a_directory_that_is_not_there_is_not_an_empty_one() {
        let directory = tempfile::tempdir().unwrap();
        let real = fs::canonicalize(directory.path()).unwrap();
        let link = real.join("link");
        std::os::unix::fs::symlink(&real, &link).unwrap();
        for path in [real.join("none"), link] {
            let snapshot = Snapshot { directory: path, is_shared: true };
            assert!(matches!(snapshot.look("web", soon()), Seen::Unfit(_)), "{snapshot:?}");
        }
    }
}
