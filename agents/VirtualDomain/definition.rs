//! The definition file, read once at most. Invariant: storage that does not answer costs a share of the operation's
//! time, and no normal monitor of a running guest reads the file at all.

use std::{path::Path, time::Duration};

use duet_domain::Definition;
use duet_host::{bounded, clock};
use duet_ocf::chain;

use crate::observe::{Document, Identity};

/// No definition is larger; libvirt's own limit for a string.
pub(crate) const LIMIT: usize = 4 * 1024 * 1024;
/// How long its storage may take; a busy machine is not dead storage.
const PATIENCE: Duration = Duration::from_secs(5);
/// The same, where nothing but a warning depends on it.
const GLANCE: Duration = Duration::from_secs(1);

/// What it gets also in the look after the deadline.
const LEAST: Duration = Duration::from_millis(30);

/// The definition file, as this invocation goes by it: read once.
#[derive(Default)]
pub(crate) struct Written {
    /// What was read. Not Debug: a definition can hold passwords.
    read: Option<(Document, Option<String>)>,
}

impl Written {
    /// Reads it, with half of the time that remains at most. Returns the bytes too, so that a start uses exactly what
    /// was judged.
    pub(crate) fn read(&mut self, path: &Path, remaining: Duration) -> (Document, Option<String>) {
        self.read_within(path, PATIENCE.min(remaining / 2))
    }

    fn read_within(&mut self, path: &Path, patience: Duration) -> (Document, Option<String>) {
        let patience = patience.max(LEAST);
        self.read.get_or_insert_with(|| Self::judge(path, patience)).clone()
    }

    fn judge(path: &Path, patience: Duration) -> (Document, Option<String>) {
        let bytes = match bounded::read(path, LIMIT, clock::within(patience)) {
            Ok(bytes) => bytes,
            Err(error) => {
                let why = chain(&error);
                return match error.is_missing_file() {
                    true => (Document::Missing(why), None),
                    false => (Document::Unusable(why), None),
                };
            }
        };
        let unusable =
            |why: String| (Document::Unusable(format!("{}: {why}", path.display())), None);
        match Definition::parse(&bytes).map_err(|error| chain(&error)) {
            Ok(Definition { name, uuid, .. }) => match String::from_utf8(bytes) {
                Ok(text) => (Document::Read(Identity { name, uuid }), Some(text)),
                Err(error) => unusable(error.to_string()),
            },
            Err(why) => unusable(why),
        }
    }

    /// What there is to say about it where nothing depends on its content: the guest that is remembered runs.
    pub(crate) fn glance(&mut self, path: &Path, remaining: Duration) -> Document {
        if bounded::is_surely_there(path) {
            return Document::NotNeeded;
        }
        match self.read_within(path, GLANCE.min(remaining / 4)).0 {
            Document::Read(_) => Document::NotNeeded,
            other => other,
        }
    }
}
