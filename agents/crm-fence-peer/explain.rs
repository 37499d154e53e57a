//! What a handler would do and why, for people: what was seen, the row of the table that matched, how it goes on from there, and
//! which single facts the answer hangs on. Invariant: pure and the same every time; nothing is told here that the
//! decisions themselves did not say.

mod course;
mod other;
#[cfg(test)]
pub(crate) mod tests;
mod words;

use std::{fmt::Write as _, time::Duration};

use serde::Serialize;

use self::{
    course::{Course, course},
    other::others,
    words::{code_in_words, observation, question},
};
pub use words::{answer_in_words, data_in_word, next_in_words, standing_in_word};

use crate::{
    decide::{Answer, Asked, Mode, Next, Progress, Reason},
    facts::{Cluster, Kernel, Seen},
};

/// One look, explained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// What was asked.
    pub asked: Asked,
    /// What was seen.
    pub seen: Seen,
    /// What the call had done before.
    pub progress: Progress,
    /// What was decided on it.
    pub next: Next,
    /// What was asked, in words.
    pub question: String,
    /// What was seen, in words, line by line.
    pub observation: Vec<String>,
    /// How it goes on, in words, if nothing changes but what it changes itself.
    pub steps: Vec<String>,
    /// The row of the table that ends it.
    pub row: Option<Row>,
    /// What would change the answer.
    pub hinges: Vec<Hinge>,
    /// What is wrong around it, which no answer can cure.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// The row of the table that matched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// Its reason.
    pub reason: Reason,
    /// The same in words.
    pub text: String,
    /// The exit code.
    pub code: u8,
    /// What that does.
    pub effect: String,
    /// When it is reached, in milliseconds since the process began.
    pub after_ms: u64,
}

/// A single fact that the answer hangs on: the code of fence-peer, and what unfence-peer does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hinge {
    /// The fact, changed, as the end of "if ...".
    pub fact: String,
    /// The code that would be answered then.
    pub code: u8,
    /// The row that would match then.
    pub row: String,
    /// In words.
    pub text: String,
}

/// Explains a look and what was decided on it.
#[must_use]
pub fn explain(asked: &Asked, seen: &Seen, progress: &Progress, next: &Next) -> Explanation {
    let course = course(asked, seen, progress);
    let hinges = match &course.answer {
        Some(answer) => hinges(asked, seen, progress, answer),
        None => Vec::new(),
    };
    let Course { steps, answer, after } = course;
    Explanation {
        asked: asked.clone(),
        seen: seen.clone(),
        progress: progress.clone(),
        next: next.clone(),
        question: question(asked),
        observation: observation(asked, seen),
        steps,
        row: answer.map(|answer| row(answer, after)),
        hinges,
        warnings: Vec::new(),
    }
}

/// What is wrong with corosync's configuration: `two_node` without `wait_for_all`, which it switches on unless it is switched off. A
/// node that boots alone has quorum then, has the other one shot, and is promoted with whatever it has.
#[must_use]
pub fn warning(corosync: &str) -> Option<&'static str> {
    let value = |name: &str| {
        let mut lines = corosync.lines().filter_map(|line| line.split_once(':'));
        lines.rfind(|(word, _)| word.trim() == name).map(|(_, value)| value.trim())
    };
    (value("two_node") == Some("1") && value("wait_for_all") == Some("0")).then_some(
        "corosync.conf has two_node without wait_for_all: a node that boots while it cannot see the other has quorum, and can be \
         promoted with old data; remove \"wait_for_all: 0\"",
    )
}

fn hinges(asked: &Asked, seen: &Seen, progress: &Progress, answer: &Answer) -> Vec<Hinge> {
    let mut hinges = Vec::new();
    for other in others(asked, seen) {
        let Some(then) = course(&other.asked, &other.seen, progress).answer else { continue };
        if is_another(asked.mode, answer, &then) {
            let (code, row) = (then.code.number(), name(&then.reason));
            hinges.push(Hinge { fact: other.what, code, row, text: then.reason.to_string() });
        }
    }
    hinges
}

