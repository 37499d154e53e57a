//! Every recorded text, altered in every way that a broken tool or a full pipe could alter it. Invariant: no alteration makes
//! reading panic, allocate more than a small multiple of what was received, or take long; and none makes a state up.
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "an allocator that counts; a test that measures time"
)]

mod recording;

use duet_drbd::{
    Configuration, Disk, Object, Role,
    events2::{self, SnapshotError},
    handler::{Call, Event},
    proc::{Minor, Proc},
    tools,
};
use recording::{MODULES, answer, files, states, text};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    time::{Duration, Instant},
};

/// What reading may allocate in all, freed or not, for each byte of the text.
const FACTOR: usize = 8;
/// The same for XML, in which four bytes (`<a/>`) are an element.
const FACTOR_OF_XML: usize = 120;
/// And beyond that.
const BEYOND: usize = 4096;
/// How long all alterations of one kind of text may take.
const LONGEST: Duration = Duration::from_secs(60);

thread_local! {
    static ALLOCATED: Cell<usize> = const { Cell::new(0) };
}

/// Counts what its thread asks for.
struct Counting;

// SAFETY: every call is handed to the system's allocator as it came; counting touches a plain number of this thread.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATED.try_with(|sum| sum.set(sum.get().saturating_add(layout.size())));
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from `alloc` above, hence from the system's allocator.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Splitmix64: the same numbers in each run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `limit`, which is not 0.
    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(limit).unwrap()).unwrap()
    }
}

/// What readers of text stumble over.
const PIECES: [&str; 24] = [
    "",
    " ",
    ":",
    "::",
    "->",
    "\n",
    "\n\n",
    "\t",
    "\0",
    "\u{fffd}",
    "-",
    "-1",
    "4294967296",
    "0x",
    "no",
    "unknown",
    "exists -\n",
    "<",
    "<a/>",
    "</config>",
    "<template>",
    "&",
    "\"",
    "/",
];

