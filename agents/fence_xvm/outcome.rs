//! What came of it, and how that is said: text and exit code, pure. Invariant: no failure of ours has the code of an
//! answer of the daemon (0, 2, 3), and stdout has only what Pacemaker reads.

use crate::options::given::Action;
use crate::options::order::Order;
use duet_xvm::exchange::Answer;
use duet_xvm::{HostList, Reply};
use std::fmt::Write;

/// Why there is no answer. `Display` is the line on stderr.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The key cannot be read or is empty.
    #[error("{0}")]
    Key(String),
    /// The kernel has no random bytes for us.
    #[error("No random bytes: {0}")]
    Random(String),
    /// Nobody can call back.
    #[error("Failed to listen: {0}")]
    Listen(String),
    /// No datagram could be sent for a reason that will not go away.
    #[error("Could not send: {0}")]
    Send(String),
    /// Nobody has called back.
    #[error("Timed out waiting for response")]
    NoCallBack,
    /// No connection to the daemon.
    #[error("Unable to connect to fence_virtd host {to} {why}")]
    Connect {
        /// Where.
        to: String,
        /// Why.
        why: String,
    },
    /// No connection by the channel, or no serial line.
    #[error("{0}")]
    Line(String),
    /// The peer has not proved that it has the key.
    #[error("Invalid response to challenge")]
    Proof,
    /// The daemon has closed the connection in place of an answer.
    #[error("The daemon closed the connection without an answer")]
    Closed,
    /// The list has no end.
    #[error("The list broke off after {0} entries")]
    BrokenList(usize),
    /// The daemon has the key and says nothing.
    #[error("No answer within {0} s")]
    NoAnswer(u64),
}

impl Failure {
    /// Whether stock has 255 for it: no answer at all, rather than none that counts.
    fn is_unknown(&self) -> bool {
        match self {
            Self::Listen(_) | Self::Line(_) | Self::NoAnswer(_) => true,
            Self::Key(_)
            | Self::Random(_)
            | Self::Send(_)
            | Self::NoCallBack
            | Self::Connect { .. }
            | Self::Proof
            | Self::Closed
            | Self::BrokenList(_) => false,
        }
    }
}

/// What is printed, and the exit code.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// For Pacemaker.
    pub stdout: String,
    /// For people.
    pub stderr: String,
    /// 0 done or on, 1 failed, 2 off, 3 not permitted, 255 no answer.
    pub code: u8,
}

/// How an outcome is said.
#[must_use]
pub fn output(order: &Order, outcome: &Result<Answer, Failure>) -> Output {
    let only = |code: u8, stdout: &str, stderr: &str| Output {
        stdout: stdout.to_owned(),
        stderr: stderr.to_owned(),
        code,
    };
    let is_status = order.action == Action::Status;
    match outcome {
        Ok(Answer::Reply(Reply::Success)) => {
            only(0, if is_status { "Status: ON\n" } else { "" }, "")
        }
        Ok(Answer::Reply(Reply::Off)) => only(2, if is_status { "Status: OFF\n" } else { "" }, ""),
        Ok(Answer::Reply(Reply::Fail)) => only(1, "", "Operation failed\n"),
        Ok(Answer::Reply(Reply::Permission)) => only(3, "", "Permission denied\n"),
        Ok(Answer::Hosts(hosts)) if order.action == Action::List => {
            let text = if order.json { json(hosts) } else { list(hosts) };
            only(0, &text, "")
        }
        // A list is no answer to anything else.
        Ok(Answer::Hosts(_)) => unknown(Reply::HostList.number()),
        Ok(Answer::Reply(reply @ (Reply::HostList | Reply::Unrecognized(_)))) => {
            unknown(reply.number())
        }
        Err(failure) if failure.is_unknown() => {
            only(255, "", &format!("{failure}\nUnknown response (-1)\n"))
        }
        Err(failure) => only(1, "", &format!("{failure}\nOperation failed\n")),
    }
}

/// A byte that is no answer. Stock takes it for a number with a sign.
fn unknown(number: u8) -> Output {
    let stderr = format!("Unknown response ({})\n", i8::from_ne_bytes([number]));
    Output { stdout: String::new(), stderr, code: number }
}

/// Name in 32 columns, UUID, on or off. A control character, which no domain has, would be a line of its own for Pacemaker.
fn list(hosts: &HostList) -> String {
    let mut text = String::new();
    for host in &hosts.0 {
        let [name, uuid] = [&host.name, &host.uuid].map(|text| text.replace(char::is_control, "?"));
        let padding = " ".repeat(32_usize.saturating_sub(name.len()));
        let state = if host.is_on() { "on" } else { "off" };
        let _ = writeln!(text, "{name}{padding} {uuid} {state}");
    }
    text
}

/// The same for programs.
fn json(hosts: &HostList) -> String {
    let hosts: Vec<_> = hosts
        .0
        .iter()
        .map(|host| {
            serde_json::json!({
                "name": host.name,
                "uuid": host.uuid,
                "on": host.is_on(),
                "state": host.state,
            })
        })
        .collect();
    format!("{}\n", serde_json::json!({ "hosts": hosts }))
}

/// The line in the log: all that went in, and what came of it.
#[must_use]
pub fn log_line(order: &Order, way: &str, safety: &str, seconds: f64, output: &Output) -> String {
    let domain = order.domain.as_ref().map_or("none", |domain| domain.as_str());
    let what = match (output.code, output.stderr.lines().next()) {
        (0, _) => "done".to_owned(),
        (code, Some(why)) => format!("not done ({code}): {why}"),
        (code, None) => format!("not done ({code})"),
    };
    let delay = order.delay.as_secs();
    format!(
        "{} of domain \"{domain}\" by {way} ({safety}, after a delay of {delay} s): {what} after {seconds:.2} s",
        order.action.word(),
    )
}

#[cfg(test)]
mod tests;
