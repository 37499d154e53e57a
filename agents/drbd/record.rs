//! What one invocation leaves for the next, and for whoever watches the resource: whose score it is, by which options it is made,
//! and which score was written when. Invariant: a score counts as written only on this boot, under this attribute daemon,
//! this controller, and for no longer than [`LASTS`]; what is not exactly what was written here counts as nothing.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

use duet_host::{clock, drbd::under_root, file};

use crate::{
    config::{Config, Options},
    score::{PeerPrimary, Score, Scores},
};

/// How long a written score is relied upon. Somebody may remove it behind our back (`crm_attribute -D`, a node that is cleared),
/// and a node without its score cannot take over: a minute bounds that, and one question in a minute costs nothing.
pub const LASTS: Duration = Duration::from_secs(60);

/// How long what was written or seen under another controller than before is relied upon: the DC may take it after we have looked.
const SETTLES: Duration = Duration::from_secs(15);

/// A record is far shorter.
const LIMIT: usize = 64 * 1024;
/// What a machine with very many sockets has of them.
const SOCKETS: usize = 16 * 1024 * 1024;
/// The first line; another form would be another number.
const FORM: &str = "drbd record 3";

/// What is recorded of a resource that runs here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The cluster resource, which the score belongs to.
    pub instance: String,
    /// The DRBD resource.
    pub resource: String,
    /// DRBD's configuration file.
    pub file: PathBuf,
    /// What the score is made by.
    pub options: Options,
    /// What is kept beside the score.
    pub kept: Kept,
    /// The score that was written last; none while it is not known what came of that.
    pub written: Option<Written>,
}

/// What one action leaves for the next, beside the score.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Kept {
    /// The peers that were reported to stay disconnected.
    pub stand_alone: Vec<String>,
    /// Whether drbdadm has to be told that the resource is stacked upon another one.
    pub is_stacked: bool,
    /// What has become of connecting it.
    pub link: Link,
}

/// What has become of connecting a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Link {
    /// It was, or may have been: a peer that is StandAlone can be one that DRBD has refused.
    #[default]
    Made,
    /// It never was, since whatever was tried failed before a peer was spoken to.
    Unmade,
}

/// A score that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Which; never `Leave`.
    pub score: Score,
    /// When, and under whom.
    pub mark: Mark,
}

/// What has to be the same for a written score to be there still.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The boot's id.
    pub boot: String,
    /// The inode of the socket that the attribute daemon listens on.
    pub daemon: u64,
    /// That of the controller; 0 while there is none. The DC takes a node's attributes from the CIB when it misses its
    /// controller, and the attribute daemon is not told (seen of Pacemaker 2.1.5 and 3.0.0; ClusterLabs/pacemaker#1699 and
    /// #3801).
    pub controller: u64,
    /// Time since the boot from which on it counts.
    pub at: Duration,
}

impl Mark {
    /// That of this moment; `None` where the attribute daemon is not to be seen.
    #[must_use]
    pub fn now() -> Option<Mark> {
        let boot = file::read_text(&under_root("proc/sys/kernel/random/boot_id"), LIMIT).ok()?;
        let sockets = file::read(&under_root("proc/net/unix"), SOCKETS).ok()?;
        let sockets = String::from_utf8_lossy(&sockets);
        let daemon = listening(&sockets, "attrd")?;
        let controller = listening(&sockets, "crmd").unwrap_or(0);
        let boot = boot.trim().to_owned();
        Some(Mark { boot, daemon, controller, at: clock::since_boot() })
    }

    /// Whether what was written at this mark is still there at `now`.
    #[must_use]
    pub fn holds(&self, now: &Mark) -> bool {
        let age = now.at.checked_sub(self.at);
        self.is_of(now) && age.is_some_and(|age| age < LASTS)
    }

    /// The same, for what was seen or written now and had this mark before: under another one it is soon to be looked at again.
    #[must_use]
    pub fn after(self, before: Option<&Mark>) -> Mark {
        if before.is_some_and(|before| before.is_of(&self)) {
            return self;
        }
        Mark { at: self.at.saturating_sub(LASTS - SETTLES), ..self }
    }

    /// Whether nobody who keeps attributes has been started again between the two.
    #[must_use]
    pub fn is_of(&self, other: &Mark) -> bool {
        let Mark { boot, daemon, controller, at: _ } = other;
        (&self.boot, &self.daemon, &self.controller) == (boot, daemon, controller)
    }
}

/// The listening socket of this name in this text of `/proc/net/unix`: an abstract one, whose name libqb fills up with
/// zeroes that are shown as `@`, or a file of that name.
fn listening(sockets: &str, service: &str) -> Option<u64> {
    /// Of the flags: it accepts connections.
    const LISTENS: &str = "00010000";
    sockets.lines().find_map(|line| {
        let words: Vec<_> = line.split_ascii_whitespace().collect();
        let &[_, _, _, LISTENS, _, _, inode, name] = words.as_slice() else { return None };
        let name = name.trim_matches('@').rsplit('/').next();
        (name == Some(service)).then(|| inode.parse().ok()).flatten()
    })
}

impl Record {
    /// A record for this configuration, of which nothing was written yet.
    #[must_use]
    pub fn new(config: &Config) -> Record {
        Record {
            instance: config.instance.clone(),
            resource: config.resource.clone(),
            file: config.file.clone(),
            options: config.options.clone(),
            kept: Kept::default(),
            written: None,
        }
    }