fn alter(original: &str, donor: &str, random: &mut Random) -> String {
    let mut bytes = original.as_bytes().to_vec();
    for _ in 0..=random.below(3) {
        if bytes.is_empty() {
            break;
        }
        let (at, other) = (random.below(bytes.len()), random.below(bytes.len()));
        let (from, to) = (at.min(other), at.max(other));
        match random.below(6) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => {
                let piece = PIECES[random.below(PIECES.len())];
                let end = (from + random.below(12)).min(bytes.len());
                bytes.splice(from..end, piece.bytes());
            }
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(from..to)),
            4 => {
                let again = bytes[from..to].to_vec();
                bytes.splice(to..to, again);
            }
            _ => {
                let from = random.below(donor.len());
                bytes.truncate(at);
                bytes.extend_from_slice(&donor.as_bytes()[from..]);
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads `rounds` alterations of each text.
fn survive<T>(texts: &[String], rounds: usize, read: impl Fn(&str) -> T) -> Vec<T> {
    let (mut random, began, mut seen) = (Random(0x6472_6264), Instant::now(), Vec::new());
    assert!(!texts.is_empty());
    for text in texts {
        for _ in 0..rounds {
            let donor = &texts[random.below(texts.len())];
            let altered = alter(text, donor, &mut random);
            let before = ALLOCATED.with(Cell::get);
            let read = read(&altered);
            let allocated = ALLOCATED.with(Cell::get) - before;
            let factor = if text.starts_with('<') { FACTOR_OF_XML } else { FACTOR };
            let bound = factor * altered.len() + BEYOND;
            assert!(allocated <= bound, "{allocated} for {}: {altered:?}", altered.len());
            assert!(began.elapsed() < LONGEST, "{altered:?}");
            seen.push(read);
        }
    }
    seen
}

#[test]
fn lines_of_events2() {
    let all: Vec<_> = MODULES
        .iter()
        .flat_map(|module| files(module, "events2-"))
        .map(|file| text(&file))
        .collect();
    let lines: Vec<_> = all
        .iter()
        .flat_map(|text| text.lines())
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect();
    let read = survive(&lines, 40, |line| (line.to_owned(), events2::change(line)));
    for (line, said) in read {
        let Ok(said) = said else { continue };
        match said.object {
            Object::Resource { role: Some(Role::Primary), .. } => {
                assert!(line.contains("Primary"), "{line:?}");
            }
            Object::Device { disk: Some(Disk::UpToDate), .. }
            | Object::PeerDevice { disk: Some(Disk::UpToDate), .. } => {
                assert!(line.contains("UpToDate"), "{line:?}");
            }
            _ => {}
        }
    }
}

#[test]
fn snapshots() {
    let texts: Vec<_> = states()
        .iter()
        .filter_map(|file| answer(file, "drbdsetup events2 --now --timestamps"))
        .map(|answer| answer.output)
        .collect();
    let read = survive(&texts, 400, |text| {
        let last: Vec<_> = text.split_ascii_whitespace().rev().take(2).collect();
        (last == ["-", "exists"], events2::snapshot(text))
    });
    for (is_whole, view) in &read {
        assert!(*is_whole || matches!(view, Err(SnapshotError::CutOff)), "{view:?}");
    }
    assert!(read.iter().any(|(_, view)| view.is_ok()));
}

#[test]
fn proc_files() {
    let texts: Vec<_> = states()
        .iter()
        .filter_map(|file| answer(file, "cat /proc/drbd"))
        .map(|answer| answer.output)
        .collect();
    for (text, proc) in survive(&texts, 400, |text| (text.to_owned(), Proc::parse(text))) {
        for minor in proc.iter().flat_map(|proc| proc.minors.values()) {
            if let Minor::Configured { disk: Disk::UpToDate, .. } = minor {
                assert!(text.contains("UpToDate"), "{text:?}");
            }
        }
    }
}

#[test]
fn dumps_of_the_configuration() {
    let mut texts: Vec<_> = MODULES[..2]
        .iter()
        .flat_map(|module| files(module, "drbdadm-dump-xml"))
        .map(|file| text(&file))
        .collect();
    texts.extend(
        ["many", "stacked", "template"].map(|name| text(&format!("configuration/{name}.xml"))),
    );
    let read = survive(&texts, 1000, |text| Configuration::parse(text).is_ok());
    assert!(read.contains(&true) && read.contains(&false));
    survive(&["<a/>".repeat(5000), format!("<config>{}", "<a b='c'>x".repeat(40))], 50, |text| {
        let _ = Configuration::parse(text);
    });
}

#[test]
fn outputs_for_scripts() {
    let texts = ["configuration/version-9.txt", "8.4/drbdadm-sh.txt", "9/drbdadm-sh.txt"].map(text);
    survive(&texts, 3000, |text| {
        let _ = tools::Versions::parse(text);
        for device in tools::devices(text) {
            assert!(device.starts_with("/dev/"), "{device:?}");
        }
        let _ = tools::module_parameters(text);
    });
}

#[test]
fn environments_of_handlers() {
    let texts: Vec<_> = MODULES
        .iter()
        .flat_map(|module| files(module, "handler-calls"))
        .flat_map(|file| {
            let text = text(&file);
            let calls = text.split("# environment as received\n").skip(1);
            let environments = calls.map(|call| call.split("# exit").next().unwrap().to_owned());
            environments.collect::<Vec<_>>()
        })
        .collect();
    survive(&texts, 300, |text| {
        let variables = text.lines().filter_map(|line| line.split_once('='));
        let variables = variables.map(|(name, value)| (name.into(), value.into()));
        if let Ok(call) = Call::read(Event::FencePeer, variables) {
            assert!(!call.resource.is_empty());
            assert!(call.names.keys().chain(&call.node_id).all(|node_id| *node_id < 32));
            assert!(call.up_to_date.iter().all(|mask| mask.node_ids().all(|node_id| node_id < 32)));
        }
    });
}
