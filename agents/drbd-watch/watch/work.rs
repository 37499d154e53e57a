//! What takes time, on threads of its own, so that a cluster that does not answer keeps nobody from listening: scores, attributes,
//! and what is asked before attributes are removed. Invariant: each piece of work has a deadline, and comes back whatever happens.

use std::{
    io::{Read, Write},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, Sender, channel},
    thread,
    time::Duration,
};

use drbd_agent::{
    promotion::{self, Refresh, Standing},
    record::Record,
};
use duet_host::{clock, process::Call};
use duet_ocf::{Deadline, Level, chain};

use crate::{
    attribute::{Answers, Order, Placing},
    duty::Attributes,
    watch::{cib, plan::Came},
};

/// How long one piece of work may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes for a thread's stack: what is read is on the heap.
const STACK: usize = 256 * 1024;

/// A piece of work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Work {
    /// Look at a resource's state and bring its score in line.
    Score {
        /// The file of its record.
        path: PathBuf,
        /// This node's name.
        node: Option<String>,
    },
    /// Write an attribute.
    Attribute {
        /// Which.
        order: Order,
        /// By these rules.
        rules: Attributes,
        /// This node's name.
        node: Option<String>,
        /// Where the records are.
        records: PathBuf,
    },
    /// Ask what is configured, and which attributes there are.
    Ask {
        /// By these rules.
        rules: Attributes,
        /// This node's name.
        node: Option<String>,
    },
}

/// What has come of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Report {
    /// Of a score.
    Score {
        /// Whose.
        path: PathBuf,
        /// What.
        came: Came,
    },
    /// Of an attribute.
    Attribute {
        /// Which.
        order: Order,
        /// Whether it is in place.
        placing: Placing,
    },
    /// Of the questions.
    Answers(Answers),
}

/// A report, and what the log should say of it.
#[derive(Debug)]
pub(crate) struct Finished {
    /// What has come of it.
    pub(crate) report: Report,
    /// For the log; a complaint is told once.
    pub(crate) said: Option<(Level, String)>,
}

/// Where work is handed out and comes back.
#[derive(Debug)]
pub(crate) struct Desk {
    sender: Sender<Finished>,
    receiver: Receiver<Finished>,
    bell: UnixStream,
    rope: UnixStream,
}

impl Desk {
    /// An empty desk.
    ///
    /// # Errors
    /// No descriptors are left.
    pub(crate) fn new() -> std::io::Result<Desk> {
        let (bell, rope) = UnixStream::pair()?;
        bell.set_nonblocking(true)?;
        rope.set_nonblocking(true)?;
        let (sender, receiver) = channel();
        Ok(Desk { sender, receiver, bell, rope })
    }

    /// Hands out a piece of work.
    pub(crate) fn hand_out(&self, work: Work) {
        let sender = self.sender.clone();
        let rope = self.rope.try_clone();
        let again = work.clone();
        let run = move || {
            let finished = work.run();
            let _ = sender.send(finished);
            // A full rope has rung already.
            if let Ok(mut rope) = rope {
                let _ = rope.write(&[0]);
            }
        };
        if let Err(error) = thread::Builder::new().stack_size(STACK).spawn(run) {
            let _ = self.sender.send(again.failed(&format!("Could not start a thread: {error}")));
            let _ = (&self.rope).write(&[0]);
        }
    }

    /// What has come back.
    pub(crate) fn take(&self) -> Vec<Finished> {
        let mut rings = [0; 64];
        while (&self.bell).read(&mut rings).is_ok_and(|length| length > 0) {}
        self.receiver.try_iter().collect()
    }
}

impl AsFd for Desk {
    /// Readable when something has come back.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

impl Work {
    fn run(self) -> Finished {
        let deadline = clock::within(PATIENCE);
        match self {
            Work::Score { path, node } => score(path, node.as_deref(), deadline),
            Work::Attribute { order, rules, node, records } => {
                attribute(order, &rules, node.as_deref(), &records, deadline)
            }
            Work::Ask { rules, node } => ask(&rules, node, deadline),
        }
    }

