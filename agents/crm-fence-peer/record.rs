//! One call of a handler, written down: how it was called, every look, what was decided on it, and how it ended.
//! Invariant: the same core decides the same on a record again, turn by turn, and a record that cannot be understood is
//! refused; nothing in here changes an answer.

mod store;
mod summary;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};

use duet_host::{clock, file};
use serde::{Deserialize, Serialize};

pub use store::Store;

use crate::{
    decide::{Answer, Asked, Next, Progress, decide},
    explain::next_in_words,
    facts::Seen,
};

/// The form of a record. One with more fields is of the same form; one in which a field means something else is not.
pub const FORM: u32 = 1;
/// A record is shorter: [`HEAD`] and [`TAIL`] turns with evidence.
const LONGEST: usize = 16 * 1024 * 1024;
/// So many turns are kept from the beginning of a call,
const HEAD: usize = 60;
/// and so many from its end.
const TAIL: usize = 60;
/// Of a text that was read, or of the value of a variable, in bytes.
const LONGEST_TEXT: usize = 32 * 1024;
/// Arguments and variables beyond this are left out.
const MOST_WORDS: usize = 200;
/// No option is longer, so that no sum of them overflows: a year.
const LONGEST_SPAN: Duration = Duration::from_secs(366 * 24 * 3600);

/// What is wrong with a record, or kept it from being written.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// It could not be read from its file.
    #[error("Could not read the record")]
    Read(#[source] duet_host::Error),
    /// It is no JSON, or has no form.
    #[error("This is no record of a fencing handler")]
    NotARecord(#[source] serde_json::Error),
    /// It is of another form.
    #[error("The record has form {found}, and this program understands form {FORM}")]
    Form {
        /// Which.
        found: u32,
    },
    /// Something in it is missing, or is not what it should be.
    #[error("The record is malformed")]
    Malformed(#[source] serde_json::Error),
    /// Something in it cannot be.
    #[error("The record contradicts itself: {0}")]
    Contradiction(String),
    /// The same core decides something else.
    #[error("Turn {turn} was {recorded}, and is now {decided}")]
    Differs {
        /// Which, from 1 on.
        turn: u64,
        /// What was decided then.
        recorded: String,
        /// What is decided now.
        decided: String,
    },
    /// It could not be written.
    #[error("Could not keep a record in {}", directory.display())]
    Write {
        /// Where.
        directory: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// One call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// [`FORM`].
    pub form: u32,
    /// The program's version.
    pub version: String,
    /// The name it was called by.
    pub program: String,
    /// The process.
    pub pid: u32,
    /// When.
    pub began: Began,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Its environment, as far as it has to do with DRBD.
    pub environment: BTreeMap<String, String>,
    /// What was asked; none where that could not be understood.
    pub asked: Option<Asked>,
    /// How Pacemaker was asked: over its sockets, or with its tools and why.
    #[serde(default)]
    pub ways: Vec<String>,
    /// The looks, in order.
    pub turns: Vec<Turn>,
    /// How many turns between the first and the last ones are left out.
    #[serde(default)]
    pub left_out: u64,
    /// How it ended.
    pub outcome: Outcome,
}

/// When a call began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Began {
    /// Since 1970, by a clock that may lie.
    pub of_day: Duration,
    /// Since the boot.
    pub since_boot: Duration,
}

/// One look and what was decided on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// From 1 on.
    pub number: u64,
    /// The look; when it was is in it.
    pub seen: Seen,
    /// What the call had done before.
    pub progress: Progress,
    /// What was decided.
    pub next: Next,
    /// What the look was made from, where it was not the same as in the turn before.
    #[serde(default)]
    pub evidence: Evidence,
}

/// Texts for people that a look was made from. Nothing is decided from them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Evidence {
    /// What of the CIB matters here, as it was read.
    pub cib: Option<String>,
    /// The resource, as the kernel told.
    pub kernel: Option<String>,
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The exit code.
    pub code: u8,
    /// Where it came from.
    pub ending: Ending,
    /// Since the process began.
    pub after: Duration,
}

/// Where an exit code came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    /// It is the answer of the last turn.
    Decided,
    /// The call could not be understood, or another one has the lock: nothing was decided.
    Refused(String),
    /// The hard deadline came first, or the program failed.
    CutOff(String),
}

/// What came of deciding again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// So many turns were decided again, each with the same result.
    pub turns: usize,
    /// So many are not in the record.
    pub left_out: u64,
    /// The answer, where there was one.
    pub answer: Option<Answer>,
    /// How the call ended.
    pub outcome: Outcome,
}

