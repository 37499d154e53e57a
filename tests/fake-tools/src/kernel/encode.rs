//! A view as DRBD's module would put it into messages. Invariant: a message has what the recorded ones of its driver
//! have, as far as programs read it, with 8.4's numbers on 8.4.

use duet_drbd::netlink::Writer;
use duet_drbd::{
    Change, Connection, Disk, Generation, Object, Peer, PeerVolume, Replication, Resource, Role,
    Verb, Version, View, Volume,
};

const CONTINUES: u32 = 0x8000;
/// Higher than any number of a state.
const NEW_STATE: u32 = 99;

/// Who a message is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Key {
    Resource(String),
    Device(String, u32),
    Connection(String, u32),
    PeerDevice(String, u32, u32),
}

impl Key {
    /// Whether it is a connection that is StandAlone, or a volume at its other end.
    pub(super) fn is_standalone(&self, view: &View) -> bool {
        match self {
            Key::Connection(name, peer) | Key::PeerDevice(name, peer, _) => {
                view.resources[name].peers[peer].connection == Connection::StandAlone
            }
            Key::Resource(_) | Key::Device(..) => false,
        }
    }

    /// The dump that tells of it; four more is the notification.
    pub(super) fn command(&self) -> u8 {
        match self {
            Key::Resource(_) => 30,
            Key::Device(..) => 31,
            Key::Connection(..) => 32,
            Key::PeerDevice(..) => 33,
        }
    }
}

/// All that a view has, in the order in which it comes to be.
pub(super) fn keys(view: &View) -> Vec<Key> {
    let mut keys = Vec::new();
    for (name, resource) in &view.resources {
        keys.push(Key::Resource(name.clone()));
        keys.extend(resource.volumes.keys().map(|volume| Key::Device(name.clone(), *volume)));
        for (id, peer) in &resource.peers {
            keys.push(Key::Connection(name.clone(), *id));
            let volumes = peer.volumes.keys();
            keys.extend(volumes.map(|volume| Key::PeerDevice(name.clone(), *id, *volume)));
        }
    }
    keys
}

/// What all messages of a driver have in common.
#[derive(Debug, Clone, Copy)]
pub(super) struct Encoder {
    pub(super) id: u16,
    pub(super) version: Version,
    /// Whether there are attributes that nobody knows.
    pub(super) has_more: bool,
}

impl Encoder {
    fn generation(self) -> Generation {
        self.version.generation()
    }

    /// The version of the family.
    pub(super) fn family_version(self) -> u8 {
        match self.generation() {
            Generation::V8 => 1,
            Generation::V9 => 2,
        }
    }

    fn begin(self, command: u8, sequence: u32, minor: Option<u32>, code: u32) -> Writer {
        let writer = Writer::new(self.id, 2, sequence)
            .command(command, self.family_version())
            .word(minor.unwrap_or(u32::MAX))
            .word(code);
        if self.has_more { writer.attribute(120, b"?").nested(121, |w| w.word(0)) } else { writer }
    }

    /// A refusal, or with 101 a message about nothing.
    pub(super) fn bare(self, command: u8, sequence: u32, code: u32) -> Vec<u8> {
        self.begin(command, sequence, None, code).finish()
    }

    /// The end of the initial state.
    pub(super) fn initial_done(self, sequence: u32) -> Vec<u8> {
        self.begin(41, sequence, None, 101).nested(23, |h| h.attribute(1, &[0; 4])).finish()
    }

    /// What a dump says of an object, or with `verb` a notification.
    pub(super) fn message(
        self,
        view: &View,
        key: &Key,
        verb: Option<(&Verb, bool)>,
        sequence: u32,
    ) -> Vec<u8> {
        let (command, header) = match verb {
            None => (key.command(), None),
            Some((verb, continues)) => {
                let continues = if continues { CONTINUES } else { 0 };
                (key.command() + 4, Some(number_of(verb) | continues))
            }
        };
        let is_gone = verb.is_some_and(|(verb, _)| *verb == Verb::Destroy);
        let minor = match key {
            Key::Device(name, volume) => {
                view.resources.get(name).and_then(|r| r.volumes.get(volume)).and_then(|v| v.minor)
            }
            _ => None,
        };
        let mut writer = self.begin(command, sequence, minor, 101);
        writer = self.context(writer, view, key);
        if let Some(header) = header {
            writer = writer.nested(23, |inside| inside.attribute(1, &header.to_ne_bytes()));
        } else if let Key::Resource(name) = key {
            // Only dumps have options.
            if let Some(id) = view.resources[name].node_id {
                writer = writer.nested(4, |inside| inside.attribute(4, &id.to_ne_bytes()));
            }
        }
        if is_gone { writer.finish() } else { self.state(writer, view, key).finish() }
    }

    fn context(self, writer: Writer, view: &View, key: &Key) -> Writer {
        let (name, volume, peer) = match key {
            Key::Resource(name) => (name, None, None),
            Key::Device(name, volume) => (name, Some(*volume), None),
            Key::Connection(name, peer) => (name, None, Some(*peer)),
            Key::PeerDevice(name, peer, volume) => (name, Some(*volume), Some(*peer)),
        };
        let of_peer = peer.and_then(|id| view.resources.get(name)?.peers.get(&id));
        self.about(writer, name, volume, peer, of_peer.and_then(|peer| peer.name.as_deref()))
    }

