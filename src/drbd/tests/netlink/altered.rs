//! Every recorded message, altered in every way that a broken module or a stranger could alter it. Invariant: no
//! alteration makes reading panic, allocate more than a small multiple of what was received, or take long.

use crate::recorded::{DRIVERS, decoder, family_exchange, states, stream};
use duet_drbd::netlink::{Decoder, Dump, Error, Message, messages, read_family, whole};
use duet_drbd::{Change, Disk, Object, Version, View};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::{Duration, Instant};

/// Alterations of each message.
const ROUNDS: usize = 150;
/// What reading a message may allocate beyond twice the message.
const BEYOND: usize = 4096;

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

/// What `work` allocates in all, freed or not.
fn allocated<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = ALLOCATED.with(Cell::get);
    let value = work();
    (value, ALLOCATED.with(Cell::get) - before)
}

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

/// Lengths and values that decoders stumble over.
const WORDS: [u16; 12] = [0, 1, 3, 4, 5, 8, 0x10, 0x2002, 0x4001, 0x8010, 0x7fff, 0xffff];

fn alter(original: &[u8], donor: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = original.to_vec();
    for _ in 0..=random.below(3) {
        if bytes.len() < 4 {
            return bytes;
        }
        let at = random.below(bytes.len());
        match random.below(7) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => {
                let at = random.below(bytes.len() / 2) * 2;
                bytes[at..at + 2].copy_from_slice(&WORDS[random.below(WORDS.len())].to_ne_bytes());
            }
            2 => bytes.truncate(at),
            3 => {
                let more = random.below(64);
                bytes.extend((0..more).map(|_| random.next().to_be_bytes()[0]));
            }
            4 => {
                bytes.truncate(at / 4 * 4);
                bytes.extend_from_slice(&donor[random.below(donor.len() / 4) * 4..]);
            }
            5 => {
                let words = bytes.len() / 4;
                let (from, to) = (random.below(words) * 4, random.below(words) * 4);
                bytes.copy_within(from..from + 4, to);
            }
            _ => bytes[at] = random.next().to_be_bytes()[0],
        }
    }
    // Mostly with the right length in front, since nothing else gets further than that.
    if bytes.len() >= 4 && random.below(8) != 0 {
        let length = u32::try_from(bytes.len()).unwrap();
        bytes[..4].copy_from_slice(&length.to_ne_bytes());
    }
    bytes
}

/// Every recorded message, of every driver.
fn recorded() -> Vec<(Version, Vec<u8>)> {
    let mut all = Vec::new();
    for driver in DRIVERS {
        all.push((driver, family_exchange(driver).1));
        all.extend(stream(driver).into_iter().map(|message| (driver, message)));
        for state in states(driver) {
            let answers = state.exchanges.into_iter().flat_map(|exchange| exchange.answer);
            all.extend(answers.map(|message| (driver, message)));
        }
    }
    all
}

/// All that is made of a datagram anywhere.
fn read(decoder: &Decoder, datagram: &[u8]) -> Result<Vec<Change>, Error> {
    let mut changes = Vec::new();
    for message in messages(datagram) {
        let message: Message<'_> = message?;
        let _ = read_family(&message);
        for dump in [Dump::Resources, Dump::PeerDevices, Dump::InitialState] {
            let _ = decoder.answer(dump, &message);
        }
        if let duet_drbd::netlink::Said::Change(change) = decoder.notification(&message)? {
            changes.push(*change);
        }
    }
    Ok(changes)
}

