//! A pretended guest with random crashes over pretended disks: a faithful disk must never be accused,
//! a disk that forgets one acknowledged write must always be, whatever happens to the stream.

#![allow(clippy::unwrap_used, reason = "tests; the lint knows only functions marked as such")]

use std::time::Duration;

use duet_oracle::judge::{Outcome, Start, judge};
use duet_oracle::{Assembler, Line, Stamped, Verdict};
use proptest::prelude::*;

const RING: u32 = 127;
/// Enough writes at 110 ms for a stay that a migration can end.
const LONG_STAY: u32 = 25;

/// The ring as the guest reads it.
#[derive(Debug, Clone)]
struct Disk {
    slots: [u32; RING as usize],
}

impl Disk {
    fn new() -> Self {
        Self { slots: [0; RING as usize] }
    }

    fn write(&mut self, number: u32) {
        self.slots[(number % RING) as usize] = number;
    }

    fn boot_line(&self) -> (u32, u32) {
        let highest = *self.slots.iter().max().unwrap();
        let valid = self.slots.iter().filter(|&&n| n != 0 && highest - n < RING).count();
        (highest, u32::try_from(valid).unwrap())
    }
}

/// One stay of the guest in memory, and how it ends.
#[derive(Debug, Clone)]
struct Life {
    node: usize,
    writes: u32,
    /// Live migrations after these many writes each.
    moves: u32,
    /// The last write reaches the disk, its confirmation only as far as this many bytes.
    torn: Option<usize>,
}

fn life() -> impl Strategy<Value = Life> {
    (0..2usize, 0..200u32, 0..3u32, proptest::option::of(0..10usize))
        .prop_map(|(node, writes, moves, torn)| Life { node, writes, moves, torn })
}

#[derive(Debug)]
struct World {
    disk: Disk,
    now: Duration,
    bytes: Vec<(Duration, usize, Vec<u8>)>,
}

impl World {
    fn say(&mut self, node: usize, text: &str) {
        self.bytes.push((self.now, node, text.as_bytes().to_vec()));
    }

    /// `forget` is asked for every acknowledged write.
    fn live(&mut self, life: &Life, forget: &mut impl FnMut(u32) -> bool) {
        self.now += Duration::from_secs(5);
        let mut node = life.node;
        let (highest, valid) = self.disk.boot_line();
        self.say(node, &format!("B {highest:08x} {valid:08x}\n"));
        let mut number = highest;
        for stay in 0..=life.moves {
            let writes = if life.moves == 0 { life.writes } else { life.writes + LONG_STAY };
            for _ in 0..writes {
                number += 1;
                self.now += Duration::from_millis(110);
                if !forget(number) {
                    self.disk.write(number);
                }
                self.say(node, &format!("A {number:08x}\n"));
            }
            if stay < life.moves {
                node = 1 - node;
                self.now += Duration::from_millis(300);
            }
        }
        if let Some(length) = life.torn {
            number += 1;
            self.now += Duration::from_millis(110);
            self.disk.write(number);
            let line = format!("A {number:08x}");
            self.say(node, &line[..length]);
        }
    }

    /// The stream, cut into datagrams of this size.
    fn stream(&self, size: usize) -> Vec<Stamped> {
        let mut assembler = Assembler::default();
        let mut lines = Vec::new();
        for (at, node, bytes) in &self.bytes {
            for datagram in bytes.chunks(size) {
                lines.extend(assembler.feed(*at, ["node1", "node2"][*node], datagram));
            }
        }
        lines.extend(assembler.finish());
        // A torn line is noticed only when its node speaks again; the recorder sorts by time too.
        lines.sort_by_key(|line| line.at);
        lines
    }
}

fn world() -> World {
    World { disk: Disk::new(), now: Duration::ZERO, bytes: Vec::new() }
}

fn fresh(lines: &[Stamped]) -> Verdict {
    judge(lines, Start::Fresh)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_faithful_disk_is_never_accused(
        lives in proptest::collection::vec(life(), 1..6),
        size in 1..30usize,
    ) {
        let mut world = world();
        for life in &lives {
            world.live(life, &mut |_| false);
        }
        let verdict = fresh(&world.stream(size));
        prop_assert_eq!(verdict.outcome(), Outcome::Intact, "{}", verdict);
        prop_assert_eq!(verdict.boots.len(), lives.len());
    }

    #[test]
    fn one_forgotten_write_is_always_found_at_the_next_boot(
        before in proptest::collection::vec(life(), 0..3),
        last in life(),
        which in 0..RING - 1,
        size in 1..30usize,
    ) {
        let mut world = world();
        for life in &before {
            world.live(life, &mut |_| false);
        }
        // Without a torn write on top, and young enough not to be overwritten before the boot.
        let last = Life { writes: last.writes + 1, moves: 0, torn: None, ..last };
        let end = world.disk.boot_line().0 + last.writes;
        let forgotten = end - which % last.writes;
        world.live(&last, &mut |number| number == forgotten);
        let quiet = Life { node: 0, writes: 0, moves: 0, torn: None };
        world.live(&quiet, &mut |_| false);
        let verdict = fresh(&world.stream(size));
        prop_assert_eq!(verdict.outcome(), Outcome::Violated, "forgot {}: {}", forgotten, verdict);
        prop_assert_eq!(verdict.violations[0].at, world.now);
    }

    #[test]
    fn lost_datagrams_accuse_nobody(
        lives in proptest::collection::vec(life(), 1..5),
        lost in proptest::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let mut world = world();
        for life in &lives {
            world.live(life, &mut |_| false);
        }
        let mut lines = world.stream(30);
        for index in lost {
            let index = index.index(lines.len());
            if matches!(lines[index].line, Line::Ack(_)) {
                lines.remove(index);
            }
        }
        let verdict = fresh(&lines);
        prop_assert!(verdict.violations.is_empty(), "{}", verdict);
    }

    #[test]
    fn two_memories_are_always_found(writes in 1..100u32, alone in 0..50u32, both in 1..50u32) {
        let mut world = world();
        let life = Life { node: 0, writes, moves: 0, torn: None };
        world.live(&life, &mut |_| false);
        let last = writes;
        world.live(&Life { node: 1, writes: alone, ..life }, &mut |_| false);
        // The old guest was only frozen: it goes on where it was.
        for step in 1..=both {
            world.now += Duration::from_millis(27);
            world.say(0, &format!("A {:08x}\n", last + step));
            world.now += Duration::from_millis(28);
            world.say(1, &format!("A {:08x}\n", last + alone + step));
        }
        let verdict = fresh(&world.stream(1));
        let contests = verdict.violations.iter().filter(|found| {
            matches!(found.what, duet_oracle::Violation::TwoWriters { .. })
        });
        prop_assert_eq!(contests.count(), 1, "{}", verdict);
    }
}
