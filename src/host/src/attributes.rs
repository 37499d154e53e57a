//! Extended attributes of a file that takes another's place: access control list, security label and what people have
//! attached. Invariant: who may read the file is carried over, or the file does not take the place.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use xattr::FileExt;

/// The list; the new file has inherited the directory's where that has one for its files.
const LIST: &str = "system.posix_acl_access";

/// Copies them, and takes away a list that the old file does not have. Left out is what the kernel computes from the content, and what belongs to the file system itself.
///
/// # Errors
/// The list or the label of `old` could not be given to `new`.
pub(crate) fn carry_over(old: &File, new: &File) -> io::Result<()> {
    let names = match old.list_xattr() {
        Ok(names) => names,
        // A file system without any.
        Err(error) if is_unsupported(&error) => return Ok(()),
        Err(error) => return Err(error),
    };
    let names: Vec<_> = names.collect();
    if !names.iter().any(|name| name == LIST) && new.get_xattr(LIST).ok().flatten().is_some() {
        new.remove_xattr(LIST)?;
    }
    for name in names.into_iter().filter(|name| !belongs_to_the_inode(name)) {
        let Some(value) = old.get_xattr(&name)? else { continue };
        // A label that the new file got by itself need not be set, which may be forbidden.
        if new.get_xattr(&name).ok().flatten().as_ref() == Some(&value) {
            continue;
        }
        if let Err(error) = new.set_xattr(&name, &value) {
            if decides_access(&name) {
                return Err(error);
            }
        }
    }
    Ok(())
}

fn is_unsupported(error: &io::Error) -> bool {
    error.raw_os_error() == Some(nix::libc::EOPNOTSUPP)
}

fn starts_with(name: &OsStr, prefix: &str) -> bool {
    name.as_encoded_bytes().starts_with(prefix.as_bytes())
}

fn belongs_to_the_inode(name: &OsStr) -> bool {
    ["security.ima", "security.evm", "trusted."].iter().any(|prefix| starts_with(name, prefix))
}

fn decides_access(name: &OsStr) -> bool {
    ["security.", "system."].iter().any(|prefix| starts_with(name, prefix))
}