    /// The same as if it had come to nothing.
    fn failed(self, why: &str) -> Finished {
        let report = match self {
            Work::Score { path, node: _ } => {
                Report::Score { path, came: Came::Failed(why.to_owned()) }
            }
            Work::Attribute { order, .. } => Report::Attribute { order, placing: Placing::Not },
            Work::Ask { .. } => Report::Answers(Answers { configured: None, existing: None }),
        };
        Finished { report, said: Some((Level::Error, why.to_owned())) }
    }
}

fn score(path: PathBuf, node: Option<&str>, deadline: Deadline) -> Finished {
    let instance = Record::read(&path).map(|record| record.instance).unwrap_or_default();
    let (came, said) = match promotion::refresh(&path, node, deadline) {
        Ok(None) => (Came::NotManaged, None),
        Ok(Some(done)) => {
            let said = match &done {
                promotion::Done::Wrote(score) => Some((
                    Level::Info,
                    format!("Changed the promotion score of {instance} to {score}"),
                )),
                promotion::Done::Restored(score) => Some((
                    Level::Info,
                    format!(
                        "The CIB had lost the promotion score of {instance}, {score}; the attribute daemon writes it anew"
                    ),
                )),
                promotion::Done::Left(Some(why)) => Some((
                    Level::Warning,
                    format!("Left the promotion score of {instance} as it is: {why}"),
                )),
                promotion::Done::InPlace(_)
                | promotion::Done::Left(None)
                | promotion::Done::LeftToHolder => None,
            };
            (Came::To(done), said)
        }
        Err(error) => {
            let why = chain(&error);
            let came = match error {
                promotion::Error::Call { .. }
                | promotion::Error::Failed { .. }
                | promotion::Error::Lost { .. } => Came::Refused,
                promotion::Error::Lock(_)
                | promotion::Error::Held { .. }
                | promotion::Error::Record(_) => Came::Failed(why.clone()),
            };
            (came, Some((Level::Warning, why)))
        }
    };
    Finished { report: Report::Score { path, came }, said }
}

fn attribute(
    order: Order,
    rules: &Attributes,
    node: Option<&str>,
    records: &Path,
    deadline: Deadline,
) -> Finished {
    let Order { resource, value, details, is_repeated, missing_since } = &order;
    let name = format!("{}-{resource}", rules.prefix);
    let beside = format!("{}{}{resource}", rules.prefix, cib::DETAILS);
    // To ask is one message; to tell is a program of Pacemaker's. That there is none is told: the CIB may have one all the same.
    let text = value.text();
    let of = |name, text| promotion::standing(name, text, node, deadline);
    let standing = text.as_deref().map_or(Standing::NotKnown, |text| of(&name, text));
    let (about, standing) = match standing {
        Standing::InPlace if rules.has_details => (&beside, of(&beside, details)),
        other => (&name, other),
    };
    // What the attribute daemon is not to write yet is not lost, and to have it written would take the others' delays from them too.
    let delay = Duration::from_secs(rules.delay.into());
    let is_due = |since: Duration| clock::now().saturating_sub(since) > delay;
    let is_late = delay.is_zero() || missing_since.is_some_and(is_due);
    match standing {
        Standing::InPlace => {
            let report = Report::Attribute { order, placing: Placing::Written };
            return Finished { report, said: None };
        }
        // The next sign of life asks again: until then it was not seen in the CIB.
        Standing::NotSeen => {
            let report = Report::Attribute { order, placing: Placing::Not };
            return Finished { report, said: None };
        }
        Standing::Lost if !is_late => {
            let report = Report::Attribute { order, placing: Placing::Missing };
            return Finished { report, said: None };
        }
        Standing::Lost => {
            let lost = |how: &str| {
                let text = format!("The CIB has lost the attribute {about}: {how}");
                Some((Level::Warning, text))
            };
            let said = match promotion::have_written(Some(records), deadline) {
                Ok(Refresh::Told) => Some((
                    Level::Info,
                    format!(
                        "The CIB had lost the attribute {about}; the attribute daemon writes it anew"
                    ),
                )),
                Ok(Refresh::Waits) => None,
                Ok(Refresh::ToldAgain) => lost(promotion::IN_VAIN),
                Err(how) => lost(&format!("the attribute daemon was not told: {how}")),
            };
            let report = Report::Attribute { order, placing: Placing::Missing };
            return Finished { report, said };
        }
        Standing::NotKnown => {}
    }
    let updater = || Call::new("attrd_updater").env("LC_ALL", "C");
    // Only a score waits for further ones.
    let delay = match value {
        crate::attribute::Value::Score(_) => rules.delay,
        crate::attribute::Value::Never | crate::attribute::Value::Absent => 0,
    };
    let call = |name: &str, text: Option<String>| match text {
        Some(text) => {
            updater().args(["--name", name, "--update-both", &text, "--delay", &delay.to_string()])
        }
        None => updater().args(["--name", name, "--delete"]),
    };
    let what = value.text().unwrap_or_else(|| "none".to_owned());
    let failed = |how: String| {
        Some((Level::Warning, format!("Could not change the attribute {name} to {what}: {how}")))
    };
    let (is_written, mut said) = match call(&name, text.clone()).run(deadline) {
        Ok(ended) if ended.is_success() => {
            let said = (Level::Info, format!("Changed the attribute {name} to {what}"));
            (true, (!is_repeated).then_some(said))
        }
        Ok(ended) => (false, failed(format!("attrd_updater {}", ended.describe()))),
        Err(error) => (false, failed(chain(&error))),
    };
    // Removing has no delay of its own: the attribute daemon would wait as long as for the score before.
    if is_written && value.text().is_none() {
        let at_once = updater().args(["--name", &name, "--update-delay", "--delay", "0"]);
        let how = match at_once.run(deadline) {
            Ok(ended) if ended.is_success() => None,
            Ok(ended) => Some(format!("attrd_updater {}", ended.describe())),
            Err(error) => Some(chain(&error)),
        };
        // It goes all the same, later.
        if let Some(how) = how {
            let text =
                format!("Could not make the removal of the attribute {name} immediate: {how}");
            said = Some((Level::Warning, text));
        }
    }
    if is_written {
        let text = text.map(|_| details.clone());
        let wanted = rules.has_details || text.is_none();
        let written = wanted.then(|| call(&beside, text).run(deadline));
        // It is for people; that it could not be written changes no decision.
        if let Some(Err(error)) = written {
            said = Some((
                Level::Warning,
                format!("Could not change the attribute {beside}: {}", chain(&error)),
            ));
        }
    }
    let placing = if is_written { Placing::Written } else { Placing::Not };
    Finished { report: Report::Attribute { order, placing }, said }
}

fn ask(rules: &Attributes, node: Option<String>, deadline: Deadline) -> Finished {
    let call = Call::new("drbdadm").env("LC_ALL", "C").arg("sh-resources");
    let mut said = None;
    let mut told = |call: Call, what: &str| match call.run(deadline) {
        Ok(ended) if ended.is_success() && !ended.is_truncated => {
            String::from_utf8(ended.stdout).ok()
        }
        Ok(ended) if what == cib::ASKED && ended.code == Some(cib::NONE) => Some(String::new()),
        Ok(ended) => {
            said =
                Some((Level::Warning, format!("Could not ask for {what}: {}", ended.describe())));
            None
        }
        Err(error) => {
            said = Some((Level::Warning, format!("Could not ask for {what}: {}", chain(&error))));
            None
        }
    };
    let configured = told(call, "the configured resources")
        .map(|text| text.split_ascii_whitespace().map(str::to_owned).collect());
    let node = node.or_else(|| {
        let name = told(Call::new("crm_node").arg("-n"), "this node's name")?;
        Some(name.trim().to_owned()).filter(|name| !name.is_empty())
    });
    let prefix = &rules.prefix;
    let found = node.and_then(|node| cib::query(prefix, &node)).and_then(|query| {
        let call = Call::new("cibadmin").env("LC_ALL", "C").args(["--query", "--xpath", &query]);
        cib::resources(&told(call, cib::ASKED)?, prefix)
    });
    let is_answered = found.is_some();
    let cib::Found { scores, details } = found.unwrap_or_default();
    // They are of before the details were switched off.
    for left in details.iter().filter(|_| !rules.has_details) {
        let name = format!("{prefix}{}{left}", cib::DETAILS);
        let call = Call::new("attrd_updater").env("LC_ALL", "C");
        told(call.args(["--name", &name, "--delete"]), "the removal of details");
    }
    let existing = is_answered.then_some(scores);
    Finished { report: Report::Answers(Answers { configured, existing }), said }
}
