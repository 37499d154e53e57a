//! Which way leads to libvirt: the native client for the local system connections, the client library for everything
//! else. Invariant: which library there is is settled before the first question and does not change.

use std::{path::Path, sync::OnceLock, time::Duration};

use duet_libvirt_rpc::{
    Client, ClientLibrary, Error as LibvirtError, Hypervisor, Library, SOCKET_DIR,
};

use crate::config::Config;

static LIBRARY: OnceLock<ClientLibrary> = OnceLock::new();

/// This process has the client library.
pub(crate) fn with(library: ClientLibrary) {
    let _ = LIBRARY.set(library);
}

/// The client library, where this process has it.
pub(crate) fn library() -> Option<&'static ClientLibrary> {
    LIBRARY.get()
}

/// A connection in which everything together takes `limit` at most.
pub(crate) fn connect(
    config: &Config,
    limit: Duration,
) -> Result<Box<dyn Hypervisor>, LibvirtError> {
    match config.driver {
        Some(driver) => {
            Ok(Box::new(Client::open(driver, &config.uri, Path::new(SOCKET_DIR), limit)?))
        }
        None => Ok(connect_by_library(&config.uri, limit)?.into_hypervisor()),
    }
}

/// The same by the client library, to anywhere.
pub(crate) fn connect_by_library(
    uri: &str,
    limit: Duration,
) -> Result<Box<dyn Library>, LibvirtError> {
    match library() {
        Some(library) => (library.open)(uri, limit),
        // Who needs it is told before the first question, see hand_over.rs.
        None => {
            Err(LibvirtError::Overdue { doing: "be asked: it is not part of this program", limit })
        }
    }
}
