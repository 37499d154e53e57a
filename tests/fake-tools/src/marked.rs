//! Domains that say in their metadata whose they are.

use duet_domain::MARK_NAMESPACE;

use crate::libvirtd::FakeDomain;

impl FakeDomain {
    /// The same, marked as this resource's.
    #[must_use]
    pub fn of_resource(self, resource: &str) -> Self {
        let xml = format!(
            "<domain type='kvm'><name>{}</name><uuid>{}</uuid><metadata>\
             <duet:resource xmlns:duet=\"{MARK_NAMESPACE}\" name=\"{resource}\"/></metadata></domain>",
            self.name, self.uuid
        );
        Self { xml, ..self }
    }
}
