//! The key file: read, and who else can read it. Invariant: a key that cannot be read, or that others can write, is an error and never
//! "no authentication"; a key that everybody could read is closed to them, aloud, or refused.

use std::{
    fs::{File, OpenOptions, Permissions},
    io::{self, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use duet_xvm::Key;

/// More than this of a key file does not count.
const LONGEST: u64 = 4096;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Not to be read.
    #[error("Could not read the key {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    /// Not a file.
    #[error("The key {} is not a regular file", path.display())]
    NotAFile { path: PathBuf },
    /// Others could have written it.
    #[error("The key {} can be changed by others (mode {mode:04o}); make a new one that cannot", path.display())]
    Writable { path: PathBuf, mode: u32 },
    /// Everybody can read it, and that cannot be changed from here.
    #[error("The key {} can be read by everybody (mode {mode:04o}), and that could not be changed; make a new one with mode 0600", path.display())]
    Readable { path: PathBuf, mode: u32, source: io::Error },
    /// Not a key.
    #[error("The key {} cannot be used", path.display())]
    Unusable { path: PathBuf, source: duet_xvm::Error },
}

/// What a mode of a key file means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Only its owner, or a group that it was given to, can read it.
    Private,
    /// Everybody can read it.
    Public,
    /// Others than its owner can write it.
    Writable,
}

fn judge(mode: u32) -> Mode {
    match (mode & 0o022, mode & 0o004) {
        (0, 0) => Mode::Private,
        (0, _) => Mode::Public,
        (_, _) => Mode::Writable,
    }
}

/// The file, or where we may not read it the copy that systemd has made for us, where it was asked to (`LoadCredential=` by the file's
/// own name).
pub(crate) fn place(path: &Path) -> PathBuf {
    let is_closed =
        File::open(path).is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied);
    let credential = || {
        let directory = std::env::var_os("CREDENTIALS_DIRECTORY")?;
        let credential = Path::new(&directory).join(path.file_name()?);
        credential.exists().then_some(credential)
    };
    let copy = if is_closed { credential() } else { None };
    copy.unwrap_or_else(|| path.to_owned())
}

/// Reads a key. Where `mends`, one that everybody can read is made private; that, and what else is worth a warning, comes back with it.
///
/// # Errors
/// Those above.
pub(crate) fn read(path: &Path, mends: bool) -> Result<(Key, Vec<String>), Error> {
    let at = place(path);
    let mut warnings = Vec::new();
    let failed = |source| Error::Read { path: path.to_owned(), source };
    let flags = nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(&at).map_err(failed)?;
    let about = file.metadata().map_err(failed)?;
    if !about.is_file() {
        return Err(Error::NotAFile { path: path.to_owned() });
    }
    let mode = about.mode() & 0o7777;
    match judge(mode) {
        Mode::Private => {}
        Mode::Writable => return Err(Error::Writable { path: path.to_owned(), mode }),
        Mode::Public if mends => {
            let closed = close(&file, mode);
            closed.map_err(|source| Error::Readable { path: path.to_owned(), mode, source })?;
            warnings.push(format!(
                "the key {} could be read by everybody (mode {mode:04o}); now it cannot, but somebody may have: consider a new one",
                path.display()
            ));
        }
        Mode::Public => warnings.push(format!(
            "the key {} can be read by everybody (mode {mode:04o}); the daemon takes that away, or refuses to start",
            path.display()
        )),
    }
    let mut content = Vec::new();
    file.take(LONGEST).read_to_end(&mut content).map_err(failed)?;
    let unusable = |source| Error::Unusable { path: path.to_owned(), source };
    let key = Key::new(&content).map_err(unusable)?;
    if key.is_short() {
        warnings.push(format!(
            "the key {} has fewer than 16 bytes and can be guessed from one request that is overheard",
            path.display()
        ));
    }
    Ok((key, warnings))
}

/// Takes everything from everybody but owner and group.
fn close(file: &File, mode: u32) -> io::Result<()> {
    file.set_permissions(Permissions::from_mode(mode & 0o770))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(content: &[u8], mode: u32) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        std::fs::set_permissions(file.path(), Permissions::from_mode(mode)).unwrap();
        file
    }

    #[test]
    fn what_others_can_write_is_refused_and_what_they_can_read_is_closed() {
        let secret = b"0123456789abcdef";
        for (mode, after) in
            [(0o600, 0o600), (0o640, 0o640), (0o400, 0o400), (0o644, 0o640), (0o604, 0o600)]
        {
            let file = file(secret, mode);
            let (_, warnings) = read(file.path(), true).unwrap();
            assert_eq!(file.path().metadata().unwrap().mode() & 0o7777, after, "{mode:o}");
            assert_eq!(warnings.len(), usize::from(mode != after), "{mode:o}");
        }
        for mode in [0o620, 0o602, 0o666] {
            let error = read(file(secret, mode).path(), true).unwrap_err();
            assert!(matches!(error, Error::Writable { .. }), "{mode:o}: {error}");
        }
    }

    #[test]
    fn a_look_changes_nothing() {
        let file = file(b"0123456789abcdef", 0o644);
        assert_eq!(read(file.path(), false).unwrap().1.len(), 1);
        assert_eq!(file.path().metadata().unwrap().mode() & 0o7777, 0o644);
    }

    #[test]
    fn no_key_is_no_key() {
        assert!(matches!(read(Path::new("/nowhere/key"), true), Err(Error::Read { .. })));
        assert!(matches!(read(Path::new("/dev/null"), true), Err(Error::NotAFile { .. })));
        assert!(matches!(read(file(b"", 0o600).path(), true), Err(Error::Unusable { .. })));
    }

    #[test]
    fn a_short_key_is_a_warning_and_a_new_line_counts() {
        let (short, warnings) = read(file(b"secret", 0o600).path(), true).unwrap();
        assert_eq!(warnings.len(), 1);
        let (line, _) = read(file(b"secret\n", 0o600).path(), true).unwrap();
        assert_ne!(short.fingerprint(), line.fingerprint());
        let fingerprint = |length: usize| {
            let (key, warnings) = read(file(&vec![7; length], 0o600).path(), true).unwrap();
            assert!(warnings.is_empty());
            key.fingerprint()
        };
        assert_eq!(fingerprint(4096), fingerprint(5096));
    }
}
