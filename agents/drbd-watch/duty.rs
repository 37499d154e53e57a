//! What the daemon is told, as words of its command line. Invariant: whose daemon one is follows from the file of its state alone,
//! which is the first thing on its command line; everything else may differ, and then it is to be replaced.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

/// What the daemon is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Duty {
    /// Where it says how it is.
    pub(crate) state: PathBuf,
    /// Where the records of managed resources are.
    pub(crate) records: PathBuf,
    /// This node's name in the cluster, where Pacemaker said it.
    pub(crate) node: Option<String>,
    /// The attributes for auto-promote, if they are wanted.
    pub(crate) attributes: Option<Attributes>,
}

/// Attributes for auto-promote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attributes {
    /// The beginning of their names.
    pub(crate) prefix: String,
    /// Seconds for which scores wait for further changes.
    pub(crate) delay: u32,
    /// Whether there is another one with what has changed.
    pub(crate) has_details: bool,
}

/// A command line that no agent makes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a command line of drbd-watchd: {0}; ocf:rust:drbd-watch starts it")]
pub(crate) struct NoDuty(String);

const STATE: &str = "--state";
const RECORDS: &str = "--records";
const NODE: &str = "--node";
const PREFIX: &str = "--attributes";
const DELAY: &str = "--delay";
const DETAILS: &str = "--details";

impl Duty {
    /// The words.
    pub(crate) fn words(&self) -> Vec<OsString> {
        let Duty { state, records, node, attributes } = self;
        let mut words: Vec<OsString> =
            vec![STATE.into(), state.into(), RECORDS.into(), records.into()];
        if let Some(node) = node {
            words.extend([NODE.into(), node.into()]);
        }
        if let Some(Attributes { prefix, delay, has_details }) = attributes {
            words.extend([PREFIX.into(), prefix.into(), DELAY.into(), delay.to_string().into()]);
            words.extend(has_details.then(|| DETAILS.into()));
        }
        words
    }

    /// Reads them.
    ///
    /// # Errors
    /// [`NoDuty`] for anything that [`Duty::words`] would not say.
    pub(crate) fn parse(words: &[OsString]) -> Result<Duty, NoDuty> {
        let no_duty = |word: &OsStr| NoDuty(format!("{:?}", word.to_string_lossy()));
        let (mut state, mut records, mut node) = (None, None, None);
        let (mut prefix, mut delay, mut has_details) = (None, None, false);
        let mut words = words.iter();
        while let Some(name) = words.next() {
            if name == DETAILS {
                has_details = true;
                continue;
            }
            let value = words.next().ok_or_else(|| no_duty(name))?;
            let text = || value.to_str().map(str::to_owned).ok_or_else(|| no_duty(value));
            match name.to_str() {
                Some(STATE) => state = Some(PathBuf::from(value)),
                Some(RECORDS) => records = Some(PathBuf::from(value)),
                Some(NODE) => node = Some(text()?),
                Some(PREFIX) => prefix = Some(text()?),
                Some(DELAY) => delay = Some(text()?.parse().map_err(|_| no_duty(value))?),
                Some(_) | None => return Err(no_duty(name)),
            }
        }
        let missing = |what: &str| NoDuty(format!("no {what}"));
        let attributes = match (prefix, delay) {
            (Some(prefix), Some(delay)) => Some(Attributes { prefix, delay, has_details }),
            (None, None) if !has_details => None,
            _ => return Err(missing("attributes or delay")),
        };
        let state = state.ok_or_else(|| missing("state"))?;
        Ok(Duty { state, records: records.ok_or_else(|| missing("records"))?, node, attributes })
    }
}

/// Whether these are the arguments of the daemon whose state is in this file, its own name first.
pub(crate) fn is_daemon_of(state: &Path, arguments: &[Vec<u8>]) -> bool {
    let [name, first, file, ..] = arguments else { return false };
    let name = name.rsplit(|byte| *byte == b'/').next();
    name == Some(b"drbd-watchd")
        && first == STATE.as_bytes()
        && file.as_slice() == state.as_os_str().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn duty(attributes: Option<Attributes>) -> Duty {
        let node = attributes.is_some().then(|| "node 1".to_owned());
        Duty { state: "/run/a/x.state".into(), records: "/run/a".into(), node, attributes }
    }

    #[test]
    fn what_is_said_is_understood() {
        let own = |has_details| Attributes { prefix: "p".to_owned(), delay: 7, has_details };
        for attributes in [None, Some(own(false)), Some(own(true))] {
            let duty = duty(attributes);
            assert_eq!(Duty::parse(&duty.words()), Ok(duty));
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for words in [
            &[][..],
            &["--state"],
            &["--state", "/s"],
            &["--state", "/s", "--records", "/r", "x"],
            &["--state", "/s", "--records", "/r", "--x", "y"],
            &["--state", "/s", "--records", "/r", "--details"],
            &["--state", "/s", "--records", "/r", "--attributes", "p"],
            &["--state", "/s", "--records", "/r", "--attributes", "p", "--delay", "-1"],
        ] {
            let words: Vec<OsString> = words.iter().map(OsString::from).collect();
            assert!(Duty::parse(&words).is_err(), "{words:?}");
        }
    }

    #[test]
    fn a_daemon_is_known_by_the_file_of_its_state() {
        let line = |program: &str| -> Vec<Vec<u8>> {
            let words = duty(None).words();
            let words = words.iter().map(|word| word.as_bytes().to_vec());
            std::iter::once(program.as_bytes().to_vec()).chain(words).collect()
        };
        let state = Path::new("/run/a/x.state");
        assert!(is_daemon_of(state, &line("/usr/lib/duet/drbd-watchd")));
        assert!(is_daemon_of(state, &line("drbd-watchd")));
        assert!(!is_daemon_of(Path::new("/run/a/y.state"), &line("drbd-watchd")));
        assert!(!is_daemon_of(state, &line("/usr/bin/vi")));
        assert!(!is_daemon_of(state, &line("drbd-watchd")[..2]));
    }
}
