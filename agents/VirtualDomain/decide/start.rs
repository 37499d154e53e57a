//! Bring it up. Invariant: success only when the domain that is meant was seen active and well, and nothing that belongs
//! to another running domain is touched.

use std::time::Duration;

use duet_domain::{Ailment, Health, PausedReason, State, health};
use duet_ocf::{ExitCode, Next, Progress};

use crate::{
    config::Config,
    decide::{Step, lacks_csync2, snapshot, stop::SOON, unanswered, unfinished, upkeep},
    observe::{Answer, Document, Domain, Identity, Observation},
    overlay::Overlay,
};

pub(super) fn start(config: &Config, seen: &Observation, progress: &Progress<Step>) -> Next<Step> {
    let wanted = match &seen.document {
        Document::Read(identity) => identity,
        Document::Unusable(why) | Document::Missing(why) => {
            return Next::fail(ExitCode::Installed, why);
        }
        Document::NotNeeded => {
            return Next::fail(ExitCode::Generic, "The definition was not read");
        }
    };
    if seen.upkeep.lacks_csync2 {
        return lacks_csync2();
    }
    if let Overlay::Unusable(why) = &seen.overlay {
        return Next::fail(ExitCode::Installed, why);
    }
    let (ours, namesake) = match &seen.libvirt {
        Answer::NotAsked => return Next::fail(ExitCode::Generic, "libvirt was not asked"),
        Answer::None { why, silence, silent } => {
            return unanswered(seen, why, *silence, *silent, progress);
        }
        Answer::Known { ours, namesake } => (ours.as_ref(), namesake.as_ref()),
    };
    if let Some(domain) = ours.filter(|domain| domain.is_active()) {
        return active(config, domain, seen, progress);
    }
    if let Some(other) = namesake.filter(|other| other.is_active()) {
        return Next::fail(
            ExitCode::Generic,
            format!(
                "Another domain of the name {} is {} here: its UUID is {}, not {}; it was left alone",
                wanted.name,
                other.state,
                other.reference.uuid,
                wanted
                    .uuid
                    .map_or_else(|| "that of this resource".to_owned(), |uuid| uuid.to_string()),
            ),
        );
    }
    if let Some(tried) = progress.last(|step| matches!(step, Step::Create { .. })) {
        let why = match (&tried.failure, ours) {
            (Some(failure), _) => failure.reason.clone().unwrap_or_default(),
            (None, Some(domain)) => format!("it is {} again", domain.state),
            (None, None) => "it is gone again".to_owned(),
        };
        return Next::fail(
            ExitCode::Generic,
            format!("Domain {} did not stay up: {why}", wanted.name),
        );
    }
    if let Some(step) = upkeep::before_start(seen, progress) {
        return Next::Do(step);
    }
    let in_the_way = ours.into_iter().chain(namesake).find(|domain| is_in_the_way(domain, wanted));
    if let Some(domain) = in_the_way {
        return Next::Do(Step::Undefine(domain.reference.clone()));
    }
    let has_prepared = progress.tried(|step| matches!(step, Step::StartResources(_)));
    if config.start_resources && !has_prepared {
        return Next::Do(Step::StartResources(wanted.name.clone()));
    }
    let leaves_memory_image = ours.is_some_and(|domain| domain.has_memory_image);
    // A memory that is restored belongs to the overlay as it is.
    snapshot::before_create(&wanted.name, leaves_memory_image, seen, progress).unwrap_or_else(
        || match seen.overlay.to_make() {
            // Nobody runs here under this name or UUID: that was seen in this look.
            Some(path) if !progress.tried(|step| matches!(step, Step::MakeOverlay(_))) => {
                Next::Do(Step::MakeOverlay(path.to_owned()))
            }
            Some(_) | None => {
                Next::Do(Step::Create { name: wanted.name.clone(), leaves_memory_image })
            }
        },
    )
}

/// libvirt starts over a definition with the same name and UUID; with the same name and another UUID it refuses.
/// One with our UUID and another name stays: libvirt's refusal is the clearer answer to a renamed definition.
fn is_in_the_way(domain: &Domain, wanted: &Identity) -> bool {
    domain.reference.name == wanted.name && Some(domain.reference.uuid) != wanted.uuid
}

fn active(
    config: &Config,
    domain: &Domain,
    seen: &Observation,
    progress: &Progress<Step>,
) -> Next<Step> {
    let name = &domain.reference.name;
    if let Some(next) = unfinished::go_on(config, domain, seen, progress) {
        return next;
    }
    // Its QEMU is there, and may still fail before the guest runs.
    if domain.state == State::Paused(PausedReason::StartingUp) {
        return Next::wait(SOON, format!("domain {name} to have started"));
    }
    match health(domain.state, config.paused_by_error) {
        Health::Healthy => snapshot::after_start(seen.name(), seen, progress)
            .unwrap_or_else(|| upkeep::started(config, domain, seen, progress)),
        // Success would be about a domain that is about to vanish.
        Health::Leaving | Health::Gone => {
            Next::wait(Duration::from_secs(1), format!("the previous run of domain {name} to end"))
        }
        Health::Ailing(Ailment::Unclear) => {
            Next::wait(Duration::from_secs(1), format!("domain {name} to have a clear state"))
        }
        Health::Ailing(_) => Next::fail(
            ExitCode::Generic,
            format!("Domain {name} is there already, but {}", domain.state),
        ),
    }
}
