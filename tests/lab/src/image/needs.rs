//! What this machine must have before an image can be built, each with its cure.

use crate::failure::{Failure, Result};
use std::path::Path;

/// The tree and the disk together, with room for what is unpacked on the way.
const NEEDED_MIB: u64 = 3300;

/// Root, and nothing else of this machine, is needed by every lab command that changes anything.
pub(crate) fn require_root() -> Result<()> {
    if nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    Err(Failure::Missing {
        what: "The labs need root: they make namespaces, bridges and mounts of their own"
            .to_owned(),
        cure: "run the same command with sudo, or as root".to_owned(),
    })
}

pub(super) fn require_debootstrap() -> Result<()> {
    let found = ["/usr/sbin/debootstrap", "/usr/bin/debootstrap"]
        .iter()
        .any(|path| Path::new(path).exists());
    if found {
        return Ok(());
    }
    Err(Failure::Missing {
        what: "debootstrap is not installed".to_owned(),
        cure: "make deps (or: apt-get install debootstrap)".to_owned(),
    })
}

pub(super) fn require_space(cache: &Path) -> Result<()> {
    let stat = nix::sys::statvfs::statvfs(cache).map_err(|errno| {
        Failure::io(format!("ask for the space in {}", cache.display()))(errno.into())
    })?;
    let free = stat.blocks_available() * stat.fragment_size() / (1024 * 1024);
    if free >= NEEDED_MIB {
        return Ok(());
    }
    Err(Failure::Missing {
        what: format!("{} has {free} MiB free, the image needs {NEEDED_MIB}", cache.display()),
        cure: "make room, or set DUET_LAB_CACHE to a directory that has it".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_space_is_said_with_both_numbers() {
        // /proc has no blocks at all.
        let error = require_space(Path::new("/proc")).unwrap_err().to_string();
        assert!(error.contains("0 MiB free") && error.contains("DUET_LAB_CACHE"), "{error}");
    }
}
