//! The recordings: files of one state, and streams. Invariant: a line that is none of the known kinds fails the test.

use duet_drbd::Version;
use duet_drbd::netlink::{Decoder, Family, messages, read_family};
use std::path::{Path, PathBuf};

/// The drivers that were recorded.
pub(crate) const DRIVERS: [Version; 3] = [
    Version { major: 8, minor: 4, patch: 11 },
    Version { major: 9, minor: 2, patch: 16 },
    Version { major: 9, minor: 3, patch: 3 },
];

/// A question and its answer.
#[derive(Debug, Default)]
pub(crate) struct Exchange {
    /// What the recorder wrote above it.
    pub(crate) remark: String,
    pub(crate) command: u8,
    pub(crate) request: Vec<u8>,
    pub(crate) answer: Vec<Vec<u8>>,
}

/// One state of one node.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) name: String,
    pub(crate) exchanges: Vec<Exchange>,
    /// `events2 --now` before and, where it differs, after.
    pub(crate) before: Vec<String>,
    pub(crate) after: Vec<String>,
    /// `status --verbose --statistics`.
    pub(crate) status: Vec<String>,
}

impl State {
    /// The answer to a dump without a filter.
    pub(crate) fn answer(&self, command: u8) -> &[Vec<u8>] {
        let is_it = |exchange: &&Exchange| exchange.command == command;
        &self.exchanges.iter().find(is_it).unwrap().answer
    }
}

pub(crate) fn directory(driver: Version) -> PathBuf {
    let all = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/recorded/drbd/netlink");
    Path::new(all).join(driver.to_string())
}

pub(crate) fn lines(driver: Version, file: &str) -> Vec<String> {
    let text = std::fs::read_to_string(directory(driver).join(file)).unwrap();
    text.lines().map(str::to_owned).collect()
}

pub(crate) fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.trim().as_bytes();
    digits
        .chunks(2)
        .map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap())
        .collect()
}

/// The states of a driver.
pub(crate) fn states(driver: Version) -> Vec<State> {
    let mut names: Vec<String> = std::fs::read_dir(directory(driver))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("nl-"))
        .collect();
    names.sort();
    names.into_iter().map(|name| state(driver, name)).collect()
}

fn state(driver: Version, name: String) -> State {
    let mut state = State { name, ..State::default() };
    let mut remark = String::new();
    for line in lines(driver, &state.name) {
        let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
        let exchanges = &mut state.exchanges;
        match word {
            "#" => remark = rest.to_owned(),
            "##" => {}
            ">>" => {
                let request = bytes(rest);
                let command = request[16];
                let remark = remark.clone();
                exchanges.push(Exchange { remark, command, request, answer: Vec::new() });
            }
            "<<" => exchanges.last_mut().unwrap().answer.push(bytes(rest)),
            "text-before:" => state.before.push(rest.to_owned()),
            "text-after:" => state.after.push(rest.to_owned()),
            "text-status:" => state.status.push(rest.to_owned()),
            other => panic!("{}: {other}", state.name),
        }
    }
    assert!(state.exchanges.len() >= 5, "{}", state.name);
    state
}

/// The messages of a driver's stream, in order.
pub(crate) fn stream(driver: Version) -> Vec<Vec<u8>> {
    let said = |line: &String| Some(bytes(line.strip_prefix("<< ")?.split_once(' ')?.1));
    let messages: Vec<_> = lines(driver, "stream-node1.txt").iter().filter_map(said).collect();
    assert!(messages.len() > 100);
    messages
}

/// The controller's question and answer.
pub(crate) fn family_exchange(driver: Version) -> (Vec<u8>, Vec<u8>) {
    let lines = lines(driver, "family.txt");
    let of = |mark: &str| bytes(lines.iter().find_map(|line| line.strip_prefix(mark)).unwrap());
    (of(">> "), of("<< "))
}

/// What the controller said of a driver.
pub(crate) fn family(driver: Version) -> Family {
    let (_, answer) = family_exchange(driver);
    let message = messages(&answer).next().unwrap().unwrap();
    read_family(&message).unwrap().unwrap()
}

/// What reads a driver's messages of this recording: the module of 9.2.16 was loaded anew between family and stream.
pub(crate) fn decoder(driver: Version, message: &[u8]) -> Decoder {
    let id = u16::from_ne_bytes(message[4..6].try_into().unwrap());
    Decoder::new(Family { id, ..family(driver) }, driver).unwrap()
}
