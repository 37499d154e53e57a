//! A snapshot of a volume's disk while a resync makes it inconsistent, so that there is something to go back to if the
//! source is lost half way. Invariant: no snapshot ever keeps a resync from happening, unless that was asked for by
//! `--disconnect-on-error`; and nothing is removed but a snapshot of that very disk.

mod choice;
mod lvm;
#[cfg(test)]
mod tests;

use std::{ffi::OsString, path::Path, time::Duration};

use duet_drbd::{Disk, handler::Call};
use duet_host::drbd::Sight;
use duet_ocf::{Level, fold};
use serde::{Deserialize, Serialize};

use self::{
    choice::Choice,
    lvm::{Origin, Snapshot},
};
use super::Host;

/// What an administrator chose for all volumes of this machine.
const DEFAULTS: &str = "etc/default/drbd-snapshot";
/// That file is shorter.
const LONGEST: usize = 64 * 1024;
/// How long DRBD may take to answer, and that file to be read.
const LOOK: Duration = Duration::from_secs(5);
/// How long LVM may take to find a volume,
const FIND: Duration = Duration::from_secs(20);
/// and to make or remove a snapshot. It is asked to end at two thirds of it, which it does as soon as it holds up nobody's
/// I/O.
const CHANGE: Duration = Duration::from_secs(60);

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Before a resync.
    Make,
    /// After it.
    Remove,
}

/// Why there is no snapshot, or it is still there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// This is nothing that a snapshot can be made of, or a call that was not understood.
    Unsuitable(String),
    /// It should have worked.
    Failed(String),
}

/// Makes or removes it, and gives what to exit with.
pub(super) fn run(
    host: &Host<'_>,
    purpose: Purpose,
    arguments: &[String],
    environment: Vec<(OsString, OsString)>,
) -> u8 {
    let defaults = host.file(DEFAULTS, LONGEST, LOOK);
    let (choice, notes) = match choice::read(arguments, defaults) {
        Ok(read) => read,
        Err(why) => {
            host.log(Level::Error, &fold(&format!("{}; {why}", none(purpose))));
            return 0;
        }
    };
    for note in notes {
        host.log(Level::Warning, &fold(&note));
    }
    let event = match purpose {
        Purpose::Make => super::Hook::Snapshot.event(),
        Purpose::Remove => super::Hook::Unsnapshot.event(),
    };
    let call = Call::read(event, environment).map_err(|error| error.to_string());
    let done = match (call, purpose) {
        (Err(why), _) => Err(Trouble::Unsuitable(why)),
        (Ok(call), Purpose::Make) => make(host, &choice, &call),
        (Ok(call), Purpose::Remove) => remove(host, &choice, &call),
    };
    let (level, text, code) = match done {
        Ok(text) => (Level::Info, text, 0),
        Err(Trouble::Unsuitable(why)) => (Level::Warning, format!("{}: {why}", none(purpose)), 0),
        Err(Trouble::Failed(why)) => {
            let disconnects = purpose == Purpose::Make && choice.disconnects;
            let then = if disconnects { "; DRBD drops the connection" } else { "" };
            let text = format!("{}: {why}{then}", none(purpose));
            (Level::Error, text, u8::from(disconnects))
        }
    };
    host.log(level, &fold(&text));
    code
}

fn none(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Make => "No snapshot before this resync",
        Purpose::Remove => "No snapshot was removed after this resync",
    }
}

/// The volume that it is about.
struct Subject {
    /// The device below it, which may be a logical volume.
    device: String,
    /// Whether that is below another resource, upon which this one is stacked.
    is_stacked: bool,
    /// What the resync will change, in KiB, where DRBD says it.
    out_of_sync: Option<u64>,
    /// Whether its disk is Inconsistent before the resync begins.
    is_inconsistent: bool,
    /// For people.
    label: String,
}

fn make(host: &Host<'_>, choice: &Choice, call: &Call) -> Result<String, Trouble> {
    let subject = subject(host, call)?;
    let origin = origin(host, choice, &subject.device)?;
    let out_of_sync = subject
        .out_of_sync
        .ok_or_else(|| Trouble::Failed("DRBD does not say how much is out of sync".to_owned()))?;
    let snapshot = lvm::snapshot(choice, &origin, out_of_sync, subject.is_stacked)?;
    if subject.is_inconsistent && is_kept(host, choice, &origin, &snapshot.name) {
        let name = format!("{}/{}", origin.volume_group, snapshot.name);
        return Ok(format!("Kept the snapshot {name}: a resync of {} did not end", subject.label));
    }
    let create = lvm::create(host.call("lvcreate"), choice, &origin, &snapshot);
    narrate(host, choice, &format!("lvcreate {} of {} KiB", snapshot.name, snapshot.size));
    host.finish(&create, CHANGE).map_err(|how| Trouble::Failed(format!("lvcreate: {how}")))?;
    let Snapshot { name, size } = snapshot;
    let (volume_group, label) = (&origin.volume_group, &subject.label);
    Ok(format!(
        "Made the snapshot {volume_group}/{name} of {size} KiB before the resync of {label}"
    ))
}

/// Whether there is one from before an earlier resync, which broke off: nothing newer is consistent.
fn is_kept(host: &Host<'_>, choice: &Choice, origin: &Origin, name: &str) -> bool {
    let snapshot = format!("{}/{name}", origin.volume_group);
    narrate(host, choice, &format!("lvs {snapshot}"));
    let told = host.finish(&lvm::ask_state(host.call("lvs"), &snapshot), FIND);
    told.is_ok_and(|told| lvm::is_good(&String::from_utf8_lossy(&told.stdout), origin))
}