/// Whether it matters that the answer is this one. For fence-peer DRBD goes by the code; unfence-peer's is 0 whether a rule
/// was removed or kept, and that is in the reason.
fn is_another(mode: Mode, answer: &Answer, then: &Answer) -> bool {
    match mode {
        Mode::Fence => answer.code != then.code,
        Mode::Unfence => answer.reason != then.reason,
    }
}

fn row(answer: Answer, after: Duration) -> Row {
    Row {
        name: name(&answer.reason),
        text: answer_in_words(&answer),
        code: answer.code.number(),
        effect: code_in_words(answer.code).to_owned(),
        after_ms: u64::try_from(after.as_millis()).unwrap_or(u64::MAX),
        reason: answer.reason,
    }
}

/// The row's name in the source.
fn name(reason: &Reason) -> String {
    let name = format!("{reason:?}");
    let end = name.find(|letter: char| !letter.is_ascii_alphanumeric()).unwrap_or(name.len());
    name[..end].to_owned()
}

/// What `--dry-run --json` prints.
#[derive(Serialize)]
struct Plan<'a> {
    asked: &'a Asked,
    question: &'a str,
    steps: &'a [String],
    row: Option<&'a Row>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    warnings: &'a [String],
}

impl Explanation {
    /// What `--explain` prints.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!("Asked: {}\n", self.question);
        // Writing to a string cannot fail.
        let elapsed = self.seen.elapsed.as_secs_f64();
        let _ = writeln!(text, "Seen, {elapsed:.1} s after the call began:");
        for line in &self.observation {
            let _ = writeln!(text, "  {line}");
        }
        text.push_str("From here it would, if nothing else changes:\n");
        self.list_steps(&mut text);
        if let Some(row) = &self.row {
            let _ = writeln!(text, "Row of the table: {}", row.name);
        }
        if self.hinges.is_empty() {
            text.push_str("No single other fact that was tried would change that.\n");
        } else {
            text.push_str("One other fact would change that:\n");
        }
        for Hinge { fact, code, row, text: why } in &self.hinges {
            let _ = writeln!(text, "  {code}, if {fact} ({row}: {why})");
        }
        if !matches!(self.seen.kernel, Kernel::Known(_)) {
            text.push_str("What DRBD could say, had it said something, was not tried.\n");
        }
        if !matches!(self.seen.cluster, Cluster::Known(_)) {
            text.push_str("What the cluster could say, had it said something, was not tried.\n");
        }
        self.list_warnings(&mut text);
        text
    }

    /// What `--dry-run` prints.
    #[must_use]
    pub fn plan(&self) -> String {
        let mut text = format!("Nothing was changed. Asked: {}. It would:\n", self.question);
        self.list_steps(&mut text);
        self.list_warnings(&mut text);
        text
    }

    fn list_warnings(&self, text: &mut String) {
        for warning in &self.warnings {
            let _ = writeln!(text, "Warning: {warning}");
        }
    }

    fn list_steps(&self, text: &mut String) {
        let answer = match &self.row {
            Some(row) => format!("answer {}", row.text),
            None => "come to no answer, which is an error of this program".to_owned(),
        };
        for (number, step) in (1_u32..).zip(self.steps.iter().chain([&answer])) {
            let _ = writeln!(text, "  {number}. {step}");
        }
    }

    /// What `--explain --json` prints.
    #[must_use]
    pub fn json(&self) -> String {
        pretty(self)
    }

    /// What `--dry-run --json` prints.
    #[must_use]
    pub fn plan_json(&self) -> String {
        pretty(&Plan {
            asked: &self.asked,
            question: &self.question,
            steps: &self.steps,
            row: self.row.as_ref(),
            warnings: &self.warnings,
        })
    }
}

fn pretty(what: &impl Serialize) -> String {
    let json = serde_json::to_string_pretty(what);
    json.expect("numbers, texts, and maps with texts or numbers for keys") + "\n"
}
