//! Where the daemon hears of changes: the kernel's own messages, `drbdsetup events2` where those cannot be understood, and the
//! coming of the module where none is loaded. Invariant: what is known of DRBD is whole, or it is nothing.

use std::{
    os::fd::{AsFd, BorrowedFd},
    time::Duration,
};

use drbd_agent::facts::Kernel;
use duet_drbd::{Object, Version, View, events2};
use duet_host::{
    Error as HostError, clock,
    drbd::{Arrival, Next, Stream, listen_by_tool, version},
    lines::{Heard, Lines},
};
use duet_ocf::chain;

use crate::{state::Following, watch::plan::World};

/// How long the kernel may take to say what it has.
const PATIENCE: Duration = Duration::from_secs(2);
/// Batches of messages that are read in one go while more keep coming.
const BATCHES: usize = 64;

/// What is listened to.
#[derive(Debug)]
pub(crate) struct Source {
    ear: Ear,
    /// What is known by it.
    pub(crate) world: World,
}

#[derive(Debug)]
enum Ear {
    Stream(Stream),
    Events { lines: Lines, version: Version, begun: View },
    Arrival(Arrival),
}

/// What came of listening.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    /// Nothing that could matter.
    Nothing,
    /// Something; the world may be another one.
    Something,
    /// It is over: listen anew.
    Over(Deaf),
}

/// Why there is nothing to listen to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Deaf {
    /// Why.
    pub(crate) why: String,
    /// Whether the module speaks otherwise than we know, so that drbdsetup may know better.
    pub(crate) is_of_language: bool,
}

impl Deaf {
    fn because(why: &str) -> Deaf {
        Deaf { why: why.to_owned(), is_of_language: false }
    }
}

impl From<HostError> for Deaf {
    fn from(error: HostError) -> Deaf {
        let is_of_language = matches!(&error, HostError::Netlink(error) if error.is_of_language());
        Deaf { why: chain(&error), is_of_language }
    }
}

impl Source {
    /// Listens to the kernel, and looks.
    pub(crate) fn open() -> Result<Source, Deaf> {
        match Stream::open(clock::within(PATIENCE)) {
            Ok((stream, version, view)) => {
                Ok(Source { ear: Ear::Stream(stream), world: World::Seen { version, view } })
            }
            Err(HostError::NoDrbd) => {
                let arrival = Arrival::expect()?;
                // It may have come before we listened for it.
                match version()? {
                    None => Ok(Source { ear: Ear::Arrival(arrival), world: World::NoModule }),
                    Some(_) => Err(HostError::NoDrbd.into()),
                }
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Listens to drbdsetup. Nothing is known before it has told all there is.
    pub(crate) fn open_events2() -> Result<Source, Deaf> {
        let version = version()?.ok_or(HostError::NoDrbd)?;
        let lines = listen_by_tool()?;
        let ear = Ear::Events { lines, version, begun: View::default() };
        Ok(Source { ear, world: World::Unknown })
    }

    /// What this is.
    pub(crate) fn following(&self) -> Following {
        match (&self.ear, &self.world) {
            (Ear::Stream(_), _) => Following::Netlink,
            (Ear::Events { .. }, World::Unknown) => {
                Following::Nothing("drbdsetup events2 has not told all there is".to_owned())
            }
            (Ear::Events { .. }, _) => Following::Events2,
            (Ear::Arrival(_), _) => Following::NoModule,
        }
    }

    /// Takes in what was told, without waiting.
    pub(crate) fn listen(&mut self) -> Told {
        let Source { ear, world } = self;
        match ear {
            Ear::Stream(stream) => listen_to_kernel(stream, world),
            Ear::Events { lines, version, begun } => match lines.heard() {
                Ok(Heard::Lines(lines)) => read(&lines, *version, begun, world),
                Ok(Heard::Ended) => Told::Over(Deaf::because("drbdsetup events2 ended")),
                Err(error) => Told::Over(error.into()),
            },
            Ear::Arrival(arrival) => match arrival.is_news() {
                Ok(true) => self.check(),
                Ok(false) => Told::Nothing,
                Err(error) => Told::Over(error.into()),
            },
        }
    }

    /// Looks at what no message tells of. For signs of life.
    pub(crate) fn check(&self) -> Told {
        if matches!(self.ear, Ear::Events { .. }) && self.world == World::Unknown {
            return Told::Over(Deaf::because("drbdsetup events2 has not told all there is"));
        }
        match (&self.ear, version()) {
            (Ear::Arrival(_), Ok(Some(_))) => {
                Told::Over(Deaf::because("the DRBD module was loaded"))
            }
            (Ear::Arrival(_), Err(error)) => Told::Over(error.into()),
            (Ear::Arrival(_) | Ear::Stream(_) | Ear::Events { .. }, _) => Told::Nothing,
        }
    }
}

impl AsFd for Source {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.ear {
            Ear::Stream(stream) => stream.as_fd(),
            Ear::Events { lines, .. } => lines.as_fd(),
            Ear::Arrival(arrival) => arrival.as_fd(),
        }
    }
}

fn listen_to_kernel(stream: &mut Stream, world: &mut World) -> Told {
    let World::Seen { view, .. } = world else {
        return Told::Over(Deaf::because("messages without a state before them"));
    };
    let mut told = Told::Nothing;
    for _ in 0..BATCHES {
        match stream.next(clock::within(Duration::ZERO)) {
            Ok(Next::Changes(changes)) => {
                for change in &changes {
                    view.apply(change);
                }
                told = Told::Something;
            }
            Ok(Next::Nothing) => return told,
            Ok(Next::Lost) => return Told::Over(Deaf::because("messages of the kernel were lost")),
            Err(error) => return Told::Over(error.into()),
        }
    }
    told
}

/// The lines of events2: first all there is, then what changes.
fn read(lines: &[String], version: Version, begun: &mut View, world: &mut World) -> Told {
    let mut told = Told::Nothing;
    for line in lines.iter().filter(|line| !line.trim().is_empty()) {
        let change = match events2::change(line) {
            Ok(change) => change,
            Err(error) => return Told::Over(Deaf::because(&chain(&error))),
        };
        match (&change.object, &mut *world) {
            (Object::End, world @ World::Unknown) => {
                *world = World::Seen { version, view: std::mem::take(begun) };
            }
            (_, World::Unknown | World::NoModule) => begun.apply(&change),
            (_, World::Seen { view, .. }) => view.apply(&change),
        }
        told = Told::Something;
    }
    told
}

/// What a world has of one resource, as the rule sees it; for the log.
pub(crate) fn summary(world: &World) -> String {
    match world {
        World::NoModule => "no module".to_owned(),
        World::Unknown => "nothing".to_owned(),
        World::Seen { version, view } => {
            let known = view.resources.keys();
            let known =
                known.filter(|name| matches!(Kernel::of(name, view, *version), Kernel::Known(_)));
            format!("DRBD {version}, {} resources", known.count())
        }
    }
}
