//! Makes lines out of the guest's serial output, which arrives as datagrams of often one byte each.
//! Every line carries the time of its last byte and its node. Invariant: a line that is not exactly
//! in the guest's form is never guessed at; it becomes [`Line::Garbled`] with what was seen. A guest
//! that migrates in the middle of a line ends it in the other node: an end without a beginning is
//! put to the beginning that another node just left, where both together are such a line.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A longer run without a line end is not the guest.
const LONGEST: usize = 64;

/// From the last byte in one node to the line's end in the other: the silence of a migration, on a busy machine.
const LONGEST_SILENCE: Duration = Duration::from_secs(10);

/// One line of the guest. The form is described in `guest.S`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Line {
    /// `B`: the guest booted and read its ring.
    Boot {
        /// Highest number found.
        highest: u32,
        /// How many of the last 127 numbers were found.
        valid: u32,
    },
    /// `A`: this write was acknowledged.
    Ack(u32),
    /// `E`: this write failed and is repeated.
    Error(u32),
    /// Torn by a power cut or a lost datagram.
    Garbled(String),
}

/// A line of the guest with its time of arrival and its node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamped {
    /// Arrival of the last byte.
    pub at: Duration,
    /// The node whose machine sent it.
    pub source: String,
    /// The line.
    pub line: Line,
}

/// Collects bytes by source until they are lines.
#[derive(Debug, Default)]
pub struct Assembler {
    pending: BTreeMap<String, Pending>,
}

#[derive(Debug, Default)]
struct Pending {
    text: String,
    last: Duration,
}

impl Assembler {
    /// Takes one datagram and returns the lines that it completed.
    pub fn feed(&mut self, at: Duration, source: &str, bytes: &[u8]) -> Vec<Stamped> {
        let mut done = Vec::new();
        for &byte in bytes {
            if byte == b'\n'
                && let Some(begin) = self.begin_elsewhere(at, source)
            {
                self.pending.entry(source.to_owned()).or_default().text.insert_str(0, &begin);
            }
            let pending = self.pending.entry(source.to_owned()).or_default();
            // A capital letter occurs only at the beginning of a line: what was pending has lost its
            // end (the machine died in the middle of a line, or a datagram did).
            if byte == b'\n' || byte.is_ascii_uppercase() || pending.text.len() >= LONGEST {
                let stamp = if byte == b'\n' { at } else { pending.last };
                done.extend(pending.take(source, stamp));
            }
            if byte != b'\n' && byte != b'\r' {
                pending.text.push(if byte.is_ascii() { char::from(byte) } else { '?' });
            }
            pending.last = at;
        }
        done
    }

    /// Takes the beginning of the line that ends here without one, where another node has left it.
    fn begin_elsewhere(&mut self, at: Duration, source: &str) -> Option<String> {
        let end = self.pending.get(source).map_or("", |pending| pending.text.as_str()).to_owned();
        if matches!(parse(&end), Line::Boot { .. } | Line::Ack(_) | Line::Error(_)) {
            return None;
        }
        let fits = |(other, pending): &(&String, &mut Pending)| {
            *other != source
                && at.saturating_sub(pending.last) <= LONGEST_SILENCE
                && !matches!(parse(&format!("{}{end}", pending.text)), Line::Garbled(_))
        };
        let (_, begun) = self.pending.iter_mut().find(fits)?;
        Some(std::mem::take(&mut begun.text))
    }

    /// What is left without a line end when the recording stops.
    pub fn finish(&mut self) -> Vec<Stamped> {
        let pending = std::mem::take(&mut self.pending);
        pending
            .into_iter()
            .filter_map(|(source, mut pending)| {
                let last = pending.last;
                pending.take(&source, last)
            })
            .collect()
    }
}

impl Pending {
    fn take(&mut self, source: &str, at: Duration) -> Option<Stamped> {
        if self.text.is_empty() {
            return None;
        }
        let text = std::mem::take(&mut self.text);
        Some(Stamped { at, source: source.to_owned(), line: parse(&text) })
    }
}

/// Reads one line without its end.
#[must_use]
pub fn parse(text: &str) -> Line {
    let numbers = |rest: &str| -> Option<Vec<u32>> { rest.split(' ').map(number).collect() };
    let line =
        text.split_once(' ').and_then(|(letter, rest)| match (letter, numbers(rest)?.as_slice()) {
            ("B", &[highest, valid]) => Some(Line::Boot { highest, valid }),
            ("A", &[number]) => Some(Line::Ack(number)),
            ("E", &[number]) => Some(Line::Error(number)),
            _ => None,
        });
    line.unwrap_or_else(|| Line::Garbled(text.to_owned()))
}

