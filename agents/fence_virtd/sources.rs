//! The configuration file and the keys it names. Invariant: either all of it can be used, or none.

use std::{path::Path, sync::Arc};

use duet_host::file;
use duet_ocf::chain;

use crate::{policy::Policy, secret, settings::Settings};

/// A configuration of more bytes is none.
const LARGEST: usize = 1024 * 1024;

/// Why it cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Not to be read.
    #[error("{0}")]
    File(String),
    /// Not a configuration.
    #[error("Failed to parse {file}: {source}")]
    Settings { file: String, source: crate::settings::Error },
    /// No key.
    #[error("{0}")]
    Key(String),
}

/// The file's text, for who writes it again.
///
/// # Errors
/// It cannot be read, or has bytes that are no UTF-8, which would not be the same afterwards.
pub(crate) fn text(path: &Path) -> Result<String, Error> {
    let at = secret::place(path);
    file::read_text(&at, LARGEST).map_err(|error| Error::File(chain(&error)))
}

/// The file's text, and a warning where it has bytes that are no UTF-8: as with stock's daemon, a comment in another encoding is no
/// reason not to fence. A name with such bytes is nobody's, since libvirt has names in UTF-8.
///
/// # Errors
/// It cannot be read.
pub(crate) fn lenient(path: &Path) -> Result<(String, Option<String>), Error> {
    let at = secret::place(path);
    let bytes = file::read(&at, LARGEST).map_err(|error| Error::File(chain(&error)))?;
    Ok(match String::from_utf8(bytes) {
        Ok(text) => (text, None),
        Err(error) => {
            let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
            let warning = format!("line {line}: not UTF-8; a name with such bytes matches nothing");
            (String::from_utf8_lossy(error.as_bytes()).into_owned(), Some(warning))
        }
    })
}

/// What is configured, the rules of each listener, and what is worth a warning.
pub(crate) type Read = (Settings, Vec<Arc<Policy>>, Vec<String>);

/// Everything that is needed to serve. `mends` as for keys.
///
/// # Errors
/// Those above.
pub(crate) fn read(path: &Path, mends: bool) -> Result<Read, Error> {
    let (text, warning) = lenient(path)?;
    let parsed = Settings::parse(&text);
    let settings =
        parsed.map_err(|source| Error::Settings { file: path.display().to_string(), source })?;
    let (policies, told) =
        Policy::of(&settings, mends).map_err(|error| Error::Key(chain(&error)))?;
    let mut warnings = settings.warnings.clone();
    warnings.extend(told);
    warnings.extend(warning);
    Ok((settings, policies, warnings))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_comment_that_is_no_utf_8_is_warned_of_and_no_reason_not_to_serve() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("fence_virt.conf");
        let file =
            b"fence_virtd { listener = \"serial\"; backend = \"libvirt\"; }\n# Schl\xfcssel\n\
            backends { libvirt { uri = \"qemu:///system\"; } }\n\
            groups { group { uuid = \"gr\xfcn\"; ip = \"10.0.0.2\"; } }\n";
        std::fs::write(&path, file).unwrap();
        let (settings, policies, warnings) = read(&path, false).unwrap();
        assert_eq!((settings.listeners.len(), policies.len()), (1, 1));
        let told: Vec<_> = warnings.iter().filter(|text| text.contains("UTF-8")).collect();
        assert_eq!(told, ["line 2: not UTF-8; a name with such bytes matches nothing"]);
        assert!(text(&path).is_err(), "it is not written again with other bytes");
    }
}
