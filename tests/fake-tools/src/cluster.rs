//! A cluster of Pacemaker, in a document: each node has cibadmin, crm_node and crmadmin, which ask the test's process, and a
//! patch is applied to the version it names or refused. Invariant: changes happen one after another, each whole or not at
//! all, and no tool knows more than its node would.

mod xml;

pub use xml::Xml;

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{BufRead, BufReader, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
    thread,
};

use tempfile::TempDir;

use crate::FakeTools;

const TOOL: &str = include_str!("cluster/tool.sh");
/// "Update does not conform", and "not connected", in the codes of Pacemaker 2.
const OLD_UPDATE: i32 = 103;
const DISCONNECTED: i32 = 102;
const TIMED_OUT: i32 = 124;

/// What a node's Pacemaker is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Daemons {
    /// Running, with a DC.
    #[default]
    Well,
    /// Running, and no DC answers: every question but the local one ends with a timeout, at once.
    NoDc,
    /// Not running.
    Stopped,
    /// No tool ever comes back.
    Hung,
    /// Tools print what nobody understands, with success.
    Garbling,
}

/// What a controller does when it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Controller {
    /// It answers.
    #[default]
    Well,
    /// It does not, and the question ends at its limit, at once.
    Silent,
    /// The tool does not come back.
    Hung,
}

/// A node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Side {
    /// Its daemons.
    pub daemons: Daemons,
    /// How its controller answers others.
    pub controller: Controller,
    /// Whether it sees quorum.
    pub has_quorum: bool,
}

impl Default for Side {
    fn default() -> Side {
        Side { daemons: Daemons::Well, controller: Controller::Well, has_quorum: true }
    }
}

/// What a test has happen before a question or a patch arrives; its number is how many came before.
type Before = Box<dyn FnMut(&mut Pacemaker, usize) + Send>;

/// What the cluster has.
pub struct ClusterState {
    /// The CIB and the nodes.
    pub pacemaker: Pacemaker,
    before_patch: Option<Before>,
    before_query: Option<Before>,
    queries: usize,
}

/// The CIB and the nodes.
#[derive(Debug, Clone)]
pub struct Pacemaker {
    /// The CIB.
    pub cib: Xml,
    /// By name; one that is not here is well.
    pub sides: BTreeMap<String, Side>,
    /// What the next patches end with, without being applied.
    pub refusals: Vec<(i32, String)>,
    /// How many patches arrived.
    pub patches: usize,
    /// Every patch that was applied, by whom.
    pub applied: Vec<(String, String)>,
}

/// The cluster.
pub struct FakeCluster {
    directory: TempDir,
    state: Arc<Mutex<ClusterState>>,
}

impl FakeCluster {
    /// A cluster with this CIB.
    #[must_use]
    pub fn start(cib: &str) -> FakeCluster {
        let directory = tempfile::tempdir().unwrap();
        let orders = directory.path().join("orders");
        nix::unistd::mkfifo(&orders, nix::sys::stat::Mode::S_IRWXU).unwrap();
        // Open for both, it neither blocks here nor ends when a tool closes its end.
        let file = OpenOptions::new().read(true).write(true).open(&orders).unwrap();
        let pacemaker = Pacemaker {
            cib: Xml::parse(cib),
            sides: BTreeMap::new(),
            refusals: Vec::new(),
            patches: 0,
            applied: Vec::new(),
        };
        let state = Arc::new(Mutex::new(ClusterState {
            pacemaker,
            before_patch: None,
            before_query: None,
            queries: 0,
        }));
        let (root, shared) = (directory.path().to_owned(), Arc::downgrade(&state));
        thread::spawn(move || {
            // A tool that was killed never reads its answer; one that is slow must still find it.
            let mut kept = Vec::new();
            for line in BufReader::new(file).lines() {
                let (Ok(line), Some(state)) = (line, shared.upgrade()) else { return };
                kept.push(serve(&line, &root, &state));
            }
        });
        FakeCluster { directory, state }
    }

    /// Gives a node the tools of this cluster.
    pub fn join(&self, node: &str, tools: &FakeTools) {
        for tool in ["cibadmin", "crm_node", "crmadmin"] {
            let path = tools.programs().join(tool);
            let text = format!(
                "#!/bin/sh\nROOT='{}'\nCALLS='{}'\nNODE='{node}'\n{TOOL}",
                self.directory.path().display(),
                tools.root().join("calls").display()
            );
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        }
    }

    /// The same, for a daemon that goes on when the test is over.
    pub(crate) fn shared(&self) -> std::sync::Weak<Mutex<ClusterState>> {
        Arc::downgrade(&self.state)
    }

    /// What it has.
    ///
    /// # Panics
    /// If a test panicked while it held this.
    pub fn state(&self) -> MutexGuard<'_, ClusterState> {
        self.state.lock().unwrap()
    }

    /// The CIB now.
    #[must_use]
    pub fn cib(&self) -> Xml {
        self.state().pacemaker.cib.clone()
    }

    /// Changes it as the cluster itself would.
    pub fn change(&self, change: impl FnOnce(&mut Pacemaker)) {
        change(&mut self.state().pacemaker);
    }

    /// Has this happen before each question after the CIB is answered.
    pub fn before_query(&self, before: impl FnMut(&mut Pacemaker, usize) + Send + 'static) {
        self.state().before_query = Some(Box::new(before));
    }

    /// Has this happen before each patch arrives.
    pub fn before_patch(&self, before: impl FnMut(&mut Pacemaker, usize) + Send + 'static) {
        self.state().before_patch = Some(Box::new(before));
    }
}

