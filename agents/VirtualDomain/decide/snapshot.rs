//! When memory is saved and restored, and what becomes of images that must not be. Invariant: a guest is created only
//! where no image could be restored later, and an image is restored only by the start that took it away from all
//! others.

use std::time::Duration;

use duet_domain::{PausedReason, State};
use duet_libvirt_rpc::DomainRef;
use duet_ocf::{ExitCode, Next, Progress};

use crate::{
    config::Config,
    decide::{Step, stop::SOON},
    observe::{Domain, Observation},
    snapshot::{Image, Images, Role, Seen},
};

/// How long libvirt may take to give up a save, while there is time for asking the guest afterwards. It does so at once,
/// unless a write hangs in the storage.
const ABORT_PATIENCE: Duration = Duration::from_secs(10);

/// What has to be done before the domain is created from its definition; nothing where that may happen now.
pub(super) fn before_create(
    name: &str,
    leaves_memory_image: bool,
    seen: &Observation,
    progress: &Progress<Step>,
) -> Option<Next<Step>> {
    let images = match &seen.snapshot {
        Seen::NotAsked => return None,
        // Its image may be there, and still be when the guest has run.
        Seen::Unfit(why) => return Some(Next::fail(ExitCode::Installed, why)),
        Seen::Fit => {
            let why = format!("The memory images of domain {name} were not looked for");
            return Some(Next::fail(ExitCode::Generic, why));
        }
        Seen::Images(images) => images,
    };
    let restored = progress.last(|step| matches!(step, Step::Restore { .. }));
    if restored.is_some_and(|restored| restored.failure.is_none()) {
        let why = format!("Domain {name} was restored and is gone again");
        return Some(Next::fail(ExitCode::Generic, why));
    }
    if let Some(step) = set_leftovers_aside(name, images, progress) {
        return Some(step);
    }
    match &images.ready {
        Image::Absent => None,
        Image::Complete => {
            Some(Next::Do(Step::Restore { name: name.to_owned(), leaves_memory_image }))
        }
        Image::Unusable(why) => Some(set_aside(name, Role::Ready, why.clone())),
    }
}

/// What has to be done when the guest was seen up and well; nothing where that is all.
pub(super) fn after_start(
    name: &str,
    seen: &Observation,
    progress: &Progress<Step>,
) -> Option<Next<Step>> {
    let Seen::Images(images) = &seen.snapshot else { return None };
    let restored = progress.tried(|step| matches!(step, Step::Restore { .. }));
    if images.ready != Image::Absent {
        let why = "the guest has run without it".to_owned();
        return Some(set_aside(name, Role::Ready, why));
    }
    // What follows is about space only: nobody restores these.
    if progress.remaining.is_zero() {
        return None;
    }
    if restored && images.restoring != Image::Absent {
        let tried = progress.tried(|step| matches!(step, Step::RemoveImage(_)));
        return (!tried).then(|| Next::Do(Step::RemoveImage(name.to_owned())));
    }
    None
}

fn set_leftovers_aside(
    name: &str,
    images: &Images,
    progress: &Progress<Step>,
) -> Option<Next<Step>> {
    if images.restoring != Image::Absent {
        let failed = progress.last(|step| matches!(step, Step::Restore { .. }));
        let why = failed.and_then(|failed| failed.failure.as_ref()?.reason.clone());
        let why = why.unwrap_or_else(|| {
            "a start that was cut short may have run the guest from it".to_owned()
        });
        return Some(set_aside(name, Role::Restoring, why));
    }
    if images.saving != Image::Absent {
        let why = match &images.saving {
            Image::Unusable(why) => why.clone(),
            Image::Absent | Image::Complete => {
                "the stop that wrote it did not see its end".to_owned()
            }
        };
        return Some(set_aside(name, Role::Saving, why));
    }
    None
}

fn set_aside(name: &str, role: Role, why: String) -> Next<Step> {
    Next::Do(Step::SetImageAside { name: name.to_owned(), role, why })
}

/// On the way down, before the guest is asked: its memory is saved, a save that does not end is given up. Nothing
/// where the guest has to be asked after all; `end` is what ends it.
pub(super) fn before_shutdown(
    config: &Config,
    seen: &Observation,
    domain: &Domain,
    time_to_ask: Duration,
    progress: &Progress<Step>,
) -> Option<Save> {
    let is_saving = matches!(domain.state, State::Paused(PausedReason::Save));
    let may_save = config.snapshot.is_some() && !matches!(seen.snapshot, Seen::Unfit(_));
    let tried = progress.last(|step| is_save(step, &domain.reference)).is_some();
    if is_saving && (may_save || tried) {
        let is_abort = |step: &Step| matches!(step, Step::AbortSave(_));
        return Some(match progress.since(is_abort) {
            None => Save::Next(Next::Do(Step::AbortSave(domain.reference.clone()))),
            Some(ago) if ago < ABORT_PATIENCE => {
                let name = &domain.reference.name;
                Save::Next(Next::wait(
                    SOON.min(time_to_ask),
                    format!("libvirt to give up saving domain {name}"),
                ))
            }
            Some(_) => Save::Hopeless,
        });
    }
    let is_sound = match domain.state {
        State::Running(_) | State::Blocked | State::Paused(PausedReason::User) => true,
        // What broke is not to come back with the memory.
        State::NoState
        | State::Paused(_)
        | State::ShuttingDown
        | State::ShutOff(_)
        | State::Crashed(_)
        | State::PmSuspended
        | State::Unrecognized { .. } => false,
    };
    let asked = progress.tried(|step| matches!(step, Step::RequestShutdown { .. }));
    if !may_save || tried || asked || !is_sound {
        return None;
    }
    // The last third is for asking the guest, if it comes to that.
    let limit = time_to_ask / 3 * 2;
    Some(Save::Next(Next::Do(Step::Save { domain: domain.reference.clone(), limit })))
}

/// What saving comes to.
pub(super) enum Save {
    /// This comes next.
    Next(Next<Step>),
    /// libvirt can neither finish nor give up: only the end is left.
    Hopeless,
}

/// Whether the guest is gone because its memory was saved, and the image is still to be made the one to start from. Only
/// libvirt's own yes says that; a guest that was asked, or ended in any other way, has left no memory to go back to.
pub(super) fn to_seal(seen: &Observation, progress: &Progress<Step>) -> Option<Step> {
    let Seen::Images(images) = &seen.snapshot else { return None };
    if images.saving != Image::Complete || progress.remaining.is_zero() {
        return None;
    }
    let mut saved = None;
    for applied in &progress.applied {
        match &applied.step {
            Step::Save { domain, .. } if applied.failure.is_none() => saved = Some(domain),
            Step::Save { .. }
            | Step::AbortSave(_)
            | Step::RequestShutdown { .. }
            | Step::Destroy(_)
            | Step::EndProcess { .. }
            | Step::Seal(_) => return None,
            Step::Create { .. }
            | Step::Resume(_)
            | Step::Undefine(_)
            | Step::MakeOverlay(_)
            | Step::Restore { .. }
            | Step::SetImageAside { .. }
            | Step::RemoveImage(_)
            | Step::Remember(_)
            | Step::Forget(_)
            | Step::GiveUp(_)
            | Step::Upkeep(_)
            | Step::StartResources(_)
            | Step::Migration(_) => {}
        }
    }
    saved.map(|domain| Step::Seal(domain.name.clone()))
}

fn is_save(step: &Step, domain: &DomainRef) -> bool {
    matches!(step, Step::Save { domain: saved, .. } if saved.uuid == domain.uuid)
}
