//! Builds the guest of one boot sector with the assembler and linker that every Rust installation
//! has beside it. Invariant: what is returned is exactly 512 bytes and carries the boot signature.
#![allow(clippy::disallowed_methods, reason = "runs the assembler and reads what it made")]

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::Error;

/// The source, for people who want to read what their disk runs.
pub const SOURCE: &str = include_str!("guest.S");
/// Length of a boot sector, and of an entry of the ring.
pub const SECTOR: usize = 512;
/// How many entries the ring has.
pub const RING: u32 = 127;
/// Where the ring begins, in sectors.
pub const RING_START: u64 = 64;
/// The smallest disk that the guest can use, in bytes.
pub const SMALLEST_DISK: u64 = (RING_START + RING as u64) * SECTOR as u64;

/// The boot sector, to be written to the start of the disk under test (the rest of the first
/// [`SMALLEST_DISK`] bytes zeroed: an old ring would be taken for the guest's own).
///
/// # Errors
/// [`Error::NoTool`] without binutils, [`Error::Build`] and [`Error::NotBootable`] when they do not
/// do what is expected, [`Error::File`] when the temporary directory cannot be used.
pub fn boot_sector() -> Result<Vec<u8>, Error> {
    let dir = tempfile::Builder::new().prefix("duet-guest.").tempdir().map_err(|source| {
        Error::File { action: "make a directory in", path: std::env::temp_dir(), source }
    })?;
    let path = |name: &str| dir.path().join(name);
    let (source, object, image) = (path("guest.S"), path("guest.o"), path("guest.bin"));
    std::fs::write(&source, SOURCE).map_err(|error| Error::File {
        action: "write",
        path: source.clone(),
        source: error,
    })?;
    run("as", &["--32".as_ref(), source.as_ref(), "-o".as_ref(), object.as_ref()])?;
    let words = ["-m", "elf_i386", "-Ttext", "0x7c00", "--oformat", "binary", "-e", "_start"];
    let mut args: Vec<&OsStr> = words.iter().map(OsStr::new).collect();
    args.extend([object.as_os_str(), OsStr::new("-o"), image.as_os_str()]);
    run("ld", &args)?;
    checked(read(&image)?)
}

/// A whole small disk with the guest on it and an empty ring, for tests without DRBD.
///
/// # Errors
/// See [`boot_sector`].
pub fn fresh_disk(bytes: usize) -> Result<Vec<u8>, Error> {
    let mut disk = boot_sector()?;
    disk.resize(bytes.max(disk.len()), 0);
    Ok(disk)
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|source| Error::File {
        action: "read",
        path: path.to_owned(),
        source,
    })
}

fn run(program: &'static str, args: &[&OsStr]) -> Result<(), Error> {
    // Both read one page of text and end; there is nothing in them to wait for without end.
    let output = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .map_err(|source| Error::NoTool { program, source })?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::Build {
        program,
        status: output.status.to_string(),
        stderr: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

fn checked(image: Vec<u8>) -> Result<Vec<u8>, Error> {
    if image.len() == SECTOR && image.ends_with(&[0x55, 0xaa]) {
        return Ok(image);
    }
    let ending = image[image.len().saturating_sub(2)..].to_vec();
    Err(Error::NotBootable { length: image.len(), ending })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guest_is_a_boot_sector() {
        let image = boot_sector().unwrap();
        assert_eq!(image.len(), SECTOR);
        assert_eq!(image[510..], [0x55, 0xaa]);
        // ljmp $0,$go: the first instruction of the source.
        assert_eq!(image[0], 0xea);
    }

    #[test]
    fn anything_else_is_refused() {
        assert!(matches!(checked(vec![0; 512]), Err(Error::NotBootable { length: 512, .. })));
        assert!(matches!(checked(vec![0x55]), Err(Error::NotBootable { length: 1, .. })));
        assert!(matches!(checked(Vec::new()), Err(Error::NotBootable { length: 0, .. })));
    }

    #[test]
    fn a_missing_tool_is_named() {
        let error = run("duet-no-such-assembler", &[]).unwrap_err();
        assert!(error.to_string().contains("duet-no-such-assembler"), "{error}");
        assert!(error.to_string().contains("binutils"), "{error}");
    }
}
