//! Pacemaker's and DRBD's tools, each asked one thing. Invariant: every call has a deadline, and an answer that was not
//! understood is no answer.

use std::{fmt, time::Duration};

use duet_host::{Error, clock, process::Call};
use duet_ocf::{Deadline, chain};

/// What a CIB, or a whole configuration of DRBD, may have.
const LARGEST: usize = 32 * 1024 * 1024;
/// How much longer than its own time limit a tool may take.
const GRACE: Duration = Duration::from_secs(1);
/// How long a question to this node's own daemons may take.
pub(crate) const LOCAL: Duration = Duration::from_secs(5);
/// What Pacemaker's tools exit with when nobody listens here (`CRM_EX_DISCONNECT`).
const DISCONNECTED: i32 = 102;

/// Why a question to the CIB has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unanswered {
    /// Pacemaker is not running here.
    NotConnected(String),
    /// Anything else.
    Other(String),
}

impl fmt::Display for Unanswered {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unanswered::NotConnected(how) | Unanswered::Other(how) => out.write_str(how),
        }
    }
}

/// How a tool ended that was to change something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ran {
    /// Its exit status; `None` where a signal ended it.
    pub(crate) code: Option<i32>,
    /// What it complained about.
    pub(crate) stderr: String,
    /// The same as a sentence.
    pub(crate) how: String,
}

/// A tool of Pacemaker's, that asks the cluster and no file.
fn pacemaker(tool: &str) -> Call {
    Call::new(tool)
        .env("LC_ALL", "C")
        .env_remove("CIB_file")
        .env_remove("CIB_shadow")
        // With a port, it would be the cluster at CIB_server that is asked, and changed.
        .env_remove("CIB_port")
        .limit(LARGEST)
}

/// Runs it and gives its standard output.
fn say(call: &Call, what: &str, deadline: Deadline) -> Result<String, Unanswered> {
    let ended = match call.run(deadline) {
        Ok(ended) => ended,
        Err(error) => return Err(Unanswered::Other(chain(&error))),
    };
    let how = || format!("{what} {}", ended.describe());
    match ended.code {
        Some(0) if ended.is_truncated => Err(Unanswered::Other(format!("{what} said too much"))),
        Some(0) => String::from_utf8(ended.stdout)
            .map_err(|_| Unanswered::Other(format!("{what} printed what is no text"))),
        Some(DISCONNECTED) => Err(Unanswered::NotConnected(how())),
        Some(_) | None => Err(Unanswered::Other(how())),
    }
}

fn seconds(limit: Duration) -> String {
    limit.as_secs().max(1).to_string()
}

/// The CIB as the DC has it, if one answers within the limit.
pub(crate) fn cib_of_dc(limit: Duration, end: Deadline) -> Result<String, Unanswered> {
    let call = pacemaker("cibadmin").args(["-Q", "-t", &seconds(limit)]);
    say(&call, "cibadmin", within(limit + GRACE, end))
}

/// This node's copy of the CIB, which needs no DC.
pub(crate) fn cib_of_here(limit: Duration, end: Deadline) -> Result<String, Unanswered> {
    let call = pacemaker("cibadmin").args(["-Q", "-l", "-t", &seconds(limit)]);
    say(&call, "cibadmin", within(limit + GRACE, end))
}

/// How long a change of the CIB may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(8);

/// Makes this change of the CIB.
pub(crate) fn patch(change: &str, end: Deadline) -> Result<Ran, Error> {
    let call = pacemaker("cibadmin")
        .args(["--patch", "--xml-pipe", "-t", &seconds(LIMIT)])
        .input(change.as_bytes());
    change_with(&call, end)
}

/// Gives the CIB a newer version.
pub(crate) fn bump(end: Deadline) -> Result<Ran, Error> {
    change_with(&pacemaker("cibadmin").args(["--bump", "-t", &seconds(LIMIT)]), end)
}

fn change_with(call: &Call, end: Deadline) -> Result<Ran, Error> {
    let ended = call.run(within(LIMIT + GRACE, end))?;
    Ok(Ran {
        code: ended.code,
        how: format!("cibadmin {}", ended.describe()),
        stderr: String::from_utf8_lossy(&ended.stderr).into_owned(),
    })
}

/// Whether the partition has quorum, as this node sees it.
pub(crate) fn quorum(end: Deadline) -> Result<bool, String> {
    let said = say(&pacemaker("crm_node").arg("-q"), "crm_node -q", within(LOCAL, end));
    match said.map_err(|why| why.to_string())?.trim() {
        "1" => Ok(true),
        "0" => Ok(false),
        other => Err(format!("crm_node -q printed {other:?}, which is neither 0 nor 1")),
    }
}

/// What this node is called in the cluster.
pub(crate) fn own_name(end: Deadline) -> Result<String, String> {
    let said = say(&pacemaker("crm_node").arg("-n"), "crm_node -n", within(LOCAL, end));
    match said.map_err(|why| why.to_string())?.trim() {
        "" => Err("crm_node -n printed no name".to_owned()),
        name => Ok(name.to_owned()),
    }
}

/// Whether the controller of a node answers that it is well. Old releases take milliseconds and new ones a unit, so the
/// limit says both.
fn controller_answers(node: &str, limit: Duration, end: Deadline) -> bool {
    let milliseconds = format!("{}ms", limit.as_millis());
    let call = pacemaker("crmadmin").args(["-t", &milliseconds, "-S", node]);
    say(&call, "crmadmin", within(limit + GRACE, end)).is_ok_and(|said| is_well(&said))
}

/// The same of several, all asked at once.
pub(crate) fn controllers_answer(nodes: &[String], limit: Duration, end: Deadline) -> Vec<bool> {
    std::thread::scope(|scope| {
        let asked: Vec<_> = nodes
            .iter()
            .map(|node| scope.spawn(move || controller_answers(node, limit, end)))
            .collect();
        asked.into_iter().map(|thread| thread.join().unwrap_or(false)).collect()
    })
}

/// Whether the last word is `ok`: "Controller on node2 in state S_NOT_DC: ok", in Pacemaker 1.1 "Status of crmd@node2:
/// S_NOT_DC (ok)".
fn is_well(said: &str) -> bool {
    let last = said.split(|letter: char| !letter.is_alphanumeric()).rfind(|word| !word.is_empty());
    last.is_some_and(|word| word.eq_ignore_ascii_case("ok"))
}

/// The whole configuration of DRBD.
pub(crate) fn configuration(file: Option<&str>, end: Deadline) -> Result<String, String> {
    let mut call = Call::new("drbdadm")
        .env("LC_ALL", "C")
        .env("DRBD_DONT_WARN_ON_VERSION_MISMATCH", "1")
        .limit(LARGEST);
    if let Some(file) = file {
        call = call.arg("-c").arg(file);
    }
    let said = say(&call.arg("dump-xml"), "drbdadm dump-xml", within(LOCAL, end));
    said.map_err(|why| why.to_string())
}

/// Whichever comes first.
pub(crate) fn within(span: Duration, end: Deadline) -> Deadline {
    end.within(clock::now(), span)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_controller_is_well_in_the_words_of_every_release() {
        for said in
            ["Controller on node2 in state S_NOT_DC: ok\n", "Status of crmd@node2: S_IDLE (ok)\n"]
        {
            assert!(is_well(said), "{said}");
        }
        for said in
            ["", "\n", "ok node2: failed", "Controller on ok in state S_IDLE: failed", "broken"]
        {
            assert!(!is_well(said), "{said}");
        }
    }
}
