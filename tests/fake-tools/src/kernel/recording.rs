//! Answers from `tests/recorded/drbd/netlink`. Invariant: as they were written down; only numbers that a kernel gives
//! out anew are changed, by whoever tells them.

use super::FAMILY;
use super::encode::{Encoder, keys};
use duet_drbd::{Version, View};
use std::collections::BTreeMap;
use std::path::Path;

/// The answers in a recording, without those to questions with a filter.
pub(super) fn recording(version: Version, file: &str) -> BTreeMap<u8, Vec<Vec<u8>>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../recorded/drbd/netlink")
        .join(version.to_string())
        .join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    let bytes = |hex: &str| -> Vec<u8> {
        let digits = hex.trim().as_bytes().chunks(2);
        digits
            .map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap())
            .collect()
    };
    let (mut answers, mut now) = (BTreeMap::new(), None);
    for line in text.lines() {
        if let Some(request) = line.strip_prefix(">> ") {
            let command = bytes(request)[16];
            now = (!answers.contains_key(&command)).then_some(command);
            answers.entry(command).or_insert_with(Vec::new);
        } else if let (Some(answer), Some(now)) = (line.strip_prefix("<< "), now) {
            answers.entry(now).or_default().push(bytes(answer));
        }
    }
    answers
}

/// What a driver of this version answers to a dump of this view, message by message, and as long as the real ones:
/// with the options and statistics of one that was recorded behind what is read.
///
/// # Panics
/// If the recording is gone.
#[must_use]
pub fn dumped(view: &View, version: Version, command: u8) -> Vec<Vec<u8>> {
    let recorded = recording(version, "nl-04-connected-node1-primary-node1.txt");
    let ballast = ballast(&recorded[&command][0]);
    let encoder = Encoder { id: FAMILY, version, has_more: false };
    let all = keys(view);
    let told = all.iter().filter(|key| key.command() == command);
    told.map(|key| {
        let mut message = encoder.message(view, key, None, 7);
        message.extend_from_slice(&ballast);
        let length = u32::try_from(message.len()).unwrap();
        message[..4].copy_from_slice(&length.to_ne_bytes());
        message
    })
    .collect()
}

/// The outer attributes of a recorded message that have no counterpart in ours: configuration and statistics.
fn ballast(message: &[u8]) -> Vec<u8> {
    let (mut ballast, mut at) = (Vec::new(), 28);
    while at + 4 <= message.len() {
        let number = |at: usize| u16::from_ne_bytes([message[at], message[at + 1]]);
        let length = usize::from(number(at)).next_multiple_of(4);
        if [3, 5, 14, 19, 20, 21, 27].contains(&(number(at + 2) & 0x3fff)) {
            ballast.extend_from_slice(&message[at..at + length]);
        }
        at += length;
    }
    ballast
}
