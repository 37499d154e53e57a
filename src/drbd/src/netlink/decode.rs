//! What DRBD's messages say about objects. The attributes are those of `drbd_genl.h`, checked against recordings of
//! 8.4.11, 9.2.16 and 9.3.3. Invariant: the table of raw numbers goes by the driver; a state that a message about an
//! object leaves out is unknown from then on, not what it was.

use super::attributes::{fields, flag, name, text, u32, u32_at, u64};
use super::family::{Family, GENERIC_HEADER, OWN_HEADER};
use super::{Error, Said};
use crate::{Change, Connection, Disk, Generation, Object, Replication, Role, Suspended, Verb};

/// `NO_ERROR`.
const NO_ERROR: u32 = 101;
/// "More messages of the same change follow", in the type of a notification.
const CONTINUES: u32 = 0x8000;
/// A minor number that is none.
const NO_MINOR: u32 = u32::MAX;
/// The name of the one peer on 8.4, where drbdsetup prints one.
const ONLY_PEER: &str = "peer";
/// The peer that 8.4 has.
const ONLY_PEER_ID: u32 = 0;
/// 8.4's one scale: from here on it is connected. That is what `WFReportParams` was called; the connection keeps it
/// while the replication goes on from 10.
const V8_CONNECTED: u32 = 9;
/// 8.4's one scale: the last state of it.
const V8_LAST: u32 = 23;

/// Outer attributes.
mod part {
    pub(super) const CONTEXT: u16 = 2;
    pub(super) const RESOURCE_OPTIONS: u16 = 4;
    pub(super) const RESOURCE: u16 = 15;
    pub(super) const DEVICE: u16 = 16;
    pub(super) const CONNECTION: u16 = 17;
    pub(super) const PEER_DEVICE: u16 = 18;
    pub(super) const PEER_DEVICE_STATISTICS: u16 = 22;
    pub(super) const NOTIFICATION: u16 = 23;
    pub(super) const HELPER: u16 = 24;
    pub(super) const RENAMED: u16 = 32;
}

/// Commands.
mod command {
    /// 8.4 only: everything about one minor, which the others say as well.
    pub(super) const OLD_STATUS: u8 = 1;
    pub(super) const GET_RESOURCES: u8 = 30;
    pub(super) const GET_DEVICES: u8 = 31;
    pub(super) const GET_CONNECTIONS: u8 = 32;
    pub(super) const GET_PEER_DEVICES: u8 = 33;
    pub(super) const RESOURCE: u8 = 34;
    pub(super) const DEVICE: u8 = 35;
    pub(super) const CONNECTION: u8 = 36;
    pub(super) const PEER_DEVICE: u8 = 37;
    pub(super) const HELPER: u8 = 40;
    pub(super) const INITIAL_STATE_DONE: u8 = 41;
    pub(super) const PATH: u8 = 48;
}

/// One message of the family.
pub(super) struct Statement<'a> {
    pub(super) command: u8,
    minor: Option<u32>,
    attributes: &'a [u8],
}

/// Who it is about.
struct Context {
    resource: String,
    volume: Option<u32>,
    peer: Option<u32>,
    peer_name: Option<String>,
}

