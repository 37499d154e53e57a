//! The key as this run needs it. Invariant: a key that cannot be read is an error; there is no protection that becomes none
//! because of it.

use crate::event::{Event, Trace};
use crate::options::order::{Order, Route};
use crate::outcome::Failure;
use duet_host::file;
use duet_ocf::chain;
use duet_xvm::{Algorithm, Key, Protection};

/// What is read at most, in bytes; the rest of a longer file does not count.
const LONGEST: u64 = 4096;

/// How this run signs and proves.
#[derive(Debug)]
pub struct Secrets {
    /// How requests are signed.
    pub hash: Protection,
    /// How both sides prove that they have the key.
    pub auth: Protection,
    /// The key, where one is needed.
    pub key: Option<Key>,
}

/// Reads the key, if the way to the daemon has any use for it.
///
/// # Errors
/// [`Failure::Key`].
pub fn read(order: &Order, trace: &mut Trace) -> Result<Secrets, Failure> {
    let is_bare = match order.route {
        Route::Serial { .. } | Route::Channel { .. } => true,
        Route::Multicast(_) | Route::Tcp { .. } | Route::Vsock { .. } => {
            order.hash == Algorithm::None && order.auth == Algorithm::None
        }
    };
    if is_bare {
        return Ok(Secrets { hash: Protection::None, auth: Protection::None, key: None });
    }
    let path = &order.key_file;
    let (content, mode) = file::read_beginning(path, LONGEST)
        .map_err(|why| Failure::Key(format!("{}; not trying without", chain(&why))))?;
    let failed = |why: duet_xvm::Error| Failure::Key(format!("{}: {why}", path.display()));
    let key = Key::new(&content).map_err(failed)?;
    trace.note(Event::Key {
        fingerprint: key.fingerprint(),
        is_short: key.is_short(),
        is_open: mode & 0o077 != 0,
    });
    Ok(Secrets {
        hash: Protection::new(order.hash, Some(&key)).map_err(failed)?,
        auth: Protection::new(order.auth, Some(&key)).map_err(failed)?,
        key: Some(key),
    })
}
