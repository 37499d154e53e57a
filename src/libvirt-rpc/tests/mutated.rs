//! Every recorded answer, altered in every way that a broken or hostile server could alter it, read as the client
//! reads it. Invariant: no alteration makes the decoder panic, allocate more than a small multiple of what was
//! received, or take long; and the client behind it ends in time.
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "an allocator that counts; a test that measures time and talks over a socket"
)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    io::Write,
    thread,
    time::{Duration, Instant},
};

use duet_fake_tools::{Exchange, Scripted, read_frame, recorded};
use duet_libvirt_rpc::{Client, Driver, Error, Hypervisor, Procedure, check_answer};

/// What reading an answer may allocate beyond twice the answer itself: an error's texts.
const BEYOND: usize = 64 * 1024;
/// Alterations of each answer.
const ROUNDS: u64 = 3000;
/// A domain in a list takes up to this many times what its bytes on the wire do (a name without characters).
const FACTOR: usize = 4;

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

/// Words that decoders stumble over.
const WORDS: [u32; 12] =
    [0, 1, 2, 4, 20, 21, 16384, 16385, 4_194_304, 4_194_305, 0x7fff_ffff, 0xffff_ffff];

fn mutate(original: &[u8], donor: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = original.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len().max(1));
        match random.below(7) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
            1 if bytes.len() >= 4 => {
                let at = random.below(bytes.len() / 4) * 4;
                let word = WORDS[random.below(WORDS.len())];
                bytes[at..at + 4].copy_from_slice(&word.to_be_bytes());
            }
            2 => bytes.truncate(at),
            3 => {
                let more = random.below(64);
                bytes.extend((0..more).map(|_| random.next().to_be_bytes()[0]));
            }
            4 if !donor.is_empty() => {
                let from = random.below(donor.len());
                bytes.truncate(at);
                bytes.extend_from_slice(&donor[from..]);
            }
            5 if bytes.len() >= 8 => {
                let words = bytes.len() / 4;
                let (from, to) = (random.below(words) * 4, random.below(words) * 4);
                bytes.copy_within(from..from + 4, to);
            }
            _ if !bytes.is_empty() => bytes[at] = random.next().to_be_bytes()[0],
            _ => {}
        }
    }
    bytes
}

/// Every recorded exchange, with the call that it is of.
fn exchanges() -> Vec<(String, Procedure, Exchange)> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/recorded/libvirt-9.0");
    let mut names: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .filter_map(|entry| {
            entry.unwrap().file_name().to_str()?.strip_suffix(".hex").map(str::to_owned)
        })
        .collect();
    names.sort();
    let exchange = |name: String| {
        let exchange = recorded(&name);
        let number = i32::from_be_bytes(exchange.question[12..16].try_into().unwrap());
        let call = Procedure::from_number(number).unwrap_or_else(|| panic!("{name}: {number}"));
        (name, call, exchange)
    };
    names.into_iter().map(exchange).collect()
}

fn serial(frame: &[u8]) -> u32 {
    u32::from_be_bytes(frame[20..24].try_into().unwrap())
}

#[test]
fn every_answer_type_is_recorded_and_read() {
    let exchanges = exchanges();
    // A machine without polkit has no answer to record; it is read by the same function as that of is-persistent.
    for call in Procedure::ALL.iter().filter(|call| **call != Procedure::AuthPolkit) {
        assert!(exchanges.iter().any(|(_, of, _)| of == call), "nothing recorded of {call}");
    }
    for (name, call, exchange) in exchanges {
        let read = check_answer(call, serial(&exchange.question), &exchange.answer[4..]);
        let is_sound = read.as_ref().map_or_else(|error| error.fault().is_some(), |()| true);
        assert!(is_sound, "{name}: {read:?}");
        let other = check_answer(call, serial(&exchange.question) + 1, &exchange.answer[4..]);
        assert!(matches!(other, Err(Error::Protocol { .. })), "{name}: {other:?}");
    }
}

