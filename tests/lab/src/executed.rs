//! What is executed in the nodes and on the host side, as the kernels see it: fanotify tells of each file that is
//! opened to be executed, and hands the file itself over, so that a program is known by its content and not by its name.
//! Containers and the host side are watched from here, since they run on this machine's kernel; a machine is watched
//! by this same program inside it, which writes to a port whose other end is a file here, so that neither a power cut
//! nor a network takes anything away. Invariant: a place that was not looked at all the time says so.

mod claim;
mod watch;

use crate::failure::{Failure, Result};
use crate::host_side::HostSide;
use crate::node_files::Kind;
use crate::programs::Programs;
use crate::topology::Lab;
pub(crate) use claim::{Duty, breaches};
use duet_report::{Executed, Looked, Place, Program, Whose};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
pub(crate) use watch::main;

/// The host side's name in the table.
pub(crate) const HOST: &str = "host";
/// Where this program is in a machine, and the name of the port it writes to.
pub(crate) const INSTALLED: &str = "/usr/local/sbin/lab-executed";
pub(crate) const PORT: &str = "lab.executed.0";
/// A machine's watcher says this often that it is there, and is missed after a while longer.
const ALIVE: Duration = Duration::from_secs(5);
const MISSED: Duration = Duration::from_secs(20);

/// One line of a watcher.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Note {
    /// It watches from now on.
    Begin,
    /// This was opened to be executed.
    Run { content: u64, path: String, called: Option<String> },
    /// It is still there.
    Alive,
    /// Something was missed.
    Hole(String),
}

impl Note {
    fn line(&self) -> String {
        match self {
            Self::Begin => "begin\n".to_owned(),
            Self::Alive => "alive\n".to_owned(),
            Self::Hole(why) => format!("hole {why}\n"),
            Self::Run { content, path, called } => {
                let called = called.as_deref().unwrap_or("-");
                format!("run {content:016x} {called} {path}\n")
            }
        }
    }

    /// A line that was torn by a power cut is none.
    fn parse(line: &str) -> Option<Self> {
        match line {
            "begin" => return Some(Self::Begin),
            "alive" => return Some(Self::Alive),
            _ => {}
        }
        if let Some(why) = line.strip_prefix("hole ") {
            return Some(Self::Hole(why.to_owned()));
        }
        let mut words = line.strip_prefix("run ")?.splitn(3, ' ');
        let content = u64::from_str_radix(words.next()?, 16).ok()?;
        let called = words.next().filter(|name| *name != "-").map(str::to_owned);
        let path = words.next().filter(|path| path.starts_with('/'))?.to_owned();
        Some(Self::Run { content, path, called })
    }
}

/// Where a place's notes are.
enum Source {
    /// Collected by a thread of this program.
    Thread(Arc<Mutex<Vec<Note>>>),
    /// The other end of a machine's port.
    Port(PathBuf),
}

impl Source {
    fn notes(&self) -> Vec<Note> {
        match self {
            Self::Thread(notes) => notes.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            Self::Port(file) => {
                let text = fs::read(file).unwrap_or_default();
                let text = String::from_utf8_lossy(&text);
                // The last line may not be whole yet.
                let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
                whole.lines().filter_map(Note::parse).collect()
            }
        }
    }

    /// Why the end of what is there cannot be believed, if so; `is_on` says whether the node has power.
    fn is_late(&self, is_on: impl Fn() -> bool) -> Option<String> {
        let Self::Port(file) = self else { return None };
        let age = fs::metadata(file).and_then(|data| data.modified()).ok()?.elapsed().ok()?;
        (age > MISSED && is_on())
            .then(|| format!("its watcher has been silent for {:.0} s", age.as_secs_f64()))
    }
}

/// How far the notes of each place went at some moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Since(Vec<usize>);

/// The watchers of one lab.
pub(crate) struct Executions {
    places: Vec<(String, Source)>,
    ours: BTreeSet<u64>,
    stop: Arc<AtomicBool>,
}

impl Executions {
    /// Begins to watch the host side and, where they are containers, the nodes. Machines have watched themselves since
    /// they booted.
    pub(crate) fn watch(lab: &Lab, programs: &Programs) -> Result<Self> {
        let stop = Arc::<AtomicBool>::default();
        let mut places = Vec::new();
        let inside = PathBuf::from(format!("/proc/{}/root", lab.host.holder.pid));
        for node in &lab.nodes {
            let source = match node.kind {
                Kind::Machine => Source::Port(port_file(&lab.host, &node.name)),
                // The root of a container is one file system for all its boots.
                Kind::Container => watched(inside.join(format!("lab/{}/root", node.name)), &stop),
            };
            places.push((node.name.clone(), source));
        }
        places.push((HOST.to_owned(), watched(inside, &stop)));
        let mut ours = BTreeSet::new();
        for file in programs.every() {
            let content =
                fs::read(file).map_err(Failure::io(format!("read {}", file.display())))?;
            ours.insert(watch::fingerprint(&content));
        }
        Ok(Self { places, ours, stop })
    }

    /// This moment, for [`Self::since`].
    pub(crate) fn now(&self) -> Since {
        Since(self.places.iter().map(|(_, source)| source.notes().len()).collect())
    }

    /// What was executed since a moment; `is_on` says of a node whether it has power now.
    pub(crate) fn since(&self, since: &Since, is_on: impl Fn(&str) -> bool) -> Executed {
        let place = |(index, (name, source)): (usize, &(String, Source))| {
            let notes = source.notes();
            let first = since.0.get(index).copied().unwrap_or_default();
            let late = source.is_late(|| is_on(name));
            tally(name, &notes, first, late, &self.ours)
        };
        Executed { places: self.places.iter().enumerate().map(place).collect() }
    }
}

