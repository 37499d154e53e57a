//! What agents ask of libvirt, whoever carries it there. Invariant: no call outlasts the time that
//! was last allowed with [`Hypervisor::allow`].

use std::time::Duration;

use duet_domain::{State, Uuid};

use crate::{
    call::{DomainInfo, DomainRef, UndefineFlags, XmlFlags},
    error::Error,
};

/// A connection to libvirt.
pub trait Hypervisor {
    /// From now on, everything together may take this long.
    fn allow(&mut self, limit: Duration);

    /// The domain of exactly this name.
    fn lookup_by_name(&mut self, name: &str) -> Result<DomainRef, Error>;

    /// The domain with this UUID.
    fn lookup_by_uuid(&mut self, uuid: Uuid) -> Result<DomainRef, Error>;

    /// Its state and the reason for it.
    fn state(&mut self, domain: &DomainRef) -> Result<State, Error>;

    /// Its size.
    fn info(&mut self, domain: &DomainRef) -> Result<DomainInfo, Error>;

    /// Its XML; the inactive one is what the next start of a persistent domain would use.
    fn describe(&mut self, domain: &DomainRef, inactive: bool) -> Result<String, Error>;

    /// Its XML, of this kind.
    fn describe_with(&mut self, domain: &DomainRef, flags: XmlFlags) -> Result<String, Error>;

    /// Whether its definition outlives it.
    fn is_persistent(&mut self, domain: &DomainRef) -> Result<bool, Error>;

    /// Whether libvirt keeps a memory image that the next start by hand would resume.
    fn has_managed_save_image(&mut self, domain: &DomainRef) -> Result<bool, Error>;

    /// All domains, active and not.
    fn list(&mut self) -> Result<Vec<DomainRef>, Error>;

    /// Starts a domain from this XML; transient unless a definition with its UUID exists.
    fn create(&mut self, xml: &str) -> Result<DomainRef, Error>;

    /// Asks the guest to shut down; an answer says only that it was asked.
    fn request_shutdown(&mut self, domain: &DomainRef) -> Result<(), Error>;

    /// Ends it at once.
    fn destroy(&mut self, domain: &DomainRef) -> Result<(), Error>;

    /// Removes its definition.
    fn undefine(&mut self, domain: &DomainRef, flags: UndefineFlags) -> Result<(), Error>;

    /// Pauses it.
    fn suspend(&mut self, domain: &DomainRef) -> Result<(), Error>;

    /// Lets it run on.
    fn resume(&mut self, domain: &DomainRef) -> Result<(), Error>;
}
