//! DRBD's state as this machine's kernel has it: one look, or a look and what changes after it. Invariant: a view is
//! whole and from the kernel itself; "could not ask" is an error and never a view in which something is missing.

use crate::lines::Lines;
use crate::netlink::{Conversation, Families, Subscription};
use crate::process::{self, Call};
use crate::{Error, NetlinkError, clock, file};
use duet_drbd::events2;
use duet_drbd::netlink::{Dump, whole};
use duet_drbd::{Change, Generation, Object, Version, View};
use duet_ocf::{Deadline, chain};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

/// How long `/proc/drbd` may be: 8.4 has two lines a minor in it.
const LONGEST: usize = 1024 * 1024;
/// How often it is asked again where the answer does not fit together.
const ATTEMPTS: u32 = 3;
/// How long the text of `drbdsetup events2` may be.
const LONGEST_TEXT: usize = 16 * 1024 * 1024;

/// What was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sight {
    /// The module is not loaded, so there is nothing.
    NoModule,
    /// All that the module has.
    Seen {
        /// Of the driver.
        version: Version,
        /// Every resource.
        view: View,
        /// Who said so.
        source: Source,
    },
}

/// Who told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The kernel.
    Netlink,
    /// `drbdsetup`, because the kernel's messages could not be understood.
    Drbdsetup,
}

/// The version of the loaded module; `None` where none is loaded, which is so if and only if there is neither
/// `/sys/module/drbd` nor `/proc/drbd`.
///
/// # Errors
/// [`Error::Read`] and its like; [`Error::DrbdVersion`] where it is loaded and does not say.
pub fn version() -> Result<Option<Version>, Error> {
    let (module, proc) = (under_root("sys/module/drbd"), under_root("proc/drbd"));
    let mut is_loaded = match std::fs::metadata(&module) {
        Ok(_) => true,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
        Err(source) => return Err(Error::Read { path: module, source }),
    };
    for path in [module.join("version"), proc] {
        match file::read_text(&path, LONGEST) {
            Ok(text) => {
                if let Some(version) = Version::parse(&text) {
                    return Ok(Some(version));
                }
                is_loaded = true;
            }
            Err(error) if error.is_missing_file() => {}
            Err(error) => return Err(error),
        }
    }
    if is_loaded { Err(Error::DrbdVersion { path: module }) } else { Ok(None) }
}

/// Looks once. Needs no privileges.
///
/// # Errors
/// Whatever kept it from being asked or understood, by the deadline.
pub fn look(deadline: Deadline) -> Result<Sight, Error> {
    look_for(Wanted::StatesAndIds, deadline)
}

/// The same without node ids, which take another question.
///
/// # Errors
/// Those of [`look`].
pub fn look_at_states(deadline: Deadline) -> Result<Sight, Error> {
    look_for(Wanted::States, deadline)
}

/// What a look is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    States,
    StatesAndIds,
}

fn look_for(wanted: Wanted, deadline: Deadline) -> Result<Sight, Error> {
    let Some(version) = version()? else { return Ok(Sight::NoModule) };
    match by_netlink(wanted, version, deadline) {
        Ok(view) => Ok(Sight::Seen { version, view, source: Source::Netlink }),
        Err(error) if error.is_of_language() => {
            // It may have been unloaded since; otherwise the tools that came with it may know better.
            let Some(version) = self::version()? else { return Ok(Sight::NoModule) };
            let view = look_by_tool(deadline).map_err(|tool| match tool {
                Error::DrbdTool { how } => Error::Drbdsetup { how, source: error },
                other => other,
            })?;
            Ok(Sight::Seen { version, view, source: Source::Drbdsetup })
        }
        Err(error) => Err(error.into()),
    }
}

/// By one question for one moment, and on 9 another for the node ids, where they are wanted, which that does not tell.
///
/// Not by the dumps of devices, connections and peers' devices: on 8.4 those of connections leave one out that is
/// StandAlone after a disconnect or a split brain (8.4.11: `drbdsetup status` beside `events2 --now`), and a peer that is
/// left out would look like one that there never was.
fn by_netlink(wanted: Wanted, version: Version, deadline: Deadline) -> Result<View, NetlinkError> {
    let mut kernel = Conversation::begin(version, deadline)?;
    let mut view = snapshot(&mut kernel, deadline)?;
    if wanted == Wanted::StatesAndIds && version.generation() == Generation::V9 {
        for change in kernel.ask(Dump::Resources, deadline)? {
            if let Object::Resource { resource, node_id, .. } = change.object {
                if let Some(known) = view.resources.get_mut(&resource) {
                    known.node_id = node_id;
                }
            }
        }
    }
    Ok(view)
}

/// All that there is at one moment.
fn snapshot(kernel: &mut Conversation, deadline: Deadline) -> Result<View, NetlinkError> {
    let mut attempts = 1;
    loop {
        match whole(&kernel.ask(Dump::InitialState, deadline)?) {
            Ok(view) => return Ok(view),
            Err(_) if attempts < ATTEMPTS => attempts += 1,
            Err(torn) => return Err(torn.into()),
        }
    }
}

