//! Domains coming into being and beginning to run, with the states and the texts of libvirt 9.0. Invariant: what was created
//! standing still runs only when it is resumed.

use duet_domain::{Definition, Uuid};

use super::{Answer, FakeDomain, World, invalid, procedures::encoded};

/// `VIR_DOMAIN_START_PAUSED`.
const PAUSED: u32 = 1;

impl World {
    /// The workers are free again, and do what they were asked meanwhile, whether or not anybody waits for it.
    pub fn carry_out(&mut self) {
        self.hang_on = None;
        for (procedure, body) in std::mem::take(&mut self.waiting) {
            self.react(procedure, &body);
        }
    }

    pub(super) fn create(&mut self, xml: &str, flags: u32) -> Answer {
        self.create_flags.push(flags);
        if self.no_paused_creation && flags & PAUSED != 0 {
            let text = "unsupported flags (0x1) in function lxcDomainCreateXMLWithFiles";
            return Err((8, text.to_owned()));
        }
        if let Some(refusal) = self.refuse_create.take() {
            return Err(refusal);
        }
        let definition =
            Definition::parse(xml.as_bytes()).map_err(|error| (27, error.to_string()))?;
        let uuid = definition.uuid.unwrap_or(Uuid::from_bytes([0xaa; 16]));
        if let Some(namesake) = self.domains.iter().find(|d| d.name == definition.name) {
            if namesake.uuid != uuid {
                let text = format!(
                    "operation failed: domain '{}' already exists with uuid {}",
                    namesake.name, namesake.uuid
                );
                return Err((9, text));
            }
        }
        let (state, reason) = if flags & PAUSED == 0 { (1, 1) } else { (3, 1) };
        if let Some(domain) = self.domains.iter_mut().find(|d| d.uuid == uuid) {
            if domain.is_active() {
                return Err(invalid(&format!("domain '{}' is already active", domain.name)));
            }
            (domain.state, domain.reason) = (state, reason);
            return Ok(encoded(domain));
        }
        let domain =
            FakeDomain::running(&definition.name, &uuid.to_string()).in_state(state, reason);
        let answer = encoded(&domain);
        self.domains.push(domain);
        Ok(answer)
    }
}

impl FakeDomain {
    pub(super) fn resume(&mut self) -> Answer {
        match self.state {
            3 => (self.state, self.reason) = (1, 5),
            1 => return Err(invalid("domain is already running")),
            _ => return Err(invalid("domain is not running")),
        }
        Ok(Vec::new())
    }
}
