//! The client of QEMU's guest agent: commands in a machine, over a Unix socket. The socket serves
//! one client at a time, so a connection is closed as soon as it is of no more use.

use crate::command::Ran;
use crate::failure::{Failure, Result};
use base64::{Engine, prelude::BASE64_STANDARD as BASE64};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

static CONVERSATIONS: AtomicU64 = AtomicU64::new(0);

/// An open conversation.
struct Conversation {
    stream: UnixStream,
    /// Received, not yet a whole line.
    pending: Vec<u8>,
}

fn io(doing: &str) -> impl FnOnce(std::io::Error) -> Failure {
    Failure::io(format!("{doing} the machine's guest agent"))
}

impl Conversation {
    /// Connects and brings both sides to the same point of the stream.
    fn open(socket: &Path, patience: Duration) -> Result<Self> {
        let stream = UnixStream::connect(socket).map_err(io("connect to"))?;
        stream.set_read_timeout(Some(patience)).map_err(io("bound the answers of"))?;
        stream.set_write_timeout(Some(patience)).map_err(io("bound the questions to"))?;
        let mut conversation = Self { stream, pending: Vec::new() };
        // Another one for each conversation: what an earlier one gave up waiting for may still come,
        // and would otherwise be taken for the answer.
        let id =
            u64::from(std::process::id()) << 20 | CONVERSATIONS.fetch_add(1, Ordering::Relaxed);
        // The 0xff makes the agent forget what an earlier client left half-said.
        let mut question = vec![0xff];
        question.extend(
            json!({"execute": "guest-sync-delimited", "arguments": {"id": id}}).to_string().bytes(),
        );
        question.push(b'\n');
        conversation.stream.write_all(&question).map_err(io("ask"))?;
        let began = Instant::now();
        while began.elapsed() < patience {
            let line = conversation.line()?;
            let text = line.rsplit(|byte| *byte == 0xff).next().unwrap_or_default();
            if serde_json::from_slice::<Value>(text).is_ok_and(|value| value["return"] == id) {
                return Ok(conversation);
            }
        }
        Err(Failure::broken("The guest agent does not come to the point"))
    }

    fn line(&mut self) -> Result<Vec<u8>> {
        loop {
            if let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
                let rest = self.pending.split_off(end + 1);
                let mut line = std::mem::replace(&mut self.pending, rest);
                line.pop();
                return Ok(line);
            }
            let mut buffer = [0; 65536];
            match self.stream.read(&mut buffer).map_err(io("hear"))? {
                0 => return Err(Failure::broken("The guest agent closed its socket")),
                count => self.pending.extend_from_slice(&buffer[..count]),
            }
        }
    }

    fn ask(&mut self, what: &str, arguments: &Value) -> Result<Value> {
        let question = json!({"execute": what, "arguments": arguments}).to_string() + "\n";
        self.stream.write_all(question.as_bytes()).map_err(io("ask"))?;
        let answer: Value = serde_json::from_slice(&self.line()?).map_err(|error| {
            Failure::broken(format!("The guest agent's answer is no JSON: {error}"))
        })?;
        match answer.get("error") {
            Some(error) => {
                Err(Failure::broken(format!("The guest agent refused {what}: {}", error["desc"])))
            }
            None => Ok(answer["return"].clone()),
        }
    }
}

/// Whether the agent answers now and can open this file: no process is started in the machine, which
/// may be booting and has better things to do.
pub(crate) fn sees(socket: &Path, path: &str) -> Result<()> {
    let mut agent = Conversation::open(socket, Duration::from_millis(1500))?;
    let handle = agent.ask("guest-file-open", &json!({"path": path, "mode": "r"}))?;
    agent.ask("guest-file-close", &json!({"handle": handle})).map(drop)
}

/// Runs a shell script in the machine.
pub(crate) fn run(socket: &Path, script: &str, within: Duration) -> Result<Ran> {
    // A machine busy with other things answers late; one that never answers is bounded all the same.
    let mut agent = Conversation::open(socket, Duration::from_secs(20))?;
    let began = Instant::now();
    let bound = format!("{:.1}", within.as_secs_f64());
    let started = agent.ask(
        "guest-exec",
        &json!({
            "path": "/usr/bin/timeout",
            "arg": ["-k", "2", bound, "/bin/bash", "-c", script],
            "env": [format!("PATH={}", crate::host_side::PATH), "HOME=/root", "LC_ALL=C.UTF-8"],
            "capture-output": true,
        }),
    )?;
    let mut pause = Duration::from_millis(10);
    loop {
        let state = agent.ask("guest-exec-status", &json!({"pid": started["pid"]}))?;
        if state["exited"] == true {
            let status = state["exitcode"]
                .as_i64()
                .or_else(|| state["signal"].as_i64().map(|signal| 128 + signal))
                .and_then(|status| i32::try_from(status).ok())
                .unwrap_or(255);
            let text = |name: &str| {
                let bytes =
                    BASE64.decode(state[name].as_str().unwrap_or_default()).unwrap_or_default();
                String::from_utf8_lossy(&bytes).into_owned()
            };
            return Ok(Ran::new(script.to_owned(), status, text("out-data"), text("err-data")));
        }
        if began.elapsed() > within + Duration::from_secs(10) {
            return Ok(Ran::new(
                script.to_owned(),
                124,
                String::new(),
                "no end in the machine".to_owned(),
            ));
        }
        std::thread::sleep(pause);
        pause = (pause * 3 / 2).min(Duration::from_millis(200));
    }
}

/// Reads a file of the machine, its first 48 KiB; no process is started for it.
pub(crate) fn read(socket: &Path, path: &str) -> Result<String> {
    let mut agent = Conversation::open(socket, Duration::from_secs(20))?;
    let handle = agent.ask("guest-file-open", &json!({"path": path, "mode": "r"}))?;
    let content = agent.ask("guest-file-read", &json!({"handle": handle, "count": 48 * 1024}))?;
    agent.ask("guest-file-close", &json!({"handle": handle}))?;
    let bytes = BASE64.decode(content["buf-b64"].as_str().unwrap_or_default()).unwrap_or_default();
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Writes a file in the machine.
pub(crate) fn put(socket: &Path, path: &str, content: &[u8]) -> Result<()> {
    let mut agent = Conversation::open(socket, Duration::from_secs(20))?;
    let handle = agent.ask("guest-file-open", &json!({"path": path, "mode": "w"}))?;
    for part in content.chunks(32 * 1024) {
        agent
            .ask("guest-file-write", &json!({"handle": handle, "buf-b64": BASE64.encode(part)}))?;
    }
    agent.ask("guest-file-close", &json!({"handle": handle})).map(drop)
}
