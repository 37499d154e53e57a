//! Each of the tools that a fencing handler calls, by the name it was called by, in a cluster of two nodes that are well. It
//! costs hardly more than a process that does nothing, so what is measured with it is the handler's.

#![allow(
    clippy::disallowed_methods,
    reason = "it stands in for tools that are measured with their files"
)]

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// What the CIB becomes once a change of it came in.
const CHANGED: &str = "changed";

fn main() {
    let mut words = std::env::args();
    let name = words.next().unwrap_or_default();
    let words: Vec<String> = words.collect();
    let has = |word: &str| words.iter().any(|one| one == word);
    let Some(directory) = directory() else { std::process::exit(100) };
    let answered = match Path::new(&name).file_name().and_then(|name| name.to_str()) {
        // The stock handler changes a copy first, which is not looked into.
        Some("cibadmin") if std::env::var_os("CIB_file").is_some() => Some(()),
        Some("cibadmin") if has("-Q") || has("-Ql") => print(&directory.join(cib(&directory))),
        Some("cibadmin") if has("--patch") => read_all().and_then(|()| change(&directory)),
        Some("cibadmin") if has("--reset") => {
            drop(std::fs::remove_file(directory.join(CHANGED)));
            Some(())
        }
        Some("crm_node") if has("-n") => say("host"),
        Some("crm_node") => say("1"),
        Some("crmadmin") if has("--version") => Some(()),
        Some("crmadmin") => say("Controller on node2 in state S_NOT_DC: ok"),
        Some("crm_mon") => print(&directory.join("crm_mon.xml")),
        Some("crm_diff") => say("<diff/>"),
        Some("drbdsetup") => print(&directory.join("events2")),
        Some("drbdadm") => print(&directory.join("configuration.xml")),
        Some("logger") => read_all(),
        _ => None,
    };
    std::process::exit(i32::from(answered.is_none()));
}

/// Where this program itself is, whatever link it was called by.
fn directory() -> Option<PathBuf> {
    Some(std::env::current_exe().ok()?.parent()?.to_owned())
}

fn cib(directory: &Path) -> &'static str {
    if directory.join(CHANGED).exists() { "cib.after.xml" } else { "cib.xml" }
}

fn change(directory: &Path) -> Option<()> {
    std::fs::write(directory.join(CHANGED), "").ok()
}

fn say(line: &str) -> Option<()> {
    std::io::stdout().write_all(format!("{line}\n").as_bytes()).ok()
}

fn print(path: &Path) -> Option<()> {
    std::io::stdout().write_all(&std::fs::read(path).ok()?).ok()
}

fn read_all() -> Option<()> {
    std::io::stdin().read_to_end(&mut Vec::new()).ok().map(drop)
}
