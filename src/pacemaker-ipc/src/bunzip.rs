//! bzip2's format, for texts that Pacemaker compresses. Invariant: pure; every length and index in the input is checked, no more
//! is kept than the caller allows and one block, and the checksums agree.

/// Why there is no text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BunzipError {
    /// The input ends too early.
    #[error("The compressed text is cut off")]
    CutOff,
    /// It contradicts itself.
    #[error("The compressed text is damaged: {0}")]
    Damaged(&'static str),
    /// It is longer than was allowed.
    #[error("The compressed text is longer than it says")]
    TooLong,
}

const BLOCK: u64 = 0x3141_5926_5359;
const END: u64 = 0x1772_4538_5090;
/// So many symbols are coded with one table before the next is chosen.
const GROUP: usize = 50;
/// No code is longer, in bits.
const LONGEST: usize = 20;

fn damaged<T>(what: &'static str) -> Result<T, BunzipError> {
    Err(BunzipError::Damaged(what))
}

/// The text of one stream, of at most `limit` bytes.
///
/// # Errors
/// [`BunzipError`].
pub fn bunzip(input: &[u8], limit: usize) -> Result<Vec<u8>, BunzipError> {
    let mut bits = Bits { input, at: 0 };
    if bits.take(24)? != 0x42_5a68 {
        return damaged("it is no bzip2");
    }
    let level = bits.take(8)?;
    if !(0x31..=0x39).contains(&level) {
        return damaged("its level");
    }
    let most = (level as usize - 0x30) * 100_000;
    let mut text = Vec::new();
    let mut combined = 0_u32;
    loop {
        let magic = (u64::from(bits.take(24)?) << 24) | u64::from(bits.take(24)?);
        let checksum = (bits.take(16)? << 16) | bits.take(16)?;
        match magic {
            BLOCK => {
                let start = text.len();
                block(&mut bits, most, limit, &mut text)?;
                if crc(&text[start..]) != checksum {
                    return damaged("a block's checksum");
                }
                combined = combined.rotate_left(1) ^ checksum;
            }
            END if combined == checksum => return Ok(text),
            END => return damaged("its checksum"),
            _ => return damaged("what follows a block"),
        }
    }
}

/// The input, bit by bit.
struct Bits<'a> {
    input: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn bit(&mut self) -> Result<u32, BunzipError> {
        let byte = self.input.get(self.at / 8).ok_or(BunzipError::CutOff)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Ok(u32::from(bit))
    }

    /// The next bits, 24 at most.
    fn take(&mut self, count: u32) -> Result<u32, BunzipError> {
        let mut value = 0;
        for _ in 0..count {
            value = value << 1 | self.bit()?;
        }
        Ok(value)
    }
}

/// A canonical prefix code: for each length its first code, how many there are, and where their symbols begin.
struct Code {
    first: [u32; LONGEST + 1],
    count: [u32; LONGEST + 1],
    start: [usize; LONGEST + 1],
    symbols: Vec<u16>,
}

impl Code {
    fn of(lengths: &[usize]) -> Code {
        let mut code = Code {
            first: [0; LONGEST + 1],
            count: [0; LONGEST + 1],
            start: [0; LONGEST + 1],
            symbols: Vec::with_capacity(lengths.len()),
        };
        let mut next = 0_u32;
        for length in 1..=LONGEST {
            code.start[length] = code.symbols.len();
            code.first[length] = next;
            for (symbol, _) in (0_u16..).zip(lengths).filter(|(_, it)| **it == length) {
                code.symbols.push(symbol);
                code.count[length] += 1;
            }
            next = next.wrapping_add(code.count[length]) << 1;
        }
        code
    }

    fn read(&self, bits: &mut Bits<'_>) -> Result<u16, BunzipError> {
        let mut value = 0_u32;
        for length in 1..=LONGEST {
            value = value << 1 | bits.bit()?;
            let place = value.wrapping_sub(self.first[length]);
            if value >= self.first[length] && place < self.count[length] {
                return Ok(self.symbols[self.start[length] + place as usize]);
            }
        }
        damaged("a code that is none")
    }
}

