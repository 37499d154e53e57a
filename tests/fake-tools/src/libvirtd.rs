//! A libvirtd with domains in a vector: same wire, same error numbers and texts, same effects of each call on a
//! domain's state as recorded from libvirt 9.0, without any guest. Invariant: it does only what it was
//! asked, and `World::calls` has every question in order.

use self::procedures::encoded;
use std::{
    io::Write,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
    thread,
    time::Duration,
};

use duet_domain::Uuid;
use duet_libvirt_rpc::{
    DomainRef,
    wire::{Header, Status},
    xdr::{Reader, Writer},
};

use crate::{
    described,
    scripted::{Scripted, read_frame, reply_to},
};

mod creations;
mod images;
mod procedures;

pub use images::OnAbort;

/// How a guest takes a request to shut down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnShutdown {
    /// It is gone at the next look.
    #[default]
    Obeys,
    /// It stays.
    Ignores,
}

/// A domain.
#[derive(Debug, Clone)]
pub struct FakeDomain {
    /// Its name.
    pub name: String,
    /// Who it is.
    pub uuid: Uuid,
    /// libvirt's number for its state.
    pub state: i32,
    /// libvirt's number for the reason.
    pub reason: i32,
    /// Whether its definition outlives it.
    pub persistent: bool,
    /// Whether libvirt keeps a memory image of it.
    pub managed_save: bool,
    /// How it takes a request to shut down.
    pub on_shutdown: OnShutdown,
    /// Its virtual CPUs.
    pub vcpus: u32,
    /// Most memory it may have, in KiB.
    pub max_memory_kib: u64,
    /// What it is described as.
    pub xml: String,
}

impl FakeDomain {
    /// A running, transient domain.
    #[must_use]
    pub fn running(name: &str, uuid: &str) -> Self {
        Self {
            name: name.to_owned(),
            uuid: uuid.parse().unwrap(),
            state: 1,
            reason: 1,
            persistent: false,
            managed_save: false,
            on_shutdown: OnShutdown::Obeys,
            vcpus: 1,
            max_memory_kib: 1024,
            xml: described::plain(name, uuid),
        }
    }

    /// A definition that does not run.
    #[must_use]
    pub fn defined(name: &str, uuid: &str) -> Self {
        Self { state: 5, reason: 0, persistent: true, ..Self::running(name, uuid) }
    }

    /// The same in another state.
    #[must_use]
    pub fn in_state(self, state: i32, reason: i32) -> Self {
        Self { state, reason, ..self }
    }

    fn is_active(&self) -> bool {
        self.state != 5
    }

    fn reference(&self) -> DomainRef {
        let id = if self.is_active() { 1 } else { -1 };
        DomainRef { name: self.name.clone(), uuid: self.uuid, id }
    }
}