/// By `drbdsetup events2 --now`, where the kernel's messages do not say what one needs to know. The text has no node ids and no
/// counters.
///
/// # Errors
/// [`Error::DrbdTool`], or what came of running it by the deadline.
pub fn look_by_tool(deadline: Deadline) -> Result<View, Error> {
    let call = events2_call().arg("--now").limit(LONGEST_TEXT);
    let failed = |how| Error::DrbdTool { how };
    let ended = match call.run(deadline) {
        Ok(ended) => ended,
        Err(error) if error.is_timeout() => return Err(error),
        Err(error) => return Err(failed(chain(&error))),
    };
    if !ended.is_success() || ended.is_truncated {
        return Err(failed(ended.describe()));
    }
    events2::snapshot(&String::from_utf8_lossy(&ended.stdout))
        .map_err(|error| failed(chain(&error)))
}

fn events2_call() -> Call {
    Call::new("drbdsetup")
        .arg("events2")
        .path(tools())
        .env("LC_ALL", "C")
        .env("DRBD_DONT_WARN_ON_VERSION_MISMATCH", "1")
}

/// `drbdsetup events2`, where the kernel's messages cannot be understood: all there is, `exists -`, and then what changes.
///
/// # Errors
/// It is not installed, or could not be started.
pub fn listen_by_tool() -> Result<Lines, Error> {
    Lines::start(&events2_call())
}

/// Changes as they happen.
#[derive(Debug)]
pub struct Stream {
    changes: Subscription,
}

/// What came next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// These, in this order; at least one.
    Changes(Vec<Change>),
    /// None until the deadline.
    Nothing,
    /// Something is missing from here on: too much came at once, or the module is gone. Open a new stream.
    Lost,
}

impl Stream {
    /// Listens first, then looks, so that nothing is missed between. A change that came while it looked may be told
    /// again, followed by those that came after it. The view has no node ids. On 8.4 a connection that has gone
    /// StandAlone is told as destroyed, while a look still has it.
    ///
    /// # Errors
    /// [`Error::NoDrbd`] where the module is not loaded, and those of [`look`].
    pub fn open(deadline: Deadline) -> Result<(Stream, Version, View), Error> {
        let version = version()?.ok_or(Error::NoDrbd)?;
        let mut kernel = Conversation::begin(version, deadline)?;
        let mut changes = kernel.subscribe()?;
        // What is told already is older than the look; told again after it, it would be a step back.
        changes.pending()?;
        let mut view = snapshot(&mut kernel, deadline)?;
        for change in changes.pending()?.unwrap_or_default() {
            view.apply(&change);
        }
        Ok((Stream { changes }, version, view))
    }

    /// The next changes. What has come already is told whatever the deadline.
    ///
    /// # Errors
    /// Where a message cannot be understood, or the socket fails: open a new stream.
    pub fn next(&mut self, deadline: Deadline) -> Result<Next, Error> {
        loop {
            match self.changes.pending()? {
                None => return Ok(Next::Lost),
                Some(changes) if !changes.is_empty() => return Ok(Next::Changes(changes)),
                Some(_) if deadline.remaining(clock::now()).is_zero() => return Ok(Next::Nothing),
                Some(_) => {}
            }
            if !self.changes.wait(deadline)? {
                return Ok(Next::Nothing);
            }
        }
    }
}

impl AsFd for Stream {
    /// For waiting together with other things: readable when [`Stream::next`] has something.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.changes.as_fd()
    }
}

/// Waits for the module where none is loaded.
#[derive(Debug)]
pub struct Arrival {
    families: Families,
}

impl Arrival {
    /// Listens. Look at [`version`] after this once more: it may have come before.
    ///
    /// # Errors
    /// [`Error::Netlink`].
    pub fn expect() -> Result<Arrival, Error> {
        Ok(Arrival { families: Families::open()? })
    }

    /// Whether it is time to look at [`version`] again: some module's messages have come to be or are gone.
    ///
    /// # Errors
    /// [`Error::Netlink`]: expect it anew.
    pub fn is_news(&mut self) -> Result<bool, Error> {
        Ok(self.families.have_changed()?)
    }
}

impl AsFd for Arrival {
    /// Readable when there is news.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.families.as_fd()
    }
}

/// A file of the kernel's or of its devices', by its path below `/`.
#[must_use]
pub fn under_root(path: &str) -> PathBuf {
    #[cfg(feature = "stub-kernel")]
    if let Some(root) = crate::netlink::stub::root() {
        return root.join(path);
    }
    PathBuf::from("/").join(path)
}

/// Where `drbdsetup` is looked for.
fn tools() -> String {
    #[cfg(feature = "stub-kernel")]
    if let Some(root) = crate::netlink::stub::root() {
        return root.join("usr/sbin").to_string_lossy().into_owned() + ":/usr/bin:/bin";
    }
    process::PATH.to_owned()
}

#[cfg(test)]
mod tests;
