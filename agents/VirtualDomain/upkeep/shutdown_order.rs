//! The order in which a host with systemd is shut down: Pacemaker, and with it the guests, before libvirt's daemons and the
//! guests' scopes. Without it they are stopped at the same time, a clean stop or a move away fails, and the node is
//! fenced. Invariant: systemd is asked for something only when the drop-in was not there as it should be.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use duet_host::{file, process::Call};
use duet_ocf::{Turn, chain};

use super::Error;
use crate::memory;

/// Units made at run time; the directory is there if, and only if, systemd runs this host.
const UNITS: &str = "/run/systemd/system";
/// A target of the resource-agents package, empty but for such drop-ins; pacemaker.service is ordered after it.
const DROP_IN: &str = "resource-agents-deps.target.d/99-duet-VirtualDomain.conf";
/// libvirt orders the scope of each guest before it.
const GUESTS: &str = "virt-guest-shutdown.target";
/// `systemctl start` exits with it where there is no such unit.
const NO_SUCH_UNIT: i32 = 5;

/// Of a daemon that is not installed, the line means nothing. A daemon that has ended for want of work is started by its
/// socket, which therefore has to stay as long.
const CONTENT: &str = "\
# Written by ocf:rust:VirtualDomain; gone after a reboot. Pacemaker is ordered after this target.
[Unit]
After=libvirtd.service libvirtd.socket
After=virtqemud.service virtqemud.socket
After=virtlxcd.service virtlxcd.socket
After=virtxend.service virtxend.socket
Wants=virt-guest-shutdown.target
After=virt-guest-shutdown.target
";

/// Whether nothing needs to be done: the drop-in is there, or no systemd.
pub(super) fn is_in_place() -> bool {
    is_in_place_at(Path::new(UNITS))
}

fn is_in_place_at(units: &Path) -> bool {
    !units.is_dir()
        || file::read_text(&drop_in(units), CONTENT.len()).is_ok_and(|text| text == CONTENT)
}

fn drop_in(units: &Path) -> PathBuf {
    units.join(DROP_IN)
}

/// Puts it in place and has systemd take it up.
pub(super) fn put_in_place(limit: Duration, turn: &mut Turn<'_>) -> Result<(), Error> {
    let path = drop_in(Path::new(UNITS));
    if let Some(directory) = path.parent() {
        // Whether it worked shows in the writing.
        let _ = std::fs::create_dir_all(directory);
    }
    file::write_atomic(&path, CONTENT.as_bytes(), 0o644)?;
    let done = take_up(limit, turn);
    if done.is_err() {
        // So that the next start tries again.
        let _ = memory::forget(&path);
    }
    done
}

fn take_up(limit: Duration, turn: &mut Turn<'_>) -> Result<(), Error> {
    let deadline = turn.within(limit);
    let systemctl = |what, words: &[&str], accepted: i32| {
        let ended = Call::new("systemctl").args(words).run(deadline);
        let ended = ended.map_err(|error| Error::Tool { what, why: chain(&error) })?;
        if ended.is_success() || ended.code == Some(accepted) {
            return Ok(());
        }
        Err(Error::Tool { what, why: format!("systemctl {}", ended.describe()) })
    };
    let what = "have systemd stop Pacemaker before libvirt at shutdown";
    systemctl(what, &["daemon-reload"], 0)?;
    // Ordered before what is not active means nothing.
    systemctl(what, &["start", GUESTS], NO_SUCH_UNIT)?;
    turn.info("Told systemd to stop Pacemaker before libvirt when this host is shut down");
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests of what is found among files")]

    use super::*;

    #[test]
    fn only_exactly_this_drop_in_is_in_place() {
        let directory = tempfile::tempdir().unwrap();
        let units = directory.path().join("system");
        assert!(is_in_place_at(&units), "no systemd");
        std::fs::create_dir(&units).unwrap();
        assert!(!is_in_place_at(&units));
        let path = drop_in(&units);
        std::fs::create_dir(path.parent().unwrap()).unwrap();
        for (content, is_in_place) in
            [("", false), ("[Unit]\n", false), (CONTENT, true), (&format!("{CONTENT}#"), false)]
        {
            std::fs::write(&path, content).unwrap();
            assert_eq!(is_in_place_at(&units), is_in_place, "{content}");
        }
    }
}
