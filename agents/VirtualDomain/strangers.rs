//! Who runs here at all, for when a definition is there but cannot be read and nobody is remembered: then any domain
//! could be the one that is meant. Invariant: "nobody" is said only when libvirt listed its domains, or nobody
//! listens for libvirt and the whole process table was read, and none was left over.

use std::{collections::BTreeSet, path::Path, time::Duration};

use duet_domain::Uuid;
use duet_host::processes::Table;
use duet_libvirt_rpc::{Driver, Error as LibvirtError};
use duet_ocf::chain;

use crate::{config::Config, memory, observe};

/// A reason names no more of them.
const NAMED: usize = 3;

/// Who runs here that could be the one that is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Strangers {
    /// It is known who is meant.
    NotLooked,
    /// Nobody.
    Nobody,
    /// These.
    Some(String),
    /// That cannot be told.
    CouldNotLook(String),
}

/// Looks; libvirt has `limit` to answer. A domain that another resource remembers is that resource's.
pub(crate) fn look(config: &Config, limit: Duration) -> Strangers {
    let listed = observe::connect(config, limit).and_then(|mut libvirt| {
        let domains = libvirt.list();
        libvirt.close();
        domains
    });
    match listed {
        Ok(domains) => {
            let others = spoken_for(config);
            let active = domains.into_iter().filter(|domain| domain.id >= 0);
            let strangers = active.filter(|domain| !others.contains(&domain.uuid));
            say(&strangers.map(|domain| domain.name).collect::<Vec<_>>())
        }
        Err(error @ LibvirtError::NotRunning { .. }) if config.driver == Some(Driver::Qemu) => {
            let why = chain(&error);
            by_process(&Table::default())
                .unwrap_or_else(|and| Strangers::CouldNotLook(format!("{why}; {and}")))
        }
        Err(error) => Strangers::CouldNotLook(chain(&error)),
    }
}

/// Any QEMU at all, also one that is ending.
fn by_process(table: &Table) -> Result<Strangers, String> {
    let found = table.find(|seen| {
        let program = seen.arguments.first().map_or(&b""[..], Vec::as_slice);
        let program = program.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        let is = |name: &[u8]| {
            name.starts_with(b"qemu-system-") || matches!(name, b"qemu-kvm" | b"kvm" | b"qemu")
        };
        is(program)
            || seen.arguments.iter().any(|argument| argument.starts_with(b"guest="))
            || seen.arguments.is_empty() && (is(seen.name.as_bytes()))
    });
    let found = found.map_err(|error| chain(&error))?;
    Ok(found.map_or(Strangers::Nobody, |seen| {
        Strangers::Some(format!("process {} ({})", seen.process.pid, seen.name))
    }))
}

fn say(names: &[String]) -> Strangers {
    match names.len() {
        0 => Strangers::Nobody,
        count if count > NAMED => {
            Strangers::Some(format!("{} and others", names[..NAMED].join(", ")))
        }
        _ => Strangers::Some(names.join(", ")),
    }
}

/// The UUIDs of the domains that other resources remember to run here.
fn spoken_for(config: &Config) -> BTreeSet<Uuid> {
    let directory = config.memory.parent().unwrap_or(Path::new("/"));
    let Ok(entries) = std::fs::read_dir(directory) else { return BTreeSet::new() };
    let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
    files.filter(|path| *path != config.memory).filter_map(|path| memory::whose(&path)).collect()
}
