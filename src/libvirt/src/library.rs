//! What only the library can do. Invariant: nothing here concludes from success; who asked looks.

use std::time::Duration;

use duet_domain::Requirements;
use duet_libvirt_rpc::{DomainRef, Error, Hypervisor, JobInfo, Library};
use virt::{
    domain::Domain, error::Error as VirtError, network::Network, storage_pool::StoragePool, sys,
};

use crate::connection::Connection;

/// `VIR_DOMAIN_METADATA_ELEMENT`
const METADATA_ELEMENT: i32 = 2;
/// `VIR_DOMAIN_AFFECT_LIVE`
const AFFECT_LIVE: u32 = 1;

/// The library's convention for the few calls that the crate does not wrap.
pub(crate) fn done(result: i32) -> Result<(), VirtError> {
    if result < 0 { Err(VirtError::last_error()) } else { Ok(()) }
}

impl Library for Connection {
    fn hypervisor(&mut self) -> &mut dyn Hypervisor {
        self
    }

    fn into_hypervisor(self: Box<Self>) -> Box<dyn Hypervisor> {
        self
    }

    fn accepts(&mut self, requirements: &Requirements) -> Result<(), Error> {
        let Requirements { kind, arch, machine, emulator, .. } = requirements.clone();
        self.worker.ask("ask whether a domain could run", move |connection| {
            connection
                .get_domain_capabilities(
                    emulator.as_deref(),
                    arch.as_deref(),
                    machine.as_deref(),
                    kind.as_deref(),
                    0,
                )
                .map(drop)
        })
    }

    fn start_pool(&mut self, name: &str) -> Result<(), Error> {
        let name = name.to_owned();
        self.worker.ask("start a storage pool", move |connection| {
            let pool = StoragePool::lookup_by_name(connection, &name)?;
            if pool.is_active()? {
                // Needed where the storage was mounted after the pool's start; a failure of it is none of the guest's.
                let _ = pool.refresh(0);
                return Ok(());
            }
            pool.create(0).map(drop)
        })
    }

    fn start_network(&mut self, name: &str) -> Result<(), Error> {
        let name = name.to_owned();
        self.worker.ask("start a network", move |connection| {
            let network = Network::lookup_by_name(connection, &name)?;
            if network.is_active()? { Ok(()) } else { network.create().map(drop) }
        })
    }

    fn mark(
        &mut self,
        domain: &DomainRef,
        element: &str,
        prefix: &str,
        namespace: &str,
    ) -> Result<(), Error> {
        let (element, prefix, namespace) =
            (element.to_owned(), prefix.to_owned(), namespace.to_owned());
        self.on_domain("mark a domain", domain, move |domain| {
            let (prefix, namespace) = (Some(prefix.as_str()), Some(namespace.as_str()));
            domain
                .set_metadata(METADATA_ELEMENT, Some(&element), prefix, namespace, AFFECT_LIVE)
                .map(drop)
        })
    }

    fn set_migration_speed(&mut self, domain: &DomainRef, speed: u64) -> Result<(), Error> {
        self.on_domain("limit the speed of a migration", domain, move |domain| {
            domain.migrate_set_max_speed(speed, 0).map(drop)
        })
    }

    fn set_migration_downtime(&mut self, domain: &DomainRef, limit: Duration) -> Result<(), Error> {
        let milliseconds = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        self.on_domain("limit the downtime of a migration", domain, move |domain| {
            domain.migrate_set_max_downtime(milliseconds, 0).map(drop)
        })
    }

    fn switch_to_post_copy(&mut self, domain: &DomainRef) -> Result<(), Error> {
        self.on_domain("switch a migration to post-copy", domain, |domain| {
            done(start_post_copy(domain))
        })
    }

    fn migration_job(&mut self, domain: &DomainRef) -> Result<Option<JobInfo>, Error> {
        self.on_domain("ask how far a migration is", domain, |domain| {
            let stats = domain.get_job_stats(0)?;
            let of = |number: Option<u64>| number.unwrap_or(0);
            Ok((stats.r#type != 0).then(|| JobInfo {
                total: of(stats.data_total),
                processed: of(stats.data_processed),
                remaining: of(stats.data_remaining),
                iteration: of(stats.mem_iteration),
            }))
        })
    }
}

#[allow(unsafe_code, reason = "the crate does not wrap virDomainMigrateStartPostCopy")]
fn start_post_copy(domain: &Domain) -> i32 {
    // SAFETY: the domain's pointer is valid for as long as it is borrowed; the other argument is a number.
    unsafe { sys::virDomainMigrateStartPostCopy(domain.as_ptr(), 0) }
}

#[allow(unsafe_code, reason = "the crate does not wrap virDomainAbortJob")]
pub(crate) fn abort_job(domain: &Domain) -> i32 {
    // SAFETY: the domain's pointer is valid for as long as it is borrowed.
    unsafe { sys::virDomainAbortJob(domain.as_ptr()) }
}

#[cfg(test)]
mod tests {
    use duet_libvirt_rpc::library::flag;
    use virt::sys;

    #[test]
    fn the_flags_are_the_librarys() {
        for (ours, theirs) in [
            (flag::LIVE, sys::VIR_MIGRATE_LIVE),
            (flag::PEER2PEER, sys::VIR_MIGRATE_PEER2PEER),
            (flag::TUNNELLED, sys::VIR_MIGRATE_TUNNELLED),
            (flag::PERSIST_DEST, sys::VIR_MIGRATE_PERSIST_DEST),
            (flag::UNDEFINE_SOURCE, sys::VIR_MIGRATE_UNDEFINE_SOURCE),
            (flag::PAUSED, sys::VIR_MIGRATE_PAUSED),
            (flag::NON_SHARED_DISK, sys::VIR_MIGRATE_NON_SHARED_DISK),
            (flag::NON_SHARED_INC, sys::VIR_MIGRATE_NON_SHARED_INC),
            (flag::CHANGE_PROTECTION, sys::VIR_MIGRATE_CHANGE_PROTECTION),
            (flag::UNSAFE, sys::VIR_MIGRATE_UNSAFE),
            (flag::COMPRESSED, sys::VIR_MIGRATE_COMPRESSED),
            (flag::ABORT_ON_ERROR, sys::VIR_MIGRATE_ABORT_ON_ERROR),
            (flag::AUTO_CONVERGE, sys::VIR_MIGRATE_AUTO_CONVERGE),
            (flag::RDMA_PIN_ALL, sys::VIR_MIGRATE_RDMA_PIN_ALL),
            (flag::POSTCOPY, sys::VIR_MIGRATE_POSTCOPY),
            (flag::TLS, sys::VIR_MIGRATE_TLS),
            (flag::PARALLEL, sys::VIR_MIGRATE_PARALLEL),
            (flag::NON_SHARED_SYNCHRONOUS_WRITES, sys::VIR_MIGRATE_NON_SHARED_SYNCHRONOUS_WRITES),
            (flag::ZEROCOPY, sys::VIR_MIGRATE_ZEROCOPY),
        ] {
            assert_eq!(ours, theirs);
        }
        assert_eq!(super::METADATA_ELEMENT, sys::VIR_DOMAIN_METADATA_ELEMENT as i32);
        assert_eq!(super::AFFECT_LIVE, sys::VIR_DOMAIN_AFFECT_LIVE);
    }
}
