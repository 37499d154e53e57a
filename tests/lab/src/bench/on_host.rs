//! The host side of a lab as a place to measure in: nothing runs there but what is measured. It has the stock programs of the
//! image, and no cluster.

use crate::failure::{Failure, Result};
use crate::host_side::{HostSide, Life, PATH};
use crate::image;
use crate::place::Place;
use duet_bench::{Callgrind, Command};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What a process that does nothing costs here.
pub(super) const FLOOR: &str = "/bin/true, host side";

pub(super) fn floor() -> Command {
    Command {
        name: FLOOR.to_owned(),
        argv: vec!["/bin/true".to_owned()],
        env: [("PATH".to_owned(), PATH.to_owned())].into(),
        callgrind: Callgrind::Alone,
    }
}

/// A host side for measurements, taken down with [`Host::stop`].
pub(super) struct Host {
    pub(super) side: HostSide,
    /// Of the same name inside and outside.
    pub(super) directory: PathBuf,
    program: PathBuf,
}

impl Host {
    /// Starts one with the measuring program in it.
    pub(super) fn start(
        place: &Place,
        suite: &str,
        program: &Path,
        tell: &mut dyn FnMut(&str),
    ) -> Result<Self> {
        let image = image::ready(place, suite, tell)?;
        let directory = place.file("bench");
        drop(fs::remove_dir_all(&directory));
        fs::create_dir_all(&directory)
            .map_err(Failure::io(format!("create {}", directory.display())))?;
        let inside = directory.join("duet-bench");
        copy(program, &inside)?;
        let side = HostSide::start(place, &image, Life::DiesWithUs)?;
        Ok(Self { side, directory, program: inside })
    }

    pub(super) fn stop(&self) -> Result<()> {
        self.side.stop()
    }

    /// Has the measuring program carry a plan out.
    pub(super) fn measure<T: DeserializeOwned>(
        &self,
        word: &str,
        plan: &impl Serialize,
        within: Duration,
    ) -> Result<T> {
        let path = self.directory.join(format!("{word}.json"));
        let text = serde_json::to_string(plan).expect("a plan holds only text and numbers");
        image::write(&path, text.as_bytes())?;
        let words = [&*self.program.to_string_lossy(), word, &*path.to_string_lossy()];
        let answer = self.side.run(&words, within)?.success(&format!("measuring ({word})"))?;
        serde_json::from_str(&answer).map_err(|error| {
            Failure::broken(format!("The measuring program says nonsense: {error}"))
        })
    }

    /// The measuring program itself with these words, as something to measure.
    pub(super) fn own(&self, word: &str, words: &[&str]) -> Command {
        let mut argv = vec![self.program.to_string_lossy().into_owned(), word.to_owned()];
        argv.extend(words.iter().map(|word| (*word).to_owned()));
        Command { argv, callgrind: Callgrind::Never, ..floor() }
    }

    /// Has it serve under this word until the host side ends; what those that it serves need in their environment comes
    /// back.
    pub(super) fn served(&self, word: &str) -> Result<BTreeMap<String, String>> {
        let path = self.directory.join(format!("{word}.environment"));
        self.side
            .daemon(word, &[&self.program.to_string_lossy(), word, &path.to_string_lossy()])?;
        let text = duet_oracle::eventually(Duration::from_secs(10), &format!("a {word}"), || {
            fs::read_to_string(&path).map_err(|error| error.to_string())
        })?;
        serde_json::from_str(&text)
            .map_err(|error| Failure::broken(format!("The {word} says {text:?}: {error}")))
    }
}

/// Copies a program.
pub(super) fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).map(drop).map_err(Failure::io(format!("copy {}", from.display())))
}
