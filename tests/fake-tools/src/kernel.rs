//! A kernel with DRBD's module, in a vector: questions over its socket are answered from a view or from a recording, in
//! the messages of 8.4 or 9, and it misbehaves as it is told. Invariant: it does only what it was asked, and remembers
//! every question in order.

mod encode;
mod faults;
mod recording;
mod socket;

pub use self::faults::{Asked, Faults};
pub use self::recording::dumped;

use self::encode::{Encoder, Key, keys};
use self::recording::recording;
use duet_drbd::netlink::Writer;
use duet_drbd::{Change, Verb, Version, View};
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

/// The family's number.
pub const FAMILY: u16 = 32;
/// Its group's.
const EVENTS: u32 = 9;
/// The family of families, and its group.
const CONTROLLER: u16 = 16;
const CONTROL_GROUP: u32 = 16;
/// The type of the message that stands for joining a group.
const JOIN: u16 = 0x7fff;
const DONE: u16 = 3;
const ERROR: u16 = 2;
const INTERRUPTED: u16 = 0x10;
const INITIAL_STATE: u8 = 38;

/// What it has, does and was asked.
#[derive(Debug)]
pub struct Module {
    /// The driver's version; the messages are this driver's.
    pub version: Version,
    /// What it answers from.
    pub view: View,
    /// Answers by command, whole messages, in place of the view.
    pub recorded: Option<BTreeMap<u8, Vec<Vec<u8>>>>,
    /// What it does wrong.
    pub faults: Faults,
    /// Every question so far.
    pub asked: Vec<Asked>,
    root: PathBuf,
    is_loaded: bool,
    sequence: u32,
    listeners: Vec<(u32, Arc<OwnedFd>)>,
}

/// The kernel; gone when dropped, as far as new connections are concerned.
#[derive(Debug)]
pub struct FakeKernel {
    directory: TempDir,
    module: Arc<Mutex<Module>>,
}

impl FakeKernel {
    /// A kernel in which this driver is loaded and has this view.
    #[must_use]
    pub fn start(version: Version, view: View) -> FakeKernel {
        let directory = tempfile::tempdir().unwrap();
        let listener = socket::listener(&directory.path().join("kernel"));
        let module = Arc::new(Mutex::new(Module {
            version,
            view,
            recorded: None,
            faults: Faults::default(),
            asked: Vec::new(),
            root: directory.path().join("root"),
            is_loaded: true,
            sequence: 100,
            listeners: Vec::new(),
        }));
        let shared = Arc::clone(&module);
        thread::spawn(move || {
            while let Some(connection) = socket::next(&listener) {
                let (connection, module) = (Arc::new(connection), Arc::clone(&shared));
                thread::spawn(move || serve(&connection, &module));
            }
        });
        let kernel = FakeKernel { directory, module };
        kernel.write_files(version);
        kernel
    }

    /// A kernel that answers as `file` of the driver was recorded to (`nl-….txt` in `tests/recorded/drbd/netlink`).
    #[must_use]
    pub fn recorded(version: Version, file: &str) -> FakeKernel {
        let kernel = FakeKernel::start(version, View::default());
        kernel.module().recorded = Some(recording(version, file));
        kernel
    }

    /// A kernel without the module.
    #[must_use]
    pub fn without_module(version: Version) -> FakeKernel {
        let kernel = FakeKernel::start(version, View::default());
        kernel.unload();
        kernel
    }

    /// What a program that is built for it has to have in its environment.
    #[must_use]
    pub fn environment(&self) -> [(&'static str, PathBuf); 2] {
        [
            ("DUET_STUB_KERNEL", self.directory.path().join("kernel")),
            ("DUET_STUB_ROOT", self.root()),
        ]
    }

    /// What stands for `/` where files of the kernel are read.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.directory.path().join("root")
    }

