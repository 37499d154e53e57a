//! What was said, from where it was said. Invariant: standing input is awaited for a while and read up to a limit; who
//! says nothing asks for nothing.

use crate::key::Secrets;
use crate::options::given::Given;
use crate::options::order::{Order, Route};
use crate::options::{Program, argv, stdin};
use crate::run::wait_to_read;
use duet_host::clock;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::{ErrorKind, Read};
use std::time::Duration;

/// How long standard input may take to end.
const PATIENCE: Duration = Duration::from_secs(60);
/// How much of it is read, in bytes.
const LONGEST: usize = 64 * 1024;

/// What was said, and how.
pub(crate) struct Said {
    pub(crate) given: Given,
    /// Names that nobody knows.
    pub(crate) unknown: Vec<String>,
    pub(crate) from_stdin: bool,
}

/// Reads the command line, or standard input where there is none.
pub(crate) fn read(program: Program, words: impl Iterator<Item = OsString>) -> Said {
    let words: Result<Vec<String>, OsString> = words.map(OsString::into_string).collect();
    let complaint = match words {
        Ok(words) if words.is_empty() => match input() {
            Ok(text) => {
                let (given, unknown) = stdin::read(program, &text);
                return Said { given, unknown, from_stdin: true };
            }
            Err(why) => why,
        },
        Ok(words) => {
            let given = argv::read(program, &words);
            return Said { given, unknown: Vec::new(), from_stdin: false };
        }
        Err(word) => format!("Not UTF-8: {}", word.to_string_lossy()),
    };
    let mut given = Given::default();
    given.complain(complaint);
    Said { given, unknown: Vec::new(), from_stdin: true }
}

fn input() -> Result<String, String> {
    let deadline = clock::within(PATIENCE);
    let mut stdin = std::io::stdin();
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        if !wait_to_read(&stdin, deadline).map_err(|why| format!("Standard input: {why}"))? {
            return Err(format!("Standard input had no end after {} s", PATIENCE.as_secs()));
        }
        match stdin.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => bytes.extend_from_slice(&buffer[..length]),
            Err(why) if matches!(why.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => {}
            Err(why) => return Err(format!("Standard input: {why}")),
        }
        if bytes.len() > LONGEST {
            return Err(format!("Standard input has more than {LONGEST} bytes"));
        }
    }
    String::from_utf8(bytes).map_err(|_| "Standard input is not UTF-8".to_owned())
}

/// What makes it safe, for people.
pub(crate) fn safety(order: &Order, secrets: Option<&Secrets>) -> String {
    match secrets {
        Some(Secrets { hash, auth, key: Some(key) }) => format!(
            "hash {}, auth {}, key {}",
            hash.algorithm(),
            auth.algorithm(),
            key.fingerprint()
        ),
        Some(Secrets { .. }) => "nothing signed or proved".to_owned(),
        None => format!("hash {}, auth {}, no key", order.hash, order.auth),
    }
}

/// The way to the daemon, for people.
pub(crate) fn way(route: &Route) -> String {
    let (mut text, origin) = match route {
        Route::Multicast(multicast) => {
            let kind = if multicast.group.is_multicast() { "multicast" } else { "datagram to" };
            let to = std::net::SocketAddr::new(multicast.group, multicast.port);
            (format!("{kind} {to}"), Some(&multicast.origin))
        }
        Route::Tcp { host, port, origin } => (format!("tcp {host}:{port}"), Some(origin)),
        Route::Vsock { cid, port } => (format!("vsock {cid}:{port}"), None),
        Route::Serial { device, .. } => (format!("serial {}", device.display()), None),
        Route::Channel { address, port } => (format!("channel {address}:{port}"), None),
    };
    if let Some(interface) = origin.and_then(|origin| origin.interface.as_ref()) {
        let _ = write!(text, " by {interface}");
    }
    if let Some(address) = origin.and_then(|origin| origin.address) {
        let _ = write!(text, " from {address}");
    }
    text
}
