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
            by_process(&Table::default(), &spoken_for(config))
                .unwrap_or_else(|and| Strangers::CouldNotLook(format!("{why}; {and}")))
        }
        Err(error) => Strangers::CouldNotLook(chain(&error)),
    }
}

/// Whether there certainly is nobody, as far as the process table tells, where libvirt does not.
pub(crate) fn are_none(config: &Config) -> bool {
    config.driver == Some(Driver::Qemu)
        && by_process(&Table::default(), &spoken_for(config)) == Ok(Strangers::Nobody)
}

/// Any QEMU but the `others`', also one that is ending.
fn by_process(table: &Table, others: &BTreeSet<Uuid>) -> Result<Strangers, String> {
    let found = table.find(|seen| {
        let uuid = seen.arguments.iter().skip_while(|argument| *argument != b"-uuid").nth(1);
        let uuid = uuid.and_then(|uuid| std::str::from_utf8(uuid).ok()?.parse().ok());
        if uuid.is_some_and(|uuid| others.contains(&uuid)) {
            return false;
        }
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
pub(crate) fn spoken_for(config: &Config) -> BTreeSet<Uuid> {
    let directory = config.memory.parent().unwrap_or(Path::new("/"));
    let Ok(entries) = std::fs::read_dir(directory) else { return BTreeSet::new() };
    let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let others = files.filter(|path| *path != config.memory);
    others.filter_map(|path| memory::whose(&path, &config.definition)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "tests of what is found among files")]

    use super::*;

    const OURS: &str = "c7a5fdbd-edaf-9455-926a-d65c16db1809";
    const OTHER: &str = "d7a5fdbd-edaf-9455-926a-d65c16db1809";

    fn seen(processes: &[(&str, &str)]) -> Result<Strangers, String> {
        let root = tempfile::tempdir().unwrap();
        let all = [("init", "/sbin/init\0")];
        for (at, (name, line)) in all.iter().chain(processes).enumerate() {
            let directory = root.path().join((at + 1).to_string());
            std::fs::create_dir(&directory).unwrap();
            let stat = format!("{} ({name}) S 0{}\n", at + 1, " 0".repeat(48));
            std::fs::write(directory.join("stat"), stat).unwrap();
            std::fs::write(directory.join("cmdline"), line).unwrap();
        }
        let others = std::iter::once(OTHER.parse().unwrap()).collect();
        by_process(&Table::at(root.path()), &others)
    }

    #[test]
    fn a_process_of_a_guest_that_nobody_remembers_is_a_stranger() {
        let guest =
            |uuid: &str| format!("/usr/bin/qemu-system-x86_64\0-name\0guest=a\0-uuid\0{uuid}\0");
        let (ours, other) = (guest(OURS), guest(OTHER));
        let qemu = "qemu-system-x86";
        for (processes, nobody) in [
            (vec![], true),
            (vec![("bash", "bash\0-c\0qemu-system-x86_64 -uuid\0")], true),
            (vec![(qemu, other.as_str())], true),
            (vec![(qemu, ours.as_str())], false),
            (vec![(qemu, other.as_str()), (qemu, ours.as_str())], false),
            (vec![("kvm", "/usr/bin/kvm\0-m\x00512\0")], false),
            (vec![(qemu, "")], false),
        ] {
            let found = seen(&processes).unwrap();
            assert_eq!(found == Strangers::Nobody, nobody, "{processes:?}: {found:?}");
        }
    }
}