impl Pacemaker {
    /// The cluster has changed something: the CIB has a new version.
    pub fn touch(&mut self) {
        let epoch: u64 = self.cib.get("epoch").unwrap().parse().unwrap();
        self.cib.set("epoch", &(epoch + 1).to_string());
        self.cib.set("num_updates", "0");
    }

    /// How a node is.
    pub fn side(&mut self, node: &str) -> &mut Side {
        self.sides.entry(node.to_owned()).or_default()
    }

    fn version(&self) -> [Option<&str>; 3] {
        ["admin_epoch", "epoch", "num_updates"].map(|name| self.cib.get(name))
    }

    fn patch(&mut self, node: &str, text: &str) -> (i32, String) {
        self.patches += 1;
        if !self.refusals.is_empty() {
            return self.refusals.remove(0);
        }
        let patch = match Xml::read(text) {
            Ok(patch) => patch,
            Err(why) => return (65, format!("cibadmin: couldn't parse input: {why}")),
        };
        let versions = patch.children.iter().find(|child| child.name == "version");
        let of = |name: &str| {
            let row = versions?.children.iter().find(|child| child.name == name)?;
            Some(["admin_epoch", "epoch", "num_updates"].map(|name| row.get(name)))
        };
        if of("source") != Some(self.version()) {
            return (
                OLD_UPDATE,
                "Call cib_apply_diff failed (-205): Update does not conform".into(),
            );
        }
        if let Err(why) = self.cib.patch(&patch) {
            return (76, format!("Call cib_apply_diff failed: {why}"));
        }
        if let Some([Some(admin), Some(epoch), Some(updates)]) = of("target") {
            self.cib.set("admin_epoch", admin);
            self.cib.set("epoch", epoch);
            self.cib.set("num_updates", updates);
        }
        self.applied.push((node.to_owned(), text.to_owned()));
        (0, String::new())
    }
}

impl ClusterState {
    /// What a tool on `node` answers: code, text and delay.
    pub(crate) fn answer(
        &mut self,
        node: &str,
        words: &[&str],
        input: &str,
    ) -> (i32, String, &'static str) {
        let side = *self.pacemaker.side(node);
        let is_local = words.contains(&"-l");
        match side.daemons {
            Daemons::Hung => return (1, String::new(), "ever"),
            Daemons::Garbling => return (0, "<cib <<\u{1}>garbage".into(), ""),
            Daemons::Stopped => {
                return (DISCONNECTED, "Could not connect to the CIB: Not connected".into(), "");
            }
            Daemons::NoDc if words[0] != "crm_node" && !is_local => {
                return (TIMED_OUT, "Call cib_query failed (-62): Timer expired".into(), "");
            }
            Daemons::NoDc | Daemons::Well => {}
        }
        match words {
            ["cibadmin", rest @ ..] if rest.contains(&"-Q") => {
                if let Some(mut before) = self.before_query.take() {
                    before(&mut self.pacemaker, self.queries);
                    self.before_query = Some(before);
                }
                self.queries += 1;
                (0, self.pacemaker.cib.to_string(), "")
            }
            ["cibadmin", rest @ ..] if rest.contains(&"--patch") => {
                if let Some(mut before) = self.before_patch.take() {
                    let patches = self.pacemaker.patches;
                    before(&mut self.pacemaker, patches);
                    self.before_patch = Some(before);
                }
                let (code, text) = self.pacemaker.patch(node, input);
                (code, text, "")
            }
            ["cibadmin", rest @ ..] if rest.contains(&"--bump") => {
                self.pacemaker.touch();
                (0, String::new(), "")
            }
            ["crm_node", "-q"] => (0, format!("{}\n", u8::from(side.has_quorum)), ""),
            ["crm_node", "-n"] => (0, format!("{node}\n"), ""),
            ["crmadmin", .., "-S", peer] => match self.pacemaker.side(peer).controller {
                Controller::Well => {
                    (0, format!("Controller on {peer} in state S_NOT_DC: ok\n"), "")
                }
                Controller::Silent => (TIMED_OUT, "error: No reply received".into(), ""),
                Controller::Hung => (1, String::new(), "ever"),
            },
            other => (99, format!("fake cluster: cannot do {other:?}"), ""),
        }
    }
}

/// Answers one call, and gives what has to stay open until the tool has read it.
fn serve(line: &str, root: &Path, state: &Mutex<ClusterState>) -> Option<File> {
    let mut words = line.split('\t');
    let (process, node) = (words.next()?, words.next()?);
    let words: Vec<&str> = words.collect();
    let file = |suffix: &str| -> PathBuf { root.join(format!("{process}.{suffix}")) };
    let input = std::fs::read_to_string(file("in")).unwrap_or_default();
    let _ = std::fs::remove_file(file("in"));
    let (code, text, delay) = state.lock().unwrap().answer(node, &words, &input);
    std::fs::write(file("out"), text).ok()?;
    let mut back = OpenOptions::new().read(true).write(true).open(file("back")).ok()?;
    writeln!(back, "{code} {delay}").ok()?;
    Some(back)
}
