//! libvirt, behind one or several URIs: looking for a domain, and the steps. Invariant: every call has a limit of its own, and "nobody
//! knows it" is said only when all URIs have said so.

use std::{
    path::{Path, PathBuf},
    sync::Mutex,
    time::Duration,
};

use duet_domain::{State, Uuid};
use duet_host::clock;
use duet_libvirt_rpc::{Client, CreateFlags, DomainRef, Error, Hypervisor, XmlFlags};
use duet_ocf::chain;
use duet_xvm::permission::Known;

use crate::{plan::Seen, settings::Uri};

/// How long libvirt may take to end a domain: QEMU gets TERM, and KILL after 10 s.
const ENDING: Duration = Duration::from_secs(20);
/// How long it may take to start one.
const STARTING: Duration = Duration::from_secs(30);
/// Connections that nobody uses, for each URI.
const IDLE: usize = 4;
/// How long they are kept.
const KEPT: Duration = Duration::from_secs(60);

/// All URIs.
#[derive(Debug)]
pub(crate) struct Backend {
    uris: Vec<Uri>,
    directory: PathBuf,
    idle: Mutex<Vec<Idle>>,
}

#[derive(Debug)]
struct Idle {
    uri: usize,
    client: Client,
    since: Duration,
}

/// A domain, and where it is.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) known: Known,
    pub(crate) state: State,
    pub(crate) reference: DomainRef,
    /// Which URI knows it.
    pub(crate) at: usize,
}

/// What ending a domain leaves behind for starting it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Revival {
    /// Its definition.
    Defined(DomainRef),
    /// It was transient: this was all there was, passwords too. Never for a log.
    Described(String),
    /// It was transient, and could not be described.
    None(String),
}

/// A look at all URIs.
#[derive(Debug)]
pub(crate) enum Look {
    Found(Found),
    Nobody,
    Unclear { why: String, may_pass: bool },
}

impl Look {
    /// As the rules see it.
    pub(crate) fn seen(&self) -> Seen {
        match self {
            Look::Found(found) => Seen::There { state: found.state, run: found.reference.id },
            Look::Nobody => Seen::Nobody,
            Look::Unclear { why, may_pass } => {
                Seen::Unclear { why: why.clone(), may_pass: *may_pass }
            }
        }
    }
}

impl Backend {
    /// These URIs, whose sockets are in `directory`.
    pub(crate) fn new(uris: Vec<Uri>, directory: &Path) -> Backend {
        Backend { uris, directory: directory.to_owned(), idle: Mutex::default() }
    }

    /// Whether it asks these URIs.
    pub(crate) fn is_of(&self, uris: &[Uri]) -> bool {
        self.uris == uris
    }

    /// Which URI that is.
    pub(crate) fn uri(&self, at: usize) -> &str {
        self.uris.get(at).map_or("?", |uri| &uri.text)
    }

    /// Asks one URI after the other for a domain of this name or UUID. The first that knows it has it; of a name, only where all before it
    /// have said that they do not: what is found behind one that could not be asked may be a namesake of the one that is meant.
    pub(crate) fn look(&self, asked: &str) -> Look {
        let uuid = canonical(asked);
        let mut silent: Vec<String> = Vec::new();
        let mut may_pass = true;
        for at in 0..self.uris.len() {
            let found = self.with(at, |client| {
                let reference = match uuid {
                    Some(uuid) => client.lookup_by_uuid(uuid)?,
                    None => client.lookup_by_name(asked)?,
                };
                let state = client.state(&reference)?;
                Ok((reference, state))
            });
            match found {
                Ok((reference, _)) if uuid.is_none() && !silent.is_empty() => {
                    let name = &reference.name;
                    silent.push(format!("{} has a {name}, which may be another one", self.uri(at)));
                    break;
                }
                Ok((reference, state)) => {
                    let known = Known { name: reference.name.clone(), uuid: reference.uuid };
                    return Look::Found(Found { known, state, reference, at });
                }
                Err(Error::NoDomain(_)) => {}
                Err(error) => {
                    may_pass &= error.may_pass();
                    silent.push(format!("{}: {}", self.uri(at), chain(&error)));
                }
            }
        }
        if silent.is_empty() {
            Look::Nobody
        } else {
            Look::Unclear { why: silent.join("; "), may_pass }
        }
    }

    /// Looks again for a domain that was found, and for no other of its name.
    pub(crate) fn look_again(&self, found: &Found) -> Look {
        let seen = self.with(found.at, |client| {
            let reference = client.lookup_by_uuid(found.known.uuid)?;
            let state = client.state(&reference)?;
            Ok((reference, state))
        });
        match seen {
            Ok((reference, state)) => Look::Found(Found { state, reference, ..found.clone() }),
            Err(Error::NoDomain(_)) => Look::Nobody,
            Err(error) => Look::Unclear {
                why: format!("{}: {}", self.uri(found.at), chain(&error)),
                may_pass: error.may_pass(),
            },
        }
    }

    /// All domains of all URIs, with their states.
    ///
    /// # Errors
    /// The first URI that could not be asked: half a list would be taken for a whole one.
    pub(crate) fn list(&self) -> Result<Vec<(DomainRef, State)>, String> {
        let mut all = Vec::new();
        for at in 0..self.uris.len() {
            let some = self.with(at, |client| {
                let mut some = Vec::new();
                for reference in client.list()? {
                    match client.state(&reference) {
                        Ok(state) => some.push((reference, state)),
                        // It has ended meanwhile.
                        Err(Error::NoDomain(_)) => {}
                        Err(error) => return Err(error),
                    }
                }
                Ok(some)
            });
            all.extend(some.map_err(|error| format!("{}: {}", self.uri(at), chain(&error)))?);
        }
        all.sort_by_cached_key(|(reference, _)| {
            (reference.name.to_lowercase(), reference.name.clone())
        });
        Ok(all)
    }

