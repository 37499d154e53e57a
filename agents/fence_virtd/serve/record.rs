//! The line of the log that each answer leaves: all that went into it, the rule that matched, and what came of it. Invariant: text that
//! others chose is quoted, and no key and no digest is in it.

use std::{sync::Arc, time::Duration};

use duet_ocf::Level;
use duet_xvm::{Operation, Source, Target};

use crate::{carry_out::Outcome, policy::Policy};

/// What is being carried out, and for whom.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) operation: Operation,
    pub(crate) target: Target,
    pub(crate) sequence: u32,
    pub(crate) source: Source,
    pub(crate) policy: Arc<Policy>,
    pub(crate) began: Duration,
    pub(crate) to: To,
}

/// Who waits for the answer.
#[derive(Debug, Clone, Copy)]
pub(crate) enum To {
    /// The exchange of the same number.
    Exchange,
    /// The line with this number.
    Line(u64),
}

impl Job {
    /// The line, and how much it matters.
    pub(crate) fn record(&self, outcome: &Outcome, now: Duration) -> (Level, String) {
        let mut line = format!("operation={}", operation(self.operation));
        let mut add = |text: String| {
            line.push(' ');
            line.push_str(&text);
        };
        match &self.target {
            Target::Domain(name) => add(format!("target={:?}", name.as_str())),
            Target::Malformed => add("target=malformed".to_owned()),
            Target::Nobody => {}
        }
        if let Some(known) = &outcome.known {
            add(format!("domain={:?} uuid={}", known.name, known.uuid));
        }
        add(format!("source={} sequence={} {}", self.source, self.sequence, self.policy));
        add(format!("rule={:?}", outcome.permission.to_string()));
        if let Some(uri) = &outcome.uri {
            add(format!("uri={uri}"));
        }
        if let Some(state) = &outcome.state {
            add(format!("state={:?}", state.to_string()));
        }
        if let Some(hosts) = &outcome.hosts {
            add(format!("hosts={}", hosts.0.len()));
        }
        let answer = outcome.reply.map_or_else(|| "none".to_owned(), reply);
        add(format!("answer={answer} why={:?}", outcome.why));
        add(format!("took={:.3}s", now.saturating_sub(self.began).as_secs_f64()));
        (self.level(outcome), line)
    }

    fn level(&self, outcome: &Outcome) -> Level {
        match (outcome.is_trouble, self.operation) {
            (true, _) => Level::Error,
            (false, _) if outcome.reply.is_none() => Level::Warning,
            // Each node asks these every minute.
            (false, Operation::Monitor | Operation::List) => Level::Debug,
            (
                false,
                Operation::Off
                | Operation::On
                | Operation::Reboot
                | Operation::Status
                | Operation::Null,
            ) => Level::Info,
            (false, Operation::Unrecognized(_)) => Level::Warning,
        }
    }
}

fn operation(operation: Operation) -> String {
    match operation {
        Operation::Null => "null".to_owned(),
        Operation::Off => "off".to_owned(),
        Operation::Reboot => "reboot".to_owned(),
        Operation::On => "on".to_owned(),
        Operation::Status => "status".to_owned(),
        Operation::Monitor => "monitor".to_owned(),
        Operation::List => "list".to_owned(),
        Operation::Unrecognized(number) => number.to_string(),
    }
}

fn reply(reply: duet_xvm::Reply) -> String {
    match reply {
        duet_xvm::Reply::Success => "success".to_owned(),
        duet_xvm::Reply::Fail => "fail".to_owned(),
        duet_xvm::Reply::Off => "off".to_owned(),
        duet_xvm::Reply::Permission => "permission-denied".to_owned(),
        duet_xvm::Reply::HostList => "list".to_owned(),
        duet_xvm::Reply::Unrecognized(number) => number.to_string(),
    }
}