impl Drop for Executions {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn watched(root: PathBuf, stop: &Arc<AtomicBool>) -> Source {
    let notes = Arc::<Mutex<Vec<Note>>>::default();
    let (shared, end) = (Arc::clone(&notes), Arc::clone(stop));
    std::thread::spawn(move || {
        let push = |note| shared.lock().unwrap_or_else(PoisonError::into_inner).push(note);
        if let Err(error) = watch::watch(&root, &mut |note| push(note), &end) {
            push(Note::Hole(error.to_string()));
        }
    });
    Source::Thread(notes)
}

/// The file at the other end of a machine's port.
pub(crate) fn port_file(host: &HostSide, node: &str) -> PathBuf {
    host.run.join(format!("{node}.executed"))
}

/// What goes into a machine: this program.
pub(crate) fn program() -> Result<Vec<u8>> {
    let own = std::env::current_exe().map_err(Failure::io("find this program's own file"))?;
    fs::read(&own).map_err(Failure::io(format!("read {}", own.display())))
}

/// Counts the notes from the `first` on.
fn tally(
    name: &str,
    notes: &[Note],
    first: usize,
    late: Option<String>,
    ours: &BTreeSet<u64>,
) -> Place {
    let mut programs = BTreeMap::new();
    let mut hole = late;
    for note in notes.get(first..).unwrap_or_default() {
        match note {
            Note::Run { content, path, called } => {
                let whose = if ours.contains(content) { Whose::Ours } else { Whose::Stock };
                let program = Program { path: path.clone(), called: called.clone(), whose };
                *programs.entry(program).or_insert(0) += 1;
            }
            Note::Hole(why) => hole = Some(why.clone()),
            Note::Begin | Note::Alive => {}
        }
    }
    let looked = match hole {
        _ if !notes.contains(&Note::Begin) => {
            let why = hole.unwrap_or_else(|| "its watcher never began".to_owned());
            Looked::Not(why)
        }
        Some(why) => Looked::Partly(why),
        None => Looked::Whole,
    };
    Place { name: name.to_owned(), looked, programs }
}

/// Whether a file is one of those that the labs are about: agents, fence agents, DRBD's handlers, ours.
fn is_of_interest(path: &Path) -> bool {
    let text = path.to_string_lossy();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let is_tool = name.starts_with("drbdadm") || name.starts_with("drbdsetup");
    let in_folder = ["/ocf/resource.d/", "/lib/drbd/", "/lib/duet/"];
    in_folder.iter().any(|folder| text.contains(folder)) && !is_tool
        || ["fence_", "crm-fence-peer", "crm-unfence-peer"]
            .iter()
            .any(|word| name.starts_with(word))
        || ["VirtualDomain", "drbd-watchd"].contains(&name.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(content: u64, path: &str) -> Note {
        Note::Run { content, path: path.to_owned(), called: None }
    }

    #[test]
    fn notes_read_back_and_torn_ones_are_none() {
        let called = Note::Run { content: 7, path: "/a b".into(), called: Some("x".into()) };
        for note in [Note::Begin, Note::Alive, Note::Hole("why so".into()), run(1, "/x"), called] {
            assert_eq!(Note::parse(note.line().trim_end()), Some(note));
        }
        for torn in ["", "beg", "run 00", "run 0000000000000001 -", "run 0000000000000001 - us"] {
            assert_eq!(Note::parse(torn), None, "{torn}");
        }
    }

    #[test]
    fn a_program_is_ours_by_its_content_whatever_it_is_called() {
        let notes = [
            Note::Begin,
            run(1, "/usr/lib/drbd/crm-fence-peer.sh"),
            run(2, "/usr/sbin/fence_xvm"),
            run(2, "/usr/sbin/fence_xvm"),
        ];
        let place = tally("node1", &notes, 0, None, &BTreeSet::from([1]));
        assert_eq!(place.looked, Looked::Whole);
        let seen: Vec<_> = place.programs.iter().map(|(one, times)| (one.whose, *times)).collect();
        assert_eq!(seen, [(Whose::Ours, 1), (Whose::Stock, 2)]);
        assert_eq!(tally("node1", &notes, 3, None, &BTreeSet::new()).programs.len(), 1);
    }

    #[test]
    fn who_was_not_looked_at_says_so() {
        let ours = BTreeSet::new();
        assert!(matches!(tally("n", &[], 0, None, &ours).looked, Looked::Not(_)));
        let notes = [Note::Begin, Note::Hole("the queue ran over".into())];
        assert!(matches!(tally("n", &notes, 1, None, &ours).looked, Looked::Partly(_)));
        let late = Some("silent".to_owned());
        assert!(matches!(tally("n", &notes[..1], 1, late, &ours).looked, Looked::Partly(_)));
    }

    #[test]
    fn agents_and_handlers_are_of_interest_and_tools_are_not() {
        for path in [
            "/usr/lib/ocf/resource.d/heartbeat/VirtualDomain",
            "/usr/lib/ocf/resource.d/rust/drbd",
            "/usr/lib/drbd/crm-fence-peer.9.sh",
            "/usr/lib/duet/drbd-watchd",
            "/usr/sbin/fence_virtd",
            "/tmp/crm-unfence-peer",
        ] {
            assert!(is_of_interest(Path::new(path)), "{path}");
        }
        for path in ["/usr/sbin/drbdadm", "/usr/lib/drbd/drbdsetup-84", "/usr/bin/bash"] {
            assert!(!is_of_interest(Path::new(path)), "{path}");
        }
    }
}