impl<'a> Statement<'a> {
    /// Takes the headers off.
    pub(super) fn split(body: &'a [u8], family: Family) -> Result<Statement<'a>, Error> {
        const CUT: Error = Error::Malformed("it ends within DRBD's header");
        let own = GENERIC_HEADER;
        let end = own + OWN_HEADER as usize;
        let [command, version, ..] = *body else { return Err(CUT) };
        let (Some(minor), Some(code)) = (u32_at(body, own), u32_at(body, own + 4)) else {
            return Err(CUT);
        };
        if version != family.version_byte() {
            return Err(Error::Malformed("it is of another version of the family"));
        }
        if code != NO_ERROR {
            return Err(Error::Refused(code));
        }
        let minor = Some(minor).filter(|minor| *minor != NO_MINOR);
        Ok(Statement { command, minor, attributes: &body[end..] })
    }

    /// Whether it is of those that the initial state and the group consist of.
    pub(super) fn is_notification(&self) -> bool {
        !(command::GET_RESOURCES..=command::GET_PEER_DEVICES).contains(&self.command)
    }

    /// What it says.
    pub(super) fn change(&self, generation: Generation) -> Result<Said, Error> {
        use command::{
            CONNECTION, DEVICE, GET_CONNECTIONS, GET_DEVICES, GET_PEER_DEVICES, GET_RESOURCES,
            HELPER, INITIAL_STATE_DONE, OLD_STATUS, PATH, PEER_DEVICE, RESOURCE,
        };
        let unrecognized = |what: String| {
            let change = Change { verb: Verb::Change, object: Object::Unrecognized(what) };
            Ok(Said::Change(Box::new(change)))
        };
        let verb = match self.command {
            OLD_STATUS if generation == Generation::V8 => return Ok(Said::Nothing),
            GET_RESOURCES..=GET_PEER_DEVICES => Some(Verb::Exists),
            RESOURCE..=PEER_DEVICE | HELPER | INITIAL_STATE_DONE | PATH => self.verb()?,
            other => return unrecognized(format!("command {other}")),
        };
        let is_state = self.command != HELPER;
        let verb = match verb {
            Some(verb @ (Verb::Call | Verb::Response)) if !is_state => verb,
            Some(verb @ (Verb::Exists | Verb::Create | Verb::Change | Verb::Destroy))
                if is_state =>
            {
                verb
            }
            Some(verb @ Verb::Rename) if self.command == RESOURCE => verb,
            _ => return unrecognized(format!("notification of command {}", self.command)),
        };
        let object = match self.command {
            INITIAL_STATE_DONE => Object::End,
            GET_RESOURCES | RESOURCE => self.resource(&verb, generation)?,
            GET_DEVICES | DEVICE => self.device(&verb, generation)?,
            GET_CONNECTIONS | CONNECTION => self.connection(&verb, generation)?,
            GET_PEER_DEVICES | PEER_DEVICE => self.peer_device(&verb, generation)?,
            HELPER => self.helper(&verb, generation)?,
            _ => Object::Path { resource: self.context(generation)?.resource },
        };
        Ok(Said::Change(Box::new(Change { verb, object })))
    }

    /// What happened, in a notification; `None` for a word that was not known when this was written.
    fn verb(&self) -> Result<Option<Verb>, Error> {
        let [header] = fields(self.attributes, [part::NOTIFICATION])?;
        let [kind] = fields(header.unwrap_or_default(), [1])?;
        let kind = u32(kind.ok_or(Error::Malformed("a notification that does not say of what"))?)?;
        Ok(match kind & !CONTINUES {
            0 => Some(Verb::Exists),
            1 => Some(Verb::Create),
            2 => Some(Verb::Change),
            3 => Some(Verb::Destroy),
            4 => Some(Verb::Call),
            5 => Some(Verb::Response),
            6 => Some(Verb::Rename),
            _ => None,
        })
    }

    fn context(&self, generation: Generation) -> Result<Context, Error> {
        let [context] = fields(self.attributes, [part::CONTEXT])?;
        let [volume, resource, address, peer_name, peer] =
            fields(context.unwrap_or_default(), [1, 2, 4, 5, 6])?;
        let resource =
            name(resource.ok_or(Error::Malformed("it does not say of which resource"))?)?;
        let (peer, peer_name) = match generation {
            Generation::V9 => (peer.map(u32).transpose()?, peer_name.map(name).transpose()?),
            // One peer, known by its address alone.
            Generation::V8 => {
                address.map_or((None, None), |_| (Some(ONLY_PEER_ID), Some(ONLY_PEER.to_owned())))
            }
        };
        Ok(Context { resource, volume: volume.map(u32).transpose()?, peer, peer_name })
    }

    fn resource(&self, verb: &Verb, generation: Generation) -> Result<Object, Error> {
        let Context { resource, .. } = self.context(generation)?;
        let [options, info, renamed] =
            fields(self.attributes, [part::RESOURCE_OPTIONS, part::RESOURCE, part::RENAMED])?;
        let [new_name] = fields(renamed.unwrap_or_default(), [1])?;
        let new_name = new_name.map(name).transpose()?;
        if *verb == Verb::Rename && new_name.is_none() {
            return Err(Error::Malformed("a new name that is not said"));
        }
        let [node_id] = fields(options.unwrap_or_default(), [4])?;
        let [role, user, no_data, fencing, quorum, fails] =
            fields(info.unwrap_or_default(), [1, 2, 3, 4, 5, 6])?;
        let (node_id, quorum, fails) = match generation {
            Generation::V9 => (node_id, quorum, fails),
            Generation::V8 => (None, None, None),
        };
        let is_whole = [user, no_data, fencing].iter().all(Option::is_some);
        let yes = |value: Option<&[u8]>| value.map_or(Ok(false), flag);
        let suspended = Suspended {
            user: yes(user)?,
            no_data: yes(no_data)?,
            fencing: yes(fencing)?,
            quorum: yes(quorum)?,
            unrecognized: !is_whole,
        };
        let says = says_state(verb) || info.is_some();
        Ok(Object::Resource {
            resource,
            new_name,
            node_id: node_id.map(u32).transpose()?,
            role: state(says, role, |raw| Role::from_raw(raw, generation), Role::Unrecognized)?,
            suspended: says.then_some(suspended),
            force_io_failures: fails.map(flag).transpose()?,
            may_promote: None,
            promotion_score: None,
        })
    }

    fn device(&self, verb: &Verb, generation: Generation) -> Result<Object, Error> {
        let Context { resource, volume, .. } = self.context(generation)?;
        let [info] = fields(self.attributes, [part::DEVICE])?;
        let [disk, client, quorum, backing, open] =
            fields(info.unwrap_or_default(), [1, 2, 3, 4, 5])?;
        let (client, quorum, backing, open) = match generation {
            Generation::V9 => (client, quorum, backing, open),
            Generation::V8 => (None, None, None, None),
        };
        let says = says_state(verb) || info.is_some();
        Ok(Object::Device {
            resource,
            volume: of_volume(volume)?,
            minor: self.minor,
            disk: state(says, disk, |raw| Disk::from_raw(raw, generation), Disk::Unrecognized)?,
            client: client.map(flag).transpose()?,
            quorum: quorum.map(flag).transpose()?,
            open: open.map(flag).transpose()?,
            backing: backing.map(|value| text(value).map(str::to_owned)).transpose()?,
        })
    }

    fn connection(&self, verb: &Verb, generation: Generation) -> Result<Object, Error> {
        let Context { resource, peer, peer_name, .. } = self.context(generation)?;
        let [info] = fields(self.attributes, [part::CONNECTION])?;
        let [connection, role] = fields(info.unwrap_or_default(), [1, 2])?;
        let says = says_state(verb) || info.is_some();
        Ok(Object::Connection {
            resource,
            peer: of_peer(peer, generation)?,
            name: peer_name,
            connection: state(
                says,
                connection,
                |raw| connection_of(raw, generation),
                Connection::Unrecognized,
            )?,
            role: state(says, role, |raw| Role::from_raw(raw, generation), Role::Unrecognized)?,
        })
    }

    fn peer_device(&self, verb: &Verb, generation: Generation) -> Result<Object, Error> {
        let Context { resource, volume, peer, .. } = self.context(generation)?;
        let [info, statistics] =
            fields(self.attributes, [part::PEER_DEVICE, part::PEER_DEVICE_STATISTICS])?;
        let [replication, disk, client] = fields(info.unwrap_or_default(), [1, 2, 6])?;
        let client = client.filter(|_| generation == Generation::V9);
        let [out_of_sync] = fields(statistics.unwrap_or_default(), [5])?;
        let says = says_state(verb) || info.is_some();
        Ok(Object::PeerDevice {
            resource,
            peer: of_peer(peer, generation)?,
            volume: of_volume(volume)?,
            replication: state(
                says,
                replication,
                |raw| replication_of(raw, generation),
                Replication::Unrecognized,
            )?,
            disk: state(says, disk, |raw| Disk::from_raw(raw, generation), Disk::Unrecognized)?,
            client: client.map(flag).transpose()?,
            // Sectors of 512 bytes.
            out_of_sync: out_of_sync.map(u64).transpose()?.map(|sectors| sectors.div_ceil(2)),
        })
    }

    fn helper(&self, verb: &Verb, generation: Generation) -> Result<Object, Error> {
        let Context { resource, volume, peer, .. } = self.context(generation)?;
        let [info] = fields(self.attributes, [part::HELPER])?;
        let [helper, status] = fields(info.unwrap_or_default(), [1, 2])?;
        Ok(Object::Helper {
            resource,
            peer,
            volume,
            helper: name(helper.ok_or(Error::Malformed("a helper without a name"))?)?,
            status: status.filter(|_| *verb == Verb::Response).map(u32).transpose()?,
        })
    }
}

/// Whether such a message is there to tell the object's state.
fn says_state(verb: &Verb) -> bool {
    matches!(verb, Verb::Exists | Verb::Create | Verb::Change)
}

/// A state as its number says, where a message is there to say it; left out, it is one that no rule counts as good.
fn state<T>(
    says: bool,
    value: Option<&[u8]>,
    known: impl FnOnce(u32) -> T,
    unrecognized: impl FnOnce(String) -> T,
) -> Result<Option<T>, Error> {
    match value {
        Some(value) => Ok(Some(known(u32(value)?))),
        None => Ok(says.then(|| unrecognized("unsaid".to_owned()))),
    }
}

fn of_volume(volume: Option<u32>) -> Result<u32, Error> {
    volume.ok_or(Error::Malformed("it does not say of which volume"))
}

/// On 8.4 there is one peer, whether its address is said or not.
fn of_peer(peer: Option<u32>, generation: Generation) -> Result<u32, Error> {
    match generation {
        Generation::V8 => Ok(ONLY_PEER_ID),
        Generation::V9 => peer.ok_or(Error::Malformed("it does not say of which peer")),
    }
}

/// 8.4 has one scale for connection and replication, and says both on it.
fn connection_of(raw: u32, generation: Generation) -> Connection {
    match generation {
        Generation::V8 if (V8_CONNECTED..=V8_LAST).contains(&raw) => Connection::Connected,
        generation => Connection::from_raw(raw, generation),
    }
}

fn replication_of(raw: u32, generation: Generation) -> Replication {
    match generation {
        Generation::V8 if raw <= V8_CONNECTED => Replication::Off,
        generation => Replication::from_raw(raw, generation),
    }
}
