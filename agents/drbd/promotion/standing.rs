//! Where an attribute stands, with the attribute daemon and in the CIB, and the order to write it there. Invariant: whoever gives that
//! order in vain gives it ever more rarely.

use std::{path::Path, time::Duration};

use duet_host::{clock, drbd::under_root, file, process::Call};
use duet_ocf::Deadline;
use duet_pacemaker_ipc::{Attributes, CibClient, Sockets};

/// The attribute daemon and the CIB are asked what they have for no longer than this; then the attribute daemon is told.
const ASKING: Duration = Duration::from_millis(500);

/// Where an attribute of this node stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The attribute daemon has it, and so has the CIB.
    InPlace,
    /// The attribute daemon has it, and the CIB says nothing that is understood.
    NotSeen,
    /// The attribute daemon has it, and the CIB was seen to lack it: to tell that daemon the same again changes nothing.
    Lost,
    /// The attribute daemon has another value or none, or says nothing that is understood.
    NotKnown,
}

/// Where the attribute of this name stands that should have this value; not known if the attribute daemon says nothing that is
/// understood within half a second, nor where nobody knows which node this is.
#[must_use]
pub fn standing(name: &str, value: &str, node: Option<&str>, deadline: Deadline) -> Standing {
    let Some(node) = node else { return Standing::NotKnown };
    let deadline = deadline.within(clock::now(), ASKING);
    let sockets = Sockets::under(&under_root(""));
    let has = Attributes::connect(&sockets, deadline)
        .and_then(|mut daemon| daemon.value(name, node, deadline));
    if !has.is_ok_and(|has| has.as_deref() == Some(value)) {
        return Standing::NotKnown;
    }
    let written = CibClient::connect(&sockets, deadline)
        .and_then(|mut cib| cib.transient_values(name, node, deadline));
    match written {
        Ok(values) if values.iter().any(|written| written == value) => Standing::InPlace,
        Ok(_) => Standing::Lost,
        Err(_) => Standing::NotSeen,
    }
}

/// What was done to have the attribute daemon write all that it has into the CIB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refresh {
    /// It was told to.
    Told,
    /// It was told to, as it had been a moment ago.
    ToldAgain,
    /// Nothing: somebody has told it a moment ago, and what comes of that is yet to be seen.
    Waits,
}

/// What [`Refresh::ToldAgain`] means.
pub const IN_VAIN: &str = "the attribute daemon was told to write all that it has, which has not helped, and was told again";

/// When it was told last, and for how long nobody tells it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Told {
    at: Duration,
    pause: Duration,
}

impl Told {
    /// The first pause, and the longest. One order writes all attributes of all nodes, so several who miss one are helped by it; and
    /// what it does not bring back (one that was made private, a CIB that refuses) another one will not bring back either.
    const PAUSES: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(320)];
    /// Who looks, looks again within this.
    const LOOKS: Duration = Duration::from_secs(30);

    /// The same if it is told now; none while it is to be left alone.
    fn now(before: Option<Told>, now: Duration) -> Option<Told> {
        let [first, longest] = Told::PAUSES;
        // One from after now is of an earlier boot.
        let since = before.and_then(|Told { at, pause }| Some((now.checked_sub(at)?, pause)));
        match since {
            Some((age, pause)) if age < pause => None,
            Some((age, pause)) if age < pause.saturating_add(Told::LOOKS) => {
                Some(Told { at: now, pause: pause.saturating_mul(2).clamp(first, longest) })
            }
            Some(_) | None => Some(Told { at: now, pause: first }),
        }
    }

    fn read(path: &Path) -> Option<Told> {
        let text = file::read_private(path, 64).ok()?;
        let (at, pause) = text.strip_suffix('\n')?.split_once(' ')?;
        let [at, pause] = [at.parse().ok()?, pause.parse().ok()?].map(Duration::from_millis);
        Some(Told { at, pause: pause.min(Told::PAUSES[1]) })
    }

    /// Where it cannot be written down, it is told all the same.
    fn write(self, path: &Path) {
        if file::read_private(path, 64).is_err() {
            let _ = std::fs::remove_file(path);
        }
        let text = format!("{} {}\n", self.at.as_millis(), self.pause.as_millis());
        let _ = file::write_volatile(path, text.as_bytes(), 0o600);
    }
}

/// Has the attribute daemon write all that it has into the CIB, where that was not done a moment ago by somebody who uses this
/// directory.
///
/// # Errors
/// Why it does not.
pub fn have_written(directory: Option<&Path>, deadline: Deadline) -> Result<Refresh, String> {
    let path = directory.map(|directory| directory.join("drbd-refreshed"));
    let before = path.as_deref().and_then(Told::read);
    let Some(told) = Told::now(before, clock::since_boot()) else { return Ok(Refresh::Waits) };
    if let Some(path) = &path {
        told.write(path);
    }
    let is_again = told.pause > Told::PAUSES[0];
    match Call::new("attrd_updater").env("LC_ALL", "C").arg("--refresh").run(deadline) {
        Ok(ended) if ended.is_success() && is_again => Ok(Refresh::ToldAgain),
        Ok(ended) if ended.is_success() => Ok(Refresh::Told),
        Ok(ended) => Err(format!("attrd_updater {}", ended.describe())),
        Err(why) => Err(duet_ocf::chain(&why)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_attribute_daemon_is_told_at_once_and_in_vain_less_and_less_often() {
        let seconds = Duration::from_secs;
        let mut told = Told::now(None, seconds(100));
        let mut at = Vec::new();
        // Whoever looks each 10 s, for half an hour.
        for now in (110..1900).step_by(10) {
            if let Some(next) = Told::now(told, seconds(now)) {
                at.push(now);
                told = Some(next);
            }
        }
        assert_eq!(at, [110, 120, 140, 180, 260, 420, 740, 1060, 1380, 1700]);
        // What helped is no reason to wait the next time, nor is a time of another boot.
        let last = told.unwrap();
        let helped = Told::now(told, last.at + last.pause + Told::LOOKS).unwrap();
        assert_eq!(helped.pause, Told::PAUSES[0]);
        assert_eq!(
            Told::now(told, seconds(5)),
            Some(Told { at: seconds(5), pause: Told::PAUSES[0] })
        );
        assert_eq!(Told::now(Some(helped), helped.at), None);
    }
}
