//! Changes of the rule that were sent and not answered: they can be made after the call that sent them is over. Invariant: a
//! change that frees a node is noted before it is sent, beside the lock, and struck out only when the CIB has moved on.

use std::path::PathBuf;

use duet_host::file;
use duet_ocf::chain;

use crate::decide::Late;
use crate::facts::Version;

/// Where changes are noted; nowhere without the lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Notes(Option<PathBuf>);

/// A note is one line.
const LONGEST: usize = 200;

impl Notes {
    /// In this file.
    pub(crate) fn at(path: PathBuf) -> Notes {
        Notes(Some(path))
    }

    /// Nowhere: another call may be doing anything.
    pub(crate) fn nowhere() -> Notes {
        Notes(None)
    }

    /// Whether a change may be noted at all.
    pub(crate) fn can_be_made(&self) -> bool {
        self.0.is_some()
    }

    /// What can still arrive, by the note of a call before this one. A note that cannot be read is one of anything.
    pub(crate) fn late(&self) -> Late {
        let Some(path) = &self.0 else { return Late::Anything };
        match file::read_text(path, LONGEST) {
            Ok(text) => read(&text).map_or(Late::Anything, Late::ChangeOf),
            Err(error) if error.is_missing_file() => Late::Nothing,
            Err(_) => Late::Anything,
        }
    }

    /// Notes that a change to this version is about to be sent.
    ///
    /// # Errors
    /// If it cannot be noted: then it must not be sent.
    pub(crate) fn sending(&self, version: Version) -> Result<(), String> {
        let Some(path) = &self.0 else {
            return Err("Without the lock, nothing is freed".to_owned());
        };
        let Version { admin_epoch, epoch, num_updates } = version;
        let text = format!("{admin_epoch} {epoch} {num_updates}\n");
        file::write_volatile(path, text.as_bytes(), 0o600).map_err(|why| chain(&why))
    }

    /// Strikes it out: the CIB has another version by now.
    pub(crate) fn overtaken(&self) {
        if let Some(path) = &self.0 {
            // What stays behind costs the next call one look more.
            let _ = std::fs::remove_file(path);
        }
    }
}

fn read(text: &str) -> Option<Version> {
    let mut numbers = text.split_ascii_whitespace().map(str::parse);
    let mut next = || numbers.next()?.ok();
    let version = Version { admin_epoch: next()?, epoch: next()?, num_updates: next()? };
    next().is_none().then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_again_until_it_is_struck_out() {
        let directory = tempfile::tempdir().unwrap();
        let notes = Notes::at(directory.path().join("fence.r0.change"));
        assert_eq!(notes.late(), Late::Nothing);
        let version = Version { admin_epoch: 1, epoch: 23, num_updates: 4 };
        notes.sending(version).unwrap();
        assert_eq!(notes.late(), Late::ChangeOf(version));
        notes.overtaken();
        assert_eq!(notes.late(), Late::Nothing);
    }

    #[test]
    fn a_damaged_note_is_one_of_anything() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("fence.r0.change");
        for text in ["", "1 2", "1 2 x", "1 2 3 4", "-1 2 3"] {
            file::write_volatile(&path, text.as_bytes(), 0o600).unwrap();
            assert_eq!(Notes::at(path.clone()).late(), Late::Anything, "{text:?}");
        }
        assert_eq!(Notes::nowhere().late(), Late::Anything);
        assert!(Notes::nowhere().sending(Version::default()).is_err());
    }
}