/// Which bytes there are at all.
fn alphabet(bits: &mut Bits<'_>) -> Result<Vec<u8>, BunzipError> {
    let used = bits.take(16)?;
    let mut bytes = Vec::new();
    for row in 0..16_u8 {
        if used >> (15 - row) & 1 == 1 {
            let columns = bits.take(16)?;
            bytes.extend(
                (0..16_u8).filter(|it| columns >> (15 - it) & 1 == 1).map(|it| row * 16 + it),
            );
        }
    }
    if bytes.is_empty() { damaged("a block without bytes") } else { Ok(bytes) }
}

/// Which table each group of symbols is coded with.
fn selectors(bits: &mut Bits<'_>, tables: u32) -> Result<Vec<u8>, BunzipError> {
    let count = bits.take(15)?;
    let mut order: Vec<u8> = (0..6).take(tables as usize).collect();
    let mut chosen = Vec::new();
    for _ in 0..count {
        let mut place = 0;
        while bits.bit()? == 1 {
            place += 1;
            if place >= order.len() {
                return damaged("a table that is none");
            }
        }
        let table = order.remove(place);
        order.insert(0, table);
        chosen.push(table);
    }
    Ok(chosen)
}

fn code(bits: &mut Bits<'_>, symbols: usize) -> Result<Code, BunzipError> {
    let mut length = bits.take(5)? as usize;
    let mut lengths = Vec::with_capacity(symbols);
    for _ in 0..symbols {
        loop {
            if !(1..=LONGEST).contains(&length) {
                return damaged("the length of a code");
            }
            if bits.bit()? == 0 {
                break;
            }
            length = if bits.bit()? == 0 { length + 1 } else { length - 1 };
        }
        lengths.push(length);
    }
    Ok(Code::of(&lengths))
}

/// One block, appended to the text.
fn block(
    bits: &mut Bits<'_>,
    most: usize,
    limit: usize,
    text: &mut Vec<u8>,
) -> Result<(), BunzipError> {
    if bits.bit()? == 1 {
        return damaged("a block of bzip2 0.9");
    }
    let origin = bits.take(24)? as usize;
    let mut order = alphabet(bits)?;
    let symbols = order.len() + 2;
    let tables = bits.take(3)?;
    if !(2..=6).contains(&tables) {
        return damaged("how many tables there are");
    }
    let selectors = selectors(bits, tables)?;
    let codes = (0..tables).map(|_| code(bits, symbols)).collect::<Result<Vec<Code>, _>>()?;
    let mut last = Vec::new();
    let (mut run, mut weight) = (0_usize, 1_usize);
    let mut read = 0;
    loop {
        let table = selectors.get(read / GROUP).ok_or(BunzipError::Damaged("too few tables"))?;
        let symbol = usize::from(codes[usize::from(*table)].read(bits)?);
        read += 1;
        if symbol < 2 {
            // How often the first byte of the order comes, in a base-2 number of the digits 1 and 2.
            run += weight << symbol;
            weight <<= 1;
            if run > most {
                return damaged("a block that is too long");
            }
            continue;
        }
        if run > 0 {
            last.resize(last.len() + run, order[0]);
            (run, weight) = (0, 1);
        }
        if last.len() > most {
            return damaged("a block that is too long");
        }
        if symbol == symbols - 1 {
            break;
        }
        let byte = order.remove(symbol - 1);
        order.insert(0, byte);
        last.push(byte);
    }
    expand(&sorted_back(&last, origin)?, limit, text)
}