fn number(digits: &str) -> Option<u32> {
    let plain = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if digits.len() != 8 || !digits.bytes().all(plain) {
        return None;
    }
    u32::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn lines(chunks: &[&[u8]]) -> Vec<Line> {
        let mut assembler = Assembler::default();
        let mut out = Vec::new();
        for chunk in chunks {
            out.extend(assembler.feed(at(1), "node1", chunk));
        }
        out.extend(assembler.finish());
        out.into_iter().map(|stamped| stamped.line).collect()
    }

    #[test]
    fn lines_are_read_in_the_guests_form_only() {
        let table: &[(&str, Line)] = &[
            ("B 00000000 00000000", Line::Boot { highest: 0, valid: 0 }),
            ("B 000000ff 0000007f", Line::Boot { highest: 255, valid: 127 }),
            ("A deadbeef", Line::Ack(0xdead_beef)),
            ("E 00000001", Line::Error(1)),
            ("A 0000001", Line::Garbled("A 0000001".into())),
            ("A 000000001", Line::Garbled("A 000000001".into())),
            ("A  00000001", Line::Garbled("A  00000001".into())),
            ("A +0000001", Line::Garbled("A +0000001".into())),
            ("B 00000001", Line::Garbled("B 00000001".into())),
            ("X 00000001", Line::Garbled("X 00000001".into())),
        ];
        for (text, line) in table {
            assert_eq!(parse(text), *line, "{text}");
        }
    }

    #[test]
    fn a_line_has_the_time_of_its_last_byte() {
        let mut assembler = Assembler::default();
        for (index, byte) in b"A 00000001\n".iter().enumerate() {
            let millis = u64::try_from(index).unwrap();
            let done = assembler.feed(at(millis), "node1", &[*byte]);
            if *byte == b'\n' {
                assert_eq!(done[0].at, at(10));
            } else {
                assert!(done.is_empty());
            }
        }
    }

    #[test]
    fn a_boot_line_survives_the_torn_line_before_it() {
        assert_eq!(
            lines(&[b"A 0000", b"B 00000010 00000010\n"]),
            [Line::Garbled("A 0000".into()), Line::Boot { highest: 16, valid: 16 }]
        );
    }

    #[test]
    fn a_lost_line_end_costs_nothing() {
        assert_eq!(lines(&[b"A 00000001A 00000002"]), [Line::Ack(1), Line::Ack(2)]);
    }

    #[test]
    fn sources_do_not_mix() {
        let mut assembler = Assembler::default();
        assert!(assembler.feed(at(1), "node1", b"A 000").is_empty());
        assert_eq!(assembler.feed(at(2), "node2", b"A 00000007\n")[0].line, Line::Ack(7));
        assert_eq!(assembler.feed(at(3), "node1", b"00008\n")[0].line, Line::Ack(8));
    }

    #[test]
    fn a_line_that_migrates_is_one_line_of_where_it_ends() {
        for split in 1..=10 {
            let (begin, end) = b"A 00000aad\n".split_at(split);
            let mut assembler = Assembler::default();
            assert!(assembler.feed(at(1), "node1", begin).is_empty(), "{split}");
            let done = assembler.feed(at(2), "node2", end);
            let wanted = Stamped { at: at(2), source: "node2".into(), line: Line::Ack(0xaad) };
            assert_eq!(done, [wanted], "{split}");
            assert!(assembler.finish().is_empty(), "{split}");
        }
    }

    #[test]
    fn halves_that_are_no_line_of_the_guest_or_too_far_apart_stay_halves() {
        let late = 10_002;
        let table: &[(&[u8], u64, &[u8])] =
            &[(b"A 0000", 2, b"aad\n"), (b"A 0000", 2, b"000aad\n"), (b"A 00000", late, b"aad\n")];
        for (begin, when, end) in table {
            let mut assembler = Assembler::default();
            assembler.feed(at(1), "node1", begin);
            let mut seen = assembler.feed(at(*when), "node2", end);
            seen.extend(assembler.finish());
            let halves = seen.iter().filter(|line| matches!(line.line, Line::Garbled(_))).count();
            assert_eq!(halves, 2, "{seen:?}");
        }
        // A whole line takes nothing from a node that died in the middle of another.
        let mut assembler = Assembler::default();
        assembler.feed(at(1), "node1", b"A 0000");
        assert_eq!(assembler.feed(at(2), "node2", b"A 00000007\n")[0].line, Line::Ack(7));
        assert_eq!(assembler.finish()[0].line, Line::Garbled("A 0000".into()));
    }

    #[test]
    fn noise_without_line_ends_is_cut() {
        let noise = vec![0xffu8; 1000];
        let seen = lines(&[&noise]);
        assert!(seen.len() >= 1000 / LONGEST);
        assert!(seen.iter().all(|line| matches!(line, Line::Garbled(_))));
    }
}
