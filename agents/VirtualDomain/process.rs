//! The guest's own process, for when libvirt cannot be asked. Invariant: whole arguments are compared, never parts
//! of them, and "none" is said only after every process was looked at.

use std::path::PathBuf;

use duet_domain::Uuid;
use duet_host::{
    file,
    processes::{Process, Seen, Table},
};
use duet_libvirt_rpc::{Driver, SOCKET_DIR};
use duet_ocf::{Action, chain};

use crate::{config::Config, observe::Identity};

/// A number and a line break are far shorter.
const PID_FILE_LIMIT: usize = 32;

/// What the process table says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Processes {
    /// It was not looked at: libvirt answered, or no process says enough.
    NotLooked,
    /// This is the guest.
    Found(Process),
    /// None of all processes is the guest.
    NoneSeen,
    /// Somebody may have been missed.
    CouldNotLook(String),
}

/// Whether a process can stand in for libvirt. A container is more than the process that looks after it, so
/// that one's presence says something and its end is not the container's; a Xen guest has none.
pub(crate) fn can_tell(driver: Option<Driver>, action: Action) -> bool {
    match driver {
        Some(Driver::Qemu) => matches!(action, Action::Monitor | Action::Status | Action::Stop),
        Some(Driver::Lxc) => matches!(action, Action::Monitor | Action::Status),
        Some(Driver::Xen | Driver::Test) | None => false,
    }
}

/// Looks for the process of one of `wanted`. `before` is the one that an earlier look found: it counts for as long as
/// anything of it is there, also when its arguments have gone already.
pub(crate) fn look(config: &Config, wanted: &[&Identity], before: Option<Process>) -> Processes {
    let Some(driver) = config.driver else { return Processes::NotLooked };
    if wanted.is_empty() && before.is_none() {
        return Processes::CouldNotLook("who is meant is not known".to_owned());
    }
    let table = Table::default();
    let pid_files = pid_files(driver, wanted);
    let found = find(&table, driver, wanted, before, || {
        pid_files
            .iter()
            .filter_map(|path| file::read_text(path, PID_FILE_LIMIT).ok()?.trim().parse().ok())
    });
    match found {
        Processes::NoneSeen if driver == Driver::Lxc => {
            Processes::CouldNotLook("its controller is not here".to_owned())
        }
        found => found,
    }
}

/// On the way down or away, whether a daemon that serves `driver` is among the processes, or could not be looked for.
pub(crate) fn may_come_back(driver: Option<Driver>, action: Action) -> bool {
    if !matches!(action, Action::Stop | Action::MigrateTo) {
        return false;
    }
    let own = match driver {
        Some(Driver::Qemu) => "virtqemud",
        Some(Driver::Lxc) => "virtlxcd",
        Some(Driver::Xen) => "virtxend",
        Some(Driver::Test) | None => return true,
    };
    let found = Table::default().find(|seen| [own, "libvirtd"].contains(&seen.name.as_str()));
    found.map_or(true, |daemon| daemon.is_some())
}

fn find<P: Iterator<Item = u32>>(
    table: &Table,
    driver: Driver,
    wanted: &[&Identity],
    before: Option<Process>,
    pid_files: impl FnOnce() -> P,
) -> Processes {
    let found = (|| {
        if let Some(process) = before {
            if table.is_there(process)? {
                return Ok(Processes::Found(process));
            }
        }
        for pid in pid_files() {
            // The file may be older than the process that has the number now: only the arguments, or that it is a QEMU
            // that has lost them while ending, make it the guest.
            let seen =
                table.see(pid)?.filter(|seen| is_ending(seen) || is_meant(driver, wanted, seen));
            if let Some(seen) = seen {
                return Ok(Processes::Found(seen.process));
            }
        }
        let mut ending = None;
        let found = table.find(|seen| {
            if is_ending(seen) {
                ending = Some(seen.clone());
            }
            is_meant(driver, wanted, seen)
        })?;
        Ok(match (found, ending) {
            (Some(seen), _) => Processes::Found(seen.process),
            (None, Some(Seen { process, name, .. })) => Processes::CouldNotLook(format!(
                "process {} ({name}) is ending, and whose it was cannot be read any more",
                process.pid
            )),
            (None, None) => Processes::NoneSeen,
        })
    })();
    found.unwrap_or_else(|error: duet_host::Error| Processes::CouldNotLook(chain(&error)))
}