    /// What it has and was asked.
    ///
    /// # Panics
    /// If a test panicked while it held this.
    pub fn module(&self) -> MutexGuard<'_, Module> {
        self.module.lock().unwrap()
    }

    /// What it was asked so far.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.module().asked.clone()
    }

    /// Changes what it has, and tells whoever listens.
    pub fn change(&self, change: impl FnOnce(&mut View)) {
        let mut module = self.module();
        let before = module.view.clone();
        change(&mut module.view);
        for message in module.difference(&before) {
            module.tell(EVENTS, &message);
        }
    }

    /// Tells whoever listens that a helper is called, or has answered.
    pub fn helper(&self, change: &Change) {
        let mut module = self.module();
        let sequence = module.next_sequence();
        let message = module.encoder().helper(change, sequence);
        module.tell(EVENTS, &message);
    }

    /// Tells whoever listens these bytes.
    pub fn tell(&self, datagram: &[u8]) {
        self.module().tell(EVENTS, datagram);
    }

    /// Ends the connection of whoever listens: what the kernel does when it had to lose something.
    pub fn drop_streams(&self) {
        for (_, listener) in self.module().listeners.drain(..) {
            socket::hang_up(&listener);
        }
    }

    /// Unloads the module, and says so in the controller's group.
    pub fn unload(&self) {
        self.module().unload();
    }

    /// Loads the module of this version, without resources, and says so in the controller's group.
    pub fn load(&self, version: Version) {
        let mut module = self.module();
        module.is_loaded = true;
        module.version = version;
        module.view = View::default();
        self.write_files(version);
        let come = module.family(0);
        module.tell(CONTROL_GROUP, &come);
    }

    fn write_files(&self, version: Version) {
        let module = self.root().join("sys/module/drbd");
        let proc = self.root().join("proc");
        std::fs::create_dir_all(&module).unwrap();
        std::fs::create_dir_all(&proc).unwrap();
        std::fs::write(module.join("version"), format!("{version}\n")).unwrap();
        let line = format!("version: {version} (api:2/proto:86-124)\n");
        std::fs::write(proc.join("drbd"), line).unwrap();
    }
}

impl Module {
    fn unload(&mut self) {
        self.is_loaded = false;
        let gone = Writer::new(CONTROLLER, 0, 0).command(2, 2).attribute(1, &FAMILY.to_ne_bytes());
        let gone = gone.text(2, "drbd").finish();
        self.tell(CONTROL_GROUP, &gone);
        let _ = std::fs::remove_dir_all(&self.root);
        std::fs::create_dir_all(&self.root).unwrap();
    }

    fn encoder(&self) -> Encoder {
        let has_more = self.faults.has_new_attributes;
        Encoder { id: FAMILY, version: self.version, has_more }
    }

    fn next_sequence(&mut self) -> u32 {
        self.sequence += 1;
        self.sequence
    }

    fn tell(&mut self, group: u32, datagram: &[u8]) {
        self.listeners.retain(|(joined, fd)| {
            let has_it = *joined != group || socket::announce(fd, datagram);
            if !has_it {
                // Like the kernel, which drops what does not fit and tells the reader that it did.
                socket::hang_up(fd);
            }
            has_it
        });
    }

    /// What is told where the view was `before`.
    fn difference(&mut self, before: &View) -> Vec<Vec<u8>> {
        let encoder = self.encoder();
        let (old, new) = (keys(before), keys(&self.view));
        let gone =
            old.iter().rev().filter(|key| !new.contains(key)).map(|key| (key, Verb::Destroy));
        let now = new.iter().filter_map(|key| {
            let of = |view: &View| encoder.message(view, key, None, 0);
            if !old.contains(key) {
                return Some((key, Verb::Create));
            }
            (of(before) != of(&self.view)).then_some((key, Verb::Change))
        });
        let changes: Vec<(Key, Verb)> =
            gone.chain(now).map(|(key, verb)| (key.clone(), verb)).collect();
        let mut messages = Vec::new();
        for (index, (key, verb)) in changes.iter().enumerate() {
            let sequence = self.next_sequence();
            let view = if *verb == Verb::Destroy { before } else { &self.view };
            let continues = index + 1 < changes.len();
            messages.push(encoder.message(view, key, Some((verb, continues)), sequence));
        }
        if encoder.family_version() == 1 && !messages.is_empty() {
            // 8.4 says it in its old way as well.
            messages.push(encoder.bare(1, self.next_sequence(), 101));
        }
        messages
    }

