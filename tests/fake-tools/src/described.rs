//! What a fake domain says about itself, laid out as recorded.

use duet_libvirt_rpc::xdr::Writer;

use crate::FakeDomain;

/// The description of a domain about which nothing more is known.
pub(crate) fn plain(name: &str, uuid: &str) -> String {
    format!("<domain type='kvm'><name>{name}</name><uuid>{uuid}</uuid></domain>\n")
}

impl FakeDomain {
    /// The same with this size.
    #[must_use]
    pub fn of_size(self, vcpus: u32, max_memory_kib: u64) -> Self {
        Self { vcpus, max_memory_kib, ..self }
    }

    pub(crate) fn description(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.string(&self.xml);
        writer.into_bytes()
    }

    /// Its `remote_domain_get_info_ret`.
    pub(crate) fn size(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.u32(self.state.unsigned_abs());
        writer.u64(self.max_memory_kib);
        writer.u64(self.max_memory_kib);
        writer.u32(self.vcpus);
        writer.u64(0);
        writer.into_bytes()
    }
}