    /// The record in this file; `None` where there is none, or where it is not one of ours: then nothing is known.
    #[must_use]
    pub fn read(path: &Path) -> Option<Record> {
        Record::parse(&file::read_private(path, LIMIT).ok()?)
    }

    /// Writes it, for root alone; the directory is made where it is missing.
    ///
    /// # Errors
    /// It could not be written; what was there before still is, or nothing.
    pub fn write(&self, path: &Path) -> Result<(), duet_host::Error> {
        if let Some(directory) = path.parent() {
            // Whether it worked shows in the writing.
            let _ = std::fs::create_dir_all(directory);
        }
        // Replacing keeps owner and mode and follows links, which is wrong for what could not be trusted.
        if file::read_private(path, LIMIT).is_err() {
            let _ = std::fs::remove_file(path);
        }
        file::write_atomic(path, self.render().as_bytes(), 0o600)
    }

    /// The score that is in place at `now`, as far as that is known.
    #[must_use]
    pub fn score(&self, now: Option<&Mark>) -> Option<Score> {
        let written = self.written.as_ref()?;
        written.mark.holds(now?).then_some(written.score)
    }

    /// Whether it is about the same resource and made by the same options.
    #[must_use]
    pub fn is_of(&self, other: &Record) -> bool {
        let Record { instance, resource, file, options, kept: _, written: _ } = other;
        (&self.instance, &self.resource, &self.file, &self.options)
            == (instance, resource, file, options)
    }

    fn render(&self) -> String {
        let Record { instance, resource, file, options, kept, written } = self;
        let mut text = format!(
            "{FORM}\ninstance={instance}\nresource={resource}\ndrbdconf={}\nscores={}\n\
             peer_primary={}\npromoted_max={}\nstand_alone={}\n\
             stacked={}\nlink={}\n",
            file.display(),
            options.scores,
            word(options.peer_primary),
            options.promoted_max,
            // A peer without a name is called "peer 1".
            kept.stand_alone.join("\t"),
            if kept.is_stacked { "yes" } else { "no" },
            if kept.link == Link::Made { "made" } else { "unmade" },
        );
        if let Some(Written { score, mark }) = written {
            let value = match score {
                Score::Set(value) => *value,
                Score::Remove | Score::Leave => 0,
            };
            // Writing to a String cannot fail.
            let _ = writeln!(text, "score={value}\nboot={}\ndaemon={}", mark.boot, mark.daemon);
            let _ = writeln!(text, "controller={}", mark.controller);
            let _ = writeln!(text, "at={}", mark.at.as_millis());
        }
        text.push_str("end\n");
        text
    }

    fn parse(text: &str) -> Option<Record> {
        let mut lines = text.strip_suffix("\nend\n")?.split('\n');
        if lines.next() != Some(FORM) {
            return None;
        }
        let mut next = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix('=');
        let instance = next("instance")?.to_owned();
        let resource = next("resource")?.to_owned();
        let file = PathBuf::from(next("drbdconf")?);
        let scores = Scores::parse(next("scores")?)?;
        let word_of = next("peer_primary")?;
        let peer_primary = RULES.into_iter().find(|rule| word(*rule) == word_of)?;
        let promoted_max = next("promoted_max")?.parse().ok()?;
        let stand_alone = next("stand_alone")?
            .split('\t')
            .filter(|peer| !peer.is_empty())
            .map(str::to_owned)
            .collect();
        let is_stacked = match next("stacked")? {
            "yes" => true,
            "no" => false,
            _ => return None,
        };
        let link = match next("link")? {
            "made" => Link::Made,
            "unmade" => Link::Unmade,
            _ => return None,
        };
        let kept = Kept { stand_alone, is_stacked, link };
        let written = match next("score") {
            None => None,
            Some(value) => {
                let score = match value.parse().ok()? {
                    0 => Score::Remove,
                    value => Score::Set(value),
                };
                let boot = next("boot")?.to_owned();
                let daemon = next("daemon")?.parse().ok()?;
                let controller = next("controller")?.parse().ok()?;
                let at = Duration::from_millis(next("at")?.parse().ok()?);
                Some(Written { score, mark: Mark { boot, daemon, controller, at } })
            }
        };
        let options = Options { scores, peer_primary, promoted_max };
        let is_whole = lines.next().is_none() && !instance.is_empty() && !resource.is_empty();
        is_whole.then_some(Record { instance, resource, file, options, kept, written })
    }
}

const RULES: [PeerPrimary; 3] =
    [PeerPrimary::Ignore, PeerPrimary::Remove, PeerPrimary::RemoveUnexpected];

fn word(rule: PeerPrimary) -> &'static str {
    match rule {
        PeerPrimary::Ignore => "false",
        PeerPrimary::Remove => "true",
        PeerPrimary::RemoveUnexpected => "unexpected",
    }
}

/// The records of all resources whose scores are kept from this directory.
#[must_use]
pub fn all(directory: &Path) -> Vec<(PathBuf, Record)> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let records = entries.filter_map(|entry| {
        let path = entry.path();
        let name = path.file_name()?.to_str()?;
        let is_record = name.starts_with("drbd-") && name.ends_with(".record");
        let record = is_record.then(|| Record::read(&path)).flatten()?;
        Some((path, record))
    });
    let mut records: Vec<_> = records.collect();
    records.sort_by(|one, other| one.0.cmp(&other.0));
    records
}

#[cfg(test)]
mod tests;
