//! The guest's size as utilization in the CIB. The CIB is read from where Pacemaker keeps it on disk, which costs no
//! process, and only when that file is another one than at the latest reading. Invariant: a value is written only where it
//! differs from what was read, and a reading that told nothing writes nothing.

mod cib;

use std::{io::BufReader, path::PathBuf, time::Duration};

use duet_host::{
    file::{self, Stamp},
    process::Call,
};
use duet_libvirt_rpc::DomainInfo;
use duet_ocf::{Request, Turn, Values, boolean_word, chain};

use crate::{memory, upkeep};

/// Where Pacemaker's CIB manager keeps the CIB. It replaces the file by renaming a new one over it, after each change of
/// the configuration; the status section is not in it.
const CIB: &str = "/var/lib/pacemaker/cib/cib.xml";
/// No CIB is larger.
const CIB_LIMIT: u64 = 64 * 1024 * 1024;
/// One line.
const MARK_LIMIT: usize = 4096;
/// The exit code of Pacemaker's tools for "no cluster here" (`CRM_EX_DISCONNECT`).
const DISCONNECTED: i32 = 102;

const NAMES: [&str; 3] = ["cpu", "host_memory", "hv_memory"];

/// What to do about one attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Care {
    /// Keep it at the guest's size.
    Set,
    /// Remove it.
    Unset,
    /// Leave it alone.
    Leave,
}

/// Which utilization is kept, of whom and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    /// The resource's name.
    resource: String,
    /// The CIB on disk.
    cib: PathBuf,
    /// What the latest reading is remembered in.
    mark: PathBuf,
    /// In the order of [`NAMES`].
    care: [Care; 3],
}

/// One change of the CIB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    /// The attribute.
    pub(crate) name: &'static str,
    /// What to set it to; `None` removes it.
    pub(crate) value: Option<u64>,
}

/// What a reading of the CIB leads to; without changes, only the reading is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Update {
    /// What to change.
    pub(crate) changes: Vec<Change>,
    /// The resource is a part of a clone or bundle.
    pub(crate) is_instance: bool,
    /// The reading and what was wanted.
    pub(crate) mark: String,
}

impl Settings {
    /// None where nothing is to be kept: only a recurring monitor of a named resource does. `is_xen`: `hv_memory` is what
    /// a Xen host calls its memory, and no other host has any of it.
    pub(crate) fn read(
        request: &Request,
        values: &Values,
        is_xen: bool,
        mark: PathBuf,
    ) -> Option<Self> {
        let resource = request.instance.as_ref().filter(|_| upkeep::is_recurring(request))?;
        let care = NAMES.map(|name| {
            let sets = match name {
                "hv_memory" => request
                    .raw("autoset_utilization_hv_memory")
                    .and_then(boolean_word)
                    .unwrap_or(is_xen),
                name => values.boolean(&format!("autoset_utilization_{name}")),
            };
            match (sets, values.boolean(&format!("unset_utilization_{name}"))) {
                (true, _) => Care::Set,
                (false, true) => Care::Unset,
                (false, false) => Care::Leave,
            }
        });
        if care == [Care::Leave; 3] {
            return None;
        }
        // The variable by which Pacemaker's own tools are pointed to another file.
        let cib = request.environment.filled("CIB_file").unwrap_or(CIB).into();
        Some(Self { resource: resource.clone(), cib, mark, care })
    }

    /// Compares the CIB with a guest of this size. `None`: nothing to do, or nothing to go by.
    pub(crate) fn look(&self, size: DomainInfo) -> Option<Update> {
        // A node without a CIB of its own (Pacemaker Remote) has nothing to go by.
        let stamp = Stamp::of(&self.cib).ok()?;
        let known = file::read_private(&self.mark, MARK_LIMIT);
        if known.is_ok_and(|known| known == self.mark(stamp, size)) {
            return None;
        }
        let (input, stamp) = file::open_stamped(&self.cib, CIB_LIMIT).ok()?;
        // What cannot be read is another file soon.
        let held = cib::read(BufReader::new(input), &self.resource).ok()?;
        let mark = self.mark(stamp, size);
        let Some(held) = held.filter(|held| !held.is_indirect) else {
            return Some(Update { changes: Vec::new(), is_instance: false, mark });
        };
        let changes = self.targets(size).filter_map(|(name, value)| {
            let differs = match value {
                Some(value) => {
                    held.value(name).and_then(|held| held.trim().parse().ok()) != Some(value)
                }
                None => held.own.contains_key(name),
            };
            differs.then_some(Change { name, value })
        });
        Some(Update { changes: changes.collect(), is_instance: held.is_instance, mark })
    }

    /// What each attribute that is cared for has to be; `None`: absent.
    fn targets(&self, size: DomainInfo) -> impl Iterator<Item = (&'static str, Option<u64>)> {
        let memory = size.max_memory_kib / 1024;
        let sizes = [u64::from(size.vcpus), memory, memory];
        NAMES.into_iter().zip(self.care).zip(sizes).filter_map(|((name, care), size)| match care {
            Care::Set => Some((name, Some(size))),
            Care::Unset => Some((name, None)),
            Care::Leave => None,
        })
    }

    /// One reading, for one size: as long as neither changes, there is nothing to be found out.
    fn mark(&self, stamp: Stamp, size: DomainInfo) -> String {
        let mut text = format!("cib={stamp}");
        for (name, value) in self.targets(size) {
            text.push_str(&format!(" {name}="));
            text.extend(value.map(|value| value.to_string()));
        }
        text.push('\n');
        text
    }
}

/// Carries it out with Pacemaker's own tool and remembers the reading; not after a failure, so that the next monitor
/// tries again.
pub(crate) fn apply(
    settings: &Settings,
    update: &Update,
    limit: Duration,
    turn: &mut Turn<'_>,
) -> Result<(), upkeep::Error> {
    let deadline = turn.within(limit);
    for change in &update.changes {
        let (name, resource) = (change.name, &settings.resource);
        let failed = |why, is_away| upkeep::Error::Utilization { name, why, is_away };
        let ended = call(settings, change, update.is_instance)
            .run(deadline)
            .map_err(|error| failed(chain(&error), false))?;
        if !ended.is_success() {
            let why = format!("crm_resource {}", ended.describe());
            return Err(failed(why, ended.code == Some(DISCONNECTED)));
        }
        match change.value {
            Some(value) => turn.info(format!("Set utilization {name} of {resource} to {value}")),
            None => turn.info(format!("Removed utilization {name} of {resource}")),
        }
    }
    Ok(memory::write(&settings.mark, &update.mark)?)
}

fn call(settings: &Settings, change: &Change, is_instance: bool) -> Call {
    // As the stock agent has it, in the long words, which every version of Pacemaker knows.
    let call = Call::new("crm_resource")
        .args(["--resource", &settings.resource, "--utilization"])
        // What it prints on failure can be the whole CIB.
        .limit(16 * 1024);
    let call = match change.value {
        Some(value) => {
            call.args(["--set-parameter", change.name, "--parameter-value"]).arg(value.to_string())
        }
        None => call.args(["--delete-parameter", change.name]),
    };
    // Without it, the clone and not its primitive gets the attribute, which no schema allows.
    if is_instance { call.arg("--force") } else { call }
}

#[cfg(test)]
mod tests;