/// What the daemon has and does.
#[derive(Debug, Clone, Default)]
pub struct World {
    /// Its domains.
    pub domains: Vec<FakeDomain>,
    /// Every call so far, as "name argument".
    pub calls: Vec<String>,
    /// The flags of every creation and restoration so far.
    pub create_flags: Vec<u32>,
    /// Its driver cannot create a domain that stands still, as that of containers.
    pub no_paused_creation: bool,
    /// What waits behind hung workers: calls named in `hang_on`, until [`World::carry_out`].
    pub waiting: Vec<(i32, Vec<u8>)>,
    /// What the next creation is refused with, by code and text.
    pub refuse_create: Option<(i32, String)>,
    /// What every destruction is refused with.
    pub refuse_destroy: Option<(i32, String)>,
    /// Where it keeps definitions: undefining deletes `NAME.xml` there, as libvirt does.
    pub definitions: Option<PathBuf>,
    /// Accepts, and never answers.
    pub frozen: bool,
    /// With a call of this name it freezes.
    pub freezes_on: Option<&'static str>,
    /// Calls of this name are never answered.
    pub hang_on: Option<&'static str>,
    /// Instead of answering calls of this name, it closes the connection, so many times.
    pub hang_up_on: Option<(&'static str, u32)>,
    /// Calls of this name are refused with this code and text.
    pub refuse: Option<(&'static str, i32, &'static str)>,
    /// Does not know the newer flags of an undefinition.
    pub before_8_9: bool,
    /// The flags of every request to shut down so far.
    pub shutdown_flags: Vec<u32>,
    /// Its guests have no agent.
    pub no_guest_agent: bool,
    /// What comes of a save that was to be given up.
    pub on_abort: OnAbort,
    /// The flags of every undefinition so far.
    pub undefine_flags: Vec<u32>,
    /// The flags of every description so far.
    pub xml_flags: Vec<u32>,
    /// Authentication methods it insists on.
    pub authentication: Vec<u32>,
    /// Whether polkit lets its clients pass.
    pub polkit_allows: bool,
}

/// The daemon; gone when dropped, as far as new connections are concerned.
#[derive(Debug)]
pub struct FakeLibvirtd {
    server: Scripted,
    world: Arc<Mutex<World>>,
}

impl FakeLibvirtd {
    /// A daemon with these domains.
    #[must_use]
    pub fn start(world: World) -> Self {
        let world = Arc::new(Mutex::new(world));
        let shared = Arc::clone(&world);
        Self { server: Scripted::start(move |stream| serve(stream, &shared)), world }
    }

    /// A daemon with one domain.
    #[must_use]
    pub fn with(domain: FakeDomain) -> Self {
        Self::start(World { domains: vec![domain], ..World::default() })
    }

    /// The directory with its socket, in place of `/run/libvirt`.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.server.directory()
    }

    /// What it has and was asked.
    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// Whether a call of this name was made.
    #[must_use]
    pub fn was_asked(&self, name: &str) -> bool {
        self.world().calls.iter().any(|call| call.split(' ').next() == Some(name))
    }
}

fn serve(mut stream: UnixStream, world: &Mutex<World>) {
    while let Some(question) = read_frame(&mut stream) {
        let (header, body) = Header::split(&question[4..]).unwrap();
        let reaction = {
            let mut world = world.lock().unwrap();
            if world.frozen { Reaction::Silence } else { world.react(header.procedure, body) }
        };
        let answer = match reaction {
            Reaction::Answer(answer) => answer,
            Reaction::HangUp => return,
            Reaction::Silence => {
                // As long as any test may wait; the client ends the connection.
                thread::sleep(Duration::from_secs(120));
                return;
            }
        };
        let frame = match answer {
            Ok(body) => reply_to(&question, Status::Ok, &body),
            Err((code, text)) => reply_to(&question, Status::Error, &fault(code, &text)),
        };
        if stream.write_all(&frame).is_err() {
            return;
        }
    }
}

enum Reaction {
    Answer(Answer),
    HangUp,
    Silence,
}

type Answer = Result<Vec<u8>, (i32, String)>;

/// A `remote_error` laid out as recorded: code, domain (QEMU), message, level, no domain, three strings, ints.
fn fault(code: i32, text: &str) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.i32(code);
    writer.i32(10);
    writer.optional_string(Some(text));
    writer.i32(2);
    writer.u32(0);
    writer.optional_string(Some("%s"));
    writer.optional_string(Some(text));
    writer.optional_string(None);
    writer.i32(-1);
    writer.i32(-1);
    writer.u32(0);
    writer.into_bytes()
}

fn invalid(text: &str) -> (i32, String) {
    (55, format!("Requested operation is not valid: {text}"))
}

