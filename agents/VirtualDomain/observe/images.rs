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
    overlay::{self, Overlay},
    snapshot::{Image, Images, Role, Seen},
};

/// The images matter before a start, and after a save. Their storage has half of what is `remaining`.
pub(super) fn look(
    config: &Config,
    action: Action,
    document: &Document,
    overlay: &Overlay,
    saved: Option<&str>,
    remaining: Duration,
) -> Seen {
    let Some(snapshot) = &config.snapshot else { return Seen::NotAsked };
    let deadline = clock::within((remaining / 2).max(LEAST));
    let seen = match (action, document, saved) {
        (Action::Start, Document::Read(identity), _) => snapshot.look(&identity.name, deadline),
        (Action::Stop, _, Some(name)) => snapshot.look(name, deadline),
        (Action::Stop, _, None) => snapshot.fit(),
        _ => return Seen::NotAsked,
    };
    match overlay::complaint(config, overlay, snapshot.is_shared) {
        Some(why) => over_another_overlay(seen, why),
        None => seen,
    }
}

/// Memory belongs to the overlay that the guest ran on: where a node may have its own, none is saved or restored.
fn over_another_overlay(seen: Seen, why: String) -> Seen {
    match seen {
        Seen::Fit => Seen::Unfit(why),
        Seen::Images(images) if images.ready == Image::Complete => {
            Seen::Images(Images { ready: Image::Unusable(why), ..images })
        }
        Seen::NotAsked | Seen::Unfit(_) | Seen::Images(_) => seen,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_not_kept_over_an_overlay_that_another_node_may_have() {
        let images =
            |ready| Seen::Images(Images { ready, saving: Image::Absent, restoring: Image::Absent });
        let why = || "another node's".to_owned();
        let unusable = || images(Image::Unusable(why()));
        for (seen, comes_to) in [
            (Seen::Fit, Seen::Unfit(why())),
            (Seen::Unfit("gone".to_owned()), Seen::Unfit("gone".to_owned())),
            (Seen::NotAsked, Seen::NotAsked),
            (images(Image::Complete), unusable()),
            (images(Image::Absent), images(Image::Absent)),
        ] {
            assert_eq!(over_another_overlay(seen, why()), comes_to);
        }
    }
}
