//! One call for a resource at a time on this node: a call that waits sees what the one before it did. Invariant: changes are
//! made to a certain version of the CIB; who fences and cannot have the lock goes on without it, unless told otherwise, and then
//! does not rely on a rule that it only found.

use duet_host::{Lock, clock};
use duet_ocf::{Deadline, chain};

use crate::decide::Mode;
use crate::late::Notes;
use crate::options::{LockFile, LockOptions};

/// What came of it.
#[derive(Debug)]
pub(crate) enum Locked {
    /// The lock is held, and changes are noted beside it.
    Yes(Lock, Notes),
    /// None is wanted.
    Unwanted,
    /// It could not be had, and that matters. Why.
    Refused(String),
    /// It could not be had, and the call goes on. Why.
    Without(String),
}

/// Takes the lock, waiting no longer than told, and never until `latest`. Whoever frees a node takes it even where none is wanted.
pub(crate) fn take(options: &LockOptions, mode: Mode, resource: &str, latest: Deadline) -> Locked {
    let name = match (&options.file, mode) {
        (LockFile::None, Mode::Fence) => return Locked::Unwanted,
        (LockFile::None, Mode::Unfence) | (LockFile::OfResource, _) => format!("fence.{resource}"),
        (LockFile::Named(name), _) => name.clone(),
    };
    let deadline = latest.when().min(options.timeout);
    let why = match Lock::take_in(&options.directory, &name, Deadline::at(deadline)) {
        Ok(Some(lock)) => {
            // The lock of no resource begins so.
            let note = format!(".change.{}", name.replace('/', "_"));
            return Locked::Yes(lock, Notes::at(options.directory.join(note)));
        }
        Ok(None) => format!(
            "Another call for this resource has had the lock for all of {:.1} s",
            clock::now().as_secs_f32()
        ),
        Err(why) => chain(&why),
    };
    match options.is_required {
        true => Locked::Refused(why),
        false => Locked::Without(why),
    }
}
