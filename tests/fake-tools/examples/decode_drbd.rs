//! How long it takes to read what DRBD says of 100 resources of 4 volumes with one peer each. Prints the median of many
//! readings in µs as JSON, for each driver, and fails above 5 ms. Invariant: every reading starts from the bytes.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "it measures, and fails loudly")]

use duet_drbd::netlink::{Decoder, Dump, Family, Said, messages, whole};
use duet_drbd::{
    Change, Connection, Disk, Peer, PeerVolume, Replication, Resource, Role, Version, View, Volume,
};
use duet_fake_tools::{FAMILY, dumped};
use std::hint::black_box;
use std::time::{Duration, Instant};

const READINGS: usize = 301;
const LIMIT: Duration = Duration::from_millis(5);
const DUMPS: [Dump; 4] = [Dump::Resources, Dump::Devices, Dump::Connections, Dump::PeerDevices];

fn main() {
    for version in
        [Version { major: 8, minor: 4, patch: 11 }, Version { major: 9, minor: 3, patch: 3 }]
    {
        let (answers, decoder) = (answers(version), decoder(version));
        let bytes: usize = answers.iter().map(|(_, answer)| answer.len()).sum();
        let mut took: Vec<Duration> = (0..READINGS)
            .map(|_| {
                let began = Instant::now();
                assert_eq!(black_box(read(&decoder, &answers)).resources.len(), 100);
                began.elapsed()
            })
            .collect();
        took.sort();
        let median = took[READINGS / 2];
        println!(
            "{{\"driver\":\"{version}\",\"resources\":100,\"volumes\":400,\"bytes\":{bytes},\"median_us\":{}}}",
            median.as_micros()
        );
        assert!(cfg!(debug_assertions) || median < LIMIT, "{median:?} is more than {LIMIT:?}");
    }
}

fn decoder(version: Version) -> Decoder {
    let family_version = if version.major == 8 { 1 } else { 2 };
    let family = Family { id: FAMILY, version: family_version, events_group: Some(9) };
    Decoder::new(family, version).unwrap()
}

/// The answers to the four dumps, with what messages have that nobody reads: options and statistics.
fn answers(version: Version) -> Vec<(Dump, Vec<u8>)> {
    let view = view();
    DUMPS.into_iter().map(|dump| (dump, dumped(&view, version, dump.command()).concat())).collect()
}

fn read(decoder: &Decoder, answers: &[(Dump, Vec<u8>)]) -> View {
    let mut changes: Vec<Change> = Vec::new();
    for (dump, answer) in answers {
        for message in messages(black_box(answer)) {
            if let Said::Change(change) = decoder.answer(*dump, &message.unwrap()).unwrap() {
                changes.push(*change);
            }
        }
    }
    whole(&changes).unwrap()
}

fn view() -> View {
    let volume = |minor: u32| Volume {
        minor: Some(minor),
        disk: Disk::UpToDate,
        client: Some(false),
        quorum: Some(true),
        open: Some(true),
        backing: Some(format!("/dev/vg0/guest{minor}")),
    };
    let there = PeerVolume {
        replication: Replication::Established,
        disk: Disk::UpToDate,
        client: Some(false),
        out_of_sync: Some(0),
    };
    let resource = |number: u32| Resource {
        node_id: Some(0),
        role: Role::Primary,
        force_io_failures: Some(false),
        volumes: (0..4).map(|index| (index, volume(number * 4 + index))).collect(),
        peers: [(
            1,
            Peer {
                name: Some("node2".to_owned()),
                connection: Connection::Connected,
                role: Role::Secondary,
                volumes: (0..4).map(|index| (index, there.clone())).collect(),
            },
        )]
        .into(),
        ..Resource::default()
    };
    View {
        resources: (0..100).map(|number| (format!("guest{number}"), resource(number))).collect(),
    }
}
