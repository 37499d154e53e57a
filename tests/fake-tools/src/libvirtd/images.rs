//! Saving, restoring, shutting down in a chosen way, and definitions, with the effects and the texts of libvirt 9.0. Invariant:
//! an image is a file with libvirt's own mark in front, so that whoever looks at it sees what libvirt would have left.

use std::path::Path;

use duet_domain::{Definition, Uuid};
use duet_libvirt_rpc::xdr::Reader;

use super::{Answer, FakeDomain, OnShutdown, World, invalid, procedures::encoded, words};

const COMPLETE: &str = "LibvirtQemudSave";
const INCOMPLETE: &str = "LibvirtQemudPart";

/// What comes of a save that was to be given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnAbort {
    /// The guest runs on, and the image is removed.
    #[default]
    GivesUp,
    /// A write hangs in the storage: libvirt says yes, and nothing happens.
    Hangs,
}

impl World {
    /// What a call that is never answered does to the domain all the same.
    pub(super) fn begin(&mut self, procedure: i32, uuid: &str) {
        if procedure == 232 {
            if let Some(domain) = self.domains.iter_mut().find(|d| d.uuid.to_string() == uuid) {
                (domain.state, domain.reason) = (3, 3);
            }
        }
    }

    /// `argument` is the domain's UUID or the file, `reader` stands behind it.
    pub(super) fn newer(
        &mut self,
        procedure: i32,
        argument: &str,
        reader: &mut Reader<'_>,
    ) -> Answer {
        match procedure {
            233 => {
                let _ = reader.optional_string().unwrap();
                return self.restore(Path::new(argument), reader.u32().unwrap());
            }
            235 => {
                let xml = image(Path::new(argument))?;
                let mut writer = duet_libvirt_rpc::xdr::Writer::new();
                writer.string(&xml);
                return Ok(writer.into_bytes());
            }
            350 => return self.define(reader.string().unwrap()),
            _ => {}
        }
        let missing =
            || (42, format!("Domain not found: no domain with matching uuid '{argument}'"));
        let wanted: Uuid = argument.parse().unwrap();
        let at = self.domains.iter().position(|d| d.uuid == wanted).ok_or_else(missing)?;
        let domain = &mut self.domains[at];
        match procedure {
            164 if (domain.state, domain.reason) == (3, 3) => {
                if self.on_abort == OnAbort::GivesUp {
                    (domain.state, domain.reason) = (1, 7);
                }
            }
            164 => return Err(invalid("no job is active on the domain")),
            183 => return Ok(words(&[i32::from(domain.managed_save)])),
            184 => domain.managed_save = false,
            196 if domain.is_active() => return Err(invalid("domain is already running")),
            196 => {
                (domain.state, domain.reason) = (1, 1);
                return Ok(encoded(domain));
            }
            232 if domain.is_active() => {
                let (name, uuid) = (domain.name.clone(), domain.uuid);
                let to = reader.string().unwrap();
                let content = format!(
                    "{COMPLETE}<domain type='kvm'><name>{name}</name><uuid>{uuid}</uuid></domain>"
                );
                std::fs::write(to, content)
                    .map_err(|error| (38, format!("Failed to create file '{to}': {error}")))?;
                self.end(at, 5);
            }
            258 => return self.shut_down(at, reader.u32().unwrap()),
            _ => return Err(invalid("domain is not running")),
        }
        Ok(Vec::new())
    }

    fn shut_down(&mut self, at: usize, flags: u32) -> Answer {
        self.shutdown_flags.push(flags);
        let domain = &self.domains[at];
        if flags & !3 != 0 {
            let unknown = flags & !3;
            let text =
                format!("unsupported flags ({unknown:#x}) in function qemuDomainShutdownFlags");
            return Err((8, text));
        }
        match (domain.state, domain.on_shutdown) {
            (1 | 2, _) if flags == 2 && self.no_guest_agent => {
                Err((74, "argument unsupported: QEMU guest agent is not configured".to_owned()))
            }
            (1 | 2, OnShutdown::Obeys) => {
                self.end(at, 1);
                Ok(Vec::new())
            }
            (1 | 2, OnShutdown::Ignores) => Ok(Vec::new()),
            _ => Err(invalid("domain is not running")),
        }
    }

    fn restore(&mut self, from: &Path, flags: u32) -> Answer {
        self.create_flags.push(flags);
        let xml = image(from)?;
        let definition = Definition::parse(xml.as_bytes()).unwrap();
        let uuid = definition.uuid.unwrap();
        if self.domains.iter().any(|d| d.uuid == uuid && d.is_active()) {
            return Err(invalid(&format!("domain '{}' is already active", definition.name)));
        }
        self.domains.retain(|d| d.uuid != uuid);
        // As libvirt 9.0 has it: what is restored with VIR_DOMAIN_SAVE_PAUSED is "paused (migrating)".
        let (state, reason) = if flags & 4 == 0 { (1, 3) } else { (3, 2) };
        let restored = FakeDomain::running(&definition.name, &uuid.to_string());
        self.domains.push(restored.in_state(state, reason));
        Ok(Vec::new())
    }

    fn define(&mut self, xml: &str) -> Answer {
        let definition =
            Definition::parse(xml.as_bytes()).map_err(|error| (27, error.to_string()))?;
        let uuid = definition.uuid.unwrap_or(Uuid::from_bytes([0xaa; 16]));
        if let Some(domain) = self.domains.iter_mut().find(|d| d.uuid == uuid) {
            domain.persistent = true;
            return Ok(encoded(domain));
        }
        let domain = FakeDomain::defined(&definition.name, &uuid.to_string());
        let answer = encoded(&domain);
        self.domains.push(domain);
        Ok(answer)
    }
}

/// The XML in an image, or libvirt's refusal.
fn image(path: &Path) -> Result<String, (i32, String)> {
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|_| (38, format!("Failed to open file '{shown}': No such file or directory")))?;
    if text.starts_with(INCOMPLETE) {
        return Err((9, "operation failed: save image is incomplete".to_owned()));
    }
    let xml = text.strip_prefix(COMPLETE);
    xml.map(str::to_owned)
        .ok_or_else(|| (9, "operation failed: failed to read qemu header".to_owned()))
}
