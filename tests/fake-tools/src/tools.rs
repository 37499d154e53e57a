//! DRBD's and Pacemaker's command-line tools, each a shell script that remembers how it was called and answers what the
//! test arranged. Invariant: a call for which nothing is arranged fails with 99 and says so; no tool succeeds by itself.

mod followed;

pub use followed::Called;
use std::{
    fmt::Write as _,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

/// The tools that are there from the beginning.
const TOOLS: &[&str] = &[
    "drbdadm",
    "drbdsetup",
    "modprobe",
    "modinfo",
    "crm_attribute",
    "crm_resource",
    "crm_node",
    "attrd_updater",
    "cibadmin",
];

/// What each of them does.
const TOOL: &str = include_str!("tools/tool.sh");

/// A directory of fake tools, to be bound over `/usr/local/sbin`, which is searched first, in a mount namespace; and
/// beside it what they say and were asked.
#[derive(Debug)]
pub struct FakeTools {
    root: PathBuf,
}

/// What a tool does when it is called.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// Its exit status.
    pub code: i32,
    /// What it prints.
    pub stdout: String,
    /// What it complains about.
    pub stderr: String,
    /// When.
    pub delay: Delay,
}

/// How long a tool takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Delay {
    /// As long as a shell script takes.
    #[default]
    None,
    /// So long, and then it answers.
    For(Duration),
    /// It does not come back, and nothing that was arranged to happen after it does.
    Ever,
}

impl Answer {
    /// Success without a word.
    #[must_use]
    pub fn success() -> Answer {
        Answer::default()
    }

    /// Success, and this on stdout.
    #[must_use]
    pub fn prints(stdout: &str) -> Answer {
        Answer { stdout: stdout.to_owned(), ..Answer::default() }
    }

    /// This exit status, and this on stderr.
    #[must_use]
    pub fn fails(code: i32, stderr: &str) -> Answer {
        Answer { code, stderr: stderr.to_owned(), ..Answer::default() }
    }

    /// No answer at all.
    #[must_use]
    pub fn hangs() -> Answer {
        Answer { delay: Delay::Ever, ..Answer::default() }
    }

    /// The same, later.
    #[must_use]
    pub fn after(self, delay: Duration) -> Answer {
        Answer { delay: Delay::For(delay), ..self }
    }

    /// What a real machine was recorded to answer: `command` in `file` of `tests/recorded/drbd`. `# stderr: ` lines
    /// are there for commands that complained.
    #[must_use]
    pub fn recorded(file: &str, command: &str) -> Answer {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../recorded/drbd").join(file);
        let text = std::fs::read_to_string(&path).unwrap_or_else(|why| panic!("{path:?}: {why}"));
        let mut lines = text.lines().skip_while(|line| line.strip_prefix("$ ") != Some(command));
        assert!(lines.next().is_some(), "{path:?} has no {command}");
        let mut answer = Answer::default();
        for line in lines.by_ref() {
            if let Some(code) = line.strip_prefix("# exit ") {
                answer.code = code.parse().unwrap();
                break;
            }
            writeln!(answer.stdout, "{line}").unwrap();
        }
        for line in lines.map_while(|line| line.strip_prefix("# stderr: ")) {
            writeln!(answer.stderr, "{line}").unwrap();
        }
        answer
    }
}

impl FakeTools {
    /// Tools in this directory, which is made. No tool knows any answer yet.
    #[must_use]
    pub fn at(root: &Path) -> FakeTools {
        let tools = FakeTools { root: root.to_owned() };
        std::fs::create_dir_all(root.join("answers")).unwrap();
        for tool in TOOLS {
            tools.add(tool);
        }
        tools
    }

    /// One more tool.
    pub fn add(&self, tool: &str) {
        std::fs::create_dir_all(self.programs()).unwrap();
        let path = self.programs().join(tool);
        let root = self.root.display();
        std::fs::write(&path, format!("#!/bin/sh\nROOT='{root}'\n{TOOL}")).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    }

