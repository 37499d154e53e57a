//! The steps that are about memory images. Invariant: an image is out of reach of every other start before
//! libvirt is asked to restore it.

use std::{io, time::Duration};

use duet_libvirt_rpc::SaveFlags;
use duet_ocf::{Turn, chain};

use super::{Error, with};
use crate::{
    config::Config,
    decide::Step,
    memory,
    snapshot::{Role, Snapshot},
};

/// libvirt answers at once, or is stuck in the very write that is to be given up.
const ABORT_LIMIT: Duration = Duration::from_secs(2);

/// Carries out `step`, which is one about images.
pub(super) fn apply(config: &Config, step: &Step, turn: &mut Turn<'_>) -> Result<(), Error> {
    let image = |source: io::Error| Error::Image { step: step.to_string(), source };
    let missing = || image(io::Error::other("the parameter snapshot is not set"));
    let snapshot = config.snapshot.as_ref().ok_or_else(missing)?;
    let result = carry_out(config, snapshot, step, turn);
    // A save that failed is followed by asking the guest, and book-keeping decides nothing: then this is all that is
    // ever said about it.
    if let (
        Err(error),
        Step::Save { .. } | Step::AbortSave(_) | Step::Seal(_) | Step::RemoveImage(_),
    ) = (&result, step)
    {
        turn.warning(chain(error));
    }
    result
}

fn carry_out(
    config: &Config,
    snapshot: &Snapshot,
    step: &Step,
    turn: &mut Turn<'_>,
) -> Result<(), Error> {
    let image = |source: io::Error| Error::Image { step: step.to_string(), source };
    let failed = |source| Error::Libvirt { step: step.to_string(), source };
    match step {
        Step::Save { domain, limit } => {
            let deadline = turn.within(*limit);
            // It is older than the guest that runs. Where it cannot be moved, neither can a new one be written.
            let older = snapshot.set_aside(&domain.name, Role::Ready, turn.within(*limit / 2));
            if let Some(to) = older.map_err(image)? {
                turn.warning(format!(
                    "A memory image of domain {} from before it was started is kept as {}",
                    domain.name,
                    to.display()
                ));
            }
            let file = snapshot.file(&domain.name, Role::Saving);
            let left = deadline.remaining(turn.now());
            with(config, left, |libvirt| libvirt.save(domain, &file, SaveFlags::RUNNING))
                .map_err(failed)?;
            turn.info(format!("Saved the memory of domain {} in {}", domain.name, file.display()));
        }
        Step::AbortSave(domain) => {
            let limit = turn.remaining().min(ABORT_LIMIT);
            with(config, limit, |libvirt| libvirt.abort_job(domain)).map_err(failed)?;
            turn.warning(format!("Had libvirt give up saving domain {}", domain.name));
        }
        Step::Seal(name) => snapshot.seal(name, turn.deadline()).map_err(image)?,
        Step::Restore { name, leaves_memory_image } => {
            // As before a creation: who is remembered was seen running after the latest start.
            memory::begin(config).map_err(Error::Begin)?;
            let file = snapshot.take(name, turn.deadline()).map_err(image)?;
            with(config, turn.remaining(), |libvirt| libvirt.restore(&file, SaveFlags::PAUSED))
                .map_err(failed)?;
            if *leaves_memory_image {
                warn_of_managed_save(name, turn);
            }
            turn.info(format!("Restored domain {name} from its memory image, standing still"));
        }
        Step::SetImageAside { name, role, why } => {
            let from = snapshot.file(name, *role);
            let to = snapshot.set_aside(name, *role, turn.deadline()).map_err(image)?;
            let to = to.ok_or_else(|| image(io::ErrorKind::NotFound.into()))?;
            turn.warning(format!(
                "The memory image {} of domain {name} is not restored: {why}; it is kept as {}",
                from.display(),
                to.display()
            ));
        }
        Step::RemoveImage(name) => snapshot.remove(name, turn.deadline()).map_err(image)?,
        Step::Create { .. }
        | Step::Resume(_)
        | Step::Undefine(_)
        | Step::MakeOverlay(_)
        | Step::RequestShutdown { .. }
        | Step::Destroy(_)
        | Step::EndProcess { .. }
        | Step::Remember(_)
        | Step::Forget(_)
        | Step::GiveUp(_)
        | Step::Upkeep(_)
        | Step::StartResources(_)
        | Step::Migration(_) => {}
    }
    Ok(())
}

/// A start that does not go by it makes it stale.
pub(super) fn warn_of_managed_save(name: &str, turn: &mut Turn<'_>) {
    turn.warning(format!(
        "libvirt keeps a memory image of an earlier run of domain {name}; it is stale now, and resuming it would \
         damage the disks: virsh managedsave-remove {name}"
    ));
}