/// The bytes in their order before they were sorted (Burrows and Wheeler), from the last column and the original's row.
fn sorted_back(last: &[u8], origin: usize) -> Result<Vec<u8>, BunzipError> {
    if last.is_empty() || origin >= last.len() {
        return damaged("where a block begins");
    }
    let mut starts = [0_usize; 256];
    for byte in last {
        starts[usize::from(*byte)] += 1;
    }
    let mut sum = 0;
    for start in &mut starts {
        sum += std::mem::replace(start, sum);
    }
    let mut next = vec![0_u32; last.len()];
    for (row, byte) in (0_u32..).zip(last) {
        let start = &mut starts[usize::from(*byte)];
        next[*start] = row;
        *start += 1;
    }
    let mut row = next[origin] as usize;
    let mut bytes = Vec::with_capacity(last.len());
    for _ in 0..last.len() {
        bytes.push(last[row]);
        row = next[row] as usize;
    }
    Ok(bytes)
}

/// After four equal bytes comes how many more there are.
fn expand(bytes: &[u8], limit: usize, text: &mut Vec<u8>) -> Result<(), BunzipError> {
    let mut same = 0;
    let mut before = None;
    for byte in bytes {
        if same == 4 {
            let again = before.expect("four were there");
            text.resize(text.len() + usize::from(*byte), again);
            (same, before) = (0, None);
        } else {
            same = if before == Some(*byte) { same + 1 } else { 1 };
            before = Some(*byte);
            text.push(*byte);
        }
        if text.len() > limit {
            return Err(BunzipError::TooLong);
        }
    }
    Ok(())
}

/// bzip2's checksum: that of Ethernet, with the bits the other way round.
fn crc(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0_u32; 256];
        let mut at = 0_u32;
        while at < 256 {
            let mut value = at << 24;
            let mut bit = 0;
            while bit < 8 {
                value = if value >> 31 == 1 { value << 1 ^ 0x04c1_1db7 } else { value << 1 };
                bit += 1;
            }
            table[at as usize] = value;
            at += 1;
        }
        table
    };
    !bytes.iter().fold(!0, |crc, byte| crc << 8 ^ TABLE[(crc >> 24 ^ u32::from(*byte)) as usize])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `printf 'hello hello hello hello aaaaaaaaaaaaaaaaaaaa\n' | bzip2 -9`
    const HELLO: &str = "425a683931415926535928a729cb000008f1000010400040002244a00020aa6a1884302277495ec255e1a3e2ee48a70a120514e53960";

    fn bytes(hex: &str) -> Vec<u8> {
        let digit = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        (0..hex.len()).step_by(2).map(digit).collect()
    }

    #[test]
    fn a_text_comes_out() {
        let text = bunzip(&bytes(HELLO), 1000).unwrap();
        assert_eq!(text, b"hello hello hello hello aaaaaaaaaaaaaaaaaaaa\n");
    }

    #[test]
    fn a_limit_holds() {
        assert_eq!(bunzip(&bytes(HELLO), 44), Err(BunzipError::TooLong));
        assert!(bunzip(&bytes(HELLO), 45).is_ok());
    }

    #[test]
    fn a_text_that_is_cut_off_is_none() {
        let all = bytes(HELLO);
        for length in 0..all.len() {
            assert!(bunzip(&all[..length], 1000).is_err(), "{length}");
        }
    }

    proptest! {
        #[test]
        fn a_damaged_text_is_an_error_or_the_same(at in 0_usize..400, bit in 0_u8..8) {
            let mut all = bytes(HELLO);
            let at = at % all.len();
            all[at] ^= 1 << bit;
            if let Ok(text) = bunzip(&all, 1000) {
                prop_assert_eq!(text, bunzip(&bytes(HELLO), 1000).unwrap());
            }
        }

        #[test]
        fn whatever_comes_is_bounded(rest in proptest::collection::vec(any::<u8>(), 0..600)) {
            let mut all = b"BZh11AY&SY".to_vec();
            all.extend(rest);
            if let Ok(text) = bunzip(&all, 5000) {
                prop_assert!(text.len() <= 5000);
            }
        }
    }
}
