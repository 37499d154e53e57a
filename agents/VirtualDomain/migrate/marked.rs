//! Where nothing on this node says who is meant, the domain itself may: it was marked before it was sent here. Invariant:
//! only an active domain with this resource's own name in its mark is taken for it, the only one of that kind, and
//! none that another resource started.

use std::time::Duration;

use duet_domain::Requirements;
use duet_libvirt_rpc::{Driver, Error as LibvirtError, Hypervisor};
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
        Ok(answer) => answer,
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

fn find(config: &Config, limit: Duration) -> Result<Answer, LibvirtError> {
    let mut libvirt = connect(config, limit)?;
    let answer = find_with(libvirt.as_mut(), config)?;
    libvirt.close();
    Ok(answer)
}

fn find_with(libvirt: &mut dyn Hypervisor, config: &Config) -> Result<Answer, LibvirtError> {
    let unclear = |why| Answer::None { why, silence: Silence::Refuses, silent: Duration::ZERO };
    // A copy of a definition has the mark of whoever it was copied from.
    let others = strangers::spoken_for(config);
    let mut found: Option<Domain> = None;
    // Also those without a number: one that is coming has none at first.
    for reference in libvirt.list()?.into_iter().filter(|domain| !others.contains(&domain.uuid)) {
        let Some(xml) = known(libvirt.describe(&reference, false))? else { continue };
        let marked = match Requirements::parse(xml.as_bytes()) {
            Ok(requirements) => requirements.resource,
            Err(error) => {
                let why = format!("Whose domain {} is: {}", reference.name, chain(&error));
                return Ok(unclear(why));
            }
        };
        if marked.as_deref() != Some(config.instance.as_str()) {
            continue;
        }
        let domain = describe(libvirt, Some(reference), false)?.filter(Domain::is_active);
        match (&found, domain) {
            (_, None) => {}
            (None, domain) => found = domain,
            (Some(one), Some(other)) => {
                return Ok(unclear(format!(
                    "Domains {} and {} both say that they are {}'s",
                    one.reference.name, other.reference.name, config.instance
                )));
            }
        }
    }
    // Where nobody says it, nobody is meant.
    let known = |domain| Answer::Known { ours: Some(domain), namesake: None };
    Ok(found.map_or(Answer::NotAsked, known))
}
