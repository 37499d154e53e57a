//! Where nothing on this node says who is meant, the domain itself may: it was marked before it was sent here. Invariant:
//! only an active domain with this resource's own name in its mark is taken for it.

use std::time::Duration;

use duet_domain::Requirements;
use duet_libvirt_rpc::{Driver, Error as LibvirtError};
use duet_ocf::{Action, chain};

use crate::{
    config::Config,
    observe::{Answer, Domain, Silence, describe, known},
    reach::connect,
    strangers,
};

/// Asks this node's libvirt for it.
pub(crate) fn ask(config: &Config, action: Action, limit: Duration) -> Answer {
    match action {
        Action::MigrateFrom | Action::Stop | Action::Monitor | Action::Status => {}
        _ => return Answer::NotAsked,
    }
    match find(config, limit) {
        Ok(Some(domain)) => Answer::Known { ours: Some(domain), namesake: None },
        // Nobody says it, or nobody is there who could be it.
        Ok(None) => Answer::NotAsked,
        Err(_) if strangers::are_none(config) => Answer::NotAsked,
        Err(LibvirtError::NotRunning { .. }) if config.driver != Some(Driver::Qemu) => {
            Answer::NotAsked
        }
        Err(error) => Answer::None {
            silence: Silence::of(&error),
            why: chain(&error),
            silent: Duration::ZERO,
        },
    }
}

fn find(config: &Config, limit: Duration) -> Result<Option<Domain>, LibvirtError> {
    let mut libvirt = connect(config, limit)?;
    let mut found = None;
    for reference in libvirt.list()?.into_iter().filter(|domain| domain.id >= 0) {
        let Some(xml) = known(libvirt.describe(&reference, false))? else { continue };
        let marked = Requirements::parse(xml.as_bytes()).ok().and_then(|found| found.resource);
        if marked.as_deref() == Some(config.instance.as_str()) {
            found = describe(libvirt.as_mut(), Some(reference), false)?;
            break;
        }
    }
    libvirt.close();
    Ok(found)
}
