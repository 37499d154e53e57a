//! What only libvirt's own client library can do, in words that need none of it: connections to anywhere,
//! migration, pools and networks. Invariant: data and traits only, so that a program which merely may need the
//! library does not load it.

use std::{sync::mpsc::Receiver, time::Duration};

use duet_domain::{Requirements, Uuid};

use crate::{call::DomainRef, error::Error, hypervisor::Hypervisor};

/// Flags of a migration, by libvirt's own numbers (`virDomainMigrateFlags`).
pub mod flag {
    /// The guest goes on running meanwhile.
    pub const LIVE: u32 = 1;
    /// The source's daemon talks to the target's.
    pub const PEER2PEER: u32 = 1 << 1;
    /// Through that daemons' connection.
    pub const TUNNELLED: u32 = 1 << 2;
    /// Defined at the target.
    pub const PERSIST_DEST: u32 = 1 << 3;
    /// Not defined at the source any more.
    pub const UNDEFINE_SOURCE: u32 = 1 << 4;
    /// Paused at the target.
    pub const PAUSED: u32 = 1 << 5;
    /// With whole disks.
    pub const NON_SHARED_DISK: u32 = 1 << 6;
    /// With what disks have over a common base.
    pub const NON_SHARED_INC: u32 = 1 << 7;
    /// The definition cannot change meanwhile.
    pub const CHANGE_PROTECTION: u32 = 1 << 8;
    /// Even where libvirt thinks that disks are cached.
    pub const UNSAFE: u32 = 1 << 9;
    /// Compressed.
    pub const COMPRESSED: u32 = 1 << 11;
    /// An I/O error ends it.
    pub const ABORT_ON_ERROR: u32 = 1 << 12;
    /// The guest is slowed down until it converges.
    pub const AUTO_CONVERGE: u32 = 1 << 13;
    /// With RDMA, all memory is pinned.
    pub const RDMA_PIN_ALL: u32 = 1 << 14;
    /// Switching to post-copy is possible.
    pub const POSTCOPY: u32 = 1 << 15;
    /// Encrypted by QEMU.
    pub const TLS: u32 = 1 << 16;
    /// Over several connections.
    pub const PARALLEL: u32 = 1 << 17;
    /// Disks are written at both ends at once.
    pub const NON_SHARED_SYNCHRONOUS_WRITES: u32 = 1 << 18;
    /// Without copying memory into the kernel.
    pub const ZEROCOPY: u32 = 1 << 20;
}

/// A typed parameter of a migration (`VIR_MIGRATE_PARAM_*`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parameter {
    /// MiB/s.
    Bandwidth(u64),
    /// MiB/s after the switch to post-copy.
    BandwidthPostcopy(u64),
    /// Where a viewer goes.
    GraphicsUri(String),
    /// Where the target listens.
    ListenAddress(String),
    /// These disks only.
    MigrateDisk(String),
    /// The port for disks.
    DisksPort(i32),
    /// Where disks are sent.
    DisksUri(String),
    /// A method of compression.
    Compression(String),
    /// Level of mt.
    CompressionMtLevel(i32),
    /// Threads of mt.
    CompressionMtThreads(i32),
    /// Threads of mt at the target.
    CompressionMtDthreads(i32),
    /// Cache of xbzrle, in bytes.
    CompressionXbzrleCache(u64),
    /// Level of zlib.
    CompressionZlibLevel(i32),
    /// Level of zstd.
    CompressionZstdLevel(i32),
    /// Per cent by which the guest is slowed down first.
    AutoConvergeInitial(i32),
    /// And each time after.
    AutoConvergeIncrement(i32),
    /// Connections.
    ParallelConnections(i32),
    /// Whose certificate the target has.
    TlsDestination(String),
}

/// One migration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// The libvirt that has the domain.
    pub source: String,
    /// Which domain.
    pub domain: Uuid,
    /// The libvirt that is to have it; with [`flag::PEER2PEER`] as the source's daemon calls it.
    pub target: String,
    /// Where its memory is sent; libvirt chooses where none is given.
    pub data: Option<String>,
    /// See [`flag`].
    pub flags: u32,
    /// Further parameters.
    pub parameters: Vec<Parameter>,
}

/// How far a migration is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JobInfo {
    /// Bytes of all.
    pub total: u64,
    /// Bytes sent.
    pub processed: u64,
    /// Bytes still to be sent, as of now.
    pub remaining: u64,
    /// The pass over the memory that it is in, from 1; 0 where that is not said.
    pub iteration: u64,
}

/// A connection of libvirt's own client library.
pub trait Library: Hypervisor {
    /// As what everybody can ask.
    fn hypervisor(&mut self) -> &mut dyn Hypervisor;

    /// Likewise, for good.
    fn into_hypervisor(self: Box<Self>) -> Box<dyn Hypervisor>;

    /// Whether a domain with these requirements could be started there; libvirt's refusal says why not.
    fn accepts(&mut self, requirements: &Requirements) -> Result<(), Error>;

    /// Starts a storage pool, or looks through it again if it runs.
    fn start_pool(&mut self, name: &str) -> Result<(), Error>;

    /// Starts a virtual network unless it runs.
    fn start_network(&mut self, name: &str) -> Result<(), Error>;

    /// Puts an element into a running domain's metadata, where it travels with it; `namespace` and `prefix` as in XML.
    fn mark(
        &mut self,
        domain: &DomainRef,
        element: &str,
        prefix: &str,
        namespace: &str,
    ) -> Result<(), Error>;

    /// Limits the speed of migrations of a domain, in MiB/s.
    fn set_migration_speed(&mut self, domain: &DomainRef, speed: u64) -> Result<(), Error>;

    /// Limits for how long a migration may stop the guest.
    fn set_migration_downtime(&mut self, domain: &DomainRef, limit: Duration) -> Result<(), Error>;

    /// Switches a migration to post-copy: the guest goes on at the target, its memory follows.
    fn switch_to_post_copy(&mut self, domain: &DomainRef) -> Result<(), Error>;

    /// How far a migration is; none if there is none.
    fn migration_job(&mut self, domain: &DomainRef) -> Result<Option<JobInfo>, Error>;
}

/// A connection of the library, or why there is none.
pub type Opened = Result<Box<dyn Library>, Error>;

/// The client library, where a program has it.
#[derive(Debug, Clone, Copy)]
pub struct ClientLibrary {
    /// Connects; everything together may take so long, until [`Hypervisor::allow`] says otherwise.
    pub open: fn(uri: &str, limit: Duration) -> Opened,
    /// Begins a migration, on connections of its own. Its end is the only message; it ends with the process at the
    /// latest, and who waits sets the limit.
    pub migrate: fn(Order) -> Receiver<Result<(), Error>>,
}
