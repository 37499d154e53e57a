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

/// The file's text.
///
/// # Errors
/// It cannot be read.
pub(crate) fn text(path: &Path) -> Result<String, Error> {
    let at = secret::place(path);
    file::read_text(&at, LARGEST).map_err(|error| Error::File(chain(&error)))
}

/// What is configured, the rules of each listener, and what is worth a warning.
pub(crate) type Read = (Settings, Vec<Arc<Policy>>, Vec<String>);

/// Everything that is needed to serve. `mends` as for keys.
///
/// # Errors
/// Those above.
pub(crate) fn read(path: &Path, mends: bool) -> Result<Read, Error> {
    let parsed = Settings::parse(&text(path)?);
    let settings =
        parsed.map_err(|source| Error::Settings { file: path.display().to_string(), source })?;
    let (policies, told) =
        Policy::of(&settings, mends).map_err(|error| Error::Key(chain(&error)))?;
    let mut warnings = settings.warnings.clone();
    warnings.extend(told);
    Ok((settings, policies, warnings))
}
