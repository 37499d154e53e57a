//! What agents ask of libvirt, whoever carries it there. Invariant: no call outlasts the time that
//! was last allowed with [`Hypervisor::allow`].

use std::{path::Path, time::Duration};

use duet_domain::{State, Uuid};

use crate::{
    call::{DomainInfo, DomainRef},
    error::Error,
    flags::{
        CreateFlags, DefineFlags, DestroyFlags, SaveFlags, ShutdownFlags, UndefineFlags, XmlFlags,
    },
};

/// A connection to libvirt.
pub trait Hypervisor {
    /// From now on, everything together may take this long.
    fn allow(&mut self, limit: Duration);

    /// Says good-bye; nothing can be asked any more. Without it libvirtd logs an end of file for every client.
    fn close(&mut self);

    /// The domain of exactly this name.
    fn lookup_by_name(&mut self, name: &str) -> Result<DomainRef, Error>;

    /// The domain with this UUID.
    fn lookup_by_uuid(&mut self, uuid: Uuid) -> Result<DomainRef, Error>;

    /// Its state and the reason for it.
    fn state(&mut self, domain: &DomainRef) -> Result<State, Error>;

    /// Its size.
    fn info(&mut self, domain: &DomainRef) -> Result<DomainInfo, Error>;

    /// Its XML; the inactive one is what the next start of a persistent domain would use.
    fn describe(&mut self, domain: &DomainRef, inactive: bool) -> Result<String, Error> {
        self.describe_with(domain, if inactive { XmlFlags::INACTIVE } else { XmlFlags::LIVE })
    }

    /// Its XML, of this kind.
    fn describe_with(&mut self, domain: &DomainRef, flags: XmlFlags) -> Result<String, Error>;

    /// Whether its definition outlives it.
    fn is_persistent(&mut self, domain: &DomainRef) -> Result<bool, Error>;

    /// Whether libvirt keeps a memory image that the next start by hand would resume.
    fn has_managed_save_image(&mut self, domain: &DomainRef) -> Result<bool, Error>;

    /// Removes that image.
    fn remove_managed_save_image(&mut self, domain: &DomainRef) -> Result<(), Error>;

    /// All domains, active and not.
    fn list(&mut self) -> Result<Vec<DomainRef>, Error>;

    /// Starts a domain from this XML; transient unless a definition with its UUID exists.
    fn create(&mut self, xml: &str) -> Result<DomainRef, Error> {
        self.create_with(xml, CreateFlags::PLAIN)
    }

    /// The same, in this way.
    fn create_with(&mut self, xml: &str, flags: CreateFlags) -> Result<DomainRef, Error>;

    /// Makes this XML a definition that outlives the domain, or changes the one with its UUID.
    fn define(&mut self, xml: &str, flags: DefineFlags) -> Result<DomainRef, Error>;

    /// Starts a domain from its definition.
    fn start_defined(&mut self, domain: &DomainRef, flags: CreateFlags)
    -> Result<DomainRef, Error>;

    /// Asks the guest to shut down, as libvirt sees fit; an answer says only that it was asked.
    fn request_shutdown(&mut self, domain: &DomainRef) -> Result<(), Error> {
        self.request_shutdown_with(domain, ShutdownFlags::ANY)
    }

    /// The same, in one of these ways.
    fn request_shutdown_with(
        &mut self,
        domain: &DomainRef,
        flags: ShutdownFlags,
    ) -> Result<(), Error>;

    /// Ends it at once.
    fn destroy(&mut self, domain: &DomainRef) -> Result<(), Error> {
        self.destroy_with(domain, DestroyFlags::PLAIN)
    }

    /// The same, in this way.
    fn destroy_with(&mut self, domain: &DomainRef, flags: DestroyFlags) -> Result<(), Error>;

    /// Removes its definition.
    fn undefine(&mut self, domain: &DomainRef, flags: UndefineFlags) -> Result<(), Error>;

    /// Pauses it.
    fn suspend(&mut self, domain: &DomainRef) -> Result<(), Error>;

    /// Lets it run on.
    fn resume(&mut self, domain: &DomainRef) -> Result<(), Error>;

    /// Writes its memory into this file on libvirt's machine, and ends it. The answer comes when that is done; where
    /// it does not come in time, libvirt goes on, see [`Hypervisor::abort_job`]. libvirt removes what it could not
    /// complete, unless it was killed meanwhile; then it says so in the file, and refuses to restore it.
    fn save(&mut self, domain: &DomainRef, to: &Path, flags: SaveFlags) -> Result<(), Error>;

    /// Starts a domain from such a file; the file stays.
    fn restore(&mut self, from: &Path, flags: SaveFlags) -> Result<(), Error>;

    /// The XML of the domain in such a file.
    fn describe_saved(&mut self, file: &Path) -> Result<String, Error>;

    /// Asks libvirt to give up saving or migrating a domain. That it was asked does not say that it does: a write that
    /// hangs in the storage goes on hanging.
    fn abort_job(&mut self, domain: &DomainRef) -> Result<(), Error>;
}
