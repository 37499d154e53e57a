//! What the daemon says of itself, in a file: who it is, when it was last alive, what it follows, and whose score it cannot bring up to
//! date. Invariant: a file that is not
//! exactly what was written here says nothing.

use std::{fmt, path::Path, time::Duration};

use duet_host::{file, processes::Process};

/// At most so long apart are two signs of life.
pub(crate) const BEAT: Duration = Duration::from_secs(10);

/// A state is far shorter.
const LIMIT: usize = 16 * 1024;
/// The first line; another form would be another number.
const FORM: &str = "drbd-watch state 2";

/// How it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct State {
    /// Who.
    pub(crate) process: Process,
    /// The latest sign of life, as time since the boot.
    pub(crate) beat: Duration,
    /// What it follows.
    pub(crate) following: Following,
    /// The score that it has tried for longest to bring up to date, if it does not succeed.
    pub(crate) late: Option<Late>,
}

/// A score that is not brought up to date, because nobody who looks comes back, or sees anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Late {
    /// Whose.
    pub(crate) instance: String,
    /// For how long, at the sign of life.
    pub(crate) lasts: Duration,
    /// Why.
    pub(crate) why: String,
}

/// What it follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Following {
    /// The kernel's own messages.
    Netlink,
    /// `drbdsetup events2`, because those could not be understood.
    Events2,
    /// There is no module; it waits for one.
    NoModule,
    /// Nothing, for this reason.
    Nothing(String),
}

impl State {
    /// The state in this file; none if nothing that was written here is there.
    pub(crate) fn read(path: &Path) -> Option<State> {
        State::parse(&file::read_private(path, LIMIT).ok()?)
    }

    /// Writes it, for root alone; the directory is made where it is missing.
    ///
    /// # Errors
    /// It could not be written.
    pub(crate) fn write(&self, path: &Path) -> Result<(), duet_host::Error> {
        if let Some(directory) = path.parent() {
            // Whether it worked shows in the writing.
            let _ = std::fs::create_dir_all(directory);
        }
        // Replacing keeps owner and mode and follows links, which is wrong for what could not be trusted.
        if file::read_private(path, LIMIT).is_err() {
            let _ = std::fs::remove_file(path);
        }
        file::write_volatile(path, self.render().as_bytes(), 0o600)
    }

    fn render(&self) -> String {
        let State { process: Process { pid, started }, beat, following, late } = self;
        let (word, why) = match following {
            Following::Netlink => ("netlink", ""),
            Following::Events2 => ("events2", ""),
            Following::NoModule => ("no-module", ""),
            Following::Nothing(why) => ("nothing", why.as_str()),
        };
        let why = duet_ocf::fold(why);
        let beat = beat.as_millis();
        // Nobody has no name.
        let (instance, lasts, because) = match late {
            None => ("", Duration::ZERO, ""),
            Some(Late { instance, lasts, why }) => (instance.as_str(), *lasts, why.as_str()),
        };
        let (instance, because) = (duet_ocf::fold(instance), duet_ocf::fold(because));
        let lasts = lasts.as_millis();
        format!(
            "{FORM}\npid={pid}\nstarted={started}\nbeat={beat}\nfollowing={word}\nwhy={why}\n\
             late={instance}\nlasts={lasts}\nbecause={because}\nend\n"
        )
    }

    fn parse(text: &str) -> Option<State> {
        let mut lines = text.strip_suffix("\nend\n")?.split('\n');
        if lines.next() != Some(FORM) {
            return None;
        }
        let mut next = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix('=');
        let pid = next("pid")?.parse().ok()?;
        let started = next("started")?.parse().ok()?;
        let beat = Duration::from_millis(next("beat")?.parse().ok()?);
        let (word, why) = (next("following")?, next("why")?);
        let following = match word {
            "netlink" => Following::Netlink,
            "events2" => Following::Events2,
            "no-module" => Following::NoModule,
            "nothing" => Following::Nothing(why.to_owned()),
            _ => return None,
        };
        let instance = next("late")?.to_owned();
        let lasts = Duration::from_millis(next("lasts")?.parse().ok()?);
        let why = next("because")?.to_owned();
        let late = (!instance.is_empty()).then_some(Late { instance, lasts, why });
        let is_whole = lines.next().is_none();
        is_whole.then_some(State { process: Process { pid, started }, beat, following, late })
    }
}

impl fmt::Display for Following {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Following::Netlink => out.write_str("the kernel's messages"),
            Following::Events2 => out.write_str("drbdsetup events2"),
            Following::NoModule => out.write_str("the coming of the DRBD module"),
            Following::Nothing(why) => write!(out, "nothing: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(following: Following) -> State {
        let process = Process { pid: 77, started: 4711 };
        State { process, beat: Duration::from_millis(12_345), following, late: None }
    }

    fn late() -> Late {
        let (lasts, why) = (Duration::from_millis(47_011), "it; hangs".to_owned());
        Late { instance: "p_drbd".to_owned(), lasts, why }
    }

    #[test]
    fn what_is_written_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("new/x.state");
        assert_eq!(State::read(&path), None);
        for following in [
            Following::Netlink,
            Following::Events2,
            Following::NoModule,
            Following::Nothing("it is late; so be it".to_owned()),
        ] {
            for late in [None, Some(late())] {
                let state = State { late, ..state(following.clone()) };
                state.write(&path).unwrap();
                assert_eq!(State::read(&path), Some(state));
            }
        }
    }

    #[test]
    fn anything_else_says_nothing() {
        let whole = state(Following::Nothing("a\nb".to_owned()));
        let whole = State { late: Some(late()), ..whole }.render();
        assert!(State::parse(&whole).is_some(), "{whole}");
        for length in 0..whole.len() {
            assert_eq!(State::parse(&whole[..length]), None, "{length}");
        }
        for (from, to) in [
            ("state 2", "state 1"),
            ("nothing", "netlin"),
            ("77", "x"),
            ("end", "x\nend"),
            ("47011", "-1"),
        ] {
            assert_eq!(State::parse(&whole.replace(from, to)), None, "{from}");
        }
    }
}
