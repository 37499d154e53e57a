//! The copy-on-write image that a domain with `backingfile` runs on. Invariant: under its own name there is only ever
//! a whole image, with the directories copied in: it is made beside, and renamed when all is done. One that somebody
//! has open is not replaced.

use std::{
    ffi::OsString,
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use duet_domain::disk_files;
use duet_host::process::{Call, Ended};
use duet_ocf::{Action, Deadline, ExitCode};

use crate::{config::Config, place};

/// What backs the image, as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Backing {
    /// The image below, which is only read.
    pub(crate) file: PathBuf,
    /// Whether each start has a fresh one.
    pub(crate) stateless: bool,
    /// What is copied into a fresh one.
    pub(crate) copyindirs: Vec<String>,
}

/// The image as seen before a start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Overlay {
    /// None is configured, or nothing is to be started.
    NotWanted,
    /// It is the one that the definition names.
    Seen {
        /// Where.
        path: PathBuf,
        /// It is missing, empty, or wanted anew each time.
        is_due: bool,
    },
    /// It cannot be used.
    Unusable(String),
}

impl Overlay {
    /// Which one has to be made.
    pub(crate) fn to_make(&self) -> Option<&Path> {
        match self {
            Self::Seen { path, is_due: true } => Some(path),
            Self::Seen { .. } | Self::NotWanted | Self::Unusable(_) => None,
        }
    }
}

/// Why it could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A program could not be run, or not to its end.
    #[error("Could not run {program}")]
    Run {
        /// Which.
        program: &'static str,
        /// Why.
        source: duet_host::Error,
    },
    /// A program said no.
    #[error("{program} {said}")]
    Refused {
        /// Which.
        program: &'static str,
        /// How it ended and what it said.
        said: String,
    },
    /// What it said about the backing file has no format in it.
    #[error("qemu-img does not say which format {} has", .0.display())]
    NoFormat(PathBuf),
    /// Somebody has the present one open.
    #[error("The one that is there is in use: {0}")]
    InUse(String),
    /// The file could not be put in its place.
    #[error("Could not put {} in place", .path.display())]
    Place {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A missing program is a missing installation; all else is a failure of this start.
pub(crate) fn exit_code(error: &Error) -> ExitCode {
    match error {
        Error::Run { source: duet_host::Error::NotFound { .. }, .. } => ExitCode::Installed,
        Error::Run { .. }
        | Error::Refused { .. }
        | Error::NoFormat(_)
        | Error::InUse(_)
        | Error::Place { .. } => ExitCode::Generic,
    }
}

/// Looks for the image that the definition `xml` names.
pub(crate) fn look(config: &Config, action: Action, xml: &str) -> Overlay {
    let Some(backing) = &config.backing else { return Overlay::NotWanted };
    if !matches!(action, Action::Start | Action::ValidateAll) {
        return Overlay::NotWanted;
    }
    let disks = disk_files(xml);
    let is_used = |path: &Path| disks.iter().any(|disk| Path::new(disk) == path);
    let (stocks, ours) = (stock_path(&config.definition), path(&config.definition));
    // With the stock agent's path, another guest's image could be meant: only where this definition names it.
    let is_stocks = stocks != ours && is_used(&stocks) && stocks.is_file();
    let path = if is_stocks { stocks } else { ours };
    if !is_used(&path) {
        let named = if disks.is_empty() { "no disk file".to_owned() } else { disks.join(", ") };
        return Overlay::Unusable(format!(
            "backingfile is set, so {} has to have its disk on the overlay {}, but it names {named}",
            config.definition.display(),
            path.display()
        ));
    }
    match path.metadata() {
        Ok(about) if !about.is_file() => {
            Overlay::Unusable(format!("The overlay {} is not a regular file", path.display()))
        }
        Ok(about) => {
            let is_due = backing.stateless || about.size() == 0;
            Overlay::Seen { path, is_due }
        }
        Err(error)
            if error.kind() == io::ErrorKind::NotFound && path.symlink_metadata().is_err() =>
        {
            Overlay::Seen { path, is_due: true }
        }
        Err(error) => {
            Overlay::Unusable(format!("Could not look at the overlay {}: {error}", path.display()))
        }
    }
}

/// Why memory must not be kept for a guest on the overlay; none where it may be, and without one. Asks no storage
/// but that of one that was looked at, `seen`.
pub(crate) fn complaint(config: &Config, seen: &Overlay, is_declared: bool) -> Option<String> {
    config.backing.as_ref()?;
    let real = match seen {
        Overlay::Seen { path, .. } => path.canonicalize().unwrap_or_else(|_| path.clone()),
        Overlay::NotWanted | Overlay::Unusable(_) => path(&config.definition),
    };
    place::overlay_complaint(&real, is_declared)
}

/// Beside the definition: the extension of the file name gives way to `qcow2`.
fn path(definition: &Path) -> PathBuf {
    definition.with_extension("qcow2")
}

/// Where the stock agent has it: the whole path is cut at its first dot.
fn stock_path(definition: &Path) -> PathBuf {
    let text = definition.to_string_lossy();
    PathBuf::from(format!("{}.qcow2", text.split('.').next().unwrap_or_default()))
}

/// Makes the image at `path`. Nobody runs on it: that was seen; who else has it open is found out here.
pub(crate) fn make(config: &Config, path: &Path, deadline: Deadline) -> Result<(), Error> {
    let Some(backing) = &config.backing else { return Ok(()) };
    let qemu_img = |call: Call| run("qemu-img", &call, deadline);
    if path.metadata().is_ok_and(|about| about.size() > 0) {
        // QEMU locks the images that it has open. An image that cannot be read is replaced.
        let ended = qemu_img(Call::new("qemu-img").arg("info").arg(path))?;
        let said = ended.describe();
        if !ended.is_success() && is_about_a_lock(&said) {
            return Err(Error::InUse(said));
        }
    }
    let asked = Call::new("qemu-img").args(["info", "-U", "--output=json"]).arg(&backing.file);
    let format = format(&accepted("qemu-img", qemu_img(asked)?)?)
        .ok_or_else(|| Error::NoFormat(backing.file.clone()))?;
    let beside = beside(path);
    // One that was left by a start that was killed.
    remove(&beside)?;
    let made = (|| {
        let create = Call::new("qemu-img")
            .args(["create", "-q", "-f", "qcow2", "-F", &format, "-b"])
            .args([&backing.file, &beside]);
        accepted("qemu-img", qemu_img(create)?)?;
        if !backing.copyindirs.is_empty() {
            let copy = Call::new("virt-copy-in").arg("-a").arg(&beside);
            let copy = copy.args(&backing.copyindirs).arg("/");
            accepted("virt-copy-in", run("virt-copy-in", &copy, deadline)?)?;
        }
        place(&beside, path).map_err(|source| Error::Place { path: path.to_owned(), source })
    })();
    if made.is_err() {
        let _ = remove(&beside);
    }
    made
}

fn run(program: &'static str, call: &Call, deadline: Deadline) -> Result<Ended, Error> {
    call.run(deadline).map_err(|source| Error::Run { program, source })
}

fn accepted(program: &'static str, ended: Ended) -> Result<Ended, Error> {
    if ended.is_success() {
        Ok(ended)
    } else {
        Err(Error::Refused { program, said: ended.describe() })
    }
}

/// QEMU's words for it (block/file-posix.c); that of a file name is none.
fn is_about_a_lock(said: &str) -> bool {
    let words = ["Failed to get \"", "Failed to get shared \"", "Failed to lock byte"];
    words.iter().any(|words| said.contains(words))
}

/// What `qemu-img info --output=json` says.
fn format(ended: &Ended) -> Option<String> {
    let said: serde_json::Value = serde_json::from_slice(&ended.stdout).ok()?;
    said.get("format")?.as_str().map(str::to_owned)
}

/// The same name always, so that killed starts do not pile up.
fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".being-made");
    path.with_file_name(name)
}

