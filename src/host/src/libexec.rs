//! Where the programs are that ours become or start. Invariant: one that anybody but root and the caller could have put there is not
//! found.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Where `make install` puts them.
const DIRECTORY: &str = "/usr/lib/duet";
/// Another place, for tests. Heeded only where nobody but root and the caller could have put a program.
const OVERRIDE: &str = "DUET_LIBEXECDIR";

/// Where the program of this name should be.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let other = std::env::var_os(OVERRIDE).map(PathBuf::from);
    let is_fit = |directory: &PathBuf| directory.is_absolute() && is_ours_alone(directory, name);
    other.filter(is_fit).unwrap_or_else(|| PathBuf::from(DIRECTORY)).join(name)
}

fn is_ours_alone(directory: &Path, name: &str) -> bool {
    let caller = nix::unistd::geteuid().as_raw();
    [directory.to_owned(), directory.join(name)].iter().all(|path| {
        path.metadata().is_ok_and(|metadata| {
            (metadata.uid() == 0 || metadata.uid() == caller) && metadata.mode() & 0o022 == 0
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_others_could_have_put_there_is_not_ours() {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("x");
        std::fs::write(&program, "").unwrap();
        for (of_directory, of_program, ours) in
            [(0o755, 0o755, true), (0o777, 0o755, false), (0o755, 0o775, false)]
        {
            let mode = std::fs::Permissions::from_mode;
            std::fs::set_permissions(directory.path(), mode(of_directory)).unwrap();
            std::fs::set_permissions(&program, mode(of_program)).unwrap();
            assert_eq!(is_ours_alone(directory.path(), "x"), ours, "{of_directory:o}");
        }
        assert!(!is_ours_alone(directory.path(), "y"), "it is not there");
    }
}
