//! What programs see of DRBD through the host's client, with a kernel whose every answer a test decides. Invariant: a
//! view is what the kernel has, and whatever goes wrong is an error in time.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    unsafe_code,
    reason = "tests measure time, and change the environment under a lock"
)]

mod look;
mod stream;

use duet_drbd::{
    Connection, Disk, Peer, PeerVolume, Replication, Resource, Role, Suspended, Version, View,
    Volume,
};
use duet_fake_tools::{FakeKernel, Faults};
use duet_host::clock;
use duet_ocf::Deadline;
use std::sync::Mutex;
use std::time::Duration;

pub(crate) const V8: Version = Version { major: 8, minor: 4, patch: 11 };
pub(crate) const V9: Version = Version { major: 9, minor: 3, patch: 3 };

pub(crate) fn soon() -> Deadline {
    clock::within(Duration::from_secs(20))
}

/// The environment is one for all threads, so one test at a time has a kernel in it.
pub(crate) fn with<T>(
    kernel: impl FnOnce() -> FakeKernel,
    work: impl FnOnce(&FakeKernel) -> T,
) -> T {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let kernel = kernel();
    for (name, value) in kernel.environment() {
        // SAFETY: whoever reads the environment in this process does it under the same lock, or through std.
        unsafe { std::env::set_var(name, value) };
    }
    work(&kernel)
}

pub(crate) fn faulty(faults: Faults) -> impl FnOnce() -> FakeKernel {
    move || {
        let kernel = FakeKernel::start(V9, view(V9));
        kernel.module().faults = faults;
        kernel
    }
}

/// A Primary of two volumes with a peer that resyncs from it, as each driver would have it.
pub(crate) fn view(version: Version) -> View {
    let is_9 = version.major == 9;
    let volume = |minor: u32| Volume {
        minor: Some(minor),
        disk: Disk::UpToDate,
        client: is_9.then_some(false),
        quorum: is_9.then_some(true),
        open: is_9.then_some(true),
        backing: is_9.then(|| format!("/dev/sd{minor}")),
    };
    let behind = PeerVolume {
        replication: Replication::SyncSource,
        disk: Disk::Inconsistent,
        client: is_9.then_some(false),
        out_of_sync: Some(4096),
    };
    let even = PeerVolume {
        replication: Replication::Established,
        disk: Disk::UpToDate,
        ..behind.clone()
    };
    let peer = Peer {
        name: Some(if is_9 { "node2" } else { "peer" }.to_owned()),
        connection: Connection::Connected,
        role: Role::Secondary,
        volumes: [(0, behind), (1, even)].into(),
    };
    let resource = Resource {
        node_id: is_9.then_some(3),
        role: Role::Primary,
        suspended: Suspended { fencing: true, ..Suspended::default() },
        force_io_failures: is_9.then_some(false),
        may_promote: None,
        promotion_score: None,
        volumes: [(0, volume(10)), (1, volume(11))].into(),
        peers: [(if is_9 { 7 } else { 0 }, peer)].into(),
    };
    let alone =
        Resource { role: Role::Secondary, suspended: Suspended::default(), ..resource.clone() };
    let alone = Resource { peers: [].into(), volumes: [].into(), ..alone };
    View { resources: [("r0".to_owned(), resource), ("r1".to_owned(), alone)].into() }
}

/// What a stream's view has not.
pub(crate) fn without_ids(mut view: View) -> View {
    view.resources.values_mut().for_each(|resource| resource.node_id = None);
    view
}
