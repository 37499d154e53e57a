//! The recordings in `tests/recorded/drbd`, read as they were written down.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, dead_code, reason = "test support")]
// `dead_code`: each test executable uses a part of it.

use std::path::{Path, PathBuf};

use duet_drbd::View;

/// The folders of modules.
pub(crate) const MODULES: [&str; 3] = ["8.4", "9", "9.2.16"];

/// Where the recordings are.
pub(crate) fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/recorded/drbd")
}

/// One file, by its path below that.
pub(crate) fn text(name: &str) -> String {
    let path = directory().join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"))
}

/// The files of a folder whose names begin so, by their paths, sorted.
pub(crate) fn files(folder: &str, prefix: &str) -> Vec<String> {
    let entries = std::fs::read_dir(directory().join(folder)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut files: Vec<_> = names
        .filter(|name| name.starts_with(prefix))
        .map(|name| format!("{folder}/{name}"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{folder}/{prefix}*");
    files
}

/// One command of a state file.
pub(crate) struct Answer {
    pub(crate) output: String,
    pub(crate) code: i32,
}

/// What `command` printed in this file; none if it was not recorded.
pub(crate) fn answer(file: &str, command: &str) -> Option<Answer> {
    let text = text(file);
    let (_, after) = text.split_once(&format!("$ {command}\n"))?;
    let (output, rest) = match after.strip_prefix("# exit ") {
        Some(rest) => ("", rest),
        None => after.split_once("\n# exit ").unwrap(),
    };
    let code = rest.lines().next().unwrap().parse().unwrap();
    let newline = if output.is_empty() { "" } else { "\n" };
    Some(Answer { output: format!("{output}{newline}"), code })
}

/// Every state file of the modules.
pub(crate) fn states() -> Vec<String> {
    MODULES.iter().flat_map(|module| files(module, "state-")).collect()
}

/// Its name as in `states.txt`.
pub(crate) fn state(file: &str) -> String {
    file.replace("state-", "").replace(".txt", "")
}

/// A view in one line, as in `states.txt`: what decides something.
pub(crate) fn line(view: &View) -> String {
    let flag = |flag: Option<bool>| flag.map_or("?", |is| if is { "yes" } else { "no" });
    let Some(resource) = view.resources.get("r0") else {
        assert_eq!(*view, View::default());
        return "-".to_owned();
    };
    let suspended = resource.suspended;
    assert!(!suspended.unrecognized && view.resources.len() == 1);
    let reasons = [
        ("user", suspended.user),
        ("no-data", suspended.no_data),
        ("fencing", suspended.fencing),
        ("quorum", suspended.quorum),
    ];
    let reasons: Vec<_> = reasons.iter().filter(|(_, is)| *is).map(|(name, _)| *name).collect();
    let reasons = if reasons.is_empty() { "no".to_owned() } else { reasons.join(",") };
    let volume = &resource.volumes[&0];
    assert_eq!((resource.volumes.len(), volume.minor), (1, Some(0)));
    let (quorum, client) = (flag(volume.quorum), flag(volume.client));
    let mut parts = vec![format!("{} {reasons} {} {quorum} {client}", resource.role, volume.disk)];
    for peer in resource.peers.values() {
        let (name, volume) = (peer.name.as_deref().unwrap_or("-"), &peer.volumes[&0]);
        let (connection, role) = (&peer.connection, &peer.role);
        let (replication, disk) = (&volume.replication, &volume.disk);
        parts.push(format!("{name} {connection} {role} {replication} {disk}"));
    }
    parts.join(" | ")
}
