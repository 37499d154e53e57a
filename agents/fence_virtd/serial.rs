//! Serial lines and channels of guests: which there are, and talking over them. Invariant: who asks is whose device it is, as libvirt says,
//! whatever the guest claims.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    time::Duration,
};

use duet_domain::Uuid;
use duet_libvirt_rpc::{DomainRef, Error};
use quick_xml::{
    Reader,
    events::{BytesStart, Event},
};

use crate::{backend::Backend, settings::SerialMode};

/// How often libvirt is asked whose lines there are.
pub(crate) const LOOK: Duration = Duration::from_secs(2);

/// How long it may take to say.
pub(crate) const LIMIT: Duration = Duration::from_secs(5);

/// The run of a guest, and the sockets of its devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Guest {
    pub(crate) name: String,
    pub(crate) run: i32,
    pub(crate) sockets: Vec<PathBuf>,
}

/// The guests that run, and what devices are looked for.
#[derive(Debug, Clone)]
pub(crate) struct Lines {
    pub(crate) mode: SerialMode,
    pub(crate) path: Option<PathBuf>,
    pub(crate) guests: HashMap<Uuid, Guest>,
}

/// Looks anew. A guest whose run is known is not described again.
///
/// # Errors
/// libvirt could not be asked.
pub(crate) fn look(backend: &Backend, mut lines: Lines) -> Result<Lines, Error> {
    let before = std::mem::take(&mut lines.guests);
    for reference in backend.running()? {
        let DomainRef { name, uuid, id } = &reference;
        let guest = match before.get(uuid) {
            Some(guest) if guest.run == *id => guest.clone(),
            _ => {
                let xml = match backend.describe(&reference) {
                    Ok(xml) => xml,
                    // It has ended meanwhile.
                    Err(Error::NoDomain(_)) => continue,
                    Err(error) => return Err(error),
                };
                let sockets = sockets(&xml, lines.mode, lines.path.as_deref());
                Guest { name: name.clone(), run: *id, sockets }
            }
        };
        lines.guests.insert(*uuid, guest);
    }
    Ok(lines)
}

/// The sockets that QEMU listens on for devices of this kind: directly in the directory, where one is given.
pub(crate) fn sockets(xml: &str, mode: SerialMode, directory: Option<&Path>) -> Vec<PathBuf> {
    let wanted: &[u8] = match mode {
        SerialMode::Serial => b"serial",
        SerialMode::Channel => b"channel",
    };
    let mut reader = Reader::from_str(xml);
    let mut above: Vec<Vec<u8>> = Vec::new();
    let mut device: Option<Device> = None;
    let mut found = Vec::new();
    loop {
        let (tag, is_empty) = match reader.read_event() {
            Ok(Event::Start(tag)) => (tag, false),
            Ok(Event::Empty(tag)) => (tag, true),
            Ok(Event::End(_)) => {
                above.pop();
                if above.len() == 2 {
                    found.extend(device.take().and_then(|device| device.socket(directory)));
                }
                continue;
            }
            Ok(Event::Eof) | Err(_) => return found,
            Ok(_) => continue,
        };
        let name = tag.name().as_ref().to_vec();
        let is_device = above.len() == 2 && above[1] == b"devices";
        if is_device && name == wanted && attribute(&tag, "type").as_deref() == Some("unix") {
            device = Some(Device::default());
        } else if let (3, Some(device)) = (above.len(), &mut device) {
            device.child(&name, &tag);
        }
        if !is_empty {
            above.push(name);
        }
    }
}

#[derive(Default)]
struct Device {
    path: Option<PathBuf>,
    is_agents: bool,
}

impl Device {
    fn child(&mut self, name: &[u8], tag: &BytesStart<'_>) {
        match name {
            b"source" if attribute(tag, "mode").as_deref() == Some("bind") => {
                self.path = attribute(tag, "path").map(PathBuf::from);
            }
            // libvirt itself is at the other end of the guest agent's.
            b"target" => {
                self.is_agents = attribute(tag, "name")
                    .is_some_and(|name| name.starts_with("org.qemu.guest_agent"));
            }
            _ => {}
        }
    }

    fn socket(self, directory: Option<&Path>) -> Option<PathBuf> {
        let path = self.path.filter(|path| path.is_absolute() && !self.is_agents)?;
        let is_inside = directory.is_none_or(|directory| path.parent() == Some(directory));
        is_inside.then_some(path)
    }
}

fn attribute(tag: &BytesStart<'_>, name: &str) -> Option<String> {
    let attribute = tag.try_get_attribute(name).ok()??;
    attribute.unescape_value().ok().map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    const XML: &str = "<domain type='kvm'><name>a</name><devices>
        <serial type='pty'><target port='0'/></serial>
        <serial type='unix'><source mode='bind' path='/s/one'/><target port='1'/></serial>
        <serial type='unix'><source mode='connect' path='/s/two'/></serial>
        <console type='unix'><source mode='bind' path='/s/one'/></console>
        <channel type='unix'><source mode='bind' path='/c/a&amp;b'/><target type='guestfwd' address='10.0.2.179' port='1229'/></channel>
        <channel type='unix'><source mode='bind' path='/c/deep/three'/><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
        </devices><metadata><serial type='unix'><source mode='bind' path='/s/x'/></serial></metadata></domain>";

    fn found(mode: SerialMode, directory: Option<&str>) -> Vec<PathBuf> {
        sockets(XML, mode, directory.map(Path::new))
    }

    #[test]
    fn sockets_that_qemu_listens_on_are_found_by_kind_and_place() {
        let one = [PathBuf::from("/s/one")];
        assert_eq!(found(SerialMode::Serial, None), one);
        assert_eq!(found(SerialMode::Serial, Some("/s")), one);
        assert!(found(SerialMode::Serial, Some("/")).is_empty());
        assert_eq!(found(SerialMode::Channel, None), [PathBuf::from("/c/a&b")]);
    }

    #[test]
    fn what_is_no_description_has_none() {
        for xml in ["", "<domain>", "<domain><devices><serial type='unix'>", "\u{0}<<"] {
            assert!(sockets(xml, SerialMode::Serial, None).is_empty());
        }
    }
}