    /// The answer to a dump, message by message, without the end.
    fn dump(&mut self, command: u8, sequence: u32) -> Vec<Vec<u8>> {
        let encoder = self.encoder();
        if let Some(recorded) = &self.recorded {
            let messages = recorded.get(&command).cloned().unwrap_or_default();
            return messages.into_iter().filter(|message| message[4..6] != [3, 0]).collect();
        }
        let is_initial = command == INITIAL_STATE;
        let all = keys(&self.view);
        let mut told: Vec<Key> =
            all.into_iter().filter(|key| is_initial || key.command() == command).collect();
        if encoder.family_version() == 1 && !is_initial {
            // As 8.4.11: what has no configuration is told by the initial state alone.
            told.retain(|key| !key.is_standalone(&self.view));
        }
        if self.faults.forgets_resources {
            told.retain(|key| !matches!(key, Key::Resource(_)));
        }
        let last = told.len().saturating_sub(1);
        let message = |(index, key): (usize, &Key)| {
            let verb = is_initial.then_some((&Verb::Exists, index < last));
            encoder.message(&self.view, key, verb, sequence)
        };
        let mut messages: Vec<Vec<u8>> = told.iter().enumerate().map(message).collect();
        if is_initial {
            messages.push(encoder.initial_done(sequence));
        }
        if self.faults.removed_after == Some(command) {
            self.view = View::default();
        }
        messages
    }

    fn family(&self, sequence: u32) -> Vec<u8> {
        if !self.is_loaded || self.faults.no_family {
            return not_there(sequence);
        }
        let version = self.faults.family_version.unwrap_or(self.encoder().family_version().into());
        let writer = Writer::new(CONTROLLER, 0, sequence)
            .command(1, 2)
            .text(2, "drbd")
            .attribute(1, &FAMILY.to_ne_bytes())
            .attribute(3, &version.to_ne_bytes())
            .attribute(4, &8_u32.to_ne_bytes())
            .attribute(5, &34_u32.to_ne_bytes());
        if self.faults.no_group {
            return writer.finish();
        }
        let group = |w: Writer| w.attribute(2, &EVENTS.to_ne_bytes()).text(1, "events");
        writer.nested(7, |groups| groups.nested(1, group)).finish()
    }
}

/// What the kernel says of a family that it does not have.
fn not_there(sequence: u32) -> Vec<u8> {
    let enoent = u32::from_ne_bytes((-2_i32).to_ne_bytes());
    Writer::new(ERROR, 0, sequence).word(enoent).word(0).finish()
}

fn serve(connection: &Arc<OwnedFd>, module: &Mutex<Module>) {
    while let Some(request) = socket::request(connection) {
        let word = |at: usize| u32::from_ne_bytes(request[at..at + 4].try_into().unwrap());
        let kind = u16::from_ne_bytes([request[4], request[5]]);
        let (sequence, command) = (word(8), request[16]);
        let mut module = module.lock().unwrap();
        let sequence = sequence + u32::from(module.faults.is_out_of_sequence);
        let faults = module.faults.clone();
        if kind == JOIN {
            module.asked.push(Asked::Join(word(16)));
            module.listeners.push((word(16), Arc::clone(connection)));
            // Joining is a call that returns when it is done.
            socket::tell(connection, &Writer::new(ERROR, 0, sequence).word(0).finish());
            continue;
        }
        let is_family = kind == CONTROLLER;
        module.asked.push(if is_family { Asked::Family } else { Asked::Dump(command) });
        if faults.hang_on == Some(command) {
            continue;
        }
        if is_family {
            socket::tell(connection, &module.family(sequence));
            continue;
        }
        if faults.unloads_on == Some(command) {
            module.unload();
        }
        if !module.is_loaded {
            socket::tell(connection, &not_there(sequence));
            continue;
        }
        let interrupted = faults.interrupted > 0;
        module.faults.interrupted = faults.interrupted.saturating_sub(1);
        let mut answer = module.dump(command, sequence);
        let encoder = module.encoder();
        // From here on it may take long, and others may ask.
        drop(module);
        for message in &mut answer {
            message[4..6].copy_from_slice(&FAMILY.to_ne_bytes());
            message[8..12].copy_from_slice(&sequence.to_ne_bytes());
            if faults.truncate_on == Some(command) {
                message.truncate(message.len() / 2);
            }
        }
        if let Some((_, code)) = faults.refuse_on.filter(|(of, _)| *of == command) {
            let refusal = encoder.bare(command, sequence, code);
            while socket::tell(connection, &refusal) {}
            return;
        }
        if faults.repeat_on == Some(command) {
            let first = answer.first().expect("there is something to repeat");
            while socket::tell(connection, first) {
                // As a module does that answers as fast as it is read.
                thread::sleep(Duration::from_micros(20));
            }
            return;
        }
        let flags = 2 | if interrupted { INTERRUPTED } else { 0 };
        answer.push(Writer::new(DONE, flags, sequence).word(0).finish());
        for message in answer {
            if !socket::tell(connection, &message) {
                return;
            }
        }
    }
}