fn words(words: &[i32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

impl World {
    fn react(&mut self, procedure: i32, body: &[u8]) -> Reaction {
        let mut reader = Reader::new(body);
        let name = procedures::name(procedure);
        let argument = procedures::argument(procedure, &mut reader);
        self.calls.push(format!("{name} {argument}").trim().to_owned());
        if procedure == 14 {
            self.xml_flags.push(reader.u32().unwrap());
        }
        if self.freezes_on == Some(name) {
            self.frozen = true;
            return Reaction::Silence;
        }
        if self.hang_on == Some(name) {
            self.begin(procedure, &argument);
            self.waiting.push((procedure, body.to_vec()));
            return Reaction::Silence;
        }
        if let Some((on, times @ 1..)) = &mut self.hang_up_on {
            if *on == name {
                *times -= 1;
                return Reaction::HangUp;
            }
        }
        if let Some((on, code, text)) = self.refuse {
            if on == name {
                return Reaction::Answer(Err((code, text.to_owned())));
            }
        }
        Reaction::Answer(match procedure {
            66 => {
                let count = i32::try_from(self.authentication.len()).unwrap();
                let methods =
                    self.authentication.iter().map(|method| i32::try_from(*method).unwrap());
                Ok(words(&std::iter::once(count).chain(methods).collect::<Vec<_>>()))
            }
            70 if self.polkit_allows => Ok(words(&[1])),
            70 => Err((45, "authentication failed: access denied by policy".to_owned())),
            1 | 2 => Ok(Vec::new()),
            273 => Ok(self.list()),
            10 => {
                let xml = reader.string().unwrap();
                self.create(xml, reader.u32().unwrap())
            }
            164 | 183 | 184 | 196 | 232 | 233 | 235 | 258 | 350 => {
                self.newer(procedure, &argument, &mut reader)
            }
            23 => {
                let missing =
                    || (42, format!("Domain not found: no domain with matching name '{argument}'"));
                self.domains.iter().find(|d| d.name == argument).map(encoded).ok_or_else(missing)
            }
            231 => {
                let flags = reader.u32().unwrap();
                self.undefine_flags.push(flags);
                let unknown = if self.before_8_9 { flags & !0x1f } else { flags & !0x7f };
                if unknown == 0 {
                    self.on_domain(procedure, &argument)
                } else {
                    Err((
                        8,
                        format!(
                            "unsupported flags ({unknown:#x}) in function qemuDomainUndefineFlags"
                        ),
                    ))
                }
            }
            _ => self.on_domain(procedure, &argument),
        })
    }

    fn list(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        let count = u32::try_from(self.domains.len()).unwrap();
        writer.u32(count);
        for domain in &self.domains {
            domain.reference().encode(&mut writer);
        }
        writer.u32(count);
        writer.into_bytes()
    }

    fn on_domain(&mut self, procedure: i32, uuid: &str) -> Answer {
        let wanted: Uuid = uuid.parse().unwrap();
        let missing = || (42, format!("Domain not found: no domain with matching uuid '{uuid}'"));
        let at = self.domains.iter().position(|d| d.uuid == wanted).ok_or_else(missing)?;
        let domain = &mut self.domains[at];
        match procedure {
            14 => return Ok(domain.description()),
            16 => return Ok(domain.size()),
            24 => return Ok(encoded(domain)),
            28 => return domain.resume(),
            212 => return Ok(words(&[domain.state, domain.reason])),
            151 => return Ok(words(&[i32::from(domain.persistent)])),
            234 => {
                if let Some(refusal) = &self.refuse_destroy {
                    return Err(refusal.clone());
                }
                if !domain.is_active() {
                    return Err(invalid("domain is not running"));
                }
                self.end(at, 2);
            }
            231 => {
                if domain.managed_save {
                    return Err(invalid(
                        "Refusing to undefine while domain managed save image exists",
                    ));
                }
                if !domain.persistent {
                    return Err(invalid("cannot undefine transient domain"));
                }
                domain.persistent = false;
                if let Some(directory) = &self.definitions {
                    let _ = std::fs::remove_file(directory.join(format!("{}.xml", domain.name)));
                }
                if !domain.is_active() {
                    self.domains.remove(at);
                }
            }
            other => panic!("the fake libvirtd has no procedure {other}"),
        }
        Ok(Vec::new())
    }

    fn end(&mut self, at: usize, reason: i32) {
        if self.domains[at].persistent {
            self.domains[at].state = 5;
            self.domains[at].reason = reason;
        } else {
            self.domains.remove(at);
        }
    }
}