fn pid_files(driver: Driver, wanted: &[&Identity]) -> Vec<PathBuf> {
    let driver = match driver {
        Driver::Qemu => "qemu",
        Driver::Lxc => "lxc",
        Driver::Xen | Driver::Test => return Vec::new(),
    };
    let mut files = Vec::new();
    // libvirt allows no slash in a name.
    for identity in wanted.iter().filter(|identity| !identity.name.contains('/')) {
        for directory in [SOCKET_DIR, "/var/run/libvirt"] {
            files.push(PathBuf::from(format!("{directory}/{driver}/{}.pid", identity.name)));
        }
    }
    files
}

/// A QEMU whose memory is gone while its disks may still be written to.
fn is_ending(seen: &Seen) -> bool {
    seen.arguments.is_empty() && (seen.name.contains("qemu") || seen.name == "kvm")
}

fn is_meant(driver: Driver, wanted: &[&Identity], seen: &Seen) -> bool {
    let value = |option: &str| {
        let at = seen.arguments.iter().position(|argument| argument == option.as_bytes())?;
        seen.arguments.get(at + 1).map(Vec::as_slice)
    };
    match driver {
        Driver::Qemu => {
            let uuid = value("-uuid").and_then(|text| std::str::from_utf8(text).ok());
            let uuid = uuid.and_then(|text| text.parse::<Uuid>().ok());
            let name = value("-name").and_then(guest);
            wanted.iter().any(|identity| match (identity.uuid, uuid) {
                (Some(wanted), Some(uuid)) => wanted == uuid,
                (None, _) | (_, None) => name.as_deref() == Some(identity.name.as_bytes()),
            })
        }
        Driver::Lxc => {
            let program =
                seen.arguments.first().map(|program| program.rsplit(|byte| *byte == b'/'));
            program.and_then(|mut parts| parts.next()) == Some(b"libvirt_lxc".as_slice())
                && wanted.iter().any(|identity| value("--name") == Some(identity.name.as_bytes()))
        }
        Driver::Xen | Driver::Test => false,
    }
}

