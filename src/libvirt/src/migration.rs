//! A migration, on a thread and connections of its own. Client-managed (libvirt's way where nothing else is asked for):
//! this process talks to both daemons, and what happens when it dies is theirs. While memory is being sent, the target
//! daemon ends its half when our connection to it breaks, the source's sending then fails and the guest goes on there.
//! Between the two, the guest stands still in the source ("paused: migration") and either runs in the target or is gone
//! from it, until the target has said which. Where our connection to the target breaks before that, the library takes
//! silence for failure and lets the guest run on in the source, also if the target has let it go already. A broken
//! connection cannot be helped, but nothing here breaks one: these connections have no keepalive, and a target that freezes
//! is waited for until the process ends, which leaves the guest in the source standing still. With PEER2PEER the source's
//! daemon is the one who talks to the target, by its own keepalive settings.
//! Invariant: begins nothing before both daemons have answered.

use std::{
    sync::mpsc::{Receiver, sync_channel},
    thread,
};

use duet_libvirt_rpc::{
    Error, Order,
    library::{Parameter, flag},
};
use virt::{domain::MigrateParameters, error::Error as VirtError};

use crate::{connection::look_up, fault::meaning, worker};

/// Begins; the only message is how it ended.
pub(crate) fn begin(order: Order) -> Receiver<Result<(), Error>> {
    worker::prepare();
    let (tell, told) = sync_channel(1);
    thread::spawn(move || {
        let _ = tell.send(migrate(&order).map_err(|error| meaning(&error)));
    });
    told
}

fn migrate(order: &Order) -> Result<(), VirtError> {
    let source = worker::connect(&order.source)?;
    let domain = look_up(&source, order.domain)?;
    let parameters = parameters(order);
    if order.flags & flag::PEER2PEER != 0 {
        return domain.migrate_to_uri3(Some(&order.target), parameters, order.flags);
    }
    let target = worker::connect(&order.target)?;
    domain.migrate3(&target, parameters, order.flags).map(drop)
}

fn parameters(order: &Order) -> MigrateParameters {
    let mut to = MigrateParameters { uri: order.data.clone(), ..MigrateParameters::default() };
    for parameter in &order.parameters {
        match parameter.clone() {
            Parameter::Bandwidth(speed) => to.bandwidth = Some(speed),
            Parameter::BandwidthPostcopy(speed) => to.bandwidth_postcopy = Some(speed),
            Parameter::GraphicsUri(uri) => to.graphics_uri = Some(uri),
            Parameter::ListenAddress(address) => to.listen_address = Some(address),
            Parameter::MigrateDisk(disk) => to.migrate_disks.push(disk),
            Parameter::DisksPort(port) => to.disks_port = Some(port),
            Parameter::DisksUri(uri) => to.disks_uri = Some(uri),
            // The crate's type for what libvirt takes several times holds one.
            Parameter::Compression(method) => to.compression = Some(method),
            Parameter::CompressionMtLevel(level) => to.compression_mt_level = Some(level),
            Parameter::CompressionMtThreads(count) => to.compression_mt_threads = Some(count),
            Parameter::CompressionMtDthreads(count) => to.compression_mt_dthreads = Some(count),
            Parameter::CompressionXbzrleCache(size) => to.compression_xbzrle_cache = Some(size),
            Parameter::CompressionZlibLevel(level) => to.compression_zlib_level = Some(level),
            Parameter::CompressionZstdLevel(level) => to.compression_zstd_level = Some(level),
            Parameter::AutoConvergeInitial(percent) => to.auto_converge_initial = Some(percent),
            Parameter::AutoConvergeIncrement(percent) => to.auto_converge_increment = Some(percent),
            Parameter::ParallelConnections(count) => to.parallel_connections = Some(count),
            Parameter::TlsDestination(name) => to.tls_destination = Some(name),
        }
    }
    to
}