    fn about(
        self,
        writer: Writer,
        name: &str,
        volume: Option<u32>,
        peer: Option<u32>,
        peer_name: Option<&str>,
    ) -> Writer {
        writer.nested(2, |mut inside| {
            if let Some(volume) = volume {
                inside = inside.attribute(1, &volume.to_ne_bytes());
            }
            inside = inside.text(2, name);
            match (peer, self.generation()) {
                (None, _) => inside,
                (Some(_), Generation::V8) => {
                    // 10.78.0.1 and 10.78.0.2, port 7789.
                    let address =
                        |host: u8| [2, 0, 0x1e, 0x6d, 10, 78, 0, host, 0, 0, 0, 0, 0, 0, 0, 0];
                    inside.attribute(3, &address(1)).attribute(4, &address(2))
                }
                (Some(id), Generation::V9) => {
                    let inside = inside.attribute(6, &id.to_ne_bytes());
                    let known = peer_name.map_or_else(|| format!("node{id}"), str::to_owned);
                    inside.text(5, &known)
                }
            }
        })
    }

    fn state(self, writer: Writer, view: &View, key: &Key) -> Writer {
        let of = |name: &String| &view.resources[name];
        match key {
            Key::Resource(name) => self.resource(writer, of(name)),
            Key::Device(name, volume) => self.device(writer, &of(name).volumes[volume]),
            Key::Connection(name, peer) => self.connection(writer, &of(name).peers[peer]),
            Key::PeerDevice(name, peer, volume) => {
                self.peer_device(writer, &of(name).peers[peer].volumes[volume])
            }
        }
    }

    fn resource(self, writer: Writer, resource: &Resource) -> Writer {
        writer.nested(15, |inside| {
            let why = resource.suspended;
            let inside = inside
                .attribute(1, &self.raw(&resource.role, Role::from_raw))
                .attribute(2, &[u8::from(why.user)])
                .attribute(3, &[u8::from(why.no_data)])
                .attribute(4, &[u8::from(why.fencing)]);
            match self.generation() {
                Generation::V8 => inside,
                Generation::V9 => inside
                    .attribute(5, &[u8::from(why.quorum)])
                    .attribute(6, &[u8::from(resource.force_io_failures == Some(true))]),
            }
        })
    }

    fn device(self, writer: Writer, volume: &Volume) -> Writer {
        writer.nested(16, |inside| {
            let mut inside = inside.attribute(1, &self.raw(&volume.disk, Disk::from_raw));
            if self.generation() == Generation::V8 {
                return inside;
            }
            for (kind, value) in [(2, volume.client), (3, volume.quorum), (5, volume.open)] {
                if let Some(value) = value {
                    inside = inside.attribute(kind, &[u8::from(value)]);
                }
            }
            match &volume.backing {
                Some(backing) => inside.text(4, backing),
                None => inside,
            }
        })
    }

    fn connection(self, writer: Writer, peer: &Peer) -> Writer {
        let connection = match (&peer.connection, self.generation()) {
            (Connection::Connected, Generation::V8) => 9_u32.to_ne_bytes(),
            (connection, _) => self.raw(connection, Connection::from_raw),
        };
        let role = self.raw(&peer.role, Role::from_raw);
        writer.nested(17, |inside| inside.attribute(1, &connection).attribute(2, &role))
    }

    fn peer_device(self, writer: Writer, volume: &PeerVolume) -> Writer {
        let replication = match (&volume.replication, self.generation()) {
            (Replication::Off, Generation::V8) => 9_u32.to_ne_bytes(),
            (replication, _) => self.raw(replication, Replication::from_raw),
        };
        let disk = self.raw(&volume.disk, Disk::from_raw);
        let writer = writer.nested(18, |inside| {
            let inside = inside.attribute(1, &replication).attribute(2, &disk);
            match (volume.client, self.generation()) {
                (Some(client), Generation::V9) => inside.attribute(6, &[u8::from(client)]),
                _ => inside,
            }
        });
        match volume.out_of_sync {
            Some(kib) => writer.nested(22, |inside| inside.attribute(5, &(kib * 2).to_ne_bytes())),
            None => writer,
        }
    }

    /// A call of a helper or its answer.
    pub(super) fn helper(self, change: &Change, sequence: u32) -> Vec<u8> {
        let Object::Helper { resource, peer, volume, helper, status } = &change.object else {
            panic!("only helpers are told like this; change the view for {change:?}");
        };
        let writer = self.begin(40, sequence, None, 101);
        let kind = number_of(&change.verb).to_ne_bytes();
        self.about(writer, resource, *volume, *peer, None)
            .nested(23, |inside| inside.attribute(1, &kind))
            .nested(24, |inside| {
                inside.text(1, helper).attribute(2, &status.unwrap_or(0).to_ne_bytes())
            })
            .finish()
    }

    /// The driver's number of a state; one that it does not have is one that nobody knows.
    fn raw<T: PartialEq>(self, state: &T, of: fn(u32, Generation) -> T) -> [u8; 4] {
        (0..64).find(|raw| of(*raw, self.generation()) == *state).unwrap_or(NEW_STATE).to_ne_bytes()
    }
}

fn number_of(verb: &Verb) -> u32 {
    match verb {
        Verb::Exists => 0,
        Verb::Create => 1,
        Verb::Change => 2,
        Verb::Destroy => 3,
        Verb::Call => 4,
        Verb::Response => 5,
        Verb::Rename => 6,
    }
}