    /// What is needed to start it again.
    pub(crate) fn revival(&self, found: &Found) -> Revival {
        let described = self.with(found.at, |client| {
            if client.is_persistent(&found.reference)? {
                return Ok(Revival::Defined(found.reference.clone()));
            }
            client.describe_with(&found.reference, XmlFlags::SECURE).map(Revival::Described)
        });
        described.unwrap_or_else(|error| Revival::None(chain(&error)))
    }

    /// Ends it. None where it was not begun, since it is not `wanted` any more.
    pub(crate) fn end(
        &self,
        found: &Found,
        wanted: impl Fn() -> bool,
    ) -> Option<Result<(), Error>> {
        self.order(found.at, ENDING, wanted, |client| client.destroy(&found.reference))
    }

    /// Starts it. None as above.
    pub(crate) fn start(
        &self,
        at: usize,
        revival: &Revival,
        wanted: impl Fn() -> bool,
    ) -> Option<Result<(), String>> {
        let started = match revival {
            Revival::Defined(reference) => self.order(at, STARTING, wanted, |client| {
                client.start_defined(reference, CreateFlags::PLAIN)
            }),
            Revival::Described(xml) => {
                self.order(at, STARTING, wanted, |client| client.create(xml))
            }
            Revival::None(why) => {
                return Some(Err(format!("it was transient, and could not be described: {why}")));
            }
        };
        started.map(|started| started.map(drop).map_err(|error| chain(&error)))
    }

    /// The domains that run, of the first URI.
    pub(crate) fn running(&self) -> Result<Vec<DomainRef>, Error> {
        let mut all = self.with(0, Client::list)?;
        all.retain(|reference| reference.id >= 0);
        Ok(all)
    }

    /// What a domain that runs is made of.
    pub(crate) fn describe(&self, reference: &DomainRef) -> Result<String, Error> {
        self.with(0, |client| client.describe(reference, false))
    }

    /// Lets go of connections that nobody has used for a while.
    pub(crate) fn tidy(&self, now: Duration) {
        let mut old = Vec::new();
        {
            let mut idle = self.idle.lock().expect("nobody panics with it");
            let mut at = 0;
            while at < idle.len() {
                if now.saturating_sub(idle[at].since) > KEPT {
                    old.push(idle.swap_remove(at));
                } else {
                    at += 1;
                }
            }
        }
        // Dropped without a good-bye, which could take a moment; libvirtd logs an end of file.
        drop(old);
    }

    /// Has `ask` done over a connection to that URI, within its limit. A connection that was kept may have died meanwhile: then a new one
    /// is tried.
    fn with<T>(
        &self,
        at: usize,
        mut ask: impl FnMut(&mut Client) -> Result<T, Error>,
    ) -> Result<T, Error> {
        if let Some(mut client) = self.take(at) {
            client.allow(self.uris[at].limit);
            match ask(&mut client) {
                Err(error) if error.may_pass() => {}
                answer => return self.keep(at, client, answer),
            }
        }
        let mut client = self.open(at)?;
        client.allow(self.uris[at].limit);
        let answer = ask(&mut client);
        self.keep(at, client, answer)
    }

    /// Gives `order` once, within `limit`, over a connection that works: to have one can take a while, so whether it is still `wanted` is
    /// asked when it is there.
    fn order<T>(
        &self,
        at: usize,
        limit: Duration,
        wanted: impl Fn() -> bool,
        order: impl FnOnce(&mut Client) -> Result<T, Error>,
    ) -> Option<Result<T, Error>> {
        let mut client = match self.fresh(at).map_or_else(|| self.open(at), Ok) {
            Ok(client) => client,
            Err(error) => return Some(Err(error)),
        };
        if !wanted() {
            let _ = self.keep(at, client, Ok(()));
            return None;
        }
        client.allow(limit);
        let answer = order(&mut client);
        Some(self.keep(at, client, answer))
    }

    fn open(&self, at: usize) -> Result<Client, Error> {
        let uri = &self.uris[at];
        Client::open(uri.driver, &uri.text, &self.directory, uri.limit)
    }

    fn take(&self, at: usize) -> Option<Client> {
        let mut idle = self.idle.lock().expect("nobody panics with it");
        let place = idle.iter().rposition(|idle| idle.uri == at)?;
        Some(idle.swap_remove(place).client)
    }

    /// A kept connection that has just been seen to work: an order is not to be lost with one that had died.
    fn fresh(&self, at: usize) -> Option<Client> {
        let mut client = self.take(at)?;
        client.allow(self.uris[at].limit);
        // Any answer shows that somebody is there; that there is no such domain is one, too.
        match client.lookup_by_uuid(Uuid::from_bytes([0; 16])) {
            Ok(_) | Err(Error::NoDomain(_)) => Some(client),
            Err(_) => None,
        }
    }

    fn keep<T>(&self, at: usize, client: Client, answer: Result<T, Error>) -> Result<T, Error> {
        let is_sound = answer.as_ref().err().is_none_or(|error| error.fault().is_some());
        let mut idle = self.idle.lock().expect("nobody panics with it");
        if is_sound && idle.iter().filter(|idle| idle.uri == at).count() < IDLE {
            idle.push(Idle { uri: at, client, since: clock::now() });
        }
        answer
    }
}

/// A UUID in the one spelling that is taken for one: anything else is a name.
fn canonical(asked: &str) -> Option<Uuid> {
    let hyphens =
        asked.len() == 36 && [8, 13, 18, 23].iter().all(|at| asked.as_bytes()[*at] == b'-');
    if hyphens { asked.parse().ok() } else { None }
}
