//! `differential`: the stock fencing handlers and ours on the same inputs. It needs no nodes: both run on the host side of
//! a lab, whose tree has drbd-utils and Pacemaker's tools, with stubs for what only a cluster or a module can say.

use crate::failure::{Failure, Result};
use crate::host_side::{HostSide, Life};
use crate::place::Place;
use crate::report::Row;
use crate::scenario::Story;
use crate::topology::Settings;
use crate::{image, programs};
use std::fs;
use std::time::{Duration, Instant};

/// As scenarios are named.
pub(crate) const NAME: &str = "differential";
/// What it is about.
pub(crate) const ABOUT: &str = "the stock fencing handlers and ours give the same inputs the same answers, but for what is named";
/// Several hundred runs of a handler that is some sixty processes.
const BOUND: Duration = Duration::from_secs(1500);

/// Whose drbd-utils (9.22) the numbers of the exceptions are of.
const SUITE: &str = "bookworm";

/// Whether these names ask for it.
pub(crate) fn is_wanted(names: &[String]) -> bool {
    names.iter().any(|name| name == NAME || name == "all")
}

/// The row of the table.
pub(crate) fn row(place: &Place, settings: &Settings, tell: &mut dyn FnMut(&str)) -> Row {
    if settings.suite != SUITE {
        let why = format!("what may differ is written down for the drbd-utils of {SUITE}");
        let row = Row::skipped(NAME, &settings.programs, why);
        tell(&row.line());
        return row;
    }
    let began = Instant::now();
    tell(&format!("--- {NAME}: {ABOUT}"));
    let outcome = run(place, settings, tell).map(|()| Story::default());
    let row = Row::new(NAME, &settings.programs, began.elapsed(), outcome, None);
    tell(&row.line());
    row
}

fn run(place: &Place, settings: &Settings, tell: &mut dyn FnMut(&str)) -> Result<()> {
    let image = image::ready(place, &settings.suite, tell)?;
    let ours = programs::build_with(&["crm-fence-peer"], Some("duet-host/stub-kernel"))?;
    let driver = programs::build(&["duet-differential"])?;
    let host = HostSide::start(place, &image, Life::DiesWithUs)?;
    let compared = (|| {
        let dir = place.file(NAME);
        fs::create_dir_all(&dir).map_err(Failure::io(format!("create {}", dir.display())))?;
        let mut words = Vec::new();
        for path in [driver.join("duet-differential"), ours.join("crm-fence-peer")] {
            let name = path.file_name().unwrap_or_default();
            let inside = dir.join(name);
            fs::copy(&path, &inside).map_err(Failure::io(format!("copy {}", path.display())))?;
            words.push(inside.to_string_lossy().into_owned());
        }
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        host.run(&words, BOUND)
    })();
    host.stop()?;
    let ran = compared?;
    ran.stdout.lines().for_each(&mut *tell);
    ran.success("comparing the handlers").map(drop)
}
