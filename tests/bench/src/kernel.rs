//! A kernel with DRBD in place of the real one, for nodes that have no module: `r0` is Primary and `r1` Secondary, each
//! connected, with UpToDate disks on both sides. Or `r0` has lost its peer, and is frozen until a handler has answered. It
//! serves until it is killed.

use duet_bench::{Error, Result};
use duet_drbd::{
    Connection, Disk, Peer, PeerVolume, Replication, Resource, Role, Suspended, Version, View,
    Volume,
};
use duet_fake_tools::FakeKernel;
use std::collections::BTreeMap;
use std::path::Path;

/// What the stubs of the stock agent say they are.
const DRIVER: Version = Version { major: 9, minor: 2, patch: 0 };

/// A kernel with both resources.
///
/// # Errors
/// When its root cannot be completed.
pub(crate) fn start() -> Result<FakeKernel> {
    let resources = [
        ("r0", resource(0, Role::Primary, Role::Secondary)),
        ("r1", resource(1, Role::Secondary, Role::Primary)),
    ];
    let resources = resources.map(|(name, resource)| (name.to_owned(), resource)).into();
    let kernel = FakeKernel::start(DRIVER, View { resources });
    // What is asked about the cluster's own daemons is the real kernel's to say.
    for file in ["proc/sys/kernel/random/boot_id", "proc/net/unix"] {
        let link = kernel.root().join(file);
        let write = |source| Error::Write { path: link.display().to_string(), source };
        std::fs::create_dir_all(link.with_file_name("")).map_err(write)?;
        std::os::unix::fs::symlink(Path::new("/").join(file), &link).map_err(write)?;
    }
    Ok(kernel)
}

/// What a program that is built for it has to have in its environment.
pub(crate) fn environment(kernel: &FakeKernel) -> BTreeMap<String, String> {
    let texts =
        kernel.environment().map(|(name, value)| (name.to_owned(), value.display().to_string()));
    texts.into()
}

/// Serves, after it has written its environment to `path` as JSON; with `is_cut`, `r0` has lost its peer.
pub(crate) fn serve(path: &Path, is_cut: bool) -> Result<()> {
    let kernel = start()?;
    if is_cut {
        kernel.change(cut);
    }
    let environment = environment(&kernel);
    let text = serde_json::to_string(&environment)?;
    // Whoever waits for the file finds it whole.
    let beginning = path.with_extension("new");
    let write = |source| Error::Write { path: path.display().to_string(), source };
    std::fs::write(&beginning, text).map_err(write)?;
    std::fs::rename(&beginning, path).map_err(write)?;
    loop {
        std::thread::park();
    }
}

/// What a Primary that has `fencing resource-and-stonith` makes of the loss of its only peer.
fn cut(view: &mut View) {
    let Some(resource) = view.resources.get_mut("r0") else { return };
    resource.suspended = Suspended { fencing: true, ..Suspended::default() };
    for peer in resource.peers.values_mut() {
        peer.name = Some("node2".to_owned());
        (peer.connection, peer.role) = (Connection::Connecting, Role::Unknown);
        for volume in peer.volumes.values_mut() {
            (volume.replication, volume.disk) = (Replication::Off, Disk::DUnknown);
        }
    }
}

fn resource(minor: u32, own: Role, other: Role) -> Resource {
    let volume = Volume {
        minor: Some(minor),
        disk: Disk::UpToDate,
        client: Some(false),
        quorum: Some(true),
        open: Some(own == Role::Primary),
        backing: Some(format!("/dev/vg0/r{minor}")),
    };
    let there = PeerVolume {
        replication: Replication::Established,
        disk: Disk::UpToDate,
        client: Some(false),
        out_of_sync: Some(0),
    };
    let peer = Peer {
        name: Some("peer".to_owned()),
        connection: Connection::Connected,
        role: other,
        volumes: [(0, there)].into(),
    };
    Resource {
        node_id: Some(0),
        role: own,
        volumes: [(0, volume)].into(),
        peers: [(1, peer)].into(),
        ..Resource::default()
    }
}