#[test]
fn no_alteration_panics_balloons_or_takes_long() {
    let recorded = recorded();
    let mut random = Random(0x00d0_e7db);
    let (mut accepted, mut refused) = (0_usize, 0_usize);
    let mut view = View::default();
    let began = Instant::now();
    for (driver, original) in &recorded {
        // Those of the controller and the ends have numbers that are no family's.
        let id = u16::from_ne_bytes(original[4..6].try_into().unwrap());
        let own = if id >= 17 { original.clone() } else { vec![0, 0, 0, 0, 32, 0] };
        let decoder = decoder(*driver, &own);
        for round in 0..ROUNDS {
            let donor = &recorded[random.below(recorded.len())].1;
            let datagram = alter(original, donor, &mut random);
            let (read, allocated) = allocated(|| read(&decoder, &datagram));
            let limit = datagram.len() * 8 + BEYOND;
            assert!(allocated <= limit, "{round}: {allocated} of {}", datagram.len());
            match read {
                Ok(changes) => {
                    accepted += 1;
                    changes.iter().for_each(|change| view.apply(change));
                    let _ = whole(&changes);
                }
                Err(error) => {
                    refused += 1;
                    assert!(!error.to_string().contains('\n'), "{error}");
                }
            }
        }
    }
    let all = recorded.len() * ROUNDS;
    // The alterations are of use only if some get through to the values and some do not.
    assert!(accepted > all / 20 && refused > all / 10, "{accepted}, {refused} of {all}");
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
}

/// One byte at a time through a message that says UpToDate: it reads UpToDate only where the byte did not matter.
#[test]
fn no_single_number_makes_another_disk_good() {
    for driver in DRIVERS {
        let good = if driver.major == 8 { 8_u32 } else { 9 };
        let states = states(driver);
        let state = states.iter().find(|state| state.name.contains("nl-04")).unwrap();
        let original = &state.answer(Dump::Devices.command())[0];
        let decoder = decoder(driver, original);
        let disk_of = |bytes: &[u8]| match read(&decoder, bytes).ok()?.pop()?.object {
            Object::Device { disk, .. } => disk,
            _ => None,
        };
        assert_eq!(disk_of(original), Some(Disk::UpToDate));
        // The only place where `1 = good` stands as an attribute of eight bytes.
        let mark = [8_u16.to_ne_bytes(), 1_u16.to_ne_bytes()].concat();
        let whole = [mark.clone(), good.to_ne_bytes().to_vec()].concat();
        let places: Vec<usize> =
            (0..original.len() - 8).filter(|at| original[*at..*at + 8] == whole).collect();
        let [at] = places[..] else { panic!("{places:?}") };
        for raw in (0..=u32::from(u8::MAX)).chain([good << 8, good << 24, u32::MAX]) {
            let mut bytes = original.clone();
            bytes[at + 4..at + 8].copy_from_slice(&raw.to_ne_bytes());
            assert_eq!(disk_of(&bytes) == Some(Disk::UpToDate), raw == good, "{raw}");
        }
    }
}

#[test]
fn every_cut_of_every_message_is_refused_or_harmless() {
    for driver in DRIVERS {
        for original in stream(driver).iter().take(60) {
            let decoder = decoder(driver, original);
            for length in 0..original.len() {
                let mut bytes = original[..length].to_vec();
                // As it came, and with a length that hides the cut.
                assert!(length == 0 || read(&decoder, &bytes).is_err(), "{length}");
                if length >= 16 {
                    bytes[..4].copy_from_slice(&u32::try_from(length).unwrap().to_ne_bytes());
                    for change in read(&decoder, &bytes).unwrap_or_default() {
                        assert!(!says_good(&change) || says_good_whole(&decoder, original));
                    }
                }
            }
        }
    }
}

fn says_good(change: &Change) -> bool {
    format!("{:?}", change.object).contains("UpToDate")
}

fn says_good_whole(decoder: &Decoder, original: &[u8]) -> bool {
    read(decoder, original).unwrap().iter().any(says_good)
}

/// Negative control: a decoder that believed a length would be found out.
#[test]
fn what_is_set_aside_for_a_claimed_length_is_counted() {
    let claimed = 1024 * 1024;
    let (vector, allocated) = allocated(|| Vec::<u8>::with_capacity(claimed));
    assert!(vector.capacity() >= claimed && allocated >= claimed && claimed > BEYOND);
}
