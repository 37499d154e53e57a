//! Any bytes as a datagram of the kernel. The first byte chooses the driver and the question; on every other choice the
//! rest is attributes, put behind fitting headers, so that the fuzzer gets at the values. Invariant: reading returns.
#![no_main]

use duet_drbd::netlink::{Decoder, Dump, Family, Said, Writer, messages, read_family, whole};
use duet_drbd::{Version, View};
use libfuzzer_sys::fuzz_target;

const ID: u16 = 32;

fuzz_target!(|input: &[u8]| {
    let [choice, command, rest @ ..] = input else { return };
    let major = 8 + (choice & 1);
    let family = Family { id: ID, version: u32::from(major) - 7, events_group: Some(9) };
    let Ok(decoder) = Decoder::new(family, Version { major, minor: 4, patch: 11 }) else { return };
    let dumps = [Dump::Resources, Dump::Devices, Dump::Connections, Dump::PeerDevices];
    let dump = dumps.get(usize::from(choice >> 4)).copied().unwrap_or(Dump::InitialState);
    let mut datagram = rest.to_vec();
    if choice & 2 == 0 {
        let id = if choice & 4 == 0 { ID } else { 16 };
        datagram = Writer::new(id, 0, 7).command(*command, major - 7).finish();
        if id == ID {
            datagram.extend([0, 0, 0, 0, 101, 0, 0, 0]);
        }
        datagram.extend_from_slice(rest);
        let length = u32::try_from(datagram.len()).unwrap_or(u32::MAX);
        datagram[..4].copy_from_slice(&length.to_ne_bytes());
    }
    let (mut view, mut changes) = (View::default(), Vec::new());
    for message in messages(&datagram).flatten() {
        let _ = read_family(&message);
        let _ = decoder.answer(dump, &message);
        if let Ok(Said::Change(change)) = decoder.notification(&message) {
            view.apply(&change);
            changes.push(*change);
        }
    }
    let _ = whole(&changes);
});