#[test]
fn no_alteration_of_an_answer_panics_balloons_or_takes_long() {
    let exchanges = exchanges();
    let mut random = Random(0x00d0_e700);
    let (mut accepted, mut refused) = (0_u32, 0_u32);
    let began = Instant::now();
    for (name, call, exchange) in &exchanges {
        let body = &exchange.answer[28..];
        for round in 0..ROUNDS {
            let donor = &exchanges[random.below(exchanges.len())].2.answer;
            // Mostly behind the header, whose every word has to fit: what comes there never gets far.
            let message = if round % 8 == 0 {
                mutate(&exchange.answer[4..], &donor[4..], &mut random)
            } else {
                [&exchange.answer[4..28], &mutate(body, &donor[28..], &mut random)].concat()
            };
            let limit = message.len() * FACTOR + BEYOND;
            let asked = serial(&exchange.question);
            let (result, allocated) = allocated(|| check_answer(*call, asked, &message));
            assert!(allocated <= limit, "{name}, {round}: {allocated} of {}", message.len());
            match result {
                Ok(()) => accepted += 1,
                Err(Error::Protocol { .. }) => refused += 1,
                Err(error) => assert!(!error.to_string().contains('\n'), "{error}"),
            }
        }
    }
    let rounds = u32::try_from(exchanges.len()).unwrap() * u32::try_from(ROUNDS).unwrap();
    // The mutator is of use only if it gets through to the values and does not get through with everything.
    assert!(accepted > rounds / 100 && refused > rounds / 10, "{accepted}, {refused} of {rounds}");
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
}

#[test]
fn lengths_and_counts_that_lie_allocate_nothing() {
    for (name, call, exchange) in exchanges() {
        let message = &exchange.answer[4..];
        for at in (24..message.len()).step_by(4) {
            for word in WORDS {
                let mut message = message.to_vec();
                let Some(place) = message.get_mut(at..at + 4) else { continue };
                place.copy_from_slice(&word.to_be_bytes());
                let asked = serial(&exchange.question);
                let (_, allocated) = allocated(|| check_answer(call, asked, &message));
                let limit = message.len() * FACTOR + BEYOND;
                assert!(allocated <= limit, "{name}, {word:#x} at {at}: {allocated}");
            }
        }
    }
}

/// The whole client, socket and deadline included.
#[test]
fn no_alteration_of_a_conversation_outlasts_the_time_allowed() {
    let limit = Duration::from_millis(200);
    for seed in 0..40_u64 {
        let server = Scripted::start(move |mut stream| {
            let mut random = Random(seed);
            for name in ["auth-list", "open", "lookup-by-name", "describe"] {
                let Some(asked) = read_frame(&mut stream) else { return };
                let mut answer = recorded(name).answer;
                answer[20..24].copy_from_slice(&asked[20..24]);
                if random.below(2) == 0 {
                    answer = mutate(&answer, &asked, &mut random);
                }
                if stream.write_all(&answer).is_err() {
                    return;
                }
            }
            thread::sleep(limit * 2);
        });
        let began = Instant::now();
        let client = Client::open(Driver::Qemu, "qemu:///system", server.directory(), limit);
        if let Ok(mut client) = client {
            if let Ok(domain) = client.lookup_by_name("tiny1") {
                let _ = client.describe(&domain, false);
            }
            client.close();
        }
        assert!(began.elapsed() < limit * 3, "seed {seed}: {:?}", began.elapsed());
    }
}

/// Negative control: a decoder that believed a length would be found out.
#[test]
fn what_is_set_aside_for_a_claimed_length_is_counted() {
    let claimed = 4 * 1024 * 1024;
    let (vector, allocated) = allocated(|| Vec::<u8>::with_capacity(claimed));
    assert!(vector.capacity() >= claimed && allocated >= claimed && claimed > BEYOND);
}