fn remove(host: &Host<'_>, choice: &Choice, call: &Call) -> Result<String, Trouble> {
    let subject = subject(host, call)?;
    let origin = origin(host, choice, &subject.device)?;
    let name = lvm::name(choice, &origin, subject.is_stacked)?;
    let snapshot = format!("{}/{name}", origin.volume_group);
    narrate(host, choice, &format!("lvs {snapshot}"));
    let asked = lvm::ask_origin(host.call("lvs"), &snapshot);
    let told = host
        .finish(&asked, FIND)
        .map_err(|how| Trouble::Unsuitable(format!("{snapshot} is not there: lvs {how}")))?;
    let of = String::from_utf8_lossy(&told.stdout).trim().to_owned();
    if of != origin.logical_volume {
        let why = format!("{snapshot} is no snapshot of {}", origin.logical_volume);
        return Err(Trouble::Failed(why));
    }
    narrate(host, choice, &format!("lvremove {snapshot}"));
    host.finish(&lvm::remove(host.call("lvremove"), &snapshot), CHANGE)
        .map_err(|how| Trouble::Failed(format!("lvremove: {how}")))?;
    Ok(format!("Removed the snapshot {snapshot} after the resync of {}", subject.label))
}

fn narrate(host: &Host<'_>, choice: &Choice, what: &str) {
    if choice.is_verbose {
        host.log(Level::Info, &fold(what));
    }
}

fn origin(host: &Host<'_>, choice: &Choice, device: &str) -> Result<Origin, Trouble> {
    narrate(host, choice, &format!("lvs {device}"));
    let told = host.finish(&lvm::ask(host.call("lvs"), device), FIND).map_err(|how| {
        Trouble::Unsuitable(format!("{device} is no logical volume, as it seems: lvs {how}"))
    })?;
    lvm::origin(&String::from_utf8_lossy(&told.stdout))
}

fn subject(host: &Host<'_>, call: &Call) -> Result<Subject, Trouble> {
    let unsuitable = |why: &str| Trouble::Unsuitable(why.to_owned());
    let mut volumes = call.volumes.iter();
    let (Some((number, volume)), None) = (volumes.next(), volumes.next()) else {
        return Err(unsuitable("DRBD_VOLUME does not name one volume"));
    };
    let device = volume.disk.as_ref().or(volume.backing.as_ref());
    let device = device.ok_or_else(|| unsuitable("DRBD_LL_DISK is not set"))?.clone();
    if !device.starts_with("/dev/") {
        return Err(Trouble::Unsuitable(format!("{device:?} is no device")));
    }
    let minor = minor(&device);
    let told = host.look(LOOK, |sight| sight.map(|sight| tell(&sight, call, *number, minor)));
    let told = told.and_then(|told| told).unwrap_or_else(|why| {
        host.log(Level::Warning, &fold(&format!("DRBD could not be asked: {why}")));
        Told::default()
    });
    let label = format!("{}/{number}", call.resource);
    let Told { out_of_sync, is_inconsistent, below } = told;
    match minor {
        None => Ok(Subject { device, is_stacked: false, out_of_sync, is_inconsistent, label }),
        Some(_) => {
            let none = || Trouble::Unsuitable(format!("DRBD does not say what is below {device}"));
            let below = below.filter(|below| below.starts_with("/dev/")).ok_or_else(none)?;
            Ok(Subject { device: below, is_stacked: true, out_of_sync, is_inconsistent, label })
        }
    }
}

/// What DRBD says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Told {
    /// What differs from the source, in KiB; where it is not said who that is, the most that differs from anybody.
    out_of_sync: Option<u64>,
    /// Whether the disk is Inconsistent.
    is_inconsistent: bool,
    /// What is below the other resource's volume, upon which this one is stacked.
    below: Option<String>,
}

fn tell(sight: &Sight, call: &Call, volume: u32, stacked_on: Option<u32>) -> Told {
    let Sight::Seen { view, .. } = sight else { return Told::default() };
    let source = call.peer.as_ref().and_then(|peer| peer.node_id);
    let resource = view.resources.get(&call.resource);
    let own = resource.and_then(|resource| resource.volumes.get(&volume));
    let is_inconsistent = own.is_some_and(|own| own.disk == Disk::Inconsistent);
    let out_of_sync = resource.and_then(|resource| {
        let peers = resource.peers.iter();
        let peers = peers.filter(|(id, _)| source.is_none_or(|source| source == **id));
        peers.filter_map(|(_, peer)| peer.volumes.get(&volume)?.out_of_sync).max()
    });
    let mut volumes = view.resources.values().flat_map(|resource| resource.volumes.values());
    let below = stacked_on
        .and_then(|minor| volumes.find(|volume| volume.minor == Some(minor))?.backing.clone());
    Told { out_of_sync, is_inconsistent, below }
}

/// The minor of a device of DRBD's, which may have a name from a link.
fn minor(device: &str) -> Option<u32> {
    let number = |path: &str| path.strip_prefix("/dev/drbd")?.parse().ok();
    number(device).or_else(|| {
        let real = Path::new(device).is_symlink().then(|| std::fs::canonicalize(device).ok());
        number(real.flatten()?.to_str()?)
    })
}