impl Record {
    /// The record of this process, at its beginning. Until [`Record::end`] it says that it was cut off.
    #[must_use]
    pub fn begin(
        program: &str,
        arguments: &[String],
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Record {
        let mut kept = BTreeMap::new();
        for (name, value) in environment {
            let name = name.to_string_lossy();
            if is_ours(&name) && kept.len() < MOST_WORDS {
                kept.insert(cut(&name), cut(&value.to_string_lossy()));
            }
        }
        let elapsed = clock::now();
        Record {
            form: FORM,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            program: cut(program),
            pid: std::process::id(),
            began: Began {
                of_day: clock::of_day().saturating_sub(elapsed),
                since_boot: clock::since_boot().saturating_sub(elapsed),
            },
            arguments: arguments.iter().take(MOST_WORDS).map(|word| cut(word)).collect(),
            environment: kept,
            asked: None,
            ways: Vec::new(),
            turns: Vec::new(),
            left_out: 0,
            outcome: Outcome {
                code: 1,
                ending: Ending::CutOff("the call did not come to its end".to_owned()),
                after: elapsed,
            },
        }
    }

    /// What was asked.
    pub fn asked(&mut self, asked: &Asked) {
        self.asked = Some(asked.clone());
    }

    /// One more turn. Of a call with very many the first and the last ones stay.
    pub fn turn(&mut self, seen: &Seen, progress: &Progress, next: &Next, evidence: Evidence) {
        let number = self.turns.last().map_or(1, |turn| turn.number + 1);
        let evidence = Evidence {
            cib: self.unless_known(evidence.cib, |evidence| evidence.cib.as_ref()),
            kernel: self.unless_known(evidence.kernel, |evidence| evidence.kernel.as_ref()),
        };
        let (seen, progress, next) = (seen.clone(), progress.clone(), next.clone());
        self.turns.push(Turn { number, seen, progress, next, evidence });
        if self.turns.len() > HEAD + TAIL {
            let left_out = self.turns.remove(HEAD).evidence;
            self.left_out += 1;
            let after = &mut self.turns[HEAD].evidence;
            after.cib = after.cib.take().or(left_out.cib);
            after.kernel = after.kernel.take().or(left_out.kernel);
        }
    }

    fn unless_known(
        &self,
        text: Option<String>,
        of: impl Fn(&Evidence) -> Option<&String>,
    ) -> Option<String> {
        let text = cut(&text?);
        let known = self.turns.iter().rev().find_map(|turn| of(&turn.evidence));
        (known != Some(&text)).then_some(text)
    }

    /// How it ended.
    pub fn end(&mut self, code: u8, ending: Ending) {
        self.outcome = Outcome { code, ending, after: clock::now() };
    }

    /// The call on one line: what was asked, what was seen last, and what was answered why.
    #[must_use]
    pub fn summary(&self) -> String {
        summary::line(self)
    }

    /// As it is written.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self)
            .expect("numbers, texts, and maps with texts or numbers for keys")
    }

    /// From its text. Fields that are not known are passed over.
    ///
    /// # Errors
    /// [`RecordError::NotARecord`], [`RecordError::Form`] or [`RecordError::Malformed`], which says where.
    pub fn parse(text: &str) -> Result<Record, RecordError> {
        #[derive(Deserialize)]
        struct Head {
            form: u32,
        }
        let head: Head = serde_json::from_str(text).map_err(RecordError::NotARecord)?;
        match head.form {
            FORM => serde_json::from_str(text).map_err(RecordError::Malformed),
            found => Err(RecordError::Form { found }),
        }
    }

    /// From its file.
    ///
    /// # Errors
    /// Those of [`Record::parse`], and [`RecordError::Read`].
    pub fn read(path: &Path) -> Result<Record, RecordError> {
        Record::parse(&file::read_text(path, LONGEST).map_err(RecordError::Read)?)
    }
}

/// Decides again on every recorded turn. Asks nobody.
///
/// # Errors
/// [`RecordError::Differs`] with the first turn that is decided in another way, and [`RecordError::Contradiction`].
pub fn replay(record: &Record) -> Result<Report, RecordError> {
    let wrong = |why: String| Err(RecordError::Contradiction(why));
    let Some(asked) = &record.asked else {
        if !record.turns.is_empty() || record.outcome.ending == Ending::Decided {
            return wrong("it was decided without anything being asked".to_owned());
        }
        return Ok(report(record, None));
    };
    let options = &asked.options;
    let spans = [options.timeout, options.dc_timeout, options.hickup];
    if spans.iter().any(|span| *span > LONGEST_SPAN) {
        return wrong("an option is longer than a year".to_owned());
    }
    let mut answer = None;
    for turn in &record.turns {
        if answer.is_some() {
            return wrong(format!("turn {} comes after the answer", turn.number));
        }
        let decided = decide(asked, &turn.seen, &turn.progress);
        if decided != turn.next {
            return Err(RecordError::Differs {
                turn: turn.number,
                recorded: next_in_words(&turn.next),
                decided: next_in_words(&decided),
            });
        }
        if let Next::Done(done) = decided {
            answer = Some(done);
        }
    }
    if record.outcome.ending == Ending::Decided {
        let code = answer.as_ref().map(|answer| answer.code.number());
        if code != Some(record.outcome.code) {
            return wrong(format!(
                "the last turn answers {}, and the exit code was {}",
                code.map_or_else(|| "nothing".to_owned(), |code| code.to_string()),
                record.outcome.code
            ));
        }
    }
    Ok(report(record, answer))
}

fn report(record: &Record, answer: Option<Answer>) -> Report {
    Report {
        turns: record.turns.len(),
        left_out: record.left_out,
        answer,
        outcome: record.outcome.clone(),
    }
}

/// What the kernel and drbdadm set, and what the agent adds to the handler's options. All else could be a secret.
fn is_ours(name: &str) -> bool {
    name.starts_with("DRBD_")
        || matches!(name, "UP_TO_DATE_NODES" | "OCF_RESKEY_unfence_extra_args" | "PATH" | "PWD")
}

/// The beginning of a text.
fn cut(text: &str) -> String {
    let mut end = text.len().min(LONGEST_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}