    /// A tool that is not installed.
    pub fn remove(&self, tool: &str) {
        std::fs::remove_file(self.programs().join(tool)).unwrap();
    }

    /// Where everything of theirs is.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The directory to bind over `/usr/local/sbin`.
    #[must_use]
    pub fn programs(&self) -> PathBuf {
        self.root.join("programs")
    }

    /// Arranges what `tool` answers to calls with the argument `word` (`primary`; of an option, the name without dashes
    /// and value), or to all others if it is empty. Of several words the first in the call counts.
    pub fn answer(&self, tool: &str, word: &str, answer: Answer) {
        self.answers(tool, word, [answer]);
    }

    /// Arranges one answer for one call after another; the last one stays.
    pub fn answers(&self, tool: &str, word: &str, answers: impl IntoIterator<Item = Answer>) {
        let directory = self.root.join("answers").join(format!("{tool}-{}", named(word)));
        let _ = std::fs::remove_dir_all(&directory);
        for (turn, answer) in answers.into_iter().enumerate() {
            let turn = directory.join(format!("{turn:06}"));
            std::fs::create_dir_all(&turn).unwrap();
            let write = |name: &str, text: &str| std::fs::write(turn.join(name), text).unwrap();
            write("code", &format!("{}\n", answer.code));
            write("stdout", &answer.stdout);
            write("stderr", &answer.stderr);
            match answer.delay {
                Delay::None => {}
                Delay::For(delay) => write("delay", &format!("{}\n", delay.as_secs_f64())),
                Delay::Ever => write("delay", "ever\n"),
            }
        }
        assert!(directory.is_dir(), "at least one answer for {tool} {word}");
    }

    /// Runs a shell script in each such call, after its delay and before its output: `on-TOOL-WORD` in the directory.
    /// Its arguments are the tool's, `$CODE` is what the tool is about to exit with. This is how a promotion
    /// changes what is outside; [`FakeTools::then`] is for what is in the test.
    pub fn on(&self, tool: &str, word: &str, script: &str) {
        std::fs::write(self.root.join(format!("on-{tool}-{}", named(word))), script).unwrap();
    }

    /// Every call so far, in order: the tool and its arguments.
    ///
    /// # Panics
    /// If a script that was to run in one of them failed.
    #[must_use]
    pub fn calls(&self) -> Vec<Vec<String>> {
        let broken = std::fs::read_to_string(self.root.join("broken")).unwrap_or_default();
        assert_eq!(broken, "");
        let text = std::fs::read_to_string(self.root.join("calls")).unwrap_or_default();
        text.lines().map(|line| line.split('\t').map(original).collect()).collect()
    }

    /// The calls of one tool: its arguments, with blanks between them.
    #[must_use]
    pub fn calls_of(&self, tool: &str) -> Vec<String> {
        let calls = self.calls().into_iter().filter(|call| call[0] == tool);
        calls.map(|call| call[1..].join(" ")).collect()
    }

    /// Forgets the calls.
    pub fn forget(&self) {
        let _ = std::fs::remove_file(self.root.join("calls"));
    }

    /// What a tool read from stdin, where its options (`-p`, `--xml-pipe`) said that it should.
    #[must_use]
    pub fn stdin_of(&self, tool: &str) -> String {
        std::fs::read_to_string(self.root.join(format!("stdin-{tool}"))).unwrap_or_default()
    }
}

/// The word in the name of a file.
fn named(word: &str) -> &str {
    assert!(!word.contains('/') && !word.starts_with('-'), "{word:?} is no word of a command");
    if word.is_empty() { "_" } else { word }
}

/// An argument as it was, from how the tool wrote it down.
fn original(written: &str) -> String {
    let mut letters = written.chars();
    let mut argument = String::new();
    while let Some(letter) = letters.next() {
        argument.push(match letter {
            '\\' => match letters.next() {
                Some('n') => '\n',
                Some('t') => '\t',
                other => other.unwrap_or('\\'),
            },
            letter => letter,
        });
    }
    argument
}
