//! What is known about memory images. Invariant: reads only; an image that libvirt cannot read, or that is another
//! domain's, is none to restore.

use std::time::Duration;

use duet_domain::Definition;
use duet_host::clock;
use duet_libvirt_rpc::{Error as LibvirtError, Hypervisor};
use duet_ocf::{Action, chain};

use super::{Document, Identity, LEAST};
use crate::{
    config::Config,
    snapshot::{Image, Role, Seen},
};

/// The images matter before a start, and after a save. Their storage has half of what is `remaining`.
pub(super) fn look(
    config: &Config,
    action: Action,
    document: &Document,
    saved: Option<&str>,
    remaining: Duration,
) -> Seen {
    let deadline = clock::within((remaining / 2).max(LEAST));
    match (&config.snapshot, action, document, saved) {
        (Some(snapshot), Action::Start, Document::Read(identity), _) => {
            snapshot.look(&identity.name, deadline)
        }
        (Some(snapshot), Action::Stop, _, Some(name)) => snapshot.look(name, deadline),
        (Some(snapshot), Action::Stop, _, None) => snapshot.fit(),
        _ => Seen::NotAsked,
    }
}

/// An image that libvirt cannot read, or that is another domain's, is none to restore.
pub(super) fn whose(
    libvirt: &mut dyn Hypervisor,
    config: &Config,
    wanted: &Identity,
) -> Result<Image, LibvirtError> {
    let Some(snapshot) = &config.snapshot else { return Ok(Image::Complete) };
    let xml = match libvirt.describe_saved(&snapshot.file(&wanted.name, Role::Ready)) {
        Ok(xml) => xml,
        Err(error) if error.fault().is_some() => return Ok(Image::Unusable(chain(&error))),
        Err(error) => return Err(error),
    };
    Ok(match Definition::parse(xml.as_bytes()) {
        Ok(saved)
            if saved.name != wanted.name
                || wanted.uuid.is_some_and(|uuid| saved.uuid != Some(uuid)) =>
        {
            let uuid = saved.uuid.map(|uuid| format!(" ({uuid})")).unwrap_or_default();
            Image::Unusable(format!("it is of another domain, {}{uuid}", saved.name))
        }
        Ok(_) => Image::Complete,
        Err(error) => Image::Unusable(chain(&error)),
    })
}