/// The guest's name in the value of QEMU's `-name`: elements with commas between them, in which a comma is doubled; the
/// first may leave out its `guest=`.
fn guest(value: &[u8]) -> Option<Vec<u8>> {
    let mut elements = vec![Vec::new()];
    let mut bytes = value.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b',' if bytes.peek() == Some(&b',') => {
                bytes.next();
                elements.last_mut()?.push(b',');
            }
            b',' => elements.push(Vec::new()),
            other => elements.last_mut()?.push(other),
        }
    }
    let named = elements.iter().find_map(|element| element.strip_prefix(b"guest="));
    let named = named.map(<[u8]>::to_vec);
    named.or_else(|| elements.into_iter().next().filter(|first| !first.contains(&b'=')))
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "c7a5fdbd-edaf-9455-926a-d65c16db1809";
    const OTHER: &str = "d7a5fdbd-edaf-9455-926a-d65c16db1809";
    const NAMES: [&str; 13] = [
        "vm",
        "vm1",
        "vm-1",
        "v.1",
        "a,b",
        "a",
        "two words",
        "vm+",
        "a=b",
        "a,,b",
        "a+b",
        "a&b",
        "größe",
    ];

    fn identity(name: &str, uuid: Option<&str>) -> Identity {
        Identity { name: name.into(), uuid: uuid.map(|uuid| uuid.parse().unwrap()) }
    }

    /// As libvirt 9.0 starts one.
    fn qemu(name: &str, uuid: &str) -> Seen {
        let name = format!("guest={},debug-threads=on", name.replace(',', ",,"));
        process(&[
            "/usr/bin/qemu-system-x86_64",
            "-name",
            &name,
            "-S",
            "-uuid",
            uuid,
            "-nodefaults",
        ])
    }

    fn process(arguments: &[&str]) -> Seen {
        Seen {
            process: Process { pid: 77, started: 5 },
            name: "qemu-system-x86".into(),
            arguments: arguments.iter().map(|argument| argument.as_bytes().to_vec()).collect(),
        }
    }

    fn is_qemu(wanted: &Identity, seen: &Seen) -> bool {
        is_meant(Driver::Qemu, &[wanted], seen)
    }

    #[test]
    fn names_match_themselves_only() {
        for wanted in NAMES {
            for running in NAMES {
                let seen = qemu(running, OTHER);
                let is_it = is_qemu(&identity(wanted, None), &seen);
                assert_eq!(is_it, wanted == running, "{wanted} and {running}");
                let container = process(&[
                    "/usr/lib/libvirt/libvirt_lxc",
                    "--name",
                    running,
                    "--console",
                    "23",
                ]);
                let is_it = is_meant(Driver::Lxc, &[&identity(wanted, Some(UUID))], &container);
                assert_eq!(is_it, wanted == running, "container {wanted} and {running}");
            }
        }
    }

    #[test]
    fn a_uuid_beats_a_name() {
        assert!(is_qemu(&identity("web", Some(UUID)), &qemu("renamed", UUID)));
        assert!(!is_qemu(&identity("web", Some(UUID)), &qemu("web", OTHER)));
        assert!(is_qemu(&identity("web", None), &qemu("web", OTHER)));
        // Started without one: the name is all there is.
        let nameless = process(&["qemu-kvm", "-name", "guest=web,debug-threads=on", "-S"]);
        assert!(is_qemu(&identity("web", Some(UUID)), &nameless));
        let both = [&identity("gone", Some(OTHER)), &identity("web", Some(UUID))];
        assert!(is_meant(Driver::Qemu, &both, &qemu("web", UUID)));
    }

    #[test]
    fn who_only_talks_of_a_guest_is_not_one() {
        let text = format!("qemu-system-x86_64 -name guest=web -uuid {UUID}");
        for other in [
            process(&["sh", "-c", &text]),
            process(&["virsh", "-c", "qemu:///system", "domstate", UUID]),
            process(&["grep", "guest=web,debug-threads=on"]),
            process(&["qemu-img", "convert", "web"]),
            process(&["qemu-system-x86_64", "-uuid"]),
            process(&["qemu-system-x86_64", "-name", "process=web,debug-threads=on"]),
            process(&["qemu-system-x86_64", "-name", "xguest=web"]),
            process(&["libvirt_lxc", "--name", "web"]),
            process(&[]),
        ] {
            assert!(!is_qemu(&identity("web", Some(UUID)), &other), "{other:?}");
        }
        assert!(is_qemu(&identity("web", None), &process(&["qemu", "-name", "web"])));
        let talks = process(&["less", "--name", "web"]);
        assert!(!is_meant(Driver::Lxc, &[&identity("web", None)], &talks));
    }

    fn table(entries: &[(u32, &str, &str, &str)]) -> tempfile::TempDir {
        #![allow(clippy::disallowed_methods, reason = "a process table of files")]
        let root = tempfile::tempdir().unwrap();
        for (pid, name, state, line) in [(1, "init", "S", "init\0")].iter().chain(entries) {
            let directory = root.path().join(pid.to_string());
            std::fs::create_dir(&directory).unwrap();
            let stat =
                format!("{pid} ({name}) {state} 1 1 1 0 -1 0 9 9 9 9 1 2 3 4 20 0 1 0 5 99 9\n");
            std::fs::write(directory.join("stat"), stat).unwrap();
            std::fs::write(directory.join("cmdline"), line).unwrap();
        }
        root
    }

    #[test]
    fn the_table_decides_and_a_stale_pid_file_does_not() {
        let web = [&identity("web", Some(UUID))];
        let line = format!("qemu\0-name\0guest=web\0-uuid\0{UUID}\0");
        let look = |entries: &[(u32, &str, &str, &str)], before: Option<u64>, pid_file| {
            let root = table(entries);
            let before = before.map(|started| Process { pid: 77, started });
            let table = Table::at(root.path());
            find(&table, Driver::Qemu, &web, before, || Option::into_iter(pid_file))
        };
        let found = Processes::Found(Process { pid: 77, started: 5 });
        for pid_file in [None, Some(77), Some(78), Some(1)] {
            assert_eq!(look(&[(77, "qemu", "S", &line)], None, pid_file), found);
            assert_eq!(look(&[(77, "qemu", "Z", "")], None, pid_file), Processes::NoneSeen);
            assert_eq!(look(&[(77, "cat", "S", "cat\0")], None, pid_file), Processes::NoneSeen);
        }
        // Its memory is gone, it is not: whose it was is known from the look before, or from libvirt's file.
        let ending = [(77, "qemu-system-x86", "D", "")];
        assert_eq!(look(&ending, Some(5), None), found);
        assert_eq!(look(&ending, None, Some(77)), found);
        assert!(matches!(look(&ending, None, None), Processes::CouldNotLook(_)));
        assert!(matches!(look(&ending, Some(4), None), Processes::CouldNotLook(_)));
        let nobody = tempfile::tempdir().unwrap();
        let unreadable =
            find(&Table::at(nobody.path()), Driver::Qemu, &web, None, std::iter::empty);
        assert!(matches!(unreadable, Processes::CouldNotLook(_)));
    }
}
