//! A guest's power as libvirt gives it to whoever asks it directly: what switching it off and on costs without anybody in between.

use duet_bench::{Error, Result};
use duet_libvirt_rpc::{Client, CreateFlags, Driver, Hypervisor, SOCKET_DIR};
use std::path::Path;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

/// Ends (`off`) or starts (`on`) the defined domain of this name.
pub(crate) fn power(word: &str, uri: &str, name: &str) -> Result<()> {
    let driver = Driver::of_daemon(uri).ok_or(Error::Words)?;
    let failed = |error: duet_libvirt_rpc::Error| Error::Power(error.to_string());
    let mut client = Client::open(driver, uri, Path::new(SOCKET_DIR), LIMIT).map_err(failed)?;
    let domain = client.lookup_by_name(name).map_err(failed)?;
    match word {
        "off" => client.destroy(&domain).map_err(failed)?,
        "on" => drop(client.start_defined(&domain, CreateFlags::PLAIN).map_err(failed)?),
        _ => return Err(Error::Words),
    }
    client.close();
    Ok(())
}
