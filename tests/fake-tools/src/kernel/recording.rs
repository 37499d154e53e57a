//! Answers from `tests/recorded/drbd/netlink`. Invariant: as they were written down; only numbers that a kernel gives
//! out anew are changed, by whoever tells them.

use duet_drbd::Version;
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