fn remove(path: &Path) -> Result<(), Error> {
    crate::memory::forget(path).map_err(|source| Error::Place { path: path.to_owned(), source })
}

/// Written out before it gets its name.
fn place(beside: &Path, path: &Path) -> io::Result<()> {
    let open = |path: &Path| std::fs::OpenOptions::new().read(true).open(path);
    open(beside)?.sync_all()?;
    std::fs::rename(beside, path)?;
    open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_told_from_a_name() {
        for (said, is_lock) in [
            ("Could not open '/srv/a': Failed to get \"write\" lock", true),
            ("Could not open '/srv/a': Failed to get shared \"write\" lock Is another", true),
            ("Could not open '/srv/a': Failed to lock byte 100", true),
            ("Could not open '/srv/blockstore/lock': Image is not in qcow2 format", false),
        ] {
            assert_eq!(is_about_a_lock(said), is_lock, "{said}");
        }
    }

    #[test]
    fn the_overlay_lies_beside_the_definition() {
        for (definition, ours, stocks) in [
            ("/srv/web.xml", "/srv/web.qcow2", "/srv/web.qcow2"),
            ("/srv/vm.d/web.xml", "/srv/vm.d/web.qcow2", "/srv/vm.qcow2"),
            ("/srv/v.1.xml", "/srv/v.1.qcow2", "/srv/v.qcow2"),
            ("/srv/web", "/srv/web.qcow2", "/srv/web.qcow2"),
        ] {
            assert_eq!(path(Path::new(definition)), Path::new(ours));
            assert_eq!(stock_path(Path::new(definition)), Path::new(stocks));
        }
        assert_eq!(beside(Path::new("/srv/a.qcow2")), Path::new("/srv/.a.qcow2.being-made"));
    }
}
